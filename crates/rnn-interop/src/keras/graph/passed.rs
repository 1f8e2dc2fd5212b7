//! Masks that a configuration passes by hand: what computes them, and how a layer's input gets them.

use super::super::masks::{How, Mask};
use super::operations::OneOperation;
use super::{Data, Made, OneLayer, Reader};
use crate::{Error, Result};
use rnn_model::Symbol;
use rnn_model::layer::{
    Layer, Lengths, Masking, Reshape, Reverse, SharedLayer, Slice, SoftmaxLayer, WithMask,
};
use serde_json::Value;

impl<'a> Reader<'a> {
    /// The mask that an operation computes, or what is on the way to one: if it is an operation on masks, or one that is
    /// taken for nothing else.
    pub(super) fn mask_made(
        &mut self,
        operation: &OneOperation<'a>,
        args: &[Made],
        constants: &[Value],
    ) -> Option<Mask> {
        let axis = operation.config.get("axis");
        let axes = |expected: &[i64]| {
            let axis = axis.and_then(|axis| axis.as_array().map_or(Some(axis), |all| all.first()));
            axis.and_then(Value::as_i64).is_some_and(|axis| expected.contains(&axis))
        };
        let how = |mask: &Mask| self.masks.how(*mask).cloned();
        let made = match (operation.class, args) {
            ("NotEqual", [Made::Data(x)]) => {
                let value = constants.first().and_then(Value::as_f64);
                return value.map(|value| self.masks.not_equal(x.id, value));
            }
            ("Any", [Made::Mask(mask)]) if axes(&[-1, 2]) => How::Any(*mask),
            ("LogicalOr", [Made::Mask(a), Made::Mask(b)]) => return Some(self.masks.or(*a, *b)),
            ("Flip", [Made::Mask(mask)]) if axes(&[1]) => How::Flipped(*mask),
            ("ExpandDims", [Made::Mask(mask)]) if axes(&[-1]) => How::Wide(*mask),
            // Values of the shape of another are only taken for masks.
            ("OnesLike", [Made::Data(x)]) => How::Ones(x.id),
            ("OnesLike", [Made::Mask(mask)]) => match how(mask)? {
                How::Any(elements) => match how(&elements)? {
                    How::NotEqual(id, _) => How::Ones(id),
                    _ => return None,
                },
                _ => return None,
            },
            ("Cumsum", [Made::Mask(ones)]) if axes(&[1]) => match how(ones)? {
                How::Ones(id) => How::Counts(id),
                _ => return None,
            },
            ("Subtract", [Made::Mask(counts), Made::Mask(ones)]) => match (how(counts)?, how(ones)?) {
                (How::Counts(id), How::Ones(of)) if id == of => How::Steps(id),
                _ => return None,
            },
            ("Less", [Made::Mask(steps), Made::Data(lengths)])
                if matches!(how(steps), Some(How::Steps(_))) && lengths.symbol.shape() == [Some(1)] =>
            {
                let mask = self.masks.mask(How::Lengths(lengths.id));
                self.lengths.entry(mask).or_insert_with(|| lengths.symbol.clone());
                return Some(mask);
            }
            (class, args) if class == "ZerosLike" || args.iter().any(|x| matches!(x, Made::Mask(_))) => {
                let (mut values, mut masks) = (Vec::new(), Vec::new());
                for made in args {
                    match made {
                        Made::Data(x) => values.push(x.id),
                        Made::Mask(mask) => masks.push(*mask),
                        Made::Unknown(_) => return None,
                    }
                }
                let mut options = constants.to_vec();
                options.extend(axis.cloned());
                return Some(self.masks.other(class, &options, &values, &masks));
            }
            _ => return None,
        };
        Some(self.masks.mask(made))
    }

    /// The input of a layer that is called with a mask, or what a softmax over as many steps makes of it.
    pub(super) fn with_mask(
        &mut self,
        layer: &OneLayer<'a>,
        x: &Data,
        mask: Mask,
        place: &str,
    ) -> Result<Given> {
        let refuse = |problem: &str| Err(Error::unsupported(place, problem));
        let is_vector = x.symbol.shape().len() == 1;
        let mask = match (layer.class, self.masks.how(mask)) {
            ("Softmax", Some(How::Wide(steps))) if !is_vector => *steps,
            ("Softmax", _) if !is_vector => {
                return refuse("called with a mask of steps, on values of more axes; Keras refuses that too");
            }
            _ if is_vector && layer.class != "Softmax" => {
                return refuse("called with a mask, on values without steps");
            }
            _ => mask,
        };
        if !is_vector {
            let masked = self.masked_by(layer, x, mask, place)?;
            return Ok(if passes_on(layer) { Given::Output(masked) } else { Given::Input(masked) });
        }
        let column = self.unlike_others(&format!("{}_steps", layer.name));
        let steps = self.put(Reshape::new([-1, 1]), column, &[&x.symbol], place)?;
        let steps = Data { symbol: steps, mask: None, ..x.clone() };
        let steps = self.masked_by(layer, &steps, mask, place)?.symbol;
        let shares = self.put(SoftmaxLayer::new().axis(1), layer.name.clone(), &[&steps], place)?;
        let row = self.unlike_others(&format!("{}_row", layer.name));
        let symbol = self.put(Reshape::new([-1]), row, &[&shares], place)?;
        self.data(symbol, None).map(Given::Output)
    }

    /// A value with a mask of steps.
    fn masked_by(&mut self, layer: &OneLayer<'a>, x: &Data, mask: Mask, place: &str) -> Result<Data> {
        if x.mask == Some(mask) {
            return Ok(x.clone());
        }
        let name = match passes_on(layer) {
            true => layer.name.clone(),
            false => self.unlike_others(&format!("{}_masked", layer.name)),
        };
        let symbol = match self.lengths.get(&mask).cloned() {
            Some(lengths) => {
                // Lengths add to a mask that is there.
                let x = if x.mask.is_some() { self.dropping_mask(x, place)? } else { x.clone() };
                self.put(Lengths::new(), name, &[&x.symbol, &lengths], place)?
            }
            None => {
                let other = self.carrier(mask, &name, place)?;
                self.put(WithMask::new(), name, &[&x.symbol, &other], place)?
            }
        };
        self.data(symbol, Some(mask))
    }

    /// A value that has a mask.
    fn carrier(&mut self, mask: Mask, name: &str, place: &str) -> Result<Symbol> {
        if let Some(symbol) = self.masked.get(&mask) {
            return Ok(symbol.clone());
        }
        let symbol = match self.masks.how(mask) {
            Some(&How::Flipped(before)) => {
                let symbol = self.carrier(before, name, place)?;
                let name = self.unlike_others(&format!("{name}_reversed"));
                self.put(Reverse::new(), name, &[&symbol], place)?
            }
            Some(&How::Any(elements)) => match self.masks.how(elements) {
                Some(&How::NotEqual(id, value)) => self.masking(id, value, name, place)?,
                _ => return Err(own_mask(place)),
            },
            // Of row numbers, each is a step of one feature.
            Some(&How::NotEqual(id, value)) => self.masking(id, value, name, place)?,
            _ => return Err(own_mask(place)),
        };
        Ok(self.data(symbol, Some(mask))?.symbol)
    }

    /// A value whose steps are masked where they are a number, which Keras computes without a layer.
    fn masking(&mut self, id: u64, value: u32, name: &str, place: &str) -> Result<Symbol> {
        let made = usize::try_from(id).ok().and_then(|id| self.made.get(id.checked_sub(1)?));
        let mut symbol = made.cloned().ok_or_else(|| own_mask(place))?;
        if symbol.shape().len() == 1 {
            let name = self.unlike_others(&format!("{name}_steps"));
            symbol = self.put(Reshape::new([-1, 1]), name, &[&symbol], place)?;
        }
        let name = self.unlike_others(&format!("{name}_masking"));
        self.put(Masking::new(f32::from_bits(value)), name, &[&symbol], place)
    }

    /// Values whose mask ends here in Keras: a reshape to their own shape ends it in this engine too, and so does a slice that
    /// takes all features.
    pub(super) fn dropping_mask(&mut self, x: &Data, place: &str) -> Result<Data> {
        let shape: Option<Vec<i64>> = x.symbol.shape().iter().map(|n| n.map(|n| n as i64)).collect();
        let same: Layer = match shape {
            Some(shape) => Reshape::new(shape).into(),
            None => Slice::new(x.symbol.shape().len(), 0, None).into(),
        };
        let name = self.unlike_others(&format!("{}_unmasked", place.trim_start_matches("layer ")));
        let symbol = x.symbol.layer(SharedLayer::new(same).name(name))?;
        // To masks that are made of its numbers it is the same value.
        Ok(Data { id: x.id, ..self.data(symbol, None)? })
    }
}

/// Refuses a mask that no layer here can have.
fn own_mask(place: &str) -> Error {
    let problem = "called with a mask of its own; masks come here from Masking and Embedding, from comparing values with a \
                   number, from lengths, and from these turned round";
    Error::unsupported(place, problem)
}

/// What becomes of a layer that is called with a mask.
pub(super) enum Given {
    /// the input that it is applied to
    Input(Data),
    /// what it gives
    Output(Data),
}

/// Whether it does nothing but give its input the mask that it is called with.
fn passes_on(layer: &OneLayer<'_>) -> bool {
    let within = layer.config.get("layer").filter(|_| layer.class == "TimeDistributed");
    let activation =
        |within: &Value| within.pointer("/config/activation").and_then(Value::as_str) == Some("linear");
    within.is_some_and(|within| within.get("class_name") == Some(&"Activation".into()) && activation(within))
}

/// Refuses masks that are not those that the values have anyway.
pub(super) fn check_masks(masks: &[Made], args: &[Data], place: &str) -> Result<()> {
    let own = |made: &Made| match made {
        Made::Mask(mask) => args.iter().any(|x| x.mask == Some(*mask)),
        Made::Data(_) | Made::Unknown(_) => false,
    };
    if masks.iter().all(own) {
        return Ok(());
    }
    Err(own_mask(place))
}
