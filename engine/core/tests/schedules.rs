//! Schedules over virtual time: when they fire, what is made up for, and that nothing runs twice or never.

#[path = "schedules/downtime.rs"]
mod downtime;
#[path = "schedules/emptied.rs"]
mod emptied;
#[path = "schedules/refused.rs"]
mod refused;
mod shard;

use jobbie_core::{Settings, State, decide_timers};
use jobbie_proto::event::{BackoffKind, Event, Group, Missed};
use jobbie_proto::reply::{ScheduleDone, ScheduleView};
use jobbie_proto::request::{
    Ack, Definition, Enqueue, JobAction, JobControl, JobRef, ScheduleAction, ScheduleControl,
    Schedules,
};
use jobbie_proto::{Code, JobId, Micros, Request};
use shard::{Shard, enqueue};

const MINUTE: u64 = 60_000_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// 29 March 2026 00:00 UTC; an hour later 02:00 becomes 03:00 in Berlin.
const SPRING: u64 = 1_774_742_400_000_000;
/// 25 October 2026 00:00 UTC; an hour later 03:00 becomes 02:00 in Berlin.
const AUTUMN: u64 = 1_792_886_400_000_000;

fn definition(expression: &'static str, zone: &'static str) -> Definition<'static> {
    Definition {
        expression,
        zone,
        missed: Missed::Once,
        payload: b"work",
        tags: b"tags",
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: 1,
        max_retries: 4,
        backoff: BackoffKind::Fixed,
        backoff_base_ms: 10,
        backoff_cap_ms: 0,
        expire_after_ms: 0,
    }
}

/// A shard whose clock is at `now`.
fn shard_at(now: u64) -> Shard {
    let mut shard = Shard::new();
    shard.now = Micros(now);
    shard
}

impl Shard {
    fn control(&mut self, name: &'static str, action: ScheduleAction<'static>) -> ScheduleDone {
        let control = ScheduleControl { queue: "q", name, action };
        let request = Request { schedule_controls: vec![control], ..self.request() };
        let reply = self.run(&request);
        assert_eq!(reply.schedule_controls.len(), 1);
        reply.schedule_controls[0]
    }

    fn set(&mut self, name: &'static str, definition: Definition<'static>) -> Micros {
        self.control(name, ScheduleAction::Set(definition)).next
    }

    fn schedule(&self, name: &str) -> ScheduleView {
        self.state.schedule("q", name).expect("it was set")
    }

    /// What time alone does now, absorbed.
    fn tick(&mut self) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            let events =
                decide_timers(&self.state, &Settings::default(), self.now, 1000, &mut Vec::new());
            if events.is_empty() {
                return all;
            }
            all.extend(events.iter().cloned());
            self.state.absorb(self.now, &Group { events, ..Group::default() });
            self.state.check();
        }
    }

    /// Lets time pass from one timer to the next; the planned times that were run, each at its time.
    fn pass(&mut self, until: u64) -> Vec<u64> {
        let mut ran = Vec::new();
        while let Some(due) =
            self.state.next_timer(&Settings::default()).filter(|due| due.0 <= until)
        {
            self.now = self.now.max(due);
            let planned = planned(&self.tick());
            assert!(planned.iter().all(|at| *at == self.now.0), "{planned:?} at {}", self.now);
            ran.extend(planned);
        }
        self.now = Micros(until);
        ran
    }

    /// Leases every job of the queue and finishes it.
    fn work(&mut self) -> usize {
        let leases = self.fetch("q", 1000);
        let acks = leases.iter().map(|lease| Ack { job: *lease, result: b"" }).collect();
        let request = Request { acks, ..self.request() };
        self.run(&request);
        leases.len()
    }
}

/// The planned times that events say were run.
fn planned(events: &[Event]) -> Vec<u64> {
    let planned = |event: &Event| match event {
        Event::ScheduleFired { planned, .. } => Some(planned.0),
        _ => None,
    };
    events.iter().filter_map(planned).collect()
}

#[test]
fn a_local_time_that_does_not_exist_runs_when_the_gap_is_over() {
    let mut shard = shard_at(SPRING - 12 * HOUR);
    let first = shard.set("nightly", definition("30 2 * * *", "Europe/Berlin"));
    assert_eq!(first.0, SPRING + HOUR, "03:00 summer time");
    let ran = shard.pass(SPRING + 3 * DAY);
    let half_past = |days: u64| SPRING + days * DAY + 30 * MINUTE;
    assert_eq!(ran, [SPRING + HOUR, half_past(1), half_past(2)]);
    assert_eq!(shard.work(), 3);
}

#[test]
fn a_local_time_that_comes_twice_runs_once() {
    let mut shard = shard_at(AUTUMN - 12 * HOUR);
    shard.set("nightly", definition("30 2 * * *", "Europe/Berlin"));
    let mut by_hours = definition("0 * * * *", "Europe/Berlin");
    by_hours.missed = Missed::All;
    shard.set("hourly", by_hours);
    let ran = shard.pass(AUTUMN + 2 * DAY);
    let nightly: Vec<_> = ran.iter().filter(|at| *at % HOUR > 0).copied().collect();
    // Summer time on the first day, winter time on the second.
    assert_eq!(nightly, [AUTUMN + HOUR / 2, AUTUMN + DAY + HOUR + HOUR / 2]);
    let hourly = ran.iter().filter(|at| *at % HOUR == 0);
    assert_eq!(hourly.count(), 60, "elapsed hours, whatever the clock shows");
}

#[test]
fn a_run_makes_an_ordinary_job_that_carries_what_was_defined() {
    let mut shard = shard_at(SPRING);
    let defined = shard.state.next_event();
    let job =
        Definition { limit_key: "ann", expire_after_ms: 90_000, ..definition("* * * * *", "") };
    shard.set("often", job);
    assert_eq!(shard.pass(SPRING + MINUTE), [SPRING + MINUTE]);
    let lease = &fetch_one(&mut shard)[0];
    let view = shard.state.job(lease.job).expect("it is active");
    assert_eq!((view.record, &*view.limit_key), (defined, "ann"));
    assert_eq!((view.class.priority, view.class.max_retries), (1, 4));
    assert_eq!(view.expire_at.0, SPRING + MINUTE + 90_000_000);
    let schedule = shard.schedule("often");
    assert_eq!((schedule.last_job, schedule.fired), (Some(lease.job), 1));
    assert_eq!(schedule.last_planned.0, SPRING + MINUTE);
}

fn fetch_one(shard: &mut Shard) -> Vec<JobRef> {
    let leases = shard.fetch("q", 1);
    assert_eq!(leases.len(), 1);
    leases
}

/// A segment stays as long as something in memory refers to it.
#[test]
fn a_definition_is_needed_as_long_as_its_schedule_or_a_job_of_it() {
    let mut shard = shard_at(SPRING);
    let first = shard.state.next_event();
    shard.set("often", definition("* * * * *", ""));
    shard.pass(SPRING + MINUTE);
    let job = fetch_one(&mut shard)[0];
    let second = shard.state.next_event();
    shard.set("often", definition("*/2 * * * *", ""));
    assert_eq!(shard.state.oldest_needed_event(), first, "an old definition's job is there");
    let restored = State::restore(shard.state.snapshot()).expect("just written");
    assert_eq!(restored.oldest_needed_event(), first);
    let request = Request { acks: vec![Ack { job, result: b"" }], ..shard.request() };
    shard.run(&request);
    assert_eq!(shard.state.oldest_needed_event(), second, "the schedule needs its definition");
    shard.control("often", ScheduleAction::Delete);
    assert_eq!(shard.state.oldest_needed_event(), shard.state.next_event());
    assert_eq!(shard.state.next_timer(&Settings::default()), None);
}

#[test]
fn another_payload_for_a_job_leaves_its_schedule_alone() {
    let mut shard = shard_at(SPRING);
    let defined = shard.state.next_event();
    shard.set("often", definition("* * * * *", ""));
    shard.pass(SPRING + MINUTE);
    let job = shard.schedule("often").last_job.expect("it ran");
    let job_controls = vec![JobControl { job, action: JobAction::Replace { payload: b"other" } }];
    let replaced = shard.state.next_event();
    let request = Request { job_controls, ..shard.request() };
    assert_eq!(shard.run(&request).job_controls, [Code::Ok]);
    let view = shard.state.job(job).expect("it waits");
    assert_eq!((view.record, view.payload), (defined, replaced));
    assert_eq!(shard.state.oldest_needed_event(), defined);
}

#[test]
fn a_paused_schedule_rests_and_runs_on_demand_only() {
    let mut shard = shard_at(SPRING);
    shard.set("often", definition("* * * * *", ""));
    assert_eq!(shard.control("often", ScheduleAction::Pause).next.0, 0);
    assert!(shard.pass(SPRING + 10 * MINUTE).is_empty());
    let run = shard.control("often", ScheduleAction::Run);
    assert_eq!((run.code, run.next.0), (Code::Ok, 0));
    assert!(shard.state.schedule_times("q", "often", 5).is_empty());
    let resumed = shard.control("often", ScheduleAction::Resume);
    assert_eq!(resumed.next.0, SPRING + 11 * MINUTE);
    let schedule = shard.schedule("often");
    assert_eq!((schedule.fired, schedule.skipped), (1, 10), "what passed meanwhile is skipped");
    assert_eq!(schedule.last_planned.0, 0, "a run on demand is not by plan");
    let times = shard.state.schedule_times("q", "often", 3);
    assert_eq!(times, [11, 12, 13].map(|n| Micros(SPRING + n * MINUTE)));
    assert_eq!(shard.pass(SPRING + 11 * MINUTE).len(), 1);
}

#[test]
fn another_definition_keeps_what_was_run() {
    let mut shard = shard_at(SPRING);
    shard.set("often", definition("* * * * *", ""));
    shard.pass(SPRING + 2 * MINUTE);
    let next = shard.set("often", definition("0 12 * * *", "Asia/Tokyo"));
    assert_eq!(next.0, SPRING + 3 * HOUR);
    let schedule = shard.schedule("often");
    assert_eq!((schedule.fired, schedule.last_planned.0), (2, SPRING + 2 * MINUTE));
    assert_eq!(schedule.zone, "Asia/Tokyo");
}

#[test]
fn a_unique_key_lets_a_run_pass_while_the_one_before_goes_on() {
    let mut shard = shard_at(SPRING);
    let unique_ms = DAY / 1000;
    shard.set("often", Definition { unique: b"one", unique_ms, ..definition("* * * * *", "") });
    assert_eq!(shard.pass(SPRING + 3 * MINUTE).len(), 3);
    let schedule = shard.schedule("often");
    assert_eq!((schedule.fired, schedule.skipped), (1, 2));
    let run = shard.control("often", ScheduleAction::Run);
    let job = schedule.last_job.expect("it ran");
    assert_eq!((run.code, run.job), (Code::Duplicate, job.seq()));
    assert_eq!(shard.work(), 1);
    shard.pass(SPRING + 4 * MINUTE);
    assert_eq!(shard.schedule("often").fired, 2);
}

/// Without a key of its own, each planned time has one that clients can take, too.
#[test]
fn each_planned_time_has_a_unique_key() {
    let mut shard = shard_at(SPRING);
    shard.set("often", definition("* * * * *", ""));
    let key = format!("often@{}", (SPRING + MINUTE) / 1_000_000);
    let first = shard.enqueue(vec![Enqueue { unique: key.as_bytes(), ..enqueue("q") }]);
    shard.now.0 += MINUTE;
    let events = shard.tick();
    assert!(
        matches!(&events[..], [Event::ScheduleFired { job, duplicate: true, .. }] if *job == first[0].seq()),
        "{events:?}"
    );
    shard.now.0 += MINUTE;
    assert!(matches!(
        &shard.tick()[..],
        [Event::ScheduleFired { duplicate: false, .. }, Event::UniqueTaken { .. }]
    ));
}

#[test]
fn schedules_are_listed_by_queue_and_name() {
    let mut shard = shard_at(SPRING);
    let set = |queue, name| {
        let action = ScheduleAction::Set(definition("@daily", ""));
        ScheduleControl { queue, name, action }
    };
    let schedule_controls = vec![set("r", "a"), set("q", "b"), set("q", "a"), set("qq", "a")];
    let request = Request { schedule_controls, ..shard.request() };
    shard.run(&request);
    let list = |shard: &mut Shard, queue, after_queue, after_name| {
        let schedules = Schedules::List { queue, after_queue, after_name };
        let request = Request { schedules, ..shard.request() };
        let found = jobbie_core::answers(&shard.state, &request).schedules;
        found.iter().map(|one| format!("{}/{}", one.class.queue, one.name)).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut shard, "", "", ""), ["q/a", "q/b", "qq/a", "r/a"]);
    assert_eq!(list(&mut shard, "", "q", "a"), ["q/b", "qq/a", "r/a"]);
    assert_eq!(list(&mut shard, "q", "", ""), ["q/a", "q/b"]);
    assert_eq!(list(&mut shard, "q", "q", "a"), ["q/b"]);
    assert!(list(&mut shard, "none", "", "").is_empty());
}

#[test]
fn one_entry_fires_a_bounded_number() {
    let mut shard = shard_at(SPRING);
    let names: Vec<String> = (0..50).map(|n| format!("s{n:02}")).collect();
    let action = ScheduleAction::Set(definition("* * * * *", ""));
    let set = |name| ScheduleControl { queue: "q", name, action };
    let schedule_controls = names.iter().map(|name| set(name)).collect();
    let request = Request { schedule_controls, ..shard.request() };
    shard.run(&request);
    shard.now.0 += MINUTE;
    let fired = |limit| {
        let events =
            decide_timers(&shard.state, &Settings::default(), shard.now, limit, &mut Vec::new());
        planned(&events).len()
    };
    assert_eq!((fired(7), fired(1000)), (7, 32));
    assert_eq!(planned(&shard.tick()).len(), 50);
    assert_eq!(shard.state.next_timer(&Settings::default()), Some(Micros(SPRING + 2 * MINUTE)));
}

#[test]
fn a_job_id_of_a_run_is_answered() {
    let mut shard = shard_at(SPRING);
    shard.set("often", definition("@yearly", ""));
    let run = shard.control("often", ScheduleAction::Run);
    let id = JobId::new(run.created_ms, shard.state.shard(), run.job);
    assert_eq!(shard.schedule("often").last_job, Some(id));
    assert_eq!(shard.fetch("q", 1)[0].job, id);
}

#[test]
fn r17_a_changed_byte_never_crashes_a_restore_nor_makes_what_contradicts_itself() {
    let mut shard = shard_at(SPRING);
    shard.set("often", Definition { limit_key: "ann", ..definition("* * * * *", "Asia/Tokyo") });
    shard.set("seldom", Definition { unique: b"one", ..definition("@yearly", "") });
    shard.control("seldom", ScheduleAction::Run);
    shard.pass(SPRING + 2 * MINUTE);
    shard.control("seldom", ScheduleAction::Pause);
    let chunks: Vec<_> = shard.state.snapshot().collect();
    let restored = State::restore(&chunks).expect("just written");
    assert!(restored.snapshot().eq(chunks.clone()));
    let mut sound = 0;
    for chunk in 0..chunks.len() {
        for at in 0..chunks[chunk].len() {
            let mut changed = chunks.clone();
            changed[chunk][at] ^= 1 << (at % 8);
            if let Ok(state) = State::restore(changed) {
                state.check();
                sound += 1;
            }
        }
    }
    assert!(sound > 0, "such as another text");
}
