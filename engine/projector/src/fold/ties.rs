//! What ties jobs together, and jobs that go to other shards and come from there.

use jobbie_proto::event::{ArrivedJob, Fate, Standing, Tie};
use jobbie_proto::reply::JobState;
use jobbie_proto::{JobId, JobSeq, Micros};

use super::Folding;
use crate::error::Result;
use crate::public::Kind;
use crate::record::{Record, group};

impl Folding<'_> {
    pub(super) fn tied(&mut self, tie: &Tie) -> Result<()> {
        match tie {
            Tie::Settled { jobs, .. } => {
                for job in jobs {
                    self.settled(job.seq())?;
                    self.event += 1;
                }
            }
            Tie::Joined { batch, jobs } => {
                for job in jobs {
                    self.change(*job, |record| {
                        record.rare().batch = Some(*batch);
                        group::REST
                    })?;
                }
            }
            Tie::Parented { parent, jobs } => {
                for job in jobs {
                    self.change(*job, |record| {
                        record.rare().parent = Some(*parent);
                        group::REST
                    })?;
                }
            }
            Tie::Chained(chained) => {
                self.change(chained.job, |record| {
                    record.rare().chain = Some((chained.chain, chained.step));
                    group::REST
                })?;
            }
            Tie::Awaits { job, due, on, done } => self.awaits(*job, *due, on, done)?,
            Tie::Arrived(arrived) => self.came(arrived)?,
            Tie::Located { job, now } => {
                self.change(*job, |record| {
                    record.rare().moved_to = Some(*now);
                    group::REST
                })?;
            }
            Tie::Fated { job, fate } => self.fated(*job, *fate)?,
            _ => {}
        }
        Ok(())
    }

    fn awaits(&mut self, job: JobSeq, due: Micros, on: &[JobId], done: &[JobId]) -> Result<()> {
        self.change(job, |record| {
            let rare = record.rare();
            rare.depends_on = on.iter().chain(done).copied().collect();
            if on.is_empty() {
                return group::REST;
            }
            (rare.missing, rare.awaits_due) = (on.len() as u32, due.0);
            // One that came from another shard may be held.
            if record.state != JobState::Held {
                (record.state, record.scheduled) = (JobState::Scheduled, due.0);
            }
            group::STATE | group::SCHEDULED | group::REST
        })?;
        Ok(())
    }

    /// One of the jobs that a job waits for is completed. It may have ended, or been sent off by an operator.
    fn settled(&mut self, job: JobSeq) -> Result<()> {
        let (time, mut waits) = (self.time, false);
        let brief = self.change(job, |record| {
            let Some(rare) = record.rare.as_mut().filter(|rare| rare.missing > 0) else { return 0 };
            rare.missing -= 1;
            if rare.missing > 0 {
                return group::REST;
            }
            let due = std::mem::take(&mut rare.awaits_due);
            if record.state != JobState::Scheduled {
                return group::REST;
            }
            if due <= time {
                waits = true;
                return record.waits() | group::REST;
            }
            record.scheduled = due;
            group::SCHEDULED | group::REST
        })?;
        if waits {
            self.publish_job(Kind::Promoted, brief, b"");
        }
        Ok(())
    }

    /// A job came from another shard, where it had another id.
    fn came(&mut self, arrived: &ArrivedJob) -> Result<()> {
        let (time, blob) = (self.time, self.blob);
        let brief = self.change(arrived.job, |record| {
            let changed = record.stands(arrived.standing, time);
            record.attempt = arrived.attempt;
            record.expires = arrived.expire_at.0;
            changed | Self::carried(record, arrived, blob) | group::ATTEMPT | group::REST
        })?;
        if !arrived.error.is_empty() || !arrived.backtrace.is_empty() {
            let (error, backtrace) = (arrived.error.of(blob), arrived.backtrace.of(blob));
            self.record_error(arrived.job, arrived.attempt, [error, backtrace], false)?;
        }
        let data = serde_json::json!({ "from": arrived.from.to_string() }).to_string();
        self.publish_job(Kind::Moved, brief, data.as_bytes());
        Ok(())
    }

    /// It is known what became of a job that has moved. Where it went is told as long as it is itself.
    fn fated(&mut self, job: JobSeq, fate: Fate) -> Result<()> {
        let time = self.time;
        match fate {
            Fate::Ended => {}
            Fate::Completed => {
                self.change(job, |record| {
                    record.completed = time;
                    group::COMPLETED
                })?;
            }
            Fate::Gone => {
                self.remove(job)?;
            }
        }
        Ok(())
    }
}

impl Record {
    /// What it is in when it comes.
    fn stands(&mut self, standing: Standing, time: u64) -> u16 {
        let mut changed = self.forgets_due() | group::STATE;
        match standing {
            Standing::Pending => self.state = JobState::Pending,
            Standing::Scheduled(due) => {
                (self.state, self.scheduled) = (JobState::Scheduled, due.0);
                changed |= group::SCHEDULED;
            }
            Standing::Retrying(due) => {
                (self.state, self.scheduled) = (JobState::Retrying, due.0);
                changed |= group::SCHEDULED;
            }
            Standing::Held { .. } => self.state = JobState::Held,
            Standing::Dead(at) => {
                (self.state, self.failed) = (JobState::Dead, at.0.min(time));
                changed |= group::FAILED;
            }
            Standing::Cancelled(at) => {
                (self.state, self.cancelled) = (JobState::Cancelled, at.0.min(time));
                changed |= group::FAILED;
            }
        }
        changed
    }
}
