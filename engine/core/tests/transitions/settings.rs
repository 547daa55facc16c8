//! What a leader decides by its settings, and that nobody else needs them.

use jobbie_core::{Settings, State, decide_timers};
use jobbie_proto::event::{Event, Group};
use jobbie_proto::limits::{RETENTION_MS_MAX, RETENTION_MS_MIN};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::Enqueue;
use jobbie_proto::{Code, Micros};

use crate::shard::{Shard, enqueue};
use crate::stage::stage;

/// Everything that is due by these settings.
fn timers(shard: &mut Shard, settings: &Settings) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let events = decide_timers(&shard.state, settings, shard.now, 10, &mut Vec::new());
        if events.is_empty() {
            return all;
        }
        all.extend(events.iter().cloned());
        shard.state.absorb(shard.now, &Group { events, ..Group::default() });
        shard.state.check();
    }
}

#[test]
fn ended_jobs_are_kept_as_long_as_the_leader_was_told() {
    for state in [JobState::Dead, JobState::Cancelled] {
        for retention_ms in [RETENTION_MS_MIN, 25 * 3600 * 1000, RETENTION_MS_MAX] {
            let settings = Settings { retention_ms, ..Settings::default() };
            let mut case = stage(state);
            let ended = case.view().expect("it is staged").ended;
            let over = ended.plus_ms(retention_ms);
            assert_eq!(case.shard.state.next_timer(&settings), Some(over), "{state:?}");
            case.shard.now = Micros(over.0 - 1);
            assert_eq!(timers(&mut case.shard, &settings), []);
            case.shard.now = over;
            let purged = Event::Purged { jobs: vec![case.job.job.seq()] };
            assert_eq!(timers(&mut case.shard, &settings), [purged], "{state:?}");
            assert_eq!(case.view(), Err(Code::NotFound));
        }
    }
}

/// The hash of a state is that of what happened, whatever those who look at it would decide.
#[test]
fn a_leader_with_other_settings_goes_on_with_the_same_state() {
    let mut case = stage(JobState::Dead);
    let short = Settings { retention_ms: RETENTION_MS_MIN, ..Settings::default() };
    let mut other = State::restore(case.shard.state.snapshot()).expect("it was just written");
    case.shard.now = case.shard.now.plus_ms(2 * RETENTION_MS_MIN);
    assert_eq!(timers(&mut case.shard, &Settings::default()), []);
    let events = decide_timers(&other, &short, case.shard.now, 10, &mut Vec::new());
    let group = Group { events, ..Group::default() };
    other.absorb(case.shard.now, &group);
    case.shard.state.absorb(case.shard.now, &group);
    assert_eq!(other.digest(), case.shard.state.digest());
    assert_eq!(case.view(), Err(Code::NotFound));
}

#[test]
fn b2_a_job_is_quarantined_after_as_many_lost_leases_as_the_leader_was_told() {
    for (lease_expiries_max, dies_at) in [(0, None), (1, Some(1)), (3, Some(3)), (7, Some(7))] {
        let settings = Settings { lease_expiries_max, ..Settings::default() };
        let mut shard = Shard::new();
        let id = shard.enqueue(vec![Enqueue { max_retries: 1, ..enqueue("q") }])[0];
        for expiry in 1..=9 {
            if shard.fetch("q", 1).is_empty() {
                break;
            }
            shard.now = shard.now.plus_ms(1_000);
            timers(&mut shard, &settings);
            let state = shard.state.job(id).map(|view| view.state);
            let dead = dies_at.is_some_and(|at| expiry >= at);
            let expected = if dead { JobState::Dead } else { JobState::Pending };
            assert_eq!(state, Ok(expected), "{lease_expiries_max}: lease {expiry}");
        }
    }
}
