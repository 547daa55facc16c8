//! Events of jobs that were completed and had left memory.

use jobbie_proto::agent::AgentLimits;
use jobbie_proto::event::{ArchivedJob, RevivedJob};
use jobbie_proto::{Code, EventSeq, Reply};
use xxhash_rust::xxh3::xxh3_64;

use super::Mark;
use crate::agents::Agent;
use crate::jobs::Origin;
use crate::revived::Revival;
use crate::state::State;

impl State {
    pub(super) fn absorb_archived(&mut self, archived: &ArchivedJob, reply: &mut Reply) {
        match archived {
            ArchivedJob::Revived(revived) => self.revived(revived),
            ArchivedJob::Deleted { job } => self.nothing(&[Mark::Deleted as u64, job.0]),
            ArchivedJob::Moved { job, queue } => {
                self.nothing(&[Mark::Moved as u64, job.0, xxh3_64(queue.as_bytes())]);
            }
        }
        reply.job_controls.push(Code::Ok);
    }

    /// It waits at the back of its tier, as if it had never been fetched. What followed from its first end has followed: its
    /// batch has counted it, its chain has gone on.
    fn revived(&mut self, revived: &RevivedJob) {
        let event = self.number_event();
        let RevivedJob { created_ms, class, limit_key, expire_at, iteration, limits, .. } = revived;
        let job = revived.job.0;
        assert!(job < self.next_job, "a job was revived that was never made");
        assert!(!self.jobs.contains(job), "a job was revived that is in memory");
        assert!(!self.ties.gone.contains(job), "a job was revived that was removed");
        assert!(*created_ms <= self.time().ms(), "a job was revived before it was made");
        let id = self.intern(class, limit_key);
        if !limit_key.is_empty() {
            self.ensure_lanes(self.classes.get(id).queue);
        }
        let expires = if class.expire_after_ms > 0 { expire_at.0 } else { 0 };
        self.revived.insert(job, Revival { event, expires });
        self.recreate(job, Origin { event, created_ms: *created_ms, class: id });
        if let Some(parent) = revived.parent {
            self.ties.kin.change(job, |kin| kin.parent = Some(parent));
        }
        if revived.cost_micros > 0 {
            self.usage.set_cost(job, revived.cost_micros);
        }
        let has_checkpoint = !revived.checkpoint.is_empty();
        if *iteration > 0 {
            self.agents.insert(job, Agent::revived(revived, event));
        }
        let detached = self.detach_fresh(job);
        let number = self.step_back(detached, event);
        if has_checkpoint {
            self.side_mut(number).checkpoint = EventSeq(event);
        }
        if !revived.progress.is_empty() {
            self.side_mut(number).progress = EventSeq(event);
        }
        let AgentLimits { max_iterations, max_cost_micros, iteration_timeout_ms } = *limits;
        let kept = u64::from(has_checkpoint) << 1 | u64::from(!revived.progress.is_empty());
        let hash = self.classes.get(id).hash;
        self.digest.mix_all(&[Mark::Revived as u64, job, *created_ms, hash, expires, kept]);
        self.digest.mix_all(&[u64::from(*iteration), u64::from(max_iterations), max_cost_micros]);
        self.digest.mix_all(&[iteration_timeout_ms, revived.cost_micros]);
        self.digest.mix(revived.parent.map_or(0, |parent| parent.to_u128() as u64));
    }
}
