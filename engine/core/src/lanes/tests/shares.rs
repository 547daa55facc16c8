//! Fairness as a number: Jain's index (Jain, Chiu and Hawe 1984) is 1 when all shares are equal,
//! and 1/n when one takes all.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Random, key, waiting};
use crate::lanes::fair::{Cost, WEIGHT_MAX};
use crate::lanes::plan::{Ask, Candidate};
use crate::lanes::settings::{Key, Limits};
use crate::lanes::{LaneId, Lanes};

fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    sum * sum / (shares.len() as f64 * shares.iter().map(|s| s * s).sum::<f64>())
}

/// Lanes by number of their key, and which jobs still wait.
struct Shared {
    lanes: Lanes,
    /// Key by number of lane.
    keys: Vec<usize>,
    waits: Vec<bool>,
}

impl Shared {
    fn new(cost: Cost) -> Self {
        let limits = Limits { fair: Some(cost), ..Limits::default() };
        Self { lanes: Lanes::new(limits), keys: Vec::new(), waits: vec![false] }
    }

    fn push(&mut self, key: usize, weight: u16, jobs: u64) {
        let name = format!("key {key}");
        for _ in 0..jobs {
            let job = self.waits.len() as u64;
            self.waits.push(true);
            let (id, ready) = self.lanes.push(0, Key { name: &name, weight }, 2, waiting(job));
            assert!(ready);
            self.keys.resize(self.keys.len().max(id.0 as usize + 1), 0);
            self.keys[id.0 as usize] = key;
        }
    }

    /// Gives jobs away, in one batch: the key, the lane and the charge of each.
    fn serve(&mut self, wanted: usize) -> Vec<(usize, LaneId, u64)> {
        let Self { lanes, keys, waits } = self;
        let look = |w: super::Waiting| match waits[w.job as usize] {
            true => Candidate::Waits,
            false => Candidate::Gone,
        };
        let plan = lanes.plan(0, Ask { wanted, expired_max: 1, ended: &[] }, look);
        let lease = |pick: &crate::lanes::plan::Pick| {
            waits[pick.waiting.job as usize] = false;
            let charged = lanes.lease(0, pick.lane, pick.tier, |w| waits[w.job as usize]);
            (keys[pick.lane.0 as usize], pick.lane, charged)
        };
        plan.picks.iter().map(lease).collect()
    }
}

/// A thousand keys whose backlogs follow Zipf's law, a million jobs in all, served until the first
/// of them has none left. How many rounds each has been served.
fn zipf(weight_of: impl Fn(u64) -> u16) -> Vec<f64> {
    const KEYS: u64 = 1000;
    const LARGEST: u64 = 134_000;
    let mut shared = Shared::new(Cost::Jobs);
    let (mut left, mut shares) = (Vec::new(), vec![0.0; KEYS as usize]);
    for key in 0..KEYS {
        left.push(LARGEST / (key + 1));
        shared.push(key as usize, weight_of(key), left[key as usize]);
    }
    assert!(shared.waits.len() > 1_000_000);
    while left.iter().all(|&left| left > 0) {
        for (key, id, _) in shared.serve(64) {
            left[key] -= 1;
            shares[key] += 1.0 / f64::from(weight_of(key as u64));
            shared.lanes.end(0, id);
        }
    }
    shares
}

#[test]
fn equal_keys_get_equal_shares_of_unequal_backlogs() {
    let shares = zipf(|_| 1);
    assert!(jain(&shares) >= 0.9999 && shares[0] >= 132.0, "{}, {}", jain(&shares), shares[0]);
}

#[test]
fn shares_follow_the_weights() {
    let shares = zipf(|key| 1 + Random(key).below(10) as u16);
    assert!(jain(&shares) >= 0.995 && shares[0] >= 12.0, "{}, {}", jain(&shares), shares[0]);
}

/// Backlogs that never end, and weights up to the largest.
#[test]
fn shares_follow_any_weights() {
    let weight_of = |key: usize| 1 + Random(key as u64).below(WEIGHT_MAX.into()) as u16;
    let (mut shared, mut shares) = (Shared::new(Cost::Jobs), vec![0.0; 40]);
    (0..40).for_each(|key| shared.push(key, weight_of(key), 70));
    for _ in 0..4000 {
        for (key, id, _) in shared.serve(16) {
            shares[key] += 1.0 / f64::from(weight_of(key));
            shared.lanes.end(0, id);
            shared.push(key, weight_of(key), 1);
        }
    }
    assert!(jain(&shares) >= 0.995, "Jain's index is {}", jain(&shares));
}

#[test]
fn a_new_key_is_served_within_a_round_while_a_million_wait() {
    let mut shared = Shared::new(Cost::Jobs);
    shared.push(0, 1, 1_000_000);
    (1..10).for_each(|key| shared.push(key, 1, 2000));
    for _ in 0..100 {
        for (_, id, _) in shared.serve(50) {
            shared.lanes.end(0, id);
        }
    }
    shared.push(10, 1, 1);
    let served: Vec<_> = shared.serve(11).iter().map(|served| served.0).collect();
    assert!(served.contains(&10), "{served:?}");
    // It saves nothing up by being away: after a long pause it gets its share, not the time it missed.
    shared.serve(5000);
    shared.push(10, 1, 500);
    let served = shared.serve(110).iter().filter(|served| served.0 == 10).count();
    assert!((9..=12).contains(&served), "{served}");
}

/// Four workers, and jobs of one key that take ten times as long: both keys get half of the time.
#[test]
fn dear_and_cheap_jobs_share_the_time() {
    let (mut shared, mut random) = (Shared::new(Cost::WorkerTime), Random(5));
    let (mut running, mut now, mut spent) = (BinaryHeap::new(), 0, [0_u64; 2]);
    (0..2).for_each(|key| shared.push(key, 1, 5));
    for n in 0..20_000 {
        if n >= 4 {
            let Reverse((at, key, id, charged, real)) = running.pop().expect("four are running");
            now = at;
            shared.lanes.settle(now, id, charged, real);
            shared.lanes.end(now, id);
            spent[key] += real;
        }
        for (key, id, charged) in shared.serve(1) {
            let real = [10_000, 1000][key] + random.below(500);
            running.push(Reverse((now + real, key, id, charged, real)));
            shared.push(key, 1, 1);
        }
    }
    let ratio = spent[0] as f64 / spent[1] as f64;
    assert!((0.99..1.01).contains(&ratio), "{spent:?}");
}

/// A tier is served before the next one, whatever is fair, and what a lane gets in one tier counts in all.
#[test]
fn tiers_come_first_and_share_one_clock() {
    let mut lanes = Lanes::new(Limits { fair: Some(Cost::Jobs), ..Limits::default() });
    (1..=4).for_each(|job| {
        lanes.push(0, key("a"), 0, waiting(job));
    });
    (5..=8).for_each(|job| {
        lanes.push(0, key("a"), 2, waiting(job));
    });
    (9..=12).for_each(|job| {
        lanes.push(0, key("b"), 2, waiting(job));
    });
    let ask = Ask { wanted: 12, expired_max: 1, ended: &[] };
    let plan = lanes.plan(0, ask, |_| Candidate::Waits);
    let jobs: Vec<_> = plan.picks.iter().map(|pick| pick.waiting.job).collect();
    // `b` comes first where the two meet, and gets one job ahead for all that it has missed.
    assert_eq!(jobs, [1, 2, 3, 4, 9, 5, 10, 6, 11, 7, 12, 8]);
}
