//! Messages of other shards to events.

use std::collections::BTreeSet;

use jobbie_proto::event::{
    ArrivedJob, Blob, ChainedJob, EnqueuedJob, Event, Group, LimitedJobs, Rule, Standing, Step, Tie,
};
use jobbie_proto::letter::{ChainPart, Message, MovedJob, NewJob, StepBytes};
use jobbie_proto::limits::QUEUES_MAX;
use jobbie_proto::reply::JobState;
use jobbie_proto::{BatchId, EventSeq, JobId, JobSeq, Micros, ShardId};

use super::BlobSink;
use super::rules::tagged;
use crate::state::State;

/// Decides messages of the shard `from`, the first of which has the number `first`. `None` when there is nothing new, or
/// something is missing before them; [`State::letters_taken`] says how far they were taken.
pub fn decide_letter(
    state: &State,
    from: ShardId,
    first: u64,
    messages: &[Message],
    blob: &mut impl BlobSink,
) -> Option<Group> {
    let taken = state.letters_taken(from);
    if first == 0 || first > taken + 1 {
        return None;
    }
    let again = if crate::mutant!(LetterTakenTwice) { 0 } else { (taken + 1 - first) as usize };
    let messages = messages.get(again..)?;
    let messages = &messages[..room(state, messages, QUEUES_MAX)];
    let last = first + again as u64 + (messages.len() as u64).checked_sub(1)?;
    let mut taking = Taking { state, from, next_job: state.next_job, events: Vec::new() };
    if last > taken {
        taking.events.push(Tie::Received { from, last }.into());
    }
    messages.iter().for_each(|message| taking.take(message, blob));
    Some(Group { events: taking.events, ..Group::default() })
}

/// How many messages there is room for, in order. A job that comes to a new queue waits on its old shard while this one has as
/// many queues as it can have, and what was sent after it waits with it.
fn room(state: &State, messages: &[Message], queues_max: usize) -> usize {
    let mut new = BTreeSet::new();
    let mut fits = |message: &&Message| {
        let Message::Move(moved) = message else { return true };
        let queue = moved.step.class.queue.as_str();
        if state.queues.find(queue).is_none() {
            new.insert(queue.to_owned());
        }
        state.queues.len() + new.len() <= queues_max
    };
    messages.iter().take_while(|message| fits(message)).count()
}

/// Notes that the shard `to` has taken all messages up to `last`. `None` when that is known.
#[must_use]
pub fn decide_delivered(state: &State, to: ShardId, last: u64) -> Option<Group> {
    let first = state.ties.post.first_open(to)?;
    let sent = state.mail_sent(to);
    let last = last.min(sent);
    let events = vec![Tie::Delivered { to, last }.into()];
    (last >= first).then(|| Group { events, ..Group::default() })
}

struct Taking<'s> {
    state: &'s State,
    from: ShardId,
    next_job: u64,
    events: Vec<Event>,
}

impl Taking<'_> {
    fn take(&mut self, message: &Message, blob: &mut impl BlobSink) {
        match message {
            Message::Tally { batch, succeeded, failed } => {
                self.tally(*batch, *succeeded, *failed);
            }
            Message::Make(new) => self.make(new, blob),
            Message::Ask { on, by } => self.ask(*on, *by),
            Message::Settled { on, by } => self.settled(*on, *by),
            Message::Move(moved) => {
                self.arrive(moved, blob);
                if crate::mutant!(ArrivesTwice) {
                    self.arrive(moved, blob);
                }
            }
            Message::Located { job, now } => {
                if self.is_away(*job) {
                    self.events.push(Tie::Located { job: job.seq(), now: *now }.into());
                }
            }
            Message::Fate { job, fate } => {
                if self.is_away(*job) {
                    self.events.push(Tie::Fated { job: job.seq(), fate: *fate }.into());
                }
            }
            Message::Rule(rule) => self.events.push((**rule).clone().into()),
            Message::Spent { budget, day, micros } => self.spent(*budget, *day, *micros),
        }
    }

    /// Whether a job was moved from here and has not ended for good.
    fn is_away(&self, job: JobId) -> bool {
        let state = self.state.resolve(job).map(|seq| self.state.job_state(seq));
        state == Ok(JobState::Moved)
    }

    /// A batch that is not there, or has all its members already, was named by mistake.
    fn tally(&mut self, batch: BatchId, succeeded: u32, failed: u32) {
        if self.state.has_batch(batch) {
            let (batch, of) = (batch.number(), self.from);
            self.events.push(Tie::BatchCounted { batch, of, succeeded, failed }.into());
        }
    }

    /// A budget that is gone counts nothing.
    fn spent(&mut self, budget: EventSeq, day: u32, micros: u64) {
        if self.state.rules.ids.contains_key(&budget.0) {
            self.events.push(Rule::Spent { of: self.from, budget, day, micros }.into());
        }
    }

    fn make(&mut self, new: &NewJob, blob: &mut impl BlobSink) {
        self.enqueue(&new.step, new.batch, new.chain.as_ref(), blob);
    }

    /// A job comes from another shard.
    fn arrive(&mut self, moved: &MovedJob, blob: &mut impl BlobSink) {
        let job = self.enqueue(&moved.step, moved.batch, moved.chain.as_ref(), blob);
        if let Some(parent) = moved.parent {
            self.events.push(Tie::Parented { parent, jobs: vec![job] }.into());
        }
        let is_done = |on: &JobId| on.shard() == self.state.shard && self.state.is_completed(*on);
        let (done, on): (Vec<_>, Vec<_>) = moved.awaits.iter().copied().partition(is_done);
        let (standing, due) = match moved.standing {
            Standing::Scheduled(due) if !on.is_empty() => (Standing::Pending, due),
            // It has waited for others, and need not any more.
            Standing::Scheduled(Micros(0)) => (Standing::Pending, Micros(0)),
            standing => (standing, Micros(0)),
        };
        let arrived = ArrivedJob {
            job,
            from: moved.from,
            standing,
            attempt: moved.attempt,
            lease_expiries: moved.lease_expiries,
            expire_at: moved.expire_at,
            failure_handled: moved.failure_handled,
            cost_micros: moved.cost_micros,
            iteration: moved.iteration,
            limits: moved.limits,
            checkpoint: blob.append(&moved.checkpoint),
            progress: blob.append(&moved.progress),
            error: blob.append(&moved.error),
            backtrace: blob.append(&moved.backtrace),
            hold_reason: blob.append(&moved.hold_reason),
            hold_by: blob.append(&moved.hold_by),
        };
        self.events.push(Tie::Arrived(Box::new(arrived)).into());
        if !on.is_empty() {
            self.events.push(Tie::Awaits { job, due, on, done }.into());
        }
    }

    fn enqueue(
        &mut self,
        step: &StepBytes,
        batch: Option<BatchId>,
        chain: Option<&ChainPart>,
        blob: &mut impl BlobSink,
    ) -> JobSeq {
        let job = JobSeq(self.next_job);
        self.next_job += 1;
        let StepBytes { class, limit_key, payload, tags } = step;
        let rules = self.state.rules.matching(tags);
        let (payload, tags) = (blob.append(payload), blob.append(tags));
        let (key, due) = (Blob::default(), Micros(0));
        let jobs = vec![EnqueuedJob { payload, tags, key, due }];
        let (class, first_job, keys) = (class.clone(), job, Vec::new());
        self.events.push(if limit_key.is_empty() {
            Event::Enqueued { class, first_job, jobs, keys }
        } else {
            let limit_keys = vec![limit_key.clone()];
            Event::Limited(Box::new(LimitedJobs { class, first_job, jobs, keys, limit_keys }))
        });
        tagged(&mut self.events, job, rules);
        if let Some(batch) = batch {
            self.events.push(Tie::Joined { batch, jobs: vec![job] }.into());
        }
        if let Some(ChainPart { chain, step, rest, on_failure, on_exit }) = chain {
            let (chain, step) = (*chain, *step);
            let mut with = |step: &StepBytes| with_bytes(step, blob);
            let rest = rest.iter().map(&mut with).collect();
            let (on_failure, on_exit) =
                (on_failure.as_ref().map(&mut with), on_exit.as_ref().map(with));
            let chained = ChainedJob { job, chain, step, rest, on_failure, on_exit };
            self.events.push(Tie::Chained(chained).into());
        }
        job
    }

    /// A job that was never made, or is gone without being completed, is waited for in vain.
    fn ask(&mut self, on: JobId, by: JobId) {
        if self.state.is_completed(on) || self.state.resolve(on).is_ok() {
            self.events.push(Tie::Awaited { job: on, by: vec![by] }.into());
        }
    }

    fn settled(&mut self, on: JobId, by: JobId) {
        self.events.push(Tie::Settled { on, jobs: vec![by] }.into());
    }
}

fn with_bytes(step: &StepBytes, blob: &mut impl BlobSink) -> Step {
    Step {
        class: step.class.clone(),
        limit_key: step.limit_key.clone(),
        payload: blob.append(&step.payload),
        tags: blob.append(&step.tags),
    }
}

impl State {
    /// The last message taken from a shard.
    #[must_use]
    pub fn letters_taken(&self, from: ShardId) -> u64 {
        self.ties.post.taken(from)
    }

    /// Whether a job of this shard was made and completed.
    pub(crate) fn is_completed(&self, job: JobId) -> bool {
        let seq = job.seq().0;
        let was_made = (1..self.next_job).contains(&seq);
        was_made && !self.jobs.contains(seq) && !self.ties.gone.contains(seq)
    }

    /// Whether a batch of this shard can still count members.
    pub(crate) fn has_batch(&self, batch: BatchId) -> bool {
        self.find_batch(batch).is_some_and(|found| found.ended == 0)
    }
}

#[cfg(test)]
mod tests {
    use jobbie_proto::agent::AgentLimits;
    use jobbie_proto::event::{BackoffKind, Class};

    use super::*;

    fn moved(queue: &str) -> Message {
        let class = Class {
            queue: queue.into(),
            priority: 0,
            max_retries: 0,
            backoff: BackoffKind::None,
            backoff_base_ms: 0,
            backoff_cap_ms: 0,
            expire_after_ms: 0,
        };
        let step =
            StepBytes { class, limit_key: String::new(), payload: Vec::new(), tags: Vec::new() };
        Message::Move(Box::new(MovedJob {
            from: JobId::new(1, ShardId(1), JobSeq(1)),
            step,
            batch: None,
            chain: None,
            failure_handled: false,
            parent: None,
            awaits: Vec::new(),
            standing: Standing::Pending,
            attempt: 0,
            lease_expiries: 0,
            expire_at: Micros(0),
            cost_micros: 0,
            iteration: 0,
            limits: AgentLimits::default(),
            checkpoint: Vec::new(),
            progress: Vec::new(),
            error: Vec::new(),
            backtrace: Vec::new(),
            hold_reason: Vec::new(),
            hold_by: Vec::new(),
        }))
    }

    #[test]
    fn a_job_for_a_full_shard_waits_with_what_comes_after_it_and_nothing_is_lost() {
        let mut state = State::new(ShardId(0), 2);
        let tally = Message::Tally { batch: BatchId::default(), succeeded: 1, failed: 0 };
        let messages = [tally.clone(), moved("a"), moved("a"), moved("b"), tally];
        for (queues_max, fits) in [(0, 1), (1, 3), (2, 5)] {
            assert_eq!(room(&state, &messages, queues_max), fits, "{queues_max} queues");
        }
        let group = decide_letter(&state, ShardId(1), 1, &messages[1..3], &mut Vec::new());
        state.absorb(Micros(1), &group.expect("two jobs"));
        // What is there takes jobs, and what did not fit comes again with its number.
        assert_eq!(room(&state, &messages, 1), 3);
        assert_eq!(state.letters_taken(ShardId(1)), 2);
    }
}
