//! The model file: one `.safetensors` file. Weights, optimizer slots and states are its tensors; what they belong to
//! stands as JSON under `tidegate` in its metadata. Every file is checked against what its own architecture implies
//! before anything is allocated for it.

use super::compile::SLOTS;
use super::compile::TrainingConfig;
use super::state::LayerState;
use super::{Counters, Graph, Model, weights};
use crate::array::array;
use crate::device::{Buffer, Slice};
use crate::files::write_atomically;
use crate::layer::cell::Cells;
use crate::series::SeriesTransform;
use crate::{Device, Error, HostArray, Result};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

pub(super) const KEY: &str = "tidegate";
const FORMAT: u32 = 2;
/// Names of a layer's states, in order.
const STATES: [&str; 2] = ["h", "c"];

/// What stands beside the tensors.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    graph: Graph,
    training: Option<TrainingConfig>,
    counters: Counters,
    transform: Option<SeriesTransform>,
    /// samples whose states are in the file
    state_batch: Option<usize>,
}

/// A tensor on its way into a file.
pub(super) struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    fn new(name: String, shape: &[usize], values: &[f32]) -> Self {
        Tensor { name, shape: shape.to_vec(), bytes: values.iter().flat_map(|x| x.to_le_bytes()).collect() }
    }
}

impl Model {
    /// Writes the model to one `.safetensors` file: architecture, weights, and, so that training goes on as if never
    /// interrupted, optimizer, slots and counters; the transform too. States are left out; see
    /// [`save_with_states`](Self::save_with_states).
    ///
    /// # Errors
    /// When the file can not be written; a file that stood there is left as it was.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path, &self.to_bytes(false)?)
    }

    /// As [`save`](Self::save), with the states of the stateful layers.
    ///
    /// # Errors
    /// As `save`.
    pub fn save_with_states(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path, &self.to_bytes(true)?)
    }

    /// The model file's contents.
    ///
    /// # Errors
    /// When the device fails.
    pub fn to_bytes(&self, with_states: bool) -> Result<Vec<u8>> {
        let mut tensors = self.tensors("weights", self.params.all())?;
        if let Some(training) = &self.training {
            for (slot, name) in training.slots.iter().zip(SLOTS) {
                if let Some(buffer) = slot {
                    tensors.extend(self.tensors(&format!("optimizer/{name}"), buffer.all())?);
                }
            }
        }
        let states = self.states.as_ref().filter(|_| with_states && !self.states_are_fresh);
        if let Some(states) = states {
            for state in states.read(self)? {
                let arrays = state.states.iter().enumerate();
                tensors.extend(arrays.map(|(i, a)| {
                    Tensor::new(state_name(&state.layer, i), a.shape(), &HostArray::from(a).data)
                }));
            }
        }
        let header = Header {
            format: FORMAT,
            graph: self.graph.clone(),
            training: self.training.as_ref().map(|t| t.config.clone()),
            counters: self.counters,
            transform: self.transform.clone(),
            state_batch: states.map(|s| s.batch),
        };
        let json = serde_json::to_string(&header).expect("the header has only plain data");
        let views = tensors.iter().map(|t| {
            let view = TensorView::new(Dtype::F32, t.shape.clone(), &t.bytes);
            (t.name.as_str(), view.expect("as many bytes as the shape says"))
        });
        let metadata = HashMap::from([(KEY.to_owned(), json)]);
        Ok(safetensors::serialize(views, Some(metadata)).expect("names are unique and shapes fit"))
    }

    pub(super) fn tensors(&self, prefix: &str, whole: Slice) -> Result<Vec<Tensor>> {
        let all = self.device.engine().read(whole)?;
        let tensor = |v: &weights::Variable| {
            Tensor::new(format!("{prefix}/{}", v.name), &v.spec.shape, &all[v.offset..v.offset + v.len])
        };
        Ok(self.variables.iter().map(tensor).collect())
    }

    /// Reads a model file onto a device. Its predictions are bit-identical to those of the model that was saved, on the
    /// same kind of device.
    ///
    /// # Errors
    /// When the file can not be read, is cut off, is no model file of this program, or contradicts itself; the message
    /// says where.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Model> {
        Self::load_with(path, device, &Cells::new())
    }

    /// As [`load`](Self::load), of a model with cells of one's own.
    ///
    /// # Errors
    /// As `load`, and when the file names a cell that is neither built in nor among `cells`.
    pub fn load_with(path: impl AsRef<Path>, device: &Device, cells: &Cells) -> Result<Model> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
        Self::from_bytes_with(&bytes, device, cells).map_err(|error| match error {
            Error::File { problem, .. } => Error::file(path, problem),
            Error::Invalid { what, problem } => Error::file(path, format!("{what}: {problem}")),
            error @ Error::Shape { .. } => Error::file(path, error.to_string()),
            other => other,
        })
    }

    /// As [`load`](Self::load), from memory.
    ///
    /// # Errors
    /// As `load`; the file is called `model`.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Model> {
        Self::from_bytes_with(bytes, device, &Cells::new())
    }

    /// As [`load_with`](Self::load_with), from memory.
    ///
    /// # Errors
    /// As `load_with`; the file is called `model`.
    pub fn from_bytes_with(bytes: &[u8], device: &Device, cells: &Cells) -> Result<Model> {
        let wrong = |problem: String| Error::file(Path::new("model"), problem);
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| wrong(format!("not a complete .safetensors file ({e})")))?;
        let (_, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|e| wrong(format!("unreadable header ({e})")))?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or_else(|| {
            wrong(
                "a .safetensors file, but not a model that tidegate saved (no `tidegate` in its metadata)"
                    .into(),
            )
        })?;
        let format: Format = serde_json::from_str(json)
            .map_err(|e| wrong(format!("damaged description of the model ({e})")))?;
        if format.format != FORMAT {
            return Err(wrong(format!(
                "model format {}, but this program reads format {FORMAT}; use the version that wrote it",
                format.format
            )));
        }
        if format.weights_only {
            let problem = "it holds weights alone; build the model and read them with load_weights";
            return Err(wrong(problem.into()));
        }
        let header: Header = cells
            .reading(|| serde_json::from_str(json))
            .map_err(|e| wrong(format!("damaged description of the model ({e})")))?;
        let shapes = header.graph.check()?;
        let (variables, len) = weights::layout(&header.graph, &shapes)?;
        let read = |prefix: &str| -> Result<Vec<f32>> {
            let parts =
                variables.iter().map(|v| tensor(&file, &format!("{prefix}/{}", v.name), &v.spec.shape));
            let parts: Vec<&[u8]> = parts.collect::<Result<_>>()?;
            let mut all = vec![0.0; len];
            for (v, bytes) in variables.iter().zip(parts) {
                all[v.offset..v.offset + v.len].copy_from_slice(&floats(bytes));
            }
            Ok(all)
        };
        let values = read("weights")?;
        let mut model = Model::without_weights(header.graph, device)?;
        device.engine().write(model.params.all(), &values)?;
        if let Some(config) = header.training {
            config.check()?;
            model.compile_outputs(config.optimizer, &config.goals)?;
            let slots =
                model.training.as_ref().map(|t| t.slots.each_ref().map(|s| s.as_ref().map(Buffer::all)));
            for (slot, name) in slots.into_iter().flatten().zip(SLOTS) {
                if let Some(slot) = slot {
                    let values = read(&format!("optimizer/{name}"))?;
                    device.engine().write(slot, &values)?;
                }
            }
        }
        model.counters = header.counters;
        model.transform = header.transform;
        if let Some(batch) = header.state_batch {
            model.read_states(&file, batch)?;
        }
        Ok(model)
    }

    fn read_states(&mut self, file: &SafeTensors<'_>, batch: usize) -> Result<()> {
        let mut states = Vec::new();
        for part in self.parts.iter().filter(|p| p.traits.stateful) {
            let read = |(i, &units): (usize, &usize)| -> Result<_> {
                let shape = [batch, units];
                let bytes = tensor(file, &state_name(&part.name, i), &shape)?;
                Ok(array(&shape, floats(bytes)))
            };
            let arrays = part.traits.states.iter().enumerate().map(read).collect::<Result<_>>()?;
            states.push(LayerState { layer: part.name.clone(), states: arrays });
        }
        self.set_states(&states)
    }
}

/// `states/lstm/h`
fn state_name(layer: &str, index: usize) -> String {
    match STATES.get(index) {
        Some(name) => format!("states/{layer}/{name}"),
        None => format!("states/{layer}/{index}"),
    }
}

/// Read before the rest, which may differ between formats.
#[derive(Deserialize)]
struct Format {
    format: u32,
    #[serde(default)]
    weights_only: bool,
}

/// The bytes of the f32 tensor `name`, whose shape must be the one the architecture implies.
pub(super) fn tensor<'a>(file: &SafeTensors<'a>, name: &str, shape: &[usize]) -> Result<&'a [u8]> {
    let tensor = file
        .tensor(name)
        .map_err(|_| Error::file(Path::new("model"), format!("tensor {name} is missing")))?;
    if tensor.dtype() != Dtype::F32 {
        return Err(Error::invalid(
            format!("tensor {name}"),
            format!("expected F32, got {:?}", tensor.dtype()),
        ));
    }
    if tensor.shape() != shape {
        return Err(Error::shape(format!("tensor {name}"), format!("{shape:?}"), tensor.shape()));
    }
    Ok(tensor.data())
}

pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
