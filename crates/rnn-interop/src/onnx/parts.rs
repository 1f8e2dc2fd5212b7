//! Layers that stand in a file as the arithmetic that they are made of: layer normalization, GELU, squareplus.
//!
//! Nothing here has a mean over the features or an error function by itself. What is made of one is followed as a formula of
//! the value that it is made of, until the formula is that of a layer, which is then applied to this value.

use super::activations::activation;
use super::algebra::{Algebra, Atom, Formula, Id, Map};
use super::arithmetic::Binary;
use super::builder::Builder;
use super::constants::floats;
use super::elementwise::with_number;
use super::node::Node;
use super::number::Number;
use super::value::{Device, Kind, Known, Value};
use crate::Result;
use ndarray::Array1;
use rnn_model::layer::LayerNormalization;
use serde_json::{Value as Json, json};
use std::rc::Rc;

/// A part of a layer: a formula of a value.
#[derive(Debug)]
pub(super) struct Part {
    base: Device,
    formula: Formula,
    /// axes of size 1 in place of the last one
    narrow: bool,
}

/// Two numbers that an exporter may have rounded.
fn near(a: f64, c: f64) -> bool {
    (a - c).abs() <= 1e-5 * a.abs().max(c.abs())
}

/// Runs `f` with the graph's formulas.
fn with<T>(b: &mut Builder<'_>, f: impl FnOnce(&mut Algebra, &mut Builder<'_>) -> Result<T>) -> Result<T> {
    let mut algebra = std::mem::take(&mut b.algebra);
    let made = f(&mut algebra, b);
    b.algebra = algebra;
    made
}

/// What a value is as a formula: that of a part, what is remembered of it, or itself.
fn part_of(b: &mut Builder<'_>, x: &Device) -> Result<Rc<Part>> {
    if let Some(part) = &x.part {
        return Ok(part.clone());
    }
    if let Some(part) = b.formula_of(x) {
        return Ok(part);
    }
    let width = x.axes.last().and_then(|last| b.known_size(last)).unwrap_or(1);
    let formula = with(b, |algebra, b| algebra.source(b, x.id as usize, width))?;
    Ok(Rc::new(Part { base: x.clone(), formula, narrow: false }))
}

/// Remembers that `y` is `scale * x + offset`.
pub(super) fn remember(b: &mut Builder<'_>, x: &Device, y: &Device, scale: f32, offset: f32) -> Result<()> {
    let part = part_of(b, x)?;
    let formula = with(b, |algebra, b| {
        let scaled = algebra.scaled(b, &part.formula, &[f64::from(scale)])?;
        algebra.add(b, &scaled, &Formula::constant(vec![f64::from(offset)], 1), 1.0)
    })?;
    b.set_formula(y, Rc::new(Part { base: part.base.clone(), formula, narrow: part.narrow }));
    Ok(())
}

/// Remembers that `y` is `x * x`.
pub(super) fn remember_square(b: &mut Builder<'_>, x: &Device, y: &Device) -> Result<()> {
    let part = part_of(b, x)?;
    let formula = with(b, |algebra, b| algebra.product(b, &part.formula, &part.formula))?;
    b.set_formula(y, Rc::new(Part { base: part.base.clone(), formula, narrow: part.narrow }));
    Ok(())
}

/// An operator of one input that no layer has, or of a part.
pub(super) fn unary(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let Value::Device(x) = node.input(0)? else { return Err(b.unsupported("a constant")) };
    let part = part_of(b, x)?;
    let formula = with(b, |algebra, b| {
        let apply = |algebra: &mut Algebra, b: &mut Builder<'_>, function: &str| {
            algebra.applied(b, function.into(), &part.formula)
        };
        match node.op {
            "Neg" => algebra.scaled(b, &part.formula, &[-1.0]),
            "Sqrt" => apply(algebra, b, "sqrt"),
            "Reciprocal" => apply(algebra, b, "inverse"),
            "Erf" => apply(algebra, b, "erf"),
            // 1 - erf
            "Erfc" => {
                let erf = apply(algebra, b, "erf")?;
                algebra.add(b, &Formula::constant(vec![1.0], 1), &erf, -1.0)
            }
            op => Err(b.unsupported(format!("{op} of a part of a layer that is not recognised"))),
        }
    })?;
    made(b, x, &part, formula, part.narrow).map(|y| vec![y])
}

/// The mean over the last axis.
pub(super) fn mean(b: &mut Builder<'_>, x: &Device) -> Result<Value> {
    let part = part_of(b, x)?;
    if part.narrow || x.kind != Kind::Float && x.kind != Kind::Part {
        return Err(b.unsupported("a mean of means"));
    }
    let formula = with(b, |algebra, b| {
        let mean = algebra.applied(b, "mean".into(), &part.formula)?;
        // One number for all features of a step.
        Ok(Formula { width: 1, ..mean })
    })?;
    made(b, x, &part, formula, true)
}

/// What operators of two inputs make where one is a part, or where together they are a layer. Nothing where they are
/// neither.
pub(super) fn binary(b: &mut Builder<'_>, op: Binary, x: &Value, y: &Value) -> Result<Option<Value>> {
    let is_part = |value: &Value| matches!(value, Value::Device(x) if x.kind == Kind::Part);
    let must = is_part(x) || is_part(y);
    let known = |b: &Builder<'_>, value: &Value| matches!(value, Value::Device(x) if b.formula_of(x).is_some_and(|part| part.is_layer(&b.algebra)));
    if !must && !known(b, x) && !known(b, y) {
        return Ok(None);
    }
    let made = both(b, op, x, y);
    match made {
        Ok(Value::Device(y)) if !must && y.kind == Kind::Part => Ok(None),
        Err(_) if !must => Ok(None),
        other => other.map(Some),
    }
}

fn both(b: &mut Builder<'_>, op: Binary, x: &Value, y: &Value) -> Result<Value> {
    let refuse = |b: &Builder<'_>| {
        b.unsupported(format!(
            "{op:?} of a part of a layer (a mean over the features, Sqrt, Erf) that is not recognised"
        ))
    };
    let mut like: Option<(Device, Rc<Part>)> = None;
    let mut formulas = Vec::with_capacity(2);
    let mut narrow = true;
    for value in [x, y] {
        match value {
            Value::Device(x) if matches!(x.kind, Kind::Float | Kind::Part) => {
                let mut part = part_of(b, x)?;
                // A value that something is remembered of may be the base itself.
                if let Some((_, other)) = &like
                    && other.base.id != part.base.id
                    && other.base.id == x.id
                {
                    let formula = with(b, |algebra, b| algebra.source(b, x.id as usize, part.formula.width))?;
                    part = Rc::new(Part { base: x.clone(), formula, narrow: false });
                }
                narrow &= part.narrow;
                formulas.push(part.formula.clone());
                match &like {
                    Some((_, other)) if other.base.id != part.base.id => return Err(refuse(b)),
                    Some((_, other)) if !other.narrow => {}
                    _ => like = Some((x.clone(), part)),
                }
            }
            Value::Known(known) => {
                formulas.push(constant(b, known)?);
                narrow &= known.uniform().is_some();
            }
            _ => return Err(refuse(b)),
        }
    }
    let (Some((like, part)), [x, y]) = (like, formulas.as_slice()) else { return Err(refuse(b)) };
    let formula = with(b, |algebra, b| match op {
        Binary::Add => algebra.add(b, x, y, 1.0),
        Binary::Sub => algebra.add(b, x, y, -1.0),
        Binary::Mul => algebra.product(b, x, y),
        Binary::Div if y.terms.is_empty() => {
            let inverse: Vec<f64> = y.constant.iter().map(|v| 1.0 / v).collect();
            algebra.scaled(b, x, &inverse)
        }
        Binary::Div => {
            let inverse = algebra.applied(b, "inverse".into(), y)?;
            algebra.product(b, x, &inverse)
        }
        Binary::Pow if y.terms.is_empty() && *y.constant == [2.0] => algebra.product(b, x, x),
        Binary::Pow if y.terms.is_empty() && *y.constant == [0.5] => algebra.applied(b, "sqrt".into(), x),
        Binary::Pow if y.terms.is_empty() && *y.constant == [-0.5] => {
            let root = algebra.applied(b, "sqrt".into(), x)?;
            algebra.applied(b, "inverse".into(), &root)
        }
        _ => Err(refuse(b)),
    })?;
    made(b, &like, &part, formula, narrow)
}

/// A constant along the last axis.
fn constant(b: &mut Builder<'_>, known: &Known) -> Result<Formula> {
    if let Some(value) = known.uniform() {
        return Ok(Formula::constant(vec![f64::from(value)], 1));
    }
    let width = known.shape.last().and_then(Number::known).and_then(|n| usize::try_from(n).ok());
    let values: Vec<f64> = floats(b, known)?.into_iter().map(f64::from).collect();
    match width {
        Some(width) if values.len() == width => Ok(Formula::constant(values, width)),
        _ => Err(b.unsupported("a constant that is not the same for all steps, with a part of a layer")),
    }
}

/// The layer that a formula is, or a part of one.
fn made(b: &mut Builder<'_>, like: &Device, part: &Part, formula: Formula, narrow: bool) -> Result<Value> {
    let base = &part.base;
    let axes = match narrow {
        true => match base.axes.split_last() {
            Some((_, front)) => [front, &[Vec::new()]].concat(),
            None => Vec::new(),
        },
        false => base.axes.clone(),
    };
    let mut y = match layer_of(b, base, &formula)? {
        Some(layer) => layer,
        None => {
            let part = Rc::new(Part { base: base.clone(), formula, narrow });
            return Ok(Device {
                kind: Kind::Part,
                part: Some(part),
                axes,
                mask: None,
                origin: None,
                ..like.clone()
            }
            .into());
        }
    };
    let part = Rc::new(Part { base: base.clone(), formula, narrow: false });
    b.set_formula(&y, part);
    y.axes = axes;
    Ok(y.into())
}

/// The layer with this formula.
fn layer_of(b: &mut Builder<'_>, base: &Device, formula: &Formula) -> Result<Option<Device>> {
    if let Some(norm) = normalization(&b.algebra, formula) {
        return norm.apply(b, base).map(Some);
    }
    if let Some(x) = with(b, |algebra, b| gelu(algebra, b, formula))? {
        let x = scaled(b, base, x)?;
        return activation(b, &x, "gelu".into()).map(Some);
    }
    match squareplus(&b.algebra, formula) {
        Some(kind) => activation(b, base, kind).map(Some),
        None => Ok(None),
    }
}

fn scaled(b: &mut Builder<'_>, x: &Device, (scale, offset): (f64, f64)) -> Result<Device> {
    let x = if near(scale, 1.0) { x.clone() } else { with_number(b, Binary::Mul, x, scale as f32, false)? };
    if offset == 0.0 { Ok(x) } else { with_number(b, Binary::Add, &x, offset as f32, false) }
}

/// A layer normalization.
struct Norm {
    epsilon: f64,
    rms: bool,
    gamma: Rc<[f64]>,
    beta: Rc<[f64]>,
}

impl Part {
    /// Whether the value is a layer normalization, which a scale and a shift may follow.
    fn is_layer(&self, algebra: &Algebra) -> bool {
        normalization(algebra, &self.formula).is_some()
    }
}

impl Norm {
    fn apply(&self, b: &mut Builder<'_>, x: &Device) -> Result<Device> {
        let x = b.last_axis(x)?;
        let Some(width) = x.axes.last().and_then(|last| b.known_size(last)) else {
            return Err(b.unsupported("a normalization over an unknown number of features"));
        };
        let whole = |values: &[f64]| {
            let all = (0..width).map(|i| values[if values.len() == 1 { 0 } else { i }] as f32);
            Array1::from_iter(all).into_dyn()
        };
        let scale = *self.gamma != [1.0];
        let center = *self.beta != [0.0];
        let mut weights = Vec::new();
        weights.extend(scale.then(|| whole(&self.gamma)));
        weights.extend(center.then(|| whole(&self.beta)));
        let layer = LayerNormalization::new().epsilon(self.epsilon as f32).rms_scaling(self.rms);
        let symbol = b.layer(layer.scale(scale).center(center), weights, &x.symbol)?;
        Ok(b.like(&x, symbol))
    }
}

/// `gamma (x - mean) / sqrt(variance + epsilon) + beta`, or `gamma x / sqrt(mean of squares + epsilon)`.
fn normalization(algebra: &Algebra, formula: &Formula) -> Option<Norm> {
    let each = |factors: &[Id]| {
        formula.terms.iter().find_map(|term| match &term.map {
            Map::Each(each) if term.factors == factors => Some(each.clone()),
            _ => None,
        })
    };
    let function = |id: Id, name: &str| match algebra.atom(id) {
        Atom::Applied { function, of } if function == name => Some(of),
        _ => None,
    };
    let first = formula.terms.first()?;
    // The one factor that is the same in all products is the deviation's inverse.
    let deviation = first.factors.iter().copied().find(|&id| function(id, "inverse").is_some())?;
    let inner = function(function(deviation, "inverse")?.as_atom()?, "sqrt")?;
    let [epsilon] = *inner.constant else { return None };
    let [square] = inner.terms.as_slice() else { return None };
    let (&[square], Map::Each(one)) = (square.factors.as_slice(), &square.map) else { return None };
    let of_square = function(square, "mean")?;
    if **one != [1.0] || epsilon <= 0.0 {
        return None;
    }
    let is_source = |id: Id| matches!(algebra.atom(id), Atom::Source { .. });
    let x = formula.terms.iter().flat_map(|term| &term.factors).copied().find(|&id| is_source(id))?;
    let pair = |a: Id, c: Id| if a < c { [a, c] } else { [c, a] };
    let gamma = each(&pair(x, deviation))?;
    let products = of_square.products()?;
    let has = |want: &[Id], number: f64| products.iter().any(|(factors, n)| *factors == want && *n == number);
    if formula.terms.len() == 1 && products.len() == 1 && has(&[x, x], 1.0) && *formula.constant == [0.0] {
        return Some(Norm { epsilon, rms: true, gamma, beta: formula.constant.clone() });
    }
    let mean = formula
        .terms
        .iter()
        .flat_map(|term| &term.factors)
        .copied()
        .find(|&id| function(id, "mean").is_some_and(|of| of.as_atom() == Some(x)))?;
    let of_mean = each(&pair(mean, deviation))?;
    let opposite = of_mean.len() == gamma.len() && of_mean.iter().zip(gamma.iter()).all(|(a, c)| *a == -c);
    let variance =
        products.len() == 3 && has(&[x, x], 1.0) && has(&pair(x, mean), -2.0) && has(&[mean, mean], 1.0);
    (formula.terms.len() == 2 && opposite && variance).then(|| Norm {
        epsilon,
        rms: false,
        gamma,
        beta: formula.constant.clone(),
    })
}

/// `y (1 + erf(y / sqrt(2))) / 2`, `y` being `scale * x + offset`, which it gives.
fn gelu(algebra: &mut Algebra, b: &mut Builder<'_>, formula: &Formula) -> Result<Option<(f64, f64)>> {
    let ids = formula.terms.iter().flat_map(|term| &term.factors).copied();
    let found = ids.clone().find_map(|id| match algebra.atom(id) {
        Atom::Applied { function, of } if function == "erf" => Some((id, of.clone())),
        _ => None,
    });
    let Some((erf, of)) = found else { return Ok(None) };
    let [term] = of.terms.as_slice() else { return Ok(None) };
    let (&[x], Map::Each(scale)) = (term.factors.as_slice(), &term.map) else { return Ok(None) };
    let (&[scale], &[offset]) = (scale.as_ref(), of.constant.as_ref()) else { return Ok(None) };
    let root = std::f64::consts::SQRT_2;
    let (mut scale, mut offset, mut sign) = (scale * root, offset * root, 1.0);
    if scale < 0.0 {
        // erf(-y) = -erf(y)
        (scale, offset, sign) = (-scale, -offset, -1.0);
    }
    let erf = Formula::atom(erf, formula.width);
    let whole = Formula::atom(x, formula.width);
    let y = algebra.scaled(b, &whole, &[scale])?;
    let y = algebra.add(b, &y, &Formula::constant(vec![offset], 1), 1.0)?;
    let gate = algebra.add(b, &Formula::constant(vec![1.0], 1), &erf, sign)?;
    let product = algebra.product(b, &y, &gate)?;
    let wanted = algebra.scaled(b, &product, &[0.5])?;
    Ok(alike(&wanted, formula).then_some((scale, offset)))
}

/// Whether two formulas are the same but for roundings.
fn alike(a: &Formula, c: &Formula) -> bool {
    let near_all = |a: &[f64], c: &[f64]| a.len() == c.len() && a.iter().zip(c).all(|(&a, &c)| near(a, c));
    let same = |(a, c): (&super::algebra::Term, &super::algebra::Term)| match (&a.map, &c.map) {
        (Map::Each(x), Map::Each(y)) => a.factors == c.factors && near_all(x, y),
        _ => false,
    };
    a.terms.len() == c.terms.len()
        && a.terms.iter().zip(&c.terms).all(same)
        && near_all(&a.constant, &c.constant)
}

/// `(x + sqrt(x^2 + b)) / 2`
fn squareplus(algebra: &Algebra, formula: &Formula) -> Option<Json> {
    let products = formula.products()?;
    let [(one, a), (two, c)] = products.as_slice() else { return None };
    let (&[p], &[q]) = (*one, *two) else { return None };
    [(p, q), (q, p)].into_iter().find_map(|(x, root)| {
        let Atom::Applied { function, of } = algebra.atom(root) else { return None };
        let [term] = of.terms.as_slice() else { return None };
        let &[number] = of.constant.as_ref() else { return None };
        let square = term.factors == [x, x] && matches!(&term.map, Map::Each(one) if **one == [1.0]);
        (function == "sqrt" && square && near(*a, 0.5) && near(*c, 0.5) && number > 0.0)
            .then(|| json!({ "class_name": "squareplus", "config": { "b": number as f32 } }))
    })
}
