//! What jobbie says and what it writes down: ids, event records, requests and replies, wire frames,
//! error codes and limits.
//!
//! Nothing here does I/O, reads a clock or is asynchronous, and everything above this crate
//! means the same thing by the same word because it takes the word from here.

pub mod ability;
pub mod agent;
pub mod code;
pub mod compose;
pub mod event;
pub mod id;
pub mod letter;
pub mod limits;
pub mod placement;
pub mod plan;
pub mod reply;
pub mod request;
pub mod rules;
pub mod usage;
pub mod wire;

pub use code::Code;
pub use event::Event;
pub use id::{
    BatchId, EventSeq, JobId, JobSeq, LeaseToken, Micros, OperationId, SessionId, ShardId,
};
pub use reply::Reply;
pub use request::Request;
