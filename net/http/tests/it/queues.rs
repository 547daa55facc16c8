//! Queues, workers, metrics.

use serde_json::{Value, json};

use crate::support::{Site, queue, shared};

fn row(site: &Site, queue: &str) -> Option<Value> {
    let all = site.get("/queues").json();
    all.as_array().expect("a list").iter().find(|row| row["name"] == json!(queue)).cloned()
}

fn control(site: &Site, queue: &str, what: &str) -> Value {
    site.post(&format!("/queues/{queue}/{what}"), json!({})).json()["status"].clone()
}

#[test]
fn a_queue_is_paused_drained_and_cleared() {
    let site = shared();
    let queue = queue("controlled");
    assert_eq!(control(site, &queue, "pause"), "paused");
    for _ in 0..3 {
        site.enqueue(json!({ "queue": queue }));
    }
    assert!(site.fetch(&queue).is_none());
    let seen = row(site, &queue).expect("it is there");
    assert_eq!(
        (&seen["paused"], &seen["pending"], &seen["enqueued"]),
        (&json!(true), &json!(3), &json!(3))
    );
    assert!(seen["oldest_pending_at"].is_string(), "{seen}");
    assert_eq!(control(site, &queue, "resume"), "resumed");
    let id = site.fetch(&queue).expect("a job")["job_id"].clone();
    assert_eq!(control(site, &queue, "drain"), "draining");
    assert_eq!(row(site, &queue).expect("it is there")["active"], json!(1));
    assert_eq!(control(site, &queue, "clear"), "cleared");
    let seen = row(site, &queue).expect("it is there");
    assert_eq!((&seen["pending"], &seen["active"]), (&json!(0), &json!(1)));
    let deleted = site.send("DELETE", &format!("/queues/{queue}"), &[], "");
    assert_eq!(deleted.json(), json!({ "status": "deleted" }));
    assert!(row(site, &queue).is_none());
    let late = site.post(&format!("/ack/{}", id.as_str().expect("an id")), json!({})).json();
    assert_eq!(late["acked"], json!(false));
}

#[test]
fn limits_are_set_one_by_one() {
    let site = shared();
    let queue = queue("limited");
    let set = |what: &str, body: Value| site.post(&format!("/queues/{queue}/{what}"), body);
    assert_eq!(set("concurrency", json!({ "max": 1 })).json(), json!({ "status": "ok" }));
    assert_eq!(
        set("throttle", json!({ "rate": 5, "window_ms": 60_000 })).json(),
        json!({ "status": "ok" })
    );
    let seen = row(site, &queue).expect("it is there");
    let limits = [&seen["max_concurrency"], &seen["rate_limit"], &seen["rate_window_ms"]];
    assert_eq!(limits, [&json!(1), &json!(5), &json!(60_000)]);
    for _ in 0..2 {
        site.enqueue(json!({ "queue": queue }));
    }
    assert!(site.fetch(&queue).is_some() && site.fetch(&queue).is_none());
    set("concurrency", json!({ "max": -1 }));
    assert!(site.fetch(&queue).is_some());
    let unset = site.send("DELETE", &format!("/queues/{queue}/throttle"), &[], "");
    assert_eq!(unset.json(), json!({ "status": "ok" }));
    let seen = row(site, &queue).expect("it is there");
    assert!(seen.get("max_concurrency").is_none() && seen.get("rate_limit").is_none());
    for body in [
        json!({}),
        json!({ "rate": 0, "window_ms": 1 }),
        json!({ "rate": 1 }),
        json!({ "rate": -1, "window_ms": 1 }),
    ] {
        assert_eq!(set("throttle", body).failure(), (400, "VALIDATION_ERROR".into()));
    }
    assert_eq!(set("concurrency", json!({ "max": "x" })).failure(), (400, "PARSE_ERROR".into()));
    let long = site.post(&format!("/queues/{}/pause", "q".repeat(256)), json!({}));
    assert_eq!(long.failure(), (400, "QUEUE_ERROR".into()));
}

#[test]
fn names_in_paths_are_decoded_once() {
    let site = shared();
    let name = queue("a b:%2F");
    let encoded = name.replace('%', "%25").replace(' ', "%20");
    assert_eq!(control(site, &encoded, "pause"), "paused");
    assert!(row(site, &name).is_some());
}

#[test]
fn workers_are_known_with_their_machine() {
    let site = shared();
    let queue = queue("crew");
    let body = json!({ "queues": [queue], "timeout": 1, "worker_id": queue, "hostname": "box-7" });
    assert_eq!(site.post("/fetch", body).status, 204);
    let all = site.get("/workers").json();
    let seen = all.as_array().expect("a list").iter().find(|row| row["id"] == json!(queue));
    let seen = seen.unwrap_or_else(|| panic!("{all}"));
    assert_eq!(
        (&seen["hostname"], &seen["queues"]),
        (&json!("box-7"), &json!(json!([queue]).to_string()))
    );
    assert!(seen["last_heartbeat"].is_string() && seen["started_at"].is_string());
}

#[test]
fn what_is_counted() {
    let site = shared();
    let queue = queue("counted");
    let id = site.enqueue(json!({ "queue": queue }));
    site.fetch(&queue).expect("a job");
    site.post(&format!("/ack/{id}"), json!({}));
    let minutes = site.get("/metrics/throughput").json();
    let minutes = minutes.as_array().expect("a list").clone();
    assert_eq!(minutes.len(), 60);
    let sum = |name: &str| minutes.iter().map(|m| m[name].as_u64().expect("a number")).sum::<u64>();
    assert!(sum("enqueued") >= 1 && sum("completed") >= 1, "{minutes:?}");
    let metrics = site.get("/metrics");
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    let wanted = [
        "jobbie_http_requests_total{method=\"POST\",route=\"/api/v1/ack/{job_id}\"}",
        "jobbie_http_request_duration_seconds_bucket",
        "jobbie_cluster_is_leader 1",
        "jobbie_sqlite_mirror_lag_updates",
        "jobbie_workers_registered",
        "jobbie_throughput_completed_total",
        &format!("jobbie_queue_jobs{{queue=\"{queue}\",state=\"completed\"}} 1"),
    ];
    for line in wanted {
        assert!(metrics.text.contains(line), "{line}: {}", metrics.text);
    }
    let status = site.get("/cluster/status").json();
    assert_eq!((&status["mode"], &status["status"]), (&json!("single"), &json!("healthy")));
    assert_eq!(
        (&status["durability"], &status["shards"].as_array().map(Vec::len)),
        (&json!("none"), &Some(2))
    );
}

#[test]
fn what_is_not_built_says_so() {
    let site = shared();
    for (method, path) in [
        ("GET", "/auth/keys"),
        ("POST", "/webhooks"),
        ("POST", "/cluster/join"),
        ("GET", "/admin/backup"),
    ] {
        assert_eq!(
            site.send(method, path, &[], "").failure(),
            (501, "UNSUPPORTED".into()),
            "{path}"
        );
    }
}
