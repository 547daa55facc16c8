//! Data directories of earlier releases, kept small: segments are mostly zeros.

use std::path::{Path, PathBuf};

/// How the name of a packed file ends.
const SUFFIX: &str = ".runs";
/// More zeros than this take less room when they are left out than when they are kept.
const GAP_BYTES: usize = 3;

/// A file as its length and, in turn, how many zeros follow, how many other bytes, and these. Numbers have seven bits
/// a byte, the low ones first, and the top bit in all bytes but the last.
#[must_use]
pub fn pack(content: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    put(&mut packed, content.len());
    let mut at = 0;
    while let Some(zeros) = content[at..].iter().position(|byte| *byte != 0) {
        let run = &content[at + zeros..];
        let len = run_bytes(run);
        put(&mut packed, zeros);
        put(&mut packed, len);
        packed.extend_from_slice(&run[..len]);
        at += zeros + len;
    }
    packed
}

/// Bytes until more zeros come than are worth keeping.
fn run_bytes(content: &[u8]) -> usize {
    let mut len = 0;
    for (at, byte) in content.iter().enumerate() {
        if at - len > GAP_BYTES {
            break;
        }
        if *byte != 0 {
            len = at + 1;
        }
    }
    len
}

fn put(packed: &mut Vec<u8>, mut number: usize) {
    while number >= 128 {
        packed.push(number as u8 | 128);
        number >>= 7;
    }
    packed.push(number as u8);
}

fn take(packed: &mut &[u8]) -> usize {
    let len = packed.iter().position(|byte| *byte < 128).expect("the end of a number") + 1;
    let (number, rest) = packed.split_at(len);
    *packed = rest;
    number.iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 127))
}

/// What [`pack`] was given.
///
/// # Panics
/// When it was not given this.
#[must_use]
pub fn unpack(mut packed: &[u8]) -> Vec<u8> {
    let mut content = vec![0; take(&mut packed)];
    let mut at = 0;
    while !packed.is_empty() {
        let (zeros, len) = (take(&mut packed), take(&mut packed));
        at += zeros + len;
        let (run, rest) = packed.split_at(len);
        content[at - len..at].copy_from_slice(run);
        packed = rest;
    }
    content
}

/// Packs every file below `from` into a new file below `to`.
///
/// # Panics
/// When a file cannot be read, or is there already.
pub fn pack_dir(from: &Path, to: &Path) {
    for path in files(from) {
        let content = std::fs::read(&path).expect("read a file");
        let name = path.strip_prefix(from).expect("it is below").display().to_string();
        let packed = to.join(name + SUFFIX);
        std::fs::create_dir_all(packed.parent().expect("it has one")).expect("make a folder");
        let mut file = std::fs::File::create_new(&packed).expect("a file that is not there yet");
        std::io::Write::write_all(&mut file, &pack(&content)).expect("write");
    }
}

/// Unpacks every packed file below `from` into a file below `to`.
///
/// # Panics
/// When a file cannot be read or written.
pub fn unpack_dir(from: &Path, to: &Path) {
    for path in files(from) {
        let name = path.strip_prefix(from).expect("it is below").display().to_string();
        let Some(name) = name.strip_suffix(SUFFIX) else { continue };
        let unpacked = to.join(name);
        std::fs::create_dir_all(unpacked.parent().expect("it has one")).expect("make a folder");
        let packed = std::fs::read(&path).expect("read a packed file");
        std::fs::write(&unpacked, unpack(&packed)).expect("write");
    }
}

fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).unwrap_or_else(|e| panic!("{}: {e}", below.display())) {
        let path = entry.expect("list a folder").path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let mut mixed = vec![0; 5000];
        mixed[3..9].copy_from_slice(b"a\0b\0\0c");
        mixed[4090..4110].fill(7);
        let (zeros, full) = (vec![0; 1 << 20], vec![1; 300]);
        for content in [&[][..], &[0], &[1], &zeros, &full, &mixed, &mixed[..4100]] {
            assert_eq!(unpack(&pack(content)), content);
        }
        assert_eq!(pack(&zeros).len(), 3);
        assert!(pack(&mixed).len() < 40, "{}", pack(&mixed).len());
    }
}
