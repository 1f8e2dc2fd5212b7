//! Sums that metrics are made of, where a mean of scores is not enough.
use super::norm::upload;
use super::operands::{ROW_GROUP, elements, lanes, size};
use super::{accumulate, fill};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::vocabulary::ColumnTerms;
use rnn_shaders::{column_terms as terms_of, threshold_counts as counts};

/// Adds to the running sums `acc [4 n]` for `n` thresholds in ascending order (laid out as [`accumulate`] has it for `2 n`
/// columns): of the positives, elements of `target [rows, cols]` that are not 0, the weights of those whose prediction is
/// above a threshold and not above the next one; then the same of the negatives. So what lies above a threshold is the sum from
/// its place on. With `class` only that column counts. `weights [rows]` are 1 where absent. A NaN among the predictions
/// makes the sum of the last threshold NaN.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch); [`InvalidArgument`](Error::InvalidArgument) where there is no such class or the
/// thresholds do not ascend.
pub fn threshold_counts(
    rec: &mut Recorder,
    thresholds: &[f32],
    class: Option<usize>,
    rows: usize,
    cols: usize,
    pred: &Slice,
    target: &Slice,
    weights: Option<&Slice>,
    acc: &Slice,
) -> Result<()> {
    const NAME: &str = "threshold_counts";
    check(NAME, rows, cols, pred, target, weights)?;
    let count = thresholds.len();
    expect_len(NAME, "acc", acc, 4 * count)?;
    if let Some(class) = class
        && class >= cols
    {
        return Err(Error::InvalidArgument {
            operation: NAME,
            reason: format!("class {class} is none of the {cols} columns"),
        });
    }
    if !thresholds.is_sorted() {
        let reason = "thresholds must ascend".to_owned();
        return Err(Error::InvalidArgument { operation: NAME, reason });
    }
    let own_cols = if class.is_some() { 1 } else { cols };
    let n = rows * own_cols;
    if n == 0 || count == 0 {
        return Ok(());
    }
    let bits: Vec<u32> = thresholds.iter().map(|t| t.to_bits()).collect();
    let table = upload(rec, &bits)?;
    let lanes = counts::lanes(n, count);
    let out = rec.scratch(lanes * 2 * count)?;
    fill(rec, 0.0, &out)?;
    rec.call(Call {
        kernel: &counts::KERNEL,
        overrides: &[("WEIGHTED", f64::from(u8::from(weights.is_some())))],
        buffers: &[pred, target, weights.unwrap_or(pred), &table, &out],
        params: bytemuck::bytes_of(&counts::Params {
            n: size(NAME, n)?,
            own_cols: size(NAME, own_cols)?,
            cols: size(NAME, cols)?,
            class_at: size(NAME, class.unwrap_or(0))?,
            count: size(NAME, count)?,
            lanes: size(NAME, lanes)?,
            ..Default::default()
        }),
        groups: Groups::linear(lanes, counts::GROUP),
        flops: n as f64 * (count as f64).log2().max(1.0),
    })?;
    accumulate(rec, lanes, 2 * count, &out, 1.0, None, acc)
}

/// Adds the sums over the rows of the three terms of each element ([`ColumnTerms`]) to the running sums `acc [6 cols]`, laid
/// out as [`accumulate`] has it for `3 cols` columns. `pred`, `target [rows, cols]`; `weights [rows]` are 1 where absent.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch); [`InvalidArgument`](Error::InvalidArgument) where rows are too long for a software
/// adapter.
pub fn column_terms(
    rec: &mut Recorder,
    terms: ColumnTerms,
    rows: usize,
    cols: usize,
    pred: &Slice,
    target: &Slice,
    weights: Option<&Slice>,
    acc: &Slice,
) -> Result<()> {
    const NAME: &str = "column_terms";
    check(NAME, rows, cols, pred, target, weights)?;
    expect_len(NAME, "acc", acc, elements(&[6, cols]))?;
    if rows == 0 || cols == 0 {
        return Ok(());
    }
    let lanes = lanes(rec, NAME, cols, 2)?;
    let out = rec.scratch(elements(&[rows, 3, cols]))?;
    let (kind, threshold) = match terms {
        ColumnTerms::Squares => (0.0, 0.0),
        ColumnTerms::Hits { threshold: None } => (1.0, 0.0),
        ColumnTerms::Hits { threshold: Some(threshold) } => (2.0, threshold),
    };
    rec.call(Call {
        kernel: &terms_of::KERNEL,
        overrides: &[
            ("LANES", lanes as f64),
            ("WEIGHTED", f64::from(u8::from(weights.is_some()))),
            ("KIND", kind),
        ],
        buffers: &[pred, target, weights.unwrap_or(pred), &out],
        params: bytemuck::bytes_of(&terms_of::Params {
            rows: size(NAME, rows)?,
            cols: size(NAME, cols)?,
            threshold,
            ..Default::default()
        }),
        groups: Groups::linear(rows, ROW_GROUP / lanes),
        flops: 8.0 * pred.len() as f64,
    })?;
    accumulate(rec, rows, 3 * cols, &out, 1.0, None, acc)
}

fn check(
    operation: &'static str,
    rows: usize,
    cols: usize,
    pred: &Slice,
    target: &Slice,
    weights: Option<&Slice>,
) -> Result<()> {
    expect_len(operation, "pred", pred, elements(&[rows, cols]))?;
    expect_len(operation, "target", target, pred.len())?;
    weights.map_or(Ok(()), |weights| expect_len(operation, "weights", weights, rows))
}
