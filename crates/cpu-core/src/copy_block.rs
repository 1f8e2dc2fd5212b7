//! Copies between arrays with strides.

use crate::parallel;
use crate::{Error, Real, Result};
use rnn_shaders::shape::Block;

const OP: &str = "copy_block";
/// Side of the square in which an axis that is contiguous in `x` and one that is in `y` are walked together.
const TILE: usize = 32;

/// `y[i . to] (+)= x[i . from]` for every index `i` of the [`Block`]; what it does not name in `y` stays as it is.
///
/// # Errors
/// [`Error::Length`] where `x` or `y` is shorter than the block reaches, [`Error::Invalid`] where two indices share a place
/// in `y`.
pub fn copy_block<T: Real>(block: Block, x: &[T], y: &mut [T]) -> Result<()> {
    let (from, to) = block.spans();
    if x.len() < from {
        return Err(Error::Length { op: OP, what: "x", expected: from, got: x.len() });
    }
    if y.len() < to {
        return Err(Error::Length { op: OP, what: "y", expected: to, got: y.len() });
    }
    if block.is_empty() {
        return Ok(());
    }
    let reason = "two indices share a place in y; strides must exceed what lies below them";
    let block = merged(block.ordered().ok_or(Error::Invalid { op: OP, reason })?);
    // The first axis with more than one index has the largest stride: its slices of y do not overlap.
    let axis = block.shape.iter().position(|&side| side > 1).unwrap_or(2);
    if axis == 2 {
        run(block, x, &mut y[..to]);
        return Ok(());
    }
    let (side, stride) = (block.shape[axis], block.to[axis]);
    let per_index = block.len() / side;
    let indices = parallel::MEMORY.chunk(block.len(), per_index) / per_index;
    parallel::share_out(y[..to].chunks_mut(indices * stride).enumerate(), |(piece, y)| {
        let first = piece * indices;
        let mut part = block;
        part.shape[axis] = indices.min(side - first);
        run(part, &x[first * block.from[axis]..], y);
    });
    Ok(())
}

/// Neighbouring axes that are one axis in both arrays become one.
fn merged(mut block: Block) -> Block {
    for outer in [1, 0] {
        let inner = outer + 1;
        let side = block.shape[inner];
        let joins = |strides: [usize; 3]| strides[outer] == side.saturating_mul(strides[inner]);
        if block.shape[outer] == 1 {
            continue;
        }
        if side == 1 || (joins(block.from) && joins(block.to)) {
            block.shape[inner] *= block.shape[outer];
            if side == 1 {
                block.from[inner] = block.from[outer];
                block.to[inner] = block.to[outer];
            }
            block.shape[outer] = 1;
        }
    }
    block
}

fn run<T: Real>(block: Block, x: &[T], y: &mut [T]) {
    if block.accumulate {
        walk(block, x, y, |y, x| *y += x);
    } else {
        walk(block, x, y, |y, x| *y = x);
    }
}

#[inline(always)]
fn walk<T: Real>(block: Block, x: &[T], y: &mut [T], put: impl Fn(&mut T, T) + Copy) {
    let [n0, n1, n2] = block.shape;
    let ([x0, x1, x2], [y0, y1, y2]) = (block.from, block.to);
    for i in 0..n0 {
        let (x, y) = (&x[i * x0..], &mut y[i * y0..]);
        if x2 == 1 && y2 == 1 {
            for j in 0..n1 {
                let (from, to) = (&x[j * x1..][..n2], &mut y[j * y1..][..n2]);
                to.iter_mut().zip(from).for_each(|(y, &x)| put(y, x));
            }
            continue;
        }
        for j0 in (0..n1).step_by(TILE) {
            for k0 in (0..n2).step_by(TILE) {
                for j in j0..(j0 + TILE).min(n1) {
                    for k in k0..(k0 + TILE).min(n2) {
                        put(&mut y[j * y1 + k * y2], x[j * x1 + k * x2]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, one element at a time.
    fn plain(block: Block, x: &[f64], y: &mut [f64]) {
        for i in 0..block.shape[0] {
            for j in 0..block.shape[1] {
                for k in 0..block.shape[2] {
                    let at = |s: [usize; 3]| i * s[0] + j * s[1] + k * s[2];
                    let value = x[at(block.from)];
                    let place = &mut y[at(block.to)];
                    *place = if block.accumulate { *place + value } else { value };
                }
            }
        }
    }

    #[test]
    fn equals_its_definition() {
        let blocks = [
            Block::rows(3, 4, 7, 5),
            Block::rows(1, 4, 4, 4).accumulate(),
            Block::permute([5, 3, 4], [2, 0, 1]),
            Block::permute([70, 2, 45], [2, 1, 0]).accumulate(),
            Block::permute([4, 5, 6], [0, 1, 2]),
            Block { shape: [2, 3, 4], from: [0, 1, 0], to: [1, 8, 2], accumulate: false },
            Block { shape: [300, 30, 40], from: [1200, 40, 1], to: [40, 12_000, 1], accumulate: true },
        ];
        for block in blocks {
            let (from, to) = block.spans();
            let x: Vec<f64> = (0..from).map(|i| i as f64 + 0.5).collect();
            let mut want: Vec<f64> = (0..to + 2).map(|i| -(i as f64)).collect();
            let mut got = want.clone();
            plain(block, &x, &mut want);
            copy_block(block, &x, &mut got).unwrap();
            assert_eq!(got, want, "{block:?}");
        }
    }

    #[test]
    fn wrong_calls_are_errors() {
        let mut y = [0.0f32; 12];
        assert!(copy_block(Block::rows(3, 4, 4, 4), &[0.0; 11], &mut y).is_err());
        assert!(copy_block(Block::rows(3, 4, 4, 5), &[0.0; 12], &mut y).is_err());
        assert!(copy_block(Block::rows(usize::MAX, 4, usize::MAX, 4), &[0.0; 12], &mut y).is_err());
        let overlapping = Block { shape: [1, 3, 4], from: [0, 4, 1], to: [0, 2, 1], accumulate: false };
        assert!(matches!(copy_block(overlapping, &[0.0; 12], &mut y), Err(Error::Invalid { .. })));
        assert!(copy_block(Block::rows(0, 4, 4, 4), &[], &mut y).is_ok());
    }
}
