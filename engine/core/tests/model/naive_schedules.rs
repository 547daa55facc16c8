//! Schedules, in the naive model: planned times are multiples of a period.

use jobbie_proto::event::{Class, Event, Missed};
use jobbie_proto::reply::{ScheduleDone, ScheduleView};
use jobbie_proto::request::{Definition, ScheduleAction, ScheduleControl};
use jobbie_proto::{Code, EventSeq, JobId, JobSeq, Micros, Request};

use crate::naive::Naive;

/// Expression, zone, and what they come to: every so many seconds, so many seconds after the full.
pub(crate) const PLANS: [(&str, &str, u64, u64); 5] = [
    ("* * * * *", "UTC", 60, 0),
    ("*/5 * * * *", "Europe/Berlin", 300, 0),
    ("0 * * * *", "Asia/Kolkata", 3600, 1800),
    ("30 5 * * *", "Asia/Kolkata", 86_400, 0),
    ("0 0 * * *", "UTC", 86_400, 0),
];

const SECOND: u64 = 1_000_000;

/// A schedule, and how often it fires.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) view: ScheduleView,
    /// As the view has it, and while it is paused, too.
    pub(crate) next: u64,
    period: u64,
    offset: u64,
}

/// What is due of a schedule: runs, how many before them are skipped, and what is planned behind them.
type Due = (Vec<u64>, u32, u64);

impl Planned {
    fn after(&self, time: u64) -> u64 {
        let since = (time + 1).saturating_sub(self.offset);
        since.next_multiple_of(self.period) + self.offset
    }

    /// Planned times from the next one on, up to `now`.
    fn passed(&self, now: u64) -> Vec<u64> {
        (self.next..=now).step_by(self.period as usize).collect()
    }

    fn due(&self, now: u64) -> Due {
        let passed = self.passed(now);
        let newest = *passed.last().expect("something is due");
        let runs = match self.view.missed {
            Missed::Skip if now - newest > 60 * SECOND => Vec::new(),
            Missed::Skip | Missed::Once => vec![newest],
            Missed::All => passed[passed.len().saturating_sub(100)..].to_vec(),
        };
        let skipped = (passed.len() - runs.len()).min(1000) as u32;
        (runs, skipped, newest + self.period)
    }
}

impl Naive {
    /// Why a request about schedules is not done.
    pub(crate) fn schedules_refused(&self, request: &Request<'_>) -> Option<Code> {
        let controls = &request.schedule_controls;
        controls.iter().enumerate().find_map(|(at, control)| {
            let key = |c: &ScheduleControl<'_>| (c.queue.to_owned(), c.name.to_owned());
            let known = self.schedules.contains_key(&key(control));
            let makes = matches!(control.action, ScheduleAction::Set(_));
            if controls[..at].iter().any(|before| key(before) == key(control)) {
                Some(Code::Invalid)
            } else {
                (!known && !makes).then_some(Code::NotFound)
            }
        })
    }

    pub(crate) fn schedule_control(&mut self, control: &ScheduleControl<'_>) -> ScheduleDone {
        let key = (control.queue.to_owned(), control.name.to_owned());
        let mut done =
            ScheduleDone { code: Code::Ok, next: Micros(0), job: JobSeq(0), created_ms: 0 };
        let event = EventSeq(self.event());
        match &control.action {
            ScheduleAction::Set(definition) => self.set_schedule(control, definition, event),
            ScheduleAction::Pause => self.schedule(&key).view.paused = true,
            ScheduleAction::Resume => {
                let now = self.now;
                let schedule = self.schedule(&key);
                if schedule.view.paused && schedule.next <= now {
                    let passed = schedule.passed(now);
                    schedule.view.skipped += passed.len().min(1000) as u64;
                    schedule.next = schedule.after(now);
                }
                schedule.view.paused = false;
            }
            ScheduleAction::Run => {
                self.see_uniques();
                let (id, duplicate) = self.run_schedule(&key, 0);
                done.code = if duplicate { Code::Duplicate } else { Code::Ok };
                (done.job, done.created_ms) = (id.seq(), id.created_ms());
                if !duplicate && !self.schedules[&key].view.unique.is_empty() {
                    // That of its unique key.
                    self.event();
                }
            }
            ScheduleAction::Delete => {
                self.schedules.remove(&key);
                return done;
            }
        }
        let schedule = self.schedule(&key);
        schedule.view.next = Micros(if schedule.view.paused { 0 } else { schedule.next });
        done.next = schedule.view.next;
        done
    }

    fn schedule(&mut self, key: &(String, String)) -> &mut Planned {
        self.schedules.get_mut(key).expect("it was checked")
    }

    fn set_schedule(
        &mut self,
        control: &ScheduleControl<'_>,
        definition: &Definition<'_>,
        event: EventSeq,
    ) {
        let key = (control.queue.to_owned(), control.name.to_owned());
        let before = self.schedules.get(&key).map(|old| old.view.clone());
        let plan =
            |p: &&(&str, &str, u64, u64)| (p.0, p.1) == (definition.expression, definition.zone);
        let (expression, zone, period, offset) = *PLANS.iter().find(plan).expect("one of ours");
        let view = ScheduleView {
            name: control.name.to_owned(),
            class: Class {
                queue: control.queue.to_owned(),
                priority: definition.priority,
                max_retries: definition.max_retries,
                backoff: definition.backoff,
                backoff_base_ms: definition.backoff_base_ms,
                backoff_cap_ms: definition.backoff_cap_ms,
                expire_after_ms: definition.expire_after_ms,
            },
            limit_key: definition.limit_key.to_owned(),
            expression: expression.to_owned(),
            zone: zone.to_owned(),
            missed: definition.missed,
            unique: definition.unique.to_vec(),
            unique_ms: definition.unique_ms,
            paused: before.as_ref().is_some_and(|old| old.paused),
            next: Micros(0),
            last_planned: before.as_ref().map_or(Micros(0), |old| old.last_planned),
            last_job: before.as_ref().and_then(|old| old.last_job),
            fired: before.as_ref().map_or(0, |old| old.fired),
            skipped: before.as_ref().map_or(0, |old| old.skipped),
            defined: event,
        };
        self.queues.entry(control.queue.to_owned()).or_default();
        let (period, offset) = (period * SECOND, offset * SECOND);
        let mut planned = Planned { view, next: 0, period, offset };
        planned.next = planned.after(self.now);
        self.schedules.insert(key, planned);
    }

    /// Schedules take no notice of unique keys that are over, or that jobs have which wait to be removed.
    pub(crate) fn see_uniques(&mut self) {
        let lives = |((queue, _), (owner, until)): &(&(String, Vec<u8>), &(u64, u64))| {
            *until > self.now && !self.unique_is_over(queue, *owner)
        };
        let seen = self.uniques.iter().filter(lives).map(|(key, taken)| (key.clone(), *taken));
        self.uniques_seen = seen.collect();
    }

    /// Makes a schedule's job, or finds the one that has its unique key.
    fn run_schedule(&mut self, key: &(String, String), planned: u64) -> (JobId, bool) {
        let view = self.schedules[key].view.clone();
        let unique = match (view.unique.as_slice(), planned) {
            ([], 0) => Vec::new(),
            ([], planned) => format!("{}@{}", view.name, planned / SECOND).into_bytes(),
            (unique, _) => unique.to_vec(),
        };
        let unique = (view.class.queue.clone(), unique);
        let owner = self.uniques_seen.get(&unique);
        let (id, duplicate) = match owner {
            Some((owner, _)) => (self.jobs[owner].view.id, true),
            None => {
                let seq = self.admit(&view.class, &view.limit_key, view.defined, 0);
                if !unique.1.is_empty() {
                    let ms = if view.unique_ms == 0 { 3_600_000 } else { view.unique_ms };
                    let taken = (seq, self.now + ms * 1000);
                    self.uniques.insert(unique.clone(), taken);
                    self.uniques_seen.insert(unique, taken);
                }
                (self.jobs[&seq].view.id, false)
            }
        };
        let view = &mut self.schedule(key).view;
        view.last_job = Some(id);
        view.fired += u64::from(!duplicate);
        view.skipped += u64::from(duplicate && planned > 0);
        (id, duplicate)
    }

    /// Follows what time did to a schedule, if it may have.
    pub(crate) fn schedule_timer(&mut self, event: &Event) {
        self.event();
        match event {
            Event::ScheduleFired {
                queue,
                name,
                planned,
                next,
                skipped,
                defined,
                job,
                duplicate,
            } => {
                let key = (queue.clone(), name.clone());
                let schedule = self.schedule(&key);
                let last = schedule.view.last_planned;
                assert!(*planned > last, "schedule {name} ran twice for {planned}");
                assert!(!schedule.view.paused, "schedule {name} ran while it was paused");
                assert_eq!(*defined, schedule.view.defined, "its definition");
                let now = self.now;
                let schedule = self.schedule(&key);
                let (runs, expected, behind) = schedule.due(now);
                assert_eq!(runs.first(), Some(&planned.0), "schedule {name} ran at another time");
                assert_eq!(*skipped, expected, "schedule {name} skipped");
                let following = runs.get(1).copied().unwrap_or(behind);
                assert_eq!(next.0, following, "what schedule {name} plans");
                (schedule.view.last_planned, schedule.view.next) = (*planned, *next);
                schedule.next = following;
                schedule.view.skipped += u64::from(expected);
                assert_eq!(self.run_schedule(&key, planned.0), (self.id_of(*job), *duplicate));
            }
            Event::ScheduleSkipped { queue, name, next, skipped } => {
                let now = self.now;
                let schedule = self.schedule(&(queue.clone(), name.clone()));
                assert!(!schedule.view.paused, "schedule {name} skips while it is paused");
                let (runs, expected, behind) = schedule.due(now);
                assert!(runs.is_empty(), "schedule {name} forgot to run at {runs:?}");
                assert_eq!((*skipped, next.0), (expected, behind), "schedule {name} skipped");
                (schedule.next, schedule.view.next) = (behind, *next);
                schedule.view.skipped += u64::from(expected);
            }
            Event::UniqueTaken { jobs } => {
                let [taken] = &jobs[..] else { panic!("a schedule makes one job at a time") };
                let mut owners = self.uniques.values();
                assert!(owners.any(|own| *own == (taken.job.0, taken.until.0)), "a unique key");
            }
            other => panic!("time alone did {other:?}"),
        }
    }

    fn id_of(&self, job: JobSeq) -> JobId {
        let known = self.jobs.get(&job.0).map(|job| job.view.id);
        known.unwrap_or(JobId::new(self.now / 1000, jobbie_proto::ShardId(0), job))
    }

    /// When the first schedule fires.
    pub(crate) fn first_planned(&self) -> Option<u64> {
        let schedules = self.schedules.values().filter(|one| !one.view.paused);
        schedules.map(|one| one.next).min()
    }
}
