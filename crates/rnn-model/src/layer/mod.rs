//! Layers as data: what a person writes, what a model file holds. Each says its output shape, its weights, and how it
//! is lowered to device operations.

mod activate;
mod activations;
mod bidirectional;
mod broadcast;
pub mod cell;
mod composite;
mod concatenate;
mod constraint;
mod dense;
mod dot;
mod embedding;
mod glu;
mod held;
mod initializer;
mod masking;
mod merge;
mod noise;
mod normalization;
mod permute;
mod pooling;
mod reciprocal;
mod recurrent;
mod regularizer;
mod reverse;
mod rnn;
mod sequence;
mod shaping;
mod simple;
mod slice;
mod softmax;
mod stacked;
mod time_distributed;

pub use crate::model::SharedLayer;
pub use activate::{Activate, Softmax};
pub use activations::{Elu, LeakyRelu, PRelu, Relu};
pub use bidirectional::{Bidirectional, MergeMode};
pub use cell::{
    GruCell, LayerNormGruCell, LayerNormLstmCell, LstmCell, ProjectedLstmCell, SimpleRnnCell, StackedCells,
    Zoneout,
};
pub use concatenate::{Concatenate, concatenate};
pub use constraint::Constraint;
pub use dense::Dense;
pub use dot::{Dot, dot};
pub use embedding::Embedding;
pub use glu::Glu;
pub(crate) use held::Held;
pub use initializer::{Distribution, Fan, Initializer, Recipe};
pub use masking::{Lengths, Masking, Packed, WithMask, packed, with_lengths, with_mask_of};
pub use merge::{
    Add, Average, Divide, Maximum, Minimum, Multiply, Subtract, add, average, divide, maximum, minimum,
    multiply, subtract,
};
pub use noise::{AlphaDropout, GaussianDropout, GaussianNoise, SpatialDropout1D};
pub use normalization::LayerNormalization;
pub use permute::Permute;
pub use pooling::{GlobalAveragePooling1D, GlobalMaxPooling1D};
pub use reciprocal::Reciprocal;
pub use recurrent::{Gru, GruOptions, Lstm, LstmOptions, Recurrent, SimpleRnn, SimpleRnnOptions};
pub use regularizer::Regularizer;
pub use reverse::Reverse;
pub use rnn::{CellLayer, Rnn};
pub use sequence::SequenceOptions;
pub use shaping::{Flatten, RepeatVector, Reshape};
pub use simple::{ActivationLayer, ActivityRegularization, Dropout, Rescaling};
pub use slice::Slice;
pub use softmax::SoftmaxLayer;
pub use stacked::stacked;
pub use time_distributed::TimeDistributed;

use crate::Result;
use crate::model::lowering::{Lowering, Node, Value};
use ndarray::{ArrayD, ArrayViewD};
use rnn_shaders::vocabulary::Cell;
use serde::{Deserialize, Serialize};

/// The shape of one sample: `[features]` or `[time, features]`, with `None` where any size does.
pub type SampleShape = Vec<Option<usize>>;

/// A weight of a layer before it has a place on a device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VariableSpec {
    pub name: String,
    pub shape: Vec<usize>,
    /// Parts of the rows or of the vector that start differently: (length in values, initializer).
    pub start: Vec<(usize, Initializer)>,
    /// Its penalty in the loss, and what it is held to after each update.
    pub held: Held,
}

impl VariableSpec {
    pub fn new(name: &str, shape: Vec<usize>, initializer: Initializer) -> Self {
        // Sizes that can not be are refused where the weights are laid out.
        let len = shape.iter().fold(1, |len: usize, &n| len.saturating_mul(n));
        VariableSpec { name: name.to_owned(), shape, start: vec![(len, initializer)], held: Held::default() }
    }

    /// With a penalty and a constraint, where there are any.
    pub fn held(self, held: Held) -> Self {
        VariableSpec { held, ..self }
    }

    /// What is wrong with its penalty or constraint, if anything.
    pub fn problem(&self) -> Option<String> {
        let regularizer = self.held.regularizer.and_then(Regularizer::problem);
        regularizer.or_else(|| self.held.constraint.and_then(Constraint::problem))
    }

    /// Values to start with. `stream` tells the variables of a model apart.
    ///
    /// # Errors
    /// Where an initializer can not fill the shape, or has numbers without a meaning.
    pub fn initial_values(&self, seed: u64, stream: u32) -> Result<Vec<f32>, String> {
        let mut values = Vec::with_capacity(self.shape.iter().product());
        for (part, &(len, initializer)) in self.start.iter().enumerate() {
            // A weight starts as a whole, or in parts, each a vector.
            let shape = if self.start.len() == 1 { self.shape.as_slice() } else { &[len] };
            initializer.check(shape)?;
            values.extend(initializer.values(shape, part, seed, stream));
        }
        Ok(values)
    }
}

/// What every layer says of itself. A layer of one input and one output implements [`OneToOne`] in place of this.
pub(crate) trait LayerKind {
    /// Keras's class name.
    fn class(&self) -> &'static str;
    /// Shapes of one sample of each output; refuses inputs and options that can not work.
    fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>>;
    /// The weights, in Keras's order.
    fn variables(&self, _inputs: &[SampleShape]) -> Vec<VariableSpec> {
        Vec::new()
    }
    /// The parts of the layer that have states, in Keras's order.
    fn recurrent_parts(&self) -> Vec<RecurrentTraits> {
        Vec::new()
    }
    /// Whether the layer treats every step alike and alone, so that a sequence can be given step by step.
    fn is_stepwise(&self) -> bool {
        false
    }
    /// Rows of a table whose numbers, from 0 on, the values of the first input must be.
    fn table_rows(&self) -> Option<usize> {
        None
    }
    /// The output `[samples, ...]` on the host, where it holds nothing but values of the inputs.
    fn moved(&self, _inputs: &[ArrayViewD<'_, f32>]) -> Option<ArrayD<f32>> {
        None
    }
    /// Whether the layer can be run on parts of the time axis, one after the other.
    fn goes_in_parts(&self) -> bool {
        self.is_stepwise()
    }
    /// Which kernels run the layer, where no recurrent part says it.
    fn kernels(&self) -> &'static str;
    /// Emits the forward operations and leaves the backward ones on the tape.
    fn lower(&self, l: &mut Lowering<'_>, node: &Node, inputs: &[Value]) -> Result<Vec<Value>>;
}

/// What a layer of one input and one output says of itself.
pub(crate) trait OneToOne {
    /// Keras's class name.
    fn class(&self) -> &'static str;
    /// Shape of one output sample; refuses inputs and options that can not work.
    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape>;
    /// The weights, in Keras's order.
    fn variables(&self, _input: &[Option<usize>]) -> Vec<VariableSpec> {
        Vec::new()
    }
    /// Whether the layer treats every step alike and alone.
    fn is_stepwise(&self) -> bool {
        false
    }
    /// Whether the layer can be run on parts of the time axis, one after the other.
    fn goes_in_parts(&self) -> bool {
        self.is_stepwise()
    }
    /// Whether the mask of the input is the mask of the output too.
    fn passes_mask(&self) -> bool {
        true
    }
    /// As [`LayerKind::table_rows`].
    fn table_rows(&self) -> Option<usize> {
        None
    }
    /// As [`LayerKind::moved`].
    fn moved(&self, _x: &ArrayViewD<'_, f32>) -> Option<ArrayD<f32>> {
        None
    }
    /// Which kernels run the layer.
    fn kernels(&self) -> &'static str;
    /// Emits the forward operations and leaves the backward ones on the tape.
    fn lower(&self, l: &mut Lowering<'_>, node: &Node, x: Value) -> Result<Value>;
}

impl<T: OneToOne> LayerKind for T {
    fn class(&self) -> &'static str {
        OneToOne::class(self)
    }

    fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>> {
        let [input] = inputs else { return Err(arity(OneToOne::class(self), "one input", inputs.len())) };
        Ok(vec![self.output_shape(input)?])
    }

    fn variables(&self, inputs: &[SampleShape]) -> Vec<VariableSpec> {
        OneToOne::variables(self, &inputs[0])
    }

    fn is_stepwise(&self) -> bool {
        OneToOne::is_stepwise(self)
    }

    fn table_rows(&self) -> Option<usize> {
        OneToOne::table_rows(self)
    }

    fn moved(&self, inputs: &[ArrayViewD<'_, f32>]) -> Option<ArrayD<f32>> {
        OneToOne::moved(self, inputs.first()?)
    }

    fn goes_in_parts(&self) -> bool {
        OneToOne::goes_in_parts(self)
    }

    fn kernels(&self) -> &'static str {
        OneToOne::kernels(self)
    }

    fn lower(&self, l: &mut Lowering<'_>, node: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = inputs[0].clone();
        let mask = x.mask.filter(|_| self.passes_mask());
        let mut y = OneToOne::lower(self, l, node, x)?;
        y.mask = mask;
        Ok(vec![y])
    }
}

/// The error of a layer that was given another number of inputs.
pub(crate) fn arity(class: &str, expected: &str, got: usize) -> crate::Error {
    crate::Error::invalid(class, format!("takes {expected}, got {got}"))
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
    RNN(Rnn) "Any cell over a sequence.",
    Cell(CellLayer) "One step of any cell.",
    Dense(Dense) "Fully connected layer on the last axis.",
    Bidirectional(Bidirectional) "A recurrent layer in both directions.",
    TimeDistributed(TimeDistributed) "A layer on every step.",
    RepeatVector(RepeatVector) "A vector at every step.",
    Activation(ActivationLayer) "An activation alone.",
    LeakyReLU(LeakyRelu) "Rectifier with a slope below 0.",
    ELU(Elu) "Exponential linear unit.",
    ReLU(Relu) "Rectifier with a slope, a largest value and a threshold.",
    PReLU(PRelu) "Rectifier whose slope below 0 is learned.",
    GLU(Glu) "Gated linear unit.",
    Softmax(SoftmaxLayer) "Softmax over an axis.",
    ActivityRegularization(ActivityRegularization) "A penalty on what passes through.",
    Dropout(Dropout) "Random zeros while training.",
    Flatten(Flatten) "Steps and features in one vector.",
    Reshape(Reshape) "The same values in another shape.",
    Add(Add) "Sum of several inputs.",
    Subtract(Subtract) "Difference of two inputs.",
    Multiply(Multiply) "Product of several inputs.",
    Divide(Divide) "Quotient of two inputs.",
    Reciprocal(Reciprocal) "A number divided by each value.",
    Average(Average) "Mean of several inputs.",
    Maximum(Maximum) "Largest of several inputs.",
    Minimum(Minimum) "Smallest of several inputs.",
    Concatenate(Concatenate) "Several inputs one after the other.",
    Dot(Dot) "Products of two inputs, summed over an axis.",
    Permute(Permute) "Axes in another order.",
    Slice(Slice) "A part of an axis.",
    Reverse(Reverse) "The steps in the opposite order.",
    Rescaling(Rescaling) "A factor and a shift.",
    Embedding(Embedding) "Rows of a table by their numbers.",
    Masking(Masking) "Steps of a certain value are not there.",
    Lengths(Lengths) "Series of different lengths.",
    Packed(Packed) "Several series in one row.",
    WithMask(WithMask) "The steps that another sequence has.",
    LayerNormalization(LayerNormalization) "Mean 0 and variance 1 over the features.",
    GlobalAveragePooling1D(GlobalAveragePooling1D) "The mean over time.",
    GlobalMaxPooling1D(GlobalMaxPooling1D) "The maximum over time.",
    GaussianNoise(GaussianNoise) "Added noise while training.",
    GaussianDropout(GaussianDropout) "Noise to multiply with while training.",
    AlphaDropout(AlphaDropout) "Dropout for SELU.",
    SpatialDropout1D(SpatialDropout1D) "Dropout of whole features.",
}

/// What a model needs to know of a part of a layer that has states.
#[derive(Clone, Debug)]
pub(crate) struct RecurrentTraits {
    /// name within the layer, `forward` or `backward/cell_1`; empty when the layer has one part
    pub part: String,
    /// `None` where the part is made of plain operations
    pub fused: Option<Cell>,
    /// values per sample of each state: h, or h and c
    pub states: Vec<usize>,
    pub stateful: bool,
    pub return_state: bool,
}

impl Layer {
    /// Keras's class name: `LSTM`, `Dense`.
    pub fn class(&self) -> &'static str {
        self.kind().class()
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
