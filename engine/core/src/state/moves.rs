//! The moves: a job is *detached* from whatever holds it (its queue, its timer, its session's
//! leases, the counts), and then either put somewhere else or forgotten.

use jobbie_proto::EventSeq;
use jobbie_proto::event::{Class, HoldEnd};
use jobbie_proto::limits::ERROR_LINKS_MAX;
use jobbie_proto::reply::JobState;

use super::{CLASS_TIMER, Owners, State, ended_at, item_of};
use crate::class::{ClassId, hash_of};
use crate::fifo::Item;
use crate::heap::Timer;
use crate::jobs::{Handle, Origin, Special};
use crate::lanes::Waiting;
use crate::slab::NONE;
use crate::tracked::{Side, Tracked};

/// A job that is in no queue, under no timer and in no count.
#[derive(Clone, Copy)]
pub(crate) struct Detached {
    pub(crate) job: u64,
    /// Where it was.
    pub(crate) class: ClassId,
    /// Where it goes.
    to: ClassId,
    /// Its struct; [`NONE`] when it never had one.
    number: u32,
    /// Where it still counts.
    was: Option<JobState>,
}

impl Detached {
    /// It goes on in another class, of another queue or tier.
    pub(crate) fn into_class(self, to: ClassId) -> Self {
        Self { to, ..self }
    }
}

impl State {
    fn timer_insert(&mut self, due: u64, key: u64) {
        let mut owners =
            Owners { jobs: &mut self.jobs, tracked: &mut self.tracked, classes: &mut self.classes };
        self.timers.insert(Timer { due, key }, &mut owners);
    }

    fn timer_remove(&mut self, at: u32) {
        let mut owners =
            Owners { jobs: &mut self.jobs, tracked: &mut self.tracked, classes: &mut self.classes };
        self.timers.remove(at, &mut owners);
    }

    pub(crate) fn timer_change(&mut self, at: u32, due: u64) {
        let mut owners =
            Owners { jobs: &mut self.jobs, tracked: &mut self.tracked, classes: &mut self.classes };
        self.timers.change(at, due, &mut owners);
    }

    fn count(&mut self, class: ClassId, state: JobState, add: i64) {
        let queue = self.classes.get(class).queue;
        let count = &mut self.queues.get_mut(queue).jobs[state as usize];
        *count = count.checked_add_signed(add).expect("a queue's count fell below 0");
    }

    /// The class with this content, made if needed.
    pub(crate) fn intern(&mut self, class: &Class, limit_key: &str) -> ClassId {
        let hash = hash_of(class, limit_key);
        if let Some(id) = self.classes.find(class, limit_key, hash) {
            self.classes.revive(id);
            self.queues.show(self.classes.get(id).queue);
            return id;
        }
        let queue = self.queues.find_or_insert(&class.queue);
        self.classes.insert(class, limit_key, hash, queue)
    }

    /// New jobs, untouched, in memory but not yet waiting anywhere.
    pub(crate) fn create(&mut self, first: u64, count: u64, origin: Origin) {
        self.jobs.add(first, count, origin);
        let entry = self.classes.get_mut(origin.class);
        entry.live += count;
        let queue = entry.queue;
        let expires = entry.class.expire_after_ms > 0;
        if expires {
            let idle = entry.expiring.is_empty();
            entry.expiring.push_run(first, count);
            if idle {
                let due = self.expire_at(origin).expect("its class expires");
                self.timer_insert(due, CLASS_TIMER | u64::from(origin.class.0));
            }
        }
        let queue = self.queues.get_mut(queue);
        queue.enqueued_total += count;
        queue.expiring += if expires { count } else { 0 };
    }

    /// A job that had left memory is in it again, but not yet waiting anywhere. Its expiry is watched by a timer of its own.
    pub(crate) fn recreate(&mut self, job: u64, origin: Origin) {
        self.jobs.put_back(job, origin);
        let entry = self.classes.get_mut(origin.class);
        entry.live += 1;
        let expires = entry.class.expire_after_ms > 0;
        let queue = entry.queue;
        self.queues.get_mut(queue).expiring += u64::from(expires);
    }

    /// Untouched jobs wait from now on, put there by consecutive events from `position` on.
    pub(crate) fn wait_fresh(&mut self, first: u64, count: u64, class: ClassId, position: u64) {
        let entry = self.classes.get(class);
        let tier = usize::from(entry.class.priority);
        let at = entry.queue;
        let queue = self.queues.get_mut(at);
        queue.jobs[JobState::Pending as usize] += count;
        if queue.lanes.is_none() {
            queue.tiers[tier].push_run(first, count);
            if queue.settings.rate > 0 {
                self.note_opening(at);
            }
            return;
        }
        for nth in 0..count {
            let waiting = Waiting { job: first + nth, position: position + nth };
            self.wait_in_lane(class, waiting);
        }
    }

    /// An untouched job waits for its time.
    pub(crate) fn sleep(&mut self, job: u64, class: ClassId, due: u64) {
        self.jobs.set_handle(job, Handle::of_sleeper(0));
        self.timer_insert(due, job);
        self.count(class, JobState::Scheduled, 1);
    }

    /// A sleeping job wakes: it is fresh again, and waits.
    pub(crate) fn wake(&mut self, job: u64, class: ClassId, event: u64) {
        let Some(Special::Sleeper(at)) = self.jobs.handle(job).map(Handle::special) else {
            unreachable!("the job does not sleep");
        };
        self.jobs.clear_handle(job);
        self.timer_remove(at);
        self.count(class, JobState::Scheduled, -1);
        self.wait_fresh(job, 1, class, event);
    }

    /// Takes a job in memory away from whatever holds it. What follows must be
    /// [`State::track`] or [`State::forget`].
    pub(crate) fn detach(&mut self, job: u64) -> Detached {
        match self.jobs.handle(job).map(Handle::special) {
            None => self.detach_waiting(job, self.jobs.origin(job).class),
            Some(Special::Sleeper(at)) => {
                let class = self.jobs.origin(job).class;
                self.jobs.clear_handle(job);
                self.timer_remove(at);
                Detached { job, class, to: class, number: NONE, was: Some(JobState::Scheduled) }
            }
            Some(Special::Struct(number)) => self.detach_struct(number),
        }
    }

    /// [`State::detach`] of an untouched job that waits.
    pub(crate) fn detach_waiting(&self, job: u64, class: ClassId) -> Detached {
        Detached { job, class, to: class, number: NONE, was: Some(JobState::Pending) }
    }

    /// [`State::detach`] of a job with a struct.
    pub(crate) fn detach_struct(&mut self, number: u32) -> Detached {
        let tracked = self.tracked.get_mut(number);
        let (job, class, was) = (tracked.job, tracked.class, tracked.state);
        let timer = std::mem::replace(&mut tracked.timer, NONE);
        if was == JobState::Active {
            self.end_lease(timer);
            if self.is_limited(class) {
                self.count_end(class, job);
            }
        } else {
            if timer != NONE {
                self.timer_remove(timer);
            }
            if was == JobState::Held {
                self.held.remove(&job);
            }
        }
        Detached { job, class, to: class, number, was: Some(was) }
    }

    /// A job that was created and waits nowhere yet.
    pub(crate) fn detach_fresh(&self, job: u64) -> Detached {
        let class = self.jobs.origin(job).class;
        Detached { job, class, to: class, number: NONE, was: None }
    }

    /// The job stays in memory with a struct, which is given a new state.
    pub(crate) fn track(&mut self, detached: Detached, state: JobState, mark: u64) -> u32 {
        let number = self.track_untrimmed(detached, state, mark);
        self.trim_after(detached);
        number
    }

    /// The same, but whoever calls it trims the queue, when many jobs have left it.
    pub(crate) fn track_untrimmed(
        &mut self,
        detached: Detached,
        state: JobState,
        mark: u64,
    ) -> u32 {
        let Detached { job, class, to, mut number, .. } = detached;
        if number == NONE {
            number = self.tracked.insert(Tracked::new(job, class));
            self.jobs.set_handle(job, Handle::of_struct(number));
        }
        if to != class {
            self.change_class(number, to);
        }
        let tracked = self.tracked.get_mut(number);
        tracked.state = state;
        tracked.mark = mark;
        tracked.then = HoldEnd::Stay;
        self.recount(detached, Some(state));
        if state == JobState::Held {
            self.held.insert(job);
        }
        if state.has_ended() {
            if mark < self.time {
                self.ended_before.insert((mark, job));
            } else {
                self.ended.push(Item::Single { job, position: mark });
            }
            if !crate::mutant!(UniqueKeptByTheDead) {
                self.release_unique(job);
            }
        }
        number
    }

    /// A class has jobs while it is that of a job's origin, or of its struct when that is another.
    fn change_class(&mut self, number: u32, to: ClassId) {
        let tracked = self.tracked.get_mut(number);
        let (job, from) = (tracked.job, std::mem::replace(&mut tracked.class, to));
        let origin = self.jobs.origin(job).class;
        self.tracked.get_mut(number).moved = to != origin;
        if to != origin {
            self.classes.get_mut(to).live += 1;
        }
        if from != origin {
            self.leave_class(from);
        }
        if self.classes.get(to).class.expire_after_ms > 0 {
            let (from, to) = (self.classes.get(from).queue, self.classes.get(to).queue);
            self.queues.get_mut(from).expiring -= 1;
            self.queues.get_mut(to).expiring += 1;
        }
    }

    fn leave_class(&mut self, class: ClassId) {
        let entry = self.classes.get_mut(class);
        entry.live -= 1;
        if entry.live == 0 {
            self.classes.retire(class);
        }
    }

    /// The job goes on in another class, in the state it is in; if it waits, at the back of its tier.
    pub(crate) fn reclass(&mut self, job: u64, to: ClassId, event: u64) -> u32 {
        if self.job_state(job) == JobState::Pending {
            let detached = self.detach(job).into_class(to);
            return self.step_back(detached, event);
        }
        let number = self.track_sleeper(job);
        let tracked = self.tracked.get(number);
        let (from, state) = (tracked.class, tracked.state);
        if state == JobState::Active && self.limited > 0 {
            self.count_end(from, job);
            self.count_adopted(to);
        }
        self.count(from, state, -1);
        self.count(to, state, 1);
        if from != to {
            self.change_class(number, to);
        }
        number
    }

    /// The struct of a job that is not pending; one that sleeps gets it.
    fn track_sleeper(&mut self, job: u64) -> u32 {
        let special = self.jobs.handle(job).map(Handle::special);
        match special.expect("only pending jobs have neither struct nor timer") {
            Special::Struct(number) => number,
            Special::Sleeper(at) => {
                let due = self.timers.at(at).due;
                let detached = self.detach(job);
                let number = self.track(detached, JobState::Scheduled, due);
                self.set_expiry_timer(number, Some(due));
                number
            }
        }
    }

    /// Puts ended jobs, in whatever order they are, into that of time.
    pub(crate) fn sort_ended(&mut self) {
        let ended = std::mem::take(&mut self.ended);
        let before = std::mem::take(&mut self.ended_before);
        let mut items: Vec<_> = ended.iter().chain(before.iter().copied().map(item_of)).collect();
        items.sort_by_key(|item| ended_at(*item));
        items.into_iter().for_each(|item| self.ended.push(item));
    }

    /// The first ended job is one that still is.
    pub(crate) fn trim_ended(&mut self) {
        while let Some(front) = self.ended.front()
            && self.is_ended(front).is_none()
        {
            self.ended.drop_front(1);
        }
        while let Some(front) = self.ended_before.get_min().copied()
            && self.is_ended(item_of(front)).is_none()
        {
            self.ended_before.remove(&front);
        }
    }

    /// The job is done: it leaves memory.
    pub(crate) fn complete(&mut self, detached: Detached) {
        let queue = self.classes.get(detached.class).queue;
        self.queues.get_mut(queue).jobs[JobState::Completed as usize] += 1;
        self.forget(detached);
    }

    /// The job leaves memory.
    pub(crate) fn forget(&mut self, detached: Detached) {
        let Detached { job, class, number, .. } = detached;
        let mut origin = class;
        if number != NONE {
            let tracked = self.tracked.remove(number);
            if tracked.side != NONE {
                self.sides.remove(tracked.side);
            }
            if tracked.moved {
                origin = self.jobs.origin(job).class;
            }
        }
        if let Some(unique) = self.jobs.remove(job) {
            self.uniques.remove(unique);
        }
        self.payloads.remove(job);
        self.error_links.remove(job);
        if self.ties.is_used() {
            self.ties.forget(job);
        }
        self.plans.remove(job);
        self.schedules.forget(job);
        self.usage.forget(job);
        self.agents.remove(job);
        self.revived.forget(job);
        self.rules.forget(job);
        self.recount(detached, None);
        self.trim_after(detached);
        let entry = self.classes.get(class);
        if entry.class.expire_after_ms > 0 {
            self.queues.get_mut(entry.queue).expiring -= 1;
        }
        self.leave_class(origin);
        if class != origin {
            self.leave_class(class);
        }
    }

    /// Puts a timer on a struct that has none.
    pub(crate) fn set_timer(&mut self, number: u32, due: u64) {
        let job = self.tracked.get(number).job;
        self.timer_insert(due, job);
    }

    /// The expiry of a job with a struct is watched by its own timer.
    pub(crate) fn set_expiry_timer(&mut self, number: u32, not_after: Option<u64>) {
        let tracked = self.tracked.get(number);
        let due = match (self.own_expiry(tracked), not_after) {
            (Some(expiry), Some(step)) => expiry.min(step),
            (Some(due), None) | (None, Some(due)) => due,
            (None, None) => return,
        };
        self.set_timer(number, due);
    }

    fn own_expiry(&self, tracked: &Tracked) -> Option<u64> {
        if self.classes.get(tracked.class).class.expire_after_ms == 0 {
            return None;
        }
        self.expiry_of(tracked.job, self.jobs.origin(tracked.job))
    }

    /// The job steps back: it waits at the back of its tier.
    pub(crate) fn step_back(&mut self, detached: Detached, event: u64) -> u32 {
        let (job, class) = (detached.job, detached.to);
        let number = self.track(detached, JobState::Pending, event);
        let entry = self.classes.get(class);
        let (at, tier) = (entry.queue, usize::from(entry.class.priority));
        let queue = self.queues.get_mut(at);
        if queue.lanes.is_some() {
            self.wait_in_lane(class, Waiting { job, position: event });
        } else {
            queue.tiers[tier].push(Item::Single { job, position: event });
            if queue.settings.rate > 0 {
                self.note_opening(at);
            }
        }
        self.set_expiry_timer(number, None);
        number
    }

    pub(crate) fn side_mut(&mut self, number: u32) -> &mut Side {
        if self.tracked.get(number).side == NONE {
            let side = self.sides.insert(Side::default());
            self.tracked.get_mut(number).side = side;
        }
        self.sides.get_mut(self.tracked.get(number).side)
    }

    /// The newest error of a job is that of an event which does not name the one before it.
    pub(crate) fn link_error(&mut self, job: u64, number: u32, event: u64) {
        let previous = std::mem::replace(&mut self.side_mut(number).error, EventSeq(event)).0;
        if previous == 0 || crate::mutant!(OlderErrorsForgotten) {
            return;
        }
        let links = self.error_links.get(job).cloned().unwrap_or_default();
        let skipped = (links.len() + 1).saturating_sub(ERROR_LINKS_MAX);
        let kept = links.iter().skip(skipped).copied();
        self.error_links.insert(job, kept.chain([(event, previous)]).collect());
    }

    /// Where the rare things of a job are, also what an agent job was enqueued with.
    pub(crate) fn side(&self, tracked: &Tracked) -> Side {
        let mut side = self.own_side(tracked);
        if side.checkpoint.0 == 0 {
            side.checkpoint = self.first_checkpoint(tracked.job);
        }
        side
    }

    /// What came after a job was enqueued.
    pub(crate) fn own_side(&self, tracked: &Tracked) -> Side {
        if tracked.side == NONE { Side::default() } else { *self.sides.get(tracked.side) }
    }

    /// The event with the checkpoint that an agent job was enqueued with; 0 is none.
    pub(crate) fn first_checkpoint(&self, job: u64) -> EventSeq {
        self.agents.get(job).map_or(EventSeq(0), |agent| agent.first_checkpoint())
    }

    /// An active job has a lease, which no session holds yet.
    pub(crate) fn begin_lease(&mut self, number: u32, deadline: u64, lease_ms: u32) -> u32 {
        let tracked = self.tracked.get_mut(number);
        let lease = self.leases.insert(number, tracked.mark, deadline, lease_ms);
        tracked.timer = lease;
        lease
    }

    /// Appends a lease to those of a session. Tokens rise, so the list stays in their order.
    pub(crate) fn hold(&mut self, lease: u32, session: u32) {
        let owner = self.sessions.get_mut(session);
        let last = std::mem::replace(&mut owner.last, lease);
        owner.leases += 1;
        if last == NONE {
            owner.first = lease;
        } else {
            self.leases.get_mut(last).next_held = lease;
        }
        let lease = self.leases.get_mut(lease);
        (lease.session, lease.previous_held, lease.next_held) = (session, last, NONE);
    }

    fn end_lease(&mut self, lease: u32) {
        let lease = self.leases.remove(lease);
        let (previous, next) = (lease.previous_held, lease.next_held);
        let owner = self.sessions.get_mut(lease.session);
        owner.leases -= 1;
        if previous == NONE {
            owner.first = next;
        } else {
            self.leases.get_mut(previous).next_held = next;
        }
        if next == NONE {
            owner.last = previous;
        } else {
            self.leases.get_mut(next).previous_held = previous;
        }
    }

    /// Moves a job's count.
    #[inline]
    fn recount(&mut self, detached: Detached, now: Option<JobState>) {
        let queue = self.classes.get(detached.class).queue;
        let mut counts = &mut self.queues.get_mut(queue).jobs;
        if let Some(was) = detached.was {
            let count = &mut counts[was as usize];
            *count = count.checked_sub(1).expect("a queue's count fell below 0");
        }
        if detached.to != detached.class {
            counts = &mut self.queues.get_mut(self.classes.get(detached.to).queue).jobs;
        }
        if let Some(now) = now {
            counts[now as usize] += 1;
        }
        // What the event says is the same on every replica; what came of it is what may differ.
        let after = now.or(detached.was).map_or(0, |state| counts[state as usize]);
        let state = now.map_or(u64::MAX, |state| state as u64);
        self.digest.mix(detached.job ^ state << 56);
        self.digest.mix(after);
    }

    /// If the job waited at a front, the front moves on.
    fn trim_after(&mut self, detached: Detached) {
        if detached.was != Some(JobState::Pending) && detached.number != NONE {
            return;
        }
        let entry = self.classes.get(detached.class);
        let (queue, tier) = (entry.queue, usize::from(entry.class.priority));
        let front = match self.queues.get(queue).tiers[tier].front() {
            Some(Item::Run { first, .. }) => Some(first),
            Some(Item::Single { job, .. }) => Some(job),
            None => None,
        };
        if front == Some(detached.job) {
            self.trim_queue(queue, tier);
        }
        if self.limited > 0 {
            self.trim_limited(detached.class);
        }
        if detached.number == NONE {
            self.trim_expiring(detached.class);
        }
    }

    /// Fronts move on to who still waits, where these jobs did.
    pub(crate) fn trim(&mut self, class: ClassId) {
        let entry = self.classes.get(class);
        self.trim_queue(entry.queue, usize::from(entry.class.priority));
        self.trim_expiring(class);
    }

    fn trim_queue(&mut self, queue: u32, tier: usize) {
        while let Some(front) = self.queues.get(queue).tiers[tier].front() {
            let gone = match self.next_waiting(front, 0) {
                Some(0) => return,
                Some(gone) => gone,
                None => u64::MAX,
            };
            self.queues.get_mut(queue).tiers[tier].drop_front(gone);
        }
    }

    fn trim_expiring(&mut self, class: ClassId) {
        let mut moved = false;
        while let Some(Item::Run { first, count }) = self.classes.get(class).expiring.front() {
            let gone = match self.next_expiring(first, first + count) {
                Some(job) if job == first => break,
                Some(job) => job - first,
                None => u64::MAX,
            };
            self.classes.get_mut(class).expiring.drop_front(gone);
            moved = true;
        }
        if !moved {
            return;
        }
        let entry = self.classes.get_mut(class);
        let timer = entry.timer;
        match entry.expiring.front() {
            Some(Item::Run { first, .. }) => {
                let due = self.expire_at(self.jobs.origin(first)).expect("its class expires");
                self.timer_change(timer, due);
            }
            Some(Item::Single { .. }) => unreachable!("only runs are watched"),
            None => {
                entry.timer = NONE;
                self.timer_remove(timer);
            }
        }
    }
}
