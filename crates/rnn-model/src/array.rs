//! Host arrays as the model takes them: any `ndarray` array or view of `f32`.

use ndarray::{ArrayBase, ArrayD, Data, Dimension, IxDyn};
use std::borrow::Cow;

/// An array on the host in row order; made from any `&Array` or `&ArrayView` of `f32`.
#[derive(Clone, Debug)]
pub struct HostArray<'a> {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Cow<'a, [f32]>,
}

impl<'a, S: Data<Elem = f32>, D: Dimension> From<&'a ArrayBase<S, D>> for HostArray<'a> {
    fn from(array: &'a ArrayBase<S, D>) -> Self {
        let data = match array.as_slice() {
            Some(slice) => Cow::Borrowed(slice),
            None => Cow::Owned(array.iter().copied().collect()),
        };
        HostArray { shape: array.shape().to_vec(), data }
    }
}

impl HostArray<'_> {
    /// Length of the first axis; 0 for an array without axes.
    pub(crate) fn samples(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Samples `from..to`.
    pub(crate) fn rows(&self, from: usize, to: usize) -> HostArray<'_> {
        let size: usize = self.shape[1..].iter().product();
        let mut shape = self.shape.clone();
        shape[0] = to - from;
        HostArray { shape, data: Cow::Borrowed(&self.data[from * size..to * size]) }
    }
}

/// An array of `shape` from values in row order.
pub(crate) fn array(shape: &[usize], data: Vec<f32>) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), data).expect("as many values as the shape says")
}
