//! Whether what ties jobs together may be asked for at all.

use jobbie_proto::limits::{BATCH_JOBS_MAX, CHAIN_STEPS_MAX, DEPENDS_MAX, STEP_RESULT_BYTES_MAX};
use jobbie_proto::request::{Ack, Enqueue, Ties, When};
use jobbie_proto::{Request, ShardId};

use super::validate::{
    Checked, Field, Refusal, bytes, check_enqueue, invalid, is_here, queue_name,
};
use crate::state::State;
use crate::ties::compose::is_object;

pub(super) fn check_ties(state: &State, request: &Request<'_>) -> Checked {
    let Ties { batch_opens, batch_seals, members, chains, depends, parents, exits, batch_lookups } =
        &request.ties;
    for (at, callback) in batch_opens.iter().enumerate() {
        if let Some(callback) = callback {
            check_step(callback, &|name| format!("batch_opens[{at}].{name}"))?;
        }
    }
    for (at, seal) in batch_seals.iter().enumerate() {
        let field = |name: &str| format!("batch_seals[{at}].{name}");
        is_here(state, seal.batch.shard(), || field("batch"))?;
        if seal.total > BATCH_JOBS_MAX {
            return invalid(format!(
                "{}: {}, at most {BATCH_JOBS_MAX}",
                field("total"),
                seal.total
            ));
        }
        if batch_seals[..at].iter().any(|before| before.batch == seal.batch) {
            return invalid(format!("{}: named before in the same request", field("batch")));
        }
    }
    for (at, batch) in batch_lookups.iter().enumerate() {
        is_here(state, batch.shard(), || format!("batch_lookups[{at}]"))?;
    }
    let enqueues = request.enqueues.len();
    let runs = members.iter().map(|run| (run.first as usize, run.count as usize));
    rising("members", runs, enqueues)?;
    for (at, run) in members.iter().enumerate() {
        exists(state, run.batch.shard(), &format!("members[{at}].batch"))?;
    }
    let runs = parents.iter().map(|run| (run.first as usize, run.count as usize));
    rising("parents", runs, enqueues)?;
    for (at, run) in parents.iter().enumerate() {
        exists(state, run.parent.shard(), &format!("parents[{at}].parent"))?;
    }
    rising("chains", chains.iter().map(|chain| (chain.enqueue as usize, 1)), enqueues)?;
    for (at, chain) in chains.iter().enumerate() {
        let steps = chain.steps.len();
        if steps > CHAIN_STEPS_MAX {
            return invalid(format!(
                "chains[{at}].steps: {steps} steps, at most {CHAIN_STEPS_MAX}"
            ));
        }
        for (nth, step) in chain.all().enumerate() {
            let field = |name: &str| match nth.checked_sub(steps) {
                None => format!("chains[{at}].steps[{nth}].{name}"),
                Some(0) if chain.on_failure.is_some() => format!("chains[{at}].on_failure.{name}"),
                Some(_) => format!("chains[{at}].on_exit.{name}"),
            };
            check_step(step, &field)?;
            if !is_object(step.payload) {
                return invalid(format!(
                    "{}: not a JSON object, into which the result of the job before is put",
                    field("payload")
                ));
            }
        }
    }
    rising("depends", depends.iter().map(|wait| (wait.enqueue as usize, 1)), enqueues)?;
    for (at, wait) in depends.iter().enumerate() {
        let jobs = wait.on.len();
        if jobs == 0 || jobs > DEPENDS_MAX {
            return invalid(format!("depends[{at}].on: {jobs} jobs, not in 1..={DEPENDS_MAX}"));
        }
        if request.plans.binary_search_by_key(&wait.enqueue, |plan| plan.enqueue).is_ok() {
            return invalid(format!(
                "depends[{at}].enqueue: its job has a plan, which its events go on with: give it one of the two"
            ));
        }
        for (nth, on) in wait.on.iter().enumerate() {
            exists(state, on.shard(), &format!("depends[{at}].on[{nth}]"))?;
        }
    }
    rising("exits", exits.iter().map(|ack| (*ack as usize, 1)), request.acks.len())
}

/// The result of a chain's step goes into the payload of the next.
pub(super) fn check_step_result(state: &State, ack: &Ack<'_>, field: Field<'_>) -> Checked {
    if ack.result.len() <= STEP_RESULT_BYTES_MAX {
        return Ok(());
    }
    let chained = |seq| state.ties.chains.get(seq).is_some();
    if !state.resolve(ack.job.job).is_ok_and(chained) {
        return Ok(());
    }
    bytes(ack.result, STEP_RESULT_BYTES_MAX, "result", field).map_err(|refusal| {
        let message = format!("{}: the job is a step of a chain", refusal.message);
        Refusal { message, ..refusal }
    })
}

fn check_step(step: &Enqueue<'_>, field: Field<'_>) -> Checked {
    queue_name(step.queue, field)?;
    check_enqueue(step, field)?;
    let keyed = !step.key.is_empty() || !step.unique.is_empty();
    if keyed || step.when != When::Now {
        let message = "a job that others make has no keys of its own and no time";
        return invalid(format!("{}: {message}", field("key")));
    }
    Ok(())
}

fn rising(list: &str, positions: impl Iterator<Item = (usize, usize)>, len: usize) -> Checked {
    let mut next = 0;
    for (at, (first, count)) in positions.enumerate() {
        let end = first.saturating_add(count);
        if first < next || count == 0 || end > len {
            let message = format!("{list}[{at}]: {first}..{end}, not later positions of 0..{len}");
            return invalid(message);
        }
        next = end;
    }
    Ok(())
}

pub(super) fn exists(state: &State, shard: ShardId, field: &str) -> Checked {
    if shard.0 < state.shards {
        return Ok(());
    }
    invalid(format!("{field}: of shard {shard}, and there are {}", state.shards))
}
