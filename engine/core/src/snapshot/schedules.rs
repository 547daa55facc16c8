//! Schedules in a snapshot.

use std::rc::Rc;

use jobbie_proto::event::{Class, Missed};
use jobbie_proto::limits::{
    KEY_BYTES_MAX, LIMIT_KEY_BYTES_MAX, PRIORITY_TIERS, SCHEDULE_NAME_BYTES_MAX,
};
use jobbie_proto::{EventSeq, JobSeq, Micros};
use rkyv::{Archive, Deserialize, Serialize};

use super::read::{Checked, require};
use crate::schedules::{Schedule, key_of};
use crate::state::State;

/// Schedules in one chunk: a row is below a kilobyte and a half.
const ROWS: usize = 150;

#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct ScheduleRow {
    name: String,
    class: Class,
    limit_key: String,
    expression: String,
    zone: String,
    missed: Missed,
    unique: Vec<u8>,
    unique_ms: u64,
    defined: EventSeq,
    paused: bool,
    next: Micros,
    last_planned: Micros,
    last_job: JobSeq,
    last_created_ms: u64,
    fired: u64,
    skipped: u64,
}

/// A job that a schedule made, and the event that says what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct DefinitionRow {
    pub(super) job: u64,
    pub(super) event: EventSeq,
}

/// Schedules behind one with this key, and the key to go on with.
pub(super) fn rows(state: &State, after: &str) -> (Vec<ScheduleRow>, Option<String>) {
    let rows: Vec<_> = state.schedules.after(after).take(ROWS).map(|one| row(one)).collect();
    let last = rows.last().filter(|_| rows.len() == ROWS);
    let next = last.map(|last| key_of(&last.class.queue, &last.name));
    (rows, next)
}

fn row(schedule: &Schedule) -> ScheduleRow {
    ScheduleRow {
        name: schedule.name.to_string(),
        class: (*schedule.class).clone(),
        limit_key: schedule.limit_key.to_string(),
        expression: schedule.expression.to_string(),
        zone: schedule.zone.to_string(),
        missed: schedule.missed,
        unique: schedule.unique.to_vec(),
        unique_ms: schedule.unique_ms,
        defined: EventSeq(schedule.defined),
        paused: schedule.paused,
        next: Micros(schedule.next),
        last_planned: Micros(schedule.last_planned),
        last_job: JobSeq(schedule.last_job),
        last_created_ms: schedule.last_created_ms,
        fired: schedule.fired,
        skipped: schedule.skipped,
    }
}

pub(super) fn restore(state: &mut State, row: ScheduleRow) -> Checked {
    let named = (1..=SCHEDULE_NAME_BYTES_MAX).contains(&row.name.len());
    require(named, "a schedule's name is too long")?;
    let texts = [
        (row.expression.len(), jobbie_cron::EXPRESSION_BYTES_MAX),
        (row.zone.len(), jobbie_cron::ZONE_BYTES_MAX),
    ];
    let keys = [(row.limit_key.len(), LIMIT_KEY_BYTES_MAX), (row.unique.len(), KEY_BYTES_MAX)];
    let fits = texts.into_iter().chain(keys).all(|(len, most)| len <= most);
    require(fits, "a text of a schedule is too long")?;
    require(row.class.priority < PRIORITY_TIERS, "priority out of range")?;
    let queue = row.class.queue.as_str();
    require(state.queues.find(queue).is_some(), "a schedule of an unknown queue")?;
    require(state.schedules.find(queue, &row.name).is_none(), "a schedule comes twice")?;
    let defined = (1..state.next_event).contains(&row.defined.0);
    require(defined, "a schedule is ahead of its event")?;
    require(row.last_planned.0 <= state.time, "a schedule has run ahead of its time")?;
    let rises = row.next.0 == 0 || row.next > row.last_planned;
    require(rises, "a schedule is planned for the past")?;
    let known = row.last_job.0 < state.next_job && row.last_created_ms <= Micros(state.time).ms();
    require(known, "a schedule is ahead of its jobs")?;
    state.schedules.put(Schedule {
        name: row.name.into(),
        class: Rc::new(row.class),
        limit_key: row.limit_key.into(),
        expression: row.expression.into(),
        zone: row.zone.into(),
        missed: row.missed,
        unique: row.unique.into(),
        unique_ms: row.unique_ms,
        defined: row.defined.0,
        paused: row.paused,
        next: row.next.0,
        last_planned: row.last_planned.0,
        last_job: row.last_job.0,
        last_created_ms: row.last_created_ms,
        fired: row.fired,
        skipped: row.skipped,
    });
    Ok(())
}

pub(super) fn restore_definition(state: &mut State, row: DefinitionRow) -> Checked {
    require(state.jobs.contains(row.job), "a definition of an unknown job")?;
    let defined = row.event.0 > 0 && row.event.0 < state.jobs.origin(row.job).event;
    require(defined, "a job is older than its definition")?;
    require(state.schedules.definition_of(row.job).is_none(), "a job has two definitions")?;
    state.schedules.made(row.job, row.event.0);
    Ok(())
}
