//! Inference over sequences of any length in bounded memory: chunks of time, one after the other, with the states of all
//! layers handed on. Device memory is that of one chunk.

use super::Model;
use super::graph::Edge;
use super::lowering::{Lowered, Lowering};
use super::state::StateSet;
use crate::array::{Arrays, array};
use crate::device::{Port, Program};
use crate::layer::SampleShape;
use crate::{Error, HostArray, Result};
use ndarray::{ArrayD, Axis, Slice as Range};

/// A program for chunks of one length.
struct Chunk {
    time: usize,
    program: Program,
    x: Vec<Port>,
    y: Vec<Port>,
    shapes: Vec<Vec<usize>>,
    _memory: Lowered,
}

/// A run over chunks.
struct LongRun<'m> {
    model: &'m mut Model,
    batch: usize,
    states: StateSet,
    /// the last two used: those of full chunks and of a last, shorter one
    chunks: Vec<Chunk>,
}

impl LongRun<'_> {
    /// Runs one chunk and gives its outputs.
    fn run(&mut self, x: &Arrays<'_>) -> Result<Vec<ArrayD<f32>>> {
        let samples = self.model.check_inputs("x", x)?;
        if x.samples() != self.batch {
            return Err(Error::BatchSize { expected: self.batch, got: x.samples(), fixed: false });
        }
        self.model.check_same_steps("predict in chunks of time", &samples)?;
        let time = samples[0][0];
        let at = match self.chunks.iter().position(|c| c.time == time) {
            Some(at) => at,
            None => {
                if self.chunks.len() == 2 {
                    self.chunks.remove(0);
                }
                self.chunks.push(self.record(time, &samples)?);
                self.chunks.len() - 1
            }
        };
        let (device, chunk) = (&self.model.device, &self.chunks[at]);
        for (port, x) in chunk.x.iter().zip(&x.0) {
            port.write(device, &x.data)?;
        }
        device.run(&chunk.program, &[self.model.counters.inference(0)])?;
        let output = |(port, shape): (&Port, &Vec<usize>)| Ok(array(shape, port.read(device)?));
        chunk.y.iter().zip(&chunk.shapes).map(output).collect()
    }

    fn record(&self, time: usize, samples: &[Vec<usize>]) -> Result<Chunk> {
        let (model, slices) = (&*self.model, self.states.slices());
        let mut l = Lowering::new(&model.device, self.batch, false, model.graph.seed, &slices);
        let (x, values) = l.feed_inputs(samples, false)?;
        let outputs = l.forward(&model.graph, &model.nodes, values)?;
        if l.makes_masks() {
            let problem = "a layer makes masks, and what a masked step repeats can lie in another chunk";
            return Err(Error::invalid("predict in chunks of time", problem));
        }
        let y: Vec<Port> = outputs.iter().map(|y| l.collect_output(y, None)).collect::<Result<_>>()?;
        let shaped = |shape: &Vec<usize>| std::iter::once(self.batch).chain(shape.iter().copied()).collect();
        let shapes = outputs.iter().map(|y| shaped(&y.shape)).collect();
        let mut lowered = l.finish()?;
        let (x, y) = (lowered.ports(&x), lowered.ports(&y));
        let program = model.device.compile(std::mem::take(&mut lowered.ops))?;
        Ok(Chunk { time, program, x, y, shapes, _memory: lowered })
    }
}

impl Model {
    /// Output for sequences `x` `[samples, time, features]` that need not fit on the device: `chunk` steps at a time, with
    /// the states of all layers handed on from chunk to chunk. Device memory does not grow with the length of `x`; the
    /// result is that of [`predict_on_batch`](Self::predict_on_batch), up to rounding.
    ///
    /// ```
    /// # use ndarray::Array3;
    /// # use rnn_model::{Device, Input, Sequential, layer::{Dense, Lstm}};
    /// let mut model = Sequential::new(Input::sequence(None, 1))
    ///     .layer(Lstm::new(4).return_sequences(true)).layer(Dense::new(1)).build(&Device::cpu())?;
    /// let y = model.predict_long(&Array3::<f32>::ones((1, 10_000, 1)), 512)?;
    /// assert_eq!(y.shape(), [1, 10_000, 1]);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a layer needs whole sequences (the message names it), `chunk` is 0, or as `predict_on_batch`.
    pub fn predict_long<'a>(&mut self, x: impl Into<Arrays<'a>>, chunk: usize) -> Result<ArrayD<f32>> {
        self.one_output("predict_long", "predict_chunks")?;
        let x = x.into();
        if chunk == 0 {
            return Err(Error::invalid("predict_long", "chunk must be at least 1"));
        }
        let samples = self.check_inputs("x", &x)?;
        self.check_steps("predict_long")?;
        self.check_same_steps("predict_long", &samples)?;
        let (time, batch) = (samples[0][0], x.samples());
        let outputs = self.concrete_outputs(&samples)?.swap_remove(0);
        let mut shape = vec![batch];
        shape.extend(&outputs);
        let mut whole = ArrayD::<f32>::zeros(shape);
        let in_time = self.outputs_in_time()[0];
        let starts = (0..time).step_by(chunk);
        let mut parts = starts.map(|from| Ok(steps(&x, from, chunk.min(time - from))));
        let mut at = 0;
        self.predict_chunks(&mut parts, |mut outputs| {
            let part = outputs.swap_remove(0);
            if in_time {
                let next = at + part.shape()[1];
                whole.slice_axis_mut(Axis(1), Range::from(at..next)).assign(&part);
                at = next;
            } else {
                whole = part;
            }
            Ok(())
        })?;
        Ok(whole)
    }

    /// Runs chunks of sequences, `[samples, time, features]` each, as they come, and hands the outputs of each to `each`:
    /// for streams that fit nowhere as a whole. The chunks may be of any lengths (two lengths in turn are best), and have
    /// the same samples. States of stateful layers are carried on from before and kept at the end, as by `predict`; those
    /// of other layers start from zero with the first chunk. An output without a time axis is that after the chunk's last step.
    ///
    /// # Errors
    /// When a layer needs whole sequences, a shape does not fit, `chunks` or `each` fails, or the device fails.
    pub fn predict_chunks<'a>(
        &mut self,
        chunks: impl IntoIterator<Item = Result<Arrays<'a>>>,
        mut each: impl FnMut(Vec<ArrayD<f32>>) -> Result<()>,
    ) -> Result<()> {
        self.check_steps("predict_chunks")?;
        let mut run: Option<LongRun<'_>> = None;
        let mut model = Some(self);
        for chunk in chunks {
            let chunk = chunk?;
            if let Some(model) = model.take() {
                let batch = chunk.samples();
                model.ensure_states(batch)?;
                let states = StateSet::zeros(&model.device, batch, &model.parts, |_| true)?;
                if let Some(kept) = &model.states {
                    states.copy_parts(&model.device, kept)?;
                }
                run = Some(LongRun { model, batch, states, chunks: Vec::new() });
            }
            if let Some(run) = &mut run {
                each(run.run(&chunk)?)?;
            }
        }
        if let Some(LongRun { model, states, .. }) = run
            && let Some(kept) = &model.states
        {
            kept.copy_parts(&model.device, &states)?;
            model.states_changed();
        }
        Ok(())
    }

    /// Refuses a model that can not go on from chunk to chunk of time.
    pub(super) fn check_steps(&self, operation: &str) -> Result<()> {
        let refuse =
            |layer: &str, problem: &str| Err(Error::invalid(format!("{operation}: layer {layer}"), problem));
        if let Some(node) = self.nodes.iter().find(|n| !n.layer.kind().is_stepwise()) {
            return refuse(
                &node.name,
                "it needs whole sequences, so the model can not go through time in parts",
            );
        }
        for (at, layer) in self.graph.layers.iter().enumerate() {
            let mut calls = self.graph.calls.iter().filter(|c| c.layer == at);
            let first = calls.next().map_or(0, |c| c.inputs.len());
            if self.parts.iter().any(|p| p.layer == at) && (first > 1 || calls.next().is_some()) {
                let problem =
                    "it is given its states by another layer, or is used twice, so they can not be handed on";
                return refuse(&layer.name, problem);
            }
        }
        if let Some(input) = self.graph.inputs.iter().find(|i| i.input.sample.len() < 2) {
            return refuse(&input.name, "this input has no time axis");
        }
        let (inputs, made) = self.open_shapes()?;
        for call in self.graph.calls.iter().filter(|call| call.inputs.len() > 1) {
            let in_time = |edge: &Edge| match *edge {
                Edge::Input(input) => inputs[input][0].is_none(),
                Edge::Output { call, output } => made[call][output][0].is_none(),
            };
            let steps = call.inputs.iter().filter(|edge| in_time(edge)).count();
            if steps > 0 && steps < call.inputs.len() {
                let problem = "it brings a sequence together with what has no steps, or one step for all";
                return refuse(&self.graph.layers[call.layer].name, problem);
            }
        }
        Ok(())
    }

    /// Refuses inputs of different numbers of steps for a run that goes through time in parts.
    pub(super) fn check_same_steps(&self, operation: &str, samples: &[Vec<usize>]) -> Result<()> {
        match samples.iter().find(|sample| sample[0] != samples[0][0]) {
            Some(other) => {
                let expected = format!("{} steps, as many as the first input has", samples[0][0]);
                Err(Error::shape(format!("input of {operation}"), expected, other.as_slice()))
            }
            None => Ok(()),
        }
    }

    /// Shapes of the inputs with an unknown number of steps, and of what each call makes of them.
    fn open_shapes(&self) -> Result<(Vec<SampleShape>, Vec<Vec<SampleShape>>)> {
        let mut inputs = self.graph.input_shapes();
        inputs.iter_mut().for_each(|shape| shape[0] = None);
        let made = self.graph.shapes(&inputs)?;
        Ok((inputs, made))
    }

    /// Of each output, whether it has as many steps as the inputs.
    pub(super) fn outputs_in_time(&self) -> Vec<bool> {
        match self.open_shapes() {
            Ok((inputs, calls)) => {
                self.graph.output_shapes(&inputs, &calls).iter().map(|s| s[0].is_none()).collect()
            }
            Err(_) => vec![false; self.graph.outputs.len()],
        }
    }
}

/// Steps `from..from + count` of all samples.
fn steps(x: &Arrays<'_>, from: usize, count: usize) -> Arrays<'static> {
    let part = |x: &HostArray<'_>| {
        let (samples, time) = (x.shape[0], x.shape[1]);
        let step = x.data.len() / (samples * time).max(1);
        let rows = x.data.chunks(time * step);
        let data: Vec<f32> = rows.flat_map(|row| &row[from * step..(from + count) * step]).copied().collect();
        let mut shape = x.shape.clone();
        shape[1] = count;
        HostArray { shape, data: data.into() }
    };
    Arrays(x.0.iter().map(part).collect())
}
