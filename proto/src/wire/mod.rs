//! The binary protocol: frames on a byte stream. `docs/protocol.md` is the specification.
//!
//! [`frame`] cuts the stream into frames, [`Encoder`] appends frames to a buffer, and
//! [`ClientFrame::decode`] and [`ServerFrame::decode`] check a frame completely and turn it into
//! values that borrow from it. Nothing a peer sends makes them panic, loop or allocate more than
//! a small multiple of the frame.

mod agents;
mod archive;
mod blob;
mod client;
mod decode_controls;
mod decode_reply;
mod decode_request;
mod encode_reply;
mod encode_request;
mod encoder;
mod error;
mod errors;
pub mod frame;
#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    unused_imports,
    dead_code,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "generated from proto/schema/jobbie.fbs by `cargo xtask regen-wire`"
)]
mod generated;
mod handshake;
mod history;
mod kin;
mod lookup;
mod operations;
mod plans;
mod rules;
mod schedules;
mod server;
mod table;
mod ties;
mod usage;
mod workers;

pub use agents::IterationRecord;
pub use client::{ClientFrame, Subscribe};
pub use encode_reply::{LeaseBytes, ReplyHead, StatsAnswer};
pub use encoder::Encoder;
pub use error::{DecodeError, EncodeError, FrameError};
pub use errors::JobError;
pub use frame::{Frame, FrameReader, Kind};
pub use handshake::{
    ANY_SHARD, Durability, Endpoint, Hello, Limits, PROTOCOL_VERSION, Refused, ServerSettings,
    Welcome,
};
pub use history::JobEvent;
pub use kin::Kin;
pub use lookup::{JobBytes, JobDetails, Lookup};
pub use plans::{KindDetails, PlanDetails};
pub use schedules::{ScheduleChanged, ScheduleDetails};
pub use server::{EnqueuedRun, LeasedJob, LostLease, ReplyFrame, ServerFrame};
