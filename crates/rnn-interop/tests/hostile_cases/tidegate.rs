//! This engine's own model files.

use super::{Case, case};
use rnn_interop::Result;
use rnn_model::layer::Dense;
use rnn_model::{Device, Input, Model, Sequential};
use serde_json::{Value, json};

pub fn read(bytes: &[u8]) -> Result<()> {
    Ok(Model::from_bytes(bytes, &Device::cpu_with_threads(1)).map(drop)?)
}

/// A `Dense` layer of 2 values into 1.
pub fn good() -> Vec<u8> {
    let model =
        Sequential::new(Input::vector(2)).layer(Dense::new(1)).build(&Device::cpu_with_threads(1)).unwrap();
    model.to_bytes(false).unwrap()
}

/// The file with its header changed.
fn with_header(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let file = good();
    let end = 8 + u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&file[8..end]).unwrap();
    change(&mut header);
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &file[end..]].concat()
}

/// The file with a text of its description in the place of another.
fn with(from: &str, to: &str) -> Vec<u8> {
    with_header(|header| {
        let model = &mut header["__metadata__"]["tidegate"];
        let text = model.as_str().unwrap();
        assert!(text.contains(from), "{text} has no {from}");
        *model = text.replacen(from, to, 1).into();
    })
}

pub fn cases() -> Vec<Case> {
    let shape = |shape: Value| with_header(|header| header["weights/dense/kernel"]["shape"] = shape);
    vec![
        case(
            "tidegate: no description",
            read,
            with_header(|header| header["__metadata__"] = json!({})),
            "not a model that tidegate saved",
        ),
        case(
            "tidegate: a description that is no JSON",
            read,
            with("{", "("),
            "damaged description of the model",
        ),
        case("tidegate: a format to come", read, with("\"format\":2", "\"format\":99"), "model format 99"),
        case("tidegate: a class that is not there", read, with("\"Dense\"", "\"Lambda\""), "Lambda"),
        case(
            "tidegate: units that overflow",
            read,
            with("\"units\":1", "\"units\":18446744073709551615"),
            "kernel of dense: the model has more weights than a buffer can hold",
        ),
        case(
            "tidegate: 2^40 units",
            read,
            with("\"units\":1", "\"units\":1099511627776"),
            "kernel of dense: the model has more weights than a buffer can hold",
        ),
        case(
            "tidegate: other units than weights",
            read,
            with("\"units\":1", "\"units\":2"),
            "tensor weights/dense/kernel: expected",
        ),
        case(
            "tidegate: a unit twice",
            read,
            with("\"units\":1", "\"units\":1,\"units\":1"),
            "duplicate field `units`",
        ),
        case("tidegate: an activation that is not there", read, with("\"linear\"", "\"eval\""), "eval"),
        case(
            "tidegate: a shape of another size",
            read,
            shape(json!([3, 1])),
            "not a complete .safetensors file",
        ),
        case("tidegate: a shape turned round", read, shape(json!([1, 2])), "tensor weights/dense/kernel"),
        case(
            "tidegate: a missing tensor",
            read,
            with_header(|header| {
                let tensors = header.as_object_mut().unwrap();
                let tensor = tensors.remove("weights/dense/kernel").unwrap();
                tensors.insert("weights/other".into(), tensor);
            }),
            "tensor weights/dense/kernel is missing",
        ),
        case(
            "tidegate: weights of another type",
            read,
            with_header(|header| {
                header["weights/dense/kernel"] = json!({ "dtype": "I32", "shape": [2, 1], "data_offsets": header["weights/dense/kernel"]["data_offsets"] });
            }),
            "tensor weights/dense/kernel: expected F32, got I32",
        ),
        case(
            "tidegate: a pointer of git LFS",
            read,
            b"version https://git-lfs.github.com/spec/v1\noid".to_vec(),
            "not a complete .safetensors file",
        ),
    ]
}
