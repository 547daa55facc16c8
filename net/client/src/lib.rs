//! Client and worker runtime for jobbie.
//!
//! ```no_run
//! use jobbie_client::{Client, NewJob};
//!
//! # async fn example() -> Result<(), jobbie_client::Error> {
//! let client = Client::connect("127.0.0.1:7400").await?;
//! let job = client.enqueue(&NewJob::new("mail", b"to: ann")).await?;
//! println!("{}", job.id);
//! # Ok(())
//! # }
//! ```
//!
//! [`Client`] connects to any node and keeps one connection to each shard it needs. A request that is
//! not answered because a connection broke is sent again under its old number, and the server does it once; an error
//! says by [`Error::outcome`] whether it may have been done. [`Worker`] runs handlers for queues.
//!
//! [`connection`] is the protocol without sockets, for programs with their own event loop.

mod agents;
mod answer;
mod archive;
mod batch;
mod client;
mod config;
pub mod connection;
mod control;
mod drive;
mod error;
mod in_flight;
mod job;
mod kin;
mod link;
mod observe;
mod operation;
mod plans;
mod rules;
mod schedule;
mod ties;
mod topology;
mod usage;
mod worker;

pub use agents::{FEEDBACK_KEY, IterationEnd, IterationInfo};
pub use answer::{Answer, jobs};
pub use archive::ArchivedJob;
pub use client::{Beat, Client, FailedJob, FetchOptions};
pub use config::Config;
pub use error::{Error, Outcome};
pub use job::{Enqueued, Job, JobInfo, NewJob};
pub use kin::MovedJob;
pub use observe::{HeldJob, JobErrorRecord};
pub use operation::{Operation, Progress};
pub use plans::{JobEvent, PlanInfo};
pub use schedule::{NewSchedule, ScheduleInfo};
pub use ties::TiedJob;
pub use topology::Topology;
pub use worker::{JobContext, JobError, Report, Worker, WorkerBuilder};

pub use jobbie_proto::ability::{Abilities, Ability};
pub use jobbie_proto::agent::{AgentLimits, AgentState, AgentStatus};
pub use jobbie_proto::event::{
    BackoffKind, BulkAction, HoldEnd, JobFilter, Missed, QueueSettings, Sharing, Task,
};
pub use jobbie_proto::id::OperationRef;
pub use jobbie_proto::plan::{Effect, Need, PlanStatus};
pub use jobbie_proto::reply::{
    AgentView, Appended, BatchView, BudgetView, Child, JobState, KindView, OperationStatus,
    OperationView, PolicyView, QueueStats, ShardStats, UsageSum, WorkerView,
};
pub use jobbie_proto::request::{
    AgentAck, Append, Expected, Hold, JobRef, Plan, RevivedAgent, Usage,
};
pub use jobbie_proto::rules::{Budget, JobTag, OnExceed, Policy, PolicyMode, Scope};
pub use jobbie_proto::usage::{Amounts, UsageGroup, UsagePhase, dollars, parse_dollars};
pub use jobbie_proto::{BatchId, Code, EventSeq, JobId, LeaseToken, Micros, OperationId, ShardId};
