//! The worker service, method by method.

use std::time::Duration;

use serde_json::{Value, json};

use crate::channel::{Channel, SERVICE, run};
use crate::support::{Site, queue, shared};

const INVALID: u16 = 3;

/// Connect without a stream, over HTTP/1.1.
fn connect(site: &Site, method: &str, body: &str) -> (u16, Value) {
    let headers = [("content-type", "application/json"), ("connect-protocol-version", "1")];
    let answer = site.send("POST", &format!("/{SERVICE}{method}"), &headers, body);
    assert_eq!(answer.header("content-type"), "application/json");
    (answer.status, serde_json::from_str(&answer.text).expect("JSON"))
}

#[test]
fn a_job_goes_through_every_method() {
    let site = shared();
    let queue = queue("rpc");
    run(async {
        let channel = Channel::open(site).await;
        let agent = json!({ "maxIterations": 3, "max_cost_usd": 1.5, "iterationTimeout": "90s" });
        let options = json!({ "tags": { "k": "v" }, "max_retries": 5, "priority": "high" });
        let asked = json!({ "queue": queue, "payloadJson": "{\"a\": 1}", "agent": agent,
            "options_json": options.to_string() });
        let made = channel.unary("Enqueue", asked).await.expect("a job");
        let id = made["jobId"].as_str().expect("an id").to_owned();
        assert_eq!(made, json!({ "jobId": id, "status": "pending" }));
        let asked = json!({ "queues": [queue], "workerId": "w", "leaseDuration": "45" });
        let found = channel.unary("Fetch", asked).await.expect("a job");
        let agent = json!({ "maxIterations": 3, "maxCostUsd": 1.5, "iterationTimeout": "1m30s",
            "iteration": 1 });
        let expected = json!({ "found": true, "jobId": id, "queue": queue, "attempt": 1,
            "payloadJson": "{\"a\": 1}", "maxRetries": 5, "leaseDuration": 45,
            "tagsJson": "{\"k\":\"v\"}", "agent": agent });
        assert_eq!(found, expected);
        let update = json!({ "progressJson": "{\"n\": 1}", "checkpointJson": "",
            "usage": { "inputTokens": "12", "output_tokens": 3, "costUsd": 0.25 } });
        let asked = json!({ "jobs": { id.as_str(): update, "job_nobody": {} } });
        let told = channel.unary("Heartbeat", asked).await.expect("an answer");
        let expected =
            json!({ id.as_str(): { "status": "ok" }, "job_nobody": { "status": "cancel" } });
        assert_eq!(told["jobs"], expected);
        let asked =
            json!({ "jobId": id, "agentStatus": "continue", "checkpointJson": "{\"at\":1}" });
        assert_eq!(channel.unary("Ack", asked).await, Ok(json!({})));
        let asked = json!({ "queues": [queue], "count": 3 });
        let found = channel.unary("FetchBatch", asked).await.expect("jobs");
        assert_eq!(found["jobs"][0]["checkpointJson"], "{\"at\":1}");
        assert_eq!(found["jobs"][0]["agent"]["iteration"], 2);
        let asked = json!({ "jobId": id, "error": "no", "backtrace": "here" });
        let failed = channel.unary("Fail", asked).await.expect("an answer");
        assert_eq!(
            (&failed["status"], &failed["attemptsRemaining"]),
            (&json!("retrying"), &json!(4))
        );
        assert!(failed["nextAttemptAt"].as_str().expect("a time").ends_with('Z'), "{failed}");
        let info = channel.unary("GetServerInfo", json!({})).await.expect("an answer");
        assert!(info["serverVersion"].is_string() && info["apiVersion"].is_string(), "{info}");
    });
}

#[test]
fn an_ack_of_many_counts_what_it_completes() {
    let site = shared();
    let queue = queue("rpc");
    let ids: Vec<String> =
        (0..3).map(|n| site.enqueue(json!({ "queue": queue, "payload": n }))).collect();
    run(async {
        let channel = Channel::open(site).await;
        let asked = json!({ "queues": [queue], "count": 2 });
        channel.unary("FetchBatch", asked).await.expect("jobs");
        let mut items: Vec<Value> = ids.iter().map(|id| json!({ "jobId": id })).collect();
        items[0]["resultJson"] = json!("[7]");
        items.push(json!({ "jobId": "job_nobody" }));
        let acked = channel.unary("AckBatch", json!({ "items": items })).await;
        assert_eq!(acked, Ok(json!({ "acked": 2 })));
        let job = site.get(&format!("/jobs/{}", ids[0])).json();
        assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &json!([7])));
        let none = channel.unary("Fetch", json!({ "queues": ["nobody.puts"], "leaseDuration": 1 }));
        assert_eq!(none.await, Ok(json!({})));
    });
}

#[test]
fn what_cannot_be_is_an_invalid_argument() {
    let site = shared();
    let queue = queue("rpc");
    let pending = site.enqueue(json!({ "queue": queue }));
    run(async {
        let channel = Channel::open(site).await;
        let long = "x".repeat(300_000);
        let wrong = [
            ("Enqueue", json!({ "payloadJson": "{}" })),
            ("Enqueue", json!({ "queue": " " })),
            ("Enqueue", json!({ "queue": queue, "payloadJson": "{" })),
            ("Enqueue", json!({ "queue": queue, "payloadJson": format!("\"{long}\"") })),
            ("Enqueue", json!({ "queue": queue, "optionsJson": "{\"expire_after\": \"1 week\"}" })),
            ("Enqueue", json!({ "queue": 7 })),
            ("Fetch", json!({ "queues": [] })),
            ("FetchBatch", json!({ "queues": [""] })),
            ("Ack", json!({ "jobId": "" })),
            ("Ack", json!({ "jobId": "job_nobody" })),
            ("Ack", json!({ "jobId": pending })),
            ("Ack", json!({ "jobId": pending, "resultJson": "{" })),
            ("Ack", json!({ "jobId": pending, "agentStatus": "perhaps" })),
            ("AckBatch", json!({ "items": [] })),
            ("AckBatch", json!({ "items": [{}] })),
            ("Fail", json!({ "jobId": "job_nobody", "error": "no" })),
            ("Fail", json!({ "jobId": pending, "error": "no" })),
            ("Heartbeat", json!({ "jobs": { "job_nobody": { "progressJson": "{" } } })),
        ];
        for (method, asked) in wrong {
            let answer = channel.unary(method, asked.clone()).await;
            assert_eq!(
                answer.as_ref().map_err(|end| end.0),
                Err(INVALID),
                "{method} {asked} {answer:?}"
            );
        }
        let lost = channel.unary("Forget", json!({})).await.expect_err("no such method");
        assert_eq!(lost.0, 12);
    });
    let job = site.get(&format!("/jobs/{pending}")).json();
    assert_eq!(job["state"], "pending");
}

#[test]
fn connect_is_spoken_over_http_1() {
    let site = shared();
    let queue = queue("rpc");
    let asked = json!({ "queue": queue, "payloadJson": "[1]" }).to_string();
    let (status, made) = connect(site, "Enqueue", &asked);
    assert_eq!((status, &made["status"]), (200, &json!("pending")));
    let (status, found) = connect(site, "Fetch", &json!({ "queues": [queue] }).to_string());
    assert_eq!(
        (status, &found["jobId"], &found["payloadJson"]),
        (200, &made["jobId"], &json!("[1]"))
    );
    let (status, answer) = connect(site, "Ack", &json!({ "job_id": found["jobId"] }).to_string());
    assert_eq!((status, answer), (200, json!({})));
    let failed = [
        ("Ack", "{\"jobId\":\"job_nobody\"}", 400, "invalid_argument"),
        ("Ack", "[]", 400, "invalid_argument"),
        ("Forget", "{}", 501, "unimplemented"),
    ];
    for (method, body, status, code) in failed {
        let (got, answer) = connect(site, method, body);
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{method} {answer}");
        assert!(answer["message"].is_string());
    }
    let kind = [("content-type", "text/plain")];
    let path = format!("/{SERVICE}Enqueue");
    assert_eq!(site.send("POST", &path, &kind, "{}").status, 415);
    let packed = [("content-type", "application/json"), ("content-encoding", "gzip")];
    assert_eq!(site.send("POST", &path, &packed, "{}").status, 415);
    assert_eq!(site.send("POST", &path, &[("content-type", "application/grpc")], "").status, 505);
    // Protobuf: field 1 is the queue.
    let message = format!("\n{}{queue}", char::from(u8::try_from(queue.len()).expect("short")));
    let answer = site.send("POST", &path, &[("content-type", "application/proto")], &message);
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/proto"));
    assert!(answer.text.starts_with("\n") && answer.text.contains("job_"), "{answer:?}");
}

#[test]
fn streams_of_connect_and_grpc_web_end_with_how_they_ended() {
    let site = shared();
    run(async {
        let channel = Channel::open(site).await;
        let mut call = channel.call("GetServerInfo", "application/grpc-web+json", &[]).await;
        call.send(b"{}");
        call.done();
        assert!(call.receive_json().await.expect("a message")["apiVersion"].is_string());
        let end = call.receive().await.expect("trailers");
        assert_eq!((end.0, &*end.1), (0x80, &b"grpc-status: 0\r\n"[..]));
        let mut call = channel.call("StreamLifecycle", "application/connect+json", &[]).await;
        let answer = call.exchange(json!({ "requestId": "18446744073709551615" })).await;
        assert_eq!(answer["requestId"], "18446744073709551615");
        call.send_flagged(2, b"{}");
        let end = call.receive().await.expect("an end");
        assert_eq!((end.0, &*end.1), (2, &b"{}"[..]));
        let mut call = channel.call("Subscribe", "application/connect+json", &[]).await;
        call.send(b"[]");
        let (flags, end) = call.receive().await.expect("an end");
        let end: Value = serde_json::from_slice(&end).expect("JSON");
        assert_eq!((flags, &end["error"]["code"]), (2, &json!("invalid_argument")));
    });
}

#[test]
fn frames_that_cannot_be_read_end_a_call() {
    let site = shared();
    run(async {
        let channel = Channel::open(site).await;
        let kind = "application/grpc";
        let mut call = channel.call("Enqueue", kind, &[]).await;
        call.send_flagged(1, b"x");
        assert_eq!(call.end().await.0, 12);
        let mut call = channel.call("Enqueue", kind, &[]).await;
        call.done();
        assert_eq!(call.end().await.0, INVALID);
        let mut call = channel.call("GetServerInfo", kind, &[]).await;
        call.send(b"");
        call.send(b"");
        assert_eq!(call.end().await, (INVALID, "the request has more than one message".to_owned()));
        let mut call = channel.call("StreamLifecycle", kind, &[]).await;
        call.send_raw(&[0, 0, 0, 0, 9, 1]);
        call.done();
        assert_eq!(call.end().await.0, 2);
        let mut call = channel.call("StreamLifecycle", kind, &[]).await;
        call.send_raw(&[0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(call.end().await.0, INVALID);
        let mut call = channel.call("StreamLifecycle", kind, &[]).await;
        call.done();
        assert_eq!(call.end().await, (0, String::new()));
    });
}

#[test]
fn callers_are_asked_who_they_are() {
    let site = Site::start_guarded("secret");
    run(async {
        let channel = Channel::open(&site).await;
        let asked = json!({ "queue": "q" });
        for headers in [&[][..], &[("x-api-key", "wrong")], &[("authorization", "Bearer wrong")]] {
            let answer = channel.unary_as("Enqueue", asked.clone(), headers).await;
            assert_eq!(answer.expect_err("not let in").0, 16);
            let mut call = channel.call("StreamLifecycle", "application/grpc", headers).await;
            assert_eq!(call.end().await.0, 16);
        }
        let key = ("x-api-key", "secret");
        let shop = [("authorization", "Bearer secret"), ("x-corvo-namespace", "shop")];
        let made = channel.unary_as("Enqueue", asked.clone(), &shop).await.expect("a job");
        let asked = json!({ "queues": ["q"], "leaseDuration": 1 });
        assert_eq!(channel.unary_as("Fetch", asked.clone(), &[key]).await, Ok(json!({})));
        let found = channel.unary_as("Fetch", asked, &shop).await.expect("a job");
        assert_eq!((&found["jobId"], &found["queue"]), (&made["jobId"], &json!("q")));
        let ack = json!({ "jobId": made["jobId"] });
        let foreign = channel.unary_as("Ack", ack.clone(), &[key]).await.expect_err("not its job");
        assert_eq!(foreign.0, INVALID);
        let foreign = channel.unary_as("AckBatch", json!({ "items": [ack] }), &[key]).await;
        assert_eq!(foreign, Ok(json!({})));
        assert_eq!(channel.unary_as("Ack", ack, &shop).await, Ok(json!({})));
    });
}

#[test]
fn a_job_for_a_caller_that_has_gone_goes_back_uncounted() {
    let site = shared();
    let queue = queue("rpc");
    run(async {
        let channel = Channel::open(site).await;
        let mut call = channel.call("Fetch", "application/grpc+json", &[]).await;
        let asked = json!({ "queues": [queue], "leaseDuration": 60 });
        call.send(asked.to_string().as_bytes());
        call.done();
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(call);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let made = channel.unary("Enqueue", json!({ "queue": queue })).await.expect("a job");
        let found = channel.unary("Fetch", asked).await.expect("a job");
        assert_eq!((&found["jobId"], &found["attempt"]), (&made["jobId"], &json!(1)));
    });
}

#[test]
fn what_is_full_says_when_to_come_back() {
    let site = Site::start(|config| config.limits.waiting_fetches = 1);
    run(async {
        let channel = Channel::open(&site).await;
        let asked = json!({ "queues": ["q"], "leaseDuration": 60 });
        let mut waiting = channel.call("Fetch", "application/grpc+json", &[]).await;
        waiting.send(asked.to_string().as_bytes());
        waiting.done();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (code, text) = channel.unary("Fetch", asked.clone()).await.expect_err("full");
        assert!(code == 8 && text.ends_with("(retry_after_ms=1000)"), "{code} {text}");
        let (status, told) = connect(&site, "FetchBatch", &asked.to_string());
        assert_eq!((status, &told["code"]), (429, &json!("resource_exhausted")));
        // A stream does not wait.
        let mut stream = channel.call("StreamLifecycle", "application/grpc+json", &[]).await;
        let frame = json!({ "queues": ["other"], "fetchCount": 1 });
        assert_eq!(stream.exchange(frame).await, json!({}));
    });
}

#[test]
fn events_are_pushed() {
    let site = shared();
    let queue = queue("rpc");
    let first = site.enqueue(json!({ "queue": queue }));
    run(async {
        let channel = Channel::open(site).await;
        let mut call = channel.call("Subscribe", "application/grpc+json", &[]).await;
        let asked = json!({ "queues": [queue], "types": ["enqueued"] });
        call.send(asked.to_string().as_bytes());
        call.done();
        let event = call.receive_json().await.expect("an event");
        assert_eq!((&event["type"], &event["jobId"]), (&json!("enqueued"), &json!(first)));
        assert!(event["seq"].is_string() && event["atNs"].is_string() && event["queue"] == queue);
        let asked = json!({ "queue": queue });
        let second = channel.unary("Enqueue", asked).await.expect("a job");
        let next = call.receive_json().await.expect("an event");
        assert_eq!(next["jobId"], second["jobId"]);
        let mut call = channel.call("Subscribe", "application/grpc+json", &[]).await;
        let asked = json!({ "queues": [queue], "lastEventId": event["seq"] });
        call.send(asked.to_string().as_bytes());
        call.done();
        assert_eq!(call.receive_json().await, Some(next));
    });
}
