//! The crate's error: what was asked, what was expected, what came, and what to do.

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in this crate. Every message names the thing, the numbers and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array has another shape than the operation needs, or there are more or fewer arrays.
    #[error("{what}: expected {}{expected}, got {got}", if .expected.starts_with('[') { "shape " } else { "" })]
    Shape {
        /// the operation or array
        what: String,
        /// the shape that fits, `None` where any size does; or in words what does
        expected: String,
        /// the shape that came, or the number
        got: String,
    },
    /// A layer option, model structure or argument that can not work.
    #[error("{what}: {problem}")]
    Invalid {
        /// the layer, option or argument
        what: String,
        /// what is wrong with it and what to do
        problem: String,
    },
    /// A stateful model was given another batch size than the one its states belong to.
    #[error(
        "the model keeps the states of a batch of {expected} samples, but this batch has {got}: use batches of \
         {expected}, or call reset_states() first{}", if *.fixed { " and build the model for another batch size" } else { "" }
    )]
    BatchSize {
        /// samples whose states are kept
        expected: usize,
        /// samples in the batch that came
        got: usize,
        /// the batch size is part of the model's input shape
        fixed: bool,
    },
    /// Training needs `compile` first.
    #[error("{operation} needs a loss and an optimizer: call compile() first")]
    NotCompiled {
        /// what was called
        operation: &'static str,
    },
    /// The loss or a weight is NaN or infinite.
    #[error(
        "training diverged at epoch {epoch}: {what} is not finite; lower the learning rate, clip the gradients \
         (global_clipnorm) or check the data for extreme values"
    )]
    Diverged {
        /// epoch, from 1
        epoch: usize,
        /// the loss, or the first layer with such weights
        what: String,
    },
    /// A file that can not be read as what it should be, or can not be written.
    #[error("{path}: {problem}")]
    File {
        /// the file
        path: String,
        /// what is wrong
        problem: String,
    },
    /// A file that can not be opened, read or written.
    #[error("{path}: {source}")]
    Io {
        /// the file
        path: String,
        /// the operating system's reason
        source: std::io::Error,
    },
    /// A name that fits no GPU.
    #[error("no device is called {name:?}; there are: {available}")]
    UnknownDevice {
        /// what was asked for
        name: String,
        /// what there is
        available: String,
    },
    /// The GPU side failed.
    #[error(transparent)]
    Gpu(#[from] gpu_core::Error),
    /// The CPU side refused a shape; these are found above the seam, so this is a fault in this crate.
    #[error(transparent)]
    Cpu(#[from] cpu_core::Error),
    /// A time-series helper failed.
    #[error(transparent)]
    Series(#[from] crate::series::SeriesError),
}

impl Error {
    pub(crate) fn invalid(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::Invalid { what: what.into(), problem: problem.into() }
    }

    pub(crate) fn shape(what: impl Into<String>, expected: impl Into<String>, got: impl AsShape) -> Self {
        Error::Shape { what: what.into(), expected: expected.into(), got: got.text() }
    }

    pub(crate) fn file(path: &std::path::Path, problem: impl Into<String>) -> Self {
        Error::File { path: path.display().to_string(), problem: problem.into() }
    }

    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Error::Io { path: path.display().to_string(), source }
    }
}

/// A number of things: `1 array`, `2 arrays`.
pub(crate) fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// How a shape is written in a message: `[32, None, 1]`.
pub(crate) trait AsShape {
    fn text(&self) -> String;
}

impl AsShape for [usize] {
    fn text(&self) -> String {
        format!("{self:?}")
    }
}

impl AsShape for &[usize] {
    fn text(&self) -> String {
        format!("{self:?}")
    }
}

impl AsShape for String {
    fn text(&self) -> String {
        self.clone()
    }
}

impl AsShape for &[Option<usize>] {
    fn text(&self) -> String {
        let parts: Vec<String> =
            self.iter().map(|d| d.map_or_else(|| "None".into(), |n| n.to_string())).collect();
        format!("[{}]", parts.join(", "))
    }
}
