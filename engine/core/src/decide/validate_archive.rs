//! Whether what is done to archived jobs may be at all.

use std::hash::BuildHasherDefault;

use hashbrown::HashMap;
use jobbie_proto::Request;
use jobbie_proto::limits::{AGENT_COST_MICROS_MAX, PERIOD_MS_MAX, RESULT_BYTES_MAX};
use jobbie_proto::request::{ArchivedAction, Enqueue, Revive, When};

use super::draft::JobHasher;
use super::validate::{
    Checked, Field, at_most, bytes, check_enqueue, invalid, job, queue, queue_name, stands_alone,
};
use super::validate_ties::exists;
use crate::state::State;

/// Queues of this shard that revived jobs go to.
pub(super) fn queues_of<'r>(request: &'r Request<'_>) -> impl Iterator<Item = &'r str> {
    request.archived.iter().filter_map(|control| match &control.action {
        ArchivedAction::Revive(revive) => Some(revive.content.queue),
        ArchivedAction::Delete | ArchivedAction::Move { .. } => None,
    })
}

/// Each job once, and nothing else that changes anything.
pub(super) fn archived(state: &State, request: &Request<'_>) -> Checked {
    if request.archived.is_empty() {
        return Ok(());
    }
    stands_alone(request, "archived")?;
    let mut named = HashMap::<u64, usize, BuildHasherDefault<JobHasher>>::default();
    for (at, control) in request.archived.iter().enumerate() {
        let field = |name: &str| format!("archived[{at}].{name}");
        job(state, control.job, &field)?;
        if let Some(before) = named.insert(control.job.seq().0, at) {
            return invalid(format!("{}: named in archived[{before}] too", field("job")));
        }
        match &control.action {
            ArchivedAction::Revive(revived) => revive(state, revived, &field)?,
            ArchivedAction::Delete => {}
            ArchivedAction::Move { queue } => queue_name(queue, &field)?,
        }
    }
    Ok(())
}

fn revive(state: &State, revive: &Revive<'_>, field: Field<'_>) -> Checked {
    // Neither is brought along, whatever it says.
    let content = Enqueue { key: b"", key_ms: 0, when: When::Now, ..revive.content };
    queue(state, content.queue, field)?;
    check_enqueue(&content, field)?;
    bytes(revive.checkpoint, RESULT_BYTES_MAX, "checkpoint", field)?;
    bytes(revive.progress, RESULT_BYTES_MAX, "progress", field)?;
    if let Some(parent) = revive.parent {
        exists(state, parent.shard(), &field("parent"))?;
    }
    let Some(agent) = &revive.agent else { return Ok(()) };
    if agent.iteration == 0 {
        return invalid(format!("{}: 0, iterations begin at 1", field("iteration")));
    }
    at_most(agent.limits.max_cost_micros, AGENT_COST_MICROS_MAX, "max_cost_micros", field)?;
    at_most(agent.limits.iteration_timeout_ms, PERIOD_MS_MAX, "iteration_timeout_ms", field)
}
