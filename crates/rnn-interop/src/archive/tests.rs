use super::*;
#[path = "../../tests/common/raw_zip.rs"]
mod raw_zip;
use raw_zip::{Raw, archive};

const NUMPY: &[u8] = include_bytes!("../../tests/files/arrays.npz");

fn open(bytes: &[u8]) -> Result<Archive<'_>> {
    Archive::open(bytes, &Limits::default())
}

#[test]
fn what_is_written_is_read() {
    let mut writer = ArchiveWriter::new();
    writer.add("config.json", b"{}", true).unwrap();
    writer.add("assets/größe.txt", &[7; 10_000], true).unwrap();
    writer.add("empty", b"", false).unwrap();
    assert!(writer.add("config.json", b"", false).unwrap_err().to_string().contains("Duplicate"));
    let bytes = writer.finish().unwrap();
    assert!(bytes.len() < 600);
    let mut archive = open(&bytes).unwrap();
    assert_eq!(archive.names().collect::<Vec<_>>(), ["config.json", "assets/größe.txt", "empty"]);
    assert_eq!(archive.read("config.json").unwrap(), b"{}");
    assert_eq!(archive.read("assets/größe.txt").unwrap(), [7; 10_000]);
    assert_eq!(archive.read("empty").unwrap(), b"");
    assert!(archive.has("empty") && !archive.has("assets"));
    let message = archive.read("other").unwrap_err().to_string();
    assert!(
        message.starts_with("member \"other\": is not in the archive, which has [\"config.json\""),
        "{message}"
    );
}

#[test]
fn plain_raw_archives_are_read() {
    let bytes =
        archive(&[Raw::stored("folder/", b""), Raw::stored("a", b"one"), Raw::deflated("folder/b", b"two")]);
    let mut archive = open(&bytes).unwrap();
    assert_eq!(archive.names().collect::<Vec<_>>(), ["a", "folder/b"]);
    assert_eq!(
        (archive.read("a").unwrap(), archive.read("folder/b").unwrap()),
        (b"one".to_vec(), b"two".to_vec())
    );
}

#[test]
fn hostile_archives_are_refused() {
    let good = Raw::stored("a", b"contents");
    let named = |name: &[u8]| Raw { name: name.into(), local_name: name.into(), ..good.clone() };
    let whole = archive(std::slice::from_ref(&good));
    let leads_out = "its name leads out of the archive, or is none";
    let mut cases: Vec<(Vec<u8>, &str)> = Vec::new();
    for name in [
        &b"../a"[..],
        b"/etc/passwd",
        b"a/../../b",
        b"..",
        b"./a",
        b"a//b",
        b"",
        b"c:/x",
        b"a\\b",
        b"\xff",
        b"a\0b",
    ] {
        cases.push((archive(&[named(name)]), leads_out));
    }
    cases.extend([
        (archive(&[good.clone(), good.clone()]), "the same name"),
        (archive(&[Raw { flags: 1, ..good.clone() }]), "member \"a\": is encrypted"),
        (archive(&[Raw { mode: 0o120_777, ..good.clone() }]), "member \"a\": is a symbolic link"),
        (archive(&[Raw { method: 12, ..good.clone() }]), "member \"a\": is compressed by"),
        (archive(&[Raw { local_name: b"b".into(), ..good.clone() }]), "header inconsistency"),
        (
            archive(&[Raw { size: 1 << 30, ..good.clone() }]),
            "claims 1073741824 bytes, which its 8 bytes can not hold",
        ),
        (archive(&[Raw { size: 1 << 30, method: 8, ..good.clone() }]), "claims 1073741824 bytes"),
        (whole[..60].to_vec(), "the end of its directory is missing"),
        ([whole.clone(), b"x".to_vec()].concat(), "the end of its directory is missing"),
        ([b"PK\x03\x04".to_vec(), whole].concat(), "the end of its directory contradicts the file"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "not a zip archive"),
        (Vec::new(), "not a zip archive"),
    ]);
    // The directory names the one member a second time: more comes out than is in it.
    let mut twice = archive(&[good.clone(), named(b"b")]);
    let second = twice.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    twice[second + 42..second + 46].copy_from_slice(&[0; 4]);
    cases.push((twice, "header inconsistency"));
    for (bytes, expected) in cases {
        let message = open(&bytes).map(|_| "read").unwrap_err().to_string();
        assert!(message.contains(expected), "expected {expected}\n     got {message}");
    }
}

#[test]
fn bombs_are_refused_by_the_sum_of_their_members() {
    let limits = Limits { inflated_bytes: 1 << 20, ..Limits::default() };
    let bomb = archive(&[Raw::deflated("a", &vec![0; 600_000]), Raw::deflated("b", &vec![0; 600_000])]);
    assert!(bomb.len() < 3000);
    let message = Archive::open(&bomb, &limits).map(|_| "read").unwrap_err().to_string();
    assert_eq!(
        message,
        "member \"b\": the number of bytes of all members is 1200000, more than the limit of 1048576"
    );
    let many: Vec<Raw> = (0..20).map(|i| Raw::stored(&i.to_string(), b"")).collect();
    let limits = Limits { members: 19, ..Limits::default() };
    assert!(matches!(Archive::open(&archive(&many), &limits), Err(Error::Limit { got: 20, limit: 19, .. })));
}

#[test]
fn contents_that_are_not_what_they_claim_are_refused() {
    let good = Raw::deflated("a", &[5; 1000]);
    let cases = [
        (Raw { size: 999, ..good.clone() }, "larger than its declared uncompressed size"),
        (Raw { size: 1001, ..good.clone() }, "claims 1001 bytes, and inflates to 1000"),
        (Raw { crc: 1, ..good.clone() }, "can not be inflated: Invalid checksum"),
        (Raw { stored: vec![0xff; good.stored.len()], ..good.clone() }, "can not be inflated"),
        (Raw { crc: 1, ..Raw::stored("a", b"x") }, "can not be inflated: Invalid checksum"),
    ];
    for (member, expected) in cases {
        let bytes = archive(&[member]);
        let message = open(&bytes).unwrap().read("a").unwrap_err().to_string();
        assert!(message.starts_with("member \"a\": ") && message.contains(expected), "{message}");
    }
}

#[test]
fn an_archive_cut_off_anywhere_is_refused() {
    for end in 0..NUMPY.len() {
        assert!(open(&NUMPY[..end]).is_err(), "{end}");
    }
}
