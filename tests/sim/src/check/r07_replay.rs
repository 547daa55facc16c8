//! R7: the same log gives the same state hash at every event, live, replayed, from a snapshot or from zero.

use std::collections::BTreeMap;

use jobbie_core::State;
use jobbie_log::{Entry, EntryKind};
use jobbie_proto::event::codec;
use jobbie_proto::{Micros, ShardId};

use super::{Entries, violated};

/// State hashes by the number of the next event; the committed ones outlive every restart.
#[derive(Default)]
pub(crate) struct Hashes {
    committed: BTreeMap<u64, u64>,
    tentative: BTreeMap<u64, u64>,
}

impl Hashes {
    /// A snapshot was read.
    pub(crate) fn restored(&mut self, state: &State) {
        self.tentative.clear();
        let next = state.next_event().0;
        if next > 1 {
            self.compare(next, state.digest(), "restored from a snapshot");
        }
    }

    /// The log was absorbed up to here.
    pub(crate) fn replayed(&mut self, state: &State) {
        let (next, hash) = (state.next_event().0, state.digest());
        let newest = self.committed.last_key_value().map_or(0, |(next, _)| *next);
        if next <= newest {
            self.compare(next, hash, "replayed");
        } else {
            self.tentative.insert(next, hash);
        }
    }

    /// A leader decided up to here.
    pub(crate) fn absorbed(&mut self, state: &State) {
        self.tentative.insert(state.next_event().0, state.digest());
    }

    /// An entry with events was committed for the first time.
    pub(crate) fn committed(&mut self, entry: &Entry) {
        let later = self.tentative.split_off(&(entry.next_event() + 1));
        let now = std::mem::replace(&mut self.tentative, later);
        if now.last_key_value().map(|(next, _)| *next) != Some(entry.next_event()) {
            violated!("r07", "entry {} was committed before it was absorbed", entry.id.index);
        }
        self.committed.extend(now);
    }

    fn compare(&self, next: u64, hash: u64, how: &str) {
        let known = self.committed.get(&next);
        if known != Some(&hash) {
            violated!("r07", "hash before event {next} is {hash:x} {how}, it was {known:x?}");
        }
    }
}

/// Folds everything that was ever committed from zero.
pub(crate) fn from_zero(shard: ShardId, shards: u16, entries: &Entries, hashes: &Hashes) -> State {
    let mut state = State::new(shard, shards);
    for entry in entries.all().iter().filter(|entry| entry.kind == EntryKind::Batch) {
        let (groups, _) = codec::decode(entry.body.bytes()).expect("it decoded before");
        for group in &groups {
            state.absorb(Micros(entry.time_us), group);
        }
        hashes.compare(state.next_event().0, state.digest(), "folded from zero");
    }
    state.check();
    state
}
