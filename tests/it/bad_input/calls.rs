//! The Rust client.

use std::future::Future;
use std::time::{Duration, SystemTime};

use jobbie_client::{
    Append, BatchId, BulkAction, Error, EventSeq, Expected, FetchOptions, Hold, HoldEnd, JobFilter,
    JobId, JobRef, LeaseToken, Need, NewJob, NewSchedule, Operation, OperationRef, Plan,
    QueueSettings,
};
use jobbie_proto::limits::CHAIN_STEPS_MAX;

use super::{ELSEWHERE, Scene, UNKNOWN};

/// The call fails as it should, and the state is the same to the last bit.
pub(super) async fn wrong<T: std::fmt::Debug>(
    scene: &Scene,
    call: impl Future<Output = Result<T, Error>>,
    expected: &str,
) {
    let before = scene.stats().await;
    let error = call.await.expect_err(expected).to_string();
    scene.expect(error == expected, || format!("said {error}\nnot  {expected}"));
    let after = scene.stats().await;
    assert_eq!(
        (after.state_hash, after.last_event),
        (before.state_hash, before.last_event),
        "{error}"
    );
}

/// The call fails as it should; that it was made is recorded, and everything else is as it was.
pub(super) async fn recorded<T: std::fmt::Debug>(
    scene: &Scene,
    call: impl Future<Output = Result<T, Error>>,
    expected: &str,
) {
    let before = scene.observe().await;
    let error = call.await.expect_err(expected).to_string();
    scene.expect(error == expected, || format!("said {error}\nnot  {expected}"));
    assert_eq!(scene.observe().await, before, "{error}");
}

pub(super) fn run(test: impl AsyncFnOnce(&Scene)) {
    let runtime = tokio::runtime::Runtime::new().expect("start tokio");
    runtime.block_on(async {
        let scene = Scene::new().await;
        let before = scene.observe().await;
        test(&scene).await;
        assert_eq!(scene.observe().await, before);
        scene.end().await;
    });
}

pub(super) fn parse(text: &str) -> JobId {
    text.parse().expect("an id")
}

#[test]
fn new_jobs() {
    const NO_KINDS: &[Expected<'static>] = &[];
    run(async |scene| {
        let (client, big) = (&scene.client, vec![b'x'; 10 << 20]);
        let text = String::from_utf8(big.clone()).expect("a text");
        let job = || NewJob::new("q", b"x");
        let year = |years: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(years * 31_556_952);
        let hold = Hold { then: HoldEnd::Cancel, ..Hold::default() };
        let optional = [Expected { name: "a", need: Need::Optional, count: 1, deadline_ms: 0 }];
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let cases = [
            (NewJob::new("", b"x"), "INVALID: enqueues[0].queue: empty, at least 1 byte"),
            (NewJob::new("a\u{0}b", b"x"), "INVALID: enqueues[0].queue: has a control character"),
            (NewJob::new(&text, b"x"), "queue name of 10485760 bytes, at most 255 are possible"),
            (NewJob::new("q", &big), "payload of 10485760 bytes, at most 262144 are possible"),
            (job().tags(&big), "tags of 10485760 bytes, at most 16384 are possible"),
            (job().key(&big, days(1)), "key of 10485760 bytes, at most 255 are possible"),
            (
                job().key(b"k", days(40_000)),
                "INVALID: enqueues[0].key_ms: 3456000000000, at most 3162240000000",
            ),
            (job().unique(&big, days(1)), "unique key of 10485760 bytes, at most 255 are possible"),
            (job().limit_key(&text), "limit key of 10485760 bytes, at most 255 are possible"),
            (job().priority(3), "INVALID: enqueues[0].priority: 3, at most 2"),
            (
                job().attempts(u32::MAX),
                "INVALID: enqueues[0].max_retries: 4294967295, at most 1000000",
            ),
            (
                job().delay(days(40_000)),
                "INVALID: enqueues[0].delay_ms: 3456000000000, at most 3162240000000",
            ),
            (
                job().at(year(8029)),
                "INVALID: enqueues[0].at_ms: 253370767608000, at most 17592186044415",
            ),
            (
                job().expire_after(days(40_000)),
                "INVALID: enqueues[0].expire_after_ms: 3456000000000, at most 3162240000000",
            ),
            (
                job().hold(hold),
                "INVALID: holds[0].timeout_ms: a hold has both a time and what happens then, or neither",
            ),
            (
                job().plan(Plan { deadline_ms: 0, kinds: NO_KINDS }),
                "INVALID: plans[0].kinds: none is required, so the plan could never be satisfied",
            ),
            (
                job().plan(Plan { deadline_ms: 0, kinds: &optional }),
                "INVALID: plans[0].kinds: none is required, so the plan could never be satisfied",
            ),
        ];
        for (job, expected) in cases {
            wrong(scene, client.enqueue(&job), expected).await;
        }
        // Of many at once, all or none.
        let many = [job(), NewJob::new("q", b"y").priority(9), job()];
        let before = scene.stats().await;
        let results = client.enqueue_many(&many).await;
        assert!(results.iter().all(Result::is_err), "{results:?}");
        assert_eq!(scene.stats().await.state_hash, before.state_hash);
        // A key that another job has.
        let taken = NewJob::new("q", b"other").key(b"taken", Duration::ZERO);
        let before = scene.observe().await;
        assert!(matches!(client.enqueue(&taken).await, Err(Error::Conflict { .. })));
        assert_eq!(scene.observe().await, before);
    });
}

#[test]
fn ties() {
    run(async |scene| {
        let client = &scene.client;
        let job = || NewJob::new("q", b"{}");
        let one = async |tied: jobbie_client::TiedJob<'static>| {
            client.enqueue_tied(&[tied]).await.into_iter().next().expect("an outcome")
        };
        let elsewhere = parse(ELSEWHERE);
        let batch: BatchId = "batch_1a222356db3014000000000001".parse().expect("an id");
        let expected = "INVALID: depends[0].on[0]: of shard 5, and there are 1";
        wrong(scene, one(job().after(&[elsewhere])), expected).await;
        let many: Vec<JobId> = vec![scene.pending; 257];
        let expected = "257 depends on in one request, at most 256 are possible: send several";
        wrong(scene, one(job().after(&many)), expected).await;
        let expected = "INVALID: members[0].batch: of shard 5, and there are 1";
        wrong(scene, one(job().batch(batch)), expected).await;
        let mut long = job().then(job());
        for _ in 0..CHAIN_STEPS_MAX {
            long = long.then(job());
        }
        wrong(scene, one(long), "INVALID: chains[0].steps: 65 steps, at most 64").await;
        let expected = "INVALID: chains[0].steps[0].payload: not a JSON object, into which the result of the job before is put";
        wrong(scene, one(job().then(NewJob::new("q", b"5"))), expected).await;
        wrong(scene, client.seal_batch(batch, 5), "the server has no shard 5, it has 1").await;
        let unknown: BatchId = "batch_1a222356db3000000000000001".parse().expect("an id");
        let expected = "NOT_FOUND: batch_1a222356db3000000000000001 is unchanged";
        recorded(scene, client.seal_batch(unknown, 5), expected).await;
        let expected = "INVALID: batch_seals[0].total: 18446744073709551615, at most 1099511627776";
        wrong(scene, client.seal_batch(unknown, u64::MAX), expected).await;
        let callback = NewJob::new("", b"");
        let expected = "INVALID: batch_opens[0].queue: empty, at least 1 byte";
        wrong(scene, client.open_batch(Some(&callback)), expected).await;
        assert_eq!(client.batch(unknown).await, Ok(None));
    });
}

#[test]
fn leases() {
    run(async |scene| {
        let (client, big) = (&scene.client, vec![b'x'; 10 << 20]);
        let text = "x".repeat(100_000);
        let of = |job| JobRef { job, token: LeaseToken(0) };
        let (idle, unknown) = (of(scene.pending), of(parse(UNKNOWN)));
        let elsewhere = of(parse(ELSEWHERE));
        let no_shard = "the server has no shard 5, it has 1";
        let not_active = format!("NOT_ACTIVE: {} is unchanged", scene.pending);
        let not_found = format!("NOT_FOUND: {UNKNOWN} is unchanged");
        let beat = jobbie_client::Beat::default();
        for (job, expected) in [(idle, &*not_active), (unknown, &*not_found)] {
            recorded(scene, client.ack(job, b""), expected).await;
            recorded(scene, client.fail(job, "", "", true), expected).await;
            recorded(scene, client.heartbeat(job, beat), expected).await;
            recorded(scene, client.release(job), expected).await;
            recorded(scene, client.ack_and_end_chain(job, b""), expected).await;
        }
        wrong(scene, client.ack(elsewhere, b""), no_shard).await;
        wrong(scene, client.fail(elsewhere, "", "", true), no_shard).await;
        wrong(scene, client.heartbeat(elsewhere, beat), no_shard).await;
        wrong(scene, client.release(elsewhere), no_shard).await;
        let expected = "result of 10485760 bytes, at most 1048576 are possible";
        wrong(scene, client.ack(idle, &big), expected).await;
        let expected = "TOO_LARGE: fails[0].error: 100000 bytes, at most 65536";
        wrong(scene, client.fail(idle, &text, "", true), expected).await;
        let beat = jobbie_client::Beat { checkpoint: &big, ..beat };
        let expected = "checkpoint of 10485760 bytes, at most 1048576 are possible";
        wrong(scene, client.heartbeat(idle, beat), expected).await;
        let beat = jobbie_client::Beat { extend_ms: u32::MAX, ..jobbie_client::Beat::default() };
        let expected = "INVALID: heartbeats[0].extend_ms: 4294967295, not in 100..=86400000";
        wrong(scene, client.heartbeat(idle, beat), expected).await;
        let fetch = FetchOptions::default();
        let cases = [
            (vec![""], fetch, "INVALID: fetch.queues[0]: empty, at least 1 byte"),
            (vec!["q\n"], fetch, "INVALID: fetch.queues[0]: has a control character"),
            (
                vec!["q"; 257],
                fetch,
                "257 queues of a fetch in one request, at most 256 are possible: send several",
            ),
            (
                vec!["q"],
                FetchOptions { count: 10_001, ..fetch },
                "INVALID: fetch.count: 10001, not in 1..=10000",
            ),
            (
                vec!["q"],
                FetchOptions { lease_ms: 5, ..fetch },
                "INVALID: fetch.lease_ms: 5, not in 100..=86400000",
            ),
        ];
        for (queues, options, expected) in cases {
            wrong(scene, client.fetch(&queues, options), expected).await;
        }
        // It has a session of its own.
        let options = FetchOptions { wait_ms: 60_001, ..fetch };
        let expected = "INVALID: fetch.wait_ms: 60001, at most 60000";
        recorded(scene, client.fetch(&["q"], options), expected).await;
    });
}

#[test]
fn controls_of_jobs() {
    run(async |scene| {
        let (client, text) = (&scene.client, "x".repeat(100_000));
        let (unknown, elsewhere) = (parse(UNKNOWN), parse(ELSEWHERE));
        let not_found = format!("NOT_FOUND: {UNKNOWN} is unchanged");
        let illegal = |job| format!("ILLEGAL_STATE: {job} is unchanged");
        let no_shard = "the server has no shard 5, it has 1";
        let hold = Hold::default();
        recorded(scene, client.cancel(unknown), &not_found).await;
        recorded(scene, client.cancel(scene.dead), &illegal(scene.dead)).await;
        recorded(scene, client.delete(unknown), &not_found).await;
        recorded(scene, client.retry(unknown), &not_found).await;
        recorded(scene, client.retry(scene.pending), &illegal(scene.pending)).await;
        recorded(scene, client.requeue(scene.pending), &illegal(scene.pending)).await;
        recorded(scene, client.hold(scene.held, hold), &illegal(scene.held)).await;
        recorded(scene, client.approve(scene.pending, "", ""), &illegal(scene.pending)).await;
        recorded(scene, client.reject(scene.pending, "", ""), &illegal(scene.pending)).await;
        recorded(scene, client.move_job(unknown, "r"), &not_found).await;
        recorded(scene, client.prioritize(scene.held, 0), &illegal(scene.held)).await;
        recorded(scene, client.replace_payload(scene.dead, b"new"), &illegal(scene.dead)).await;
        wrong(scene, client.cancel(elsewhere), no_shard).await;
        wrong(scene, client.delete(elsewhere), no_shard).await;
        wrong(scene, client.retry(elsewhere), no_shard).await;
        wrong(scene, client.job(elsewhere), no_shard).await;
        wrong(scene, client.errors(elsewhere, EventSeq(0), 1), no_shard).await;
        wrong(scene, client.events(elsewhere, EventSeq(0), 1), no_shard).await;
        let expected = "TOO_LARGE: job_controls[0].reason: 100000 bytes, at most 65536";
        let long = Hold { reason: text.as_bytes(), ..hold };
        wrong(scene, client.hold(scene.pending, long), expected).await;
        let expected = "by of 100000 bytes, at most 255 are possible";
        wrong(scene, client.approve(scene.held, "", &text), expected).await;
        let expected = "INVALID: job_controls[0].priority: 3, at most 2";
        wrong(scene, client.prioritize(scene.pending, 3), expected).await;
        let expected = "INVALID: job_controls[0].queue: empty, at least 1 byte";
        wrong(scene, client.move_job(scene.pending, ""), expected).await;
        let expected = "INVALID: errors.count: 0, not in 1..=100";
        wrong(scene, client.errors(scene.dead, EventSeq(0), 0), expected).await;
        let expected = "INVALID: errors.count: 101, not in 1..=100";
        wrong(scene, client.errors(scene.dead, EventSeq(0), 101), expected).await;
        let expected = "INVALID: history.count: 4294967295, not in 1..=100";
        wrong(scene, client.events(scene.planned, EventSeq(0), u32::MAX), expected).await;
        // What is not there is not there, wherever it is asked to begin.
        for from in [1, 7, u64::MAX] {
            assert_eq!(client.errors(scene.pending, EventSeq(from), 9).await, Ok(Vec::new()));
            assert_eq!(client.errors(unknown, EventSeq(from), 9).await, Ok(Vec::new()));
        }
        assert_eq!(client.job(unknown).await, Ok(None));
    });
}

#[test]
fn events() {
    run(async |scene| {
        let (client, big) = (&scene.client, vec![b'x'; 10 << 20]);
        let long = "x".repeat(256);
        let right =
            Append { job: scene.planned, id: b"1", kind: "paid", data: b"", source: "", trace: "" };
        let cases = [
            (Append { id: b"", ..right }, "INVALID: appends[0].id: empty, at least 1 byte"),
            (
                Append { id: long.as_bytes(), ..right },
                "TOO_LARGE: appends[0].id: 256 bytes, at most 128",
            ),
            (
                Append { id: &big, ..right },
                "id of an event of 10485760 bytes, at most 128 are possible",
            ),
            (Append { kind: "", ..right }, "INVALID: appends[0].kind: empty, at least 1 byte"),
            (Append { kind: "a\tb", ..right }, "INVALID: appends[0].kind: has a control character"),
            (Append { kind: &long, ..right }, "TOO_LARGE: appends[0].kind: 256 bytes, at most 128"),
            (Append { data: &big, ..right }, "data of 10485760 bytes, at most 262144 are possible"),
            (
                Append { source: &long, ..right },
                "TOO_LARGE: appends[0].source: 256 bytes, at most 255",
            ),
            (
                Append { trace: &long, ..right },
                "TOO_LARGE: appends[0].trace: 256 bytes, at most 255",
            ),
            (Append { job: parse(ELSEWHERE), ..right }, "the server has no shard 5, it has 1"),
        ];
        for (append, expected) in cases {
            wrong(scene, client.append(append), expected).await;
        }
        let of = |job| Append { job, ..right };
        let expected = format!("ILLEGAL_STATE: {} is unchanged", scene.pending);
        recorded(scene, client.append(of(scene.pending)), &expected).await;
        let expected = format!("NOT_FOUND: {UNKNOWN} is unchanged");
        recorded(scene, client.append(of(parse(UNKNOWN))), &expected).await;
    });
}

#[test]
fn queues_and_schedules() {
    run(async |scene| {
        let (client, long) = (&scene.client, "x".repeat(256));
        let set = QueueSettings::default();
        wrong(scene, client.pause(""), "INVALID: queue_controls[0].queue: empty, at least 1 byte")
            .await;
        wrong(
            scene,
            client.resume(&long),
            "TOO_LARGE: queue_controls[0].queue: 256 bytes, at most 255",
        )
        .await;
        wrong(
            scene,
            client.drain("a\u{1b}b"),
            "INVALID: queue_controls[0].queue: has a control character",
        )
        .await;
        let only_rate = QueueSettings { rate: 5, ..set };
        let expected = "INVALID: queue_controls[0].rate and queue_controls[0].window_ms: a rate has a window, give both or neither";
        wrong(scene, client.configure("q", only_rate), expected).await;
        let rate = QueueSettings { rate: u32::MAX, window_ms: 5, ..set };
        let expected = "INVALID: queue_controls[0].rate: 4294967295, at most 1000000";
        wrong(scene, client.configure("q", rate), expected).await;
        wrong(
            scene,
            client.weigh("q", "", 5),
            "INVALID: queue_controls[0].key: empty, at least 1 byte",
        )
        .await;
        wrong(
            scene,
            client.weigh("q", "k", 0),
            "INVALID: queue_controls[0].weight: 0, not in 1..=1000",
        )
        .await;
        wrong(
            scene,
            client.weigh("q", &long, 5),
            "TOO_LARGE: queue_controls[0].key: 256 bytes, at most 255",
        )
        .await;

        let job = || NewJob::new("q", b"x");
        let cases = [
            (
                "n",
                NewSchedule::new("* * * *", job()),
                "INVALID: schedule_controls[0].expression: expression has 4 fields, must have 5: minute, hour, day of month, month, day of week",
            ),
            (
                "n",
                NewSchedule::new("0 0 31 4 *", job()),
                "INVALID: schedule_controls[0].expression: expression \"0 0 31 4 *\" never fires: none of its months has such a day",
            ),
            (
                "n",
                NewSchedule::new("@daily", job()).zone("Mars/Base"),
                "INVALID: schedule_controls[0].zone: time zone \"Mars/Base\" is not in the IANA database 2026f",
            ),
            (
                "",
                NewSchedule::new("@daily", job()),
                "INVALID: schedule_controls[0].name: empty, at least 1 byte",
            ),
            (
                &*long,
                NewSchedule::new("@daily", job()),
                "TOO_LARGE: schedule_controls[0].name: 256 bytes, at most 255",
            ),
            (
                "a\nb",
                NewSchedule::new("@daily", job()),
                "INVALID: schedule_controls[0].name: has a control character",
            ),
            (
                "n",
                NewSchedule::new("@daily", NewJob::new("", b"")),
                "INVALID: schedule_controls[0].queue: empty, at least 1 byte",
            ),
            (
                "n",
                NewSchedule::new("@daily", job().priority(7)),
                "INVALID: schedule_controls[0].priority: 7, at most 2",
            ),
        ];
        for (name, schedule, expected) in cases {
            wrong(scene, client.set_schedule(name, &schedule), expected).await;
        }
        let expected = "NOT_FOUND: schedule_controls[0].name: queue q has no schedule nosuch";
        wrong(scene, client.pause_schedule("q", "nosuch"), expected).await;
        wrong(scene, client.resume_schedule("q", "nosuch"), expected).await;
        wrong(scene, client.run_schedule("q", "nosuch"), expected).await;
        wrong(scene, client.delete_schedule("q", "nosuch"), expected).await;
        let expected = "INVALID: schedules.times: 101, at most 100";
        wrong(scene, client.schedule("q", "nightly", 101), expected).await;
        assert_eq!(client.schedule("q", "nosuch", 1).await, Ok(None));
    });
}

#[test]
fn operations_on_many_jobs() {
    run(async |scene| {
        let (client, long) = (&scene.client, "x".repeat(256));
        let of_queue = || JobFilter::of_queue("q");
        let nothing = JobFilter::default();
        wrong(scene, client.clear(""), "INVALID: operation.queue: empty, at least 1 byte").await;
        wrong(
            scene,
            client.delete_queue(&long),
            "TOO_LARGE: operation.queue: 256 bytes, at most 255",
        )
        .await;
        let expected = "INVALID: operation: it names no jobs and has no filter; give ids, or at least one of queue, states, priority, limit_key, created_after_ms and created_before_ms";
        wrong(scene, client.bulk(BulkAction::Cancel, nothing, false), expected).await;
        let filter = JobFilter { priority: Some(3), ..of_queue() };
        let expected = "INVALID: operation.filter.priority: 3, at most 2";
        wrong(scene, client.bulk(BulkAction::Cancel, filter, true), expected).await;
        let filter = JobFilter { created_after_ms: 253_370_764_800_000, ..of_queue() };
        let expected =
            "INVALID: operation.filter.created_after_ms: 253370764800000, at most 17592186044415";
        wrong(scene, client.bulk(BulkAction::Cancel, filter, false), expected).await;
        let filter = JobFilter { states: 1 << 5, ..of_queue() };
        let expected =
            "INVALID: operation.filter.states: completed jobs have left memory and cannot be meant";
        wrong(scene, client.bulk(BulkAction::Delete, filter, false), expected).await;
        let expected = "INVALID: operation.action.priority: 9, at most 2";
        let action = BulkAction::Prioritize { priority: 9 };
        wrong(scene, client.bulk(action, of_queue(), false), expected).await;
        let action = BulkAction::Approve { note: String::new(), by: long.clone() };
        let expected = "TOO_LARGE: operation.action.by: 256 bytes, at most 255";
        wrong(scene, client.bulk_jobs(action, &[scene.held], false), expected).await;
        let expected = "the server has no shard 5, it has 1";
        wrong(scene, client.bulk_jobs(BulkAction::Cancel, &[parse(ELSEWHERE)], false), expected)
            .await;
        let elsewhere: OperationRef = "op_5_1".parse().expect("an operation");
        wrong(scene, client.cancel_operation(elsewhere), expected).await;
        let parts = vec![elsewhere];
        wrong(scene, client.progress(&Operation { parts }), expected).await;
        let unknown: OperationRef = "op_0_999999".parse().expect("an operation");
        let expected = "NOT_FOUND: op_0_999999 does not run";
        recorded(scene, client.cancel_operation(unknown), expected).await;
    });
}
