//! `.safetensors` files: named tensors behind a JSON header. Nothing in them is code, and every size is known before a
//! tensor is read.

use crate::{Error, Limits, Result, json};
use ndarray::{ArrayD, IxDyn};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, HashMap};

/// Where in the file an error of the header is.
const HEADER: &str = "safetensors header";
/// In the metadata of this program's own model files.
pub(crate) const OUR_KEY: &str = "tidegate";

/// A file that was looked through; its tensors still stand in the bytes.
pub(crate) struct File<'a> {
    /// texts beside the tensors
    pub metadata: HashMap<String, String>,
    pub tensors: BTreeMap<String, Stored<'a>>,
}

/// A tensor as it stands in the file.
#[derive(Clone)]
pub(crate) struct Stored<'a> {
    dtype: Dtype,
    pub shape: Vec<usize>,
    data: &'a [u8],
    limits: Limits,
}

/// The JSON text of the header, if `bytes` begin as such a file does.
pub(crate) fn header(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let text = bytes.get(8..)?.get(..length)?;
    text.starts_with(b"{").then_some(text)
}

/// Looks a file through: every name once, every size as the bytes have it, nothing overlapping or left over.
pub(crate) fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<File<'a>> {
    Limits::at_most("file", "the number of bytes", bytes.len() as u64, limits.file_bytes)?;
    let Some(text) = header(bytes) else {
        let problem = "the file is cut off, or is not a .safetensors file: it does not begin with the length of a JSON header";
        return Err(Error::damaged(HEADER, problem));
    };
    // The library takes the last of two equal names; here they are refused.
    json::parse(HEADER, text, limits)?;
    let wrong = |problem: safetensors::SafeTensorError| Error::damaged(HEADER, problem.to_string());
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
    let file = SafeTensors::deserialize(bytes).map_err(wrong)?;
    Limits::at_most(HEADER, "the number of tensors", file.len() as u64, limits.tensors)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        Limits::at_most(HEADER, "the length of a name", name.len() as u64, limits.name_bytes)?;
        let shape = view.shape().to_vec();
        let elements = limits.elements(name, &shape.iter().map(|&axis| axis as u64).collect::<Vec<_>>())?;
        limits.bytes(name, elements, size_of::<f32>())?;
        tensors.insert(
            name.to_owned(),
            Stored { dtype: view.dtype(), shape, data: view.data(), limits: *limits },
        );
    }
    Ok(File { metadata: metadata.metadata().clone().unwrap_or_default(), tensors })
}

impl Stored<'_> {
    /// The values as `f32`.
    ///
    /// # Errors
    /// When they are no floating-point numbers, or one is NaN, infinite or too large for `f32` and the limits do not allow it.
    pub fn values(&self, name: &str) -> Result<ArrayD<f32>> {
        fn each<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            data.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect()
        }
        let values = match self.dtype {
            Dtype::F32 => each(self.data, f32::from_le_bytes),
            Dtype::F64 => each(self.data, |bytes| f64::from_le_bytes(bytes) as f32),
            Dtype::F16 => each(self.data, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => each(self.data, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
            other => {
                let problem = format!("its type is {other:?}; weights are read from F16, BF16, F32 and F64");
                return Err(Error::unsupported(format!("tensor {name}"), problem));
            }
        };
        self.limits.finite(&format!("tensor {name}"), &values)?;
        let problem = |e: ndarray::ShapeError| Error::damaged(format!("tensor {name}"), e.to_string());
        ArrayD::from_shape_vec(IxDyn(&self.shape), values).map_err(problem)
    }
}

/// The bytes of a file of these tensors as `F32`.
pub(crate) fn write(
    tensors: &[(String, ArrayD<f32>)],
    metadata: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<u8>> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, array)| array.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let wrong = |problem: safetensors::SafeTensorError| Error::unsupported("state dict", problem.to_string());
    let mut views = Vec::with_capacity(tensors.len());
    for ((name, array), bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, array.shape().to_vec(), bytes).map_err(wrong)?;
        views.push((name.as_str(), view));
    }
    safetensors::serialize(views, Some(metadata.into_iter().collect())).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let tensors =
            [("b".to_owned(), array![[1.0, -2.5]].into_dyn()), ("a".to_owned(), array![3.0].into_dyn())];
        let bytes = write(&tensors, [("format".to_owned(), "pt".to_owned())]).unwrap();
        let file = read(&bytes, &Limits::default()).unwrap();
        assert_eq!(file.metadata["format"], "pt");
        for (name, array) in &tensors {
            assert_eq!(file.tensors[name].values(name).unwrap(), array);
        }
    }

    #[test]
    fn each_type_of_floating_point_number_is_read() {
        let one = |dtype: &str, data: &[u8]| {
            let header =
                format!(r#"{{"x":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{}]}}}}"#, data.len());
            let bytes = file(&header, data);
            read(&bytes, &Limits::default()).unwrap().tensors["x"].values("x").map(|x| x[[0]])
        };
        assert_eq!(one("F64", &(-1.5f64).to_le_bytes()).unwrap(), -1.5);
        assert_eq!(one("F32", &(-1.5f32).to_le_bytes()).unwrap(), -1.5);
        assert_eq!(one("F16", &half::f16::from_f32(-1.5).to_le_bytes()).unwrap(), -1.5);
        assert_eq!(one("BF16", &half::bf16::from_f32(-1.5).to_le_bytes()).unwrap(), -1.5);
        assert!(one("I64", &7i64.to_le_bytes()).unwrap_err().to_string().contains("I64"));
        assert!(
            one("F32", &f32::NAN.to_le_bytes()).unwrap_err().to_string().contains("tensor x: value 0 is NaN")
        );
        // finite in 64 bits, not in 32
        assert!(one("F64", &1e300f64.to_le_bytes()).is_err());
        let header = r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let (bytes, limits) =
            (file(header, &f32::NAN.to_le_bytes()), Limits { not_finite: true, ..Limits::default() });
        assert!(read(&bytes, &limits).unwrap().tensors["x"].values("x").unwrap()[[0]].is_nan());
    }

    #[test]
    fn two_tensors_of_one_name_are_refused() {
        let one = r#""x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
        let bytes = file(&format!("{{{one},{one}}}"), &[0; 4]);
        let message = read(&bytes, &Limits::default()).err().unwrap().to_string();
        assert!(message.contains("\"x\""), "{message}");
        let bytes = file(&format!("{{{one}}}"), &[0; 4]);
        assert!(read(&bytes, &Limits::default()).is_ok());
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut], &Limits::default()).is_err(), "{cut}");
        }
    }
}
