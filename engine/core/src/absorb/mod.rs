//! Events to state. Total and deterministic; what cannot be is asserted.

mod agents;
mod archive;
mod controls;
mod jobs;
mod kin;
mod leases;
mod operations;
mod plans;
mod queues;
mod rules;
mod schedules;
mod ties;
mod usage;
mod workers;

use std::rc::Rc;

use jobbie_proto::event::{Asked, Event, Group, Late};
use jobbie_proto::reply::{Enqueued, Failed};
use jobbie_proto::{Code, Micros, Reply, SessionId};

use crate::session::Session;
use crate::settings::Settings;
use crate::state::State;

/// Keys that are over and are swept with every group.
const SWEPT_KEYS: usize = 128;

/// Distinguishes the kinds of events in the digest.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Mark {
    Group = 1,
    SessionOpened,
    SessionClosed,
    Enqueued,
    Leased,
    Completed,
    Failed,
    Extended,
    SessionExtended,
    Released,
    LeaseExpired,
    Promoted,
    Expired,
    Cancelled,
    Deleted,
    Queue,
    Nothing,
    UniqueTaken,
    Quarantined,
    Retried,
    Requeued,
    Held,
    Approved,
    Rejected,
    Moved,
    Prioritized,
    Replaced,
    Purged,
    Limited,
    QueueConfigured,
    KeyWeighed,
    LimitsOpened,
    Tied,
    Settled,
    Planned,
    Appended,
    PlanTimedOut,
    ScheduleSet,
    SchedulePaused,
    ScheduleResumed,
    ScheduleDeleted,
    ScheduleFired,
    ScheduleSkipped,
    OperationStarted,
    OperationAdvanced,
    OperationEnded,
    WorkerSeen,
    WorkerForgotten,
    UsageReported,
    AgentEnqueued,
    Iterated,
    Revised,
    Ruled,
    Revived,
}

impl State {
    /// Changes the state by what a group says happened at `time`. The only mutation there is.
    ///
    /// Returns the answer that follows from the group when it belongs to a session. When the
    /// request has a number, the session remembers the answer until the client confirms it.
    ///
    /// # Panics
    /// When the group cannot follow from this state: the log is not that of this shard, or
    /// deciding has a defect. Going on would diverge silently.
    pub fn absorb(&mut self, time: Micros, group: &Group) -> Option<Rc<Reply>> {
        assert!(time.0 >= self.time, "log time runs backwards, {} to {time}", self.time);
        self.time = time.0;
        self.digest.mix_all(&[Mark::Group as u64, time.0, group.session.0, group.number]);
        self.opened.clear();
        let mut reply = Reply::default();
        let next_job = self.next_job;
        for event in &group.events {
            self.absorb_event(event, next_job, &mut reply);
        }
        self.settle_limits();
        self.trim_ended();
        self.keys.sweep(self.time, SWEPT_KEYS);
        self.ties.sweep();
        self.mix_totals();
        if group.session.0 == 0 {
            return None;
        }
        let at = self.sessions.find(group.session.0).expect("a group of an unknown session");
        let session = self.sessions.get_mut(at);
        session.confirm(group.confirmed_below);
        let reply = Rc::new(reply);
        if group.number != 0 {
            session.remember(group.number, Rc::clone(&reply));
        }
        self.digest.mix(group.confirmed_below);
        Some(reply)
    }

    /// `new_from` is the number of the first job that the group makes.
    fn absorb_event(&mut self, event: &Event, new_from: u64, reply: &mut Reply) {
        match event {
            Event::Enqueued { class, first_job, jobs, keys } => {
                self.enqueued(class, *first_job, jobs, keys);
                reply.enqueued.push(Enqueued {
                    code: Code::Ok,
                    created_ms: self.time().ms(),
                    first_job: *first_job,
                    count: jobs.len() as u32,
                });
            }
            Event::Deduplicated { job, created_ms, code } => {
                self.nothing(&[job.0, *code as u64]);
                let (code, created_ms, first_job) = (*code, *created_ms, *job);
                reply.enqueued.push(Enqueued { code, created_ms, first_job, count: 1 });
            }
            Event::Leased { session, deadline, lease_ms, jobs, .. } => {
                self.leased(*session, *deadline, *lease_ms, jobs, reply);
            }
            Event::Completed { jobs } => {
                self.touch_uniques_of(jobs.iter().map(|job| job.job.0));
                jobs.iter().for_each(|job| self.completed(job.job));
                reply.acks.resize(reply.acks.len() + jobs.len(), Code::Ok);
            }
            Event::Failed { job, attempt, outcome, .. } => {
                reply.fails.push(self.failed(*job, *attempt, *outcome));
            }
            Event::Extended { jobs } => {
                jobs.iter().for_each(|job| self.extended(job));
                reply.heartbeats.resize(reply.heartbeats.len() + jobs.len(), Code::Ok);
            }
            Event::SessionExtended { session, deadline } => {
                self.session_extended(*session, *deadline);
            }
            Event::Released { jobs } => {
                jobs.iter().for_each(|job| self.released(*job));
                reply.releases.resize(reply.releases.len() + jobs.len(), Code::Ok);
            }
            Event::Limited(limited) => {
                self.limited(limited);
                reply.enqueued.push(Enqueued {
                    code: Code::Ok,
                    created_ms: self.time().ms(),
                    first_job: limited.first_job,
                    count: limited.jobs.len() as u32,
                });
            }
            other => self.absorb_rarer(other, new_from, reply),
        }
    }

    /// What is not of every day's work, kept apart so that this is fast.
    #[inline(never)]
    fn absorb_rarer(&mut self, event: &Event, new_from: u64, reply: &mut Reply) {
        match event {
            Event::SessionOpened { client, .. } => self.open_session(*client),
            Event::SessionClosed { session } => self.close_session(*session),
            Event::LeaseExpired { jobs } => jobs.iter().for_each(|job| self.lease_expired(*job)),
            Event::Promoted { jobs } => jobs.iter().for_each(|job| self.promoted(*job)),
            Event::Expired { jobs } => jobs.iter().for_each(|job| self.expired(*job)),
            Event::Cancelled { jobs } => {
                jobs.iter().for_each(|job| self.cancelled(*job));
                reply.cancels.resize(reply.cancels.len() + jobs.len(), Code::Ok);
            }
            Event::Deleted { jobs } => {
                jobs.iter().for_each(|job| self.deleted(*job));
                reply.deletes.resize(reply.deletes.len() + jobs.len(), Code::Ok);
            }
            Event::Ignored { job, token, late, code } => {
                self.nothing(&[job.0, token.0, *late as u64, *code as u64]);
                match late {
                    Late::Ack => reply.acks.push(*code),
                    Late::Fail => {
                        let (next_attempt, attempts_left) = (Micros(0), 0);
                        reply.fails.push(Failed { code: *code, next_attempt, attempts_left });
                    }
                    Late::Heartbeat => reply.heartbeats.push(*code),
                    Late::Release => reply.releases.push(*code),
                }
            }
            Event::Refused { job, asked, code } => {
                self.nothing(&[job.0, *asked as u64, *code as u64]);
                match asked {
                    Asked::Cancel => reply.cancels.push(*code),
                    Asked::Delete => reply.deletes.push(*code),
                    _ => reply.job_controls.push(*code),
                }
            }
            Event::Tied(tie) => self.absorb_tie(tie, reply),
            Event::Ruled(rule) => self.absorb_rule(rule, reply),
            Event::Archived(archived) => self.absorb_archived(archived, reply),
            Event::UniqueTaken { jobs } => {
                self.uniques.touch(jobs.iter().map(|unique| unique.hash));
                jobs.iter().for_each(|unique| self.unique_taken(unique));
            }
            Event::Quarantined { jobs } => jobs.iter().for_each(|job| self.quarantined(job)),
            Event::Planned(planned) => self.planned(planned),
            Event::Appended(appended) => {
                let appended = self.appended(appended);
                reply.appended.push(appended);
            }
            Event::PlanTimedOut { jobs } => jobs.iter().for_each(|job| self.plan_timed_out(*job)),
            Event::UsageReported(reported) => self.usage_reported(reported),
            Event::AgentEnqueued(enqueued) => self.agent_enqueued(enqueued),
            Event::Iterated(iteration) => self.iterated(iteration, reply),
            Event::Purged { jobs } => jobs.iter().for_each(|job| self.purged(*job)),
            Event::QueuePaused { .. }
            | Event::QueueResumed { .. }
            | Event::QueueDrained { .. }
            | Event::QueueConfigured { .. }
            | Event::KeyWeighed { .. }
            | Event::LimitsOpened { .. } => self.absorb_queue(event),
            Event::ScheduleSet(_)
            | Event::SchedulePaused { .. }
            | Event::ScheduleResumed { .. }
            | Event::ScheduleDeleted { .. }
            | Event::ScheduleFired { .. }
            | Event::ScheduleSkipped { .. } => self.absorb_schedule(event, reply),
            Event::OperationStarted(_)
            | Event::OperationAdvanced { .. }
            | Event::OperationEnded { .. }
            | Event::OperationRefused { .. } => self.absorb_operation(event, reply),
            Event::WorkerSeen(_) | Event::WorkersForgotten { .. } => self.absorb_worker(event),
            // Part of the job's enqueueing, which answers for it.
            Event::Held { job, until, then, .. } if job.0 >= new_from => {
                self.held(*job, *until, *then);
            }
            control => {
                let done = self.absorb_control(control);
                reply.job_controls.resize(reply.job_controls.len() + done, Code::Ok);
            }
        }
    }

    /// Totals that have to agree whichever way a replica came here. Not the number of keys: how far
    /// those are swept is nobody's business.
    fn mix_totals(&mut self) {
        let leases = self.leases.len() as u64;
        self.digest.mix_all(&[
            self.next_event,
            self.jobs.live(),
            self.timers.len() as u64 + leases,
            // Whatever the settings of whoever decides.
            self.next_timer(&Settings::default()).map_or(0, |due| due.0),
            leases << 32 | self.sessions.len() as u64,
        ]);
    }

    /// The number of the event being absorbed; the next one gets the next.
    fn number_event(&mut self) -> u64 {
        let number = self.next_event;
        self.next_event += 1;
        number
    }

    fn nothing(&mut self, words: &[u64]) {
        self.number_event();
        self.digest.mix(Mark::Nothing as u64);
        self.digest.mix_all(words);
    }

    fn open_session(&mut self, client: u128) {
        let id = self.number_event();
        assert!(self.sessions.find_client(client).is_none(), "a client opened two sessions");
        self.sessions.insert(Session::new(id, client));
        let halves = [client as u64, (client >> 64) as u64];
        self.digest.mix_all(&[Mark::SessionOpened as u64, halves[0], halves[1]]);
    }

    fn close_session(&mut self, session: SessionId) {
        self.number_event();
        let at = self.sessions.find(session.0).expect("an unknown session was closed");
        self.sessions.remove(at);
        self.digest.mix_all(&[Mark::SessionClosed as u64, session.0]);
    }
}
