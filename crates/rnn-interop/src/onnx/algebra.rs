//! Formulas in a normal form, so that what a graph computes is recognised whatever order and grouping it is computed in.
//!
//! A formula is a vector for each sample: a constant, and a sum of products of [`Atom`]s, each product times a number for each
//! of its elements or times a matrix. Sums and products are multiplied out, equal products are added up, equal atoms are
//! one, and a part of a vector is taken of its atoms: `c + z * (h - c)` and `z * h + (1 - z) * c` are the same.

use super::builder::Builder;
use crate::Result;
use ndarray::{Array2, s};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::rc::Rc;

/// The number of an atom.
pub(super) type Id = usize;

/// Most products in a sum, and most atoms in a product: those of a cell are 4 and 5.
const MOST_TERMS: usize = 24;
const MOST_FACTORS: usize = 8;
/// Most atoms of a graph. A cell has some twenty.
const MOST_ATOMS: usize = 2048;

/// A vector that is computed, as one thing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Atom {
    /// Elements of a value from outside.
    Source { source: usize, start: usize, width: usize },
    /// 1 at the steps that there are, 0 at the others.
    Flag,
    /// A function of each element.
    Applied { function: Json, of: Formula },
    /// A sum that is multiplied with something.
    Sum(Formula),
}

/// What a product of atoms is multiplied with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Map {
    /// Each element with its number; one number is for all.
    Each(Rc<[f64]>),
    /// `[elements, width]`
    Matrix(Rc<Array2<f32>>),
}

/// A product.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    /// sorted
    pub factors: Vec<Id>,
    pub map: Map,
}

/// A sum of products and a constant.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Formula {
    /// number of elements; 1 fits all
    pub width: usize,
    /// sorted by factors, those with a matrix last
    pub terms: Vec<Term>,
    /// one number or `width` of them
    pub constant: Rc<[f64]>,
}

/// The atoms of a graph.
#[derive(Default)]
pub(super) struct Algebra {
    atoms: Vec<Atom>,
    parts: HashMap<(Id, usize, usize), Id>,
}

/// One number where all are equal.
fn short(values: Vec<f64>) -> Rc<[f64]> {
    match values.first() {
        Some(first) if values.iter().all(|v| v == first) => [*first].into(),
        _ => values.into(),
    }
}

fn zip(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Rc<[f64]> {
    let at = |values: &[f64], i: usize| values[if values.len() == 1 { 0 } else { i }];
    short((0..a.len().max(b.len())).map(|i| f(at(a, i), at(b, i))).collect())
}

fn is(values: &[f64], value: f64) -> bool {
    values.iter().all(|&v| v == value)
}

impl Formula {
    /// Numbers that are known: one, or one for each element.
    pub fn constant(values: Vec<f64>, width: usize) -> Self {
        Formula { width, terms: Vec::new(), constant: short(values) }
    }

    /// An atom alone.
    pub fn atom(id: Id, width: usize) -> Self {
        let term = Term { factors: vec![id], map: Map::Each([1.0].into()) };
        Formula { width, terms: vec![term], constant: [0.0].into() }
    }

    /// The atom that the formula is, if it is one alone.
    pub fn as_atom(&self) -> Option<Id> {
        match self.product()? {
            &[id] => Some(id),
            _ => None,
        }
    }

    /// The factors of the one product that the formula is, if it is one, times 1.
    pub fn product(&self) -> Option<&[Id]> {
        match self.terms.as_slice() {
            [Term { factors, map: Map::Each(each) }] if is(each, 1.0) && is(&self.constant, 0.0) => {
                Some(factors)
            }
            _ => None,
        }
    }

    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        self.terms.is_empty() && is(&self.constant, 0.0)
    }

    /// The factors of each product and the one number that it is multiplied with; nothing where there is a constant, a
    /// matrix, or numbers that differ.
    pub fn products(&self) -> Option<Vec<(&[Id], f64)>> {
        if !is(&self.constant, 0.0) {
            return None;
        }
        let number = |term: &'_ Term| match &term.map {
            Map::Each(each) if each.len() == 1 => Some(each[0]),
            _ => None,
        };
        self.terms.iter().map(|term| Some((term.factors.as_slice(), number(term)?))).collect()
    }

    fn has_matrix(&self) -> bool {
        self.terms.iter().any(|term| matches!(term.map, Map::Matrix(_)))
    }
}

impl Algebra {
    pub fn atom(&self, id: Id) -> &Atom {
        &self.atoms[id]
    }

    fn intern(&mut self, b: &mut Builder<'_>, atom: Atom) -> Result<Id> {
        if let Some(id) = self.atoms.iter().position(|a| *a == atom) {
            return Ok(id);
        }
        if self.atoms.len() == MOST_ATOMS {
            return Err(b.unsupported("arithmetic of more parts than a cell has"));
        }
        self.atoms.push(atom);
        Ok(self.atoms.len() - 1)
    }

    /// A value from outside.
    pub fn source(&mut self, b: &mut Builder<'_>, source: usize, width: usize) -> Result<Formula> {
        let id = self.intern(b, Atom::Source { source, start: 0, width })?;
        Ok(Formula::atom(id, width))
    }

    /// Whether a step is there.
    pub fn flag(&mut self, b: &mut Builder<'_>) -> Result<Formula> {
        Ok(Formula::atom(self.intern(b, Atom::Flag)?, 1))
    }

    /// `x + scale * y`
    pub fn add(&mut self, b: &mut Builder<'_>, x: &Formula, y: &Formula, scale: f64) -> Result<Formula> {
        let width = common(b, x, y)?;
        let y = self.scaled(b, y, &[scale])?;
        let mut terms = x.terms.clone();
        for term in y.terms {
            let same = terms.iter_mut().find(|t| {
                t.factors == term.factors && matches!(t.map, Map::Each(_)) == matches!(term.map, Map::Each(_))
            });
            match same {
                Some(found) => found.map = sum(b, &found.map, &term.map)?,
                None => terms.push(term),
            }
        }
        self.sum(b, width, terms, zip(&x.constant, &y.constant, |a, c| a + c))
    }

    fn sum(
        &mut self,
        b: &Builder<'_>,
        width: usize,
        mut terms: Vec<Term>,
        constant: Rc<[f64]>,
    ) -> Result<Formula> {
        terms.retain(|term| !matches!(&term.map, Map::Each(each) if is(each, 0.0)));
        if terms.len() > MOST_TERMS {
            return Err(b.unsupported("a sum of more products than a cell has"));
        }
        terms.sort_by(|a, c| {
            (matches!(a.map, Map::Matrix(_)), &a.factors).cmp(&(matches!(c.map, Map::Matrix(_)), &c.factors))
        });
        Ok(Formula { width, terms, constant })
    }

    /// `values * x`, with one number or one for each element. A ramp cut off at 0 and at `1 / values` is a hard sigmoid.
    pub fn scaled(&mut self, b: &mut Builder<'_>, x: &Formula, values: &[f64]) -> Result<Formula> {
        if is(values, 1.0) {
            return Ok(x.clone());
        }
        let width = if values.len() > 1 { values.len() } else { x.width };
        if let (Some(id), &[scale]) = (x.as_atom(), values)
            && let Atom::Applied { function, of } = self.atom(id).clone()
            && let Some(top) = ramp(&function)
            && (top * scale - 1.0).abs() < 1e-6
        {
            let half = Formula::constant(vec![0.5 / scale], 1);
            let of = self.add(b, &of, &half, -1.0)?;
            let function =
                json!({ "class_name": "hard_sigmoid", "config": { "alpha": scale as f32, "beta": 0.5 } });
            return self.applied(b, function, &of);
        }
        let mut terms = Vec::with_capacity(x.terms.len());
        for term in &x.terms {
            let map = match &term.map {
                Map::Each(each) => Map::Each(zip(each, values, |a, c| a * c)),
                Map::Matrix(matrix) => {
                    b.count(matrix.len())?;
                    let mut matrix = matrix.as_ref().clone();
                    for (at, mut column) in matrix.columns_mut().into_iter().enumerate() {
                        let value = values[if values.len() == 1 { 0 } else { at }];
                        column.mapv_inplace(|v| (f64::from(v) * value) as f32);
                    }
                    Map::Matrix(Rc::new(matrix))
                }
            };
            terms.push(Term { factors: term.factors.clone(), map });
        }
        self.sum(b, width, terms, zip(&x.constant, values, |a, c| a * c))
    }

    /// `x * y`, element by element.
    pub fn product(&mut self, b: &mut Builder<'_>, x: &Formula, y: &Formula) -> Result<Formula> {
        common(b, x, y)?;
        if x.terms.is_empty() || y.terms.is_empty() {
            let (known, other) = if x.terms.is_empty() { (x, y) } else { (y, x) };
            return self.scaled(b, other, &known.constant.clone());
        }
        let (x, y) = (self.factor(b, x)?, self.factor(b, y)?);
        let width = x.width.max(y.width);
        let whole = |constant: &Rc<[f64]>| Term { factors: Vec::new(), map: Map::Each(constant.clone()) };
        let mut made = Formula::constant(vec![0.0], width);
        for a in x.terms.iter().chain([&whole(&x.constant)]) {
            for c in y.terms.iter().chain([&whole(&y.constant)]) {
                let (Map::Each(left), Map::Each(right)) = (&a.map, &c.map) else { continue };
                let each = zip(left, right, |p, q| p * q);
                let factors = self.joined(b, &a.factors, &c.factors)?;
                let (terms, constant) = match factors.is_empty() {
                    true => (Vec::new(), each),
                    false => (vec![Term { factors, map: Map::Each(each) }], [0.0].into()),
                };
                let part = self.sum(b, width, terms, constant)?;
                made = self.add(b, &made, &part, 1.0)?;
            }
        }
        Ok(made)
    }

    /// A formula as it can be multiplied out: without matrices.
    fn factor(&mut self, b: &mut Builder<'_>, x: &Formula) -> Result<Formula> {
        match x.has_matrix() {
            true => Ok(Formula::atom(self.intern(b, Atom::Sum(x.clone()))?, x.width)),
            false => Ok(x.clone()),
        }
    }

    /// The factors of a product. Flags are 0 or 1, so that one does; `x * sigmoid(x)` is one function.
    fn joined(&mut self, b: &mut Builder<'_>, x: &[Id], y: &[Id]) -> Result<Vec<Id>> {
        let mut factors = x.to_vec();
        for &id in y {
            if !(self.atoms[id] == Atom::Flag && factors.contains(&id)) {
                factors.push(id);
            }
        }
        if factors.len() > MOST_FACTORS {
            return Err(b.unsupported("a product of more factors than a cell has"));
        }
        for at in 0..factors.len() {
            let Atom::Applied { function, of } = self.atoms[factors[at]].clone() else { continue };
            if function != "sigmoid" {
                continue;
            }
            let whole = match of.as_atom() {
                Some(id) => id,
                None => self.intern(b, Atom::Sum(of.clone()))?,
            };
            if let Some(other) = factors.iter().position(|&id| id == whole) {
                factors[at] = self.intern(b, Atom::Applied { function: "silu".into(), of })?;
                factors.remove(other);
                break;
            }
        }
        factors.sort_unstable();
        Ok(factors)
    }

    /// `x` times a matrix.
    pub fn matrix(&mut self, b: &mut Builder<'_>, x: &Formula, matrix: Rc<Array2<f32>>) -> Result<Formula> {
        if matrix.nrows() != x.width {
            return Err(b.damaged(format!("a vector of {} times a matrix {:?}", x.width, matrix.dim())));
        }
        let width = matrix.ncols();
        let id = match x.as_atom() {
            Some(id) => id,
            None => self.intern(b, Atom::Sum(x.clone()))?,
        };
        let term = Term { factors: vec![id], map: Map::Matrix(matrix) };
        self.sum(b, width, vec![term], [0.0].into())
    }

    /// A function of each element.
    pub fn applied(&mut self, b: &mut Builder<'_>, function: Json, x: &Formula) -> Result<Formula> {
        if x.terms.is_empty() {
            return Err(b.unsupported("a function of what does not depend on the data"));
        }
        let id = self.intern(b, Atom::Applied { function, of: x.clone() })?;
        Ok(Formula::atom(id, x.width))
    }

    /// `len` elements from `start` on.
    pub fn part(&mut self, b: &mut Builder<'_>, x: &Formula, start: usize, len: usize) -> Result<Formula> {
        let end = start.checked_add(len).filter(|&end| end <= x.width && len > 0);
        let Some(end) = end else { return Err(b.damaged(format!("a part of {} elements", x.width))) };
        if len == x.width {
            return Ok(x.clone());
        }
        let few = |values: &Rc<[f64]>| match values.len() {
            1 => values.clone(),
            _ => short(values[start..end].to_vec()),
        };
        let mut terms = Vec::with_capacity(x.terms.len());
        for term in &x.terms {
            terms.push(match &term.map {
                Map::Matrix(matrix) => {
                    b.count(matrix.nrows() * len)?;
                    let columns = matrix.slice(s![.., start..end]).to_owned();
                    Term { factors: term.factors.clone(), map: Map::Matrix(Rc::new(columns)) }
                }
                Map::Each(each) => {
                    let factors = term.factors.iter().map(|&id| self.part_of_atom(b, id, start, len));
                    let mut factors = factors.collect::<Result<Vec<Id>>>()?;
                    factors.sort_unstable();
                    Term { factors, map: Map::Each(few(each)) }
                }
            });
        }
        self.sum(b, len, terms, few(&x.constant))
    }

    fn part_of_atom(&mut self, b: &mut Builder<'_>, id: Id, start: usize, len: usize) -> Result<Id> {
        if let Some(&known) = self.parts.get(&(id, start, len)) {
            return Ok(known);
        }
        let part = match self.atoms[id].clone() {
            Atom::Flag => Atom::Flag,
            Atom::Source { source, start: from, .. } => {
                Atom::Source { source, start: from + start, width: len }
            }
            Atom::Applied { function, of } => Atom::Applied { function, of: self.part(b, &of, start, len)? },
            Atom::Sum(of) => Atom::Sum(self.part(b, &of, start, len)?),
        };
        let made = self.intern(b, part)?;
        self.parts.insert((id, start, len), made);
        Ok(made)
    }

    /// The formula where steps are there, or where they are not, and whether that makes a difference.
    pub fn where_flag(&mut self, b: &mut Builder<'_>, x: &Formula, there: bool) -> Result<(Formula, bool)> {
        let flag = self.atoms.iter().position(|atom| *atom == Atom::Flag);
        let Some(flag) = flag else { return Ok((x.clone(), false)) };
        let mut made = Formula { terms: Vec::new(), ..x.clone() };
        let mut differs = false;
        for term in &x.terms {
            let mut term = term.clone();
            let before = term.factors.len();
            term.factors.retain(|&id| id != flag);
            let flagged = term.factors.len() < before;
            differs |= flagged;
            if flagged && !there {
                continue;
            }
            let part = match (term.factors.is_empty(), &term.map) {
                (true, Map::Each(each)) => {
                    Formula { width: x.width, terms: Vec::new(), constant: each.clone() }
                }
                _ => Formula { width: x.width, terms: vec![term], constant: [0.0].into() },
            };
            made = self.add(b, &made, &part, 1.0)?;
        }
        Ok((made, differs))
    }
}

/// The largest value of `relu` with one and without a slope or threshold, or the bounds of a clip from 0 on.
fn ramp(function: &Json) -> Option<f64> {
    if function == "relu6" {
        return Some(6.0);
    }
    let config = function.get("config").filter(|_| function["class_name"] == "relu")?;
    let zero = |name: &str| config[name].as_f64() == Some(0.0);
    config["max_value"].as_f64().filter(|_| zero("negative_slope") && zero("threshold"))
}

fn common(b: &Builder<'_>, x: &Formula, y: &Formula) -> Result<usize> {
    match (x.width, y.width) {
        (a, c) if a == c => Ok(a),
        (1, other) | (other, 1) => Ok(other),
        (a, c) => Err(b.damaged(format!("vectors of {a} and {c} elements"))),
    }
}

fn sum(b: &mut Builder<'_>, x: &Map, y: &Map) -> Result<Map> {
    match (x, y) {
        (Map::Each(x), Map::Each(y)) => Ok(Map::Each(zip(x, y, |a, c| a + c))),
        (Map::Matrix(x), Map::Matrix(y)) if x.dim() == y.dim() => {
            b.count(x.len())?;
            Ok(Map::Matrix(Rc::new(x.as_ref() + y.as_ref())))
        }
        _ => Err(b.damaged("products of different sizes")),
    }
}
