//! The first bytes of an HDF5 file.

use super::UNDEFINED;
use crate::hdf5::bytes::Bytes;
use crate::{Error, Result};

/// Checks the file's first bytes, and gives the root group's address.
pub(super) fn superblock(bytes: &[u8]) -> Result<u64> {
    let place = "HDF5 header";
    if !bytes.starts_with(b"\x89HDF\r\n\x1a\n") {
        return Err(Error::damaged(place, "not an HDF5 file: it does not begin with the signature \\x89HDF"));
    }
    let mut at = Bytes::new(bytes).cursor(place, 8, bytes.len() as u64 - 8)?;
    let version = at.u8()?;
    let (root, end) = match version {
        0 | 1 => {
            at.skip(4)?;
            widths(place, at.u8()?, at.u8()?)?;
            at.skip(if version == 0 { 9 } else { 13 })?;
            let base = at.u64()?;
            at.skip(8)?;
            let end = at.u64()?;
            at.skip(16)?;
            (at.u64()?, (base, end))
        }
        2 | 3 => {
            widths(place, at.u8()?, at.u8()?)?;
            at.skip(1)?;
            let (base, extension, end) = (at.u64()?, at.u64()?, at.u64()?);
            if extension != UNDEFINED {
                return Err(Error::unsupported(
                    place,
                    "has a superblock extension; save it with h5py's defaults",
                ));
            }
            (at.u64()?, (base, end))
        }
        other => {
            return Err(Error::unsupported(
                place,
                format!("version {other} of the superblock; 0 to 3 are read"),
            ));
        }
    };
    let (base, end) = end;
    if base != 0 {
        return Err(Error::unsupported(place, "does not start at the file's first byte"));
    }
    if end > bytes.len() as u64 {
        let problem = format!("the file is cut off: it should have {end} bytes, and has {}", bytes.len());
        return Err(Error::damaged(place, problem));
    }
    Ok(root)
}

fn widths(place: &str, offsets: u8, lengths: u8) -> Result<()> {
    if (offsets, lengths) == (8, 8) {
        return Ok(());
    }
    let problem =
        format!("offsets of {offsets} and lengths of {lengths} bytes; 8 and 8 are read, which h5py writes");
    Err(Error::unsupported(place, problem))
}
