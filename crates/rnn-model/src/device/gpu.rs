//! A GPU: an operation is a launch of gpu-core's kernel of the same name, recorded once and run many times.

mod layer_op;

use super::op::{Gradient, Op, RecurrentGradients, RecurrentInputs, RecurrentUpstream};
use super::{BufferId, Engine, IndexSlice, MemoryUse, Slice};
use crate::Result;
use gpu_core::{Context, Recorder, kernels};
use rnn_shaders::shape::RecurrentShape;
use rnn_shaders::vocabulary::{Cell, CellExtras, StepParams};

/// One adapter's context and the memory that models hold on it.
pub(super) struct GpuEngine {
    context: Context,
    buffers: Vec<Option<gpu_core::Buffer>>,
    programs: Vec<Option<gpu_core::Program>>,
}

/// Puts `value` into a free place.
fn insert<V>(places: &mut Vec<Option<V>>, value: V) -> usize {
    match places.iter().position(Option::is_none) {
        Some(id) => {
            places[id] = Some(value);
            id
        }
        None => {
            places.push(Some(value));
            places.len() - 1
        }
    }
}

impl GpuEngine {
    pub(super) fn new(context: Context) -> Self {
        GpuEngine { context, buffers: Vec::new(), programs: Vec::new() }
    }

    fn buffer(&self, id: BufferId) -> &gpu_core::Buffer {
        self.buffers[id].as_ref().expect("handles keep their buffers")
    }

    fn get(&self, s: Slice) -> Result<gpu_core::Slice> {
        Ok(self.buffer(s.buffer).slice(s.offset, s.len)?)
    }

    fn maybe(&self, s: Option<Slice>) -> Result<Option<gpu_core::Slice>> {
        s.map(|s| self.get(s)).transpose()
    }

    fn index(&self, s: IndexSlice) -> Result<gpu_core::Slice> {
        Ok(self.buffer(s.buffer).slice(s.offset, s.len)?)
    }

    fn record(&self, rec: &mut Recorder, op: &Op) -> Result<()> {
        match *op {
            Op::Matmul { shape, a, b, bias, c } => {
                let (a, b, bias, c) = (self.get(a)?, self.get(b)?, self.maybe(bias)?, self.get(c)?);
                kernels::matmul(rec, shape, &a, &b, bias.as_ref(), &c)?;
            }
            Op::Layer(op) => self.layer_op(rec, op)?,
            Op::RecurrentForward { cell, shape, io } => self.forward(rec, cell, shape, io)?,
            Op::RecurrentBackward { cell, shape, io, up, out } => {
                self.backward(rec, cell, shape, io, up, out)?;
            }
            Op::ActivationForward { kind, x, y } => {
                kernels::activation_forward(rec, kind, &self.get(x)?, &self.get(y)?)?;
            }
            Op::ActivationBackward { kind, saved, dy, dx } => {
                kernels::activation_backward(rec, kind, &self.get(saved)?, &self.get(dy)?, &self.get(dx)?)?;
            }
            Op::SoftmaxForward { rows, cols, x, y } => {
                kernels::softmax_forward(rec, rows, cols, &self.get(x)?, &self.get(y)?)?;
            }
            Op::SoftmaxBackward { rows, cols, y, dy, dx } => {
                kernels::softmax_backward(rec, rows, cols, &self.get(y)?, &self.get(dy)?, &self.get(dx)?)?;
            }
            Op::RowActivationForward { kind, rows, cols, x, y } => {
                kernels::row_activation_forward(rec, kind, rows, cols, &self.get(x)?, &self.get(y)?)?;
            }
            Op::RowActivationBackward { kind, rows, cols, y, dy, dx } => {
                let (y, dy, dx) = (self.get(y)?, self.get(dy)?, self.get(dx)?);
                kernels::row_activation_backward(rec, kind, rows, cols, &y, &dy, &dx)?;
            }
            Op::ScoreForward { score, rows, cols, pred, target, weights, out } => {
                let (pred, target, weights) = (self.get(pred)?, self.get(target)?, self.maybe(weights)?);
                kernels::score_forward(
                    rec,
                    score,
                    rows,
                    cols,
                    &pred,
                    &target,
                    weights.as_ref(),
                    &self.get(out)?,
                )?;
            }
            Op::ScoreBackward { score, rows, cols, pred, target, weights, scale, dpred } => {
                let (pred, target, weights) = (self.get(pred)?, self.get(target)?, self.maybe(weights)?);
                let (weights, dpred) = (weights.as_ref(), self.get(dpred)?);
                kernels::score_backward(rec, score, rows, cols, &pred, &target, weights, scale, &dpred)?;
            }
            Op::SumRows { rows, cols, x, out, accumulate } => {
                kernels::sum_rows(rec, rows, cols, &self.get(x)?, &self.get(out)?, accumulate)?;
            }
            Op::Accumulate { rows, cols, x, scale, count, acc } => {
                kernels::accumulate(rec, rows, cols, &self.get(x)?, scale, count, &self.get(acc)?)?;
            }
            Op::RowWeights { weights, flags, valid, out } => {
                let (weights, valid) = (self.maybe(weights)?, self.maybe(valid)?);
                let flags = flags.map(|s| self.index(s)).transpose()?;
                let (weights, flags, valid) = (weights.as_ref(), flags.as_ref(), valid.as_ref());
                kernels::row_weights(rec, weights, flags, valid, &self.get(out)?)?;
            }
            Op::OptimizerStep { spec, params, grads, m, v, x } => {
                let (m, v, x) = (self.maybe(m)?, self.maybe(v)?, self.maybe(x)?);
                let (weights, grads) = (self.get(params)?, self.get(grads)?);
                let (m, v, x) = (m.as_ref(), v.as_ref(), x.as_ref());
                kernels::optimizer_step(rec, spec, params.len, &weights, &grads, m, v, x)?;
            }
            Op::FactoredStep { spec, ref matrices, params, grads, m, v, x } => {
                let (params, grads) = (self.get(params)?, self.get(grads)?);
                let (m, v, x) = (self.get(m)?, self.get(v)?, self.get(x)?);
                kernels::factored_step(rec, spec, matrices, &params, &grads, &m, &v, &x)?;
            }
            Op::TrustStep { trust, ref segments, weight_sumsq, direction_sumsq, direction, params } => {
                let (ww, xx) = (self.get(weight_sumsq)?, self.get(direction_sumsq)?);
                let (x, w) = (self.get(direction)?, self.get(params)?);
                kernels::trust_step(rec, trust, segments, &ww, &xx, &x, &w)?;
            }
            Op::GatherGradients { steps, grads, gathered } => {
                kernels::gather_gradients(rec, steps, &self.get(grads)?, &self.get(gathered)?)?;
            }
            Op::WeightAverage { momentum, params, average } => {
                kernels::weight_average(rec, momentum, &self.get(params)?, &self.get(average)?)?;
            }
            Op::WeightPenalty { ref penalties, params, grads, scale, acc } => {
                let (params, grads, acc) = (self.get(params)?, self.maybe(grads)?, self.get(acc)?);
                kernels::weight_penalty(rec, penalties, &params, grads.as_ref(), scale, &acc)?;
            }
            Op::Constrain { ref bounds, params } => {
                kernels::constrain(rec, bounds, &self.get(params)?)?;
            }
            Op::ThresholdCounts { ref thresholds, class, rows, cols, pred, target, weights, acc } => {
                let (pred, target, weights) = (self.get(pred)?, self.get(target)?, self.maybe(weights)?);
                let (weights, acc) = (weights.as_ref(), self.get(acc)?);
                kernels::threshold_counts(rec, thresholds, class, rows, cols, &pred, &target, weights, &acc)?;
            }
            Op::KeepLargest { k, fill, rows, cols, x, y } => {
                kernels::keep_largest(rec, k, fill, rows, cols, &self.get(x)?, &self.get(y)?)?;
            }
            Op::ColumnTerms { terms, rows, cols, pred, target, weights, acc } => {
                let (pred, target, weights) = (self.get(pred)?, self.get(target)?, self.maybe(weights)?);
                let (weights, acc) = (weights.as_ref(), self.get(acc)?);
                kernels::column_terms(rec, terms, rows, cols, &pred, &target, weights, &acc)?;
            }
            Op::SegmentNorms { ref segments, x, out } => {
                kernels::segment_norms(rec, segments, &self.get(x)?, &self.get(out)?)?;
            }
            Op::ClipByNorm { ref segments, sumsq, max_norm, global, x } => {
                kernels::clip_by_norm(rec, segments, &self.get(sumsq)?, max_norm, global, &self.get(x)?)?;
            }
            Op::GatherBatch { rows, time, features, dataset, indices, out } => {
                let (dataset, indices, out) = (self.get(dataset)?, self.index(indices)?, self.get(out)?);
                kernels::gather_batch(rec, rows, time, features, &dataset, &indices, &out)?;
            }
            Op::Transpose01 { a, b, f, x, y } => {
                kernels::transpose01(rec, a, b, f, &self.get(x)?, &self.get(y)?)?;
            }
            Op::Dropout { rate, seed, stream, first, x, y } => {
                kernels::dropout_from(rec, rate, seed, stream, first, &self.get(x)?, &self.get(y)?)?;
            }
            Op::RepeatVector { time, n, x, y } => {
                kernels::repeat_vector(rec, time, n, &self.get(x)?, &self.get(y)?)?;
            }
            Op::ReverseTime { time, n, x, y } => {
                kernels::reverse_time(rec, time, n, &self.get(x)?, &self.get(y)?)?;
            }
            Op::Fill { value, y } => kernels::fill(rec, value, &self.get(y)?)?,
            Op::Copy { x, y } => kernels::copy(rec, &self.get(x)?, &self.get(y)?)?,
            Op::AddAssign { x, y } => kernels::add_assign(rec, &self.get(x)?, &self.get(y)?)?,
            Op::Scale { factor, x, y } => kernels::scale(rec, factor, &self.get(x)?, &self.get(y)?)?,
            Op::Add { a, b, y } => kernels::add(rec, &self.get(a)?, &self.get(b)?, &self.get(y)?)?,
            Op::Sub { a, b, y } => kernels::sub(rec, &self.get(a)?, &self.get(b)?, &self.get(y)?)?,
            Op::Mul { a, b, y } => kernels::mul(rec, &self.get(a)?, &self.get(b)?, &self.get(y)?)?,
            Op::StoreStep { stride, x, seq } => {
                kernels::store_step(rec, stride, &self.get(x)?, &self.get(seq)?)?;
            }
            Op::ShiftAppend { time, n, x, new, y } => {
                kernels::shift_append(rec, time, n, &self.get(x)?, &self.get(new)?, &self.get(y)?)?;
            }
        }
        Ok(())
    }

    fn forward(
        &self,
        rec: &mut Recorder,
        cell: Cell,
        shape: RecurrentShape,
        io: RecurrentInputs,
    ) -> Result<()> {
        let io = self.recurrent(&io)?;
        Ok(kernels::recurrent_forward(rec, cell, shape, io.inputs(), io.states())?)
    }

    fn backward(
        &self,
        rec: &mut Recorder,
        cell: Cell,
        shape: RecurrentShape,
        io: RecurrentInputs,
        up: RecurrentUpstream,
        out: RecurrentGradients,
    ) -> Result<()> {
        let io = self.recurrent(&io)?;
        let (dh_last, dc_last) = (self.maybe(up.dh_last)?, self.maybe(up.dc_last)?);
        let dy = match up.dy {
            Some(Gradient::Made(dy)) => Some((self.get(dy)?, None)),
            Some(Gradient::Product(of)) => Some((self.get(of.left)?, Some(self.get(of.right)?))),
            None => None,
        };
        let up = kernels::RecurrentUpstream {
            dy: dy.as_ref().map(|dy| match dy {
                (made, None) => kernels::OutputGradient::Made(made),
                (left, Some(right)) => kernels::OutputGradient::Product { left, right },
            }),
            dh_last: dh_last.as_ref(),
            dc_last: dc_last.as_ref(),
        };
        let (kernel, recurrent, bias) =
            (self.get(out.kernel)?, self.get(out.recurrent)?, self.maybe(out.bias)?);
        let (x, h0, c0) = (self.maybe(out.x)?, self.maybe(out.h0)?, self.maybe(out.c0)?);
        let peepholes = self.maybe(out.peepholes)?;
        let grads = kernels::RecurrentGrads {
            kernel: &kernel,
            recurrent: &recurrent,
            bias: bias.as_ref(),
            peepholes: peepholes.as_ref(),
            x: x.as_ref(),
            h0: h0.as_ref(),
            c0: c0.as_ref(),
        };
        Ok(kernels::recurrent_backward(rec, cell, shape, io.inputs(), io.states(), up, &grads)?)
    }

    fn recurrent(&self, io: &RecurrentInputs) -> Result<RecurrentSlices> {
        Ok(RecurrentSlices {
            x: self.get(io.x)?,
            kernel: self.get(io.kernel)?,
            recurrent: self.get(io.recurrent)?,
            bias: self.maybe(io.bias)?,
            flags: io.flags.map(|s| self.index(s)).transpose()?,
            h_mask: self.maybe(io.h_mask)?,
            peepholes: self.maybe(io.peepholes)?,
            extras: io.extras,
            h: self.get(io.h)?,
            h_state: self.maybe(io.h_state)?,
            c: self.maybe(io.c)?,
            saved: self.maybe(io.saved)?,
        })
    }
}

/// [`RecurrentInputs`] on the device.
struct RecurrentSlices {
    x: gpu_core::Slice,
    kernel: gpu_core::Slice,
    recurrent: gpu_core::Slice,
    bias: Option<gpu_core::Slice>,
    flags: Option<gpu_core::Slice>,
    h_mask: Option<gpu_core::Slice>,
    peepholes: Option<gpu_core::Slice>,
    extras: CellExtras,
    h: gpu_core::Slice,
    h_state: Option<gpu_core::Slice>,
    c: Option<gpu_core::Slice>,
    saved: Option<gpu_core::Slice>,
}

impl RecurrentSlices {
    fn inputs(&self) -> kernels::RecurrentInputs<'_> {
        kernels::RecurrentInputs {
            x: &self.x,
            kernel: &self.kernel,
            recurrent: &self.recurrent,
            bias: self.bias.as_ref(),
            flags: self.flags.as_ref(),
            h_mask: self.h_mask.as_ref(),
            peepholes: self.peepholes.as_ref(),
            extras: self.extras,
        }
    }

    fn states(&self) -> kernels::RecurrentStates<'_> {
        kernels::RecurrentStates {
            h: &self.h,
            h_state: self.h_state.as_ref(),
            c: self.c.as_ref(),
            saved: self.saved.as_ref(),
        }
    }
}

impl Engine for GpuEngine {
    fn alloc(&mut self, len: usize) -> Result<BufferId> {
        let buffer = self.context.alloc_zeroed(len)?;
        Ok(insert(&mut self.buffers, buffer))
    }

    fn free(&mut self, id: BufferId) {
        self.buffers[id] = None;
    }

    fn alloc_index(&mut self, len: usize) -> Result<BufferId> {
        self.alloc(len)
    }

    fn largest_buffer(&self) -> u64 {
        self.context.largest_binding()
    }

    fn free_index(&mut self, id: BufferId) {
        self.free(id);
    }

    fn write(&mut self, to: Slice, data: &[f32]) -> Result<()> {
        Ok(self.context.write(&self.get(to)?, bytemuck::cast_slice(data))?)
    }

    fn read(&mut self, from: Slice) -> Result<Vec<f32>> {
        Ok(self.context.read_f32(&self.get(from)?)?)
    }

    fn write_index(&mut self, to: IndexSlice, data: &[u32]) -> Result<()> {
        Ok(self.context.write(&self.index(to)?, bytemuck::cast_slice(data))?)
    }

    fn saved_len(&self, cell: Cell, shape: RecurrentShape) -> usize {
        kernels::saved_len(cell, shape)
    }

    fn strategy(&self, cell: Cell, shape: RecurrentShape, training: bool) -> (String, String) {
        let _ = training;
        let strategy = kernels::recurrent_strategy(&self.context, cell, shape);
        (format!("{:?}", strategy.kind), strategy.why)
    }

    fn compile(&mut self, ops: Vec<Op>) -> Result<usize> {
        let mut rec = self.context.recorder();
        for op in &ops {
            self.record(&mut rec, op)?;
            rec.end_operation();
        }
        let program = rec.finish()?;
        Ok(insert(&mut self.programs, program))
    }

    fn free_program(&mut self, id: usize) {
        self.programs[id] = None;
    }

    fn run(&mut self, program: usize, steps: &[StepParams]) -> Result<()> {
        let program = self.programs[program].as_ref().expect("handles keep their programs");
        Ok(self.context.run(program, steps)?)
    }

    fn synchronize(&mut self) -> Result<()> {
        Ok(self.context.synchronize()?)
    }

    fn memory(&self) -> MemoryUse {
        let stats = self.context.stats();
        MemoryUse { live: stats.live, peak: stats.peak }
    }
}
