//! What a value of an ONNX graph is while the graph is read.
//!
//! Layers here work on samples; the batch is no axis of theirs. An ONNX tensor has the batch somewhere among its axes, and
//! exporters move axes about, split and join them around every recurrent node. So a value carries two descriptions in the
//! same terms: how its elements stand in the sample of a [`Symbol`], and which axes ONNX sees. Both are lists of axes, each
//! a product of [`Atom`]s in row order; an axis of size 1 is an empty product. Transpose, Squeeze, Unsqueeze and Reshape
//! change the second description alone. Only where a layer wants its input in a certain order (`Builder::arrange`) are
//! elements moved, and mostly they stand right already.

use super::drawn::Drawn;
use super::flags::Flags;
use super::number::{Atom, Number};
use super::parts::Part;
use super::tensor::Tensor;
use ndarray::ArrayD;
use rnn_model::Symbol;
use rnn_model::layer::Layer;
use std::rc::Rc;

/// The axis of the samples.
pub(super) const BATCH: Atom = 0;

/// An axis as a product of atoms, in row order; empty for an axis of size 1.
pub(super) type Group = Vec<Atom>;

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Numbers that are there when the model is read.
    Known(Known),
    /// Numbers that a model computes.
    Device(Device),
    /// Several computed values along an axis, not yet put together.
    Stack(Stack),
}

/// Numbers that are there when the model is read, broadcast to a shape that may be open.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// of as many axes as `shape`, each of size 1 or as in `shape`
    pub tensor: Rc<Tensor>,
    /// sizes of the value's axes
    pub shape: Vec<Number>,
}

/// Numbers that a model computes.
#[derive(Clone, Debug)]
pub(super) struct Device {
    /// the sample
    pub symbol: Symbol,
    /// the symbol's own number
    pub id: u64,
    /// the axes of the sample
    pub physical: Vec<Group>,
    /// the axes of the ONNX tensor; [`BATCH`] is in one of them
    pub axes: Vec<Group>,
    /// where the symbol carries a mask, what it is made of
    pub mask: Option<MaskOf>,
    /// what it says, where it is of truth values: then the symbol is what they are made of
    pub flags: Option<Rc<Flags>>,
    /// what it is, where it is a part of a layer: then the symbol is what the layer is applied to
    pub part: Option<Rc<Part>>,
    /// what its elements are
    pub kind: Kind,
    /// that its steps stand together, without the gaps of a mask
    pub drawn: Option<Rc<Drawn>>,
    /// the permutation that its samples are in, if not in the order of the model's inputs
    pub order: Option<u64>,
    /// what it was made of, where nothing else uses it
    pub origin: Option<Rc<Origin>>,
}

/// What the elements of a computed value are. They are floats on a device in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    /// whole numbers
    Int,
    /// whole numbers made of floats, whose fractions the device still has
    CutOff,
    /// whole numbers that are not what they should be on a device, which only a product with 0 can do without
    Lost,
    /// truth values, which a device does not have
    Flag,
    /// floats that no layer makes by itself
    Part,
    /// numbers of the samples in another order
    Places {
        /// the permutation
        order: u64,
        /// of it, the inverse
        inverse: bool,
    },
}

/// What says which steps of a sequence there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum MaskOf {
    /// the lengths that a value holds
    Lengths(u64),
    /// the row numbers of a value that are not 0
    Rows(u64),
    /// the steps of a value of which a feature is not this number, given by its bits
    Steps(u64, u32),
    /// the steps that either of two masks has, by its number
    Either(usize),
}

/// How a value was made, so that the next node can become a part of the same layer.
#[derive(Debug)]
pub(super) enum Origin {
    /// A linear [`Dense`](rnn_model::layer::Dense) layer.
    Dense {
        /// what it is applied to
        x: Symbol,
        /// `[features, units]`
        kernel: Rc<Tensor>,
        /// its place in the file
        kernel_key: usize,
        /// `[units]`
        bias: Option<Rc<ArrayD<f32>>>,
    },
    /// All outputs of a recurrent layer that runs forward.
    Sequence {
        /// what tells the layer from others
        key: String,
        /// the layer, giving its last output alone
        last: Box<Layer>,
        /// what it is applied to
        inputs: Vec<Symbol>,
        /// its weights
        weights: Vec<ArrayD<f32>>,
        /// the axis of the steps
        time: Group,
        /// the axis of the units
        units: Group,
    },
}

/// Several computed values along an axis.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    /// the axis
    pub axis: usize,
    /// each of size 1 along it
    pub parts: Vec<Device>,
}

impl Known {
    /// A tensor as it stands.
    pub fn plain(tensor: Tensor) -> Self {
        let shape = tensor.dims().iter().map(|&n| Number::Known(n as i64)).collect();
        Known { tensor: Rc::new(tensor), shape }
    }

    /// The one number that all elements are, if they are.
    pub fn uniform(&self) -> Option<f32> {
        self.tensor.uniform()
    }

    /// Whether nothing is broadcast.
    pub fn is_plain(&self) -> bool {
        self.shape.iter().zip(self.tensor.dims()).all(|(n, &size)| n == &Number::Known(size as i64))
    }

    /// The whole numbers of a list or of one number.
    pub fn numbers(&self) -> Option<Vec<Number>> {
        let Tensor::Int(values) = self.tensor.as_ref() else { return None };
        match self.shape.as_slice() {
            [] => Some(values.iter().cloned().collect()),
            // A list is as long as a tensor has axes: not long.
            [n] => {
                let n = usize::try_from(n.known()?).ok().filter(|&n| n <= values.len().max(64))?;
                Some(values.broadcast(vec![n])?.iter().cloned().collect())
            }
            _ => None,
        }
    }

    /// The same, where all are known.
    pub fn ints(&self) -> Option<Vec<i64>> {
        self.numbers()?.iter().map(Number::known).collect()
    }
}

impl Device {
    /// Where the batch is among ONNX's axes, if it is an axis of its own.
    pub fn batch_axis(&self) -> Option<usize> {
        self.axes.iter().position(|group| group.as_slice() == [BATCH])
    }

    /// ONNX's axes without that of the batch, in order: the usual order of a sample.
    pub fn sample_axes(&self) -> Option<Vec<Group>> {
        let batch = self.batch_axis()?;
        let mut axes = self.axes.clone();
        axes.remove(batch);
        Some(axes)
    }
}

impl From<Known> for Value {
    fn from(known: Known) -> Self {
        Value::Known(known)
    }
}

impl From<Device> for Value {
    fn from(device: Device) -> Self {
        Value::Device(device)
    }
}
