//! Damaged files: whatever is done to a file, reading it gives a model or an error, without a panic, within a second, and
//! with at most 256 MiB of memory.
//!
//! The damage is random and the same on every machine; `TIDEGATE_MUTATIONS` sets how many files of each format are made
//! (5,000 by default). An error names the number of the file, and `TIDEGATE_MUTATION=format:number` reads this one alone.

#[path = "common/counting.rs"]
mod counting;
#[path = "common/mutate.rs"]
mod mutate;
#[path = "common/random.rs"]
mod random;
#[path = "common/raw_zip.rs"]
mod raw_zip;

use ndarray::{Array2, Array3};
use random::Random;
use rnn_interop::{Limits, Result, keras, onnx, read_npy, read_npz, torch};
use rnn_model::layer::{Dense, Gru, Lstm};
use rnn_model::{Adam, Device, Graph, Input, Loss, Model, Sequential};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

#[global_allocator]
static MEMORY: counting::Counting = counting::Counting;

const LONGEST: Duration = Duration::from_secs(1);
const MOST_BYTES: usize = 256 << 20;

const KERAS: &[u8] = include_bytes!("files/tiny.keras");
const H5: &[u8] = include_bytes!("files/tiny.h5");
const WEIGHTS: &[u8] = include_bytes!("files/tiny.weights.h5");
const ONNX: &[u8] = include_bytes!("files/tiny.onnx");
const TORCH: &[u8] = include_bytes!("files/tiny.torch.safetensors");
const NPZ: &[u8] = include_bytes!("files/compressed.npz");
const NPY: &[u8] = include_bytes!("files/fortran.npy");
const H5_TYPES: &[u8] = include_bytes!("files/latest.h5");
/// Keras's operations on values, with the constants among their arguments.
const OPERATIONS: &[u8] = include_bytes!("goldens/keras/graph_operations_index/model.keras");
const ONNX_MODELS: &[u8] = include_bytes!("goldens/onnx_models.safetensors");

/// A model of Keras's ONNX exporter: a masked GRU as a Loop.
static LOOPS: LazyLock<&[u8]> = LazyLock::new(|| onnx_model("gru_masked_sequences_tensorflow"));
/// Layers behind a mask, as they are written here.
static MASKS: LazyLock<&[u8]> = LazyLock::new(|| onnx_model("gru_words_written"));
/// A GRU as a Scan, from the last step to the first.
static SCANS: LazyLock<&[u8]> = LazyLock::new(|| onnx_model("gru_scan_backwards_in_place"));

fn onnx_model(name: &str) -> &'static [u8] {
    let models = ::safetensors::SafeTensors::deserialize(ONNX_MODELS).unwrap();
    models.tensor(&format!("{name}/model")).unwrap().data()
}

/// A format: how its files are damaged, and how they are read.
struct Format {
    name: &'static str,
    damage: fn(&mut Random) -> Vec<u8>,
    read: fn(&[u8]) -> Result<()>,
    /// what is read when nothing is damaged
    whole: fn() -> &'static [u8],
}

const FORMATS: [Format; 12] = [
    Format {
        name: "keras",
        damage: |random| keras_archive(random, KERAS),
        read: |bytes| keras::read_keras(bytes, &Limits::default()).map(drop),
        whole: || KERAS,
    },
    Format {
        name: "keras operations",
        damage: |random| keras_archive(random, OPERATIONS),
        read: |bytes| keras::read_keras(bytes, &Limits::default()).map(drop),
        whole: || OPERATIONS,
    },
    Format {
        name: "h5",
        damage: |random| match random.below(2) {
            0 => mutate::bytes(random, H5.into(), KERAS),
            _ => within(random, H5, "{\"module\": \"keras\""),
        },
        read: |bytes| keras::read_h5(bytes, &Limits::default()).map(drop),
        whole: || H5,
    },
    Format {
        name: "weights.h5",
        damage: |random| match random.below(8) {
            0 => mutate::bytes(random, H5_TYPES.into(), WEIGHTS),
            _ => mutate::bytes(random, WEIGHTS.into(), H5_TYPES),
        },
        read: |bytes| keras::read_weights(bytes, &graph(), &Limits::default()).map(drop),
        whole: || WEIGHTS,
    },
    Format {
        name: "onnx",
        damage: |random| onnx_message(random, ONNX),
        read: |bytes| onnx::read(bytes, &Limits::default()).map(drop),
        whole: || ONNX,
    },
    Format {
        name: "onnx loops",
        damage: |random| onnx_message(random, &LOOPS),
        read: |bytes| onnx::read(bytes, &Limits::default()).map(drop),
        whole: || &LOOPS,
    },
    Format {
        name: "onnx masks",
        damage: |random| onnx_message(random, &MASKS),
        read: |bytes| onnx::read(bytes, &Limits::default()).map(drop),
        whole: || &MASKS,
    },
    Format {
        name: "onnx scans",
        damage: |random| onnx_message(random, &SCANS),
        read: |bytes| onnx::read(bytes, &Limits::default()).map(drop),
        whole: || &SCANS,
    },
    Format {
        name: "safetensors",
        damage: |random| match random.below(3) {
            0 => mutate::bytes(random, TORCH.into(), NPY),
            _ => safetensors(random, TORCH, mutate::json),
        },
        read: |bytes| {
            let output = Some(torch::Steps::Last);
            torch::read(bytes, &Limits::default(), &torch::TorchOptions { output, ..Default::default() })
                .map(drop)
        },
        whole: || TORCH,
    },
    Format {
        name: "tidegate",
        damage: |random| match random.below(4) {
            0 => mutate::bytes(random, OWN.clone(), TORCH),
            1 => safetensors(random, &OWN, mutate::json),
            _ => safetensors(random, &OWN, |random, header| {
                let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
                let model = &mut header["__metadata__"]["tidegate"];
                let damaged = mutate::json(random, model.as_str().unwrap().as_bytes());
                *model = String::from_utf8_lossy(&damaged).into();
                header.to_string().into_bytes()
            }),
        },
        read: |bytes| Ok(Model::from_bytes(bytes, &DEVICE).map(drop)?),
        whole: || &OWN,
    },
    Format {
        name: "npz",
        damage: |random| match random.below(3) {
            0 => mutate::bytes(random, NPZ.into(), NPY),
            _ => {
                mutate::archive(random, NPZ, NPY, |random, _, contents| mutate::bytes(random, contents, NPY))
            }
        },
        read: |bytes| read_npz(bytes, &Limits::default()).map(drop),
        whole: || NPZ,
    },
    Format {
        name: "npy",
        damage: |random| mutate::bytes(random, NPY.into(), NPZ),
        read: |bytes| read_npy(bytes, &Limits::default()).map(drop),
        whole: || NPY,
    },
];

static DEVICE: LazyLock<Device> = LazyLock::new(|| Device::cpu_with_threads(1));

/// A model file of this engine, of a model that has been trained for a step.
static OWN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut model = graph().build(&DEVICE).unwrap();
    model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
    model.train_on_batch(&Array3::ones((4, 3, 2)), &Array2::ones((4, 1))).unwrap();
    model.to_bytes(false).unwrap()
});

/// The model of `scripts/interop_tiny.py`.
fn graph() -> Graph {
    let layers = Sequential::new(Input::sequence(3, 2));
    layers.layer(Gru::new(2).return_sequences(true)).layer(Lstm::new(2)).layer(Dense::new(1)).graph().unwrap()
}

/// Damages an archive of Keras, mostly within its JSON.
fn keras_archive(random: &mut Random, file: &[u8]) -> Vec<u8> {
    match random.below(8) {
        0 => mutate::bytes(random, file.into(), H5),
        _ => mutate::archive(random, file, H5, |random, name, contents| match random.below(8) {
            0..5 if name.ends_with(".json") => mutate::json(random, &contents),
            _ => mutate::bytes(random, contents, H5),
        }),
    }
}

/// Damages an ONNX model, mostly within its messages.
fn onnx_message(random: &mut Random, file: &[u8]) -> Vec<u8> {
    if random.below(4) == 0 {
        return mutate::bytes(random, file.into(), H5);
    }
    let once = mutate::protobuf(random, file, H5);
    if random.below(2) == 0 { once } else { mutate::protobuf(random, &once, H5) }
}

/// Damages the JSON that begins so within a file, and puts it back at the same length.
fn within(random: &mut Random, file: &[u8], begin: &str) -> Vec<u8> {
    let mut file = file.to_vec();
    let at = file.windows(begin.len()).position(|part| part == begin.as_bytes()).unwrap();
    let mut texts = serde_json::Deserializer::from_slice(&file[at..]).into_iter::<serde_json::Value>();
    texts.next().unwrap().unwrap();
    let end = at + texts.byte_offset();
    let mut json = mutate::json(random, &file[at..end]);
    json.resize(end - at, b' ');
    file[at..end].copy_from_slice(&json);
    file
}

/// Damages the header of a `.safetensors` file, its length being made right.
fn safetensors(random: &mut Random, file: &[u8], damage: fn(&mut Random, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    let header = damage(random, &file[8..8 + length]);
    [&(header.len() as u64).to_le_bytes()[..], &header, &file[8 + length..]].concat()
}

thread_local! {
    /// Whether panics are to be written down rather than printed.
    static READING: Cell<bool> = const { Cell::new(false) };
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// What is being read.
static CURRENT: Mutex<Option<String>> = Mutex::new(None);

/// Reads one file, and gives whether it was read rather than refused, and what was wrong with that.
fn check(format: &Format, number: usize, file: &[u8]) -> (bool, Vec<String>) {
    let name = format!("{}:{number}", format.name);
    *CURRENT.lock().unwrap() = Some(name.clone());
    READING.set(true);
    let once = || {
        let start = Instant::now();
        let read = counting::most_bytes(|| catch_unwind(AssertUnwindSafe(|| (format.read)(file).is_ok())));
        (read, start.elapsed())
    };
    let ((read, bytes), mut time) = once();
    // A machine that stood still in between is told from a file that takes long: that one does so again.
    if time > LONGEST {
        time = once().1;
    }
    READING.set(false);
    *CURRENT.lock().unwrap() = None;
    let mut wrong = Vec::new();
    wrong.extend(PANICS.lock().unwrap().drain(..).map(|panic| format!("{name}: {panic}")));
    if time > LONGEST {
        wrong.push(format!("{name}: took {time:?}"));
    }
    if bytes > MOST_BYTES {
        wrong.push(format!("{name}: took {} MiB", bytes >> 20));
    }
    (read.unwrap_or(false), wrong)
}

/// Ends the program where a file holds it up, since nothing else would say which.
#[allow(clippy::print_stderr, reason = "the test can not fail in any other way")]
fn watch() {
    std::thread::spawn(|| {
        let (mut last, mut ticks) = (None, 0);
        loop {
            std::thread::sleep(LONGEST / 2);
            let current = CURRENT.lock().unwrap().clone();
            ticks = if current.is_some() && current == last { ticks + 1 } else { 0 };
            if let Some(name) = current.as_ref().filter(|_| ticks > 60) {
                eprintln!("{name} has been read for {:?}", LONGEST / 2 * ticks);
                std::process::exit(101);
            }
            last = current;
        }
    });
}

#[test]
fn damaged_files_are_read_or_refused() {
    let default = std::panic::take_hook();
    // A panic that a fence around a dependency catches is one, too.
    std::panic::set_hook(Box::new(move |panic| match READING.get() {
        true => PANICS.lock().unwrap().push(panic.to_string()),
        false => default(panic),
    }));
    watch();
    let count = std::env::var("TIDEGATE_MUTATIONS").ok().map_or(5_000, |count| count.parse().unwrap());
    let one = std::env::var("TIDEGATE_MUTATION").ok();
    let mut wrong = Vec::new();
    let only = std::env::var("TIDEGATE_MUTATION_FORMAT").ok();
    for format in FORMATS.iter().filter(|format| only.as_ref().is_none_or(|only| only == format.name)) {
        (format.read)((format.whole)()).unwrap_or_else(|error| panic!("{}: {error}", format.name));
        let mut taken = 0;
        for number in 0..count {
            if one.as_ref().is_some_and(|one| *one != format!("{}:{number}", format.name)) {
                continue;
            }
            let seed =
                format.name.bytes().fold(number as u64, |seed, byte| seed.rotate_left(8) ^ u64::from(byte));
            let file = (format.damage)(&mut Random::new(seed));
            let (read, problems) = check(format, number, &file);
            taken += usize::from(read);
            wrong.extend(problems);
        }
        // Where everything were refused at once, or nothing at all, the damage would be of the wrong kind.
        if one.is_none() && !(count / 200..count / 2).contains(&taken) {
            wrong.push(format!("{}: {taken} of {count} were read", format.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} each:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}
