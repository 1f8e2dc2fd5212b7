//! The header of a `.npy` file, read as hostile: its length is bounded, the grammar is the one line that NumPy writes, and
//! every size is computed with checked arithmetic. (The `npyz` crate parses any Python literal with unbounded nesting and
//! takes the header's length from the file; it serves for files that the program itself writes.)
//!
//! Format: `\x93NUMPY`, version, length of the header as u16 (version 1) or u32, then a Python dictionary
//! `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, padded with spaces and closed by a newline.

/// No header of a plain array needs more.
const LONGEST: usize = 64 * 1024;

/// What a value looks like on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// of which kind it is
    pub kind: Kind,
    /// its size in bytes: 2, 4 or 8 of a float, 1, 2, 4 or 8 of an integer
    pub bytes: usize,
    /// whether the most significant byte comes first
    pub big_endian: bool,
}

/// Kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IEEE 754
    Float,
    /// an integer in two's complement
    Signed,
    /// an integer without a sign, or a truth value
    Unsigned,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpyHeader {
    /// what each value is
    pub element: Element,
    /// length of each axis; none for a single number
    pub shape: Vec<usize>,
    /// whether the first axis runs fastest
    pub fortran: bool,
    /// where the first value stands
    pub data: u64,
}

/// Length of the fixed part with the longest length field.
pub const PREFIX: usize = 12;

/// The whole header's length from the file's first bytes.
///
/// # Errors
/// When this is the beginning of no `.npy` file, as a sentence.
pub fn header_end(prefix: &[u8]) -> Result<usize, String> {
    if prefix.len() < 10 || !prefix.starts_with(b"\x93NUMPY") {
        return Err("not a .npy file (it does not begin with \\x93NUMPY)".into());
    }
    let (at, len) = match (prefix[6], prefix.get(8..12)) {
        (1, _) => (10, usize::from(u16::from_le_bytes([prefix[8], prefix[9]]))),
        (2 | 3, Some(b)) => (12, u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize),
        (2 | 3, None) => return Err("the file ends within its header".into()),
        (version, _) => {
            return Err(format!("version {version} of the .npy format is not known (1 to 3 are)"));
        }
    };
    if len > LONGEST {
        return Err(format!("a header of {len} bytes; a plain array's is below {LONGEST}"));
    }
    Ok(at + len)
}

/// Parses the file's first bytes, up to [`header_end`]; `file` is the whole file's length in bytes.
///
/// # Errors
/// When the header is damaged, or promises more than the file holds, as a sentence.
pub fn parse(header: &[u8], file: u64) -> Result<NpyHeader, String> {
    let at = if header.get(6) == Some(&1) { 10 } else { 12 };
    let text = header.get(at..).and_then(|text| std::str::from_utf8(text).ok());
    let text = text.ok_or("the header is no text")?;
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    let mut parser = Parser { rest: text };
    parser.expect('{')?;
    while !parser.take('}') {
        let key = parser.string()?;
        parser.expect(':')?;
        match key {
            "descr" => descr = Some(parser.string().map_err(|_| "records are not read, only plain arrays")?),
            "fortran_order" => fortran = Some(parser.boolean()?),
            "shape" => shape = Some(parser.tuple()?),
            other => return Err(format!("unknown key {other:?} in the header")),
        }
        if !parser.take(',') {
            parser.expect('}')?;
            break;
        }
    }
    if !parser.rest.trim().is_empty() {
        return Err("more than a dictionary in the header".into());
    }
    let (Some(descr), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
        return Err("the header lacks descr, fortran_order or shape".into());
    };
    let element = element(descr)?;
    let count = shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
    let bytes = count.and_then(|count| count.checked_mul(element.bytes));
    let end = bytes.and_then(|bytes| (header.len() as u64).checked_add(bytes as u64));
    match end {
        Some(end) if end <= file => Ok(NpyHeader { element, shape, fortran, data: header.len() as u64 }),
        Some(end) => Err(format!(
            "an array of shape {shape:?} ends at byte {end}, but the file has {file} bytes: it is cut off"
        )),
        None => Err(format!("no file can hold an array of shape {shape:?}")),
    }
}

fn element(descr: &str) -> Result<Element, String> {
    let unknown = || {
        format!(
            "values of type {descr:?} are not read; f2, f4, f8, i1 to i8, u1 to u8 and b1 are: save x.astype(\"float32\")"
        )
    };
    let (order, kind) = descr.split_at_checked(1).ok_or_else(unknown)?;
    let (kind, bytes) = match kind {
        "f2" => (Kind::Float, 2),
        "f4" => (Kind::Float, 4),
        "f8" => (Kind::Float, 8),
        "i1" | "i2" | "i4" | "i8" => (Kind::Signed, usize::from(kind.as_bytes()[1] - b'0')),
        "u1" | "u2" | "u4" | "u8" => (Kind::Unsigned, usize::from(kind.as_bytes()[1] - b'0')),
        "b1" => (Kind::Unsigned, 1),
        _ => return Err(unknown()),
    };
    let big_endian = match order {
        "<" => false,
        ">" => true,
        "|" if bytes == 1 => false,
        _ => return Err(unknown()),
    };
    Ok(Element { kind, bytes, big_endian })
}

impl Element {
    /// Values as `f32`, out of at least as many bytes as they take.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        /// Values of `N` bytes, by `value` from those in little-endian order.
        fn each<const N: usize>(big: bool, bytes: &[u8], out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
            let (values, _) = bytes.as_chunks::<N>();
            for (out, bytes) in out.iter_mut().zip(values) {
                let mut bytes = *bytes;
                if big {
                    bytes.reverse();
                }
                *out = value(bytes);
            }
        }
        let big = self.big_endian;
        match (self.kind, self.bytes) {
            (Kind::Float, 2) => each(big, bytes, out, |b| half::f16::from_le_bytes(b).to_f32()),
            (Kind::Float, 4) => each(big, bytes, out, f32::from_le_bytes),
            (Kind::Float, _) => each(big, bytes, out, |b| f64::from_le_bytes(b) as f32),
            (Kind::Signed, 1) => each(big, bytes, out, |b| f32::from(i8::from_le_bytes(b))),
            (Kind::Signed, 2) => each(big, bytes, out, |b| f32::from(i16::from_le_bytes(b))),
            (Kind::Signed, 4) => each(big, bytes, out, |b| i32::from_le_bytes(b) as f32),
            (Kind::Signed, _) => each(big, bytes, out, |b| i64::from_le_bytes(b) as f32),
            (Kind::Unsigned, 1) => each(big, bytes, out, |b| f32::from(u8::from_le_bytes(b))),
            (Kind::Unsigned, 2) => each(big, bytes, out, |b| f32::from(u16::from_le_bytes(b))),
            (Kind::Unsigned, 4) => each(big, bytes, out, |b| u32::from_le_bytes(b) as f32),
            (Kind::Unsigned, _) => each(big, bytes, out, |b| u64::from_le_bytes(b) as f32),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn take(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.take(c) { Ok(()) } else { Err(format!("damaged header: expected {c:?}")) }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.take('\'') { '\'' } else { '"' };
        if quote == '"' {
            self.expect(quote)?;
        }
        let (text, rest) = self.rest.split_once(quote).ok_or("damaged header: a string does not end")?;
        self.rest = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, String> {
        self.rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err("damaged header: fortran_order is neither True nor False".into())
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        self.expect('(')?;
        let mut values = Vec::new();
        while !self.take(')') {
            self.rest = self.rest.trim_start();
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            self.rest = rest;
            values.push(
                digits.parse().map_err(|_| format!("damaged header: {digits:?} is no size of an axis"))?,
            );
            if values.len() > 32 {
                return Err("more than 32 axes".into());
            }
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dictionary: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((dictionary.len() as u16).to_le_bytes());
        bytes.extend(dictionary.as_bytes());
        bytes
    }

    fn read(dictionary: &str) -> Result<NpyHeader, String> {
        let bytes = file(dictionary);
        assert_eq!(header_end(&bytes), Ok(bytes.len()));
        parse(&bytes, 1 << 20)
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        let header = read("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }      \n").unwrap();
        assert_eq!((header.shape.as_slice(), header.fortran, header.element.bytes), (&[3, 4][..], false, 4));
        let header = read("{'descr': '>i8', 'fortran_order': True, 'shape': (7,), }\n").unwrap();
        assert_eq!(header.element, Element { kind: Kind::Signed, bytes: 8, big_endian: true });
        assert_eq!((header.shape.as_slice(), header.fortran), (&[7][..], true));
        let header = read("{'descr': '<f2', 'fortran_order': False, 'shape': (), }\n").unwrap();
        assert_eq!((header.shape.len(), header.element.bytes), (0, 2));
        assert!(read("{'descr': '|b1', 'fortran_order': False, 'shape': (0, 5)}").is_ok());
    }

    #[test]
    fn hostile_headers_are_refused() {
        let plain = |descr: &str, shape: &str| {
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
        };
        let cases = [
            (plain("<f4", "(18446744073709551615, 2)"), "no file can hold"),
            (plain("<f4", "(4294967296, 4294967296, 0)"), "an array of shape"),
            (plain("<f4", "(1000000, 1000000)"), "cut off"),
            (plain("<f4", "(99999999999999999999,)"), "no size of an axis"),
            (plain("<f4", "(-1,)"), "no size of an axis"),
            (plain("|O", "(2,)"), "not read"),
            (plain("<U4", "(2,)"), "not read"),
            (plain("|f4", "(2,)"), "not read"),
            (plain("", "(2,)"), "not read"),
            (plain("<f4", "((((((((((2,)"), "no size of an axis"),
            (plain("<f4", "(2,)").replace("'shape'", "'shapes'"), "unknown key"),
            (plain("<f4", "(2,)").replace("}\n", ""), "expected"),
            ("{}".into(), "lacks"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}".into(), "records"),
            ("{'descr': '<f4".into(), "records"),
            (plain("<f4", "(2,)") + "; import os", "more than"),
        ];
        for (text, problem) in cases {
            match read(&text) {
                // A product of 0 values fits any file, and reading its rows gives nothing.
                Ok(header) => assert_eq!(header.shape.last(), Some(&0), "{text}"),
                Err(error) => assert!(error.contains(problem), "{text}: {error}"),
            }
        }
        assert!(header_end(b"PK\x03\x04aaaaaaaaa").unwrap_err().contains("not a .npy file"));
        assert!(header_end(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").unwrap_err().contains("header of"));
        assert!(header_end(b"\x93NUMPY\x09\x00\xff\xff\xff\xff").unwrap_err().contains("version 9"));
        assert!(header_end(b"\x93NUM").is_err());
    }
}
