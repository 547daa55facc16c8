//! Lines of what ties jobs together.

use jobbie_proto::event::{ArrivedJob, ChainedJob, Fate, HoldEnd, Parcel, Standing, Step, Tie};
use jobbie_proto::{JobId, JobSeq};
use serde_json::{Value, json};

use super::{Fields, Lines, fields};

fn ids(jobs: &[JobId]) -> Vec<String> {
    jobs.iter().map(ToString::to_string).collect()
}

fn numbers(jobs: &[JobSeq]) -> Vec<u64> {
    jobs.iter().map(|job| job.0).collect()
}

impl Lines<'_> {
    /// The fields of each of its sequence numbers.
    pub(super) fn tie(&self, tie: &Tie) -> Vec<Fields> {
        let Tie::Settled { on, jobs } = tie else { return vec![fields(self.one_tie(tie))] };
        let settled = |job: &JobId| {
            let on = on.to_string();
            fields(json!({ "event": "dependency_settled", "job": job.seq().0, "on": on }))
        };
        jobs.iter().map(settled).collect()
    }

    fn step(&self, step: &Step) -> Value {
        json!({
            "queue": step.class.queue, "limit_key": step.limit_key,
            "payload": self.blob(step.payload), "tags": self.blob(step.tags),
        })
    }

    fn one_tie(&self, tie: &Tie) -> Value {
        match tie {
            Tie::BatchOpened { callback } => {
                let callback = callback.as_ref().map(|step| self.step(step));
                json!({ "event": "batch_opened", "callback": callback })
            }
            Tie::BatchSealed { batch, total } => {
                json!({ "event": "batch_sealed", "batch": batch.0, "total": total })
            }
            Tie::SealRefused { batch, code } => {
                json!({ "event": "batch_seal_refused", "batch": batch.0, "code": code.name() })
            }
            Tie::Joined { batch, jobs } => json!({
                "event": "batch_joined", "batch": batch.to_string(), "jobs": numbers(jobs),
            }),
            Tie::BatchCounted { batch, of, succeeded, failed } => json!({
                "event": "batch_counted", "batch": batch.0, "of_shard": of.0,
                "succeeded": succeeded, "failed": failed,
            }),
            Tie::BatchesForgotten { batches } => {
                let batches: Vec<_> = batches.iter().map(|batch| batch.0).collect();
                json!({ "event": "batches_forgotten", "batches": batches })
            }
            Tie::Chained(chained) => self.chained(chained),
            Tie::ChainLeft { jobs } => json!({ "event": "chain_left", "jobs": numbers(jobs) }),
            Tie::Awaits { job, due, on, done } => json!({
                "event": "awaits", "job": job.0, "due_us": due.0, "on": ids(on), "done": ids(done),
            }),
            Tie::Awaited { job, by } => {
                json!({ "event": "awaited", "job": job.seq().0, "by": ids(by) })
            }
            Tie::Sent { to, first, parcels } => json!({
                "event": "sent", "to_shard": to.0, "first": first,
                "messages": parcels.iter().map(parcel).collect::<Vec<_>>(),
            }),
            Tie::Received { from, last } => {
                json!({ "event": "received", "from_shard": from.0, "last": last })
            }
            Tie::Delivered { to, last } => {
                json!({ "event": "delivered", "to_shard": to.0, "last": last })
            }
            Tie::Parented { parent, jobs } => json!({
                "event": "parented", "parent": parent.to_string(), "jobs": numbers(jobs),
            }),
            Tie::Arrived(arrived) => self.arrived(arrived),
            Tie::Located { job, now } => {
                json!({ "event": "located", "job": job.0, "now": now.to_string() })
            }
            Tie::Fated { job, fate } => {
                json!({ "event": "fated", "job": job.0, "fate": fate_name(*fate) })
            }
            Tie::Settled { .. } => unreachable!("it has a line for each of its jobs"),
        }
    }

    fn arrived(&self, arrived: &ArrivedJob) -> Value {
        let (state, time) = match arrived.standing {
            Standing::Pending => ("pending", 0),
            Standing::Scheduled(at) => ("scheduled", at.0),
            Standing::Retrying(at) => ("retrying", at.0),
            Standing::Held { until, .. } => ("held", until.0),
            Standing::Dead(at) => ("dead", at.0),
            Standing::Cancelled(at) => ("cancelled", at.0),
        };
        let then = match arrived.standing {
            Standing::Held { then: HoldEnd::Approve, .. } => "approve".into(),
            Standing::Held { then: HoldEnd::Cancel, .. } => "cancel".into(),
            _ => Value::Null,
        };
        json!({
            "event": "arrived", "job": arrived.job.0, "from": arrived.from.to_string(),
            "state": state, "state_time_us": time, "then": then, "attempt": arrived.attempt,
            "lease_expiries": arrived.lease_expiries, "expire_at_us": arrived.expire_at.0,
            "failure_handled": arrived.failure_handled,
            "checkpoint": self.blob(arrived.checkpoint), "progress": self.blob(arrived.progress),
            "error": self.words(arrived.error), "backtrace": self.blob(arrived.backtrace),
            "hold_reason": self.words(arrived.hold_reason), "held_by": self.words(arrived.hold_by),
        })
    }

    fn chained(&self, chained: &ChainedJob) -> Value {
        let ChainedJob { job, chain, step, rest, on_failure, on_exit } = chained;
        json!({
            "event": "chained", "job": job.0, "chain": chain.to_string(), "step": step,
            "rest": rest.iter().map(|step| self.step(step)).collect::<Vec<_>>(),
            "on_failure": on_failure.as_ref().map(|step| self.step(step)),
            "on_exit": on_exit.as_ref().map(|step| self.step(step)),
        })
    }
}

fn fate_name(fate: Fate) -> &'static str {
    match fate {
        Fate::Ended => "ended",
        Fate::Completed => "completed",
        Fate::Gone => "gone",
    }
}

fn parcel(parcel: &Parcel) -> Value {
    match parcel {
        Parcel::Tally { batch, succeeded, failed } => json!({
            "message": "tally", "batch": batch.to_string(), "succeeded": succeeded, "failed": failed,
        }),
        Parcel::Step { cause } => json!({ "message": "step", "cause": cause.0 }),
        Parcel::Callback { batch } => json!({ "message": "callback", "batch": batch.0 }),
        Parcel::Rule { event } => json!({ "message": "rule", "event": event.0 }),
        Parcel::Spent { budget, day, micros } => json!({
            "message": "spent", "budget": budget.0, "day": day, "micros": micros,
        }),
        Parcel::Ask { on, by } => {
            json!({ "message": "ask", "on": on.to_string(), "by": by.to_string() })
        }
        Parcel::Settled { on, by } => {
            json!({ "message": "settled", "on": on.to_string(), "by": by.to_string() })
        }
        Parcel::Move { job } => json!({ "message": "move", "job": job.0 }),
        Parcel::Located { job, now } => {
            json!({ "message": "located", "job": job.to_string(), "now": now.to_string() })
        }
        Parcel::Fate { job, fate } => {
            json!({ "message": "fate", "job": job.to_string(), "fate": fate_name(*fate) })
        }
    }
}
