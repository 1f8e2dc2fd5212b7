//! What is asked of weights besides a small loss: penalties and constraints on parts of the weights' buffer.

/// A penalty on one variable: `l1 sum |w| + l2 sum w^2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalty {
    /// where the variable starts
    pub offset: u32,
    /// its elements
    pub len: u32,
    /// weight of the magnitudes
    pub l1: f32,
    /// weight of the squares
    pub l2: f32,
}

/// A constraint on one variable `[rows, cols]`, column by column (Keras's axis 0; a vector is one column).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// where the variable starts
    pub offset: u32,
    /// size of its first axis
    pub rows: u32,
    /// product of its other axes
    pub cols: u32,
    /// what holds
    pub limit: Limit,
}

/// What a constraint does to a column. `epsilon` is Keras's 1e-7.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// `w = max(w, 0)`
    NonNegative,
    /// `w *= (rate clip(norm, low, high) + (1 - rate) norm) / (epsilon + norm)`
    Norm {
        /// smallest norm
        low: f32,
        /// largest norm
        high: f32,
        /// how much of the way a step goes
        rate: f32,
    },
}
