//! Gradients on their own, for checks and for training loops of one's own.

use super::Model;
use super::lowering::Lowering;
use super::plan::feed;
use super::state::{LayerState, StateSet};
use crate::array::array;
use crate::device::Op;
use crate::{Error, HostArray, Result};
use ndarray::ArrayD;

/// Derivatives of `sum(output * dy)`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Gradients {
    /// the output itself
    pub output: ArrayD<f32>,
    /// with respect to the input
    pub input: ArrayD<f32>,
    /// with respect to each weight, in the order of `get_weights`
    pub weights: Vec<ArrayD<f32>>,
    /// with respect to the start states of each recurrent layer
    pub states: Vec<LayerState>,
    /// last states of each recurrent layer
    pub last_states: Vec<LayerState>,
}

impl Model {
    /// Runs `x` forward in training mode from the `initial` states (zero when `None`) and `dy`, shaped as the output,
    /// backward. Neither weights nor kept states change.
    ///
    /// # Errors
    /// When a shape does not fit or the device fails.
    pub fn gradients<'a>(
        &mut self,
        x: impl Into<HostArray<'a>>,
        dy: impl Into<HostArray<'a>>,
        initial: Option<&[LayerState]>,
    ) -> Result<Gradients> {
        let (x, dy) = (x.into(), dy.into());
        let sample = self.check_input("x", &x.shape)?;
        let batch = x.samples();
        self.ensure_gradients()?;
        let set = StateSet::zeros(&self.device, batch, &self.recurrent_layers(|_| true))?;
        if let Some(initial) = initial {
            set.write(self, initial)?;
        }
        let slices = set.slices();
        let seed = self.architecture.seed;
        let mut l = Lowering::new(&self.device, batch, true, seed, &slices).with_state_gradients();
        let grads = self.grads.as_ref().expect("made above").all();
        l.emit(Op::Fill { value: 0.0, y: grads });
        let (input, values) = feed(&mut l, &sample, None)?;
        let value = l.input(values, sample.clone(), true);
        let y = l.forward(&self.nodes, value.clone())?;
        let mut shape = vec![batch];
        shape.extend(&y.shape);
        if dy.shape != shape {
            return Err(Error::shape("dy", format!("{shape:?}"), dy.shape.as_slice()));
        }
        let output = l.collect_output(&y, None)?;
        let (dy_in, dy_values) = feed(&mut l, &y.shape, None)?;
        l.propagate(&y, |l, to| {
            if let Some(y) = to {
                l.emit(Op::Copy { x: dy_values, y });
            }
        })?;
        l.unwind()?;
        let dx = l.gradient(&value);
        let dx = dx.map(|dx| l.outlet(dx, &sample)).transpose()?;
        let lowered = l.finish();
        let program = self.device.compile(lowered.ops)?;
        input.write(&self.device, &x.data)?;
        dy_in.write(&self.device, &dy.data)?;
        self.device.run(&program, &[self.counters.inference(0)])?;
        let read = |slice| self.device.engine().read(slice);
        let zero = vec![0.0; x.data.len()];
        let input = array(&x.shape, dx.map_or(Ok(zero), |dx| dx.read(&self.device))?);
        let mut states = Vec::new();
        for (index, traits) in self.recurrent_layers(|_| true) {
            let Some(slices) = lowered.start_state_gradients.get(&index) else { continue };
            let shape = [batch, traits.units];
            states.push(LayerState {
                layer: self.nodes[index].name.clone(),
                h: array(&shape, read(slices.h)?),
                c: slices.c.map(|c| Ok::<_, Error>(array(&shape, read(c)?))).transpose()?,
            });
        }
        Ok(Gradients {
            output: array(&shape, output.read(&self.device)?),
            input,
            weights: self.read_like_weights(grads)?,
            states,
            last_states: set.read(self)?,
        })
    }
}
