//! New jobs.

use std::hash::BuildHasherDefault;
use std::iter::Peekable;

use hashbrown::HashMap;
use jobbie_proto::agent::AgentLimits;
use jobbie_proto::event::{Blob, Class, EnqueuedJob, Event, KeyTaken, LimitedJobs, UniqueKey};
use jobbie_proto::limits::{KEY_MS_DEFAULT, UNIQUE_MS_DEFAULT};
use jobbie_proto::request::{
    Chain, Enqueue, EnqueueAgent, EnqueueHold, EnqueuePlan, Expected, When,
};
use jobbie_proto::{BatchId, Code, JobId, JobSeq, Micros, Request};
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed, xxh3_128_with_seed};

use super::BlobSink;
use super::agents::agent_enqueued;
use super::draft::{Arrival, Draft, JobHasher};
use super::plans::planned;
use super::rules::tagged;
use super::ties::{TieCursor, adopt, join};
use crate::state::State;

/// What a new job is beside a job that waits for a worker.
#[derive(Clone, Copy)]
struct Special<'r, 'a> {
    plan: Option<&'r EnqueuePlan<'a>>,
    agent: Option<&'r EnqueueAgent<'a>>,
}

type Own<T> = HashMap<u128, T, BuildHasherDefault<JobHasher>>;

/// Keys that this request takes: the first job with a key wins.
#[derive(Default)]
struct Taken {
    keys: Own<(u64, JobSeq)>,
    uniques: Own<JobSeq>,
    /// Hashes of the unique keys from the first job with one on.
    hashes: UniqueHashes,
}

/// A job has a unique key; `left` jobs of the request at most follow.
fn note_unique(after: &mut Vec<Event>, unique: UniqueKey, left: usize) {
    if let Some(Event::UniqueTaken { jobs }) = after.last_mut() {
        return jobs.push(unique);
    }
    let mut jobs = Vec::with_capacity(left.min(128));
    jobs.push(unique);
    after.push(Event::UniqueTaken { jobs });
}

/// What a new job has beside what most have.
#[derive(Clone, Copy, Default)]
struct Extras<'r, 'a> {
    hold: Option<&'r EnqueueHold<'a>>,
    batch: Option<BatchId>,
    chain: Option<&'r Chain<'a>>,
    depends: Option<&'r [JobId]>,
    plan: Option<&'r EnqueuePlan<'a>>,
    parent: Option<JobId>,
    agent: Option<&'r EnqueueAgent<'a>>,
}

impl Extras<'_, '_> {
    fn are_there(&self) -> bool {
        let Self { hold, batch, chain, depends, plan, parent, agent } = self;
        let ties = batch.is_some() || chain.is_some() || depends.is_some() || parent.is_some();
        ties || hold.is_some() || plan.is_some() || agent.is_some()
    }
}

/// Walks along what a request says of its enqueues, by positions that rise.
struct ExtrasCursor<'r, 'a> {
    holds: Peekable<std::slice::Iter<'r, EnqueueHold<'a>>>,
    plans: Peekable<std::slice::Iter<'r, EnqueuePlan<'a>>>,
    agents: Peekable<std::slice::Iter<'r, EnqueueAgent<'a>>>,
    ties: TieCursor<'r, 'a>,
}

impl<'r, 'a> ExtrasCursor<'r, 'a> {
    fn new(request: &'r Request<'a>) -> Self {
        Self {
            holds: request.holds.iter().peekable(),
            plans: request.plans.iter().peekable(),
            agents: request.agents.iter().peekable(),
            ties: TieCursor::new(&request.ties),
        }
    }

    fn at(&mut self, at: usize) -> Extras<'r, 'a> {
        Extras {
            hold: self.holds.next_if(|hold| hold.enqueue as usize == at),
            batch: self.ties.batch(at),
            chain: self.ties.chain(at),
            depends: self.ties.depends(at),
            plan: self.plans.next_if(|plan| plan.enqueue as usize == at),
            parent: self.ties.parent(at),
            agent: self.agents.next_if(|agent| agent.enqueue as usize == at),
        }
    }
}

/// Hashes of the unique keys of a request, all made when the first is asked for.
#[derive(Default)]
struct UniqueHashes {
    from: usize,
    hashes: Vec<u128>,
}

impl UniqueHashes {
    /// That of the enqueue at a position. Positions rise.
    fn at(&mut self, at: usize, enqueues: &[Enqueue<'_>], state: &State) -> u128 {
        if self.hashes.is_empty() {
            self.from = at;
            let keys = enqueues[at..].iter();
            self.hashes = keys.map(|enqueue| key_hash(enqueue.queue, enqueue.unique)).collect();
            state.uniques.touch(self.hashes.iter().copied());
        }
        self.hashes[at - self.from]
    }
}

impl<'a> Draft<'a> {
    pub(super) fn enqueues(&mut self, request: &Request<'a>, blob: &mut impl BlobSink) {
        let enqueues = &request.enqueues;
        let mut extras = (!request.is_everyday()).then(|| ExtrasCursor::new(request));
        let mut own: Option<Box<Taken>> = None;
        // Events about the unique keys, holds and plans of the last run of jobs, which follow it.
        let mut after: Vec<Event> = Vec::new();
        let mut next_job = self.state.next_job;
        for (at, enqueue) in enqueues.iter().enumerate() {
            let job = JobSeq(next_job);
            let extras = extras.as_mut().map_or_else(Extras::default, |extras| extras.at(at));
            let Extras { hold, depends, plan, agent, .. } = extras;
            let (mut key, mut unique) = (None, None);
            if !(enqueue.key.is_empty() && enqueue.unique.is_empty()) {
                let own = own.get_or_insert_default();
                match self.take(enqueues, at, Special { plan, agent }, job, own) {
                    Ok(taken) => (key, unique) = taken,
                    Err(duplicate) => {
                        self.events.append(&mut after);
                        self.events.push(duplicate);
                        continue;
                    }
                }
            }
            next_job += 1;
            let due = self.due(enqueue.when);
            let rules = self.state.rules.matching(enqueue.tags);
            if due.0 == 0
                && hold.is_none()
                && depends.is_none()
                && plan.is_none()
                && enqueue.limit_key.is_empty()
                // Whether money is left for its tags is known once they are.
                && rules.is_empty()
                && let Some(arrivals) = &mut self.arrivals
            {
                let (queue, tier) = (enqueue.queue, enqueue.priority);
                arrivals.push(Arrival { queue, tier, job: job.0, attempt: 1 });
            }
            // When the last event is of jobs, the job before this one is its last.
            let before = at.checked_sub(1).map(|before| &enqueues[before]);
            let (jobs, keys) = self.run_for(enqueue, before, job, enqueues.len() - at, &mut after);
            let nth = jobs.len() as u32;
            jobs.push(EnqueuedJob {
                payload: blob.append(enqueue.payload),
                tags: blob.append(enqueue.tags),
                key: blob.append(enqueue.key),
                due,
            });
            keys.extend(key.map(|key| KeyTaken { nth, ..key }));
            if let Some(unique) = unique {
                let unique = UniqueKey { key: blob.append(enqueue.unique), ..unique };
                note_unique(&mut after, unique, enqueues.len() - at);
            }
            tagged(&mut after, job, rules);
            if extras.are_there() {
                self.extras(job, due, extras, &mut after, blob);
            }
        }
        self.events.append(&mut after);
    }

    #[inline(never)]
    fn extras(
        &self,
        job: JobSeq,
        due: Micros,
        extras: Extras<'_, '_>,
        after: &mut Vec<Event>,
        blob: &mut impl BlobSink,
    ) {
        let Extras { hold, batch, chain, depends, plan, parent, agent } = extras;
        after.extend(chain.map(|chain| self.chained(job, chain, blob)));
        if let Some(batch) = batch {
            join(after, batch, job);
        }
        if let Some(parent) = parent {
            adopt(after, parent, job);
        }
        after.extend(depends.map(|on| self.awaits(job, due, on)));
        after.extend(agent.map(|agent| agent_enqueued(job, agent, blob)));
        if let Some(hold) = hold {
            after.push(self.held(job, &hold.hold, blob));
        }
        after.extend(plan.map(|plan| planned(job, plan)));
    }

    /// The keys that a job takes, or the event that says who has one of them.
    fn take(
        &self,
        enqueues: &[Enqueue<'_>],
        at: usize,
        special: Special<'_, '_>,
        job: JobSeq,
        own: &mut Taken,
    ) -> Result<(Option<KeyTaken>, Option<UniqueKey>), Event> {
        let enqueue = &enqueues[at];
        let key = match enqueue.key {
            [] => None,
            _ => Some(self.take_key(enqueue, special, job, &mut own.keys)?),
        };
        let unique = match enqueue.unique {
            [] => Ok(None),
            _ => {
                if own.uniques.is_empty() {
                    own.uniques.reserve(enqueues.len() - at);
                }
                let hash = own.hashes.at(at, enqueues, self.state);
                self.take_unique(enqueue, hash, job, &mut own.uniques).map(Some)
            }
        };
        if let (Err(_), Some(key)) = (&unique, &key) {
            own.keys.remove(&key.key_hash);
        }
        Ok((key, unique?))
    }

    /// The unique key for `job`, or the event that says who has it.
    fn take_unique(
        &self,
        enqueue: &Enqueue<'_>,
        hash: u128,
        job: JobSeq,
        own: &mut Own<JobSeq>,
    ) -> Result<UniqueKey, Event> {
        let (state, code) = (self.state, Code::Duplicate);
        if let Some(&job) = own.get(&hash) {
            return Err(Event::Deduplicated { job, created_ms: self.now.ms(), code });
        }
        if let Some(taken) = state.uniques.find(hash, self.now.0)
            && !state.unique_is_over(enqueue.queue, taken.job)
            && !crate::mutant!(UniqueUnchecked)
        {
            let (job, created_ms) = (JobSeq(taken.job), state.jobs.origin(taken.job).created_ms);
            return Err(Event::Deduplicated { job, created_ms, code });
        }
        own.insert(hash, job);
        let unique_ms = if enqueue.unique_ms == 0 { UNIQUE_MS_DEFAULT } else { enqueue.unique_ms };
        Ok(UniqueKey { job, hash, until: self.now.plus_ms(unique_ms), key: Blob::default() })
    }

    /// 0 is at once, so a time is at least 1.
    fn due(&self, when: When) -> Micros {
        match when {
            When::Now => Micros(0),
            When::DelayMs(ms) => Micros(self.now.plus_ms(ms).0.max(1)),
            When::At(time) => Micros(time.0.max(1)),
        }
    }

    /// The last event if the job belongs to it, otherwise a new one.
    fn run_for(
        &mut self,
        enqueue: &Enqueue<'_>,
        before: Option<&Enqueue<'_>>,
        job: JobSeq,
        left: usize,
        after: &mut Vec<Event>,
    ) -> (&mut Vec<EnqueuedJob>, &mut Vec<KeyTaken>) {
        let is_limited = !enqueue.limit_key.is_empty();
        let continues = before.is_some_and(|before| before.shares_class(enqueue))
            && match self.events.last() {
                Some(Event::Enqueued { .. }) => !is_limited,
                Some(Event::Limited(_)) => is_limited,
                _ => false,
            };
        if !continues {
            self.events.append(after);
            let (class, first_job) = (class_of(enqueue), job);
            let (jobs, keys) = (Vec::with_capacity(left.min(64)), Vec::new());
            self.events.push(if is_limited {
                let limit_keys = Vec::with_capacity(left.min(64));
                let limited = LimitedJobs { class, first_job, jobs, keys, limit_keys };
                Event::Limited(Box::new(limited))
            } else {
                Event::Enqueued { class, first_job, jobs, keys }
            });
        }
        match self.events.last_mut() {
            Some(Event::Enqueued { jobs, keys, .. }) => (jobs, keys),
            Some(Event::Limited(limited)) => {
                limited.limit_keys.push(enqueue.limit_key.to_owned());
                (&mut limited.jobs, &mut limited.keys)
            }
            _ => unreachable!("just pushed"),
        }
    }

    /// The key for `job`, or the event that says who has it.
    fn take_key(
        &self,
        enqueue: &Enqueue<'_>,
        special: Special<'_, '_>,
        job: JobSeq,
        own: &mut Own<(u64, JobSeq)>,
    ) -> Result<KeyTaken, Event> {
        let key_hash = key_hash(enqueue.queue, enqueue.key);
        let content_hash = content_hash(enqueue, special);
        let key_ms = if enqueue.key_ms == 0 { KEY_MS_DEFAULT } else { enqueue.key_ms };
        let taken = |content, job, created_ms| {
            let same = content == content_hash;
            let code = if same { Code::Duplicate } else { Code::Conflict };
            Err(Event::Deduplicated { job, created_ms, code })
        };
        if let Some(&(content, first)) = own.get(&key_hash) {
            return taken(content, first, self.now.ms());
        }
        if let Some(key) = self.state.keys.find(key_hash, self.now.0)
            && key.job >= self.state.keys_end_below(enqueue.queue)
            && !crate::mutant!(KeyUnchecked)
        {
            return taken(key.content, JobSeq(key.job), key.created_ms);
        }
        own.insert(key_hash, (content_hash, job));
        Ok(KeyTaken { nth: 0, key_hash, content_hash, until: self.now.plus_ms(key_ms) })
    }
}

pub(super) fn class_of(enqueue: &Enqueue<'_>) -> Class {
    Class {
        queue: enqueue.queue.to_owned(),
        priority: enqueue.priority,
        max_retries: enqueue.max_retries,
        backoff: enqueue.backoff,
        backoff_base_ms: enqueue.backoff_base_ms,
        backoff_cap_ms: enqueue.backoff_cap_ms,
        expire_after_ms: enqueue.expire_after_ms,
    }
}

/// A key belongs to its queue.
pub(super) fn key_hash(queue: &str, key: &[u8]) -> u128 {
    xxh3_128_with_seed(key, xxh3_64_with_seed(queue.as_bytes(), key.len() as u64))
}

/// Everything the client asked for but queue and key. Lengths go first, so that no two requests
/// give the same bytes.
fn content_hash(enqueue: &Enqueue<'_>, special: Special<'_, '_>) -> u64 {
    let (when_kind, when) = match enqueue.when {
        When::Now => (0_u64, 0),
        When::DelayMs(ms) => (1, ms),
        When::At(time) => (2, time.0),
    };
    let words = [
        enqueue.payload.len() as u64,
        enqueue.tags.len() as u64,
        enqueue.key_ms,
        u64::from(enqueue.priority) << 8 | enqueue.backoff as u64,
        u64::from(enqueue.max_retries),
        u64::from(enqueue.backoff_base_ms) << 32 | u64::from(enqueue.backoff_cap_ms),
        enqueue.expire_after_ms,
        when_kind,
        when,
    ];
    let mut hasher = Xxh3::new();
    words.iter().for_each(|word| hasher.update(&word.to_le_bytes()));
    hasher.update(enqueue.payload);
    hasher.update(enqueue.tags);
    // Keys that were taken before there were unique and limit keys keep their hash.
    if !enqueue.unique.is_empty() || !enqueue.limit_key.is_empty() {
        hasher.update(&(enqueue.unique.len() as u64).to_le_bytes());
        hasher.update(enqueue.unique);
        hasher.update(&enqueue.unique_ms.to_le_bytes());
        hasher.update(enqueue.limit_key.as_bytes());
    }
    if let Some(plan) = special.plan {
        hasher.update(&plan.deadline_ms.to_le_bytes());
        for Expected { name, need, count, deadline_ms } in &plan.kinds {
            let words = [name.len() as u64, *need as u64, u64::from(*count), *deadline_ms];
            words.iter().for_each(|word| hasher.update(&word.to_le_bytes()));
            hasher.update(name.as_bytes());
        }
    }
    if let Some(EnqueueAgent { agent, .. }) = special.agent {
        let AgentLimits { max_iterations, max_cost_micros, iteration_timeout_ms } = agent.limits;
        let replayed = agent.replayed.map_or((0, 0), |of| (of.job.to_u128(), of.iteration));
        hasher.update(&max_iterations.to_le_bytes());
        hasher.update(&max_cost_micros.to_le_bytes());
        hasher.update(&iteration_timeout_ms.to_le_bytes());
        hasher.update(&replayed.0.to_le_bytes());
        hasher.update(&replayed.1.to_le_bytes());
        hasher.update(agent.checkpoint);
    }
    hasher.digest()
}
