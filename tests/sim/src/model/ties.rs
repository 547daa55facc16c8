//! What ties jobs together, as far as it is seen in their states.

use jobbie_proto::Code;
use jobbie_proto::event::Tie;
use jobbie_proto::reply::JobState;

use super::Model;
use super::absorb::Step;
use crate::check::violated;

impl Model {
    pub(super) fn tie(&mut self, tie: &Tie, step: &mut Step<'_>) {
        if let Tie::Settled { jobs, .. } = tie {
            for job in jobs {
                let event = self.number();
                self.settled(job.seq().0, event);
            }
            return;
        }
        let event = self.number();
        match tie {
            Tie::BatchOpened { .. } => step.outcome.batches.push(event),
            Tie::BatchSealed { .. } => step.outcome.batch_seals.push(Code::Ok),
            Tie::SealRefused { code, .. } => step.outcome.batch_seals.push(*code),
            Tie::Awaits { job, due, on, .. } if !on.is_empty() => {
                self.blocked.insert(job.0, on.len());
                // One that came from another shard may be held.
                if self.job(job.0).state != JobState::Held {
                    self.set_state(job.0, JobState::Scheduled);
                    self.job_mut(job.0).due = due.0;
                }
            }
            Tie::Arrived(arrived) => self.arrived(arrived, event, step),
            Tie::Fated { job, fate } => self.fated(job.0, *fate),
            _ => {}
        }
    }

    fn settled(&mut self, seq: u64, event: u64) {
        let Some(missing) = self.blocked.get_mut(&seq) else { return };
        *missing -= 1;
        if *missing > 0 {
            return;
        }
        self.blocked.remove(&seq);
        match self.job(seq).state {
            JobState::Scheduled if self.job(seq).due <= self.time => self.wait(seq, event),
            JobState::Scheduled | JobState::Held => {}
            state => violated!("r14", "job {seq} waited for others while {}", state.name()),
        }
    }
}
