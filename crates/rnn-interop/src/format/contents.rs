//! What a file's bytes say it is.

use super::{Format, PICKLE};
use crate::archive::Archive;
use crate::{Error, Limits, Result, json, safetensors};

/// The formats that the bytes may be: one, both of HDF5, or none that is known.
///
/// # Errors
/// When the bytes are something that a person takes for a model by mistake: a pointer of git LFS, a web page, a pickle, an
/// empty file. The message says what to do.
pub(super) fn formats(bytes: &[u8], limits: &Limits) -> Result<Vec<Format>> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let refuse = |problem: &str| Err(Error::unsupported("the file's contents", problem));
    if bytes.is_empty() {
        return refuse("the file is empty");
    }
    if starts(b"version https://git-lfs.github.com/") {
        return refuse(
            "this is a pointer of git LFS, a text that stands for the file; fetch the file itself by `git lfs pull`",
        );
    }
    let text: String = bytes.iter().take(64).map(|&byte| byte.to_ascii_lowercase() as char).collect();
    if text.trim_start().starts_with("<!doctype html") || text.trim_start().starts_with("<html") {
        return refuse(
            "this is a web page, perhaps of a download that asked for a login; download the file itself",
        );
    }
    if starts(b"\x89HDF\r\n\x1a\n") || later_hdf5(bytes) {
        return Ok(vec![Format::KerasH5, Format::KerasWeights]);
    }
    if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        return zip(bytes, limits);
    }
    if let Some(header) = safetensors::header(bytes) {
        return Ok(vec![safetensors_kind(header, limits)]);
    }
    match bytes {
        // Protocols 2 to 5 of pickle, and what torch.save wrote before it wrote archives.
        [0x80, 2..=5, ..] => refuse(PICKLE),
        [0x1f, 0x8b, ..] => refuse("this is compressed by gzip; unpack it first"),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            refuse("this is one array of NumPy (.npy), not a model; give the file of the model")
        }
        _ if text.trim_start().starts_with('{') => {
            refuse("this is a JSON text: an architecture perhaps, but without weights; save the whole model")
        }
        // Protocol buffers have no magic: the first field of a ModelProto is ir_version, a small number.
        [0x08, 1..=0x20, _, ..] => Ok(vec![Format::Onnx]),
        _ => Ok(Vec::new()),
    }
}

/// HDF5 may stand behind a block of a user's, at 512, 1024, 2048 bytes and so on.
fn later_hdf5(bytes: &[u8]) -> bool {
    let places = std::iter::successors(Some(512usize), |place| place.checked_mul(2));
    let mut places = places.take_while(|&place| place < bytes.len());
    places.any(|place| bytes[place..].starts_with(b"\x89HDF\r\n\x1a\n"))
}

fn zip(bytes: &[u8], limits: &Limits) -> Result<Vec<Format>> {
    // The first member of what torch.save writes, before anything is asked of the rest.
    let begin = &bytes[..bytes.len().min(4096)];
    if begin.windows(8).any(|name| name == b"data.pkl") {
        return Err(Error::unsupported("the file's contents", PICKLE));
    }
    let archive = Archive::open(bytes, limits)?;
    let mut names = archive.names().peekable();
    if archive.has("config.json") || archive.has("model.weights.h5") {
        return Ok(vec![Format::Keras]);
    }
    if names.peek().is_some() && names.all(|name| name.ends_with(".npy")) {
        return Ok(vec![Format::Npz]);
    }
    let shown: Vec<&str> = archive.names().take(4).collect();
    let problem = format!("a zip archive, but of no model that is read; it has {}", shown.join(", "));
    Err(Error::unsupported("the file's contents", problem))
}

/// Our own file has its description in the metadata; the header has been found to begin with a brace only.
fn safetensors_kind(header: &[u8], limits: &Limits) -> Format {
    let parsed = json::parse("safetensors header", header, limits).ok();
    match parsed.is_some_and(|header| header["__metadata__"][safetensors::OUR_KEY].is_string()) {
        true => Format::Tidegate,
        false => Format::Torch,
    }
}
