//! `.npz` and `.npy`.

use super::raw_zip::{Raw, archive};
use super::{Case, case};
use rnn_interop::{Limits, Result, read_npy, read_npz};

type Good = (&'static str, &'static [u8], fn(&[u8]) -> Result<()>);

pub const GOOD: &[Good] = &[
    ("npz", include_bytes!("../files/compressed.npz"), npz),
    ("npy", include_bytes!("../files/fortran.npy"), npy),
];

fn npz(bytes: &[u8]) -> Result<()> {
    read_npz(bytes, &Limits::default()).map(drop)
}

fn npy(bytes: &[u8]) -> Result<()> {
    read_npy(bytes, &Limits::default()).map(drop)
}

/// A `.npy` file of zeros with this header.
fn array(descr: &str, shape: &str, bytes: usize) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", length.as_slice(), header.as_bytes(), &vec![0; bytes]].concat()
}

pub fn cases() -> Vec<Case> {
    let good = Raw::stored("x.npy", &array("'<f4'", "(2,)", 8));
    let with = |contents: Vec<u8>| archive(&[Raw::stored("x.npy", &contents)]);
    let named = |name: &[u8]| archive(&[Raw { name: name.into(), local_name: name.into(), ..good.clone() }]);
    vec![
        case(
            "npz: a member outside",
            npz,
            named(b"../../x.npy"),
            "member \"../../x.npy\": its name leads out",
        ),
        case(
            "npz: an absolute member",
            npz,
            named(b"/etc/x.npy"),
            "member \"/etc/x.npy\": its name leads out",
        ),
        case(
            "npz: a member twice",
            npz,
            archive(&[good.clone(), good.clone()]),
            "two members have the same name",
        ),
        case(
            "npz: a member that is no array",
            npz,
            archive(&[Raw::stored("x.py", b"1")]),
            "member \"x.py\": is no array",
        ),
        case(
            "npz: a pickle in it",
            npz,
            with(array("'|O'", "(2,)", 8)),
            "array \"x\": values of type \"|O\" are not read",
        ),
        case(
            "npz: a product that overflows",
            npz,
            with(array("'<f4'", "(4294967296, 4294967296, 2)", 8)),
            "array \"x\": no file",
        ),
        case(
            "npz: less than it claims",
            npz,
            with(array("'<f8'", "(100,)", 8)),
            "array \"x\": an array of shape [100] ends",
        ),
        case(
            "npz: more than it claims",
            npz,
            with(array("'<f4'", "(1,)", 8)),
            "array \"x\": 4 bytes follow its 1 values",
        ),
        case(
            "npz: encrypted",
            npz,
            archive(&[Raw { flags: 1, ..good.clone() }]),
            "member \"x.npy\": is encrypted",
        ),
        case(
            "npz: a bomb",
            npz,
            archive(&["a.npy", "b.npy"].map(|name| Raw {
                size: u32::MAX - 1,
                stored: vec![0; 5 << 20],
                method: 8,
                ..Raw::stored(name, b"")
            })),
            "member \"b.npy\": the number of bytes of all members is 8589934588",
        ),
        case(
            "npz: a wrong check sum",
            npz,
            archive(&[Raw { crc: 7, ..good }]),
            "member \"x.npy\": can not be inflated",
        ),
        case("npy: records", npy, array("[('a', '<f4')]", "(2,)", 8), "array: records are not read"),
        case(
            "npy: too many axes",
            npy,
            array("'<f4'", "(1,1,1,1,1,1,1,1,1)", 4),
            "array: the number of axes is 9",
        ),
        case("npy: code behind the header", npy, array("'<f4'", "(2,)} + exit(", 8), "array: "),
        case("npy: complex numbers", npy, array("'<c8'", "(1,)", 8), "values of type \"<c8\""),
        case(
            "npy: a pointer of git LFS",
            npy,
            b"version https://git-lfs.github.com/spec/v1\noid".to_vec(),
            "not a .npy file",
        ),
    ]
}
