//! What happens to completed jobs after they have left the engine's memory.

use std::sync::Arc;

use jobbie_proto::event::{ArchivedJob, RevivedJob};
use jobbie_proto::reply::JobState;

use super::events::Made;
use super::{Folding, Touched};
use crate::error::Result;
use crate::public::Kind;
use crate::record::group;

impl Folding<'_> {
    pub(super) fn archived(&mut self, archived: &ArchivedJob) -> Result<()> {
        match archived {
            ArchivedJob::Revived(revived) => self.revived(revived),
            ArchivedJob::Deleted { job } => self.deleted(*job),
            ArchivedJob::Moved { job, queue } => {
                let to = self.fold.queues.intern(queue);
                let brief = self.change(*job, |record| {
                    record.queue = to;
                    group::QUEUE
                })?;
                let data = serde_json::json!({ "queue": queue }).to_string();
                self.publish_job(Kind::Moved, brief, data.as_bytes());
                Ok(())
            }
        }
    }

    /// The job waits again, as it was but for what the event says. If the log has given up what was known of it, that is all there is.
    fn revived(&mut self, revived: &RevivedJob) -> Result<()> {
        if self.touch(revived.job)?.is_none() {
            self.remake(revived);
        }
        let none = Arc::clone(&self.fold.empty);
        let (event, queue) = (self.event, self.fold.queues.intern(&revived.class.queue));
        let checkpoint = revived.checkpoint.of(self.blob);
        let brief = self.change(revived.job, |record| {
            let changed = record.ends() | record.waits() | record.checks(checkpoint);
            (record.record, record.queue, record.attempt) = (event, queue, 0);
            record.priority = revived.class.priority;
            (record.completed, record.failed, record.cancelled) = (0, 0, 0);
            (record.worker, record.host) = (Arc::clone(&none), none);
            record.expires = revived.expire_at.0;
            let rare = record.rare();
            rare.cost = revived.cost_micros;
            (rare.iteration, rare.limits) = (revived.iteration, revived.limits);
            let sets = group::RECORD | group::QUEUE | group::PRIORITY | group::ATTEMPT;
            let clears = group::COMPLETED | group::FAILED | group::WORKER | group::REST;
            changed | sets | clears
        })?;
        self.publish_job(Kind::Retried, brief, b"");
        Ok(())
    }

    fn remake(&mut self, revived: &RevivedJob) {
        let queue = self.fold.queues.intern(&revived.class.queue);
        let blob = self.blob;
        let made = Made {
            payload: revived.payload.of(blob),
            tags: revived.tags.of(blob),
            due: jobbie_proto::Micros(0),
            limit_key: &revived.limit_key,
        };
        let created = revived.created_ms * 1000;
        let mut record = self.record(revived.job, queue, &revived.class, &made, created);
        record.state = JobState::Completed;
        record.progress = revived.progress.of(blob).to_vec();
        record.rare().parent = revived.parent;
        self.fold.jobs.insert(Touched { record, changed: 0, stored: None, gone: false });
    }
}
