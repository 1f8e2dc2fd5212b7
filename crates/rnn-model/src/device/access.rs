//! Which memory an operation reads and writes: what a plan of the memory is made from.

use super::memory::Slice;
use super::op::{Gradient, Op, RecurrentInputs, RecurrentUpstream};
use rnn_shaders::shape::RecurrentShape;
use rnn_shaders::vocabulary::Cell;

/// What an operation does with a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    /// every value is overwritten
    Write,
    /// values that are there count, or stay where the operation writes elsewhere
    Update,
    /// the first so many values are read, those behind them overwritten
    Advance(usize),
}

use Access::{Advance, Read, Update, Write};

impl Op {
    /// Shows `f` every slice of floats with what is done to it; `f` may put another slice of the same length there.
    pub fn visit(&mut self, f: &mut dyn FnMut(&mut Slice, Access)) {
        match self {
            Op::Matmul { shape, a, b, bias, c } => {
                [a, b].into_iter().chain(bias).for_each(|s| f(s, Read));
                let whole = c.len == shape.batch * shape.m * shape.n && !shape.accumulate;
                f(c, if whole { Write } else { Update });
            }
            Op::RecurrentForward { shape, io, .. } => {
                visit_inputs(io, f);
                let slot = shape.batch * shape.units;
                // Where a state lives elsewhere, nothing looks at slot 0.
                f(&mut io.h, if io.h_state.is_some() { Write } else { Advance(slot) });
                io.h_state.iter_mut().for_each(|h| f(h, Update));
                io.c.iter_mut().for_each(|c| f(c, if c.len == slot { Update } else { Advance(slot) }));
                io.saved.iter_mut().for_each(|s| f(s, Write));
            }
            Op::RecurrentBackward { io, up, out, .. } => {
                visit_inputs(io, f);
                [Some(&mut io.h), io.c.as_mut(), io.saved.as_mut()]
                    .into_iter()
                    .flatten()
                    .for_each(|s| f(s, Read));
                let RecurrentUpstream { dy, dh_last, dc_last } = up;
                match dy {
                    Some(Gradient::Made(dy)) => f(dy, Read),
                    Some(Gradient::Product(of)) => {
                        [&mut of.left, &mut of.right].into_iter().for_each(|s| f(s, Read))
                    }
                    None => {}
                }
                [dh_last, dc_last].into_iter().flatten().for_each(|s| f(s, Read));
                [&mut out.kernel, &mut out.recurrent]
                    .into_iter()
                    .chain(&mut out.bias)
                    .chain(&mut out.peepholes)
                    .for_each(|s| f(s, Update));
                [&mut out.x, &mut out.h0, &mut out.c0].into_iter().flatten().for_each(|s| f(s, Write));
            }
            Op::ActivationBackward { saved: a, dy: b, dx: y, .. }
            | Op::SoftmaxBackward { y: a, dy: b, dx: y, .. }
            | Op::RowActivationBackward { y: a, dy: b, dx: y, .. }
            | Op::Add { a, b, y }
            | Op::Sub { a, b, y }
            | Op::Mul { a, b, y }
            | Op::ShiftAppend { x: a, new: b, y, .. } => {
                f(a, Read);
                f(b, Read);
                f(y, Write);
            }
            Op::ScoreForward { pred, target, weights, out, .. }
            | Op::ScoreBackward { pred, target, weights, dpred: out, .. } => {
                [pred, target].into_iter().chain(weights).for_each(|s| f(s, Read));
                f(out, Write);
            }
            Op::SumRows { x, out, accumulate, .. } => {
                f(x, Read);
                f(out, if *accumulate { Update } else { Write });
            }
            Op::Accumulate { x, acc, .. }
            | Op::AddAssign { x, y: acc }
            | Op::ClipByNorm { sumsq: x, x: acc, .. }
            | Op::StoreStep { x, seq: acc, .. } => {
                f(x, Read);
                f(acc, Update);
            }
            Op::RowWeights { weights, valid, out, .. } => {
                weights.iter_mut().chain(valid).for_each(|s| f(s, Read));
                f(out, Write);
            }
            Op::OptimizerStep { params, grads, m, v, x, .. } => {
                f(grads, Read);
                [Some(params), m.as_mut(), v.as_mut(), x.as_mut()]
                    .into_iter()
                    .flatten()
                    .for_each(|s| f(s, Update));
            }
            Op::FactoredStep { params, grads, m, v, x, .. } => {
                f(grads, Read);
                [params, m, v, x].into_iter().for_each(|s| f(s, Update));
            }
            Op::TrustStep { weight_sumsq, direction_sumsq, direction, params, .. } => {
                [weight_sumsq, direction_sumsq, direction].into_iter().for_each(|s| f(s, Read));
                f(params, Update);
            }
            Op::GatherGradients { grads: a, gathered: b, .. }
            | Op::WeightAverage { params: a, average: b, .. } => {
                f(a, Update);
                f(b, Update);
            }
            Op::WeightPenalty { params, grads, acc, .. } => {
                f(params, Read);
                grads.iter_mut().chain([acc]).for_each(|s| f(s, Update));
            }
            Op::Constrain { params, .. } => f(params, Update),
            Op::ThresholdCounts { pred, target, weights, acc, .. }
            | Op::ColumnTerms { pred, target, weights, acc, .. } => {
                [pred, target].into_iter().chain(weights).for_each(|s| f(s, Read));
                f(acc, Update);
            }
            Op::ActivationForward { x, y, .. }
            | Op::SoftmaxForward { x, y, .. }
            | Op::RowActivationForward { x, y, .. }
            | Op::SegmentNorms { x, out: y, .. }
            | Op::GatherBatch { dataset: x, out: y, .. }
            | Op::Transpose01 { x, y, .. }
            | Op::Dropout { x, y, .. }
            | Op::RepeatVector { x, y, .. }
            | Op::ReverseTime { x, y, .. }
            | Op::Copy { x, y }
            | Op::KeepLargest { x, y, .. }
            | Op::Scale { x, y, .. } => {
                f(x, Read);
                f(y, Write);
            }
            Op::Fill { y, .. } => f(y, Write),
            Op::Layer(op) => op.visit(f),
        }
    }
}

/// What an operation can write over something that it reads, once it has read all it needs of that.
pub(crate) struct Overwrite {
    pub new: Slice,
    /// where it may stand, the better place first
    pub over: [Option<Slice>; 2],
}

impl Op {
    /// What can be written over what, where nothing else reads that later.
    pub fn overwrite(&self) -> Option<Overwrite> {
        let Op::RecurrentBackward { shape, io, up, out, .. } = self else { return None };
        let new = out.x?;
        let of_outputs = match up.dy {
            Some(Gradient::Made(dy)) if dy.len == new.len => Some(dy),
            _ => None,
        };
        // Behind the slot that the sequence starts from, and no step's gradient before the states that are still needed.
        let states = (shape.input <= shape.units).then(|| io.h.part(io.h.len - new.len, new.len));
        Some(Overwrite { new, over: [of_outputs, states] })
    }
}

/// States of so many values go back at once on any device.
const GOES_BACK_WHOLE: usize = 1 << 18;

/// Whether a sequence goes back in parts on every device.
pub(crate) fn goes_back_in_parts(shape: RecurrentShape) -> bool {
    shape.steps_of_a_part(GOES_BACK_WHOLE) < shape.time
}

impl Op {
    /// Values that the kernels take beside the operation's own buffers, about: gates of an inference, gradients of gates for the
    /// steps that go back together, and of their outputs where these come as a product.
    pub fn scratch(&self) -> usize {
        match self {
            Op::RecurrentForward { cell: Cell::SimpleRnn { .. }, .. } => 0,
            Op::RecurrentForward { cell, shape, io } if io.saved.is_none() => {
                shape.time * shape.batch * shape.units * cell.gates()
            }
            Op::RecurrentBackward { cell, shape, up, .. } => {
                let twice = if matches!(cell, Cell::Gru { reset_after: true, .. }) { 2 } else { 1 };
                let weights = cell.gates() * shape.units.next_multiple_of(4);
                let steps = shape.time.min(shape.steps_of_a_part(GOES_BACK_WHOLE));
                let outputs = usize::from(matches!(up.dy, Some(Gradient::Product(_))));
                shape.units * ((twice * cell.gates() + outputs) * steps * shape.batch + weights)
            }
            _ => 0,
        }
    }
}

fn visit_inputs(io: &mut RecurrentInputs, f: &mut dyn FnMut(&mut Slice, Access)) {
    let RecurrentInputs { x, kernel, recurrent, bias, h_mask, peepholes, .. } = io;
    let maybe = bias.iter_mut().chain(h_mask).chain(peepholes);
    [x, kernel, recurrent].into_iter().chain(maybe).for_each(|s| f(s, Read));
}
