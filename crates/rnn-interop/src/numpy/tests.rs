use super::*;
use ndarray::{Array, array};

const ARRAYS: &[u8] = include_bytes!("../../tests/files/arrays.npz");
const COMPRESSED: &[u8] = include_bytes!("../../tests/files/compressed.npz");
const FORTRAN: &[u8] = include_bytes!("../../tests/files/fortran.npy");

#[test]
fn arrays_of_numpy_of_every_type() {
    let limits = Limits::default();
    let plain = read_npz(ARRAYS, &limits).unwrap();
    let expected = array![[0.0, 1.0, 2.0], [3.0, 4.0, 100.0]].into_dyn();
    for (name, array) in plain.iter().filter(|(name, _)| name.starts_with("type_")) {
        assert_eq!(array, expected, "{name}");
    }
    assert_eq!(plain.len(), 18);
    assert_eq!(plain["bool"], array![1.0, 0.0].into_dyn());
    assert_eq!(plain["scalar"], ndarray::arr0(2.5).into_dyn());
    assert_eq!(plain["empty"].shape(), [0, 3]);
    assert_eq!(
        plain["cube"],
        Array::from_shape_fn((2, 3, 4), |(i, j, k)| (12 * i + 4 * j + k) as f32).into_dyn()
    );
    assert_eq!(read_npz(COMPRESSED, &limits).unwrap(), plain);
    let fortran = read_npy(FORTRAN, &limits).unwrap();
    assert_eq!(fortran, plain["cube"]);
    assert!(fortran.is_standard_layout());
}

#[test]
fn what_is_written_is_read() {
    let limits = Limits::default();
    for shape in [vec![], vec![5], vec![2, 3], vec![0, 4], vec![1, 2, 3, 4, 5]] {
        let mut next = 0.0;
        let values = ArrayD::from_shape_simple_fn(shape, || {
            next += 0.3;
            next
        });
        let bytes = write_npy(&values);
        assert_eq!(read_npy(&bytes, &limits).unwrap(), values);
        // As NumPy aligns them.
        assert_eq!((bytes.len() - 4 * values.len()) % 64, 0);
        let arrays = Arrays::from([("a/b".into(), values.clone()), ("ü".into(), values)]);
        assert_eq!(read_npz(&write_npz(&arrays).unwrap(), &limits).unwrap(), arrays);
    }
    // NaN is data here: a missing value of a series.
    assert!(read_npy(&write_npy(&array![f32::NAN].into_dyn()), &limits).unwrap()[0].is_nan());
}

#[test]
fn hostile_arrays_are_refused() {
    let good = write_npy(&array![1.0, 2.0].into_dyn());
    let with = |from: &str, to: &str| {
        let text = String::from_utf8_lossy(&good[10..74]).replace(from, to);
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend([0; 8]);
        bytes
    };
    let cases = [
        (with("(2,)", "(4294967296, 4294967296, 4)"), "no file can hold"),
        (with("(2,)", "(0, 18446744073709551615, 3)"), "8 bytes follow its 0 values"),
        (with("(2,)", "(1000000, 1000)"), "it is cut off"),
        (with("(2,)", "(1, 1, 1, 1, 1, 1, 1, 1, 2)"), "the number of axes is 9, more than the limit of 8"),
        (with("(2,)", "(-2,)"), "no size of an axis"),
        (with("(2,)", "(1,)"), "4 bytes follow its 1 values"),
        (with("<f4", "|O"), "values of type \"|O\" are not read"),
        (with("<f4", "<c8"), "values of type \"<c8\" are not read"),
        (with("'<f4'", "[('a', '<f4')]"), "records are not read"),
        (with("}", "} + __import__('os').system('true')"), "more than a dictionary"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n".to_vec(), "not a .npy file"),
        (b"\x93NUMPY\x03\x00\xff\xff\xff\x7f".to_vec(), "a header of 2147483647 bytes"),
    ];
    for (bytes, expected) in cases {
        let message = read_npy(&bytes, &Limits::default()).unwrap_err().to_string();
        assert!(
            message.starts_with("array: ") && message.contains(expected),
            "expected {expected}\n     got {message}"
        );
    }
    for end in 0..good.len() {
        assert!(read_npy(&good[..end], &Limits::default()).is_err(), "{end}");
    }
    let mut archive = ArchiveWriter::new();
    archive.add("readme.txt", b"", false).unwrap();
    let message = read_npz(&archive.finish().unwrap(), &Limits::default()).unwrap_err().to_string();
    assert_eq!(message, "member \"readme.txt\": is no array; an .npz file holds .npy files");
}
