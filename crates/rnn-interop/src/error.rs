//! The crate's error: which file, where in it, what is wrong, and what to do.

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong with a file of another system.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not what the format says: cut off, contradicting themselves, or hostile.
    #[error("{place}: {problem}")]
    Damaged {
        /// the tensor, layer, member or header
        place: String,
        /// what was expected, and what came
        problem: String,
    },
    /// A file that is what it should be, but holds something that this engine does not have.
    #[error("{place}: {problem}")]
    Unsupported {
        /// the layer, operator, option or tensor
        place: String,
        /// what it is, and what to do
        problem: String,
    },
    /// Something is larger than the [`Limits`](crate::Limits) allow.
    #[error("{place}: {what} is {got}, more than the limit of {limit}")]
    Limit {
        /// the tensor, layer, member or header
        place: String,
        /// what was counted
        what: &'static str,
        /// what the file declares or holds
        got: u64,
        /// what is allowed
        limit: u64,
    },
    /// A file that can not be opened, read or written.
    #[error("{path}: {source}")]
    Io {
        /// the file
        path: String,
        /// the operating system's reason
        source: std::io::Error,
    },
    /// Any of these, in a file with a path.
    #[error("{path}: {source}")]
    File {
        /// the file
        path: String,
        /// what is wrong in it
        source: Box<Error>,
    },
    /// The engine refused what the file describes.
    #[error(transparent)]
    Model(#[from] rnn_model::Error),
}

impl Error {
    pub(crate) fn damaged(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::Damaged { place: place.into(), problem: problem.into() }
    }

    pub(crate) fn unsupported(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::Unsupported { place: place.into(), problem: problem.into() }
    }

    /// With the path of the file.
    pub fn in_file(self, path: &std::path::Path) -> Self {
        match self {
            Error::Io { .. } | Error::File { .. } => self,
            other => Error::File { path: path.display().to_string(), source: Box::new(other) },
        }
    }
}
