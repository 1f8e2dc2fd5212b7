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

/// One array, or several for a model of several inputs or outputs; made from `&array`, from a list of references, or from a
/// slice of arrays. Arrays with different numbers of axes go together as [`HostArray`]s.
///
/// ```
/// use ndarray::{Array2, Array3};
/// use rnn_model::{Arrays, HostArray};
/// let (words, states) = (Array2::<f32>::zeros((4, 7)), Array2::<f32>::zeros((4, 8)));
/// let alike: Arrays = [&words, &states].into();
/// let series = Array3::<f32>::zeros((4, 7, 2));
/// let different: Arrays = [HostArray::from(&series), HostArray::from(&states)].into();
/// # let _ = (alike, different);
/// ```
#[derive(Clone, Debug)]
pub struct Arrays<'a>(pub(crate) Vec<HostArray<'a>>);

impl<'a, S: Data<Elem = f32>, D: Dimension> From<&'a ArrayBase<S, D>> for Arrays<'a> {
    fn from(array: &'a ArrayBase<S, D>) -> Self {
        Arrays(vec![array.into()])
    }
}

impl<'a, S: Data<Elem = f32>, D: Dimension, const N: usize> From<[&'a ArrayBase<S, D>; N]> for Arrays<'a> {
    fn from(arrays: [&'a ArrayBase<S, D>; N]) -> Self {
        Arrays(arrays.into_iter().map(Into::into).collect())
    }
}

impl<'a, S: Data<Elem = f32>, D: Dimension> From<&'a [ArrayBase<S, D>]> for Arrays<'a> {
    fn from(arrays: &'a [ArrayBase<S, D>]) -> Self {
        Arrays(arrays.iter().map(Into::into).collect())
    }
}

impl<'a, S: Data<Elem = f32>, D: Dimension, const N: usize> From<&'a [ArrayBase<S, D>; N]> for Arrays<'a> {
    fn from(arrays: &'a [ArrayBase<S, D>; N]) -> Self {
        arrays.as_slice().into()
    }
}

impl<'a, S: Data<Elem = f32>, D: Dimension> From<&'a Vec<ArrayBase<S, D>>> for Arrays<'a> {
    fn from(arrays: &'a Vec<ArrayBase<S, D>>) -> Self {
        arrays.as_slice().into()
    }
}

impl<'a> From<HostArray<'a>> for Arrays<'a> {
    fn from(array: HostArray<'a>) -> Self {
        Arrays(vec![array])
    }
}

impl<'a> From<Vec<HostArray<'a>>> for Arrays<'a> {
    fn from(arrays: Vec<HostArray<'a>>) -> Self {
        Arrays(arrays)
    }
}

impl<'a, const N: usize> From<[HostArray<'a>; N]> for Arrays<'a> {
    fn from(arrays: [HostArray<'a>; N]) -> Self {
        Arrays(arrays.into())
    }
}

impl Arrays<'_> {
    /// Samples of the first array.
    pub(crate) fn samples(&self) -> usize {
        self.0.first().map_or(0, HostArray::samples)
    }

    /// Samples `from..to` of each array.
    pub(crate) fn rows(&self, from: usize, to: usize) -> Arrays<'_> {
        Arrays(self.0.iter().map(|a| a.rows(from, to)).collect())
    }
}

/// An array of `shape` from values in row order.
pub(crate) fn array(shape: &[usize], data: Vec<f32>) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), data).expect("as many values as the shape says")
}
