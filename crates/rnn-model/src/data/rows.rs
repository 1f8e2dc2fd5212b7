//! Arrays that are read some rows at a time.

use crate::{Error, Result};
use ndarray::{ArrayBase, ArrayD, Data, Dimension, IxDyn};

/// An array `[rows, ...]` of which any rows can be read: in memory, or in a file.
pub trait Rows: Send {
    /// The whole array's shape.
    fn shape(&self) -> &[usize];

    /// Copies rows `from..from + count` in row order into `out`, which is as long as they are.
    ///
    /// # Errors
    /// When there are no such rows, `out` has another length, or they can not be read.
    fn read(&mut self, from: usize, count: usize, out: &mut [f32]) -> Result<()>;

    /// Length of the first axis; 0 for an array without axes.
    fn rows(&self) -> usize {
        self.shape().first().copied().unwrap_or(0)
    }

    /// Rows `from..to` alone.
    ///
    /// # Errors
    /// When there are no such rows.
    fn range(self, from: usize, to: usize) -> Result<RowRange<Self>>
    where
        Self: Sized,
    {
        if from > to || to > self.rows() {
            let problem = format!("{from}..{to} of an array of {} rows", self.rows());
            return Err(Error::invalid("rows", problem));
        }
        let mut shape = self.shape().to_vec();
        if let Some(first) = shape.first_mut() {
            *first = to - from;
        }
        Ok(RowRange { rows: self, from, shape })
    }
}

/// Some of the rows of an array; made by [`Rows::range`].
#[derive(Clone, Debug)]
pub struct RowRange<R> {
    rows: R,
    from: usize,
    shape: Vec<usize>,
}

impl<R: Rows> Rows for RowRange<R> {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn read(&mut self, from: usize, count: usize, out: &mut [f32]) -> Result<()> {
        check_read(&self.shape, from, count, out)?;
        self.rows.read(self.from + from, count, out)
    }
}

impl<S: Data<Elem = f32> + Send, D: Dimension> Rows for ArrayBase<S, D> {
    fn shape(&self) -> &[usize] {
        ArrayBase::shape(self)
    }

    fn read(&mut self, from: usize, count: usize, out: &mut [f32]) -> Result<()> {
        let len = check_read(ArrayBase::shape(self), from, count, out)?;
        match self.as_slice() {
            Some(all) => out.copy_from_slice(&all[from * len..(from + count) * len]),
            None => out.iter_mut().zip(self.iter().skip(from * len)).for_each(|(o, &x)| *o = x),
        }
        Ok(())
    }
}

impl Rows for Box<dyn Rows + '_> {
    fn shape(&self) -> &[usize] {
        (**self).shape()
    }

    fn read(&mut self, from: usize, count: usize, out: &mut [f32]) -> Result<()> {
        (**self).read(from, count, out)
    }
}

/// Values in one row, when rows `from..from + count` of an array of `shape` fit `out`.
pub(super) fn check_read(shape: &[usize], from: usize, count: usize, out: &[f32]) -> Result<usize> {
    let rows = shape.first().copied().unwrap_or(0);
    let len = row_len(shape);
    if from.checked_add(count).is_none_or(|end| end > rows) {
        let problem = format!("{count} from row {from} on were asked of an array of {rows} rows");
        return Err(Error::invalid("rows", problem));
    }
    if count.checked_mul(len) != Some(out.len()) {
        return Err(Error::shape("rows", format!("room for {count} rows of {len} values"), &[out.len()][..]));
    }
    Ok(len)
}

/// Values in one row.
pub(super) fn row_len(shape: &[usize]) -> usize {
    shape.iter().skip(1).product()
}

/// The rows `picks` as an array `[picks, ...]`. Neighbours are read together.
pub(super) fn pick(rows: &mut (impl Rows + ?Sized), picks: &[usize]) -> Result<ArrayD<f32>> {
    let mut shape = rows.shape().to_vec();
    let len = row_len(&shape);
    if let Some(first) = shape.first_mut() {
        *first = picks.len();
    }
    let mut data = vec![0.0; picks.len() * len];
    let mut done = 0;
    while done < picks.len() {
        let run = picks[done..].windows(2).take_while(|pair| pair[1] == pair[0] + 1).count() + 1;
        rows.read(picks[done], run, &mut data[done * len..(done + run) * len])?;
        done += run;
    }
    Ok(ArrayD::from_shape_vec(IxDyn(&shape), data).expect("as many values as the shape says"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, Axis};

    #[test]
    fn rows_of_any_layout_in_any_order() {
        let plain = Array2::from_shape_fn((7, 3), |(r, c)| (10 * r + c) as f32);
        let mut turned = plain.t().as_standard_layout().reversed_axes().to_owned();
        assert!(turned.as_slice().is_none());
        let picks = [3, 4, 5, 0, 6, 6];
        let want = plain.select(Axis(0), &picks).into_dyn();
        assert_eq!(pick(&mut turned, &picks).unwrap(), want);
        assert_eq!(pick(&mut plain.view(), &picks).unwrap(), want);
        let mut part = plain.clone().range(2, 6).unwrap();
        assert_eq!(pick(&mut part, &[3, 0]).unwrap(), plain.select(Axis(0), &[5, 2]).into_dyn());
    }

    #[test]
    fn rows_that_are_not_there_are_errors() {
        let mut plain = Array2::<f32>::zeros((7, 3));
        assert!(plain.read(6, 2, &mut [0.0; 6]).is_err());
        assert!(plain.read(usize::MAX, 2, &mut [0.0; 6]).is_err());
        assert!(plain.read(0, 2, &mut [0.0; 5]).is_err());
        assert!(plain.clone().range(3, 8).is_err());
        assert!(plain.clone().range(3, 2).is_err());
        let mut part = plain.range(2, 4).unwrap();
        assert!(part.read(1, 2, &mut [0.0; 6]).is_err());
    }
}
