//! How much a file may ask for, and the checked arithmetic that all readers count with.

use crate::{Error, Result};

/// What a reader accepts. The defaults fit every recurrent model that a single machine trains; a caller that knows better
/// sets the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// bytes of a file
    pub file_bytes: u64,
    /// bytes that all members or data sets of a file may come to when inflated
    pub inflated_bytes: u64,
    /// bytes of a JSON text
    pub json_bytes: u64,
    /// levels of nesting in JSON, groups, sub-models and wrappers
    pub depth: u64,
    /// members of an archive, groups and data sets of an HDF5 file, nodes of a graph
    pub members: u64,
    /// tensors
    pub tensors: u64,
    /// axes of a tensor
    pub rank: u64,
    /// values of a tensor
    pub elements: u64,
    /// bytes of a name
    pub name_bytes: u64,
    /// whether weights may be NaN or infinite, as those of a training that diverged are
    pub not_finite: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            file_bytes: 4 << 30,
            inflated_bytes: 4 << 30,
            json_bytes: 16 << 20,
            depth: 32,
            members: 100_000,
            tensors: 10_000,
            rank: 8,
            elements: 1 << 30,
            name_bytes: 1024,
            not_finite: false,
        }
    }
}

impl Limits {
    /// Refuses `got` of `what` where it is more than `limit`.
    pub(crate) fn at_most(place: &str, what: &'static str, got: u64, limit: u64) -> Result<()> {
        if got > limit {
            return Err(Error::Limit { place: place.to_owned(), what, got, limit });
        }
        Ok(())
    }

    /// The number of values of a tensor of this shape.
    pub(crate) fn elements(&self, place: &str, shape: &[u64]) -> Result<usize> {
        Self::at_most(place, "the number of axes", shape.len() as u64, self.rank)?;
        let count = shape.iter().try_fold(1u64, |n, &axis| n.checked_mul(axis));
        let count = count.ok_or_else(|| Error::damaged(place, format!("the sizes {shape:?} overflow")))?;
        Self::at_most(place, "the number of values", count, self.elements)?;
        usize::try_from(count).map_err(|_| Error::damaged(place, format!("the sizes {shape:?} overflow")))
    }

    /// The number of bytes of `elements` values of `size` bytes.
    pub(crate) fn bytes(&self, place: &str, elements: usize, size: usize) -> Result<usize> {
        let overflow = || Error::damaged(place, format!("{elements} values of {size} bytes overflow"));
        let bytes = elements.checked_mul(size).ok_or_else(overflow)?;
        Self::at_most(place, "the number of bytes", bytes as u64, self.inflated_bytes)?;
        Ok(bytes)
    }

    /// Refuses NaN and infinity, unless they are allowed.
    pub(crate) fn finite<'v>(&self, place: &str, values: impl IntoIterator<Item = &'v f32>) -> Result<()> {
        let bad = values.into_iter().enumerate().find(|(_, value)| !value.is_finite());
        match bad {
            Some((index, value)) if !self.not_finite => {
                let problem = format!(
                    "value {index} is {value}: the training that wrote it has diverged, or it is damaged"
                );
                Err(Error::damaged(place, problem))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_that_overflow_or_pass_a_limit_are_refused() {
        let limits = Limits::default();
        assert_eq!(limits.elements("x", &[2, 3]).unwrap(), 6);
        assert_eq!(limits.elements("x", &[]).unwrap(), 1);
        assert!(matches!(limits.elements("x", &[1 << 33, 1 << 33]), Err(Error::Damaged { .. })));
        assert!(matches!(limits.elements("x", &[1 << 31]), Err(Error::Limit { .. })));
        assert!(matches!(limits.elements("x", &[1; 9]), Err(Error::Limit { .. })));
        assert!(limits.bytes("x", usize::MAX / 2, 4).is_err());
    }
}
