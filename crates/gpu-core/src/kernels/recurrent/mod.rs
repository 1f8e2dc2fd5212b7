//! Recurrent layers over a whole sequence: the input product as one matmul, the recurrence one fused dispatch per step (or
//! many steps in one dispatch), and on the way back weight and input gradients as large matmuls outside the loop.
//!
//! Shapes: `x [T, B, I]`, `kernel [I, G*U]`, `recurrent [U, G*U]`, `bias [bias_blocks*U]`, `h`, `c` `[T+1, B, U]` with slot 0
//! the state that the sequence starts from. Gate order is Keras's. Flags `[T, B]` are u32 with the bits VALID and RESET.
//! The equations stand in the `.wgsl` files.
mod backward;
mod forward;
mod plan;

pub use backward::{OutputGradient, RecurrentGrads, RecurrentUpstream, recurrent_backward};
pub use forward::recurrent_forward;
pub use plan::{RecurrentStrategy, StrategyKind, recurrent_strategy};

use super::operands::{elements, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use plan::Geometry;
use rnn_shaders::activation::{ACT, OUT_ACT, REC_ACT, constants};
use rnn_shaders::contract::Kernel;
use rnn_shaders::vocabulary::{Cell, CellActivations, CellExtras};

pub use rnn_shaders::shape::RecurrentShape;

/// Length of the `saved` buffer that connects [`recurrent_forward`] with [`recurrent_backward`].
pub fn saved_len(cell: Cell, shape: RecurrentShape) -> usize {
    match cell {
        Cell::SimpleRnn { .. } => 0,
        _ => elements(&[shape.time, shape.batch, shape.units, gate_blocks(cell)]),
    }
}

/// Blocks of `units` that the forward pass writes per step and sample: LSTM i, f, g, o; GRU z, r, n, q.
fn gate_blocks(cell: Cell) -> usize {
    match cell {
        Cell::Lstm { .. } | Cell::Gru { .. } => 4,
        Cell::SimpleRnn { .. } => 1,
    }
}

/// What both directions read.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentInputs<'a> {
    /// `[T, B, I]`
    pub x: &'a Slice,
    /// `[I, G*U]`
    pub kernel: &'a Slice,
    /// `[U, G*U]`
    pub recurrent: &'a Slice,
    /// `[bias_blocks*U]`; of the forward pass
    pub bias: Option<&'a Slice>,
    /// `[T, B]` u32; without them every step is VALID and none has RESET
    pub flags: Option<&'a Slice>,
    /// `[B, U]`, factors of the state on its way into the recurrent product, the same at every step (recurrent dropout)
    pub h_mask: Option<&'a Slice>,
    /// `[3*U]`, LSTM: weights of the cell state on its way into the gates, in ONNX's order i, o, f; i and f see the state
    /// before the step, o the one after it
    pub peepholes: Option<&'a Slice>,
    /// what the cell has beyond Keras's
    pub extras: CellExtras,
}

impl<'a> RecurrentInputs<'a> {
    /// Without any of what may be left out.
    pub fn new(x: &'a Slice, kernel: &'a Slice, recurrent: &'a Slice) -> Self {
        let (bias, flags, h_mask, peepholes) = (None, None, None, None);
        RecurrentInputs {
            x,
            kernel,
            recurrent,
            bias,
            flags,
            h_mask,
            peepholes,
            extras: CellExtras::default(),
        }
    }
}

/// Where states are: the forward pass writes them, the way back reads them.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentStates<'a> {
    /// `[T+1, B, U]`, slot 0 the start state
    pub h: &'a Slice,
    /// `[B, U]`, a state that lives on between sequences: read in place of slot 0 of `h`, whose contents are then
    /// unspecified, and overwritten with the last state. Not where `saved` is given: the way back needs slot 0
    pub h_state: Option<&'a Slice>,
    /// LSTM: `[T+1, B, U]` as `h`, or, where nothing is saved, `[B, U]`: one slot that every step overwrites
    pub c: Option<&'a Slice>,
    /// [`saved_len`] long, private to the two directions; needed by the way back
    pub saved: Option<&'a Slice>,
}

impl<'a> RecurrentStates<'a> {
    /// All steps' states in `h` and `c`, nothing saved.
    pub fn new(h: &'a Slice, c: Option<&'a Slice>) -> Self {
        RecurrentStates { h, h_state: None, c, saved: None }
    }
}

/// The tensors that both directions take.
#[derive(Clone, Copy)]
struct Layer<'a> {
    operation: &'static str,
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'a>,
    states: RecurrentStates<'a>,
}

impl Layer<'_> {
    fn check(&self) -> Result<()> {
        let RecurrentShape { time, batch, input, units } = self.shape;
        let op = self.operation;
        let invalid = |reason: String| Err(Error::InvalidArgument { operation: op, reason });
        if [time, batch, input, units].contains(&0) {
            return invalid(format!("{:?} has a side of 0", self.shape));
        }
        for kind in self.cell.activations().each() {
            if !kind.derivative_from_output() {
                return invalid(format!(
                    "{kind:?} inside a cell: its derivative needs more than its output; use another"
                ));
            }
        }
        let columns = self.cell.gates() * units;
        let inputs = self.inputs;
        let CellExtras { clip, coupled } = inputs.extras;
        if self.cell.states() != 2 && (inputs.peepholes.is_some() || coupled) {
            return invalid("only LSTM has peepholes and coupled gates".into());
        }
        if clip.is_some_and(|clip| !(clip > 0.0 && clip.is_finite())) {
            return invalid("clip has to be positive and finite".into());
        }
        expect_len(op, "x", inputs.x, elements(&[time, batch, input]))?;
        expect_len(op, "kernel", inputs.kernel, elements(&[input, columns]))?;
        expect_len(op, "recurrent", inputs.recurrent, elements(&[units, columns]))?;
        let slots = elements(&[time + 1, batch, units]);
        let slot = elements(&[batch, units]);
        let RecurrentStates { h, h_state, c, saved } = self.states;
        expect_len(op, "h", h, slots)?;
        match (self.cell, c) {
            (Cell::Lstm { .. }, Some(c)) if saved.is_none() && c.len() == slot => {}
            (Cell::Lstm { .. }, Some(c)) => expect_len(op, "c", c, slots)?,
            (Cell::Lstm { .. }, None) => return invalid("LSTM needs its cell state c".into()),
            (_, Some(_)) => return invalid("only LSTM has a cell state c".into()),
            (_, None) => {}
        }
        if h_state.is_some() && saved.is_some() {
            let reason =
                "a sequence that is saved for its way back starts from slot 0 of h, not from h_state";
            return invalid(reason.into());
        }
        for (what, slice, expected) in [
            ("bias", inputs.bias, self.cell.bias_blocks() * units),
            ("flags", inputs.flags, elements(&[time, batch])),
            ("h_mask", inputs.h_mask, slot),
            ("peepholes", inputs.peepholes, 3 * units),
            ("h_state", h_state, slot),
            ("saved", saved, saved_len(self.cell, self.shape)),
        ] {
            slice.map_or(Ok(()), |slice| expect_len(op, what, slice, expected))?;
        }
        Ok(())
    }

    /// Blocks of `units` gradients per step and sample: those of the gates' inputs; for GRU with `reset_after`, whose
    /// candidate adds its two products after the reset, those of the input product and then those of the recurrent one;
    /// for LSTM with peepholes those of the peepholes behind the others.
    fn gradient_blocks(&self) -> usize {
        match self.cell {
            Cell::Gru { reset_after: true, .. } => 6,
            Cell::Lstm { .. } if self.inputs.peepholes.is_some() => 7,
            other => other.gates(),
        }
    }

    /// Steps that one set of bindings may span: what the adapter binds at once, and what the recorder allows.
    fn steps_per_chunk(&self, rec: &Recorder) -> usize {
        let limit = rec.context().limits().max_storage_buffer_binding_size.min(rec.chunk_bytes());
        let RecurrentShape { time, batch, input, units } = self.shape;
        let row = units.saturating_mul(gate_blocks(self.cell).max(self.gradient_blocks())).max(input);
        (limit as usize / 4 / batch.saturating_mul(row).max(1)).saturating_sub(1).clamp(1, time)
    }
}

/// What the calls of one direction share.
#[derive(Clone, Copy)]
struct Calls {
    operation: &'static str,
    geometry: Geometry,
    acts: CellActivations,
    batch: usize,
    units: usize,
    /// the state is masked on its way into the product
    masked: bool,
    extras: CellExtras,
    /// the one step starts from `h_start`
    start: bool,
}

impl Calls {
    /// Records `count` steps of a kernel whose product is `depth` long.
    fn record(
        &self,
        rec: &mut Recorder,
        kernel: &'static Kernel,
        buffers: &[&Slice],
        params: &[u8],
        count: usize,
        depth: usize,
    ) -> Result<()> {
        let Calls { geometry, acts, batch, units, .. } = *self;
        // Of these, kernels load four numbers of a row at once where rows begin at a vec4.
        let rows = ["h_mask", "h_start", "gates", "h", "dgates"];
        let mut rows =
            kernel.bindings.iter().zip(buffers).filter(|(binding, _)| rows.contains(&binding.name));
        let wide = units.is_multiple_of(4) && rows.all(|(_, slice)| slice.offset().is_multiple_of(4));
        let all = [
            ("WORKGROUP", geometry.workgroup as f64),
            ("ROWS", geometry.rows as f64),
            ("SHARED", f64::from(u8::from(geometry.shared))),
            ("SPLIT", geometry.split as f64),
            ("WIDE", f64::from(u8::from(wide))),
            ("SEQUENCE", f64::from(u8::from(geometry.sequence))),
            ("PARK", geometry.park() as f64),
            ("MASKED", f64::from(u8::from(self.masked))),
            ("CLIPPED", f64::from(u8::from(self.extras.clip.is_some()))),
            ("COUPLED", f64::from(u8::from(self.extras.coupled))),
            ("START", f64::from(u8::from(self.start))),
        ];
        let overrides: Vec<_> = all
            .into_iter()
            .chain(constants(&ACT, acts.candidate))
            .chain(constants(&REC_ACT, acts.gate))
            .chain(constants(&OUT_ACT, acts.output))
            .filter(|(name, _)| kernel.overrides.iter().any(|o| o.name == *name))
            .collect();
        let product = depth * geometry.gates.max(1) * units;
        rec.call(Call {
            kernel,
            overrides: &overrides,
            buffers,
            params,
            groups: Groups::linear(geometry.groups(batch, units), 1),
            flops: count as f64 * batch as f64 * (2.0 * product as f64 + 100.0 * units as f64),
        })
    }

    fn size(&self, value: usize) -> Result<u32> {
        size(self.operation, value)
    }
}

/// Runs `run(first, count)` over the steps of a chunk, in dispatches of one step or of as many as the plan allows.
fn each_dispatch(
    count: usize,
    at_once: usize,
    backward: bool,
    mut run: impl FnMut(usize, usize) -> Result<()>,
) -> Result<()> {
    let mut done = 0;
    while done < count {
        let now = at_once.min(count - done);
        run(if backward { count - done - now } else { done }, now)?;
        done += now;
    }
    Ok(())
}
