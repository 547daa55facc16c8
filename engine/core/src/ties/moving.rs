//! A job on its way to another shard: what the state knows of it, and what the log adds.

use jobbie_proto::agent::AgentLimits;
use jobbie_proto::event::{Class, Event, Standing, Tie};
use jobbie_proto::letter::{ChainPart, Message, MovedJob, StepBytes};
use jobbie_proto::reply::JobState;
use jobbie_proto::{BatchId, EventSeq, JobId, Micros};

use super::Link;
use super::mail::{
    Found, Source, bytes, checkpoint_of, error_of, hold_of, payload_of, progress_of, revived, tie,
};
use crate::agents::Agent;
use crate::state::State;
use crate::tracked::Side;

/// What the state knows. Events that are 0 are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moving {
    from: JobId,
    /// With its new queue.
    class: Class,
    limit_key: String,
    record: EventSeq,
    payload: EventSeq,
    batch: Option<BatchId>,
    link: Option<Link>,
    parent: Option<JobId>,
    /// The event that says what it waits for.
    blocked: EventSeq,
    standing: Standing,
    attempt: u32,
    lease_expiries: u32,
    expire_at: Micros,
    cost_micros: u64,
    agent: Option<Agent>,
    side: Side,
}

impl Moving {
    /// The events whose records are needed.
    pub(super) fn needs(&self) -> impl Iterator<Item = EventSeq> + use<> {
        let Side { checkpoint, progress, error, hold, .. } = self.side;
        let definition = EventSeq(self.link.map_or(0, |link| link.definition));
        let of_job = [self.record, self.payload, self.blocked, definition];
        let of_work = [checkpoint, progress, error, hold];
        of_job.into_iter().chain(of_work).filter(|event| event.0 > 0)
    }

    /// The message. `None` when a record is missing, or is not what the state says.
    pub(super) fn message(&self, source: &impl Source) -> Option<Message> {
        let record = source.find(self.record)?;
        let (payload, tags) = carried(record)?;
        let payload = match self.payload {
            EventSeq(0) => payload,
            event => payload_of(source.find(event)?)?,
        };
        let at = |event: EventSeq, of: fn(Found<'_>) -> &[u8]| match event {
            EventSeq(0) => Some(Vec::new()),
            event => source.find(event).map(|found| of(found).to_vec()),
        };
        let Side { checkpoint, progress, error, hold, .. } = self.side;
        let awaits = match self.blocked {
            EventSeq(0) => Vec::new(),
            event => match tie(source.find(event)?)? {
                Tie::Awaits { on, .. } => on.clone(),
                _ => return None,
            },
        };
        let (chain, failure_handled) = match &self.link {
            None => (None, false),
            Some(link) => {
                let part = chain(source.find(EventSeq(link.definition))?, link)?;
                let handled = part.on_failure.is_some() && link.on_failure.is_none();
                (Some(part), handled)
            }
        };
        Some(Message::Move(Box::new(MovedJob {
            from: self.from,
            step: StepBytes {
                class: self.class.clone(),
                limit_key: self.limit_key.clone(),
                payload: payload.to_vec(),
                tags: tags.to_vec(),
            },
            batch: self.batch,
            chain,
            failure_handled,
            parent: self.parent,
            awaits,
            standing: self.standing,
            attempt: self.attempt,
            lease_expiries: self.lease_expiries,
            expire_at: self.expire_at,
            cost_micros: self.cost_micros,
            iteration: self.agent.map_or(0, |agent| agent.iteration),
            limits: self.agent.map_or_else(AgentLimits::default, |agent| agent.limits),
            checkpoint: at(checkpoint, checkpoint_of)?,
            progress: at(progress, progress_of)?,
            error: at(error, |found| error_of(found).0)?,
            backtrace: at(error, |found| error_of(found).1)?,
            hold_reason: at(hold, |found| hold_of(found).0)?,
            hold_by: at(hold, |found| hold_of(found).1)?,
        })))
    }
}

/// Payload and tags that a job was made with.
fn carried(found: Found<'_>) -> Option<(&[u8], &[u8])> {
    let jobs = match found.event {
        Event::Enqueued { jobs, .. } => jobs,
        Event::Limited(limited) => &limited.jobs,
        Event::ScheduleSet(set) => {
            return Some((set.payload.of(found.blob), set.tags.of(found.blob)));
        }
        _ => {
            let revived = revived(found)?;
            return Some((revived.payload.of(found.blob), revived.tags.of(found.blob)));
        }
    };
    let job = jobs.get(found.nth)?;
    Some((job.payload.of(found.blob), job.tags.of(found.blob)))
}

/// What is left of a chain.
fn chain(found: Found<'_>, link: &Link) -> Option<ChainPart> {
    let Tie::Chained(chained) = tie(found)? else { return None };
    let of = |step| bytes(step, found.blob);
    let rest = if link.next.is_some() { &chained.rest[..] } else { &[] };
    Some(ChainPart {
        chain: chained.chain,
        step: chained.step,
        rest: rest.iter().map(of).collect(),
        on_failure: chained.on_failure.as_ref().map(of),
        on_exit: chained.on_exit.as_ref().map(of),
    })
}

impl State {
    /// A job that is on its way. Nothing of it changes until it has arrived.
    pub(super) fn moving(&self, job: u64) -> Moving {
        let away = self.ties.kin.away(job).expect("it is on its way");
        let number = self.number_of(job).expect("what has moved has a struct");
        let tracked = self.tracked.get(number);
        let at = Micros(tracked.mark);
        let standing = match away.was {
            JobState::Pending => Standing::Pending,
            JobState::Scheduled => Standing::Scheduled(away.blocked.map_or(at, |b| Micros(b.1))),
            JobState::Retrying => Standing::Retrying(at),
            JobState::Held => Standing::Held { until: at, then: away.then },
            JobState::Dead => Standing::Dead(at),
            JobState::Cancelled => Standing::Cancelled(at),
            other => unreachable!("a job that is {} does not go", other.name()),
        };
        let (origin, entry) = (self.jobs.origin(job), self.classes.get(tracked.class));
        Moving {
            from: self.id_of(job),
            class: Class { queue: away.queue.to_string(), ..(*entry.class).clone() },
            limit_key: entry.limit_key.to_string(),
            record: EventSeq(self.record_of(job, origin)),
            payload: EventSeq(self.payloads.get(job).copied().unwrap_or(0)),
            batch: self.ties.members.get(job).copied(),
            link: self.ties.chains.get(job).copied(),
            parent: away.parent,
            blocked: EventSeq(away.blocked.map_or(0, |(event, _)| event)),
            standing,
            attempt: tracked.attempt,
            lease_expiries: tracked.lease_expiries.into(),
            expire_at: Micros(self.expiry_of(job, origin).unwrap_or(0)),
            cost_micros: self.usage.cost_of(job),
            agent: self.agents.get(job).copied(),
            side: self.side(tracked),
        }
    }
}
