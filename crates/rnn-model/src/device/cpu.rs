//! The CPU device: buffers are vectors, an operation is a call of cpu-core's function of the same name.

mod layer_op;
mod plain_op;
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
        self.part_mut(self.slice)
    }

    /// Another part of the same buffer.
    fn part_mut(&mut self, s: Slice) -> &mut [T] {
        &mut self.data[s.offset..s.offset + s.len]
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
            other => self.plain(other, params)?,
        }
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
        let memory = &mut self.floats.memory;
        memory.live += (len * size_of::<u32>()) as u64;
        memory.peak = memory.peak.max(memory.live);
        Ok(self.indices.insert(vec![0; len]))
    }

    fn free_index(&mut self, id: BufferId) {
        let buffer = self.indices.remove(id);
        self.floats.memory.live -= (buffer.len() * size_of::<u32>()) as u64;
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
