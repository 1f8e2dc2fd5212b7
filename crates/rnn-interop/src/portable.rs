//! A model on its way between systems: what every reader gives and every writer takes.

use crate::{Error, Result};
use ndarray::ArrayD;
use rnn_model::{Device, Goal, Graph, Model, Optimizer, OptimizerState};

/// A model apart from any device: architecture, weights, and where its training stands.
#[derive(Clone, Debug)]
pub struct PortableModel {
    /// layers and options
    pub graph: Graph,
    /// in the order, the layout and the shapes of [`Graph::weights`]
    pub weights: Vec<ArrayD<f32>>,
    /// what it was compiled with, where the file says so
    pub training: Option<PortableTraining>,
    /// what the file holds and this model does not, in sentences for a person
    pub notes: Vec<String>,
}

/// What a model was compiled with, and how far its training has come.
#[derive(Clone, Debug)]
pub struct PortableTraining {
    /// update rule and settings
    pub optimizer: Optimizer,
    /// loss and metrics of each output
    pub goals: Vec<Goal>,
    /// steps done, and what the optimizer keeps
    pub state: OptimizerState,
}

impl PortableModel {
    /// A copy of a model.
    ///
    /// # Errors
    /// When the device fails.
    pub fn of(model: &Model) -> Result<Self> {
        let training = match model.optimizer() {
            Some(optimizer) => Some(PortableTraining {
                optimizer: optimizer.clone(),
                goals: model.goals().to_vec(),
                state: model.optimizer_state()?,
            }),
            None => None,
        };
        let weights = model.get_weights()?;
        Ok(PortableModel { graph: model.graph().clone(), weights, training, notes: Vec::new() })
    }

    /// Makes the model on a device, compiled where the file says how.
    ///
    /// # Errors
    /// When weights do not fit the graph, or the device lacks memory.
    pub fn build(&self, device: &Device) -> Result<Model> {
        self.check()?;
        let mut model = self.graph.build_with_weights(device, &self.weights)?;
        if let Some(training) = &self.training {
            model.compile_outputs(training.optimizer.clone(), &training.goals)?;
            model.set_optimizer_state(&training.state)?;
        }
        Ok(model)
    }

    /// Refuses weights that do not fit the graph.
    pub(crate) fn check(&self) -> Result<()> {
        let specs = self.graph.weights()?;
        if specs.len() != self.weights.len() {
            let problem = format!("the architecture has {} weights, got {}", specs.len(), self.weights.len());
            return Err(Error::damaged("weights", problem));
        }
        match specs.iter().zip(&self.weights).find(|(spec, got)| spec.shape != got.shape()) {
            Some((spec, got)) => {
                let problem = format!("expected shape {:?}, got {:?}", spec.shape, got.shape());
                Err(Error::damaged(format!("weight {}", spec.name), problem))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array;
    use rnn_model::layer::{Dense, Lstm};
    use rnn_model::{Adam, Input, Loss, Sequential};

    #[test]
    fn a_copy_trains_on_as_the_model_does() {
        let device = Device::cpu();
        let mut model = Sequential::new(Input::sequence(3, 1))
            .layer(Lstm::new(4))
            .layer(Dense::new(1))
            .build(&device)
            .unwrap();
        model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
        let x = Array::from_shape_fn((8, 3, 1), |(i, t, _)| ((i + t) as f32).sin());
        let y = Array::from_shape_fn((8, 1), |(i, _)| (i as f32 + 3.0).sin());
        model.train_on_batch(&x, &y).unwrap();
        let mut copy = PortableModel::of(&model).unwrap().build(&device).unwrap();
        model.train_on_batch(&x, &y).unwrap();
        copy.train_on_batch(&x, &y).unwrap();
        assert_eq!(model.get_weights().unwrap(), copy.get_weights().unwrap());
    }

    #[test]
    fn weights_of_another_shape_are_refused_by_name() {
        let device = Device::cpu();
        let model = Sequential::new(Input::vector(3)).layer(Dense::new(2)).build(&device).unwrap();
        let mut copy = PortableModel::of(&model).unwrap();
        copy.weights[0] = ArrayD::zeros(vec![2, 3]);
        let message = copy.build(&device).unwrap_err().to_string();
        assert_eq!(message, "weight dense/kernel: expected shape [3, 2], got [2, 3]");
    }
}
