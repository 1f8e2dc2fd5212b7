//! What operators of two inputs make of numbers that are known: sums, products, comparisons.

use super::number::Number;
use super::tensor::Tensor;
use ndarray::{ArrayD, Zip};

/// Operators of two inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
}

impl Binary {
    pub fn of(op: &str) -> Option<Self> {
        Some(match op {
            "Add" => Binary::Add,
            "Sub" => Binary::Sub,
            "Mul" => Binary::Mul,
            "Div" => Binary::Div,
            "Pow" => Binary::Pow,
            "Max" => Binary::Max,
            "Min" => Binary::Min,
            "Equal" => Binary::Equal,
            "Less" => Binary::Less,
            "LessOrEqual" => Binary::LessOrEqual,
            "Greater" => Binary::Greater,
            "GreaterOrEqual" => Binary::GreaterOrEqual,
            "And" => Binary::And,
            "Or" => Binary::Or,
            _ => return None,
        })
    }

    fn float(self, a: f32, b: f32) -> Option<f32> {
        Some(match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Pow => a.powf(b),
            Binary::Max => a.max(b),
            Binary::Min => a.min(b),
            _ => return None,
        })
    }

    fn number(self, a: &Number, b: &Number) -> Option<Number> {
        Some(match self {
            Binary::Add => a.add(b),
            Binary::Sub => a.sub(b),
            Binary::Mul => a.mul(b),
            Binary::Div => a.div(b),
            Binary::Max | Binary::Min => match (a.known(), b.known()) {
                (Some(x), Some(y)) if self == Binary::Max => Number::Known(x.max(y)),
                (Some(x), Some(y)) => Number::Known(x.min(y)),
                _ => Number::Unknown,
            },
            _ => return None,
        })
    }

    /// A comparison of numbers in some order.
    fn compares(self, order: std::cmp::Ordering) -> Option<bool> {
        use std::cmp::Ordering::*;
        Some(match self {
            Binary::Equal => order == Equal,
            Binary::Less => order == Less,
            Binary::LessOrEqual => order != Greater,
            Binary::Greater => order == Greater,
            Binary::GreaterOrEqual => order != Less,
            _ => return None,
        })
    }

    /// The same of numbers that may be open, where it can be told.
    fn compares_numbers(self, a: &Number, b: &Number) -> Option<bool> {
        match (a, b) {
            (Number::Known(a), Number::Known(b)) => self.compares(a.cmp(b)),
            // A size is not below 0, which exporters ask of it.
            (Number::Open { factor: 0.., offset: 0.., .. }, Number::Known(..0))
            // and a sequence has a step, a batch a sample.
            | (Number::Open { factor: 1.., offset: 0.., .. }, Number::Known(0)) => {
                self.compares(std::cmp::Ordering::Greater)
            }
            (Number::Known(0), Number::Open { factor: 1.., offset: 0.., .. }) => {
                self.compares(std::cmp::Ordering::Less)
            }
            (a, b) if a == b && !matches!(a, Number::Unknown | Number::Place | Number::Step) => self.compares(std::cmp::Ordering::Equal),
            _ => None,
        }
    }

    pub fn known(self, a: &Tensor, b: &Tensor) -> Option<Tensor> {
        Some(match (a, b) {
            (Tensor::Float(a), Tensor::Float(b)) => match self.float(1.0, 1.0) {
                Some(_) => Tensor::Float(zip(a, b, |&a, &b| self.float(a, b).unwrap_or(f32::NAN))?),
                None => {
                    self.compares(std::cmp::Ordering::Equal)?;
                    let compare = |a: &f32, b: &f32| a.partial_cmp(b).and_then(|o| self.compares(o));
                    Tensor::Bool(zip(a, b, |a, b| compare(a, b).unwrap_or(false))?)
                }
            },
            (Tensor::Int(a), Tensor::Int(b)) => match self.number(&Number::Known(1), &Number::Known(1)) {
                Some(_) => Tensor::Int(zip(a, b, |a, b| self.number(a, b).unwrap_or(Number::Unknown))?),
                None => {
                    let all = zip(a, b, |a, b| self.compares_numbers(a, b))?;
                    if all.iter().any(Option::is_none) {
                        return None;
                    }
                    Tensor::Bool(all.mapv(|told| told == Some(true)))
                }
            },
            // A size of the data as a float.
            (Tensor::Float(_), Tensor::Int(_)) => self.known(&a.whole()?, b)?,
            (Tensor::Int(_), Tensor::Float(_)) => self.known(a, &b.whole()?)?,
            (Tensor::Bool(a), Tensor::Bool(b)) => match self {
                Binary::And => Tensor::Bool(zip(a, b, |&a, &b| a && b)?),
                Binary::Or => Tensor::Bool(zip(a, b, |&a, &b| a || b)?),
                Binary::Equal => Tensor::Bool(zip(a, b, |a, b| a == b)?),
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// Element by element, broadcasting sizes of 1. Both have the same number of axes.
fn zip<A, B, C>(a: &ArrayD<A>, b: &ArrayD<B>, f: impl Fn(&A, &B) -> C) -> Option<ArrayD<C>> {
    let dims: Vec<usize> =
        a.shape().iter().zip(b.shape()).map(|(&a, &b)| if a == 1 { b } else { a }).collect();
    let (a, b) = (a.broadcast(dims.clone())?, b.broadcast(dims)?);
    Some(Zip::from(a).and(b).map_collect(f))
}
