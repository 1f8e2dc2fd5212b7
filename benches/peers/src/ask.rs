//! What is asked on stdin, and the file with weights and data that goes with it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde::Deserialize;

use crate::Outcome;

/// A line on stdin.
#[derive(Deserialize)]
pub struct Ask {
    pub workload: Workload,
    pub mode: Mode,
    /// Safetensors file, see [`Data`].
    pub data: PathBuf,
    /// How long to measure.
    #[serde(default)]
    pub seconds: f64,
    /// Calls to measure, instead of a time.
    pub calls: Option<usize>,
    /// Do one call and write what it answered here, as little-endian `f32`; nothing is timed.
    pub answer: Option<PathBuf>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Infer,
    Train,
    Epoch,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Cell {
    Lstm,
    Gru,
}

/// What inference returns.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// The last output.
    Last,
    /// All outputs.
    Sequence,
    /// The last output; the state is carried into the next call.
    State,
}

/// One recurrent layer and what follows it.
#[derive(Clone, Deserialize)]
pub struct Workload {
    pub name: String,
    pub cell: Cell,
    pub batch: usize,
    pub time: usize,
    pub inputs: usize,
    pub units: usize,
    pub output: Output,
    /// Units of a Dense layer on top, 0 for none.
    pub dense: usize,
    /// The Dense layer ends in a softmax, trained by the cross-entropy at each step.
    pub softmax: bool,
}

/// `kernel [inputs, gates * units]`, `recurrent [units, gates * units]`, `bias` (LSTM `[4 * units]`, GRU `[2, 3 * units]`),
/// gates in Keras's order (i, f, c, o; z, r, h); `dense_kernel [units, dense]`, `dense_bias`; `x`, `y`. All in f32.
pub struct Data(HashMap<String, Array>);

pub struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Data {
    pub fn read(path: &Path) -> Outcome<Data> {
        let bytes = std::fs::read(path)?;
        let file = SafeTensors::deserialize(&bytes)?;
        let array = |view: safetensors::tensor::TensorView| Array {
            shape: view.shape().to_vec(),
            values: view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        };
        Ok(Data(file.iter().map(|(name, view)| (name.to_owned(), array(view))).collect()))
    }

    pub fn get(&self, name: &str) -> Outcome<&Array> {
        self.0.get(name).ok_or_else(|| format!("{name} is not in the file").into())
    }

    /// The columns of one gate: `[rows, units]`.
    pub fn gate(&self, name: &str, gate: usize, units: usize) -> Outcome<Array> {
        let array = self.get(name)?;
        let width = array.shape[array.shape.len() - 1];
        let columns = gate * units..(gate + 1) * units;
        let values: Vec<f32> =
            array.values.chunks(width).flat_map(|row| &row[columns.clone()]).copied().collect();
        Ok(Array { shape: vec![values.len() / units, units], values })
    }

    /// Biases of one gate, with the input and with the recurrent product. An LSTM has but one, and zeros for the other.
    pub fn gate_biases(&self, gate: usize, units: usize) -> Outcome<[Vec<f32>; 2]> {
        let mut values = self.gate("bias", gate, units)?.values;
        values.resize(2 * units, 0.0);
        let recurrent = values.split_off(units);
        Ok([values, recurrent])
    }
}
