//! Bidirectional.

use super::sequence::SequenceOptions;
use super::shaping::reverse_time;
use super::{Layer, LayerKind, RecurrentTraits, SampleShape, VariableSpec};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What becomes of the outputs of the two directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeMode {
    /// One behind the other on the last axis.
    #[default]
    Concat,
    /// Their sum.
    Sum,
    /// Their product.
    Mul,
    /// Their mean.
    Ave,
    /// Two outputs.
    None,
}

/// A recurrent layer run from the first step to the last, and another from the last to the first (Schuster and Paliwal
/// 1997). The second one's outputs are turned round again, so that both stand at the steps that they belong to.
///
/// Weights, states and initial states are the forward layer's, then the backward layer's.
///
/// ```
/// use rnn_model::layer::{Bidirectional, Lstm, MergeMode};
/// let layer = Bidirectional::new(Lstm::new(16).return_sequences(true)).merge_mode(MergeMode::Sum);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bidirectional {
    layer: Box<Layer>,
    backward_layer: Option<Box<Layer>>,
    merge_mode: MergeMode,
}

impl Bidirectional {
    /// `layer` forward, and a second one like it backward.
    pub fn new(layer: impl Into<Layer>) -> Self {
        Bidirectional { layer: Box::new(layer.into()), backward_layer: None, merge_mode: MergeMode::Concat }
    }

    /// A backward layer of its own, built with `go_backwards(true)`.
    pub fn backward_layer(mut self, layer: impl Into<Layer>) -> Self {
        self.backward_layer = Some(Box::new(layer.into()));
        self
    }

    /// What becomes of the two outputs; concat.
    pub fn merge_mode(mut self, mode: MergeMode) -> Self {
        self.merge_mode = mode;
        self
    }

    /// The layers that it is made of.
    pub(super) fn layers_mut(&mut self) -> impl Iterator<Item = &mut Layer> {
        std::iter::once(self.layer.as_mut()).chain(self.backward_layer.as_deref_mut())
    }

    /// The backward layer: the given one, or the forward one turned round.
    fn backward(&self) -> Layer {
        if let Some(layer) = &self.backward_layer {
            return layer.as_ref().clone();
        }
        let mut layer = self.layer.as_ref().clone();
        if let Some(options) = layer.sequence_mut() {
            options.go_backwards = !options.go_backwards;
        }
        layer
    }

    /// The options that both layers must share; refuses what can not work.
    fn options(&self) -> Result<SequenceOptions> {
        let problem =
            |problem: &str| Error::invalid(format!("Bidirectional({})", self.layer.class()), problem);
        let (Some(a), Some(b)) = (self.layer.sequence(), self.backward().sequence()) else {
            return Err(problem("only recurrent layers can be run in two directions"));
        };
        if a.go_backwards == b.go_backwards {
            return Err(problem(
                "the two layers must run in opposite directions: build the backward one with go_backwards(true)",
            ));
        }
        let shared =
            |o: SequenceOptions| (o.return_sequences, o.return_state, o.stateful, o.zero_output_for_mask);
        if shared(a) != shared(b) {
            let text = "the two layers must agree on return_sequences, return_state, stateful and zero_output_for_mask";
            return Err(problem(text));
        }
        Ok(a)
    }

    /// Initial states of each layer, from the inputs behind the sequence.
    fn halves<'i, T: Clone>(&self, inputs: &'i [T]) -> Result<[Vec<T>; 2]> {
        let (x, given) =
            inputs.split_first().ok_or_else(|| super::arity("Bidirectional", "a sequence", 0))?;
        let forward: usize = self.layer.kind().recurrent_parts().iter().map(|p| p.states.len()).sum();
        if !given.is_empty() && given.len() < forward {
            return Err(super::arity("Bidirectional", "the initial states of both directions", inputs.len()));
        }
        let (a, b): (&'i [T], &'i [T]) = given.split_at(forward.min(given.len()));
        Ok([a, b].map(|states| std::iter::once(x).chain(states).cloned().collect()))
    }
}

impl LayerKind for Bidirectional {
    fn class(&self) -> &'static str {
        "Bidirectional"
    }

    fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>> {
        self.options()?;
        let [a, b] = self.halves(inputs)?;
        let a = self.layer.kind().output_shapes(&a)?;
        let b = self.backward().kind().output_shapes(&b)?;
        let (mut y, z) = (a[0].clone(), &b[0]);
        let mut outputs = Vec::new();
        match (self.merge_mode, y.last_mut(), z.last()) {
            (MergeMode::None, ..) => outputs.extend([a[0].clone(), z.clone()]),
            (MergeMode::Concat, Some(Some(units)), Some(Some(more))) => {
                *units += more;
                outputs.push(y);
            }
            (_, Some(units), Some(other)) if *units != *other => {
                let problem = "the two layers must have the same units to be merged element by element";
                return Err(Error::invalid("Bidirectional", problem));
            }
            _ => outputs.push(y),
        }
        outputs.extend(a.into_iter().skip(1).chain(b.into_iter().skip(1)));
        Ok(outputs)
    }

    fn variables(&self, inputs: &[SampleShape]) -> Vec<VariableSpec> {
        let x = &inputs[..1];
        let named = |direction: &str, layer: &Layer| {
            let mut variables = layer.kind().variables(x);
            variables.iter_mut().for_each(|v| v.name = format!("{direction}/{}", v.name));
            variables
        };
        let mut variables = named("forward", &self.layer);
        variables.extend(named("backward", &self.backward()));
        variables
    }

    fn recurrent_parts(&self) -> Vec<RecurrentTraits> {
        let named = |direction: &'static str, layer: &Layer| {
            let parts = layer.kind().recurrent_parts().into_iter();
            parts.map(move |traits| {
                let part = match traits.part.as_str() {
                    "" => direction.to_owned(),
                    part => format!("{direction}/{part}"),
                };
                RecurrentTraits { part, ..traits }
            })
        };
        let backward = self.backward();
        named("forward", &self.layer).chain(named("backward", &backward)).collect()
    }

    fn kernels(&self) -> &'static str {
        "see its recurrent parts"
    }

    fn lower(&self, l: &mut Lowering<'_>, node: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
        let options = self.options()?;
        let [first, second] = self.halves(inputs)?;
        // Both layers have weights of the same kinds, half of the whole each.
        let half = self.layer.kind().variables(&[sample_shape(&inputs[0])]).len();
        let parts = self.layer.kind().recurrent_parts().len();
        let (forward, backward) = (node.part(0..half, 0), node.part(half..node.weights.len(), parts));
        let mut a = self.layer.kind().lower(l, &forward, &first)?.into_iter();
        let mut b = self.backward().kind().lower(l, &backward, &second)?.into_iter();
        let (Some(mut y), Some(mut z)) = (a.next(), b.next()) else { unreachable!("a layer has an output") };
        if options.return_sequences {
            let turned = if options.go_backwards { &mut y } else { &mut z };
            *turned = reverse_time(l, turned.clone())?;
        }
        let mask = inputs[0].mask.filter(|_| options.return_sequences);
        let mut outputs = match self.merge_mode {
            MergeMode::None => vec![y, z],
            MergeMode::Concat => vec![l.concat(&[y, z])?],
            MergeMode::Sum => vec![l.add(&y, &z)?],
            MergeMode::Mul => vec![l.mul(&y, &z)?],
            MergeMode::Ave => {
                let sum = l.add(&y, &z)?;
                vec![l.scale(&sum, 0.5)?]
            }
        };
        outputs.iter_mut().for_each(|y| y.mask = mask);
        outputs.extend(a.chain(b));
        Ok(outputs)
    }
}

/// The shape of a value's samples, as layers are asked with it.
fn sample_shape(x: &Value) -> SampleShape {
    x.shape.iter().map(|&n| Some(n)).collect()
}
