//! One thing done to many jobs.

use serde_json::{Value, json};

use crate::support::{Site, queue, shared};

fn many(site: &Site, queue: &str, count: usize) -> Vec<Value> {
    let jobs: Vec<_> =
        (0..count).map(|n| json!({ "queue": queue, "payload": { "n": n } })).collect();
    let made = site.post("/enqueue/batch", json!({ "jobs": jobs })).json();
    made["job_ids"].as_array().expect("ids").clone()
}

fn count(site: &Site, queue: &str, state: &str) -> Value {
    site.post("/jobs/search", json!({ "queue": queue, "state": [state] })).json()["total"].clone()
}

#[test]
fn named_jobs() {
    let site = shared();
    let (a, b) = (queue("named"), queue("named"));
    let mut ids = [many(site, &a, 3), many(site, &b, 2)].concat();
    ids.push(json!("nobody"));
    let act = |action: &str, more: Value| {
        let mut body = json!({ "job_ids": ids, "action": action });
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let answer = site.post("/jobs/bulk", body);
        assert_eq!(answer.status, 200, "{action}: {answer:?}");
        let told = answer.json();
        assert_eq!(told["errors"], json!(0));
        assert!(told["duration_ms"].is_number());
        told["affected"].clone()
    };
    assert_eq!(act("change_priority", json!({ "priority": "high" })), json!(5));
    assert_eq!(act("hold", json!({})), json!(5));
    assert_eq!(act("approve", json!({})), json!(5));
    assert_eq!(act("requeue", json!({})), json!(0));
    assert_eq!(act("cancel", json!({})), json!(5));
    assert_eq!(act("cancel", json!({})), json!(0));
    assert_eq!(act("retry", json!({})), json!(5));
    assert_eq!(act("hold", json!({})), json!(5));
    assert_eq!(act("reject", json!({})), json!(5));
    assert_eq!(act("requeue", json!({})), json!(5));
    assert_eq!(act("delete", json!({})), json!(5));
    let none = site.post("/jobs/bulk", json!({ "job_ids": [], "action": "retry" })).json();
    assert_eq!(none["affected"], json!(0));
}

#[test]
fn filters_mean_every_match() {
    let site = shared();
    let (queue, other) = (queue("filter"), queue("moved"));
    many(site, &queue, 120);
    let act = |filter: Value, action: &str| {
        let body = json!({ "filter": filter, "action": action, "move_to_queue": other });
        site.post("/jobs/bulk", body).json()["affected"].clone()
    };
    // What a shard can find, and what only the read model can.
    assert_eq!(act(json!({ "queue": queue, "state": ["pending"] }), "cancel"), json!(120));
    assert_eq!(count(site, &queue, "cancelled"), json!(120));
    assert_eq!(act(json!({ "queue": queue, "payload_jq": ".n < 60" }), "retry"), json!(60));
    assert_eq!(count(site, &queue, "pending"), json!(60));
    assert_eq!(act(json!({ "queue": queue, "state": ["pending"] }), "move"), json!(60));
    // Between shards they are on their way for a moment.
    let begun = std::time::Instant::now();
    while count(site, &other, "pending") != json!(60) {
        assert!(begun.elapsed().as_secs() < 20, "they do not arrive");
    }
    assert_eq!(act(json!({ "batch_id": "nobody" }), "delete"), json!(0));
    assert_eq!(act(json!({ "queue": queue }), "delete"), json!(60));
}

#[test]
fn in_the_background() {
    let site = shared();
    let queue = queue("async");
    many(site, &queue, 20);
    let body = json!({ "filter": { "queue": queue }, "action": "change_priority", "priority": "high", "async": true });
    let begun = site.post("/jobs/bulk", body);
    assert_eq!(begun.status, 202, "{begun:?}");
    let begun = begun.json();
    let id = begun["bulk_operation_id"].as_str().expect("an id");
    assert!(id.starts_with("bulk_"));
    assert_eq!((&begun["status"], &begun["estimated_total"]), (&json!("queued"), &json!(20)));
    assert_eq!(begun["progress_url"], json!(format!("/api/v1/bulk/{id}/progress")));
    // The stream ends with the operation.
    let stream = site.get(&format!("/bulk/{id}/progress"));
    assert_eq!(stream.header("content-type"), "text/event-stream; charset=utf-8");
    assert!(
        stream.text.ends_with("\n\n") && stream.text.contains("event: bulk.async.completed\n"),
        "{stream:?}"
    );
    let status = site.get(&format!("/bulk/{id}")).json();
    assert_eq!(
        (&status["status"], &status["action"]),
        (&json!("completed"), &json!("change_priority"))
    );
    assert_eq!((&status["affected"], &status["processed"]), (&json!(20), &json!(20)));
    assert!(status["created_at"].is_string() && status["finished_at"].is_string());
    for path in ["/bulk/nobody", "/bulk/bulk_0.999999", "/bulk/nobody/progress"] {
        assert_eq!(site.get(path).failure(), (404, "NOT_FOUND".into()), "{path}");
    }
}

#[test]
fn what_cannot_be_done_to_many() {
    let site = shared();
    let cases = [
        (json!({ "job_ids": [] }), "VALIDATION_ERROR"),
        (json!({ "job_ids": [], "action": "explode" }), "BULK_ERROR"),
        (json!({ "job_ids": [], "action": "move" }), "BULK_ERROR"),
        (json!({ "job_ids": [], "action": "change_priority" }), "BULK_ERROR"),
        (json!({ "action": "retry" }), "BULK_ERROR"),
        (json!({ "job_ids": [], "filter": {}, "action": "retry" }), "BULK_ERROR"),
        (json!({ "job_ids": "x", "action": "retry" }), "PARSE_ERROR"),
        (json!({ "filter": [], "action": "retry" }), "PARSE_ERROR"),
    ];
    for (body, code) in cases {
        assert_eq!(
            site.post("/jobs/bulk", body.clone()).failure(),
            (400, code.to_owned()),
            "{body}"
        );
    }
}
