//! Zip archives in memory, as `.keras` and `.npz` files are: nothing is extracted to the disk.
//!
//! An archive is refused as a whole when two programs could see different members in it: names that stand twice, members
//! that lie over one another, headers that contradict the directory, anything in front of the first member or behind the
//! end.

use crate::{Error, Limits, Result};
use std::collections::HashMap;
use std::io::{Cursor, Read, Write};
use zip::read::{ArchiveOffset, Config, ZipArchive};
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, result::ZipError};

/// A stream of deflate can not hold more for each of its bytes.
const MOST: u64 = 1032;

/// An archive whose directory has been checked.
pub(crate) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    members: Vec<Member>,
    /// places in the directory by name
    index: HashMap<String, usize>,
}

struct Member {
    name: String,
    bytes: u64,
}

impl<'a> Archive<'a> {
    /// Checks an archive's directory, and reads no member.
    ///
    /// # Errors
    /// What is no zip archive, is cut off or contradicts itself, has more or larger members than the limits allow, or members
    /// with names that lead elsewhere, that are encrypted, links, or compressed by anything but deflate.
    pub(crate) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        Limits::at_most("archive", "the number of bytes", bytes.len() as u64, limits.file_bytes)?;
        check_end(bytes, limits)?;
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let mut zip =
            ZipArchive::with_config(config, Cursor::new(bytes)).map_err(|error| wrong("archive", error))?;
        if zip.has_duplicate_names() {
            return Err(Error::damaged("archive", "two members have the same name"));
        }
        let mut members = Vec::new();
        let mut sum = 0u64;
        for index in 0..zip.len() {
            let entry = zip.by_index_data(index).map_err(|error| wrong("archive", error))?;
            let raw = entry.name_raw();
            let shown = String::from_utf8_lossy(raw);
            Limits::at_most(
                "archive",
                "the number of bytes of a member's name",
                raw.len() as u64,
                limits.name_bytes,
            )?;
            let place = format!("member {shown:?}");
            let refuse = |problem: &str| Err(Error::damaged(place.as_str(), problem));
            let name = std::str::from_utf8(raw).ok().filter(|name| is_plain(name));
            let Some(name) = name else { return refuse("its name leads out of the archive, or is none") };
            if entry.encrypted() {
                return refuse("is encrypted");
            }
            if entry.is_symlink() {
                return refuse("is a symbolic link");
            }
            let (stored, size) = (entry.compressed_size(), entry.size());
            let most = match entry.compression() {
                CompressionMethod::Stored => stored,
                CompressionMethod::Deflated => stored.saturating_mul(MOST),
                other => {
                    let problem = format!("is compressed by {other}; members are stored or deflated");
                    return Err(Error::unsupported(place, problem));
                }
            };
            if size > most {
                return refuse(&format!("claims {size} bytes, which its {stored} bytes can not hold"));
            }
            sum = sum.saturating_add(size);
            Limits::at_most(&place, "the number of bytes of all members", sum, limits.inflated_bytes)?;
            members.push(Member { name: name.to_owned(), bytes: size });
        }
        zip.validate_header_consistency().map_err(|error| wrong("archive", error))?;
        let index = members.iter().enumerate().map(|(index, member)| (member.name.clone(), index)).collect();
        Ok(Archive { zip, members, index })
    }

    /// The members' names in the order of the directory, folders left out.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str()).filter(|name| !name.ends_with('/'))
    }

    /// Whether there is a member of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// A member's contents.
    ///
    /// # Errors
    /// When there is none of this name, and when what it inflates to has another size or check sum than it claims.
    pub(crate) fn read(&mut self, name: &str) -> Result<Vec<u8>> {
        let Some(&index) = self.index.get(name) else {
            let names: Vec<&str> = self.names().take(20).collect();
            return Err(Error::damaged(
                format!("member {name:?}"),
                format!("is not in the archive, which has {names:?}"),
            ));
        };
        let place = format!("member {name:?}");
        let expected = self.members[index].bytes;
        let member = self.zip.by_index(index).map_err(|error| wrong(&place, error))?;
        // It can be: the directory's claim was held against the bytes that are there.
        let mut contents = Vec::with_capacity(expected as usize);
        let read = member.take(expected.saturating_add(1)).read_to_end(&mut contents);
        read.map_err(|error| Error::damaged(place.as_str(), format!("can not be inflated: {error}")))?;
        if contents.len() as u64 != expected {
            let got =
                if contents.len() as u64 > expected { "more".into() } else { contents.len().to_string() };
            return Err(Error::damaged(place, format!("claims {expected} bytes, and inflates to {got}")));
        }
        Ok(contents)
    }
}

/// Checks that the end of the directory is the end of the file, and how many members it claims. It is the one number that
/// memory is taken for before the directory has been read.
fn check_end(bytes: &[u8], limits: &Limits) -> Result<()> {
    if !bytes.starts_with(b"PK\x03\x04") && !bytes.starts_with(b"PK\x05\x06") {
        return Err(Error::damaged("archive", "not a zip archive: it does not begin with the signature PK"));
    }
    let cut_off = || {
        Error::damaged(
            "archive",
            "the end of its directory is missing: it is cut off, or something follows it",
        )
    };
    let (_, end) = bytes.split_last_chunk::<22>().ok_or_else(cut_off)?;
    let short = |at: usize| u64::from(u16::from_le_bytes([end[at], end[at + 1]]));
    let long = |at: usize| short(at) | short(at + 2) << 16;
    if !end.starts_with(b"PK\x05\x06") || short(20) != 0 {
        return Err(cut_off());
    }
    let (disks, members, size, start) = ((short(4), short(6)), (short(8), short(10)), long(12), long(16));
    if members.0 == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff {
        return Err(Error::unsupported(
            "archive",
            "has a directory of 64 bits, as those of more than 4 GiB have",
        ));
    }
    Limits::at_most("archive", "the number of members", members.0, limits.members)?;
    // Each member takes 46 bytes in the directory.
    if disks != (0, 0)
        || members.0 != members.1
        || start + size + 22 != bytes.len() as u64
        || members.0 * 46 > size
    {
        return Err(Error::damaged("archive", "the end of its directory contradicts the file"));
    }
    Ok(())
}

/// Whether a name stays within the archive on every system.
fn is_plain(name: &str) -> bool {
    let path = name.strip_suffix('/').unwrap_or(name);
    !name.contains(['\\', '\0', ':']) && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn wrong(place: &str, error: ZipError) -> Error {
    Error::damaged(place, format!("not the zip archive it should be: {error}"))
}

/// Writes an archive. The same members make the same bytes: no times are written.
pub(crate) struct ArchiveWriter {
    zip: ZipWriter<Cursor<Vec<u8>>>,
}

impl ArchiveWriter {
    pub(crate) fn new() -> Self {
        ArchiveWriter { zip: ZipWriter::new(Cursor::new(Vec::new())) }
    }

    /// Adds a member, as it is or deflated.
    ///
    /// # Errors
    /// When there is one of this name.
    pub(crate) fn add(&mut self, name: &str, contents: &[u8], deflate: bool) -> Result<()> {
        let method = if deflate { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let options =
            SimpleFileOptions::default().compression_method(method).large_file(contents.len() > (1 << 31));
        let failed = |problem: String| {
            Error::unsupported(format!("member {name:?}"), format!("can not be written: {problem}"))
        };
        self.zip.start_file(name, options).map_err(|error| failed(error.to_string()))?;
        self.zip.write_all(contents).map_err(|error| failed(error.to_string()))
    }

    /// The archive's bytes.
    ///
    /// # Errors
    /// When it became too large for the format.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        let written = self
            .zip
            .finish()
            .map_err(|error| Error::unsupported("archive", format!("can not be written: {error}")))?;
        Ok(written.into_inner())
    }
}

#[cfg(test)]
mod tests;
