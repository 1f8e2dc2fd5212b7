//! Files of arrays and text, read with clear errors and written whole or not at all.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, IxDyn};
use npyz::{DType, NpyFile, Order};

use crate::failure::{Failure, Outcome};

/// Writes a file whole or not at all, in a folder that is made where it is missing.
pub fn write(path: &Path, bytes: &[u8]) -> Outcome {
    make_folder(path)?;
    rnn_model::write_atomically(path, bytes).map_err(|error| match error {
        rnn_model::Error::Io { source, .. } => Failure::writing(path, source),
        error => Failure::writing(path, error),
    })
}

/// Makes the folder that `path` is to stand in.
pub fn make_folder(path: &Path) -> Outcome {
    match path.parent() {
        Some(folder) => fs::create_dir_all(folder).map_err(|error| Failure::writing(folder, error)),
        None => Ok(()),
    }
}

/// Fails where `path` can not be written or would replace one of the files that are read, before hours are spent on what
/// is to stand there.
pub fn check_output(path: &Path, read: &[&Path]) -> Outcome {
    if let Ok(there) = path.canonicalize()
        && read.iter().any(|read| read.canonicalize().is_ok_and(|read| read == there))
    {
        return Err(Failure::usage(format!(
            "{}: what is written would replace this file, which is read; choose another name",
            path.display()
        )));
    }
    make_folder(path)?;
    if path.is_dir() {
        return Err(Failure::writing(path, "it is a folder"));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    tempfile::tempfile_in(folder).map(drop).map_err(|error| Failure::writing(path, error))
}

/// [`check_output`] for a picture, whose name is to say what kind it is of.
pub fn check_picture(path: &Path, ending: &str, read: &[&Path]) -> Outcome {
    if !path.extension().is_some_and(|given| given.eq_ignore_ascii_case(ending)) {
        let name = path.with_extension(ending);
        return Err(Failure::usage(format!(
            "--plot {}: this picture is written as {}; name it {}",
            path.display(),
            ending.to_uppercase(),
            name.display()
        )));
    }
    check_output(path, read)
}

/// Reads an array of numbers from a `.npy` file, any of its types, as `f64`.
pub fn read_npy(path: &Path) -> Outcome<ArrayD<f64>> {
    let bad = |problem: String| Failure::reading(path, problem);
    let file = fs::File::open(path).map_err(|error| bad(error.to_string()))?;
    let length = file.metadata().map_err(|error| bad(error.to_string()))?.len();
    let npy = NpyFile::new(BufReader::new(file)).map_err(|error| bad(format!("not a .npy file: {error}")))?;
    let shape: Vec<usize> = npy.shape().iter().map(|&size| size as usize).collect();
    let order = npy.order();
    let DType::Plain(kind) = npy.dtype() else {
        return Err(bad("it holds records; one array of numbers is needed".into()));
    };
    // Sizes are the file's word: hold them against its length before anything is allocated.
    let count = npy.shape().iter().try_fold(1_u64, |count, &size| count.checked_mul(size));
    let bytes = kind.size_field();
    if count.and_then(|count| count.checked_mul(bytes)).is_none_or(|bytes| bytes > length) {
        return Err(bad(format!(
            "the file says shape {shape:?} but is only {length} bytes long: it is cut off"
        )));
    }
    macro_rules! read {
        ($type:ty) => {
            npy.into_vec::<$type>().map(|values| values.into_iter().map(|value| value as f64).collect())
        };
    }
    use npyz::TypeChar::{Bool, Float, Int, Uint};
    let values: std::io::Result<Vec<f64>> = match (kind.type_char(), bytes) {
        (Float, 4) => read!(f32),
        (Float, 8) => npy.into_vec::<f64>(),
        (Int, 1) => read!(i8),
        (Int, 2) => read!(i16),
        (Int, 4) => read!(i32),
        (Int, 8) => read!(i64),
        (Uint, 1) => read!(u8),
        (Uint, 2) => read!(u16),
        (Uint, 4) => read!(u32),
        (Uint, 8) => read!(u64),
        (Bool, 1) => npy.into_vec::<bool>().map(|values| values.into_iter().map(f64::from).collect()),
        _ => return Err(bad(format!("elements of type {kind} are not supported; save it as float32"))),
    };
    let values = values.map_err(|error| bad(format!("the file is cut off or damaged: {error}")))?;
    let array = match order {
        Order::C => ArrayD::from_shape_vec(IxDyn(&shape), values),
        Order::Fortran => {
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            ArrayD::from_shape_vec(IxDyn(&reversed), values).map(|array| array.reversed_axes())
        }
    };
    let array = array.map_err(|error| bad(format!("shape {shape:?}: {error}")))?;
    Ok(array.as_standard_layout().into_owned())
}

/// A file beside another: `model.safetensors` with `plot.png` gives `model-plot.png`.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!("{stem}{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array;

    #[test]
    fn arrays_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/x.npy");
        let array =
            Array::from_shape_fn((3, 4, 2), |(a, b, c)| (a * 100 + b * 10 + c) as f32 * 0.5).into_dyn();
        write(&path, &rnn_interop::write_npy(&array)).unwrap();
        assert_eq!(read_npy(&path).unwrap(), array.mapv(f64::from));
        let bytes = fs::read(&path).unwrap();
        for cut in [0, 5, 40, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert_eq!(read_npy(&path).unwrap_err().code, crate::failure::DATA, "{cut}");
        }
        assert_eq!(read_npy(&folder.path().join("none.npy")).unwrap_err().code, crate::failure::DATA);
    }

    #[test]
    fn a_header_that_lies_about_its_size_allocates_nothing() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 4000000), }\n";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge.npy");
        fs::write(&path, &bytes).unwrap();
        assert!(read_npy(&path).unwrap_err().message.contains("cut off"));
    }

    #[test]
    fn column_order_is_turned_into_rows() {
        let header = "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        for value in [1_i16, 4, 2, 5, 3, 6] {
            bytes.extend(value.to_le_bytes());
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.npy");
        fs::write(&path, &bytes).unwrap();
        assert_eq!(read_npy(&path).unwrap(), ndarray::array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].into_dyn());
    }

    #[test]
    fn a_folder_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(write(folder.path(), b"x").unwrap_err().code, crate::failure::OTHER);
        let file = folder.path().join("file");
        write(&file, b"old").unwrap();
        write(&file, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        assert_eq!(
            beside(&file.with_extension("safetensors"), "-plot.png"),
            folder.path().join("file-plot.png")
        );
    }
}
