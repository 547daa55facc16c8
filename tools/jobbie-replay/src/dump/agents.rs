//! Events of agent jobs.

use jobbie_proto::Event;
use serde_json::{Value, json};

use super::Lines;

impl Lines<'_> {
    pub(super) fn agent(&self, event: &Event) -> Value {
        match event {
            Event::AgentEnqueued(agent) => json!({
                "event": "agent_enqueued", "job": agent.job.0,
                "max_iterations": agent.limits.max_iterations,
                "max_cost_micros": agent.limits.max_cost_micros,
                "iteration_timeout_ms": agent.limits.iteration_timeout_ms,
                "checkpoint": self.blob(agent.checkpoint),
                "replayed": agent.replayed.map(|of| of.job.to_string()),
                "replayed_iteration": agent.replayed.map(|of| of.iteration),
            }),
            Event::Iterated(iteration) => {
                let mut line = json!({
                    "event": "iterated", "job": iteration.job.0, "iteration": iteration.number,
                    "next": iteration.next, "attempt": iteration.attempt,
                    "status": iteration.status.name(),
                    "checkpoint": self.blob(iteration.checkpoint),
                    "result": self.blob(iteration.result), "reason": self.words(iteration.reason),
                    "model": iteration.model, "provider": iteration.provider,
                    "previous": iteration.previous.0,
                });
                let amounts = iteration.amounts.named().map(|(name, n)| (name.into(), n.into()));
                line.as_object_mut().expect("made as one").extend(amounts);
                line
            }
            Event::Revised(revised) => json!({
                "event": "revised", "job": revised.job.0,
                "checkpoint": self.blob(revised.checkpoint),
                "feedback": self.words(revised.feedback), "by": self.text(revised.by),
            }),
            other => unreachable!("{other:?} is told elsewhere"),
        }
    }
}
