//! What a request did, as its answer must say.

use jobbie_proto::reply::Failed;
use jobbie_proto::wire::ReplyFrame;
use jobbie_proto::{Code, JobId};

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
    /// Job, token, end, attempt.
    pub(crate) leases: Vec<(JobId, u64, u64, u32)>,
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
        Self {
            enqueued: reply.enqueued.iter().map(|run| (run.code, run.first, run.count)).collect(),
            acks: reply.acks.clone(),
            fails: reply.fails.clone(),
            heartbeats: reply.heartbeats.clone(),
            releases: reply.releases.clone(),
            cancels: reply.cancels.clone(),
            deletes: reply.deletes.clone(),
            job_controls: reply.job_controls.clone(),
            leases: reply.leases.iter().map(lease).collect(),
        }
    }
}
