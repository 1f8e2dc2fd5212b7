//! What a configuration describes: layers, models within models, and in which order they are applied.

use super::super::calls::{Call, Tensor, call, ends, operation};
use super::super::fields::{Config, get, get_text, given, list, object, option, shape, shown, text, wrong};
use super::super::names::snake_case;
use super::super::objects::check_dtype;
use super::super::parts::PartKind;
use super::{Data, Entry, Instance, MOST_CALLS, OneLayer, OneModel, OneOperation, Reader, Scope, unknown};
use crate::{Error, Limits, Result};
use rnn_model::Input;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

impl<'a> Reader<'a> {
    /// The model of a class and configuration.
    pub(super) fn model(
        &mut self,
        class: &'a str,
        whole: &'a Config,
        scope: Scope<'_>,
    ) -> Result<OneModel<'a>> {
        let place = format!("model {}", if scope.path.is_empty() { "itself" } else { scope.path });
        Limits::at_most(&place, "the depth of models within models", scope.depth, self.limits.depth)?;
        let config = whole.get("config").ok_or_else(|| Error::damaged(&place, "there is no \"config\""))?;
        match (class, config) {
            // Keras before 2.2.3 has the list of layers alone.
            ("Sequential", Value::Array(layers)) => self.sequential(layers, whole, whole, scope, &place),
            ("Sequential", Value::Object(config)) => {
                let layers = list(get(config, "layers", &place)?, &place)?;
                self.sequential(layers, config, whole, scope, &place)
            }
            ("Functional" | "Model", Value::Object(config)) => self.functional(config, scope, &place),
            (class, Value::Object(_)) => {
                let problem = format!("a model of class {class:?}; there are Sequential and Functional");
                Err(Error::unsupported(place, problem))
            }
            (_, other) => Err(wrong(&place, "a config", other)),
        }
    }

    fn functional(&mut self, config: &'a Config, scope: Scope<'_>, place: &str) -> Result<OneModel<'a>> {
        let trainable = scope.trainable && config.get("trainable") != Some(&Value::Bool(false));
        let scope = Scope { trainable, ..scope };
        let layers = list(get(config, "layers", place)?, place)?;
        Limits::at_most(place, "the number of layers", layers.len() as u64, MOST_CALLS)?;
        let mut entries = Vec::with_capacity(layers.len());
        let mut parts = Vec::new();
        let mut places = HashMap::new();
        for layer in layers {
            let layer = object(layer, place)?;
            let (name, instance, part) = self.instance(layer, scope, place)?;
            parts.extend(part);
            let place = format!("layer {}{name}", scope.path);
            let nodes = list(get(layer, "inbound_nodes", &place)?, &place)?;
            let calls = match *instance {
                Instance::Input(_) => vec![Call::default()],
                Instance::Operation(_) => {
                    nodes.iter().map(|node| operation(node, &place)).collect::<Result<_>>()?
                }
                _ => nodes.iter().map(|node| call(node, &place)).collect::<Result<_>>()?,
            };
            if places.insert(name.clone(), entries.len()).is_some() {
                return Err(Error::damaged(place, "two layers have this name"));
            }
            entries.push(Entry { name, instance, calls });
        }
        let inputs = ends(config, "input_layers", place)?.into_iter().map(|(_, tensor)| tensor).collect();
        let outputs = ends(config, "output_layers", place)?;
        self.finish("Functional", config, entries, parts, inputs, outputs, places, place)
    }

    fn sequential(
        &mut self,
        layers: &'a [Value],
        config: &'a Config,
        whole: &'a Config,
        scope: Scope<'_>,
        place: &str,
    ) -> Result<OneModel<'a>> {
        let trainable = scope.trainable && config.get("trainable") != Some(&Value::Bool(false));
        let scope = Scope { trainable, ..scope };
        Limits::at_most(place, "the number of layers", layers.len() as u64, MOST_CALLS)?;
        let mut entries: Vec<Entry<'a>> = Vec::with_capacity(layers.len() + 1);
        let mut parts = Vec::new();
        let mut places = HashMap::new();
        for layer in layers {
            let layer = object(layer, place)?;
            let (name, instance, part) = self.instance(layer, scope, place)?;
            let is_input = matches!(*instance, Instance::Input(_));
            if entries.is_empty() && !is_input {
                let first = layer.get("config").and_then(Value::as_object);
                let spec = first.filter(|first| given(first, "batch_input_shape").is_some());
                let spec =
                    spec.unwrap_or(if given(config, "build_input_shape").is_some() { config } else { whole });
                places.insert(String::new(), 0);
                let instance = Rc::new(Instance::Input(spec));
                entries.push(Entry { name: String::new(), instance, calls: vec![Call::default()] });
            }
            parts.extend(part);
            if places.insert(name.clone(), entries.len()).is_some() {
                return Err(Error::damaged(
                    format!("layer {}{name}", scope.path),
                    "two layers have this name",
                ));
            }
            let before =
                entries.last().map(|before| Tensor { layer: before.name.clone(), call: 0, output: 0 });
            if is_input && before.is_some() {
                let problem = "an InputLayer can only be the first layer of a Sequential";
                return Err(Error::unsupported(format!("layer {}{name}", scope.path), problem));
            }
            let calls = vec![Call { inputs: before.into_iter().collect(), ..Call::default() }];
            entries.push(Entry { name, instance, calls });
        }
        let tensor = |entry: &Entry<'_>| Tensor { layer: entry.name.clone(), call: 0, output: 0 };
        let inputs = entries.first().map(tensor).into_iter().collect();
        let outputs = entries.last().map(|entry| (None, tensor(entry))).into_iter().collect();
        self.finish("Sequential", config, entries, parts, inputs, outputs, places, place)
    }

    fn finish(
        &mut self,
        class: &str,
        config: &'a Config,
        entries: Vec<Entry<'a>>,
        parts: Vec<usize>,
        inputs: Vec<Tensor>,
        mut outputs: Vec<(Option<String>, Tensor)>,
        places: HashMap<String, usize>,
        place: &str,
    ) -> Result<OneModel<'a>> {
        if outputs.is_empty() || inputs.is_empty() {
            return Err(Error::unsupported(place, "there are no layers"));
        }
        let of_2 = entries.iter().flat_map(|entry| &entry.calls).any(|call| call.of_2);
        // A functional model counts its own making as its first call where its outputs are named; Keras 2 does so
        // everywhere, and of a Sequential too.
        let first = |tensor: &Tensor, is_end: bool| -> usize {
            let entry = places.get(&tensor.layer).and_then(|&at| entries.get(at));
            match entry.map(|entry| entry.instance.as_ref()) {
                Some(Instance::Model(_)) if of_2 => 1,
                Some(Instance::Model(model)) => {
                    usize::from(is_end && self.parts.all[model.part].class == "Functional")
                }
                _ => 0,
            }
        };
        let shift = |tensor: &mut Tensor, by: usize| -> Result<()> {
            let call = tensor.call.checked_sub(by);
            let problem = || {
                format!(
                    "call {} of layer {} is used, but calls of it begin at {by}",
                    tensor.call, tensor.layer
                )
            };
            tensor.call = call.ok_or_else(|| Error::damaged(place, problem()))?;
            Ok(())
        };
        for (_, tensor) in &mut outputs {
            let by = first(tensor, true);
            shift(tensor, by)?;
        }
        let mut shifted: Vec<Vec<Call>> = entries.iter().map(|entry| entry.calls.clone()).collect();
        if of_2 {
            for tensor in
                shifted.iter_mut().flatten().flat_map(|call| call.inputs.iter_mut().chain(&mut call.states))
            {
                let by = first(tensor, false);
                shift(tensor, by)?;
            }
        }
        let entries: Vec<Entry<'a>> =
            entries.into_iter().zip(shifted).map(|(entry, calls)| Entry { calls, ..entry }).collect();
        let order = order(&entries, &places, place)?;
        let name = config.get("name").and_then(Value::as_str).unwrap_or("model");
        let part = self.parts.add(class, name, PartKind::Model { parts });
        Ok(OneModel { part, entries, order, inputs, outputs, places })
    }

    /// A layer's name, the layer, and its part, which inputs and operations have none of.
    fn instance(
        &mut self,
        layer: &'a Config,
        scope: Scope<'_>,
        place: &str,
    ) -> Result<(String, Rc<Instance<'a>>, Option<usize>)> {
        let class = get_text(layer, "class_name", place)?;
        let config = match layer.get("config") {
            Some(Value::Object(config)) => Some(config),
            _ => None,
        };
        let name = given(layer, "name").or_else(|| given(config?, "name"));
        let name = match name {
            Some(name) => text(name, place)?.to_owned(),
            None => format!("{}_{}", snake_case(class), self.parts.all.len()),
        };
        Limits::at_most(place, "the length of a name", name.len() as u64, self.limits.name_bytes)?;
        let module = layer.get("module").and_then(Value::as_str).unwrap_or("");
        let empty_place = format!("layer {}{name}", scope.path);
        of_keras(layer, module, class, &empty_place)?;
        // In .h5 files nothing says of what module it is; but every layer says whether it is trained.
        let says = |key: &str| config.is_some_and(|config| config.contains_key(key));
        let unlike_layers = module.is_empty() && !self.version.is_2() && !says("trainable") && !says("dtype");
        let is_other = matches!(class, "InputLayer" | "Sequential" | "Functional" | "Model");
        if module.starts_with("keras.src.ops")
            || module.starts_with("keras.ops")
            || (unlike_layers && !is_other)
        {
            let config = config.ok_or_else(|| Error::damaged(&empty_place, "there is no \"config\""))?;
            if scope.distributed {
                let problem = "an operation on values within a TimeDistributed; put a layer in its place";
                return Err(Error::unsupported(empty_place, problem));
            }
            let operation = OneOperation { class, config, name: format!("{}{name}", scope.path) };
            return Ok((name, Rc::new(Instance::Operation(operation)), None));
        }
        let id = given(layer, "shared_object_id").map(Value::to_string);
        if let Some((known, distributed)) = id.as_ref().and_then(|id| self.shared.get(id)) {
            if *distributed != scope.distributed {
                let problem = "it is applied both by itself and to each step within a TimeDistributed, \
                               which can not share weights here";
                return Err(Error::unsupported(empty_place, problem));
            }
            let part = self.part_of(known);
            return Ok((name, known.clone(), part));
        }
        let instance = match class {
            "InputLayer" => {
                let config = config.ok_or_else(|| Error::damaged(&empty_place, "there is no \"config\""))?;
                Instance::Input(config)
            }
            "Sequential" | "Functional" | "Model" => {
                let path = format!("{}{name}/", scope.path);
                let inner = Scope { path: &path, depth: scope.depth + 1, ..scope };
                Instance::Model(self.model(class, layer, inner)?)
            }
            "TimeDistributed" if let Some((class, model)) = model_within(config) => {
                if scope.distributed {
                    let problem =
                        "a model within a TimeDistributed within another; only layers can be there twice";
                    return Err(Error::unsupported(empty_place, problem));
                }
                let path = format!("{}{name}/", scope.path);
                let trainable =
                    scope.trainable && config.and_then(|c| c.get("trainable")) != Some(&Value::Bool(false));
                let inner = Scope { path: &path, depth: scope.depth + 1, trainable, distributed: true };
                let model = self.model(class, model, inner)?;
                let part =
                    self.parts.add("TimeDistributed", &name, PartKind::Distributed { model: model.part });
                Instance::Distributed { model, part }
            }
            _ => {
                let config = config.ok_or_else(|| Error::damaged(&empty_place, "there is no \"config\""))?;
                let ours = self.unlike_others(&format!("{}{name}", scope.path));
                let trainable = scope.trainable && config.get("trainable") != Some(&Value::Bool(false));
                let part = self.parts.add(class, &name, PartKind::Layer { ours: ours.clone() });
                Instance::Layer(OneLayer {
                    part,
                    class,
                    config,
                    name: ours,
                    trainable,
                    distributed: scope.distributed,
                    made: RefCell::new(None),
                })
            }
        };
        let instance = Rc::new(instance);
        let part = self.part_of(&instance);
        if let Some(id) = id {
            self.shared.insert(id, (instance.clone(), scope.distributed));
        }
        Ok((name, instance, part))
    }

    fn part_of(&self, instance: &Instance<'a>) -> Option<usize> {
        match instance {
            Instance::Layer(layer) => Some(layer.part),
            Instance::Model(model) => Some(model.part),
            Instance::Distributed { part, .. } => Some(*part),
            Instance::Input(_) | Instance::Operation(_) => None,
        }
    }

    /// The inputs of the model itself.
    pub(super) fn inputs(&mut self, model: &OneModel<'a>) -> Result<Vec<Data>> {
        let mut inputs = Vec::new();
        for tensor in &model.inputs {
            let entry = model.places.get(&tensor.layer).and_then(|&at| model.entries.get(at));
            let Some(Instance::Input(config)) = entry.map(|entry| entry.instance.as_ref()) else {
                let problem =
                    "an input of the model is not an InputLayer; save the model with inputs of its own";
                return Err(Error::unsupported(format!("layer {}", tensor.layer), problem));
            };
            let name = if tensor.layer.is_empty() { "input" } else { &tensor.layer };
            let name = self.unlike_others(name);
            let input = input(config, &name)?.name(name);
            let data = self.data(input.symbol(), None)?;
            inputs.push(data);
        }
        Ok(inputs)
    }
}

/// The model that a wrapper has for a layer, with its class.
fn model_within(config: Option<&Config>) -> Option<(&str, &Config)> {
    let model = config?.get("layer")?.as_object()?;
    let class = model.get("class_name")?.as_str()?;
    matches!(class, "Sequential" | "Functional" | "Model").then_some((class, model))
}

/// An input as its layer, or what stands for one in a Sequential, describes it.
fn input(config: &Config, name: &str) -> Result<Input> {
    let place = format!("input {name}");
    let whole =
        ["batch_shape", "batch_input_shape", "build_input_shape"].iter().find_map(|key| given(config, key));
    let built = || config.get("build_config")?.get("input_shape").filter(|shape| !shape.is_null());
    let whole = whole.or_else(built).ok_or_else(|| {
        Error::unsupported(
            &place,
            "the model does not say the shape of its input; build it before it is saved",
        )
    })?;
    for (key, value) in config {
        let place = option(&place, key);
        match key.as_str() {
            "sparse" | "ragged" | "optional" if *value == Value::Bool(true) => {
                return Err(Error::unsupported(place, "must be false here"));
            }
            "dtype"
                if given(config, "batch_input_shape").is_some() || given(config, "batch_shape").is_some() =>
            {
                let numbers = [
                    "float16", "bfloat16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64",
                    "bool",
                ];
                let known = value.is_null() || value.as_str().is_some_and(|name| numbers.contains(&name));
                if !known && check_dtype(value, &place).is_err() {
                    return Err(Error::unsupported(
                        place,
                        format!("{} can not be an input here", shown(value)),
                    ));
                }
            }
            _ => {}
        }
    }
    let shape = shape(whole, &place)?;
    let Some((batch, sample)) = shape.split_first() else {
        return Err(Error::damaged(place, "a shape without a batch axis"));
    };
    let input = Input::shape(sample.to_vec());
    Ok(match batch {
        Some(batch) => input.batch(*batch),
        None => input,
    })
}

/// Calls in an order in which each is behind those it needs, as near to the file's as that allows.
fn order(entries: &[Entry<'_>], places: &HashMap<String, usize>, place: &str) -> Result<Vec<(usize, usize)>> {
    let total: usize = entries.iter().map(|entry| entry.calls.len()).sum();
    Limits::at_most(place, "the number of layers applied", total as u64, MOST_CALLS)?;
    let mut waiting: HashMap<(usize, usize), usize> = HashMap::new();
    let mut behind: HashMap<(usize, usize), Vec<(usize, usize)>> = HashMap::new();
    let mut ready: VecDeque<(usize, usize)> = VecDeque::new();
    for (at, entry) in entries.iter().enumerate() {
        for (number, call) in entry.calls.iter().enumerate() {
            let mut needs = 0;
            for tensor in call.needs() {
                let before = *places.get(&tensor.layer).ok_or_else(|| unknown(tensor))?;
                if tensor.call >= entries[before].calls.len() {
                    return Err(unknown(tensor));
                }
                behind.entry((before, tensor.call)).or_default().push((at, number));
                needs += 1;
            }
            waiting.insert((at, number), needs);
            if needs == 0 {
                ready.push_back((at, number));
            }
        }
    }
    let mut order = Vec::with_capacity(total);
    while let Some(done) = ready.pop_front() {
        order.push(done);
        for next in behind.remove(&done).into_iter().flatten() {
            if let Some(needs) = waiting.get_mut(&next) {
                *needs -= 1;
                if *needs == 0 {
                    ready.push_back(next);
                }
            }
        }
    }
    if order.len() < total {
        let stuck =
            waiting.iter().filter(|(_, needs)| **needs > 0).map(|((at, _), _)| *at).min().unwrap_or(0);
        let problem = "it needs its own output: the layers are connected in a circle";
        return Err(Error::damaged(format!("layer {}", entries[stuck].name), problem));
    }
    Ok(order)
}

/// Refuses a class that only shares its name with one of Keras's.
fn of_keras(layer: &Config, module: &str, class: &str, place: &str) -> Result<()> {
    let root = module.split('.').next().unwrap_or("");
    let registered = layer.get("registered_name").and_then(Value::as_str).unwrap_or("");
    let package = registered.split_once('>').map_or("", |(package, _)| package);
    let known = ["", "keras", "tf_keras", "tensorflow"];
    if known.contains(&root) && known.contains(&package) {
        return Ok(());
    }
    let whose = if known.contains(&root) { registered } else { module };
    let problem = format!("its class {class} is not Keras's but one of {whose:?}; no code of others is run");
    Err(Error::unsupported(place, problem))
}
