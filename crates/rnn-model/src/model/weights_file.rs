//! Weights alone in a `.safetensors` file: for a model that is built anew. The same tensors under the same names as in a
//! model file, and so weights are read from either.

use super::Model;
use super::save::{KEY, floats, tensor};
use crate::files::write_atomically;
use crate::{Error, HostArray, Result};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::HashMap;
use std::path::Path;

/// What the metadata of such a file say under `tidegate`.
const DESCRIPTION: &str = r#"{"format":2,"weights_only":true}"#;

impl Model {
    /// Writes the weights alone, `weights/lstm/kernel` and so on, to a `.safetensors` file: no architecture, optimizer or
    /// counters. [`load_weights`](Self::load_weights) reads it into a model that was built with the same layers.
    ///
    /// ```
    /// # use rnn_model::{Device, Input, Sequential, layer::Lstm};
    /// # let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("lstm.weights.safetensors");
    /// let layers = Sequential::new(Input::sequence(None, 1)).layer(Lstm::new(4));
    /// let trained = layers.clone().seed(1).build(&Device::cpu())?;
    /// trained.save_weights(&path)?;
    /// let mut other = layers.seed(2).build(&Device::cpu())?;
    /// other.load_weights(&path)?;
    /// assert_eq!(other.get_weights()?, trained.get_weights()?);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the file can not be written; a file that stood there is left as it was.
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        let tensors = self.tensors("weights", self.params.all())?;
        let views = tensors.iter().map(|t| {
            let view = TensorView::new(Dtype::F32, t.shape.clone(), &t.bytes);
            (t.name.as_str(), view.expect("as many bytes as the shape says"))
        });
        let metadata = HashMap::from([(KEY.to_owned(), DESCRIPTION.to_owned())]);
        let bytes = safetensors::serialize(views, Some(metadata)).expect("names are unique and shapes fit");
        write_atomically(path, &bytes)
    }

    /// Replaces all weights by those of a file: of [`save_weights`](Self::save_weights) or of [`save`](Self::save), whose
    /// weights must have the names and shapes of this model's. Optimizer and counters stay as they are.
    ///
    /// # Errors
    /// When the file can not be read, is cut off, or a weight is missing or of another shape; nothing is changed then.
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|e| Error::file(path, format!("not a complete .safetensors file ({e})")))?;
        let read = |name: &str, shape: &[usize]| {
            let found = tensor(&file, &format!("weights/{name}"), shape).map_err(|error| match error {
                Error::File { problem, .. } => Error::file(path, problem),
                other => Error::file(path, other.to_string()),
            })?;
            Ok(HostArray { shape: shape.to_vec(), data: floats(found).into() })
        };
        let weights: Vec<HostArray<'_>> =
            self.variables.iter().map(|v| read(&v.name, &v.spec.shape)).collect::<Result<_>>()?;
        self.write_like_weights(self.params.all(), &weights)
    }
}
