//! What the seed decides before a run begins.

use jobbie_log::{Durability, LogConfig};
use jobbie_proto::ShardId;
use jobbie_proto::placement::shard_of;
use jobbie_sim::{DiskConfig, Rng};

/// How often a client does what; the numbers are relative.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    pub(crate) enqueue: u64,
    pub(crate) fetch: u64,
    pub(crate) subscribe: u64,
    pub(crate) work: u64,
    pub(crate) stale: u64,
    pub(crate) operate: u64,
    pub(crate) append: u64,
    pub(crate) ask: u64,
    pub(crate) repeat: u64,
    pub(crate) extend: u64,
    pub(crate) goodbye: u64,
    pub(crate) tie: u64,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) shards: u16,
    pub(crate) clients_per_shard: usize,
    pub(crate) queues_per_shard: usize,
    /// Virtual seconds with faults.
    pub(crate) secs: u64,
    /// Mean pause of a client between two actions, in nanoseconds.
    pub(crate) think_nanos: u64,
    /// Mean pause between two faults, in nanoseconds.
    pub(crate) fault_pause_nanos: u64,
    /// Mean life of a connection, in nanoseconds.
    pub(crate) connection_nanos: u64,
    pub(crate) snapshot_log_bytes: u64,
    pub(crate) payload_bytes_max: u64,
    /// Whether jobs have limit keys and queues have limits.
    pub(crate) limits: bool,
    /// Whether jobs have ties to others.
    pub(crate) ties: bool,
    /// Whether jobs go to queues of other shards.
    pub(crate) moves: bool,
    /// Whether there are agent jobs, and workers say what their work used.
    pub(crate) agents: bool,
    /// Whether there are budgets and approval policies.
    pub(crate) budgets: bool,
    pub(crate) check_every: u64,
    pub(crate) log: LogConfig,
    pub(crate) disk: DiskConfig,
}

impl Plan {
    /// The plan of `seed`; `secs` replaces the length it would choose.
    pub(crate) fn new(seed: u64, secs: Option<u64>) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let log = LogConfig {
            segment_bytes: 1 << 20,
            spare_segments: 1,
            tail_bytes_max: 16 << 10 << rng.below(6),
            durability: Durability::Fsync,
            verify_sealed: rng.coin(),
        };
        let slow = 1 + rng.below(8);
        let disk = DiskConfig {
            capacity_bytes: 1 << 30,
            write_nanos: 40_000..160_000 * slow,
            spike_ppm: 2_000,
            ..DiskConfig::default()
        };
        let mut plan = Self {
            seed,
            shards: 1 + rng.below(10).saturating_sub(6).min(2) as u16,
            clients_per_shard: 3 + rng.below(4) as usize,
            queues_per_shard: 1 + rng.below(3) as usize,
            secs: secs.unwrap_or(15 + rng.below(15)),
            think_nanos: 10_000_000 << rng.below(4),
            fault_pause_nanos: 200_000_000 << rng.below(5),
            connection_nanos: 500_000_000 << rng.below(6),
            snapshot_log_bytes: 16 << 10 << rng.below(6),
            payload_bytes_max: [40, 160, 640, 2560, 10_240, 24_000][rng.below(6) as usize],
            check_every: 1 + rng.below(4),
            limits: rng.coin(),
            ties: rng.below(3) > 0,
            moves: false,
            agents: false,
            budgets: false,
            log,
            disk,
        };
        // The seeds without moves are what they were before there were any.
        plan.moves = plan.ties && rng.coin();
        if plan.moves {
            plan.shards = 2 + 2 * rng.below(2) as u16;
        }
        plan.agents = rng.coin();
        plan.budgets = plan.agents && rng.below(3) > 0;
        plan
    }

    /// The queues of a shard.
    pub(crate) fn queues(&self, shard: ShardId) -> Vec<String> {
        let name = |n: u32| format!("queue-{n}");
        let here = (0..).map(name).filter(|name| shard_of(name, self.shards) == shard);
        here.take(self.queues_per_shard).collect()
    }

    /// The queues of all shards.
    pub(crate) fn all_queues(&self) -> Vec<String> {
        (0..self.shards).flat_map(|shard| self.queues(ShardId(shard))).collect()
    }

    /// What one client likes to do.
    pub(crate) fn habits(rng: &mut Rng) -> Habits {
        let mut some = |max: u64| if rng.below(4) == 0 { 0 } else { 1 + rng.below(max) };
        Habits {
            enqueue: some(40),
            fetch: some(20),
            subscribe: some(6),
            work: 20 + some(40),
            stale: some(4),
            operate: some(4),
            append: some(8),
            ask: some(4),
            repeat: some(6),
            extend: some(4),
            goodbye: u64::from(some(10) == 1),
            tie: some(20),
        }
    }
}
