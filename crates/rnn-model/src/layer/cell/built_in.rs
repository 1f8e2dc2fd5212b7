//! The cells of the built-in layers, alone.

use super::{CellDefinition, CellOps, CellStep, CellValue, CellVariable, CellWeight, Draws};
use crate::Result;
use crate::layer::recurrent::CellOptions;
use crate::layer::{
    Activate, Constraint, GruOptions, Initializer, LayerKind, LstmOptions, Recurrent, RecurrentTraits,
    Regularizer, SequenceOptions, SimpleRnnOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The cell of an [`Lstm`](crate::layer::Lstm), [`Gru`](crate::layer::Gru) or [`SimpleRnn`](crate::layer::SimpleRnn):
/// the same weights and options, one step. Built as [`LstmCell`], [`GruCell`] or [`SimpleRnnCell`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    try_from = "Json",
    into = "Json",
    bound(serialize = "C: CellOptions", deserialize = "C: CellOptions")
)]
pub struct RecurrentCell<C: CellOptions> {
    /// with the options of a sequence as they are by default
    layer: Recurrent<C>,
}

/// One step of an [`Lstm`](crate::layer::Lstm): of `x [features]`, `h` and `c [units]` it gives the output, which is the new
/// `h`, and the new `h` and `c`.
///
/// As a layer it is used by hand; [`Rnn`](crate::layer::Rnn) runs it over a sequence, by the layer's own kernels.
///
/// ```
/// use rnn_model::{Device, Graph, Input, Tensor, apply, layer::LstmCell};
/// let (x, h, c) = (Input::vector(3).symbol(), Input::vector(8).symbol(), Input::vector(8).symbol());
/// let step = apply(LstmCell::new(8), &[&x, &h, &c])?;
/// let [y, h1, c1] = step.as_slice() else { unreachable!() };
/// let mut model = Graph::new(&[&x, &h, &c], &[y, h1, c1])?.build(&Device::cpu())?;
///
/// // a loop of one's own; nothing leaves the device
/// let device = model.device().clone();
/// let x = Tensor::zeros(&device, &[5, 3])?;
/// let mut states = [Tensor::zeros(&device, &[5, 8])?, Tensor::zeros(&device, &[5, 8])?];
/// for _ in 0..4 {
///     let mut out = model.predict_tensors(&[&x, &states[0], &states[1]])?;
///     states[1] = out.swap_remove(2);
///     states[0] = out.swap_remove(1);
/// }
/// # Ok::<(), rnn_model::Error>(())
/// ```
pub type LstmCell = RecurrentCell<LstmOptions>;

/// One step of a [`Gru`](crate::layer::Gru): of `x [features]` and `h [units]` it gives the output, which is the new `h`,
/// and the new `h`.
pub type GruCell = RecurrentCell<GruOptions>;

/// One step of a [`SimpleRnn`](crate::layer::SimpleRnn): of `x [features]` and `h [units]` it gives the output, which is
/// the new `h`, and the new `h`.
pub type SimpleRnnCell = RecurrentCell<SimpleRnnOptions>;

/// What only a layer over a sequence has.
const OF_A_SEQUENCE: [&str; 6] =
    ["return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask"];

/// What is not written where nothing holds a weight.
const HELD: [&str; 3] = ["kernel_held", "recurrent_held", "bias_held"];

impl<C: CellOptions> From<RecurrentCell<C>> for Json {
    fn from(cell: RecurrentCell<C>) -> Json {
        let mut config = serde_json::to_value(cell.layer).expect("a layer is plain data");
        if let Some(options) = config.as_object_mut() {
            options.retain(|name, _| !OF_A_SEQUENCE.contains(&name.as_str()));
        }
        config
    }
}

impl<C: CellOptions> TryFrom<Json> for RecurrentCell<C> {
    type Error = String;

    /// Options that are missing are what they are by default.
    fn try_from(config: Json) -> Result<Self, String> {
        let mut all = serde_json::to_value(C::layer(1)).expect("a layer is plain data");
        let (Some(options), Some(given)) = (all.as_object_mut(), config.as_object()) else {
            return Err("its config must be an object".to_owned());
        };
        for (name, value) in given {
            let known = options.contains_key(name) || HELD.contains(&name.as_str());
            if !known || OF_A_SEQUENCE.contains(&name.as_str()) {
                return Err(format!("it has no option {name:?}"));
            }
            options.insert(name.clone(), value.clone());
        }
        if !given.contains_key("units") {
            return Err("its config must have units".to_owned());
        }
        let layer = serde_json::from_value(all).map_err(|e| e.to_string())?;
        Ok(RecurrentCell { layer })
    }
}

/// Options that a cell has as its layer has them.
macro_rules! options {
    ($($name:ident: $type:ty, $doc:literal;)*) => {
        $(#[doc = $doc]
        pub fn $name(mut self, value: $type) -> Self {
            self.layer = self.layer.$name(value);
            self
        })*
    };
}

impl<C: CellOptions> RecurrentCell<C> {
    options! {
        use_bias: bool, "Add a bias; true.";
        kernel_initializer: Initializer, "Start of the kernel; Glorot uniform.";
        recurrent_initializer: Initializer, "Start of the recurrent kernel; orthogonal.";
        bias_initializer: Initializer, "Start of the bias; zeros.";
        kernel_regularizer: Regularizer, "A penalty on the kernel; none.";
        recurrent_regularizer: Regularizer, "A penalty on the recurrent kernel; none.";
        bias_regularizer: Regularizer, "A penalty on the bias; none.";
        kernel_constraint: Constraint, "What the kernel is held to after each update; nothing.";
        recurrent_constraint: Constraint, "What the recurrent kernel is held to after each update; nothing.";
        bias_constraint: Constraint, "What the bias is held to after each update; nothing.";
        dropout: f32, "Drop a share of the inputs while training, the same ones at every step; 0.";
        recurrent_dropout: f32, "Drop a share of the state on its way into the products, the same at every step; 0.";
        clip: impl Into<Option<f32>>, "Keep what goes into the activations of gates and candidate within `[-clip, clip]`; no limit.";
    }

    /// The same cell as part of its layer.
    pub(in crate::layer) fn of_layer(layer: &Recurrent<C>) -> Self {
        RecurrentCell { layer: layer.clone() }
    }

    /// The layer that runs the cell over a sequence.
    pub(in crate::layer) fn layer(&self, sequence: SequenceOptions) -> Recurrent<C> {
        let mut layer = self.layer.clone();
        layer.sequence = sequence;
        layer
    }

    pub(in crate::layer) fn traits(&self) -> RecurrentTraits {
        self.layer.recurrent_parts().swap_remove(0)
    }
}

impl LstmCell {
    /// A cell of `units` with Keras's defaults.
    pub fn new(units: usize) -> Self {
        RecurrentCell { layer: LstmOptions::layer(units) }
    }

    options! {
        activation: impl Into<Activate>, "Of the candidate and of the cell state on its way out; tanh.";
        recurrent_activation: impl Into<Activate>, "Of the three gates; sigmoid.";
        output_activation: impl Into<Activate>, "Of the cell state on its way out; that of the candidate.";
        unit_forget_bias: bool, "Start the forget gate's bias at 1 (Jozefowicz et al. 2015); true.";
        peepholes: bool, "Let the gates see the cell state, as [`Lstm::peepholes`](crate::layer::Lstm::peepholes); false.";
        input_forget: bool, "Let the forget gate be `1 - i`; false.";
    }
}

impl GruCell {
    /// A cell of `units` with Keras's defaults.
    pub fn new(units: usize) -> Self {
        RecurrentCell { layer: GruOptions::layer(units) }
    }

    options! {
        activation: impl Into<Activate>, "Of the candidate; tanh.";
        recurrent_activation: impl Into<Activate>, "Of the two gates; sigmoid.";
        reset_after: bool, "Apply the reset gate after the recurrent product; true.";
    }
}

impl SimpleRnnCell {
    /// A cell of `units` with Keras's defaults.
    pub fn new(units: usize) -> Self {
        RecurrentCell { layer: SimpleRnnOptions::layer(units) }
    }

    options! {
        activation: impl Into<Activate>, "Of the new state; tanh.";
    }
}

impl<C: CellOptions> CellDefinition for RecurrentCell<C> {
    fn class(&self) -> &str {
        C::CELL_CLASS
    }

    fn config(&self) -> Json {
        self.clone().into()
    }

    fn check(&self) -> Result<()> {
        // What the layer refuses.
        self.layer.output_shapes(&[vec![None, Some(1)]]).map(|_| ())
    }

    fn state_sizes(&self) -> Vec<usize> {
        self.traits().states
    }

    fn variables(&self, features: usize) -> Vec<CellVariable> {
        self.layer.variables(&[vec![None, Some(features)]]).into_iter().map(CellVariable).collect()
    }

    fn prepare(&self, ops: &mut CellOps<'_, '_>, x: CellValue, weights: &[CellWeight]) -> Result<CellValue> {
        let x = ops.dropout(&x, self.layer.dropouts().0, Draws::OnceASequence)?;
        self.layer.composite().prepare(ops, &x, weights)
    }

    fn step(
        &self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        states: &[CellValue],
        weights: &[CellWeight],
    ) -> Result<CellStep> {
        let dropped = ops.dropout(&states[0], self.layer.dropouts().1, Draws::OnceASequence)?;
        self.layer.composite().step(ops, x, &dropped, states, weights)
    }
}
