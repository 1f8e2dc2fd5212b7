//! Members of groups: symbol tables of the old kind, link messages of the new.

use super::Walk;
use crate::hdf5::bytes::Bytes;
use crate::{Error, Limits, Result};

impl<'a> Walk<'a> {
    /// Members of a group of the old kind: a B-tree of tables of symbols, names in a heap.
    pub(super) fn symbols(&mut self, place: &str, tree: u64, heap: u64) -> Result<Vec<(String, u64)>> {
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
    pub(super) fn leaves(
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
pub(super) fn link(place: &str, body: &[u8], limits: &Limits) -> Result<(String, u64)> {
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
