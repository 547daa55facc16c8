//! Workers' streams.

use std::time::{Duration, Instant};

use prost::Message;
use serde_json::{Value, json};

use crate::channel::{Call, Channel, SERVICE, run};
use crate::support::{Site, queue, shared};

const KIND: &str = "application/grpc+json";

async fn stream(site: &Site) -> Call {
    Channel::open(site).await.call("StreamLifecycle", KIND, &[]).await
}

fn ids(answer: &Value) -> Vec<&str> {
    let jobs = answer["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    jobs.iter().map(|job| job["jobId"].as_str().expect("an id")).collect()
}

#[test]
fn a_frame_acks_then_fetches_then_enqueues() {
    let site = shared();
    let queue = queue("life");
    let one_at_a_time = json!({ "max": 1 });
    run(async {
        let mut stream = stream(site).await;
        let asked = json!({ "requestId": 1, "queues": [queue], "fetchCount": 5, "enqueues": [
            { "queue": queue, "payloadJson": "1" },
            { "queue": queue, "payloadJson": "2", "optionsJson": "{\"max_retries\": 7}" } ] });
        let made = stream.exchange(asked).await;
        // New jobs come after the fetch.
        assert_eq!((&made["requestId"], ids(&made).len()), (&json!("1"), 0), "{made}");
        let made: Vec<String> =
            serde_json::from_value(made["enqueuedJobIds"].clone()).expect("two ids");
        let limited = site.post(&format!("/queues/{queue}/concurrency"), one_at_a_time);
        assert_eq!(limited.status, 200, "{limited:?}");
        let fetch = json!({ "requestId": "2", "queues": [queue], "fetchCount": 5, "workerId": "s",
            "leaseDuration": 30 });
        let got = stream.exchange(fetch.clone()).await;
        assert_eq!(ids(&got), [&made[0]]);
        assert_eq!(got["jobs"][0]["payloadJson"], "1");
        assert_eq!(got["jobs"][0]["leaseDuration"], 30);
        // The place that the ack frees is seen by the fetch.
        let mut both = fetch;
        both["acks"] = json!([{ "jobId": made[0], "resultJson": "[1]" }]);
        let got = stream.exchange(both).await;
        assert_eq!((&got["acked"], ids(&got)), (&json!(1), vec![&*made[1]]), "{got}");
        assert_eq!((&got["jobs"][0]["maxRetries"], &got["error"]), (&json!(7), &Value::Null));
    });
}

#[test]
fn an_empty_fetch_takes_a_while_and_nothing_else_does() {
    let site = shared();
    let (empty, other) = (queue("life"), queue("life"));
    run(async {
        let mut stream = stream(site).await;
        let fetch = json!({ "queues": [empty], "fetchCount": 1 });
        for _ in 0..3 {
            let begun = Instant::now();
            assert_eq!(stream.exchange(fetch.clone()).await, json!({}));
            assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
        }
        let begun = Instant::now();
        for n in 1..=50 {
            let answer = stream.exchange(json!({ "requestId": n })).await;
            assert_eq!(answer, json!({ "requestId": n.to_string() }));
        }
        let took = begun.elapsed();
        // The first begins at once, the others 2 ms after each other.
        assert!(took >= Duration::from_millis(98) && took < Duration::from_secs(4), "{took:?}");
        let mut busy = fetch;
        busy["enqueues"] = json!([{ "queue": other }]);
        stream.exchange(busy.clone()).await;
        let begun = Instant::now();
        for _ in 0..5 {
            stream.exchange(busy.clone()).await;
        }
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    });
}

#[test]
fn what_is_wrong_in_a_frame_is_told_and_the_rest_is_done() {
    let site = shared();
    let queue = queue("life");
    let active = site.enqueue(json!({ "queue": queue }));
    site.fetch(&queue).expect("a job");
    let next = site.enqueue(json!({ "queue": queue }));
    run(async {
        let mut stream = stream(site).await;
        let frame = json!({ "requestId": 5, "queues": ["", queue], "fetchCount": 1,
            "acks": [{ "jobId": " " }, { "jobId": "job_nobody" }, { "jobId": active }],
            "enqueues": [{ "queue": "" }, { "queue": queue }, { "queue": queue, "payloadJson": "{" }] });
        let told = stream.exchange(frame).await;
        assert_eq!(told["error"], "ack: job_id is required");
        assert_eq!((&told["acked"], ids(&told)), (&json!(1), vec![&*next]));
        assert_eq!(told["enqueuedJobIds"].as_array().expect("ids").len(), 1);
        let wrong = [
            (json!({ "acks": [{ "jobId": active }] }), "ack: job "),
            (json!({ "acks": [{ "jobId": next, "stepStatus": "perhaps" }] }), "ack: step_status"),
            (json!({ "acks": [{ "jobId": next, "agentStatus": "hold" }] }), "ack: job "),
            (json!({ "fetchCount": 1 }), "fetch: queues is required"),
            (json!({ "queues": [" "], "fetchCount": 1 }), "fetch: queue is required"),
            (json!({ "enqueues": [{ "payloadJson": "1" }] }), "enqueue: queue is required"),
            (json!({ "enqueues": [{ "queue": queue, "optionsJson": "[]" }] }), "enqueue: options"),
            (json!({ "fails": [{ "error": "no" }] }), "fail: job_id is required"),
            (json!({ "fails": [{ "jobId": active }] }), "fail: job "),
            (json!({ "heartbeats": { "": {} } }), "heartbeat: job_id is required"),
            (json!({ "heartbeats": { "a": { "progressJson": "{" } } }), "heartbeat: progress_json"),
        ];
        for (frame, error) in wrong {
            let told = stream.exchange(frame.clone()).await;
            let text = told["error"].as_str().unwrap_or_default();
            assert!(text.starts_with(error), "{frame} {told}");
        }
        // The stream goes on, and the job is still whole.
        let done = stream.exchange(json!({ "acks": [{ "jobId": next }] })).await;
        assert_eq!(done, json!({ "acked": 1 }));
    });
}

#[test]
fn fails_and_heartbeats_fit_a_frame() {
    let site = shared();
    let queue = queue("life");
    for _ in 0..3 {
        site.enqueue(json!({ "queue": queue, "max_retries": 2 }));
    }
    run(async {
        let mut stream = stream(site).await;
        let got = stream.exchange(json!({ "queues": [queue], "fetchCount": 3 })).await;
        let ids = ids(&got);
        let frame = json!({ "fails": [{ "jobId": ids[0], "error": "no" }, { "jobId": "job_nobody" }],
            "heartbeats": { ids[1]: { "checkpointJson": "{\"c\":1}" }, ids[0]: {} } });
        let told = stream.exchange(frame).await;
        assert_eq!(told["heartbeats"][ids[1]], json!({ "status": "ok" }));
        assert_eq!(told["heartbeats"][ids[0]], json!({ "status": "cancel" }));
        assert_eq!(told["failed"][0]["status"], "retrying");
        assert_eq!(told["failed"][0]["attemptsRemaining"], 1);
        assert!(told["error"].as_str().expect("an error").starts_with("fail: "), "{told}");
        let job = site.get(&format!("/jobs/{}", ids[1])).json();
        assert_eq!(job["checkpoint"], json!({ "c": 1 }));
    });
}

#[test]
fn one_frame_by_itself_is_a_request() {
    let site = shared();
    let queue = queue("life");
    let id = site.enqueue(json!({ "queue": queue }));
    let frame = json!({ "requestId": 4, "queues": [queue], "fetchCount": 1 }).to_string();
    let kind = [("content-type", "application/json")];
    let answer = site.send("POST", &format!("/{SERVICE}StreamLifecycle"), &kind, &frame);
    let told: Value = serde_json::from_str(&answer.text).expect("JSON");
    assert_eq!((answer.status, ids(&told), &told["requestId"]), (200, vec![&*id], &json!("4")));
}

#[test]
fn streams_are_counted() {
    let site = Site::start(|config| config.limits.lifecycle_streams = 1);
    run(async {
        let mut first = stream(&site).await;
        assert_eq!(first.exchange(json!({})).await, json!({}));
        let (code, text) = stream(&site).await.end().await;
        assert!(code == 8 && text.ends_with("(retry_after_ms=1000)"), "{code} {text}");
        first.done();
        assert_eq!(first.end().await.0, 0);
        let mut third = stream(&site).await;
        assert_eq!(third.exchange(json!({})).await, json!({}));
    });
}

#[test]
fn a_stream_ends_when_the_server_does() {
    let mut site = Site::start(|_| {});
    run(async {
        let mut stream = stream(&site).await;
        stream.exchange(json!({})).await;
        let stopped = std::thread::spawn(move || site.stop_http());
        assert_eq!(stream.end().await.0, 14);
        stopped.join().expect("it stops");
    });
}

/// Frames as older clients know them.
#[derive(Clone, PartialEq, Message)]
struct Frame {
    #[prost(uint64, tag = "1")]
    request_id: u64,
    #[prost(string, repeated, tag = "2")]
    queues: Vec<String>,
    #[prost(int32, tag = "6")]
    fetch_count: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Told {
    #[prost(uint64, tag = "1")]
    request_id: u64,
    #[prost(message, repeated, tag = "2")]
    jobs: Vec<Job>,
    #[prost(string, tag = "4")]
    error: String,
    #[prost(string, tag = "6")]
    leader_addr: String,
}

#[derive(Clone, PartialEq, Message)]
struct Job {
    #[prost(string, tag = "1")]
    job_id: String,
    #[prost(string, tag = "3")]
    payload_json: String,
}

#[test]
fn frames_are_protobuf() {
    let site = shared();
    let queue = queue("life");
    let job_id = site.enqueue(json!({ "queue": queue, "payload": [1] }));
    run(async {
        let channel = Channel::open(site).await;
        let mut call = channel.call("StreamLifecycle", "application/grpc", &[]).await;
        let frame = Frame { request_id: 300, queues: vec![queue], fetch_count: 2 };
        call.send(&frame.encode_to_vec());
        let (_, told) = call.receive().await.expect("an answer");
        let jobs = vec![Job { job_id, payload_json: "[1]".to_owned() }];
        let expected = Told { request_id: 300, jobs, ..Told::default() };
        assert_eq!(Told::decode(told), Ok(expected));
        assert_eq!(call.head["content-type"], "application/grpc");
        call.done();
        assert_eq!(call.end().await, (0, String::new()));
    });
}
