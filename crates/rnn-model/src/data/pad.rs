//! Sequences of different lengths brought to one, after Keras's `pad_sequences`.

use crate::{Error, Result};
use ndarray::{Array2, Array3, ArrayBase, Axis, Data, Ix2, s};

/// An end of a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// its beginning
    #[default]
    Pre,
    /// its end
    Post,
}

/// How sequences are padded and cut; Keras's options and defaults.
///
/// ```
/// use ndarray::array;
/// use rnn_model::data::{PadSequences, Side};
/// let sequences = [vec![1u32], vec![2, 3], vec![4, 5, 6]];
/// let padded = PadSequences::new().maxlen(2).padding(Side::Post).value(-1.0).apply(&sequences)?;
/// assert_eq!(padded, array![[1., -1.], [2., 3.], [5., 6.]]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PadSequences {
    maxlen: Option<usize>,
    padding: Side,
    truncating: Side,
    value: f32,
}

/// Sequences of numbers as one array `[sequences, longest]`, zeros before the shorter ones.
///
/// ```
/// use ndarray::array;
/// use rnn_model::data::pad_sequences;
/// assert_eq!(pad_sequences(&[vec![1u32], vec![2, 3]])?, array![[0., 1.], [2., 3.]]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
///
/// # Errors
/// When all sequences are empty, or there are none.
pub fn pad_sequences<T: Copy + Into<f64>>(sequences: &[impl AsRef<[T]>]) -> Result<Array2<f32>> {
    PadSequences::new().apply(sequences)
}

impl PadSequences {
    /// To the length of the longest sequence, zeros before the shorter ones.
    pub fn new() -> Self {
        Self::default()
    }

    /// The length of all; that of the longest sequence.
    #[must_use]
    pub fn maxlen(mut self, length: usize) -> Self {
        self.maxlen = Some(length);
        self
    }

    /// Where values are added; before the sequence.
    #[must_use]
    pub fn padding(mut self, side: Side) -> Self {
        self.padding = side;
        self
    }

    /// Where longer sequences lose values; at the beginning.
    #[must_use]
    pub fn truncating(mut self, side: Side) -> Self {
        self.truncating = side;
        self
    }

    /// What is added; 0. A `Masking` layer or `mask_zero` then knows it by this value.
    #[must_use]
    pub fn value(mut self, value: f32) -> Self {
        self.value = value;
        self
    }

    /// Sequences of numbers as `[sequences, length]`. Values become `f32`, which holds whole numbers up to 2^24 exactly.
    ///
    /// # Errors
    /// When the length would be 0.
    pub fn apply<T: Copy + Into<f64>>(&self, sequences: &[impl AsRef<[T]>]) -> Result<Array2<f32>> {
        let lengths: Vec<usize> = sequences.iter().map(|s| s.as_ref().len()).collect();
        let length = self.length(&lengths)?;
        let mut all = Array2::from_elem((sequences.len(), length), self.value);
        for (mut row, sequence) in all.outer_iter_mut().zip(sequences) {
            let sequence = sequence.as_ref();
            let (from, to, count) = self.place(sequence.len(), length);
            for (out, &value) in row.iter_mut().skip(to).zip(&sequence[from..from + count]) {
                *out = value.into() as f32;
            }
        }
        Ok(all)
    }

    /// Sequences of vectors, each `[steps, features]`, as `[sequences, length, features]`.
    ///
    /// # Errors
    /// When the length would be 0, or the numbers of features differ.
    pub fn apply_vectors<S: Data<Elem = f32>>(&self, sequences: &[ArrayBase<S, Ix2>]) -> Result<Array3<f32>> {
        let lengths: Vec<usize> = sequences.iter().map(|s| s.nrows()).collect();
        let length = self.length(&lengths)?;
        let features = sequences.first().map_or(0, |s| s.ncols());
        let mut all = Array3::from_elem((sequences.len(), length, features), self.value);
        for (i, sequence) in sequences.iter().enumerate() {
            if sequence.ncols() != features {
                let expected = format!("[steps, {features}], as the first one");
                return Err(Error::shape(format!("sequence {i}"), expected, sequence.shape()));
            }
            let (from, to, count) = self.place(sequence.nrows(), length);
            let mut row = all.index_axis_mut(Axis(0), i);
            row.slice_mut(s![to..to + count, ..]).assign(&sequence.slice(s![from..from + count, ..]));
        }
        Ok(all)
    }

    fn length(&self, lengths: &[usize]) -> Result<usize> {
        match self.maxlen.or_else(|| lengths.iter().copied().max()) {
            Some(length) if length > 0 => Ok(length),
            _ => Err(Error::invalid(
                "pad_sequences",
                "the padded length is 0: give sequences, or a maxlen above 0",
            )),
        }
    }

    /// Of a sequence of `have` values: the first that is kept, where it goes, and how many there are.
    fn place(&self, have: usize, length: usize) -> (usize, usize, usize) {
        let count = have.min(length);
        let from = if self.truncating == Side::Pre { have - count } else { 0 };
        let to = if self.padding == Side::Pre { length - count } else { 0 };
        (from, to, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// Values from `keras.utils.pad_sequences` 3.15.
    #[test]
    fn equals_keras() {
        let sequences = [vec![1.0f32, 2.0, 3.0, 4.0], vec![], vec![5.0, 6.0]];
        let with = |padding, truncating| {
            PadSequences::new()
                .maxlen(3)
                .padding(padding)
                .truncating(truncating)
                .value(9.0)
                .apply(&sequences)
                .unwrap()
        };
        assert_eq!(with(Side::Pre, Side::Pre), array![[2., 3., 4.], [9., 9., 9.], [9., 5., 6.]]);
        assert_eq!(with(Side::Pre, Side::Post), array![[1., 2., 3.], [9., 9., 9.], [9., 5., 6.]]);
        assert_eq!(with(Side::Post, Side::Pre), array![[2., 3., 4.], [9., 9., 9.], [5., 6., 9.]]);
        assert_eq!(with(Side::Post, Side::Post), array![[1., 2., 3.], [9., 9., 9.], [5., 6., 9.]]);
        assert_eq!(pad_sequences(&sequences).unwrap().dim(), (3, 4));
    }

    #[test]
    fn vectors_are_padded_as_numbers_are() {
        let numbers = [vec![1.0f32, 2.0, 3.0, 4.0], vec![], vec![5.0, 6.0]];
        let vectors: Vec<Array2<f32>> = numbers
            .iter()
            .map(|s| Array2::from_shape_fn((s.len(), 2), |(t, f)| s[t] + 10.0 * f as f32))
            .collect();
        for (padding, truncating) in [(Side::Pre, Side::Post), (Side::Post, Side::Pre)] {
            let pad = PadSequences::new().maxlen(3).padding(padding).truncating(truncating);
            let (plain, both) = (pad.apply(&numbers).unwrap(), pad.apply_vectors(&vectors).unwrap());
            assert_eq!(both.index_axis(Axis(2), 0), plain);
            let second = plain.mapv(|x| if x == 0.0 { 0.0 } else { x + 10.0 });
            assert_eq!(both.index_axis(Axis(2), 1), second);
        }
    }

    #[test]
    fn nothing_to_pad_is_an_error() {
        assert!(pad_sequences::<f32>(&[vec![], vec![]]).is_err());
        assert!(pad_sequences::<f32>(&[] as &[Vec<f32>]).is_err());
        assert!(PadSequences::new().maxlen(0).apply(&[vec![1u8]]).is_err());
        let uneven = [Array2::<f32>::zeros((2, 2)), Array2::zeros((2, 3))];
        let error = PadSequences::new().apply_vectors(&uneven).unwrap_err().to_string();
        assert_eq!(error, "sequence 1: expected shape [steps, 2], as the first one, got [2, 3]");
    }
}
