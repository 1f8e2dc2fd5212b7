//! Matrix product: `c (+)= act(op(a) op(b) + bias)`, batched, with transposes and strides.
//!
//! `op(a) [m, k]`, `op(b) [k, n]`, `c [m, n]`, all row-major. The products run in the `gemm` crate (AVX-512, AVX2, NEON
//! or plain, chosen at run time); in `f32` large ones run in the matrix unit of a processor that has one; a product too small to pay
//! for packing is a plain loop.

#[cfg(target_arch = "x86_64")]
mod tiles;

use std::ops::Range;

use crate::activation::activate_in_place;
#[cfg(target_arch = "x86_64")]
use crate::amx::Lines;
use crate::error::volume;
#[cfg(target_arch = "x86_64")]
use crate::math::{Level, level};
use crate::team::{cores, run_parts, share};
use crate::{Activation, Error, Real, Result};

const OP: &str = "matmul";

/// Below this many multiply-adds a plain loop is faster than packing for the blocked kernel.
const SMALL: usize = 2_048;

pub use rnn_shaders::shape::Matmul;

/// (row, column) steps of `op(a)` in memory.
fn steps_a(spec: &Matmul) -> (usize, usize) {
    if spec.trans_a { (1, spec.lda) } else { (spec.lda, 1) }
}

/// (row, column) steps of `op(b)` in memory.
fn steps_b(spec: &Matmul) -> (usize, usize) {
    if spec.trans_b { (1, spec.ldb) } else { (spec.ldb, 1) }
}

/// `c (+)= act(op(a) op(b) + bias)` for every product of the batch; `bias [n]`. See [`Matmul`] for the shapes.
/// `threads` is the most that are used.
///
/// # Errors
/// Where a slice is shorter than the layout needs, a row stride is shorter than its row, or `accumulate` comes with a
/// non-linear activation.
pub fn matmul<T: Real>(
    spec: Matmul,
    a: &[T],
    b: &[T],
    bias: Option<&[T]>,
    c: &mut [T],
    threads: usize,
) -> Result<()> {
    check(&spec, a, b, bias, c)?;
    let Matmul { m, n, k, .. } = spec;
    if m == 0 || n == 0 {
        return Ok(());
    }
    let work = m * n * k;
    let parts = if work < HANDOFF { 1 } else { threads.clamp(1, cores()) };
    for i in 0..spec.batch {
        let a = &a[(i * spec.stride_a).min(a.len())..];
        let b = &b[(i * spec.stride_b).min(b.len())..];
        let c = &mut c[i * spec.stride_c..];
        if work <= SMALL {
            small(&spec, a, b, bias, c);
        } else if !in_tiles(&spec, a, b, bias, c, parts) {
            let c = Shared(c.as_mut_ptr());
            let c = &c;
            run_parts(parts, |part| {
                let (rows, columns) =
                    if n >= m { (0..m, cut(n, part, parts)) } else { (cut(m, part, parts), 0..n) };
                // SAFETY: `check` made sure that the product lies inside; the parts of `c` do not overlap, and `c` is
                // borrowed mutably, so that it overlaps neither `a` nor `b`.
                unsafe { block(&spec, a, b, bias, c.0, rows, columns) };
            });
        }
    }
    Ok(())
}

/// Makes the product in the matrix unit where there is one and it pays; says whether it did.
fn in_tiles<T: Real>(
    spec: &Matmul,
    a: &[T],
    b: &[T],
    bias: Option<&[T]>,
    c: &mut [T],
    threads: usize,
) -> bool {
    #[cfg(target_arch = "x86_64")]
    if level() >= Level::Amx
        && tiles::pays(spec)
        && let (Some(a), Some(b), Some(c)) = (T::f32s(a), T::f32s(b), T::f32s_mut(c))
    {
        let (line, step) = steps_a(spec);
        let a = Lines { values: a, line, step };
        let (step, line) = steps_b(spec);
        let b = Lines { values: b, line, step };
        tiles::product(spec, a, b, bias.and_then(T::f32s), c, threads);
        return true;
    }
    let _ = (spec, a, b, bias, c, threads);
    false
}

/// Multiply-adds that pay for handing a part to another thread, about 3 us.
const HANDOFF: usize = 200_000;

/// A matrix that several threads write at disjoint places.
struct Shared<T>(*mut T);

// SAFETY: it is only an address; `matmul` says why what is done with it is sound.
unsafe impl<T: Send> Sync for Shared<T> {}

/// The `part`-th share of `n` rows or columns, in steps of a vector.
fn cut(n: usize, part: usize, parts: usize) -> Range<usize> {
    const STEP: usize = 16;
    let share = share(n.div_ceil(STEP), part, parts);
    (share.start * STEP).min(n)..(share.end * STEP).min(n)
}

fn check<T>(spec: &Matmul, a: &[T], b: &[T], bias: Option<&[T]>, c: &[T]) -> Result<()> {
    let Matmul { batch, m, n, k, .. } = *spec;
    if spec.accumulate && spec.activation != Activation::Linear {
        let reason = "accumulate adds to what is there; only the linear activation goes with it";
        return Err(Error::Invalid { op: OP, reason });
    }
    let (a_rows, a_cols) = if spec.trans_a { (k, m) } else { (m, k) };
    let (b_rows, b_cols) = if spec.trans_b { (n, k) } else { (k, n) };
    extent("a", batch, spec.stride_a, a_rows, a_cols, spec.lda, a.len())?;
    extent("b", batch, spec.stride_b, b_rows, b_cols, spec.ldb, b.len())?;
    extent("c", batch, spec.stride_c, m, n, spec.ldc, c.len())?;
    if batch > 1 && spec.stride_c < volume(OP, &[m.saturating_sub(1), spec.ldc])? + n {
        return Err(Error::Invalid { op: OP, reason: "stride_c makes the products of a batch overlap" });
    }
    match bias {
        Some(bias) if bias.len() != n => {
            Err(Error::Length { op: OP, what: "bias", expected: n, got: bias.len() })
        }
        _ => Ok(()),
    }
}

/// Refuses a slice that does not hold `batch` matrices of the given layout.
fn extent(
    what: &'static str,
    batch: usize,
    stride: usize,
    rows: usize,
    cols: usize,
    ld: usize,
    got: usize,
) -> Result<()> {
    if batch == 0 || rows == 0 || cols == 0 {
        return Ok(());
    }
    if rows > 1 && ld < cols {
        return Err(Error::Invalid { op: OP, reason: "a row stride is shorter than its row" });
    }
    let last_row = volume(OP, &[rows - 1, ld])?;
    let expected = volume(OP, &[batch - 1, stride])?
        .checked_add(last_row)
        .and_then(|start| start.checked_add(cols))
        .ok_or(Error::TooLarge { op: OP })?;
    if got < expected { Err(Error::Length { op: OP, what, expected, got }) } else { Ok(()) }
}

/// The product as plain loops; rows of `b` are added up where it is stored by rows, else dot products.
fn small<T: Real>(spec: &Matmul, a: &[T], b: &[T], bias: Option<&[T]>, c: &mut [T]) {
    let Matmul { m, n, k, .. } = *spec;
    let (a_row, a_col) = steps_a(spec);
    for i in 0..m {
        let c = &mut c[i * spec.ldc..][..n];
        if !spec.accumulate {
            c.fill(T::ZERO);
        }
        if let Some(bias) = bias {
            c.iter_mut().zip(bias).for_each(|(c, &bias)| *c += bias);
        }
        if spec.trans_b {
            for (j, c) in c.iter_mut().enumerate() {
                let column = &b[j * spec.ldb..][..k];
                let mut sum = T::ZERO;
                for (p, &b) in column.iter().enumerate() {
                    sum += a[i * a_row + p * a_col] * b;
                }
                *c += sum;
            }
        } else {
            for p in 0..k {
                let factor = a[i * a_row + p * a_col];
                c.iter_mut().zip(&b[p * spec.ldb..][..n]).for_each(|(c, &b)| *c += factor * b);
            }
        }
        activate_in_place(spec.activation, c);
    }
}

/// One part of a product: these rows and columns of `c`.
///
/// # Safety
/// The matrices are as long as the layout says; nobody else uses this part of `c`.
unsafe fn block<T: Real>(
    spec: &Matmul,
    a: &[T],
    b: &[T],
    bias: Option<&[T]>,
    c: *mut T,
    rows: Range<usize>,
    columns: Range<usize>,
) {
    if rows.is_empty() || columns.is_empty() {
        return;
    }
    let (a_row, a_col) = steps_a(spec);
    let (b_row, b_col) = steps_b(spec);
    // SAFETY: the caller's; both ranges lie inside `c`.
    let c = unsafe { c.add(rows.start * spec.ldc + columns.start) };
    // SAFETY: as above; every (row, column) that the steps reach lies in its slice.
    unsafe {
        gemm::gemm(
            rows.len(),
            columns.len(),
            spec.k,
            c,
            1,
            spec.ldc as isize,
            spec.accumulate,
            a.as_ptr().add(rows.start * a_row),
            a_col as isize,
            a_row as isize,
            b.as_ptr().add(columns.start * b_col),
            b_col as isize,
            b_row as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
    if bias.is_none() && spec.activation == Activation::Linear {
        return;
    }
    for i in 0..rows.len() {
        // SAFETY: as above.
        let c = unsafe { std::slice::from_raw_parts_mut(c.add(i * spec.ldc), columns.len()) };
        finish(spec.activation, bias.map(|bias| &bias[columns.clone()]), c);
    }
}

/// Adds the bias to a row of sums and activates it.
fn finish<T: Real>(activation: Activation, bias: Option<&[T]>, row: &mut [T]) {
    if let Some(bias) = bias {
        row.iter_mut().zip(bias).for_each(|(c, &bias)| *c += bias);
    }
    activate_in_place(activation, row);
}
