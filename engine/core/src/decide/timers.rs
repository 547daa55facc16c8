//! What time alone makes happen.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jobbie_proto::event::{Blob, Event, HoldEnd, QuarantinedJob, Rule, Tie};
use jobbie_proto::reply::JobState;
use jobbie_proto::rules::day_of;
use jobbie_proto::{EventSeq, JobSeq, Micros, SessionId};

use super::BlobSink;
use super::schedules::push_runs;
use crate::class::ClassId;
use crate::fifo::Item;
use crate::settings::Settings;
use crate::state::{CLASS_TIMER, Standing, State, ended_at, item_of, purge_at};
use crate::tracked::Tracked;
use crate::workers::silent_at;

/// Where something due was found. At one time, what may stand for others comes before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// First of a list of leases, at this place of their heap.
    List,
    /// In a list of leases, with this number.
    Lease,
    /// At this place of the heap.
    Timer,
    /// Among the untouched jobs of a class.
    Class,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    LeaseExpired,
    Quarantined,
    Promoted,
    Expired,
    Approved,
    Cancelled,
    Purged,
    PlanTimedOut,
}

/// Time, source, key (the token of a lease, otherwise the job), and place or number.
type Due = BinaryHeap<Reverse<(u64, Source, u64, u32)>>;

/// What is due at `now`, at most `limit` jobs: leases that ran out, jobs whose time has come, jobs that have expired,
/// holds that are over, plans that have timed out; then, as far as there is room, jobs that ended long ago, batches that were
/// called back long ago, and what schedules have planned. Workers that are silent come last. In the order of time; at one time leases come first, in the order of
/// their tokens. Absorb it as a group of no session, and ask again while
/// [`State::next_timer`] is not after `now`.
#[must_use]
pub fn decide_timers(
    state: &State,
    settings: &Settings,
    now: Micros,
    limit: usize,
    blob: &mut impl BlobSink,
) -> Vec<Event> {
    let log_time = now;
    let now = if crate::mutant!(LeaseEndedEarly) { now.plus_ms(50) } else { now };
    let most = limit;
    let mut due = Due::new();
    let mut steps: Vec<(Step, u64)> = Vec::new();
    push_lists(state, None, now.0, &mut due);
    push_timer(state, 0, now.0, &mut due);
    while steps.len() < limit
        && let Some(Reverse((_, source, key, at))) = due.pop()
    {
        match source {
            Source::Class => steps.push((Step::Expired, key)),
            Source::List => {
                push_lists(state, Some(at), now.0, &mut due);
                push_lease(state, state.leases.first_at(at), now.0, &mut due);
            }
            Source::Lease => {
                let tracked = state.tracked.get(state.leases.get(at).job);
                steps.push((after_expiry(state, settings, tracked), tracked.job));
                if let Some(next) = state.leases.after(at) {
                    push_lease(state, next, now.0, &mut due);
                }
            }
            Source::Timer => {
                for below in state.timers.children(at) {
                    push_timer(state, below, now.0, &mut due);
                }
                if key & CLASS_TIMER != 0 {
                    let class = ClassId((key & !CLASS_TIMER) as u32);
                    push_expired(state, class, now.0, limit, &mut due);
                } else if let Some(step) = step_of(state, key, now.0) {
                    steps.push((step, key));
                }
            }
        }
    }
    push_purges(state, settings, now.0, limit, &mut steps);
    let mut events = Vec::new();
    // Comes before what may be leased by it.
    if state.rules.turns_at().is_some_and(|at| at <= log_time.0) {
        events.push(Rule::DayTurned { day: day_of(log_time) }.into());
    }
    let old = state.ties.batches.purgeable(now.0, settings).take(limit - steps.len());
    let batches: Vec<_> = old.map(EventSeq).collect();
    let limit = limit - batches.len();
    if !batches.is_empty() {
        events.push(Tie::BatchesForgotten { batches }.into());
    }
    // Each of them counts as one of the jobs, and comes before what may be leased by it.
    let open = state.openings.iter().take_while(|(at, _)| *at <= now.0);
    // Those of one time by name: which number a queue has is nobody's business.
    let mut open: Vec<_> = open.map(|(at, queue)| (*at, &state.queues.get(*queue).name)).collect();
    open.sort_unstable();
    let names = open.into_iter().map(|(_, name)| name.to_string());
    let queues: Vec<_> = names.take(limit - steps.len()).collect();
    let left = limit - steps.len() - queues.len();
    if !queues.is_empty() {
        events.push(Event::LimitsOpened { queues });
    }
    for run in steps.chunk_by(|a, b| a.0 == b.0) {
        let jobs = || run.iter().map(|(_, job)| JobSeq(*job));
        events.push(match run[0].0 {
            Step::LeaseExpired => Event::LeaseExpired { jobs: jobs().collect() },
            Step::Promoted => Event::Promoted { jobs: jobs().collect() },
            Step::Expired => Event::Expired { jobs: jobs().collect() },
            Step::Cancelled => Event::Cancelled { jobs: jobs().collect() },
            Step::Purged => Event::Purged { jobs: jobs().collect() },
            Step::PlanTimedOut => Event::PlanTimedOut { jobs: jobs().collect() },
            Step::Quarantined => Event::Quarantined {
                jobs: jobs().map(|job| quarantine(state, job, blob)).collect(),
            },
            Step::Approved => {
                let (note, by) = (Blob::default(), Blob::default());
                events.extend(jobs().map(|job| Event::Approved { job, note, by }));
                continue;
            }
        });
    }
    if !settings.schedules_wait {
        push_runs(state, log_time, left, blob, &mut events);
    }
    let told: u64 = events.iter().map(Event::count).sum();
    let left = most.saturating_sub(usize::try_from(told).unwrap_or(most));
    push_silent(state, log_time, left, &mut events);
    events
}

/// Workers that nobody has heard of for long.
fn push_silent(state: &State, now: Micros, limit: usize, events: &mut Vec<Event>) {
    let silent = state.workers.silent().take_while(|(seen, _)| silent_at(*seen) <= now.0);
    let workers: Vec<_> = silent.take(limit).map(|(_, key)| key.clone()).collect();
    if !workers.is_empty() {
        events.push(Event::WorkersForgotten { workers });
    }
}

/// A job without attempts left that has lost its workers often enough kills them, or nobody can do it in time.
fn after_expiry(state: &State, settings: &Settings, tracked: &Tracked) -> Step {
    let max_retries = state.classes.get(tracked.class).class.max_retries.max(1);
    let expiries = u32::from(tracked.lease_expiries) + 1;
    if tracked.attempt >= max_retries
        && settings.lease_expiries_max > 0
        && expiries >= settings.lease_expiries_max
        && !crate::mutant!(CrashLoopUnnoticed)
    {
        Step::Quarantined
    } else {
        Step::LeaseExpired
    }
}

fn quarantine(state: &State, job: JobSeq, blob: &mut impl BlobSink) -> QuarantinedJob {
    let number = state.number_of(job.0).expect("an active job has a struct");
    let tracked = state.tracked.get(number);
    let lease = state.leases.get(tracked.lease().expect("its lease has run out"));
    let (attempt, lease_expiries) = (tracked.attempt, u32::from(tracked.lease_expiries) + 1);
    let session = SessionId(state.sessions.get(lease.session).id);
    let error = format!(
        "lease expired: {lease_expiries} workers lost this job and none of its {attempt} attempts is left; the last \
         one was session {session}"
    );
    let previous = state.side(tracked).error;
    let error = blob.append(error.as_bytes());
    QuarantinedJob { job, attempt, lease_expiries, session, error, previous }
}

/// Jobs that ended long ago, in the order in which they did; those of one time by number.
fn push_purges(
    state: &State,
    settings: &Settings,
    now: u64,
    limit: usize,
    steps: &mut Vec<(Step, u64)>,
) {
    let is_old = |ended: &Item| purge_at(*ended, settings) <= now;
    let before = state.ended_before.iter().copied().map(item_of).take_while(is_old);
    let old = before.chain(state.ended.iter().take_while(is_old));
    let old = old.filter_map(|ended| Some((ended_at(ended), state.is_ended(ended)?)));
    let mut old: Vec<_> = old.take(limit.saturating_sub(steps.len())).collect();
    old.sort_unstable();
    // One that ended twice within a microsecond is listed twice.
    old.dedup();
    steps.extend(old.into_iter().map(|(_, job)| (Step::Purged, job)));
}

fn push_lists(state: &State, below: Option<u32>, now: u64, due: &mut Due) {
    for at in state.leases.firsts_below(below) {
        let deadline = state.leases.get(state.leases.first_at(at)).deadline;
        if deadline <= now {
            due.push(Reverse((deadline, Source::List, 0, at)));
        }
    }
}

fn push_lease(state: &State, at: u32, now: u64, due: &mut Due) {
    let lease = state.leases.get(at);
    if lease.deadline <= now {
        let token = state.tracked.get(lease.job).mark;
        due.push(Reverse((lease.deadline, Source::Lease, token, at)));
    }
}

fn push_timer(state: &State, at: u32, now: u64, due: &mut Due) {
    if (at as usize) < state.timers.len() {
        let timer = state.timers.at(at);
        if timer.due <= now {
            due.push(Reverse((timer.due, Source::Timer, timer.key, at)));
        }
    }
}

/// The untouched jobs of a class that have expired. They expire in the order of their creation.
fn push_expired(state: &State, class: ClassId, now: u64, limit: usize, due: &mut Due) {
    let mut left = limit;
    for item in state.classes.get(class).expiring.iter() {
        let Item::Run { first, count } = item else { unreachable!("only runs are watched") };
        let mut from = first;
        while let Some(job) = state.next_expiring(from, first + count) {
            let at = state.expire_at(state.jobs.origin(job)).expect("its class expires");
            if at > now || left == 0 {
                return;
            }
            due.push(Reverse((at, Source::Class, job, 0)));
            left -= 1;
            from = job + 1;
        }
    }
}

/// What a job's own timer means at `now`.
fn step_of(state: &State, job: u64, now: u64) -> Option<Step> {
    match state.standing(job) {
        Standing::Fresh => unreachable!("an untouched job has no timer"),
        // Its class watches its expiry.
        Standing::Sleeping(_) => (!state.is_expired(job, now)).then_some(Step::Promoted),
        Standing::Tracked(_) if state.is_expired(job, now) => Some(Step::Expired),
        Standing::Tracked(tracked) if tracked.state == JobState::Held => match tracked.then {
            HoldEnd::Approve => Some(Step::Approved),
            HoldEnd::Cancel => Some(Step::Cancelled),
            HoldEnd::Stay => unreachable!("a hold without an end has no timer"),
        },
        Standing::Tracked(tracked) if tracked.state == JobState::Planned => {
            Some(Step::PlanTimedOut)
        }
        Standing::Tracked(_) => Some(Step::Promoted),
    }
}
