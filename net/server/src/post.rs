//! Letters from shard to shard of one node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jobbie_io::EventNotifier;
use jobbie_proto::ShardId;
use jobbie_proto::letter::Letter;
use jobbie_shard::Post;

/// Everybody's letter boxes. Clones are the same.
#[derive(Clone)]
pub(crate) struct PostOffice(Arc<[LetterBox]>);

/// Letters that a shard has not fetched: from each shard the newest of each kind, which says all that counts.
#[derive(Default)]
struct LetterBox {
    letters: Mutex<BTreeMap<(ShardId, Kind), Letter>>,
    owner: OnceLock<EventNotifier>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Handoff,
    Taken,
}

impl PostOffice {
    pub(crate) fn new(shards: u16) -> Self {
        Self((0..shards).map(|_| LetterBox::default()).collect())
    }

    fn letter_box(&self, shard: ShardId) -> Option<&LetterBox> {
        self.0.get(usize::from(shard.0))
    }

    /// A shard is woken by its letters from now on.
    pub(crate) fn register(&self, shard: ShardId, owner: EventNotifier) {
        if let Some(own) = self.letter_box(shard) {
            let first = own.owner.set(owner.clone()).is_ok();
            assert!(first, "a shard has two owners");
            owner.notify();
        }
    }

    pub(crate) fn has_letters(&self, shard: ShardId) -> bool {
        self.letter_box(shard).is_some_and(|own| {
            let letters = own.letters.lock().unwrap_or_else(PoisonError::into_inner);
            !letters.is_empty()
        })
    }

    /// Takes the letters of a shard out of its box.
    pub(crate) fn fetch(&self, shard: ShardId) -> Vec<Letter> {
        let own = self.letter_box(shard);
        own.map_or_else(Vec::new, |own| {
            let mut letters = own.letters.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *letters).into_values().collect()
        })
    }
}

impl Post for PostOffice {
    fn post(&self, to: ShardId, letter: Letter) {
        // There are no more shards than the state knows of; a letter to none would wait for ever.
        let Some(there) = self.letter_box(to) else { return };
        let key = match &letter {
            Letter::Handoff { from, .. } => (*from, Kind::Handoff),
            Letter::Taken { by, .. } => (*by, Kind::Taken),
        };
        there.letters.lock().unwrap_or_else(PoisonError::into_inner).insert(key, letter);
        if let Some(owner) = there.owner.get() {
            owner.notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_letter_of_a_kind_is_the_one_that_is_fetched() {
        let office = PostOffice::new(2);
        let (to, by) = (ShardId(1), ShardId(0));
        assert!(!office.has_letters(to));
        let handoff = |first| Letter::Handoff { from: by, first, messages: Vec::new() };
        for letter in [handoff(1), Letter::Taken { by, last: 3 }, handoff(2)] {
            office.post(to, letter);
        }
        assert!(office.has_letters(to) && !office.has_letters(by));
        assert_eq!(office.fetch(to), [handoff(2), Letter::Taken { by, last: 3 }]);
        assert!(office.fetch(to).is_empty());
        office.post(ShardId(9), handoff(1));
    }
}
