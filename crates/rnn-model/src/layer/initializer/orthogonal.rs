//! Orthogonal matrices.

use cpu_core::matmul::{Matmul, matmul};
use cpu_core::transpose01;

/// Vectors that are made orthogonal to all those before as one product: enough that a number that is read serves many sums.
const BLOCK: usize = 128;

/// Vectors of a block that are made orthogonal to the block's others as one product, and to each other one by one.
const FEW: usize = 16;

/// A matrix `[rows, cols]` times `gain` whose shorter side's vectors are orthonormal: Gram and Schmidt's process on `normal`, standard
/// normal numbers `[longer, shorter]`, so that every such matrix is as likely (Saxe, McClelland and Ganguli, 2014).
///
/// It goes over each block of vectors twice, which is enough for full precision (Giraud, Langou and Rozloznik, 2005).
pub(super) fn orthogonal(rows: usize, cols: usize, gain: f64, normal: Vec<f64>) -> Vec<f32> {
    let (long, short) = (rows.max(cols), rows.min(cols));
    let mut basis = transposed(long, short, &normal);
    for first in (0..short).step_by(BLOCK) {
        let (before, rest) = basis.split_at_mut(first * long);
        let block = &mut rest[..BLOCK.min(short - first) * long];
        for _ in 0..2 {
            take_away(before, block, long);
            for first in (0..block.len()).step_by(FEW * long.max(1)) {
                let (before, rest) = block.split_at_mut(first);
                let few = rest.len().min(FEW * long);
                take_away(before, &mut rest[..few], long);
                orthonormalize(&mut rest[..few], long);
            }
        }
    }
    let basis = if rows >= cols { transposed(short, long, &basis) } else { basis };
    basis.into_iter().map(|x| (gain * x) as f32).collect()
}

/// The transpose of a matrix `[rows, cols]`.
fn transposed(rows: usize, cols: usize, matrix: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; matrix.len()];
    transpose01(rows, cols, 1, matrix, &mut out).expect("the lengths are those of the matrices");
    out
}

/// Takes from each vector of `block` what it has along the vectors `before`, which are orthonormal.
fn take_away(before: &[f64], block: &mut [f64], long: usize) {
    let (n, m) = (before.len() / long, block.len() / long);
    if n == 0 {
        return;
    }
    let mut along = vec![0.0; m * n];
    let product = |spec: Matmul, a: &[f64], b: &[f64], c: &mut [f64]| {
        matmul(spec, a, b, None, c, usize::MAX).expect("the lengths are those of the matrices");
    };
    product(Matmul::new(m, n, long).trans_b(), block, before, &mut along);
    along.iter_mut().for_each(|x| *x = -*x);
    product(Matmul::new(m, long, n).accumulate(), &along, before, block);
}

/// Makes the vectors of a block orthogonal to each other and of length 1.
fn orthonormalize(block: &mut [f64], long: usize) {
    for j in 0..block.len() / long {
        let (before, rest) = block.split_at_mut(j * long);
        let vector = &mut rest[..long];
        for other in before.chunks_exact(long) {
            let along = dot(vector, other);
            vector.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        let norm = dot(vector, vector).sqrt();
        vector.iter_mut().for_each(|a| *a /= norm);
    }
}

/// In eight sums, which the compiler puts into vectors.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_eights, a_rest) = a.as_chunks::<8>();
    let (b_eights, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_eights.iter().zip(b_eights) {
        (0..8).for_each(|i| sums[i] += a[i] * b[i]);
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}
