//! What the loop needs of a protocol, and nothing about sockets.

use std::time::Duration;

use crate::due::Due;

/// A job that a worker was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// The number the producer gave it, out of its payload.
    pub number: u64,
    /// When it was meant to be sent, or is due, in nanoseconds since the run began, out of its payload.
    pub sent_ns: u64,
    /// The server's id for it, where the protocol has one.
    pub id: u128,
    /// The right to finish it, where the protocol has one.
    pub token: u64,
}

/// Jobs to create: consecutive numbers, all meant to be sent at one time, and each due at once or at a time of its own.
#[derive(Clone, Copy, Debug)]
pub struct NewJobs {
    /// Number of the first.
    pub first: u64,
    /// How many.
    pub count: u32,
    /// When they were meant to be sent, in nanoseconds since the run began.
    pub sent_ns: u64,
    /// When each is due, where they wait for their time.
    pub due: Option<Due>,
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What the request returned.
    pub ticket: u64,
    /// Operations done.
    pub ok: u32,
    /// Operations refused.
    pub errors: u32,
    /// The first refusal's name.
    pub error: Option<&'static str>,
    /// How many jobs came with it, next in [`Received::jobs`].
    pub jobs: u32,
}

/// What came out of some bytes.
#[derive(Debug, Default)]
pub struct Received {
    /// Answers, in the order in which they came.
    pub answers: Vec<Answer>,
    /// Their jobs, one answer's after the other's.
    pub jobs: Vec<Job>,
    /// Positions of refused operations within their request, [`Answer::errors`] for each answer.
    pub refused: Vec<u32>,
    /// Jobs whose payload is not what any producer sent; they are not in `jobs`.
    pub mangled: u64,
}

impl Received {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.answers.clear();
        self.jobs.clear();
        self.refused.clear();
        self.mangled = 0;
    }
}

/// The connection cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WireError(pub String);

/// One connection's protocol. Requests append their bytes to `out` and return a ticket; answers come out of
/// [`Wire::receive`] in any order.
pub trait Wire {
    /// Opens the connection. [`Wire::is_open`] tells when requests may be made.
    fn open(&mut self, out: &mut Vec<u8>);
    /// Whether requests may be made.
    fn is_open(&self) -> bool;
    /// Creates jobs.
    fn enqueue(&mut self, jobs: NewJobs, out: &mut Vec<u8>) -> u64;
    /// Takes up to `count` jobs, waiting for the first.
    fn fetch(&mut self, count: u32, out: &mut Vec<u8>) -> u64;
    /// Finishes jobs, and in the same request takes up to `fetch` new ones when that is not 0.
    fn ack(&mut self, jobs: &[Job], fetch: u32, out: &mut Vec<u8>) -> u64;
    /// Reads answers from the front of `bytes`; returns how many bytes are used up.
    ///
    /// # Errors
    /// When the bytes make no sense or the server ends the conversation.
    fn receive(&mut self, bytes: &[u8], into: &mut Received) -> Result<usize, WireError>;
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Creates jobs.
    Producer,
    /// Finishes jobs.
    Worker,
}

/// A server to be measured.
pub trait Target: Sync {
    /// Its protocol.
    type Wire: Wire;
    /// A connected socket and the protocol to speak on it. `index` counts the connections of one role.
    ///
    /// # Errors
    /// When the server cannot be reached.
    fn connect(&self, role: Role, index: u32) -> anyhow::Result<(std::net::TcpStream, Self::Wire)>;
    /// Called when all of a run's jobs are done: how long it took until what follows from that was there, if anything does.
    ///
    /// # Errors
    /// When the server cannot be reached, or what follows is wrong.
    fn finish(&self, _jobs: u64) -> anyhow::Result<Option<Duration>> {
        Ok(None)
    }
    /// When a write counts there, as it calls it itself.
    fn durability(&self) -> String;
    /// Its shards.
    fn shards(&self) -> u32;
    /// Queues the jobs are spread over.
    fn queues(&self) -> u32;
}
