//! Every limit a client can meet, in one place. Full is an answer, never growth.

/// Shards of one node.
pub const SHARDS_MAX: u16 = 1024;

/// Bytes of one wire frame, length prefix not counted.
pub const FRAME_BYTES_MAX: usize = 4 << 20;
/// Bytes of the first frame of a connection, before the client has shown who it is.
pub const HELLO_BYTES_MAX: usize = 4096;
/// Bytes of one job's payload.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 10;
/// Bytes of a job's tags, as the client encoded them.
pub const TAGS_BYTES_MAX: usize = 16 << 10;
/// Bytes of a result, a checkpoint or a progress report.
pub const RESULT_BYTES_MAX: usize = 1 << 20;
/// Bytes of an error text; the same for its backtrace.
pub const ERROR_BYTES_MAX: usize = 64 << 10;
/// Bytes of a queue name, at least 1, no control characters.
pub const QUEUE_BYTES_MAX: usize = 255;
/// Bytes of an idempotency key.
pub const KEY_BYTES_MAX: usize = 255;
/// Bytes of a limit key.
pub const LIMIT_KEY_BYTES_MAX: usize = 255;
/// The largest share of a limit key; the smallest is 1.
pub const WEIGHT_MAX: u16 = 1000;
/// Limit keys of one queue whose share is not 1.
pub const WEIGHTS_PER_QUEUE_MAX: usize = 10_000;
/// Jobs that a rate may allow within one window, as each window remembers the times of so many.
pub const RATE_MAX: u32 = 1_000_000;
/// The longest window of a rate, in milliseconds.
pub const WINDOW_MS_MAX: u32 = 7 * 24 * 3600 * 1000;
/// Bytes of a worker's name and of its host name.
pub const WORKER_BYTES_MAX: usize = 255;
/// Workers of one shard that are remembered; when another comes, the one that was silent longest is forgotten.
pub const WORKERS_MAX: usize = 10_000;
/// Queues remembered of each: the first that it asked for.
pub const WORKER_QUEUES_MAX: usize = 16;
/// Workers that one answer tells.
pub const WORKERS_PER_ANSWER_MAX: u32 = 1000;
/// A worker is noted at most once in this time, in milliseconds.
pub const WORKER_SEEN_MS: u64 = 10_000;
/// A worker that was silent for this long is forgotten, in milliseconds.
pub const WORKER_SILENT_MS_MAX: u64 = 24 * 3600 * 1000;

/// Kinds of events that one plan expects, at least 1.
pub const PLAN_KINDS_MAX: usize = 64;
/// Bytes of the name of a kind of events, at least 1, no control characters.
pub const EVENT_KIND_BYTES_MAX: usize = 128;
/// Bytes of an event's id, at least 1.
pub const EVENT_ID_BYTES_MAX: usize = 128;
/// Bytes of what says which way an event came, and of its trace.
pub const EVENT_SOURCE_BYTES_MAX: usize = 255;
/// Events of one planned job whose ids are remembered: all that were recorded for it, also those before a retry.
pub const EVENTS_PER_JOB_MAX: usize = 4096;
/// Events of a job that one answer tells.
pub const HISTORY_COUNT_MAX: u32 = 100;

/// Errors of one job that do not name the one before them and of which that is remembered: those of expiry and plans, the newest.
pub const ERROR_LINKS_MAX: usize = 64;
/// Micro-dollars that an agent job may be limited to: a billion dollars.
pub const AGENT_COST_MICROS_MAX: u64 = 1_000_000_000 * 1_000_000;
/// Bytes of checkpoints, results and reasons of iterations after which an answer tells no more of them.
pub const ITERATIONS_BYTES_SOFT: usize = 4 << 20;
/// Tokens of one kind in one report of usage.
pub const USAGE_TOKENS_MAX: u64 = 1_000_000_000_000;
/// Micro-dollars in one report of usage: a million dollars.
pub const USAGE_COST_MICROS_MAX: u64 = 1_000_000 * 1_000_000;
/// Bytes of the name of a model or of its provider, no control characters; it may be empty.
pub const MODEL_BYTES_MAX: usize = 128;
/// Hours for which usage is summed up by queue, model and provider: 35 days.
pub const USAGE_HOURS: u32 = 35 * 24;
/// Sums of usage of one shard, each of an hour, a queue, a model and a provider. When there are as many, new ones are of
/// an hour and a queue only, and are called [`USAGE_OTHER`]; of these too there are at most so many, and then one for
/// each hour.
pub const USAGE_SUMS_MAX: usize = 50_000;
/// What models, providers and queues are called that are summed up together because there are too many.
pub const USAGE_OTHER: &str = "other";
/// Sums that one answer tells.
pub const USAGE_GROUPS_MAX: usize = 1000;

/// Operations of one kind in one request.
pub const OPS_PER_REQUEST_MAX: usize = 10_000;
/// Jobs that one operation may name; a filter may concern any number.
pub const OPERATION_JOBS_MAX: usize = OPS_PER_REQUEST_MAX;
/// Bytes of what an operation says of its jobs for people.
pub const OPERATION_TEXT_BYTES_MAX: usize = 4096;
/// Operations of one shard that run at a time.
pub const OPERATIONS_MAX: usize = 64;
/// Operations of one shard that are remembered when they are over.
pub const OPERATIONS_ENDED_MAX: usize = 64;
/// The first time that no job can have been created at, in milliseconds since the epoch (the year 2527).
pub const CREATED_MS_END: u64 = 1 << 44;
/// Jobs one fetch may ask for.
pub const FETCH_COUNT_MAX: u32 = 10_000;
/// Queues one fetch may name.
pub const FETCH_QUEUES_MAX: usize = 256;
/// How long a fetch may wait, in milliseconds.
pub const FETCH_WAIT_MS_MAX: u32 = 60_000;

/// Lease lengths, in milliseconds.
pub const LEASE_MS_MIN: u32 = 100;
/// See [`LEASE_MS_MIN`].
pub const LEASE_MS_MAX: u32 = 24 * 3600 * 1000;
/// A lease when none is asked for, in milliseconds.
pub const LEASE_MS_DEFAULT: u32 = 60_000;

/// Total attempts of a job when none are asked for.
pub const ATTEMPTS_DEFAULT: u32 = 3;
/// Total attempts a job may ask for.
pub const ATTEMPTS_MAX: u32 = 1_000_000;
/// First retry delay when none is asked for, in milliseconds.
pub const BACKOFF_BASE_MS_DEFAULT: u32 = 5_000;
/// Longest retry delay when none is asked for, in milliseconds.
pub const BACKOFF_CAP_MS_DEFAULT: u32 = 600_000;
/// Steps of a chain after its first job.
pub const CHAIN_STEPS_MAX: usize = 64;
/// Jobs that one job may wait for.
pub const DEPENDS_MAX: usize = 256;
/// Batches that one request opens, seals or looks up.
pub const BATCHES_PER_REQUEST_MAX: usize = 1000;
/// How long a batch may stay open; one that is not sealed by then is forgotten, in milliseconds.
pub const BATCH_OPEN_MS_MAX: u64 = 30 * 24 * 3600 * 1000;
/// Members of a batch.
pub const BATCH_JOBS_MAX: u64 = 1 << 40;
/// Bytes of the result of a chain's step, which goes to the next one.
pub const STEP_RESULT_BYTES_MAX: usize = PAYLOAD_BYTES_MAX;
/// Bytes of a job's payload when the server puts it together, from a step's own and the result before it.
pub const MADE_PAYLOAD_BYTES_MAX: usize = PAYLOAD_BYTES_MAX * 5 / 2;
/// Children of a job that one answer tells.
pub const CHILDREN_COUNT_MAX: u32 = 1000;
/// Held jobs that one answer tells.
pub const HELD_COUNT_MAX: u32 = 500;
/// Jobs that were moved on again and again: a client that follows one gives up after so many ids.
pub const MOVE_HOPS_MAX: usize = 16;
/// Priority tiers: 0 critical, 1 high, 2 normal.
pub const PRIORITY_TIERS: u8 = 3;
/// The tier of a job that names none.
pub const PRIORITY_DEFAULT: u8 = 2;
/// How long an idempotency key is remembered when no period is given, in milliseconds.
pub const KEY_MS_DEFAULT: u64 = 24 * 3600 * 1000;
/// How long a unique key is held at most when no period is given, in milliseconds.
pub const UNIQUE_MS_DEFAULT: u64 = 3600 * 1000;
/// How long dead and cancelled jobs are kept when the server is told nothing else, in milliseconds.
pub const RETENTION_MS: u64 = 7 * 24 * 3600 * 1000;
/// The shortest time for which a server may keep them, in milliseconds.
pub const RETENTION_MS_MIN: u64 = 3600 * 1000;
/// The longest, in milliseconds: ten years.
pub const RETENTION_MS_MAX: u64 = 10 * 366 * 24 * 3600 * 1000;
/// Leases of a job that must have run out, with no attempt left, before it is quarantined, when the server is told nothing else.
pub const LEASE_EXPIRIES_MAX: u32 = 3;
/// The most that a server may wait for: as many as are counted.
pub const LEASE_EXPIRIES_MAX_MAX: u32 = u16::MAX as u32;
/// The longest delay, expiry or key period, in milliseconds (100 years).
pub const PERIOD_MS_MAX: u64 = 100 * 366 * 24 * 3600 * 1000;

/// Answered requests of one session that are remembered until the client confirms them. A client
/// with more requests open than this is refused.
pub const SESSION_REPLIES_MAX: usize = 4096;
/// Sessions of one shard.
pub const SESSIONS_MAX: usize = 100_000;
/// How long a session without a connection is remembered, in milliseconds.
pub const SESSION_IDLE_MS_MAX: u64 = 15 * 60 * 1000;

/// Queues of one shard.
pub const QUEUES_MAX: usize = 1_000_000;

/// Schedules of one shard.
pub const SCHEDULES_MAX: usize = 100_000;
/// Bytes of a schedule's name, at least 1, no control characters.
pub const SCHEDULE_NAME_BYTES_MAX: usize = 255;
/// Schedules one request may change: each that is set has its times computed.
pub const SCHEDULE_CONTROLS_MAX: usize = 100;
/// Planned times one lookup of a schedule may ask for.
pub const SCHEDULE_TIMES_MAX: u16 = 100;
/// How late a planned time may be run by a schedule that runs none it has missed, in milliseconds.
pub const SCHEDULE_LATE_MS_MAX: u64 = 60_000;
/// Planned times a schedule that runs all it has missed catches up with: the newest.
pub const SCHEDULE_CATCH_UP_MAX: usize = 100;
/// Planned times that were skipped at once are counted up to here.
pub const SCHEDULE_SKIPPED_MAX: usize = 1000;

/// The largest limit of a budget, in millionths of a dollar: a billion dollars.
pub const BUDGET_MICROS_MAX: u64 = 1_000_000_000_000_000;
/// Budgets of queues of one shard.
pub const QUEUE_BUDGETS_MAX: usize = 1000;
/// Budgets of tags, of all shards together.
pub const TAG_BUDGETS_MAX: usize = 1000;
/// Approval policies, of all shards together.
pub const POLICIES_MAX: usize = 100;
/// Bytes of the key and of the value of a tag that a rule names, at least 1 of the key.
pub const RULE_TAG_BYTES_MAX: usize = 255;
/// Bytes of a policy's name, at least 1, no control characters.
pub const POLICY_NAME_BYTES_MAX: usize = 255;
/// Budgets and policies one request may change.
pub const RULE_CONTROLS_MAX: usize = 100;
/// Waiting jobs of a queue that one fetch passes over because of their tags.
pub const TAG_PASSED_MAX: usize = 1000;

/// Body bytes at which a log entry is closed and the next one begun. One request is never split,
/// so an entry may exceed this by one frame.
pub const ENTRY_BYTES_SOFT: usize = 1 << 20;
/// Body bytes of one log entry.
pub const ENTRY_BYTES_MAX: usize = ENTRY_BYTES_SOFT + 2 * FRAME_BYTES_MAX;

const _: () = assert!(RESULT_BYTES_MAX + 4096 < FRAME_BYTES_MAX);
const _: () = assert!(PAYLOAD_BYTES_MAX <= RESULT_BYTES_MAX);
