//! R1, R4: after any crash the log holds everything that was committed, so everything that was acknowledged.

use jobbie_log::LogState;

use super::{Entries, violated};
use crate::model::Model;

pub(crate) fn started(entries: &Entries, model: &Model, log: &LogState) {
    let committed = entries.all().last().map(|entry| entry.id);
    let last = log.last;
    if last.map(|id| id.index) < committed.map(|id| id.index) {
        violated!("r04", "the log ends with {last:?}, committed was {committed:?}");
    }
    if log.next_event < model.next_event {
        let (ends, next) = (log.next_event, model.next_event);
        violated!("r04", "the log's next event is {ends}, committed were all below {next}");
    }
}
