use super::*;
use ndarray::{Array, arr0, array};

const TYPES: &[u8] = include_bytes!("../../tests/files/types.h5");
const LATEST: &[u8] = include_bytes!("../../tests/files/latest.h5");

fn open(bytes: &[u8]) -> Result<File> {
    File::open(bytes, &Limits::default())
}

/// The values of `ramp` in `scripts/interop_files.py`.
fn ramp(shape: &[usize]) -> ArrayD<f32> {
    let count = shape.iter().product();
    ArrayD::from_shape_vec(shape, (0..count).map(|i| i as f32 * 0.5 - 1.0).collect()).unwrap()
}

#[test]
fn values_of_every_type_and_storage() {
    let file = open(TYPES).unwrap();
    let expected = array![[0.0, 1.0, 2.0], [3.0, 4.0, 100.0]].into_dyn();
    let types = file.members("types").unwrap();
    assert_eq!(types.len(), 15);
    for name in types.iter().filter(|name| *name != "bool") {
        assert_eq!(file.read(&format!("types/{name}"), &[2, 3]).unwrap(), expected, "{name}");
    }
    assert_eq!(file.read("types/bool", &[3]).unwrap(), array![1.0, 0.0, 1.0].into_dyn());
    assert_eq!(file.number("scalar").unwrap(), 16_777_217.0);
    assert_eq!(file.number("one").unwrap(), 2.5);
    assert_eq!(file.read("empty", &[0, 3]).unwrap().shape(), [0, 3]);
    assert_eq!(file.read("compact", &[2, 2]).unwrap(), ramp(&[2, 2]));
    for name in ["plain", "deflate", "all"] {
        assert_eq!(file.read(&format!("chunked/{name}"), &[5, 7]).unwrap(), ramp(&[5, 7]), "{name}");
    }
    assert_eq!(file.shape("types/f4"), Some(&[2, 3][..]));
    assert_eq!(file.shape("types"), None);
    assert_eq!(file.members("types/f4"), None);
    assert_eq!(file.members("many").unwrap().len(), 20);
    assert_eq!(file.members("many").unwrap()[19], "group_19");
}

#[test]
fn attributes_of_every_type() {
    let file = open(TYPES).unwrap();
    let get = |name: &str| file.attribute("", name).unwrap();
    assert_eq!(get("text"), Some(Attribute::Text("größer".into())));
    assert_eq!(get("bytes"), Some(Attribute::Text("fixed".into())));
    assert_eq!(get("python_bytes"), Some(Attribute::Text("of any length".into())));
    assert_eq!(file.text("", "long").unwrap().unwrap().len(), 70_000);
    assert_eq!(get("number"), Some(Attribute::Number(2.5)));
    assert_eq!(get("integer"), Some(Attribute::Number(7.0)));
    assert_eq!(get("flag"), Some(Attribute::Number(1.0)));
    assert_eq!(get("numbers"), Some(Attribute::Numbers(vec![1.5, 2.5])));
    assert_eq!(get("nothing"), None);
    assert_eq!(file.text("", "nothing").unwrap(), None);
    let texts = |name: &str| file.texts("", name).unwrap().unwrap();
    assert_eq!(texts("fixed_names"), ["one", "three"]);
    assert_eq!(texts("names"), ["ein", "zwei", "zwölf"]);
    assert_eq!(texts("cut"), ["a", "b", "c"]);
    assert!(texts("none").is_empty());
    assert_eq!(file.texts("", "nothing").unwrap(), None);
    assert_eq!(file.text("types", "of").unwrap().as_deref(), Some("a group"));
    assert_eq!(file.text("compact", "of").unwrap().as_deref(), Some("a data set"));
    assert_eq!(file.attribute("many/group_07", "index").unwrap(), Some(Attribute::Number(7.0)));
}

#[test]
fn files_of_the_newer_kind() {
    let file = open(LATEST).unwrap();
    assert_eq!(file.read("group/values", &[2, 3]).unwrap(), ramp(&[2, 3]));
    assert_eq!(file.texts("group", "names").unwrap().unwrap(), ["b", "a"]);
    assert_eq!(file.members("ordered").unwrap(), ["z", "a"]);
    assert_eq!(file.datasets().collect::<Vec<_>>(), ["group/values", "ordered/a", "ordered/z"]);
}

#[test]
fn what_is_asked_for_wrongly_is_named() {
    let file = open(TYPES).unwrap();
    let cases = [
        (file.read("types/f4", &[3, 2]), "types/f4: expected shape [3, 2], got [2, 3]"),
        (file.read("types/f5", &[3, 2]), "types/f5: is not in the file"),
        (file.read("types", &[3, 2]), "types: expected a data set, got a group"),
        (file.read("text", &[]), "text: expected numbers, got text"),
        (file.read("nan", &[2]), "nan: value 1 is NaN"),
        (file.read("huge", &[1]), "huge: value 0 is inf"),
        (file.read("unwritten", &[4]), "unwritten: its values have never been written"),
        (file.read("chunked/partly", &[5, 7]), "chunked/partly: its values have never been written"),
    ];
    for (got, expected) in cases {
        let message = got.unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    let message = file.number("types/f4").unwrap_err().to_string();
    assert_eq!(message, "types/f4: expected one number, got shape [2, 3]");
    let message = file.text("", "number").unwrap_err().to_string();
    assert_eq!(message, "/: attribute \"number\": expected text, got a number");
    let limits = Limits { not_finite: true, ..Limits::default() };
    assert!(File::open(TYPES, &limits).unwrap().read("nan", &[2]).unwrap()[1].is_nan());
}

#[test]
fn what_is_written_is_read() {
    let mut writer = Writer::new();
    let values = Array::from_shape_fn((3, 2), |(i, j)| i as f32 - 0.25 * j as f32).into_dyn();
    writer.f32("layers/dense/vars/0", &values);
    writer.i64("optimizer/vars/0", &arr0(1 << 40).into_dyn());
    writer.f32("layers/dense/vars/empty", &ArrayD::zeros(vec![0, 2]));
    writer.group("layers/dropout/vars");
    let long = "y".repeat(200_000);
    let names: Vec<String> = (0..3000).map(|i| format!("layer_with_a_long_name_{i}")).collect();
    writer.attribute("", "model_config", Attribute::Text(long.clone()));
    writer.attribute("layers", "layer_names", Attribute::Texts(names.clone()));
    writer.attribute("layers/dropout", "weight_names", Attribute::Texts(Vec::new()));
    writer.attribute("layers/dense/vars/0", "name", Attribute::Text("kernel".into()));
    for i in 0..8 {
        writer.attribute("layers/dense", &format!("a{i}"), Attribute::Number(f64::from(i)));
    }
    for i in 0..40 {
        writer.f32(&format!("many/{i}"), &arr0(i as f32).into_dyn());
    }
    let bytes = writer.finish().unwrap();
    let file = open(&bytes).unwrap();
    assert_eq!(file.read("layers/dense/vars/0", &[3, 2]).unwrap(), values);
    assert_eq!(file.read("layers/dense/vars/empty", &[0, 2]).unwrap().len(), 0);
    assert_eq!(file.number("optimizer/vars/0").unwrap(), (1u64 << 40) as f64);
    assert_eq!(file.members("layers/dropout/vars").unwrap().len(), 0);
    assert_eq!(file.text("", "model_config").unwrap().unwrap(), long);
    assert_eq!(file.texts("layers", "layer_names").unwrap().unwrap(), names);
    assert!(file.texts("layers/dropout", "weight_names").unwrap().unwrap().is_empty());
    assert_eq!(file.text("layers/dense/vars/0", "name").unwrap().as_deref(), Some("kernel"));
    assert_eq!(file.attribute("layers/dense", "a7").unwrap(), Some(Attribute::Number(7.0)));
    assert_eq!(file.members("many").unwrap().len(), 40);
}

#[test]
fn names_that_hdf5_does_not_have_are_refused() {
    let mut writer = Writer::new();
    writer.f32("layers/.", &arr0(1.0).into_dyn());
    let message = writer.finish().unwrap_err().to_string();
    assert!(message.starts_with("/: can not be written as HDF5"), "{message}");
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for bytes in [LATEST, TYPES] {
        for end in (0..bytes.len()).step_by(if bytes.len() > 10_000 { 1013 } else { 1 }) {
            assert!(open(&bytes[..end]).is_err(), "{end}");
        }
    }
}

#[test]
fn files_beyond_the_plain_parts_are_refused_by_name() {
    let cases: [(&[u8], &str); 20] = [
        (include_bytes!("../../tests/hostile/soft_link.h5"), "/: the member \"soft\" is a soft link"),
        (
            include_bytes!("../../tests/hostile/external_link.h5"),
            "/: the member \"outside\" is an external link",
        ),
        (
            include_bytes!("../../tests/hostile/external_link_latest.h5"),
            "/: the member \"outside\" is an external link",
        ),
        (
            include_bytes!("../../tests/hostile/external_storage.h5"),
            "values: keeps its values in other files",
        ),
        (include_bytes!("../../tests/hostile/virtual.h5"), "values: is a virtual data set"),
        (include_bytes!("../../tests/hostile/cycle.h5"), "a/b/up: is the same object as a"),
        (include_bytes!("../../tests/hostile/self.h5"), "self: is the same object as /"),
        (include_bytes!("../../tests/hostile/shared.h5"), "x: is the same object as y"),
        (include_bytes!("../../tests/hostile/lzf.h5"), "values: values behind filter 32000"),
        (include_bytes!("../../tests/hostile/compound.h5"), "values: values of type compound"),
        (
            include_bytes!("../../tests/hostile/reference.h5"),
            "/: attribute \"reference\": values of type reference",
        ),
        (include_bytes!("../../tests/hostile/committed_type.h5"), "values: a part of its header is shared"),
        (include_bytes!("../../tests/hostile/opaque.h5"), "values: values of type opaque"),
        (
            include_bytes!("../../tests/hostile/dense_links.h5"),
            "/: keeps its links in an index of the newer kind",
        ),
        (include_bytes!("../../tests/hostile/dense_attributes.h5"), "/: keeps its attributes in an index"),
        (include_bytes!("../../tests/hostile/newer_chunks.h5"), "values: keeps its chunks in an index"),
        (include_bytes!("../../tests/hostile/user_block.h5"), "HDF5 header: not an HDF5 file"),
        (
            include_bytes!("../../tests/hostile/deep.h5"),
            "the depth of groups is 33, more than the limit of 32",
        ),
        (include_bytes!("../../tests/hostile/unwritten_huge.h5"), "values: the number of values is"),
        (b"PK\x03\x04", "HDF5 header: not an HDF5 file"),
    ];
    for (bytes, expected) in cases {
        let message = open(bytes).map(|_| "read").unwrap_err().to_string();
        assert!(message.contains(expected), "expected {expected}\n     got {message}");
    }
}

/// Keras says in a text beside them that they are bfloat16.
#[test]
fn two_bytes_without_a_word_beside_them_are_no_numbers() {
    let file = open(include_bytes!("../../tests/hostile/two_bytes.h5")).unwrap();
    let message = file.read("values", &[3]).unwrap_err().to_string();
    assert_eq!(message, "values: expected numbers, got two bytes without a meaning");
}

#[test]
fn a_chunk_that_inflates_to_much_is_not_read_before_its_shape_is_known() {
    let limits = Limits { elements: 1 << 20, ..Limits::default() };
    let message = File::open(include_bytes!("../../tests/hostile/bomb.h5"), &limits)
        .map(|_| "read")
        .unwrap_err()
        .to_string();
    assert_eq!(message, "values: the number of values is 4194304, more than the limit of 1048576");
    let file = open(include_bytes!("../../tests/hostile/bomb.h5")).unwrap();
    assert!(file.read("values", &[4]).unwrap_err().to_string().contains("expected shape [4], got [4194304]"));
}
