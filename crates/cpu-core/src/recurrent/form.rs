//! How operands and weights of a product are stored.

use super::tile::{Balanced, GROUP, balanced, staged_stride};
#[cfg(target_arch = "x86_64")]
use crate::amx;

/// How operands and weights of a product are stored, and what multiplies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `f32`, for vector instructions: see [`super::tile`]
    Vectors,
    /// three parts of each number, for the matrix unit: see [`amx`]
    #[cfg(target_arch = "x86_64")]
    Tiles,
}

/// See [`Form::begin`].
pub(super) struct Ready {
    #[cfg(target_arch = "x86_64")]
    _tiles: Option<amx::Setup>,
}

impl Form {
    /// Makes what multiplies ready on this thread, until the result is dropped.
    pub fn begin(self) -> Ready {
        Ready {
            #[cfg(target_arch = "x86_64")]
            _tiles: (self == Form::Tiles).then(amx::Setup::new),
        }
    }

    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Form::Vectors => 4,
            #[cfg(target_arch = "x86_64")]
            Form::Tiles => 2 * amx::PARTS,
        }
    }

    /// The length of sums of `k` products, with the zeros that fill the last block.
    pub fn padded(self, k: usize) -> usize {
        match self {
            Form::Vectors => k,
            #[cfg(target_arch = "x86_64")]
            Form::Tiles => k.next_multiple_of(amx::DEPTH),
        }
    }

    /// `f32`s that take the room of `n` numbers, a padded length or a multiple of it.
    #[inline(always)]
    pub fn room(self, n: usize) -> usize {
        match self {
            Form::Vectors => n,
            #[cfg(target_arch = "x86_64")]
            Form::Tiles => n / 2 * amx::PARTS,
        }
    }

    /// `f32`s from one staged row of a padded length to the next.
    pub fn stride(self, k: usize) -> usize {
        staged_stride(self.room(k))
    }

    /// Rows in groups whose sums are kept at once.
    #[inline(always)]
    pub fn groups(self, n: usize) -> Balanced {
        match self {
            Form::Vectors => balanced(n, GROUP),
            #[cfg(target_arch = "x86_64")]
            Form::Tiles => balanced(n, 2 * amx::ROWS).of_whole(amx::ROWS),
        }
    }

    /// Writes a row of an operand, times `factors` where there are any; `to` has the padded length.
    pub fn stage(self, row: &[f32], factors: Option<&[f32]>, to: &mut [f32]) {
        match (self, factors) {
            #[cfg(target_arch = "x86_64")]
            (Form::Tiles, _) => amx::stage(row, factors, to),
            (Form::Vectors, None) => to.copy_from_slice(row),
            (Form::Vectors, Some(factors)) => {
                to.iter_mut().zip(row.iter().zip(factors)).for_each(|(to, (x, by))| *to = x * by);
            }
        }
    }
}
