//! An entry body that has every fact about moves between shards and about parents, in every shape.

use jobbie_proto::agent::AgentLimits;
use jobbie_proto::event::{ArrivedJob, Event, Fate, Group, HoldEnd, Parcel, Standing, Tie};
use jobbie_proto::{JobId, JobSeq, Micros, SessionId, ShardId};

use crate::events::{body_of, part};

/// The blob that the events refer to.
pub(crate) const BLOB: &[u8] = b"checkpointprogresserrorbacktracereasonann";

const AT: Micros = Micros(1_795_000_000_000_000);

fn job(shard: u16, seq: u64) -> JobId {
    JobId::new(1_795_000_000_123, ShardId(shard), JobSeq(seq))
}

fn arrived(seq: u64, standing: Standing) -> Tie {
    Tie::Arrived(Box::new(ArrivedJob {
        job: JobSeq(seq),
        from: job(4, 90 + seq),
        standing,
        attempt: 300,
        lease_expiries: 400,
        expire_at: AT.plus_ms(5),
        failure_handled: seq % 2 == 1,
        cost_micros: seq << 33,
        iteration: 500,
        limits: AgentLimits {
            max_iterations: 600,
            max_cost_micros: 1 << 40,
            iteration_timeout_ms: 1 << 33,
        },
        checkpoint: part(BLOB, "checkpoint"),
        progress: part(BLOB, "progress"),
        error: part(BLOB, "error"),
        backtrace: part(BLOB, "backtrace"),
        hold_reason: part(BLOB, "reason"),
        hold_by: part(BLOB, "ann"),
    }))
}

/// All of it, in two groups.
pub(crate) fn groups() -> Vec<Group> {
    let asked = vec![
        Event::Moved { job: JobSeq(5), queue: "a queue of another shard".into() },
        Tie::Parented { parent: job(4, 6), jobs: vec![JobSeq(7), JobSeq(8)] }.into(),
    ];
    let held = Standing::Held { until: AT, then: HoldEnd::Cancel };
    let standings = [
        Standing::Pending,
        Standing::Scheduled(AT),
        Standing::Retrying(AT),
        held,
        Standing::Dead(AT),
        Standing::Cancelled(AT),
    ];
    let fates = [Fate::Ended, Fate::Completed, Fate::Gone];
    let fate = |fate| Parcel::Fate { job: job(4, 6), fate };
    let move_on = [Parcel::Move { job: JobSeq(5) }];
    let located = [Parcel::Located { job: job(4, 6), now: job(3, 7) }];
    let parcels = move_on.into_iter().chain(located).chain(fates.map(fate)).collect();
    let mut followed: Vec<Event> =
        (10..).zip(standings).map(|(seq, standing)| arrived(seq, standing).into()).collect();
    followed.push(Tie::Sent { to: ShardId(4), first: 40, parcels }.into());
    followed.push(Tie::Located { job: JobSeq(5), now: job(4, 9) }.into());
    followed.extend(fates.map(|fate| Tie::Fated { job: JobSeq(5), fate }.into()));
    let group = |session, number, events| Group {
        session: SessionId(session),
        number,
        confirmed_below: number,
        events,
    };
    vec![group(9, 8, asked), group(0, 0, followed)]
}

/// The body that holds them.
pub(crate) fn body() -> Vec<u8> {
    body_of(BLOB, &groups())
}
