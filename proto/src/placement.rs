//! Which shard holds a queue. Clients compute it too, so it never changes.

use crate::ShardId;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The shard of a queue: FNV-1a with 64 bits over the bytes of the name, its upper half folded
/// onto its lower by exclusive or (`h ^ (h >> 32)`), modulo the number of shards.
///
/// # Panics
/// When there are no shards.
#[must_use]
pub fn shard_of(queue: &str, shards: u16) -> ShardId {
    assert!(shards > 0, "a node has at least one shard");
    if shards == 1 {
        return ShardId(0);
    }
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
    let hash = queue.bytes().fold(FNV_OFFSET, step);
    ShardId(((hash ^ (hash >> 32)) % u64::from(shards)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_never_change() {
        let of = |queue, shards| shard_of(queue, shards).0;
        let golden = [("", 7), ("a", 7), ("default", 7), ("email/send", 1024), ("größe", 1024)];
        let places: Vec<_> = golden.iter().map(|&(queue, shards)| of(queue, shards)).collect();
        assert_eq!(places, [6, 1, 4, 527, 708]);
        assert_eq!(of("anything", 1), 0);
    }

    #[test]
    fn numbered_queues_spread_evenly() {
        let mut counts = [0_u32; 8];
        for n in 0..8000 {
            counts[usize::from(shard_of(&format!("queue-{n}"), 8).0)] += 1;
        }
        assert!(counts.iter().all(|n| (800..1200).contains(n)), "{counts:?}");
    }
}
