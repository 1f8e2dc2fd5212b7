//! The CPU device: buffers are vectors, an operation is a call of cpu-core's function of the same name.

mod layer_op;
mod recurrent;

use super::op::Op;
use super::{BufferId, Engine, IndexSlice, MemoryUse, Slice};
use crate::Result;
use cpu_core::recurrent::{RecurrentWorkspace, saved_len, strategy};
use cpu_core::{AlignedVec, Real};
use rnn_shaders::shape::RecurrentShape;
use rnn_shaders::vocabulary::{Cell, StepParams};
use std::mem::take;

/// One CPU device in precision `T`.
pub(super) struct CpuEngine<T: Real> {
    threads: usize,
    floats: Floats<T>,
    indices: Slots<Vec<u32>>,
    programs: Slots<Listing<T>>,
}

/// The float buffers. An operation takes its outputs out while it runs, so no output may share a buffer with an input.
struct Floats<T> {
    buffers: Slots<AlignedVec<T>>,
    /// When each buffer's contents last changed as weights: packed copies are kept until then.
    versions: Vec<u64>,
    clock: u64,
    memory: MemoryUse,
}

/// A program: operations that take turns with the workspaces.
struct Listing<T: Real> {
    steps: Vec<Step<T>>,
    /// one for each set of recurrent weights, whose packed copy all operations with these weights use
    workspaces: Vec<Option<Box<RecurrentWorkspace<T>>>>,
}

impl<T: Real> Default for Listing<T> {
    fn default() -> Self {
        Listing { steps: Vec::new(), workspaces: Vec::new() }
    }
}

/// An operation and what it keeps between runs.
struct Step<T: Real> {
    op: Op,
    /// which workspace is its own while it runs
    place: Option<usize>,
    workspace: Option<Box<RecurrentWorkspace<T>>>,
}

/// Things by index, with free places used again.
struct Slots<V> {
    items: Vec<V>,
    free: Vec<usize>,
}

impl<V: Default> Slots<V> {
    fn new() -> Self {
        Slots { items: Vec::new(), free: Vec::new() }
    }

    fn insert(&mut self, value: V) -> usize {
        match self.free.pop() {
            Some(id) => {
                self.items[id] = value;
                id
            }
            None => {
                self.items.push(value);
                self.items.len() - 1
            }
        }
    }

    fn remove(&mut self, id: usize) -> V {
        self.free.push(id);
        take(&mut self.items[id])
    }
}

impl<T: Real> Floats<T> {
    fn get(&self, s: Slice) -> &[T] {
        &self.buffers.items[s.buffer][s.offset..s.offset + s.len]
    }

    fn maybe(&self, s: Option<Slice>) -> Option<&[T]> {
        s.map(|s| self.get(s))
    }

    fn take(&mut self, s: Slice) -> Taken<T> {
        Taken { slice: s, data: take(&mut self.buffers.items[s.buffer]) }
    }

    fn take_maybe(&mut self, s: Option<Slice>) -> Option<Taken<T>> {
        s.map(|s| self.take(s))
    }

    fn put(&mut self, taken: Taken<T>) {
        self.buffers.items[taken.slice.buffer] = taken.data;
    }

    fn put_maybe(&mut self, taken: Option<Taken<T>>) {
        if let Some(taken) = taken {
            self.put(taken);
        }
    }

    /// Runs `f` with the output taken out.
    fn output<R>(&mut self, out: Slice, f: impl FnOnce(&Self, &mut [T]) -> R) -> R {
        let mut taken = self.take(out);
        let result = f(self, taken.as_mut());
        self.put(taken);
        result
    }

    /// Runs `f` with two outputs taken out, which are in different buffers.
    fn two_outputs<R>(&mut self, a: Slice, b: Slice, f: impl FnOnce(&mut [T], &mut [T]) -> R) -> R {
        let (mut a, mut b) = (self.take(a), self.take(b));
        let result = f(a.as_mut(), b.as_mut());
        self.put(a);
        self.put(b);
        result
    }

    fn changed(&mut self, buffer: BufferId) {
        self.clock += 1;
        self.versions[buffer] = self.clock;
    }
}

/// A buffer out of its place while an operation writes it.
struct Taken<T> {
    slice: Slice,
    data: AlignedVec<T>,
}

impl<T> Taken<T> {
    fn as_mut(&mut self) -> &mut [T] {
        &mut self.data[self.slice.offset..self.slice.offset + self.slice.len]
    }
}

fn maybe_mut<T>(taken: &mut Option<Taken<T>>) -> Option<&mut [T]> {
    taken.as_mut().map(Taken::as_mut)
}

impl<T: Real> CpuEngine<T> {
    pub(super) fn new(threads: usize) -> Self {
        CpuEngine {
            threads,
            floats: Floats {
                buffers: Slots::new(),
                versions: Vec::new(),
                clock: 1,
                memory: MemoryUse::default(),
            },
            indices: Slots::new(),
            programs: Slots::new(),
        }
    }

    fn index(&self, s: IndexSlice) -> &[u32] {
        &self.indices.items[s.buffer][s.offset..s.offset + s.len]
    }

    fn execute(&mut self, step: &mut Step<T>, params: &StepParams) -> Result<()> {
        let threads = self.threads;
        match &step.op {
            &Op::Matmul { shape, a, b, bias, c } => {
                self.floats.output(c, |f, c| {
                    cpu_core::matmul::matmul(shape, f.get(a), f.get(b), f.maybe(bias), c, threads)
                })?;
            }
            &Op::RecurrentForward { cell, shape, io } => self.forward(step, cell, shape, io)?,
            &Op::RecurrentBackward { cell, shape, io, up, out } => {
                self.backward(step, cell, shape, io, up, out)?;
            }
            &Op::Layer(op) => self.layer_op(op, params)?,
            other => self.simple(other, params)?,
        }
        Ok(())
    }

    fn simple(&mut self, op: &Op, params: &StepParams) -> Result<()> {
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

impl<T: Real> Engine for CpuEngine<T> {
    fn alloc(&mut self, len: usize) -> Result<BufferId> {
        let id = self.floats.buffers.insert(AlignedVec::new(len));
        self.floats.versions.resize(self.floats.buffers.items.len(), 0);
        let memory = &mut self.floats.memory;
        memory.live += (len * size_of::<T>()) as u64;
        memory.peak = memory.peak.max(memory.live);
        Ok(id)
    }

    fn free(&mut self, id: BufferId) {
        let buffer = self.floats.buffers.remove(id);
        self.floats.memory.live -= (buffer.len() * size_of::<T>()) as u64;
    }

    fn alloc_index(&mut self, len: usize) -> Result<BufferId> {
        Ok(self.indices.insert(vec![0; len]))
    }

    fn free_index(&mut self, id: BufferId) {
        self.indices.remove(id);
    }

    fn write(&mut self, to: Slice, data: &[f32]) -> Result<()> {
        assert_eq!(to.len, data.len(), "a write fills its slice");
        self.floats.changed(to.buffer);
        self.floats.output(to, |_, out| {
            for (to, &from) in out.iter_mut().zip(data) {
                *to = T::from_f32(from);
            }
        });
        Ok(())
    }

    fn read(&mut self, from: Slice) -> Result<Vec<f32>> {
        let x = self.floats.get(from);
        Ok(match T::f32s(x) {
            Some(x) => cpu_core::with_threads(self.threads, || cpu_core::to_vec(x)),
            None => x.iter().map(|x| x.to_f32()).collect(),
        })
    }

    fn swaps(&self) -> bool {
        true
    }

    fn write_swapped(&mut self, to: Slice, data: &[f32], a: usize, b: usize, f: usize) -> Result<()> {
        self.floats.changed(to.buffer);
        self.floats.output(to, |_, out| match T::f32s_mut(out) {
            Some(out) => cpu_core::transpose01(a, b, f, data, out),
            None => {
                let data: Vec<T> = data.iter().map(|&x| T::from_f32(x)).collect();
                cpu_core::transpose01(a, b, f, &data, out)
            }
        })?;
        Ok(())
    }

    fn read_swapped(&mut self, from: Slice, a: usize, b: usize, f: usize) -> Result<Vec<f32>> {
        let x = self.floats.get(from);
        let mut out = vec![0.0f32; x.len()];
        match T::f32s(x) {
            Some(x) => cpu_core::transpose01(a, b, f, x, &mut out)?,
            None => {
                let x: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
                cpu_core::transpose01(a, b, f, &x, &mut out)?;
            }
        }
        Ok(out)
    }

    fn write_index(&mut self, to: IndexSlice, data: &[u32]) -> Result<()> {
        self.indices.items[to.buffer][to.offset..to.offset + to.len].copy_from_slice(data);
        Ok(())
    }

    fn read_f64(&mut self, from: Slice) -> Result<Vec<f64>> {
        Ok(self.floats.get(from).iter().map(|x| x.to_f64()).collect())
    }

    fn saved_len(&self, cell: Cell, shape: RecurrentShape) -> usize {
        saved_len(cell, shape)
    }

    fn strategy(&self, cell: Cell, shape: RecurrentShape, _training: bool) -> (String, String) {
        let (name, why) = strategy(cell, shape, self.threads);
        (name.to_string(), why.to_string())
    }

    fn compile(&mut self, ops: Vec<Op>) -> Result<usize> {
        let mut weights = Vec::new();
        let mut place = |op: &Op| match op {
            Op::RecurrentForward { io, .. } | Op::RecurrentBackward { io, .. } => {
                let of = (io.kernel.buffer, io.kernel.offset);
                Some(weights.iter().position(|w| *w == of).unwrap_or_else(|| {
                    weights.push(of);
                    weights.len() - 1
                }))
            }
            _ => None,
        };
        let steps: Vec<_> =
            ops.into_iter().map(|op| Step { place: place(&op), op, workspace: None }).collect();
        let workspaces = weights.iter().map(|_| None).collect();
        Ok(self.programs.insert(Listing { steps, workspaces }))
    }

    fn free_program(&mut self, id: usize) {
        self.programs.remove(id);
    }

    fn run(&mut self, program: usize, steps: &[StepParams]) -> Result<()> {
        let mut list = take(&mut self.programs.items[program]);
        let result = cpu_core::with_threads(self.threads, || {
            let Listing { steps: list, workspaces } = &mut list;
            let mut execute = |step: &mut Step<T>, params: &StepParams| {
                step.workspace = step.place.and_then(|place| workspaces[place].take());
                let result = self.execute(step, params);
                if let Some(place) = step.place {
                    workspaces[place] = step.workspace.take();
                }
                result
            };
            steps.iter().try_for_each(|params| list.iter_mut().try_for_each(|step| execute(step, params)))
        });
        self.programs.items[program] = list;
        result
    }

    fn synchronize(&mut self) -> Result<()> {
        Ok(())
    }

    fn memory(&self) -> MemoryUse {
        self.floats.memory
    }
}
