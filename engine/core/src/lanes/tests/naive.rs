//! Lanes as plain lists, in which everything is looked for by walking over all of it.

use std::collections::BTreeMap;

use crate::lanes::fair::{COST_US_DEFAULT, Cost, UNIT};
use crate::lanes::settings::Limits;

/// A waiting job: position, number, and when it expires.
pub(super) type Job = (u64, u64, u64);

#[derive(Clone, Default)]
pub(super) struct NaiveLane {
    pub(super) tiers: [Vec<Job>; 3],
    /// Numbers of active jobs, and what they were charged.
    pub(super) active: Vec<(u64, u64)>,
    /// Claims that were not forgotten by a change of limits.
    claims: Vec<u64>,
    start: u128,
    finish: u128,
    cost_us: u64,
    pub(super) weight: u16,
    was_ready: bool,
}

#[derive(Clone, Default)]
pub(super) struct Naive {
    pub(super) now: u64,
    pub(super) limits: Limits,
    pub(super) lanes: BTreeMap<String, NaiveLane>,
    clock: u128,
    finish_max: u128,
    cost_us: u64,
}

/// Who is next: (start tag, position, job), the key and when it expires.
type Next = ((u128, u64, u64), String, u64);

impl Naive {
    pub(super) fn at(now: u64) -> Self {
        Self { now, ..Self::default() }
    }

    fn counted(&self, lane: &NaiveLane) -> u32 {
        let window = self.limits.key_window_us;
        lane.claims.iter().filter(|&&t| t + window > self.now).count() as u32
    }

    fn allows(&self, key: &str, lane: &NaiveLane) -> bool {
        let Limits { key_concurrency, key_rate, .. } = self.limits;
        key.is_empty()
            || (key_concurrency == 0 || lane.active.len() < key_concurrency as usize)
                && (key_rate == 0 || self.counted(lane) < key_rate)
    }

    fn is_ready(&self, key: &str, lane: &NaiveLane) -> bool {
        lane.tiers.iter().any(|tier| !tier.is_empty()) && self.allows(key, lane)
    }

    pub(super) fn has_ready(&self) -> bool {
        self.lanes.iter().any(|(key, lane)| self.is_ready(key, lane))
    }

    /// Tags follow from which lanes have become ready; lanes on which nothing depends are gone.
    pub(super) fn after(&mut self) {
        let fair = self.limits.fair.is_some();
        let ready: Vec<_> = self.lanes.iter().map(|(key, lane)| self.is_ready(key, lane)).collect();
        for (lane, &ready) in self.lanes.values_mut().zip(&ready) {
            if ready && !lane.was_ready && fair {
                lane.start = lane.finish.max(self.clock);
            }
            lane.was_ready = ready;
        }
        let busy = self.lanes.values().any(|lane| !lane.active.is_empty() || lane.was_ready);
        if !busy {
            self.clock = self.clock.max(self.finish_max);
        }
        let Self { now, limits, clock, .. } = *self;
        self.lanes.retain(|_, lane| {
            !lane.active.is_empty()
                || lane.tiers.iter().any(|tier| !tier.is_empty())
                || lane.claims.iter().any(|t| t + limits.key_window_us > now)
                || lane.finish > clock
        });
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        let (old, now) = (self.limits, self.now);
        for lane in self.lanes.values_mut() {
            lane.claims.retain(|t| t + old.key_window_us > now);
            if limits.key_rate == 0 {
                lane.claims.clear();
            }
            if old.fair != limits.fair {
                (lane.start, lane.finish, lane.cost_us) = (0, 0, 0);
            }
        }
        if old.fair != limits.fair {
            (self.clock, self.finish_max, self.cost_us) = (0, 0, 0);
        }
        self.limits = limits;
    }

    fn next(&self, tier: usize) -> Option<Next> {
        let ready = self.lanes.iter().filter(|(key, lane)| self.allows(key, lane));
        ready
            .filter_map(|(key, lane)| {
                let &(position, job, expires) = lane.tiers[tier].first()?;
                Some(((lane.start, position, job), key, expires))
            })
            .min()
            .map(|(rank, key, expires)| (rank, key.clone(), expires))
    }

    /// Gives a job away that waits in this lane and tier, and returns what that was charged.
    pub(super) fn lease(&mut self, key: &str, tier: usize, job: u64) -> u64 {
        let fair = self.limits.fair;
        let lane = self.lanes.get_mut(key).expect("the lane is there");
        let charged = match fair {
            None => 0,
            Some(Cost::Jobs) => 1,
            Some(Cost::WorkerTime) if lane.cost_us > 0 => lane.cost_us,
            Some(Cost::WorkerTime) if self.cost_us > 0 => self.cost_us,
            Some(Cost::WorkerTime) => COST_US_DEFAULT,
        };
        lane.tiers[tier].retain(|waiting| waiting.1 != job);
        lane.active.push((job, charged));
        if self.limits.key_rate > 0 && !key.is_empty() {
            lane.claims.push(self.now);
        }
        if fair.is_some() {
            self.clock = self.clock.max(lane.start);
            lane.finish = self.clock + u128::from(charged) * UNIT / u128::from(lane.weight);
            lane.start = lane.finish;
            self.finish_max = self.finish_max.max(lane.finish);
        }
        charged
    }

    pub(super) fn end(&mut self, key: &str, job: u64, real_us: u64) {
        let lane = self.lanes.get_mut(key).expect("the lane is there");
        let at = lane.active.iter().position(|active| active.0 == job).expect("it is active");
        let (_, charged) = lane.active.remove(at);
        if self.limits.fair == Some(Cost::WorkerTime) {
            (lane.cost_us, self.cost_us) = (real_us.max(1), real_us.max(1));
            let span = |cost| u128::from(cost) * UNIT / u128::from(lane.weight);
            if charged != real_us {
                lane.finish = (lane.finish + span(real_us)).saturating_sub(span(charged));
                lane.start = lane.finish.max(lane.start.min(self.clock));
                self.finish_max = self.finish_max.max(lane.finish);
            }
        }
    }

    /// (key, tier, job) in the order of service, and the expired jobs met.
    pub(super) fn plan(
        &self,
        wanted: usize,
        expired_max: usize,
    ) -> (Vec<(String, usize, u64)>, Vec<u64>) {
        let (mut model, mut picks, mut expired) = (self.clone(), Vec::new(), Vec::new());
        for tier in 0..3 {
            while picks.len() < wanted && expired.len() < expired_max {
                let Some(((_, _, job), key, expires)) = model.next(tier) else { break };
                if expires <= self.now {
                    model.lanes.get_mut(&key).expect("it is there").tiers[tier].remove(0);
                    expired.push(job);
                } else {
                    model.lease(&key, tier, job);
                    picks.push((key, tier, job));
                }
            }
        }
        (picks, expired)
    }

    /// When the first lane opens that waits for nothing but its window.
    pub(super) fn first_opening(&self) -> Option<u64> {
        let Limits { key_concurrency, key_rate, key_window_us, .. } = self.limits;
        let blocked = self.lanes.iter().filter(|(key, lane)| {
            let waits = lane.tiers.iter().any(|tier| !tier.is_empty());
            let slot = key_concurrency == 0 || lane.active.len() < key_concurrency as usize;
            !key.is_empty() && waits && slot && !self.allows(key, lane)
        });
        let opens = blocked.map(|(_, lane)| {
            let room_at = |at: &u64| {
                let counted = lane.claims.iter().filter(|&&t| t + key_window_us > *at).count();
                counted < key_rate as usize
            };
            lane.claims.iter().map(|t| t + key_window_us).find(room_at).expect("it opens")
        });
        opens.min()
    }

    /// The most claims of one key that lie in one window.
    pub(super) fn most_claims(&self) -> u32 {
        let keyed = self.lanes.iter().filter(|(key, _)| !key.is_empty());
        keyed.map(|(_, lane)| self.counted(lane)).max().unwrap_or(0)
    }
}
