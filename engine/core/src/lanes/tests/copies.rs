//! Clones and snapshots in the middle of random histories.

use super::Waiting;
use super::model::{KEYS, Place, World, waits};
use crate::lanes::Lanes;
use crate::lanes::plan::{Ask, Candidate};

/// A clone, and what comes back from a snapshot, go on as if nothing had happened; a clone that is
/// left alone keeps what it saw.
#[test]
fn a_clone_and_a_snapshot_hold_the_same_lanes() {
    for seed in 100..104 {
        let mut world = World::new(seed);
        for _ in 0..40 {
            (0..50).for_each(|_| world.step());
            let (copy, places) = (world.lanes.clone(), world.places.clone());
            let active: Vec<_> = (0..KEYS.len())
                .map(|key| copy.find(KEYS[key]).map_or(0, |id| copy.saved(id).active))
                .collect();
            let before = describe(&copy, &places);
            (0..20).for_each(|_| world.step());
            assert_eq!(describe(&copy, &places), before, "a clone has changed");
            copy.check(
                |waiting| waits(&places, waiting),
                |key| active[KEYS.iter().position(|k| *k == key).expect("one of them")],
            );
            world.check();
            world.lanes = restored(&world.lanes, &world.places);
            world.check();
        }
    }
}

/// Everything that a snapshot holds, and the order of service.
fn describe(lanes: &Lanes, places: &[Place]) -> String {
    let look = |waiting: Waiting| match waits(places, waiting) {
        true => Candidate::Waits,
        false => Candidate::Gone,
    };
    let ask = Ask { wanted: 1000, expired_max: 1, ended: &[] };
    let (mut text, mut last) = (format!("{:?}", lanes.plan(1 << 50, ask, look)), None);
    while let Some((id, saved)) = lanes.lane_after(last) {
        let tiers = (0..3).map(|tier| lanes.waiting(id, tier).collect::<Vec<_>>());
        let claims: Vec<_> = lanes.window(id).runs().collect();
        text += &format!("{saved:?} {claims:?} {:?}", tiers.collect::<Vec<_>>());
        last = Some(id);
    }
    text
}

fn restored(lanes: &Lanes, places: &[Place]) -> Lanes {
    let mut restored = Lanes::restore(lanes.limits(), lanes.clock());
    let (mut last, mut ids) = (None, Vec::new());
    while let Some((id, saved)) = lanes.lane_after(last) {
        last = Some(id);
        ids.push((id, saved));
    }
    // In any order: numbers mean nothing.
    for (id, saved) in ids.into_iter().rev() {
        let new = restored.restore_lane(&saved);
        lanes.window(id).runs().for_each(|run| restored.restore_claim(new, run));
        for tier in 0..3 {
            for waiting in lanes.waiting(id, tier).filter(|&w| waits(places, w)) {
                restored.restore_waiting(new, tier, waiting);
            }
        }
    }
    restored.restored();
    restored
}
