//! Forecasts that feed a model's outputs back as its inputs, on the device, with one read-back at the end.

use super::Model;
use super::lowering::Lowering;
use super::plan::feed;
use super::state::StateSet;
use crate::array::array;
use crate::device::Op;
use crate::{Error, HostArray, Result};
use ndarray::ArrayD;
use rnn_shaders::vocabulary::StepParams;

impl Model {
    /// Continues each sequence of `known` `[samples, time, features]` by `steps` steps, `[samples, steps, features]`,
    /// by state: the known steps adjust the states, then each output is the next input.
    ///
    /// The model must give as many features as it takes. It may have been built for any number of steps; here it runs
    /// one at a time. The states of stateful layers are neither used nor changed.
    ///
    /// # Errors
    /// When the model can not run step by step (it has a layer such as Flatten or RepeatVector, which
    /// [`forecast_window`](Self::forecast_window) suits), or a shape does not fit.
    pub fn forecast<'a>(&mut self, known: impl Into<HostArray<'a>>, steps: usize) -> Result<ArrayD<f32>> {
        let known = known.into();
        let features = self.feedback_features(steps)?;
        if let Some(node) = self.nodes.iter().find(|n| !n.layer.kind().is_stepwise()) {
            let problem =
                "it needs whole sequences, so the model can not go on step by step; use forecast_window";
            return Err(Error::invalid(format!("forecast by state: layer {}", node.name), problem));
        }
        let fits =
            known.shape.len() == 3 && known.shape[2] == features && known.shape[0] > 0 && known.shape[1] > 0;
        if !fits {
            let expected = format!("[samples, time, {features}] with at least one sample and step");
            return Err(Error::shape("known sequence", expected, known.shape.as_slice()));
        }
        let (batch, time) = (known.shape[0], known.shape[1]);
        let set = StateSet::zeros(&self.device, batch, &self.parts, |_| true)?;
        let slices = set.slices();
        let seed = self.graph.seed;
        let (n, device) = (batch * features, self.device.clone());
        let next = device.alloc(n)?;
        let results = device.alloc(steps * n)?;

        // The known part: its last output is the first forecast.
        let mut l = Lowering::new(&device, batch, false, seed, &slices);
        let (input, values) = feed(&mut l, &known.shape[1..], None)?;
        let x = l.input(values, vec![time, features], false);
        let y = l.forward(&self.graph, &self.nodes, vec![x])?.swap_remove(0);
        let last = y.data.part(y.data.len - n, n);
        l.emit(Op::Copy { x: last, y: next.all() });
        l.emit(Op::StoreStep { stride: n, x: last, seq: results.all() });
        let known_part = l.finish()?;
        let input = known_part.port(input);
        // One step after another.
        let mut l = Lowering::new(&device, batch, false, seed, &slices);
        let fed = l.buffer(n)?;
        l.emit(Op::Copy { x: next.all(), y: fed });
        let x = l.input(fed, vec![1, features], false);
        let y = l.forward(&self.graph, &self.nodes, vec![x])?.swap_remove(0);
        l.emit(Op::Copy { x: y.data, y: next.all() });
        l.emit(Op::StoreStep { stride: n, x: y.data, seq: results.all() });
        let one_step = l.finish()?;

        let first = device.compile(known_part.ops)?;
        input.write(&device, &known.data)?;
        device.run(&first, &[StepParams::default()])?;
        let program = device.compile(one_step.ops)?;
        let records: Vec<StepParams> = (1..steps).map(|i| self.counters.inference(i)).collect();
        device.run(&program, &records)?;
        self.forecast_result(&device, results.all(), batch, steps, features)
    }

    /// Continues each sequence of `known` by sliding the model's window: each output is appended to the window it was
    /// made from, whose first step is dropped. Suits models that start from zero states on a window of fixed length.
    ///
    /// # Errors
    /// When the model does not give as many features as it takes, or a shape does not fit.
    pub fn forecast_window<'a>(
        &mut self,
        known: impl Into<HostArray<'a>>,
        steps: usize,
    ) -> Result<ArrayD<f32>> {
        let known = known.into();
        let features = self.feedback_features(steps)?;
        let sample = self.check_shapes("known sequence", &[&known.shape])?.swap_remove(0);
        let (batch, time) = (known.samples(), sample[0]);
        let empty = Default::default();
        let device = self.device.clone();
        let n = batch * features;
        let window = device.alloc(time * n)?;
        let results = device.alloc(steps * n)?;

        let mut l = Lowering::new(&device, batch, false, self.graph.seed, &empty);
        let (input, values) = feed(&mut l, &sample, None)?;
        l.emit(Op::Copy { x: values, y: window.all() });
        let start = l.finish()?;
        let input = start.port(input);
        let mut l = Lowering::new(&device, batch, false, self.graph.seed, &empty);
        let x = l.input(window.all(), sample.clone(), false);
        let y = l.forward(&self.graph, &self.nodes, vec![x])?.swap_remove(0);
        let last = y.data.part(y.data.len - n, n);
        let shifted = l.buffer(time * n)?;
        l.emit(Op::StoreStep { stride: n, x: last, seq: results.all() });
        l.emit(Op::ShiftAppend { time, n, x: window.all(), new: last, y: shifted });
        l.emit(Op::Copy { x: shifted, y: window.all() });
        let step = l.finish()?;

        let first = device.compile(start.ops)?;
        input.write(&device, &known.data)?;
        device.run(&first, &[StepParams::default()])?;
        let program = device.compile(step.ops)?;
        let records: Vec<StepParams> = (0..steps).map(|i| self.counters.inference(i)).collect();
        device.run(&program, &records)?;
        self.forecast_result(&device, results.all(), batch, steps, features)
    }

    /// `[steps, samples, features]` on the device to `[samples, steps, features]`.
    fn forecast_result(
        &self,
        device: &crate::Device,
        results: crate::device::Slice,
        batch: usize,
        steps: usize,
        features: usize,
    ) -> Result<ArrayD<f32>> {
        let by_step = array(&[steps, batch, features], device.engine().read(results)?);
        Ok(by_step.permuted_axes(vec![1, 0, 2]).as_standard_layout().into_owned())
    }

    /// Features of input and output, which must be as many.
    fn feedback_features(&self, steps: usize) -> Result<usize> {
        let (input, output) = (self.input_shape(), self.output_shape());
        if self.graph.inputs.len() != 1 || self.graph.outputs.len() != 1 {
            return Err(Error::invalid("forecast", "the model must have one input and one output"));
        }
        let features = input.last().copied().flatten();
        if input.len() != 2 || features != output.last().copied().flatten() {
            return Err(Error::invalid(
                "forecast",
                format!(
                    "outputs become inputs, so the model must give as many features as it takes: it takes {} and \
                     gives {}",
                    crate::error::AsShape::text(&input),
                    crate::error::AsShape::text(&output.as_slice())
                ),
            ));
        }
        if steps == 0 {
            return Err(Error::invalid("forecast", "steps must be at least 1"));
        }
        features.ok_or_else(|| Error::invalid("forecast", "the model's features are not known"))
    }
}
