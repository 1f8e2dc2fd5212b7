//! A language model as Keras tutorials build it: `Embedding`, `GRU(512)`, `GRU(128)`, `TimeDistributed(Dense(softmax))`,
//! trained with sparse categorical cross-entropy and Adam with all its settings, on the words of a small grammar.
//!
//! The grammar decides which words may follow which, so there is a best possible loss: the entropy of its choices. A model
//! that only knew how often each word occurs would stay far above it.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, random};
use tidegate::layer::{Dense, Embedding, Gru, Softmax, TimeDistributed};
use tidegate::ndarray::Array2;
use tidegate::{Adam, Device, FitOptions, Input, Loss, Metric, Sequential};

/// Which words may follow each word, all equally likely.
const GRAMMAR: [(&str, &[usize]); 8] = [
    ("the", &[1, 2]),
    ("small", &[2]),
    ("tide", &[3, 4]),
    ("rises", &[5, 6]),
    ("falls", &[5, 6]),
    ("and", &[0]),
    ("slowly", &[7]),
    (".", &[0]),
];
const STEPS: usize = 16;

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let words = GRAMMAR.len();
    let mut model = Sequential::new(Input::tokens(None))
        .layer(Embedding::new(words, 32))
        .layer(Gru::new(512).return_sequences(true))
        .layer(Gru::new(128).return_sequences(true))
        .layer(TimeDistributed::new(Dense::new(words).activation(Softmax)))
        .seed(1)
        .build(device)?;
    println!("{}", model.summary());
    let adam = Adam::new().learning_rate(0.003).beta_1(0.9).beta_2(0.99).decay(1e-3).amsgrad(true);
    model.compile(adam, Loss::sparse_categorical_crossentropy(), &[Metric::Accuracy])?;

    let (x, y) = sentences(128, 1);
    model.fit(&x, &y, FitOptions::new().epochs(24).batch_size(32).verbose(true))?;
    let (x, y) = sentences(64, 2);
    let unseen = model.evaluate(&x, &y)?.loss();

    // Each word with two followers leaves one bit, ln 2, to chance.
    let counted: Vec<f64> = x.iter().map(|&word| (GRAMMAR[word as usize].1.len() as f64).ln()).collect();
    let best = counted.iter().sum::<f64>() / counted.len() as f64;
    println!(
        "loss on unseen text {unseen:.3}, the grammar's entropy {best:.3}, guessing {:.3}",
        (words as f64).ln()
    );
    check("the model has learned the grammar", unseen < 1.15 * best)
}

/// Text of the grammar: `[samples, STEPS]` words, and the word after each.
fn sentences(samples: usize, seed: u64) -> (Array2<f32>, Array2<f32>) {
    let mut random = random(seed);
    let mut text = Array2::zeros((samples, STEPS + 1));
    for mut row in text.rows_mut() {
        let mut word = (random() * GRAMMAR.len() as f32) as usize;
        for place in &mut row {
            *place = word as f32;
            let next = GRAMMAR[word].1;
            word = next[(random() * next.len() as f32) as usize];
        }
    }
    let part = |from: usize| text.slice(tidegate::ndarray::s![.., from..from + STEPS]).to_owned();
    (part(0), part(1))
}
