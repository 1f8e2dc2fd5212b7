//! Gradients on their own, for checks and for training loops of one's own.

use super::Model;
use super::lowering::Lowering;
use super::plan::feed;
use super::state::{LayerState, StateSet};
use crate::array::{Arrays, array};
use crate::device::{Op, Slice};
use crate::{Error, Result};
use ndarray::ArrayD;

/// Derivatives of `sum(output * dy)`, over all outputs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Gradients {
    /// the outputs themselves
    pub outputs: Vec<ArrayD<f32>>,
    /// with respect to each input
    pub inputs: Vec<ArrayD<f32>>,
    /// with respect to each weight, in the order of `get_weights`; zero where a layer is not trained
    pub weights: Vec<ArrayD<f32>>,
    /// with respect to the start states of each recurrent layer
    pub states: Vec<LayerState>,
    /// last states of each recurrent layer
    pub last_states: Vec<LayerState>,
}

impl Model {
    /// Runs `x` forward in training mode from the `initial` states (zero when `None`) and `dy`, shaped as the outputs,
    /// backward. Neither weights nor kept states change.
    ///
    /// # Errors
    /// When a shape does not fit or the device fails.
    pub fn gradients<'a>(
        &mut self,
        x: impl Into<Arrays<'a>>,
        dy: impl Into<Arrays<'a>>,
        initial: Option<&[LayerState]>,
    ) -> Result<Gradients> {
        let (x, dy) = (x.into(), dy.into());
        let samples = self.check_inputs("x", &x)?;
        let batch = x.samples();
        let mut shapes = self.concrete_outputs(&samples)?;
        shapes.iter_mut().for_each(|shape| shape.insert(0, batch));
        if !dy.0.iter().map(|dy| &dy.shape).eq(&shapes) {
            let got: Vec<_> = dy.0.iter().map(|dy| &dy.shape).collect();
            return Err(Error::shape("dy", format!("{shapes:?}"), format!("{got:?}")));
        }
        self.ensure_gradients()?;
        let set = StateSet::zeros(&self.device, batch, &self.parts, |_| true)?;
        if let Some(initial) = initial {
            set.write(self, initial)?;
        }
        let slices = set.slices();
        let mut l = Lowering::new(&self.device, batch, true, self.graph.seed, &slices).with_state_gradients();
        let grads = self.grads.as_ref().expect("made above").all();
        l.emit(Op::Fill { value: 0.0, y: grads });
        let (ports, inputs) = l.feed_inputs(&samples, true)?;
        let values = l.forward(&self.graph, &self.nodes, inputs.clone())?;
        let (mut outputs, mut upstream) = (Vec::new(), Vec::new());
        for value in &values {
            outputs.push(l.collect_output(value, None)?);
            let (port, dy) = feed(&mut l, &value.shape, None)?;
            upstream.push(port);
            l.propagate(value, |l, to| {
                if let Some(y) = to {
                    l.emit(Op::Copy { x: dy, y });
                }
            })?;
        }
        l.unwind()?;
        let mut input_gradients = Vec::new();
        for (value, sample) in inputs.iter().zip(&samples) {
            let at = l.gradient(value);
            input_gradients.push(at.map(|dx| l.outlet(dx, sample)).transpose()?);
        }
        let lowered = l.finish()?;
        let (ports, upstream) = (lowered.ports(&ports), lowered.ports(&upstream));
        let outputs = lowered.ports(&outputs);
        let input_gradients: Vec<_> =
            input_gradients.into_iter().map(|at| at.map(|p| lowered.port(p))).collect();
        let program = self.device.compile(lowered.ops)?;
        for (port, array) in ports.iter().zip(&x.0).chain(upstream.iter().zip(&dy.0)) {
            port.write(&self.device, &array.data)?;
        }
        self.device.run(&program, &[self.counters.inference(0)])?;

        let outputs = outputs.iter().zip(&shapes);
        let outputs = outputs.map(|(port, shape)| Ok(array(shape, port.read(&self.device)?)));
        let inputs = input_gradients.iter().zip(&x.0).map(|(port, x)| {
            let zero = || Ok(vec![0.0; x.data.len()]);
            Ok(array(&x.shape, port.map_or_else(zero, |port| port.read(&self.device))?))
        });
        let mut states = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            let Some(found) = lowered.start_state_gradients.get(&index) else { continue };
            let state = |(at, &units): (&Option<Slice>, &usize)| {
                let zero = || Ok(vec![0.0; batch * units]);
                let values = at.map_or_else(zero, |at| self.device.engine().read(at))?;
                Ok::<_, Error>(array(&[batch, units], values))
            };
            let arrays = found.iter().zip(&part.traits.states).map(state);
            states.push(LayerState { layer: part.name.clone(), states: arrays.collect::<Result<_>>()? });
        }
        Ok(Gradients {
            outputs: outputs.collect::<Result<_>>()?,
            inputs: inputs.collect::<Result<_>>()?,
            weights: self.read_like_weights(grads)?,
            states,
            last_states: set.read(self)?,
        })
    }
}
