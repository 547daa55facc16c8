//! Planned jobs: they wait for events that other systems append, and no worker gets them.

use bytes::Bytes;
use jobbie_proto::plan::{Effect, PlanStatus};
use jobbie_proto::reply::{Appended, KindView};
use jobbie_proto::request::{Append, History};
use jobbie_proto::{Code, EventSeq, JobId, Micros, Request, wire};

use crate::answer::Shared;
use crate::{Client, Error};

/// What the server knows of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanInfo {
    /// How far it is.
    pub status: PlanStatus,
    /// How many events were recorded for the job.
    pub events: u32,
    /// The newest of them; 0 is none.
    pub newest: EventSeq,
    /// When everything required must have come; 0 is whenever.
    pub deadline: Micros,
    /// Names of its kinds of events and what is known of each, in the order in which they were given.
    pub kinds: Vec<(String, KindView)>,
}

impl From<&wire::PlanDetails<'_>> for PlanInfo {
    fn from(plan: &wire::PlanDetails<'_>) -> Self {
        let kind = |kind: &wire::KindDetails<'_>| {
            let wire::KindDetails { name, need, count, seen, deadline } = *kind;
            (name.to_owned(), KindView { need, count, seen, deadline })
        };
        let wire::PlanDetails { status, newest, events, deadline, .. } = *plan;
        Self { status, events, newest, deadline, kinds: plan.kinds.iter().map(kind).collect() }
    }
}

/// An event that was recorded for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEvent {
    /// Its record.
    pub event: EventSeq,
    /// The one before it; 0 is none.
    pub previous: EventSeq,
    /// When it was recorded, by the server's clock.
    pub time: Micros,
    /// What it did.
    pub effect: Effect,
    /// What tells it from all other events of the job.
    pub id: Bytes,
    /// Name of its kind.
    pub kind: String,
    /// What it says.
    pub data: Bytes,
    /// Which way it came.
    pub source: String,
    /// To find it in other systems.
    pub trace: String,
}

/// Owned events out of a reply; `blob` is what they borrow from.
pub(crate) fn events(events: &[wire::JobEvent<'_>], blob: &[u8]) -> Vec<JobEvent> {
    if events.is_empty() {
        return Vec::new();
    }
    let shared = Shared::new(blob);
    let one = |of: &wire::JobEvent<'_>| JobEvent {
        event: of.event,
        previous: of.previous,
        time: of.time,
        effect: of.effect,
        id: shared.part(of.id),
        kind: of.kind.to_owned(),
        data: shared.part(of.data),
        source: of.source.to_owned(),
        trace: of.trace.to_owned(),
    };
    events.iter().map(one).collect()
}

impl Client {
    /// Tells a planned job of something that happened ([`crate::NewJob::plan`]). A repeat of the same `id` changes
    /// nothing, so an event whose fate is unknown may be appended again.
    ///
    /// # Errors
    /// [`Error::Job`]: `NOT_FOUND` when the job was completed, deleted or never was (the event is recorded all the
    /// same), `ILLEGAL_STATE` when it has no plan, `PLAN_FULL` when it has as many events as it can have.
    pub async fn append(&self, append: Append<'_>) -> Result<Appended, Error> {
        let job = append.job;
        let mut request = Request { appends: vec![append], ..Request::default() };
        let answer = self.request(job.shard(), &mut request).await?;
        let appended = answer.appended.first().copied().ok_or_else(crate::client::short_answer)?;
        match appended.effect.code() {
            Code::Ok | Code::Duplicate => Ok(appended),
            code => Err(Error::Job { job, code }),
        }
    }

    /// Events recorded for a job, newest first: at most `count` (1 to 100), from `from` on, which is 0 or what the oldest
    /// event seen so far names as the one before it. None when the job is not in the server's memory or has none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn events(
        &self,
        job: JobId,
        from: EventSeq,
        count: u32,
    ) -> Result<Vec<JobEvent>, Error> {
        let history = Some(History { job, from, count });
        let mut request = Request { history, ..Request::default() };
        Ok(self.request(job.shard(), &mut request).await?.events)
    }
}
