//! Events of what ties jobs together, and what the end of a job makes due.

use jobbie_proto::event::{Fate, NextStep, Parcel, Tie};
use jobbie_proto::reply::JobState;
use jobbie_proto::{BatchId, Code, EventSeq, JobId, JobSeq, Micros, Reply, ShardId};

use super::Mark;
use crate::state::{BLOCKED, Detached, State};
use crate::ties::batches::Batch;
use crate::ties::{Blocked, End, Link, StepDue};

impl State {
    pub(super) fn absorb_tie(&mut self, tie: &Tie, reply: &mut Reply) {
        // Those that go to a queue get numbers of their own.
        if let Tie::Settled { on, jobs } = tie {
            return jobs.iter().for_each(|job| self.settled(*on, *job));
        }
        let event = self.number_event();
        self.digest.mix(Mark::Tied as u64);
        match tie {
            Tie::BatchOpened { callback } => {
                let to = callback.as_ref().map(|step| self.shard_of_queue(&step.class.queue));
                let opened_ms = self.time().ms();
                let batch = Batch { opened_ms, callback: to, ..Batch::default() };
                self.ties.batches.insert(event, batch);
                reply.batches.push(BatchId::new(opened_ms, self.shard, EventSeq(event)));
            }
            Tie::BatchSealed { batch, total } => {
                self.ties.batches.seal(batch.0, *total, self.time);
                self.digest.mix_all(&[batch.0, *total]);
                reply.batch_seals.push(Code::Ok);
            }
            Tie::SealRefused { batch, code } => {
                self.digest.mix_all(&[batch.0, *code as u64]);
                reply.batch_seals.push(*code);
            }
            Tie::Joined { batch, jobs } => {
                jobs.iter().for_each(|job| self.ties.members.insert(job.0, *batch));
                self.digest.mix_all(&[batch.to_u128() as u64, jobs.len() as u64]);
            }
            Tie::Chained(chained) => {
                let link = Link::new(event, chained, self.shards);
                self.ties.chains.insert(chained.job.0, link);
                self.digest.mix_all(&[chained.job.0, chained.step as u64]);
            }
            Tie::ChainLeft { jobs } => jobs.iter().for_each(|job| self.chain_left(*job)),
            Tie::Awaits { job, due, on, .. } => self.awaits(*job, *due, on, event),
            Tie::Parented { parent, jobs } => self.parented(*parent, jobs),
            Tie::Arrived(arrived) => self.arrived(arrived, event),
            Tie::Located { job, now } => self.located(*job, *now),
            Tie::Fated { job, fate } => self.fated(*job, *fate),
            other => self.absorb_post(other),
        }
    }

    /// What comes from other shards, and goes there.
    fn absorb_post(&mut self, tie: &Tie) {
        match tie {
            Tie::BatchCounted { batch, of, succeeded, failed } => {
                if *of == self.shard {
                    let own = self.ties.batches.get(batch.0).expect("it has members here");
                    let id = BatchId::new(own.opened_ms, self.shard, *batch);
                    self.ties.reported(id, *succeeded, *failed);
                }
                self.ties.batches.count(batch.0, *succeeded, *failed, self.time);
                self.digest.mix_all(&[batch.0, u64::from(*succeeded), u64::from(*failed)]);
            }
            Tie::BatchesForgotten { batches } => {
                batches.iter().for_each(|batch| self.ties.batches.forget(batch.0));
                self.digest.mix(batches.len() as u64);
            }
            Tie::Awaited { job, by } => {
                by.iter().for_each(|by| self.awaited(*job, *by));
                self.digest.mix_all(&[job.seq().0, by.len() as u64]);
            }
            Tie::Sent { to, first, parcels } => {
                for (number, parcel) in (*first..).zip(parcels) {
                    match *parcel {
                        Parcel::Move { job } => self.job_sent(job, *to, number),
                        _ => self.take_due(parcel, *to),
                    }
                    self.ties.post.send(*to, number, *parcel);
                }
                self.digest.mix_all(&[u64::from(to.0), *first, parcels.len() as u64]);
            }
            Tie::Received { from, last } => {
                self.ties.post.take(*from, *last);
                if *from == self.shard {
                    self.over(*from, *last);
                }
                self.digest.mix_all(&[u64::from(from.0), *last]);
            }
            Tie::Delivered { to, last } => {
                self.over(*to, *last);
                self.digest.mix_all(&[u64::from(to.0), *last]);
            }
            _ => unreachable!("{tie:?} is absorbed elsewhere"),
        }
    }

    /// A shard has taken messages: what they referred to is no longer needed.
    pub(super) fn over(&mut self, to: ShardId, last: u64) {
        for parcel in self.ties.post.delivered(to, last) {
            match parcel {
                Parcel::Step { cause } => {
                    self.ties.steps.remove(&cause.0);
                }
                Parcel::Callback { batch } => self.ties.batches.delivered(batch.0),
                Parcel::Move { job } => self.job_delivered(job),
                Parcel::Rule { event } => self.rules.taken(event.0),
                Parcel::Tally { .. }
                | Parcel::Ask { .. }
                | Parcel::Settled { .. }
                | Parcel::Located { .. }
                | Parcel::Fate { .. }
                | Parcel::Spent { .. } => {}
            }
        }
    }

    /// What a message stood for is due no longer.
    fn take_due(&mut self, parcel: &Parcel, to: ShardId) {
        match *parcel {
            Parcel::Rule { event } => {
                let was = self.rules.outgoing.remove(&(event.0, to.0)).is_some();
                assert!(was, "a shard was told of a rule twice");
            }
            Parcel::Spent { budget, day, micros } => self.rules.report(budget.0, day, micros),
            _ => self.ties.take_due(parcel, to),
        }
    }

    /// Only the handler of the chain's end comes after the job.
    fn chain_left(&mut self, job: JobSeq) {
        let mut link = *self.ties.chains.get(job.0).expect("the job is in no chain");
        link.next = None;
        self.ties.chains.insert(job.0, link);
        self.digest.mix(job.0);
    }

    /// The job waits in no queue, if there is anything it waits for.
    fn awaits(&mut self, job: JobSeq, due: Micros, on: &[JobId], event: u64) {
        self.digest.mix_all(&[job.0, due.0, on.len() as u64]);
        if on.is_empty() {
            return;
        }
        let blocked = Blocked { event, missing: on.len() as u32, due: due.0 };
        self.ties.blocked.insert(job.0, blocked);
        // One that came from another shard may be held.
        if self.job_state(job.0) != JobState::Held {
            let detached = self.detach(job.0);
            self.block(detached);
        }
        let id = self.id_of(job.0);
        for on in on {
            if on.shard() == self.shard {
                self.awaited(*on, id);
            } else {
                self.ties.asks.insert((id, *on));
            }
        }
    }

    /// A job waits for one of this shard. When that was decided it was there, or completed; meanwhile, in the same group, it may
    /// have become known that it is completed or gone on the shard to which it moved.
    fn awaited(&mut self, on: JobId, by: JobId) {
        let seq = on.seq().0;
        if self.ties.gone.contains(seq) {
            return;
        }
        self.ties.dependents.insert((seq, by));
        if self.is_completed(on) {
            self.ties.settling.insert(seq, on);
        }
    }

    /// The job is scheduled for when others are completed.
    pub(super) fn block(&mut self, detached: Detached) -> u32 {
        let number = self.track(detached, JobState::Scheduled, BLOCKED);
        self.set_expiry_timer(number, None);
        number
    }

    /// One of the jobs that a job waits for is completed.
    fn settled(&mut self, on: JobId, by: JobId) {
        let (event, job) = (self.number_event(), by.seq());
        self.digest.mix_all(&[Mark::Settled as u64, on.to_u128() as u64, job.0]);
        if on.shard() == self.shard {
            self.ties.settled(on.seq().0, by);
        }
        // It may have ended, or been sent off by an operator.
        let Some(mut blocked) = self.ties.blocked.get(job.0).copied() else { return };
        blocked.missing -= 1;
        if blocked.missing > 0 {
            return self.ties.blocked.insert(job.0, blocked);
        }
        self.ties.blocked.remove(job.0);
        if self.job_state(job.0) != JobState::Scheduled {
            return;
        }
        let detached = self.detach(job.0);
        if blocked.due <= self.time {
            self.step_back(detached, event);
            return;
        }
        let number = self.track(detached, JobState::Scheduled, blocked.due);
        self.set_expiry_timer(number, Some(blocked.due));
    }

    /// A job ends by `event`, and is still in memory: what follows from that is due.
    #[inline]
    pub(super) fn ends(&mut self, job: u64, event: u64, end: End) {
        if self.ties.is_used() {
            self.note_end(job, event, end);
        }
    }

    fn note_end(&mut self, job: u64, event: u64, end: End) {
        self.ties.blocked.remove(job);
        self.ties.kin.fated(job, fate_of(end));
        let link = self.ties.chains.get(job).copied();
        let next = link.and_then(|link| link.after(end));
        if let (Some(link), Some((kind, to))) = (link, next) {
            let goes_on = kind == NextStep::Next;
            let batch = goes_on.then(|| self.ties.members.remove(job)).flatten();
            let Link { definition, .. } = link;
            let job = self.id_of(job);
            self.ties.steps.insert(event, StepDue { definition, kind, to, job, batch });
            self.ties.unsent_steps.insert(event);
        }
        if end == End::Died
            && !crate::mutant!(FailureHandledTwice)
            && let Some(link) = link
        {
            // A handler runs once, however often the job is revived.
            self.ties.chains.insert(job, Link { on_failure: None, ..link });
        }
        // It counts once, when it first ends.
        let batch = match crate::mutant!(MemberCountedTwice) {
            true => self.ties.members.get(job).copied(),
            false => self.ties.members.remove(job),
        };
        if let Some(batch) = batch {
            self.ties.tally(batch, end == End::Completed);
        }
        let counts = end == End::Completed || crate::mutant!(DeathSettles);
        if counts && self.ties.waiting_for(job).next().is_some() {
            self.ties.settling.insert(job, self.id_of(job));
        }
    }

    pub(crate) fn id_of(&self, job: u64) -> JobId {
        JobId::new(self.jobs.origin(job).created_ms, self.shard, JobSeq(job))
    }

    pub(super) fn shard_of_queue(&self, queue: &str) -> ShardId {
        jobbie_proto::placement::shard_of(queue, self.shards)
    }
}

/// What the shard that a job came from is told when it ends.
fn fate_of(end: End) -> Fate {
    if end == End::Completed { Fate::Completed } else { Fate::Ended }
}
