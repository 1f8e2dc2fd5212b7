//! Which kernels run a model, and why.

use super::Model;
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
        let layers = self.nodes.iter().enumerate().filter_map(|(i, n)| Some((i, n, n.layer.recurrent()?)));
        layers
            .map(|(i, node, traits)| {
                let input = if i == 0 { self.input_shape() } else { &self.nodes[i - 1].output };
                let input = input.last().copied().flatten().unwrap_or(1);
                let shape = RecurrentShape { time, batch, input, units: traits.units };
                let (strategy, why) = match traits.fused {
                    Some(cell) => engine.strategy(cell, shape, training),
                    None => (
                        "plain operations step by step".to_owned(),
                        "an activation of the cell needs more than its own output, so no kernel fuses it"
                            .to_owned(),
                    ),
                };
                LayerStrategy { layer: node.name.clone(), strategy, why }
            })
            .collect()
    }

    /// In words: the device, and for each layer which kernels run it and why, for batches of 32 samples (or the fixed
    /// batch size) of 32 steps (or the fixed number).
    pub fn explain(&self) -> String {
        let batch = self.architecture.input.batch.unwrap_or(32);
        let time = self.input_shape().first().copied().flatten().filter(|_| self.input_shape().len() == 2);
        let time = time.unwrap_or(32);
        let mut text = format!("device: {} ({:?})\n", self.device.name(), self.device.kind());
        let strategies = self.strategies(batch, time, false);
        for node in &self.nodes {
            let line = match strategies.iter().find(|s| s.layer == node.name) {
                Some(s) => format!("{}: {} ({})\n", node.name, s.strategy, s.why),
                None => format!("{}: {}\n", node.name, other_kernels(node.layer.class())),
            };
            text.push_str(&line);
        }
        text.push_str(&format!("for batches of {batch} samples of {time} steps\n"));
        text
    }
}

fn other_kernels(class: &str) -> &'static str {
    match class {
        "Dense" | "TimeDistributed" => "one matmul over all steps, bias and activation in it",
        "Activation" => "one element-wise pass",
        "Dropout" => "one element-wise pass while training, nothing otherwise",
        "RepeatVector" => "one copy",
        _ => "a transpose where the steps are more than one, else nothing",
    }
}
