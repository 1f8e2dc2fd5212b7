//! A first look at a file: how many messages it holds, before memory is taken for them. A message of two bytes becomes a
//! hundred in memory, so a count is held against the limits first.

use crate::{Error, Limits, Result};

/// A kind of message, by what it holds.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Other,
}

impl Kind {
    /// What a field of a message is, where it holds messages that may hold more.
    fn field(self, number: u64) -> Kind {
        match (self, number) {
            (Kind::Model, 7) => Kind::Graph,
            (Kind::Graph, 1) => Kind::Node,
            (Kind::Node, 5) => Kind::Attribute,
            (Kind::Attribute, 6) => Kind::Graph,
            _ => Kind::Other,
        }
    }
}

/// Refuses files with more messages and strings than `limits.members` allows, some times over: a node has several.
pub(super) fn check(bytes: &[u8], limits: &Limits) -> Result<()> {
    let mut open = vec![(Kind::Model, bytes, 0u64)];
    let mut count = 0u64;
    let limit = limits.members.saturating_mul(16);
    while let Some((kind, mut rest, depth)) = open.pop() {
        Limits::at_most("file", "the depth of messages", depth, limits.depth)?;
        while !rest.is_empty() {
            let Some((key, after)) = varint(rest) else { return Err(cut()) };
            let payload = match key & 7 {
                0 => varint(after).map(|(_, after)| (&[][..], after)),
                1 => after.split_at_checked(8).map(|(_, after)| (&[][..], after)),
                5 => after.split_at_checked(4).map(|(_, after)| (&[][..], after)),
                2 => {
                    varint(after).and_then(|(len, after)| after.split_at_checked(usize::try_from(len).ok()?))
                }
                other => {
                    return Err(Error::damaged("file", format!("it is no ONNX model: wire type {other}")));
                }
            };
            let Some((message, after)) = payload else { return Err(cut()) };
            rest = after;
            if key & 7 == 2 {
                count += 1;
                Limits::at_most("file", "the number of messages and strings", count, limit)?;
                let inner = kind.field(key >> 3);
                if !matches!(inner, Kind::Other) {
                    open.push((inner, message, depth + 1));
                }
            }
        }
    }
    Ok(())
}

fn cut() -> Error {
    Error::damaged("file", "it is no ONNX model, or it is cut off")
}

/// A number of variable length, and what is behind it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte < 0x80 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_messages_than_allowed_are_refused_before_they_are_read() {
        let limits = Limits { members: 10, ..Limits::default() };
        // A graph of empty nodes, two bytes each.
        let nodes = |n: usize| [0x0a, 0x00].repeat(n);
        let file = |nodes: Vec<u8>| {
            let mut bytes = vec![0x3a];
            assert!(nodes.len() < 1 << 14);
            bytes.extend([(nodes.len() & 0x7f) as u8 | 0x80, (nodes.len() >> 7) as u8]);
            bytes.extend(nodes);
            bytes
        };
        assert!(check(&file(nodes(100)), &limits).is_ok());
        assert!(matches!(check(&file(nodes(200)), &limits), Err(Error::Limit { .. })));
        let mut short = file(nodes(100));
        short.pop();
        assert!(matches!(check(&short, &limits), Err(Error::Damaged { .. })));
    }
}
