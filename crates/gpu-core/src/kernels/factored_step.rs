//! Adafactor's direction from factored means of squared gradients.
use super::norm::{cut, upload};
use super::operands::{apart, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::vocabulary::{Factored, Matrix};
use rnn_shaders::{factored_direction as direction, factored_means as means};

/// Makes Adafactor's direction in `x` ([`Factored`]) for each matrix or vector; weights decay on the way. All slices are as
/// long as the weights. In a step on HOLD nothing is written.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where a length differs or a matrix reaches past the end;
/// [`InvalidArgument`](Error::InvalidArgument) where a side of a matrix is too long for a software adapter.
pub fn factored_step(
    rec: &mut Recorder,
    spec: Factored,
    matrices: &[Matrix],
    params: &Slice,
    grads: &Slice,
    m: &Slice,
    v: &Slice,
    x: &Slice,
) -> Result<()> {
    const NAME: &str = "factored_step";
    for (what, slice) in [("grads", grads), ("m", m), ("v", v), ("x", x)] {
        expect_len(NAME, what, slice, params.len())?;
    }
    let (mut entries, mut blocks) = (Vec::new(), Vec::new());
    for matrix in matrices {
        let &Matrix { offset, rows, cols } = matrix;
        if matrix.end() > params.len() {
            let (expected, got) = (matrix.end(), params.len());
            return Err(Error::ShapeMismatch { operation: NAME, what: "params", expected, got });
        }
        let iterations = rows.max(cols).div_ceil(256);
        if rows > 0
            && iterations > 10_000
            && let Some(limit) = rec.context().loop_limit()?
            && iterations > limit
        {
            return Err(Error::InvalidArgument {
                operation: NAME,
                reason: format!(
                    "a matrix of {rows} x {cols} is too long for this adapter; use the CPU device"
                ),
            });
        }
        for r in 0..rows {
            entries.extend([offset + r * cols, cols, 1, offset + r, 0]);
        }
        for c in (0..cols).filter(|_| rows > 0) {
            entries.extend([offset + c, rows, cols, offset + c, 1]);
        }
        let len = (matrix.end() - offset as usize) as u32;
        let parts = cut(offset, len).filter(|part| part.1 > 0);
        blocks.extend(parts.flat_map(|(at, part)| [offset, at, part, rows, cols]));
    }
    if blocks.is_empty() {
        return Ok(());
    }
    let grads = apart(rec, grads, &[params, m, v, x])?;
    let (epsilon, clip_value) = (spec.epsilon_1 as f32, spec.clip_value);
    if !entries.is_empty() {
        let table = upload(rec, &entries)?;
        let count = entries.len() / 5;
        rec.call(Call {
            kernel: &means::KERNEL,
            overrides: &[],
            buffers: &[&table, &grads, m, v],
            params: bytemuck::bytes_of(&means::Params {
                entries: size(NAME, count)?,
                epsilon,
                clip_value,
                ..Default::default()
            }),
            groups: Groups::linear(count, 1),
            flops: 6.0 * params.len() as f64,
        })?;
    }
    let table = upload(rec, &blocks)?;
    let count = blocks.len() / 5;
    rec.call(Call {
        kernel: &direction::KERNEL,
        overrides: &[],
        buffers: &[&table, &grads, m, v, x, params],
        params: bytemuck::bytes_of(&direction::Params {
            blocks: size(NAME, count)?,
            epsilon,
            clip_value,
            weight_decay: spec.weight_decay,
            ..Default::default()
        }),
        groups: Groups::linear(count, 1),
        flops: 8.0 * params.len() as f64,
    })
}
