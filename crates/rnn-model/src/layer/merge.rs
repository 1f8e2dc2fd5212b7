//! Layers that make one value of several of the same shape, element by element.

use super::{LayerKind, SampleShape, arity};
use crate::model::lowering::{Lowering, Node, Value};
use crate::model::{Symbol, apply};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

macro_rules! merge {
    ($name:ident, $function:ident, $inputs:expr, $lower:expr, $doc:literal, $args:ident: $type:ty => $list:expr) => {
        #[doc = $doc]
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct $name {}

        impl $name {
            /// The layer has no options.
            pub fn new() -> Self {
                Self::default()
            }
        }

        impl LayerKind for $name {
            fn class(&self) -> &'static str {
                stringify!($name)
            }

            fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>> {
                same_shapes(stringify!($name), inputs, $inputs)
            }

            fn is_stepwise(&self) -> bool {
                true
            }

            fn kernels(&self) -> &'static str {
                "one element-wise pass for each input after the first"
            }

            fn lower(&self, l: &mut Lowering<'_>, _: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
                let lower: fn(&mut Lowering<'_>, &[Value]) -> Result<Value> = $lower;
                let mut y = lower(l, inputs)?;
                y.mask = inputs.iter().find_map(|x| x.mask);
                Ok(vec![y])
            }
        }

        #[doc = concat!("[`", stringify!($name), "`] applied.")]
        ///
        /// # Errors
        /// When the shapes differ.
        pub fn $function($args: $type) -> Result<Symbol> {
            Ok(apply($name::new(), $list)?.swap_remove(0))
        }
    };
}

merge!(Add, add, 2.., |l, xs| fold(l, xs, Lowering::add), "`a + b + ...`", inputs: &[&Symbol] => inputs);
merge!(Multiply, multiply, 2.., |l, xs| fold(l, xs, Lowering::mul), "`a * b * ...`", inputs: &[&Symbol] => inputs);
merge!(
    Maximum,
    maximum,
    2..,
    |l, xs| fold(l, xs, Lowering::maximum),
    "`max(a, b, ...)`; equal largest values share the gradient",
    inputs: &[&Symbol] => inputs
);
merge!(
    Minimum,
    minimum,
    2..,
    |l, xs| fold(l, xs, Lowering::minimum),
    "`min(a, b, ...)`; equal smallest values share the gradient",
    inputs: &[&Symbol] => inputs
);
merge!(
    Average,
    average,
    2..,
    |l, xs| {
        let sum = fold(l, xs, Lowering::add)?;
        l.scale(&sum, 1.0 / xs.len() as f32)
    },
    "`(a + b + ...) / n`",
    inputs: &[&Symbol] => inputs
);
merge!(
    Subtract,
    subtract,
    2..3,
    |l, xs| l.sub(&xs[0], &xs[1]),
    "`a - b`",
    inputs: [&Symbol; 2] => &inputs
);

fn fold<'a>(
    l: &mut Lowering<'a>,
    inputs: &[Value],
    f: impl Fn(&mut Lowering<'a>, &Value, &Value) -> Result<Value>,
) -> Result<Value> {
    let (first, rest) = inputs.split_first().expect("checked with the shapes");
    rest.iter().try_fold(first.clone(), |sum, x| f(l, &sum, x))
}

/// The common shape; an axis is known when any input knows it.
fn same_shapes(
    class: &str,
    inputs: &[SampleShape],
    count: impl std::ops::RangeBounds<usize> + std::fmt::Debug,
) -> Result<Vec<SampleShape>> {
    if !count.contains(&inputs.len()) {
        let expected = if count.contains(&3) { "at least two inputs" } else { "two inputs" };
        return Err(arity(class, expected, inputs.len()));
    }
    let mut shape = inputs[0].clone();
    for other in &inputs[1..] {
        let fits = other.len() == shape.len()
            && shape.iter().zip(other).all(|(a, b)| a.is_none() || b.is_none() || a == b);
        if !fits {
            let expected = crate::error::AsShape::text(&shape.as_slice());
            return Err(Error::shape(format!("input of {class}"), expected, other.as_slice()));
        }
        shape.iter_mut().zip(other).for_each(|(a, b)| *a = a.or(*b));
    }
    Ok(vec![shape])
}
