//! What a request did, as its answer must say.

use jobbie_proto::plan::{Effect, PlanStatus};
use jobbie_proto::reply::Failed;
use jobbie_proto::wire::ReplyFrame;
use jobbie_proto::{Code, JobId, Micros};

/// The parts of an answer that follow from what was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Code, first job, count.
    pub(crate) enqueued: Vec<(Code, JobId, u32)>,
    pub(crate) acks: Vec<Code>,
    pub(crate) fails: Vec<Failed>,
    pub(crate) heartbeats: Vec<Code>,
    pub(crate) releases: Vec<Code>,
    pub(crate) cancels: Vec<Code>,
    pub(crate) deletes: Vec<Code>,
    pub(crate) job_controls: Vec<Code>,
    /// Effect, status of the plan, record.
    pub(crate) appended: Vec<(Effect, Option<PlanStatus>, u64)>,
    /// Code, next planned time, job.
    pub(crate) schedule_controls: Vec<(Code, Micros, Option<JobId>)>,
    /// Job, token, end, attempt.
    pub(crate) leases: Vec<(JobId, u64, u64, u32)>,
    /// Their numbers.
    pub(crate) batches: Vec<u64>,
    pub(crate) batch_seals: Vec<Code>,
    /// Code, operation.
    pub(crate) operated: Option<(Code, u64)>,
    /// Code, number of the budget or policy.
    pub(crate) rule_controls: Vec<(Code, u64)>,
}

impl Outcome {
    /// What this and the next frame of an answer say. Only leases go on in later frames.
    pub(crate) fn and(mut self, reply: &ReplyFrame<'_>) -> Self {
        let next = Self::of(reply);
        let head = Self { leases: Vec::new(), ..next.clone() };
        assert!(head == Self::default(), "only the first frame says what became of a request");
        self.leases.extend(next.leases);
        self
    }

    /// What one frame of an answer says.
    pub(crate) fn of(reply: &ReplyFrame<'_>) -> Self {
        let lease =
            |l: &jobbie_proto::wire::LeasedJob<'_>| (l.job, l.token.0, l.deadline.0, l.attempt);
        let changed = reply.schedule_controls.iter().map(|one| (one.code, one.next, one.job));
        Self {
            enqueued: reply.enqueued.iter().map(|run| (run.code, run.first, run.count)).collect(),
            acks: reply.acks.clone(),
            fails: reply.fails.clone(),
            heartbeats: reply.heartbeats.clone(),
            releases: reply.releases.clone(),
            cancels: reply.cancels.clone(),
            deletes: reply.deletes.clone(),
            job_controls: reply.job_controls.clone(),
            appended: reply.appended.iter().map(|a| (a.effect, a.status, a.event.0)).collect(),
            schedule_controls: changed.collect(),
            leases: reply.leases.iter().map(lease).collect(),
            batches: reply.batches.iter().map(|batch| batch.number().0).collect(),
            batch_seals: reply.batch_seals.clone(),
            operated: reply.operated.map(|operated| (operated.code, operated.operation.0)),
            rule_controls: reply.rule_controls.iter().map(|one| (one.code, one.id.0)).collect(),
        }
    }
}
