//! Weights: all variables of a model stand in one device buffer, each from a multiple of 64 values on (256 bytes, the
//! strictest alignment a GPU asks of a binding). Gradients and optimizer slots have the same layout.

use super::{Graph, Model};
use crate::array::array;
use crate::device::Slice;
use crate::error::count;
use crate::layer::{SampleShape, VariableSpec};
use crate::{Error, HostArray, Result};
use ndarray::ArrayD;

pub(crate) const ALIGN: usize = 64;

/// A weight in its place.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    /// layer and weight, `lstm/kernel`
    pub name: String,
    pub layer: usize,
    /// place among the weights of its layer
    pub within: usize,
    pub spec: VariableSpec,
    pub offset: usize,
    pub len: usize,
}

impl Variable {
    pub fn slice(&self, whole: Slice) -> Slice {
        whole.part(self.offset, self.len)
    }
}

/// The variables of a model and the length of the buffer that holds them.
pub(super) fn layout(graph: &Graph, shapes: &[Vec<SampleShape>]) -> Result<(Vec<Variable>, usize)> {
    let mut variables = Vec::new();
    let mut end = 0usize;
    for (layer, specs) in graph.variables(shapes)?.into_iter().enumerate() {
        let layer_name = &graph.layers[layer].name;
        for (within, spec) in specs.into_iter().enumerate() {
            let len = spec.shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
            let next = len.and_then(|len| end.checked_add(len)?.checked_next_multiple_of(ALIGN));
            let (Some(len), Some(next)) = (len, next.filter(|&n| n < u32::MAX as usize / 4)) else {
                let what = format!("{} of {layer_name}", spec.name);
                return Err(Error::invalid(what, "the model has more weights than a buffer can hold"));
            };
            let name = format!("{layer_name}/{}", spec.name);
            if let Some(problem) = spec.problem() {
                return Err(Error::invalid(name, problem));
            }
            variables.push(Variable { name, layer, within, spec, offset: end, len });
            end = next;
        }
    }
    Ok((variables, end.max(ALIGN)))
}

/// Where the weights of layer `index` stand.
pub(super) fn slices(variables: &[Variable], index: usize, whole: Slice) -> Vec<Slice> {
    variables.iter().filter(|v| v.layer == index).map(|v| v.slice(whole)).collect()
}

impl Model {
    /// Gives every weight its initial value.
    pub(super) fn initialize(&self) -> Result<()> {
        for (stream, variable) in self.variables.iter().enumerate() {
            let data = variable
                .spec
                .initial_values(self.graph.seed, stream as u32)
                .map_err(|problem| Error::invalid(variable.name.clone(), problem))?;
            self.device.engine().write(variable.slice(self.params.all()), &data)?;
        }
        Ok(())
    }

    /// Names of the weights in order: `lstm/kernel`, `lstm/recurrent_kernel`, `lstm/bias`, `dense/kernel`, ...
    pub fn weight_names(&self) -> Vec<&str> {
        self.variables.iter().map(|v| v.name.as_str()).collect()
    }

    /// Copies of all weights, in Keras's order and layout.
    ///
    /// # Errors
    /// When the device fails.
    pub fn get_weights(&self) -> Result<Vec<ArrayD<f32>>> {
        self.read_like_weights(self.params.all())
    }

    /// A buffer laid out as the weights, as one array per weight.
    pub(super) fn read_like_weights(&self, whole: Slice) -> Result<Vec<ArrayD<f32>>> {
        let all = self.device.engine().read(whole)?;
        let part = |v: &Variable| array(&v.spec.shape, all[v.offset..v.offset + v.len].to_vec());
        Ok(self.variables.iter().map(part).collect())
    }

    /// Refuses arrays that are not one of each weight's shape.
    pub(super) fn check_like_weights(&self, arrays: &[HostArray<'_>]) -> Result<()> {
        if arrays.len() != self.variables.len() {
            return Err(Error::Shape {
                what: "weights".into(),
                expected: format!(
                    "{} ({})",
                    count(self.variables.len(), "array"),
                    self.weight_names().join(", ")
                ),
                got: arrays.len().to_string(),
            });
        }
        match self.variables.iter().zip(arrays).find(|(v, a)| a.shape != v.spec.shape) {
            Some((variable, array)) => {
                let expected = format!("{:?}", variable.spec.shape);
                Err(Error::shape(variable.name.clone(), expected, array.shape.as_slice()))
            }
            None => Ok(()),
        }
    }

    /// The other way.
    pub(super) fn write_like_weights(&self, whole: Slice, arrays: &[HostArray<'_>]) -> Result<()> {
        self.check_like_weights(arrays)?;
        let mut all = vec![0.0; whole.len];
        for (variable, array) in self.variables.iter().zip(arrays) {
            all[variable.offset..variable.offset + variable.len].copy_from_slice(&array.data);
        }
        self.device.engine().write(whole, &all)
    }

    /// Replaces all weights.
    ///
    /// # Errors
    /// When the number of arrays or a shape differs from [`get_weights`](Self::get_weights); nothing is changed then.
    pub fn set_weights<'a, W: Into<HostArray<'a>>>(
        &mut self,
        weights: impl IntoIterator<Item = W>,
    ) -> Result<()> {
        let weights: Vec<HostArray<'a>> = weights.into_iter().map(Into::into).collect();
        self.write_like_weights(self.params.all(), &weights)
    }

    /// Number of weights.
    pub fn count_params(&self) -> usize {
        self.variables.iter().map(|v| v.len).sum()
    }
}
