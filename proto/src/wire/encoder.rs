//! Appending frames to a buffer.

use flatbuffers::{FlatBufferBuilder, Push, Vector, WIPOffset};

use super::blob::NameTable;
use super::client::Subscribe;
use super::frame::{self, HEADER_BYTES, Kind, TABLE_ALIGN};
use super::generated as fb;
use super::{EncodeError, LostLease, table};
use crate::limits::FRAME_BYTES_MAX;

/// Writes frames. Keep one for each connection or shard: after the first few frames it allocates nothing.
///
/// Every method appends whole frames to `out`, or leaves it as it was and says why.
pub struct Encoder {
    pub(super) table: FlatBufferBuilder<'static>,
    pub(super) scratch: Scratch,
}

/// What is gathered about a frame before its table can be built.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) names: NameTable,
    pub(super) classes: Vec<fb::Class>,
    pub(super) enqueues: Vec<fb::Enqueue>,
    pub(super) whens: Vec<fb::When>,
    pub(super) acks: Vec<fb::Ack>,
    pub(super) fails: Vec<fb::Fail>,
    pub(super) heartbeats: Vec<fb::Heartbeat>,
    pub(super) leases: Vec<fb::Lease>,
    pub(super) lookups: Vec<fb::Lookup>,
    pub(super) lookups_more: Vec<fb::LookupMore>,
    /// What `lookups_more` says the lengths of: it comes behind the bytes of all lookups.
    pub(super) more_bytes: Vec<u8>,
    pub(super) queue_stats: Vec<fb::QueueStats>,
    pub(super) queue_settings: Vec<fb::QueueSettings>,
    /// Jobs that wait for events, of each queue.
    pub(super) planned: Vec<u64>,
    /// What budgets that are exceeded do with each queue.
    pub(super) exceeded: Vec<u8>,
    pub(super) lookup_plans: Vec<fb::LookupPlan>,
    pub(super) lookup_kinds: Vec<fb::LookupKind>,
    pub(super) lookup_kin: Vec<fb::LookupKin>,
    /// Jobs that went to other shards, of each queue.
    pub(super) moved: Vec<u64>,
    pub(super) events: Vec<fb::JobEvent>,
    /// What the last two say the lengths of: it comes behind `more_bytes`.
    pub(super) last_bytes: Vec<u8>,
    pub(super) schedules: Vec<fb::Schedule>,
    pub(super) schedule_states: Vec<fb::ScheduleState>,
    /// What `schedules` says the lengths of: it comes behind `more_bytes`.
    pub(super) schedule_bytes: Vec<u8>,
    pub(super) positions: Vec<u16>,
    pub(super) job_errors: Vec<fb::JobError>,
    /// What `job_errors` says the lengths of: it comes behind everything of operations.
    pub(super) error_bytes: Vec<u8>,
    pub(super) workers: Vec<fb::Worker>,
    pub(super) worker_queues: Vec<u16>,
    /// What `workers` says the lengths of: it comes behind `error_bytes`.
    pub(super) worker_bytes: Vec<u8>,
    pub(super) lookup_costs: Vec<fb::LookupCost>,
    pub(super) usage_sums: Vec<fb::UsageSum>,
    /// Their names: they come behind `schedule_bytes` and what is said of operations.
    pub(super) usage_bytes: Vec<u8>,
    pub(super) lease_agents: Vec<fb::LeaseAgent>,
    pub(super) lookup_agents: Vec<fb::LookupAgent>,
    pub(super) iterations: Vec<fb::Iteration>,
    /// What they say the lengths of: it comes behind `usage_bytes`.
    pub(super) iteration_bytes: Vec<u8>,
}

impl Scratch {
    fn clear(&mut self) {
        self.names.clear();
        self.classes.clear();
        self.enqueues.clear();
        self.whens.clear();
        self.acks.clear();
        self.fails.clear();
        self.heartbeats.clear();
        self.leases.clear();
        self.lookups.clear();
        self.lookups_more.clear();
        self.more_bytes.clear();
        self.queue_stats.clear();
        self.queue_settings.clear();
        self.planned.clear();
        self.exceeded.clear();
        self.lookup_plans.clear();
        self.lookup_kinds.clear();
        self.lookup_kin.clear();
        self.moved.clear();
        self.events.clear();
        self.last_bytes.clear();
        self.schedules.clear();
        self.schedule_states.clear();
        self.schedule_bytes.clear();
        self.positions.clear();
        self.job_errors.clear();
        self.error_bytes.clear();
        self.workers.clear();
        self.worker_queues.clear();
        self.worker_bytes.clear();
        self.lookup_costs.clear();
        self.usage_sums.clear();
        self.usage_bytes.clear();
        self.lease_agents.clear();
        self.lookup_agents.clear();
        self.iterations.clear();
        self.iteration_bytes.clear();
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The vector of `items`, or nothing for none.
pub(super) fn vector<T: Push>(
    table: &mut FlatBufferBuilder<'static>,
    items: &[T],
) -> Option<WIPOffset<Vector<'static, T::Output>>> {
    (!items.is_empty()).then(|| table.create_vector(items))
}

/// The vector of what `items` turn into, or nothing for none.
pub(super) fn vector_of<S, T: Push>(
    table: &mut FlatBufferBuilder<'static>,
    items: &[S],
    turn: impl Fn(&S) -> T,
) -> Option<WIPOffset<Vector<'static, T::Output>>> {
    (!items.is_empty()).then(|| table.create_vector_from_iter(items.iter().map(turn)))
}

/// A frame under construction at the end of a buffer.
pub(super) struct Open {
    start: usize,
}

impl Open {
    /// Where in the blob the next byte goes.
    pub(super) fn blob_at(&self, out: &[u8]) -> u32 {
        (out.len() - self.start - HEADER_BYTES) as u32
    }
}

impl Encoder {
    /// An encoder without buffers.
    #[must_use]
    pub fn new() -> Self {
        Self { table: FlatBufferBuilder::with_capacity(1024), scratch: Scratch::default() }
    }

    pub(super) fn begin(&mut self, out: &mut Vec<u8>) -> Open {
        self.table.reset();
        self.scratch.clear();
        let start = out.len();
        out.resize(start + HEADER_BYTES, 0);
        Open { start }
    }

    /// Runs `body`, which writes one frame or several; on error takes back what it wrote.
    pub(super) fn whole(
        &mut self,
        out: &mut Vec<u8>,
        body: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let start = out.len();
        let result = body(self, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// Puts the names at the end of the blob and says where.
    pub(super) fn put_names(&mut self, out: &mut Vec<u8>, open: &Open) -> u32 {
        let at = open.blob_at(out);
        out.extend_from_slice(&self.scratch.names.bytes);
        at
    }

    pub(super) fn end<T>(
        &mut self,
        out: &mut Vec<u8>,
        open: &Open,
        kind: Kind,
        root: WIPOffset<T>,
    ) -> Result<(), EncodeError> {
        self.table.finish(root, None);
        let table = self.table.finished_data();
        let blob = out.len() - open.start - HEADER_BYTES;
        let padded = blob.next_multiple_of(TABLE_ALIGN);
        let bytes = padded + table.len();
        if bytes > FRAME_BYTES_MAX {
            return Err(EncodeError::Frame { bytes });
        }
        out.resize(open.start + HEADER_BYTES + padded, 0);
        out.extend_from_slice(table);
        frame::seal(&mut out[open.start..], kind, table.len());
        Ok(())
    }

    /// A frame without a blob.
    pub(super) fn bare<T>(
        &mut self,
        out: &mut Vec<u8>,
        kind: Kind,
        root: impl FnOnce(&mut FlatBufferBuilder<'static>) -> WIPOffset<T>,
    ) {
        let open = self.begin(out);
        let root = root(&mut self.table);
        self.end(out, &open, kind, root).expect("a table of a few numbers fits a frame");
    }

    /// Asks for jobs to be pushed.
    ///
    /// # Errors
    /// When the names do not fit a frame.
    pub fn subscribe(
        &mut self,
        out: &mut Vec<u8>,
        subscribe: &Subscribe<'_>,
    ) -> Result<(), EncodeError> {
        self.whole(out, |this, out| {
            let open = this.begin(out);
            out.extend_from_slice(subscribe.worker.as_bytes());
            for queue in &subscribe.queues {
                this.scratch.names.push(queue)?;
            }
            let args = fb::SubscribeArgs {
                subscription: subscribe.subscription,
                lease_ms: subscribe.lease_ms,
                worker_len: super::blob::len_u16("worker", subscribe.worker.as_bytes())?,
                names_at: this.put_names(out, &open),
                names: vector(&mut this.table, &this.scratch.names.lens),
            };
            let root = fb::Subscribe::create(&mut this.table, &args);
            this.end(out, &open, Kind::Subscribe, root)
        })
    }

    /// Allows `add` more jobs to be pushed.
    pub fn credit(&mut self, out: &mut Vec<u8>, subscription: u32, add: u32) {
        let args = fb::CreditArgs { subscription, add };
        self.bare(out, Kind::Credit, |table| fb::Credit::create(table, &args));
    }

    /// Ends pushing.
    pub fn unsubscribe(&mut self, out: &mut Vec<u8>, subscription: u32) {
        let args = fb::UnsubscribeArgs { subscription };
        self.bare(out, Kind::Unsubscribe, |table| fb::Unsubscribe::create(table, &args));
    }

    /// Ends the session.
    pub fn goodbye(&mut self, out: &mut Vec<u8>) {
        let args = fb::GoodbyeArgs {};
        self.bare(out, Kind::Goodbye, |table| fb::Goodbye::create(table, &args));
    }

    /// Asks for a sign of life.
    pub fn ping(&mut self, out: &mut Vec<u8>, nonce: u64) {
        let args = fb::PingArgs { nonce };
        self.bare(out, Kind::Ping, |table| fb::Ping::create(table, &args));
    }

    /// Answers a ping.
    pub fn pong(&mut self, out: &mut Vec<u8>, nonce: u64, server_time: crate::Micros) {
        let args = fb::PongArgs { nonce, server_time_us: server_time.0 };
        self.bare(out, Kind::Pong, |table| fb::Pong::create(table, &args));
    }

    /// Tells a worker of leases that ended.
    ///
    /// # Errors
    /// When there are more than a frame holds.
    pub fn lost(&mut self, out: &mut Vec<u8>, leases: &[LostLease]) -> Result<(), EncodeError> {
        self.whole(out, |this, out| {
            let open = this.begin(out);
            let leases = vector_of(&mut this.table, leases, |lost| {
                fb::LostLease::new(&table::job_ref_to(lost.job), lost.code as u8)
            });
            let root = fb::Lost::create(&mut this.table, &fb::LostArgs { leases });
            this.end(out, &open, Kind::Lost, root)
        })
    }

    /// Says that the server stops in `grace_ms`.
    ///
    /// # Errors
    /// When the message does not fit a frame.
    pub fn go_away(
        &mut self,
        out: &mut Vec<u8>,
        grace_ms: u32,
        message: &str,
    ) -> Result<(), EncodeError> {
        self.whole(out, |this, out| {
            let open = this.begin(out);
            out.extend_from_slice(message.as_bytes());
            let message_len = super::blob::len_u32("message", message.as_bytes())?;
            let args = fb::GoAwayArgs { grace_ms, message_len };
            let root = fb::GoAway::create(&mut this.table, &args);
            this.end(out, &open, Kind::GoAway, root)
        })
    }
}
