//! The file that says whose log a directory holds.

use jobbie_io::BLOCK_BYTES;

use super::FORMAT_VERSION;
use super::bytes::{Get, Put};
use crate::entry::Identity;

const MAGIC: [u8; 8] = *b"jobbieSB";
const CHECKSUM_AT: usize = 72;
/// Two copies, a block each.
pub(crate) const SUPERBLOCK_BYTES: usize = 2 * BLOCK_BYTES;

/// Both copies.
pub(crate) fn encode(identity: &Identity) -> [u8; SUPERBLOCK_BYTES] {
    let mut bytes = [0; SUPERBLOCK_BYTES];
    for (number, copy) in bytes.chunks_exact_mut(BLOCK_BYTES).enumerate() {
        let mut put = Put::new(copy);
        put.bytes(&MAGIC).u32(FORMAT_VERSION).u32(number as u32).u128(identity.cluster);
        put.u128(identity.store).u64(identity.node).u32(identity.shard);
        let checksum = crc32fast::hash(&copy[..CHECKSUM_AT]);
        copy[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// Offset of a copy and what is wrong with it, in words.
pub(crate) type Wrong = (u64, String);

/// The identity from whichever copy is sound, and what is wrong with the other one.
///
/// # Errors
/// When neither copy is sound or they contradict each other.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Identity, Option<Wrong>), Wrong> {
    if bytes.len() < SUPERBLOCK_BYTES {
        return Err((
            bytes.len() as u64,
            format!("{SUPERBLOCK_BYTES} bytes expected, {} found", bytes.len()),
        ));
    }
    match (decode_copy(&bytes[..BLOCK_BYTES], 0), decode_copy(&bytes[BLOCK_BYTES..], 1)) {
        (Ok(first), Ok(second)) if first != second => {
            Err((BLOCK_BYTES as u64, "the two copies disagree".into()))
        }
        (Ok(identity), second) => {
            Ok((identity, second.err().map(|what| (BLOCK_BYTES as u64, what))))
        }
        (Err(what), Ok(identity)) => Ok((identity, Some((0, what)))),
        (Err(what), Err(_)) => Err((0, what)),
    }
}

fn decode_copy(copy: &[u8], number: u32) -> Result<Identity, String> {
    if copy[..8] != MAGIC {
        return Err(format!("magic {:02x?}", &copy[..8]));
    }
    let stored = Get::new(&copy[CHECKSUM_AT..]).u32();
    let computed = crc32fast::hash(&copy[..CHECKSUM_AT]);
    if stored != computed {
        return Err(format!("checksum {stored:08x}, computed {computed:08x}"));
    }
    let mut get = Get::new(&copy[8..]);
    let version = get.u32();
    if version != FORMAT_VERSION {
        return Err(format!("format version {version}, this release knows {FORMAT_VERSION}"));
    }
    if get.u32() != number {
        return Err("a copy in the wrong place".into());
    }
    let (cluster, store) = (get.u128(), get.u128());
    Ok(Identity { cluster, store, node: get.u64(), shard: get.u32() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_damaged_copy_is_survived_two_are_not() {
        let identity = Identity { cluster: 1 << 100, node: 2, shard: 3, store: 4 << 80 };
        let bytes = encode(&identity);
        for bit in (0..CHECKSUM_AT + 4).map(|byte| byte * 8 + byte % 8) {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let (found, wrong) = decode(&damaged).expect("the other copy is sound");
            assert_eq!((found, wrong.map(|wrong| wrong.0)), (identity, Some(0)));
            damaged[BLOCK_BYTES + bit / 8] ^= 1 << (bit % 8);
            decode(&damaged).unwrap_err();
            damaged[..BLOCK_BYTES].copy_from_slice(&bytes[..BLOCK_BYTES]);
            let (_, wrong) = decode(&damaged).expect("the other copy is sound");
            assert_eq!(wrong.map(|wrong| wrong.0), Some(BLOCK_BYTES as u64));
        }
        assert_eq!(decode(&bytes), Ok((identity, None)));
        decode(&bytes[..SUPERBLOCK_BYTES - 1]).unwrap_err();
    }
}
