//! Messages of other shards to events.

use jobbie_proto::event::{
    Blob, ChainedJob, EnqueuedJob, Event, Group, LimitedJobs, Rule, Step, Tie,
};
use jobbie_proto::letter::{ChainPart, Message, NewJob, StepBytes};
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
    let messages = messages.get(again..).filter(|new| !new.is_empty())?;
    let last = first + again as u64 + messages.len() as u64 - 1;
    let mut taking = Taking { state, from, next_job: state.next_job, events: Vec::new() };
    if last > taken {
        taking.events.push(Tie::Received { from, last }.into());
    }
    messages.iter().for_each(|message| taking.take(message, blob));
    Some(Group { events: taking.events, ..Group::default() })
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
            Message::Rule(rule) => self.events.push((**rule).clone().into()),
            Message::Spent { budget, day, micros } => self.spent(*budget, *day, *micros),
        }
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
        let job = JobSeq(self.next_job);
        self.next_job += 1;
        let StepBytes { class, limit_key, payload, tags } = &new.step;
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
        if let Some(batch) = new.batch {
            self.events.push(Tie::Joined { batch, jobs: vec![job] }.into());
        }
        if let Some(ChainPart { chain, step, rest, on_failure, on_exit }) = &new.chain {
            let (chain, step) = (*chain, *step);
            let mut with = |step: &StepBytes| with_bytes(step, blob);
            let rest = rest.iter().map(&mut with).collect();
            let (on_failure, on_exit) =
                (on_failure.as_ref().map(&mut with), on_exit.as_ref().map(with));
            let chained = ChainedJob { job, chain, step, rest, on_failure, on_exit };
            self.events.push(Tie::Chained(chained).into());
        }
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
