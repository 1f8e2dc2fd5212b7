//! Sizes that both devices' products and recurrent operations take.

use crate::vocabulary::Activation;

/// Sizes and layout of a matrix product, `c [m, n] (+)= activation(op(a) op(b) + bias)` with `op(a) [m, k]`, `op(b) [k, n]`.
/// [`Matmul::new`] gives one contiguous product; other fields are set by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matmul {
    /// independent products
    pub batch: usize,
    /// rows of `c`
    pub m: usize,
    /// columns of `c`
    pub n: usize,
    /// length of the sums
    pub k: usize,
    /// `a` is stored `[k, m]`
    pub trans_a: bool,
    /// `b` is stored `[n, k]`
    pub trans_b: bool,
    /// elements from one stored row of `a` to the next
    pub lda: usize,
    /// elements from one stored row of `b` to the next
    pub ldb: usize,
    /// elements from one row of `c` to the next
    pub ldc: usize,
    /// elements from one product's `a` to the next one's; 0 uses one `a` for all
    pub stride_a: usize,
    /// elements from one product's `b` to the next one's; 0 uses one `b` for all
    pub stride_b: usize,
    /// elements from one product's `c` to the next one's
    pub stride_c: usize,
    /// add to `c` in place of overwriting it
    pub accumulate: bool,
    /// applied to the product and bias; with `accumulate` only [`Activation::Linear`] has a meaning
    pub activation: Activation,
}

impl Matmul {
    /// One product of contiguous matrices, overwriting `c`.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        Self {
            batch: 1,
            m,
            n,
            k,
            trans_a: false,
            trans_b: false,
            lda: k,
            ldb: n,
            ldc: n,
            stride_a: m.saturating_mul(k),
            stride_b: k.saturating_mul(n),
            stride_c: m.saturating_mul(n),
            accumulate: false,
            activation: Activation::Linear,
        }
    }

    /// `a` stored transposed and contiguous, `[k, m]`.
    pub fn trans_a(self) -> Self {
        Self { trans_a: true, lda: self.m, ..self }
    }

    /// `b` stored transposed and contiguous, `[n, k]`.
    pub fn trans_b(self) -> Self {
        Self { trans_b: true, ldb: self.k, ..self }
    }

    /// Adds to `c`.
    pub fn accumulate(self) -> Self {
        Self { accumulate: true, ..self }
    }

    /// With an activation.
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// This many independent products, one after the other in memory.
    pub fn batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }
}

/// Sizes of a recurrent layer's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecurrentShape {
    /// time steps `T`
    pub time: usize,
    /// samples `B`
    pub batch: usize,
    /// input features `I`
    pub input: usize,
    /// units `U`
    pub units: usize,
}
