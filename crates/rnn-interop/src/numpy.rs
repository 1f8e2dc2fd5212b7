//! Arrays of NumPy: `.npy`, one, and `.npz`, several by name.
//!
//! ```
//! use ndarray::array;
//! use rnn_interop::{Arrays, Limits};
//! let mut arrays = Arrays::new();
//! arrays.insert("x".into(), array![[1.0, 2.0], [3.0, 4.0]].into_dyn());
//! let file = rnn_interop::write_npz(&arrays)?;
//! assert_eq!(rnn_interop::read_npz(&file, &Limits::default())?["x"][[1, 0]], 3.0);
//! # Ok::<(), rnn_interop::Error>(())
//! ```

use crate::archive::{Archive, ArchiveWriter};
use crate::{Error, Limits, Result};
use ndarray::{ArrayD, IxDyn, ShapeBuilder};
use rnn_model::data::npy_header;
use std::collections::BTreeMap;

/// Arrays by name, as an `.npz` file holds them.
pub type Arrays = BTreeMap<String, ArrayD<f32>>;

/// Reads a `.npy` file: floats of 2 to 8 bytes, integers and truth values, of either byte order and in either order of
/// axes. Values become `f32`.
///
/// # Errors
/// Another file, one that is cut off, damaged or of another type, and one beyond the limits.
pub fn read_npy(bytes: &[u8], limits: &Limits) -> Result<ArrayD<f32>> {
    array("array", bytes, limits)
}

/// Reads an `.npz` file; see [`read_npy`].
///
/// # Errors
/// As [`read_npy`], and a damaged or hostile archive.
pub fn read_npz(bytes: &[u8], limits: &Limits) -> Result<Arrays> {
    let mut archive = Archive::open(bytes, limits)?;
    let members: Vec<String> = archive.names().map(str::to_owned).collect();
    Limits::at_most("archive", "the number of arrays", members.len() as u64, limits.tensors)?;
    let mut arrays = Arrays::new();
    for member in members {
        let Some(name) = member.strip_suffix(".npy") else {
            return Err(Error::damaged(
                format!("member {member:?}"),
                "is no array; an .npz file holds .npy files",
            ));
        };
        let contents = archive.read(&member)?;
        arrays.insert(name.to_owned(), array(&format!("array {name:?}"), &contents, limits)?);
    }
    Ok(arrays)
}

/// Writes a `.npy` file of `float32` in C order.
pub fn write_npy(array: &ArrayD<f32>) -> Vec<u8> {
    let axes: String = array.shape().iter().map(|axis| format!("{axis}, ")).collect();
    let header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", axes.trim_end_matches(' '));
    // NumPy pads such that the values start at a multiple of 64 bytes; 10 are before the header, 1 is its newline.
    let length = (header.len() + 11).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    // No array has the thousands of axes that would overflow it.
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{header:<width$}\n", width = length - 1).as_bytes());
    bytes.extend(array.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// Writes an `.npz` file, uncompressed as `np.savez` does.
///
/// # Errors
/// More bytes than an archive takes.
pub fn write_npz(arrays: &Arrays) -> Result<Vec<u8>> {
    let mut archive = ArchiveWriter::new();
    for (name, array) in arrays {
        archive.add(&format!("{name}.npy"), &write_npy(array), false)?;
    }
    archive.finish()
}

fn array(place: &str, bytes: &[u8], limits: &Limits) -> Result<ArrayD<f32>> {
    Limits::at_most(place, "the number of bytes", bytes.len() as u64, limits.file_bytes)?;
    let wrong = |problem: String| Error::damaged(place, problem);
    let end = npy_header::header_end(bytes).map_err(wrong)?;
    let header = bytes.get(..end).ok_or_else(|| wrong("the file ends within its header".into()))?;
    let header = npy_header::parse(header, bytes.len() as u64).map_err(wrong)?;
    let shape: Vec<u64> = header.shape.iter().map(|&axis| axis as u64).collect();
    let elements = limits.elements(place, &shape)?;
    let size = limits.bytes(place, elements, header.element.bytes)?;
    let data = bytes.get(end..end + size).ok_or_else(|| wrong("it is cut off".into()))?;
    let rest = bytes.len() - end - size;
    if rest > 0 {
        return Err(wrong(format!("{rest} bytes follow its {elements} values")));
    }
    let mut values = vec![0.0; elements];
    header.element.decode(data, &mut values);
    let shape = IxDyn(&header.shape).set_f(header.fortran);
    let array = ArrayD::from_shape_vec(shape, values).map_err(|error| wrong(error.to_string()))?;
    // In memory as written: rows together.
    Ok(if header.fortran { array.as_standard_layout().into_owned() } else { array })
}

#[cfg(test)]
mod tests;
