//! Where the values of a program stand in device memory. A program is lowered over buffers that do not exist yet; when
//! all its operations are known, buffers whose contents are never needed at the same time are given the same memory, and what an
//! operation can write over something that it reads stands there, if that is never needed again.

use crate::Result;
use crate::device::{Access, Buffer, Device, Op, Overwrite, Slice};
use std::collections::BTreeSet;

/// Ids from here on are of buffers that have no memory yet.
const PLANNED: usize = 1 << (usize::BITS - 1);

/// Values of a cache line, on which a buffer of its own begins.
const LINE: usize = 16;

/// The buffers of a program that is being put together.
#[derive(Default)]
pub(crate) struct Planned {
    buffers: Vec<Life>,
}

/// A buffer over the course of a program.
#[derive(Clone, Debug, Default)]
struct Life {
    len: usize,
    /// operations that use it first and last
    used: Option<(usize, usize)>,
    /// what is read was not all written before by the same run, or the host reads it: memory of its own
    own: bool,
    /// stretches written so far, in order, none touching another
    written: Vec<(usize, usize)>,
    /// the buffer over which it is written, and where: it has no memory of its own
    over: Option<(usize, usize)>,
    /// the last operation that uses what is written over it
    until: usize,
}

impl Life {
    fn touch(&mut self, at: usize) {
        self.used = Some(self.used.map_or((at, at), |(first, _)| (first, at)));
    }

    fn read(&mut self, from: usize, to: usize) {
        let before = self.written.partition_point(|&(a, _)| a <= from);
        let covered = self.written[..before].last().is_some_and(|&(_, end)| to <= end);
        self.own |= from < to && !covered;
    }

    fn write(&mut self, mut from: usize, mut to: usize) {
        if self.own || from >= to {
            return;
        }
        let first = self.written.partition_point(|&(_, b)| b < from);
        let last = self.written.partition_point(|&(a, _)| a <= to);
        if let Some(joined) = self.written.get(first..last).filter(|joined| !joined.is_empty()) {
            from = from.min(joined[0].0);
            to = to.max(joined[joined.len() - 1].1);
        }
        self.written.splice(first..last, [(from, to)]);
    }
}

/// The memory that a program needs, and which of its buffers stands where.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// lengths of the pieces of memory
    pieces: Vec<usize>,
    /// by buffer: the piece, and where in it; `None` where nothing uses it
    places: Vec<Option<(usize, usize)>>,
    /// most values that any operation needs to be there at once, in addition to what has memory of its own
    pub live: usize,
}

/// A program's buffers in device memory.
#[derive(Default)]
pub(crate) struct Placed {
    pub buffers: Vec<Buffer>,
    places: Vec<Option<(usize, usize)>>,
}

impl Planned {
    /// A buffer of `len` values: zero before the first run, where nothing is written before it is read.
    pub fn add(&mut self, len: usize) -> Slice {
        self.buffers.push(Life { len, ..Life::default() });
        Slice { buffer: PLANNED + self.buffers.len() - 1, offset: 0, len }
    }

    /// The buffer keeps its contents before and after a run.
    pub fn keep(&mut self, slice: Slice) {
        if let Some(life) = slice.buffer.checked_sub(PLANNED).and_then(|i| self.buffers.get_mut(i)) {
            life.own = true;
            life.touch(0);
        }
    }

    /// The host writes the buffer before each run: it is needed from the start to its last use.
    pub fn given(&mut self, slice: Slice) {
        if let Some(life) = slice.buffer.checked_sub(PLANNED).and_then(|i| self.buffers.get_mut(i)) {
            life.write(slice.offset, slice.offset + slice.len);
            life.touch(0);
        }
    }

    /// Finds out when each buffer is needed, and lets those share memory that are not needed together, or that end where others begin.
    pub fn layout(mut self, ops: &mut [Op]) -> Layout {
        for (at, op) in ops.iter_mut().enumerate() {
            // All reads of an operation come before its writes.
            for writes in [false, true] {
                op.visit(&mut |slice, access| {
                    let Some(index) = slice.buffer.checked_sub(PLANNED) else { return };
                    let life = &mut self.buffers[index];
                    let (from, to) = (slice.offset, slice.offset + slice.len);
                    life.touch(at);
                    match (access, writes) {
                        (Access::Read, false) | (Access::Update, false) => life.read(from, to),
                        (Access::Write, true) | (Access::Update, true) => life.write(from, to),
                        (Access::Advance(n), false) => life.read(from, from + n),
                        (Access::Advance(n), true) => life.write(from + n, to),
                        _ => {}
                    }
                });
            }
        }
        for (at, op) in ops.iter_mut().enumerate() {
            self.overwrite(at, op);
        }
        assign(&self.buffers, ops.len())
    }

    /// Lets what operation `at` makes stand over something that it reads, where that ends with it and nothing else that the operation
    /// uses is in the same buffer.
    fn overwrite(&mut self, at: usize, op: &mut Op) {
        let Some(Overwrite { new, over }) = op.overwrite() else { return };
        let Some(index) = new.buffer.checked_sub(PLANNED) else { return };
        let begins = self.buffers[index].used.is_some_and(|(first, _)| first == at);
        if !begins || self.buffers[index].own || new.len != self.buffers[index].len {
            return;
        }
        // The buffer that memory belongs to, and where it begins there.
        let root = |buffer: usize| {
            let index = buffer.checked_sub(PLANNED)?;
            Some(self.buffers[index].over.unwrap_or((index, 0)))
        };
        let mut used = Vec::new();
        op.visit(&mut |slice, _| used.extend(root(slice.buffer).map(|(root, _)| root)));
        let found = over.into_iter().flatten().find_map(|old| {
            let (root, begin) = root(old.buffer)?;
            let life = &self.buffers[old.buffer - PLANNED];
            let alone = used.iter().filter(|&&other| other == root).count() == 1;
            let ends = !life.own && life.used.is_some_and(|(_, last)| last == at);
            let offset = begin + old.offset;
            (ends && alone && offset.is_multiple_of(LINE)).then_some((root, offset))
        });
        if let (Some((root, offset)), Some((_, until))) = (found, self.buffers[index].used) {
            self.buffers[index].over = Some((root, offset));
            self.buffers[root].until = self.buffers[root].until.max(until);
        }
    }
}

/// Gives each buffer a piece: one that is free when the buffer is first needed and not much too large, else the largest
/// free one that is made larger, else a new one.
fn assign(buffers: &[Life], ops: usize) -> Layout {
    let (mut births, mut deaths) = (vec![Vec::new(); ops], vec![Vec::new(); ops]);
    let mut layout = Layout { places: vec![None; buffers.len()], ..Layout::default() };
    for (index, life) in buffers.iter().enumerate() {
        match life.used {
            Some(_) if life.over.is_some() => {}
            Some(_) if life.own => {
                layout.places[index] = Some((layout.pieces.len(), 0));
                layout.pieces.push(life.len);
            }
            Some((first, last)) => {
                births[first].push(index);
                deaths[last.max(life.until)].push(index);
            }
            None => {}
        }
    }
    let mut free: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut live = 0;
    for (born, dead) in births.iter_mut().zip(&deaths) {
        born.sort_by_key(|&index| std::cmp::Reverse(buffers[index].len));
        for &index in born.iter() {
            let len = buffers[index].len;
            let fits = free.range((len, 0)..).next().filter(|(size, _)| *size <= 2 * len.max(64)).copied();
            let chosen = fits.or_else(|| free.range(..(len, 0)).next_back().copied());
            let piece = match chosen {
                Some(found) => {
                    free.remove(&found);
                    found.1
                }
                None => {
                    layout.pieces.push(0);
                    layout.pieces.len() - 1
                }
            };
            layout.pieces[piece] = layout.pieces[piece].max(len);
            layout.places[index] = Some((piece, 0));
            live += len;
        }
        layout.live = layout.live.max(live);
        for &index in dead {
            live -= buffers[index].len;
            if let Some((piece, _)) = layout.places[index] {
                free.insert((layout.pieces[piece], piece));
            }
        }
    }
    for (index, life) in buffers.iter().enumerate() {
        if let Some((root, offset)) = life.over {
            layout.places[index] = layout.places[root].map(|(piece, _)| (piece, offset));
        }
    }
    layout
}

impl Layout {
    /// Values of all pieces together.
    pub fn len(&self) -> usize {
        self.pieces.iter().sum()
    }

    /// Takes the memory and puts the operations there.
    pub fn place(self, device: &Device, ops: &mut [Op]) -> Result<Placed> {
        let buffers = self.pieces.iter().map(|&len| device.alloc(len)).collect::<Result<_>>()?;
        let placed = Placed { buffers, places: self.places };
        for op in ops {
            op.visit(&mut |slice, _| *slice = placed.slice(*slice));
        }
        Ok(placed)
    }
}

impl Placed {
    /// Where a slice of the program stands.
    pub fn slice(&self, slice: Slice) -> Slice {
        let Some(index) = slice.buffer.checked_sub(PLANNED) else { return slice };
        let (piece, at) = self.places[index].expect("what is asked for is used by the program");
        Slice { buffer: self.buffers[piece].all().buffer, offset: at + slice.offset, ..slice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Factors, Gradient, RecurrentGradients, RecurrentInputs, RecurrentUpstream};
    use rnn_shaders::shape::RecurrentShape;
    use rnn_shaders::vocabulary::{Activation, Cell, CellExtras};

    fn copy(x: Slice, y: Slice) -> Op {
        Op::Copy { x, y }
    }

    #[test]
    fn buffers_that_are_not_needed_together_share_memory() {
        let mut planned = Planned::default();
        let b: Vec<Slice> = (0..6).map(|_| planned.add(100)).collect();
        planned.keep(b[0]);
        planned.keep(b[5]);
        let mut ops: Vec<Op> = (0..5).map(|i| copy(b[i], b[i + 1])).collect();
        let layout = planned.layout(&mut ops);
        // The two ends keep theirs; the four between take turns in two pieces.
        assert_eq!((layout.len(), layout.live), (400, 200));
        for pair in layout.places.windows(2) {
            assert_ne!(pair[0], pair[1], "an operation's operands never share");
        }
    }

    #[test]
    fn what_the_host_gives_is_needed_from_the_start_to_its_last_use() {
        let mut planned = Planned::default();
        let b: Vec<Slice> = (0..4).map(|_| planned.add(100)).collect();
        planned.given(b[0]);
        planned.given(b[1]);
        planned.keep(b[3]);
        let mut ops = vec![copy(b[1], b[2]), Op::AddAssign { x: b[0], y: b[2] }, copy(b[2], b[3])];
        let layout = planned.layout(&mut ops);
        assert_eq!((layout.len(), layout.live), (400, 300), "nothing stands over it before it is read");
        let mut planned = Planned::default();
        let b: Vec<Slice> = (0..4).map(|_| planned.add(100)).collect();
        planned.given(b[0]);
        planned.keep(b[3]);
        let mut ops = vec![copy(b[0], b[1]), copy(b[1], b[2]), copy(b[2], b[3])];
        assert_eq!(planned.layout(&mut ops).len(), 300, "the last but one takes its memory");
    }

    #[test]
    fn what_was_not_written_before_it_is_read_has_memory_of_its_own() {
        let mut planned = Planned::default();
        let (a, carried, sum) = (planned.add(8), planned.add(8), planned.add(8));
        planned.keep(a);
        let mut ops = vec![
            copy(a.part(0, 4), sum.part(0, 4)),
            Op::AddAssign { x: a, y: carried },
            copy(a.part(4, 4), sum.part(4, 4)),
            copy(sum, a),
        ];
        let layout = planned.layout(&mut ops);
        // `carried` goes on from run to run; `sum` was written in two parts before all of it was read.
        assert_eq!((layout.len(), layout.live), (24, 8));
        let mut planned = Planned::default();
        let (a, gap) = (planned.add(8), planned.add(8));
        planned.keep(a);
        let layout = planned.layout(&mut [copy(a.part(0, 4), gap.part(0, 4)), copy(gap, a)]);
        assert_eq!((layout.len(), layout.live), (16, 0), "half of it was never written");
    }

    /// The way back through two layers of 4 units from start states of zero; gives the layers' states and the gradients of their inputs.
    fn way_back(planned: &mut Planned, dy: Gradient) -> (Vec<Op>, [Slice; 4]) {
        let shape = RecurrentShape { time: 5, batch: 4, input: 4, units: 4 };
        let cell = Cell::SimpleRnn { activation: Activation::Tanh };
        let weights = planned.add(64);
        planned.keep(weights);
        let (x, h) = (planned.add(80), [planned.add(96), planned.add(96)]);
        let dx = [planned.add(80), planned.add(80)];
        let inputs = |x: Slice, h: Slice| RecurrentInputs {
            x,
            kernel: weights.part(0, 16),
            recurrent: weights.part(16, 16),
            bias: None,
            flags: None,
            h_mask: None,
            peepholes: None,
            extras: CellExtras::default(),
            h,
            h_state: None,
            c: None,
            saved: None,
        };
        let back = |x: Slice, h: Slice, dy: Gradient, dx: Slice| Op::RecurrentBackward {
            cell,
            shape,
            io: inputs(x, h),
            up: RecurrentUpstream { dy: Some(dy), dh_last: None, dc_last: None },
            out: RecurrentGradients {
                kernel: weights.part(32, 16),
                recurrent: weights.part(48, 16),
                bias: None,
                peepholes: None,
                x: Some(dx),
                h0: None,
                c0: None,
            },
        };
        let y = h[0].part(16, 80);
        let ops = vec![
            Op::Fill { value: 1.0, y: x },
            Op::Fill { value: 0.0, y: h[0].part(0, 16) },
            Op::RecurrentForward { cell, shape, io: inputs(x, h[0]) },
            Op::Fill { value: 0.0, y: h[1].part(0, 16) },
            Op::RecurrentForward { cell, shape, io: inputs(y, h[1]) },
            back(y, h[1], dy, dx[1]),
            back(x, h[0], Gradient::Made(dx[1]), dx[0]),
            copy(dx[0].part(0, 64), weights),
        ];
        (ops, [h[0], h[1], dx[0], dx[1]])
    }

    #[test]
    fn gradients_stand_over_what_is_read_for_the_last_time() {
        let mut planned = Planned::default();
        let factors = Factors { left: planned.add(40), right: planned.add(8), cols: 4 };
        planned.keep(factors.left);
        planned.keep(factors.right);
        let (mut ops, [_, h, first, second]) = way_back(&mut planned, Gradient::Product(factors));
        let layout = planned.layout(&mut ops);
        let at = |slice: Slice| layout.places[slice.buffer - PLANNED].unwrap();
        // Over the outputs of the last layer, and then over themselves.
        assert_eq!(at(second), (at(h).0, 16));
        assert_eq!(at(first), at(second));
    }

    #[test]
    fn gradients_stand_apart_where_something_is_still_read() {
        let mut planned = Planned::default();
        let dy = planned.add(80);
        planned.keep(dy);
        let (mut ops, [h0, h1, first, second]) = way_back(&mut planned, Gradient::Made(dy));
        // Both layers' outputs and the gradient between them are wanted at the end.
        let end = planned.add(1);
        planned.keep(end);
        for slice in [h0, h1, second] {
            ops.push(Op::Accumulate {
                rows: 1,
                cols: 1,
                x: slice.part(20, 1),
                scale: 1.0,
                count: None,
                acc: end,
            });
        }
        let layout = planned.layout(&mut ops);
        let at = |slice: Slice| layout.places[slice.buffer - PLANNED].unwrap();
        let mut pieces = [dy, h0, h1, first, second].map(|slice| at(slice).0);
        pieces.sort_unstable();
        assert!(pieces.windows(2).all(|pair| pair[0] != pair[1]), "{pieces:?}");
    }

    #[test]
    fn stretches_join() {
        let mut life = Life { len: 100, ..Life::default() };
        for (from, to) in [(10, 20), (40, 50), (20, 30), (60, 70), (29, 61)] {
            life.write(from, to);
        }
        assert_eq!(life.written, [(10, 70)]);
        life.read(10, 70);
        assert!(!life.own);
        life.read(9, 11);
        assert!(life.own);
    }
}
