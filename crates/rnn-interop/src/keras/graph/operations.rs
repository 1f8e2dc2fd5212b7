//! Operations of Keras on values, as `x + 1`, `x[:, -1]` or `ops.mean(x, axis=1)` put them into a functional model: each as
//! layers that compute the same.

use super::super::fields::{Config, check_sizes, given, list, wrong};
use super::super::names::snake_case;
use super::super::objects::{activation, class_of};
use super::{Data, Reader};
use crate::{Error, Result};
use rnn_model::layer::{
    Activate, ActivationLayer, Add, Concatenate, Divide, Dot, Elu, GlobalAveragePooling1D,
    GlobalMaxPooling1D, Glu, Layer, LeakyRelu, Maximum, Minimum, Multiply, Permute, Reciprocal, Relu,
    Rescaling, Reshape, Reverse, SharedLayer, Slice, Subtract,
};
use rnn_model::{Symbol, apply};
use serde_json::{Value, json};

/// An operation of a configuration.
pub(super) struct OneOperation<'a> {
    pub class: &'a str,
    pub config: &'a Config,
    /// its name, with those of the models around it
    pub name: String,
}

/// What an operation is applied to.
#[derive(Debug)]
pub(super) enum Operand {
    Values(Vec<Data>),
    Constant(Value),
}

/// Activations whose operation has the name of the activation and no options.
const ACTIVATIONS: [&str; 13] = [
    "Relu",
    "Relu6",
    "Sigmoid",
    "HardSigmoid",
    "Tanh",
    "Softplus",
    "Softsign",
    "Silu",
    "HardSilu",
    "Selu",
    "LogSigmoid",
    "TanhShrink",
    "Mish",
];

impl<'a> Reader<'a> {
    /// What an operation on values gives, or `None` where this engine has no layers for it.
    pub(super) fn computed(
        &mut self,
        operation: &OneOperation<'a>,
        operands: Vec<Operand>,
    ) -> Result<Option<Data>> {
        let place = format!("layer {} (operation {})", operation.name, operation.class);
        let mut maker = Maker { reader: self, operation, place };
        let Some(symbol) = maker.make(operands)? else { return Ok(None) };
        self.data(symbol, None).map(Some)
    }
}

struct Maker<'r, 'a> {
    reader: &'r mut Reader<'a>,
    operation: &'r OneOperation<'a>,
    place: String,
}

impl Maker<'_, '_> {
    fn refuse<T>(&self, problem: impl Into<String>) -> Result<T> {
        Err(Error::unsupported(&self.place, problem.into()))
    }

    fn make(&mut self, operands: Vec<Operand>) -> Result<Option<Symbol>> {
        use Operand::{Constant, Values};
        let class = self.operation.class;
        match (class, operands.as_slice()) {
            ("GetItem", [Values(x), Constant(index)]) if x.len() == 1 => {
                return self.get_item(&x[0], index).map(Some);
            }
            ("Concatenate" | "Stack", [Values(all)]) => {
                let all = all.iter().map(|x| self.plain(x)).collect::<Result<Vec<_>>>()?;
                return self.joined(&all).map(Some);
            }
            _ => {}
        }
        let mut terms = Vec::new();
        for operand in &operands {
            terms.push(match operand {
                Values(values) if values.len() == 1 => Term::Value(self.plain(&values[0])?),
                Constant(value) if value.is_number() => Term::Number(value.as_f64().unwrap_or(f64::NAN)),
                _ => return self.refuse("an operand is neither one value of the model nor a number"),
            });
        }
        match terms.as_slice() {
            [Term::Value(x)] => self.unary(x),
            [a, b] => self.binary(a, b),
            _ => Ok(None),
        }
    }

    /// The value without a mask: operations know nothing of masks.
    fn plain(&mut self, x: &Data) -> Result<Symbol> {
        match x.mask.or(x.lost) {
            None => Ok(x.symbol.clone()),
            Some(_) => Ok(self.reader.dropping_mask(x, &format!("layer {}", self.operation.name))?.symbol),
        }
    }

    /// A layer applied, by a name like the operation's.
    fn put(&mut self, layer: impl Into<Layer>, inputs: &[&Symbol]) -> Result<Symbol> {
        let name = self.reader.unlike_others(&self.operation.name);
        let made = apply(SharedLayer::new(layer.into()).name(name), inputs)
            .map_err(|e| Error::unsupported(&self.place, e.to_string()))?;
        let Some(symbol) = made.into_iter().next() else { return self.refuse("it gives nothing") };
        // Kept, so that limits hold for values on the way too.
        Ok(self.reader.data(symbol, None)?.symbol)
    }

    fn binary(&mut self, a: &Term, b: &Term) -> Result<Option<Symbol>> {
        let class = self.operation.class;
        let scaled = match (class, a, b) {
            ("Matmul", Term::Value(a), Term::Value(b)) => {
                let last = a.shape().len() as i64;
                return self.put(Dot::new([last, 1]), &[a, b]).map(Some);
            }
            (_, Term::Value(a), Term::Value(b)) => {
                let layer: Layer = match class {
                    "Add" => Add::new().into(),
                    "Subtract" => Subtract::new().into(),
                    "Multiply" => Multiply::new().into(),
                    "Divide" | "TrueDivide" => Divide::new().into(),
                    "Maximum" => Maximum::new().into(),
                    "Minimum" => Minimum::new().into(),
                    _ => return Ok(None),
                };
                return self.put(layer, &[a, b]).map(Some);
            }
            ("Power", Term::Value(x), &Term::Number(2.0)) => {
                return self.put(Multiply::new(), &[x, x]).map(Some);
            }
            ("Maximum", Term::Value(x), &Term::Number(0.0))
            | ("Maximum", &Term::Number(0.0), Term::Value(x)) => {
                return self.put(Relu::new(), &[x]).map(Some);
            }
            ("Add", Term::Value(x), &Term::Number(n)) | ("Add", &Term::Number(n), Term::Value(x)) => {
                (x, 1.0, n)
            }
            ("Multiply", Term::Value(x), &Term::Number(n))
            | ("Multiply", &Term::Number(n), Term::Value(x)) => (x, n, 0.0),
            ("Subtract", Term::Value(x), &Term::Number(n)) => (x, 1.0, -n),
            ("Subtract", &Term::Number(n), Term::Value(x)) => (x, -1.0, n),
            ("Divide" | "TrueDivide", Term::Value(x), &Term::Number(n)) => (x, n.recip(), 0.0),
            ("Divide" | "TrueDivide", &Term::Number(n), Term::Value(x)) => {
                return self.put(Reciprocal::new(n as f32), &[x]).map(Some);
            }
            _ => return Ok(None),
        };
        let (x, scale, offset) = scaled;
        self.rescaled(x, scale, offset).map(Some)
    }

    fn rescaled(&mut self, x: &Symbol, scale: f64, offset: f64) -> Result<Symbol> {
        let (scale, offset) = (scale as f32, offset as f32);
        if !scale.is_finite() || !offset.is_finite() {
            return self.refuse("its number is too large, or divides by zero");
        }
        self.put(Rescaling::new(scale, offset), &[x])
    }

    fn unary(&mut self, x: &Symbol) -> Result<Option<Symbol>> {
        let rank = x.shape().len() + 1;
        let layer: Layer = match self.operation.class {
            "Negative" => return self.rescaled(x, -1.0, 0.0).map(Some),
            "Square" => return self.put(Multiply::new(), &[x, x]).map(Some),
            "Mean" | "Sum" | "Max" => return self.reduced(x).map(Some),
            "ExpandDims" => {
                let axes = self.axes("axis", rank + 1)?;
                return self.expanded(x, &axes).map(Some);
            }
            "Squeeze" => return self.squeezed(x).map(Some),
            "Reshape" => Reshape::new(self.target()?).into(),
            "Transpose" => {
                let order = match given(self.operation.config, "axes") {
                    None => (0..rank).rev().collect(),
                    Some(_) => self.axes("axes", rank)?,
                };
                match order.split_first() {
                    Some((0, rest)) => Permute::new(rest).into(),
                    _ => return self.refuse("it moves the axis of the samples"),
                }
            }
            "Flip" => match self.axes("axis", rank)?.as_slice() {
                [1] if rank > 2 => Reverse::new().into(),
                other => {
                    return self
                        .refuse(format!("only axis 1, of the steps, can be turned round, got {other:?}"));
                }
            },
            "Softmax" | "LogSoftmax" => match self.axes("axis", rank)?.as_slice() {
                [axis] if axis + 1 == rank => self.activation(&snake_case(self.operation.class))?,
                other => return self.refuse(format!("only the last axis is taken, got {other:?}")),
            },
            "Gelu" => {
                let approximate = self.operation.config.get("approximate") != Some(&Value::Bool(false));
                ActivationLayer::new(match approximate {
                    true => rnn_model::Activation::GeluTanh,
                    false => rnn_model::Activation::Gelu,
                })
                .into()
            }
            "Glu" => match self.axes("axis", rank)?.as_slice() {
                [axis] if *axis > 0 => Glu::new().axis(*axis as i64).into(),
                other => return self.refuse(format!("it halves an axis of the samples, got {other:?}")),
            },
            "LeakyRelu" => LeakyRelu::new(self.number("negative_slope", 0.2)?).into(),
            "Elu" => Elu::new(self.number("alpha", 1.0)?).into(),
            "Reciprocal" => Reciprocal::new(1.0).into(),
            "Exp" => self.activation("exponential")?,
            class if ACTIVATIONS.contains(&class) => self.activation(&snake_case(class))?,
            _ => return Ok(None),
        };
        self.put(layer, &[x]).map(Some)
    }

    fn activation(&self, name: &str) -> Result<Layer> {
        let value = activation(&json!(name), self.reader.version, &self.place)?;
        let kind: Activate =
            serde_json::from_value(value).map_err(|e| Error::unsupported(&self.place, e.to_string()))?;
        Ok(ActivationLayer::new(kind).into())
    }

    fn number(&self, key: &str, default: f64) -> Result<f32> {
        let value = match given(self.operation.config, key) {
            None => default,
            Some(value) => value.as_f64().ok_or_else(|| wrong(&self.place, "a number", value))?,
        };
        Ok(value as f32)
    }

    /// The axes that an option names, counted from 0 with the batch.
    fn axes(&self, key: &str, rank: usize) -> Result<Vec<usize>> {
        let given = given(self.operation.config, key);
        let Some(given) = given else { return self.refuse(format!("{key} must say which, it is null")) };
        let all = given.as_array().map_or(std::slice::from_ref(given), Vec::as_slice);
        let axis = |value: &Value| {
            let axis = value.as_i64().and_then(|axis| {
                let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
                usize::try_from(axis).ok().filter(|&axis| axis < rank)
            });
            axis.ok_or_else(|| wrong(&self.place, &format!("axes of {rank}"), value))
        };
        all.iter().map(axis).collect()
    }

    fn reduced(&mut self, x: &Symbol) -> Result<Symbol> {
        let rank = x.shape().len() + 1;
        let axes = self.axes("axis", rank)?;
        let (x, size) = match (rank, axes.as_slice()) {
            (3, [1]) => (x.clone(), x.shape()[0]),
            (3, [2]) => (self.put(Permute::new([2, 1]), &[x])?, x.shape()[1]),
            _ => return self.refuse(format!("only over axis 1 or 2 of three, got {axes:?} of {rank}")),
        };
        let keep = self.operation.config.get("keepdims") == Some(&Value::Bool(true));
        let y = match self.operation.class {
            "Max" => self.put(GlobalMaxPooling1D::new(), &[&x])?,
            _ => self.put(GlobalAveragePooling1D::new(), &[&x])?,
        };
        let y = match (self.operation.class, size) {
            ("Sum", Some(size)) => self.rescaled(&y, size as f64, 0.0)?,
            ("Sum", None) => return self.refuse("a sum over steps whose number is not fixed; take the mean"),
            _ => y,
        };
        if keep { self.expanded(&y, &axes) } else { Ok(y) }
    }

    /// Values in another shape, of which one axis may be of any size.
    fn shaped(&mut self, x: &Symbol, shape: &[Option<usize>]) -> Result<Symbol> {
        if shape.iter().filter(|n| n.is_none()).count() > 1 {
            return self.refuse("more than one axis of its input is of no fixed size");
        }
        let target: Vec<i64> = shape.iter().map(|n| n.map_or(-1, |n| n as i64)).collect();
        self.put(Reshape::new(target), &[x])
    }

    /// With axes of size 1 put in, so that the result has them at `axes`.
    fn expanded(&mut self, x: &Symbol, axes: &[usize]) -> Result<Symbol> {
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        let mut shape = x.shape().to_vec();
        for axis in axes {
            match axis.checked_sub(1) {
                Some(at) if at <= shape.len() => shape.insert(at, Some(1)),
                _ => return self.refuse("an axis before that of the samples"),
            }
        }
        self.shaped(x, &shape)
    }

    fn squeezed(&mut self, x: &Symbol) -> Result<Symbol> {
        let axes = self.axes("axis", x.shape().len() + 1)?;
        let mut shape = Vec::new();
        for (at, n) in x.shape().iter().enumerate() {
            match (axes.contains(&(at + 1)), n) {
                (false, n) => shape.push(*n),
                (true, Some(1)) => {}
                (true, _) => return self.refuse(format!("axis {} is not of size 1", at + 1)),
            }
        }
        if shape.is_empty() || axes.contains(&0) {
            return self.refuse("nothing but the axis of the samples would be left, or not even that");
        }
        self.shaped(x, &shape)
    }

    /// The new shape of a sample.
    fn target(&self) -> Result<Vec<i64>> {
        let shape = given(self.operation.config, "newshape").unwrap_or(&Value::Null);
        let shape: Option<Vec<i64>> = list(shape, &self.place)?.iter().map(Value::as_i64).collect();
        match shape.as_deref().and_then(<[i64]>::split_first) {
            Some((-1, sample)) if !sample.is_empty() => Ok(sample.to_vec()),
            _ => self.refuse("the new shape must begin with -1, the samples, and go on with numbers"),
        }
    }

    fn joined(&mut self, all: &[Symbol]) -> Result<Symbol> {
        let stacked = self.operation.class == "Stack";
        let Some(first) = all.first() else { return self.refuse("there is nothing to join") };
        let rank = first.shape().len() + 1 + usize::from(stacked);
        let axes = self.axes("axis", rank)?;
        let all: Vec<Symbol> = match stacked {
            true => all.iter().map(|x| self.expanded(x, &axes)).collect::<Result<_>>()?,
            false => all.to_vec(),
        };
        match all.as_slice() {
            [one] => Ok(one.clone()),
            all => self.put(
                Concatenate::new().axis(axes.first().map_or(-1, |&axis| axis as i64)),
                &all.iter().collect::<Vec<_>>(),
            ),
        }
    }

    /// `x[index]`, an entry for each axis: a number, a slice, a new axis or an ellipsis.
    fn get_item(&mut self, x: &Data, index: &Value) -> Result<Symbol> {
        let entries = index.as_array().map_or(std::slice::from_ref(index), Vec::as_slice);
        let rank = x.symbol.shape().len() + 1;
        let mut parts = Vec::new();
        for entry in entries {
            parts.push(Part::read(entry, &self.place)?);
        }
        let taken = parts.iter().filter(|part| !matches!(part, Part::Ellipsis | Part::NewAxis)).count();
        let Some(left) = rank.checked_sub(taken) else {
            return self.refuse(format!("{taken} indices for {rank} axes"));
        };
        if !parts.contains(&Part::Ellipsis) {
            parts.push(Part::Ellipsis);
        }
        let parts: Vec<Part> = parts
            .into_iter()
            .flat_map(|part| match part {
                Part::Ellipsis => vec![Part::ALL; left],
                part => vec![part],
            })
            .collect();
        if parts.first() != Some(&Part::ALL)
            || parts.iter().filter(|part| **part != Part::NewAxis).count() != rank
        {
            return self.refuse(
                "samples can not be chosen; the first index must be `:`, and there be one `...` at most",
            );
        }
        let (mut y, mut at) = (x.symbol.clone(), 0);
        // A slice ends a mask by itself.
        let sliced = |part: &Part| {
            matches!(part, Part::At(_)) || matches!(part, Part::Range(..) if *part != Part::ALL)
        };
        if x.mask.or(x.lost).is_some() && !parts.iter().any(sliced) {
            y = self.plain(x)?;
        }
        let mut shape = Vec::new();
        for part in &parts[1..] {
            match *part {
                Part::NewAxis => shape.push(Some(1)),
                Part::At(k) => {
                    at += 1;
                    y = self.put(Slice::new(at, k, if k == -1 { None } else { Some(k + 1) }), &[&y])?;
                }
                Part::Range(None, None, -1) if at == 0 && rank > 2 => {
                    at += 1;
                    y = self.put(Reverse::new(), &[&y])?;
                    shape.push(y.shape()[0]);
                }
                Part::Range(start, end, step) => {
                    at += 1;
                    let Ok(step) = usize::try_from(step) else {
                        return self.refuse("steps below 0 can only be taken as ::-1 of axis 1");
                    };
                    if *part != Part::ALL {
                        y = self.put(Slice::new(at, start.unwrap_or(0), end).step(step), &[&y])?;
                    }
                    shape.push(y.shape()[at - 1]);
                }
                Part::Ellipsis => {}
            }
        }
        if shape.is_empty() {
            return self.refuse("one number of each sample would be left; keep an axis, as in x[:, -1:]");
        }
        if shape == y.shape() { Ok(y) } else { self.shaped(&y, &shape) }
    }
}

enum Term {
    Value(Symbol),
    Number(f64),
}

/// An entry of an index.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    At(i64),
    Range(Option<i64>, Option<i64>, i64),
    NewAxis,
    Ellipsis,
}

impl Part {
    const ALL: Part = Part::Range(None, None, 1);

    fn read(value: &Value, place: &str) -> Result<Part> {
        check_sizes(value, place)?;
        let wrong = || wrong(place, "an index, a slice or an ellipsis", value);
        match value {
            Value::Null => return Ok(Part::NewAxis),
            Value::Number(n) => return n.as_i64().map(Part::At).ok_or_else(wrong),
            Value::Object(_) => {}
            _ => return Err(wrong()),
        }
        let (class, config) = class_of(value, place)?;
        let bound = |key: &str| match config.and_then(|config| given(config, key)) {
            None => Ok(None),
            Some(n) => {
                check_sizes(n, place)?;
                n.as_i64().map(Some).ok_or_else(wrong)
            }
        };
        match class {
            "__ellipsis__" => Ok(Part::Ellipsis),
            "__slice__" => Ok(Part::Range(bound("start")?, bound("stop")?, bound("step")?.unwrap_or(1))),
            _ => Err(wrong()),
        }
    }
}
