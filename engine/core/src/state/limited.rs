//! What limits a queue beside its waiting jobs: how many are active, how many were given out of late, and the same
//! for each limit key, in its lanes.

use std::rc::Rc;

use jobbie_proto::event::{QueueSettings, Sharing};
use jobbie_proto::reply::JobState;

use super::State;
use crate::class::ClassId;
use crate::jobs::{Handle, Special};
use crate::lanes::settings::Key;
use crate::lanes::window::RateWindow;
use crate::lanes::{Lanes, Waiting};

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

impl State {
    /// Whether a job waits where `waiting` says.
    pub(crate) fn waits_at(&self, waiting: Waiting) -> bool {
        let Waiting { job, position } = waiting;
        match self.jobs.look_up(job) {
            None => false,
            Some((_, None)) => true,
            Some((_, Some(handle))) => match Handle::special(handle) {
                Special::Sleeper(_) => false,
                Special::Struct(number) => {
                    let tracked = self.tracked.get(number);
                    tracked.state == JobState::Pending && tracked.mark == position
                }
            },
        }
    }

    /// Changes the lanes of a queue that has some, and takes note of what that opened.
    fn with_lanes<T>(&mut self, queue: u32, work: impl FnOnce(&mut Lanes, &Self) -> T) -> T {
        let taken = self.queues.get_mut(queue).lanes.take();
        let mut lanes = taken.expect("the queue has lanes");
        let done = work(&mut lanes, self);
        lanes.sweep(self.time, SWEPT_LANES);
        self.queues.get_mut(queue).lanes = Some(lanes);
        self.note_opening(queue);
        done
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
        let entry = self.classes.get(class);
        let (queue, tier, key) = (entry.queue, entry.class.priority, Rc::clone(&entry.limit_key));
        let weight = self.queues.get(queue).key(&key).weight;
        let key = Key { name: &key, weight };
        self.with_lanes(queue, |lanes, state| lanes.push(state.time, key, tier, waiting));
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
        let at = entry.queue;
        if self.queues.get(at).opening > 0 {
            self.note_opening(at);
        }
        if self.has_lanes(at) {
            self.trim_lane(class);
        }
    }

    /// A job of a class has left the lane it may have waited in.
    fn trim_lane(&mut self, class: ClassId) {
        let entry = self.classes.get(class);
        let (queue, tier, key) = (entry.queue, entry.class.priority, Rc::clone(&entry.limit_key));
        self.with_lanes(queue, |lanes, state| {
            if let Some(lane) = lanes.find(&key) {
                lanes.trim(state.time, lane, tier, |waiting| state.waits_at(waiting));
            }
        });
    }

    /// A job of a limited queue was given out.
    pub(crate) fn count_lease(&mut self, class: ClassId, job: u64) {
        let entry = self.classes.get(class);
        let (at, tier, key) = (entry.queue, entry.class.priority, Rc::clone(&entry.limit_key));
        let (now, queue) = (self.time, self.queues.get_mut(at));
        if let Some(rate) = queue.rate() {
            queue.window.forget(now, rate.window_us);
            queue.window.claim(now, 1);
        }
        if queue.lanes.is_none() {
            return self.note_opening(at);
        }
        let key = Key { name: &key, weight: queue.key(&key).weight };
        let charged = self.with_lanes(at, |lanes, state| match lanes.find(key.name) {
            Some(lane) => lanes.lease(now, lane, tier, |waiting| state.waits_at(waiting)),
            None => {
                lanes.adopt(now, key);
                0
            }
        });
        // What a job costs is known later only where it is time.
        if charged > 0 && self.queues.get(at).settings.fair == Sharing::WorkerTime {
            self.charges.insert(job, Charge { charged, since: now });
        }
    }

    /// A job of a limited queue is active there without having been given out: it was moved.
    pub(crate) fn count_adopted(&mut self, class: ClassId) {
        let entry = self.classes.get(class);
        let (at, key) = (entry.queue, Rc::clone(&entry.limit_key));
        if self.has_lanes(at) {
            let key = Key { name: &key, weight: self.queues.get(at).key(&key).weight };
            self.with_lanes(at, |lanes, state| lanes.adopt(state.time, key));
        }
    }

    /// A job of a limited queue is no longer active there.
    pub(crate) fn count_end(&mut self, class: ClassId, job: u64) {
        let entry = self.classes.get(class);
        let (at, key) = (entry.queue, Rc::clone(&entry.limit_key));
        let charge = self.charges.remove(job);
        let mut opened = self.queues.get(at).settings.concurrency > 0;
        if self.has_lanes(at) {
            opened |= self.with_lanes(at, |lanes, state| {
                let lane = lanes.find(&key).expect("a lane with an active job is kept");
                if let Some(Charge { charged, since }) = charge {
                    lanes.settle(state.time, lane, charged, state.time - since);
                }
                lanes.end(state.time, lane)
            });
        }
        if opened {
            self.opened.push(at);
        }
    }

    pub(crate) fn configure(&mut self, at: u32, settings: QueueSettings) {
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
            self.with_lanes(at, |lanes, state| lanes.set_limits(state.time, limits));
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
            self.with_lanes(at, |lanes, _| lanes.set_weight(Key { name: key, weight }));
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
            self.with_lanes(at, |lanes, state| lanes.open(state.time, OPENED_LANES));
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
