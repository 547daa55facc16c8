//! Messages on their way out: what the state knows of them, and what their records in the log add.

use jobbie_proto::event::{
    ArchivedJob, ArrivedJob, Blob, ChainedJob, Event, Fate, NextStep, ON_EXIT, ON_FAILURE, Parcel,
    RevivedJob, Rule, Step, Tie,
};
use jobbie_proto::letter::{ChainPart, Message, NewJob, StepBytes};
use jobbie_proto::reply::BatchView;
use jobbie_proto::{BatchId, EventSeq, JobId, ShardId};

use super::moving::Moving;
use super::{StepDue, compose};
use crate::state::State;

/// A record of the log.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The event.
    pub event: &'a Event,
    /// Which of its elements it is.
    pub nth: usize,
    /// The blob of its entry.
    pub blob: &'a [u8],
}

/// Where records are read: everything that [`Mail::needs`] names.
pub trait Source {
    /// The record of an event.
    fn find(&self, event: EventSeq) -> Option<Found<'_>>;
}

/// A message that is on its way, as far as the state knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail(Content);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Tally { batch: BatchId, succeeded: u32, failed: u32 },
    Ask { on: JobId, by: JobId },
    Settled { on: JobId, by: JobId },
    Step { cause: EventSeq, due: StepDue },
    Callback { batch: BatchId, view: BatchView },
    Move(Box<Moving>),
    Located { job: JobId, now: JobId },
    Fate { job: JobId, fate: Fate },
    Rule { event: EventSeq },
    Spent { budget: EventSeq, day: u32, micros: u64 },
}

impl Mail {
    /// The events whose records are needed to write it.
    pub fn needs(&self) -> impl Iterator<Item = EventSeq> {
        let (first, second, moving) = match &self.0 {
            Content::Step { cause, due } => (Some(EventSeq(due.definition)), Some(*cause), None),
            Content::Callback { batch, .. } => (Some(batch.number()), None, None),
            Content::Move(moving) => (None, None, Some(moving.needs())),
            Content::Rule { event } => (Some(*event), None, None),
            _ => (None, None, None),
        };
        first.into_iter().chain(second).chain(moving.into_iter().flatten())
    }

    /// The message. `None` when a record is missing, or is not what the state says.
    pub fn message(&self, source: &impl Source) -> Option<Message> {
        Some(match self.0 {
            Content::Tally { batch, succeeded, failed } => {
                Message::Tally { batch, succeeded, failed }
            }
            Content::Ask { on, by } => Message::Ask { on, by },
            Content::Settled { on, by } => Message::Settled { on, by },
            Content::Step { cause, ref due } => Message::Make(Box::new(step(source, cause, due)?)),
            Content::Move(ref moving) => moving.message(source)?,
            Content::Located { job, now } => Message::Located { job, now },
            Content::Fate { job, fate } => Message::Fate { job, fate },
            Content::Rule { event } => Message::Rule(Box::new(rule(source.find(event)?, event)?)),
            Content::Spent { budget, day, micros } => Message::Spent { budget, day, micros },
            Content::Callback { batch, ref view } => {
                let found = source.find(batch.number())?;
                let Tie::BatchOpened { callback: Some(step) } = tie(found)? else { return None };
                let mut step = bytes(step, found.blob);
                step.payload = compose::callback(&step.payload, batch, view);
                Message::Make(Box::new(NewJob { step, batch: None, chain: None }))
            }
        })
    }
}

/// What other shards are told of a rule: it has the number that it has here.
fn rule(found: Found<'_>, event: EventSeq) -> Option<Rule> {
    let Event::Ruled(rule) = found.event else { return None };
    let mut rule = (**rule).clone();
    if let Rule::BudgetSet { id, .. } | Rule::PolicyAdded { id, .. } = &mut rule
        && id.0 == 0
    {
        *id = event;
    }
    Some(rule)
}

pub(super) fn tie(found: Found<'_>) -> Option<&Tie> {
    if let Event::Tied(tie) = found.event { Some(tie) } else { None }
}

pub(super) fn bytes(step: &Step, blob: &[u8]) -> StepBytes {
    StepBytes {
        class: step.class.clone(),
        limit_key: step.limit_key.clone(),
        payload: step.payload.of(blob).to_vec(),
        tags: step.tags.of(blob).to_vec(),
    }
}

/// The next job of a chain.
fn step(source: &impl Source, cause: EventSeq, due: &StepDue) -> Option<NewJob> {
    let found = source.find(EventSeq(due.definition))?;
    let Tie::Chained(chained) = tie(found)? else { return None };
    let ChainedJob { chain, rest, on_failure, on_exit, .. } = chained;
    let of = |step: &Step| bytes(step, found.blob);
    let why = source.find(cause)?;
    let mut made = match due.kind {
        NextStep::Next => of(rest.first()?),
        NextStep::OnExit => of(on_exit.as_ref()?),
        NextStep::OnFailure => of(on_failure.as_ref()?),
    };
    let handler = |step| {
        Some(ChainPart { chain: *chain, step, rest: Vec::new(), on_failure: None, on_exit: None })
    };
    let chain = match due.kind {
        NextStep::Next => Some(ChainPart {
            chain: *chain,
            step: chained.step + 1,
            rest: rest[1..].iter().map(of).collect(),
            on_failure: on_failure.as_ref().map(of),
            on_exit: on_exit.as_ref().map(of),
        }),
        NextStep::OnExit => handler(ON_EXIT),
        NextStep::OnFailure => handler(ON_FAILURE),
    };
    made.payload = match due.kind {
        NextStep::OnFailure => {
            compose::failed_step(&made.payload, due.job, chained.step, error_of(why).0)
        }
        _ => compose::next_step(&made.payload, due.job, result_of(why)),
    };
    Some(NewJob { step: made, batch: due.batch, chain })
}

fn result_of(found: Found<'_>) -> &[u8] {
    match found.event {
        Event::Completed { jobs } => jobs[found.nth].result.of(found.blob),
        _ => &[],
    }
}

/// What an event says of why a job failed: text and backtrace.
#[must_use]
pub fn error_of(found: Found<'_>) -> (&[u8], &[u8]) {
    let Found { event, nth, blob } = found;
    let of = |range: &Blob| range.of(blob);
    match event {
        Event::Failed { error, backtrace, .. } => (of(error), of(backtrace)),
        Event::Quarantined { jobs } => (of(&jobs[nth].error), &[]),
        Event::Rejected { reason, .. } if reason.is_empty() => (b"rejected", &[]),
        Event::Rejected { reason, .. } => (of(reason), &[]),
        Event::Expired { .. } => (b"job expired", &[]),
        Event::PlanTimedOut { .. } => (b"plan timed out", &[]),
        Event::Appended(appended) => (of(&appended.error), &[]),
        Event::Tied(_) => match arrived(found) {
            Some(arrived) => (of(&arrived.error), of(&arrived.backtrace)),
            None => (&[], &[]),
        },
        _ => (&[], &[]),
    }
}

fn arrived(found: Found<'_>) -> Option<&ArrivedJob> {
    if let Tie::Arrived(arrived) = tie(found)? { Some(arrived) } else { None }
}

/// The job that an event brought back into memory.
#[must_use]
pub fn revived(found: Found<'_>) -> Option<&RevivedJob> {
    let Event::Archived(archived) = found.event else { return None };
    if let ArchivedJob::Revived(revived) = &**archived { Some(revived) } else { None }
}

/// The payload that an event gave a job instead of its own.
#[must_use]
pub fn payload_of(found: Found<'_>) -> Option<&[u8]> {
    match found.event {
        Event::Replaced { payload, .. } => Some(payload.of(found.blob)),
        _ => None,
    }
}

/// The checkpoint that an event says.
#[must_use]
pub fn checkpoint_of(found: Found<'_>) -> &[u8] {
    let checkpoint = match found.event {
        Event::Extended { jobs } => jobs.get(found.nth).map(|job| job.checkpoint),
        Event::Iterated(iteration) => Some(iteration.checkpoint),
        Event::AgentEnqueued(agent) => Some(agent.checkpoint),
        Event::Revised(revised) => Some(revised.checkpoint),
        Event::Archived(_) => revived(found).map(|revived| revived.checkpoint),
        _ => arrived(found).map(|arrived| arrived.checkpoint),
    };
    checkpoint.unwrap_or_default().of(found.blob)
}

/// The progress that an event says.
#[must_use]
pub fn progress_of(found: Found<'_>) -> &[u8] {
    let progress = match found.event {
        Event::Extended { jobs } => jobs.get(found.nth).map(|job| job.progress),
        Event::Archived(_) => revived(found).map(|revived| revived.progress),
        _ => arrived(found).map(|arrived| arrived.progress),
    };
    progress.unwrap_or_default().of(found.blob)
}

/// Why an event says that a job was held, and who did that.
#[must_use]
pub fn hold_of(found: Found<'_>) -> (&[u8], &[u8]) {
    let (reason, by) = match found.event {
        Event::Held { reason, by, .. } => (*reason, *by),
        Event::Iterated(iteration) => (iteration.reason, Blob::default()),
        Event::Ruled(rule) => return (rule.reason().as_bytes(), &[]),
        _ => arrived(found).map(|a| (a.hold_reason, a.hold_by)).unwrap_or_default(),
    };
    (reason.of(found.blob), by.of(found.blob))
}

impl State {
    /// Shards with messages that they have not said they took.
    pub fn mail_waits_for(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.ties.post.waiting()
    }

    /// The number of the last message sent to a shard: 0 before the first.
    #[must_use]
    pub fn mail_sent(&self, to: ShardId) -> u64 {
        self.ties.post.next(to) - 1
    }

    /// Messages on the way to all shards.
    #[must_use]
    pub fn mail_len(&self) -> usize {
        self.ties.post.len()
    }

    /// Messages that a shard has not said it took, with their numbers, from `from` on.
    pub fn mail(&self, to: ShardId, from: u64) -> impl Iterator<Item = (u64, Mail)> + '_ {
        let open = self.ties.post.open(to, from);
        open.map(|(number, parcel)| (number, Mail(self.content(parcel))))
    }

    fn content(&self, parcel: Parcel) -> Content {
        match parcel {
            Parcel::Tally { batch, succeeded, failed } => {
                Content::Tally { batch, succeeded, failed }
            }
            Parcel::Ask { on, by } => Content::Ask { on, by },
            Parcel::Settled { on, by } => Content::Settled { on, by },
            Parcel::Rule { event } => Content::Rule { event },
            Parcel::Spent { budget, day, micros } => Content::Spent { budget, day, micros },
            Parcel::Step { cause } => Content::Step { cause, due: self.ties.steps[&cause.0] },
            Parcel::Move { job } => Content::Move(Box::new(self.moving(job.0))),
            Parcel::Located { job, now } => Content::Located { job, now },
            Parcel::Fate { job, fate } => Content::Fate { job, fate },
            Parcel::Callback { batch } => {
                let own = self.ties.batches.get(batch.0).expect("kept until it is called back");
                let id = BatchId::new(own.opened_ms, self.shard, batch);
                Content::Callback { batch: id, view: own.view() }
            }
        }
    }
}
