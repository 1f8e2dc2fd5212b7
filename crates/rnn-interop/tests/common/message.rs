//! Protocol buffers by hand: a message is a list of fields, each a tag and what stands in it.

/// What stands in a field.
pub enum Part {
    /// a whole number
    Int(i64),
    /// text, numbers packed, or another message
    Bytes(Vec<u8>),
}

/// A field with a whole number.
pub fn int(tag: u64, value: i64) -> (u64, Part) {
    (tag, Part::Int(value))
}

/// A field with text.
pub fn text(tag: u64, value: &str) -> (u64, Part) {
    (tag, Part::Bytes(value.into()))
}

/// A field with bytes.
pub fn raw(tag: u64, value: &[u8]) -> (u64, Part) {
    (tag, Part::Bytes(value.into()))
}

/// A field with a message.
pub fn inner(tag: u64, fields: &[(u64, Part)]) -> (u64, Part) {
    (tag, Part::Bytes(message(fields)))
}

/// The bytes of a message.
pub fn message(fields: &[(u64, Part)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, part) in fields {
        match part {
            Part::Int(value) => {
                varint(&mut bytes, tag << 3);
                varint(&mut bytes, *value as u64);
            }
            Part::Bytes(value) => {
                varint(&mut bytes, tag << 3 | 2);
                varint(&mut bytes, value.len() as u64);
                bytes.extend(value);
            }
        }
    }
    bytes
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
