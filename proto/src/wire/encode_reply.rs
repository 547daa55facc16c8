//! Replies and deliveries to bytes.

use super::blob::{len_u16, len_u32};
use super::encoder::{Encoder, Open, Scratch, vector, vector_of};
use super::frame::Kind;
use super::generated as fb;
use super::plans::appended_to;
use super::table::{STATES_V1, job_id_to};
use super::ties::{batch_id_to, batch_view_to};
use super::{
    EncodeError, IterationRecord, JobError, JobEvent, Lookup, ScheduleDetails, agents, kin,
    operations, rules, schedules, usage, workers,
};
use crate::limits::{
    BATCHES_PER_REQUEST_MAX, CHILDREN_COUNT_MAX, ERROR_BYTES_MAX, EVENT_KIND_BYTES_MAX,
    FRAME_BYTES_MAX, HELD_COUNT_MAX, LIMIT_KEY_BYTES_MAX, MADE_PAYLOAD_BYTES_MAX,
    OPERATIONS_ENDED_MAX, OPERATIONS_MAX, OPS_PER_REQUEST_MAX, PLAN_KINDS_MAX, QUEUE_BYTES_MAX,
    RESULT_BYTES_MAX, TAGS_BYTES_MAX,
};
use crate::reply::{
    BatchView, BudgetView, Child, JobState, Lease, LeasedAgent, OperationView, PolicyView,
    QueueStats, Reply, ShardStats, UsageSum, WorkerView,
};
use crate::{Code, JobId, Micros, ShardId};

/// Blob bytes after which a frame is closed and the rest goes to another.
const PART_BYTES_SOFT: usize = 256 << 10;
/// Names after which a frame is closed: positions are 16 bits wide.
const PART_NAMES_SOFT: usize = 10_000;
/// The longest single element: a lookup with everything.
const ELEMENT_BYTES_MAX: usize = MADE_PAYLOAD_BYTES_MAX
    + TAGS_BYTES_MAX
    + 3 * ERROR_BYTES_MAX
    + 2 * RESULT_BYTES_MAX
    + PLAN_KINDS_MAX * (EVENT_KIND_BYTES_MAX + 16)
    + 1024;
/// Lists that stay in the first frame: codes and runs of as many operations as a request may hold, and texts.
const HEAD_BYTES_MAX: usize = OPS_PER_REQUEST_MAX * (24 + 16 + 16 + 6)
    + BATCHES_PER_REQUEST_MAX * (16 + 1 + 40)
    + CHILDREN_COUNT_MAX as usize * 24
    + HELD_COUNT_MAX as usize * 16
    + (128 << 10);
/// All operations, which are in the last frame.
const OPERATIONS_BYTES_MAX: usize =
    (OPERATIONS_MAX + OPERATIONS_ENDED_MAX) * (128 + 2 * QUEUE_BYTES_MAX + LIMIT_KEY_BYTES_MAX);
const _: () = assert!(
    PART_BYTES_SOFT + ELEMENT_BYTES_MAX + HEAD_BYTES_MAX + OPERATIONS_BYTES_MAX < FRAME_BYTES_MAX
);

type Builder = flatbuffers::FlatBufferBuilder<'static>;

/// What a reply carries beside the [`Reply`] itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplyHead<'a> {
    /// The request's number.
    pub number: u64,
    /// The shard that answers.
    pub shard: ShardId,
    /// What is wrong and what to do, for people.
    pub message: &'a str,
    /// When to send it again, in milliseconds; 0 is no advice.
    pub retry_after_ms: u32,
    /// Where to send it instead (`host:port`); empty is unknown.
    pub redirect: &'a str,
}

/// What a lease refers to: borrowed from the log, copied once, into the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseBytes<'a> {
    /// Queue.
    pub queue: &'a str,
    /// What was enqueued.
    pub payload: &'a [u8],
    /// Tags, as the client encoded them.
    pub tags: &'a [u8],
    /// What an earlier attempt left.
    pub checkpoint: &'a [u8],
}

/// Statistics, events and schedules asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsAnswer<'a> {
    /// Of queues.
    pub queues: &'a [QueueStats],
    /// Of the shard.
    pub shard: Option<ShardStats>,
    /// Batches looked up.
    pub batches: &'a [Result<BatchView, Code>],
    /// Of one job, newest first.
    pub events: &'a [JobEvent<'a>],
    /// Schedules.
    pub schedules: &'a [ScheduleDetails<'a>],
    /// Planned times of the one looked up.
    pub times: &'a [Micros],
    /// Of operations, without texts for people.
    pub operations: &'a [OperationView],
    /// Errors of one job, newest first.
    pub errors: &'a [JobError<'a>],
    /// Workers.
    pub workers: &'a [WorkerView],
    /// Children of the job asked for.
    pub children: &'a [Child],
    /// Of usage.
    pub usage: &'a [UsageSum],
    /// Of one agent job, newest first.
    pub iterations: &'a [IterationRecord<'a>],
    /// Budgets.
    pub budgets: &'a [BudgetView],
    /// Approval policies.
    pub policies: &'a [PolicyView],
    /// Held jobs.
    pub held: &'a [JobId],
}

impl Scratch {
    fn lease(
        &mut self,
        out: &mut Vec<u8>,
        shard: ShardId,
        lease: &Lease,
        bytes: &LeaseBytes<'_>,
    ) -> Result<(), EncodeError> {
        let id = JobId::new(lease.created_ms, shard, lease.job);
        self.leases.push(fb::Lease::new(
            &job_id_to(id),
            lease.token.0,
            lease.deadline.0,
            lease.attempt,
            lease.max_retries,
            len_u32("payload", bytes.payload)?,
            len_u32("tags", bytes.tags)?,
            len_u32("checkpoint", bytes.checkpoint)?,
            self.names.intern(bytes.queue)?,
        ));
        out.extend_from_slice(bytes.payload);
        out.extend_from_slice(bytes.tags);
        out.extend_from_slice(bytes.checkpoint);
        Ok(())
    }

    fn queue_stats(&mut self, stats: &QueueStats) -> Result<(), EncodeError> {
        let name = self.names.intern(&stats.queue)?;
        let jobs = stats.jobs.first_chunk::<STATES_V1>().expect("the first states");
        let wire = fb::QueueStats::new(jobs, stats.enqueued_total, name, stats.paused);
        self.queue_stats.push(wire);
        self.planned.push(stats.jobs[JobState::Planned as usize]);
        self.moved.push(stats.jobs[JobState::Moved as usize]);
        self.exceeded.push(stats.exceeded.map_or(0, |what| what as u8 + 1));
        let set = &stats.settings;
        self.queue_settings.push(fb::QueueSettings::new(
            set.concurrency,
            set.rate,
            set.window_ms,
            set.key_concurrency,
            set.key_rate,
            set.key_window_ms,
            stats.keys,
            set.fair as u8,
            stats.draining,
        ));
        Ok(())
    }

    /// Bytes that the elements take in the table.
    fn table_bytes(&self) -> usize {
        size_of_val(&self.leases[..])
            + size_of_val(&self.lookups[..])
            + size_of_val(&self.lookups_more[..])
            + self.more_bytes.len()
            + size_of_val(&self.queue_stats[..])
            + size_of_val(&self.queue_settings[..])
            + size_of_val(&self.planned[..])
            + size_of_val(&self.exceeded[..])
            + size_of_val(&self.lookup_plans[..])
            + size_of_val(&self.lookup_kinds[..])
            + size_of_val(&self.lookup_kin[..])
            + size_of_val(&self.moved[..])
            + size_of_val(&self.events[..])
            + self.last_bytes.len()
            + size_of_val(&self.schedules[..])
            + size_of_val(&self.schedule_states[..])
            + self.schedule_bytes.len()
            + size_of_val(&self.job_errors[..])
            + self.error_bytes.len()
            + size_of_val(&self.workers[..])
            + size_of_val(&self.worker_queues[..])
            + self.worker_bytes.len()
            + size_of_val(&self.lookup_costs[..])
            + size_of_val(&self.usage_sums[..])
            + self.usage_bytes.len()
            + size_of_val(&self.lease_agents[..])
            + size_of_val(&self.lookup_agents[..])
            + size_of_val(&self.iterations[..])
            + self.iteration_bytes.len()
            + self.names.bytes.len()
            + size_of_val(&self.names.lens[..])
    }
}

fn shard_stats(stats: &ShardStats) -> fb::ShardStats {
    fb::ShardStats::new(
        stats.queues,
        stats.sessions,
        stats.leases,
        stats.jobs,
        stats.last_event.0,
        stats.last_job.0,
        stats.state_hash,
        stats.time.0,
    )
}

/// A reply being written: the frame now open, and what only the first and the last frame carry.
struct Parts<'a> {
    head: &'a ReplyHead<'a>,
    reply: &'a Reply,
    stats: StatsAnswer<'a>,
    open: Open,
    first: bool,
    /// Whether there is anything beside leases and what the first frame carries.
    rare: bool,
}

impl Parts<'_> {
    fn full(&self, encoder: &Encoder, out: &[u8]) -> bool {
        self.open.blob_at(out) as usize + encoder.scratch.table_bytes() >= PART_BYTES_SOFT
            || encoder.scratch.names.lens.len() >= PART_NAMES_SOFT
    }

    /// Closes the frame if it is full, so that one more element fits.
    fn make_room(&mut self, encoder: &mut Encoder, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.full(encoder, out) {
            self.close(encoder, out, true)?;
            self.open = encoder.begin(out);
        }
        Ok(())
    }

    fn close(
        &mut self,
        encoder: &mut Encoder,
        out: &mut Vec<u8>,
        more: bool,
    ) -> Result<(), EncodeError> {
        let shown = if more { StatsAnswer::default() } else { self.stats };
        let last = if self.rare { encoder.scratch.put_rest(&shown, out)? } else { Last::default() };
        let names_at = encoder.put_names(out, &self.open);
        let (table, scratch) = (&mut encoder.table, &encoder.scratch);
        let shard_stats = shown.shard.as_ref().map(shard_stats);
        let mut args = fb::ReplyArgs {
            number: self.head.number,
            code: self.reply.code as u8,
            more,
            names_at,
            names: vector(table, &scratch.names.lens),
            leases: vector(table, &scratch.leases),
            lease_agents: vector(table, &scratch.lease_agents),
            ..fb::ReplyArgs::default()
        };
        if self.rare {
            args.shard_stats = shard_stats.as_ref();
            scratch.rest(table, &mut args);
            last.rest(table, &mut args, &shown);
        }
        let operated = self.reply.operated.as_ref().map(operations::operated_to);
        if self.first {
            self.first = false;
            args.children = vector_of(table, self.stats.children, kin::child_to);
            args.held = vector_of(table, self.stats.held, |id| job_id_to(*id));
            args.schedule_times = vector_of(table, self.stats.times, |time| time.0);
            args.operated = operated.as_ref();
            put_head(table, &mut args, self.head, self.reply)?;
            args.batch_lookups = vector_of(table, self.stats.batches, batch_view_to);
        }
        let root = fb::Reply::create(table, &args);
        encoder.end(out, &self.open, Kind::Reply, root)
    }
}

/// What only the last frame carries of what most replies have nothing of.
#[derive(Default)]
struct Last {
    tasks: Vec<fb::Operation>,
    rules: Vec<fb::Rule>,
    rule_states: Vec<fb::RuleState>,
}

impl Last {
    fn rest(&self, table: &mut Builder, args: &mut fb::ReplyArgs<'_>, shown: &StatsAnswer<'_>) {
        args.operations = vector(table, &self.tasks);
        args.operations_progress = vector_of(table, shown.operations, operations::progress_to);
        args.rules = vector(table, &self.rules);
        args.rule_states = vector(table, &self.rule_states);
    }
}

impl Scratch {
    /// The bytes that come behind those of leases and lookups.
    fn put_rest(&self, shown: &StatsAnswer<'_>, out: &mut Vec<u8>) -> Result<Last, EncodeError> {
        out.extend_from_slice(&self.more_bytes);
        out.extend_from_slice(&self.last_bytes);
        out.extend_from_slice(&self.schedule_bytes);
        let mut tasks = Vec::with_capacity(shown.operations.len());
        for view in shown.operations {
            tasks.push(operations::task_to(&view.task, out)?);
        }
        out.extend_from_slice(&self.error_bytes);
        out.extend_from_slice(&self.worker_bytes);
        out.extend_from_slice(&self.usage_bytes);
        out.extend_from_slice(&self.iteration_bytes);
        let (rules, rule_states) = rules::views_to(shown.budgets, shown.policies, out)?;
        Ok(Last { tasks, rules, rule_states })
    }

    /// What most replies have nothing of.
    fn rest(&self, table: &mut Builder, args: &mut fb::ReplyArgs<'_>) {
        args.lookups = vector(table, &self.lookups);
        args.lookups_more = vector_if_any(table, &self.lookups_more);
        args.lookup_plans = vector(table, &self.lookup_plans);
        args.lookup_kinds = vector(table, &self.lookup_kinds);
        args.lookup_kin = vector(table, &self.lookup_kin);
        args.lookup_costs = vector(table, &self.lookup_costs);
        args.lookup_agents = vector(table, &self.lookup_agents);
        args.queue_stats = vector(table, &self.queue_stats);
        args.queue_settings = vector_if_any(table, &self.queue_settings);
        args.planned = vector_if_any(table, &self.planned);
        args.moved = vector_if_any(table, &self.moved);
        args.exceeded = vector_if_any(table, &self.exceeded);
        args.events = vector(table, &self.events);
        args.schedules = vector(table, &self.schedules);
        args.schedule_states = vector(table, &self.schedule_states);
        args.job_errors = vector(table, &self.job_errors);
        args.workers = vector(table, &self.workers);
        args.worker_queues = vector(table, &self.worker_queues);
        args.usage_sums = vector(table, &self.usage_sums);
        args.iterations = vector(table, &self.iterations);
    }
}

/// A list that stands beside another one, and has something to say of few of its elements.
fn vector_if_any<T: flatbuffers::Push + Default + PartialEq>(
    table: &mut Builder,
    items: &[T],
) -> Option<flatbuffers::WIPOffset<flatbuffers::Vector<'static, T::Output>>> {
    let any = items.iter().any(|item| *item != T::default());
    if any { vector(table, items) } else { None }
}

/// The fields that only the first frame carries.
fn put_head<'a>(
    table: &mut Builder,
    args: &mut fb::ReplyArgs<'a>,
    head: &ReplyHead<'_>,
    reply: &Reply,
) -> Result<(), EncodeError> {
    let number = |code: &Code| *code as u8;
    args.retry_after_ms = head.retry_after_ms;
    args.message_len = len_u32("message", head.message.as_bytes())?;
    args.redirect_len = len_u16("redirect", head.redirect.as_bytes())?;
    args.enqueued = vector_of(table, &reply.enqueued, |run| {
        let first = JobId::new(run.created_ms, head.shard, run.first_job);
        fb::Enqueued::new(&job_id_to(first), run.count, run.code as u8)
    });
    args.acks = vector_of(table, &reply.acks, number);
    args.fails = vector_of(table, &reply.fails, |failed| {
        fb::Failed::new(failed.next_attempt.0, failed.attempts_left, failed.code as u8)
    });
    args.heartbeats = vector_of(table, &reply.heartbeats, number);
    args.releases = vector_of(table, &reply.releases, number);
    args.cancels = vector_of(table, &reply.cancels, number);
    args.deletes = vector_of(table, &reply.deletes, number);
    args.job_controls = vector_of(table, &reply.job_controls, number);
    args.batches = vector_of(table, &reply.batches, |id| batch_id_to(*id));
    args.batch_seals = vector_of(table, &reply.batch_seals, number);
    args.appended = vector_of(table, &reply.appended, appended_to);
    args.rule_controls = vector_of(table, &reply.rule_controls, rules::done_to);
    args.schedule_controls =
        vector_of(table, &reply.schedule_controls, |done| schedules::done_to(head.shard, done));
    Ok(())
}

impl Encoder {
    /// The answer to a request, as one frame or, when it is long, several. `bytes` is asked once for each lease, in
    /// order, with its position.
    ///
    /// # Errors
    /// When a text or one element is longer than a frame can hold.
    pub fn reply<'p>(
        &mut self,
        out: &mut Vec<u8>,
        head: &ReplyHead<'_>,
        reply: &Reply,
        mut bytes: impl FnMut(usize, &Lease) -> LeaseBytes<'p>,
        lookups: impl IntoIterator<Item = Lookup<'p>>,
        stats: StatsAnswer<'_>,
    ) -> Result<(), EncodeError> {
        self.whole(out, |this, out| {
            let open = this.begin(out);
            out.extend_from_slice(head.message.as_bytes());
            out.extend_from_slice(head.redirect.as_bytes());
            let rare = stats != StatsAnswer::default();
            let mut parts = Parts { head, reply, stats, open, first: true, rare };
            for (nth, lease) in reply.leases.iter().enumerate() {
                parts.make_room(this, out)?;
                this.scratch.lease(out, head.shard, lease, &bytes(nth, lease))?;
                agents::put_lease(&mut this.scratch, &reply.agents, nth);
            }
            for lookup in lookups {
                parts.rare = true;
                parts.make_room(this, out)?;
                lookup.put(&mut this.scratch, out)?;
            }
            for queue in stats.queues {
                parts.make_room(this, out)?;
                this.scratch.queue_stats(queue)?;
            }
            for event in stats.events {
                parts.make_room(this, out)?;
                event.put(&mut this.scratch)?;
            }
            for schedule in stats.schedules {
                parts.make_room(this, out)?;
                schedule.put(&mut this.scratch)?;
            }
            for error in stats.errors {
                parts.make_room(this, out)?;
                error.put(&mut this.scratch)?;
            }
            for worker in stats.workers {
                parts.make_room(this, out)?;
                workers::put(&mut this.scratch, worker)?;
            }
            for sum in stats.usage {
                parts.make_room(this, out)?;
                usage::put_sum(&mut this.scratch, sum)?;
            }
            for iteration in stats.iterations {
                parts.make_room(this, out)?;
                iteration.put(&mut this.scratch)?;
            }
            parts.close(this, out, false)
        })
    }

    /// A reply without leases, lookups and statistics: what most requests get.
    ///
    /// # Errors
    /// When a text is longer than a frame can hold.
    ///
    /// # Panics
    /// When `reply` has leases.
    pub fn plain_reply(
        &mut self,
        out: &mut Vec<u8>,
        head: &ReplyHead<'_>,
        reply: &Reply,
    ) -> Result<(), EncodeError> {
        assert!(reply.leases.is_empty(), "leases need their payloads");
        let no_bytes = |_: usize, _: &Lease| LeaseBytes::default();
        self.reply(out, head, reply, no_bytes, std::iter::empty(), StatsAnswer::default())
    }

    /// Pushes leased jobs to a subscription, with how far those are that are agent jobs, as one frame or, when they are long, several.
    ///
    /// # Errors
    /// When one job is longer than a frame can hold.
    pub fn deliver<'p>(
        &mut self,
        out: &mut Vec<u8>,
        subscription: u32,
        shard: ShardId,
        (leases, agents): (&[Lease], &[LeasedAgent]),
        mut bytes: impl FnMut(usize, &Lease) -> LeaseBytes<'p>,
    ) -> Result<(), EncodeError> {
        self.whole(out, |this, out| {
            let mut open = this.begin(out);
            for (nth, lease) in leases.iter().enumerate() {
                let filled = open.blob_at(out) as usize + this.scratch.table_bytes();
                if filled >= PART_BYTES_SOFT {
                    this.end_deliver(out, &open, subscription)?;
                    open = this.begin(out);
                }
                this.scratch.lease(out, shard, lease, &bytes(nth, lease))?;
                agents::put_lease(&mut this.scratch, agents, nth);
            }
            this.end_deliver(out, &open, subscription)
        })
    }

    fn end_deliver(
        &mut self,
        out: &mut Vec<u8>,
        open: &Open,
        subscription: u32,
    ) -> Result<(), EncodeError> {
        let names_at = self.put_names(out, open);
        let args = fb::DeliverArgs {
            subscription,
            names_at,
            names: vector(&mut self.table, &self.scratch.names.lens),
            leases: vector(&mut self.table, &self.scratch.leases),
            lease_agents: vector(&mut self.table, &self.scratch.lease_agents),
        };
        let root = fb::Deliver::create(&mut self.table, &args);
        self.end(out, open, Kind::Deliver, root)
    }
}
