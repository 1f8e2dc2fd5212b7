//! `.keras`, `.h5` and `.weights.h5`.

use super::raw_zip::{Raw, archive};
use super::{Case, case};
use rnn_interop::{Limits, Result, keras};
use rnn_model::Input;
use rnn_model::Sequential;
use rnn_model::layer::Dense;
use serde_json::{Value, json};

type Good = (&'static str, &'static [u8], fn(&[u8]) -> Result<()>);

pub const GOOD: &[Good] = &[
    ("keras", include_bytes!("../files/tiny.keras"), read),
    ("h5", include_bytes!("../files/tiny.h5"), read_h5),
    ("weights.h5", include_bytes!("../hostile/weights_good.weights.h5"), read_weights),
];

fn read(bytes: &[u8]) -> Result<()> {
    keras::read_keras(bytes, &Limits::default()).map(drop)
}

fn read_h5(bytes: &[u8]) -> Result<()> {
    keras::read_h5(bytes, &Limits::default()).map(drop)
}

/// Into a `Dense` layer of 2 values into 1.
fn read_weights(bytes: &[u8]) -> Result<()> {
    let graph = Sequential::new(Input::vector(2)).layer(Dense::new(1)).graph()?;
    keras::read_weights(bytes, &graph, &Limits::default()).map(drop)
}

const WEIGHTS: &[u8] = include_bytes!("../hostile/weights_good.weights.h5");

/// The configuration of a `Dense` layer of 2 values into 1.
fn config() -> Value {
    let layer = |class: &str, config: Value| json!({ "module": "keras.layers", "class_name": class, "config": config, "registered_name": null });
    let input = layer("InputLayer", json!({ "batch_shape": [null, 2], "dtype": "float32", "name": "input" }));
    let dense =
        json!({ "name": "dense", "dtype": "float32", "units": 1, "activation": "linear", "use_bias": true });
    json!({
        "module": "keras", "class_name": "Sequential", "registered_name": null,
        "config": { "name": "sequential", "dtype": "float32", "layers": [input, layer("Dense", dense)] },
    })
}

/// A `.keras` file of members.
fn members(config: &[u8], weights: &[u8]) -> Vec<u8> {
    archive(&[
        Raw::stored("metadata.json", br#"{"keras_version": "3.15.1", "date_saved": "2025-01-01@00:00:00"}"#),
        Raw::stored("config.json", config),
        Raw::stored("model.weights.h5", weights),
    ])
}

/// A `.keras` file with something else at this place of its configuration.
fn with(place: &str, value: Value) -> Vec<u8> {
    let mut config = config();
    let (parent, key) = place.rsplit_once('/').unwrap();
    match config.pointer_mut(parent).unwrap() {
        Value::Object(map) => drop(map.insert(key.into(), value)),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        _ => unreachable!("{place} is in no list and no object"),
    }
    members(config.to_string().as_bytes(), WEIGHTS)
}

/// A functional model of two layers that are each other's input.
fn cycle() -> Vec<u8> {
    let history = |layer: &str| {
        json!([{ "args": [{ "class_name": "__keras_tensor__",
        "config": { "shape": [null, 2], "dtype": "float32", "keras_history": [layer, 0, 0] } }], "kwargs": {} }])
    };
    let dense = |name: &str, of: &str| {
        json!({ "module": "keras.layers", "class_name": "Dense", "name": name,
        "config": { "name": name, "units": 2 }, "registered_name": null, "inbound_nodes": history(of) })
    };
    let input = json!({ "module": "keras.layers", "class_name": "InputLayer", "name": "input",
        "config": { "batch_shape": [null, 2], "name": "input" }, "registered_name": null, "inbound_nodes": [] });
    let config = json!({ "module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional",
        "config": { "name": "model", "trainable": true, "layers": [input, dense("a", "b"), dense("b", "a")],
                    "input_layers": [["input", 0, 0]], "output_layers": [["b", 0, 0]] } });
    members(config.to_string().as_bytes(), WEIGHTS)
}

pub fn cases() -> Vec<Case> {
    let plain = config().to_string();
    let good = [
        Raw::stored("config.json", plain.as_bytes()),
        Raw::stored("metadata.json", b"{}"),
        Raw::stored("model.weights.h5", WEIGHTS),
    ];
    let and = |more: Raw| archive(&[good.as_slice(), &[more]].concat());
    let named = |name: &str| Raw { name: name.into(), local_name: name.into(), ..Raw::stored("x", b"x") };
    let text = |config: &str| members(config.as_bytes(), WEIGHTS);
    let layer = "/config/layers/1";
    let dense = |key: &str, value: Value| with(&format!("{layer}/config/{key}"), value);
    let lambda = json!({ "module": "keras.layers", "class_name": "Lambda", "registered_name": null,
        "config": { "name": "evil", "function": { "class_name": "__lambda__", "config": { "code": "4wEAAAA=" } } } });
    let wrapped = |times| {
        (0..times).fold(config()["config"]["layers"][1].clone(), |inner, i| {
            json!({
        "class_name": "TimeDistributed", "config": { "name": format!("wrapper_{i}"), "layer": inner } })
        })
    };
    vec![
        case(
            "keras: a member outside",
            read,
            and(named("../../.ssh/authorized_keys")),
            "its name leads out of the archive",
        ),
        case(
            "keras: an absolute member",
            read,
            and(named("/etc/passwd")),
            "its name leads out of the archive",
        ),
        case(
            "keras: a configuration twice",
            read,
            and(Raw::stored("config.json", b"{}")),
            "two members have the same name",
        ),
        case(
            "keras: a symbolic link",
            read,
            and(Raw { mode: 0o120_777, ..named("link") }),
            "member \"link\": is a symbolic link",
        ),
        case(
            "keras: an encrypted member",
            read,
            and(Raw { flags: 1, ..named("x") }),
            "member \"x\": is encrypted",
        ),
        case(
            "keras: a bomb",
            read,
            and(Raw { size: u32::MAX - 1, stored: vec![0; 5 << 20], method: 8, ..named("x") }),
            "the number of bytes of all members",
        ),
        case(
            "keras: no configuration",
            read,
            archive(&good[1..]),
            "member \"config.json\": is not in the archive",
        ),
        case("keras: no weights", read, archive(&good[..2]), "model.weights.h5"),
        case("keras: weights that are none", read, members(plain.as_bytes(), b"no HDF5"), "not an HDF5 file"),
        case(
            "keras: a key twice",
            read,
            text(&plain.replace("\"units\":1", "\"units\":1,\"units\":2")),
            "config.json: not the JSON it should be: the key \"units\" stands twice",
        ),
        case(
            "keras: a deep configuration",
            read,
            text(&format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000))),
            "config.json: not the JSON",
        ),
        case("keras: a configuration that is no object", read, text("[1, 2]"), "expected an object"),
        case("keras: a configuration that is no JSON", read, text("\u{0}"), "config.json: not the JSON"),
        case("keras: a Lambda", read, with(layer, lambda), "Lambda"),
        case(
            "keras: a class of one's own",
            read,
            with(&format!("{layer}/class_name"), json!("os.system")),
            "os.system",
        ),
        case("keras: layers that are no list", read, with("/config/layers", json!({})), "expected a list"),
        case("keras: no layer", read, with("/config/layers", json!([])), "model itself: there are no layers"),
        case("keras: 2^40 units", read, dense("units", json!(1u64 << 40)), "dense"),
        case("keras: 2^31 units", read, dense("units", json!(1u64 << 31)), "2147483648, more than the limit"),
        case("keras: 0 units", read, dense("units", json!(0)), "units"),
        case(
            "keras: negative units",
            read,
            dense("units", json!(-1)),
            "layer dense: Dense with invalid value: integer `-1`",
        ),
        case(
            "keras: a text for units",
            read,
            dense("units", json!("many")),
            "layer dense: Dense with invalid type: string \"many\"",
        ),
        case(
            "keras: a class of others by Keras's name",
            read,
            with(&format!("{layer}/registered_name"), json!("evil>Dense")),
            "layer dense: its class Dense is not Keras's but one of \"evil>Dense\"",
        ),
        case(
            "keras: a module of others",
            read,
            with(&format!("{layer}/module"), json!("os.path")),
            "layer dense: its class Dense is not Keras's but one of \"os.path\"",
        ),
        case("keras: an unknown option", read, dense("evil", json!(true)), "evil"),
        case("keras: an unknown activation", read, dense("activation", json!("__import__")), "__import__"),
        case("keras: numbers of eight bits", read, dense("dtype", json!("int8")), "int8"),
        case(
            "keras: an input that overflows",
            read,
            with("/config/layers/0/config/batch_shape", json!([null, 1u64 << 31, 1u64 << 31, 1u64 << 31])),
            "the size of a value's axis is 2147483648, more than the limit",
        ),
        case("keras: wrappers within wrappers", read, with(layer, wrapped(200)), "nested more than 32 deep"),
        case(
            "keras: layers that are each other's input",
            read,
            cycle(),
            "layer a: it needs its own output: the layers are connected in a circle",
        ),
        case("keras: a model of other sizes", read, dense("units", json!(3)), "weight dense/kernel"),
        case(
            "keras: NaN",
            read,
            members(plain.as_bytes(), include_bytes!("../hostile/weights_nan.weights.h5")),
            "value 1 is NaN",
        ),
        case(
            "keras: a pointer of git LFS",
            read,
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n".to_vec(),
            "not a zip archive",
        ),
        case(
            "keras: a pickle in an archive",
            read,
            include_bytes!("../hostile/pickle.pt").to_vec(),
            "archive: ",
        ),
        case("h5: no configuration", read_h5, WEIGHTS.to_vec(), "model_config"),
        case(
            "h5: links to another file",
            read_h5,
            include_bytes!("../hostile/external_link.h5").to_vec(),
            "external link into another file",
        ),
        case(
            "h5: values in another file",
            read_h5,
            include_bytes!("../hostile/external_storage.h5").to_vec(),
            "external storage",
        ),
        case(
            "h5: virtual values",
            read_h5,
            include_bytes!("../hostile/virtual.h5").to_vec(),
            "virtual data set",
        ),
        case(
            "h5: groups in a circle",
            read_h5,
            include_bytes!("../hostile/cycle.h5").to_vec(),
            "a/b/up: is the same object as a",
        ),
        case(
            "h5: groups within groups",
            read_h5,
            include_bytes!("../hostile/deep.h5").to_vec(),
            "the depth of groups",
        ),
        case("h5: a pickle", read_h5, include_bytes!("../hostile/pickle.pt").to_vec(), "not an HDF5 file"),
    ]
}

pub fn weights() -> Vec<Case> {
    macro_rules! weights {
        ($($name:literal: $says:literal,)*) => {
            vec![$(case(
                concat!("weights: ", $name),
                read_weights,
                include_bytes!(concat!("../hostile/weights_", $name, ".weights.h5")).to_vec(),
                $says,
            )),*]
        };
    }
    weights![
        "nan": "weight dense/kernel (layers/dense/vars/0): value 1 is NaN",
        "infinite": "weight dense/kernel (layers/dense/vars/0): value 1 is inf",
        "text": "weight dense/kernel (layers/dense/vars/0): expected numbers, got text",
        "compound": "layers/dense/vars/0: values of type compound",
        "complex": "layers/dense/vars/0: values of type compound",
        "turned": "weight dense/kernel (layers/dense/vars/0): expected shape [2, 1], got [1, 2]",
        "larger": "expected shape [2, 1], got [3, 1]",
        "missing": "weight dense/bias: there is no layers/dense/vars/1",
        "more": "layers/dense_1/vars/0: the architecture has no place",
        "group": "weight dense/kernel: there is no layers/dense/vars/0",
        "unwritten": "its values have never been written",
        "huge": "layers/dense/vars/0: the sizes [1099511627776, 1073741824] overflow",
        "bomb": "expected shape [2, 1], got [1048576, 1]",
        "external_link": "layers/dense/vars: the member \"0\" is an external link",
        "soft_link": "layers/dense/vars: the member \"0\" is a soft link",
        "external": "layers/dense/vars/0: keeps its values in other files",
        "virtual": "layers/dense/vars/0: is a virtual data set",
        "cycle": "is the same object as",
        "none": "it has no group \"layers\"",
    ]
}
