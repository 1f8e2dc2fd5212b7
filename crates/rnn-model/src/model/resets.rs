//! States that start anew within a sequence, for some samples at some steps, as the caller says.

use super::Model;
use super::lowering::{Lowering, Value};
use crate::array::Arrays;
use crate::device::LayerOp;
use crate::{Error, HostArray, Result};
use ndarray::{ArrayBase, Data, Dimension};
use rnn_shaders::shape::Steps;

/// Before which steps of which samples the states of all recurrent layers are zero, `[samples, time]`: made from any array of
/// `bool`. No gradient crosses such a place.
#[derive(Clone, Debug)]
pub struct Resets {
    shape: Vec<usize>,
    /// in row order
    resets: Vec<bool>,
}

impl<S: Data<Elem = bool>, D: Dimension> From<&ArrayBase<S, D>> for Resets {
    fn from(array: &ArrayBase<S, D>) -> Self {
        Resets { shape: array.shape().to_vec(), resets: array.iter().copied().collect() }
    }
}

impl Resets {
    /// `[samples, time + 1, 1]`: a number for each stretch between resets, in turn 1 and 2. The first column is the number of
    /// what came before.
    fn stretches(&self) -> HostArray<'static> {
        let (samples, time) = (self.shape[0], self.shape[1]);
        let mut data = Vec::with_capacity(samples * (time + 1));
        for row in self.resets.chunks(time) {
            let mut now = 1.0f32;
            data.push(now);
            for &reset in row {
                now = if reset { 3.0 - now } else { now };
                data.push(now);
            }
        }
        HostArray { shape: vec![samples, time + 1, 1], data: data.into() }
    }
}

impl Model {
    /// The inputs with resets behind them, where there are any.
    ///
    /// # Errors
    /// When the shape does not fit, or the inputs have no steps.
    pub(super) fn with_resets<'a>(&self, x: Arrays<'a>, resets: Option<&Resets>) -> Result<Arrays<'a>> {
        let Some(resets) = resets else { return Ok(x) };
        let samples = x.samples();
        for x in &x.0 {
            if x.shape.len() < 3 || resets.shape != x.shape[..2] {
                let expected = match x.shape.as_slice() {
                    [samples, time, _, ..] => format!("[{samples}, {time}], samples and steps of x"),
                    _ => "inputs [samples, time, features]".into(),
                };
                return Err(Error::shape("resets", expected, resets.shape.as_slice()));
            }
        }
        if samples == 0 {
            return Ok(x);
        }
        let mut arrays = x.0;
        arrays.push(resets.stretches());
        Ok(Arrays(arrays))
    }

    /// Turns a last value beyond the model's inputs, which [`with_resets`](Self::with_resets) has put there, into their flags.
    pub(super) fn apply_resets(&self, l: &mut Lowering<'_>, inputs: &mut Vec<Value>) -> Result<()> {
        if inputs.len() == self.graph.inputs.len() {
            return Ok(());
        }
        let Some(stretches) = inputs.pop() else { return Ok(()) };
        let (time, batch) = (stretches.shape[0], l.batch());
        let flags = l.index_buffer(time * batch)?;
        let steps = Steps { time, batch, time_stride: batch, batch_stride: 1 };
        l.emit(LayerOp::FlagsFromSegments { steps, ids: stretches.data, flags });
        // The row before the first step only says what the first step differs from.
        let flags = flags.part(batch, flags.len - batch);
        for input in inputs {
            input.mask = Some(flags);
        }
        Ok(())
    }
}
