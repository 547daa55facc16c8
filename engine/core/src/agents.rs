//! Agent jobs: which iteration each is in, what limits it, and where its iterations are in the log.

use jobbie_proto::EventSeq;
use jobbie_proto::agent::{AgentLimits, AgentState};
use jobbie_proto::event::{ArrivedJob, EnqueuedAgent, Iteration, RevivedJob};

use crate::sidetable::SideTable;

/// What an agent job has beside what any job has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agent {
    /// The event that says that it is one.
    pub(crate) record: u64,
    /// The newest record of an iteration; 0 is none.
    pub(crate) newest: u64,
    /// The iteration that is worked on, or is next.
    pub(crate) iteration: u32,
    pub(crate) limits: AgentLimits,
    /// Whether `record` has the checkpoint that it begins with.
    pub(crate) has_checkpoint: bool,
}

impl Agent {
    pub(crate) fn new(enqueued: &EnqueuedAgent, record: u64) -> Self {
        let has_checkpoint = !enqueued.checkpoint.is_empty();
        Self { record, newest: 0, iteration: 1, limits: enqueued.limits, has_checkpoint }
    }

    /// One that came from another shard, where its iterations so far are told.
    pub(crate) fn arrived(arrived: &ArrivedJob, record: u64) -> Self {
        let (iteration, limits) = (arrived.iteration, arrived.limits);
        Self {
            record,
            newest: 0,
            iteration,
            limits,
            has_checkpoint: !arrived.checkpoint.is_empty(),
        }
    }

    /// One that was completed and goes on, whose iterations so far are no longer in memory.
    pub(crate) fn revived(revived: &RevivedJob, record: u64) -> Self {
        let (iteration, limits) = (revived.iteration, revived.limits);
        let has_checkpoint = !revived.checkpoint.is_empty();
        Self { record, newest: 0, iteration, limits, has_checkpoint }
    }

    /// The event with the checkpoint that it begins with; 0 is none.
    pub(crate) fn first_checkpoint(&self) -> EventSeq {
        EventSeq(if self.has_checkpoint { self.record } else { 0 })
    }

    /// An iteration is over.
    pub(crate) fn take(&mut self, event: u64, iteration: &Iteration) {
        assert_eq!(iteration.number, self.iteration, "another iteration was executed");
        assert_eq!(iteration.previous.0, self.newest, "the chain of iterations is broken");
        self.newest = event;
        if !crate::mutant!(IterationUncounted) {
            self.iteration = iteration.next;
        }
    }

    pub(crate) fn state(&self, cost_micros: u64) -> AgentState {
        AgentState { iteration: self.iteration, cost_micros, limits: self.limits }
    }
}

/// All agent jobs of a shard.
pub(crate) type Agents = SideTable<Agent>;
