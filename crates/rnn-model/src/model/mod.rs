//! A model on a device: its layers, weights, states, and the programs recorded for it.

pub(crate) mod arithmetic;
mod compile;
mod dataset;
mod evaluate;
mod explain;
mod fit;
mod forecast;
mod gradients;
pub(crate) mod lowering;
mod plan;
mod predict;
mod save;
mod sequential;
mod state;
mod summary;
mod weights;

pub use explain::LayerStrategy;
pub use fit::FitOptions;
pub use gradients::Gradients;
pub use sequential::{Input, Sequential};
pub use state::LayerState;

use crate::device::{Buffer, Device};
use crate::layer::SampleShape;
use crate::series::SeriesTransform;
use crate::{Error, Result};
use compile::Training;
use lowering::Node;
use plan::Plans;
use state::StateSet;

/// A model on a device: built by [`Sequential::build`] or loaded by [`Model::load`].
///
/// Arrays are `[samples, time, features]` or `[samples, features]` of `f32`. A method that runs the model takes
/// `&mut self`, because stateful layers carry their states along.
pub struct Model {
    architecture: Sequential,
    device: Device,
    nodes: Vec<Node>,
    variables: Vec<weights::Variable>,
    /// all weights in one buffer; see [`weights`]
    params: Buffer,
    training: Option<Training>,
    /// gradient of each weight, laid out as `params`
    grads: Option<Buffer>,
    plans: Plans,
    /// of the stateful layers
    states: Option<StateSet>,
    /// reset since the last batch: the next one may have any size
    states_are_fresh: bool,
    counters: Counters,
    transform: Option<SeriesTransform>,
    /// of the last `fit`, kept for the next
    resident: Option<dataset::Dataset>,
}

/// What a resumed training goes on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Counters {
    /// optimizer steps done
    pub iterations: u64,
    /// epochs done
    pub epochs: u64,
    /// passes in training mode done: counter of dropout's random numbers
    pub passes: u64,
}

impl Model {
    pub(crate) fn build(architecture: Sequential, device: &Device) -> Result<Model> {
        let shapes = architecture.shapes()?;
        let model = Self::without_weights(architecture, shapes, device)?;
        model.initialize()?;
        Ok(model)
    }

    /// The model with all weights zero.
    fn without_weights(architecture: Sequential, shapes: Vec<SampleShape>, device: &Device) -> Result<Model> {
        let (variables, len) = weights::layout(&architecture, &shapes)?;
        let params = device.alloc(len)?;
        let names = summary::layer_names(&architecture.layers);
        let nodes = architecture.layers.iter().zip(shapes).zip(names).enumerate();
        let nodes = nodes
            .map(|(index, ((layer, output), name))| Node {
                index,
                name,
                layer: layer.clone(),
                output,
                weights: weights::slices(&variables, index, params.all()),
                gradients: Vec::new(),
            })
            .collect();
        Ok(Model {
            nodes,
            variables,
            params,
            device: device.clone(),
            training: None,
            grads: None,
            plans: Plans::default(),
            states: None,
            states_are_fresh: true,
            counters: Counters::default(),
            transform: None,
            resident: None,
            architecture,
        })
    }

    /// The device the model lives on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The layers and options the model was built from.
    pub fn architecture(&self) -> &Sequential {
        &self.architecture
    }

    /// Shape of one output sample, `None` where it depends on the input.
    pub fn output_shape(&self) -> &[Option<usize>] {
        &self.nodes[self.nodes.len() - 1].output
    }

    /// Shape of one input sample, `None` where any size does.
    pub fn input_shape(&self) -> &[Option<usize>] {
        &self.architecture.input.sample
    }

    /// What was done to the series before training, to be undone on the model's output; saved with the model.
    pub fn transform(&self) -> Option<&SeriesTransform> {
        self.transform.as_ref()
    }

    /// Keeps a fitted transform with the model.
    pub fn set_transform(&mut self, transform: Option<SeriesTransform>) {
        self.transform = transform;
    }

    /// Optimizer steps done so far.
    pub fn iterations(&self) -> u64 {
        self.counters.iterations
    }

    /// Epochs done so far.
    pub fn epochs(&self) -> u64 {
        self.counters.epochs
    }

    /// Checks an input array `[samples, ...]` and gives the shape of its samples.
    pub(crate) fn check_input(&self, what: &str, shape: &[usize]) -> Result<Vec<usize>> {
        let sample = self.input_shape();
        let fits = shape.len() == sample.len() + 1
            && shape[1..].iter().zip(sample).all(|(&n, want)| want.is_none_or(|w| w == n) && n > 0);
        if !fits {
            let mut expected = vec![None];
            expected.extend_from_slice(sample);
            return Err(Error::Shape {
                what: what.to_owned(),
                expected: crate::error::AsShape::text(&expected.as_slice()),
                got: format!("{shape:?}"),
            });
        }
        if shape[0] == 0 {
            return Err(Error::shape(what, "at least one sample", shape));
        }
        Ok(shape[1..].to_vec())
    }

    /// Checks a batch size against a fixed one.
    pub(crate) fn check_batch(&self, batch: usize) -> Result<()> {
        match self.architecture.input.batch {
            Some(fixed) if fixed != batch => Err(Error::Shape {
                what: "batch of the model (its input shape fixes the batch size)".into(),
                expected: format!("{fixed} samples"),
                got: format!("{batch} samples"),
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_stateful(&self) -> bool {
        self.nodes.iter().any(|n| n.layer.recurrent().is_some_and(|r| r.stateful))
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model on {}\n{}", self.device.name(), self.summary())
    }
}
