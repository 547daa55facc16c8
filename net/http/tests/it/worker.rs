//! Fetch, ack, fail, heartbeat.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Site, queue, shared};

/// A queue with one active job.
fn active(site: &Site, more: Value) -> (String, String) {
    let queue = queue("work");
    let mut body = json!({ "queue": queue });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let id = site.enqueue(body);
    assert_eq!(site.fetch(&queue).expect("a job")["job_id"], json!(id));
    (queue, id)
}

#[test]
fn a_fetch_has_every_field_and_waits_in_the_order_of_queues() {
    let site = shared();
    let (empty, full) = (queue("empty"), queue("full"));
    let agent = json!({ "max_iterations": 3, "max_cost_usd": 1.5, "iteration_timeout": "90s" });
    let body = json!({ "queue": full, "payload": { "a": 1 }, "tags": { "k": "v" }, "agent": agent,
        "checkpoint": { "at": 0 }, "max_retries": 5 });
    let id = site.enqueue(body);
    let job = site.post(
        "/fetch",
        json!({ "queues": [empty, full], "timeout": 45, "worker_id": "w",
        "hostname": "h" }),
    );
    let mut job = job.json();
    assert!(job["lease_token"].as_str().expect("a token").parse::<u64>().is_ok());
    job.as_object_mut().expect("an object").remove("lease_token");
    let agent = json!({ "max_iterations": 3, "max_cost_usd": 1.5, "iteration_timeout": "1m30s",
        "iteration": 1 });
    let expected = json!({ "job_id": id, "queue": full, "payload": { "a": 1 }, "attempt": 1,
        "max_retries": 5, "lease_duration": 45, "checkpoint": { "at": 0 }, "tags": { "k": "v" },
        "agent": agent });
    assert_eq!(job, expected);
}

#[test]
fn an_empty_fetch_is_204_a_bit_early_and_an_empty_batch_is_a_list() {
    let site = shared();
    let empty = queue("empty");
    let begun = Instant::now();
    let answer = site.post("/fetch", json!({ "queues": [empty], "timeout": 1 }));
    assert_eq!((answer.status, &*answer.text), (204, ""));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(490) && took < Duration::from_millis(950), "{took:?}");
    let answer = site.post("/fetch/batch", json!({ "queues": [empty], "timeout": 1, "count": 9 }));
    assert_eq!(answer.json(), json!({ "jobs": [] }));
    for path in ["/fetch", "/fetch/batch"] {
        for body in [json!({}), json!({ "queues": [] }), json!({ "queues": null })] {
            assert_eq!(site.post(path, body).failure(), (400, "VALIDATION_ERROR".into()));
        }
        for body in [json!({ "queues": "q" }), json!({ "queues": ["q"], "timeout": "1" })] {
            assert_eq!(site.post(path, body).failure(), (400, "PARSE_ERROR".into()));
        }
    }
}

#[test]
fn a_batch_fetch_takes_as_many_as_there_are() {
    let site = shared();
    let (a, b) = (queue("a"), queue("b"));
    for queue in [&a, &b, &b] {
        site.enqueue(json!({ "queue": queue }));
    }
    let body = json!({ "queues": [a, b], "count": 10, "timeout": 0, "lease_duration": 7 });
    let jobs = site.post("/fetch/batch", body).json();
    let jobs = jobs["jobs"].as_array().expect("jobs").clone();
    assert_eq!(jobs.len(), 3);
    assert!(jobs.iter().all(|job| job["lease_duration"] == 7));
}

#[test]
fn a_waiting_fetch_gets_the_job_that_comes() {
    let site = shared();
    let queue = queue("soon");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let begun = Instant::now();
            let job = site.post("/fetch", json!({ "queues": [queue], "timeout": 30 }));
            (begun.elapsed(), job.status)
        });
        std::thread::sleep(Duration::from_millis(200));
        site.enqueue(json!({ "queue": queue }));
        let (took, status) = waiting.join().expect("no panic");
        assert!(status == 200 && took < Duration::from_secs(3), "{took:?} {status}");
    });
}

#[test]
fn a_job_for_a_caller_that_has_gone_goes_back_uncounted() {
    let site = shared();
    let queue = queue("gone");
    let body = json!({ "queues": [queue], "timeout": 60 }).to_string();
    let address = site.url.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("connect");
    let head = "POST /api/v1/fetch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("send");
    std::thread::sleep(Duration::from_millis(300));
    drop(stream);
    std::thread::sleep(Duration::from_millis(200));
    let id = site.enqueue(json!({ "queue": queue }));
    let job = site.post("/fetch", json!({ "queues": [queue], "timeout": 10 })).json();
    assert_eq!((&job["job_id"], &job["attempt"]), (&json!(id), &json!(1)));
}

#[test]
fn an_ack_finishes_and_a_late_one_changes_nothing() {
    let site = shared();
    let (_, id) = active(site, json!({}));
    let path = format!("/ack/{id}");
    assert_eq!(site.post(&path, json!({ "result": { "x": 1 } })).json(), json!({ "status": "ok" }));
    let late = site.post(&path, json!({})).json();
    assert_eq!((&late["status"], &late["acked"]), (&json!("ok"), &json!(false)));
    // No body at all, as some clients send it.
    let (_, id) = active(site, json!({}));
    let answer =
        site.send("POST", &format!("/ack/{id}"), &[("content-type", "application/json")], "");
    assert_eq!(answer.json(), json!({ "status": "ok" }));
    let id = site.enqueue(json!({ "queue": queue("waits") }));
    let early = site.post(&format!("/ack/{id}"), json!({})).json();
    assert_eq!(early, json!({ "status": "ok", "acked": false, "state": "pending" }));
}

#[test]
fn what_an_ack_says_of_agents_and_chains_is_checked() {
    let site = shared();
    let (_, id) = active(site, json!({}));
    let path = format!("/ack/{id}");
    let wrong = [
        json!({ "agent_status": "maybe" }),
        json!({ "agent_status": "continue" }),
        json!({ "step_status": "maybe" }),
        json!({ "lease_token": "x" }),
    ];
    for body in wrong {
        assert_eq!(site.post(&path, body.clone()).failure(), (400, "ACK_ERROR".into()), "{body}");
    }
    assert_eq!(site.post("/ack/nobody", json!({})).failure(), (400, "ACK_ERROR".into()));
    assert_eq!(site.post(&path, json!({ "usage": 1 })).failure(), (400, "PARSE_ERROR".into()));
    let stale = site.post(&path, json!({ "lease_token": "1" })).json();
    assert_eq!(stale["acked"], json!(false));
    assert_eq!(stale["state"], json!("active"));
    let done = site.post(
        &path,
        json!({ "checkpoint": { "c": 1 }, "hold_reason": "none", "exit_reason": "x" }),
    );
    assert_eq!(done.json(), json!({ "status": "ok" }));
}

#[test]
fn an_agent_goes_on_and_keeps_its_checkpoint() {
    let site = shared();
    let (queue, id) = active(site, json!({ "agent": { "max_iterations": 2 } }));
    let path = format!("/ack/{id}");
    let body = json!({ "agent_status": "CONTINUE", "checkpoint": { "n": 1 },
        "usage": { "cost_usd": 0.25, "input_tokens": 10, "model": "m" } });
    assert_eq!(site.post(&path, body.clone()).json(), json!({ "status": "ok" }));
    let job = site.fetch(&queue).expect("the next iteration");
    assert_eq!((&job["checkpoint"], &job["agent"]["iteration"]), (&json!({ "n": 1 }), &json!(2)));
    assert_eq!(job["agent"]["total_cost_usd"], json!(0.25));
    site.post(&path, body);
    let late = site.post(&path, json!({})).json();
    assert_eq!(late["state"], "held");
}

#[test]
fn many_acks_count_what_they_finish() {
    let site = shared();
    let (_, a) = active(site, json!({}));
    let (_, b) = active(site, json!({ "agent": {} }));
    let acks = json!([{ "job_id": a, "result": 1, "checkpoint": {} }, { "job_id": a },
        { "job_id": "job_00000000000000000000000001" }, { "job_id": "nobody" },
        { "job_id": b, "agent_status": "continue" }]);
    assert_eq!(site.post("/ack/batch", json!({ "acks": acks })).json(), json!({ "acked": 1 }));
    let many: Vec<_> = (0..513).map(|_| json!({ "job_id": a })).collect();
    for acks in [json!([]), Value::Null, json!([{}]), json!([{ "job_id": "" }]), json!(many)] {
        let refused = site.post("/ack/batch", json!({ "acks": acks }));
        assert_eq!(refused.failure(), (400, "VALIDATION_ERROR".into()));
    }
}

#[test]
fn a_failed_job_is_tried_again_and_then_dead() {
    let site = shared();
    let options = json!({ "max_retries": 2, "retry_backoff": "fixed", "retry_base_delay": "1h" });
    let (_, id) = active(site, options);
    let path = format!("/fail/{id}");
    let failed = site.post(&path, json!({ "error": "boom", "backtrace": "at x" })).json();
    assert_eq!((&failed["status"], &failed["attempts_remaining"]), (&json!("retrying"), &json!(1)));
    assert!(failed["next_attempt_at"].as_str().expect("a time").ends_with('Z'));
    let late = site.post(&path, json!({ "error": "" })).json();
    assert_eq!((&late["status"], &late["failed"]), (&json!("retrying"), &json!(false)));
    let (_, id) = active(site, json!({ "max_retries": 0 }));
    let dead = site.post(&format!("/fail/{id}"), json!({})).json();
    assert_eq!(dead, json!({ "status": "dead", "attempts_remaining": 0 }));
    assert_eq!(site.post("/fail/nobody", json!({})).failure(), (400, "FAIL_ERROR".into()));
    assert_eq!(site.send("POST", &path, &[], "").failure(), (400, "PARSE_ERROR".into()));
}

#[test]
fn heartbeats_answer_for_every_job_in_both_shapes() {
    let site = shared();
    let (queue, a) = active(site, json!({ "retry_backoff": "none" }));
    let (_, b) = active(site, json!({}));
    site.post(&format!("/ack/{b}"), json!({}));
    let beats = json!({ "jobs": { &a: { "progress": 7, "checkpoint": [1], "usage": {} }, &b: {},
        "nobody": null } });
    let told = site.post("/heartbeat", beats).json();
    let cancel = json!({ "status": "cancel" });
    assert_eq!(told["jobs"], json!({ &a: { "status": "ok" }, &b: cancel, "nobody": cancel }));
    assert_eq!(told["acked"], json!([a]));
    let mut unknown: Vec<_> = told["unknown"].as_array().expect("ids").clone();
    unknown.sort_by_key(ToString::to_string);
    assert_eq!(unknown, [json!(b), json!("nobody")]);
    assert_eq!(told["canceled"].as_array().expect("ids").len(), 2);
    // The checkpoint outlives the attempt.
    site.post(&format!("/fail/{a}"), json!({ "error": "x" }));
    let again = site.post("/fetch", json!({ "queues": [queue], "timeout": 5 })).json();
    assert_eq!((&again["checkpoint"], &again["attempt"]), (&json!([1]), &json!(2)));
    assert_eq!(site.post("/heartbeat", json!({})).failure(), (400, "VALIDATION_ERROR".into()));
    assert_eq!(
        site.post("/heartbeat", json!({ "jobs": [] })).failure(),
        (400, "PARSE_ERROR".into())
    );
    let nobody = site.post("/heartbeat", json!({ "jobs": {} })).json();
    assert_eq!(nobody, json!({ "jobs": {}, "acked": [], "unknown": [], "canceled": [] }));
}

#[test]
fn namespaces_do_not_see_each_other() {
    let site = shared();
    let queue = queue("mine");
    let send = |ns: &str, path: &str, body: Value| {
        site.send("POST", path, &[("x-jobbie-namespace", ns)], &body.to_string())
    };
    let id = send("shop", "/enqueue", json!({ "queue": queue })).json()["job_id"].clone();
    assert!(site.fetch(&queue).is_none());
    let job = send("shop", "/fetch", json!({ "queues": [queue], "timeout": 1 })).json();
    assert_eq!((&job["job_id"], &job["queue"]), (&id, &json!(queue)));
    let id = id.as_str().expect("an id");
    let ack = format!("/ack/{id}");
    assert_eq!(site.post(&ack, json!({})).failure(), (404, "NOT_FOUND".into()));
    assert_eq!(send("other", &ack, json!({})).failure(), (404, "NOT_FOUND".into()));
    let many = json!({ "acks": [{ "job_id": id }] });
    assert_eq!(site.post("/ack/batch", many).json(), json!({ "acked": 0 }));
    let beat = site.post("/heartbeat", json!({ "jobs": { id: {} } })).json();
    assert_eq!(beat["jobs"][id]["status"], "cancel");
    assert_eq!(send("shop", &ack, json!({})).json(), json!({ "status": "ok" }));
    let foreign = send("shop", "/enqueue", json!({ "queue": "other::q" }));
    assert_eq!(foreign.failure(), (400, "VALIDATION_ERROR".into()));
    let wrong = send("No Name", "/enqueue", json!({ "queue": "q" }));
    assert_eq!(wrong.failure(), (400, "VALIDATION_ERROR".into()));
}

#[test]
fn stopping_answers_who_waits_and_keeps_what_is_leased() {
    let mut site = Site::start(|_| {});
    let (queue, _) = active(&site, json!({}));
    let url = site.url.clone();
    let waiting = std::thread::spawn(move || {
        let address = url.strip_prefix("http://").expect("an address").to_owned();
        let mut stream = TcpStream::connect(address).expect("connect");
        let body = json!({ "queues": [queue], "timeout": 60 }).to_string();
        let head = "POST /api/v1/fetch HTTP/1.1\r\nHost: x\r\nConnection: close";
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("send");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    });
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    site.stop_http();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let told = waiting.join().expect("no panic");
    assert!(told.starts_with("HTTP/1.1 204"), "{told}");
}
