//! Little-endian numbers out of a file's bytes, none of them outside of it.

use crate::{Error, Result};
use std::cell::Cell;

/// A file's bytes, with a bound on how many may be looked at: structures that overlap could otherwise make a small file
/// cost any amount of time.
pub(super) struct Bytes<'a> {
    all: &'a [u8],
    allowance: Cell<u64>,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(all: &'a [u8]) -> Self {
        Bytes { all, allowance: Cell::new(16 * all.len() as u64 + (1 << 20)) }
    }

    pub(super) fn len(&self) -> u64 {
        self.all.len() as u64
    }

    /// These bytes.
    pub(super) fn slice(&self, place: &str, from: u64, len: u64) -> Result<&'a [u8]> {
        let end = from.checked_add(len).filter(|&end| end <= self.len());
        let Some(end) = end else {
            let problem = format!("needs {len} bytes from byte {from} on, the file has {}", self.len());
            return Err(Error::damaged(place, problem));
        };
        let Some(left) = self.allowance.get().checked_sub(len + 8) else {
            return Err(Error::damaged(
                place,
                "its parts lie over one another; no program writes such a file",
            ));
        };
        self.allowance.set(left);
        // Both are at most the length of a slice.
        Ok(&self.all[from as usize..end as usize])
    }

    /// A reader of these bytes.
    pub(super) fn cursor<'p>(&self, place: &'p str, from: u64, len: u64) -> Result<Cursor<'a, 'p>> {
        Ok(Cursor { place, rest: self.slice(place, from, len)? })
    }

    /// Refuses anything else than this signature.
    pub(super) fn signature(&self, place: &str, at: u64, expected: &[u8; 4]) -> Result<()> {
        let got = self.slice(place, at, 4)?;
        if got != expected {
            let expected = String::from_utf8_lossy(expected);
            return Err(Error::damaged(place, format!("expected {expected} at byte {at}, got {got:02x?}")));
        }
        Ok(())
    }
}

/// A place in a part of the file.
pub(super) struct Cursor<'a, 'p> {
    place: &'p str,
    rest: &'a [u8],
}

impl<'a> Cursor<'a, '_> {
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            let problem = format!("a part of it ends {} bytes too early", count - self.rest.len());
            return Err(Error::damaged(self.place, problem));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<()> {
        self.take(count).map(|_| ())
    }

    /// A number of at most 8 bytes.
    pub(super) fn uint(&mut self, bytes: usize) -> Result<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.uint(1)? as u8)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        Ok(self.uint(2)? as u16)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(self.uint(4)? as u32)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.uint(8)
    }
}
