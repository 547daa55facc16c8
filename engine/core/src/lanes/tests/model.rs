//! Random histories, against the naive model at every step.

use super::naive::Naive;
use super::{Random, Waiting};
use crate::lanes::fair::Cost;
use crate::lanes::plan::{Ask, Candidate};
use crate::lanes::settings::{Key, Limits};
use crate::lanes::{LaneId, Lanes};

pub(super) const KEYS: [&str; 7] = ["", "a", "b", "c", "d", "e", "f"];

/// Where a job is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    Waits { position: u64, expires: u64, key: usize, tier: u8 },
    Active { key: usize, charged: u64 },
    Gone,
}

pub(super) struct World {
    random: Random,
    naive: Naive,
    pub(super) lanes: Lanes,
    pub(super) places: Vec<Place>,
    steps: u64,
    active: Vec<u64>,
    event: u64,
    now: u64,
    weights: [u16; KEYS.len()],
    sweeps: bool,
    served: u64,
    killed: u64,
    limited: [u64; 2],
}

pub(super) fn waits(places: &[Place], waiting: Waiting) -> bool {
    let place = places[waiting.job as usize];
    matches!(place, Place::Waits { position, .. } if position == waiting.position)
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            naive: Naive::at(1_000_000),
            lanes: Lanes::new(Limits::default()),
            places: vec![Place::Gone],
            steps: 0,
            active: Vec::new(),
            event: 1,
            now: 1_000_000,
            weights: [1; KEYS.len()],
            sweeps: seed.is_multiple_of(2),
            served: 0,
            killed: 0,
            limited: [0; 2],
        }
    }

    fn id(&self, key: usize) -> LaneId {
        self.lanes.find(KEYS[key]).expect("a lane in use is found")
    }

    fn wait(&mut self, job: u64, key: usize) {
        let tier = self.random.below(3) as u8;
        let lives = if self.random.one_in(3) { self.random.below(300) } else { 1 << 40 };
        let (position, expires) = (self.event, self.now + lives);
        self.places[job as usize] = Place::Waits { position, expires, key, tier };
        let weight = self.weights[key];
        let lane = self.naive.lanes.entry(KEYS[key].to_owned()).or_default();
        lane.weight = weight;
        lane.tiers[usize::from(tier)].push((position, job, expires));
        let (id, ready) = self.lanes.push(
            self.now,
            Key { name: KEYS[key], weight },
            tier,
            Waiting { job, position },
        );
        assert_eq!(id, self.id(key));
        self.naive.after();
        assert!(!ready || self.naive.has_ready());
    }

    /// A few new jobs by one event.
    fn enqueue(&mut self) {
        for _ in 0..1 + self.random.below(3) {
            let key = self.random.below(KEYS.len() as u64) as usize;
            let job = self.places.len() as u64;
            self.places.push(Place::Gone);
            self.wait(job, key);
        }
        self.event += 1;
    }

    /// A waiting job is gone, wherever it stood.
    fn kill(&mut self, job: u64) {
        let Place::Waits { key, tier, .. } = self.places[job as usize] else { return };
        self.places[job as usize] = Place::Gone;
        let lane = self.naive.lanes.get_mut(KEYS[key]).expect("it waits there");
        lane.tiers[usize::from(tier)].retain(|waiting| waiting.1 != job);
        let (id, places) = (self.id(key), &self.places);
        self.lanes.trim(self.now, id, tier, |waiting| waits(places, waiting));
        self.naive.after();
    }

    /// A waiting job goes to the back, maybe of another lane.
    fn step_back(&mut self, job: u64) {
        if matches!(self.places[job as usize], Place::Waits { .. }) {
            self.kill(job);
            let key = self.random.below(KEYS.len() as u64) as usize;
            self.wait(job, key);
            self.event += 1;
        }
    }

    fn end(&mut self, nth: usize) {
        let job = self.active.swap_remove(nth);
        let Place::Active { key, charged } = self.places[job as usize] else { unreachable!() };
        self.places[job as usize] = Place::Gone;
        let real = self.random.below(3000) * key as u64;
        self.naive.end(KEYS[key], job, real);
        let had = self.lanes.has_ready();
        let id = self.id(key);
        self.lanes.settle(self.now, id, charged, real);
        let opened = self.lanes.end(self.now, id);
        self.naive.after();
        assert!(!opened || self.lanes.has_ready());
        assert!(opened || had == self.lanes.has_ready());
        // Some are retried.
        if self.random.one_in(4) {
            self.wait(job, key);
            self.event += 1;
        }
    }

    /// Plans, compares with the naive order, and carries it out: one by one it must come out as planned.
    fn fetch(&mut self) {
        let (wanted, expired_max) =
            (1 + self.random.below(8) as usize, 1 + self.random.below(4) as usize);
        // Some of the jobs that a request ends before it asks for more.
        let ending = self.random.below(3).min(self.active.len() as u64) as usize;
        let ends_first = self.lanes.limits().fair != Some(Cost::WorkerTime) && ending > 0;
        let mut ended = Vec::new();
        if ends_first {
            for &job in &self.active[..ending] {
                let Place::Active { key, .. } = self.places[job as usize] else { unreachable!() };
                ended.push(self.id(key));
            }
        }
        let plan = {
            let (places, now) = (&self.places, self.now);
            let look = |waiting: Waiting| match places[waiting.job as usize] {
                _ if !waits(places, waiting) => Candidate::Gone,
                Place::Waits { expires, .. } if expires <= now => Candidate::Expired,
                _ => Candidate::Waits,
            };
            self.lanes.plan(now, Ask { wanted, expired_max, ended: &ended }, look)
        };
        for _ in 0..ended.len() {
            let job = self.active.remove(0);
            let Place::Active { key, .. } = self.places[job as usize] else { unreachable!() };
            self.places[job as usize] = Place::Gone;
            self.naive.end(KEYS[key], job, 0);
            self.lanes.end(self.now, self.id(key));
            self.naive.after();
        }
        let (picks, expired) = self.naive.plan(wanted, expired_max);
        let met: Vec<_> = plan.expired.iter().map(|pick| pick.waiting.job).collect();
        assert_eq!(met, expired, "other expired jobs were met");
        let planned: Vec<_> = plan.picks.iter().map(|p| (p.tier, p.waiting.job)).collect();
        let order: Vec<_> = picks.iter().map(|p| (p.1 as u8, p.2)).collect();
        assert_eq!(planned, order, "another order than the naive one");
        expired.iter().for_each(|&job| self.kill(job));
        self.killed += expired.len() as u64;
        for (pick, (name, tier, job)) in plan.picks.iter().zip(picks) {
            self.assert_next(job);
            let key = KEYS.iter().position(|key| *key == name).expect("one of them");
            assert_eq!(pick.lane, self.id(key), "another lane than the naive one");
            let charged = self.naive.lease(&name, tier, job);
            self.places[job as usize] = Place::Active { key, charged };
            let places = &self.places;
            let paid = self.lanes.lease(self.now, pick.lane, pick.tier, |w| waits(places, w));
            assert_eq!(paid, charged);
            self.active.push(job);
            self.naive.after();
        }
        self.served += planned.len() as u64;
    }

    /// What would be served next is this job, when it is looked for afresh.
    fn assert_next(&self, job: u64) {
        let look = |waiting: Waiting| match waits(&self.places, waiting) {
            true => Candidate::Waits,
            false => Candidate::Gone,
        };
        let ask = Ask { wanted: 1, expired_max: 1, ended: &[] };
        let next = self.lanes.plan(self.now, ask, look);
        assert_eq!(next.picks[0].waiting.job, job, "applied in another order than planned");
    }

    fn change_limits(&mut self) {
        let mut limits = self.lanes.limits();
        match self.random.below(3) {
            0 => limits.key_concurrency = self.random.below(5) as u32,
            1 => {
                limits.key_rate = self.random.below(6) as u32;
                limits.key_window_us = self.random.below(200);
            }
            _ => {
                let modes = [None, Some(Cost::Jobs), Some(Cost::WorkerTime)];
                limits.fair = modes[self.random.below(3) as usize];
            }
        }
        self.naive.set_limits(limits);
        self.lanes.set_limits(self.now, limits);
        self.naive.after();
    }

    fn change_weight(&mut self) {
        let at = self.random.below(KEYS.len() as u64) as usize;
        self.weights[at] = 1 + self.random.below(1000) as u16;
        self.lanes.set_weight(Key { name: KEYS[at], weight: self.weights[at] });
        if let Some(lane) = self.naive.lanes.get_mut(KEYS[at]) {
            lane.weight = self.weights[at];
        }
    }

    fn pass_time(&mut self) {
        self.now += [0, 1, 7, self.random.below(150)][self.random.below(4) as usize];
        self.naive.now = self.now;
        while self.lanes.first_opening().is_some_and(|at| at <= self.now) {
            assert!(self.lanes.open(self.now, 2), "a lane was due and did not open");
        }
        self.naive.after();
    }

    pub(super) fn step(&mut self) {
        self.steps += 1;
        // Backlogs grow for a while, then are served until lanes are empty.
        let grows = (self.steps / 200).is_multiple_of(3);
        let some = 1 + self.random.below(60).min(self.places.len() as u64 - 1);
        let job = self.places.len() as u64 - some;
        match self.random.below(100) {
            0..30 if grows => self.enqueue(),
            0..5 => self.enqueue(),
            30..55 => self.fetch(),
            55..80 if !self.active.is_empty() => {
                let nth = self.random.below(self.active.len() as u64) as usize;
                self.end(nth);
            }
            80..86 => self.kill(job),
            86..89 => self.step_back(job),
            89..97 => self.pass_time(),
            97 => self.change_limits(),
            98 => self.change_weight(),
            _ => {}
        }
        if self.sweeps {
            self.lanes.sweep(self.now, usize::MAX);
            assert_eq!(self.lanes.len(), self.naive.lanes.len(), "lanes are kept or lost");
        }
    }

    pub(super) fn check(&mut self) {
        let places = &self.places;
        let active = |key: &str| self.naive.lanes.get(key).map_or(0, |l| l.active.len() as u32);
        self.lanes.check(|waiting| waits(places, waiting), active);
        assert_eq!(self.lanes.first_opening(), self.naive.first_opening(), "opens at another time");
        assert_eq!(self.lanes.has_ready(), self.naive.has_ready());
    }

    /// Never more than the limits let through, while they do not change.
    fn count_limited(&mut self, limits: Limits, before: &Naive) {
        if self.naive.limits != limits {
            return;
        }
        let most = |naive: &Naive| {
            let keyed = naive.lanes.iter().filter(|(key, _)| !key.is_empty());
            keyed.map(|(_, lane)| lane.active.len()).max().unwrap_or(0)
        };
        let (was, is) = (most(before), most(&self.naive));
        let concurrency = limits.key_concurrency as usize;
        assert!(concurrency == 0 || is <= concurrency.max(was), "too many are active");
        let (were, are) = (before.most_claims(), self.naive.most_claims());
        assert!(limits.key_rate == 0 || are <= limits.key_rate.max(were), "too many claims");
        self.limited[0] += u64::from(concurrency > 0 && is == concurrency);
        self.limited[1] += u64::from(limits.key_rate > 0 && are == limits.key_rate);
    }
}

fn run(seed: u64, steps: u64) {
    let mut world = World::new(seed);
    for n in 0..steps {
        let (limits, before) =
            (world.naive.limits, n.is_multiple_of(7).then(|| world.naive.clone()));
        world.step();
        if let Some(before) = before {
            world.check();
            world.count_limited(limits, &before);
        }
    }
    assert!(world.served > steps / 20, "hardly any were served: {}", world.served);
    assert!(world.killed > 0 && world.limited.iter().all(|&n| n > 0), "a limit was never met");
}

#[test]
fn is_the_naive_model_swept_at_every_step() {
    (0..10).for_each(|seed| run(2 * seed, 10_000));
}

#[test]
fn is_the_naive_model_never_swept() {
    (0..10).for_each(|seed| run(2 * seed + 1, 10_000));
}
