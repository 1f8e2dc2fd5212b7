//! Damage done to files: at any byte, and where it hurts (numbers at their limits, JSON, Protocol Buffers, members of
//! archives with their check sums made right again).

use super::random::Random;
use super::raw_zip::{self, Raw};
use serde_json::{Value, json};
use std::io::{Cursor, Read};

/// One to four pieces of damage to the bytes themselves.
pub fn bytes(random: &mut Random, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        let end = (at + random.below(64)).min(bytes.len());
        match random.below(9) {
            0..=2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = if random.below(3) == 0 {
                        random.next() as u8
                    } else {
                        *byte ^ (1 << random.below(8))
                    };
                }
            }
            3 | 4 => number(random, &mut bytes, at),
            5 => bytes.truncate(at),
            6 => {
                // A part of another file, in the place of this one's or between.
                let from = random.below(other.len());
                let part = &other[from..(from + random.below(64)).min(other.len())];
                let end = if random.below(2) == 0 { at } else { (at + part.len()).min(bytes.len()) };
                bytes.splice(at..end, part.iter().copied());
            }
            7 => match random.below(2) {
                0 => bytes.truncate(bytes.len() - (end - at)),
                _ => bytes[at..end].fill(0xff),
            },
            _ => {
                let part = bytes[at..end].to_vec();
                match random.below(2) {
                    0 => drop(bytes.splice(at..at, part)),
                    _ => drop(bytes.splice(at..end, [])),
                }
            }
        }
    }
    bytes
}

/// A number at a limit, of 1 to 8 bytes in either order.
fn number(random: &mut Random, bytes: &mut [u8], at: usize) {
    let (len, here) = (bytes.len() as u64, at as u64);
    let edges = [
        0,
        1,
        2,
        0x7f,
        0x80,
        0xff,
        0x7fff,
        0xffff,
        1 << 16,
        1 << 24,
        1 << 31,
        u64::from(u32::MAX),
        1 << 32,
        1 << 40,
    ];
    let more = [
        u64::from(u32::MAX) >> 1,
        u64::MAX >> 1,
        1 << 63,
        u64::MAX,
        u64::MAX - 7,
        len,
        len + 1,
        len / 2,
        here,
    ];
    let value = *random.pick(&[&edges[..], &more].concat());
    let width = *random.pick(&[1, 2, 4, 8]);
    let mut number = value.to_le_bytes()[..width].to_vec();
    if random.below(4) == 0 {
        number.reverse();
    }
    for (byte, new) in bytes.iter_mut().skip(at).zip(number) {
        *byte = new;
    }
}

/// Another JSON text: values at their limits, of other types, moved, doubled, missing, too deep, or a key twice.
pub fn json(random: &mut Random, text: &[u8]) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else {
        return bytes(random, text.to_vec(), text);
    };
    for _ in 0..1 + random.below(2) {
        let steps = 1 + random.below(12);
        let other = walk(random, &mut value.clone(), steps).clone();
        let steps = 1 + random.below(12);
        let place = walk(random, &mut value, steps);
        change(random, place, other);
    }
    let text = value.to_string();
    if random.below(10) > 0 {
        return text.into_bytes();
    }
    // A key twice: the first one of some object.
    let starts: Vec<usize> = text.match_indices("{\"").map(|(at, _)| at).collect();
    let Some(&at) = starts.get(random.below(starts.len())) else { return text.into_bytes() };
    let end = text[at + 2..].find('"').map_or(at + 1, |end| at + 2 + end + 1);
    format!("{}{{{}: 1, {}", &text[..at], &text[at + 1..end], &text[at + 1..]).into_bytes()
}

/// A value inside of this one, at most so deep.
fn walk<'a>(random: &mut Random, value: &'a mut Value, steps: usize) -> &'a mut Value {
    let children = match value {
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        _ => 0,
    };
    if steps == 0 || children == 0 {
        return value;
    }
    let index = random.below(children);
    let child = match value {
        Value::Array(items) => &mut items[index],
        Value::Object(entries) => entries.values_mut().nth(index).unwrap(),
        _ => unreachable!("a value without children"),
    };
    walk(random, child, steps - 1)
}

fn change(random: &mut Random, value: &mut Value, other: Value) {
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    match (random.below(4), &mut *value) {
        (0, Value::Array(items)) if !items.is_empty() => {
            let at = random.below(items.len());
            match random.below(3) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => items.reverse(),
            }
        }
        (0, Value::Object(entries)) if !entries.is_empty() => {
            let key = entries.keys().nth(random.below(entries.len())).cloned().unwrap_or_default();
            let taken = entries.remove(&key);
            if random.below(3) == 0 {
                entries.insert(format!("{key}_"), taken.unwrap_or_default());
            }
        }
        (1, _) => *value = other,
        _ => {
            *value = random
                .pick(&[
                    Value::Null,
                    json!(true),
                    json!(0),
                    json!(1),
                    json!(-1),
                    json!(3),
                    json!(0.5),
                    json!(1e308),
                    json!(-1e-308),
                    json!(1 << 20),
                    json!(i32::MAX),
                    json!(i64::MAX),
                    json!(u64::MAX),
                    json!(i64::MIN),
                    json!(""),
                    json!("a"),
                    json!("Lambda"),
                    json!("LSTM"),
                    json!("Bidirectional"),
                    json!("Functional"),
                    json!("softmax"),
                    json!("../../etc/passwd"),
                    json!("\u{0}\u{fffd}\u{1f600}"),
                    json!("x".repeat(5000)),
                    json!([]),
                    json!([0, 0]),
                    json!([null, 1u64 << 40, 1u64 << 40]),
                    json!({}),
                    json!({"class_name": "Lambda", "config": {}}),
                    json!({"class_name": "__tensor__", "config": {"value": [1]}}),
                    deep,
                ])
                .clone();
        }
    }
}

/// Another archive: the directory damaged, or a member, whose check sum and sizes are then made right.
pub fn archive(
    random: &mut Random,
    file: &[u8],
    other: &[u8],
    member: impl Fn(&mut Random, &str, Vec<u8>) -> Vec<u8>,
) -> Vec<u8> {
    let mut zip = zip::ZipArchive::new(Cursor::new(file)).unwrap();
    let mut members = Vec::new();
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).unwrap();
        let name = entry.name().unwrap().into_owned();
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        members.push((name, contents));
    }
    let damaged = random.below(members.len());
    let (name, contents) = &mut members[damaged];
    *contents = member(random, name, std::mem::take(contents));
    match random.below(12) {
        0 => *name = random.pick(&["../x", "/x", "config.json", "x.npy", ""]).to_string(),
        1 => drop(members.remove(damaged)),
        2 => members.push(members[damaged].clone()),
        _ => {}
    }
    let raw = |(name, contents): &(String, Vec<u8>)| Raw::stored(name, contents);
    let file = raw_zip::archive(&members.iter().map(raw).collect::<Vec<_>>());
    if random.below(20) == 0 { bytes(random, file, other) } else { file }
}

/// Another message of Protocol Buffers: some field at some depth damaged, doubled or taken away, the lengths around it made
/// right.
pub fn protobuf(random: &mut Random, message: &[u8], other: &[u8]) -> Vec<u8> {
    let Some(mut fields) = fields(message).filter(|fields| !fields.is_empty()) else {
        return bytes(random, message.to_vec(), other);
    };
    let at = random.below(fields.len());
    match random.below(10) {
        0 => drop(fields.remove(at)),
        1 => fields.push(fields[at].clone()),
        2 => fields.reverse(),
        3 => fields[at].0 ^= 8 << random.below(4),
        _ => match &mut fields[at].1 {
            Field::Bytes(inner) => *inner = protobuf(random, inner, other),
            Field::Varint(value) => {
                let edges = [
                    0,
                    1,
                    2,
                    7,
                    8,
                    100,
                    1 << 20,
                    1 << 31,
                    1 << 32,
                    1 << 62,
                    1 << 63,
                    u64::MAX,
                    random.next(),
                ];
                *value = *random.pick(&edges);
            }
            Field::Fixed(value) => value[random.below(4)] ^= 1 << random.below(8),
        },
    }
    let mut out = Vec::new();
    for (tag, field) in fields {
        varint(&mut out, tag);
        match field {
            Field::Varint(value) => varint(&mut out, value),
            Field::Fixed(value) => out.extend(value),
            Field::Bytes(value) => {
                varint(&mut out, value.len() as u64);
                out.extend(value);
            }
        }
    }
    out
}

#[derive(Clone)]
enum Field {
    Varint(u64),
    Fixed(Vec<u8>),
    Bytes(Vec<u8>),
}

/// The fields of a message, if it can be one.
fn fields(mut rest: &[u8]) -> Option<Vec<(u64, Field)>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = read_varint(&mut rest)?;
        let field = match tag & 7 {
            0 => Field::Varint(read_varint(&mut rest)?),
            kind @ (1 | 2 | 5) => {
                let length = match kind {
                    1 => 8,
                    5 => 4,
                    _ => read_varint(&mut rest)?,
                };
                let (value, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                rest = after;
                if kind == 2 { Field::Bytes(value.to_vec()) } else { Field::Fixed(value.to_vec()) }
            }
            _ => return None,
        };
        fields.push((tag, field));
    }
    Some(fields)
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in 0..10 {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f).checked_shl(7 * shift).unwrap_or(0);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
