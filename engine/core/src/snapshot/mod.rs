//! The state as bytes, in slices, and back.
//!
//! The parts are canonical: they name queues and classes by their order, jobs by their numbers, and
//! leave out what memory happens to look like (slab numbers, bucket order, stale queue items). So equal states give
//! equal bytes, whatever path led there.
//!
//! A chunk is an rkyv archive (little-endian, 32-bit relative pointers, unaligned, root last) of a
//! [`Part`], then the version of the snapshot as u16, little-endian. Parts come in the order of the enum.

mod agents;
mod kin;
mod plans;
mod read;
mod read_lanes;
mod read_operations;
mod rules;
mod schedules;
mod ties;
mod usage;
mod v1;
mod workers;
mod write;

use jobbie_proto::event::{Class, HoldEnd, QueueSettings, Task};
use jobbie_proto::reply::{JobState, OperationStatus};
use jobbie_proto::{BatchId, EventSeq, JobSeq, Reply, ShardId};
use rkyv::{Archive, Deserialize, Serialize};

use crate::state::State;
use agents::AgentRow;
use kin::KinRow;
use plans::PlanRow;
use rules::RuleRow;
use schedules::{DefinitionRow, ScheduleRow};
use usage::{CostRow, UsageRow};
use workers::WorkerRow;
pub use write::Snapshot;

/// The version written today.
const VERSION: u16 = 2;
/// Bytes after the archive.
const TRAILER_BYTES: usize = 2;
/// Runs are cut where a job number is a multiple of this, so that finding one takes bounded time.
const RUN_MAX: u64 = 4096;

/// The bytes are not a snapshot of a version known here, or not a whole one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Written by a newer release.
    #[error("snapshot of version {0}, this release reads versions 1 to {VERSION}")]
    Version(u16),
    /// A chunk does not decode.
    #[error("snapshot chunk {chunk} does not decode: {message}")]
    Malformed {
        /// Which chunk, from 0.
        chunk: usize,
        /// What is wrong.
        message: String,
    },
    /// A chunk contradicts those before it.
    #[error("snapshot chunk {chunk} contradicts itself or those before it: {message}")]
    Contradiction {
        /// Which chunk, from 0.
        chunk: usize,
        /// What is wrong.
        message: &'static str,
    },
    /// The last chunk is missing.
    #[error("snapshot ends after {0} chunks, before its last part")]
    Incomplete(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct Header {
    shard: u16,
    shards: u16,
    time: u64,
    next_event: u64,
    next_job: u64,
    digest: u64,
}

#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct QueueRow {
    name: String,
    paused: bool,
    completed: u64,
    enqueued_total: u64,
    draining: bool,
    settings: QueueSettings,
    weights: Vec<WeightRow>,
    /// The clock of its lanes, when it has them.
    lanes: Option<ClockRow>,
    /// Jobs with a lower number lost their keys here.
    deleted_below: u64,
    /// Whether it exists only to remember that.
    hidden: bool,
}

#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct WeightRow {
    key: String,
    weight: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct ClockRow {
    now: u128,
    finish_max: u128,
    cost_us: u64,
}

#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct ClassRow {
    class: Class,
    limit_key: String,
}

#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct LaneRow {
    queue: u32,
    key: String,
    active: u32,
    start: u128,
    finish: u128,
    cost_us: u64,
}

/// Jobs given out in one microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct ClaimRow {
    /// Whose: first all queues, then all lanes, by their order.
    window: u32,
    time: u64,
    count: u32,
}

/// A job that waits in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct LaneWaitingRow {
    lane: u32,
    tier: u8,
    job: u64,
    /// The event that put it there.
    position: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct ChargeRow {
    job: u64,
    charged: u64,
    since: u64,
}

#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct SessionRow {
    id: u64,
    client: u128,
    confirmed_below: u64,
}

#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct ReplyRow {
    session: u64,
    number: u64,
    reply: Reply,
}

/// Jobs that came from consecutive events of one class and time.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct JobRun {
    first: u64,
    count: u64,
    event: u64,
    created_ms: u64,
    class: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct SleeperRow {
    job: u64,
    due: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct TrackedRow {
    job: u64,
    state: JobState,
    mark: u64,
    /// Time of its timer; 0 is none.
    due: u64,
    attempt: u32,
    lease_ms: u32,
    session: u64,
    lease_expiries: u16,
    checkpoint: EventSeq,
    progress: EventSeq,
    error: EventSeq,
    hold: EventSeq,
    placed: EventSeq,
    /// Of its queue and tier now; [`OWN_CLASS`] is that of its run.
    class: u32,
    then: HoldEnd,
}

/// See [`TrackedRow::class`].
const OWN_CLASS: u32 = u32::MAX;

/// What only few jobs have.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct UniqueRow {
    job: u64,
    hash: u128,
    until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct PayloadRow {
    job: u64,
    event: EventSeq,
}

/// A member of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct MemberRow {
    job: u64,
    batch: BatchId,
}

/// A job of a chain. Shards are where what comes after it goes.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct LinkRow {
    job: u64,
    definition: EventSeq,
    next: Option<ShardId>,
    on_failure: Option<ShardId>,
    on_exit: Option<ShardId>,
}

/// A job that waits for others.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct BlockedRow {
    job: u64,
    event: EventSeq,
    missing: u32,
    due: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
struct JobsPart {
    runs: Vec<JobRun>,
    sleepers: Vec<SleeperRow>,
    tracked: Vec<TrackedRow>,
    uniques: Vec<UniqueRow>,
    payloads: Vec<PayloadRow>,
    charges: Vec<ChargeRow>,
    members: Vec<MemberRow>,
    links: Vec<LinkRow>,
    blocked: Vec<BlockedRow>,
    plans: Vec<PlanRow>,
    definitions: Vec<DefinitionRow>,
    error_links: Vec<ErrorLinkRow>,
    kin: Vec<KinRow>,
    costs: Vec<CostRow>,
    agents: Vec<AgentRow>,
    revived: Vec<RevivedRow>,
}

/// A job that is in memory again, by the event of its run.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct RevivedRow {
    job: u64,
    /// When it dies unless finished; 0 is never.
    expires: u64,
}

impl RevivedRow {
    fn of(job: u64, state: &State) -> Option<Self> {
        let revival =
            state.revived.get(job).filter(|_| !crate::mutant!(RevivalMissingFromSnapshot));
        revival.map(|revival| Self { job, expires: revival.expires })
    }
}

/// An error whose event does not name the one before it, and that one.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct ErrorLinkRow {
    job: u64,
    event: EventSeq,
    previous: EventSeq,
}

/// Waiting jobs, in order.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct WaitingRow {
    queue: u32,
    tier: u8,
    first: u64,
    /// 0 is one job that stepped back.
    count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct KeyRow {
    hash: u128,
    content: u64,
    until: u64,
    job: u64,
    created_ms: u64,
}

/// Work on many jobs that runs, or that is over.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
struct OperationRow {
    id: u64,
    task: Task,
    /// Those that it names, as long as it runs.
    jobs: Vec<JobSeq>,
    named: u32,
    below: u64,
    cursor: u64,
    estimate: u64,
    looked_at: u64,
    applied: u64,
    skipped: u64,
    started: u64,
    ended: u64,
    status: OperationStatus,
    /// Whether its queue hands out nothing meanwhile.
    closed: bool,
}

#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "one part at a time is in memory")]
enum Part {
    Header(Header),
    /// By name, first those that exist.
    Queues(Vec<QueueRow>),
    /// By content.
    Classes(Vec<ClassRow>),
    /// By id.
    Sessions(Vec<SessionRow>),
    /// By session, then number.
    Replies(Vec<ReplyRow>),
    /// By number.
    Jobs(JobsPart),
    /// By queue, then key.
    Lanes(Vec<LaneRow>),
    /// By window, then time.
    Claims(Vec<ClaimRow>),
    /// By queue, tier, and order within.
    Waiting(Vec<WaitingRow>),
    /// By lane, tier, and order within.
    LaneWaiting(Vec<LaneWaitingRow>),
    /// By end, roughly, then by the order in which they were taken.
    Keys(Vec<KeyRow>),
    /// By kind, then key.
    Ties(Vec<ties::TieRow>),
    /// By queue, then name.
    Schedules(Vec<ScheduleRow>),
    /// Those that run by id, then the others in the order in which they ended.
    Operations(Vec<OperationRow>),
    /// By session, then name.
    Workers(Vec<WorkerRow>),
    /// What queues cost by name, then sums by hour, queue, model and provider.
    Usage(Vec<UsageRow>),
    /// By kind, then scope, number, job, or event and shard.
    Rules(Vec<RuleRow>),
    End,
}

#[cfg(test)]
mod tests;
