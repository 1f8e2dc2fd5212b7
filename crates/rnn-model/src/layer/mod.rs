//! Layers as data: what a person writes, what a model file holds. Each says its output shape, its weights, and how it
//! is lowered to device operations.

mod activate;
mod composite;
mod dense;
mod initializer;
mod recurrent;
mod shaping;
mod simple;

pub use activate::{Activate, Softmax};
pub use dense::{Dense, TimeDistributed};
pub use initializer::Initializer;
pub use recurrent::{Gru, GruOptions, Lstm, LstmOptions, Recurrent, SimpleRnn, SimpleRnnOptions};
pub use shaping::{Flatten, RepeatVector, Reshape};
pub use simple::{ActivationLayer, Dropout};

use crate::Result;
use crate::model::lowering::{Lowering, Node, Value};
use rnn_shaders::vocabulary::Cell;
use serde::{Deserialize, Serialize};

/// The shape of one sample: `[features]` or `[time, features]`, with `None` where any size does.
pub type SampleShape = Vec<Option<usize>>;

/// A weight of a layer before it has a place on a device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VariableSpec {
    pub name: &'static str,
    pub shape: Vec<usize>,
    /// Parts of the rows or of the vector that start differently: (length in values, initializer).
    pub start: Vec<(usize, Initializer)>,
}

impl VariableSpec {
    pub fn new(name: &'static str, shape: Vec<usize>, initializer: Initializer) -> Self {
        let len = shape.iter().product();
        VariableSpec { name, shape, start: vec![(len, initializer)] }
    }

    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What every layer says of itself.
pub(crate) trait LayerKind {
    /// Keras's class name.
    fn class(&self) -> &'static str;
    /// Shape of one output sample; refuses inputs and options that can not work.
    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape>;
    /// The weights, in Keras's order.
    fn variables(&self, _input: &[Option<usize>]) -> Vec<VariableSpec> {
        Vec::new()
    }
    /// Emits the forward operations and leaves the backward ones on the tape.
    fn lower(&self, l: &mut Lowering<'_>, node: &Node, x: Value) -> Result<Value>;
}

macro_rules! layers {
    ($($variant:ident($kind:ty) $doc:literal),* $(,)?) => {
        /// Any layer.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "class_name", content = "config")]
        #[non_exhaustive]
        pub enum Layer {
            $(#[doc = $doc] $variant($kind),)*
        }

        $(impl From<$kind> for Layer {
            fn from(layer: $kind) -> Self {
                Layer::$variant(layer)
            }
        })*

        impl Layer {
            pub(crate) fn kind(&self) -> &dyn LayerKind {
                match self {
                    $(Layer::$variant(layer) => layer,)*
                }
            }
        }
    };
}

layers! {
    LSTM(Lstm) "Long short-term memory.",
    GRU(Gru) "Gated recurrent unit.",
    SimpleRNN(SimpleRnn) "Fully connected recurrent layer.",
    Dense(Dense) "Fully connected layer on the last axis.",
    TimeDistributed(TimeDistributed) "A layer on every step.",
    RepeatVector(RepeatVector) "A vector at every step.",
    Activation(ActivationLayer) "An activation alone.",
    Dropout(Dropout) "Random zeros while training.",
    Flatten(Flatten) "Steps and features in one vector.",
    Reshape(Reshape) "The same values in another shape.",
}

/// What a model needs to know of a recurrent layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecurrentTraits {
    /// `None` where the layer is made of plain operations
    pub fused: Option<Cell>,
    /// states per sample: h, or h and c
    pub states: usize,
    pub units: usize,
    pub stateful: bool,
    pub return_state: bool,
}

impl Layer {
    /// Keras's class name: `LSTM`, `Dense`.
    pub fn class(&self) -> &'static str {
        self.kind().class()
    }

    /// Of recurrent layers.
    pub(crate) fn recurrent(&self) -> Option<RecurrentTraits> {
        match self {
            Layer::LSTM(layer) => Some(layer.traits()),
            Layer::GRU(layer) => Some(layer.traits()),
            Layer::SimpleRNN(layer) => Some(layer.traits()),
            _ => None,
        }
    }

    /// Whether the layer treats every step alike and alone, so that a sequence can be given step by step.
    pub(crate) fn is_stepwise(&self) -> bool {
        matches!(
            self,
            Layer::LSTM(_)
                | Layer::GRU(_)
                | Layer::SimpleRNN(_)
                | Layer::Dense(_)
                | Layer::TimeDistributed(_)
                | Layer::Activation(_)
                | Layer::Dropout(_)
        )
    }
}

/// `[time, features]` of a sequence, or an error in the layer's name.
pub(crate) fn sequence_shape(class: &str, input: &[Option<usize>]) -> Result<(Option<usize>, usize)> {
    match input {
        [time, Some(features)] => Ok((*time, *features)),
        _ => Err(crate::Error::shape(
            format!("input of {class}"),
            "[batch, time, features] (a recurrent layer before it needs return_sequences(true))",
            input,
        )),
    }
}
