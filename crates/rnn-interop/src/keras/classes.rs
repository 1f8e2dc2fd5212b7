//! The table of layers: each class of Keras that this engine has, how it starts, and the options in which the two differ.
//! Options that stand nowhere here have the same name and meaning on both sides.

use rnn_model::layer::{
    ActivationLayer, ActivityRegularization, Add, AlphaDropout, Average, Bidirectional, Concatenate, Dense,
    Dot, Dropout, Elu, Embedding, Flatten, GaussianDropout, GaussianNoise, GlobalAveragePooling1D,
    GlobalMaxPooling1D, Gru, GruCell, Layer, LayerNormalization, LeakyRelu, Lstm, LstmCell, Masking, Maximum,
    Minimum, Multiply, PRelu, Permute, Regularizer, Relu, RepeatVector, Rescaling, Reshape, Rnn, SimpleRnn,
    SimpleRnnCell, SoftmaxLayer, SpatialDropout1D, StackedCells, Subtract, TimeDistributed,
};
use rnn_model::{Activation, cell::AnyCell};
use serde_json::Value;

/// A class of Keras that this engine has.
pub(super) struct Class {
    pub name: &'static str,
    /// ours with Keras's defaults, as data
    pub start: fn() -> Value,
    /// weights that may have a regularizer and a constraint
    pub held: &'static [&'static str],
    pub differs: &'static [Differs],
}

/// An option that only Keras has, or that has another name here.
pub(super) struct Differs {
    pub key: &'static str,
    pub how: How,
    /// Keras 3 has it, so it is written
    pub keras_3: bool,
}

pub(super) enum How {
    /// It makes no difference to numbers. Written as null.
    Free,
    /// It must have one of these values, of which the first is written.
    Fixed(&'static [&'static str]),
    /// Ours is called so.
    Named(&'static str),
    /// Only this engine has it, and only this value of it is Keras's.
    Ours(&'static str),
}

const fn free(key: &'static str) -> Differs {
    Differs { key, how: How::Free, keras_3: true }
}

const fn fixed(key: &'static str, values: &'static [&'static str]) -> Differs {
    Differs { key, how: How::Fixed(values), keras_3: true }
}

const fn named(key: &'static str, ours: &'static str) -> Differs {
    Differs { key, how: How::Named(ours), keras_3: true }
}

const fn ours(key: &'static str, value: &'static str) -> Differs {
    Differs { key, how: How::Ours(value), keras_3: false }
}

/// Of Keras 2 alone.
const fn of_2(differs: Differs) -> Differs {
    Differs { keras_3: false, ..differs }
}

/// `implementation` chooses between ways to the same numbers.
const RECURRENT: &[Differs] = &[
    free("seed"),
    of_2(free("implementation")),
    of_2(fixed("time_major", &["false"])),
    ours("output_activation", "null"),
    ours("peepholes", "false"),
    ours("input_forget", "false"),
    ours("clip", "null"),
];
const CELL: &[Differs] = &[
    free("seed"),
    of_2(free("implementation")),
    ours("output_activation", "null"),
    ours("peepholes", "false"),
    ours("input_forget", "false"),
    ours("clip", "null"),
];
const WITH_SEED: &[Differs] = &[free("seed")];
const POOLING: &[Differs] = &[fixed("data_format", &["\"channels_last\""])];
/// Weights that are not of float32, or have more than one part.
const PLAIN_WEIGHTS: &[Differs] = &[
    of_2(fixed("quantization_config", &["null"])),
    of_2(fixed("lora_rank", &["null"])),
    of_2(fixed("lora_alpha", &["null"])),
];
const EMBEDDING: &[Differs] = &[
    of_2(fixed("quantization_config", &["null"])),
    of_2(fixed("lora_rank", &["null"])),
    of_2(fixed("lora_alpha", &["null"])),
    of_2(free("input_length")),
    of_2(fixed("sparse", &["false"])),
];
const RECURRENT_WEIGHTS: &[&str] = &["kernel", "recurrent", "bias"];
const NONE: &[Differs] = &[];

fn layer(layer: impl Into<Layer>) -> Value {
    serde_json::to_value(layer.into()).unwrap_or_default()
}

fn cell(cell: impl Into<AnyCell>) -> Value {
    serde_json::to_value(cell.into()).unwrap_or_default()
}

macro_rules! classes {
    ($($name:literal $start:expr, $held:expr, $differs:expr;)*) => {
        pub(super) const CLASSES: &[Class] = &[$(Class { name: $name, start: || $start, held: $held, differs: $differs }),*];
    };
}

classes! {
    "LSTM" layer(Lstm::new(1)), RECURRENT_WEIGHTS, RECURRENT;
    "GRU" layer(Gru::new(1)), RECURRENT_WEIGHTS, RECURRENT;
    "SimpleRNN" layer(SimpleRnn::new(1)), RECURRENT_WEIGHTS, RECURRENT;
    "RNN" layer(Rnn::new(GruCell::new(1))), &[], &[of_2(fixed("time_major", &["false"]))];
    "LSTMCell" cell(LstmCell::new(1)), RECURRENT_WEIGHTS, CELL;
    "GRUCell" cell(GruCell::new(1)), RECURRENT_WEIGHTS, CELL;
    "SimpleRNNCell" cell(SimpleRnnCell::new(1)), RECURRENT_WEIGHTS, CELL;
    "StackedRNNCells" cell(StackedCells::new()), &[], NONE;
    "Dense" layer(Dense::new(1)), &["kernel", "bias"], PLAIN_WEIGHTS;
    "Bidirectional" layer(Bidirectional::new(Gru::new(1))), &[], NONE;
    "TimeDistributed" layer(TimeDistributed::new(Dense::new(1))), &[], NONE;
    "RepeatVector" layer(RepeatVector::new(1)), &[], NONE;
    "Activation" layer(ActivationLayer::new(Activation::Linear)), &[], NONE;
    "LeakyReLU" layer(LeakyRelu::new(0.3)), &[], &[of_2(named("alpha", "negative_slope"))];
    "ELU" layer(Elu::new(1.0)), &[], NONE;
    "ReLU" layer(Relu::new()), &[], NONE;
    "PReLU" layer(PRelu::new()), &["alpha"], NONE;
    "Softmax" layer(SoftmaxLayer::new()), &[], NONE;
    "ActivityRegularization" layer(ActivityRegularization::new(Regularizer::default())), &[], NONE;
    "Dropout" layer(Dropout::new(0.0)), &[], WITH_SEED;
    "SpatialDropout1D" layer(SpatialDropout1D::new(0.0)), &[], &[free("seed"), of_2(fixed("noise_shape", &["null"]))];
    "GaussianNoise" layer(GaussianNoise::new(0.0)), &[], WITH_SEED;
    "GaussianDropout" layer(GaussianDropout::new(0.0)), &[], WITH_SEED;
    "AlphaDropout" layer(AlphaDropout::new(0.0)), &[], &[free("seed"), fixed("noise_shape", &["null"])];
    "Flatten" layer(Flatten::new()), &[], &[fixed("data_format", &["\"channels_last\"", "null"])];
    "Reshape" layer(Reshape::new([1])), &[], &[named("target_shape", "target")];
    "Permute" layer(Permute::new([1])), &[], NONE;
    "Add" layer(Add::new()), &[], NONE;
    "Subtract" layer(Subtract::new()), &[], NONE;
    "Multiply" layer(Multiply::new()), &[], NONE;
    "Average" layer(Average::new()), &[], NONE;
    "Maximum" layer(Maximum::new()), &[], NONE;
    "Minimum" layer(Minimum::new()), &[], NONE;
    "Concatenate" layer(Concatenate::new()), &[], NONE;
    "Dot" layer(Dot::new([-1, -1])), &[], NONE;
    "Embedding" layer(Embedding::new(1, 1)), &["embeddings"], EMBEDDING;
    "Masking" layer(Masking::new(0.0)), &[], NONE;
    "LayerNormalization" layer(LayerNormalization::new()), &["gamma", "beta"], NONE;
    "GlobalAveragePooling1D" layer(GlobalAveragePooling1D::new()), &[], POOLING;
    "GlobalMaxPooling1D" layer(GlobalMaxPooling1D::new()), &[],
        &[fixed("data_format", &["\"channels_last\""]), ours("masked", "false")];
    "Rescaling" layer(Rescaling::new(1.0, 0.0)), &[], NONE;
}

/// The row of a class.
pub(super) fn find(class: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|c| c.name == class)
}
