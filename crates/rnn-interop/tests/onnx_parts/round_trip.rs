//! Every layer that has a form in ONNX is written, read again, and gives the same numbers.

use crate::apart;
use ndarray::ArrayD;
use rnn_interop::{Limits, PortableModel, onnx};
use rnn_model::layer::{
    ActivationLayer, Add, Average, Bidirectional, Concatenate, Dense, Divide, Dot, Dropout, Elu, Embedding,
    Flatten, GlobalAveragePooling1D, GlobalMaxPooling1D, Glu, Gru, Layer, LayerNormalization, LeakyRelu,
    Lstm, Maximum, MergeMode, Minimum, Multiply, PRelu, Permute, Reciprocal, Relu, RepeatVector, Rescaling,
    Reshape, Reverse, SharedLayer, SimpleRnn, Slice, SoftmaxLayer, Subtract, TimeDistributed,
};
use rnn_model::{Device, Graph, Input, Model, Sequential, apply};
use serde_json::json;

/// A layer with options by their names in files.
fn with(layer: impl Into<Layer>, options: serde_json::Value) -> Layer {
    let mut data = serde_json::to_value(layer.into()).unwrap();
    for (name, value) in options.as_object().unwrap() {
        assert!(data["config"].get(name).is_some(), "{name}");
        data["config"][name] = value.clone();
    }
    serde_json::from_value(data).unwrap()
}

/// One layer of every class that has a form in ONNX, with its options, on a sequence of 4 steps of 6 features.
fn layers_on_a_sequence() -> Vec<Layer> {
    let lstm = || with(Lstm::new(3), json!({"return_sequences": true}));
    let mut layers: Vec<Layer> = vec![
        Lstm::new(3).into(),
        with(Lstm::new(3), json!({"return_sequences": true, "go_backwards": true, "use_bias": false})),
        with(Lstm::new(3), json!({"peepholes": true, "clip": 0.5, "recurrent_activation": "hard_sigmoid"})),
        with(Lstm::new(3), json!({"input_forget": true, "activation": "softsign"})),
        with(Gru::new(3), json!({"return_sequences": true})),
        with(Gru::new(3), json!({"reset_after": false, "activation": "relu"})),
        with(SimpleRnn::new(3), json!({"go_backwards": true})),
        Dense::new(5).into(),
        with(Dense::new(5), json!({"activation": "gelu", "use_bias": false})),
        TimeDistributed::new(Dense::new(5)).into(),
        TimeDistributed::new(Reshape::new([3, 2])).into(),
        Rescaling::new(0.5, 2.0).into(),
        Reciprocal::new(0.5).into(),
        Flatten::new().into(),
        Reshape::new([6, 4]).into(),
        Permute::new([2, 1]).into(),
        Slice::new(1, 1, Some(3)).into(),
        Slice::new(2, 1, None).step(2).into(),
        Reverse::new().into(),
        PRelu::new().into(),
        PRelu::new().shared_axes([1]).into(),
        LeakyRelu::new(0.2).into(),
        with(LeakyRelu::new(0.2), json!({"negative_slope": 0.4})),
        Elu::new(0.7).into(),
        SoftmaxLayer::new().into(),
        Glu::new().into(),
        Glu::new().axis(1).into(),
        Dropout::new(0.3).into(),
        GlobalAveragePooling1D::new().into(),
        GlobalMaxPooling1D::new().into(),
        with(GlobalAveragePooling1D::new(), json!({"keepdims": true})),
    ];
    for (max, slope, threshold) in
        [(None, 0.0, 0.0), (Some(0.6), 0.0, 0.0), (None, 0.3, 0.0), (Some(0.6), 0.3, 0.2)]
    {
        let options = json!({"max_value": max, "negative_slope": slope, "threshold": threshold});
        layers.push(with(Relu::new(), options));
    }
    for (scale, center, rms) in [
        (true, true, false),
        (true, false, false),
        (false, true, false),
        (false, false, false),
        (true, false, true),
        (false, false, true),
    ] {
        let options = json!({"scale": scale, "center": center, "rms_scaling": rms, "epsilon": 0.01});
        layers.push(with(LayerNormalization::new(), options));
    }
    for mode in [MergeMode::Concat, MergeMode::Sum, MergeMode::Mul, MergeMode::Ave] {
        layers.push(Bidirectional::new(lstm()).merge_mode(mode).into());
    }
    let parametric = |class: &str, config: serde_json::Value| json!({"class_name": class, "config": config});
    let mut kinds: Vec<serde_json::Value> = [
        "linear",
        "tanh",
        "sigmoid",
        "softplus",
        "softsign",
        "selu",
        "exponential",
        "relu",
        "hard_sigmoid",
        "sparse_sigmoid",
        "elu",
        "celu",
        "leaky_relu",
        "relu6",
        "hard_tanh",
        "silu",
        "hard_silu",
        "mish",
        "gelu",
        "gelu_tanh",
        "log_sigmoid",
        "tanh_shrink",
        "hard_shrink",
        "soft_shrink",
        "sparse_plus",
        "squareplus",
        "softmax",
        "log_softmax",
    ]
    .map(Into::into)
    .into();
    kinds.extend([
        parametric("affine", json!({"alpha": 0.5, "beta": 0.25})),
        parametric("scaled_tanh", json!({"alpha": 0.5, "beta": 0.75})),
        parametric("threshold", json!({"threshold": 0.1, "default_value": -0.4})),
        parametric("squareplus", json!({"b": 2.0})),
        parametric("elu", json!({"alpha": 0.6})),
    ]);
    let linear = || ActivationLayer::new(rnn_model::Activation::Linear);
    layers.extend(kinds.into_iter().map(|kind| with(linear(), json!({"activation": kind}))));
    layers
}

/// Merges of two sequences, and of a sequence with itself.
fn merges() -> Vec<Layer> {
    vec![
        Add::new().into(),
        Subtract::new().into(),
        Divide::new().into(),
        Multiply::new().into(),
        Average::new().into(),
        Maximum::new().into(),
        Minimum::new().into(),
        Concatenate::new().into(),
        Concatenate::new().axis(1).into(),
        Dot::new([2, 2]).into(),
        Dot::new([1, 1]).into(),
    ]
}

/// Whatever is written is read again, and gives the same numbers.
#[test]
fn every_layer_that_is_written_is_read_again() {
    let device = Device::cpu();
    let mut models: Vec<(String, Model, usize)> = Vec::new();
    for layer in layers_on_a_sequence() {
        let name = serde_json::to_string(&layer).unwrap();
        let model =
            Sequential::new(Input::sequence(4, 6)).layer(layer).layer(Flatten::new()).layer(Dense::new(2));
        models.push((name, model.build(&device).unwrap(), 1));
    }
    for layer in merges() {
        let name = serde_json::to_string(&layer).unwrap();
        let (x, y) = (Input::sequence(4, 6).name("x").symbol(), Input::sequence(4, 6).name("y").symbol());
        let merged = apply(SharedLayer::new(layer), &[&x, &y]).unwrap().swap_remove(0);
        let graph = Graph::new(&[&x, &y], &[&merged]).unwrap();
        models.push((name, graph.build(&device).unwrap(), 2));
    }
    let tokens = Sequential::new(Input::tokens(4)).layer(Embedding::new(7, 3)).layer(Lstm::new(3));
    models.push(("Embedding".to_owned(), tokens.layer(RepeatVector::new(2)).build(&device).unwrap(), 0));
    let mut failures = Vec::new();
    for (name, mut model, inputs) in models {
        // Other values than those that layers start from: slopes and shifts of 0 hide mistakes.
        let mut weights = model.get_weights().unwrap();
        for (at, array) in weights.iter_mut().enumerate() {
            array.iter_mut().enumerate().for_each(|(i, v)| *v += 0.3 * ((i * 7 + at * 3) as f32).sin());
        }
        model.set_weights(&weights).unwrap();
        let mut arrays: Vec<ArrayD<f32>> = (0..inputs)
            .map(|input| {
                // None is 0, which has no reciprocal.
                ArrayD::from_shape_fn(vec![3, 4, 6], |at| {
                    ((at[0] * 31 + at[1] * 7 + at[2] + input * 5) as f32 + 0.5).sin() * 1.5
                })
            })
            .collect();
        if inputs == 0 {
            arrays.push(ArrayD::from_shape_fn(vec![3, 4], |at| ((at[0] * 4 + at[1]) % 7) as f32));
        }
        let want = model.predict_outputs(arrays.as_slice()).unwrap();
        let portable = PortableModel::of(&model).unwrap();
        let again = onnx::write(&portable)
            .and_then(|bytes| onnx::read(&bytes, &Limits::default()))
            .and_then(|read| read.build(&device));
        match again {
            Ok(mut again) => {
                let got = again.predict_outputs(arrays.as_slice()).unwrap();
                failures.extend(apart(&name, &got[0], &want[0]));
            }
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// A layer that is applied twice has its weights once in the file, and is one layer again when it is read.
#[test]
fn a_shared_layer_is_written_once_and_stays_shared() {
    let device = Device::cpu();
    for shared in [Layer::from(Lstm::new(3)), Gru::new(3).into(), Dense::new(3).into()] {
        let name = serde_json::to_string(&shared).unwrap();
        let layer = SharedLayer::new(shared).name("shared");
        let (x, y) = (Input::sequence(4, 6).name("x").symbol(), Input::sequence(4, 6).name("y").symbol());
        let parts: Vec<_> = [&x, &y].map(|x| apply(&layer, &[x]).unwrap().swap_remove(0)).into();
        let merged =
            apply(SharedLayer::new(Subtract::new()), &[&parts[0], &parts[1]]).unwrap().swap_remove(0);
        let graph = Graph::new(&[&x, &y], &[&merged]).unwrap();
        let model = graph.build(&device).unwrap();
        let portable = PortableModel::of(&model).unwrap();
        let read = onnx::read(&onnx::write(&portable).unwrap(), &Limits::default()).unwrap();
        let (before, after) = (portable.weights.len(), read.weights.len());
        assert_eq!(after, before, "{name}");
        let kernels = read.graph.layers().iter().filter(|layer| layer.layer.class() != "Subtract").count();
        assert_eq!(kernels, 1, "{name}");
    }
}
