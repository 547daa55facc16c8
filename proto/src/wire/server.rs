//! What servers send.

use super::blob::BlobReader;
use super::frame::{Frame, Kind};
use super::generated as fb;
use super::table::Table;
use super::{
    DecodeError, IterationRecord, JobError, JobEvent, Lookup, Refused, ScheduleChanged,
    ScheduleDetails, Welcome, decode_reply, table,
};
use crate::agent::AgentState;
use crate::reply::{
    Appended, BatchView, BudgetView, Child, Failed, Operated, OperationView, PolicyView,
    QueueStats, RuleDone, ShardStats, UsageSum, WorkerView,
};
use crate::request::JobRef;
use crate::{BatchId, Code, JobId, JobSeq, LeaseToken, Micros};

/// A frame from a server, decoded and borrowed from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "almost every frame is the large one")]
pub enum ServerFrame<'a> {
    /// The hello is accepted.
    Welcome(Welcome<'a>),
    /// The answer to a request, or a part of it.
    Reply(ReplyFrame<'a>),
    /// Jobs for a subscription.
    Deliver {
        /// Which.
        subscription: u32,
        /// The jobs, leased.
        leases: Vec<LeasedJob<'a>>,
    },
    /// Leases of this session that ended before the worker was done.
    Lost(Vec<LostLease>),
    /// The connection is over.
    Refused(Refused<'a>),
    /// The server stops soon: send nothing new.
    GoAway {
        /// How long it goes on, in milliseconds.
        grace_ms: u32,
        /// Why, for people.
        message: &'a str,
    },
    /// A sign of life.
    Pong {
        /// Of the ping.
        nonce: u64,
        /// The server's clock.
        server_time: Micros,
    },
}

/// The answer to a request, as [`crate::Reply`] with what it refers to filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyFrame<'a> {
    /// The request's number.
    pub number: u64,
    /// Whether the request as a whole was done; the lists below are empty when it was not.
    pub code: Code,
    /// Another frame with the same number follows: append its lists to these.
    pub more: bool,
    /// When to send it again, in milliseconds; 0 is no advice.
    pub retry_after_ms: u32,
    /// What is wrong and what to do, for people; empty when `code` is [`Code::Ok`].
    pub message: &'a str,
    /// Where to send it instead (`host:port`); empty is unknown.
    pub redirect: &'a str,
    /// One element for each run of new jobs, in the order of the request.
    pub enqueued: Vec<EnqueuedRun>,
    /// One element per ack.
    pub acks: Vec<Code>,
    /// One element per fail.
    pub fails: Vec<Failed>,
    /// One element per heartbeat.
    pub heartbeats: Vec<Code>,
    /// One element per release.
    pub releases: Vec<Code>,
    /// One element per cancel.
    pub cancels: Vec<Code>,
    /// One element per delete.
    pub deletes: Vec<Code>,
    /// One element per job control.
    pub job_controls: Vec<Code>,
    /// One element per schedule control.
    pub schedule_controls: Vec<ScheduleChanged>,
    /// Jobs leased by the fetch.
    pub leases: Vec<LeasedJob<'a>>,
    /// One element per lookup.
    pub lookups: Vec<Lookup<'a>>,
    /// Queues asked for.
    pub queue_stats: Vec<QueueStats>,
    /// The shard, when asked for.
    pub shard_stats: Option<ShardStats>,
    /// Batches opened.
    pub batches: Vec<BatchId>,
    /// One element per batch to seal.
    pub batch_seals: Vec<Code>,
    /// One element per batch to look up.
    pub batch_lookups: Vec<Result<BatchView, Code>>,
    /// One element per appended event.
    pub appended: Vec<Appended>,
    /// Events of the job whose history was asked for, newest first.
    pub events: Vec<JobEvent<'a>>,
    /// Schedules asked for.
    pub schedules: Vec<ScheduleDetails<'a>>,
    /// The next planned times of the one that was looked up.
    pub schedule_times: Vec<Micros>,
    /// What became of the operation that was to begin or to end.
    pub operated: Option<Operated>,
    /// Operations, when asked for.
    pub operations: Vec<OperationView>,
    /// Errors of the job whose errors were asked for, newest first.
    pub errors: Vec<JobError<'a>>,
    /// Workers asked for.
    pub workers: Vec<WorkerView>,
    /// Children of the job asked for, in the order in which they came to the shard.
    pub children: Vec<Child>,
    /// Sums of usage, when asked for, by name.
    pub usage: Vec<UsageSum>,
    /// Iterations of the agent job that was asked for, newest first.
    pub iterations: Vec<IterationRecord<'a>>,
    /// One element per rule control.
    pub rule_controls: Vec<RuleDone>,
    /// Budgets, when asked for.
    pub budgets: Vec<BudgetView>,
    /// Approval policies, when asked for.
    pub policies: Vec<PolicyView>,
    /// Held jobs, when asked for, in the order in which they came to the shard.
    pub held: Vec<JobId>,
}

/// Consecutive jobs created, or one that existed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnqueuedRun {
    /// `Ok`, `Duplicate` or `Conflict`.
    pub code: Code,
    /// The first job.
    pub first: JobId,
    /// How many jobs; 1 unless `Ok`.
    pub count: u32,
}

impl EnqueuedRun {
    /// The ids of the run.
    ///
    /// # Panics
    /// When the sequence is used up.
    pub fn ids(self) -> impl Iterator<Item = JobId> {
        let first = self.first;
        (0..u64::from(self.count))
            .map(move |n| JobId::new(first.created_ms(), first.shard(), JobSeq(first.seq().0 + n)))
    }
}

/// A job given to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeasedJob<'a> {
    /// The job.
    pub job: JobId,
    /// The right to finish it.
    pub token: LeaseToken,
    /// When the lease ends, by the server's clock.
    pub deadline: Micros,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Total attempts allowed.
    pub max_retries: u32,
    /// Queue.
    pub queue: &'a str,
    /// What was enqueued.
    pub payload: &'a [u8],
    /// Tags, as the client encoded them.
    pub tags: &'a [u8],
    /// What an earlier attempt left.
    pub checkpoint: &'a [u8],
    /// How far it is, if it is an agent job.
    pub agent: Option<AgentState>,
}

/// A lease that ended under its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostLease {
    /// The job and the token that is over.
    pub job: JobRef,
    /// Why: what an ack would be answered now.
    pub code: Code,
}

impl<'a> ServerFrame<'a> {
    /// Checks and decodes a frame.
    ///
    /// # Errors
    /// When it is not a well-formed frame that servers send.
    pub fn decode(frame: Frame<'a>) -> Result<Self, DecodeError> {
        let Frame { kind, blob, table } = frame;
        Ok(match Kind::from_u8(kind) {
            Some(Kind::Reply) => Self::Reply(decode_reply::reply(blob, table)?),
            Some(Kind::Deliver) => {
                let (subscription, leases) = decode_reply::deliver(blob, table)?;
                Self::Deliver { subscription, leases }
            }
            Some(Kind::Welcome) => Self::Welcome(Welcome::decode(blob, table)?),
            Some(Kind::Lost) => {
                let leases = Table::open(table)?.list("leases", fb::Lost::VT_LEASES, usize::MAX)?;
                Self::Lost(table::collect(leases, |raw| {
                    let lost = fb::LostLease(raw);
                    Ok(LostLease {
                        job: table::job_ref(lost.job())?,
                        code: table::code(lost.code())?,
                    })
                })?)
            }
            Some(Kind::Refused) => Self::Refused(Refused::decode(blob, table)?),
            Some(Kind::GoAway) => {
                let table = Table::open(table)?;
                let message_len = table.u32(fb::GoAway::VT_MESSAGE_LEN)?;
                let message = BlobReader::new(blob).text("message", message_len)?;
                Self::GoAway { grace_ms: table.u32(fb::GoAway::VT_GRACE_MS)?, message }
            }
            Some(Kind::Pong) => {
                let table = Table::open(table)?;
                let server_time = Micros(table.u64(fb::Pong::VT_SERVER_TIME_US)?);
                Self::Pong { nonce: table.u64(fb::Pong::VT_NONCE)?, server_time }
            }
            _ => return Err(DecodeError::Kind(kind)),
        })
    }
}
