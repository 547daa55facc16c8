//! What is done to jobs that were completed and have left memory. Such a request does nothing else and names each job once.

use std::hash::BuildHasherDefault;

use hashbrown::HashSet;
use jobbie_proto::event::{ArchivedJob, Asked, Blob, Event, RevivedJob, UniqueKey};
use jobbie_proto::limits::UNIQUE_MS_DEFAULT;
use jobbie_proto::placement::shard_of;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{ArchivedAction, ArchivedControl, Revive};
use jobbie_proto::{Code, JobId, JobSeq, Micros};

use super::BlobSink;
use super::draft::{Draft, JobHasher};
use super::enqueue::{class_of, key_hash};
use super::rules::tagged;

/// Hashes of the unique keys that jobs of the request take.
type Taken = HashSet<u128, BuildHasherDefault<JobHasher>>;

fn asked(action: &ArchivedAction<'_>) -> Asked {
    match action {
        ArchivedAction::Revive(_) => Asked::Revive,
        ArchivedAction::Delete => Asked::DeleteArchived,
        ArchivedAction::Move { .. } => Asked::MoveArchived,
    }
}

impl Draft<'_> {
    pub(super) fn archived(&mut self, controls: &[ArchivedControl<'_>], blob: &mut impl BlobSink) {
        let mut taken = Taken::default();
        for ArchivedControl { job, action } in controls {
            let done = self.find_archived(*job).and_then(|seq| match action {
                ArchivedAction::Revive(revive) => self.revive(*job, revive, &mut taken, blob),
                ArchivedAction::Delete => {
                    self.push_archived(ArchivedJob::Deleted { job: seq });
                    Ok(())
                }
                ArchivedAction::Move { queue } => self.move_archived(seq, queue),
            });
            if let Err(code) = done {
                let (job, asked) = (job.seq(), asked(action));
                self.events.push(Event::Refused { job, asked, code });
            }
        }
    }

    /// A job that was made here and has left memory as completed. Of its id only the number is known.
    fn find_archived(&self, job: JobId) -> Result<JobSeq, Code> {
        let (state, seq) = (self.state, job.seq());
        if state.jobs.contains(seq.0) {
            let there = state.resolve(job)?;
            let moved = state.job_state(there) == JobState::Moved;
            return Err(if moved { Code::Moved } else { Code::IllegalState });
        }
        let was_made = (1..state.next_job).contains(&seq.0) && job.created_ms() <= self.now.ms();
        let is_archived = was_made && !state.ties.gone.contains(seq.0);
        is_archived.then_some(seq).ok_or(Code::NotFound)
    }

    fn push_archived(&mut self, archived: ArchivedJob) {
        self.events.push(Event::Archived(Box::new(archived)));
    }

    /// Nothing of it is on this shard that could go to another.
    fn move_archived(&mut self, job: JobSeq, queue: &str) -> Result<(), Code> {
        if shard_of(queue, self.state.shards) != self.state.shard {
            return Err(Code::Unsupported);
        }
        self.push_archived(ArchivedJob::Moved { job, queue: queue.to_owned() });
        Ok(())
    }

    fn revive(
        &mut self,
        id: JobId,
        revive: &Revive<'_>,
        taken: &mut Taken,
        blob: &mut impl BlobSink,
    ) -> Result<(), Code> {
        let Revive { content, checkpoint, progress, parent, cost_micros, agent } = revive;
        let (job, created_ms) = (id.seq(), id.created_ms());
        let unique = match content.unique {
            [] => None,
            key => {
                let hash = key_hash(content.queue, key);
                if taken.contains(&hash) || self.has_owner(content.queue, hash) {
                    return Err(Code::Duplicate);
                }
                taken.insert(hash);
                let ms = content.unique_ms;
                let ms = if ms == 0 { UNIQUE_MS_DEFAULT } else { ms };
                Some(UniqueKey { job, hash, until: self.now.plus_ms(ms), key: Blob::default() })
            }
        };
        let expire_at = match content.expire_after_ms {
            0 => Micros(0),
            ms => self.now.plus_ms(ms),
        };
        let agent = agent.unwrap_or_default();
        self.push_archived(ArchivedJob::Revived(RevivedJob {
            job,
            created_ms,
            class: class_of(content),
            limit_key: content.limit_key.to_owned(),
            payload: blob.append(content.payload),
            tags: blob.append(content.tags),
            checkpoint: blob.append(checkpoint),
            progress: blob.append(progress),
            expire_at,
            parent: *parent,
            cost_micros: *cost_micros,
            iteration: agent.iteration,
            limits: agent.limits,
        }));
        if let Some(unique) = unique {
            let key = blob.append(content.unique);
            self.events.push(Event::UniqueTaken { jobs: vec![UniqueKey { key, ..unique }] });
        }
        tagged(&mut self.events, job, self.state.rules.matching(content.tags));
        Ok(())
    }

    /// Whether a job has a unique key of a queue.
    fn has_owner(&self, queue: &str, hash: u128) -> bool {
        let owner = self.state.uniques.find(hash, self.now.0);
        owner.is_some_and(|unique| !self.state.unique_is_over(queue, unique.job))
    }
}
