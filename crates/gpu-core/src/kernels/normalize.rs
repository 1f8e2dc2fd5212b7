//! Normalisation of rows, and its gradients.
use super::operands::{ROW_GROUP, apart, elements, lanes, size};
use super::sum_rows;
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::vocabulary::Normalization;
use rnn_shaders::{normalize, normalize_gamma as gamma_sums};

/// `y[r, :] = ` the normalised row `x[r, :]`, times `gamma`, plus `beta`, where they are given: `x` and `y [rows, cols]`,
/// `gamma` and `beta [cols]`. `stats [rows, 2]` takes the row's mean and factor for the gradient.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch); [`InvalidArgument`](crate::Error::InvalidArgument) where a row is too
/// long for a software adapter.
#[allow(clippy::too_many_arguments)]
pub fn normalize_forward(
    rec: &mut Recorder,
    kind: Normalization,
    rows: usize,
    cols: usize,
    x: &Slice,
    gamma: Option<&Slice>,
    beta: Option<&Slice>,
    stats: &Slice,
    y: &Slice,
) -> Result<()> {
    const NAME: &str = "normalize_forward";
    expect_len(NAME, "x", x, elements(&[rows, cols]))?;
    if let Some(beta) = beta {
        expect_len(NAME, "beta", beta, cols)?;
    }
    let x = apart(rec, x, &[y])?;
    record(rec, NAME, kind, (rows, cols), &x, None, gamma, beta, stats, y)
}

/// The gradient of [`normalize_forward`] by `x`, from the same `x`, `gamma` and `stats`: `dy` and `dx [rows, cols]`. That by
/// `gamma` is [`normalize_gamma`], that by `beta` is [`sum_rows`] of `dy`.
///
/// # Errors
/// As [`normalize_forward`].
#[allow(clippy::too_many_arguments)]
pub fn normalize_backward(
    rec: &mut Recorder,
    kind: Normalization,
    rows: usize,
    cols: usize,
    x: &Slice,
    gamma: Option<&Slice>,
    stats: &Slice,
    dy: &Slice,
    dx: &Slice,
) -> Result<()> {
    const NAME: &str = "normalize_backward";
    expect_len(NAME, "x", x, elements(&[rows, cols]))?;
    expect_len(NAME, "dy", dy, x.len())?;
    let x = apart(rec, x, &[dx])?;
    let dy = apart(rec, dy, &[dx])?;
    record(rec, NAME, kind, (rows, cols), &x, Some(&dy), gamma, None, stats, dx)
}

#[allow(clippy::too_many_arguments)]
fn record(
    rec: &mut Recorder,
    operation: &'static str,
    kind: Normalization,
    (rows, cols): (usize, usize),
    x: &Slice,
    dy: Option<&Slice>,
    gamma: Option<&Slice>,
    beta: Option<&Slice>,
    stats: &Slice,
    y: &Slice,
) -> Result<()> {
    expect_len(operation, if dy.is_some() { "dx" } else { "y" }, y, x.len())?;
    expect_len(operation, "stats", stats, elements(&[rows, 2]))?;
    if let Some(gamma) = gamma {
        expect_len(operation, "gamma", gamma, cols)?;
    }
    if y.is_empty() {
        return Ok(());
    }
    let lanes = lanes(rec, operation, cols, 3)?;
    let (has_gamma, has_beta) = (u32::from(gamma.is_some()), u32::from(beta.is_some()));
    let gamma = gamma.map_or_else(|| rec.nothing(), |gamma| Ok(gamma.clone()))?;
    let beta = beta.map_or_else(|| rec.nothing(), |beta| Ok(beta.clone()))?;
    let backward = f64::from(u8::from(dy.is_some()));
    rec.call(Call {
        kernel: &normalize::KERNEL,
        overrides: &[("LANES", lanes as f64), ("BACKWARD", backward), ("KIND", f64::from(kind.code()))],
        buffers: &[x, dy.unwrap_or(x), &gamma, &beta, stats, y],
        params: bytemuck::bytes_of(&normalize::Params {
            rows: size(operation, rows)?,
            cols: size(operation, cols)?,
            epsilon: kind.epsilon(),
            has_gamma,
            has_beta,
            ..Default::default()
        }),
        groups: Groups::linear(rows, ROW_GROUP / lanes),
        flops: 12.0 * y.len() as f64,
    })
}

/// As in the kernel: columns and rows of a workgroup.
const COLS: usize = 32;
const BLOCK_ROWS: usize = 128;

/// `dgamma[c] += sum over r of dy[r, c] (x[r, c] - a_r) inv_r`, in blocks of 128 rows: the gradient of [`normalize_forward`] by
/// `gamma [cols]`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch).
#[allow(clippy::too_many_arguments)]
pub fn normalize_gamma(
    rec: &mut Recorder,
    kind: Normalization,
    rows: usize,
    cols: usize,
    x: &Slice,
    stats: &Slice,
    dy: &Slice,
    dgamma: &Slice,
) -> Result<()> {
    const NAME: &str = "normalize_gamma";
    expect_len(NAME, "x", x, elements(&[rows, cols]))?;
    expect_len(NAME, "dy", dy, x.len())?;
    expect_len(NAME, "stats", stats, elements(&[rows, 2]))?;
    expect_len(NAME, "dgamma", dgamma, cols)?;
    if x.is_empty() {
        return Ok(());
    }
    let blocks = rows.div_ceil(BLOCK_ROWS);
    let part = rec.scratch(blocks * cols)?;
    rec.call(Call {
        kernel: &gamma_sums::KERNEL,
        overrides: &[("CENTERED", f64::from(u8::from(kind.is_centered())))],
        buffers: &[x, dy, stats, &part],
        params: bytemuck::bytes_of(&gamma_sums::Params {
            rows: size(NAME, rows)?,
            cols: size(NAME, cols)?,
            ..Default::default()
        }),
        groups: Groups::linear(blocks * cols.div_ceil(COLS), 1),
        flops: 4.0 * x.len() as f64,
    })?;
    sum_rows(rec, blocks, cols, &part, dgamma, true)
}
