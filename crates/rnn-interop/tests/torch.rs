//! State dicts that PyTorch saved, with what the modules answer (in f64), against the models made of them.
//! `scripts/interop_torch.py --goldens` makes the files.

use ndarray::{ArrayD, IxDyn};
use rnn_interop::torch::{Steps, TorchOptions, modules, read, read_into, write};
use rnn_interop::{Limits, PortableModel};
use rnn_model::layer::{
    Bidirectional, Dense, Dropout, Embedding, Gru, GruCell, Lstm, Rnn, SharedLayer, SimpleRnn, StackedCells,
    stacked,
};
use rnn_model::{Activation, Device, Graph, Input, Sequential};
use safetensors::SafeTensors;
use std::collections::BTreeMap;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/torch");

fn bytes(name: &str) -> Vec<u8> {
    let path = format!("{FOLDER}/{name}.safetensors");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// All tensors of a file of f32.
fn tensors(bytes: &[u8]) -> BTreeMap<String, ArrayD<f32>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let array = |view: safetensors::tensor::TensorView<'_>| {
        let values = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        ArrayD::from_shape_vec(IxDyn(view.shape()), values).unwrap()
    };
    file.iter().map(|(name, view)| (name.to_owned(), array(view))).collect()
}

struct Case {
    name: String,
    options: TorchOptions,
    x: ArrayD<f32>,
    y: ArrayD<f32>,
}

fn cases() -> Vec<Case> {
    let file = bytes("cases");
    let (_, metadata) = SafeTensors::read_metadata(&file).unwrap();
    let config: serde_json::Value =
        serde_json::from_str(&metadata.metadata().as_ref().unwrap()["config"]).unwrap();
    let mut arrays = tensors(&file);
    let mut case = |case: &serde_json::Value| {
        let name = case["name"].as_str().unwrap().to_owned();
        let words = case["options"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        let options = words.fold(TorchOptions::default(), |options, word| options.set(word).unwrap());
        let (x, y) =
            (arrays.remove(&format!("{name}/x")).unwrap(), arrays.remove(&format!("{name}/y")).unwrap());
        Case { name, options, x, y }
    };
    config["cases"].as_array().unwrap().iter().map(&mut case).collect()
}

/// The largest difference; infinite where shapes differ or something is no number.
fn off(a: &ArrayD<f32>, b: &ArrayD<f32>) -> f32 {
    if a.shape() != b.shape() {
        return f32::INFINITY;
    }
    let each = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    each.fold(0.0, |most, d| if d.is_nan() { f32::INFINITY } else { most.max(d) })
}

/// f32 sums of at most 20 products over at most 6 steps and 3 layers, of outputs of about 1: rounding is about 1e-6.
const TOLERANCE: f32 = 1e-5;

#[test]
fn what_pytorch_saved_predicts_what_pytorch_does() {
    let all = cases();
    assert!(all.len() >= 20, "{}", all.len());
    for case in all {
        let model = read(&bytes(&case.name), &Limits::default(), &case.options)
            .unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let mut model = model.build(&Device::cpu()).unwrap();
        let y = model.predict(&case.x).unwrap();
        let off = off(&y, &case.y);
        assert!(
            off <= TOLERANCE,
            "{}: off by {off}, shapes {:?} and {:?}",
            case.name,
            y.shape(),
            case.y.shape()
        );
    }
}

#[test]
fn what_goes_back_has_the_names_and_numbers_that_came() {
    for case in cases().into_iter().filter(|case| !case.name.contains("float")) {
        let came = bytes(&case.name);
        let model = read(&came, &Limits::default(), &case.options).unwrap();
        let back = tensors(&write(&model, &case.options).unwrap());
        let came = tensors(&came);
        // A cell comes back as a module of one layer.
        let name = |name: &String| {
            if case.name == "cell" && name.starts_with("cell.") { format!("{name}_l0") } else { name.clone() }
        };
        let expected: Vec<String> = came.keys().map(name).collect();
        assert_eq!(back.keys().cloned().collect::<Vec<_>>(), expected, "{}", case.name);
        for (name, array) in &came {
            let own = &back[&if case.name == "cell" && name.starts_with("cell.") {
                format!("{name}_l0")
            } else {
                name.clone()
            }];
            let sum = |kind: &str| &came[&name.replace("bias_ih", kind).replace("bias_hh", kind)];
            match () {
                // A GRU's biases come back as they were, the sum of the others in the first of the two.
                () if case.name.contains("gru")
                    || case.name == "apart"
                    || case.name == "text"
                    || case.name == "before" =>
                {
                    assert_eq!(own, array, "{}: {name}", case.name);
                }
                () if name.contains("bias_ih") => {
                    assert_eq!(own, &(sum("bias_ih") + sum("bias_hh")), "{name}")
                }
                () if name.contains("bias_hh") => assert!(own.iter().all(|value| *value == 0.0), "{name}"),
                () => assert_eq!(own, array, "{}: {name}", case.name),
            }
        }
    }
}

#[test]
fn a_model_built_here_takes_a_state_dict_by_kinds_and_sizes() {
    // PyTorch: embed, gru (2 layers, both ways), norm, fc; the names here are Keras's.
    let x = Input::tokens(None).symbol();
    let gru = || Bidirectional::new(Gru::new(5).return_sequences(true));
    let y = x.layer(Embedding::new(11, 6)).unwrap().layer(gru()).unwrap();
    let y = y.layer(Dropout::new(0.5)).unwrap().layer(Bidirectional::new(Gru::new(5))).unwrap();
    let y = y.layer(rnn_model::layer::LayerNormalization::new().epsilon(1e-5)).unwrap();
    let graph = Graph::new(&[&x], &[&y.layer(Dense::new(3)).unwrap()]).unwrap();
    let case = cases().into_iter().find(|case| case.name == "text").unwrap();
    let model = read_into(&bytes("text"), &graph, &Limits::default(), &TorchOptions::default()).unwrap();
    assert!(model.notes.is_empty(), "{:?}", model.notes);
    let y = model.build(&Device::cpu()).unwrap().predict(&case.x).unwrap();
    assert!(off(&y, &case.y) <= TOLERANCE);

    // The stack as one layer of two cells.
    let cells = StackedCells::new().cell(GruCell::new(4)).cell(GruCell::new(4));
    let x = Input::sequence(None, 4).symbol();
    let y = x.layer(Rnn::new(cells).return_sequences(true)).unwrap().layer(Dense::new(2)).unwrap();
    let graph = Graph::new(&[&x], &[&y]).unwrap();
    let case = cases().into_iter().find(|case| case.name == "apart").unwrap();
    let model = read_into(&bytes("apart"), &graph, &Limits::default(), &TorchOptions::default()).unwrap();
    let y = model.build(&Device::cpu()).unwrap().predict(&case.x).unwrap();
    assert!(off(&y, &case.y) <= TOLERANCE);
}

fn graph(features: usize, layers: Vec<SharedLayer>) -> Graph {
    let x = Input::sequence(None, features).symbol();
    let y = x.layers(layers).unwrap();
    Graph::new(&[&x], &[&y]).unwrap()
}

fn refused(name: &str, graph: &Graph, words: &[&str]) -> String {
    let options = words.iter().fold(TorchOptions::default(), |options, word| options.set(word).unwrap());
    read_into(&bytes(name), graph, &Limits::default(), &options).unwrap_err().to_string()
}

#[test]
fn what_is_left_over_is_listed_on_both_sides() {
    let units = graph(1, vec![Lstm::new(9).into(), Dense::new(1).into()]);
    let message = refused("forecaster", &units, &[]);
    for part in [
        "`lstm` = nn.LSTM(1, 8)",
        "`fc` = nn.Linear(8, 1)",
        "`lstm` = nn.LSTM(1, 9)",
        "`dense` = nn.Linear(9, 1)",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let activation = graph(1, vec![Lstm::new(8).activation(Activation::Relu).into(), Dense::new(1).into()]);
    let message = refused("forecaster", &activation, &[]);
    assert!(message.contains("activation \"relu\""), "{message}");
    let before = graph(4, vec![Gru::new(5).reset_after(false).into()]);
    assert!(refused("gru_1l", &before, &[]).contains("reset_after(true)"));
}

#[test]
fn modules_that_could_change_places_need_a_map() {
    let layer = || SharedLayer::new(Lstm::new(4).return_sequences(true));
    let norm = rnn_model::layer::LayerNormalization::new().epsilon(1e-5);
    let graph = graph(4, vec![layer().name("first"), norm.into(), layer().name("second")]);
    let message = refused("ordered", &graph, &[]);
    assert!(
        message.contains("layer first: 2 modules of the file fit") && message.contains("map=a:first"),
        "{message}"
    );
    let options = TorchOptions::default().set("map=a:first").unwrap();
    let model = read_into(&bytes("ordered"), &graph, &Limits::default(), &options).unwrap();
    let case = cases().into_iter().find(|case| case.name == "ordered").unwrap();
    let y = model.build(&Device::cpu()).unwrap().predict(&case.x).unwrap();
    assert!(off(&y, &case.y) <= TOLERANCE);
    assert!(refused("ordered", &graph, &["map=c:first"]).contains("has no such module"));
    assert!(refused("ordered", &graph, &["map=a:third"]).contains("no layer \"third\""));
    assert!(refused("ordered", &graph, &["map=norm:first"]).contains("does not fit"));
    assert!(refused("ordered", &graph, &["map=a:first", "map=b:first"]).contains("does not fit"));
}

#[test]
fn what_a_state_dict_does_not_say_is_asked_for_by_the_name_of_the_option() {
    let ask = |name: &str, words: &[&str]| {
        let options = words.iter().fold(TorchOptions::default(), |options, word| options.set(word).unwrap());
        read(&bytes(name), &Limits::default(), &options).map(|_| ()).unwrap_err().to_string()
    };
    assert!(ask("forecaster", &[]).contains("output=last"));
    assert!(ask("rnn_2l_both", &[]).contains("nonlinearity=relu"));
    assert!(ask("head", &["output=last", "nonlinearity=relu"]).contains("activation=relu"));
    assert!(ask("ordered", &[]).contains("a, norm, b"));
    assert!(ask("ordered", &["order=a,b"]).contains("leaves out"));
    assert!(ask("ordered", &["order=a,x,b"]).contains("\"x\""));
}

#[test]
fn a_model_of_ours_goes_out_under_the_names_of_its_layers() {
    let device = Device::cpu();
    let model = Sequential::new(Input::sequence(None, 3))
        .layers(stacked(Lstm::new(4), 2, 0.1).unwrap())
        .layer(Dense::new(2).use_bias(false))
        .build(&device)
        .unwrap();
    let model = PortableModel::of(&model).unwrap();
    let plain = tensors(&write(&model, &TorchOptions::default()).unwrap());
    assert!(plain.contains_key("lstm_1.weight_ih_l0") && !plain.contains_key("dense.bias"));
    // A dropout stands between them; PyTorch's num_layers has it, too.
    let options = TorchOptions::default().set("map=net.lstm:lstm+lstm_1").unwrap();
    let lines: Vec<String> =
        modules(&model.graph, &options).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["net.lstm = nn.LSTM(3, 4, num_layers=2, batch_first=True)", "dense = nn.Linear(4, 2, bias=False)"]
    );
    let mapped = tensors(&write(&model, &options).unwrap());
    assert_eq!(mapped["net.lstm.weight_hh_l1"], plain["lstm_1.weight_hh_l0"]);
    assert_eq!(mapped["net.lstm.weight_hh_l1"].shape(), [16, 4]);
    let back =
        read_into(&write(&model, &options).unwrap(), &model.graph, &Limits::default(), &options).unwrap();
    assert_eq!(back.weights, model.weights);
    for (words, said) in [
        ("map=x:lstm+dense", "do not follow each other"),
        ("map=x:gru", "no layer \"gru\""),
        ("map=dense:lstm", "two modules have this prefix"),
    ] {
        let options = TorchOptions::default().set(words).unwrap();
        let message = write(&model, &options).unwrap_err().to_string();
        assert!(message.contains(said), "{words}: {message}");
    }
}

#[test]
fn what_pytorch_does_not_have_is_refused_by_name_on_the_way_out() {
    let out = |layer: SharedLayer| {
        let graph = graph(3, vec![layer]);
        let built = graph.build(&Device::cpu()).unwrap();
        write(&PortableModel::of(&built).unwrap(), &TorchOptions::default())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(out(Gru::new(2).reset_after(false).into()).contains("layer gru"));
    assert!(out(Lstm::new(2).peepholes(true).into()).contains("peepholes true"));
    assert!(out(Gru::new(2).clip(3.0).into()).contains("clip 3.0"));
    assert!(out(SimpleRnn::new(2).activation(Activation::Sigmoid).into()).contains("sigmoid"));
    assert!(out(rnn_model::layer::PRelu::new().shared_axes([1]).into()).contains("PReLU"));
}

#[test]
fn the_last_state_is_an_option() {
    let options = TorchOptions { output: Some(Steps::Last), ..TorchOptions::default() };
    let model = read(&bytes("gru_1l"), &Limits::default(), &options).unwrap();
    let case = cases().into_iter().find(|case| case.name == "gru_1l").unwrap();
    let y = model.build(&Device::cpu()).unwrap().predict(&case.x).unwrap();
    assert!(off(&y, &case.y.index_axis(ndarray::Axis(1), 5).to_owned()) <= TOLERANCE);
}

#[test]
fn a_cut_file_is_refused_at_every_byte() {
    let whole = bytes("gru_1l");
    for cut in 0..whole.len() {
        assert!(read(&whole[..cut], &Limits::default(), &TorchOptions::default()).is_err(), "{cut}");
    }
}
