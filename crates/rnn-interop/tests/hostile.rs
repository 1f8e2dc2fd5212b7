//! Files made to do harm, or that something has gone wrong with: each is refused, with a sentence that says where.
//!
//! A case is a name, a file, how it is read, and a part of what the refusal says. Files that only a library writes stand in
//! `hostile/` (`scripts/interop_files.py` makes them); the others are made here. Cases of the parts that several formats are
//! made of (HDF5, zip, JSON, `.npy`) stand with those parts, in `src/`.

#[path = "common/message.rs"]
mod message;
#[path = "common/raw_zip.rs"]
mod raw_zip;

#[path = "hostile_cases/keras.rs"]
mod keras;
#[path = "hostile_cases/npz.rs"]
mod npz;
#[path = "hostile_cases/onnx.rs"]
mod onnx;
#[path = "hostile_cases/tidegate.rs"]
mod tidegate;
#[path = "hostile_cases/torch.rs"]
mod torch;

use rnn_interop::Result;
use std::collections::HashSet;

/// A file, and what reading it has to say.
struct Case {
    name: &'static str,
    file: Vec<u8>,
    read: fn(&[u8]) -> Result<()>,
    says: &'static str,
}

fn case(name: &'static str, read: fn(&[u8]) -> Result<()>, file: Vec<u8>, says: &'static str) -> Case {
    Case { name, file, read, says }
}

#[test]
fn hostile_files_are_refused_with_a_sentence_that_says_where() {
    let cases: Vec<Case> =
        [keras::cases(), keras::weights(), onnx::cases(), torch::cases(), tidegate::cases(), npz::cases()]
            .into_iter()
            .flatten()
            .collect();
    assert!(cases.len() >= 130, "{}", cases.len());
    let mut names = HashSet::new();
    let mut wrong = Vec::new();
    for Case { name, file, read, says } in cases {
        assert!(names.insert(name) && !says.is_empty(), "{name} stands there twice, or says nothing");
        match read(&file) {
            Ok(()) => wrong.push(format!("{name}: was read")),
            Err(error) if !error.to_string().contains(says) => wrong.push(format!("{name}: {error}")),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn files_as_they_should_be_are_read() {
    for (name, file, read) in [keras::GOOD, onnx::GOOD, torch::GOOD, npz::GOOD].concat() {
        read(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    tidegate::read(&tidegate::good()).unwrap();
    onnx::read(&onnx::good()).unwrap();
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let own = tidegate::good();
    for end in 0..own.len() {
        assert!(tidegate::read(&own[..end]).is_err(), "tidegate of {end} bytes was read");
    }
    for (name, file, read) in [keras::GOOD, torch::GOOD, npz::GOOD].concat() {
        for end in 0..file.len() {
            assert!(read(&file[..end]).is_err(), "{name} of {end} bytes was read");
        }
    }
    let file = onnx::good();
    for end in 0..file.len() {
        assert!(onnx::read(&file[..end]).is_err(), "onnx of {end} bytes was read");
    }
}
