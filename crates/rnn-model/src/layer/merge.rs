//! Layers that make one value of several, element by element. Shapes and masks are Keras's: an axis of size 1, or one that is
//! missing in front, takes the size of the others (but for the batch); the whole has a mask where every input has one, and then
//! the steps that any of them has.

use super::broadcast::{any_of, broadcast, common, either_mask, masks_over};
use super::{LayerKind, SampleShape, arity};
use crate::device::{IndexSlice, Op};
use crate::model::lowering::{Lowering, Node, Value};
use crate::model::{Symbol, apply};
use crate::{Error, Result};
use rnn_shaders::vocabulary::VALID;
use serde::{Deserialize, Serialize};

macro_rules! merge {
    ($name:ident, $function:ident, $inputs:expr, $lower:expr, $doc:literal, $args:ident: $type:ty => $list:expr) => {
        #[doc = $doc]
        ///
        /// Axes of size 1 and axes missing in front are repeated, as in Keras: `[batch, time, features]` and `[batch, 1,
        /// features]`, `[batch, time, 1]` or `[batch, features]` go together.
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
                common_shape(stringify!($name), inputs, $inputs)
            }

            fn is_stepwise(&self) -> bool {
                true
            }

            fn kernels(&self) -> &'static str {
                "one element-wise pass for each input after the first, and one copy for each that is repeated"
            }

            fn lower(&self, l: &mut Lowering<'_>, _: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
                let open: Vec<SampleShape> =
                    inputs.iter().map(|x| x.shape.iter().map(|&n| Some(n)).collect()).collect();
                let shapes = common_shape(stringify!($name), &open, $inputs)?;
                let shape: Vec<usize> = shapes[0].iter().flatten().copied().collect();
                let lower: fn(&mut Lowering<'_>, Inputs<'_>) -> Result<Value> = $lower;
                let masks = masks_over(l, inputs, &shape)?;
                let mut y = lower(l, Inputs { given: inputs, masks: &masks, shape: &shape })?;
                y.mask = either_mask(l, &masks, shape[0])?;
                Ok(vec![y])
            }
        }

        #[doc = concat!("[`", stringify!($name), "`] applied.")]
        ///
        /// # Errors
        /// When the shapes do not go together.
        pub fn $function($args: $type) -> Result<Symbol> {
            Ok(apply($name::new(), $list)?.swap_remove(0))
        }
    };
}

merge!(Add, add, 2.., |l, xs| xs.fold(l, Lowering::add), "`a + b + ...`", inputs: &[&Symbol] => inputs);
merge!(
    Multiply,
    multiply,
    2..,
    product,
    "`a * b * ...`. A masked step of one input counts as 1, and a step that no input has is 0",
    inputs: &[&Symbol] => inputs
);
merge!(
    Maximum,
    maximum,
    2..,
    |l, xs| extreme(l, xs, Lowering::maximum),
    "`max(a, b, ...)`; equal largest values share the gradient. A masked step of an input does not count",
    inputs: &[&Symbol] => inputs
);
merge!(
    Minimum,
    minimum,
    2..,
    |l, xs| extreme(l, xs, Lowering::minimum),
    "`min(a, b, ...)`; equal smallest values share the gradient. A masked step of an input does not count",
    inputs: &[&Symbol] => inputs
);
merge!(
    Average,
    average,
    2..,
    |l, xs| {
        let sum = xs.fold(l, Lowering::add)?;
        l.scale(&sum, 1.0 / xs.given.len() as f32)
    },
    "`(a + b + ...) / n`",
    inputs: &[&Symbol] => inputs
);
merge!(
    Subtract,
    subtract,
    2..3,
    |l, xs| xs.fold(l, Lowering::sub),
    "`a - b`",
    inputs: [&Symbol; 2] => &inputs
);
merge!(
    Divide,
    divide,
    2..3,
    |l, xs| xs.fold(l, Lowering::div),
    "`a / b`. Where `b` is 0 the result is infinite, or NaN if `a` is 0 too",
    inputs: [&Symbol; 2] => &inputs
);

/// What is merged, and the shape of the whole.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    given: &'a [Value],
    masks: &'a [Option<IndexSlice>],
    shape: &'a [usize],
}

impl Inputs<'_> {
    fn each(self, l: &mut Lowering<'_>) -> Result<Vec<Value>> {
        self.given.iter().map(|x| broadcast(l, x, self.shape)).collect()
    }

    fn fold<'a>(
        self,
        l: &mut Lowering<'a>,
        f: impl Fn(&mut Lowering<'a>, &Value, &Value) -> Result<Value>,
    ) -> Result<Value> {
        let values = self.each(l)?;
        let (first, rest) = values.split_first().expect("checked with the shapes");
        rest.iter().try_fold(first.clone(), |sum, x| f(l, &sum, x))
    }
}

/// The product, with 1 for a masked step, and 0 where every input has a mask and none the step.
fn product(l: &mut Lowering<'_>, inputs: Inputs<'_>) -> Result<Value> {
    let mut all: Option<Value> = None;
    for (x, mask) in inputs.each(l)?.into_iter().zip(inputs.masks) {
        let x = match mask {
            Some(flags) => {
                let ones = l.buffer(x.data.len)?;
                l.emit(Op::Fill { value: 1.0, y: ones });
                let ones = l.input(ones, x.shape.clone(), false);
                l.select(*flags, VALID, Some(&x), Some(&ones))?
            }
            None => x,
        };
        all = Some(match &all {
            Some(product) => l.mul(product, &x)?,
            None => x,
        });
    }
    let all = all.expect("checked with the shapes");
    match inputs.masks.iter().copied().collect::<Option<Vec<_>>>() {
        Some(masks) => {
            let any = any_of(l, masks)?;
            l.mask_rows(&all, any)
        }
        None => Ok(all),
    }
}

/// The largest or smallest, of the inputs that have the step; once an input without a mask is among them, they all count as
/// having it.
fn extreme<'a>(
    l: &mut Lowering<'a>,
    inputs: Inputs<'_>,
    f: impl Fn(&mut Lowering<'a>, &Value, &Value) -> Result<Value>,
) -> Result<Value> {
    let mut values = inputs.each(l)?.into_iter().zip(inputs.masks.iter().copied());
    let (mut best, mut seen) = values.next().expect("checked with the shapes");
    for (mut x, mask) in values {
        if let Some(flags) = mask {
            x = l.select(flags, VALID, Some(&x), Some(&best))?;
        }
        if let Some(flags) = seen {
            best = l.select(flags, VALID, Some(&best), Some(&x))?;
        }
        seen = match (seen, mask) {
            (Some(a), Some(b)) => Some(any_of(l, vec![a, b])?),
            _ => None,
        };
        best = f(l, &best, &x)?;
    }
    Ok(best)
}

/// The shape that the inputs come to; an axis is known when any input knows it.
fn common_shape(
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
        shape = common(&shape, other).ok_or_else(|| {
            let so_far = crate::error::AsShape::text(&shape.as_slice());
            let expected =
                format!("{so_far}, counted from the last axis, where axes of size 1 take any size");
            Error::shape(format!("input of {class}"), expected, other.as_slice())
        })?;
    }
    Ok(vec![shape])
}
