//! Whether plans, events and questions about them may be at all.

use std::hash::BuildHasherDefault;

use hashbrown::HashSet;
use jobbie_proto::Request;
use jobbie_proto::limits::{
    EVENT_ID_BYTES_MAX, EVENT_KIND_BYTES_MAX, EVENT_SOURCE_BYTES_MAX, HISTORY_COUNT_MAX,
    PAYLOAD_BYTES_MAX, PERIOD_MS_MAX, PLAN_KINDS_MAX, WORKER_BYTES_MAX, WORKERS_PER_ANSWER_MAX,
};
use jobbie_proto::plan::Need;
use jobbie_proto::request::{Append, EnqueuePlan, Expected, When};

use super::draft::JobHasher;
use super::validate::{Checked, Field, LaterEnqueues, at_most, bytes, invalid, job, stands_alone};
use crate::state::State;

pub(super) fn plans(request: &Request<'_>) -> Checked {
    let mut later = LaterEnqueues::default();
    for (at, plan) in request.plans.iter().enumerate() {
        let field = |name: &str| format!("plans[{at}].{name}");
        later.check(request, plan.enqueue, &field)?;
        if request.enqueues[plan.enqueue as usize].when != When::Now {
            return invalid(format!(
                "{}: its job has a time, and no worker gets a planned job: leave the time out",
                field("enqueue")
            ));
        }
        if request.holds.binary_search_by_key(&plan.enqueue, |hold| hold.enqueue).is_ok() {
            return invalid(format!(
                "{}: its job is held, and no worker gets a planned job: leave the hold out",
                field("enqueue")
            ));
        }
        check_plan(plan, &field)?;
    }
    Ok(())
}

fn check_plan(plan: &EnqueuePlan<'_>, field: Field<'_>) -> Checked {
    at_most(plan.deadline_ms, PERIOD_MS_MAX, "deadline_ms", field)?;
    let kinds = plan.kinds.len();
    if kinds > PLAN_KINDS_MAX {
        return invalid(format!("{}: {kinds}, at most {PLAN_KINDS_MAX}", field("kinds")));
    }
    let mut names = HashSet::<&str, BuildHasherDefault<JobHasher>>::default();
    for (at, kind) in plan.kinds.iter().enumerate() {
        let field = |name: &str| field(&format!("kinds[{at}].{name}"));
        check_kind(kind, &field)?;
        if !names.insert(kind.name) {
            return invalid(format!("{}: {:?} comes twice", field("name"), kind.name));
        }
    }
    if plan.kinds.iter().any(|kind| kind.need == Need::Required) {
        return Ok(());
    }
    invalid(format!("{}: none is required, so the plan could never be satisfied", field("kinds")))
}

fn check_kind(kind: &Expected<'_>, field: Field<'_>) -> Checked {
    let Expected { name, need, count, deadline_ms } = *kind;
    kind_name(name, "name", field)?;
    if count == 0 {
        return invalid(format!("{}: 0, at least 1", field("count")));
    }
    at_most(deadline_ms, PERIOD_MS_MAX, "deadline_ms", field)?;
    if deadline_ms > 0 && need != Need::Required {
        let need = need.name();
        return invalid(format!(
            "{}: {deadline_ms} for a kind that is {need}, only required ones have a deadline",
            field("deadline_ms")
        ));
    }
    Ok(())
}

fn kind_name(name: &str, what: &str, field: Field<'_>) -> Checked {
    some_bytes(name.as_bytes(), EVENT_KIND_BYTES_MAX, what, field)?;
    if name.chars().any(char::is_control) {
        return invalid(format!("{}: has a control character", field(what)));
    }
    Ok(())
}

fn some_bytes(value: &[u8], max: usize, name: &str, field: Field<'_>) -> Checked {
    if value.is_empty() {
        return invalid(format!("{}: empty, at least 1 byte", field(name)));
    }
    bytes(value, max, name, field)
}

/// Nothing else that changes anything goes with events: what they do depends on what was done to their jobs.
pub(super) fn appends(state: &State, request: &Request<'_>) -> Checked {
    if request.appends.is_empty() {
        return Ok(());
    }
    stands_alone(request, "appends")?;
    for (at, append) in request.appends.iter().enumerate() {
        let field = |name: &str| format!("appends[{at}].{name}");
        let Append { id, kind, data, source, trace, .. } = *append;
        job(state, append.job, &field)?;
        some_bytes(id, EVENT_ID_BYTES_MAX, "id", &field)?;
        kind_name(kind, "kind", &field)?;
        bytes(data, PAYLOAD_BYTES_MAX, "data", &field)?;
        bytes(source.as_bytes(), EVENT_SOURCE_BYTES_MAX, "source", &field)?;
        bytes(trace.as_bytes(), EVENT_SOURCE_BYTES_MAX, "trace", &field)?;
    }
    Ok(())
}

pub(super) fn history(state: &State, request: &Request<'_>) -> Checked {
    for (what, asked) in [("history", request.history), ("errors", request.errors)] {
        let Some(asked) = asked else { continue };
        let field = |name: &str| format!("{what}.{name}");
        job(state, asked.job, &field)?;
        counted(asked.count, HISTORY_COUNT_MAX, &field)?;
    }
    let Some(workers) = request.workers else { return Ok(()) };
    let field = |name: &str| format!("workers.{name}");
    bytes(workers.after_worker.as_bytes(), WORKER_BYTES_MAX, "after_worker", &field)?;
    counted(workers.count, WORKERS_PER_ANSWER_MAX, &field)
}

fn counted(count: u32, most: u32, field: Field<'_>) -> Checked {
    if (1..=most).contains(&count) {
        return Ok(());
    }
    invalid(format!("{}: {count}, not in 1..={most}", field("count")))
}
