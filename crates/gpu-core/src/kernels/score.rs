//! Losses and metrics per row, and the gradients of the losses.
use super::operands::{ROW_GROUP, apart, elements, lanes, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::vocabulary::{Constants, Score};
use rnn_shaders::{score_backward as backward, score_forward as forward};

/// `out[r] = weights[r] * score(target[r], pred[r, :])`: `pred [rows, cols]`, `target [rows, cols]`, or `[rows]` where
/// [`Score::target_is_index`], `weights [rows]` or 1, `out [rows]`.
///
/// NaN among a row's predictions gives NaN, for accuracies too, and so does a class index that is none.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch); [`InvalidArgument`](Error::InvalidArgument) where there are rows without
/// columns, or rows too long for a software adapter.
pub fn score_forward(
    rec: &mut Recorder,
    score: Score,
    rows: usize,
    cols: usize,
    pred: &Slice,
    target: &Slice,
    weights: Option<&Slice>,
    out: &Slice,
) -> Result<()> {
    const NAME: &str = "score_forward";
    expect_len(NAME, "out", out, rows)?;
    check(NAME, score, rows, cols, pred, target, weights)?;
    if rows == 0 {
        return Ok(());
    }
    let inputs = inputs(rec, pred, target, weights, out)?;
    let lanes = lanes(rec, NAME, cols, 3)?;
    let [shape, on, off, keep, lift] = constants(score, cols);
    rec.call(Call {
        kernel: &forward::KERNEL,
        overrides: &overrides(score, lanes, inputs.weighted),
        buffers: &[&inputs.pred, &inputs.target, &inputs.weights, out],
        params: bytemuck::bytes_of(&forward::Params {
            rows: size(NAME, rows)?,
            cols: size(NAME, cols)?,
            shape,
            on,
            off,
            keep,
            lift,
            ..Default::default()
        }),
        groups: Groups::linear(rows, ROW_GROUP / lanes),
        flops: 20.0 * pred.len() as f64,
    })
}

/// `dpred[r, :] = scale * weights[r] * d score / d pred[r, :]`, shapes as in [`score_forward`]. The gradient is 0 where a
/// clip of the score is active.
///
/// # Errors
/// As [`score_forward`]; also [`InvalidArgument`](Error::InvalidArgument) where the score is no loss.
pub fn score_backward(
    rec: &mut Recorder,
    score: Score,
    rows: usize,
    cols: usize,
    pred: &Slice,
    target: &Slice,
    weights: Option<&Slice>,
    scale: f32,
    dpred: &Slice,
) -> Result<()> {
    const NAME: &str = "score_backward";
    if !score.is_loss() {
        return Err(Error::InvalidArgument {
            operation: NAME,
            reason: format!("{score:?} has no gradient; it is a metric only"),
        });
    }
    expect_len(NAME, "dpred", dpred, elements(&[rows, cols]))?;
    check(NAME, score, rows, cols, pred, target, weights)?;
    if rows == 0 {
        return Ok(());
    }
    let inputs = inputs(rec, pred, target, weights, dpred)?;
    let lanes = lanes(rec, NAME, cols, 3)?;
    let [shape, on, off, keep, lift] = constants(score, cols);
    rec.call(Call {
        kernel: &backward::KERNEL,
        overrides: &overrides(score, lanes, inputs.weighted),
        buffers: &[&inputs.pred, &inputs.target, &inputs.weights, dpred],
        params: bytemuck::bytes_of(&backward::Params {
            rows: size(NAME, rows)?,
            cols: size(NAME, cols)?,
            shape,
            on,
            off,
            keep,
            lift,
            scale,
            ..Default::default()
        }),
        groups: Groups::linear(rows, ROW_GROUP / lanes),
        flops: 20.0 * pred.len() as f64,
    })
}

fn check(
    operation: &'static str,
    score: Score,
    rows: usize,
    cols: usize,
    pred: &Slice,
    target: &Slice,
    weights: Option<&Slice>,
) -> Result<()> {
    if cols == 0 && rows > 0 {
        return Err(Error::InvalidArgument { operation, reason: format!("{rows} rows without columns") });
    }
    expect_len(operation, "pred", pred, elements(&[rows, cols]))?;
    let targets = if score.target_is_index() { rows } else { elements(&[rows, cols]) };
    expect_len(operation, "target", target, targets)?;
    weights.map_or(Ok(()), |weights| expect_len(operation, "weights", weights, rows))
}

/// The inputs apart from the output, with `pred` in the place of absent weights.
struct Inputs {
    pred: Slice,
    target: Slice,
    weights: Slice,
    weighted: bool,
}

fn inputs(
    rec: &mut Recorder,
    pred: &Slice,
    target: &Slice,
    weights: Option<&Slice>,
    output: &Slice,
) -> Result<Inputs> {
    let pred = apart(rec, pred, &[output])?;
    let target = apart(rec, target, &[output])?;
    let weighted = weights.is_some();
    let weights = weights.map_or(Ok(pred.clone()), |weights| apart(rec, weights, &[output]))?;
    Ok(Inputs { pred, target, weights, weighted })
}

fn overrides(score: Score, lanes: usize, weighted: bool) -> [(&'static str, f64); 3] {
    [("LANES", lanes as f64), ("SCORE", f64::from(score.code())), ("WEIGHTED", f64::from(u8::from(weighted)))]
}

/// The numbers of the score's formula in the order of `Params`.
fn constants(score: Score, cols: usize) -> [f32; 5] {
    let Constants { shape, on, off, keep, lift } = score.constants(cols);
    [shape, on, off, keep, lift].map(|x| x as f32)
}
