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

impl RecurrentShape {
    /// Steps that go back together, so that the gradients of their gates alone are in memory: as large as what the forward pass
    /// saved, all at once would double what a training step needs. States of up to `whole` values are not taken apart; more
    /// go back in 24 parts, or fewer where these would be smaller than that.
    pub fn steps_of_a_part(&self, whole: usize) -> usize {
        let slot = self.batch.saturating_mul(self.units);
        (whole / slot.max(1)).max(self.time.div_ceil(24)).max(1)
    }
}

/// A copy of up to three axes between arrays with strides: `y[i . to] (+)= x[i . from]` for every index `i` below `shape`.
/// Concatenation, slices along any axis, permutations and their gradients are such copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// elements along each axis
    pub shape: [usize; 3],
    /// elements from one index to the next in `x`; 0 repeats
    pub from: [usize; 3],
    /// elements from one index to the next in `y`
    pub to: [usize; 3],
    /// add to `y` in place of overwriting it
    pub accumulate: bool,
}

impl Block {
    /// `y[r * ldy + c] = x[r * ldx + c]` for `rows` rows of `cols`.
    pub fn rows(rows: usize, cols: usize, ldx: usize, ldy: usize) -> Self {
        Block { shape: [1, rows, cols], from: [0, ldx, 1], to: [0, ldy, 1], accumulate: false }
    }

    /// `y = x` with its axes in another order: axis `i` of `y` is axis `axes[i]` of `x [shape]`. `axes` has 0, 1 and 2.
    pub fn permute(shape: [usize; 3], axes: [usize; 3]) -> Self {
        let strides = [shape[1].saturating_mul(shape[2]), shape[2], 1];
        let out = axes.map(|axis| shape[axis]);
        Block {
            shape: out,
            from: axes.map(|axis| strides[axis]),
            to: [out[1].saturating_mul(out[2]), out[2], 1],
            accumulate: false,
        }
    }

    /// Adds to `y`.
    pub fn accumulate(self) -> Self {
        Block { accumulate: true, ..self }
    }

    /// Elements that are copied; saturates.
    pub fn len(&self) -> usize {
        self.shape.iter().fold(1, |n, &side| n.saturating_mul(side))
    }

    /// Whether nothing is copied.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements that `x` and `y` have at least: one past the last that is touched. Saturates.
    pub fn spans(&self) -> (usize, usize) {
        let span = |strides: [usize; 3]| {
            if self.is_empty() {
                return 0;
            }
            let last =
                self.shape.iter().zip(strides).map(|(&side, stride)| (side - 1).saturating_mul(stride));
            last.fold(1, usize::saturating_add)
        };
        (span(self.from), span(self.to))
    }

    /// The same copy with the axes in descending order of their strides in `y`, or `None` where two indices share a place
    /// in `y`. Axes of one element come first.
    pub fn ordered(&self) -> Option<Self> {
        let mut order = [0, 1, 2];
        let key = |axis: usize| if self.shape[axis] == 1 { usize::MAX } else { self.to[axis] };
        order.sort_by_key(|&axis| std::cmp::Reverse(key(axis)));
        let pick = |values: [usize; 3]| order.map(|axis| values[axis]);
        let ordered = Block {
            shape: pick(self.shape),
            from: pick(self.from),
            to: pick(self.to),
            accumulate: self.accumulate,
        };
        let mut reach: usize = 0;
        for axis in (0..3).rev().filter(|&axis| ordered.shape[axis] > 1) {
            if ordered.to[axis] <= reach {
                return None;
            }
            reach = reach.saturating_add((ordered.shape[axis] - 1).saturating_mul(ordered.to[axis]));
        }
        Some(ordered)
    }
}

/// Where the numbers of an array by step and sample stand on their way from the host, whose order is by sample:
/// element `(t, b)` at `t * time_stride + b * batch_stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Steps {
    /// time steps
    pub time: usize,
    /// samples
    pub batch: usize,
    /// elements from one step to the next
    pub time_stride: usize,
    /// elements from one sample to the next
    pub batch_stride: usize,
}

impl Steps {
    /// An array `[batch, time]`.
    pub fn by_sample(time: usize, batch: usize) -> Self {
        Steps { time, batch, time_stride: 1, batch_stride: time }
    }

    /// An array `[time, batch]`; of one step, `[batch]`.
    pub fn by_step(time: usize, batch: usize) -> Self {
        Steps { time, batch, time_stride: batch, batch_stride: 1 }
    }

    /// An array `[time, batch, cols]`, of whose last axis each element is the first.
    pub fn of_rows(time: usize, batch: usize, cols: usize) -> Self {
        Steps { time, batch, time_stride: batch.saturating_mul(cols), batch_stride: cols }
    }

    /// Elements; saturates.
    pub fn len(&self) -> usize {
        self.time.saturating_mul(self.batch)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements that the array has at least, `cols` of them at each place. Saturates.
    pub fn span(&self, cols: usize) -> usize {
        if self.is_empty() {
            return 0;
        }
        let last = (self.time - 1).saturating_mul(self.time_stride);
        last.saturating_add((self.batch - 1).saturating_mul(self.batch_stride)).saturating_add(cols)
    }
}
