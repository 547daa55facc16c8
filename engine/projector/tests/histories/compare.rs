//! Rows against the engine's own words.

use jobbie_core::ties::mail::{Found, Source, checkpoint_of, error_of, hold_of, progress_of};
use jobbie_projector::Reader;
use jobbie_projector::row::JobRow;
use jobbie_proto::event::Event;
use jobbie_proto::reply::{JobState, JobView};
use jobbie_proto::{EventSeq, JobId, Micros};

use crate::shards::{Node, Shards};

/// Every job that ever was is in the rows as its shard knows it.
pub(crate) fn compare(shards: &Shards, reader: &Reader) {
    for id in &shards.jobs {
        let node = &shards.nodes[usize::from(id.shard().0)];
        let row = reader.job(*id).expect("it can be read");
        match node.state.job(*id) {
            Ok(view) => same(node, &view, &row.expect("a job that is there has a row"), reader),
            Err(_) => {
                // It is completed, or a stub of one that is, or was removed.
                let over = |row: &JobRow| match row.state {
                    JobState::Completed => true,
                    JobState::Moved => row.completed.0 > 0,
                    _ => false,
                };
                assert!(row.as_ref().is_none_or(over), "{row:?} has left memory");
            }
        }
    }
    counts(shards, reader);
}

fn same(node: &Node, view: &JobView, row: &JobRow, reader: &Reader) {
    let id = view.id;
    assert_eq!(row.state, view.state, "state of {id}: {row:?}");
    assert_eq!(row.attempt, view.attempt, "attempt of {id}");
    assert_eq!(row.moved_to, view.kin.moved_to, "where {id} is");
    if view.state == JobState::Moved {
        assert!(row.payload.is_empty() && row.tags.is_empty(), "{id} took it along");
        return;
    }
    let class = &view.class;
    assert_eq!(row.queue, class.queue, "queue of {id}");
    assert_eq!((row.priority, row.max_retries), (class.priority, class.max_retries), "{id}");
    let backoff = (class.backoff, class.backoff_base_ms, class.backoff_cap_ms);
    assert_eq!((row.backoff, row.backoff_base_ms, row.backoff_cap_ms), backoff, "{id}");
    assert_eq!(row.limit_key, view.limit_key, "limit key of {id}");
    assert_eq!(row.expires, view.expire_at, "{id} expires");
    // Once a member has ended, the engine has counted it and forgets of which batch.
    assert!(view.batch.is_none() || row.batch == view.batch, "batch of {id}");
    assert_eq!(row.parent, view.kin.parent, "parent of {id}");
    let due = |state| if view.state == state { view.due } else { Micros(0) };
    let scheduled = match view.state {
        JobState::Retrying => view.due,
        _ => due(JobState::Scheduled),
    };
    assert_eq!(row.scheduled, scheduled, "{id} is due");
    assert_eq!(row.lease_expires, due(JobState::Active), "lease of {id}");
    let ended = |state| if view.state == state { view.ended } else { row.cancelled };
    assert_eq!(row.cancelled, ended(JobState::Cancelled), "{id} was cancelled");
    if view.state == JobState::Dead {
        assert_eq!(row.failed, view.ended, "{id} died");
    }
    let agent = row.agent.map(|agent| (agent.iteration, agent.limits, agent.cost_micros));
    let wanted = view.agent.as_ref().map(|a| (a.iteration, a.limits, view.cost_micros));
    assert_eq!(agent, wanted, "iterations of {id}");
    let at = |event: EventSeq, of: fn(Found<'_>) -> &[u8]| {
        node.log().find(event).map_or_else(Vec::new, |found| of(found).to_vec())
    };
    assert_eq!(row.checkpoint, at(view.checkpoint, checkpoint_of), "checkpoint of {id}");
    assert_eq!(row.progress, at(view.progress, progress_of), "progress of {id}");
    assert_eq!(row.payload, at(view.payload_event(), payload_of), "payload of {id}");
    if view.hold.0 > 0 && view.state == JobState::Held {
        let reason = at(view.hold, |found| hold_of(found).0);
        assert_eq!(row.hold_reason.as_bytes(), reason, "why {id} is held");
    }
    let errors = reader.errors(id).expect("they can be read");
    assert_eq!(row.errors as usize, errors.len());
    assert!(errors.windows(2).all(|two| two[0].id < two[1].id));
    let newest = errors.last().map(|error| (error.error.clone().into_bytes(), error.id));
    let error = at(view.last_error, |found| error_of(found).0);
    let wanted = (view.last_error.0 > 0).then_some((error, view.last_error.0));
    assert_eq!(newest, wanted, "newest error of {id}");
}

trait PayloadEvent {
    fn payload_event(&self) -> EventSeq;
}

impl PayloadEvent for JobView {
    fn payload_event(&self) -> EventSeq {
        if self.payload.0 > 0 { self.payload } else { self.record }
    }
}

fn payload_of(found: Found<'_>) -> &[u8] {
    match found.event {
        Event::Enqueued { jobs, .. } => jobs[found.nth].payload.of(found.blob),
        Event::Limited(limited) => limited.jobs[found.nth].payload.of(found.blob),
        Event::ScheduleSet(set) => set.payload.of(found.blob),
        Event::Replaced { payload, .. } => payload.of(found.blob),
        other => panic!("{other:?} has no payload"),
    }
}

/// Queues have as many jobs in each state as their shards say.
fn counts(shards: &Shards, reader: &Reader) {
    use jobbie_projector::search::Filter;
    for node in &shards.nodes {
        for queue in node.state.queues("", "") {
            for state in JobState::HERE.into_iter().filter(|s| *s != JobState::Completed) {
                let name = Some(queue.queue.clone());
                let filter = Filter { queue: name, states: vec![state], ..Filter::default() };
                let count = reader.count(&filter).expect("it can be counted");
                assert_eq!(count, queue.jobs[state as usize], "{state:?} of {}", queue.queue);
            }
        }
    }
}

/// All ids, in order.
pub(crate) fn all(reader: &Reader) -> Vec<JobId> {
    reader.ids(&Default::default(), None, 1_000_000).expect("they can be read")
}
