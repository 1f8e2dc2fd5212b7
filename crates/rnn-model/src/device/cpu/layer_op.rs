//! [`LayerOp`] on the CPU.

use super::super::layer_op::LayerOp;
use super::{CpuEngine, Floats, Slots, maybe_mut};
use crate::Result;
use crate::device::{IndexSlice, Slice};
use cpu_core::Real;
use rnn_shaders::vocabulary::StepParams;
use std::mem::take;

impl Slots<Vec<u32>> {
    fn flags(&self, s: IndexSlice) -> &[u32] {
        &self.items[s.buffer][s.offset..s.offset + s.len]
    }
}

/// Runs `f` with the flags that it writes taken out.
fn flags_out<R>(
    indices: &mut Slots<Vec<u32>>,
    out: IndexSlice,
    f: impl FnOnce(&Slots<Vec<u32>>, &mut [u32]) -> R,
) -> R {
    let mut taken = take(&mut indices.items[out.buffer]);
    let result = f(indices, &mut taken[out.offset..out.offset + out.len]);
    indices.items[out.buffer] = taken;
    result
}

/// Runs `f` with two outputs, which share no buffer, taken out.
fn two_out<T: Real, R>(
    floats: &mut Floats<T>,
    first: Slice,
    second: Slice,
    f: impl FnOnce(&Floats<T>, &mut [T], &mut [T]) -> R,
) -> R {
    assert_ne!(first.buffer, second.buffer, "two outputs in one buffer");
    let mut taken = Some(floats.take(first));
    let result = floats
        .output(second, |floats, second| f(floats, maybe_mut(&mut taken).expect("taken above"), second));
    floats.put_maybe(taken);
    result
}

impl<T: Real> CpuEngine<T> {
    /// Runs one operation of a layer.
    pub(super) fn layer_op(&mut self, op: LayerOp, params: &StepParams) -> Result<()> {
        let (floats, indices) = (&mut self.floats, &mut self.indices);
        let real = T::from_f32;
        match op {
            LayerOp::FlagsFromValues { steps, cols, value, x, flags } => {
                flags_out(indices, flags, |_, flags| {
                    cpu_core::flags_from_values(steps, cols, real(value), floats.get(x), flags)
                })
            }
            LayerOp::FlagsFromLengths { time, batch, lengths, flags } => {
                flags_out(indices, flags, |_, flags| {
                    cpu_core::flags_from_lengths(time, batch, floats.get(lengths), flags)
                })
            }
            LayerOp::FlagsFromSegments { steps, ids, flags } => flags_out(indices, flags, |_, flags| {
                cpu_core::flags_from_segments(steps, floats.get(ids), flags)
            }),
            LayerOp::CombineFlags { either, a, b, out } => {
                flags_out(indices, out, |i, out| cpu_core::combine_flags(either, i.flags(a), i.flags(b), out))
            }
            LayerOp::ReverseFlags { time, batch, a, out } => {
                flags_out(indices, out, |i, out| cpu_core::reverse_flags(time, batch, i.flags(a), out))
            }
            LayerOp::SeenFlags { time, batch, a, out } => {
                flags_out(indices, out, |i, out| cpu_core::seen_flags(time, batch, i.flags(a), out))
            }
            other => {
                let index = |s: IndexSlice| indices.flags(s);
                floats_out(floats, index, other, params)
            }
        }?;
        Ok(())
    }
}

/// The operations whose results are numbers.
fn floats_out<'a, T: Real>(
    floats: &mut Floats<T>,
    index: impl Fn(IndexSlice) -> &'a [u32],
    op: LayerOp,
    params: &StepParams,
) -> cpu_core::Result<()> {
    let real = T::from_f32;
    match op {
        LayerOp::FlagsFromValues { .. }
        | LayerOp::FlagsFromLengths { .. }
        | LayerOp::FlagsFromSegments { .. }
        | LayerOp::CombineFlags { .. }
        | LayerOp::ReverseFlags { .. }
        | LayerOp::SeenFlags { .. } => unreachable!("flags are written by the caller"),
        LayerOp::CopyBlock { block, x, y, .. } => {
            floats.output(y, |f, y| cpu_core::copy_block(block, f.get(x), y))
        }
        LayerOp::Embedding { steps, vocab, width, table, ids, out } => floats
            .output(out, |f, out| cpu_core::embedding(steps, vocab, width, f.get(table), f.get(ids), out)),
        LayerOp::EmbeddingBackward { steps, vocab, width, ids, dy, dtable } => floats
            .output(dtable, |f, dtable| {
                cpu_core::embedding_backward(steps, vocab, width, f.get(ids), f.get(dy), dtable)
            }),
        LayerOp::MaskRows { rows, cols, fill, flags, x, y } => {
            floats.output(y, |f, y| cpu_core::mask_rows(rows, cols, real(fill), index(flags), f.get(x), y))
        }
        LayerOp::SelectRows { rows, cols, bit, flags, a, b, y } => floats.output(y, |f, y| {
            cpu_core::select_rows(rows, cols, bit, index(flags), f.maybe(a), f.maybe(b), y)
        }),
        LayerOp::NormalizeForward { kind, rows, cols, x, gamma, beta, stats, y } => {
            two_out(floats, stats, y, |f, stats, y| {
                let (gamma, beta) = (f.maybe(gamma), f.maybe(beta));
                cpu_core::normalize_forward(kind, rows, cols, f.get(x), gamma, beta, stats, y)
            })
        }
        LayerOp::NormalizeBackward { kind, rows, cols, x, gamma, stats, dy, dx } => {
            floats.output(dx, |f, dx| {
                let (gamma, stats) = (f.maybe(gamma), f.get(stats));
                cpu_core::normalize_backward(kind, rows, cols, f.get(x), gamma, stats, f.get(dy), dx)
            })
        }
        LayerOp::NormalizeGamma { kind, rows, cols, x, stats, dy, dgamma } => {
            floats.output(dgamma, |f, dgamma| {
                cpu_core::normalize_gamma(kind, rows, cols, f.get(x), f.get(stats), f.get(dy), dgamma)
            })
        }
        LayerOp::PoolTime { pool, time, batch, cols, flags, x, count, y } => {
            two_out(floats, count, y, |f, count, y| {
                cpu_core::pool_time(pool, time, batch, cols, flags.map(&index), f.get(x), count, y)
            })
        }
        LayerOp::PoolTimeBackward { pool, time, batch, cols, flags, x, y, count, dy, dx } => {
            floats.output(dx, |f, dx| {
                let (x, y, count, dy) = (f.get(x), f.get(y), f.get(count), f.get(dy));
                cpu_core::pool_time_backward(pool, time, batch, cols, flags.map(&index), x, y, count, dy, dx)
            })
        }
        LayerOp::Noise { noise, backward, repeats, draw, first, x, y } => floats
            .output(y, |f, y| cpu_core::noise(noise, backward, repeats, draw, first, params, f.get(x), y)),
        LayerOp::Blend { rate, draw, a, b, y } => {
            floats.output(y, |f, y| cpu_core::blend(real(rate), draw, params, f.get(a), f.get(b), y))
        }
        LayerOp::BlendBackward { rate, draw, of_a, dy, d } => {
            floats.output(d, |f, d| cpu_core::blend_backward(real(rate), draw, of_a, params, f.get(dy), d))
        }
        LayerOp::Divide { a, b, y } => floats.output(y, |f, y| cpu_core::div(f.get(a), f.get(b), y)),
        LayerOp::Maximum { a, b, y } => floats.output(y, |f, y| cpu_core::maximum(f.get(a), f.get(b), y)),
        LayerOp::Minimum { a, b, y } => floats.output(y, |f, y| cpu_core::minimum(f.get(a), f.get(b), y)),
        LayerOp::MaximumBackward { a, b, dy, da } => {
            floats.output(da, |f, da| cpu_core::maximum_backward(f.get(a), f.get(b), f.get(dy), da))
        }
        LayerOp::Penalty { l1, l2, x, out } => {
            floats.output(out, |f, out| cpu_core::penalty(real(l1), real(l2), f.get(x), out))
        }
        LayerOp::PenaltyBackward { l1, l2, scale, x, dx } => floats
            .output(dx, |f, dx| cpu_core::penalty_backward(real(l1), real(l2), real(scale), f.get(x), dx)),
    }
}
