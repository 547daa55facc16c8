//! `dump`: every event as a line of JSON, one line for each event sequence number.

mod agents;
mod archive;
mod ties;

mod rules;
mod schedules;

use std::io::{BufWriter, Write};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jobbie_io::runtime::block_on;
use jobbie_log::{Entry, EntryKind};
use jobbie_proto::event::{
    Blob, Class, EnqueuedJob, ExpectedKind, FailOutcome, Group, StartedOperation, codec,
};
use jobbie_proto::reply::JobState;
use jobbie_proto::{Event, JobId, JobSeq, ShardId};
use serde_json::{Map, Value, json};

use crate::data_dir::{self, Reading};
use crate::error::{Exit, ReplayError};

/// What is printed.
pub(crate) struct Options {
    /// Only events of this job.
    pub(crate) job: Option<u64>,
    /// How much of it.
    pub(crate) show: Show,
}

/// How much is told of what events hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Show {
    /// Contents and not only sizes.
    pub(crate) payloads: bool,
    /// What workers and people said, such as errors and reasons, and not only its size.
    pub(crate) words: bool,
}

/// Prints the events of every log.
pub(crate) fn run(dir: &Path, options: &Options) -> Result<Exit, ReplayError> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut exit = Exit::Sound;
    for log in data_dir::logs(dir)? {
        exit = exit.max(block_on(one(&log, options, &mut out))??);
    }
    out.flush()?;
    Ok(exit)
}

/// Prints what the log still has.
async fn one(dir: &Path, options: &Options, out: &mut impl Write) -> Result<Exit, ReplayError> {
    let log = Reading::open(dir).await?;
    let first = log.first_index();
    if first > 0 {
        eprintln!("{}: the log begins at entry {first}, after a snapshot", dir.display());
    }
    let print = |entry: &Entry| print(&log, entry, options, out).map(|()| true);
    log.entries(first, print).await?;
    Ok(if log.is_torn { Exit::Torn } else { Exit::Sound })
}

fn print(
    log: &Reading,
    entry: &Entry,
    options: &Options,
    out: &mut impl Write,
) -> Result<(), ReplayError> {
    let mut done = Ok(());
    each_event(log, entry, options.show, |told| {
        let is_wanted = options.job.is_none_or(|job| told.fields.get("job") == Some(&job.into()));
        if is_wanted && done.is_ok() {
            done = writeln!(out, "{}", Value::Object(told.line()));
        }
    })?;
    Ok(done?)
}

/// One event sequence number of an entry.
pub(crate) struct Told<'a> {
    pub(crate) shard: u16,
    pub(crate) entry: &'a Entry,
    pub(crate) group: &'a Group,
    /// Its number.
    pub(crate) seq: u64,
    /// Its name and what is told of it.
    pub(crate) fields: Fields,
}

impl Told<'_> {
    /// All of it: where and when it is, and its fields.
    pub(crate) fn line(self) -> Fields {
        let mut line = fields(json!({
            "shard": self.shard,
            "index": self.entry.id.index,
            "term": self.entry.id.term,
            "time_us": self.entry.time_us,
            "seq": self.seq,
            "session": self.group.session.0,
            "request": self.group.number,
        }));
        line.extend(self.fields);
        line
    }
}

/// Hands over every event sequence number of an entry.
pub(crate) fn each_event(
    log: &Reading,
    entry: &Entry,
    show: Show,
    mut visit: impl FnMut(Told<'_>),
) -> Result<(), ReplayError> {
    let (groups, blob) = decode(log, entry)?;
    let shard = log.shard as u16;
    let mut seq = entry.first_event;
    for group in &groups {
        for event in &group.events {
            for fields in (Lines { shard, entry, blob, show }).of(event) {
                visit(Told { shard, entry, group, seq, fields });
                seq += 1;
            }
        }
    }
    Ok(())
}

/// The events of an entry as they are in the log.
pub(crate) fn groups(log: &Reading, entry: &Entry) -> Result<Vec<Group>, ReplayError> {
    Ok(decode(log, entry)?.0)
}

fn decode<'a>(log: &Reading, entry: &'a Entry) -> Result<(Vec<Group>, &'a [u8]), ReplayError> {
    if entry.kind != EntryKind::Batch {
        return Ok((Vec::new(), &[]));
    }
    let (dir, index) = (log.dir().into(), entry.id.index);
    codec::decode(entry.body.bytes()).map_err(|e| ReplayError::Body {
        dir,
        index,
        reason: e.to_string(),
    })
}

/// A line of JSON.
pub(crate) type Fields = Map<String, Value>;

/// Turns the events of one entry into lines.
struct Lines<'a> {
    shard: u16,
    entry: &'a Entry,
    blob: &'a [u8],
    show: Show,
}

impl Lines<'_> {
    /// The fields of each of the event's sequence numbers.
    fn of(&self, event: &Event) -> Vec<Fields> {
        match event {
            Event::Enqueued { class, first_job, jobs, .. } => {
                self.enqueued(class, *first_job, jobs)
            }
            Event::Limited(limited) => {
                let lines = self.enqueued(&limited.class, limited.first_job, &limited.jobs);
                let with = |(mut line, key): (Fields, &String)| {
                    line.insert("limit_key".into(), key.as_str().into());
                    line
                };
                lines.into_iter().zip(&limited.limit_keys).map(with).collect()
            }
            Event::LimitsOpened { queues } => {
                let one = |queue| fields(json!({ "event": "limits_opened", "queue": queue }));
                queues.iter().map(one).collect()
            }
            Event::Leased { deadline, lease_ms, jobs, worker, session } => {
                let worker = Some(self.text(*worker)).filter(|name| name != "");
                let one = |job: &jobbie_proto::event::LeasedJob| {
                    fields(json!({
                        "event": "leased", "job": job.job.0, "attempt": job.attempt,
                        "deadline_us": deadline.0, "lease_ms": lease_ms,
                        "lease_session": session.0, "worker": worker,
                    }))
                };
                jobs.iter().map(one).collect()
            }
            Event::Completed { jobs } => {
                let one = |job: &jobbie_proto::event::CompletedJob| {
                    fields(
                        json!({ "event": "completed", "job": job.job.0, "result": self.blob(job.result) }),
                    )
                };
                jobs.iter().map(one).collect()
            }
            Event::Extended { jobs } => {
                let one = |job: &jobbie_proto::event::ExtendedJob| {
                    fields(json!({
                        "event": "extended", "job": job.job.0, "deadline_us": job.deadline.0,
                        "progress": self.blob(job.progress), "checkpoint": self.blob(job.checkpoint),
                    }))
                };
                jobs.iter().map(one).collect()
            }
            Event::Released { jobs } => each("released", jobs),
            Event::LeaseExpired { jobs } => each("lease_expired", jobs),
            Event::Promoted { jobs } => each("promoted", jobs),
            Event::Expired { jobs } => each("expired", jobs),
            Event::Cancelled { jobs } => each("cancelled", jobs),
            Event::Deleted { jobs } => each("deleted", jobs),
            Event::Retried { jobs } => each("retried", jobs),
            Event::Requeued { jobs } => each("requeued", jobs),
            Event::Purged { jobs } => each("purged", jobs),
            Event::PlanTimedOut { jobs } => each("plan_timed_out", jobs),
            Event::Prioritized { jobs, priority } => {
                let with = |mut one: Fields| {
                    one.insert("priority".into(), (*priority).into());
                    one
                };
                each("prioritized", jobs).into_iter().map(with).collect()
            }
            Event::UniqueTaken { jobs } => {
                let one = |taken: &jobbie_proto::event::UniqueKey| {
                    fields(json!({
                        "event": "unique_taken", "job": taken.job.0, "until_us": taken.until.0,
                        "unique": self.blob(taken.key),
                    }))
                };
                jobs.iter().map(one).collect()
            }
            Event::Quarantined { jobs } => {
                let one = |job: &jobbie_proto::event::QuarantinedJob| {
                    fields(json!({
                        "event": "quarantined", "job": job.job.0, "attempt": job.attempt,
                        "lease_expiries": job.lease_expiries, "last_session": job.session.0,
                        "error": self.words(job.error),
                    }))
                };
                jobs.iter().map(one).collect()
            }
            Event::Tied(tie) => self.tie(tie),
            single => vec![fields(self.single(single))],
        }
    }

    fn enqueued(&self, class: &Class, first_job: JobSeq, jobs: &[EnqueuedJob]) -> Vec<Fields> {
        let one = |(nth, job): (u64, &EnqueuedJob)| {
            let seq = first_job.plus(nth);
            let id = JobId::new(self.entry.time_us / 1000, ShardId(self.shard), seq);
            fields(json!({
                "event": "enqueued", "job": seq.0, "id": id.to_string(), "queue": class.queue,
                "priority": class.priority, "max_retries": class.max_retries,
                "due_us": job.due.0, "payload": self.blob(job.payload),
                "tags": self.blob(job.tags), "key": self.blob(job.key),
            }))
        };
        (0..).zip(jobs).map(one).collect()
    }

    /// Events that take one sequence number.
    fn single(&self, event: &Event) -> Value {
        match event {
            Event::SessionOpened { client, name, host } => json!({
                "event": "session_opened", "client": format!("{client:032x}"),
                "name": self.text(*name), "host": self.text(*host),
            }),
            Event::SessionClosed { session } => {
                json!({ "event": "session_closed", "closed": session.0 })
            }
            Event::SessionExtended { session, deadline } => json!({
                "event": "session_extended", "extended": session.0, "deadline_us": deadline.0,
            }),
            Event::Deduplicated { job, code, .. } => {
                json!({ "event": "deduplicated", "job": job.0, "code": code.name() })
            }
            Event::Failed { job, attempt, outcome, error, backtrace, .. } => {
                let next = match outcome {
                    FailOutcome::Retrying(at) => Value::from(at.0),
                    FailOutcome::Dead => Value::Null,
                };
                json!({
                    "event": "failed", "job": job.0, "attempt": attempt, "next_attempt_us": next,
                    "error": self.words(*error), "backtrace": self.blob(*backtrace),
                })
            }
            Event::ScheduleSet(_)
            | Event::SchedulePaused { .. }
            | Event::ScheduleResumed { .. }
            | Event::ScheduleDeleted { .. }
            | Event::ScheduleFired { .. }
            | Event::ScheduleSkipped { .. } => self.schedule(event),
            Event::Held { job, until, then, reason, by } => json!({
                "event": "held", "job": job.0, "until_us": until.0,
                "then": format!("{then:?}").to_lowercase(),
                "reason": self.words(*reason), "by": self.text(*by),
            }),
            Event::Approved { job, note, by } => json!({
                "event": "approved", "job": job.0, "note": self.words(*note), "by": self.text(*by),
            }),
            Event::Rejected { job, reason, by, .. } => json!({
                "event": "rejected", "job": job.0, "reason": self.words(*reason),
                "by": self.text(*by),
            }),
            Event::Moved { job, queue } => {
                json!({ "event": "moved", "job": job.0, "queue": queue })
            }
            Event::Replaced { job, payload } => {
                json!({ "event": "replaced", "job": job.0, "payload": self.blob(*payload) })
            }
            Event::QueueDrained { queue } => json!({ "event": "queue_drained", "queue": queue }),
            Event::QueueConfigured { queue, settings } => json!({
                "event": "queue_configured", "queue": queue,
                "concurrency": settings.concurrency,
                "rate": settings.rate, "window_ms": settings.window_ms,
                "key_concurrency": settings.key_concurrency,
                "key_rate": settings.key_rate, "key_window_ms": settings.key_window_ms,
                "fair": format!("{:?}", settings.fair).to_lowercase(),
            }),
            Event::KeyWeighed { queue, key, weight } => json!({
                "event": "key_weighed", "queue": queue, "key": key, "weight": weight,
            }),
            Event::OperationStarted(started) => self.operation_started(started),
            Event::OperationAdvanced { operation, cursor, looked_at, applied, skipped } => json!({
                "event": "operation_advanced", "operation": operation.0, "cursor": cursor,
                "looked_at": looked_at, "applied": applied, "skipped": skipped,
            }),
            Event::OperationEnded { operation, cancelled } => json!({
                "event": "operation_ended", "operation": operation.0, "cancelled": cancelled,
            }),
            Event::Ruled(rule) => rules::rule(rule),
            Event::OperationRefused { operation, code } => json!({
                "event": "operation_refused", "operation": operation.0, "code": code.name(),
            }),
            Event::WorkerSeen(seen) => json!({
                "event": "worker_seen", "worker_session": seen.worker.session.0, "worker": seen.worker.name,
                "asks": seen.asks.as_ref().map(|asks| json!({
                    "host": asks.host, "queues": asks.queues, "queues_asked": asks.queues_asked,
                })),
            }),
            Event::WorkersForgotten { workers } => json!({
                "event": "workers_forgotten",
                "workers": workers
                    .iter()
                    .map(|key| json!({ "session": key.session.0, "worker": key.name }))
                    .collect::<Vec<_>>(),
            }),
            Event::QueuePaused { queue } => json!({ "event": "queue_paused", "queue": queue }),
            Event::QueueResumed { queue } => json!({ "event": "queue_resumed", "queue": queue }),
            Event::Ignored { job, token, late, code } => json!({
                "event": "ignored", "job": job.0, "token": token.0,
                "late": format!("{late:?}").to_lowercase(), "code": code.name(),
            }),
            Event::Refused { job, code, asked } => json!({
                "event": "refused", "job": job.0, "code": code.name(),
                "asked": format!("{asked:?}").to_lowercase(),
            }),
            Event::Planned(planned) => {
                let kind = |kind: &ExpectedKind| {
                    json!({
                        "kind": kind.name, "need": kind.need.name(), "count": kind.count,
                        "deadline_ms": kind.deadline_ms,
                    })
                };
                json!({
                    "event": "planned", "job": planned.job.0, "deadline_ms": planned.deadline_ms,
                    "kinds": planned.kinds.iter().map(kind).collect::<Vec<_>>(),
                })
            }
            Event::Appended(appended) => json!({
                "event": "appended", "job": appended.job.0, "effect": appended.effect.name(),
                "kind": self.text(appended.kind), "id": self.blob(appended.id),
                "data": self.blob(appended.data), "source": self.text(appended.source),
                "trace": self.text(appended.trace), "previous": appended.previous.0,
            }),
            Event::UsageReported(reported) => {
                let mut line = json!({
                    "event": "usage_reported", "job": reported.job.0, "attempt": reported.attempt,
                    "phase": reported.phase.name(), "model": reported.model,
                    "provider": reported.provider,
                });
                let amounts = reported.amounts.named().map(|(name, n)| (name.into(), n.into()));
                line.as_object_mut().expect("made as one").extend(amounts);
                line
            }
            Event::AgentEnqueued(_) | Event::Iterated(_) | Event::Revised(_) => self.agent(event),
            Event::Archived(archived) => self.archived(archived),
            list => unreachable!("{list:?} has a line for each of its jobs"),
        }
    }

    fn operation_started(&self, started: &StartedOperation) -> Value {
        let filter = started.task.filter();
        let states =
            JobState::ALL.iter().filter(|state| filter.states != 0 && filter.wants(**state));
        json!({
            "event": "operation_started", "does": started.task.name(),
            "dry_run": started.task.is_dry_run(), "jobs": started.jobs.len(),
            "unknown": started.unknown, "below": started.below.0, "queue": filter.queue,
            "states": states.map(|state| state.name()).collect::<Vec<_>>(),
            "priority": filter.priority, "limit_key": filter.limit_key,
            "created_after_ms": filter.created_after_ms,
            "created_before_ms": filter.created_before_ms,
        })
    }

    fn text(&self, of: Blob) -> Value {
        String::from_utf8_lossy(of.of(self.blob)).into_owned().into()
    }

    /// Contents may be private: their size is what is shown unless they are asked for.
    fn blob(&self, of: Blob) -> Value {
        self.bytes(of.of(self.blob))
    }

    /// The same of what a worker or somebody said.
    fn words(&self, of: Blob) -> Value {
        self.shown(of.of(self.blob), self.show.payloads || self.show.words)
    }

    fn bytes(&self, bytes: &[u8]) -> Value {
        self.shown(bytes, self.show.payloads)
    }

    fn shown(&self, bytes: &[u8], in_full: bool) -> Value {
        if bytes.is_empty() {
            return Value::Null;
        }
        if !in_full {
            return json!({ "bytes": bytes.len() });
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => json!({ "base64": BASE64_STANDARD.encode(bytes) }),
        }
    }
}

fn each(event: &str, jobs: &[JobSeq]) -> Vec<Fields> {
    jobs.iter().map(|job| fields(json!({ "event": event, "job": job.0 }))).collect()
}

/// An object as a line.
pub(crate) fn fields(object: Value) -> Fields {
    match object {
        Value::Object(fields) => fields,
        other => unreachable!("{other} is no object"),
    }
}
