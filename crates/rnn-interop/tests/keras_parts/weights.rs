//! Weights alone, and in bfloat16 (`scripts/interop_weights.py`): of Keras models that contain models, into graphs made here.

use crate::PREDICTIONS;
use ndarray::ArrayD;
use rnn_interop::{Limits, Result, keras, read_npz};
use rnn_model::layer::{
    Dense, Dropout, Flatten, Lstm, Masking, Reshape, SharedLayer, TimeDistributed, concatenate, with_lengths,
    with_mask_of,
};
use rnn_model::{Device, Graph, Input, Sequential, Symbol};

const NESTED: &[u8] = include_bytes!("../files/nested.weights.h5");

/// The model of `nested.weights.h5`; its layers are called what `name` makes of Keras's names, or nothing.
fn nested(name: impl Fn(&str) -> Option<String>) -> Graph {
    let called = |layer: SharedLayer, keras: &str| match name(keras) {
        Some(name) => layer.name(name),
        None => layer,
    };
    let dense = |units: usize, keras: &str| called(SharedLayer::new(Dense::new(units)), keras);
    let steps = Input::sequence(4, 3).symbol();
    let read = called(SharedLayer::new(Lstm::new(2)), "encoder/read");
    let masked = steps.layer(Masking::new(0.0)).unwrap();
    let encoder = Graph::new(&[&steps], &[&masked.layer(read).unwrap()]).unwrap();
    let (x, y) = (Input::sequence(4, 3).name("x").symbol(), Input::sequence(4, 3).name("y").symbol());
    let code = |x: &Symbol| encoder.apply(&[x]).unwrap().swap_remove(0);
    let code = concatenate(-1, &[&code(&x), &code(&y)]).unwrap().layer(dense(2, "mix")).unwrap();
    let decoded = code.layer(dense(3, "decoder/first")).unwrap();
    let decoded = decoded.layer(dense(3, "decoder/deep/inner")).unwrap().layer(Dropout::new(0.2)).unwrap();
    let each = called(SharedLayer::new(TimeDistributed::new(Dense::new(2))), "steps/d");
    let at_steps = x.layer(each).unwrap().layer(Flatten::new()).unwrap();
    let out = concatenate(-1, &[&decoded, &at_steps]).unwrap().layer(dense(1, "out")).unwrap();
    Graph::new(&[&x, &y], &[&out]).unwrap()
}

fn check(graph: &Graph, what: &str) {
    predicts(NESTED, include_bytes!("../files/nested.npz"), ["x", "y"], graph, what);
}

/// The weights of a file make a graph predict what Keras did.
fn predicts(file: &[u8], arrays: &[u8], inputs: [&str; 2], graph: &Graph, what: &str) {
    let weights =
        keras::read_weights(file, graph, &Limits::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut model = graph.build(&Device::cpu()).unwrap();
    model.set_weights(&weights).unwrap();
    let arrays = read_npz(arrays, &Limits::default()).unwrap();
    let inputs = inputs.map(|name| arrays[name].clone());
    let got = model.predict_outputs(inputs.as_slice()).unwrap().swap_remove(0);
    let close = arrays["expected"].iter().zip(&got).all(|(e, g)| (e - g).abs() < PREDICTIONS);
    assert!(
        close && got.shape() == arrays["expected"].shape(),
        "{what}: expected {}, got {got}",
        arrays["expected"]
    );
}

#[test]
fn weights_of_models_within_models_find_their_layers() {
    check(&nested(|name| Some(name.to_owned())), "named as in Keras");
    check(&nested(|name| name.rsplit('/').next().map(str::to_owned)), "by last names");
    check(&nested(|_| None), "by class and shapes");
    check(&nested(|name| Some(name.replace('/', "_of_"))), "by other names");
}

/// Lengths and masks of other values are layers here and none in Keras: the order of the others does not depend on them. It is
/// all that tells these layers apart.
#[test]
fn weights_fit_models_with_layers_that_keras_has_not() {
    let (x, lengths) = (Input::sequence(4, 3).symbol(), Input::vector(1).symbol());
    let dense = |x: &Symbol| x.layer(Dense::new(3)).unwrap();
    let masked = x.layer(Masking::new(0.0)).unwrap();
    let bare = masked.layer(Reshape::new([4, 3])).unwrap();
    let near = with_lengths(&dense(&bare), &lengths).unwrap().layer(Lstm::new(3)).unwrap();
    let far =
        with_mask_of(&dense(&bare), &masked).unwrap().layer(Lstm::new(3).return_sequences(true)).unwrap();
    let far = far.layer(Lstm::new(3)).unwrap();
    let y = concatenate(-1, &[&near, &far]).unwrap().layer(Dense::new(1)).unwrap();
    let graph = Graph::new(&[&x, &lengths], &[&y]).unwrap();
    let (file, arrays) =
        (include_bytes!("../files/masked.weights.h5"), include_bytes!("../files/masked.npz"));
    predicts(file, arrays, ["x", "lengths"], &graph, "lengths and masks");
}

fn alike(first: SharedLayer, second: SharedLayer) -> Result<Vec<ArrayD<f32>>> {
    let x = Input::vector(3).symbol();
    let graph = Graph::new(&[&x], &[&x.layer(first).unwrap().layer(second).unwrap()]).unwrap();
    keras::read_weights(include_bytes!("../files/alike.weights.h5"), &graph, &Limits::default())
}

#[test]
fn layers_that_are_alike_need_names() {
    let dense = || SharedLayer::new(Dense::new(3));
    // Kernels are 1 and 3 throughout, biases 2 and 4.
    let firsts = |weights: Vec<ArrayD<f32>>| weights.iter().map(|w| *w.first().unwrap()).collect::<Vec<_>>();
    assert_eq!(firsts(alike(dense().name("one"), dense().name("two")).unwrap()), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(firsts(alike(dense().name("inner/two"), dense()).unwrap()), [3.0, 4.0, 1.0, 2.0]);
    // A number that the program gave says nothing.
    let error = alike(dense(), dense()).unwrap_err().to_string();
    assert!(
        error.contains("dense can be inner/one or inner/two") && error.contains("\"inner/one\""),
        "{error}"
    );
    let error = alike(dense(), SharedLayer::new(Dense::new(4))).unwrap_err().to_string();
    assert!(error.contains("dense_1"), "{error}");
    let fewer = Sequential::new(Input::vector(3)).layer(Dense::new(3)).graph().unwrap();
    let read = keras::read_weights(include_bytes!("../files/alike.weights.h5"), &fewer, &Limits::default());
    let error = read.unwrap_err().to_string();
    assert!(
        error.contains("2 layers with weights (inner/one, inner/two), the architecture 1 (dense)"),
        "{error}"
    );
}

#[test]
fn bfloat16_becomes_f32() {
    let read = keras::read_keras(include_bytes!("../files/bfloat16.keras"), &Limits::default()).unwrap();
    assert!(read.notes.iter().any(|note| note.contains("bfloat16")), "{:?}", read.notes);
    let values: Vec<f32> = read.weights.iter().flatten().copied().collect();
    let wanted: Vec<f32> = (0..values.len()).map(|i| (i as f32 - 20.0) / 8.0).collect();
    assert_eq!((values.len(), values), (51, wanted));
}
