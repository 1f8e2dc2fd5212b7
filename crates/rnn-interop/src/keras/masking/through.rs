//! How masks go through layers: here, and in Keras.

use super::facts::{Options, is_operation};
use super::{How, Plan, Theirs, Value};
use rnn_model::layer::Layer;

impl Plan {
    /// The masks of what a layer gives: here, and in Keras.
    pub(super) fn masks_of(
        &mut self,
        layer: &Layer,
        args: &[Value],
        given: Option<(usize, usize, usize)>,
    ) -> (Option<usize>, Option<Theirs>) {
        let Some(&first) = args.first() else { return (None, None) };
        let theirs = given.map(|(_, mask, node)| Theirs { mask, node }).or(first.theirs);
        match layer {
            Layer::Masking(_) => {
                let value = Options::of(layer).number("mask_value");
                let mask = self.mask(How::Differs(first.source, value));
                let elements = self.auto(vec![first.node]);
                let node = self.auto(vec![elements]);
                (Some(self.both(first.ours, mask)), Some(Theirs { mask, node }))
            }
            Layer::Embedding(_) => {
                if !Options::of(layer).on("mask_zero") {
                    return (None, None);
                }
                let mask = self.mask(How::Rows(first.source));
                let node = self.auto(vec![first.node]);
                (Some(mask), Some(Theirs { mask, node }))
            }
            Layer::LSTM(_)
            | Layer::GRU(_)
            | Layer::SimpleRNN(_)
            | Layer::RNN(_)
            | Layer::Bidirectional(_) => match Options::of(layer).on("return_sequences") {
                true => (first.ours, theirs),
                false => (None, None),
            },
            Layer::Softmax(_) => (first.ours, theirs),
            Layer::Reverse(_) => (first.ours.map(|mask| self.mask(How::Reversed(mask))), None),
            Layer::Permute(_) => (first.ours.filter(|_| Options::of(layer).keeps_order()), None),
            Layer::GLU(_) => {
                let axis = Options::of(layer).number("axis");
                (first.ours.filter(|_| axis == -1.0 || axis > 1.0), None)
            }
            Layer::Flatten(_)
            | Layer::Reshape(_)
            | Layer::RepeatVector(_)
            | Layer::Slice(_)
            | Layer::Dot(_)
            | Layer::Cell(_)
            | Layer::GlobalAveragePooling1D(_)
            | Layer::GlobalMaxPooling1D(_) => (None, None),
            Layer::Add(_)
            | Layer::Subtract(_)
            | Layer::Multiply(_)
            | Layer::Average(_)
            | Layer::Maximum(_)
            | Layer::Minimum(_)
            | Layer::Divide(_) => {
                // Where an input has none, neither has the whole.
                let all: Option<Vec<usize>> = args.iter().map(|x| x.ours).collect();
                let ours = all.unwrap_or_default().into_iter().reduce(|a, b| self.either(a, b));
                let all: Option<Vec<Theirs>> = args.iter().map(|x| x.theirs).collect();
                let theirs = all.unwrap_or_default().into_iter().reduce(|a, b| {
                    let node = self.auto(vec![a.node, b.node]);
                    Theirs { mask: self.either(a.mask, b.mask), node }
                });
                // A quotient is an operation there.
                (ours, theirs.filter(|_| !matches!(layer, Layer::Divide(_))))
            }
            Layer::Concatenate(_) if args.iter().any(|x| x.ours.is_some()) => {
                let mask = self.mask(How::Joined(self.nodes.len()));
                (Some(mask), Some(Theirs { mask, node: self.joined(args) }))
            }
            layer if is_operation(layer) => (first.ours, None),
            _ => (first.ours, first.theirs),
        }
    }

    /// What Keras makes of the masks of values that are put together.
    fn joined(&mut self, args: &[Value]) -> usize {
        let mut parts = Vec::new();
        for x in args {
            parts.push(match x.theirs {
                None => self.auto(vec![x.node]),
                Some(mask) => {
                    let wide = self.auto(vec![mask.node]);
                    let zeros = self.auto(vec![x.node]);
                    self.auto(vec![wide, zeros])
                }
            });
        }
        let joined = self.auto(parts);
        self.auto(vec![joined])
    }
}
