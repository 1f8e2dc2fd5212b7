//! Tensors whose numbers are known when a model is read: weights, constants, and what is computed from them.

use super::constants::kind_of;
use super::number::Number;
use super::proto::{self, data_type};
use super::value::Kind;
use crate::{Error, Limits, Result};
use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn};

/// Whole numbers of a tensor. They are sizes and indices of constants, and take more memory here than in a file.
const MOST_INTS: u64 = 1 << 20;

/// Numbers of one kind. Whole numbers of shapes may be open.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tensor {
    Float(ArrayD<f32>),
    Int(ArrayD<Number>),
    Bool(ArrayD<bool>),
}

/// The same expression for the array of each kind, whatever its elements.
macro_rules! each {
    ($tensor:expr, $array:ident => $made:expr) => {
        match $tensor {
            Tensor::Float($array) => Tensor::Float($made),
            Tensor::Int($array) => Tensor::Int($made),
            Tensor::Bool($array) => Tensor::Bool($made),
        }
    };
}

impl Tensor {
    /// Reads a tensor of the file.
    pub fn read(place: &str, tensor: &proto::Tensor, limits: &Limits) -> Result<Tensor> {
        use data_type::*;
        if tensor.data_location != 0 || !tensor.external_data.is_empty() {
            let problem =
                "its data is in another file, which is not opened; save the model with its data inside";
            return Err(Error::unsupported(place, problem));
        }
        if tensor.segment.is_some() {
            return Err(Error::unsupported(place, "a tensor in segments"));
        }
        let dims: Option<Vec<u64>> = tensor.dims.iter().map(|&n| u64::try_from(n).ok()).collect();
        let dims = dims.ok_or_else(|| Error::damaged(place, format!("sizes {:?}", tensor.dims)))?;
        let count = limits.elements(place, &dims)?;
        if kind_of(tensor.data_type) != Some(Kind::Float) {
            Limits::at_most(place, "the number of whole numbers", count as u64, MOST_INTS)?;
        }
        let shape = IxDyn(&dims.iter().map(|&n| n as usize).collect::<Vec<_>>());
        let source = Source { place, tensor, count };
        Ok(match tensor.data_type {
            FLOAT => {
                Tensor::Float(source.array(shape, f32::from_le_bytes, || source.listed(&tensor.float_data))?)
            }
            DOUBLE => {
                let values = || source.listed(&tensor.double_data);
                Tensor::Float(source.array(shape, f64::from_le_bytes, values)?.mapv(|x| x as f32))
            }
            FLOAT16 => {
                let bits = source.array(shape, u16::from_le_bytes, || source.bits())?;
                Tensor::Float(bits.mapv(|bits| f16::from_bits(bits).to_f32()))
            }
            BFLOAT16 => {
                let bits = source.array(shape, u16::from_le_bytes, || source.bits())?;
                Tensor::Float(bits.mapv(|bits| bf16::from_bits(bits).to_f32()))
            }
            INT64 => {
                let values = || source.listed(&tensor.int64_data);
                Tensor::Int(source.array(shape, i64::from_le_bytes, values)?.mapv(Number::Known))
            }
            INT32 => {
                let values = || source.listed(&tensor.int32_data);
                whole(source.array(shape, i32::from_le_bytes, values)?)
            }
            INT16 => whole(source.array(shape, i16::from_le_bytes, || source.narrow())?),
            INT8 => whole(source.array(shape, i8::from_le_bytes, || source.narrow())?),
            UINT8 => whole(source.array(shape, u8::from_le_bytes, || source.narrow())?),
            BOOL => {
                let bytes: ArrayD<u8> = source.array(shape, u8::from_le_bytes, || source.narrow())?;
                Tensor::Bool(bytes.mapv(|byte| byte != 0))
            }
            other => {
                let problem = format!("elements of type {}", name(other));
                return Err(Error::unsupported(place, problem));
            }
        })
    }

    /// One number.
    pub fn scalar(value: f32) -> Tensor {
        Tensor::Float(ArrayD::from_elem(IxDyn(&[]), value))
    }

    /// A list of whole numbers.
    pub fn ints(values: Vec<Number>) -> Tensor {
        Tensor::Int(ndarray::Array1::from_vec(values).into_dyn())
    }

    /// Whether its numbers are whole by their type.
    pub fn is_whole(&self) -> bool {
        matches!(self, Tensor::Int(_))
    }

    /// Floats that are whole as whole numbers.
    pub fn whole(&self) -> Option<Tensor> {
        match self {
            Tensor::Float(values) if values.iter().all(|v| v.fract() == 0.0 && v.abs() < 1e9) => {
                Some(Tensor::Int(values.mapv(|v| Number::Known(v as i64))))
            }
            Tensor::Int(_) => Some(self.clone()),
            _ => None,
        }
    }

    /// The one number that it holds, whole numbers and floats that are whole.
    pub fn number(&self) -> Option<Number> {
        match self {
            Tensor::Int(values) if values.len() == 1 => values.first().cloned(),
            Tensor::Float(values) if values.len() == 1 => {
                let value = *values.first()?;
                (value.fract() == 0.0 && value.abs() < 1e9).then_some(Number::Known(value as i64))
            }
            _ => None,
        }
    }

    pub fn dims(&self) -> &[usize] {
        match self {
            Tensor::Float(a) => a.shape(),
            Tensor::Int(a) => a.shape(),
            Tensor::Bool(a) => a.shape(),
        }
    }

    pub fn len(&self) -> usize {
        self.dims().iter().product()
    }

    /// The one number that all elements are, if they are.
    pub fn uniform(&self) -> Option<f32> {
        match self {
            Tensor::Float(a) => {
                let first = *a.first()?;
                a.iter().all(|x| x.to_bits() == first.to_bits() || *x == first).then_some(first)
            }
            Tensor::Int(a) => match a.first()? {
                Number::Known(n) if a.iter().all(|x| x == &Number::Known(*n)) => Some(*n as f32),
                _ => None,
            },
            Tensor::Bool(a) => {
                let first = *a.first()?;
                a.iter().all(|&x| x == first).then_some(f32::from(u8::from(first)))
            }
        }
    }

    /// In another shape of the same number of elements.
    pub fn reshaped(&self, dims: &[usize]) -> Option<Tensor> {
        Some(each!(self, a => {
            a.as_standard_layout().into_owned().into_shape_with_order(IxDyn(dims)).ok()?
        }))
    }

    /// Its first element, as a tensor of `rank` axes of size 1.
    pub fn first(&self, rank: usize) -> Option<Tensor> {
        let dims = IxDyn(&vec![1; rank]);
        Some(each!(self, a => ArrayD::from_elem(dims, a.first().cloned()?)))
    }

    /// Axes in another order.
    pub fn permuted(&self, order: &[usize]) -> Tensor {
        each!(self, a => a.clone().permuted_axes(order).as_standard_layout().into_owned())
    }

    /// Elements `picked` of an axis.
    pub fn selected(&self, axis: usize, picked: &[usize]) -> Tensor {
        each!(self, a => a.select(Axis(axis), picked))
    }

    /// Repeated to `dims`, as NumPy broadcasts.
    pub fn expanded(&self, dims: &[usize]) -> Option<Tensor> {
        Some(each!(self, a => a.broadcast(IxDyn(dims))?.to_owned()))
    }

    /// One behind the other along an axis.
    pub fn joined(axis: usize, parts: &[Tensor]) -> Option<Tensor> {
        fn join<T: Clone>(axis: usize, parts: &[ArrayViewD<'_, T>]) -> Option<ArrayD<T>> {
            ndarray::concatenate(Axis(axis), parts).ok()
        }
        macro_rules! all {
            ($kind:ident) => {{
                let views: Option<Vec<_>> = parts
                    .iter()
                    .map(|part| match part {
                        Tensor::$kind(a) => Some(a.view()),
                        _ => None,
                    })
                    .collect();
                Tensor::$kind(join(axis, &views?)?)
            }};
        }
        Some(match parts.first()? {
            Tensor::Float(_) => all!(Float),
            Tensor::Int(_) => all!(Int),
            Tensor::Bool(_) => all!(Bool),
        })
    }
}

fn whole<T: Into<i64> + Clone>(values: ArrayD<T>) -> Tensor {
    Tensor::Int(values.mapv(|n| Number::Known(n.into())))
}

/// Where the elements of a tensor stand: in `raw_data`, or in the list of its type.
struct Source<'a> {
    place: &'a str,
    tensor: &'a proto::Tensor,
    count: usize,
}

impl Source<'_> {
    fn array<T: Clone, const N: usize>(
        &self,
        shape: IxDyn,
        from_bytes: impl Fn([u8; N]) -> T,
        listed: impl FnOnce() -> Result<Vec<T>>,
    ) -> Result<ArrayD<T>> {
        let values = match &self.tensor.raw_data {
            Some(raw) => {
                let (elements, rest) = raw.as_chunks::<N>();
                if elements.len() != self.count || !rest.is_empty() {
                    let problem = format!(
                        "sizes {:?} of {N} bytes each, but {} bytes of data",
                        self.tensor.dims,
                        raw.len()
                    );
                    return Err(Error::damaged(self.place, problem));
                }
                elements.iter().map(|&bytes| from_bytes(bytes)).collect()
            }
            None => listed()?,
        };
        ArrayD::from_shape_vec(shape, values).map_err(|e| Error::damaged(self.place, e.to_string()))
    }

    fn listed<T: Copy>(&self, values: &[T]) -> Result<Vec<T>> {
        if values.len() != self.count {
            let problem = format!("sizes {:?}, but {} values", self.tensor.dims, values.len());
            return Err(Error::damaged(self.place, problem));
        }
        Ok(values.to_vec())
    }

    /// Small whole numbers, which are listed as 32 bits.
    fn narrow<T: TryFrom<i32>>(&self) -> Result<Vec<T>> {
        let values = self.listed(&self.tensor.int32_data)?;
        let narrow = |n| T::try_from(n).map_err(|_| Error::damaged(self.place, format!("a value {n}")));
        values.into_iter().map(narrow).collect()
    }

    /// The bits of numbers of 16 bits.
    fn bits(&self) -> Result<Vec<u16>> {
        self.narrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tensor: &proto::Tensor) -> Result<Tensor> {
        Tensor::read("w", tensor, &Limits::default())
    }

    #[test]
    fn elements_are_read_from_bytes_and_from_lists() {
        let raw = |data_type, dims: &[i64], bytes: &[u8]| proto::Tensor {
            data_type,
            dims: dims.to_vec(),
            raw_data: Some(bytes.to_vec()),
            ..proto::Tensor::default()
        };
        let two = Tensor::Float(ndarray::arr1(&[1.0f32, -2.0]).into_dyn());
        let bytes: Vec<u8> = [1.0f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(read(&raw(data_type::FLOAT, &[2], &bytes)).unwrap(), two);
        assert_eq!(read(&raw(data_type::FLOAT16, &[2], &[0, 0x3c, 0, 0xc0])).unwrap(), two);
        assert_eq!(read(&raw(data_type::BFLOAT16, &[2], &[0x80, 0x3f, 0, 0xc0])).unwrap(), two);
        let ints = Tensor::ints(vec![Number::Known(3), Number::Known(-1)]);
        assert_eq!(read(&raw(data_type::INT32, &[2], &[3, 0, 0, 0, 255, 255, 255, 255])).unwrap(), ints);
        assert_eq!(read(&raw(data_type::INT8, &[2], &[3, 255])).unwrap(), ints);
        let listed = proto::Tensor {
            data_type: data_type::INT64,
            dims: vec![2],
            int64_data: vec![3, -1],
            ..proto::Tensor::default()
        };
        assert_eq!(read(&listed).unwrap(), ints);
    }

    #[test]
    fn sizes_that_the_data_does_not_have_are_refused() {
        let tensor = |dims: &[i64], raw: usize| proto::Tensor {
            data_type: data_type::FLOAT,
            dims: dims.to_vec(),
            raw_data: Some(vec![0; raw]),
            ..proto::Tensor::default()
        };
        for (dims, raw) in
            [(&[2][..], 7), (&[2], 12), (&[-1], 4), (&[1 << 20], 4), (&[1 << 31, 1 << 31, 4], 4)]
        {
            assert!(read(&tensor(dims, raw)).is_err(), "{dims:?}");
        }
        let elsewhere = proto::Tensor { data_location: 1, ..tensor(&[1], 4) };
        assert!(matches!(read(&elsewhere), Err(Error::Unsupported { .. })));
        assert!(read(&proto::Tensor { data_type: 8, ..tensor(&[1], 4) }).is_err());
    }
}
