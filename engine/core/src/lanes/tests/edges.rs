//! Single cases.

use super::{key, waiting};
use crate::lanes::fair::Cost;
use crate::lanes::plan::{Ask, Candidate};
use crate::lanes::settings::{Key, Limits};
use crate::lanes::{KEPT, KEY_BYTES_MAX, LaneId, Lanes, Waiting};

fn take(lanes: &mut Lanes, now: u64, wanted: usize) -> Vec<u64> {
    let ask = Ask { wanted, expired_max: 1, ended: &[] };
    let plan = lanes.plan(now, ask, |_| Candidate::Waits);
    for pick in &plan.picks {
        lanes.lease(now, pick.lane, pick.tier, |w| w != pick.waiting);
    }
    plan.picks.iter().map(|pick| pick.waiting.job).collect()
}

fn rated(claims: u32, window_us: u64) -> Lanes {
    Lanes::new(Limits { key_rate: claims, key_window_us: window_us, ..Limits::default() })
}

#[test]
fn without_limits_jobs_come_in_order_over_all_keys() {
    let mut lanes = Lanes::new(Limits::default());
    for job in 1..=100 {
        // Ten jobs by one event have one position.
        let waiting = Waiting { job, position: job / 10 };
        lanes.push(0, key(["", "a", "b", "c"][job as usize % 4]), 1, waiting);
    }
    lanes.push(0, key("d"), 0, waiting(101));
    let order: Vec<_> = [101].into_iter().chain(1..=100).collect();
    assert_eq!(take(&mut lanes, 0, 1000), order);
}

#[test]
fn a_lane_opens_in_the_very_microsecond() {
    let mut lanes = rated(2, 100);
    (1..=4).for_each(|job| {
        lanes.push(10, key("a"), 2, waiting(job));
    });
    (5..=8).for_each(|job| {
        lanes.push(10, key(""), 2, waiting(job));
    });
    assert_eq!(take(&mut lanes, 10, 5), [1, 2, 5, 6, 7]);
    assert_eq!((lanes.first_opening(), lanes.open(109, 9)), (Some(110), false));
    assert_eq!(take(&mut lanes, 109, 5), [8]);
    assert!(!lanes.has_ready());
    assert!(lanes.open(110, 9));
    assert_eq!(take(&mut lanes, 110, 5), [3, 4]);
    assert_eq!(lanes.first_opening(), None);
}

#[test]
fn an_end_makes_room_and_is_seen_before_it_is_absorbed() {
    let mut lanes = Lanes::new(Limits { key_concurrency: 1, ..Limits::default() });
    (1..=3).for_each(|job| {
        lanes.push(0, key("a"), 2, waiting(job));
    });
    assert_eq!(take(&mut lanes, 0, 5), [1]);
    let id = lanes.find("a").expect("it is in use");
    let plan = |ended: &[LaneId]| {
        let plan = lanes.plan(0, Ask { wanted: 5, expired_max: 1, ended }, |_| Candidate::Waits);
        plan.picks.iter().map(|pick| pick.waiting.job).collect::<Vec<_>>()
    };
    assert_eq!((plan(&[]), plan(&[id])), (vec![], vec![2]));
    assert!(lanes.end(0, id));
    assert_eq!(take(&mut lanes, 0, 5), [2]);
    // A job that came from elsewhere takes a slot as well, and nobody is interrupted.
    lanes.adopt(0, key("a"));
    assert_eq!((lanes.saved(id).active, lanes.end(0, id), lanes.end(0, id)), (2, false, true));
}

#[test]
fn what_changes_holds_from_the_next_question_on() {
    let mut lanes = rated(1, 100);
    (1..=9).for_each(|job| {
        lanes.push(0, key("a"), 2, waiting(job));
    });
    assert_eq!(take(&mut lanes, 0, 9), [1]);
    let limits = Limits { key_rate: 3, ..lanes.limits() };
    assert!(lanes.set_limits(50, limits));
    assert_eq!(take(&mut lanes, 50, 9), [2, 3]);
    assert!(!lanes.set_limits(60, Limits { key_rate: 2, ..limits }));
    assert_eq!(lanes.first_opening(), Some(150));
    // The claim of 0 is over at 100, and a longer window does not bring it back.
    assert!(!lanes.set_limits(100, Limits { key_window_us: 1000, ..limits }) || lanes.has_ready());
    assert_eq!(take(&mut lanes, 100, 9), [4]);
    assert!(lanes.set_limits(100, Limits { key_concurrency: 7, ..Limits::default() }));
    assert_eq!(take(&mut lanes, 100, 9), [5, 6, 7]);
}

#[test]
fn lanes_are_forgotten_when_nothing_depends_on_them() {
    let mut lanes = rated(1, 100);
    lanes.set_limits(0, Limits { fair: Some(Cost::Jobs), ..lanes.limits() });
    for job in 1..=100 {
        lanes.push(0, key(&format!("{job}")), 2, waiting(job));
    }
    assert_eq!(take(&mut lanes, 0, 99).len(), 99);
    for job in 1..100 {
        let id = lanes.find(&format!("{job}")).expect("it is active");
        lanes.end(0, id);
    }
    lanes.sweep(99, usize::MAX);
    assert_eq!(lanes.len(), 100, "their claims still count");
    lanes.sweep(100, 10);
    assert_eq!(lanes.len(), 100, "the clock has not passed them");
    assert_eq!(take(&mut lanes, 100, 9), [100]);
    lanes.sweep(100, usize::MAX);
    assert_eq!(lanes.len(), 100);
    let last = lanes.find("100").expect("it is active");
    lanes.end(100, last);
    assert!(lanes.lanes.slots() > KEPT);
    lanes.sweep(100, 10);
    assert_eq!(lanes.len(), 90);
    lanes.sweep(200, usize::MAX);
    assert_eq!((lanes.len(), lanes.lanes.slots(), lanes.by_key.is_some()), (0, 0, false));
    lanes.check(|_| false, |_| 0);
}

#[test]
fn without_rates_and_shares_a_lane_is_gone_at_once() {
    let mut lanes = Lanes::new(Limits { key_concurrency: 1, ..Limits::default() });
    let (id, ready) = lanes.push(0, key("a"), 2, waiting(1));
    assert!(ready);
    take(&mut lanes, 0, 1);
    assert!(!lanes.end(0, id));
    assert_eq!((lanes.len(), lanes.find("a")), (0, None));
    lanes.push(0, key("b"), 2, waiting(2));
    lanes.trim(0, lanes.find("b").expect("it was pushed"), 2, |_| false);
    assert_eq!(lanes.len(), 0);
}

#[test]
#[should_panic(expected = "a limit key of 256 bytes")]
fn a_key_has_a_longest() {
    let name = "k".repeat(KEY_BYTES_MAX + 1);
    Lanes::new(Limits::default()).push(0, key(&name), 2, waiting(1));
}

#[test]
#[should_panic(expected = "a weight of 1001")]
fn a_weight_has_a_largest() {
    Lanes::new(Limits::default()).push(0, Key { name: "a", weight: 1001 }, 2, waiting(1));
}

#[test]
#[should_panic(expected = "the front is gone")]
fn a_front_that_no_longer_waits_is_noticed() {
    let mut lanes = Lanes::new(Limits::default());
    lanes.push(0, key("a"), 2, waiting(1));
    lanes.check(|_| false, |_| 0);
}

#[test]
#[should_panic(expected = "miscounts its active jobs")]
fn a_lost_end_is_noticed() {
    let mut lanes = Lanes::new(Limits::default());
    lanes.push(0, key("a"), 2, waiting(1));
    lanes.check(|_| true, |_| 1);
}
