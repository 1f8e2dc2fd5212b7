//! Types of values, shapes, and attributes: a closed set, checked before anything is decoded.

use super::bytes::{Bytes, Cursor};
use crate::{Error, Limits, Result};

/// What one value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// IEEE 754 of 2, 4 or 8 bytes
    Float { bytes: usize, big_endian: bool },
    /// the upper half of an IEEE 754 of 4 bytes
    Bfloat16 { big_endian: bool },
    /// 2 bytes without a meaning of their own: h5py stores bfloat16 so
    TwoBytes,
    /// of 1, 2, 4 or 8 bytes, a truth value of NumPy among them
    Integer { bytes: usize, signed: bool, big_endian: bool },
    /// text of a fixed number of bytes
    Text { bytes: usize },
    /// text of any length, in the file's heap
    LongText,
}

impl Type {
    pub(super) fn bytes(self) -> usize {
        match self {
            Type::Float { bytes, .. } | Type::Integer { bytes, .. } | Type::Text { bytes } => bytes,
            Type::Bfloat16 { .. } | Type::TwoBytes => 2,
            // A length, an address and an index.
            Type::LongText => 16,
        }
    }

    /// As NumPy calls it.
    pub(super) fn name(self) -> String {
        match self {
            Type::Float { bytes, .. } => format!("float{}", 8 * bytes),
            Type::Integer { bytes, signed, .. } => {
                format!("{}int{}", if signed { "" } else { "u" }, 8 * bytes)
            }
            Type::Bfloat16 { .. } => "bfloat16".into(),
            Type::TwoBytes => "two bytes without a meaning".into(),
            Type::Text { .. } | Type::LongText => "text".into(),
        }
    }

    /// Decodes values; `raw` holds a whole number of them.
    pub(super) fn decode(self, raw: &[u8]) -> Option<Vec<f64>> {
        macro_rules! numbers {
            ($number:ty, $big:expr, $widen:expr) => {
                raw.as_chunks()
                    .0
                    .iter()
                    .map(|&bytes| {
                        $widen(if $big {
                            <$number>::from_be_bytes(bytes)
                        } else {
                            <$number>::from_le_bytes(bytes)
                        })
                    })
                    .collect()
            };
        }
        Some(match self {
            Type::Float { bytes: 2, big_endian } => numbers!(half::f16, big_endian, f64::from),
            Type::Bfloat16 { big_endian } => numbers!(half::bf16, big_endian, f64::from),
            Type::Float { bytes: 4, big_endian } => numbers!(f32, big_endian, f64::from),
            Type::Float { big_endian, .. } => numbers!(f64, big_endian, |x: f64| x),
            Type::Integer { bytes: 1, signed: true, .. } => numbers!(i8, false, f64::from),
            Type::Integer { bytes: 1, .. } => numbers!(u8, false, f64::from),
            Type::Integer { bytes: 2, signed: true, big_endian } => numbers!(i16, big_endian, f64::from),
            Type::Integer { bytes: 2, big_endian, .. } => numbers!(u16, big_endian, f64::from),
            Type::Integer { bytes: 4, signed: true, big_endian } => numbers!(i32, big_endian, f64::from),
            Type::Integer { bytes: 4, big_endian, .. } => numbers!(u32, big_endian, f64::from),
            Type::Integer { signed: true, big_endian, .. } => numbers!(i64, big_endian, |x: i64| x as f64),
            Type::Integer { big_endian, .. } => numbers!(u64, big_endian, |x: u64| x as f64),
            Type::TwoBytes | Type::Text { .. } | Type::LongText => return None,
        })
    }
}

/// A datatype message.
pub(super) fn parse(place: &str, body: &[u8]) -> Result<Type> {
    let mut at = Bytes::new(body).cursor(place, 0, body.len() as u64)?;
    let unknown = |what: &str| {
        let problem = format!("values of type {what}; floats, integers, truth values and text are read");
        Error::unsupported(place, problem)
    };
    let (class, bits, size) = head(&mut at)?;
    let big_endian = bits[0] & 1 != 0;
    match class {
        0 => {
            let (offset, precision) = (at.u16()?, at.u16()?);
            if !matches!(size, 1 | 2 | 4 | 8) || offset != 0 || u32::from(precision) != 8 * size {
                return Err(unknown("an integer of an odd number of bits"));
            }
            Ok(Type::Integer { bytes: size as usize, signed: bits[0] & 8 != 0, big_endian })
        }
        1 => {
            let layout = (at.u16()?, at.u16()?, at.u8()?, at.u8()?, at.u8()?, at.u8()?, at.u32()?);
            let ieee = match size {
                2 => (0, 16, 10, 5, 0, 10, 15),
                4 => (0, 32, 23, 8, 0, 23, 127),
                8 => (0, 64, 52, 11, 0, 52, 1023),
                _ => return Err(unknown("a float of an odd number of bytes")),
            };
            // Bit 6 set beside bit 0 is the order of VAX.
            let plain = bits[0] & 64 == 0;
            if plain && size == 2 && layout == (0, 16, 7, 8, 0, 7, 127) {
                return Ok(Type::Bfloat16 { big_endian });
            }
            if layout != ieee || !plain {
                return Err(unknown("a float that is neither IEEE 754 nor bfloat16"));
            }
            Ok(Type::Float { bytes: size as usize, big_endian })
        }
        3 => match size {
            0 => Err(Error::damaged(place, "text of 0 bytes")),
            _ => Ok(Type::Text { bytes: size as usize }),
        },
        8 => {
            let count = usize::from(u16::from_le_bytes([bits[0], bits[1]]));
            truth(&mut at, count, size).ok_or_else(|| unknown("an enumeration"))
        }
        9 if bits[0] & 15 == 1 => {
            let (class, _, size) = head(&mut at)?;
            match (class, size) {
                (0, 1) => at.skip(4)?,
                (3, 1) => {}
                _ => return Err(unknown("text of an odd kind")),
            }
            Ok(Type::LongText)
        }
        2 => Err(unknown("time")),
        4 => Err(unknown("bit field")),
        5 if size == 2 => Ok(Type::TwoBytes),
        5 => Err(unknown("opaque")),
        6 | 11 => Err(unknown("compound")),
        7 => Err(unknown("reference")),
        9 => Err(unknown("lists of varying length")),
        10 => Err(unknown("array")),
        other => Err(Error::damaged(place, format!("values of an unknown class {other}"))),
    }
}

/// Class, bits and size of a type.
fn head(at: &mut Cursor) -> Result<(u8, [u8; 3], u32)> {
    let class = at.u8()? & 15;
    let bits = [at.u8()?, at.u8()?, at.u8()?];
    Ok((class, bits, at.u32()?))
}

/// NumPy's `bool`: an enumeration of one byte with the names FALSE and TRUE.
fn truth(at: &mut Cursor, count: usize, size: u32) -> Option<Type> {
    let (class, bits, base) = head(at).ok()?;
    let _offset_and_precision = at.u32().ok()?;
    let rest = at.take(at.left()).ok()?;
    let names = rest.starts_with(b"FALSE\0") && rest.windows(5).any(|window| window == b"TRUE\0");
    // Two names of at most 8 bytes with their padding, and two values.
    if (class, size, base, count) != (0, 1, 1, 2) || !names || rest.len() < 13 {
        return None;
    }
    Some(Type::Integer { bytes: 1, signed: bits[0] & 8 != 0, big_endian: false })
}

/// A dataspace message.
pub(super) fn shape(place: &str, body: &[u8], limits: &Limits) -> Result<Vec<u64>> {
    let mut at = Bytes::new(body).cursor(place, 0, body.len() as u64)?;
    let (version, rank, _flags, kind) = (at.u8()?, at.u8()?, at.u8()?, at.u8()?);
    Limits::at_most(place, "the number of axes", u64::from(rank), limits.rank)?;
    match (version, kind) {
        (1, _) => at.skip(4)?,
        (2, 0 | 1) => {}
        // A null space holds no value.
        (2, 2) => return Ok(vec![0]),
        _ => return Err(Error::damaged(place, format!("a shape of version {version} and kind {kind}"))),
    }
    (0..rank).map(|_| at.u64()).collect()
}

/// An attribute message, whose value has to be in it.
pub(super) fn attribute(place: &str, body: &[u8], limits: &Limits) -> Result<()> {
    let mut at = Bytes::new(body).cursor(place, 0, body.len() as u64)?;
    let (version, flags) = (at.u8()?, at.u8()?);
    let sizes = [at.u16()?, at.u16()?, at.u16()?].map(usize::from);
    match version {
        1 => {}
        2 | 3 if flags != 0 => {
            return Err(Error::unsupported(place, "an attribute of a shared (committed) type"));
        }
        2 => {}
        3 => at.skip(1)?,
        other => return Err(Error::unsupported(place, format!("an attribute of version {other}"))),
    }
    let mut field = |size: usize| {
        let bytes = at.take(size)?;
        // Version 1 pads each to 8 bytes.
        at.skip(if version == 1 { size.next_multiple_of(8) - size } else { 0 })?;
        Ok::<_, Error>(bytes)
    };
    let [name, values, space] = [field(sizes[0])?, field(sizes[1])?, field(sizes[2])?];
    let name = String::from_utf8_lossy(name.split(|&byte| byte == 0).next().unwrap_or_default());
    let place = format!("{place}: attribute {name:?}");
    Limits::at_most(&place, "the number of bytes of its name", name.len() as u64, limits.name_bytes)?;
    let values = parse(&place, values)?;
    let count = limits.elements(&place, &shape(&place, space, limits)?)?;
    let bytes = limits.bytes(&place, count, values.bytes())?;
    if bytes > at.left() {
        return Err(Error::damaged(place, format!("needs {bytes} bytes, and has {}", at.left())));
    }
    Ok(())
}
