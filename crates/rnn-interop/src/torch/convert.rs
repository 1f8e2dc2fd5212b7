//! Weights between the two layouts.
//!
//! PyTorch stores the matrices of a layer transposed, `[gates * units, features]`, and two biases. Its gates stand as
//! i, f, g, o (LSTM) and r, z, n (GRU), Keras's as i, f, c, o and z, r, h: the same for an LSTM, the first two exchanged
//! for a GRU. Both biases of an LSTM or RNN only ever appear as their sum, which Keras keeps; of a GRU both are kept,
//! because the second stands inside the product with the reset gate.

use super::part::{Cell, PartKind};
use crate::{Error, Result};
use ndarray::{ArrayD, Axis, concatenate, stack};

/// Position of each Keras gate among PyTorch's, and the other way: both are their own inverse.
fn order(gates: usize) -> &'static [usize] {
    match gates {
        4 => &[0, 1, 2, 3],
        3 => &[1, 0, 2],
        _ => &[0],
    }
}

/// The first axis, cut into gates, in the other order.
fn swap(values: &ArrayD<f32>, gates: usize) -> Result<ArrayD<f32>> {
    let units = values.len_of(Axis(0)) / gates;
    let block = |&gate: &usize| values.slice_axis(Axis(0), (gate * units..(gate + 1) * units).into());
    let blocks: Vec<_> = order(gates).iter().map(block).collect();
    concatenate(Axis(0), &blocks).map_err(|e| Error::damaged("gates", e.to_string()))
}

fn transposed(values: ArrayD<f32>) -> ArrayD<f32> {
    values.reversed_axes().as_standard_layout().into_owned()
}

/// The weights of one direction in Keras's order, from PyTorch's in the order of
/// [`Stack::tensors`](super::module::Stack::tensors).
pub(crate) fn direction_to_keras(cell: &Cell, tensors: Vec<ArrayD<f32>>) -> Result<Vec<ArrayD<f32>>> {
    let mut tensors = tensors.into_iter();
    let mut next = || tensors.next().ok_or_else(|| Error::damaged("recurrent module", "a tensor is missing"));
    let gates = cell.gates;
    let mut weights = vec![transposed(swap(&next()?, gates)?), transposed(swap(&next()?, gates)?)];
    if cell.bias {
        let (input, recurrent) = (swap(&next()?, gates)?, swap(&next()?, gates)?);
        weights.push(if gates == 3 {
            let rows = [input.view(), recurrent.view()];
            stack(Axis(0), &rows).map_err(|e| Error::damaged("biases", e.to_string()))?
        } else {
            input + recurrent
        });
    }
    if cell.projection.is_some() {
        weights.push(transposed(next()?));
    }
    Ok(weights)
}

/// The other way. The second bias of an LSTM or RNN is 0.
pub(crate) fn direction_to_torch(cell: &Cell, weights: &[ArrayD<f32>]) -> Result<Vec<ArrayD<f32>>> {
    let gates = cell.gates;
    let matrix = |at: usize| swap(&transposed(weights[at].clone()), gates);
    let mut tensors = vec![matrix(0)?, matrix(1)?];
    if cell.bias {
        let bias = &weights[2];
        if gates == 3 {
            for row in bias.outer_iter() {
                tensors.push(swap(&row.into_owned(), gates)?);
            }
        } else {
            tensors.extend([bias.clone(), ArrayD::zeros(bias.raw_dim())]);
        }
    }
    if cell.projection.is_some() {
        tensors.push(transposed(weights[weights.len() - 1].clone()));
    }
    Ok(tensors)
}

/// The weights of a layer without a recurrence in Keras's order, from `weight` and `bias`.
pub(crate) fn plain_to_keras(
    kind: &PartKind,
    weight: ArrayD<f32>,
    bias: Option<ArrayD<f32>>,
) -> Vec<ArrayD<f32>> {
    let weight = if matches!(kind, PartKind::Dense { .. }) { transposed(weight) } else { weight };
    std::iter::once(weight).chain(bias).collect()
}

/// The other way.
pub(crate) fn plain_to_torch(kind: &PartKind, weights: &[ArrayD<f32>]) -> Vec<ArrayD<f32>> {
    plain_to_keras(kind, weights[0].clone(), weights.get(1).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn cell(gates: usize) -> Cell {
        Cell { gates, relu: false, features: 2, units: 1, projection: None, bias: true, both: false }
    }

    #[test]
    fn the_gates_of_a_gru_change_places() {
        let tensors = vec![
            array![[1., 2.], [3., 4.], [5., 6.]].into_dyn(),
            array![[1.], [2.], [3.]].into_dyn(),
            array![1., 2., 3.].into_dyn(),
            array![4., 5., 6.].into_dyn(),
        ];
        let weights = direction_to_keras(&cell(3), tensors.clone()).unwrap();
        assert_eq!(weights[0], array![[3., 1., 5.], [4., 2., 6.]].into_dyn());
        assert_eq!(weights[1], array![[2., 1., 3.]].into_dyn());
        assert_eq!(weights[2], array![[2., 1., 3.], [5., 4., 6.]].into_dyn());
        assert_eq!(direction_to_torch(&cell(3), &weights).unwrap(), tensors);
    }

    #[test]
    fn the_biases_of_an_lstm_are_added() {
        let vector = |from: f32| ArrayD::from_shape_fn(vec![4], |i| from + i[0] as f32);
        let tensors = vec![ArrayD::zeros(vec![4, 2]), ArrayD::zeros(vec![4, 1]), vector(1.0), vector(10.0)];
        let weights = direction_to_keras(&cell(4), tensors).unwrap();
        assert_eq!(weights[2], array![11., 13., 15., 17.].into_dyn());
        let back = direction_to_torch(&cell(4), &weights).unwrap();
        assert_eq!((&back[2], &back[3]), (&weights[2], &ArrayD::zeros(vec![4])));
    }
}
