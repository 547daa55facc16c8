//! What a shard knows, and the few moves that every event is made of.

mod limited;
mod moves;
mod operations;
mod uniques;

use std::rc::Rc;

use imbl::GenericOrdSet;
use imbl::shared_ptr::RcK;
use jobbie_proto::reply::JobState;
use jobbie_proto::{Code, EventSeq, JobId, JobSeq, Micros, Reply, SessionId, ShardId};

use crate::agents::Agents;
use crate::class::{ClassId, Classes};
use crate::digest::Digest;
use crate::fifo::{Fifo, Item};
use crate::heap::{Heap, Owner};
use crate::jobs::{Handle, Jobs, Origin, Special};
use crate::keys::Keys;
use crate::lanes::Lanes;
use crate::leases::Leases;
use crate::operations::Operations;
use crate::plans::Plans;
use crate::queue::Queues;
use crate::revived::RevivedJobs;
use crate::rules::Rules;
use crate::schedules::Schedules;
use crate::session::Sessions;
use crate::settings::Settings;
use crate::sidetable::SideTable;
use crate::ties::Ties;
use crate::tracked::{Sides, Tracked, TrackedJobs};
use crate::unique::Uniques;
use crate::usage::Usage;
use crate::workers::Workers;
pub(crate) use limited::{Charge, Stirred};
pub(crate) use moves::Detached;

/// One shard: the fold of [`State::absorb`] over its log.
///
/// Everything that grows with jobs or sessions lives in shared pages, so a clone costs a
/// reference a page, and pages are copied when they are next written.
#[derive(Clone)]
pub struct State {
    pub(crate) shard: ShardId,
    pub(crate) shards: u16,
    pub(crate) time: u64,
    pub(crate) next_event: u64,
    pub(crate) next_job: u64,
    pub(crate) digest: Digest,
    pub(crate) jobs: Jobs,
    pub(crate) tracked: TrackedJobs,
    pub(crate) sides: Sides,
    /// Of everything but leases.
    pub(crate) timers: Heap,
    pub(crate) leases: Leases,
    pub(crate) classes: Classes,
    pub(crate) queues: Queues,
    pub(crate) sessions: Sessions,
    pub(crate) keys: Keys,
    pub(crate) uniques: Uniques,
    /// Events with payloads that replace those the jobs were enqueued with.
    pub(crate) payloads: SideTable<u64>,
    /// Of jobs that wait, or waited, for events.
    pub(crate) plans: Plans,
    /// Of active jobs whose limit keys share the time of workers.
    pub(crate) charges: SideTable<Charge>,
    /// Queues that anything but their waiting jobs limits.
    pub(crate) limited: usize,
    /// Queues with windows that open, by the time they do.
    pub(crate) openings: GenericOrdSet<(u64, u32), RcK>,
    /// Not part of the state: queues that may hand out jobs again by what the last group did.
    pub(crate) opened: Vec<u32>,
    /// Not part of the state: what the group that is absorbed has changed so far.
    pub(crate) stirred: Vec<Stirred>,
    pub(crate) rules: Rules,
    pub(crate) schedules: Schedules,
    /// Dead and cancelled jobs in the order in which they ended. The first, if any, is still there.
    pub(crate) ended: Fifo,
    /// Those that ended elsewhere before they came, with their times; the first, if any, is still there.
    pub(crate) ended_before: GenericOrdSet<(u64, u64), RcK>,
    /// Jobs that are held.
    pub(crate) held: GenericOrdSet<u64, RcK>,
    pub(crate) ties: Ties,
    pub(crate) operations: Operations,
    /// The error before one whose event does not name it, by that event, the newest last.
    pub(crate) error_links: SideTable<Rc<[(u64, u64)]>>,
    pub(crate) workers: Workers,
    pub(crate) usage: Usage,
    /// Jobs that are worked on in iterations.
    pub(crate) agents: Agents,
    /// Jobs that had left memory as completed and are in it again.
    pub(crate) revived: RevivedJobs,
}

/// The time that a scheduled job waits for when it is others that it waits for.
pub(crate) const BLOCKED: u64 = u64::MAX;

/// Set in the key of a timer that belongs to a class; otherwise the key is a job.
pub(crate) const CLASS_TIMER: u64 = 1 << 63;

/// Those who want to know where their timer is.
pub(crate) struct Owners<'a> {
    pub(crate) jobs: &'a mut Jobs,
    pub(crate) tracked: &'a mut TrackedJobs,
    pub(crate) classes: &'a mut Classes,
}

impl Owner for Owners<'_> {
    #[inline]
    fn timer_is_at(&mut self, key: u64, at: u32) {
        if key & CLASS_TIMER != 0 {
            self.classes.get_mut(ClassId((key & !CLASS_TIMER) as u32)).timer = at;
            return;
        }
        match self.jobs.handle(key).expect("a timer of an untouched job").special() {
            Special::Struct(number) => self.tracked.get_mut(number).timer = at,
            Special::Sleeper(_) => self.jobs.set_handle(key, Handle::of_sleeper(at)),
        }
    }
}

/// What a job is in, as far as deciding needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    /// Waits, untouched.
    Fresh,
    /// Waits for this time, untouched.
    Sleeping(u64),
    /// Anything else.
    Tracked(&'a Tracked),
}

/// The earlier of two times, where there may be none.
#[inline]
fn sooner(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// A job that ended at a time.
pub(crate) fn item_of((position, job): (u64, u64)) -> Item {
    Item::Single { job, position }
}

/// When a job that has ended is forgotten.
pub(crate) fn purge_at(ended: Item, settings: &Settings) -> u64 {
    let early_ms = if crate::mutant!(PurgedEarly) { 1000 } else { 0 };
    Micros(ended_at(ended)).plus_ms(settings.retention_ms - early_ms).0
}

/// When a job ended.
pub(crate) fn ended_at(ended: Item) -> u64 {
    let Item::Single { position: at, .. } = ended else { unreachable!("jobs end one by one") };
    at
}

impl PartialEq for Tracked {
    fn eq(&self, other: &Self) -> bool {
        (self.job, self.mark, self.state) == (other.job, other.mark, other.state)
    }
}

impl Eq for Tracked {}

impl State {
    /// A shard that has seen nothing, one of `shards`.
    ///
    /// # Panics
    /// When `shard` is not below `shards`.
    #[must_use]
    pub fn new(shard: ShardId, shards: u16) -> Self {
        assert!(shard.0 < shards, "shard {shard} of {shards}");
        Self {
            shard,
            shards,
            time: 0,
            next_event: 1,
            next_job: 1,
            digest: Digest::default(),
            jobs: Jobs::new(),
            tracked: TrackedJobs::new(),
            sides: Sides::new(),
            timers: Heap::new(),
            leases: Leases::new(),
            classes: Classes::new(),
            queues: Queues::new(),
            sessions: Sessions::new(),
            keys: Keys::new(),
            uniques: Uniques::new(),
            payloads: SideTable::new(),
            plans: Plans::new(),
            charges: SideTable::new(),
            limited: 0,
            openings: GenericOrdSet::new(),
            opened: Vec::new(),
            stirred: Vec::new(),
            rules: Rules::default(),
            schedules: Schedules::new(),
            ended: Fifo::default(),
            ended_before: GenericOrdSet::new(),
            held: GenericOrdSet::new(),
            ties: Ties::default(),
            operations: Operations::default(),
            error_links: SideTable::new(),
            workers: Workers::default(),
            usage: Usage::new(),
            agents: Agents::new(),
            revived: RevivedJobs::default(),
        }
    }

    /// Which shard this is.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Of how many.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The number the next event gets.
    #[must_use]
    pub fn next_event(&self) -> EventSeq {
        EventSeq(self.next_event)
    }

    /// The number the next job gets.
    #[must_use]
    pub fn next_job(&self) -> JobSeq {
        JobSeq(self.next_job)
    }

    /// Log time: that of the newest group.
    #[must_use]
    pub fn time(&self) -> Micros {
        Micros(self.time)
    }

    /// When [`crate::decide_timers`] or [`crate::decide_operations`] has something to do, exactly. An operation
    /// that runs has something to do now.
    #[must_use]
    pub fn next_timer(&self, settings: &Settings) -> Option<Micros> {
        let timer = self.timers.first().map(|timer| timer.due);
        let due = sooner(timer, self.leases.first_deadline());
        let due = sooner(due, self.first_purge(settings));
        sooner(due, self.next_rare_timer(settings)).map(Micros)
    }

    /// Of what few shards have: absorbing asks for the next timer after every group, and searching empty trees costs.
    #[inline]
    fn next_rare_timer(&self, settings: &Settings) -> Option<u64> {
        let planned = if settings.schedules_wait { None } else { self.schedules.first_due() };
        let mut due = sooner(self.ties.batches.first_purge(settings), planned);
        due = sooner(due, sooner(self.workers.first_silent(), self.rules.turns_at()));
        if !self.openings.is_empty() {
            due = sooner(due, self.openings.get_min().map(|(at, _)| *at));
        }
        if self.operations.is_running() { sooner(due, Some(self.time)) } else { due }
    }

    /// When the first ended job has been kept long enough.
    pub(crate) fn first_purge(&self, settings: &Settings) -> Option<u64> {
        let first = self.ended.front().map(|ended| purge_at(ended, settings));
        if self.ended_before.is_empty() {
            return first;
        }
        let before = self.ended_before.get_min().map(|ended| purge_at(item_of(*ended), settings));
        sooner(first, before)
    }

    /// Whether an ended job still is what it was when it was noted.
    pub(crate) fn is_ended(&self, item: Item) -> Option<u64> {
        let Item::Single { job, position: at } = item else { unreachable!("jobs end one by one") };
        let ended = |tracked: &Tracked| tracked.state.has_ended() && tracked.mark == at;
        let number = self.jobs.contains(job).then(|| self.number_of(job)).flatten()?;
        ended(self.tracked.get(number)).then_some(job)
    }

    /// Rolling hash of all events and of the state after each of what it touched. Equal on all replicas.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest.0
    }

    /// Nothing in memory refers to an event before this one. A job's payload, errors, checkpoint and progress all come
    /// after the event that made it, unless that was a schedule's, whose definition is older. These come in the order of the jobs' numbers but for
    /// those of revived jobs.
    #[must_use]
    pub fn oldest_needed_event(&self) -> EventSeq {
        let mut oldest = self.jobs.next(0, self.next_job, false);
        while let Some(job) = oldest
            && self.revived.get(job).is_some()
        {
            oldest = self.jobs.next(job + 1, self.next_job, false);
        }
        let of_jobs = oldest.map_or(self.next_event, |job| self.jobs.origin(job).event);
        let of_rules = self.rules.needed.get_min().map(|(event, _)| *event);
        let others = [self.ties.oldest_needed(), self.schedules.oldest_needed(), of_rules];
        let others = others.into_iter().chain([self.revived.oldest()]);
        EventSeq(others.flatten().fold(of_jobs, u64::min))
    }

    /// The event with a job's payload and tags: the one that made it, or that defined the schedule which did.
    #[inline]
    pub(crate) fn record_of(&self, job: u64, origin: Origin) -> u64 {
        self.schedules.definition_of(job).unwrap_or(origin.event)
    }

    /// The open session of a client, if it has one.
    #[must_use]
    pub fn session_of(&self, client: u128) -> Option<SessionId> {
        self.sessions.find_client(client).map(|at| SessionId(self.sessions.get(at).id))
    }

    /// The answer to a session's request, if that was done and the client has not confirmed the answer.
    #[must_use]
    pub fn answer_to(&self, session: SessionId, number: u64) -> Option<&Rc<Reply>> {
        self.sessions.get(self.sessions.find(session.0)?).reply(number)
    }

    /// Whether a session is open.
    #[must_use]
    pub fn has_session(&self, session: SessionId) -> bool {
        self.sessions.find(session.0).is_some()
    }

    /// Whether a queue may have a job to be fetched at `now`.
    #[must_use]
    pub fn is_fetchable(&self, queue: &str, now: Micros) -> bool {
        let Some(at) = self.queues.find(queue) else { return false };
        let queue = self.queues.get(at);
        let waits = queue.pending() > 0 && !queue.paused && !self.is_closed(at);
        let ready = |lanes: &Lanes| lanes.has_ready() || queue.tiers.iter().any(|t| !t.is_empty());
        waits
            && !self.is_over_budget(&queue.name, now)
            && queue.room(now.0, 0) > 0
            && queue.lanes.as_deref().is_none_or(ready)
    }

    /// The number of a job of this shard that is in memory.
    pub(crate) fn resolve(&self, job: JobId) -> Result<u64, Code> {
        self.resolve_special(job).map(|(seq, _)| seq)
    }

    /// The same, and what belongs to it.
    #[inline]
    pub(crate) fn resolve_special(&self, job: JobId) -> Result<(u64, Option<Special>), Code> {
        let seq = job.seq().0;
        if job.shard() != self.shard {
            return Err(Code::NotFound);
        }
        let (origin, handle) = self.jobs.look_up(seq).ok_or(Code::NotFound)?;
        // An id with another creation time was never given out.
        let real = origin.created_ms == job.created_ms();
        real.then_some((seq, handle.map(Handle::special))).ok_or(Code::NotFound)
    }

    /// How a job in memory stands.
    #[inline]
    pub(crate) fn standing(&self, job: u64) -> Standing<'_> {
        self.standing_of(self.jobs.handle(job).map(Handle::special))
    }

    #[inline]
    pub(crate) fn standing_of(&self, special: Option<Special>) -> Standing<'_> {
        match special {
            None => Standing::Fresh,
            Some(Special::Sleeper(at)) => Standing::Sleeping(self.timers.at(at).due),
            Some(Special::Struct(number)) => Standing::Tracked(self.tracked.get(number)),
        }
    }

    pub(crate) fn job_state(&self, job: u64) -> JobState {
        self.state_of(self.jobs.handle(job).map(Handle::special))
    }

    pub(crate) fn state_of(&self, special: Option<Special>) -> JobState {
        match self.standing_of(special) {
            Standing::Fresh => JobState::Pending,
            Standing::Sleeping(_) => JobState::Scheduled,
            Standing::Tracked(tracked) => tracked.state,
        }
    }

    pub(crate) fn class_of(&self, job: u64) -> ClassId {
        match self.jobs.handle(job).map(Handle::special) {
            Some(Special::Struct(number)) => self.tracked.get(number).class,
            _ => self.jobs.origin(job).class,
        }
    }

    pub(crate) fn queue_of(&self, job: u64) -> u32 {
        self.classes.get(self.class_of(job)).queue
    }

    /// When a job dies unless finished, in microseconds; `None` is never.
    #[inline]
    pub(crate) fn expire_at(&self, origin: Origin) -> Option<u64> {
        let after_ms = self.classes.get(origin.class).class.expire_after_ms;
        (after_ms > 0).then(|| Micros(origin.created_ms * 1000).plus_ms(after_ms).0)
    }

    /// The same of a job, which may have come from another shard with less time left, or been revived.
    #[inline]
    pub(crate) fn expiry_of(&self, job: u64, origin: Origin) -> Option<u64> {
        let own = self.expire_at(origin)?;
        let revived = || self.revived.get(job).map(|revival| revival.expires);
        Some(self.ties.kin.expires(job).or_else(revived).unwrap_or(own))
    }

    pub(crate) fn is_expired(&self, job: u64, now: u64) -> bool {
        self.expiry_of(job, self.jobs.origin(job)).is_some_and(|at| at <= now)
    }

    /// The first job of an item, from its `from`th on, that really waits in it.
    #[inline]
    pub(crate) fn next_waiting(&self, item: Item, from: u64) -> Option<u64> {
        match item {
            Item::Run { first, count } => {
                self.jobs.next(first + from, first + count, true).map(|job| job - first)
            }
            Item::Single { job, position } => {
                let waits = from == 0
                    && self.jobs.contains(job)
                    && matches!(self.standing(job), Standing::Tracked(t)
                        if t.state == JobState::Pending && t.mark == position);
                waits.then_some(0)
            }
        }
    }

    /// The first job at or after `from` and before `end` whose expiry its class watches.
    pub(crate) fn next_expiring(&self, from: u64, end: u64) -> Option<u64> {
        let mut from = from;
        loop {
            let job = self.jobs.next(from, end, false)?;
            match self.jobs.handle(job).map(Handle::special) {
                None | Some(Special::Sleeper(_)) => return Some(job),
                Some(Special::Struct(_)) => from = job + 1,
            }
        }
    }
}
