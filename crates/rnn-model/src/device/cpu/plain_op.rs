//! Operations that keep nothing between runs, each as the function of cpu-core of its name.

use super::super::IndexSlice;
use super::super::op::Op;
use super::{CpuEngine, maybe_mut};
use crate::Result;
use cpu_core::Real;
use rnn_shaders::vocabulary::StepParams;

impl<T: Real> CpuEngine<T> {
    pub(super) fn plain(&mut self, op: &Op, params: &StepParams) -> Result<()> {
        let indices = &self.indices.items;
        let index = |s: IndexSlice| &indices[s.buffer][s.offset..s.offset + s.len];
        let floats = &mut self.floats;
        match op {
            Op::Matmul { .. } | Op::RecurrentForward { .. } | Op::RecurrentBackward { .. } | Op::Layer(_) => {
                unreachable!()
            }
            &Op::ActivationForward { kind, x, y } => {
                floats.output(y, |f, y| cpu_core::activation_forward(kind, f.get(x), y))
            }
            &Op::ActivationBackward { kind, saved, dy, dx } => {
                floats.output(dx, |f, dx| cpu_core::activation_backward(kind, f.get(saved), f.get(dy), dx))
            }
            &Op::SoftmaxForward { rows, cols, x, y } => {
                floats.output(y, |f, y| cpu_core::softmax_forward(rows, cols, f.get(x), y))
            }
            &Op::SoftmaxBackward { rows, cols, y, dy, dx } => {
                floats.output(dx, |f, dx| cpu_core::softmax_backward(rows, cols, f.get(y), f.get(dy), dx))
            }
            &Op::RowActivationForward { kind, rows, cols, x, y } => {
                floats.output(y, |f, y| cpu_core::row_activation_forward(kind, rows, cols, f.get(x), y))
            }
            &Op::RowActivationBackward { kind, rows, cols, y, dy, dx } => floats.output(dx, |f, dx| {
                cpu_core::row_activation_backward(kind, rows, cols, f.get(y), f.get(dy), dx)
            }),
            &Op::ScoreForward { score, rows, cols, pred, target, weights, out } => {
                floats.output(out, |f, out| {
                    let (pred, target) = (f.get(pred), f.get(target));
                    cpu_core::score_forward(score, rows, cols, pred, target, f.maybe(weights), out)
                })
            }
            &Op::ScoreBackward { score, rows, cols, pred, target, weights, scale, dpred } => {
                floats.output(dpred, |f, dpred| {
                    let (pred, target, scale) = (f.get(pred), f.get(target), T::from_f32(scale));
                    cpu_core::score_backward(score, rows, cols, pred, target, f.maybe(weights), scale, dpred)
                })
            }
            &Op::SumRows { rows, cols, x, out, accumulate } => {
                floats.output(out, |f, out| cpu_core::sum_rows(rows, cols, f.get(x), out, accumulate))
            }
            &Op::Accumulate { rows, cols, x, scale, count, acc } => floats.output(acc, |f, acc| {
                let (scale, count) = (T::from_f32(scale), count.map(T::from_f32));
                cpu_core::accumulate(rows, cols, f.get(x), scale, count, acc)
            }),
            &Op::RowWeights { weights, flags, valid, out } => floats.output(out, |f, out| {
                cpu_core::row_weights(f.maybe(weights), flags.map(index), f.maybe(valid), out)
            }),
            &Op::OptimizerStep { spec, params: weights, grads, m, v, x } => {
                floats.changed(weights.buffer);
                let (mut m, mut v, mut x) =
                    (floats.take_maybe(m), floats.take_maybe(v), floats.take_maybe(x));
                let result = floats.output(weights, |f, w| {
                    let (m, v, x) = (maybe_mut(&mut m), maybe_mut(&mut v), maybe_mut(&mut x));
                    cpu_core::optimizer_step(&spec, params, w, f.get(grads), m, v, x)
                });
                floats.put_maybe(m);
                floats.put_maybe(v);
                floats.put_maybe(x);
                result
            }
            &Op::FactoredStep { ref spec, ref matrices, params: weights, grads, m, v, x } => {
                floats.changed(weights.buffer);
                let (mut m, mut v, mut x) = (floats.take(m), floats.take(v), floats.take(x));
                let result = floats.output(weights, |f, w| {
                    let (m, v, x) = (m.as_mut(), v.as_mut(), x.as_mut());
                    cpu_core::factored_step(spec, params, matrices, w, f.get(grads), m, v, x)
                });
                [m, v, x].into_iter().for_each(|slot| floats.put(slot));
                result
            }
            &Op::TrustStep {
                trust,
                ref segments,
                weight_sumsq,
                direction_sumsq,
                direction,
                params: weights,
            } => {
                floats.changed(weights.buffer);
                floats.output(weights, |f, w| {
                    let (ww, xx) = (f.get(weight_sumsq), f.get(direction_sumsq));
                    cpu_core::trust_step(trust, params, segments, ww, xx, f.get(direction), w)
                })
            }
            &Op::GatherGradients { steps, grads, gathered } => {
                floats
                    .two_outputs(grads, gathered, |g, sum| cpu_core::gather_gradients(steps, params, g, sum))
            }
            &Op::WeightAverage { momentum, params: weights, average } => {
                floats.changed(weights.buffer);
                floats.two_outputs(weights, average, |w, mean| {
                    cpu_core::weight_average(momentum, params, w, mean)
                })
            }
            &Op::WeightPenalty { ref penalties, params: weights, grads, scale, acc } => {
                let mut grads = floats.take_maybe(grads);
                let result = floats.output(acc, |f, acc| {
                    let (grads, scale) = (maybe_mut(&mut grads), T::from_f32(scale));
                    cpu_core::weight_penalty(penalties, f.get(weights), grads, scale, acc)
                });
                floats.put_maybe(grads);
                result
            }
            &Op::Constrain { ref bounds, params: weights } => {
                floats.changed(weights.buffer);
                floats.output(weights, |_, w| cpu_core::constrain(bounds, w))
            }
            &Op::ThresholdCounts { ref thresholds, class, rows, cols, pred, target, weights, acc } => floats
                .output(acc, |f, acc| {
                    let (pred, target, weights) = (f.get(pred), f.get(target), f.maybe(weights));
                    cpu_core::threshold_counts(thresholds, class, rows, cols, pred, target, weights, acc)
                }),
            &Op::KeepLargest { k, fill, rows, cols, x, y } => {
                floats.output(y, |f, y| cpu_core::keep_largest(k, T::from_f32(fill), rows, cols, f.get(x), y))
            }
            &Op::ColumnTerms { terms, rows, cols, pred, target, weights, acc } => {
                floats.output(acc, |f, acc| {
                    let (pred, target, weights) = (f.get(pred), f.get(target), f.maybe(weights));
                    cpu_core::column_terms(terms, rows, cols, pred, target, weights, acc)
                })
            }
            &Op::SegmentNorms { ref segments, x, out } => {
                floats.output(out, |f, out| cpu_core::segment_norms(segments, f.get(x), out))
            }
            &Op::ClipByNorm { ref segments, sumsq, max_norm, global, x } => floats.output(x, |f, x| {
                cpu_core::clip_by_norm(segments, f.get(sumsq), T::from_f32(max_norm), global, x)
            }),
            &Op::GatherBatch { rows, time, features, dataset, indices, out } => {
                floats.output(out, |f, out| {
                    cpu_core::gather_batch(rows, time, features, f.get(dataset), index(indices), params, out)
                })
            }
            &Op::Transpose01 { a, b, f: inner, x, y } => {
                floats.output(y, |f, y| cpu_core::transpose01(a, b, inner, f.get(x), y))
            }
            &Op::Dropout { rate, seed, stream, first, x, y } => floats.output(y, |f, y| {
                cpu_core::dropout_from(T::from_f32(rate), seed, stream, first, params, f.get(x), y)
            }),
            &Op::RepeatVector { time, n, x, y } => {
                floats.output(y, |f, y| cpu_core::repeat_vector(time, n, f.get(x), y))
            }
            &Op::ReverseTime { time, n, x, y } => {
                floats.output(y, |f, y| cpu_core::reverse_time(time, n, f.get(x), y))
            }
            &Op::Fill { value, y } => floats.output(y, |_, y| cpu_core::fill(T::from_f32(value), y)),
            &Op::Copy { x, y } => floats.output(y, |f, y| cpu_core::copy(f.get(x), y)),
            &Op::AddAssign { x, y } => floats.output(y, |f, y| cpu_core::add_assign(f.get(x), y)),
            &Op::Scale { factor, x, y } => {
                floats.output(y, |f, y| cpu_core::scale(T::from_f32(factor), f.get(x), y))
            }
            &Op::Add { a, b, y } => floats.output(y, |f, y| cpu_core::add(f.get(a), f.get(b), y)),
            &Op::Sub { a, b, y } => floats.output(y, |f, y| cpu_core::sub(f.get(a), f.get(b), y)),
            &Op::Mul { a, b, y } => floats.output(y, |f, y| cpu_core::mul(f.get(a), f.get(b), y)),
            &Op::StoreStep { stride, x, seq } => {
                floats.output(seq, |f, seq| cpu_core::store_step(stride, params, f.get(x), seq))
            }
            &Op::ShiftAppend { time, n, x, new, y } => {
                floats.output(y, |f, y| cpu_core::shift_append(time, n, f.get(x), f.get(new), y))
            }
        }?;
        Ok(())
    }
}
