//! R3: never two different committed entries at one index; each life applies 1, 2, 3… without gap or repeat.

use jobbie_log::{Entry, EntryId};

use super::violated;

/// Every entry that was ever committed, and where this life is.
#[derive(Default)]
pub(crate) struct Entries {
    all: Vec<Entry>,
    /// What the next commit of this life must be.
    next: u64,
}

impl Entries {
    /// A new life begins behind its snapshot.
    pub(crate) fn restored(&mut self, applied: Option<EntryId>) {
        self.next = applied.map_or(0, |id| id.index + 1);
        let Some(id) = applied else { return };
        let known = self.all.get(id.index as usize).map(|entry| entry.id);
        if known != Some(id) {
            violated!("r03", "a snapshot ends with {id:?}, committed was {known:?}");
        }
    }

    /// Whether the entry is a new one.
    pub(crate) fn committed(&mut self, entry: &Entry) -> bool {
        let index = entry.id.index;
        if index != self.next {
            violated!("r03", "entry {index} was committed after {}", self.next.wrapping_sub(1));
        }
        self.next += 1;
        match self.all.get(index as usize) {
            Some(before) if before == entry => false,
            Some(before) => violated!(
                "r03",
                "entry {index} was {:?} with events {}+{}, now it is {:?} with events {}+{}",
                before.id,
                before.first_event,
                before.event_count,
                entry.id,
                entry.first_event,
                entry.event_count
            ),
            None => {
                assert_eq!(index, self.all.len() as u64, "no gap was found above");
                self.all.push(entry.clone());
                true
            }
        }
    }

    /// Every entry ever committed, from index 0.
    pub(crate) fn all(&self) -> &[Entry] {
        &self.all
    }
}
