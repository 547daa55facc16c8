//! Agent jobs in requests.

use crate::agent::AgentLimits;
use crate::event::Replayed;

/// A new job that is worked on in iterations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agent<'a> {
    /// What limits it.
    pub limits: AgentLimits,
    /// What its first iteration finds; empty is nothing.
    pub checkpoint: &'a [u8],
    /// The job and iteration that it begins from, for people.
    pub replayed: Option<Replayed>,
}

/// A new job that is worked on in iterations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnqueueAgent<'a> {
    /// Its position in [`Request::enqueues`](super::Request::enqueues).
    pub enqueue: u32,
    /// What is special about it.
    pub agent: Agent<'a>,
}

/// What a worker says of an iteration. An agent job acked without it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentAck<'a> {
    /// Position in [`Request::acks`](super::Request::acks).
    pub of: u32,
    /// Number of an [`AgentStatus`](crate::agent::AgentStatus). Another number refuses the request.
    pub status: u8,
    /// Replaces the checkpoint when not empty.
    pub checkpoint: &'a [u8],
    /// Why the job is held if it is, for people; empty is the reason that the server gives.
    pub reason: &'a [u8],
}
