//! Scratch memory and packed weights of one recurrent layer, kept between calls.

/// What [`recurrent_forward`](super::recurrent_forward) and [`recurrent_backward`](super::recurrent_backward) need
/// beyond their arguments. One per layer: it grows to the largest call seen and is then reused without allocation.
#[derive(Debug, Default)]
pub struct RecurrentWorkspace<T> {
    /// gradients of the gates before their activations, `[T, B, gradient_blocks * U]`
    pub(super) gate_grads: Vec<T>,
    /// rows of intermediate values
    pub(super) rows: Vec<T>,
    /// states before each step with resets applied, `[T, B, U]`, where a flag resets
    pub(super) states: Vec<T>,
}

impl<T> RecurrentWorkspace<T> {
    /// An empty workspace.
    pub fn new() -> Self {
        Self { gate_grads: Vec::new(), rows: Vec::new(), states: Vec::new() }
    }
}

/// The first `len` elements of a buffer that grows when needed. Contents are whatever the last use left.
pub(super) fn sized<T: Copy>(buffer: &mut Vec<T>, len: usize, zero: T) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, zero);
    }
    &mut buffer[..len]
}
