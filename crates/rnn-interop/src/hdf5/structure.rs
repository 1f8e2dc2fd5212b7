//! What an HDF5 file is made of, walked before `hdf5-pure` sees it.
//!
//! `hdf5-pure` decodes, and it bounds much of what it follows, but not everything: a datatype may nest as deep as a message
//! is long, and links that it does not follow it passes over in silence. So the structure is walked here first, and only
//! files made of the plain parts that h5py and Keras write go on: superblocks 0 to 3, object headers 1 and 2, groups of
//! symbol tables or of link messages, numbers and strings, values that lie in the file contiguously, within the header, or
//! in chunks of a version 1 B-tree behind the filters deflate, shuffle and Fletcher32. Everything else (soft and external
//! links, external and virtual storage, committed and shared types, dense storage, other filters) is refused by name. An
//! object is reached once: a graph with cycles or shared parts is refused. The walk reads at most a fixed multiple of the
//! file's size.
//!
//! Source of the layouts: the HDF5 file format specification, version 3.0.

use super::bytes::Bytes;
use super::datatype::{self, Type};
use crate::{Error, Limits, Result};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Where no address is.
pub(super) const UNDEFINED: u64 = u64::MAX;

/// A group or a data set.
#[derive(Clone, Debug)]
pub(super) enum Object {
    /// the names of its members, in the order of the file
    Group(Vec<String>),
    Dataset(Dataset),
}

/// A data set whose size has been checked, and none of whose values has been read.
#[derive(Clone, Debug)]
pub(super) struct Dataset {
    pub shape: Vec<u64>,
    pub values: Type,
    pub storage: Storage,
}

/// Where the values are.
#[derive(Clone, Debug)]
pub(super) enum Storage {
    /// in one piece, from this byte of the file on
    Contiguous(usize),
    /// anywhere else, which `hdf5-pure` reads
    Other,
    /// nowhere: they, or some of them, have never been written
    Nowhere,
}

/// All objects of a file by their path, the root's being empty.
pub(super) type Tree = BTreeMap<String, Object>;

/// Walks the file.
pub(super) fn walk(bytes: &[u8], limits: &Limits) -> Result<Tree> {
    let root = superblock(bytes)?;
    let mut walk = Walk {
        bytes: Bytes::new(bytes),
        limits,
        tree: Tree::new(),
        reached: HashMap::new(),
        blocks: HashSet::new(),
    };
    let mut open = vec![(String::new(), root, 0)];
    while let Some((path, address, depth)) = open.pop() {
        Limits::at_most(show(&path), "the number of bytes of a path", path.len() as u64, limits.name_bytes)?;
        Limits::at_most(show(&path), "the depth of groups", depth, limits.depth)?;
        Limits::at_most(
            show(&path),
            "the number of groups and data sets",
            walk.tree.len() as u64 + 1,
            limits.members,
        )?;
        if let Some(first) = walk.reached.insert(address, path.clone()) {
            let problem = format!(
                "is the same object as {}: a file that refers to itself, or to a part twice, is refused",
                show(&first)
            );
            return Err(Error::damaged(show(&path), problem));
        }
        for (name, child) in walk.object(&path, address)? {
            let child_path = if path.is_empty() { name } else { format!("{path}/{name}") };
            open.push((child_path, child, depth + 1));
        }
    }
    Ok(walk.tree)
}

/// A path for an error.
pub(super) fn show(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// Checks the file's first bytes, and gives the root group's address.
fn superblock(bytes: &[u8]) -> Result<u64> {
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

struct Walk<'a> {
    bytes: Bytes<'a>,
    limits: &'a Limits,
    tree: Tree,
    /// addresses of objects, and the path that led there
    reached: HashMap<u64, String>,
    /// addresses of the parts of headers, B-trees and symbol tables
    blocks: HashSet<u64>,
}

/// A message of an object header.
struct Message<'a> {
    kind: u16,
    body: &'a [u8],
}

/// What the messages of one object say.
#[derive(Default)]
struct Found {
    symbols: Option<(u64, u64)>,
    links: Option<Vec<(String, u64)>>,
    shape: Option<Vec<u64>>,
    values: Option<Type>,
    layout: Option<Layout>,
    filtered: bool,
}

enum Layout {
    Compact(u64),
    Contiguous { address: u64, bytes: u64 },
    Chunked { index: u64, chunk: Vec<u64> },
}

impl<'a> Walk<'a> {
    /// Reads an object's header, puts the object into the tree, and gives its members.
    fn object(&mut self, path: &str, address: u64) -> Result<Vec<(String, u64)>> {
        let place = show(path);
        let mut found = Found::default();
        for message in self.messages(place, address)? {
            self.message(place, &message, &mut found)?;
        }
        if let Some((tree, heap)) = found.symbols {
            found.links = Some(self.symbols(place, tree, heap)?);
        }
        let (object, members) = match (found.links, found.layout) {
            (Some(links), None) => {
                let mut names = HashSet::new();
                if let Some((twice, _)) = links.iter().find(|(name, _)| !names.insert(name.as_str())) {
                    return Err(Error::damaged(place, format!("has two members called {twice:?}")));
                }
                (Object::Group(links.iter().map(|(name, _)| name.clone()).collect()), links)
            }
            (None, Some(layout)) => {
                let missing = |what: &str| Error::damaged(place, format!("a data set without its {what}"));
                let shape = found.shape.ok_or_else(|| missing("shape"))?;
                let values = found.values.ok_or_else(|| missing("type of values"))?;
                let storage = self.storage(place, &shape, &values, &layout, found.filtered)?;
                (Object::Dataset(Dataset { shape, values, storage }), Vec::new())
            }
            // A committed datatype, or nothing that can be told.
            _ => return Err(Error::unsupported(place, "is neither a group nor a data set")),
        };
        self.tree.insert(path.to_owned(), object);
        Ok(members)
    }

    /// Refuses a part of the file that has been read as another part.
    fn once(&mut self, place: &str, address: u64) -> Result<()> {
        if self.blocks.insert(address) {
            return Ok(());
        }
        Err(Error::damaged(
            place,
            format!("the part at byte {address} is used twice: the file refers to itself"),
        ))
    }

    /// The messages of an object header.
    fn messages(&mut self, place: &str, address: u64) -> Result<Vec<Message<'a>>> {
        self.once(place, address)?;
        let mut at = self.bytes.cursor(place, address, 12)?;
        let first = at.u32()?;
        let mut messages = Vec::new();
        let mut more = Vec::new();
        if first == u32::from_le_bytes(*b"OHDR") {
            let (version, flags) = (at.u8()?, at.u8()?);
            if version != 2 {
                return Err(Error::unsupported(place, format!("an object header of version {version}")));
            }
            let prefix = 6 + if flags & 32 != 0 { 16 } else { 0 } + if flags & 16 != 0 { 4 } else { 0 };
            let width = 1u64 << (flags & 3);
            let start = address.saturating_add(prefix);
            let size = self.bytes.cursor(place, start, width)?.uint(width as usize)?;
            let ordered = flags & 4 != 0;
            self.block(
                place,
                start.saturating_add(width),
                size,
                usize::MAX,
                Some(ordered),
                &mut messages,
                &mut more,
            )?;
            while let Some((address, size)) = more.pop() {
                self.once(place, address)?;
                self.bytes.signature(place, address, b"OCHK")?;
                let inner = size
                    .checked_sub(8)
                    .ok_or_else(|| Error::damaged(place, "a part of its header is too short"))?;
                self.block(place, address + 4, inner, usize::MAX, Some(ordered), &mut messages, &mut more)?;
            }
        } else {
            let (version, count) = (first & 0xff, first >> 16);
            if version != 1 {
                return Err(Error::damaged(place, format!("no object header stands at byte {address}")));
            }
            at.skip(4)?;
            let size = u64::from(at.u32()?);
            let start = address.saturating_add(16);
            self.block(place, start, size, count as usize, None, &mut messages, &mut more)?;
            while let Some((address, size)) = more.pop() {
                self.once(place, address)?;
                self.block(place, address, size, usize::MAX, None, &mut messages, &mut more)?;
            }
        }
        Ok(messages)
    }

    /// The messages of one block of a header; `ordered` is given in version 2, and says whether messages are numbered.
    fn block(
        &mut self,
        place: &str,
        address: u64,
        size: u64,
        count: usize,
        ordered: Option<bool>,
        messages: &mut Vec<Message<'a>>,
        more: &mut Vec<(u64, u64)>,
    ) -> Result<()> {
        let mut at = self.bytes.cursor(place, address, size)?;
        let head = match ordered {
            None => 8,
            Some(ordered) => 4 + if ordered { 2 } else { 0 },
        };
        for _ in 0..count {
            if at.left() < head {
                break;
            }
            let (kind, size, flags);
            match ordered {
                None => {
                    (kind, size, flags) = (at.u16()?, at.u16()?, at.u8()?);
                    at.skip(3)?;
                }
                Some(ordered) => {
                    (kind, size, flags) = (u16::from(at.u8()?), at.u16()?, at.u8()?);
                    at.skip(if ordered { 2 } else { 0 })?;
                }
            }
            let body = at.take(usize::from(size))?;
            if flags & 2 != 0 {
                return Err(Error::unsupported(
                    place,
                    "a part of its header is shared with other objects (a committed type)",
                ));
            }
            if kind == 0x10 {
                let mut at = Bytes::new(body).cursor(place, 0, body.len() as u64)?;
                more.push((at.u64()?, at.u64()?));
            } else {
                messages.push(Message { kind, body });
            }
            Limits::at_most(
                place,
                "the number of messages of its header",
                (messages.len() + more.len()) as u64,
                100_000,
            )?;
        }
        Ok(())
    }

    fn message(&mut self, place: &str, message: &Message, found: &mut Found) -> Result<()> {
        let mut at = Bytes::new(message.body).cursor(place, 0, message.body.len() as u64)?;
        match message.kind {
            0x01 => found.shape = Some(datatype::shape(place, message.body, self.limits)?),
            0x03 => found.values = Some(datatype::parse(place, message.body)?),
            0x02 => {
                let _version = at.u8()?;
                let flags = at.u8()?;
                at.skip(if flags & 1 != 0 { 8 } else { 0 })?;
                if at.u64()? != UNDEFINED {
                    return Err(dense(place, "links"));
                }
                found.links.get_or_insert_default();
            }
            0x06 => {
                let link = link(place, message.body, self.limits)?;
                found.links.get_or_insert_default().push(link);
            }
            0x07 => {
                let problem = "keeps its values in other files (external storage), which are not opened; save it in one file";
                return Err(Error::unsupported(place, problem));
            }
            0x08 => found.layout = Some(layout(place, message.body, self.limits)?),
            0x0b => found.filtered |= filters(place, message.body)?,
            0x0c => datatype::attribute(place, message.body, self.limits)?,
            0x0f => return Err(Error::unsupported(place, "has a table of shared messages")),
            0x11 => found.symbols = Some((at.u64()?, at.u64()?)),
            0x15 => {
                let _version = at.u8()?;
                let flags = at.u8()?;
                at.skip(if flags & 1 != 0 { 2 } else { 0 })?;
                if at.u64()? != UNDEFINED {
                    return Err(dense(place, "attributes"));
                }
            }
            // Nothing, fill values, times, comments and the like.
            _ => {}
        }
        Ok(())
    }

    /// Members of a group of the old kind: a B-tree of tables of symbols, names in a heap.
    fn symbols(&mut self, place: &str, tree: u64, heap: u64) -> Result<Vec<(String, u64)>> {
        self.bytes.signature(place, heap, b"HEAP")?;
        let mut at = self.bytes.cursor(place, heap, 32)?;
        at.skip(8)?;
        let size = at.u64()?;
        at.skip(8)?;
        let segment = at.u64()?;
        let names = self.bytes.slice(place, segment, size)?;
        let mut tables = Vec::new();
        self.leaves(place, tree, 0, 8, |_, address| {
            tables.push(address);
            Ok(())
        })?;
        let mut members = Vec::new();
        for table in tables {
            self.once(place, table)?;
            self.bytes.signature(place, table, b"SNOD")?;
            let count = self.bytes.cursor(place, table.saturating_add(6), 2)?.u16()?;
            let mut at = self.bytes.cursor(place, table.saturating_add(8), u64::from(count) * 40)?;
            for _ in 0..count {
                let (name, address, cached) = (at.u64()?, at.u64()?, at.u32()?);
                at.skip(20)?;
                let name = usize::try_from(name).ok().and_then(|from| names.get(from..));
                let name = name.and_then(|name| name.split(|&byte| byte == 0).next());
                let name = member_name(place, name.unwrap_or_default(), self.limits)?;
                if cached == 2 {
                    return Err(soft(place, &name));
                }
                Limits::at_most(
                    place,
                    "the number of members",
                    members.len() as u64 + 1,
                    self.limits.members,
                )?;
                members.push((name, address));
            }
        }
        Ok(members)
    }

    /// Calls `leaf` with the key and the address of every leaf of a version 1 B-tree of this kind.
    fn leaves(
        &mut self,
        place: &str,
        root: u64,
        kind: u8,
        key: usize,
        mut leaf: impl FnMut(&'a [u8], u64) -> Result<()>,
    ) -> Result<()> {
        let mut open = vec![(root, None)];
        while let Some((address, level)) = open.pop() {
            self.once(place, address)?;
            self.bytes.signature(place, address, b"TREE")?;
            let mut at = self.bytes.cursor(place, address.saturating_add(4), 4)?;
            let (got, height, count) = (at.u8()?, at.u8()?, usize::from(at.u16()?));
            if got != kind || level.is_some_and(|level| level != height) {
                return Err(Error::damaged(
                    place,
                    format!("the index node at byte {address} is not where it belongs"),
                ));
            }
            let mut at =
                self.bytes.cursor(place, address.saturating_add(24), (count * (key + 8) + key) as u64)?;
            let first = open.len();
            for _ in 0..count {
                let (key, child) = (at.take(key)?, at.u64()?);
                match height.checked_sub(1) {
                    None => leaf(key, child)?,
                    Some(below) => open.push((child, Some(below))),
                }
            }
            // The stack gives the last first.
            open[first..].reverse();
        }
        Ok(())
    }

    /// Holds what a data set declares against what is there.
    fn storage(
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

fn dense(place: &str, what: &str) -> Error {
    let problem = format!(
        "keeps its {what} in an index of the newer kind; save the file with h5py's defaults (no libver)"
    );
    Error::unsupported(place, problem)
}

fn soft(place: &str, name: &str) -> Error {
    Error::unsupported(place, format!("the member {name:?} is a soft link; links are not followed"))
}

fn member_name(place: &str, name: &[u8], limits: &Limits) -> Result<String> {
    Limits::at_most(place, "the number of bytes of a name", name.len() as u64, limits.name_bytes)?;
    match std::str::from_utf8(name) {
        Ok(name) if !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']) => Ok(name.to_owned()),
        _ => {
            Err(Error::damaged(place, format!("{:?} is no name of a member", String::from_utf8_lossy(name))))
        }
    }
}

/// The member that a link message names, and its address.
fn link(place: &str, body: &[u8], limits: &Limits) -> Result<(String, u64)> {
    let mut at = Bytes::new(body).cursor(place, 0, body.len() as u64)?;
    let (version, flags) = (at.u8()?, at.u8()?);
    if version != 1 {
        return Err(Error::unsupported(place, format!("a link of version {version}")));
    }
    let kind = if flags & 8 != 0 { at.u8()? } else { 0 };
    at.skip(if flags & 4 != 0 { 8 } else { 0 })?;
    at.skip(if flags & 16 != 0 { 1 } else { 0 })?;
    let length = at.uint(1 << (flags & 3))?;
    let name = usize::try_from(length).ok().map(|length| at.take(length)).transpose()?.unwrap_or_default();
    let name = member_name(place, name, limits)?;
    match kind {
        0 => Ok((name, at.u64()?)),
        1 => Err(soft(place, &name)),
        64 => {
            let problem =
                format!("the member {name:?} is an external link into another file, which is not opened");
            Err(Error::unsupported(place, problem))
        }
        other => Err(Error::unsupported(place, format!("the member {name:?} is a link of kind {other}"))),
    }
}

fn layout(place: &str, body: &[u8], limits: &Limits) -> Result<Layout> {
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
fn filters(place: &str, body: &[u8]) -> Result<bool> {
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
