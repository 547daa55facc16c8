//! Schedules: jobs that are made again and again, by the clock of a time zone.

use bytes::Bytes;
use jobbie_proto::event::{BackoffKind, Missed};
use jobbie_proto::request::{
    Definition, Enqueue, ScheduleAction, ScheduleControl, Schedules, When,
};
use jobbie_proto::wire::{ScheduleChanged, ScheduleDetails};
use jobbie_proto::{Code, JobId, Micros, Request, ShardId};

use crate::client::short_answer;
use crate::{Client, Enqueued, Error, NewJob};

/// When a schedule fires, and which job it makes.
///
/// ```
/// use jobbie_client::{Missed, NewJob, NewSchedule};
///
/// let report = NewJob::new("reports", b"all of yesterday").attempts(5);
/// let nightly = NewSchedule::new("30 2 * * *", report).zone("Europe/Berlin").missed(Missed::Skip);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSchedule<'a> {
    expression: &'a str,
    zone: &'a str,
    missed: Missed,
    job: NewJob<'a>,
}

impl<'a> NewSchedule<'a> {
    /// A schedule in the queue of `job`, which it makes whenever `expression` says so by the clock of UTC: a cron expression
    /// of five fields, at most 255 bytes.
    #[must_use]
    pub fn new(expression: &'a str, job: NewJob<'a>) -> Self {
        Self { expression, zone: "", missed: Missed::Once, job }
    }

    /// Goes by the clock of another time zone, by its IANA name.
    #[must_use]
    pub fn zone(mut self, name: &'a str) -> Self {
        self.zone = name;
        self
    }

    /// What becomes of times at which the server was down: by default the newest of them is made up for.
    #[must_use]
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// What is asked of the server, or what such a job cannot have.
    fn definition(&self) -> Result<Definition<'a>, Error> {
        let NewJob(job, hold, plan, agent) = self.job;
        let refused = if !job.key.is_empty() {
            "an idempotency key"
        } else if job.when != When::Now {
            "a time of its own"
        } else if hold.is_some() {
            "a hold"
        } else if plan.is_some() {
            "a plan"
        } else if agent.is_some() {
            "iterations"
        } else {
            return Ok(definition_of(self, &job));
        };
        let message = format!("job: {refused}, which the jobs of a schedule do not have");
        Err(Error::Refused { code: Code::Invalid, message })
    }
}

fn definition_of<'a>(schedule: &NewSchedule<'a>, job: &Enqueue<'a>) -> Definition<'a> {
    Definition {
        expression: schedule.expression,
        zone: schedule.zone,
        missed: schedule.missed,
        payload: job.payload,
        tags: job.tags,
        unique: job.unique,
        unique_ms: job.unique_ms,
        limit_key: job.limit_key,
        priority: job.priority,
        max_retries: job.max_retries,
        backoff: job.backoff,
        backoff_base_ms: job.backoff_base_ms,
        backoff_cap_ms: job.backoff_cap_ms,
        expire_after_ms: job.expire_after_ms,
    }
}

/// What the server knows of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleInfo {
    /// Its queue.
    pub queue: String,
    /// Its name there.
    pub name: String,
    /// When it fires, as it was written.
    pub expression: String,
    /// By the clock of this time zone.
    pub zone: String,
    /// What becomes of times that are missed.
    pub missed: Missed,
    /// What the workers of its jobs get; empty in a list.
    pub payload: Bytes,
    /// Tags of its jobs; empty in a list.
    pub tags: Bytes,
    /// Unique key of its jobs; empty is one of its own for each planned time.
    pub unique: Bytes,
    /// How long the unique key is held at most, in milliseconds; 0 is the default.
    pub unique_ms: u64,
    /// Limit key of its jobs; empty is none.
    pub limit_key: String,
    /// Tier of its jobs, 0 first.
    pub priority: u8,
    /// Their total attempts.
    pub max_retries: u32,
    /// How their retries are delayed.
    pub backoff: BackoffKind,
    /// Delay unit, in milliseconds.
    pub backoff_base_ms: u32,
    /// Longest delay, in milliseconds; 0 is no cap.
    pub backoff_cap_ms: u32,
    /// They die when not finished this long after they were made, in milliseconds; 0 is never.
    pub expire_after_ms: u64,
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
    /// Planned times that made no job: missed, passed while it was paused, or with their unique key taken.
    pub skipped: u64,
}

impl ScheduleInfo {
    pub(crate) fn new(
        schedule: &ScheduleDetails<'_>,
        payload: Bytes,
        tags: Bytes,
        unique: Bytes,
    ) -> Self {
        let of = &schedule.definition;
        Self {
            queue: schedule.queue.to_owned(),
            name: schedule.name.to_owned(),
            expression: of.expression.to_owned(),
            zone: of.zone.to_owned(),
            missed: of.missed,
            payload,
            tags,
            unique,
            unique_ms: of.unique_ms,
            limit_key: of.limit_key.to_owned(),
            priority: of.priority,
            max_retries: of.max_retries,
            backoff: of.backoff,
            backoff_base_ms: of.backoff_base_ms,
            backoff_cap_ms: of.backoff_cap_ms,
            expire_after_ms: of.expire_after_ms,
            paused: schedule.paused,
            next: schedule.next,
            last_planned: schedule.last_planned,
            last_job: schedule.last_job,
            fired: schedule.fired,
            skipped: schedule.skipped,
        }
    }
}

impl Client {
    /// Makes a schedule in the queue of its job, or gives the one of that name another definition; gives the next planned
    /// time, 0 for never. What the definition before had planned and not run is forgotten.
    ///
    /// # Errors
    /// [`Error::Refused`] says what is wrong with the name, the expression, the zone or the job; nothing has changed then.
    pub async fn set_schedule(
        &self,
        name: &str,
        schedule: &NewSchedule<'_>,
    ) -> Result<Micros, Error> {
        let action = ScheduleAction::Set(schedule.definition()?);
        Ok(self.control_schedule(schedule.job.0.queue, name, action).await?.next)
    }

    /// Lets a schedule make no more jobs.
    ///
    /// # Errors
    /// [`Error::Refused`] with `NOT_FOUND` when there is none of that name.
    pub async fn pause_schedule(&self, queue: &str, name: &str) -> Result<(), Error> {
        self.control_schedule(queue, name, ScheduleAction::Pause).await.map(drop)
    }

    /// Lets a paused schedule make jobs again; gives the next planned time. What was planned meanwhile is skipped.
    ///
    /// # Errors
    /// [`Error::Refused`] with `NOT_FOUND` when there is none of that name.
    pub async fn resume_schedule(&self, queue: &str, name: &str) -> Result<Micros, Error> {
        Ok(self.control_schedule(queue, name, ScheduleAction::Resume).await?.next)
    }

    /// Makes the job of a schedule now, paused or not; its planned times stay.
    ///
    /// # Errors
    /// [`Error::Refused`] with `NOT_FOUND` when there is none of that name.
    pub async fn run_schedule(&self, queue: &str, name: &str) -> Result<Enqueued, Error> {
        let done = self.control_schedule(queue, name, ScheduleAction::Run).await?;
        let id = done.job.ok_or_else(short_answer)?;
        Ok(Enqueued { id, duplicate: done.code == Code::Duplicate })
    }

    /// Removes a schedule. The jobs it has made stay.
    ///
    /// # Errors
    /// [`Error::Refused`] with `NOT_FOUND` when there is none of that name.
    pub async fn delete_schedule(&self, queue: &str, name: &str) -> Result<(), Error> {
        self.control_schedule(queue, name, ScheduleAction::Delete).await.map(drop)
    }

    async fn control_schedule(
        &self,
        queue: &str,
        name: &str,
        action: ScheduleAction<'_>,
    ) -> Result<ScheduleChanged, Error> {
        let schedule_controls = vec![ScheduleControl { queue, name, action }];
        let mut request = Request { schedule_controls, ..Request::default() };
        let answer = self.request(self.topology().shard_of(queue), &mut request).await?;
        answer.schedule_controls.first().copied().ok_or_else(short_answer)
    }

    /// What the server knows of a schedule, and its next `times` planned times, at most 100; `None` when there is none of
    /// that name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn schedule(
        &self,
        queue: &str,
        name: &str,
        times: u16,
    ) -> Result<Option<(ScheduleInfo, Vec<Micros>)>, Error> {
        let schedules = Schedules::One { queue, name, times };
        let mut request = Request { schedules, ..Request::default() };
        let answer = self.request(self.topology().shard_of(queue), &mut request).await?;
        let times = answer.schedule_times;
        Ok(answer.schedules.into_iter().next().map(|found| (found, times)))
    }

    /// Every schedule of a queue, or of all queues when it is empty, by queue and name, without payloads and tags.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn schedules(&self, queue: &str) -> Result<Vec<ScheduleInfo>, Error> {
        let shards = match queue {
            "" => (0..self.topology().shards).map(ShardId).collect(),
            queue => vec![self.topology().shard_of(queue)],
        };
        let mut all: Vec<ScheduleInfo> = Vec::new();
        for shard in shards {
            let mut after = (String::new(), String::new());
            loop {
                let (after_queue, after_name) = (&*after.0, &*after.1);
                let schedules = Schedules::List { queue, after_queue, after_name };
                let mut request = Request { schedules, ..Request::default() };
                let mut page = self.request(shard, &mut request).await?.schedules;
                let Some(last) = page.last() else { break };
                after = (last.queue.clone(), last.name.clone());
                all.append(&mut page);
            }
        }
        all.sort_by(|a, b| (&a.queue, &a.name).cmp(&(&b.queue, &b.name)));
        Ok(all)
    }
}
