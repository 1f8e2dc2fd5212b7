//! [`LayerOp`] on a GPU.

use super::super::layer_op::LayerOp;
use super::GpuEngine;
use crate::Result;
use gpu_core::{Recorder, kernels};

impl GpuEngine {
    /// Records one operation of a layer.
    pub(super) fn layer_op(&self, rec: &mut Recorder, op: LayerOp) -> Result<()> {
        match op {
            LayerOp::CopyBlock { block, x, y, .. } => {
                kernels::copy_block(rec, block, &self.get(x)?, &self.get(y)?)?;
            }
            LayerOp::Embedding { steps, vocab, width, table, ids, out } => {
                let (table, ids, out) = (self.get(table)?, self.get(ids)?, self.get(out)?);
                kernels::embedding(rec, steps, vocab, width, &table, &ids, &out)?;
            }
            LayerOp::EmbeddingBackward { steps, vocab, width, ids, dy, dtable } => {
                let (ids, dy, dtable) = (self.get(ids)?, self.get(dy)?, self.get(dtable)?);
                kernels::embedding_backward(rec, steps, vocab, width, &ids, &dy, &dtable)?;
            }
            LayerOp::FlagsFromValues { steps, cols, value, x, flags } => {
                let (x, flags) = (self.get(x)?, self.index(flags)?);
                kernels::flags_from_values(rec, steps, cols, value, &x, &flags)?;
            }
            LayerOp::FlagsFromLengths { time, batch, lengths, flags } => {
                let (lengths, flags) = (self.get(lengths)?, self.index(flags)?);
                kernels::flags_from_lengths(rec, time, batch, &lengths, &flags)?;
            }
            LayerOp::FlagsFromSegments { steps, ids, flags } => {
                kernels::flags_from_segments(rec, steps, &self.get(ids)?, &self.index(flags)?)?;
            }
            LayerOp::CombineFlags { either, a, b, out } => {
                kernels::combine_flags(rec, either, &self.index(a)?, &self.index(b)?, &self.index(out)?)?;
            }
            LayerOp::ReverseFlags { time, batch, a, out } => {
                kernels::reverse_flags(rec, time, batch, &self.index(a)?, &self.index(out)?)?;
            }
            LayerOp::SeenFlags { time, batch, a, out } => {
                kernels::seen_flags(rec, time, batch, &self.index(a)?, &self.index(out)?)?;
            }
            LayerOp::MaskRows { rows, cols, fill, flags, x, y } => {
                let (flags, x, y) = (self.index(flags)?, self.get(x)?, self.get(y)?);
                kernels::mask_rows(rec, rows, cols, fill, &flags, &x, &y)?;
            }
            LayerOp::SelectRows { rows, cols, bit, flags, a, b, y } => {
                let (flags, a, b, y) = (self.index(flags)?, self.maybe(a)?, self.maybe(b)?, self.get(y)?);
                kernels::select_rows(rec, rows, cols, bit, &flags, a.as_ref(), b.as_ref(), &y)?;
            }
            LayerOp::NormalizeForward { kind, rows, cols, x, gamma, beta, stats, y } => {
                let (gamma, beta) = (self.maybe(gamma)?, self.maybe(beta)?);
                let (gamma, beta) = (gamma.as_ref(), beta.as_ref());
                let (x, stats, y) = (self.get(x)?, self.get(stats)?, self.get(y)?);
                kernels::normalize_forward(rec, kind, rows, cols, &x, gamma, beta, &stats, &y)?;
            }
            LayerOp::NormalizeBackward { kind, rows, cols, x, gamma, stats, dy, dx } => {
                let (x, gamma, stats) = (self.get(x)?, self.maybe(gamma)?, self.get(stats)?);
                let (gamma, dy, dx) = (gamma.as_ref(), self.get(dy)?, self.get(dx)?);
                kernels::normalize_backward(rec, kind, rows, cols, &x, gamma, &stats, &dy, &dx)?;
            }
            LayerOp::NormalizeGamma { kind, rows, cols, x, stats, dy, dgamma } => {
                let (x, stats, dy, dgamma) =
                    (self.get(x)?, self.get(stats)?, self.get(dy)?, self.get(dgamma)?);
                kernels::normalize_gamma(rec, kind, rows, cols, &x, &stats, &dy, &dgamma)?;
            }
            LayerOp::PoolTime { pool, time, batch, cols, flags, x, count, y } => {
                let flags = flags.map(|s| self.index(s)).transpose()?;
                let (flags, x, count, y) = (flags.as_ref(), self.get(x)?, self.get(count)?, self.get(y)?);
                kernels::pool_time(rec, pool, time, batch, cols, flags, &x, &count, &y)?;
            }
            LayerOp::PoolTimeBackward { pool, time, batch, cols, flags, x, y, count, dy, dx } => {
                let flags = flags.map(|s| self.index(s)).transpose()?;
                let (x, y, count) = (self.get(x)?, self.get(y)?, self.get(count)?);
                let (flags, dy, dx) = (flags.as_ref(), self.get(dy)?, self.get(dx)?);
                kernels::pool_time_backward(rec, pool, time, batch, cols, flags, &x, &y, &count, &dy, &dx)?;
            }
            LayerOp::Noise { noise, backward, repeats, draw, first, x, y } => {
                kernels::noise(rec, noise, backward, repeats, draw, first, &self.get(x)?, &self.get(y)?)?;
            }
            LayerOp::Blend { rate, draw, a, b, y } => {
                kernels::blend(rec, rate, draw, &self.get(a)?, &self.get(b)?, &self.get(y)?)?;
            }
            LayerOp::BlendBackward { rate, draw, of_a, dy, d } => {
                kernels::blend_backward(rec, rate, draw, of_a, &self.get(dy)?, &self.get(d)?)?;
            }
            LayerOp::Divide { a, b, y } => {
                kernels::div(rec, &self.get(a)?, &self.get(b)?, &self.get(y)?)?;
            }
            LayerOp::Maximum { a, b, y } => {
                kernels::maximum(rec, &self.get(a)?, &self.get(b)?, &self.get(y)?)?;
            }
            LayerOp::Minimum { a, b, y } => {
                kernels::minimum(rec, &self.get(a)?, &self.get(b)?, &self.get(y)?)?;
            }
            LayerOp::MaximumBackward { a, b, dy, da } => {
                let (a, b, dy, da) = (self.get(a)?, self.get(b)?, self.get(dy)?, self.get(da)?);
                kernels::maximum_backward(rec, &a, &b, &dy, &da)?;
            }
            LayerOp::Penalty { l1, l2, x, out } => {
                kernels::penalty(rec, l1, l2, &self.get(x)?, &self.get(out)?)?;
            }
            LayerOp::PenaltyBackward { l1, l2, scale, x, dx } => {
                kernels::penalty_backward(rec, l1, l2, scale, &self.get(x)?, &self.get(dx)?)?;
            }
        }
        Ok(())
    }
}
