//! Masks of steps in ONNX, whose recurrent operators can be told the lengths of sequences alone.
//!
//! A sequence with gaps is drawn together first: the steps that are there move to its front and keep their order, their number
//! is `sequence_lens`, and each output is put back to where its step was.
//!
//! | | of `there [batch, time]`, 1 or 0 |
//! |---|---|
//! | order of the steps | the places that TopK gives: of equal numbers it puts the one first that stood first |
//! | `sequence_lens` | the sum of `there` |
//! | output of step t, forward | the one of number `sum(there[..=t]) - 1`: its own, or that of the last step before |
//! | output of step t, backward | the one of number `sum(there[..t])`: its own, or that of the next step behind |
//!
//! All of this is exact: no number is computed of values, they are moved.

use super::emit::{Attribute, Emit, Tensor};
use crate::onnx::proto::data_type;

/// Which steps of a value are there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mask {
    /// All.
    None,
    /// The first ones of each sample, as many as the tensor `[batch]` of this name says.
    Lengths(String),
    /// Those of which the tensor `[batch, time]` of truth values of this name says so.
    Steps(String),
}

impl Mask {
    /// Truth values `[batch, time]` for the steps of `x`; none where all are there.
    pub fn steps(&self, e: &mut Emit, x: &str) -> Option<String> {
        match self {
            Mask::None => None,
            Mask::Lengths(lengths) => Some(e.within(x, lengths)),
            Mask::Steps(steps) => Some(steps.clone()),
        }
    }

    /// The steps in the opposite order.
    pub fn turned_round(&self, e: &mut Emit, x: &str) -> Mask {
        match self.steps(e, x) {
            Some(steps) => Mask::Steps(e.turned_round(&steps)),
            None => Mask::None,
        }
    }

    /// The steps that are there by this mask of `x` and by another one.
    pub fn and(&self, e: &mut Emit, x: &str, other: Mask) -> Mask {
        if *self == Mask::None {
            return other;
        }
        match (self.steps(e, x), other.steps(e, x)) {
            (Some(a), Some(b)) => Mask::Steps(e.node("And", &[&a, &b], &[])),
            _ => self.clone(),
        }
    }

    /// The steps that any of several values has, or one of them that has no mask.
    pub fn any(e: &mut Emit, values: &[Tensor]) -> Mask {
        let Some(first) = values.first() else { return Mask::None };
        let alike = |x: &Tensor| x.mask == first.mask && x.shape.first() == first.shape.first();
        if values.iter().all(alike) {
            return first.mask.clone();
        }
        let steps: Option<Vec<String>> = values.iter().map(|x| x.mask.steps(e, &x.name)).collect();
        let Some(steps) = steps else { return Mask::None };
        let mut any = steps[0].clone();
        for other in steps[1..].iter().filter(|other| **other != steps[0]) {
            any = e.node("Or", &[&any, other], &[]);
        }
        Mask::Steps(any)
    }

    /// The masks of several values one behind the other.
    pub fn joined(e: &mut Emit, values: &[Tensor]) -> Mask {
        if values.iter().all(|x| x.mask == Mask::None) {
            return Mask::None;
        }
        let steps: Vec<String> = values
            .iter()
            .map(|x| x.mask.steps(e, &x.name).unwrap_or_else(|| e.every_step(&x.name)))
            .collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        Mask::Steps(e.node("Concat", &steps, &[("axis", Attribute::Int(1))]))
    }
}

/// A sequence with gaps, drawn together.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    /// `[batch, time]`: which steps are there
    there: String,
    /// the same as whole numbers
    ones: String,
    /// `[batch, time, 1]`: the steps that are there, then the others
    order: String,
    /// `[batch]` whole numbers: how many are there
    count: String,
    /// the same as `sequence_lens`
    lengths: String,
}

/// The steps that a recurrent operator walks along.
#[derive(Clone, Debug)]
pub(super) enum Walk {
    All,
    /// the first ones of each sample of `x`
    First {
        x: String,
        lengths: String,
    },
    Some(Drawn),
}

/// How a layer shows masked steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// as 0, and not as the output before
    pub zero_masked: bool,
    /// it runs from the last step to the first
    pub backwards: bool,
    /// it starts from states that are given, which are no outputs
    pub started: bool,
}

impl Walk {
    pub fn along(e: &mut Emit, x: &Tensor) -> Walk {
        match &x.mask {
            Mask::None => Walk::All,
            Mask::Lengths(lengths) => Walk::First { x: x.name.clone(), lengths: lengths.clone() },
            Mask::Steps(there) => Walk::Some(e.drawn(there)),
        }
    }

    /// The sequence `[batch, time, features]` as the operator takes it.
    pub fn sequence(&self, e: &mut Emit, x: &str) -> String {
        match self {
            Walk::Some(drawn) => e.picked(x, &drawn.order),
            _ => x.to_owned(),
        }
    }

    /// `sequence_lens`; empty where all steps are there.
    pub fn lengths(&self) -> &str {
        match self {
            Walk::All => "",
            Walk::First { lengths, .. } | Walk::Some(Drawn { lengths, .. }) => lengths,
        }
    }

    /// The operator's outputs `[batch, time, units]`, each at its own step. `last [batch, units]` is the last one.
    pub fn outputs(&self, e: &mut Emit, y: String, last: &str, shown: Shown) -> String {
        match self {
            Walk::All => y,
            // The operator gives 0 behind the last step.
            Walk::First { .. } if shown.zero_masked || shown.backwards => y,
            Walk::First { x, lengths } => {
                let there = e.within(x, lengths);
                let (there, last) = (e.unsqueeze(&there, 2), e.unsqueeze(last, 1));
                e.node("Where", &[&there, &y, &last], &[])
            }
            Walk::Some(drawn) => drawn.put_back(e, &y, shown),
        }
    }

    /// The last output, of the operator's last state.
    pub fn last(&self, e: &mut Emit, state: &str, shown: Shown) -> String {
        let there = match self {
            Walk::All => return state.to_owned(),
            Walk::First { x, lengths } if shown.zero_masked && !shown.backwards => e.within(x, lengths),
            Walk::Some(drawn) if shown.zero_masked => drawn.there.clone(),
            // Where no step is there, the operator may give the state that it was to start from.
            _ if shown.started => {
                let there = self.is_any(e);
                return e.or_zero(&there, state);
            }
            _ => return state.to_owned(),
        };
        let step = e.ints(&[if shown.backwards { 0 } else { -1 }]);
        let there = e.node("Gather", &[&there, &step], &[("axis", Attribute::Int(1))]);
        e.or_zero(&there, state)
    }

    /// The operator's last states: where no step is there, those that it started from.
    pub fn states(&self, e: &mut Emit, states: Vec<String>, start: &[String]) -> Vec<String> {
        if start.is_empty() || matches!(self, Walk::All) {
            return states;
        }
        let there = self.is_any(e);
        states.iter().zip(start).map(|(state, start)| e.node("Where", &[&there, state, start], &[])).collect()
    }

    /// `[batch, 1]`: whether a sample has a step.
    fn is_any(&self, e: &mut Emit) -> String {
        let count = match self {
            Walk::Some(drawn) => drawn.count.clone(),
            _ => e.cast(self.lengths(), data_type::INT64),
        };
        let zero = e.int(0);
        let any = e.node("Greater", &[&count, &zero], &[]);
        e.unsqueeze(&any, 1)
    }
}

impl Drawn {
    /// Outputs that stand together, at their own steps again.
    fn put_back(&self, e: &mut Emit, y: &str, shown: Shown) -> String {
        let (axis, exclusive) = (e.int(1), i64::from(shown.backwards));
        let passed = e.node("CumSum", &[&self.ones, &axis], &[("exclusive", Attribute::Int(exclusive))]);
        // Places that no output has, in front of the first or behind the last one, are not shown.
        let (place, seen) = match shown.backwards {
            false => {
                let (one, zero) = (e.int(1), e.int(0));
                (e.node("Sub", &[&passed, &one], &[]), e.node("Greater", &[&passed, &zero], &[]))
            }
            true => {
                let count = e.unsqueeze(&self.count, 1);
                (passed.clone(), e.node("Less", &[&passed, &count], &[]))
            }
        };
        let place = e.unsqueeze(&place, 2);
        let y = e.picked(y, &place);
        let seen = e.unsqueeze(if shown.zero_masked { &self.there } else { &seen }, 2);
        e.or_zero(&seen, &y)
    }
}

impl Emit {
    /// `[batch, time]`: which steps of `x` are within the lengths `[batch]`.
    fn within(&mut self, x: &str, lengths: &str) -> String {
        let shape = self.node("Shape", &[x], &[]);
        let one = self.int(1);
        let steps = self.node("Gather", &[&shape, &one], &[("axis", Attribute::Int(0))]);
        let (zero, one) = (self.int(0), self.int(1));
        let range = self.node("Range", &[&zero, &steps, &one], &[]);
        let lengths = self.cast(lengths, data_type::INT64);
        let lengths = self.unsqueeze(&lengths, 1);
        self.node("Less", &[&range, &lengths], &[])
    }

    /// `[batch, time]`: true for each step of `x`.
    fn every_step(&mut self, x: &str) -> String {
        let one = self.number(1.0);
        let yes = self.cast(&one, data_type::BOOL);
        let shape = self.node("Shape", &[x], &[("end", Attribute::Int(2))]);
        self.node("Expand", &[&yes, &shape], &[])
    }

    /// Truth values `[batch, time]` for a value of `axes` axes besides the batch.
    pub fn spread(&mut self, there: &str, axes: usize) -> String {
        let axes: Vec<i64> = (2..=axes as i64).collect();
        if axes.is_empty() {
            return there.to_owned();
        }
        let axes = self.ints(&axes);
        self.node("Unsqueeze", &[there, &axes], &[])
    }

    /// `x` where it is there, else 0.
    pub fn or_zero(&mut self, there: &str, x: &str) -> String {
        let zero = self.number(0.0);
        self.node("Where", &[there, x, &zero], &[])
    }

    /// The order of a mask's steps; layers behind the same mask share it.
    fn drawn(&mut self, there: &str) -> Drawn {
        if let Some(drawn) = self.drawn.get(there) {
            return drawn.clone();
        }
        let ones = self.cast(there, data_type::INT64);
        let shape = self.node("Shape", &[there], &[("start", Attribute::Int(1)), ("end", Attribute::Int(2))]);
        let attributes =
            [("axis", Attribute::Int(1)), ("largest", Attribute::Int(1)), ("sorted", Attribute::Int(1))];
        let order = self.outputs("TopK", &[&ones, &shape], &attributes, &[true, true]).swap_remove(1);
        let order = self.unsqueeze(&order, 2);
        let axes = self.ints(&[1]);
        let count = self.node("ReduceSum", &[&ones, &axes], &[("keepdims", Attribute::Int(0))]);
        let lengths = self.cast(&count, data_type::INT32);
        let drawn = Drawn { there: there.to_owned(), ones, order, count, lengths };
        self.drawn.insert(there.to_owned(), drawn.clone());
        drawn
    }

    /// Steps of `x [batch, time, features]` by their numbers `[batch, time, 1]`.
    fn picked(&mut self, x: &str, steps: &str) -> String {
        self.node("GatherND", &[x, steps], &[("batch_dims", Attribute::Int(1))])
    }
}
