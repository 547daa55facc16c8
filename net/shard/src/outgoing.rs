//! Answers on their way out: what they say is known, the bytes they refer to come from the log.

use std::rc::Rc;

use jobbie_core::Answers;
use jobbie_proto::event::Event;
use jobbie_proto::reply::{JobView, Lease};
use jobbie_proto::wire::{
    EncodeError, Encoder, Endpoint, JobBytes, LeaseBytes, Limits, Lookup, LostLease,
    PROTOCOL_VERSION, ReplyHead, StatsAnswer, Welcome,
};
use jobbie_proto::{EventSeq, JobId, Micros, Reply, SessionId, ShardId};

use crate::connection::Connection;
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
    pub(crate) answers: Answers,
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
                [view.record, view.payload, view.hold].into_iter().chain(of_work)
            });
        of_leases.chain(of_jobs).filter(|event| event.0 != 0)
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
                encoder.deliver(out, *subscription, config.shard, &reply.leases, bytes)
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
            Ok(view) => Lookup::found(view, sources.job_bytes(view)),
            Err(_) => Lookup::not_found(*id),
        });
        let stats = StatsAnswer { queues: &asked.answers.queues, shard: asked.answers.shard };
        encoder.reply(out, &head, &self.reply, bytes, lookups, stats)
    }
}

/// The decoded entries that one answer draws from.
#[derive(Default)]
pub(crate) struct Sources {
    entries: Vec<Rc<Decoded>>,
}

impl Sources {
    /// Whether the entry with `event` is here.
    pub(crate) fn has(&self, event: EventSeq) -> bool {
        self.find(event).is_some()
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
        let entry = self.find(event).expect("every entry needed was gathered");
        entry.job(event).expect("the state names the event that enqueued the job")
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

    /// What was gathered of an event: its entry, its record, and which element of it that is.
    fn event(&self, event: EventSeq) -> Option<(&Decoded, &Event, usize)> {
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

    fn hold(&self, event: EventSeq) -> (&[u8], &str) {
        match self.event(event) {
            Some((entry, Event::Held { reason, by, .. }, _)) => {
                let by = std::str::from_utf8(entry.bytes(*by)).unwrap_or_default();
                (entry.bytes(*reason), by)
            }
            _ => (&[], ""),
        }
    }

    fn error(&self, event: EventSeq) -> (&[u8], &[u8]) {
        let Some((entry, record, nth)) = self.event(event) else { return (&[], &[]) };
        match record {
            Event::Failed { error, backtrace, .. } => {
                (entry.bytes(*error), entry.bytes(*backtrace))
            }
            Event::Quarantined { jobs } => (entry.bytes(jobs[nth].error), &[]),
            Event::Rejected { reason, .. } if reason.is_empty() => (b"rejected", &[]),
            Event::Rejected { reason, .. } => (entry.bytes(*reason), &[]),
            Event::Expired { .. } => (b"job expired", &[]),
            _ => (&[], &[]),
        }
    }

    fn progress(&self, event: EventSeq) -> &[u8] {
        match self.event(event) {
            Some((entry, Event::Extended { jobs }, nth)) => entry.bytes(jobs[nth].progress),
            _ => &[],
        }
    }

    fn checkpoint(&self, event: EventSeq) -> &[u8] {
        match self.event(event) {
            Some((entry, Event::Extended { jobs }, nth)) => entry.bytes(jobs[nth].checkpoint),
            _ => &[],
        }
    }
}
