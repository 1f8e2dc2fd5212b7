//! `.safetensors`.

use super::{Case, case};
use rnn_interop::torch::{Steps, TorchOptions, read as read_torch};
use rnn_interop::{Limits, Result};

type Good = (&'static str, &'static [u8], fn(&[u8]) -> Result<()>);

const TINY: &[u8] = include_bytes!("../files/tiny.torch.safetensors");

pub const GOOD: &[Good] = &[("safetensors", TINY, torch)];

fn torch(bytes: &[u8]) -> Result<()> {
    let options = TorchOptions { output: Some(Steps::Last), ..TorchOptions::default() };
    read_torch(bytes, &Limits::default(), &options).map(drop)
}

/// A file of this header and so many bytes of zeros.
fn file(header: &str, bytes: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; bytes]].concat()
}

/// A file of one tensor.
fn tensor(name: &str, dtype: &str, shape: &str, bytes: usize) -> Vec<u8> {
    file(&format!(r#"{{"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{bytes}]}}}}"#), bytes)
}

/// A state dict of `fc`, an `nn.Linear` of 2 values into 1.
fn linear(weight: [f32; 2], bias: &str) -> Vec<u8> {
    let header = format!(
        r#"{{"fc.weight":{{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}},"fc.bias":{{"dtype":"F32",{bias}}}}}"#
    );
    [file(&header, 0), weight.iter().flat_map(|x| x.to_le_bytes()).collect(), vec![0; 4]].concat()
}

pub fn cases() -> Vec<Case> {
    let bias = r#""shape":[1],"data_offsets":[8,12]"#;
    let header = "safetensors header";
    let length = |length: u64| [&length.to_le_bytes()[..], b"{}"].concat();
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(300), "]".repeat(300));
    let integers = r#"{"fc.weight":{"dtype":"I64","shape":[1,2],"data_offsets":[0,16]},"fc.bias":{"dtype":"F32","shape":[1],"data_offsets":[16,20]}}"#;
    let integers = file(integers, 20);
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let over = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let hole = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
    vec![
        case("torch: a header beyond the file", torch, length(100), header),
        case("torch: a header of 2^63 bytes", torch, length(1 << 63), header),
        case("torch: a header of 2^64 - 1 bytes", torch, length(u64::MAX), header),
        case("torch: a header that is no JSON", torch, file("{'a': 1}", 0), header),
        case("torch: a deep header", torch, file(&deep, 0), header),
        case("torch: a tensor twice", torch, file(twice, 4), "\"a\" stands twice"),
        case("torch: tensors over one another", torch, file(over, 12), header),
        case("torch: a hole between tensors", torch, file(hole, 12), header),
        case("torch: bytes behind the last tensor", torch, [TINY, b"x"].concat(), header),
        case(
            "torch: a tensor beyond the file",
            torch,
            file(r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#, 8),
            header,
        ),
        case(
            "torch: offsets the wrong way",
            torch,
            file(r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[8,0]}}"#, 8),
            header,
        ),
        case(
            "torch: a shape that overflows",
            torch,
            tensor("a", "F32", "[4294967296,4294967296,4294967296]", 8),
            header,
        ),
        case("torch: a shape that its bytes do not have", torch, tensor("a", "F32", "[3]", 8), header),
        case("torch: a negative size", torch, tensor("a", "F32", "[-1]", 4), header),
        case(
            "torch: too many axes",
            torch,
            tensor("a", "F32", "[1,1,1,1,1,1,1,1,1]", 4),
            "a: the number of axes is 9",
        ),
        case("torch: an unknown type", torch, tensor("a", "F128", "[1]", 16), header),
        case("torch: whole numbers", torch, integers, "tensor fc.weight: its type is I64"),
        case("torch: a tensor that fits nothing", torch, tensor("fc.weight", "F32", "[1,2,3]", 24), "fc"),
        case("torch: NaN", torch, linear([1.0, f32::NAN], bias), "tensor fc.weight: value 1 is NaN"),
        case(
            "torch: infinity",
            torch,
            linear([f32::NEG_INFINITY, 1.0], bias),
            "tensor fc.weight: value 0 is -inf",
        ),
        case(
            "torch: a bias of another size",
            torch,
            linear([1.0, 1.0], r#""shape":[1,1],"data_offsets":[8,12]"#),
            "fc",
        ),
        case("torch: a pickle", torch, include_bytes!("../hostile/pickle.pt").to_vec(), header),
        case(
            "torch: a pointer of git LFS",
            torch,
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n".to_vec(),
            header,
        ),
        case("torch: nothing", torch, Vec::new(), header),
    ]
}
