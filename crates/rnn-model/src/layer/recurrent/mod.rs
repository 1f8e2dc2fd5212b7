//! LSTM, GRU and SimpleRNN. One set of options and one lowering; what differs is the cell.

mod fused;
mod options;

pub use options::{CellOptions, GruOptions, LstmOptions, SimpleRnnOptions};

use super::cell::{RecurrentCell, schedule};
use super::composite::{Composite, Equations};
use super::sequence::{SequenceOptions, one_part, sequence_options};
use super::{
    Constraint, Held, Initializer, LayerKind, RecurrentTraits, Regularizer, SampleShape, VariableSpec,
};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use fused::Optional;
use rnn_shaders::vocabulary::CellExtras;
use serde::{Deserialize, Serialize};

/// A recurrent layer: `[batch, time, features]` to `[batch, time, units]` or, without `return_sequences`, to the last
/// output `[batch, units]`. Built as [`Lstm`], [`Gru`] or [`SimpleRnn`]; names and defaults are Keras's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recurrent<C> {
    units: usize,
    #[serde(flatten)]
    cell: C,
    use_bias: bool,
    kernel_initializer: Initializer,
    recurrent_initializer: Initializer,
    bias_initializer: Initializer,
    #[serde(default, skip_serializing_if = "Held::is_free")]
    kernel_held: Held,
    #[serde(default, skip_serializing_if = "Held::is_free")]
    recurrent_held: Held,
    #[serde(default, skip_serializing_if = "Held::is_free")]
    bias_held: Held,
    dropout: f32,
    recurrent_dropout: f32,
    #[serde(default)]
    clip: Option<f32>,
    #[serde(flatten)]
    pub(super) sequence: SequenceOptions,
}

/// Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).
///
/// With gates `i, f, c, o` from `z = x W + h U + b`: `c' = f * c + i * act(z_c)`, `h' = o * out_act(c')`; Keras has one
/// activation for both, and so has this layer by default.
/// Weights: kernel `[features, 4 units]`, recurrent kernel `[units, 4 units]`, bias `[4 units]`, and with
/// [`peepholes`](Lstm::peepholes) their three vectors `[3, units]`.
///
/// ```
/// use rnn_model::layer::Lstm;
/// let layer = Lstm::new(32).return_sequences(true).stateful(true);
/// ```
pub type Lstm = Recurrent<LstmOptions>;

/// Gated recurrent unit (Cho et al. 2014): `h' = z * h + (1 - z) * h~`.
///
/// With `reset_after` (the default, and cuDNN's form) `h~ = act(x_h + r * (h U_h + b_h))`, else
/// `h~ = act(x_h + (r * h) U_h)`. Weights: kernel `[features, 3 units]`, recurrent kernel `[units, 3 units]`, bias
/// `[2, 3 units]` with `reset_after`, else `[3 units]`; gate order `z, r, h`.
pub type Gru = Recurrent<GruOptions>;

/// Fully connected recurrent layer: `h' = act(x W + h U + b)`.
pub type SimpleRnn = Recurrent<SimpleRnnOptions>;

impl<C> Recurrent<C> {
    fn with_cell(units: usize, cell: C) -> Self {
        Recurrent {
            units,
            cell,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            recurrent_initializer: Initializer::Orthogonal,
            bias_initializer: Initializer::Zeros,
            kernel_held: Held::default(),
            recurrent_held: Held::default(),
            bias_held: Held::default(),
            dropout: 0.0,
            recurrent_dropout: 0.0,
            clip: None,
            sequence: SequenceOptions::default(),
        }
    }

    /// Add a bias; true.
    pub fn use_bias(mut self, on: bool) -> Self {
        self.use_bias = on;
        self
    }

    /// Start of the kernel; Glorot uniform.
    pub fn kernel_initializer(mut self, initializer: Initializer) -> Self {
        self.kernel_initializer = initializer;
        self
    }

    /// Start of the recurrent kernel; orthogonal.
    pub fn recurrent_initializer(mut self, initializer: Initializer) -> Self {
        self.recurrent_initializer = initializer;
        self
    }

    /// Start of the bias; zeros.
    pub fn bias_initializer(mut self, initializer: Initializer) -> Self {
        self.bias_initializer = initializer;
        self
    }

    /// A penalty on the kernel; none.
    pub fn kernel_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.kernel_held.regularizer = Some(regularizer);
        self
    }

    /// A penalty on the recurrent kernel; none.
    pub fn recurrent_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.recurrent_held.regularizer = Some(regularizer);
        self
    }

    /// A penalty on the bias; none.
    pub fn bias_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.bias_held.regularizer = Some(regularizer);
        self
    }

    /// What the kernel is held to after each update; nothing.
    pub fn kernel_constraint(mut self, constraint: Constraint) -> Self {
        self.kernel_held.constraint = Some(constraint);
        self
    }

    /// What the recurrent kernel is held to after each update; nothing.
    pub fn recurrent_constraint(mut self, constraint: Constraint) -> Self {
        self.recurrent_held.constraint = Some(constraint);
        self
    }

    /// What the bias is held to after each update; nothing.
    pub fn bias_constraint(mut self, constraint: Constraint) -> Self {
        self.bias_held.constraint = Some(constraint);
        self
    }

    /// While training, the share of the inputs that is dropped: drawn once for a sequence and the same at every step; 0.
    pub fn dropout(mut self, rate: f32) -> Self {
        self.dropout = rate;
        self
    }

    /// While training, the share of the state that is dropped on its way into the recurrent product: drawn once for a
    /// sequence and the same at every step and for every gate (Gal and Ghahramani 2016); 0.
    pub fn recurrent_dropout(mut self, rate: f32) -> Self {
        self.recurrent_dropout = rate;
        self
    }

    /// Keep what goes into the activations of the gates and of the candidate within `[-clip, clip]` (ONNX's `clip`), from
    /// 1e-30 to 1e30; no limit.
    pub fn clip(mut self, clip: impl Into<Option<f32>>) -> Self {
        self.clip = clip.into();
        self
    }

    sequence_options!();
}

impl<C: CellOptions> Recurrent<C> {
    /// What the cell has beyond Keras's.
    fn extras(&self) -> CellExtras {
        CellExtras { clip: self.clip, coupled: self.cell.equations().coupled() }
    }

    /// Refuses a limit that is none.
    fn check_clip(&self, class: &str) -> Result<()> {
        let Some(clip) = self.clip.filter(|clip| !(1e-30..=1e30).contains(clip)) else { return Ok(()) };
        Err(Error::invalid(
            class,
            format!("clip must be from 1e-30 to 1e30, got {clip:e}; leave it out for no limit"),
        ))
    }

    /// Rates of dropout: of the inputs, of the state.
    pub(super) fn dropouts(&self) -> (f32, f32) {
        (self.dropout, self.recurrent_dropout)
    }

    /// The cell in plain operations.
    pub(super) fn composite(&self) -> Composite {
        Composite { equations: self.cell.equations(), use_bias: self.use_bias, clip: self.clip }
    }

    /// Sizes of h, and of c of an LSTM.
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.units; if matches!(self.cell.equations(), Equations::Lstm { .. }) { 2 } else { 1 }]
    }

    fn gates(&self) -> usize {
        self.cell.equations().gates()
    }

    fn bias(&self) -> VariableSpec {
        let u = self.units;
        match self.cell.equations() {
            Equations::Gru { reset_after: true, .. } => {
                VariableSpec::new("bias", vec![2, 3 * u], self.bias_initializer)
            }
            Equations::Lstm { .. } if self.cell.unit_forget_bias() => VariableSpec {
                start: vec![
                    (u, self.bias_initializer),
                    (u, Initializer::Ones),
                    (2 * u, self.bias_initializer),
                ],
                ..VariableSpec::new("bias", vec![4 * u], self.bias_initializer)
            },
            _ => VariableSpec::new("bias", vec![self.gates() * u], self.bias_initializer),
        }
    }
}

impl<C: CellOptions> LayerKind for Recurrent<C> {
    fn class(&self) -> &'static str {
        C::CLASS
    }

    fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>> {
        if self.units == 0 {
            return Err(Error::invalid(C::CLASS, "units must be at least 1"));
        }
        self.cell.equations().check(C::CLASS)?;
        self.check_clip(C::CLASS)?;
        for (name, rate) in [("dropout", self.dropout), ("recurrent_dropout", self.recurrent_dropout)] {
            if !(0.0..1.0).contains(&rate) {
                let problem = format!("{name} must be at least 0 and below 1, got {rate}");
                return Err(Error::invalid(C::CLASS, problem));
            }
        }
        self.sequence.output_shapes(C::CLASS, inputs, self.units, &self.state_sizes())
    }

    fn variables(&self, inputs: &[SampleShape]) -> Vec<VariableSpec> {
        let features = inputs[0][1].unwrap_or(0);
        let cols = self.gates() * self.units;
        let mut variables = vec![
            VariableSpec::new("kernel", vec![features, cols], self.kernel_initializer).held(self.kernel_held),
            VariableSpec::new("recurrent_kernel", vec![self.units, cols], self.recurrent_initializer)
                .held(self.recurrent_held),
        ];
        if self.use_bias {
            variables.push(self.bias().held(self.bias_held));
        }
        if self.cell.equations().peepholes() {
            variables.push(VariableSpec::new("peepholes", vec![3, self.units], Initializer::Zeros));
        }
        variables
    }

    fn recurrent_parts(&self) -> Vec<RecurrentTraits> {
        one_part(self.sequence, self.cell.fused(), self.state_sizes())
    }

    fn is_stepwise(&self) -> bool {
        !self.sequence.go_backwards
    }

    fn kernels(&self) -> &'static str {
        "see its recurrent parts"
    }

    fn lower(&self, l: &mut Lowering<'_>, node: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
        let cell = self.cell.fused();
        self.sequence.lower(l, node, inputs, &self.state_sizes(), cell.is_some(), |l, mut walk| {
            // In plain operations the cell drops by itself.
            let Some(cell) = cell else {
                return schedule::run(l, node, &RecurrentCell::of_layer(self), walk);
            };
            if l.training() && self.dropout > 0.0 {
                walk.x = l.dropout_along_time(&walk.x, self.dropout)?;
            }
            let h_mask = match l.training() && self.recurrent_dropout > 0.0 {
                true => Some(l.dropout_mask(self.recurrent_dropout, l.batch() * self.units)?),
                false => None,
            };
            let mut rest = 2..;
            let mut next = |there: bool| there.then(|| rest.next()).flatten();
            let weights =
                Optional { bias: next(self.use_bias), peepholes: next(self.cell.equations().peepholes()) };
            fused::run(l, node, cell, self.units, walk, h_mask, weights, self.extras())
        })
    }
}
