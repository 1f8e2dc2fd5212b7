//! Inference over sequences of any length in bounded memory: chunks of time, one after the other, with the states of all
//! layers handed on. Device memory is that of one chunk.

use super::Model;
use super::chunks::ChunkPlan;
use super::graph::Edge;
use super::lowering::{Lowered, Lowering, Made, StateSlices, Value};
use super::state::StateSet;
use crate::array::{Arrays, array};
use crate::device::{Buffer, Port, Program};
use crate::{Error, HostArray, Result};
use ndarray::{ArrayD, Axis, Slice as Range};
use std::collections::{BTreeMap, HashSet};

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
    plan: ChunkPlan,
    batch: usize,
    states: StateSet,
    /// states of the second and further uses of a layer, by call and part
    further: BTreeMap<(usize, usize), Vec<Buffer>>,
    /// the last two used: those of full chunks and of a last, shorter one
    chunks: Vec<Chunk>,
}

impl<'m> LongRun<'m> {
    /// A run of `batch` samples of these shapes, from the states that are kept, or from zero.
    fn new(model: &'m mut Model, plan: ChunkPlan, batch: usize) -> Result<Self> {
        model.ensure_states(batch)?;
        let states = StateSet::zeros(&model.device, batch, &model.parts, |_| true)?;
        if let Some(kept) = &model.states {
            states.copy_parts(&model.device, kept)?;
        }
        let mut further = BTreeMap::new();
        let mut used = HashSet::new();
        for (index, call) in model.graph.calls.iter().enumerate() {
            let again = !used.insert(call.layer);
            for (part, of) in model.parts.iter().enumerate().filter(|(_, p)| again && p.layer == call.layer) {
                let buffers = of.traits.states.iter().map(|units| model.device.alloc(batch * units));
                further.insert((index, part), buffers.collect::<Result<_>>()?);
            }
        }
        Ok(LongRun { model, plan, batch, states, further, chunks: Vec::new() })
    }

    /// Runs one chunk and gives its outputs.
    fn run(&mut self, x: &Arrays<'_>) -> Result<Vec<ArrayD<f32>>> {
        let samples: Vec<Vec<usize>> = x.0.iter().map(|x| x.shape[1..].to_vec()).collect();
        if x.samples() != self.batch {
            return Err(Error::BatchSize { expected: self.batch, got: x.samples(), fixed: false });
        }
        let times: Vec<usize> =
            samples.iter().zip(&self.plan.inputs_in_time).filter(|(_, t)| **t).map(|(s, _)| s[0]).collect();
        let time = times[0];
        if let Some(other) = times.iter().find(|&&other| other != time) {
            let expected = format!("{time} steps, as many as the first input has");
            return Err(Error::shape("x", expected, [*other].as_slice()));
        }
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
        let model = &*self.model;
        let (graph, none) = (&model.graph, StateSlices::new());
        let mut l = Lowering::new(&model.device, self.batch, false, graph.seed, &none).of_chunk();
        let (x, values) = l.feed_inputs(samples, false)?;
        let mut made: Made = values.into_iter().enumerate().map(|(i, x)| (Edge::Input(i), x)).collect();
        for index in 0..graph.calls.len() {
            let states = self.states_of(index);
            let zero = states.keys().copied().filter(|&part| !model.parts[part].traits.stateful).collect();
            l.place_states(index, states, zero);
            let args = graph.calls[index].inputs.iter().map(|edge| made[edge].clone()).collect();
            l.call(graph, &model.nodes, index, args, &mut made)?;
        }
        let outputs: Vec<Value> = graph.outputs.iter().map(|edge| made[edge].clone()).collect();
        let y: Vec<Port> = outputs.iter().map(|y| l.collect_output(y, None)).collect::<Result<_>>()?;
        let shaped = |shape: &Vec<usize>| std::iter::once(self.batch).chain(shape.iter().copied()).collect();
        let shapes = outputs.iter().map(|y| shaped(&y.shape)).collect();
        let mut lowered = l.finish()?;
        let (x, y) = (lowered.ports(&x), lowered.ports(&y));
        let program = model.device.compile(std::mem::take(&mut lowered.ops))?;
        Ok(Chunk { time, program, x, y, shapes, _memory: lowered })
    }

    /// Where the states of a call stand.
    fn states_of(&self, call: usize) -> StateSlices {
        let layer = self.model.graph.calls[call].layer;
        let parts = self.model.parts.iter().enumerate().filter(|(_, part)| part.layer == layer);
        let buffers = |part| self.further.get(&(call, part)).map_or(self.states.of(part), Vec::as_slice);
        parts.map(|(part, _)| (part, buffers(part).iter().map(Buffer::all).collect())).collect()
    }

    /// Keeps the last states of the stateful layers.
    fn finish(self) -> Result<()> {
        let LongRun { model, states, .. } = self;
        if let Some(kept) = &model.states {
            kept.copy_parts(&model.device, &states)?;
            model.states_changed();
        }
        Ok(())
    }
}

impl Model {
    /// Output for sequences `x` `[samples, time, features]` that need not fit on the device: `chunk` steps at a time, with
    /// the states of all layers handed on from chunk to chunk. Device memory does not grow with the length of `x`; the
    /// result is that of [`predict_on_batch`](Self::predict_on_batch), up to rounding. [`predict`](Self::predict) does this by
    /// itself where a sequence is too long for the device; here the caller says how long a chunk is.
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
        Ok(self.predict_in_chunks("predict_long", &x, chunk)?.swap_remove(0))
    }

    /// All outputs for one batch, `chunk` steps at a time.
    pub(super) fn predict_in_chunks(
        &mut self,
        operation: &str,
        x: &Arrays<'_>,
        chunk: usize,
    ) -> Result<Vec<ArrayD<f32>>> {
        let samples = self.check_inputs("x", x)?;
        let plan = self.chunk_plan(operation, &samples)?;
        let (batch, time) = (x.samples(), plan.time);
        let outputs = self.concrete_outputs(&samples)?.into_iter();
        let mut whole: Vec<ArrayD<f32>> =
            outputs.map(|sample| ArrayD::zeros([&[batch], sample.as_slice()].concat())).collect();
        let mut run = LongRun::new(self, plan, batch)?;
        for from in (0..time).step_by(chunk) {
            let part = run.plan.steps(x, from, chunk.min(time - from));
            let outputs = run.run(&part)?;
            for ((whole, part), in_time) in whole.iter_mut().zip(outputs).zip(&run.plan.outputs_in_time) {
                match in_time {
                    true => {
                        whole.slice_axis_mut(Axis(1), Range::from(from..from + part.shape()[1])).assign(&part)
                    }
                    false => *whole = part,
                }
            }
        }
        run.finish()?;
        Ok(whole)
    }

    /// Runs chunks of sequences, `[samples, time, features]` each, as they come, and hands the outputs of each to `each`:
    /// for streams that fit nowhere as a whole. The chunks may be of any lengths (two lengths in turn are best), and have
    /// the same samples. States of stateful layers are carried on from before and kept at the end, as by `predict`; those
    /// of other layers start from zero with the first chunk. An output without a time axis is that after the chunk's last step.
    /// Lengths count from the start of each chunk.
    ///
    /// # Errors
    /// When a layer needs whole sequences, a shape does not fit, `chunks` or `each` fails, or the device fails.
    pub fn predict_chunks<'a>(
        &mut self,
        chunks: impl IntoIterator<Item = Result<Arrays<'a>>>,
        mut each: impl FnMut(Vec<ArrayD<f32>>) -> Result<()>,
    ) -> Result<()> {
        let mut run: Option<LongRun<'_>> = None;
        let mut model = Some(self);
        for chunk in chunks {
            let chunk = chunk?;
            if let Some(model) = model.take() {
                let samples = model.check_inputs("x", &chunk)?;
                let plan = model.chunk_plan("predict_chunks", &samples)?;
                run = Some(LongRun::new(model, plan, chunk.samples())?);
            }
            if let Some(run) = &mut run {
                run.model.check_inputs("x", &chunk)?;
                each(run.run(&chunk)?)?;
            }
        }
        run.map_or(Ok(()), LongRun::finish)
    }
}

impl ChunkPlan {
    /// Steps `from..from + count` of all samples; what has no steps is given to each chunk.
    fn steps(&self, x: &Arrays<'_>, from: usize, count: usize) -> Arrays<'static> {
        let part = |(i, x): (usize, &HostArray<'_>)| {
            if self.lengths[i] {
                let left = x.data.iter().map(|length| (length - from as f32).max(0.0)).collect::<Vec<_>>();
                return HostArray { shape: x.shape.clone(), data: left.into() };
            }
            if !self.inputs_in_time[i] {
                return HostArray { shape: x.shape.clone(), data: x.data.to_vec().into() };
            }
            let (samples, time) = (x.shape[0], x.shape[1]);
            let step = x.data.len() / (samples * time).max(1);
            let rows = x.data.chunks(time * step);
            let data: Vec<f32> =
                rows.flat_map(|row| &row[from * step..(from + count) * step]).copied().collect();
            let mut shape = x.shape.clone();
            shape[1] = count;
            HostArray { shape, data: data.into() }
        };
        Arrays(x.0.iter().enumerate().map(part).collect())
    }
}
