//! Reads the golden files; `scripts/README.md` has their format.

use super::own_cells::Minimal;
use ndarray::{ArrayD, IxDyn};
use rnn_model::cell::{AnyCell, LayerNormGruCell, LayerNormLstmCell, ProjectedLstmCell, StackedCells};
use rnn_model::layer::{
    ActivationLayer, ActivityRegularization, Add, Average, Bidirectional, Concatenate, Dense, Divide, Dot,
    Elu, Embedding, Flatten, GlobalAveragePooling1D, GlobalMaxPooling1D, Glu, Gru, Layer, LayerNormalization,
    LeakyRelu, Lstm, Masking, Maximum, Minimum, Multiply, PRelu, Permute, Reciprocal, Regularizer, Relu,
    RepeatVector, Rescaling, Reshape, Rnn, SimpleRnn, SoftmaxLayer, Subtract, TimeDistributed, WithMask,
};
use rnn_model::{Input, Sequential};
use rnn_shaders::vocabulary::Activation;
use safetensors::SafeTensors;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One case: its settings and its tensors by field.
pub struct Case {
    pub name: String,
    pub settings: Value,
    tensors: BTreeMap<String, ArrayD<f32>>,
}

/// All cases of a file.
pub fn family(name: &str) -> Vec<Case> {
    let path = format!("{}/tests/goldens/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
    let config = &metadata.metadata().as_ref().expect("metadata")["config"];
    let config: Value = serde_json::from_str(config).expect("JSON");
    assert_eq!(config["format"], 1, "{path}: another format");

    let mut tensors: BTreeMap<String, BTreeMap<String, ArrayD<f32>>> = BTreeMap::new();
    for (key, view) in SafeTensors::deserialize(&bytes).expect("checked above").tensors() {
        let (case, field) = key.split_once('/').expect("case/field");
        let data =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let array = ArrayD::from_shape_vec(IxDyn(view.shape()), data).expect("f32 data of its shape");
        tensors.entry(case.to_owned()).or_default().insert(field.to_owned(), array);
    }
    let cases = config["cases"].as_array().expect("a list of cases");
    let case = |settings: &Value| {
        let name = settings["name"].as_str().expect("a name").to_owned();
        let tensors = tensors.remove(&name).unwrap_or_else(|| panic!("{path}: {name} has no tensors"));
        Case { name, settings: settings.clone(), tensors }
    };
    cases.iter().map(case).collect()
}

impl Case {
    /// A field that must be there.
    pub fn tensor(&self, field: &str) -> &ArrayD<f32> {
        self.find(field).unwrap_or_else(|| panic!("{} has no {field}", self.name))
    }

    /// A field, if it is there.
    pub fn find(&self, field: &str) -> Option<&ArrayD<f32>> {
        self.tensors.get(field)
    }

    /// `<field>.0`, `<field>.1`, ... as many as there are.
    pub fn numbered(&self, field: &str) -> Vec<&ArrayD<f32>> {
        (0..).map_while(|i| self.find(&format!("{field}.{i}"))).collect()
    }

    pub fn flag(&self, setting: &str) -> bool {
        self.settings[setting].as_bool().unwrap_or(false)
    }

    pub fn count(&self, setting: &str) -> usize {
        self.settings[setting].as_u64().expect("a whole number") as usize
    }

    /// The case's layers behind an input of samples like those of `x` (any number of steps).
    pub fn architecture(&self, x: &[usize]) -> Sequential {
        let input = match *x {
            [_, _, features] if !self.needs_time() => Input::sequence(None, features),
            [_, time, features] => Input::sequence(time, features),
            [_, features] => Input::vector(features),
            _ => panic!("{}: an input of shape {x:?}", self.name),
        };
        let layers = self.settings["layers"].as_array().expect("layers");
        layers.iter().fold(Sequential::new(input), |model, spec| model.layer(layer(spec)))
    }

    fn needs_time(&self) -> bool {
        let text = self.settings["layers"].to_string();
        text.contains("Flatten") || text.contains("Reshape") || text.contains("PReLU")
    }
}

/// A layer by Keras's class name and options. It starts as our own defaults; an option that we do not have is a panic,
/// not left out.
pub fn layer(spec: &Value) -> Layer {
    let class = spec["class_name"].as_str().expect("class_name");
    let config = spec["config"].as_object().expect("config");
    let size = |key: &str| config[key].as_u64().expect("a whole number") as usize;
    let start: Layer = match class {
        "LSTM" => Lstm::new(size("units")).into(),
        "GRU" => Gru::new(size("units")).into(),
        "SimpleRNN" => SimpleRnn::new(size("units")).into(),
        "RNN" => return rnn(config).into(),
        "Dense" => Dense::new(size("units")).into(),
        "Rescaling" => Rescaling::new(1.0, 0.0).into(),
        "Activation" => ActivationLayer::new(Activation::Linear).into(),
        "LeakyReLU" => LeakyRelu::new(0.3).into(),
        "ELU" => Elu::new(1.0).into(),
        "ReLU" => Relu::new().into(),
        "PReLU" => PRelu::new().into(),
        "Softmax" => SoftmaxLayer::new().into(),
        "TimeDistributed" => return TimeDistributed::new(layer(&config["layer"])).into(),
        "RepeatVector" => return RepeatVector::new(size("n")).into(),
        "Flatten" => return Flatten::new().into(),
        "Reshape" => {
            let target: Vec<i64> = serde_json::from_value(config["target_shape"].clone()).expect("a shape");
            return Reshape::new(target).into();
        }
        "Bidirectional" => {
            let mode = config["merge_mode"].as_str().unwrap_or("none");
            let mode = serde_json::from_value(mode.into()).expect("a merge mode");
            let both = Bidirectional::new(layer(&config["layer"])).merge_mode(mode);
            return match config.get("backward_layer") {
                Some(backward) => both.backward_layer(layer(backward)).into(),
                None => both.into(),
            };
        }
        "ActivityRegularization" => ActivityRegularization::new(Regularizer::default()).into(),
        "Embedding" => Embedding::new(size("input_dim"), size("output_dim")).into(),
        "Masking" => Masking::new(0.0).into(),
        "LayerNormalization" => LayerNormalization::new().into(),
        "GlobalAveragePooling1D" => GlobalAveragePooling1D::new().into(),
        "GlobalMaxPooling1D" => GlobalMaxPooling1D::new().into(),
        "Permute" => Permute::new([1]).into(),
        "Concatenate" => Concatenate::new().into(),
        "Dot" => Dot::new([1, 1]).into(),
        "Add" => Add::new().into(),
        "Subtract" => Subtract::new().into(),
        "Divide" => Divide::new().into(),
        "Reciprocal" => Reciprocal::new(1.0).into(),
        "WithMask" => WithMask::new().into(),
        "GLU" => Glu::new().into(),
        "Multiply" => Multiply::new().into(),
        "Average" => Average::new().into(),
        "Maximum" => Maximum::new().into(),
        "Minimum" => Minimum::new().into(),
        other => panic!("no layer for {other}"),
    };
    let mut ours = serde_json::to_value(&start).expect("layers are data");
    let options: &mut Map<String, Value> = ours["config"].as_object_mut().expect("config");
    for (key, value) in config {
        if let Some((weight, kind @ ("regularizer" | "constraint"))) = key.rsplit_once('_') {
            let held = options.entry(format!("{weight}_held")).or_insert_with(|| serde_json::json!({}));
            held[kind] = held_by(value, kind);
            continue;
        }
        *options.get_mut(key).unwrap_or_else(|| panic!("{class} has no option {key}")) = value.clone();
    }
    serde_json::from_value(ours).unwrap_or_else(|e| panic!("{spec}: {e}"))
}

/// Keras's form of a regularizer or constraint, in ours.
fn held_by(value: &Value, kind: &str) -> Value {
    let config = &value["config"];
    match kind {
        "regularizer" => config.clone(),
        _ if config.as_object().is_some_and(Map::is_empty) => {
            serde_json::json!({ "class_name": value["class_name"] })
        }
        _ => value.clone(),
    }
}

/// A cell over a sequence.
fn rnn(config: &Map<String, Value>) -> Rnn {
    let mut rnn = Rnn::new(cell(&config["cell"]));
    for (key, value) in config.iter().filter(|(key, _)| *key != "cell") {
        let on = value.as_bool().expect("on or off");
        rnn = match key.as_str() {
            "return_sequences" => rnn.return_sequences(on),
            "return_state" => rnn.return_state(on),
            "go_backwards" => rnn.go_backwards(on),
            "stateful" => rnn.stateful(on),
            "unroll" => rnn.unroll(on),
            "zero_output_for_mask" => rnn.zero_output_for_mask(on),
            other => panic!("RNN has no option {other}"),
        };
    }
    rnn
}

/// A cell by its class name and options, as [`layer`].
fn cell(spec: &Value) -> AnyCell {
    let class = spec["class_name"].as_str().expect("class_name");
    let config = spec["config"].as_object().expect("config");
    let size = |key: &str| config[key].as_u64().expect("a whole number") as usize;
    let start: AnyCell = match class {
        "MinimalGatedUnit" => return Minimal::new(size("units")).into(),
        "StackedRNNCells" => {
            let cells = config["cells"].as_array().expect("cells").iter().map(cell);
            return cells.fold(StackedCells::new(), StackedCells::cell).into();
        }
        "LayerNormLSTMCell" => LayerNormLstmCell::new(size("units")).into(),
        "LayerNormGRUCell" => LayerNormGruCell::new(size("units")).into(),
        "ProjectedLSTMCell" => ProjectedLstmCell::new(size("units"), size("projection")).into(),
        // Options that are not given are what they are by default.
        _ => return serde_json::from_value(spec.clone()).unwrap_or_else(|e| panic!("{spec}: {e}")),
    };
    let mut ours = serde_json::to_value(&start).expect("cells are data");
    let options = ours["config"].as_object_mut().expect("config");
    for (key, value) in config {
        *options.get_mut(key).unwrap_or_else(|| panic!("{class} has no option {key}")) = value.clone();
    }
    serde_json::from_value(ours).unwrap_or_else(|e| panic!("{spec}: {e}"))
}
