//! Whole numbers of shapes, some of which are known only when the model is run: `factor * (product of axes) + offset`.

use std::fmt;

/// Axes of the data, numbered by the importer. Axis 0 is the batch.
pub(super) type Atom = u32;

/// A number that may depend on the sizes of axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Number {
    /// This one.
    Known(i64),
    /// `factor` times the sizes of these axes (sorted, at least one), plus `offset`.
    Open {
        /// what the product is multiplied with
        factor: i64,
        /// the axes of unknown size
        axes: Vec<Atom>,
        /// what is added
        offset: i64,
    },
    /// The sample's own number among those of the batch: 0 of the first, 1 of the next. Nothing is computed of it.
    Place,
    /// The step's own number: 0 of the first, 1 of the next. Nothing is computed of it.
    Step,
    /// One that can not be told.
    Unknown,
}

impl Number {
    /// The size of an axis.
    pub fn axis(atom: Atom) -> Self {
        Number::Open { factor: 1, axes: vec![atom], offset: 0 }
    }

    /// The number, where it is known.
    pub fn known(&self) -> Option<i64> {
        match self {
            Number::Known(n) => Some(*n),
            _ => None,
        }
    }

    pub fn add(&self, other: &Number) -> Number {
        let sum = match (self, other) {
            (Number::Known(a), Number::Known(b)) => a.checked_add(*b).map(Number::Known),
            (Number::Open { factor, axes, offset }, Number::Known(n))
            | (Number::Known(n), Number::Open { factor, axes, offset }) => offset
                .checked_add(*n)
                .map(|offset| Number::Open { factor: *factor, axes: axes.clone(), offset }),
            (
                Number::Open { factor: a, axes, offset: x },
                Number::Open { factor: b, axes: others, offset: y },
            ) if axes == others => match (a.checked_add(*b), x.checked_add(*y)) {
                (Some(0), Some(offset)) => Some(Number::Known(offset)),
                (Some(factor), Some(offset)) => Some(Number::Open { factor, axes: axes.clone(), offset }),
                _ => None,
            },
            _ => None,
        };
        sum.unwrap_or(Number::Unknown)
    }

    pub fn mul(&self, other: &Number) -> Number {
        let product = match (self, other) {
            (Number::Known(a), Number::Known(b)) => a.checked_mul(*b).map(Number::Known),
            (Number::Known(0), _) | (_, Number::Known(0)) => Some(Number::Known(0)),
            (Number::Open { factor, axes, offset }, Number::Known(n))
            | (Number::Known(n), Number::Open { factor, axes, offset }) => {
                match (factor.checked_mul(*n), offset.checked_mul(*n)) {
                    (Some(factor), Some(offset)) => Some(Number::Open { factor, axes: axes.clone(), offset }),
                    _ => None,
                }
            }
            (
                Number::Open { factor: a, axes, offset: 0 },
                Number::Open { factor: b, axes: others, offset: 0 },
            ) => a.checked_mul(*b).map(|factor| {
                let mut axes = [axes.as_slice(), others].concat();
                axes.sort_unstable();
                Number::Open { factor, axes, offset: 0 }
            }),
            _ => None,
        };
        product.unwrap_or(Number::Unknown)
    }

    pub fn sub(&self, other: &Number) -> Number {
        self.add(&other.mul(&Number::Known(-1)))
    }

    /// Divided, where nothing is left over or both are known. Known numbers are cut off towards zero, as in ONNX.
    pub fn div(&self, other: &Number) -> Number {
        let quotient = match (self, other) {
            (Number::Known(a), Number::Known(b)) => a.checked_div(*b).map(Number::Known),
            (Number::Open { factor, axes, offset }, Number::Known(n)) if *n != 0 => {
                let exact = factor.checked_rem(*n) == Some(0) && offset.checked_rem(*n) == Some(0);
                exact.then(|| Number::Open { factor: factor / n, axes: axes.clone(), offset: offset / n })
            }
            (
                Number::Open { factor: a, axes, offset: 0 },
                Number::Open { factor: b, axes: others, offset: 0 },
            ) if *b != 0 && a.checked_rem(*b) == Some(0) => {
                let mut rest = axes.clone();
                let all = others.iter().all(|axis| match rest.iter().position(|a| a == axis) {
                    Some(at) => {
                        rest.remove(at);
                        true
                    }
                    None => false,
                });
                let factor = a / b;
                all.then_some(match rest.is_empty() {
                    true => Number::Known(factor),
                    false => Number::Open { factor, axes: rest, offset: 0 },
                })
            }
            _ => None,
        };
        quotient.unwrap_or(Number::Unknown)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Known(n) => write!(f, "{n}"),
            Number::Open { axes, .. } if axes.as_slice() == [0] => write!(f, "batch"),
            _ => write!(f, "?"),
        }
    }
}

/// A shape for a person: `[4, batch, ?]`.
pub(super) fn text(shape: &[Number]) -> String {
    format!("[{}]", shape.iter().map(Number::to_string).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_products_keep_what_is_known() {
        let (batch, time) = (Number::axis(0), Number::axis(1));
        let both = batch.mul(&time);
        assert_eq!(both.div(&time), batch);
        assert_eq!(both.div(&both), Number::Known(1));
        let twice = time.add(&time);
        assert_eq!(twice.div(&Number::Known(2)), time);
        assert_eq!(twice.sub(&time), time);
        assert_eq!(time.sub(&time), Number::Known(0));
        assert_eq!(time.add(&Number::Known(1)).sub(&Number::Known(1)), time);
        assert_eq!(time.div(&Number::Known(2)), Number::Unknown);
        assert_eq!(Number::Known(7).div(&Number::Known(2)), Number::Known(3));
        assert_eq!(Number::Known(7).div(&Number::Known(0)), Number::Unknown);
        assert_eq!(Number::Known(i64::MAX).add(&Number::Known(1)), Number::Unknown);
        assert_eq!(Number::Known(i64::MIN).div(&Number::Known(-1)), Number::Unknown);
        assert_eq!(text(&[Number::Known(4), batch, time]), "[4, batch, ?]");
    }
}
