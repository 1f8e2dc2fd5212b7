//! Handles to memory on a device.

use super::Device;

/// Index of a buffer within its device.
pub(crate) type BufferId = usize;

/// A range of `f32` elements of a device buffer (of `f64` on the reference device).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub buffer: BufferId,
    pub offset: usize,
    pub len: usize,
}

impl Slice {
    /// The part of `len` elements from `offset` on.
    pub fn part(self, offset: usize, len: usize) -> Slice {
        assert!(offset + len <= self.len, "part {offset}+{len} of a slice of {}", self.len);
        Slice { buffer: self.buffer, offset: self.offset + offset, len }
    }
}

/// A range of a buffer of `u32`: indices, step flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexSlice {
    pub buffer: BufferId,
    pub offset: usize,
    pub len: usize,
}

impl IndexSlice {
    /// The part of `len` elements from `offset` on.
    pub fn part(self, offset: usize, len: usize) -> IndexSlice {
        assert!(offset + len <= self.len, "part {offset}+{len} of a slice of {}", self.len);
        IndexSlice { buffer: self.buffer, offset: self.offset + offset, len }
    }
}

/// Owner of a buffer of floats; freed when dropped.
pub(crate) struct Buffer {
    device: Device,
    id: BufferId,
    len: usize,
}

impl Buffer {
    pub(super) fn new(device: Device, id: BufferId, len: usize) -> Self {
        Buffer { device, id, len }
    }

    /// All of it.
    pub fn all(&self) -> Slice {
        Slice { buffer: self.id, offset: 0, len: self.len }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.device.engine().free(self.id);
    }
}

/// Owner of a buffer of `u32`; freed when dropped.
pub(crate) struct IndexBuffer {
    device: Device,
    id: BufferId,
    len: usize,
}

impl IndexBuffer {
    pub(super) fn new(device: Device, id: BufferId, len: usize) -> Self {
        IndexBuffer { device, id, len }
    }

    /// All of it.
    pub fn all(&self) -> IndexSlice {
        IndexSlice { buffer: self.id, offset: 0, len: self.len }
    }
}

impl Drop for IndexBuffer {
    fn drop(&mut self) {
        self.device.engine().free_index(self.id);
    }
}

/// Owner of a recorded program; freed when dropped.
pub(crate) struct Program {
    device: Device,
    id: usize,
}

impl Program {
    pub(super) fn new(device: Device, id: usize) -> Self {
        Program { device, id }
    }

    pub(super) fn id(&self) -> usize {
        self.id
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.device.engine().free_program(self.id);
    }
}
