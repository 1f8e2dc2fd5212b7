//! Penalties that keep weights small (Keras's regularizers).

use rnn_shaders::vocabulary::Penalty;
use serde::{Deserialize, Serialize};

/// A penalty added to the loss: `l1 sum |w| + l2 sum w^2` of one weight.
///
/// ```
/// use rnn_model::layer::Regularizer;
/// assert_eq!(Regularizer::l2(0.01), Regularizer { l1: 0.0, l2: 0.01 });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Regularizer {
    /// weight of the magnitudes
    pub l1: f32,
    /// weight of the squares
    pub l2: f32,
}

impl Regularizer {
    /// `l1 sum |w|`; Keras's default is 0.01.
    pub fn l1(l1: f32) -> Self {
        Regularizer { l1, l2: 0.0 }
    }

    /// `l2 sum w^2`; Keras's default is 0.01.
    pub fn l2(l2: f32) -> Self {
        Regularizer { l1: 0.0, l2 }
    }

    /// Both.
    pub fn l1_l2(l1: f32, l2: f32) -> Self {
        Regularizer { l1, l2 }
    }

    /// What is wrong with it, if anything.
    pub(crate) fn problem(self) -> Option<String> {
        let good = |x: f32| (0.0..f32::INFINITY).contains(&x);
        (!good(self.l1) || !good(self.l2))
            .then(|| format!("l1 and l2 must be at least 0, got {} and {}", self.l1, self.l2))
    }

    /// The form the kernels take, for a weight of `len` values from `offset` on.
    pub(crate) fn penalty(self, offset: usize, len: usize) -> Penalty {
        Penalty { offset: offset as u32, len: len as u32, l1: self.l1, l2: self.l2 }
    }
}
