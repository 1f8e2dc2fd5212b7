//! ONNX: models of LSTM, GRU and RNN with what exporters put around them, read and written.
//!
//! [`read`] walks the nodes of a file and makes layers of them; what it can not express is refused with the node's name,
//! operator and domain. [`read_with`] binds inputs to arrays, and says where the batch is among the axes of each input and
//! output: here it is always the first.
//!
//! ```no_run
//! use rnn_interop::{Limits, onnx};
//! let bytes = std::fs::read("model.onnx")?;
//! let imported = onnx::read_with(&bytes, &Limits::default(), &onnx::Options::new())?;
//! let mut model = imported.model.build(&rnn_model::Device::cpu())?;
//! # let x = ndarray::ArrayD::<f32>::zeros(vec![5, 2, 3]);
//! let x = imported.inputs[0].to_batch_first(&x); // [time, batch, features] to [batch, time, features]
//! let y = model.predict_on_batch(&x)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activations;
mod algebra;
mod arithmetic;
mod arrange;
mod branch;
mod builder;
mod concat;
mod constants;
mod dense;
mod drawn;
mod elementwise;
mod file;
mod filled;
mod flags;
mod gather;
mod import;
mod looped;
mod node;
mod number;
mod operators;
mod parts;
mod proto;
mod recurrent;
mod scan;
mod slice;
mod sorting;
mod tensor;
mod value;
mod views;
mod write;

use crate::{Limits, PortableModel, Result};
use ndarray::ArrayD;

/// How a file is to be read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    bound: Vec<(String, ArrayD<f32>)>,
    batch_axes: Vec<(String, usize)>,
}

impl Options {
    /// Every input that is no initializer is an input of the model, and the batch axis is found by what the nodes ask for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a constant of an input: weights that a graph takes as inputs.
    pub fn bind(mut self, input: impl Into<String>, array: ArrayD<f32>) -> Self {
        self.bound.push((input.into(), array));
        self
    }

    /// Says which axis of an input is that of the samples.
    pub fn batch_axis(mut self, input: impl Into<String>, axis: usize) -> Self {
        self.batch_axes.push((input.into(), axis));
        self
    }
}

/// A model that was read, and how its arrays relate to those of the file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// the model
    pub model: PortableModel,
    /// in the order of the model's inputs
    pub inputs: Vec<Port>,
    /// in the order of the model's outputs
    pub outputs: Vec<Port>,
}

/// An input or output: the same array here and in ONNX, but for the place of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// in the file
    pub name: String,
    /// the axis of the samples in ONNX; here it is the first
    pub batch_axis: usize,
    /// number of axes in ONNX; here a tensor of one axis has a second one of size 1
    pub rank: usize,
}

impl Port {
    /// From ONNX's order of axes to `[batch, ...]`.
    pub fn to_batch_first(&self, array: &ArrayD<f32>) -> ArrayD<f32> {
        let mut order: Vec<usize> = (0..array.ndim()).collect();
        if self.batch_axis < order.len() {
            let batch = order.remove(self.batch_axis);
            order.insert(0, batch);
        }
        let array = array.view().permuted_axes(order);
        let array = if array.ndim() == 1 { array.insert_axis(ndarray::Axis(1)) } else { array };
        array.as_standard_layout().into_owned()
    }

    /// From `[batch, ...]` to ONNX's order of axes.
    pub fn from_batch_first(&self, array: &ArrayD<f32>) -> ArrayD<f32> {
        let mut array = array.view();
        if self.rank == 1 && array.ndim() == 2 {
            array = array.index_axis_move(ndarray::Axis(1), 0);
        }
        let mut order: Vec<usize> = (1..array.ndim()).collect();
        order.insert(self.batch_axis.min(order.len()), 0);
        array.permuted_axes(order).as_standard_layout().into_owned()
    }
}

/// Reads a model.
///
/// # Errors
/// When the bytes are no ONNX model, it is damaged or too large, or has an operator or option that layers here do not have;
/// the error names the node.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<PortableModel> {
    Ok(read_with(bytes, limits, &Options::new())?.model)
}

/// Reads a model, with options.
///
/// # Errors
/// As [`read`].
pub fn read_with(bytes: &[u8], limits: &Limits, options: &Options) -> Result<Imported> {
    import::read(bytes, limits, options)
}

/// Writes a model.
///
/// # Errors
/// When a layer has no form in ONNX; the error names it.
pub fn write(model: &PortableModel) -> Result<Vec<u8>> {
    write::write(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array;

    #[test]
    fn ports_move_the_batch_and_back() {
        let array = Array::from_shape_fn((2, 3, 4), |(i, j, k)| (i * 12 + j * 4 + k) as f32).into_dyn();
        for batch_axis in 0..3 {
            let port = Port { name: "x".to_owned(), batch_axis, rank: 3 };
            let first = port.to_batch_first(&array);
            assert_eq!(first.shape()[0], array.shape()[batch_axis]);
            assert_eq!(port.from_batch_first(&first), array);
        }
        let port = Port { name: "lens".to_owned(), batch_axis: 0, rank: 1 };
        let lens = ndarray::arr1(&[1.0f32, 2.0]).into_dyn();
        assert_eq!(port.to_batch_first(&lens).shape(), [2, 1]);
        assert_eq!(port.from_batch_first(&port.to_batch_first(&lens)), lens);
    }
}
