//! A naive job server: what is committed, folded the obvious way. The checks look at it before each step.

mod absorb;
mod agents;
mod controls;
mod moves;
mod operations;
mod outcome;
mod plans;
mod rules;
pub(crate) mod schedules;
mod ties;
mod usage;
mod workers;

use std::collections::{BTreeMap, BTreeSet};

use jobbie_proto::event::{Blob, Class, Group, HoldEnd, QueueSettings, WorkerKey};
use jobbie_proto::reply::{JOB_STATES, JobState};
use jobbie_proto::request::{Enqueue, When};
use jobbie_proto::{JobId, Request, ShardId};

pub(crate) use agents::Agent;
pub(crate) use moves::Baggage;
use operations::Running;
pub(crate) use outcome::Outcome;
pub(crate) use plans::Plan;
pub(crate) use rules::{Account, Rules};
pub(crate) use usage::{Usage, hour_of};

/// One group of a committed entry, and what is known about it.
pub(crate) struct Fact<'a> {
    /// Log time.
    pub(crate) time: u64,
    /// Number of its first event.
    pub(crate) number: u64,
    /// What happened.
    pub(crate) group: &'a Group,
    /// What the events refer to.
    pub(crate) blob: &'a [u8],
    /// The request that it is of.
    pub(crate) request: Option<&'a Request<'a>>,
    /// When it was decided, in nanoseconds of virtual time, if that is known.
    pub(crate) decided: Option<u64>,
}

impl Fact<'_> {
    fn bytes(&self, blob: Blob) -> &[u8] {
        blob.of(self.blob)
    }
}

/// One job, for ever.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) class: Class,
    pub(crate) payload: Vec<u8>,
    pub(crate) tags: Vec<u8>,
    pub(crate) state: JobState,
    /// Completed or deleted: no longer in memory.
    pub(crate) gone: bool,
    pub(crate) attempt: u32,
    /// When it waits for a time: that time.
    pub(crate) due: u64,
    pub(crate) expire_at: Option<u64>,
    /// When it waits for a worker: the event that made it wait.
    pub(crate) position: u64,
    /// Its newest lease.
    pub(crate) token: u64,
    pub(crate) session: u64,
    pub(crate) deadline: u64,
    /// Before this moment of virtual time the lease must not run out.
    pub(crate) lease_floor_nanos: Option<u64>,
    pub(crate) lease_ms: u32,
    /// Leases that ran out since it was enqueued or put back.
    pub(crate) lease_expiries: u32,
    pub(crate) limit_key: String,
    /// While held: what happens at `due`.
    pub(crate) then: HoldEnd,
    pub(crate) plan: Option<Plan>,
    /// The event that moved it to its queue; 0 is none.
    pub(crate) placed: u64,
    /// The id it had on another shard, and what it was like when it came.
    pub(crate) came: Option<(JobId, Box<Baggage>)>,
    /// What the work on it has cost, in micro-dollars.
    pub(crate) cost: u64,
    pub(crate) agent: Option<Agent>,
    /// The event with its newest checkpoint; 0 is none.
    pub(crate) checkpoint: u64,
}

/// Where a waiting job stands: queue, tier, position, number.
pub(crate) type Place = (String, u8, u64, u64);

impl Job {
    pub(crate) fn place(&self, seq: u64) -> Place {
        (self.class.queue.clone(), self.class.priority, self.position, seq)
    }
}

/// One open session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: u128,
    pub(crate) confirmed_below: u64,
    /// What each request did.
    pub(crate) done: BTreeMap<u64, Outcome>,
}

/// A lease as it was granted.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) job: u64,
    pub(crate) session: u64,
    pub(crate) deadline: u64,
    /// What the job was then: queue and payload may change later.
    pub(crate) queue: String,
    pub(crate) payload: Vec<u8>,
}

/// A remembered key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) job: u64,
    pub(crate) content: Content,
    pub(crate) until: u64,
}

/// Everything about an enqueue that two equal ones share.
pub(crate) type Content = (Vec<u8>, Vec<u8>, u64, Class, When, Vec<u8>, String);

/// What a client asked for, but the key itself.
pub(crate) fn content_of(enqueue: &Enqueue<'_>) -> Content {
    let (payload, tags) = (enqueue.payload.to_vec(), enqueue.tags.to_vec());
    let unique = enqueue.unique.to_vec();
    let limit_key = enqueue.limit_key.to_owned();
    (payload, tags, enqueue.key_ms, class_of(enqueue), enqueue.when, unique, limit_key)
}

fn class_of(enqueue: &Enqueue<'_>) -> Class {
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

/// Counts of a queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) jobs: [u64; JOB_STATES],
    pub(crate) enqueued_total: u64,
}

/// One shard.
pub(crate) struct Model {
    pub(crate) shard: ShardId,
    pub(crate) shards: u16,
    pub(crate) time: u64,
    pub(crate) next_event: u64,
    pub(crate) jobs: Vec<Job>,
    /// Jobs that are not gone.
    pub(crate) live: BTreeSet<u64>,
    pub(crate) queues: BTreeMap<String, Queue>,
    pub(crate) paused: BTreeSet<String>,
    pub(crate) waiting: BTreeSet<Place>,
    pub(crate) sessions: BTreeMap<u64, Session>,
    pub(crate) sessions_ever: BTreeSet<u64>,
    pub(crate) leases: BTreeMap<u64, Granted>,
    keys: BTreeMap<(String, Vec<u8>), Key>,
    /// Job and end, by queue and key; only jobs that have not ended.
    uniques: BTreeMap<(String, Vec<u8>), (u64, u64)>,
    settings: BTreeMap<String, QueueSettings>,
    /// Queues that have had jobs with limit keys.
    laned: BTreeSet<String>,
    /// When jobs were given out, by queue, and by queue and limit key, since there was a rate.
    claims: BTreeMap<(String, Option<String>), Vec<u64>>,
    /// How many others each job waits for.
    pub(crate) blocked: BTreeMap<u64, usize>,
    /// Active jobs that go to another shard when their workers give them back.
    leaving: BTreeSet<u64>,
    /// How many jobs of each queue have gone to other shards; they stay when it is deleted.
    pub(crate) moved: BTreeMap<String, u64>,
    /// By the id that each had, jobs that came from other shards.
    came_from: BTreeMap<JobId, u64>,
    /// By queue and name.
    pub(crate) schedules: BTreeMap<(String, String), schedules::Schedule>,
    /// Every payload, and the job it came with.
    pub(crate) payloads: BTreeMap<Vec<u8>, u64>,
    /// Operations that run.
    pub(crate) operations: BTreeMap<u64, Running>,
    /// When each worker was seen last.
    workers: BTreeMap<WorkerKey, u64>,
    pub(crate) usage: Usage,
    pub(crate) rules: Rules,
}

impl Model {
    pub(crate) fn new(shard: ShardId, shards: u16) -> Self {
        Self {
            shard,
            shards,
            time: 0,
            next_event: 1,
            jobs: Vec::new(),
            live: BTreeSet::new(),
            queues: BTreeMap::new(),
            paused: BTreeSet::new(),
            waiting: BTreeSet::new(),
            sessions: BTreeMap::new(),
            sessions_ever: BTreeSet::new(),
            leases: BTreeMap::new(),
            keys: BTreeMap::new(),
            uniques: BTreeMap::new(),
            settings: BTreeMap::new(),
            laned: BTreeSet::new(),
            claims: BTreeMap::new(),
            blocked: BTreeMap::new(),
            leaving: BTreeSet::new(),
            moved: BTreeMap::new(),
            came_from: BTreeMap::new(),
            schedules: BTreeMap::new(),
            payloads: BTreeMap::new(),
            operations: BTreeMap::new(),
            workers: BTreeMap::new(),
            usage: Usage::default(),
            rules: Rules::default(),
        }
    }

    pub(crate) fn job(&self, seq: u64) -> &Job {
        &self.jobs[seq as usize - 1]
    }

    fn job_mut(&mut self, seq: u64) -> &mut Job {
        &mut self.jobs[seq as usize - 1]
    }

    /// What is known of an enqueue's key.
    pub(crate) fn key(&self, enqueue: &Enqueue<'_>) -> Option<&Key> {
        self.keys.get(&(enqueue.queue.to_owned(), enqueue.key.to_vec()))
    }

    /// What limits a queue.
    pub(crate) fn settings(&self, queue: &str) -> QueueSettings {
        self.settings.get(queue).copied().unwrap_or_default()
    }

    pub(crate) fn has_lanes(&self, queue: &str) -> bool {
        self.laned.contains(queue)
    }

    pub(crate) fn claims(&self, queue: &str, key: Option<&str>) -> &[u64] {
        let of = (queue.to_owned(), key.map(str::to_owned));
        self.claims.get(&of).map_or(&[], Vec::as_slice)
    }

    /// The job that has an enqueue's unique key.
    pub(crate) fn unique_owner(&self, enqueue: &Enqueue<'_>, time: u64) -> Option<u64> {
        let key = (enqueue.queue.to_owned(), enqueue.unique.to_vec());
        let owner = self.uniques.get(&key).filter(|(_, until)| *until > time);
        owner.map(|(owner, _)| *owner).filter(|owner| !self.is_condemned(*owner))
    }

    /// Jobs that still want something to happen here.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = u64> {
        let over = |state| matches!(state, JobState::Dead | JobState::Cancelled | JobState::Moved);
        self.live.iter().copied().filter(move |seq| !over(self.job(*seq).state))
    }
}
