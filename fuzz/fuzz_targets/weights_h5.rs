//! `.weights.h5` files, read into the model of `scripts/interop_tiny.py`.
#![no_main]

use rnn_interop::{Limits, keras};
use rnn_model::layer::{Dense, Gru, Lstm};
use rnn_model::{Graph, Input, Sequential};
use std::sync::LazyLock;

static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    let layers = Sequential::new(Input::sequence(3, 2)).layer(Gru::new(2).return_sequences(true));
    layers.layer(Lstm::new(2)).layer(Dense::new(1)).graph().expect("the model of the corpus")
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(keras::read_weights(bytes, &GRAPH, &Limits::default())));
