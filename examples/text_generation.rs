//! Text, character by character: learned from any file, written again with a temperature.
//!
//! ```text
//! cargo run --release --example text_generation -- --file docs/TUTORIAL.md --temperature 0.7
//! ```
//!
//! A stateful model reads the text in 16 streams side by side. To write, the same weights run with one stream and one
//! character per call: the state stays on the device, and what comes back are the probabilities of the next character.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows its result")]

use std::process::ExitCode;
use tidegate::layer::{Dense, Embedding, Gru, Softmax};
use tidegate::ndarray::{Array2, Array3};
use tidegate::{Adam, Device, FitOptions, Input, Loss, Sequential};

const STREAMS: usize = 16;
const STEPS: usize = 40;
const TEXT: &str = include_str!("../docs/TUTORIAL.md");

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match arguments().and_then(|settings| example(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Settings {
    device: String,
    text: String,
    temperature: f32,
    epochs: u64,
    length: usize,
}

fn arguments() -> Outcome<Settings> {
    let mut settings =
        Settings { device: "auto".into(), text: TEXT.into(), temperature: 0.6, epochs: 24, length: 300 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--device" => settings.device = value,
            "--file" => {
                settings.text = std::fs::read_to_string(&value).map_err(|e| format!("{value}: {e}"))?
            }
            "--temperature" => settings.temperature = value.parse()?,
            "--epochs" => settings.epochs = value.parse()?,
            "--length" => settings.length = value.parse()?,
            other => {
                let known = "--device, --file, --temperature, --epochs, --length";
                return Err(format!("unknown argument {other:?}; there are {known}").into());
            }
        }
    }
    if settings.temperature.is_nan() || settings.temperature <= 0.0 {
        return Err(format!("the temperature must be positive, got {}", settings.temperature).into());
    }
    Ok(settings)
}

fn example(settings: &Settings) -> Outcome {
    let device = Device::from_name(&settings.device)?;
    println!("device: {}", device.name());
    let mut alphabet: Vec<char> = settings.text.chars().collect();
    alphabet.sort_unstable();
    alphabet.dedup();
    let index = |c: char| alphabet.binary_search(&c).expect("a character of the text");
    let text: Vec<usize> = settings.text.chars().map(index).collect();
    let windows = (text.len().saturating_sub(1)) / STREAMS / STEPS;
    if windows == 0 {
        return Err(format!("the text must have more than {} characters", STREAMS * STEPS).into());
    }

    let architecture = Sequential::new(Input::tokens(None))
        .layer(Embedding::new(alphabet.len(), 24))
        .layer(Gru::new(128).return_sequences(true).stateful(true))
        .layer(Dense::new(alphabet.len()).activation(Softmax))
        .graph()?
        .seed(11);
    let mut model = architecture.build(&device)?;
    let adam = Adam::new().learning_rate(0.005).global_clipnorm(1.0);
    model.compile(adam, Loss::sparse_categorical_crossentropy(), &[])?;

    // Batch k holds window k of every stream, so sample i of each batch goes on where sample i of the last one ended.
    let at = |sample: usize, step: usize| {
        let (window, stream) = (sample / STREAMS, sample % STREAMS);
        (stream * windows + window) * STEPS + step
    };
    let part = |ahead: usize| {
        Array2::from_shape_fn((windows * STREAMS, STEPS), |(i, t)| text[at(i, t) + ahead] as f32)
    };
    let options = FitOptions::new()
        .epochs(settings.epochs)
        .batch_size(STREAMS)
        .shuffle(false)
        .reset_states_after_epoch(true)
        .verbose(true);
    let history = model.fit(&part(0), &part(1), options)?;
    let losses = history.get("loss");
    println!(
        "cross-entropy per character: {:.2} at first, {:.2} in the end",
        losses[0],
        losses[losses.len() - 1]
    );

    let mut writer = architecture.build_sharing(&model)?;
    let mut random = random(7);
    let mut character = text[0];
    let mut written = String::from(alphabet[character]);
    for _ in 0..settings.length {
        let probabilities = writer.predict_on_batch(&Array2::from_elem((1, 1), character as f32))?;
        character = draw(&probabilities.into_dimensionality()?, settings.temperature, random());
        written.push(alphabet[character]);
    }
    println!("---\n{written}\n---");
    if losses[losses.len() - 1] < (alphabet.len() as f64).ln() - 1.0 {
        return Ok(());
    }
    Err("nothing was learned: more than one nat better than guessing was expected; try more epochs".into())
}

/// An index drawn with probabilities `p^(1 / temperature)`: a low temperature takes the likely ones.
fn draw(probabilities: &Array3<f32>, temperature: f32, uniform: f32) -> usize {
    let weights: Vec<f32> = probabilities.iter().map(|p| p.max(1e-20).powf(1.0 / temperature)).collect();
    let mut left = uniform * weights.iter().sum::<f32>();
    for (index, weight) in weights.iter().enumerate() {
        left -= weight;
        if left <= 0.0 {
            return index;
        }
    }
    weights.len() - 1
}

/// Uniform random numbers in 0..1, the same for the same seed (SplitMix64, Steele et al. 2014).
fn random(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    }
}
