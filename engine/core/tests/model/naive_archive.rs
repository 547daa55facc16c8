//! Jobs that were completed and have left memory, in the naive model.

use std::collections::{BTreeMap, BTreeSet};

use jobbie_proto::agent::AgentLimits;
use jobbie_proto::reply::AgentView;
use jobbie_proto::request::{ArchivedAction, ArchivedControl, Enqueue, Revive, RevivedAgent, When};
use jobbie_proto::{Code, EventSeq, JobId, JobSeq, Micros, Reply, Request, ShardId};

use crate::driver::Driver;
use crate::naive::Naive;
use crate::values::{LIMIT_KEYS, QUEUES, UNIQUES, enqueue};

/// What is known of jobs that left memory as completed.
#[derive(Default)]
pub(crate) struct Archive {
    /// Those that did and did not come back.
    pub(crate) completed: BTreeMap<u64, JobId>,
    /// Those that came back, whether they are still there or not.
    pub(crate) revived: BTreeSet<u64>,
}

/// A job, by how recently it was archived or made; what is done; with what; its unique key.
pub(crate) type Archived = (usize, u8, u8, usize);

fn action(kind: u8, with: u8, unique: usize) -> ArchivedAction<'static> {
    let queue = usize::from(with % 3);
    match kind {
        0 => ArchivedAction::Delete,
        1 => ArchivedAction::Move { queue: QUEUES[queue] },
        _ => {
            let content = Enqueue {
                when: When::Now,
                unique: UNIQUES[unique],
                limit_key: LIMIT_KEYS[usize::from(with) % LIMIT_KEYS.len()],
                ..enqueue(queue, with, 0)
            };
            let limits = AgentLimits { max_iterations: 2, ..AgentLimits::default() };
            let agent = RevivedAgent { iteration: 1 + u32::from(with % 2), limits };
            ArchivedAction::Revive(Box::new(Revive {
                content,
                checkpoint: if with & 4 == 0 { b"" } else { b"kept" },
                progress: if with & 8 == 0 { b"" } else { b"half" },
                parent: (with & 16 == 0).then_some(JobId::new(1, ShardId(0), JobSeq(1))),
                cost_micros: u64::from(with % 5) * 100,
                agent: (kind == 2).then_some(agent),
            }))
        }
    }
}

impl Naive {
    pub(crate) fn archive_controls(&mut self, request: &Request<'_>, reply: &mut Reply) {
        for control in &request.archived {
            let code = self.archive_control(control);
            reply.job_controls.push(code);
        }
    }

    /// What is done to an archived job.
    fn archive_control(&mut self, control: &ArchivedControl<'_>) -> Code {
        let seq = control.job.seq().0;
        let event = EventSeq(self.event());
        if let Some(job) = self.jobs.get(&seq) {
            return if job.view.id == control.job { Code::IllegalState } else { Code::NotFound };
        }
        if !self.archive.completed.contains_key(&seq) {
            return Code::NotFound;
        }
        let ArchivedAction::Revive(revive) = &control.action else { return Code::Ok };
        let content = &revive.content;
        let unique = (content.queue.to_owned(), content.unique.to_vec());
        let owner = self.uniques.get(&unique).filter(|(_, until)| *until > self.now);
        if owner.is_some_and(|(owner, _)| !self.unique_is_over(content.queue, *owner)) {
            return Code::Duplicate;
        }
        self.archive.completed.remove(&seq);
        self.revive(control.job, revive, event);
        if !content.unique.is_empty() {
            self.event();
            self.uniques.insert(unique, (seq, self.now + content.unique_ms * 1000));
        }
        Code::Ok
    }

    /// As if it had just been made, but under its id.
    fn revive(&mut self, id: JobId, revive: &Revive<'_>, event: EventSeq) {
        let content = &revive.content;
        let (next_job, class) = (
            self.next_job,
            jobbie_proto::event::Class {
                queue: content.queue.into(),
                priority: content.priority,
                max_retries: content.max_retries,
                backoff: content.backoff,
                backoff_base_ms: content.backoff_base_ms,
                backoff_cap_ms: content.backoff_cap_ms,
                expire_after_ms: content.expire_after_ms,
            },
        );
        self.next_job = id.seq().0;
        self.admit(&class, content.limit_key, event, 0);
        self.next_job = next_job;
        self.queues.get_mut(content.queue).expect("just admitted").2 -= 1;
        self.archive.revived.insert(id.seq().0);
        let now = self.now;
        let view = &mut self.jobs.get_mut(&id.seq().0).expect("just admitted").view;
        view.id = id;
        if class.expire_after_ms > 0 {
            view.expire_at = Micros(now + class.expire_after_ms * 1000);
        }
        view.checkpoint = if revive.checkpoint.is_empty() { EventSeq(0) } else { event };
        view.progress = if revive.progress.is_empty() { EventSeq(0) } else { event };
        view.kin.parent = revive.parent;
        view.cost_micros = revive.cost_micros;
        view.agent = revive.agent.map(|RevivedAgent { iteration, limits }| AgentView {
            iteration,
            limits,
            newest: EventSeq(0),
            checkpoint: EventSeq(0),
        });
    }
}

impl Driver {
    pub(crate) fn archive(&mut self, client: u8, jobs: &[Archived]) {
        self.model.now = self.now.0;
        let mut request: Request<'static> = self.build(client, &[], false);
        let control = |&(job, kind, with, unique): &Archived| {
            let archived = self.model.archive.completed.values().rev().nth(job % 9).copied();
            let job = archived.filter(|_| job < 9).unwrap_or_else(|| self.job(job, 0).job);
            ArchivedControl { job, action: action(kind, with, unique) }
        };
        request.archived = jobs.iter().map(control).collect();
        self.perform(&request);
    }
}
