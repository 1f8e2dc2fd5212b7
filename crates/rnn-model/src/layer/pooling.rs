//! The steps of a sequence as one: GlobalAveragePooling1D, GlobalMaxPooling1D.

use super::{OneToOne, SampleShape, sequence_shape};
use crate::Result;
use crate::device::{IndexSlice, LayerOp};
use crate::model::lowering::{Lowering, Node, Value};
use rnn_shaders::vocabulary::Pool;
use serde::{Deserialize, Serialize};

/// The mean over the steps that are there: `[batch, time, features]` to `[batch, features]`. A sample without any step gives 0
/// (Keras: NaN).
///
/// ```
/// use rnn_model::{Device, Input, Sequential, layer::{GlobalAveragePooling1D, Masking}};
/// let mut model = Sequential::new(Input::sequence(None, 1))
///     .layer(Masking::new(0.0))
///     .layer(GlobalAveragePooling1D::new())
///     .build(&Device::cpu())?;
/// let y = model.predict_on_batch(&ndarray::array![[[1.0f32], [3.0], [0.0]]].into_dyn())?;
/// assert_eq!(y[[0, 0]], 2.0);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GlobalAveragePooling1D {
    keepdims: bool,
}

impl GlobalAveragePooling1D {
    /// The mean over time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keep the time axis, with one step; false.
    pub fn keepdims(mut self, on: bool) -> Self {
        self.keepdims = on;
        self
    }
}

/// The largest value of each feature over all steps: `[batch, time, features]` to `[batch, features]`. Equal largest values
/// share the gradient.
///
/// As in Keras, masked steps take part, unless [`masked`](Self::masked) leaves them out.
///
/// ```
/// use rnn_model::{Device, Input, Sequential, layer::GlobalMaxPooling1D};
/// let mut model =
///     Sequential::new(Input::sequence(None, 1)).layer(GlobalMaxPooling1D::new()).build(&Device::cpu())?;
/// let y = model.predict_on_batch(&ndarray::array![[[1.0f32], [3.0], [2.0]]].into_dyn())?;
/// assert_eq!(y[[0, 0]], 3.0);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GlobalMaxPooling1D {
    keepdims: bool,
    #[serde(default)]
    masked: bool,
}

impl GlobalMaxPooling1D {
    /// The maximum over time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keep the time axis, with one step; false.
    pub fn keepdims(mut self, on: bool) -> Self {
        self.keepdims = on;
        self
    }

    /// Leave out steps that are masked; a sample without any then gives 0. False, as Keras does.
    pub fn masked(mut self, on: bool) -> Self {
        self.masked = on;
        self
    }
}

macro_rules! pooling {
    ($name:ident, $pool:expr, $flags:expr) => {
        impl OneToOne for $name {
            fn class(&self) -> &'static str {
                stringify!($name)
            }

            fn passes_mask(&self) -> bool {
                false
            }

            fn kernels(&self) -> &'static str {
                "one pass over the steps"
            }

            fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
                let (_, features) = sequence_shape(stringify!($name), input)?;
                Ok(if self.keepdims { vec![Some(1), Some(features)] } else { vec![Some(features)] })
            }

            fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
                let flags: fn(&Self, Option<IndexSlice>) -> Option<IndexSlice> = $flags;
                let flags = flags(self, x.mask);
                pool(l, x, $pool, flags, self.keepdims)
            }
        }
    };
}

pooling!(GlobalAveragePooling1D, Pool::Average, |_, mask| mask);
pooling!(GlobalMaxPooling1D, Pool::Max, |layer, mask| mask.filter(|_| layer.masked));

fn pool(
    l: &mut Lowering<'_>,
    x: Value,
    pool: Pool,
    flags: Option<IndexSlice>,
    keepdims: bool,
) -> Result<Value> {
    let (time, cols, batch) = (x.shape[0], x.shape[1], l.batch());
    let (data, count) = (l.buffer(batch * cols)?, l.buffer(batch * cols)?);
    // One step of a sequence stands as a vector does.
    let y = l.value(data, if keepdims { vec![1, cols] } else { vec![cols] });
    l.emit(LayerOp::PoolTime { pool, time, batch, cols, flags, x: x.data, count, y: data });
    let output = y.clone();
    l.backward(move |l| {
        let Some(dy) = l.gradient(&output) else { return Ok(()) };
        l.propagate(&x, |l, dx| {
            if let Some(dx) = dx {
                let (x, y) = (x.data, output.data);
                l.emit(LayerOp::PoolTimeBackward { pool, time, batch, cols, flags, x, y, count, dy, dx });
            }
        })
    });
    Ok(y)
}
