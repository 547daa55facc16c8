//! Events of jobs that were completed and had left memory.

use jobbie_proto::event::{ArchivedJob, RevivedJob};
use serde_json::{Value, json};

use super::Lines;

impl Lines<'_> {
    pub(super) fn archived(&self, archived: &ArchivedJob) -> Value {
        match archived {
            ArchivedJob::Revived(revived) => self.revived(revived),
            ArchivedJob::Deleted { job } => json!({ "event": "archived_deleted", "job": job.0 }),
            ArchivedJob::Moved { job, queue } => {
                json!({ "event": "archived_moved", "job": job.0, "queue": queue })
            }
        }
    }

    fn revived(&self, revived: &RevivedJob) -> Value {
        let RevivedJob { class, limits, .. } = revived;
        json!({
            "event": "revived", "job": revived.job.0, "created_ms": revived.created_ms,
            "queue": class.queue, "priority": class.priority, "max_retries": class.max_retries,
            "limit_key": revived.limit_key,
            "payload": self.blob(revived.payload), "tags": self.blob(revived.tags),
            "checkpoint": self.blob(revived.checkpoint), "progress": self.blob(revived.progress),
            "expire_at_us": revived.expire_at.0,
            "parent": revived.parent.map(|parent| parent.to_string()),
            "cost_micros": revived.cost_micros, "iteration": revived.iteration,
            "max_iterations": limits.max_iterations, "max_cost_micros": limits.max_cost_micros,
            "iteration_timeout_ms": limits.iteration_timeout_ms,
        })
    }
}
