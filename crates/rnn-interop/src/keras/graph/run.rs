//! A described model applied to values: what each layer makes of them, with the masks that Keras has for them.

use super::super::calls::{Argument, Call, Tensor};
use super::super::fields::{given, option};
use super::super::layers::{self, Context};
use super::super::masks::counts;
use super::super::objects::regularizer;
use super::operations::{OneOperation, Operand};
use super::passed::{Given, check_masks};
use super::{Data, Instance, MOST_CALLS, Made, OneLayer, OneModel, Reader, unknown};
use crate::{Error, Limits, Result};
use rnn_model::layer::{ActivityRegularization, Layer, Regularizer, SharedLayer, TimeDistributed};
use rnn_model::{Symbol, apply};
use serde_json::Value;

impl<'a> Reader<'a> {
    /// The outputs of a model for these inputs.
    pub(super) fn run(&mut self, model: &OneModel<'a>, inputs: Vec<Data>) -> Result<Vec<Data>> {
        if inputs.len() != model.inputs.len() {
            let name = &self.parts.all[model.part].name;
            let problem = format!("it has {} inputs, applied to {}", model.inputs.len(), inputs.len());
            return Err(Error::damaged(format!("model {name}"), problem));
        }
        let mut values: Vec<Vec<Option<Vec<Made>>>> =
            model.entries.iter().map(|entry| vec![None; entry.calls.len()]).collect();
        for (tensor, input) in model.inputs.iter().zip(inputs) {
            let place =
                model.places.get(&tensor.layer).and_then(|&at| values.get_mut(at)?.get_mut(tensor.call));
            let place = place.ok_or_else(|| unknown(tensor))?;
            *place = Some(vec![Made::Data(input)]);
        }
        let find = |values: &[Vec<Option<Vec<Made>>>], tensor: &Tensor| -> Result<Made> {
            let at = *model.places.get(&tensor.layer).ok_or_else(|| unknown(tensor))?;
            let made = values.get(at).and_then(|calls| calls.get(tensor.call)?.as_ref()?.get(tensor.output));
            made.cloned().ok_or_else(|| unknown(tensor))
        };
        for &(at, number) in &model.order {
            let (Some(entry), Some(Some(call))) =
                (model.entries.get(at), model.entries.get(at).map(|entry| entry.calls.get(number)))
            else {
                continue;
            };
            if values[at][number].is_some() {
                continue;
            }
            let place = format!("layer {}", entry.name);
            self.calls += 1;
            let most = MOST_CALLS.min(self.limits.members);
            Limits::at_most(&place, "the number of layers applied", self.calls, most)?;
            let gather = |tensors: &[Tensor]| -> Result<Vec<Made>> {
                tensors.iter().map(|tensor| find(&values, tensor)).collect()
            };
            let (args, more) = (gather(&call.inputs)?, gather(&call.states)?);
            let masks = gather(&call.masks)?;
            let made = match entry.instance.as_ref() {
                Instance::Operation(operation) => vec![self.operation(operation, args, call)?],
                Instance::Input(_) => {
                    return Err(Error::damaged(
                        place,
                        "an InputLayer that is not among the inputs of its model",
                    ));
                }
                Instance::Model(inner) => {
                    let args = args
                        .into_iter()
                        .chain(more)
                        .map(|made| made.data(&place))
                        .collect::<Result<Vec<_>>>()?;
                    check_masks(&masks, &args, &place)?;
                    let outputs = self.run(inner, args)?;
                    outputs.into_iter().map(Made::Data).collect()
                }
                Instance::Distributed { model: inner, .. } => {
                    let args = args.into_iter().map(|made| made.data(&place)).collect::<Result<Vec<_>>>()?;
                    let [x] = args.as_slice() else {
                        return Err(Error::unsupported(place, "it is applied to more than one input"));
                    };
                    if x.mask.or(x.lost).is_some() || !masks.is_empty() || !more.is_empty() {
                        let problem = "a mask, or more than an input, for a TimeDistributed of a model";
                        return Err(Error::unsupported(place, problem));
                    }
                    let outputs = self.run(inner, args)?;
                    outputs.into_iter().map(Made::Data).collect()
                }
                Instance::Layer(layer) => {
                    let data = |made: Vec<Made>| -> Result<Vec<Data>> {
                        made.into_iter().map(|made| made.data(&place)).collect()
                    };
                    let (args, more) = (data(args)?, data(more)?);
                    self.apply(layer, args, more, &masks, call.of_2)?.into_iter().map(Made::Data).collect()
                }
            };
            values[at][number] = Some(made);
        }
        let data = |(_, tensor): &(Option<String>, Tensor)| {
            find(&values, tensor)?.data(&format!("layer {}", tensor.layer))
        };
        model.outputs.iter().map(data).collect()
    }

    /// What an operation gives: a mask, where it is one that masks are made of, else what layers make of its operands.
    fn operation(&mut self, operation: &OneOperation<'a>, args: Vec<Made>, call: &Call) -> Result<Made> {
        let constant = |argument: &Argument| match argument {
            Argument::Constant(value) => Some(value.clone()),
            Argument::Tensors(_) => None,
        };
        let constants: Vec<Value> = call.arguments.iter().filter_map(constant).collect();
        if let Some(mask) = self.mask_made(operation, &args, &constants) {
            return Ok(Made::Mask(mask));
        }
        let mut args = args.into_iter();
        let mut operands = Vec::new();
        for argument in &call.arguments {
            operands.push(match argument {
                Argument::Constant(value) => Operand::Constant(value.clone()),
                Argument::Tensors(n) => {
                    let place = format!("layer {}", operation.name);
                    let values = args.by_ref().take(*n).map(|made| made.data(&place));
                    Operand::Values(values.collect::<Result<_>>()?)
                }
            });
        }
        let made = self.computed(operation, operands)?;
        Ok(made.map_or_else(|| Made::Unknown(operation.class.to_owned()), Made::Data))
    }

    /// A layer on values.
    fn apply(
        &mut self,
        layer: &OneLayer<'a>,
        mut args: Vec<Data>,
        more: Vec<Data>,
        masks: &[Made],
        of_2: bool,
    ) -> Result<Vec<Data>> {
        let place = format!("layer {}", layer.name);
        if let (&[Made::Mask(mask)], [x]) = (masks, args.as_slice()) {
            match self.with_mask(layer, x, mask, &place)? {
                Given::Input(masked) => args[0] = masked,
                Given::Output(made) => return Ok(vec![made]),
            }
        } else if !masks.is_empty() {
            check_masks(masks, &args, &place)?;
        } else if !more.is_empty()
            && !of_2
            && !is_merge(layer.class)
            && args.first().is_some_and(|x| x.mask.is_some())
        {
            // Keras 3 hands masks on by itself only where there is one tensor. What comes out has the mask all the same.
            let before = args[0].mask;
            args[0] = self.dropping_mask(&args[0].clone(), &place)?;
            args[0].lost = before;
        }
        let initial = !more.is_empty();
        args.extend(more);
        let Some(first) = args.first() else { return Err(Error::damaged(place, "it is applied to nothing")) };
        if layers::makes_masks(layer.class) && first.mask.is_some() {
            args[0] = self.dropping_mask(&first.clone(), &place)?;
        }
        let (shared, activity) = self.made_layer(layer, &args)?;
        let lost = args.iter().any(|x| x.lost.is_some());
        if lost && !initial && counts(shared.layer()) {
            let problem = "Keras has a mask for its input that was left out where initial states were given, and this \
                           engine can not go on with it; call the layer before with mask=";
            return Err(Error::unsupported(place, problem));
        }
        let own_masks = self.masks.of_outputs(shared.layer(), &args);
        let symbols: Vec<&Symbol> = args.iter().map(|x| &x.symbol).collect();
        let outputs = apply(&shared, &symbols).map_err(|e| in_layer(&place, e))?;
        let mut made = Vec::with_capacity(outputs.len());
        for (at, symbol) in outputs.into_iter().enumerate() {
            let symbol = match &activity {
                Some(penalty) => {
                    self.made.push(symbol.clone());
                    symbol.layer(penalty)?
                }
                None => symbol,
            };
            let mask = match own_masks {
                Ok(mask) => mask.filter(|_| at == 0 || matches!(shared.layer(), Layer::Bidirectional(_))),
                Err(problem) => return Err(Error::unsupported(place, problem)),
            };
            let mut data = self.data(symbol, mask.filter(|_| !lost))?;
            data.lost = mask.filter(|_| lost);
            made.push(data);
        }
        Ok(made)
    }

    /// A layer of this name, applied; its output is kept until the end.
    pub(super) fn put(
        &mut self,
        layer: impl Into<Layer>,
        name: String,
        inputs: &[&Symbol],
        place: &str,
    ) -> Result<Symbol> {
        let made =
            apply(SharedLayer::new(layer.into()).name(name), inputs).map_err(|e| in_layer(place, e))?;
        let Some(symbol) = made.into_iter().next() else {
            return Err(Error::unsupported(place, "it gives nothing"));
        };
        Ok(self.data(symbol, None)?.symbol)
    }

    /// The layer, made for these inputs if it is not there yet, and its penalty on what it gives.
    fn made_layer(
        &mut self,
        layer: &OneLayer<'a>,
        args: &[Data],
    ) -> Result<(SharedLayer, Option<SharedLayer>)> {
        if let Some(made) = layer.made.borrow().as_ref() {
            return Ok(made.clone());
        }
        let place = format!("layer {}", layer.name);
        let rank = args.first().map_or(0, |x| x.symbol.shape().len() + 1 - usize::from(layer.distributed));
        let context = &mut Context { version: self.version, place: &place, rank, notes: &mut self.notes };
        let read = layers::read(layer.class, layer.config, context)?;
        let read = if layer.distributed { distributed(read, args.len(), &place)? } else { read };
        let shared = SharedLayer::new(read).name(&layer.name).trainable(layer.trainable);
        let key = "activity_regularizer";
        let activity = match given(layer.config, key) {
            Some(_) if layer.distributed => {
                let problem = "a layer within a TimeDistributed can not have one here; remove it";
                return Err(Error::unsupported(option(&place, key), problem));
            }
            Some(value) => {
                let held = regularizer(value, &option(&place, key))?;
                let held: Regularizer = serde_json::from_value(held)
                    .map_err(|e| Error::damaged(option(&place, key), e.to_string()))?;
                let name = self.unlike_others(&format!("{}_activity", layer.name));
                Some(SharedLayer::new(ActivityRegularization::new(held)).name(name))
            }
            None => None,
        };
        *layer.made.borrow_mut() = Some((shared.clone(), activity.clone()));
        Ok((shared, activity))
    }
}

impl Made {
    fn data(self, place: &str) -> Result<Data> {
        match self {
            Made::Data(data) => Ok(data),
            Made::Mask(_) => {
                Err(Error::unsupported(place, "its input is a mask, which can only be passed as mask="))
            }
            Made::Unknown(class) => {
                let problem = format!(
                    "its input is the result of the operation {class} of Keras, for which this engine has no layer; \
                     compute it by other layers or outside the model"
                );
                Err(Error::unsupported(place, problem))
            }
        }
    }
}

/// A layer of a model that is applied to each step, as it is applied to all of them.
fn distributed(layer: Layer, inputs: usize, place: &str) -> Result<Layer> {
    let options = serde_json::to_value(&layer).unwrap_or_default();
    let option = |name: &str| options.pointer(&format!("/config/{name}"));
    if matches!(layer, Layer::Masking(_)) || option("mask_zero").is_some_and(|on| on == true) {
        let problem = "it makes a mask within a TimeDistributed of a model, which ends with the layer here";
        return Err(Error::unsupported(place, problem));
    }
    let class = layer.class();
    match inputs {
        1 => Ok(TimeDistributed::new(layer).into()),
        _ if is_elementwise(class)
            || (class == "Concatenate" && option("axis").is_some_and(|axis| axis == -1)) =>
        {
            Ok(layer)
        }
        _ => {
            let problem = format!("a {class} of several inputs within a TimeDistributed of a model");
            Err(Error::unsupported(place, problem))
        }
    }
}

fn is_merge(class: &str) -> bool {
    is_elementwise(class) || matches!(class, "Concatenate" | "Dot")
}

fn is_elementwise(class: &str) -> bool {
    matches!(class, "Add" | "Subtract" | "Multiply" | "Divide" | "Average" | "Maximum" | "Minimum")
}

/// The engine's refusal, with the layer's name.
fn in_layer(place: &str, error: rnn_model::Error) -> Error {
    Error::unsupported(place, error.to_string())
}
