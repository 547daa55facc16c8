//! What ties new jobs to others, batches, and acks that end their chain.

use jobbie_proto::event::{ChainedJob, Event, Step, Tie};
use jobbie_proto::request::{Ack, BatchSeal, Chain, Enqueue, JobRef, Parents, Ties};
use jobbie_proto::{BatchId, Code, JobId, JobSeq, Micros};

use super::BlobSink;
use super::draft::Draft;
use super::enqueue::class_of;

/// Walks along the ties of a request's enqueues, whose positions rise.
pub(super) struct TieCursor<'r, 'a> {
    ties: &'r Ties<'a>,
    member: usize,
    chain: usize,
    depends: usize,
    parent: usize,
}

impl<'r, 'a> TieCursor<'r, 'a> {
    pub(super) fn new(ties: &'r Ties<'a>) -> Self {
        Self { ties, member: 0, chain: 0, depends: 0, parent: 0 }
    }

    /// The batch of the enqueue at a position.
    pub(super) fn batch(&mut self, at: usize) -> Option<BatchId> {
        let members = &self.ties.members;
        let is_over = |at: usize, run: usize| {
            let run = &members[run];
            at >= run.first as usize + run.count as usize
        };
        while self.member < members.len() && is_over(at, self.member) {
            self.member += 1;
        }
        let run = members.get(self.member).filter(|run| at >= run.first as usize)?;
        Some(run.batch)
    }

    /// The parent of the enqueue at a position.
    pub(super) fn parent(&mut self, at: usize) -> Option<JobId> {
        let parents = &self.ties.parents;
        let is_over = |run: &Parents| at >= run.first as usize + run.count as usize;
        while parents.get(self.parent).is_some_and(is_over) {
            self.parent += 1;
        }
        let run = parents.get(self.parent).filter(|run| at >= run.first as usize)?;
        Some(run.parent)
    }

    pub(super) fn chain(&mut self, at: usize) -> Option<&'r Chain<'a>> {
        let chain = self.ties.chains.get(self.chain).filter(|c| c.enqueue as usize == at)?;
        self.chain += 1;
        Some(chain)
    }

    /// What the enqueue at a position waits for.
    pub(super) fn depends(&mut self, at: usize) -> Option<&'r [JobId]> {
        let next = self.ties.depends.get(self.depends).filter(|d| d.enqueue as usize == at)?;
        self.depends += 1;
        Some(&next.on)
    }
}

pub(super) fn join(after: &mut Vec<Event>, batch: BatchId, job: JobSeq) {
    if let Some(Event::Tied(tie)) = after.last_mut()
        && let Tie::Joined { batch: last, jobs } = &mut **tie
        && *last == batch
    {
        return jobs.push(job);
    }
    after.push(Tie::Joined { batch, jobs: vec![job] }.into());
}

pub(super) fn adopt(after: &mut Vec<Event>, parent: JobId, job: JobSeq) {
    if let Some(Event::Tied(tie)) = after.last_mut()
        && let Tie::Parented { parent: last, jobs } = &mut **tie
        && *last == parent
    {
        return jobs.push(job);
    }
    after.push(Tie::Parented { parent, jobs: vec![job] }.into());
}

fn step(enqueue: &Enqueue<'_>, blob: &mut impl BlobSink) -> Step {
    Step {
        class: class_of(enqueue),
        limit_key: enqueue.limit_key.to_owned(),
        payload: blob.append(enqueue.payload),
        tags: blob.append(enqueue.tags),
    }
}

impl Draft<'_> {
    pub(super) fn chained(
        &self,
        job: JobSeq,
        chain: &Chain<'_>,
        blob: &mut impl BlobSink,
    ) -> Event {
        let chained = ChainedJob {
            job,
            chain: JobId::new(self.now.ms(), self.state.shard, job),
            step: 0,
            rest: chain.steps.iter().map(|next| step(next, blob)).collect(),
            on_failure: chain.on_failure.as_ref().map(|next| step(next, blob)),
            on_exit: chain.on_exit.as_ref().map(|next| step(next, blob)),
        };
        Tie::Chained(chained).into()
    }

    /// What a new job waits for, each once, and what of that is completed already.
    pub(super) fn awaits(&self, job: JobSeq, due: Micros, on: &[JobId]) -> Event {
        let mut on = on.to_vec();
        on.sort_unstable();
        on.dedup();
        let is_done = |on: &JobId| on.shard() == self.state.shard && self.state.is_completed(*on);
        let (done, on) = on.into_iter().partition(is_done);
        Tie::Awaits { job, due, on, done }.into()
    }

    pub(super) fn batch_opens(&mut self, opens: &[Option<Enqueue<'_>>], blob: &mut impl BlobSink) {
        for callback in opens {
            let callback = callback.as_ref().map(|callback| step(callback, blob));
            self.events.push(Tie::BatchOpened { callback }.into());
        }
    }

    pub(super) fn batch_seals(&mut self, seals: &[BatchSeal]) {
        for seal in seals {
            let (batch, total) = (seal.batch.number(), seal.total);
            let tie = match self.may_seal(seal) {
                Ok(()) => Tie::BatchSealed { batch, total },
                Err(code) => Tie::SealRefused { batch, code },
            };
            self.events.push(tie.into());
        }
    }

    fn may_seal(&self, seal: &BatchSeal) -> Result<(), Code> {
        let batch = self.state.find_batch(seal.batch).ok_or(Code::NotFound)?;
        // To say the same again is no mistake.
        let open = batch.total.is_none() && batch.counted() <= seal.total;
        open.then_some(()).ok_or(Code::IllegalState)
    }

    /// Acks whose job ends its chain. One that is refused ends nothing.
    pub(super) fn exits(&mut self, exits: &[u32], acks: &[Ack<'_>]) {
        let here = |at: &u32| {
            let JobRef { job, token } = acks[*at as usize].job;
            let lease = self.lease(job, token).ok()?;
            let chained = self.state.ties.chains.get(lease.job)?;
            chained.next.map(|_| JobSeq(lease.job))
        };
        let mut jobs: Vec<_> = exits.iter().filter_map(here).collect();
        jobs.dedup();
        if !jobs.is_empty() {
            self.events.push(Tie::ChainLeft { jobs }.into());
        }
    }
}
