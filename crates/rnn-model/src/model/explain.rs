//! Which kernels run a model, and why.

use super::graph::Edge;
use super::{Model, Part};
use rnn_shaders::shape::RecurrentShape;

/// How the device runs one recurrent layer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerStrategy {
    /// name of the layer
    pub layer: String,
    /// the schedule
    pub strategy: String,
    /// why it was chosen
    pub why: String,
}

impl Model {
    /// The schedule each recurrent layer runs by, for batches of `batch` samples of `time` steps.
    pub fn strategies(&self, batch: usize, time: usize, training: bool) -> Vec<LayerStrategy> {
        let engine = self.device.engine();
        let strategy = |part: &Part| {
            let (strategy, why) = match (part.traits.fused, part.traits.states.first()) {
                (Some(cell), Some(&units)) => {
                    let shape = RecurrentShape { time, batch, input: self.features(part.layer), units };
                    engine.strategy(cell, shape, training)
                }
                _ => (
                    "plain operations step by step".to_owned(),
                    "the cell needs more than the fused kernels do".to_owned(),
                ),
            };
            LayerStrategy { layer: part.name.clone(), strategy, why }
        };
        self.parts.iter().map(strategy).collect()
    }

    /// Features that come into a layer.
    fn features(&self, layer: usize) -> usize {
        let call = self.graph.calls.iter().find(|c| c.layer == layer);
        let shape = call.and_then(|call| match *call.inputs.first()? {
            Edge::Input(i) => Some(&self.graph.inputs[i].input.sample),
            Edge::Output { call, output } => self.shapes[call].get(output),
        });
        shape.and_then(|s| s.last().copied().flatten()).unwrap_or(1)
    }

    /// In words: the device, and for each layer which kernels run it and why, for batches of 32 samples (or the fixed
    /// batch size) of 32 steps (or the fixed number).
    pub fn explain(&self) -> String {
        let batch = self.graph.batch().unwrap_or(32);
        let time = self.input_shape().first().copied().flatten().filter(|_| self.input_shape().len() > 1);
        let time = time.unwrap_or(32);
        let mut text = format!("device: {} ({:?})\n", self.device.name(), self.device.kind());
        let strategies = self.strategies(batch, time, false);
        for (at, node) in self.nodes.iter().enumerate() {
            let mut parts = self.parts.iter().zip(&strategies).filter(|(p, _)| p.layer == at).peekable();
            if parts.peek().is_none() {
                text.push_str(&format!("{}: {}\n", node.name, node.layer.kind().kernels()));
            }
            for (part, s) in parts {
                text.push_str(&format!("{}: {} ({})\n", part.name, s.strategy, s.why));
            }
        }
        text.push_str(&format!("for batches of {batch} samples of {time} steps\n"));
        text
    }
}
