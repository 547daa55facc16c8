//! The body of every record that is no entry: the state of the log at that point.

use super::bytes::{Get, Put};
use crate::entry::{EntryId, Vote};

/// Bytes of a control record's body.
pub(crate) const CONTROL_BYTES: usize = 96;

/// What the log knows beside its entries. Each control record carries all of it, so that the last
/// one alone is enough and older segments can go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) vote: Option<Vote>,
    /// Last entry logically gone.
    pub(crate) purged: Option<EntryId>,
    /// Last entry, the purged one if there is none after it.
    pub(crate) last: Option<EntryId>,
    /// First event not in the log yet.
    pub(crate) next_event: u64,
    /// Lowest segment that still belongs to the log.
    pub(crate) oldest_segment: u64,
}

const VOTE: u32 = 1;
const VOTE_COMMITTED: u32 = 2;
const PURGED: u32 = 4;
const LAST: u32 = 8;

impl Control {
    pub(crate) fn encode(&self) -> [u8; CONTROL_BYTES] {
        let vote = self.vote.unwrap_or(Vote { term: 0, node: 0, committed: false });
        let purged = self.purged.unwrap_or(EntryId { term: 0, index: 0 });
        let last = self.last.unwrap_or(EntryId { term: 0, index: 0 });
        let mut flags = 0;
        for (bit, set) in [
            (VOTE, self.vote.is_some()),
            (VOTE_COMMITTED, vote.committed),
            (PURGED, self.purged.is_some()),
            (LAST, self.last.is_some()),
        ] {
            flags |= if set { bit } else { 0 };
        }
        let mut bytes = [0; CONTROL_BYTES];
        let mut put = Put::new(&mut bytes);
        put.u32(flags).u32(0).u64(vote.term).u64(vote.node);
        put.u64(purged.term).u64(purged.index);
        put.u64(last.term).u64(last.index).u64(self.next_event).u64(self.oldest_segment);
        bytes
    }

    /// `None` when the bytes break the format; their checksum was right, so that is no accident of
    /// the disk.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != CONTROL_BYTES {
            return None;
        }
        let mut get = Get::new(bytes);
        let flags = get.u32();
        let _reserved = get.u32();
        let vote =
            Vote { term: get.u64(), node: get.u64(), committed: flags & VOTE_COMMITTED != 0 };
        let purged = EntryId { term: get.u64(), index: get.u64() };
        let last = EntryId { term: get.u64(), index: get.u64() };
        let known = flags & !(VOTE | VOTE_COMMITTED | PURGED | LAST) == 0;
        let control = Self {
            vote: (flags & VOTE != 0).then_some(vote),
            purged: (flags & PURGED != 0).then_some(purged),
            last: (flags & LAST != 0).then_some(last),
            next_event: get.u64(),
            oldest_segment: get.u64(),
        };
        // What is purged was there, and something can follow.
        let possible = control.last.map(|last| last.index) >= control.purged.map(|id| id.index)
            && last.index < u64::MAX;
        (known && possible).then_some(control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_comes_back() {
        for flags in 0..16 {
            let control = Control {
                vote: (flags & 1 != 0).then_some(Vote {
                    term: 1,
                    node: 2,
                    committed: flags & 2 != 0,
                }),
                purged: (flags & 4 != 0).then_some(EntryId { term: 3, index: 4 }),
                last: (flags & 8 != 0).then_some(EntryId { term: 6, index: 7 }),
                next_event: 8,
                oldest_segment: 9,
            };
            let possible = control.purged.is_none() || control.last.is_some();
            assert_eq!(Control::decode(&control.encode()), possible.then_some(control));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let id = |index| Some(EntryId { term: 1, index });
        let control = Control { purged: id(4), last: id(4), ..Control::default() };
        assert_eq!(Control::decode(&control.encode()), Some(control));
        for last in [id(3), id(u64::MAX)] {
            let impossible = Control { last, ..control };
            assert_eq!(Control::decode(&impossible.encode()), None, "{last:?}");
        }
    }
}
