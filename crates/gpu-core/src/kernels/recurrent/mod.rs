//! Recurrent layers over a whole sequence: the input product as one matmul, the recurrence one fused dispatch per step (or
//! many steps in one dispatch), and on the way back weight and input gradients as large matmuls outside the loop.
//!
//! Shapes: `x [T, B, I]`, `kernel [I, G*U]`, `recurrent [U, G*U]`, `bias [bias_blocks*U]`, `h`, `c` `[T+1, B, U]` with slot 0
//! the state that the sequence starts from. Gate order is Keras's. Flags `[T, B]` are u32 with the bits VALID and RESET.
//! The equations stand in the `.wgsl` files.
mod backward;
mod forward;
mod plan;

pub use backward::{RecurrentGrads, recurrent_backward};
pub use forward::recurrent_forward;
pub use plan::{RecurrentStrategy, StrategyKind, recurrent_strategy};

use super::operands::{elements, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use plan::Geometry;
use rnn_shaders::contract::Kernel;
use rnn_shaders::vocabulary::{Activation, Cell};

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

fn activations(cell: Cell) -> (Activation, Activation) {
    match cell {
        Cell::Lstm { activation, recurrent_activation }
        | Cell::Gru { activation, recurrent_activation, .. } => (activation, recurrent_activation),
        Cell::SimpleRnn { activation } => (activation, Activation::Linear),
    }
}

/// The tensors that both directions take.
#[derive(Clone, Copy)]
struct Layer<'a> {
    operation: &'static str,
    cell: Cell,
    shape: RecurrentShape,
    x: &'a Slice,
    kernel: &'a Slice,
    recurrent: &'a Slice,
    flags: Option<&'a Slice>,
    h: &'a Slice,
    c: Option<&'a Slice>,
}

impl Layer<'_> {
    fn check(&self) -> Result<()> {
        let RecurrentShape { time, batch, input, units } = self.shape;
        let op = self.operation;
        let invalid = |reason: String| Err(Error::InvalidArgument { operation: op, reason });
        if [time, batch, input, units].contains(&0) {
            return invalid(format!("{:?} has a side of 0", self.shape));
        }
        let (act, rec_act) = activations(self.cell);
        for kind in [act, rec_act] {
            if !kind.derivative_from_output() {
                return invalid(format!(
                    "{kind:?} inside a cell: its derivative needs more than its output; use another"
                ));
            }
        }
        let columns = self.cell.gates() * units;
        expect_len(op, "x", self.x, elements(&[time, batch, input]))?;
        expect_len(op, "kernel", self.kernel, elements(&[input, columns]))?;
        expect_len(op, "recurrent", self.recurrent, elements(&[units, columns]))?;
        let states = elements(&[time + 1, batch, units]);
        expect_len(op, "h", self.h, states)?;
        match (self.cell, self.c) {
            (Cell::Lstm { .. }, Some(c)) => expect_len(op, "c", c, states)?,
            (Cell::Lstm { .. }, None) => return invalid("LSTM needs its cell state c".into()),
            (_, Some(_)) => return invalid("only LSTM has a cell state c".into()),
            (_, None) => {}
        }
        self.flags.map_or(Ok(()), |flags| expect_len(op, "flags", flags, elements(&[time, batch])))
    }

    /// Steps that one set of bindings may span: what the adapter binds at once, and what the recorder allows.
    fn steps_per_chunk(&self, rec: &Recorder) -> usize {
        let limit = rec.context().limits().max_storage_buffer_binding_size.min(rec.chunk_bytes());
        let RecurrentShape { time, batch, input, units } = self.shape;
        let row = units.saturating_mul(gate_blocks(self.cell)).max(input);
        (limit as usize / 4 / batch.saturating_mul(row).max(1)).saturating_sub(1).clamp(1, time)
    }
}

/// What a run of steps of one kernel needs beside its buffers.
#[derive(Clone, Copy)]
struct Steps {
    /// first step in the bound slices, and how many
    first: usize,
    count: usize,
    /// steps of the bound slices
    time: usize,
    batch: usize,
    units: usize,
    /// length of the product
    depth: usize,
    /// vec4s between rows and between gates of the weights
    ldw: usize,
    block: usize,
    saved_row: usize,
    has_flags: bool,
    has_bias: bool,
    has_dy: bool,
    /// the gates are needed on the way back
    keep: bool,
}

fn record(
    rec: &mut Recorder,
    operation: &'static str,
    kernel: &'static Kernel,
    geometry: Geometry,
    (act, rec_act): (Activation, Activation),
    buffers: &[&Slice],
    steps: Steps,
) -> Result<()> {
    let mut words = vec![0u32; kernel.bindings.len()];
    for value in [
        steps.first,
        steps.count,
        steps.time,
        steps.batch,
        steps.units,
        steps.depth,
        steps.ldw,
        steps.block,
        steps.saved_row,
        usize::from(steps.has_flags),
        usize::from(steps.has_bias),
        usize::from(steps.has_dy),
        usize::from(steps.keep),
    ] {
        words.push(size(operation, value)?);
    }
    let all = [
        ("WORKGROUP", geometry.workgroup as f64),
        ("ROWS", geometry.rows as f64),
        ("SPLIT", geometry.split as f64),
        ("SEQUENCE", f64::from(u8::from(geometry.sequence))),
        ("PARK", geometry.park() as f64),
        ("ACT", act as u32 as f64),
        ("REC_ACT", rec_act as u32 as f64),
    ];
    let overrides: Vec<_> =
        all.into_iter().filter(|(name, _)| kernel.overrides.iter().any(|o| o.name == *name)).collect();
    let lanes = steps.units.div_ceil(geometry.units_per_lane());
    let columns = if geometry.sequence { 1 } else { lanes.div_ceil(geometry.workgroup) };
    let product = steps.depth * geometry.gates.max(1) * steps.units;
    rec.call(Call {
        kernel,
        overrides: &overrides,
        buffers,
        params: bytemuck::cast_slice(&words),
        groups: Groups::xyz(columns, steps.batch.div_ceil(geometry.rows), 1),
        flops: steps.count as f64 * steps.batch as f64 * (2.0 * product as f64 + 100.0 * steps.units as f64),
    })
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
