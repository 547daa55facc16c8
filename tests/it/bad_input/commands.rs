//! The command line.

use std::collections::BTreeSet;

use jobbie_tests::cli::jobbie;
use jobbie_tests::server::run;

use super::rows::ROWS as MORE_ROWS;
use super::{ELSEWHERE, Scene, UNKNOWN};

/// Words of a command, its exit code, and what it says. `{K}` is 256 bytes, `{LONG}` 100,000, `@{BIG}` a file of 10 MB; `{pending}`
/// and the like are jobs. An expectation that begins with `…` is the end of what is said.
pub(super) type Row = (&'static [&'static str], i32, &'static str);

pub(super) const USAGE: i32 = 2;
pub(super) const NOTHING: i32 = 4;
pub(super) const REFUSED: i32 = 5;

pub(super) const NO_ID: &str =
    "…: not a job id: expected \"job_\" and 26 lower-case hexadecimal digits";
pub(super) const NO_JOB: &str = "…there is no such job, or it is completed or deleted; `jobbie-replay timeline` tells what became of it (NOT_FOUND)";
pub(super) const NO_SHARD: &str = "the server has no shard 5";
pub(super) const NO_NAME: &str = "…: a queue name has 1 to 255 bytes";
pub(super) const CONTROL: &str = "…: a queue name has no control characters";
pub(super) const ILLEGAL: &str =
    "…: the job's state does not allow it; nothing was done, see `jobbie inspect` (ILLEGAL_STATE)";
pub(super) const IDLE: &str =
    "refused: the job is not leased to anybody, so nothing changed (NOT_ACTIVE)";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    (&["nonsense"], USAGE, "unrecognized subcommand 'nonsense'"),
    (&["version", "x"], USAGE, "unexpected argument 'x' found"),
    (&["status", "x"], USAGE, "unexpected argument 'x' found"),
    (&["status", "--config", "/no/such"], USAGE, "read config /no/such: No such file or directory (os error 2)"),
    (&["status", "--timeout-ms", "x"], USAGE, "invalid value 'x' for '--timeout-ms <MS>': invalid digit found in string"),
    (&["workers", "x"], USAGE, "unexpected argument 'x' found"),
    (&["workers", "--bogus"], USAGE, "unexpected argument '--bogus' found"),
    (&["queues", "a", "b"], USAGE, "unexpected argument 'b' found"),
    (&["limits", "a", "b"], USAGE, "unexpected argument 'b' found"),

    (&["server", "--retention", "x"], USAGE, "…: expected a time with its unit, as 7d, 12h, 30m, 90s or 500ms"),
    (&["server", "--retention", "59m"], USAGE, "--retention is 3540000ms, and must be 1h to 3660d"),
    (&["server", "--retention", "3661d"], USAGE, "--retention is 316310400000ms, and must be 1h to 3660d"),
    (&["server", "--lease-expiries-max", "65536"], USAGE, "…: 65536 is not in 0..=65535"),
    (&["server", "--lease-expiries-max=-1"], USAGE, "…: -1 is not in 0..=65535"),
    (&["server", "--shards", "0"], USAGE, "…: 0 is not in 1..=1024"),
    (&["server", "--segment-bytes", "5"], USAGE, "--segment-bytes must be 1 MiB to 1 GiB, in whole MiB"),
    (&["server", "--snapshot-log-bytes", "5"], USAGE, "--snapshot-log-bytes must be at least 1 MiB"),
    (&["server", "--durability", "interval:0"], USAGE, "…: the interval must be 1 to 60000 milliseconds, as interval:100"),

    (&["http", "x"], USAGE, "unexpected argument 'x' found"),
    (&["http", "--http", "0.0.0.0:1"], 1, "0.0.0.0:1 can be reached from other machines: set --token, which callers must then show"),
    (&["completions", "x"], USAGE, "invalid value 'x' for '<SHELL>' [possible values: bash, zsh, fish]"),
    (&["man", "x"], USAGE, "unexpected argument 'x' found"),
    (&["top", "--every-ms", "x"], USAGE, "invalid value 'x' for '--every-ms <MS>': invalid digit found in string"),
    (&["cache", "x"], USAGE, "unrecognized subcommand 'x'"),
    (&["seed", "x"], USAGE, "unrecognized subcommand 'x'"),
    (&["rebuild", "x"], USAGE, "unexpected argument 'x' found"),
    (&["search", "--limit", "x"], USAGE, "invalid value 'x' for '--limit <N>': invalid digit found in string"),

    (&["enqueue"], USAGE, "the following required arguments were not provided: <QUEUE>"),
    (&["enqueue", "", "x"], USAGE, NO_NAME),
    (&["enqueue", "{LONG}", "x"], USAGE, NO_NAME),
    (&["enqueue", "a\nb", "x"], USAGE, CONTROL),
    (&["enqueue", "q", "x", "--bogus", "1"], USAGE, "unexpected argument '--bogus' found"),
    (&["enqueue", "q", "@{BIG}"], USAGE, "payload of 10485760 bytes, at most 262144 are possible"),
    (&["enqueue", "q", "@/no/such"], 1, "read /no/such: No such file or directory (os error 2)"),
    (&["enqueue", "q", "x", "--key", "{LONG}"], USAGE, "key of 100000 bytes, at most 255 are possible"),
    (&["enqueue", "q", "x", "--key", "{K}"], REFUSED, "refused: enqueues[0].key: 256 bytes, at most 255 (TOO_LARGE)"),
    (&["enqueue", "q", "other", "--key", "taken"], REFUSED, "refused: the key is taken by a job with other content; nothing was done (CONFLICT)"),
    (&["enqueue", "q", "x", "--unique-key", "{K}"], REFUSED, "refused: enqueues[0].unique: 256 bytes, at most 255 (TOO_LARGE)"),
    (&["enqueue", "q", "x", "--limit-key", "{K}"], REFUSED, "refused: enqueues[0].limit_key: 256 bytes, at most 255 (TOO_LARGE)"),
    (&["enqueue", "q", "x", "--tags", "{LONG}"], REFUSED, "refused: enqueues[0].tags: 100000 bytes, at most 16384 (TOO_LARGE)"),
    (&["enqueue", "q", "x", "--priority", "3"], USAGE, "…: 3 is not in 0..3"),
    (&["enqueue", "q", "x", "--priority=-1"], USAGE, "…: -1 is not in 0..3"),
    (&["enqueue", "q", "x", "--max-retries", "1000001"], REFUSED, "refused: enqueues[0].max_retries: 1000001, at most 1000000 (INVALID)"),
    (&["enqueue", "q", "x", "--max-retries=-1"], USAGE, "…: -1 is not in 0..=4294967295"),
    (&["enqueue", "q", "x", "--delay-ms", "99999999999999"], REFUSED, "refused: enqueues[0].delay_ms: 99999999999999, at most 3162240000000 (INVALID)"),
    (&["enqueue", "q", "x", "--delay-ms=-5"], USAGE, "…: invalid digit found in string"),
    (&["enqueue", "q", "x", "--at-ms", "253370764800000"], REFUSED, "refused: enqueues[0].at_ms: 253370764800000, at most 17592186044415 (INVALID)"),
    (&["enqueue", "q", "x", "--at-ms=-1"], USAGE, "…: invalid digit found in string"),
    (&["enqueue", "q", "x", "--at-ms", "5", "--delay-ms", "5"], USAGE, "the argument '--at-ms <MS>' cannot be used with '--delay-ms <MS>'"),
    (&["enqueue", "q", "x", "--key-ms", "99999999999999"], REFUSED, "refused: enqueues[0].key_ms: 99999999999999, at most 3162240000000 (INVALID)"),
    (&["enqueue", "q", "x", "--unique-key", "u", "--unique-ms", "99999999999999"], REFUSED, "refused: enqueues[0].unique_ms: 99999999999999, at most 3162240000000 (INVALID)"),
    (&["enqueue", "q", "x", "--expire-after-ms", "99999999999999"], REFUSED, "refused: enqueues[0].expire_after_ms: 99999999999999, at most 3162240000000 (INVALID)"),
    (&["enqueue", "q", "x", "--backoff-base-ms", "4294967296"], USAGE, "…: 4294967296 is not in 0..=4294967295"),
    (&["enqueue", "q", "x", "--backoff", "often"], USAGE, "invalid value 'often' for '--backoff <BACKOFF>' [possible values: none, fixed, linear, exponential]"),
    (&["enqueue", "q", "x", "--hold", "r", "--hold-ms", "5"], USAGE, "the following required arguments were not provided: --then <THEN>"),
    (&["enqueue", "q", "x", "--hold", "r", "--hold-ms", "99999999999999", "--then", "cancel"], REFUSED, "refused: holds[0].timeout_ms: 99999999999999, at most 3162240000000 (INVALID)"),
    (&["enqueue", "q", "x", "--plan", "paid?"], REFUSED, "refused: plans[0].kinds: none is required, so the plan could never be satisfied (INVALID)"),
    (&["enqueue", "q", "x", "--plan", "paid:0"], USAGE, "…: \"0\" is no number of events: give 1 to 65535, as paid:1"),
    (&["enqueue", "q", "x", "--plan", "paid,paid"], REFUSED, "refused: plans[0].kinds[1].name: \"paid\" comes twice (INVALID)"),
    (&["enqueue", "q", "x", "--plan-deadline", "7d"], USAGE, "the following required arguments were not provided: --plan <KINDS>"),
    (&["enqueue", "q", "x", "--plan", "paid", "--plan-deadline", "99999d"], USAGE, "…: 99999d is too long, at most 36600d"),
    (&["enqueue", "q", "x", "--plan", "paid", "--delay-ms", "5"], REFUSED, "refused: plans[0].enqueue: its job has a time, and no worker gets a planned job: leave the time out (INVALID)"),
    (&["enqueue", "q", "x", "--batch", UNKNOWN], USAGE, "…: not a batch id: expected \"batch_\" and 26 lower-case hexadecimal digits"),
    (&["enqueue", "q", "x", "--batch", "batch_1a222356db3014000000000001"], REFUSED, "refused: members[0].batch: of shard 5, and there are 1 (INVALID)"),
    (&["enqueue", "q", "x", "--after", "nojob"], USAGE, NO_ID),
    (&["enqueue", "q", "x", "--after", ELSEWHERE], REFUSED, "refused: depends[0].on[0]: of shard 5, and there are 1 (INVALID)"),
    (&["enqueue", "q", "x", "{AFTER257}"], USAGE, "257 depends on in one request, at most 256 are possible: send several"),
    (&["enqueue", "q", "x", "{NEXT65}"], REFUSED, "refused: chains[0].steps: 65 steps, at most 64 (INVALID)"),
    (&["enqueue", "q", "x", "--next", "=x"], USAGE, NO_NAME),
    (&["enqueue", "q", "x", "--next", "b=5"], REFUSED, "refused: chains[0].steps[0].payload: not a JSON object, into which the result of the job before is put (INVALID)"),

    (&["fetch"], USAGE, "the following required arguments were not provided: <QUEUES>..."),
    (&["fetch", ""], USAGE, NO_NAME),
    (&["fetch", "q\t"], USAGE, CONTROL),
    (&["fetch", "q", "--count", "0"], USAGE, "…: 0 is not in 1..=10000"),
    (&["fetch", "q", "--count", "10001"], USAGE, "…: 10001 is not in 1..=10000"),
    (&["fetch", "q", "--lease-ms", "99"], USAGE, "…: 99 is not in 100..=86400000"),
    (&["fetch", "q", "--lease-ms", "86400001"], USAGE, "…: 86400001 is not in 100..=86400000"),
    (&["fetch", "q", "--wait-ms", "60001"], USAGE, "…: 60001 is not in 0..=60000"),
    (&["fetch", "q", "--worker", "{K}"], REFUSED, "…refuses the connection: name: 256 bytes, at most 255 (TOO_LARGE)"),

    (&["ack", "nojob"], USAGE, NO_ID),
    (&["ack", UNKNOWN], NOTHING, NO_JOB),
    (&["ack", ELSEWHERE], USAGE, NO_SHARD),
    (&["ack", "{pending}"], REFUSED, IDLE),
    (&["ack", "{pending}", "--lease-token=-1"], USAGE, "…: invalid digit found in string"),
    (&["ack", "{pending}", "--result", "@{BIG}"], USAGE, "result of 10485760 bytes, at most 1048576 are possible"),
    (&["fail", "nojob", "e"], USAGE, NO_ID),
    (&["fail", UNKNOWN, "e"], NOTHING, NO_JOB),
    (&["fail", ELSEWHERE, "e"], USAGE, NO_SHARD),
    (&["fail", "{pending}", "e"], REFUSED, IDLE),
    (&["fail", "{pending}", "e", "--backtrace", "@{BIG}"], USAGE, "backtrace of 10485760 bytes, at most 65536 are possible"),
    (&["fail", "{pending}", "{LONG}"], REFUSED, "refused: fails[0].error: 100000 bytes, at most 65536 (TOO_LARGE)"),

    (&["inspect", "nojob"], USAGE, NO_ID),
    (&["inspect", UNKNOWN], NOTHING, NO_JOB),
    (&["inspect", ELSEWHERE], USAGE, NO_SHARD),
    (&["errors", "nojob"], USAGE, NO_ID),
    (&["errors", UNKNOWN], NOTHING, NO_JOB),
    (&["errors", ELSEWHERE], USAGE, NO_SHARD),
    (&["errors", "{pending}", "--count", "0"], USAGE, "…: 0 is not in 1..=4294967295"),
    (&["events", "nojob"], USAGE, NO_ID),
    (&["events", UNKNOWN], NOTHING, NO_JOB),
    (&["events", ELSEWHERE], USAGE, NO_SHARD),
    (&["events", "{pending}", "--count", "0"], USAGE, "…: 0 is not in 1..=4294967295"),
    (&["cancel", "nojob"], USAGE, NO_ID),
    (&["cancel", UNKNOWN], NOTHING, NO_JOB),
    (&["cancel", ELSEWHERE], USAGE, NO_SHARD),
    (&["cancel", "{dead}"], REFUSED, "refused: the job's state does not allow it; nothing was done, see `jobbie inspect` (ILLEGAL_STATE)"),
    (&["cancel", "{pending}", "{pending}"], USAGE, "…' found"),
    (&["delete", "nojob"], USAGE, NO_ID),
    (&["delete", UNKNOWN], NOTHING, NO_JOB),
    (&["delete", ELSEWHERE], USAGE, NO_SHARD),

    (&["retry"], USAGE, "the following required arguments were not provided: <JOBS>..."),
    (&["retry", "nojob"], USAGE, NO_ID),
    (&["retry", UNKNOWN], NOTHING, NO_JOB),
    (&["retry", ELSEWHERE], USAGE, NO_SHARD),
    (&["retry", "{pending}"], REFUSED, ILLEGAL),
    (&["requeue", UNKNOWN], NOTHING, NO_JOB),
    (&["requeue", "{pending}"], REFUSED, ILLEGAL),
    (&["hold", UNKNOWN], NOTHING, NO_JOB),
    (&["hold", "{held}"], REFUSED, ILLEGAL),
    (&["hold", "{pending}", "--reason", "{LONG}"], REFUSED, "refused: job_controls[0].reason: 100000 bytes, at most 65536 (TOO_LARGE)"),
    (&["hold", "{pending}", "--by", "{K}"], REFUSED, "refused: job_controls[0].by: 256 bytes, at most 255 (TOO_LARGE)"),
    (&["hold", "{pending}", "--hold-ms", "99999999999999", "--then", "approve"], REFUSED, "refused: job_controls[0].timeout_ms: 99999999999999, at most 3162240000000 (INVALID)"),
    (&["approve", UNKNOWN], NOTHING, NO_JOB),
    (&["approve", "{pending}"], REFUSED, ILLEGAL),
    (&["reject", UNKNOWN], NOTHING, NO_JOB),
    (&["reject", "{pending}"], REFUSED, ILLEGAL),
    (&["move", UNKNOWN, "r"], NOTHING, NO_JOB),
    (&["move", "{pending}", ""], USAGE, NO_NAME),
    (&["move", "{pending}", "a\u{7f}"], USAGE, CONTROL),
    (&["prioritize", "{pending}", "--priority", "9"], USAGE, "…: 9 is not in 0..3"),
    (&["prioritize", "{held}", "--priority", "0"], REFUSED, ILLEGAL),
    (&["replace", UNKNOWN, "new"], NOTHING, NO_JOB),
    (&["replace", "{dead}", "new"], REFUSED, ILLEGAL),

    (&["event", "append", "{planned}", "paid"], USAGE, "the following required arguments were not provided: --id <TEXT>"),
    (&["event", "append", "{planned}", "paid", "--id", ""], REFUSED, "refused: appends[0].id: empty, at least 1 byte (INVALID)"),
    (&["event", "append", "{planned}", "paid", "--id", "{K}"], REFUSED, "refused: appends[0].id: 256 bytes, at most 128 (TOO_LARGE)"),
    (&["event", "append", "{planned}", "", "--id", "1"], REFUSED, "refused: appends[0].kind: empty, at least 1 byte (INVALID)"),
    (&["event", "append", "{planned}", "pa\u{1}id", "--id", "1"], REFUSED, "refused: appends[0].kind: has a control character (INVALID)"),
    (&["event", "append", "{planned}", "paid", "--id", "1", "--data", "@{BIG}"], USAGE, "data of 10485760 bytes, at most 262144 are possible"),
    (&["event", "append", "{planned}", "paid", "--id", "1", "--source", "{K}"], REFUSED, "refused: appends[0].source: 256 bytes, at most 255 (TOO_LARGE)"),
    (&["event", "append", "{pending}", "paid", "--id", "1"], REFUSED, "refused: the job has no plan: only jobs enqueued with --plan take events (ILLEGAL_STATE)"),
    (&["event", "append", UNKNOWN, "paid", "--id", "1"], NOTHING, "…the event is recorded in the log and changed nothing (NOT_FOUND)"),

    (&["batch", "open", "--callback"], USAGE, "a value is required for '--callback <QUEUE[=PAYLOAD]>' but none was supplied"),
    (&["batch", "seal", "x", "5"], USAGE, "…: not a batch id: expected \"batch_\" and 26 lower-case hexadecimal digits"),
    (&["batch", "seal", "batch_1a222356db3000000000000001", "5"], NOTHING, "refused: there is no such batch, or it ended longer ago than the server keeps them (NOT_FOUND)"),
    (&["batch", "seal", "batch_1a222356db3000000000000001", "1099511627777"], REFUSED, "refused: batch_seals[0].total: 1099511627777, at most 1099511627776 (INVALID)"),
    (&["batch", "show", "batch_1a222356db3000000000000001"], NOTHING, "refused: there is no such batch, or it ended longer ago than the server keeps them (NOT_FOUND)"),

    (&["pause", ""], USAGE, NO_NAME),
    (&["resume", "a\tb"], USAGE, CONTROL),
    (&["drain"], USAGE, "the following required arguments were not provided: <QUEUE>"),
    (&["limit", ""], USAGE, NO_NAME),
    (&["limit", "q", "--rate", "5"], USAGE, "the following required arguments were not provided: --window-ms <MS>"),
    (&["limit", "q", "--rate", "1000001", "--window-ms", "5"], REFUSED, "refused: queue_controls[0].rate: 1000001, at most 1000000 (INVALID)"),
    (&["limit", "q", "--rate", "5", "--window-ms", "604800001"], REFUSED, "refused: queue_controls[0].window_ms: 604800001, at most 604800000 (INVALID)"),
    (&["limit", "q", "--concurrency", "4294967296"], USAGE, "…: 4294967296 is not in 0..=4294967295"),
    (&["limit", "q", "--fair", "x"], USAGE, "invalid value 'x' for '--fair <FAIR>' [possible values: none, jobs, worker-time]"),
    (&["weigh", "q", "k", "0"], USAGE, "…: 0 is not in 1..=1000"),
    (&["weigh", "q", "{K}", "5"], REFUSED, "refused: queue_controls[0].key: 256 bytes, at most 255 (TOO_LARGE)"),
    (&["weigh", "q", "", "5"], REFUSED, "refused: queue_controls[0].key: empty, at least 1 byte (INVALID)"),

    (&["schedules", "q", "r"], USAGE, "unexpected argument 'r' found"),
    (&["schedule", "set", "q", "n", "* * * *", "p"], USAGE, "…: expression has 4 fields, must have 5: minute, hour, day of month, month, day of week"),
    (&["schedule", "set", "q", "n", "0 0 30 2 *", "p"], USAGE, "…: expression \"0 0 30 2 *\" never fires: none of its months has such a day"),
    (&["schedule", "set", "q", "n", "61 * * * *", "p"], USAGE, "…: minute: \"61\" is not in 0-59"),
    (&["schedule", "set", "q", "n", "@daily", "p", "--zone", "Mars/Base"], REFUSED, "…is not in the IANA database 2026f (INVALID)"),
    (&["schedule", "set", "q", "", "@daily", "p"], USAGE, "…: a schedule name has 1 to 255 bytes"),
    (&["schedule", "set", "q", "{K}", "@daily", "p"], USAGE, "…: a schedule name has 1 to 255 bytes"),
    (&["schedule", "set", "q", "n", "@daily", "@{BIG}"], USAGE, "payload of 10485760 bytes, at most 262144 are possible"),
    (&["schedule", "show", "q", "nosuch"], NOTHING, "refused: queue q has no schedule nosuch (NOT_FOUND)"),
    (&["schedule", "show", "q", "nightly", "--next", "101"], USAGE, "…: 101 is not in 0..=100"),
    (&["schedule", "pause", "q", "nosuch"], NOTHING, "refused: schedule_controls[0].name: queue q has no schedule nosuch (NOT_FOUND)"),
    (&["schedule", "resume", "q", "nosuch"], NOTHING, "refused: schedule_controls[0].name: queue q has no schedule nosuch (NOT_FOUND)"),
    (&["schedule", "run", "q", "nosuch"], NOTHING, "refused: schedule_controls[0].name: queue q has no schedule nosuch (NOT_FOUND)"),
    (&["schedule", "delete", "q", "nosuch"], NOTHING, "refused: schedule_controls[0].name: queue q has no schedule nosuch (NOT_FOUND)"),

    (&["clear", ""], USAGE, NO_NAME),
    (&["destroy", "q"], USAGE, "the following required arguments were not provided: --confirm"),
    (&["bulk"], USAGE, "the following required arguments were not provided: <ACTION>"),
    (&["bulk", "frobnicate"], USAGE, "…[possible values: cancel, delete, retry, requeue, hold, approve, reject, move, prioritize]"),
    (&["bulk", "move", "--queue", "q"], USAGE, "the following required arguments were not provided: --to <QUEUE>"),
    (&["bulk", "prioritize", "--queue", "q"], USAGE, "the following required arguments were not provided: --tier <TIER>"),
    (&["bulk", "cancel", "--queue", "q", "--priority", "7"], USAGE, "…: 7 is not in 0..3"),
    (&["bulk", "cancel", "--created-after", "9999-01-01T00:00:00Z"], USAGE, "…: the time must be after 1970 and before the year 2527, as those of jobs are"),
    (&["bulk", "cancel", "--created-before", "1969-01-01T00:00:00Z"], USAGE, "…: expected a time as 2026-11-22T10:00:00Z, or milliseconds since 1970"),
    (&["bulk", "hold", "--queue", "q", "--by", "{K}"], REFUSED, "refused: operation.action.by: 256 bytes, at most 255 (TOO_LARGE)"),
    (&["operations", "x"], USAGE, "invalid value 'x' for '[ACTION]' [possible values: cancel]"),
    (&["operations", "cancel", "op_5"], USAGE, "…: not an operation: expected \"op_\", the shard, \"_\" and a number, such as op_0_17"),
    (&["operations", "cancel", "op_0_999999"], NOTHING, "…(NOT_FOUND)"),
    (&["operations", "cancel", "op_5_1"], USAGE, NO_SHARD),
];

/// The first paragraph of what a command says is wrong, on one line.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr).into_owned();
    let first = text.split("\n\n").next().unwrap_or_default();
    let joined = first.split('\n').map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>();
    joined.join(" ").strip_prefix("error: ").map(str::to_owned).unwrap_or(text)
}

#[test]
fn every_command_says_what_is_wrong_and_changes_nothing() {
    let runtime = tokio::runtime::Runtime::new().expect("start tokio");
    runtime.block_on(async {
        let scene = Scene::new().await;
        let folder = tempfile::tempdir().expect("make a folder");
        let big = folder.path().join("big");
        std::fs::write(&big, vec![b'x'; 10 << 20]).expect("write");
        let (at, before) = (scene.server.addr(), scene.observe().await);
        let words = |word: &str| -> Vec<String> {
            match word {
                "{NEXT65}" => ["--next", "b"].repeat(65).into_iter().map(str::to_owned).collect(),
                "{AFTER257}" => {
                    let one = ["--after".to_owned(), scene.pending.to_string()];
                    one.iter().cloned().cycle().take(2 * 257).collect()
                }
                word => vec![
                    word.replace("{LONG}", &"k".repeat(100_000))
                        .replace("{K}", &"k".repeat(256))
                        .replace("{BIG}", big.to_str().expect("a path"))
                        .replace("{pending}", &scene.pending.to_string())
                        .replace("{held}", &scene.held.to_string())
                        .replace("{dead}", &scene.dead.to_string())
                        .replace("{planned}", &scene.planned.to_string())
                        .replace("{leased}", &scene.leased.to_string())
                        .replace("{agent}", &scene.agent.to_string()),
                ],
            }
        };
        for (line, exit, expected) in ROWS.iter().chain(MORE_ROWS) {
            let line: Vec<String> = line.iter().flat_map(|word| words(word)).collect();
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            let shown: Vec<&str> = line.iter().map(|word| &word[..word.len().min(60)]).collect();
            let stats = scene.stats().await;
            // These ask no server.
            let alone = matches!(
                line[0],
                "server"
                    | "version"
                    | "nonsense"
                    | "http"
                    | "man"
                    | "completions"
                    | "search"
                    | "rebuild"
            );
            let out = if alone { run("jobbie", &line) } else { jobbie(&at, &line) };
            let code = out.status.code();
            scene.expect(code == Some(*exit), || format!("{shown:?} ended with {code:?}"));
            let said = said(&out.stderr);
            let fits = match expected.strip_prefix('…') {
                Some(end) => said.ends_with(end),
                None => said == *expected,
            };
            let end = said
                .chars()
                .rev()
                .take(300)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<String>();
            scene.expect(fits, || format!("{shown:?}\n  said {end}\n  not  {expected}"));
            if *exit == USAGE && *expected != NO_SHARD && !said.contains("are possible") {
                let after = scene.stats().await;
                scene.expect(after == stats, || format!("{shown:?} reached the server"));
            }
        }
        let after = scene.observe().await;
        scene.expect(after == before, || format!("{before:?}\nbecame {after:?}"));
        scene.end().await;
    });
}

#[test]
fn there_is_bad_input_for_every_command() {
    let help = run("jobbie", &["--help"]);
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    let list = text.split("Commands:\n").nth(1).expect("a list of commands");
    let commands: BTreeSet<&str> = list
        .lines()
        .take_while(|line| !line.is_empty())
        // A description may go on in the next line.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    let tried: BTreeSet<&str> = ROWS.iter().chain(MORE_ROWS).map(|(line, ..)| line[0]).collect();
    let untried: Vec<_> =
        commands.iter().filter(|c| **c != "help" && !tried.contains(*c)).collect();
    assert!(commands.len() > 30 && untried.is_empty(), "{untried:?} of {commands:?}");
}

#[test]
fn config_files_say_what_is_wrong_with_them() {
    let folder = tempfile::tempdir().expect("make a folder");
    let path = folder.path().join("jobbie.toml");
    let long = format!("[enqueue]\nkey = \"{}\"\n", "k".repeat(10 << 20));
    let cases = [
        ("[client]\nadr = \"x\"\n", "unknown key \"client.adr\"; did you mean \"client.addr\"?"),
        ("[sever]\nshards = 1\n", "unknown table \"sever\"; did you mean \"server\"?"),
        ("shards = 1\n", "unknown key \"shards\"; did you mean \"server.shards\"?"),
        (
            "[server]\nretentions = \"1h\"\n",
            "unknown key \"server.retentions\"; did you mean \"server.retention\"?",
        ),
        ("[server]\nretention = 1.5\n", "\"server.retention\" must be a string or an integer"),
        ("[client]\noutput = []\n", "\"client.output\" must be a string or an integer"),
    ];
    for (text, expected) in cases {
        std::fs::write(&path, text).expect("write");
        let table = if text.starts_with("[server") { "server" } else { "status" };
        let out = run("jobbie", &["--config", path.to_str().expect("a path"), table]);
        assert_eq!(out.status.code(), Some(USAGE), "{text}: {out:?}");
        assert_eq!(said(&out.stderr), format!("config {}: {expected}", path.display()));
    }
    std::fs::write(&path, long).expect("write");
    let line =
        ["--config", path.to_str().expect("a path"), "enqueue", "q", "x", "--addr", "127.0.0.1:1"];
    let out = run("jobbie", &line);
    assert!(!out.status.success(), "nobody listens there: {out:?}");
}
