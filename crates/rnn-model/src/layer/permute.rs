//! Permute.

use super::{OneToOne, SampleShape};
use crate::device::LayerOp;
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use ndarray::{ArrayD, ArrayViewD};
use rnn_shaders::shape::Block;
use serde::{Deserialize, Serialize};

/// The axes of a sample in another order: `Permute::new([2, 1])` turns `[batch, time, features]` into
/// `[batch, features, time]`. Step masks end here: what was a step is none any more.
///
/// ```
/// use rnn_model::{Input, layer::Permute};
/// assert_eq!(Input::sequence(5, 3).symbol().layer(Permute::new([2, 1]))?.shape(), [Some(3), Some(5)]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Permute {
    dims: Vec<usize>,
}

impl Permute {
    /// Axis `i` of the output is axis `dims[i]` of the input, counted from 1 (0 is the batch).
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Permute { dims: dims.into() }
    }
}

impl OneToOne for Permute {
    fn class(&self) -> &'static str {
        "Permute"
    }

    fn passes_mask(&self) -> bool {
        self.dims.iter().copied().eq(1..=self.dims.len())
    }

    fn moved(&self, x: &ArrayViewD<'_, f32>) -> Option<ArrayD<f32>> {
        let axes: Vec<usize> = std::iter::once(0).chain(self.dims.iter().copied()).collect();
        Some(x.view().permuted_axes(axes).as_standard_layout().into_owned())
    }

    fn kernels(&self) -> &'static str {
        "a strided copy for each axis that moves"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        let mut sorted = self.dims.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(1..=self.dims.len()) || self.dims.is_empty() {
            let problem = format!("dims must be the numbers from 1 on in some order, got {:?}", self.dims);
            return Err(Error::invalid("Permute", problem));
        }
        if input.len() != self.dims.len() {
            let expected = format!("a sample of {} axes", self.dims.len());
            return Err(Error::shape("input of Permute", expected, input));
        }
        let output: SampleShape = self.dims.iter().map(|&d| input[d - 1]).collect();
        if output.len() > 1 && output[1..].contains(&None) {
            return Err(Error::shape("input of Permute", "known sizes of all axes but the steps", input));
        }
        Ok(output)
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        if OneToOne::passes_mask(self) {
            return Ok(x);
        }
        if self.dims == [2, 1] {
            return swap_time_and_features(l, x);
        }
        let batch = l.batch();
        let on_device = |shape: &[usize]| [&shape[..1], &[batch], &shape[1..]].concat();
        let shape: Vec<usize> = self.dims.iter().map(|&d| x.shape[d - 1]).collect();
        // The batch stands behind the first axis of a sample, before and after.
        let place = |d: usize| if d == 1 { 0 } else { d };
        let order: Vec<usize> =
            [&[place(self.dims[0]), 1], &self.dims[1..].iter().map(|&d| place(d)).collect::<Vec<_>>()[..]]
                .concat();
        let moves = moves(&on_device(&x.shape), &order);
        permute(l, x, moves, shape)
    }
}

/// Copies that bring `axes` of an array `[shape]` into the order `order`, each as `[outer, inner, last]` to
/// `[outer, last, inner]`: one axis after the other goes to the end, in the order that is wanted there.
fn moves(shape: &[usize], order: &[usize]) -> Vec<[usize; 3]> {
    let mut now: Vec<usize> = (0..shape.len()).collect();
    let mut moves = Vec::new();
    // Those that come first and are in order among themselves come to the front by the others' moves.
    let ready = order.windows(2).take_while(|pair| pair[0] < pair[1]).count() + 1;
    for &axis in &order[ready..] {
        let at = now.iter().position(|&a| a == axis).expect("every axis is there");
        let size = |axes: &[usize]| axes.iter().map(|&a| shape[a]).product::<usize>();
        let (outer, inner, behind) = (size(&now[..at]), shape[axis], size(&now[at + 1..]));
        // An axis of one element, or one that is last, moves without a copy.
        if inner > 1 && behind > 1 {
            moves.push([outer, inner, behind]);
        }
        now.remove(at);
        now.push(axis);
    }
    moves
}

/// The copies of [`moves`], as a value of `shape`.
fn permute(l: &mut Lowering<'_>, x: Value, moves: Vec<[usize; 3]>, shape: Vec<usize>) -> Result<Value> {
    let y = l.alias(&x, shape.clone());
    moves.into_iter().try_fold(y, |y, sizes| swap_last_axes(l, y, sizes, shape.clone()))
}

/// `[outer, inner, behind]` to `[outer, behind, inner]`, as a value of `shape`.
pub(super) fn swap_last_axes(
    l: &mut Lowering<'_>,
    x: Value,
    [outer, inner, behind]: [usize; 3],
    shape: Vec<usize>,
) -> Result<Value> {
    let data = l.buffer(x.data.len)?;
    let y = l.value(data, shape);
    let block = Block::permute([outer, inner, behind], [0, 2, 1]);
    l.emit(LayerOp::CopyBlock { block, joint: false, x: x.data, y: data });
    let output = y.clone();
    l.backward(move |l| {
        let Some(dy) = l.gradient(&output) else { return Ok(()) };
        l.propagate(&x, |l, dx| {
            if let Some(y) = dx {
                let block = Block::permute([outer, behind, inner], [0, 2, 1]);
                l.emit(LayerOp::CopyBlock { block, joint: false, x: dy, y });
            }
        })
    });
    Ok(y)
}

/// `[time, features]` to `[features, time]`, in the order of the device.
pub(super) fn swap_time_and_features(l: &mut Lowering<'_>, x: Value) -> Result<Value> {
    let (time, features, batch) = (x.shape[0], x.shape[1], l.batch());
    let data = l.buffer(x.data.len)?;
    let y = l.value(data, vec![features, time]);
    let block = Block::permute([time, batch, features], [2, 1, 0]);
    l.emit(LayerOp::CopyBlock { block, joint: false, x: x.data, y: data });
    let output = y.clone();
    l.backward(move |l| {
        let Some(dy) = l.gradient(&output) else { return Ok(()) };
        l.propagate(&x, |l, dx| {
            if let Some(y) = dx {
                let block = Block::permute([features, batch, time], [2, 1, 0]);
                l.emit(LayerOp::CopyBlock { block, joint: false, x: dy, y });
            }
        })
    });
    Ok(y)
}

#[cfg(test)]
mod tests {
    use super::moves;

    /// What the copies make of an array whose elements are their own places.
    fn moved(shape: &[usize], order: &[usize]) -> Vec<usize> {
        let mut data: Vec<usize> = (0..shape.iter().product()).collect();
        for [outer, inner, behind] in moves(shape, order) {
            let at = |o: usize, b: usize, i: usize| (o * inner + i) * behind + b;
            let places =
                (0..outer).flat_map(|o| (0..behind).flat_map(move |b| (0..inner).map(move |i| at(o, b, i))));
            data = places.map(|at| data[at]).collect();
        }
        data
    }

    #[test]
    fn every_order_of_four_axes_is_the_transpose() {
        let shape = [2, 3, 1, 4];
        for order in (0..256).map(|n| [n % 4, n / 4 % 4, n / 16 % 4, n / 64]) {
            let mut sorted = order;
            sorted.sort_unstable();
            if sorted != [0, 1, 2, 3] {
                continue;
            }
            let all = ndarray::Array::from_shape_vec(shape, (0..24).collect::<Vec<usize>>()).unwrap();
            let expected: Vec<usize> = all.permuted_axes(order).iter().copied().collect();
            assert_eq!(moved(&shape, &order), expected, "{order:?}");
        }
        assert!(moves(&[2, 3, 4], &[0, 1, 2]).is_empty());
        assert_eq!(moves(&[2, 3, 4], &[1, 2, 0]).len(), 1);
    }
}
