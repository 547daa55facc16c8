//! Agent jobs in a snapshot.

use jobbie_proto::agent::AgentLimits;
use rkyv::{Archive, Deserialize, Serialize};

use super::read::{Checked, require};
use crate::agents::Agent;
use crate::state::State;

#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct AgentRow {
    job: u64,
    record: u64,
    newest: u64,
    iteration: u32,
    limits: AgentLimits,
    has_checkpoint: bool,
}

impl AgentRow {
    pub(super) fn new(job: u64, agent: &Agent) -> Self {
        let Agent { record, newest, iteration, limits, has_checkpoint } = *agent;
        Self { job, record, newest, iteration, limits, has_checkpoint }
    }

    pub(super) fn restore(self, state: &mut State) -> Checked {
        let Self { job, record, newest, iteration, limits, has_checkpoint } = self;
        require(state.jobs.contains(job), "an unknown agent job")?;
        require(state.agents.get(job).is_none(), "an agent job comes twice")?;
        let known = (1..state.next_event).contains(&record) && newest < state.next_event;
        require(known && (newest == 0 || newest > record), "an agent job is ahead")?;
        require(iteration > 0, "an agent job without an iteration")?;
        state.agents.insert(job, Agent { record, newest, iteration, limits, has_checkpoint });
        Ok(())
    }
}
