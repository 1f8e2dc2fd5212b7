//! Which format a file is in, and one way to read and to write all of them.

mod contents;
mod file;

pub use file::{
    ModelFile, ReadOptions, WriteOptions, decode, detect, encode, read_file, read_model, write_model,
};

use crate::{Error, Result};
use std::fmt;
use std::path::Path;

/// A format of model files.
///
/// ```
/// use rnn_interop::Format;
/// use std::path::Path;
/// assert_eq!(Format::of_path(Path::new("m/best.weights.h5"))?, Some(Format::KerasWeights));
/// assert_eq!(Format::from_name("torch")?, Format::Torch);
/// # Ok::<(), rnn_interop::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Format {
    /// This engine's own model file, `.safetensors`: architecture, weights, training.
    Tidegate,
    /// Keras 3, `.keras`: architecture, weights, training.
    Keras,
    /// Keras 2 and 3, `.h5`: architecture, weights, training.
    KerasH5,
    /// Keras's `.weights.h5`: weights alone.
    KerasWeights,
    /// `.onnx`: architecture and weights.
    Onnx,
    /// A state dict of PyTorch, `.safetensors`: weights alone.
    Torch,
    /// `.npz`: weights alone, by their names.
    Npz,
}

/// Format, name for a command line, ending, and what a person calls it.
const TABLE: [(Format, &str, &str, &str); 7] = [
    (Format::Tidegate, "tidegate", ".safetensors", "a model file of tidegate"),
    (Format::Keras, "keras", ".keras", "a Keras 3 model (.keras)"),
    (Format::KerasH5, "h5", ".h5", "a Keras model in HDF5 (.h5)"),
    (Format::KerasWeights, "weights-h5", ".weights.h5", "weights of Keras (.weights.h5)"),
    (Format::Onnx, "onnx", ".onnx", "an ONNX model"),
    (Format::Torch, "torch", ".safetensors", "a state dict of PyTorch (.safetensors)"),
    (Format::Npz, "npz", ".npz", "arrays of NumPy (.npz)"),
];

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().3)
    }
}

impl Format {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Format> {
        TABLE.iter().map(|row| row.0)
    }

    fn row(self) -> &'static (Format, &'static str, &'static str, &'static str) {
        let at = TABLE.iter().position(|row| row.0 == self).unwrap_or_default();
        &TABLE[at]
    }

    /// A word for it: `tidegate`, `keras`, `h5`, `weights-h5`, `onnx`, `torch`, `npz`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The format of a name.
    ///
    /// # Errors
    /// When there is none; the message lists them.
    pub fn from_name(name: &str) -> Result<Format> {
        let found = TABLE.iter().find(|row| row.1 == name.trim().trim_start_matches('.').to_lowercase());
        found.map(|row| row.0).ok_or_else(|| {
            let names: Vec<&str> = TABLE.iter().map(|row| row.1).collect();
            Error::unsupported(format!("format {name:?}"), format!("there are {}", names.join(", ")))
        })
    }

    /// The format that a file's ending stands for; `.safetensors` stands for [`Tidegate`](Format::Tidegate), though state dicts
    /// have it too. `None` where the ending says nothing.
    ///
    /// # Errors
    /// When the ending is that of a format that is not read or written; the message says what to do.
    pub fn of_path(path: &Path) -> Result<Option<Format>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let ends = |ending: &str| name.ends_with(ending);
        let found = match () {
            () if ends(".weights.h5") => Some(Format::KerasWeights),
            () if ends(".safetensors") => Some(Format::Tidegate),
            () if ends(".keras") => Some(Format::Keras),
            () if ends(".h5") || ends(".hdf5") => Some(Format::KerasH5),
            () if ends(".onnx") => Some(Format::Onnx),
            () if ends(".npz") => Some(Format::Npz),
            () if [".pt", ".pth", ".pkl", ".pickle", ".ckpt"].iter().any(|ending| ends(ending)) => {
                return Err(Error::unsupported("the file's ending", PICKLE));
            }
            () if [".pb", ".tflite", ".mlmodel", ".mlpackage"].iter().any(|ending| ends(ending)) => {
                let problem =
                    "TensorFlow's and Apple's formats are not read; save the model as .keras or .onnx";
                return Err(Error::unsupported("the file's ending", problem));
            }
            () => None,
        };
        Ok(found)
    }

    /// Whether a file of this format has weights and no architecture.
    pub fn is_weights_alone(self) -> bool {
        matches!(self, Format::KerasWeights | Format::Torch | Format::Npz)
    }
}

/// Why a pickle is refused, and what to do.
const PICKLE: &str = "files of torch.save are pickles: programs that run when they are read, so they are not read here. Save the \
                      weights in PyTorch by `from safetensors.torch import save_file; save_file(model.state_dict(), \
                      \"model.safetensors\")`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_stand_for_formats() {
        let of = |path: &str| Format::of_path(Path::new(path));
        for (path, format) in [
            ("a/b.KERAS", Format::Keras),
            ("b.h5", Format::KerasH5),
            ("b.weights.h5", Format::KerasWeights),
            ("b.onnx", Format::Onnx),
            ("b.npz", Format::Npz),
            ("b.safetensors", Format::Tidegate),
        ] {
            assert_eq!(of(path).unwrap(), Some(format), "{path}");
        }
        assert_eq!(of("model").unwrap(), None);
        assert!(of("model.pth").unwrap_err().to_string().contains("save_file(model.state_dict()"));
        assert!(of("model.tflite").is_err());
        for format in Format::all() {
            assert_eq!(Format::from_name(format.name()).unwrap(), format);
        }
        assert!(Format::from_name("caffe").unwrap_err().to_string().contains("tidegate, keras, h5"));
    }
}
