//! Parts as version 1 wrote them. They are read for ever.

use jobbie_proto::event::{Class, HoldEnd, QueueSettings};
use jobbie_proto::reply::{Enqueued, Failed, JobState};
use jobbie_proto::{Code, EventSeq, JobSeq, LeaseToken, Micros};
use rkyv::{Archive, Deserialize, Serialize};

use super::{
    ClassRow, Header, JobRun, JobsPart, KeyRow, OWN_CLASS, QueueRow, ReplyRow, SessionRow,
    SleeperRow, TrackedRow, WaitingRow,
};

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct OldQueueRow {
    name: String,
    paused: bool,
    completed: u64,
    enqueued_total: u64,
}

#[derive(Clone, Copy, Archive, Serialize, Deserialize)]
struct Lease {
    job: JobSeq,
    created_ms: u64,
    token: LeaseToken,
    attempt: u32,
    max_retries: u32,
    deadline: Micros,
    record: EventSeq,
    checkpoint: EventSeq,
}

#[derive(Archive, Serialize, Deserialize)]
struct Reply {
    code: Code,
    enqueued: Vec<Enqueued>,
    acks: Vec<Code>,
    fails: Vec<Failed>,
    heartbeats: Vec<Code>,
    releases: Vec<Code>,
    cancels: Vec<Code>,
    deletes: Vec<Code>,
    leases: Vec<Lease>,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct OldReplyRow {
    session: u64,
    number: u64,
    reply: Reply,
}

#[derive(Clone, Copy, Archive, Serialize, Deserialize)]
struct OldTrackedRow {
    job: u64,
    state: JobState,
    mark: u64,
    due: u64,
    attempt: u32,
    lease_ms: u32,
    session: u64,
    lease_expiries: u16,
    checkpoint: EventSeq,
    progress: EventSeq,
    error: EventSeq,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct OldJobsPart {
    runs: Vec<JobRun>,
    sleepers: Vec<SleeperRow>,
    tracked: Vec<OldTrackedRow>,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) enum Part {
    Header(Header),
    Queues(Vec<OldQueueRow>),
    Classes(Vec<Class>),
    Sessions(Vec<SessionRow>),
    Replies(Vec<OldReplyRow>),
    Jobs(OldJobsPart),
    Waiting(Vec<WaitingRow>),
    Keys(Vec<KeyRow>),
    End,
}

impl From<OldQueueRow> for QueueRow {
    fn from(OldQueueRow { name, paused, completed, enqueued_total }: OldQueueRow) -> Self {
        Self {
            name,
            paused,
            completed,
            enqueued_total,
            draining: false,
            settings: QueueSettings::default(),
            weights: Vec::new(),
            lanes: None,
            deleted_below: 0,
            hidden: false,
        }
    }
}

impl From<Lease> for jobbie_proto::reply::Lease {
    fn from(old: Lease) -> Self {
        Self {
            job: old.job,
            created_ms: old.created_ms,
            token: old.token,
            attempt: old.attempt,
            max_retries: old.max_retries,
            deadline: old.deadline,
            record: old.record,
            checkpoint: old.checkpoint,
            placed: EventSeq(0),
            payload: EventSeq(0),
        }
    }
}

impl From<OldReplyRow> for ReplyRow {
    fn from(OldReplyRow { session, number, reply: old }: OldReplyRow) -> Self {
        let reply = jobbie_proto::Reply {
            code: old.code,
            enqueued: old.enqueued,
            acks: old.acks,
            fails: old.fails,
            heartbeats: old.heartbeats,
            releases: old.releases,
            cancels: old.cancels,
            deletes: old.deletes,
            job_controls: Vec::new(),
            batches: Vec::new(),
            batch_seals: Vec::new(),
            schedule_controls: Vec::new(),
            leases: old.leases.into_iter().map(Into::into).collect(),
            appended: Vec::new(),
            operated: None,
            agents: Vec::new(),
            rule_controls: Vec::new(),
        };
        Self { session, number, reply }
    }
}

impl From<OldTrackedRow> for TrackedRow {
    fn from(old: OldTrackedRow) -> Self {
        Self {
            job: old.job,
            state: old.state,
            mark: old.mark,
            due: old.due,
            attempt: old.attempt,
            lease_ms: old.lease_ms,
            session: old.session,
            lease_expiries: old.lease_expiries,
            checkpoint: old.checkpoint,
            progress: old.progress,
            error: old.error,
            hold: EventSeq(0),
            placed: EventSeq(0),
            class: OWN_CLASS,
            then: HoldEnd::Stay,
        }
    }
}

impl From<Part> for super::Part {
    fn from(old: Part) -> Self {
        match old {
            Part::Header(header) => Self::Header(header),
            Part::Queues(rows) => Self::Queues(rows.into_iter().map(Into::into).collect()),
            Part::Classes(rows) => {
                let row = |class| ClassRow { class, limit_key: String::new() };
                Self::Classes(rows.into_iter().map(row).collect())
            }
            Part::Sessions(rows) => Self::Sessions(rows),
            Part::Replies(rows) => Self::Replies(rows.into_iter().map(Into::into).collect()),
            Part::Jobs(OldJobsPart { runs, sleepers, tracked }) => {
                let tracked = tracked.into_iter().map(Into::into).collect();
                Self::Jobs(JobsPart { runs, sleepers, tracked, ..JobsPart::default() })
            }
            Part::Waiting(rows) => Self::Waiting(rows),
            Part::Keys(rows) => Self::Keys(rows),
            Part::End => Self::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of version 1, for ever.
    #[test]
    fn r24_rows_have_the_sizes_of_version_1() {
        macro_rules! sizes { ($($row:ty),*) => { [$(size_of::<rkyv::Archived<$row>>()),*] } }
        assert_eq!(sizes!(OldReplyRow, OldTrackedRow, OldJobsPart, Part), [81, 67, 24, 37]);
        assert_eq!(sizes!(Lease, Reply, Header, OldQueueRow, SessionRow), [56, 65, 36, 25, 32]);
        assert_eq!(sizes!(JobRun, SleeperRow, WaitingRow, KeyRow), [36, 16, 21, 48]);
    }
}
