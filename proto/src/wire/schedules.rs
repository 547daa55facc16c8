//! Schedules on the wire: what is done to them, what is asked of them, and the answers.

use super::blob::{BlobReader, len_u16, len_u32};
use super::encoder::Scratch;
use super::generated as fb;
use super::table::{Names, Table, backoff, code, collect, job_id, job_id_to};
use super::{DecodeError, EncodeError};
use crate::event::Missed;
use crate::limits::{OPS_PER_REQUEST_MAX, SCHEDULE_TIMES_MAX};
use crate::reply::{ScheduleDone, ScheduleView};
use crate::request::{Definition, ScheduleAction, ScheduleControl, Schedules};
use crate::{Code, JobId, Micros, Request, ShardId};

/// A schedule that was looked up or listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleDetails<'a> {
    /// Its queue.
    pub queue: &'a str,
    /// Its name there.
    pub name: &'a str,
    /// What it does and when; without payload and tags in a list.
    pub definition: Definition<'a>,
    /// Whether it is paused.
    pub paused: bool,
    /// The next planned time; 0 is never, or not before it is resumed.
    pub next: Micros,
    /// The planned time that was run last; 0 is none.
    pub last_planned: Micros,
    /// The job of its last run, by plan or on demand.
    pub last_job: Option<JobId>,
    /// Jobs it has made.
    pub fired: u64,
    /// Planned times that made no job.
    pub skipped: u64,
}

/// What became of a schedule control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleChanged {
    /// `Ok`, or `Duplicate` when the job that was asked for is there already.
    pub code: Code,
    /// The next planned time; 0 is never, or not before it is resumed.
    pub next: Micros,
    /// The job that was asked for.
    pub job: Option<JobId>,
}

impl<'a> ScheduleDetails<'a> {
    /// A schedule as the state knows it, with what the log holds of it.
    #[must_use]
    pub fn new(view: &'a ScheduleView, payload: &'a [u8], tags: &'a [u8]) -> Self {
        let class = &view.class;
        Self {
            queue: &class.queue,
            name: &view.name,
            definition: Definition {
                expression: &view.expression,
                zone: &view.zone,
                missed: view.missed,
                payload,
                tags,
                unique: &view.unique,
                unique_ms: view.unique_ms,
                limit_key: &view.limit_key,
                priority: class.priority,
                max_retries: class.max_retries,
                backoff: class.backoff,
                backoff_base_ms: class.backoff_base_ms,
                backoff_cap_ms: class.backoff_cap_ms,
                expire_after_ms: class.expire_after_ms,
            },
            paused: view.paused,
            next: view.next,
            last_planned: view.last_planned,
            last_job: view.last_job,
            fired: view.fired,
            skipped: view.skipped,
        }
    }

    pub(super) fn put(&self, scratch: &mut Scratch) -> Result<(), EncodeError> {
        let name = scratch.names.intern(self.queue)?;
        scratch.schedule_states.push(fb::ScheduleState::new(
            &some_job_to(self.last_job),
            self.next.0,
            self.last_planned.0,
            self.fired,
            self.skipped,
            name,
            len_u16("schedule name", self.name.as_bytes())?,
            self.paused,
        ));
        scratch.schedule_bytes.extend_from_slice(self.name.as_bytes());
        let definition = put_definition(&self.definition, &mut scratch.schedule_bytes)?;
        scratch.schedules.push(definition);
        Ok(())
    }
}

fn some_job(id: &fb::JobId) -> Result<Option<JobId>, DecodeError> {
    if id.high() == 0 && id.low() == 0 { Ok(None) } else { job_id(id).map(Some) }
}

fn some_job_to(id: Option<JobId>) -> fb::JobId {
    id.map_or_else(fb::JobId::default, job_id_to)
}

fn put_definition(
    definition: &Definition<'_>,
    out: &mut Vec<u8>,
) -> Result<fb::Schedule, EncodeError> {
    let Definition { expression, zone, payload, tags, unique, limit_key, .. } = *definition;
    for part in
        [payload, tags, unique, limit_key.as_bytes(), expression.as_bytes(), zone.as_bytes()]
    {
        out.extend_from_slice(part);
    }
    Ok(fb::Schedule::new(
        definition.expire_after_ms,
        definition.unique_ms,
        len_u32("payload", payload)?,
        len_u32("tags", tags)?,
        definition.max_retries,
        definition.backoff_base_ms,
        definition.backoff_cap_ms,
        len_u16("unique key", unique)?,
        len_u16("limit key", limit_key.as_bytes())?,
        len_u16("expression", expression.as_bytes())?,
        len_u16("zone", zone.as_bytes())?,
        definition.priority,
        definition.backoff as u8,
        definition.missed as u8,
    ))
}

fn definition<'a>(
    wire: &fb::Schedule,
    blob: &mut BlobReader<'a>,
) -> Result<Definition<'a>, DecodeError> {
    let missed = Missed::from_u8(wire.missed());
    let unknown = DecodeError::Value { field: "missed", value: wire.missed().into() };
    Ok(Definition {
        payload: blob.bytes("payload", wire.payload_len())?,
        tags: blob.bytes("tags", wire.tags_len())?,
        unique: blob.bytes("unique key", wire.unique_len().into())?,
        limit_key: blob.text("limit key", wire.limit_key_len().into())?,
        expression: blob.text("expression", wire.expression_len().into())?,
        zone: blob.text("zone", wire.zone_len().into())?,
        missed: missed.ok_or(unknown)?,
        unique_ms: wire.unique_ms(),
        priority: wire.priority(),
        max_retries: wire.max_retries(),
        backoff: backoff(wire.backoff())?,
        backoff_base_ms: wire.backoff_base_ms(),
        backoff_cap_ms: wire.backoff_cap_ms(),
        expire_after_ms: wire.expire_after_ms(),
    })
}

/// What a request says of schedules.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) controls: Vec<fb::ScheduleControl>,
    pub(super) definitions: Vec<fb::Schedule>,
    pub(super) query: Option<fb::ScheduleQuery>,
}

impl Asked {
    pub(super) fn put(
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        request: &Request<'_>,
    ) -> Result<Self, EncodeError> {
        let mut asked = Self::default();
        for control in &request.schedule_controls {
            asked.control(scratch, out, control)?;
        }
        let (kind, texts, times) = match request.schedules {
            Schedules::None => return Ok(asked),
            Schedules::One { queue, name, times } => (1, [queue, "", name], times),
            Schedules::List { queue, after_queue, after_name } => {
                (2, [queue, after_queue, after_name], 0)
            }
        };
        let mut lens = [0; 3];
        for (len, text) in lens.iter_mut().zip(texts) {
            *len = len_u16("queue or schedule name", text.as_bytes())?;
            out.extend_from_slice(text.as_bytes());
        }
        asked.query = Some(fb::ScheduleQuery::new(times, lens[0], lens[1], lens[2], kind));
        Ok(asked)
    }

    fn control(
        &mut self,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        control: &ScheduleControl<'_>,
    ) -> Result<(), EncodeError> {
        let kind = match control.action {
            ScheduleAction::Set(_) => 1,
            ScheduleAction::Pause => 2,
            ScheduleAction::Resume => 3,
            ScheduleAction::Run => 4,
            ScheduleAction::Delete => 5,
        };
        let queue = scratch.names.intern(control.queue)?;
        let name_len = len_u16("schedule name", control.name.as_bytes())?;
        self.controls.push(fb::ScheduleControl::new(queue, name_len, kind));
        out.extend_from_slice(control.name.as_bytes());
        if let ScheduleAction::Set(definition) = &control.action {
            self.definitions.push(put_definition(definition, out)?);
        }
        Ok(())
    }
}

pub(super) fn controls<'a>(
    table: &Table<'a>,
    queues: &Names<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<ScheduleControl<'a>>, DecodeError> {
    use fb::Request as T;
    let controls = table.list("schedule controls", T::VT_SCHEDULE_CONTROLS, OPS_PER_REQUEST_MAX)?;
    let definitions = table.list("schedules", T::VT_SCHEDULES, OPS_PER_REQUEST_MAX)?;
    let mut definitions = definitions.iter().map(|raw| fb::Schedule(*raw));
    let controls = collect(controls, |raw| {
        let wire = fb::ScheduleControl(raw);
        let name = blob.text("schedule name", wire.name_len().into())?;
        let action = match wire.kind() {
            1 => {
                let missing = DecodeError::Parallel { field: "schedules" };
                let wire = definitions.next().ok_or(missing)?;
                ScheduleAction::Set(definition(&wire, blob)?)
            }
            2 => ScheduleAction::Pause,
            3 => ScheduleAction::Resume,
            4 => ScheduleAction::Run,
            5 => ScheduleAction::Delete,
            kind => {
                let field = "kind of schedule control";
                return Err(DecodeError::Value { field, value: kind.into() });
            }
        };
        Ok(ScheduleControl { queue: queues.get(wire.name())?, name, action })
    })?;
    match definitions.next() {
        None => Ok(controls),
        Some(_) => Err(DecodeError::Parallel { field: "schedules" }),
    }
}

pub(super) fn query<'a>(
    table: &Table<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Schedules<'a>, DecodeError> {
    let query = table.structure(fb::Request::VT_SCHEDULE_QUERY)?.map(fb::ScheduleQuery);
    let Some(query) = query else { return Ok(Schedules::None) };
    let queue = blob.text("queue name", query.queue_len().into())?;
    let after_queue = blob.text("queue name", query.after_queue_len().into())?;
    let name = blob.text("schedule name", query.name_len().into())?;
    match query.kind() {
        0 => Ok(Schedules::None),
        1 => Ok(Schedules::One { queue, name, times: query.times() }),
        2 => Ok(Schedules::List { queue, after_queue, after_name: name }),
        kind => Err(DecodeError::Value { field: "kind of schedule query", value: kind.into() }),
    }
}

pub(super) fn done_to(shard: ShardId, done: &ScheduleDone) -> fb::ScheduleDone {
    let job = (done.job.0 > 0).then(|| JobId::new(done.created_ms, shard, done.job));
    fb::ScheduleDone::new(&some_job_to(job), done.next.0, done.code as u8)
}

pub(super) fn changed(table: &Table<'_>) -> Result<Vec<ScheduleChanged>, DecodeError> {
    let field = fb::Reply::VT_SCHEDULE_CONTROLS;
    collect(table.list("schedule controls", field, OPS_PER_REQUEST_MAX)?, |raw| {
        let done = fb::ScheduleDone(raw);
        let (code, job) = (code(done.code())?, some_job(done.job())?);
        Ok(ScheduleChanged { code, next: Micros(done.next_us()), job })
    })
}

pub(super) fn details<'a>(
    table: &Table<'a>,
    names: &Names<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<Vec<ScheduleDetails<'a>>, DecodeError> {
    use fb::Reply as T;
    let definitions = table.list("schedules", T::VT_SCHEDULES, usize::MAX)?;
    let states = table.list("schedule states", T::VT_SCHEDULE_STATES, usize::MAX)?;
    if definitions.len() != states.len() {
        return Err(DecodeError::Parallel { field: "schedule states" });
    }
    let mut definitions = definitions.iter().map(|raw| fb::Schedule(*raw));
    collect(states, |raw| {
        let state = fb::ScheduleState(raw);
        let name = blob.text("schedule name", state.name_len().into())?;
        let wire = definitions.next().expect("as many as states");
        Ok(ScheduleDetails {
            queue: names.get(state.name())?,
            name,
            definition: definition(&wire, blob)?,
            paused: state.paused(),
            next: Micros(state.next_us()),
            last_planned: Micros(state.last_planned_us()),
            last_job: some_job(state.last_job())?,
            fired: state.fired(),
            skipped: state.skipped(),
        })
    })
}

pub(super) fn times(table: &Table<'_>) -> Result<Vec<Micros>, DecodeError> {
    let most = SCHEDULE_TIMES_MAX.into();
    let times = table.list("schedule times", fb::Reply::VT_SCHEDULE_TIMES, most)?;
    collect(times, |raw| Ok(Micros(u64::from_le_bytes(raw))))
}
