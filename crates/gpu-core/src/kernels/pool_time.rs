//! The mean or maximum over the valid steps of a sequence, and its gradient.
use super::fill;
use super::operands::{ELEMENT_GROUP, apart, elements, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::vocabulary::Pool;
use rnn_shaders::{pool_time, pool_time_backward};

/// Steps of one dispatch: below the loop limit of software adapters, and a multiple of the kernel's runs.
const LONGEST: usize = 1 << 14;

/// The flags, or what is bound in their place.
fn maybe(rec: &mut Recorder, flags: Option<&Slice>, outputs: &[&Slice]) -> Result<Slice> {
    match flags {
        Some(flags) => apart(rec, flags, outputs),
        None => rec.nothing(),
    }
}

fn is_max(pool: Pool) -> f64 {
    f64::from(u8::from(pool == Pool::Max))
}

/// `y[b, :]` = the mean or the maximum of `x[t, b, :]` over the steps whose flag has VALID, all without flags; 0 where there is
/// none. `count` takes how many steps that is (of a maximum, those that have it) for the gradient.
/// `x [time, batch, cols]`, `flags [time, batch]`, `y` and `count [batch, cols]`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch).
#[allow(clippy::too_many_arguments)]
pub fn pool_time(
    rec: &mut Recorder,
    pool: Pool,
    time: usize,
    batch: usize,
    cols: usize,
    flags: Option<&Slice>,
    x: &Slice,
    count: &Slice,
    y: &Slice,
) -> Result<()> {
    const NAME: &str = "pool_time";
    expect_len(NAME, "x", x, elements(&[time, batch, cols]))?;
    expect_len(NAME, "y", y, elements(&[batch, cols]))?;
    expect_len(NAME, "count", count, y.len())?;
    if let Some(flags) = flags {
        expect_len(NAME, "flags", flags, elements(&[time, batch]))?;
    }
    if time == 0 {
        fill(rec, 0.0, count)?;
        return fill(rec, 0.0, y);
    }
    if y.is_empty() {
        return Ok(());
    }
    let x = apart(rec, x, &[count, y])?;
    let has_flags = u32::from(flags.is_some());
    let flags = maybe(rec, flags, &[count, y])?;
    for first in (0..time).step_by(LONGEST) {
        let steps = LONGEST.min(time - first);
        rec.call(Call {
            kernel: &pool_time::KERNEL,
            overrides: &[("MAX", is_max(pool))],
            buffers: &[&flags, &x, count, y],
            params: bytemuck::bytes_of(&pool_time::Params {
                time: size(NAME, time)?,
                batch: size(NAME, batch)?,
                cols: size(NAME, cols)?,
                first: size(NAME, first)?,
                steps: size(NAME, steps)?,
                has_flags,
                ..Default::default()
            }),
            groups: Groups::linear(y.len(), ELEMENT_GROUP),
            flops: (steps * y.len()) as f64,
        })?;
    }
    Ok(())
}

/// The gradient of [`pool_time()`]: `dx[t, b, :] = dy[b, :] / count[b, :]` at the steps that took part in the mean, or have the
/// maximum; 0 elsewhere. `x`, `y` and `count` are those of the forward pass.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch).
#[allow(clippy::too_many_arguments)]
pub fn pool_time_backward(
    rec: &mut Recorder,
    pool: Pool,
    time: usize,
    batch: usize,
    cols: usize,
    flags: Option<&Slice>,
    x: &Slice,
    y: &Slice,
    count: &Slice,
    dy: &Slice,
    dx: &Slice,
) -> Result<()> {
    const NAME: &str = "pool_time_backward";
    expect_len(NAME, "x", x, elements(&[time, batch, cols]))?;
    expect_len(NAME, "dx", dx, x.len())?;
    for (what, slice) in [("y", y), ("count", count), ("dy", dy)] {
        expect_len(NAME, what, slice, elements(&[batch, cols]))?;
    }
    if let Some(flags) = flags {
        expect_len(NAME, "flags", flags, elements(&[time, batch]))?;
    }
    if dx.is_empty() {
        return Ok(());
    }
    let dy = apart(rec, dy, &[dx])?;
    let count = apart(rec, count, &[dx])?;
    let (x, y) = match pool {
        Pool::Max => (apart(rec, x, &[dx])?, apart(rec, y, &[dx])?),
        Pool::Average => (dy.clone(), dy.clone()),
    };
    let has_flags = u32::from(flags.is_some());
    let flags = maybe(rec, flags, &[dx])?;
    rec.call(Call {
        kernel: &pool_time_backward::KERNEL,
        overrides: &[("MAX", is_max(pool))],
        buffers: &[&flags, &x, &y, &count, &dy, dx],
        params: bytemuck::bytes_of(&pool_time_backward::Params {
            n: size(NAME, dx.len())?,
            batch: size(NAME, batch)?,
            cols: size(NAME, cols)?,
            has_flags,
            ..Default::default()
        }),
        groups: Groups::linear(dx.len(), ELEMENT_GROUP),
        flops: dx.len() as f64,
    })
}
