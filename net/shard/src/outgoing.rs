//! Answers on their way out: what they say is known, the bytes they refer to come from the log.

use std::rc::Rc;

use jobbie_core::Answers;
use jobbie_core::ties::mail::{Found, checkpoint_of, error_of, hold_of, progress_of};
use jobbie_proto::ability::Abilities;
use jobbie_proto::event::Event;
use jobbie_proto::reply::{JobState, JobView, Lease, LeasedAgent};
use jobbie_proto::wire::{
    EncodeError, Encoder, Endpoint, JobBytes, LeaseBytes, Limits, Lookup, LostLease,
    PROTOCOL_VERSION, PlanDetails, ReplyHead, ScheduleDetails, ServerSettings, StatsAnswer,
    Welcome,
};
use jobbie_proto::{EventSeq, JobId, Micros, Reply, SessionId, ShardId};

use crate::connection::Connection;
use crate::errors::WantedErrors;
use crate::history::Wanted;
use crate::outlines::LoneJob;
use crate::records::{Decoded, JobRecord};
use crate::shard::ShardConfig;

/// A frame to be, for one connection.
pub(crate) struct Outgoing {
    pub(crate) connection: Rc<Connection>,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    Welcome { session: SessionId, time: Micros },
    Reply(Answer),
    Delivery { subscription: u32, reply: Rc<Reply> },
    Lost(Vec<LostLease>),
}

/// Answers to questions, and what was asked.
pub(crate) struct Asked {
    pub(crate) lookups: Vec<JobId>,
    /// Whether one schedule was asked for, and not a list.
    pub(crate) one_schedule: bool,
    pub(crate) answers: Answers,
    pub(crate) history: Option<Wanted>,
    pub(crate) errors: Option<WantedErrors>,
    pub(crate) iterations: Option<Wanted>,
}

impl Asked {
    /// The event with what the jobs of the schedule carry that was looked up. In a list schedules stand without it.
    fn defined(&self) -> Option<EventSeq> {
        let view = self.answers.schedules.first().filter(|_| self.one_schedule)?;
        Some(view.defined)
    }
}

/// The answer to a request.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) number: u64,
    pub(crate) reply: Rc<Reply>,
    pub(crate) message: String,
    pub(crate) retry_after_ms: u32,
    pub(crate) asked: Option<Box<Asked>>,
}

impl Content {
    /// Those that made the jobs which workers get.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = EventSeq> + '_ {
        let reply = match self {
            Content::Reply(Answer { reply, .. }) | Content::Delivery { reply, .. } => Some(reply),
            Content::Welcome { .. } | Content::Lost(_) => None,
        };
        reply.into_iter().flat_map(|reply| &reply.leases).map(|lease| lease.record)
    }

    /// The events whose records are needed to write this down.
    pub(crate) fn needs(&self) -> impl Iterator<Item = EventSeq> + '_ {
        let (reply, asked) = match self {
            Content::Reply(answer) => (Some(&answer.reply), answer.asked.as_deref()),
            Content::Delivery { reply, .. } => (Some(reply), None),
            Content::Welcome { .. } | Content::Lost(_) => (None, None),
        };
        let leases = reply.into_iter().flat_map(|reply| &reply.leases);
        let of_leases =
            leases.flat_map(|lease| [lease.record, lease.checkpoint, lease.placed, lease.payload]);
        let of_jobs = asked
            .into_iter()
            .flat_map(|asked| asked.answers.jobs.iter().flatten())
            .flat_map(|view| {
                let of_work = [view.last_error, view.progress, view.checkpoint];
                let of_plan = view.plan.as_ref().map(|plan| plan.record);
                [view.record, view.payload, view.hold].into_iter().chain(of_work).chain(of_plan)
            });
        let of_schedule = asked.into_iter().filter_map(Asked::defined);
        of_leases.chain(of_jobs).chain(of_schedule).filter(|event| event.0 != 0)
    }

    /// Leaves out leases of jobs that the log knows no more, which begins with `first`: they have ended since, and only an answer that is
    /// given again still has them. Whether there were any.
    pub(crate) fn leave_out_before(&mut self, first: EventSeq) -> bool {
        let Content::Reply(Answer { reply, .. }) = self else { return false };
        if reply.leases.iter().all(|lease| lease.record >= first) {
            return false;
        }
        let reply = Rc::make_mut(reply);
        let leases = std::mem::take(&mut reply.leases);
        let mut agents = std::mem::take(&mut reply.agents).into_iter().peekable();
        for (nth, lease) in (0..).zip(leases) {
            let agent = agents.next_if(|agent| agent.lease == nth);
            if lease.record >= first {
                let place = reply.leases.len() as u32;
                reply.agents.extend(agent.map(|agent| LeasedAgent { lease: place, ..agent }));
                reply.leases.push(lease);
            }
        }
        true
    }

    /// The next event that is needed when everything that [`Content::needs`] names is there.
    pub(crate) fn missing(&self, sources: &Sources) -> Option<EventSeq> {
        let Content::Reply(Answer { asked: Some(asked), .. }) = self else { return None };
        let events = asked.history.and_then(|history| history.told(sources).1);
        let older = || asked.errors.as_ref()?.told(sources).1;
        events.or_else(older).or_else(|| asked.iterations?.iterations(sources).1)
    }

    /// Appends the frame. `sources` holds every entry that [`Content::needs`] named.
    pub(crate) fn encode(
        &self,
        config: &ShardConfig,
        sources: &Sources,
        encoder: &mut Encoder,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match self {
            Content::Welcome { session, time } => {
                encoder.welcome(out, &welcome(config, *session, *time))
            }
            Content::Lost(leases) => encoder.lost(out, leases),
            Content::Delivery { subscription, reply } => {
                let bytes = |_: usize, lease: &Lease| sources.lease(lease);
                let leased = (&reply.leases[..], &reply.agents[..]);
                encoder.deliver(out, *subscription, config.shard, leased, bytes)
            }
            Content::Reply(answer) => answer.encode(config.shard, sources, encoder, out),
        }
    }
}

fn welcome(config: &ShardConfig, session: SessionId, time: Micros) -> Welcome<'_> {
    let endpoint = |(shard, address): (usize, _)| Endpoint {
        shard: ShardId(u16::try_from(shard).expect("as many endpoints as shards")),
        address,
        leader: true,
    };
    Welcome {
        version: PROTOCOL_VERSION,
        session,
        shard: config.shard,
        shards: config.shards,
        endpoints: config.endpoints.iter().map(String::as_str).enumerate().map(endpoint).collect(),
        limits: Limits::default(),
        server_time: time,
        durability: config.durability,
        server_version: &config.server_version,
        store: config.store,
        abilities: Abilities::OURS,
        settings: ServerSettings {
            retention_ms: config.settings.retention_ms,
            lease_expiries_max: config.settings.lease_expiries_max,
        },
    }
}

impl Answer {
    fn encode(
        &self,
        shard: ShardId,
        sources: &Sources,
        encoder: &mut Encoder,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let head = ReplyHead {
            number: self.number,
            shard,
            message: &self.message,
            retry_after_ms: self.retry_after_ms,
            redirect: "",
        };
        let bytes = |_: usize, lease: &Lease| sources.lease(lease);
        let Some(asked) = self.asked.as_deref() else {
            let none = (std::iter::empty(), StatsAnswer::default());
            return encoder.reply(out, &head, &self.reply, bytes, none.0, none.1);
        };
        let found = asked.lookups.iter().zip(&asked.answers.jobs);
        let lookups = found.map(|(id, view)| match view {
            Ok(view) if view.state == JobState::Moved => Lookup::moved(view),
            Ok(view) => Lookup::found(view, sources.job_bytes(view), sources.plan(view)),
            Err(_) => Lookup::not_found(*id),
        });
        let events = asked.history.map_or_else(Vec::new, |history| history.told(sources).0);
        let errors = asked.errors.as_ref().map_or_else(Vec::new, |errors| errors.told(sources).0);
        let iterations =
            asked.iterations.map_or_else(Vec::new, |wanted| wanted.iterations(sources).0);
        let Answers {
            queues,
            shard: counts,
            batches,
            schedules,
            times,
            operations,
            workers,
            children,
            ..
        } = &asked.answers;
        let Answers { usage, budgets, policies, held, .. } = &asked.answers;
        let carried = asked.defined().and_then(|event| sources.definition(event));
        let (payload, tags) = carried.unwrap_or_default();
        let schedules = schedules.iter().map(|view| ScheduleDetails::new(view, payload, tags));
        let schedules: Vec<_> = schedules.collect();
        let stats = StatsAnswer {
            queues,
            shard: *counts,
            events: &events,
            batches,
            schedules: &schedules,
            times,
            operations,
            errors: &errors,
            workers,
            children,
            usage,
            iterations: &iterations,
            budgets,
            policies,
            held,
        };
        encoder.reply(out, &head, &self.reply, bytes, lookups, stats)
    }
}

/// The decoded entries that one answer draws from.
#[derive(Default)]
pub(crate) struct Sources {
    entries: Vec<Rc<Decoded>>,
    /// Jobs without the rest of their entries, by event.
    lone: Vec<LoneJob>,
}

impl Sources {
    /// Whether the entry with `event` is here, or the job that it made.
    pub(crate) fn has(&self, event: EventSeq) -> bool {
        self.find(event).is_some() || self.lone(event).is_some()
    }

    /// Adds jobs, by event, when there are none yet.
    pub(crate) fn add_lone(&mut self, jobs: Vec<LoneJob>) {
        assert!(self.lone.is_empty(), "jobs are read once");
        self.lone = jobs;
    }

    fn lone(&self, event: EventSeq) -> Option<&LoneJob> {
        let at = self.lone.binary_search_by_key(&event, |job| job.event).ok()?;
        Some(&self.lone[at])
    }

    pub(crate) fn add(&mut self, entry: Rc<Decoded>) {
        let at = self.entries.partition_point(|other| other.first_event() < entry.first_event());
        self.entries.insert(at, entry);
    }

    fn find(&self, event: EventSeq) -> Option<&Decoded> {
        let at = self.entries.partition_point(|entry| entry.first_event() <= event.0);
        let entry = self.entries[..at].last()?;
        entry.event(event).map(|_| &**entry)
    }

    fn job(&self, event: EventSeq) -> JobRecord<'_> {
        if let Some(job) = self.lone(event) {
            return job.record();
        }
        let entry = self.find(event).expect("every entry needed was gathered");
        entry.job(event).expect("the state names the event that says what the job carries")
    }

    fn lease(&self, lease: &Lease) -> LeaseBytes<'_> {
        let record = self.job(lease.record);
        LeaseBytes {
            queue: self.queue(lease.placed).unwrap_or(&record.class.queue),
            payload: self.payload(lease.payload).unwrap_or(record.payload),
            tags: record.tags,
            checkpoint: self.checkpoint(lease.checkpoint),
        }
    }

    fn job_bytes<'a>(&'a self, view: &'a JobView) -> JobBytes<'a> {
        let record = self.job(view.record);
        let (error, backtrace) = self.error(view.last_error);
        let (hold_reason, hold_by) = self.hold(view.hold);
        JobBytes {
            payload: self.payload(view.payload).unwrap_or(record.payload),
            tags: record.tags,
            key: record.key,
            error,
            backtrace,
            progress: self.progress(view.progress),
            checkpoint: self.checkpoint(view.checkpoint),
            hold_reason,
            hold_by,
            limit_key: &view.limit_key,
        }
    }

    fn plan<'a>(&'a self, view: &'a JobView) -> Option<PlanDetails<'a>> {
        let plan = view.plan.as_ref()?;
        match self.event(plan.record)? {
            (_, Event::Planned(planned), _) => Some(PlanDetails::new(plan, &planned.kinds)),
            _ => None,
        }
    }

    /// What was gathered of an event: its entry, its record, and which element of it that is.
    pub(crate) fn event(&self, event: EventSeq) -> Option<(&Decoded, &Event, usize)> {
        let entry = self.find(event)?;
        entry.event(event).map(|(record, nth)| (entry, record, nth))
    }

    /// Where a job was moved to.
    fn queue(&self, event: EventSeq) -> Option<&str> {
        match self.event(event)? {
            (_, Event::Moved { queue, .. }, _) => Some(queue),
            _ => None,
        }
    }

    /// The payload that replaced a job's.
    fn payload(&self, event: EventSeq) -> Option<&[u8]> {
        match self.event(event)? {
            (entry, Event::Replaced { payload, .. }, _) => Some(entry.bytes(*payload)),
            _ => None,
        }
    }

    /// Payload and tags of a schedule's jobs.
    fn definition(&self, event: EventSeq) -> Option<(&[u8], &[u8])> {
        let record = self.find(event)?.job(event)?;
        Some((record.payload, record.tags))
    }

    fn hold(&self, event: EventSeq) -> (&[u8], &str) {
        let (reason, by) = self.found(event).map_or((&[][..], &[][..]), hold_of);
        (reason, std::str::from_utf8(by).unwrap_or_default())
    }

    pub(crate) fn found(&self, event: EventSeq) -> Option<Found<'_>> {
        let (entry, event, nth) = self.event(event)?;
        Some(Found { event, nth, blob: entry.blob() })
    }

    fn error(&self, event: EventSeq) -> (&[u8], &[u8]) {
        self.found(event).map_or((&[], &[]), error_of)
    }

    fn progress(&self, event: EventSeq) -> &[u8] {
        self.found(event).map_or(&[], progress_of)
    }

    pub(crate) fn checkpoint(&self, event: EventSeq) -> &[u8] {
        self.found(event).map_or(&[], checkpoint_of)
    }
}
