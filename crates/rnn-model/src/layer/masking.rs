//! Layers that say which steps are there: Masking, Lengths, Packed, WithMask.

use super::{LayerKind, SampleShape, arity};
use crate::device::{IndexSlice, LayerOp};
use crate::model::lowering::{Lowering, Node, Value};
use crate::model::{Symbol, apply};
use crate::{Error, Result};
use rnn_shaders::shape::Steps;
use serde::{Deserialize, Serialize};

/// A step whose features all are `mask_value` is not there: layers behind pass over it, and it is 0 in the output.
/// `[batch, time, features]` to the same.
///
/// ```
/// use rnn_model::{Device, Input, Sequential, layer::{Lstm, Masking}};
/// let mut model = Sequential::new(Input::sequence(None, 1))
///     .layer(Masking::new(-1.0))
///     .layer(Lstm::new(4))
///     .build(&Device::cpu())?;
/// let padded = ndarray::array![[[0.5f32], [0.25], [-1.0]]].into_dyn();
/// let short = ndarray::array![[[0.5f32], [0.25]]].into_dyn();
/// assert_eq!(model.predict_on_batch(&padded)?, model.predict_on_batch(&short)?);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Masking {
    mask_value: f32,
}

impl Masking {
    /// Masks steps of this value; Keras's default is 0.
    pub fn new(mask_value: f32) -> Self {
        Masking { mask_value }
    }
}

impl LayerKind for Masking {
    fn class(&self) -> &'static str {
        "Masking"
    }

    fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>> {
        let [input] = inputs else { return Err(arity("Masking", "one input", inputs.len())) };
        super::sequence_shape("Masking", input)?;
        Ok(vec![input.clone()])
    }

    fn is_stepwise(&self) -> bool {
        true
    }

    fn kernels(&self) -> &'static str {
        "one pass for the flags, one for the values"
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = inputs[0].clone();
        let (time, cols) = (x.shape[0], x.shape[1]);
        let (steps, rows) = (Steps::of_rows(time, l.batch(), cols), time * l.batch());
        let flags = l.index_buffer(rows)?;
        l.emit(LayerOp::FlagsFromValues { steps, cols, value: self.mask_value, x: x.data, flags });
        let data = l.buffer(x.data.len)?;
        l.emit(LayerOp::MaskRows { rows, cols, fill: 0.0, flags, x: x.data, y: data });
        let mut y = l.value(data, x.shape.clone());
        y.mask = Some(with_mask(l, x.mask, flags)?);
        let output = y.clone();
        l.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&x, |l, dx| {
                if let Some(dx) = dx {
                    l.emit(LayerOp::MaskRows { rows, cols, fill: 0.0, flags, x: dy, y: dx });
                }
            })
        });
        Ok(vec![y])
    }
}

/// `flags`, and those that the input had already: a step is there where both say so, and starts anew where either does.
fn with_mask(l: &mut Lowering<'_>, before: Option<IndexSlice>, flags: IndexSlice) -> Result<IndexSlice> {
    let Some(before) = before else { return Ok(flags) };
    let out = l.index_buffer(flags.len)?;
    l.emit(LayerOp::CombineFlags { either: false, a: before, b: flags, out });
    Ok(out)
}

macro_rules! second_input {
    ($(#[$doc:meta])* $name:ident, $function:ident, $what:literal, $samples:expr, $flags:expr) => {
        $(#[$doc])*
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
                let [x, second] = inputs else {
                    return Err(arity(stringify!($name), concat!("a sequence and its ", $what), inputs.len()));
                };
                let [time, _, ..] = x.as_slice() else {
                    let what = concat!("input of ", stringify!($name));
                    return Err(Error::shape(what, "[batch, time, features]", x.as_slice()));
                };
                let fits: fn(&[Option<usize>], Option<usize>) -> bool = $samples;
                if !fits(second, *time) {
                    let what = concat!($what, " of ", stringify!($name));
                    let expected = if $what == "lengths" { "[batch, 1]" } else { "[batch, time]" };
                    return Err(Error::shape(what, expected, second.as_slice()));
                }
                Ok(vec![x.clone()])
            }

            fn goes_in_parts(&self) -> bool {
                true
            }

            fn kernels(&self) -> &'static str {
                "one pass for the flags"
            }

            fn lower(&self, l: &mut Lowering<'_>, _: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
                let (x, second) = (&inputs[0], &inputs[1]);
                let flags = l.step_flags(second, x.shape[0], $flags)?;
                let mut y = l.alias(x, x.shape.clone());
                y.mask = Some(with_mask(l, x.mask, flags)?);
                Ok(vec![y])
            }
        }

        #[doc = concat!("[`", stringify!($name), "`] applied.")]
        ///
        /// # Errors
        /// When the shapes do not fit.
        pub fn $function(x: &Symbol, second: &Symbol) -> Result<Symbol> {
            Ok(apply($name::new(), &[x, second])?.swap_remove(0))
        }
    };
}

second_input!(
    /// Series of different lengths in one batch: of each sample `[time, features]` the first `length` steps are there, with
    /// the lengths `[batch, 1]` as a second input. The values pass through.
    ///
    /// ```
    /// use rnn_model::{Device, Graph, Input, layer::{Lstm, with_lengths}};
    /// let (x, lengths) = (Input::sequence(None, 3).symbol(), Input::vector(1).symbol());
    /// let y = with_lengths(&x, &lengths)?.layer(Lstm::new(8))?;
    /// let model = Graph::new(&[&x, &lengths], &[&y])?.build(&Device::cpu())?;
    /// # assert_eq!(model.output_shape(), [Some(8)]);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    Lengths,
    with_lengths,
    "lengths",
    |second, _| second == [Some(1)],
    |time, batch, lengths, flags| LayerOp::FlagsFromLengths { time, batch, lengths, flags }
);
second_input!(
    /// Several short series in one row: a second input `[batch, time]` names the series that each step belongs to, 0 where
    /// there is none. Each series starts from zero states, and no gradient goes from one to the next. The values pass through.
    ///
    /// ```
    /// use rnn_model::{Device, Graph, Input, layer::{Lstm, packed}};
    /// let (x, series) = (Input::sequence(None, 3).symbol(), Input::tokens(None).symbol());
    /// let y = packed(&x, &series)?.layer(Lstm::new(8).return_sequences(true))?;
    /// let model = Graph::new(&[&x, &series], &[&y])?.build(&Device::cpu())?;
    /// # assert_eq!(model.output_shape(), [None, Some(8)]);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    Packed,
    packed,
    "series",
    |second, time| matches!(*second, [steps] if steps.is_none() || time.is_none() || steps == time),
    |time, batch, ids, flags| LayerOp::FlagsFromSegments { steps: Steps::by_sample(time, batch), ids, flags }
);

/// A sequence with the step mask of another one that has as many steps: Keras's `layer(x, mask=...)`. The values pass through; a
/// mask of the first input is forgotten.
///
/// ```
/// use rnn_model::layer::{Dense, Embedding, Lstm, Reshape, SoftmaxLayer, with_mask_of};
/// use rnn_model::Input;
/// let ids = Input::tokens(7).symbol();
/// let words = ids.layer(Embedding::new(100, 8).mask_zero(true))?;
/// let scores = words.layer(Dense::new(1))?.layer(Reshape::new([7, 1]))?; // a reshape ends the mask
/// let shares = with_mask_of(&scores, &words)?.layer(SoftmaxLayer::new().axis(1))?;
/// # assert_eq!(shares.shape(), [Some(7), Some(1)]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WithMask {}

impl WithMask {
    /// The layer has no options.
    pub fn new() -> Self {
        Self::default()
    }
}

impl LayerKind for WithMask {
    fn class(&self) -> &'static str {
        "WithMask"
    }

    fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>> {
        let [x, other] = inputs else {
            return Err(arity("WithMask", "a sequence, and one whose mask it gets", inputs.len()));
        };
        match (x.as_slice(), other.as_slice()) {
            ([time, _, ..], [steps, _, ..]) if time.is_none() || steps.is_none() || time == steps => {
                Ok(vec![x.clone()])
            }
            _ => {
                let expected = format!(
                    "[batch, time, ..] with the steps of {}",
                    crate::error::AsShape::text(&other.as_slice())
                );
                Err(Error::shape("input of WithMask", expected, x.as_slice()))
            }
        }
    }

    fn is_stepwise(&self) -> bool {
        true
    }

    fn kernels(&self) -> &'static str {
        "nothing to compute"
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
        let mut y = l.alias(&inputs[0], inputs[0].shape.clone());
        if inputs[0].shape[0] != inputs[1].shape[0] {
            let expected = format!("{} steps, as many as the other sequence has", inputs[1].shape[0]);
            return Err(Error::shape("input of WithMask", expected, inputs[0].shape.as_slice()));
        }
        y.mask = inputs[1].mask;
        Ok(vec![y])
    }
}

/// [`WithMask`] applied: `x` with the mask of `steps`.
///
/// # Errors
/// When the numbers of steps differ.
pub fn with_mask_of(x: &Symbol, steps: &Symbol) -> Result<Symbol> {
    Ok(apply(WithMask::new(), &[x, steps])?.swap_remove(0))
}
