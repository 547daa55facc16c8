//! What happens to planned times at which nobody was there.

use super::*;
use jobbie_core::Settings;

/// A schedule of every minute that was left alone for some time: what it then does.
fn after(missed: Missed, away: u64) -> (Vec<u64>, ScheduleView) {
    let mut shard = shard_at(SPRING);
    shard.set("often", Definition { missed, ..definition("* * * * *", "UTC") });
    shard.now = Micros(SPRING + away);
    let ran = planned(&shard.tick()).iter().map(|at| (at - SPRING) / MINUTE).collect();
    assert!(shard.state.next_timer(&Settings::default()).is_some_and(|next| next > shard.now));
    let schedule = shard.schedule("often");
    assert_eq!(schedule.next.0, SPRING + away / MINUTE * MINUTE + MINUTE);
    (ran, schedule)
}

#[test]
fn once_makes_up_for_the_newest() {
    let (ran, schedule) = after(Missed::Once, HOUR + 30_000_000);
    assert_eq!((ran, schedule.fired, schedule.skipped), (vec![60], 1, 59));
    assert_eq!(schedule.last_planned.0, SPRING + HOUR);
}

#[test]
fn skip_runs_what_is_hardly_late_and_nothing_else() {
    let (ran, schedule) = after(Missed::Skip, HOUR + 30_000_000);
    assert_eq!((ran, schedule.skipped), (vec![60], 59), "the newest is half a minute late");
    let mut shard = shard_at(SPRING);
    shard.set("daily", Definition { missed: Missed::Skip, ..definition("@daily", "UTC") });
    let at = |shard: &mut Shard, late| {
        shard.now = Micros(shard.schedule("daily").next.0 + late);
        shard.tick()
    };
    assert_eq!(planned(&at(&mut shard, MINUTE)), [SPRING + DAY]);
    let events = at(&mut shard, MINUTE + 1);
    assert!(matches!(&events[..], [Event::ScheduleSkipped { skipped: 1, .. }]), "{events:?}");
    let schedule = shard.schedule("daily");
    assert_eq!((schedule.skipped, schedule.next.0), (1, SPRING + 3 * DAY));
    assert_eq!(schedule.last_planned.0, SPRING + DAY);
}

#[test]
fn all_are_made_up_for_up_to_a_bound() {
    let (ran, schedule) = after(Missed::All, HOUR);
    assert_eq!((ran, schedule.skipped), ((1..=60).collect(), 0));
    let (ran, schedule) = after(Missed::All, 5 * HOUR);
    assert_eq!((ran, schedule.skipped), ((201..=300).collect(), 200), "the newest hundred");
    let (ran, schedule) = after(Missed::All, 30 * DAY);
    assert_eq!((ran.len(), schedule.skipped), (100, 1000), "counted up to a bound");
}

/// What does not fit an entry goes on in the next, as it would have.
#[test]
fn runs_that_are_made_up_for_may_take_several_entries() {
    let mut shard = shard_at(SPRING);
    let missed = Missed::All;
    shard.set("often", Definition { missed, ..definition("* * * * *", "UTC") });
    shard.now.0 += 5 * HOUR;
    let mut ran = Vec::new();
    while shard.state.next_timer(&Settings::default()).is_some_and(|due| due <= shard.now) {
        let events =
            decide_timers(&shard.state, &Settings::default(), shard.now, 7, &mut Vec::new());
        assert!((1..=7).contains(&planned(&events).len()));
        ran.extend(planned(&events));
        shard.state.absorb(shard.now, &Group { events, ..Group::default() });
        // As if the shard were restarted between any two entries.
        shard.state = State::restore(shard.state.snapshot()).expect("just written");
        shard.state.check();
    }
    assert_eq!(ran, (201..=300).map(|n| SPRING + n * MINUTE).collect::<Vec<_>>());
    assert_eq!(shard.schedule("often").skipped, 200);
}

/// The shard goes down before, between and after planned times, and comes back from its log or a snapshot.
#[test]
fn nothing_runs_twice_or_never_however_often_the_shard_is_restarted() {
    let mut log: Vec<(Micros, Group)> = Vec::new();
    let mut shard = shard_at(SPRING);
    let action = ScheduleAction::Set(definition("*/2 * * * *", "UTC"));
    let control = ScheduleControl { queue: "q", name: "even", action };
    let request = Request { schedule_controls: vec![control], ..shard.request() };
    let start = shard.state.snapshot();
    let set = match jobbie_core::decide(&shard.state, shard.now, &request, &mut Vec::new()) {
        jobbie_core::Decision::Events(group) => group,
        other => panic!("{other:?}"),
    };
    shard.state.absorb(shard.now, &set);
    log.push((shard.now, set));
    let start: Vec<_> = start.collect();
    let mut ran = Vec::new();
    for second in 1..=600_u64 {
        shard.now = Micros(SPRING + second * 1_000_000);
        // Down for the last seconds before every other planned time, and some behind it.
        if second % 240 > 230 || second % 240 < 7 {
            continue;
        }
        let restored = match second % 2 {
            0 => State::restore(shard.state.snapshot()),
            _ => State::restore(&start),
        };
        let mut restored = restored.expect("just written");
        if second % 2 == 1 {
            log.iter().for_each(|(time, group)| drop(restored.absorb(*time, group)));
        }
        assert_eq!(restored.digest(), shard.state.digest(), "at second {second}");
        shard.state = restored;
        let events =
            decide_timers(&shard.state, &Settings::default(), shard.now, 1000, &mut Vec::new());
        // Decided and lost: nobody has seen it, and it is decided again.
        let again =
            decide_timers(&shard.state, &Settings::default(), shard.now, 1000, &mut Vec::new());
        assert_eq!(events, again);
        if !events.is_empty() {
            ran.extend(planned(&events));
            let group = Group { events, ..Group::default() };
            shard.state.absorb(shard.now, &group);
            log.push((shard.now, group));
        }
    }
    assert_eq!(ran, [2, 4, 6, 8, 10].map(|n| SPRING + n * MINUTE));
    assert_eq!(shard.work(), 5);
}

#[test]
fn r05_schedules_wait_while_there_is_no_room_and_miss_what_they_miss() {
    let mut shard = shard_at(SPRING);
    shard.set("often", Definition { missed: Missed::Once, ..definition("* * * * *", "UTC") });
    let full = Settings { schedules_wait: true, ..Settings::default() };
    shard.now = Micros(SPRING + 5 * MINUTE);
    assert_eq!(shard.state.next_timer(&full), None);
    assert_eq!(decide_timers(&shard.state, &full, shard.now, 1000, &mut Vec::new()), []);
    assert!(shard.state.next_timer(&Settings::default()).is_some_and(|due| due <= shard.now));
    assert_eq!(planned(&shard.tick()), [SPRING + 5 * MINUTE]);
    assert_eq!(shard.schedule("often").skipped, 4);
}
