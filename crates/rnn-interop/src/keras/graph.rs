//! A configuration of Keras's becomes a graph: models within models are run through where they are applied, so that all
//! layers stand in one graph, each once however often it is applied.

use super::calls::{Call, Tensor, call, ends};
use super::fields::{Config, get_text, given, list, object, option, shape, shown, text};
use super::layers::{self, Context};
use super::masks::{Mask, Masks};
use super::objects::check_dtype;
use super::parts::{PartKind, Parts};
use super::version::Version;
use crate::{Error, Limits, Result};
use rnn_model::layer::{ActivityRegularization, Layer, Regularizer, Reshape, SharedLayer};
use rnn_model::{Graph, Input, Symbol, apply};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

/// Layers applied in one model. Models within models multiply their calls, so a small file can ask for many.
const MOST_CALLS: u64 = 10_000;

/// What a configuration says.
#[derive(Debug)]
pub(super) struct Architecture {
    pub graph: Graph,
    pub parts: Parts,
    /// names by which a training configuration may refer to each output
    pub outputs: Vec<Vec<String>>,
    /// what was left out, in sentences
    pub notes: Vec<String>,
}

/// Reads a model: `{"class_name": "Functional", "config": {...}}`.
pub(super) fn read(model: &Value, version: Version, limits: &Limits) -> Result<Architecture> {
    let place = "model";
    let model = object(model, place)?;
    let class = get_text(model, "class_name", place)?;
    let mut reader = Reader {
        version,
        limits,
        parts: Parts::default(),
        shared: HashMap::new(),
        names: HashSet::new(),
        masks: Masks::default(),
        calls: 0,
        made: Vec::new(),
        notes: Vec::new(),
    };
    let scope = Scope { path: "", trainable: true, depth: 0 };
    let model = reader.model(class, model, scope)?;
    reader.parts.root = model.part;
    let inputs = reader.inputs(&model)?;
    let symbols: Vec<Symbol> = inputs.iter().map(|x| x.symbol.clone()).collect();
    let outputs = reader.run(&model, inputs)?;
    if outputs.iter().any(|y| y.lost.is_some()) {
        let note = "Keras counts only some steps of an output in the loss, because of a mask that comes from before layers with \
                    initial states; here all steps count, unless they are given weights";
        reader.notes.push(note.to_owned());
    }
    let symbols: Vec<&Symbol> = symbols.iter().collect();
    let ends: Vec<&Symbol> = outputs.iter().map(|y| &y.symbol).collect();
    let graph = Graph::new(&symbols, &ends)?;
    drop(outputs);
    Ok(Architecture {
        graph,
        parts: std::mem::take(&mut reader.parts),
        outputs: model.output_names(),
        notes: std::mem::take(&mut reader.notes),
    })
}

/// A value on its way through the layers.
#[derive(Clone, Debug)]
pub(super) struct Data {
    pub symbol: Symbol,
    /// tells values apart
    pub id: u64,
    /// that Keras has for it, and this engine too
    pub mask: Option<Mask>,
    /// that Keras has for it, and this engine can not have
    pub lost: Option<Mask>,
}

/// What a call gives.
#[derive(Clone, Debug)]
enum Made {
    Data(Data),
    Mask(Mask),
}

/// What a layer of a configuration is. The same instance may stand in several models.
enum Instance<'a> {
    Input(&'a Config),
    Layer(OneLayer<'a>),
    Model(OneModel<'a>),
    /// an operation, of which only those that masks are made of are known
    Operation(&'a str),
}

/// A layer; it is made when it is applied first, because options may count axes.
struct OneLayer<'a> {
    class: &'a str,
    config: &'a Config,
    /// our name, unlike any other
    name: String,
    trainable: bool,
    made: RefCell<Option<(SharedLayer, Option<SharedLayer>)>>,
}

/// A model as a list of calls.
struct OneModel<'a> {
    part: usize,
    entries: Vec<Entry<'a>>,
    /// (entry, call), each behind those that it needs
    order: Vec<(usize, usize)>,
    inputs: Vec<Tensor>,
    outputs: Vec<(Option<String>, Tensor)>,
    places: HashMap<String, usize>,
}

struct Entry<'a> {
    name: String,
    instance: Rc<Instance<'a>>,
    calls: Vec<Call>,
}

impl OneModel<'_> {
    fn output_names(&self) -> Vec<Vec<String>> {
        let names = |(name, tensor): &(Option<String>, Tensor)| {
            name.iter().cloned().chain([tensor.layer.clone()]).collect()
        };
        self.outputs.iter().map(names).collect()
    }
}

/// Where in the model that is read something stands.
#[derive(Clone, Copy)]
struct Scope<'p> {
    /// names of the models around, `inner/`
    path: &'p str,
    trainable: bool,
    depth: u64,
}

struct Reader<'a> {
    version: Version,
    limits: &'a Limits,
    parts: Parts,
    /// layers that the file says are the same object
    shared: HashMap<String, Rc<Instance<'a>>>,
    names: HashSet<String>,
    masks: Masks,
    calls: u64,
    /// all symbols in their order, let go from the last to the first: a chain of them is not dropped in a recursion
    made: Vec<Symbol>,
    notes: Vec<String>,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        while self.made.pop().is_some() {}
    }
}

impl<'a> Reader<'a> {
    fn model(&mut self, class: &'a str, whole: &'a Config, scope: Scope<'_>) -> Result<OneModel<'a>> {
        let place = format!("model {}", if scope.path.is_empty() { "itself" } else { scope.path });
        Limits::at_most(&place, "the depth of models within models", scope.depth, self.limits.depth)?;
        let config = whole.get("config").ok_or_else(|| Error::damaged(&place, "there is no \"config\""))?;
        match (class, config) {
            // Keras before 2.2.3 has the list of layers alone.
            ("Sequential", Value::Array(layers)) => self.sequential(layers, whole, whole, scope, &place),
            ("Sequential", Value::Object(config)) => {
                let layers = list(super::fields::get(config, "layers", &place)?, &place)?;
                self.sequential(layers, config, whole, scope, &place)
            }
            ("Functional" | "Model", Value::Object(config)) => self.functional(config, scope, &place),
            (class, Value::Object(_)) => {
                let problem = format!("a model of class {class:?}; there are Sequential and Functional");
                Err(Error::unsupported(place, problem))
            }
            (_, other) => Err(super::fields::wrong(&place, "a config", other)),
        }
    }

    fn functional(&mut self, config: &'a Config, scope: Scope<'_>, place: &str) -> Result<OneModel<'a>> {
        let trainable = scope.trainable && config.get("trainable") != Some(&Value::Bool(false));
        let scope = Scope { trainable, ..scope };
        let layers = list(super::fields::get(config, "layers", place)?, place)?;
        Limits::at_most(place, "the number of layers", layers.len() as u64, MOST_CALLS)?;
        let mut entries = Vec::with_capacity(layers.len());
        let mut parts = Vec::new();
        let mut places = HashMap::new();
        for layer in layers {
            let layer = object(layer, place)?;
            let (name, instance, part) = self.instance(layer, scope, place)?;
            parts.extend(part);
            let place = format!("layer {}{name}", scope.path);
            let nodes = list(super::fields::get(layer, "inbound_nodes", &place)?, &place)?;
            let calls = match *instance {
                Instance::Input(_) => vec![Call::default()],
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
            None => format!("{}_{}", super::names::snake_case(class), self.parts.all.len()),
        };
        Limits::at_most(place, "the length of a name", name.len() as u64, self.limits.name_bytes)?;
        let module = layer.get("module").and_then(Value::as_str).unwrap_or("");
        // Without a module in .h5 files, where no layer is called so.
        let of_masks = module.is_empty() && matches!(class, "NotEqual" | "Any");
        if module.starts_with("keras.src.ops") || module.starts_with("keras.ops") || of_masks {
            return Ok((name, Rc::new(Instance::Operation(class)), None));
        }
        let id = given(layer, "shared_object_id").map(Value::to_string);
        if let Some(known) = id.as_ref().and_then(|id| self.shared.get(id)) {
            let part = self.part_of(known);
            return Ok((name, known.clone(), part));
        }
        let empty_place = format!("layer {}{name}", scope.path);
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
            _ => {
                let config = config.ok_or_else(|| Error::damaged(&empty_place, "there is no \"config\""))?;
                let ours = self.unlike_others(&format!("{}{name}", scope.path));
                let trainable = scope.trainable && config.get("trainable") != Some(&Value::Bool(false));
                self.parts.add(class, &name, PartKind::Layer { ours: ours.clone() });
                Instance::Layer(OneLayer { class, config, name: ours, trainable, made: RefCell::new(None) })
            }
        };
        let instance = Rc::new(instance);
        let part = self.part_of(&instance);
        if let Some(id) = id {
            self.shared.insert(id, instance.clone());
        }
        Ok((name, instance, part))
    }

    fn part_of(&self, instance: &Instance<'a>) -> Option<usize> {
        match instance {
            Instance::Layer(layer) => self
                .parts
                .all
                .iter()
                .position(|part| matches!(&part.kind, PartKind::Layer { ours } if *ours == layer.name)),
            Instance::Model(model) => Some(model.part),
            Instance::Input(_) | Instance::Operation(_) => None,
        }
    }

    fn unlike_others(&mut self, name: &str) -> String {
        let name = if name.is_empty() { "layer" } else { name }.replace("//", "/");
        let mut unique = name.clone();
        let mut count = 1;
        while !self.names.insert(unique.clone()) {
            unique = format!("{name}_{count}");
            count += 1;
        }
        unique
    }

    /// The inputs of the model itself.
    fn inputs(&mut self, model: &OneModel<'a>) -> Result<Vec<Data>> {
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

    fn data(&mut self, symbol: Symbol, mask: Option<Mask>) -> Result<Data> {
        for &size in symbol.shape().iter().flatten() {
            Limits::at_most("model", "the size of a value's axis", size as u64, self.limits.elements)?;
        }
        self.made.push(symbol.clone());
        Ok(Data { symbol, id: self.made.len() as u64, mask, lost: None })
    }

    /// The outputs of a model for these inputs.
    fn run(&mut self, model: &OneModel<'a>, inputs: Vec<Data>) -> Result<Vec<Data>> {
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
            let gather = |tensors: &[Tensor]| -> Result<Vec<Made>> {
                tensors.iter().map(|tensor| find(&values, tensor)).collect()
            };
            let (args, more) = (gather(&call.inputs)?, gather(&call.states)?);
            let masks = gather(&call.masks)?;
            let made = match entry.instance.as_ref() {
                Instance::Operation(class) => vec![Made::Mask(self.operation(class, args, more, call))],
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

    /// What an operation that makes masks gives.
    fn operation(&mut self, class: &str, args: Vec<Made>, more: Vec<Made>, call: &Call) -> Mask {
        match (class, args.first(), more.is_empty()) {
            ("NotEqual", Some(Made::Data(x)), true) => {
                let value = call.constants.first().and_then(Value::as_f64);
                value.map_or(Mask::OTHER, |value| self.masks.not_equal(x.id, value))
            }
            ("Any", Some(Made::Mask(mask)), true) => self.masks.any(*mask),
            ("LogicalOr", Some(Made::Mask(a)), _) if matches!(more.as_slice(), [Made::Mask(b)] if a == b) => {
                *a
            }
            (_, _, _) if args.iter().chain(&more).any(|made| matches!(made, Made::Mask(_))) => Mask::JOINED,
            // Values of the shape of another; or an operation on data, which is refused where it is used as such.
            ("OnesLike" | "ZerosLike", ..) => Mask::JOINED,
            _ => Mask::OTHER,
        }
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
        self.calls += 1;
        Limits::at_most(
            &place,
            "the number of layers applied",
            self.calls,
            MOST_CALLS.min(self.limits.members),
        )?;
        if !masks.is_empty() {
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
        if lost && !initial && super::masks::counts(shared.layer()) {
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
                Err(None) => None,
                Err(Some(problem)) => return Err(Error::unsupported(place, problem)),
            };
            let mut data = self.data(symbol, mask.filter(|_| !lost))?;
            data.lost = mask.filter(|_| lost);
            if own_masks.is_err() {
                data = self.dropping_mask(&data, &place)?;
            }
            made.push(data);
        }
        Ok(made)
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
        let rank = args.first().map_or(0, |x| x.symbol.shape().len() + 1);
        let context = &mut Context { version: self.version, place: &place, rank, notes: &mut self.notes };
        let read = layers::read(layer.class, layer.config, context)?;
        let shared = SharedLayer::new(read).name(&layer.name).trainable(layer.trainable);
        let key = "activity_regularizer";
        let activity = match given(layer.config, key) {
            Some(value) => {
                let held = super::objects::regularizer(value, &option(&place, key))?;
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

    /// Values whose mask ends here in Keras: a reshape to their own shape ends it in this engine too.
    fn dropping_mask(&mut self, x: &Data, place: &str) -> Result<Data> {
        let shape: Option<Vec<i64>> = x.symbol.shape().iter().map(|n| n.map(|n| n as i64)).collect();
        let shape = shape.ok_or_else(|| {
            let problem = "Keras ends the mask of its input here, which this engine can only do where the number of \
                           steps is fixed; give the model an input of fixed length";
            Error::unsupported(place, problem)
        })?;
        let name = self.unlike_others(&format!("{}_unmasked", place.trim_start_matches("layer ")));
        let symbol = x.symbol.layer(SharedLayer::new(Reshape::new(shape)).name(name))?;
        self.data(symbol, None)
    }
}

impl Made {
    fn data(self, place: &str) -> Result<Data> {
        match self {
            Made::Data(data) => Ok(data),
            Made::Mask(_) => {
                let problem = "its input is the result of an operation; put a layer in the operation's place \
                               (Add for +, Multiply for *, ...)";
                Err(Error::unsupported(place, problem))
            }
        }
    }
}

/// Refuses masks that are not those that the values have anyway.
fn check_masks(masks: &[Made], args: &[Data], place: &str) -> Result<()> {
    let own = |made: &Made| match made {
        Made::Mask(mask) => args.iter().any(|x| x.mask == Some(*mask)),
        Made::Data(_) => false,
    };
    if masks.iter().all(own) {
        return Ok(());
    }
    let problem = "called with a mask of its own; masks come here from Masking and Embedding alone";
    Err(Error::unsupported(place, problem))
}

fn is_merge(class: &str) -> bool {
    matches!(
        class,
        "Add" | "Subtract" | "Multiply" | "Average" | "Maximum" | "Minimum" | "Concatenate" | "Dot"
    )
}

fn unknown(tensor: &Tensor) -> Error {
    let Tensor { layer, call, output } = tensor;
    Error::damaged(
        format!("layer {layer}"),
        format!("output {output} of its call {call} is used, but there is none"),
    )
}

/// The engine's refusal, with the layer's name.
fn in_layer(place: &str, error: rnn_model::Error) -> Error {
    Error::unsupported(place, error.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn layer(class: &str, name: &str, config: Value, from: &[Value]) -> Value {
        let mut config = config;
        config["name"] = json!(name);
        let nodes: Vec<Value> = from.iter().map(|args| json!({ "args": args, "kwargs": {} })).collect();
        json!({ "module": "keras.layers", "class_name": class, "config": config, "name": name, "inbound_nodes": nodes })
    }

    fn tensor(layer: &str, call: usize) -> Value {
        json!({ "class_name": "__keras_tensor__", "config": { "keras_history": [layer, call, 0] } })
    }

    fn model(layers: Vec<Value>, output: &str) -> Value {
        let input = json!({ "batch_shape": [null, 5, 3], "name": "x" });
        let input = json!({ "class_name": "InputLayer", "config": input, "name": "x", "inbound_nodes": [] });
        let layers: Vec<Value> = std::iter::once(input).chain(layers).collect();
        let config = json!({ "name": "m", "layers": layers, "input_layers": ["x", 0, 0], "output_layers": [output, 0, 0] });
        json!({ "module": "keras", "class_name": "Functional", "config": config })
    }

    fn message(model: &Value) -> String {
        read(model, Version::Three, &Limits::default()).unwrap_err().to_string()
    }

    fn one(class: &str, config: Value) -> Value {
        model(vec![layer(class, "it", config, &[json!([tensor("x", 0)])])], "it")
    }

    #[test]
    fn a_shared_layer_stands_once() {
        let units = json!({ "units": 3, "dtype": "float32" });
        let layers = vec![
            layer("Dense", "shared", units, &[json!([tensor("x", 0)]), json!([tensor("shared", 0)])]),
            layer("LSTM", "last", json!({ "units": 2 }), &[json!([tensor("shared", 1)])]),
        ];
        let read = read(&model(layers, "last"), Version::Three, &Limits::default()).unwrap();
        assert_eq!(read.graph.layer_names(), ["shared", "last"]);
        assert_eq!(read.graph.calls().len(), 3);
        let places = read.parts.places(&read.graph).unwrap();
        let paths: Vec<&str> = places.iter().map(|place| place.path.as_str()).collect();
        assert_eq!(paths[..3], ["layers/dense/vars/0", "layers/dense/vars/1", "layers/lstm/cell/vars/0"]);
    }

    #[test]
    fn what_is_not_here_is_named_with_layer_and_option() {
        for (model, words) in [
            (one("Lambda", json!({})), ["layer it", "Python code"]),
            (one("Conv1D", json!({})), ["layer it", "Conv1D"]),
            (
                one("LSTM", json!({ "units": 2, "dtype": "mixed_float16" })),
                ["layer it, option dtype", "mixed_float16"],
            ),
            (one("LSTM", json!({ "units": 2, "projection": 3 })), ["layer it, option projection", "3"]),
            (one("LSTM", json!({ "units": 2, "peepholes": true })), ["layer it, option peepholes", "true"]),
            (one("LSTM", json!({ "units": 2, "time_major": true })), ["option time_major", "false"]),
            (one("LSTM", json!({ "units": u64::MAX })), ["option units", "smaller number"]),
            (one("LSTM", json!({ "units": 1u64 << 40 })), ["option units", "limit"]),
            (one("LSTM", json!({ "units": "many" })), ["layer it", "LSTM"]),
            (one("LSTM", json!({ "units": 0 })), ["layer it", "at least 1"]),
            (one("LayerNormalization", json!({ "axis": 1 })), ["option axis", "last axis"]),
            (
                one(
                    "LayerNormalization",
                    json!({ "gamma_regularizer": { "class_name": "L2", "config": {} } }),
                ),
                ["gamma", "remove"],
            ),
            (
                one("TimeDistributed", json!({ "layer": one("Dense", json!({ "units": 1 })) })),
                ["option layer", "Functional"],
            ),
            (
                one(
                    "Dense",
                    json!({ "units": 2, "activation": { "class_name": "__lambda__", "config": {} } }),
                ),
                ["activation", "lambda"],
            ),
        ] {
            let message = message(&model);
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        }
    }

    #[test]
    fn connections_that_can_not_be_are_refused() {
        let dense = |name: &str, from: &str, call: usize| {
            layer("Dense", name, json!({ "units": 3 }), &[json!([tensor(from, call)])])
        };
        for (layers, words) in [
            (vec![dense("a", "b", 0), dense("b", "a", 0)], "circle"),
            (vec![dense("a", "a", 0)], "circle"),
            (vec![dense("a", "nowhere", 0)], "nowhere"),
            (vec![dense("a", "x", 7)], "call 7"),
            (vec![dense("a", "x", 0), dense("a", "x", 0)], "two layers"),
            (vec![layer("Dense", "a", json!({ "units": 3 }), &[json!([])])], "applied to nothing"),
        ] {
            let message = message(&model(layers, "a"));
            assert!(message.contains(words), "{message}");
        }
        let mut by_hand = layer("LSTM", "a", json!({ "units": 2 }), &[json!([tensor("x", 0)])]);
        by_hand["inbound_nodes"][0]["kwargs"] = json!({ "mask": tensor("x", 0) });
        assert!(message(&model(vec![by_hand], "a")).contains("mask"));
    }

    /// Each model applies the one within twice: 2^30 calls from a few kilobytes.
    #[test]
    fn models_that_multiply_are_refused() {
        let mut inner = layer("Dense", "d", json!({ "units": 3 }), &[json!([tensor("x", 0)])]);
        let mut output = "d".to_owned();
        for depth in 0..30 {
            let mut whole = model(vec![inner], &output);
            // A model counts its own making as its first call where its output is named.
            if depth > 0 {
                whole["config"]["output_layers"] = json!([output, 2, 0]);
            }
            output = format!("m{depth}");
            whole["name"] = json!(output);
            whole["config"]["name"] = json!(output);
            let node = |from: Value| json!({ "args": [from], "kwargs": {} });
            whole["inbound_nodes"] = json!([node(tensor("x", 0)), node(tensor(&output, 0))]);
            inner = whole;
        }
        let mut whole = model(vec![inner], &output);
        whole["config"]["output_layers"] = json!([output, 2, 0]);
        let message = message(&whole);
        assert!(message.contains("limit of 10000"), "{message}");
    }
}
