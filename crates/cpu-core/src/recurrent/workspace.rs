//! Scratch memory and packed weights of one recurrent layer, kept between calls.

use std::sync::Mutex;

use super::form::Form;

/// What [`recurrent_forward`](super::recurrent_forward) and [`recurrent_backward`](super::recurrent_backward) need
/// beyond their arguments. One per layer: it grows to the largest call seen and is then reused without allocation.
#[derive(Debug, Default)]
pub struct RecurrentWorkspace<T> {
    /// gradients of the gates before their activations, `[T, B, gradient_blocks * U]` of a part of the sequence
    pub(super) gate_grads: Vec<T>,
    /// gradients of the states between two parts, `[2, 2, B, U]`
    pub(super) handed: Vec<T>,
    /// gradients of the outputs of a part, `[T, B, U]`, where they come as a product
    pub(super) dy: Vec<T>,
    /// rows of intermediate values
    pub(super) rows: Vec<T>,
    /// states before each step with resets applied, `[T, B, U]`, where a flag resets
    pub(super) states: Vec<T>,
    /// of the packed path
    pub(super) forward: Packed,
    /// of the packed path
    pub(super) backward: Packed,
}

impl<T> RecurrentWorkspace<T> {
    /// An empty workspace.
    pub fn new() -> Self {
        Self {
            gate_grads: Vec::new(),
            handed: Vec::new(),
            dy: Vec::new(),
            rows: Vec::new(),
            states: Vec::new(),
            forward: Packed::default(),
            backward: Packed::default(),
        }
    }
}

/// Packed weights and scratch of one direction of the packed path.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// what `weights` were packed from and how
    pub key: Option<Key>,
    pub weights: Aligned,
    pub scratch: Aligned,
    /// rows at work in a step, per member of the team
    pub active: Vec<Mutex<Vec<Row>>>,
}

impl Packed {
    /// Sees to it that there is a list for each of `members`, with room for `batch` rows.
    pub fn lists(&mut self, members: usize, batch: usize) {
        if self.active.len() < members {
            self.active.resize_with(members, Mutex::default);
        }
        for list in &mut self.active[..members] {
            let list = list.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
            list.clear();
            list.reserve(batch);
        }
    }
}

/// A row of the batch at work in a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub b: u32,
    pub valid: bool,
    /// its state is taken as zero before the step
    pub reset: bool,
}

/// Identity of packed weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub version: u64,
    pub kind: u8,
    pub form: Form,
    pub input_form: Form,
    pub input: usize,
    pub units: usize,
    pub lanes: usize,
    pub fused: bool,
    pub bias: bool,
}

/// The first `len` elements of a buffer that grows when needed. Contents are whatever the last use left.
pub(super) fn sized<T: Copy>(buffer: &mut Vec<T>, len: usize, zero: T) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, zero);
    }
    &mut buffer[..len]
}

/// As [`sized`], beginning on a cache line, so that a vector of a row whose length is a multiple of a line does not
/// lie across two: stores that do take twice the time.
pub(super) fn aligned<T: Copy>(buffer: &mut Vec<T>, len: usize, zero: T) -> &mut [T] {
    sized(buffer, len + LINE / size_of::<T>(), zero);
    let first = first_aligned(buffer);
    &mut buffer[first..][..len]
}

/// What [`aligned`] gave, to read.
pub(super) fn aligned_ref<T>(buffer: &[T], len: usize) -> &[T] {
    &buffer[first_aligned(buffer)..][..len]
}

/// The first element on a cache line.
fn first_aligned<T>(buffer: &[T]) -> usize {
    let into_line = buffer.as_ptr().addr() % LINE;
    if into_line == 0 { 0 } else { (LINE - into_line) / size_of::<T>() }
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// A cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A buffer that begins on a cache line, so that no vector lies across two.
#[derive(Debug, Default)]
pub(super) struct Aligned(Vec<Line>);

impl Aligned {
    /// As [`sized`](sized()).
    pub fn sized(&mut self, len: usize) -> &mut [f32] {
        let lines = sized(&mut self.0, len.div_ceil(16), Line([0.0; 16]));
        // SAFETY: a line is sixteen numbers without padding, so the lines are that many numbers in a row.
        unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), len) }
    }
}
