//! Layers that disturb values while training, and pass them through otherwise: Dropout and its kin. Drawn anew at each call,
//! from the model's seed; the same numbers on every device.

use super::{OneToOne, SampleShape, sequence_shape};
use crate::device::LayerOp;
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use rnn_shaders::vocabulary::{Draw, Noise};
use serde::{Deserialize, Serialize};

/// `y = noise(x)` while training. With `once`, every step of a sequence sees the same draws.
pub(super) fn disturb(l: &mut Lowering<'_>, noise: Noise, once: bool, x: Value) -> Result<Value> {
    let draw = Draw { seed: l.seed(), stream: l.stream(), part: 0 };
    let repeats = if once { x.shape[0] } else { 1 };
    let first =
        if once { l.first_of_samples(x.data.len / (repeats * l.batch())) } else { l.first_value(&x)? };
    let data = l.buffer(x.data.len)?;
    let y = l.value(data, x.shape.clone());
    l.emit(LayerOp::Noise { noise, backward: false, repeats, draw, first, x: x.data, y: data });
    let output = y.clone();
    l.backward(move |l| {
        let Some(dy) = l.gradient(&output) else { return Ok(()) };
        l.propagate(&x, |l, dx| {
            if let Some(y) = dx {
                l.emit(LayerOp::Noise { noise, backward: true, repeats, draw, first, x: dy, y });
            }
        })
    });
    Ok(y)
}

macro_rules! noise {
    ($(#[$doc:meta])* $name:ident, $option:ident, $what:literal, $noise:expr, $shape:expr, $once:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub struct $name {
            $option: f32,
        }

        impl $name {
            #[doc = $what]
            pub fn new($option: f32) -> Self {
                $name { $option }
            }
        }

        impl OneToOne for $name {
            fn class(&self) -> &'static str {
                stringify!($name)
            }

            fn is_stepwise(&self) -> bool {
                !$once
            }

            fn kernels(&self) -> &'static str {
                "one element-wise pass while training, nothing otherwise"
            }

            fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
                let noise: fn(f32) -> Noise = $noise;
                check(stringify!($name), stringify!($option), self.$option, noise(self.$option))?;
                let shape: fn(&[Option<usize>]) -> Result<()> = $shape;
                shape(input)?;
                Ok(input.to_vec())
            }

            fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
                if !l.training() || self.$option == 0.0 {
                    return Ok(x);
                }
                let noise: fn(f32) -> Noise = $noise;
                disturb(l, noise(self.$option), $once, x)
            }
        }
    };
}

/// Refuses an option that the formula can not take.
fn check(class: &str, option: &str, value: f32, noise: Noise) -> Result<()> {
    if noise.terms(false).is_some() {
        return Ok(());
    }
    let range = if option == "rate" { "at least 0 and below 1" } else { "finite and not negative" };
    Err(Error::invalid(class, format!("the {option} must be {range}, got {value}")))
}

noise!(
    /// While training, adds normal numbers of deviation `stddev`.
    ///
    /// ```
    /// use rnn_model::{Device, Input, Sequential, layer::GaussianNoise};
    /// let mut model = Sequential::new(Input::vector(2)).layer(GaussianNoise::new(0.1)).build(&Device::cpu())?;
    /// let x = ndarray::array![[1.0f32, 2.0]].into_dyn();
    /// assert_eq!(model.predict_on_batch(&x)?, x);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    GaussianNoise,
    stddev,
    "Noise of this standard deviation, 0 or more.",
    |stddev| Noise::Gaussian { stddev },
    |_| Ok(()),
    false
);
noise!(
    /// While training, multiplies with normal numbers of mean 1 and deviation `sqrt(rate / (1 - rate))` (Srivastava et al.
    /// 2014, section 10).
    ///
    /// ```
    /// use rnn_model::{Input, layer::GaussianDropout};
    /// assert!(Input::vector(2).symbol().layer(GaussianDropout::new(1.0)).is_err());
    /// ```
    GaussianDropout,
    rate,
    "With the variance of a dropout of `rate`, at least 0 and below 1.",
    |rate| Noise::GaussianDropout { rate },
    |_| Ok(()),
    false
);
noise!(
    /// While training, sets a share of `rate` of the values to the lower end of SELU and scales and shifts so that mean and
    /// variance stay (Klambauer et al. 2017).
    ///
    /// ```
    /// use rnn_model::{Input, layer::AlphaDropout};
    /// assert_eq!(Input::vector(2).symbol().layer(AlphaDropout::new(0.1))?.shape(), [Some(2)]);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    AlphaDropout,
    rate,
    "Drops a share of `rate`, at least 0 and below 1.",
    |rate| Noise::AlphaDropout { rate },
    |_| Ok(()),
    false
);
noise!(
    /// Dropout of whole features: what is dropped is drawn once per sample and feature, and dropped at every step (Tompson et
    /// al. 2015). `[batch, time, features]` to the same.
    ///
    /// ```
    /// use rnn_model::{Input, layer::SpatialDropout1D};
    /// assert!(Input::vector(2).symbol().layer(SpatialDropout1D::new(0.5)).is_err());
    /// assert!(Input::sequence(None, 2).symbol().layer(SpatialDropout1D::new(0.5)).is_ok());
    /// ```
    SpatialDropout1D,
    rate,
    "Drops a share of `rate` of the features, at least 0 and below 1.",
    |rate| Noise::Dropout { rate },
    |input| sequence_shape("SpatialDropout1D", input).map(|_| ()),
    true
);
