//! Buffers on the device and ranges of them.
use crate::pool::PooledBuffer;
use crate::{Error, Result};
use std::sync::Arc;

/// Device memory of a number of 4-byte elements (f32, or u32 where a kernel says so). Cheap to clone; the memory goes
/// back to the pool when the last handle, slice and recorded program that uses it is gone.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub(crate) inner: Arc<PooledBuffer>,
    len: usize,
}

impl Buffer {
    pub(crate) fn new(inner: PooledBuffer, len: usize) -> Self {
        Buffer { inner: Arc::new(inner), len }
    }

    /// Elements asked for.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of it.
    pub fn all(&self) -> Slice {
        Slice { buffer: self.clone(), offset: 0, len: self.len }
    }

    /// Elements `offset .. offset + len`.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] where the buffer is shorter.
    pub fn slice(&self, offset: usize, len: usize) -> Result<Slice> {
        self.all().slice(offset, len)
    }
}

/// A range of a [`Buffer`], what kernels take. Any offset is allowed; vector loads want a multiple of 4.
#[derive(Clone, Debug)]
pub struct Slice {
    pub(crate) buffer: Buffer,
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

impl Slice {
    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// First element within the buffer.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Elements `offset .. offset + len` of this slice.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] where the slice is shorter.
    pub fn slice(&self, offset: usize, len: usize) -> Result<Slice> {
        let end = offset.checked_add(len).filter(|&end| end <= self.len).ok_or(Error::ShapeMismatch {
            operation: "slice",
            what: "the buffer",
            expected: offset.saturating_add(len),
            got: self.len,
        })?;
        Ok(Slice { buffer: self.buffer.clone(), offset: self.offset + offset, len: end - offset })
    }

    /// Whether both are ranges of one buffer. A kernel cannot read one and write the other through two bindings.
    pub fn same_buffer(&self, other: &Slice) -> bool {
        Arc::ptr_eq(&self.buffer.inner, &other.buffer.inner)
    }
}

/// Checks a slice's length for a launcher.
pub(crate) fn expect_len(
    operation: &'static str,
    what: &'static str,
    slice: &Slice,
    expected: usize,
) -> Result<()> {
    if slice.len == expected {
        Ok(())
    } else {
        Err(Error::ShapeMismatch { operation, what, expected, got: slice.len })
    }
}
