//! Which models can go through time chunk by chunk, and how many steps a chunk has where nobody says so.

use super::Model;
use super::graph::Edge;
use super::lowering::StateSlices;
use super::plan::{Key, Purpose};
use super::window::Reach;
use crate::layer::Layer;
use crate::{Error, Result};

/// Bytes of device memory that a prediction takes before its sequences are cut, where no budget says otherwise.
const AT_ONCE: u64 = 512 << 20;

/// Steps that are never cut: what a step takes is found with so many.
const SHORT: usize = 64;

/// What goes from chunk to chunk.
pub(super) struct ChunkPlan {
    /// of each input, whether it has steps
    pub inputs_in_time: Vec<bool>,
    /// of each input, whether it says how many steps there are
    pub lengths: Vec<bool>,
    /// of each output, whether it has as many steps as the inputs
    pub outputs_in_time: Vec<bool>,
    pub time: usize,
}

impl Model {
    /// What goes from chunk to chunk of sequences of these shapes.
    ///
    /// # Errors
    /// When the model can not go through time in chunks: names a layer, and says why.
    pub(super) fn chunk_plan(&self, operation: &str, samples: &[Vec<usize>]) -> Result<ChunkPlan> {
        let (along, graph) = (self.along(samples)?, &self.graph);
        let refuse = |name: &str, problem: &str| {
            Err(Error::invalid(format!("{operation}: layer {name}"), problem.to_owned()))
        };
        let inputs = (0..graph.inputs.len()).map(Edge::Input);
        let times: Vec<Option<usize>> = inputs.clone().map(|edge| along.time(&edge)).collect();
        let Some(time) = times.iter().flatten().next().copied() else {
            return refuse(&graph.inputs[0].name, "no input has a time axis");
        };
        if let Some((other, _)) = times.iter().enumerate().find(|(_, t)| t.is_some_and(|t| t != time)) {
            let expected = format!("{time} steps, as many as the first input has");
            return Err(Error::shape("x", expected, samples[other].as_slice()));
        }
        for (index, call) in graph.calls.iter().enumerate() {
            let layer = &graph.layers[call.layer];
            let recurrent = self.parts.iter().any(|part| part.layer == call.layer);
            let stateful = self.parts.iter().any(|part| part.layer == call.layer && part.traits.stateful);
            if let Some(problem) = along.problem(index) {
                // Vectors behind the last step are made from chunk to chunk, and those of the last chunk count.
                if call.inputs.iter().all(|edge| along.time(edge).is_none()) && !along.makes_time(index) {
                    continue;
                }
                let problem = format!("it {problem}, so the model can not go through time in chunks");
                return refuse(&layer.name, &problem);
            }
            let lengths = matches!(layer.layer, Layer::Lengths(_));
            if !recurrent && !lengths && call.inputs.iter().any(|edge| along.time(edge).is_none()) {
                let problem = "it brings a sequence together with what has no steps; run whole sequences";
                return refuse(&layer.name, problem);
            }
            if matches!(layer.layer, Layer::Packed(_)) {
                let problem =
                    "whether a series goes on from one chunk to the next is not known; run whole sequences";
                return refuse(&layer.name, problem);
            }
            if recurrent && call.inputs.len() > 1 {
                let problem = "the states that it is given are for the first step of all, not of each chunk; run whole sequences";
                return refuse(&layer.name, problem);
            }
            if stateful && graph.calls[..index].iter().any(|before| before.layer == call.layer) {
                let problem =
                    "it is stateful and used twice: the second use starts where the first has ended";
                return refuse(&layer.name, problem);
            }
        }
        let mut lengths = Vec::new();
        for (input, edge) in graph.inputs.iter().zip(inputs) {
            let uses = graph.calls.iter().filter(|call| call.inputs.contains(&edge));
            let is_length = |layer: usize| matches!(graph.layers[layer].layer, Layer::Lengths(_));
            let (as_length, other): (Vec<usize>, _) = uses
                .map(|call| call.layer)
                .partition(|&layer| is_length(layer) && along.time(&edge).is_none());
            if !as_length.is_empty() && !other.is_empty() {
                return refuse(
                    &input.name,
                    "lengths that another layer reads too do not go from chunk to chunk",
                );
            }
            lengths.push(!as_length.is_empty());
        }
        let outputs_in_time = graph.outputs.iter().map(|edge| along.time(edge).is_some()).collect();
        let inputs_in_time = times.iter().map(Option::is_some).collect();
        Ok(ChunkPlan { inputs_in_time, lengths, outputs_in_time, time })
    }

    /// Steps of a chunk, where a prediction of a batch of such samples takes more memory at once than it should: more than the
    /// memory budget leaves beside the weights, or else than 512 MiB, or than the device gives to a buffer.
    ///
    /// # Errors
    /// When sequences must be cut to fit the budget, and can not be.
    pub(super) fn steps_of_a_chunk(&self, batch: usize, samples: &[Vec<usize>]) -> Result<Option<usize>> {
        let budget = self.memory_budget.map(|budget| budget.saturating_sub(self.weight_bytes()));
        let room = budget.unwrap_or(AT_ONCE).min(self.device.engine().largest_buffer());
        let plan = match self.chunk_plan("predict", samples) {
            Ok(plan) if plan.time > SHORT => plan,
            Err(reason) if budget.is_some() => {
                let need = self.bytes_at_once(batch, samples.to_vec())?;
                return if need <= room { Ok(None) } else { Err(too_long(need, room, reason)) };
            }
            // What the device has may do.
            _ => return Ok(None),
        };
        let of = |steps: usize| {
            let mut samples = samples.to_vec();
            let in_time = samples.iter_mut().zip(&plan.inputs_in_time).filter(|(_, in_time)| **in_time);
            in_time.for_each(|(sample, _)| sample[0] = steps);
            self.bytes_at_once(batch, samples)
        };
        let (few, more) = (of(SHORT / 2)?, of(SHORT)?);
        let of_a_step = (more.saturating_sub(few) / (SHORT / 2) as u64).max(1);
        let fixed = few.saturating_sub(of_a_step * (SHORT / 2) as u64);
        let need = fixed + of_a_step * plan.time as u64;
        if need <= room {
            return Ok(None);
        }
        match (room.saturating_sub(fixed) / of_a_step) as usize {
            0 => {
                let least = fixed + of_a_step;
                let problem = format!(
                    "there is room for {room} bytes, but one step of {batch} samples takes {least}; use smaller batches"
                );
                Err(Error::invalid("predict", problem))
            }
            steps => Ok(Some(steps)),
        }
    }

    /// Bytes that a prediction takes on the device, and its list of operations on the host.
    fn bytes_at_once(&self, batch: usize, samples: Vec<Vec<usize>>) -> Result<u64> {
        let (purpose, window) = (Purpose::Predict, Reach::default());
        let key = Key { purpose, batch, samples, weights: Vec::new(), window, dataset: None };
        let program = self.lower(&key, None, &StateSlices::new(), 1)?.0;
        Ok(self.step_bytes(&program) + program.list_bytes())
    }

    /// The error of a prediction that could not be run at once, with the reason why it was not cut where that is to blame.
    pub(super) fn explain_lack(&self, error: Error, samples: &[Vec<usize>]) -> Error {
        let Error::Gpu(gpu_core::Error::OutOfMemory { asked, limit, .. }) = error else { return error };
        match self.chunk_plan("predict", samples) {
            Err(reason) => too_long(asked, limit, reason),
            Ok(_) => error,
        }
    }
}

/// What is said of sequences that are too long, with the reason why they are not cut.
fn too_long(need: u64, room: u64, reason: Error) -> Error {
    let problem = format!(
        "it takes {need} bytes at once, there is room for {room}, and the sequences can not be cut ({reason}); use shorter \
         sequences or smaller batches"
    );
    Error::invalid("predict", problem)
}
