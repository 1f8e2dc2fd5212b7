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

mod members;
mod storage;
mod superblock;

use super::bytes::Bytes;
use super::datatype::{self, Type};
use crate::{Error, Limits, Result};
use members::link;
use std::collections::{BTreeMap, HashMap, HashSet};
use storage::{Layout, filters, layout};
use superblock::superblock;

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
}

fn dense(place: &str, what: &str) -> Error {
    let problem = format!(
        "keeps its {what} in an index of the newer kind; save the file with h5py's defaults (no libver)"
    );
    Error::unsupported(place, problem)
}
