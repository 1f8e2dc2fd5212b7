//! What the body of a loop computes, as formulas of the step's input and of the states.

use super::Carried;
use crate::onnx::activations;
use crate::onnx::algebra::{Algebra, Formula};
use crate::onnx::builder::Builder;
use crate::onnx::constants::floats;
use crate::onnx::file::{is_standard, place_of};
use crate::onnx::flags::{Flags, Test};
use crate::onnx::node::Node;
use crate::onnx::number::Number;
use crate::onnx::operators::operator;
use crate::onnx::proto;
use crate::onnx::slice;
use crate::onnx::tensor::Tensor;
use crate::onnx::value::{BATCH, Device, Kind, Known, Value};
use crate::{Limits, Result};
use ndarray::Ix2;
use std::collections::HashMap;
use std::rc::Rc;

/// A value within the body.
#[derive(Clone, Debug)]
pub(super) enum Local {
    /// One that is the same in all steps.
    Value(Value),
    /// A vector of each sample.
    Formula(Formula),
    /// The number of the step, counted from this one on.
    Counter(i64),
    /// True while, for each of these, the step's number and the first is less than the second.
    Going(Vec<(i64, Number)>),
    /// Whether the step is there, of each sample.
    Flag { negated: bool },
}

/// Where a formula's vectors come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A step of a sequence.
    Sequence(Device),
    /// The value of this number that goes from step to step.
    State(usize),
}

/// The body, while it is followed.
pub(super) struct Body<'a> {
    graph: &'a proto::Graph,
    opset: i64,
    values: HashMap<&'a str, Local>,
    pub algebra: Algebra,
    pub sources: Vec<Source>,
    /// the steps that there are
    pub flags: Option<Rc<Flags>>,
}

/// The name that a value has before nodes that hand it on.
pub(super) fn origin<'a>(graph: &'a proto::Graph, mut name: &'a str) -> &'a str {
    // Nodes are sorted, so this goes towards the first.
    for node in graph.node.iter().rev() {
        if let ("Identity", [from], [to]) =
            (node.op_type.as_str(), node.input.as_slice(), node.output.as_slice())
            && to == name
        {
            name = from;
        }
    }
    name
}

impl<'a> Body<'a> {
    pub fn new(
        b: &mut Builder<'_>,
        graph: &'a proto::Graph,
        node: &Node<'a>,
        states: &'a [proto::ValueInfo],
        carried: &[Carried],
    ) -> Result<Self> {
        if !graph.sparse_initializer.is_empty() {
            return Err(b.unsupported("sparse initializers"));
        }
        let mut body = Body {
            graph,
            opset: node.opset,
            values: HashMap::new(),
            algebra: Algebra::default(),
            sources: Vec::new(),
            flags: None,
        };
        for (name, value) in &node.captured {
            body.values.insert(name, Local::Value(value.clone()));
        }
        for tensor in &graph.initializer {
            let read = Tensor::read(&format!("{}, initializer {}", b.place, tensor.name), tensor, b.limits)?;
            b.count(read.len())?;
            body.values.insert(&tensor.name, Local::Value(Known::plain(read).into()));
        }
        for (at, (input, carried)) in states.iter().zip(carried).enumerate() {
            let local = match carried {
                Carried::Fixed(value) => Local::Value(value.clone()),
                Carried::Counter(first) => Local::Counter(*first),
                Carried::State { width, .. } => {
                    body.sources.push(Source::State(at));
                    Local::Formula(body.algebra.source(b, body.sources.len() - 1, *width)?)
                }
            };
            body.values.insert(&input.name, local);
        }
        Ok(body)
    }

    /// Gives a name to a value.
    pub fn set(&mut self, name: &'a str, value: Local) {
        self.values.insert(name, value);
    }

    /// Gives a name to the step of a sequence.
    pub fn step_input(&mut self, b: &mut Builder<'_>, name: &'a str, x: &Device) -> Result<()> {
        let step = self.step(b, x)?;
        self.values.insert(name, step);
        Ok(())
    }

    /// A value by its name.
    pub fn named(&self, b: &Builder<'_>, name: &str) -> Result<Local> {
        self.values.get(name).cloned().ok_or_else(|| b.damaged(format!("nothing in its body makes {name}")))
    }

    /// The one sequence that the loop walks along.
    pub fn sequence(&self, b: &Builder<'_>) -> Result<Device> {
        let mut found = self.sources.iter().filter_map(|source| match source {
            Source::Sequence(x) => Some(x),
            Source::State(_) => None,
        });
        match (found.next(), found.next()) {
            (Some(x), None) => Ok(x.clone()),
            (None, _) => Err(b.unsupported("a loop that takes no steps of a sequence")),
            _ => Err(b.unsupported("a loop that takes steps of several sequences")),
        }
    }

    /// Follows all nodes.
    pub fn walk(&mut self, b: &mut Builder<'_>) -> Result<()> {
        let outer = b.place.clone();
        for (at, node) in self.graph.node.iter().enumerate() {
            b.place = format!("{outer}, {} of its body", place_of(node, at));
            let longest = node.input.iter().chain(&node.output).map(String::len).max().unwrap_or(0);
            Limits::at_most(&outer, "the length of a name", longest as u64, b.limits.name_bytes)?;
            if !is_standard(&node.domain) {
                return Err(b.unsupported("an operator outside the standard ones"));
            }
            let inputs = node.input.iter().map(|name| match name.is_empty() {
                true => Ok(None),
                false => self.named(b, name).map(Some),
            });
            let inputs: Vec<Option<Local>> = inputs.collect::<Result<_>>()?;
            for (name, made) in node.output.iter().zip(self.node(b, node, inputs)?) {
                if !name.is_empty() && self.values.insert(name, made).is_some() {
                    return Err(b.damaged(format!("its output {name} is made twice")));
                }
            }
        }
        b.place = outer;
        Ok(())
    }

    fn node(
        &mut self,
        b: &mut Builder<'_>,
        node: &'a proto::Node,
        inputs: Vec<Option<Local>>,
    ) -> Result<Vec<Local>> {
        let wanted = vec![true; node.output.len()];
        let is_known = |local: &Option<Local>| matches!(local, None | Some(Local::Value(Value::Known(_))));
        // What operators read of constants alone; the rest is given as locals.
        let known = inputs.iter().map(|local| match local {
            Some(Local::Value(value @ Value::Known(_))) => Some(value.clone()),
            _ => None,
        });
        let read = Node::new(node, b.place.clone(), self.opset, known.collect(), wanted)?;
        let made = match inputs.iter().all(is_known) {
            true => operator(b, &read)?.into_iter().map(Local::Value).collect(),
            false => self.operator(b, &read, &inputs.into_iter().flatten().collect::<Vec<_>>())?,
        };
        read.finish()?;
        Ok(made)
    }

    /// What an operator makes of values that differ from step to step.
    fn operator(&mut self, b: &mut Builder<'_>, node: &Node<'_>, inputs: &[Local]) -> Result<Vec<Local>> {
        if node.op == "Split" {
            return self.split(b, node, inputs);
        }
        let one = match (node.op, inputs) {
            ("Identity", [x]) => x.clone(),
            ("Cast", [x]) => cast(b, node, x)?,
            ("Squeeze" | "Unsqueeze" | "Reshape", [x @ (Local::Counter(_) | Local::Going(_)), ..]) => {
                node.pass_over("axes");
                x.clone()
            }
            ("Gather", [Local::Value(Value::Device(x)), Local::Counter(0)]) if node.int("axis", 0)? == 0 => {
                self.step(b, x)?
            }
            ("Add", [Local::Counter(at), Local::Value(by)] | [Local::Value(by), Local::Counter(at)]) => {
                counted(b, *at, by)?
            }
            ("Less", [Local::Counter(at), Local::Value(Value::Known(bound))]) => {
                match bound.tensor.number() {
                    Some(bound) => Local::Going(vec![(*at, bound)]),
                    None => return Err(b.unsupported("a condition that does not say whether steps are left")),
                }
            }
            ("And", [Local::Going(some), Local::Going(others)]) if some.len() + others.len() <= 8 => {
                Local::Going([some.as_slice(), others].concat())
            }
            ("And", [going @ Local::Going(_), Local::Value(Value::Known(known))])
            | ("And", [Local::Value(Value::Known(known)), going @ Local::Going(_)])
                if known.uniform() == Some(1.0) =>
            {
                going.clone()
            }
            ("Not", [Local::Flag { negated }]) => Local::Flag { negated: !negated },
            ("Where", [Local::Flag { negated }, x, y]) => {
                let (x, y) = (self.formula(b, x)?, self.formula(b, y)?);
                let (there, else_) = if *negated { (y, x) } else { (x, y) };
                let flag = self.algebra.flag(b)?;
                let apart = self.algebra.add(b, &there, &else_, -1.0)?;
                let part = self.algebra.product(b, &flag, &apart)?;
                Local::Formula(self.algebra.add(b, &else_, &part, 1.0)?)
            }
            ("MatMul", [x @ Local::Formula(_), Local::Value(Value::Known(matrix))]) => {
                Local::Formula(self.times(b, x, matrix, false)?)
            }
            ("Gemm", [x @ Local::Formula(_), Local::Value(Value::Known(matrix)), addend @ ..]) => {
                self.gemm(b, node, x, matrix, addend)?
            }
            ("Slice", [Local::Formula(x), ..]) => self.slice(b, node, x)?,
            ("Neg", [x]) => {
                let x = self.formula(b, x)?;
                Local::Formula(self.algebra.scaled(b, &x, &[-1.0])?)
            }
            ("Clip", [x @ Local::Formula(_), ..]) => {
                let function = activations::clip_function(b, node)?;
                let x = self.formula(b, x)?;
                Local::Formula(self.algebra.applied(b, function, &x)?)
            }
            (_, [x, y]) if matches!(node.op, "Add" | "Sub" | "Mul" | "Div") => {
                self.arithmetic(b, node.op, x, y)?
            }
            (_, [x @ Local::Formula(_)]) => {
                let Some(function) = activations::function(b, node)? else { return Err(self.unknown(b)) };
                let x = self.formula(b, x)?;
                Local::Formula(self.algebra.applied(b, function, &x)?)
            }
            _ => return Err(self.unknown(b)),
        };
        Ok(vec![one])
    }

    fn unknown(&self, b: &Builder<'_>) -> crate::Error {
        b.unsupported("it is no part of a cell that is recognised (LSTM, GRU, SimpleRNN)")
    }

    /// A value as a formula.
    fn formula(&mut self, b: &mut Builder<'_>, local: &Local) -> Result<Formula> {
        match local {
            Local::Formula(formula) => Ok(formula.clone()),
            Local::Flag { negated: false } => self.algebra.flag(b),
            Local::Flag { negated: true } => {
                let (one, flag) = (Formula::constant(vec![1.0], 1), self.algebra.flag(b)?);
                self.algebra.add(b, &one, &flag, -1.0)
            }
            Local::Value(Value::Known(known)) => {
                let values = match known.uniform() {
                    Some(value) => vec![value],
                    None => floats(b, known)?.into_iter().collect(),
                };
                let width =
                    known.shape.last().map_or(Some(1), |n| n.known().and_then(|n| usize::try_from(n).ok()));
                match width {
                    Some(width) if values.len() == 1 || values.len() == width => {
                        b.limits.elements(&b.place, &[width as u64])?;
                        Ok(Formula::constant(values.into_iter().map(f64::from).collect(), width))
                    }
                    _ => Err(b.unsupported("a constant that is not the same for all samples")),
                }
            }
            _ => Err(self.unknown(b)),
        }
    }

    fn arithmetic(&mut self, b: &mut Builder<'_>, op: &str, x: &Local, y: &Local) -> Result<Local> {
        let (x, y) = (self.formula(b, x)?, self.formula(b, y)?);
        Ok(Local::Formula(match op {
            "Add" => self.algebra.add(b, &x, &y, 1.0)?,
            "Sub" => self.algebra.add(b, &x, &y, -1.0)?,
            "Mul" => self.algebra.product(b, &x, &y)?,
            _ => {
                if !y.terms.is_empty() || y.constant.contains(&0.0) {
                    return Err(self.unknown(b));
                }
                let inverse: Vec<f64> = y.constant.iter().map(|v| 1.0 / v).collect();
                self.algebra.scaled(b, &x, &inverse)?
            }
        }))
    }

    fn times(&mut self, b: &mut Builder<'_>, x: &Local, matrix: &Known, turned: bool) -> Result<Formula> {
        let x = self.formula(b, x)?;
        let matrix = floats(b, matrix)?.into_dimensionality::<Ix2>();
        let matrix = matrix.map_err(|_| b.unsupported("a product with what is no matrix"))?;
        b.count(matrix.len())?;
        let matrix = if turned { matrix.reversed_axes() } else { matrix };
        self.algebra.matrix(b, &x, Rc::new(matrix))
    }

    fn gemm(
        &mut self,
        b: &mut Builder<'_>,
        node: &Node<'_>,
        x: &Local,
        matrix: &Known,
        addend: &[Local],
    ) -> Result<Local> {
        let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
        if node.int("transA", 0)? != 0 {
            return Err(b.unsupported("the first matrix transposed"));
        }
        let product = self.times(b, x, matrix, node.int("transB", 0)? != 0)?;
        let mut made = self.algebra.scaled(b, &product, &[f64::from(alpha)])?;
        if let [addend, ..] = addend {
            let addend = self.formula(b, addend)?;
            made = self.algebra.add(b, &made, &addend, f64::from(beta))?;
        }
        Ok(Local::Formula(made))
    }

    /// The step of a sequence, or of the flags that say which steps there are.
    fn step(&mut self, b: &mut Builder<'_>, x: &Device) -> Result<Local> {
        if x.batch_axis() != Some(1) || x.axes.len() != 3 {
            return Err(b.unsupported("steps of a tensor that is not [time, batch, features]"));
        }
        if let Some(flags) = &x.flags {
            let mask = Rc::new(Flags { negated: false, ..flags.as_ref().clone() });
            let is_mask = flags.test == Test::Steps && x.axes[2].is_empty();
            if !is_mask || self.flags.as_ref().is_some_and(|other| *other != mask) {
                return Err(b.unsupported("truth values that do not say which steps there are"));
            }
            self.flags = Some(mask);
            return Ok(Local::Flag { negated: flags.negated });
        }
        let Some(width) = b.known_size(&x.axes[2]).filter(|_| x.kind == Kind::Float) else {
            return Err(b.unsupported("steps of an unknown number of features, or of whole numbers"));
        };
        let same = |source: &Source| matches!(source, Source::Sequence(other) if other.id == x.id);
        let at = match self.sources.iter().position(same) {
            Some(at) => at,
            None => {
                self.sources.push(Source::Sequence(x.clone()));
                self.sources.len() - 1
            }
        };
        Ok(Local::Formula(self.algebra.source(b, at, width)?))
    }

    fn slice(&mut self, b: &mut Builder<'_>, node: &Node<'_>, x: &Formula) -> Result<Local> {
        let shape = [Number::axis(BATCH), Number::Known(x.width as i64)];
        let mut made = x.clone();
        for (axis, range) in slice::ranges(b, node, &shape)? {
            if axis == 0 && range.is_whole(None) {
                continue;
            }
            let (start, len) = range.of(x.width);
            let (1, 1, Ok(start)) = (axis, range.step, usize::try_from(start)) else {
                return Err(b.unsupported("a part that is no row of units"));
            };
            made = self.algebra.part(b, &made, start, len)?;
        }
        Ok(Local::Formula(made))
    }

    fn split(&mut self, b: &mut Builder<'_>, node: &Node<'_>, inputs: &[Local]) -> Result<Vec<Local>> {
        let Some(Local::Formula(x)) = inputs.first() else { return Err(self.unknown(b)) };
        let axis = node.axis(node.int("axis", 0)?, 2)?;
        if axis != 1 {
            return Err(b.unsupported("a split of the batch"));
        }
        let mut parts = Vec::new();
        let mut start = 0;
        for size in slice::parts(b, node, &Number::Known(x.width as i64))? {
            let size = usize::try_from(size).map_err(|_| b.damaged("a part of no size"))?;
            parts.push(Local::Formula(self.algebra.part(b, x, start, size)?));
            start += size;
        }
        Ok(parts)
    }
}

fn cast(b: &Builder<'_>, node: &Node<'_>, x: &Local) -> Result<Local> {
    node.int("to", 0)?;
    match x {
        // Numbers of steps are exact in any type; flags become 0 and 1.
        Local::Counter(_) | Local::Flag { .. } => Ok(x.clone()),
        _ => Err(b.unsupported("a cast of what is neither the number of the step nor a mask")),
    }
}

fn counted(b: &Builder<'_>, at: i64, by: &Value) -> Result<Local> {
    let by = match by {
        Value::Known(known) => known.tensor.number().and_then(|n| n.known()),
        _ => None,
    };
    let next = by.and_then(|by| at.checked_add(by));
    next.map(Local::Counter).ok_or_else(|| b.unsupported("a count of steps that goes on by no known number"))
}
