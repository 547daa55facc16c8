//! What limits a queue beside its waiting jobs: how many are active, how many were given out of late, and the same
//! for each limit key, in its lanes.

use std::rc::Rc;

use jobbie_proto::event::{QueueSettings, Sharing};
use jobbie_proto::reply::JobState;

use super::State;
use crate::class::{ClassEntry, ClassId};
use crate::jobs::{Handle, Jobs, Special};
use crate::lanes::settings::Key;
use crate::lanes::window::RateWindow;
use crate::lanes::{LaneId, Lanes, Waiting};
use crate::tracked::TrackedJobs;

/// Lanes that are forgotten with every change of a queue.
const SWEPT_LANES: usize = 4;
/// Lanes that one event opens.
const OPENED_LANES: usize = 1000;

/// What an active job was charged, and since when it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(crate) charged: u64,
    pub(crate) since: u64,
}

/// Whether a job waits where `waiting` says.
fn waits_at(jobs: &Jobs, tracked: &TrackedJobs, waiting: Waiting) -> bool {
    let Waiting { job, position } = waiting;
    match jobs.find_handle(job) {
        None => false,
        Some(None) => true,
        Some(Some(handle)) => match Handle::special(handle) {
            Special::Sleeper(_) => false,
            Special::Struct(number) => {
                let tracked = tracked.get(number);
                tracked.state == JobState::Pending && tracked.mark == position
            }
        },
    }
}

/// A queue whose limits the group that is absorbed has changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stirred {
    queue: u32,
    /// How many times; its lanes are swept in proportion.
    changes: usize,
    /// Jobs given out, which its window does not know yet.
    claims: u32,
}

impl State {
    /// Whether a job waits where `waiting` says.
    pub(crate) fn waits_at(&self, waiting: Waiting) -> bool {
        waits_at(&self.jobs, &self.tracked, waiting)
    }

    /// What limits a queue has changed.
    #[inline]
    fn stir(&mut self, queue: u32) -> &mut Stirred {
        if self.stirred.last().is_none_or(|last| last.queue != queue) {
            self.stirred.push(Stirred { queue, changes: 0, claims: 0 });
        }
        let stirred = self.stirred.last_mut().expect("just pushed");
        stirred.changes += 1;
        stirred
    }

    /// What follows from all changes of a group together: windows know what was given out, lanes on which nothing
    /// depends are forgotten, and queues stand where their windows open.
    #[inline]
    pub(crate) fn settle_limits(&mut self) {
        if !self.stirred.is_empty() {
            self.settle_stirred();
        }
    }

    fn settle_stirred(&mut self) {
        while let Some(Stirred { queue: at, changes, claims }) = self.stirred.pop() {
            let (now, queue) = (self.time, self.queues.get_mut(at));
            if let Some(rate) = queue.rate().filter(|_| claims > 0) {
                queue.window.forget(now, rate.window_us);
                queue.window.claim(now, claims);
            }
            if let Some(lanes) = &mut queue.lanes {
                lanes.sweep(now, SWEPT_LANES * changes);
            }
            self.note_opening(at);
        }
    }

    /// The lane of a class of a queue that has lanes, if its key has one.
    pub(crate) fn find_lane(&self, class: ClassId, lanes: &Lanes) -> Option<LaneId> {
        let ClassEntry { lane, limit_key, .. } = self.classes.get(class);
        if lanes.is_of(*lane, limit_key) { Some(*lane) } else { lanes.find(limit_key) }
    }

    /// The same, to be found faster the next time.
    fn lane_of(&mut self, class: ClassId) -> Option<LaneId> {
        let ClassEntry { lane, limit_key, queue, .. } = self.classes.get(class);
        let lanes = self.queues.get(*queue).lanes.as_ref()?;
        if lanes.is_of(*lane, limit_key) {
            return Some(*lane);
        }
        let found = lanes.find(limit_key)?;
        let key = lanes.key_of(found);
        let entry = self.classes.get_mut(class);
        (entry.lane, entry.limit_key) = (found, key);
        Some(found)
    }

    /// The lanes of a queue that has some, to be changed.
    pub(super) fn lanes_mut(&mut self, at: u32) -> &mut Lanes {
        self.stir(at);
        self.queues.get_mut(at).lanes.as_mut().expect("the queue has lanes")
    }

    pub(crate) fn has_lanes(&self, queue: u32) -> bool {
        self.queues.get(queue).lanes.is_some()
    }

    /// The first job with a limit key came. Those that are active count as without.
    pub(crate) fn ensure_lanes(&mut self, queue: u32) {
        let entry = self.queues.get(queue);
        if entry.lanes.is_some() {
            return;
        }
        let mut lanes = Lanes::new(entry.lane_limits());
        for _ in 0..entry.jobs[JobState::Active as usize] {
            lanes.adopt(self.time, Key { name: "", weight: 1 });
        }
        let was = entry.is_limited();
        self.queues.get_mut(queue).lanes = Some(Box::new(lanes));
        self.recount_limited(was, queue);
    }

    /// Gives a queue its lanes back, with what limits it.
    pub(crate) fn restore_limits(&mut self, at: u32, lanes: Option<Lanes>) {
        if let Some(lanes) = lanes {
            self.queues.get_mut(at).lanes = Some(Box::new(lanes));
        }
        if self.queues.get(at).is_limited() {
            self.limited += 1;
            self.note_opening(at);
        }
    }

    /// A job waits in its lane from now on.
    pub(crate) fn wait_in_lane(&mut self, class: ClassId, waiting: Waiting) {
        let (known, now) = (self.lane_of(class), self.time);
        let entry = self.classes.get(class);
        let (at, tier) = (entry.queue, entry.class.priority);
        if let Some(lane) = known {
            return self.lanes_mut(at).push_to(now, lane, tier, waiting);
        }
        let key = Rc::clone(&entry.limit_key);
        let key = self.queues.get(at).key(&key);
        self.lanes_mut(at).push(now, key, tier, waiting);
    }

    /// Whether anything but its waiting jobs limits the queue of a class.
    #[inline]
    pub(crate) fn is_limited(&self, class: ClassId) -> bool {
        self.limited > 0 && self.queues.get(self.classes.get(class).queue).is_limited()
    }

    /// A queue has become limited, or is no longer.
    fn recount_limited(&mut self, was: bool, at: u32) {
        let is = self.queues.get(at).is_limited();
        self.limited = self.limited + usize::from(is) - usize::from(was);
    }

    /// A job of a class no longer waits.
    pub(crate) fn trim_limited(&mut self, class: ClassId) {
        let entry = self.classes.get(class);
        let (at, tier) = (entry.queue, entry.class.priority);
        if self.queues.get(at).opening > 0 {
            self.stir(at);
        }
        if let Some(lane) = self.lane_of(class) {
            self.stir(at);
            let Self { queues, jobs, tracked, time, .. } = self;
            let lanes = queues.get_mut(at).lanes.as_mut().expect("it has this lane");
            lanes.trim(*time, lane, tier, |waiting| waits_at(jobs, tracked, waiting));
        }
    }

    /// A job of a limited queue was given out.
    pub(crate) fn count_lease(&mut self, class: ClassId, job: u64) {
        let known = self.lane_of(class);
        let entry = self.classes.get(class);
        let (at, tier) = (entry.queue, entry.class.priority);
        self.stir(at).claims += 1;
        let Self { classes, queues, jobs, tracked, .. } = self;
        let (now, queue) = (self.time, queues.get_mut(at));
        let Some(lanes) = &mut queue.lanes else { return };
        let Some(lane) = known else {
            let key = Rc::clone(&classes.get(class).limit_key);
            let key = queue.key(&key);
            queue.lanes.as_mut().expect("just seen").adopt(now, key);
            return;
        };
        let charged = lanes.lease(now, lane, tier, |waiting| {
            waiting.job != job && waits_at(jobs, tracked, waiting)
        });
        // What a job costs is known later only where it is time.
        if charged > 0 && queue.settings.fair == Sharing::WorkerTime {
            self.charges.insert(job, Charge { charged, since: now });
        }
    }

    /// A job of a limited queue is active there without having been given out: it was moved.
    pub(crate) fn count_adopted(&mut self, class: ClassId) {
        let entry = self.classes.get(class);
        let (at, key) = (entry.queue, Rc::clone(&entry.limit_key));
        if self.has_lanes(at) {
            let (key, now) = (self.queues.get(at).key(&key), self.time);
            self.lanes_mut(at).adopt(now, key);
        }
    }

    /// A job of a limited queue is no longer active there.
    pub(crate) fn count_end(&mut self, class: ClassId, job: u64) {
        let (at, now) = (self.classes.get(class).queue, self.time);
        let charge = self.charges.remove(job);
        let mut opened = self.queues.get(at).settings.concurrency > 0;
        if self.has_lanes(at) {
            let lane = self.lane_of(class).expect("a lane with an active job is kept");
            let lanes = self.lanes_mut(at);
            if let Some(Charge { charged, since }) = charge {
                lanes.settle(now, lane, charged, now - since);
            }
            opened |= lanes.end(now, lane);
        }
        if opened && self.opened.last() != Some(&at) {
            self.opened.push(at);
        }
    }

    pub(crate) fn configure(&mut self, at: u32, settings: QueueSettings) {
        self.settle_limits();
        let (now, was) = (self.time, self.queues.get(at).is_limited());
        let queue = self.queues.get_mut(at);
        // What has left the old window does not come back into a longer one.
        if let Some(rate) = queue.rate() {
            queue.window.forget(now, rate.window_us);
        }
        queue.settings = settings;
        match queue.rate() {
            None => queue.window = RateWindow::default(),
            Some(rate) => queue.window.forget(now, rate.window_us),
        }
        let limits = queue.lane_limits();
        if self.has_lanes(at) {
            self.lanes_mut(at).set_limits(now, limits);
        }
        self.recount_limited(was, at);
        self.note_opening(at);
        self.opened.push(at);
    }

    pub(crate) fn weigh(&mut self, at: u32, key: &str, weight: u16) {
        let weights = &mut self.queues.get_mut(at).weights;
        if weight == 1 {
            weights.remove(key);
        } else {
            weights.insert(key.into(), weight);
        }
        if self.has_lanes(at) {
            self.lanes_mut(at).set_weight(Key { name: key, weight });
        }
    }

    /// Windows of a queue have room again.
    pub(crate) fn open_limits(&mut self, at: u32) {
        let now = self.time;
        let queue = self.queues.get_mut(at);
        if let Some(rate) = queue.rate() {
            queue.window.forget(now, rate.window_us);
        }
        if self.has_lanes(at) {
            self.lanes_mut(at).open(now, OPENED_LANES);
        }
        self.note_opening(at);
        self.opened.push(at);
    }

    /// Keeps the time at which a window of the queue opens next where timers look for it.
    pub(crate) fn note_opening(&mut self, at: u32) {
        let queue = self.queues.get(at);
        let (opening, before) = (queue.opens_at(), queue.opening);
        if opening == before {
            return;
        }
        self.queues.get_mut(at).opening = opening;
        if before > 0 {
            self.openings.remove(&(before, at));
        }
        if opening > 0 {
            self.openings.insert((opening, at));
        }
    }

    /// Queues that may hand out jobs again since the last group was absorbed: whoever waits for them should look.
    pub fn drain_opened(&mut self) -> Vec<Rc<str>> {
        let opened = std::mem::take(&mut self.opened);
        opened.into_iter().map(|at| Rc::clone(&self.queues.get(at).name)).collect()
    }
}
