//! Where the values of data sets lie, and whether they can be as many as declared.

use super::{Storage, UNDEFINED, Walk, dense};
use crate::hdf5::bytes::Bytes;
use crate::hdf5::datatype::Type;
use crate::{Error, Limits, Result};
use std::collections::HashSet;

/// A layout message.
pub(super) enum Layout {
    Compact(u64),
    Contiguous { address: u64, bytes: u64 },
    Chunked { index: u64, chunk: Vec<u64> },
}

impl Walk<'_> {
    /// Holds what a data set declares against what is there.
    pub(super) fn storage(
        &mut self,
        place: &str,
        shape: &[u64],
        values: &Type,
        layout: &Layout,
        filtered: bool,
    ) -> Result<Storage> {
        let elements = self.limits.elements(place, shape)?;
        let bytes = self.limits.bytes(place, elements, values.bytes())? as u64;
        let mismatch = |got: u64| {
            Error::damaged(
                place,
                format!("shape {shape:?} of {} needs {bytes} bytes, the file has {got}", values.name()),
            )
        };
        match *layout {
            Layout::Compact(got) if got < bytes => Err(mismatch(got)),
            Layout::Compact(_) => Ok(Storage::Other),
            Layout::Contiguous { address: UNDEFINED, .. } if bytes > 0 => Ok(Storage::Nowhere),
            Layout::Contiguous { address: UNDEFINED, .. } => Ok(Storage::Contiguous(0)),
            Layout::Contiguous { bytes: got, .. } if got < bytes => Err(mismatch(got)),
            Layout::Contiguous { address, .. } => {
                let end = address.checked_add(bytes).filter(|&end| end <= self.bytes.len());
                end.ok_or_else(|| mismatch(self.bytes.len().saturating_sub(address)))?;
                Ok(Storage::Contiguous(address as usize))
            }
            Layout::Chunked { index: UNDEFINED, .. } => Ok(Storage::Nowhere),
            Layout::Chunked { index, ref chunk } => self.chunks(place, shape, values, index, chunk, filtered),
        }
    }

    /// Refuses an index that holds a chunk twice, or chunks that claim more than deflate can give.
    fn chunks(
        &mut self,
        place: &str,
        shape: &[u64],
        values: &Type,
        index: u64,
        chunk: &[u64],
        filtered: bool,
    ) -> Result<Storage> {
        /// A stream of deflate can not hold more for each of its bytes.
        const MOST: u64 = 1032;
        let (extent, element) = chunk.split_at(shape.len().min(chunk.len()));
        if extent.len() != shape.len() || element != [values.bytes() as u64] || extent.contains(&0) {
            return Err(Error::damaged(place, format!("chunks of {chunk:?} do not fit the shape {shape:?}")));
        }
        let inside = self.limits.elements(place, extent)?;
        let whole = self.limits.bytes(place, inside, values.bytes())? as u64;
        let grid: Vec<u64> = shape.iter().zip(extent).map(|(n, size)| n.div_ceil(*size)).collect();
        let expected = self.limits.elements(place, &grid)?;
        let (file, rank) = (self.bytes.len(), shape.len());
        let mut seen = HashSet::new();
        self.leaves(place, index, 1, 8 + 8 * (rank + 1), |key, address| {
            let mut at = Bytes::new(key).cursor(place, 0, key.len() as u64)?;
            let (stored, mask) = (u64::from(at.u32()?), at.u32()?);
            let mut origin = Vec::with_capacity(rank);
            for axis in 0..rank {
                let from = at.u64()?;
                if from % extent[axis] != 0 || from >= shape[axis] {
                    return Err(Error::damaged(
                        place,
                        format!("a chunk stands at {from}, outside of {shape:?}"),
                    ));
                }
                origin.push(from);
            }
            let most = if filtered { stored.saturating_mul(MOST).saturating_add(64) } else { stored };
            if mask != 0 || most < whole || address.checked_add(stored).is_none_or(|end| end > file) {
                let problem = format!(
                    "a chunk of {stored} bytes at byte {address} can not hold the {whole} bytes it should"
                );
                return Err(Error::damaged(place, problem));
            }
            if !seen.insert(origin) {
                return Err(Error::damaged(place, "two chunks stand in the same place"));
            }
            Ok(())
        })?;
        Ok(if seen.len() == expected { Storage::Other } else { Storage::Nowhere })
    }
}

/// Reads a layout message.
pub(super) fn layout(place: &str, body: &[u8], limits: &Limits) -> Result<Layout> {
    let mut at = Bytes::new(body).cursor(place, 0, body.len() as u64)?;
    let (version, class) = (at.u8()?, at.u8()?);
    match (version, class) {
        (_, 3) => {
            let problem = "is a virtual data set, whose values stand in other files, which are not opened";
            Err(Error::unsupported(place, problem))
        }
        (3 | 4, 0) => {
            let size = at.u16()?;
            at.take(usize::from(size))?;
            Ok(Layout::Compact(u64::from(size)))
        }
        (3 | 4, 1) => Ok(Layout::Contiguous { address: at.u64()?, bytes: at.u64()? }),
        (3, 2) => {
            let axes = at.u8()?;
            Limits::at_most(
                place,
                "the number of axes of a chunk",
                u64::from(axes),
                limits.rank.saturating_add(1),
            )?;
            let index = at.u64()?;
            let chunk: Result<Vec<u64>> = (0..axes).map(|_| at.u32().map(u64::from)).collect();
            Ok(Layout::Chunked { index, chunk: chunk? })
        }
        (_, 2) => Err(dense(place, "chunks")),
        _ => Err(Error::unsupported(place, format!("a layout of version {version} and class {class}"))),
    }
}

/// Whether values pass through filters; refuses filters that are not known.
pub(super) fn filters(place: &str, body: &[u8]) -> Result<bool> {
    let mut at = Bytes::new(body).cursor(place, 0, body.len() as u64)?;
    let (version, count) = (at.u8()?, at.u8()?);
    match version {
        1 => at.skip(6)?,
        2 => {}
        other => return Err(Error::unsupported(place, format!("a filter message of version {other}"))),
    }
    for _ in 0..count {
        let id = at.u16()?;
        if !matches!(id, 1..=3) {
            let problem =
                format!("values behind filter {id}; deflate, shuffle and Fletcher32 (1 to 3) are read");
            return Err(Error::unsupported(place, problem));
        }
        let name = if version == 1 { usize::from(at.u16()?) } else { 0 };
        let _flags = at.u16()?;
        let numbers = usize::from(at.u16()?);
        at.skip(name.next_multiple_of(8))?;
        at.skip(4 * (numbers + if version == 1 { numbers % 2 } else { 0 }))?;
    }
    Ok(count > 0)
}
