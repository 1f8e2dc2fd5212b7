//! The crate's error.

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong on a GPU. Every message names the operation and its numbers, and says what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter answers the request.
    #[error(
        "no GPU adapter for {request}; found: {found}. Choose another one, install a Vulkan driver, or use the CPU device"
    )]
    NoAdapter {
        /// what was asked for
        request: String,
        /// what there is
        found: String,
    },
    /// The adapter exists but gave no device.
    #[error("adapter {adapter} gives no device: {reason}. Try another adapter or backend (WGPU_BACKEND)")]
    NoDevice {
        /// the adapter's name
        adapter: String,
        /// the driver's words
        reason: String,
    },
    /// Memory of the device, or the cap set by the user, is used up.
    #[error(
        "out of GPU memory: {operation} asks for {asked} bytes, {live} are in use, the limit is {limit}. Use a smaller batch or model, or raise the memory cap"
    )]
    OutOfMemory {
        /// what asked
        operation: String,
        /// bytes asked for
        asked: u64,
        /// bytes in use
        live: u64,
        /// cap, or what the device gives to one buffer, in bytes; `u64::MAX` where the driver did not say
        limit: u64,
    },
    /// The device is gone: driver reset, unplugged, or destroyed.
    #[error(
        "the GPU device was lost during {operation}: {reason}. Make a new context; state on the device is gone"
    )]
    DeviceLost {
        /// what ran
        operation: String,
        /// the driver's words
        reason: String,
    },
    /// The device did not finish in time.
    #[error(
        "{operation} did not finish within {seconds} s. Raise the timeout with Context::set_timeout, or use a smaller batch"
    )]
    Timeout {
        /// what was waited for
        operation: String,
        /// the limit
        seconds: f64,
    },
    /// A buffer does not have the length that the shapes imply.
    #[error("{operation}: {what} needs {expected} elements, got {got}")]
    ShapeMismatch {
        /// kernel or call
        operation: &'static str,
        /// which buffer
        what: &'static str,
        /// elements that the shapes imply
        expected: usize,
        /// elements given
        got: usize,
    },
    /// An argument that no shape explains.
    #[error("{operation}: {reason}")]
    InvalidArgument {
        /// kernel or call
        operation: &'static str,
        /// what is wrong and what to do
        reason: String,
    },
    /// The driver or wgpu refused something that this crate made: a bug here, or a driver that breaks its promises.
    #[error("the GPU driver refused {operation}: {reason}")]
    Driver {
        /// what ran
        operation: String,
        /// wgpu's words
        reason: String,
    },
}
