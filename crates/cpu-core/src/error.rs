//! What can be wrong with a call: lengths, missing buffers, values out of range.

/// A call that was refused before anything was written, unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A slice does not have the length that the shape implies.
    #[error("{op}: {what} has {got} elements, expected {expected}")]
    Length {
        /// the operation
        op: &'static str,
        /// the slice
        what: &'static str,
        /// elements that the shape implies
        expected: usize,
        /// elements that were given
        got: usize,
    },
    /// A buffer that this variant of the operation needs was not given.
    #[error("{op}: {what} is needed here and was not given")]
    Missing {
        /// the operation
        op: &'static str,
        /// the buffer
        what: &'static str,
    },
    /// An index points outside; `limit` is the first value that is too large.
    #[error("{op}: {what} is {got}, must be below {limit}")]
    OutOfRange {
        /// the operation
        op: &'static str,
        /// the index
        what: &'static str,
        /// the value given, as it was given (a class index may be a fraction or negative)
        got: f64,
        /// the first value that is too large
        limit: usize,
    },
    /// The sizes multiplied together do not fit into the address space.
    #[error("{op}: the shape's element count overflows")]
    TooLarge {
        /// the operation
        op: &'static str,
    },
    /// A combination of arguments that has no meaning.
    #[error("{op}: {reason}")]
    Invalid {
        /// the operation
        op: &'static str,
        /// what is wrong and what to do
        reason: &'static str,
    },
}

/// Result of a kernel.
pub type Result<T> = std::result::Result<T, Error>;

/// Refuses a slice whose length is not `expected`.
#[inline]
pub(crate) fn check_len(op: &'static str, what: &'static str, expected: usize, got: usize) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::Length { op, what, expected, got }) }
}

/// Product of the sizes of a shape, or [`Error::TooLarge`].
#[inline]
pub(crate) fn volume(op: &'static str, sizes: &[usize]) -> Result<usize> {
    sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size)).ok_or(Error::TooLarge { op })
}
