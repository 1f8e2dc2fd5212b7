//! The error of the time-series helpers.

/// What can be wrong with a series or with what is asked of it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// Fewer rows than the operation needs.
    #[error("{operation}: needs at least {needed} rows, the series has {rows}")]
    TooShort {
        /// what was asked, with its numbers
        operation: String,
        /// rows it needs
        needed: usize,
        /// rows there are
        rows: usize,
    },
    /// A value is NaN or infinite. Rows and features count from 0.
    #[error(
        "{operation}: the value at row {row}, feature {feature} is {value}; fill or drop missing values first"
    )]
    NotFinite {
        /// what was asked
        operation: &'static str,
        /// row of the value
        row: usize,
        /// feature (column) of the value
        feature: usize,
        /// the value: NaN, inf or -inf
        value: f64,
    },
    /// The logarithm of zero or of a negative value. Rows and features count from 0.
    #[error("log: the value at row {row}, feature {feature} is {value}; the logarithm needs values above 0")]
    NotPositive {
        /// row of the value
        row: usize,
        /// feature (column) of the value
        feature: usize,
        /// the value
        value: f64,
    },
    /// Another number of features than the transform was fitted on.
    #[error("{operation}: fitted on {expected} features, got {got}")]
    Features {
        /// what was asked
        operation: &'static str,
        /// features it knows
        expected: usize,
        /// features that came
        got: usize,
    },
    /// Two arrays that are compared have different shapes.
    #[error("{operation}: shapes {left:?} and {right:?} differ")]
    ShapesDiffer {
        /// what was asked
        operation: &'static str,
        /// shape of the first
        left: Vec<usize>,
        /// shape of the second
        right: Vec<usize>,
    },
    /// An argument that makes no sense.
    #[error("{name} is {value}, but {rule}")]
    Argument {
        /// the argument's name
        name: &'static str,
        /// what it was
        value: String,
        /// what it must be
        rule: &'static str,
    },
}

impl SeriesError {
    pub(crate) fn argument(name: &'static str, value: impl ToString, rule: &'static str) -> Self {
        SeriesError::Argument { name, value: value.to_string(), rule }
    }
}
