//! Zip archives byte by byte, with anything in them that no library would write.

use std::io::Write;

/// A member as its two headers describe it.
#[derive(Clone, Debug)]
pub struct Raw {
    /// the name in the directory
    pub name: Vec<u8>,
    /// the name in front of the contents
    pub local_name: Vec<u8>,
    /// what stands in the archive
    pub stored: Vec<u8>,
    /// 0 stored, 8 deflated
    pub method: u16,
    /// bit 0 encrypted
    pub flags: u16,
    /// claimed size when inflated
    pub size: u32,
    /// check sum of the contents
    pub crc: u32,
    /// type and permissions as of Unix
    pub mode: u32,
}

impl Raw {
    /// As it should be.
    pub fn stored(name: &str, contents: &[u8]) -> Self {
        let mut sum = flate2::Crc::new();
        sum.update(contents);
        Raw {
            name: name.into(),
            local_name: name.into(),
            stored: contents.to_vec(),
            method: 0,
            flags: 0,
            size: contents.len() as u32,
            crc: sum.sum(),
            mode: 0o100_644,
        }
    }

    /// As it should be, deflated.
    #[allow(dead_code, reason = "of the tests that share this file, one needs it")]
    pub fn deflated(name: &str, contents: &[u8]) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(contents).unwrap();
        Raw { stored: encoder.finish().unwrap(), method: 8, ..Raw::stored(name, contents) }
    }
}

/// The archive of these members.
pub fn archive(members: &[Raw]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for member in members {
        let at = bytes.len() as u32;
        let head = [&member.flags.to_le_bytes()[..], &member.method.to_le_bytes(), &[0, 0, 0x21, 0]].concat();
        let sizes = [member.crc, member.stored.len() as u32, member.size].map(u32::to_le_bytes).concat();
        bytes.extend([b"PK\x03\x04\x14\0", head.as_slice(), &sizes].concat());
        bytes.extend((member.local_name.len() as u16).to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(&member.local_name);
        bytes.extend(&member.stored);
        directory.extend([b"PK\x01\x02\x14\x03\x14\0", head.as_slice(), &sizes].concat());
        directory.extend((member.name.len() as u16).to_le_bytes());
        directory.extend([0; 8]);
        directory.extend((member.mode << 16).to_le_bytes());
        directory.extend(at.to_le_bytes());
        directory.extend(&member.name);
    }
    let (start, size, count) = (bytes.len() as u32, directory.len() as u32, members.len() as u16);
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    bytes.extend([size.to_le_bytes(), start.to_le_bytes()].concat());
    bytes.extend([0, 0]);
    bytes
}
