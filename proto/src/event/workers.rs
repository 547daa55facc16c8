//! Workers that ask for jobs.

use rkyv::{Archive, Deserialize, Serialize};

use crate::SessionId;

/// Who a worker is: a session may be that of several.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize,
)]
pub struct WorkerKey {
    /// Its session.
    pub session: SessionId,
    /// Its name.
    pub name: String,
}

/// What a worker said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct WorkerAsks {
    /// Name of its machine.
    pub host: String,
    /// The first of the queues that it asks for.
    pub queues: Vec<String>,
    /// How many it asks for.
    pub queues_asked: u32,
}

/// A worker that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SeenWorker {
    /// Which.
    pub worker: WorkerKey,
    /// What it said of itself, when that is not what is known of it.
    pub asks: Option<WorkerAsks>,
}
