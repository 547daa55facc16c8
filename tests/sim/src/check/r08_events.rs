//! R8: the event sequence of a shard rises by exactly one.

use jobbie_log::Entry;

use super::violated;
use crate::model::Model;

pub(crate) fn entry(model: &Model, entry: &Entry) {
    if entry.first_event != model.next_event {
        let (index, first) = (entry.id.index, entry.first_event);
        violated!("r08", "entry {index} begins with event {first}, not {}", model.next_event);
    }
}

/// After an entry's groups were counted.
pub(crate) fn counted(next: u64, group_end: u64) {
    if next != group_end {
        violated!("r08", "a group ends before event {group_end}, its events before {next}");
    }
}
