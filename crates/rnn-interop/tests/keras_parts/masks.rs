//! Masks that Keras has elsewhere than this engine: written so that Keras is told of them, and read again as they were. What
//! Keras makes of such files `scripts/interop_keras.py` sees, by the models that it calls `masks_...`.

use ndarray::ArrayD;
use rnn_interop::{Limits, PortableModel, keras};
use rnn_model::layer::{
    Bidirectional, Dense, Divide, Embedding, GlobalAveragePooling1D, Gru, Lstm, Masking, Multiply, Reverse,
    SoftmaxLayer, concatenate, packed, with_lengths, with_mask_of,
};
use rnn_model::{Activation, Adam, Device, Graph, Input, Loss, Symbol, apply};

const STEPS: usize = 5;

fn sequence(seed: usize) -> ArrayD<f32> {
    ArrayD::from_shape_fn(vec![4, STEPS, 3], |at| {
        let gap = (at[0] * 3 + at[1] * 5 + seed).is_multiple_of(4);
        if gap { 0.5 } else { ((at[0] * 31 + at[1] * 7 + at[2] + seed) as f32).sin() }
    })
}

/// Writes a model, reads the file, and sees that both predict and train alike.
fn goes_round(name: &str, inputs: &[&Symbol], output: &Symbol, arrays: &[ArrayD<f32>]) {
    let graph = Graph::new(inputs, &[output]).unwrap().seed(3);
    let mut model = graph.build(&Device::cpu()).unwrap();
    model.compile(Adam::default(), Loss::MeanSquaredError, &[]).unwrap();
    let file =
        keras::write_keras(&PortableModel::of(&model).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let read = keras::read_keras(&file, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(read.notes.is_empty(), "{name}: {:?}", read.notes);
    let mut again = read.build(&Device::cpu()).unwrap();
    let want = model.predict_outputs(arrays).unwrap();
    let got = again.predict_outputs(arrays).unwrap();
    // The same layers on the same numbers, in another order at most.
    let close = want[0].iter().zip(&got[0]).all(|(want, got)| (want - got).abs() < 1e-6);
    assert!(close && want[0].shape() == got[0].shape(), "{name}: {want:?}, read again {got:?}");
    let loss = model.train_on_batch(arrays, &want).unwrap().loss();
    let other = again.train_on_batch(arrays, &want).unwrap().loss();
    assert!((loss - other).abs() < 1e-6, "{name}: loss {loss}, read again {other}");
    // Written again, nothing is added.
    let twice = PortableModel::of(&again).unwrap();
    let twice = keras::read_keras(&keras::write_keras(&twice).unwrap(), &Limits::default()).unwrap();
    assert_eq!(twice.graph.calls().len(), again.graph().calls().len(), "{name}");
}

fn refused(inputs: &[&Symbol], output: &Symbol) -> String {
    let model = Graph::new(inputs, &[output]).unwrap().build(&Device::cpu()).unwrap();
    keras::write_keras(&PortableModel::of(&model).unwrap()).unwrap_err().to_string()
}

fn two() -> (Symbol, Symbol) {
    (Input::sequence(STEPS, 3).name("x").symbol(), Input::sequence(STEPS, 3).name("other").symbol())
}

fn masked(x: &Symbol) -> Symbol {
    x.layer(Masking::new(0.5)).unwrap()
}

fn gru(x: &Symbol) -> Symbol {
    x.layer(Gru::new(3).return_sequences(true)).unwrap()
}

#[test]
fn the_mask_of_another_value_is_passed_where_it_counts() {
    let arrays = [sequence(0), sequence(1)];
    let (x, other) = two();
    // Between the mask and the layer that counts by it stand others, and it goes on behind that.
    let y = with_mask_of(&x, &masked(&other)).unwrap().layer(Dense::new(3)).unwrap();
    goes_round("recurrent", &[&x, &other], &gru(&y).layer(Lstm::new(2)).unwrap(), &arrays);
    goes_round("pooled", &[&x, &other], &y.layer(GlobalAveragePooling1D::new()).unwrap(), &arrays);
    goes_round("an output", &[&x, &other], &y, &arrays);
    let product =
        apply(Multiply::new(), &[&gru(&y), &with_mask_of(&y, &masked(&x)).unwrap()]).unwrap().swap_remove(0);
    goes_round("a product", &[&x, &other], &product.layer(Gru::new(2)).unwrap(), &arrays);
    let divisor = masked(&x).layer(Dense::new(3).activation(Activation::Sigmoid)).unwrap();
    let quotient = apply(Divide::new(), &[&masked(&x), &divisor]).unwrap();
    goes_round("a quotient", &[&x], &quotient[0].layer(Gru::new(2)).unwrap(), &arrays[..1]);
}

#[test]
fn masks_are_passed_beside_states_and_turned_round() {
    let x = Input::sequence(STEPS, 3).symbol();
    let h = Input::vector(3).symbol();
    let state = ArrayD::from_shape_fn(vec![4, 3], |at| (at[0] + at[1]) as f32 / 5.0);
    let y = apply(Gru::new(3).return_sequences(true), &[&masked(&x), &h]).unwrap().swap_remove(0);
    goes_round("from a state", &[&x, &h], &y.layer(Lstm::new(2)).unwrap(), &[sequence(0), state.clone()]);
    let both = apply(Bidirectional::new(Gru::new(3)), &[&masked(&x), &h, &h]).unwrap().swap_remove(0);
    goes_round("both ways from states", &[&x, &h], &both, &[sequence(0), state]);
    let turned =
        masked(&x).layer(Dense::new(2)).unwrap().layer(Reverse::new()).unwrap().layer(Lstm::new(2)).unwrap();
    goes_round("turned round", &[&x], &turned, &[sequence(0)]);
}

#[test]
fn shares_of_steps_go_round() {
    let x = Input::sequence(STEPS, 3).symbol();
    let y = gru(&masked(&x));
    let shares = y.layer(Dense::new(3)).unwrap().layer(SoftmaxLayer::new().axis(1)).unwrap();
    goes_round("shares", &[&x], &shares, &[sequence(0)]);
    let read = apply(Multiply::new(), &[&shares, &y]).unwrap().swap_remove(0);
    goes_round("read by shares", &[&x], &read.layer(Gru::new(2)).unwrap(), &[sequence(0)]);
}

#[test]
fn lengths_go_round() {
    for steps in [Some(STEPS), None] {
        let x = Input::sequence(steps, 3).name("x").symbol();
        let lengths = Input::vector(1).name("counts").symbol();
        let arrays = [sequence(0), ArrayD::from_shape_fn(vec![4, 1], |at| (at[0] + 1) as f32)];
        let y = gru(&with_lengths(&x, &lengths).unwrap());
        goes_round("lengths", &[&x, &lengths], &y.layer(Lstm::new(2)).unwrap(), &arrays);
        let pooled = with_lengths(&x, &lengths).unwrap().layer(GlobalAveragePooling1D::new()).unwrap();
        let y = concatenate(-1, &[&pooled, &y.layer(Lstm::new(2)).unwrap()]).unwrap();
        goes_round("lengths twice", &[&x, &lengths], &y, &arrays);
    }
    let words = Input::tokens(None).symbol();
    let y = words.layer(Embedding::new(5, 3).mask_zero(true)).unwrap();
    let z = with_mask_of(&words.layer(Embedding::new(5, 3)).unwrap(), &y).unwrap();
    let z = concatenate(-1, &[&z.layer(Gru::new(2)).unwrap(), &y.layer(Gru::new(2)).unwrap()]).unwrap();
    let ids = ArrayD::from_shape_fn(vec![4, STEPS], |at| ((at[0] * at[1]) % 5) as f32);
    goes_round("words", &[&words], &z, &[ids]);
}

#[test]
fn what_keras_can_not_be_told_is_refused_by_name() {
    let x = Input::sequence(STEPS, 3).symbol();
    let (lengths, series) = (Input::vector(1).symbol(), Input::tokens(STEPS).symbol());
    let twice = with_lengths(&masked(&x), &lengths).unwrap().layer(Gru::new(2)).unwrap();
    let error = refused(&[&x, &lengths], &twice);
    assert!(error.contains("layer lengths") && error.contains("said so already"), "{error}");
    let rows = packed(&x, &series).unwrap().layer(Gru::new(2)).unwrap();
    let error = refused(&[&x, &series], &rows);
    assert!(error.contains("layer packed") && error.contains(".safetensors"), "{error}");
    let none = with_mask_of(&masked(&x), &x).unwrap().layer(Gru::new(2)).unwrap();
    let error = refused(&[&x], &none);
    assert!(error.contains("layer gru") && error.contains("Reshape"), "{error}");
    let both = Bidirectional::new(Gru::new(2).return_sequences(true));
    let error = refused(&[&x], &masked(&x).layer(both).unwrap());
    assert!(error.contains("zero_output_for_mask"), "{error}");
}
