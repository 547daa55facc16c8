//! Searches.

use serde_json::{Value, json};

use crate::support::{Site, queue, shared};

fn found(site: &Site, body: Value) -> Value {
    let answer = site.post("/jobs/search", body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-jobbie-lag"), "", "{answer:?}");
    answer.json()
}

#[test]
fn jobs_are_found_by_what_they_are() {
    let site = shared();
    let queue = queue("found");
    let a = site.enqueue(json!({ "queue": queue, "payload": { "user": "Ann", "n": 3 },
        "tags": { "k": "v" }, "priority": "high", "unique_key": "u1" }));
    let b = site.enqueue(json!({ "queue": queue, "payload": { "user": "Bob" }, "max_retries": 1 }));
    site.fetch(&queue).expect("the one with the higher priority");
    let active = site.fetch(&queue).expect("a job");
    assert_eq!(active["job_id"], json!(b));
    site.post(&format!("/fail/{b}"), json!({ "error": "Disk is full" }));
    let cases = [
        (json!({}), 2),
        (json!({ "state": ["dead"] }), 1),
        (json!({ "state": ["dead", "active"] }), 2),
        (json!({ "state": [] }), 2),
        (json!({ "priority": "high" }), 1),
        (json!({ "tags": { "k": "v" } }), 1),
        (json!({ "tags": { "k": "w" } }), 0),
        (json!({ "payload_contains": "ann" }), 1),
        (json!({ "payload_contains": "%" }), 0),
        (json!({ "payload_jq": ".user == \"Bob\"" }), 1),
        (json!({ "payload_jq": ".n >= 3" }), 1),
        (json!({ "created_after": "2020-01-01T00:00:00Z" }), 2),
        (json!({ "created_before": "2020-01-01T00:00:00Z" }), 0),
        (json!({ "completed_after": "2020-01-01T00:00:00Z" }), 0),
        (json!({ "started_after": "2020-01-01T00:00:00Z" }), 2),
        (json!({ "attempt_min": 1, "attempt_max": 1 }), 2),
        (json!({ "attempt_min": 2 }), 0),
        (json!({ "unique_key": "u1" }), 1),
        (json!({ "has_errors": true }), 1),
        (json!({ "has_errors": false }), 2),
        (json!({ "error_contains": "disk" }), 1),
        (json!({ "job_id_prefix": a }), 1),
        (json!({ "batch_id": "nobody" }), 0),
        (json!({ "parent_id": "nobody" }), 0),
        (json!({ "chain_id": "nobody" }), 0),
        (json!({ "queue": "", "unique_key": "", "cursor": "", "job_id_prefix": a }), 1),
    ];
    for (case, expected) in cases {
        let mut body = json!({ "queue": queue });
        for (name, value) in case.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let told = found(site, body.clone());
        assert_eq!(told["total"], json!(expected), "{body}: {told}");
        assert_eq!(told["jobs"].as_array().expect("a list").len(), expected, "{body}");
        assert_eq!(told["has_more"], json!(false));
        assert!(told["duration_ms"].is_number() && told.get("cursor").is_none());
    }
    let row = found(site, json!({ "job_id_prefix": a }))["jobs"][0].clone();
    assert_eq!(
        (&row["id"], &row["state"], &row["priority"]),
        (&json!(a), &json!("active"), &json!(1))
    );
}

#[test]
fn searches_that_cannot_be() {
    let site = shared();
    for body in [
        json!({ "state": "dead" }),
        json!({ "tags": [] }),
        json!({ "limit": "x" }),
        json!({ "created_after": "x" }),
    ] {
        assert_eq!(
            site.post("/jobs/search", body.clone()).failure(),
            (400, "PARSE_ERROR".into()),
            "{body}"
        );
    }
    for body in [json!({ "payload_jq": "nonsense" }), json!({ "state": ["asleep"] })] {
        assert_eq!(
            site.post("/jobs/search", body.clone()).failure(),
            (400, "VALIDATION_ERROR".into()),
            "{body}"
        );
    }
}

#[test]
fn pages_go_on_where_they_ended() {
    let site = shared();
    let queue = queue("pages");
    let ids: Vec<Value> = (0..7).map(|_| json!(site.enqueue(json!({ "queue": queue })))).collect();
    for (order, sort) in
        [("asc", "created_at"), ("desc", "created_at"), ("asc", "attempt"), ("desc", "nonsense")]
    {
        let mut body = json!({ "queue": queue, "limit": 3, "order": order, "sort": sort });
        let mut seen = Vec::new();
        loop {
            let told = found(site, body.clone());
            assert_eq!(told["total"], json!(7));
            seen.extend(
                told["jobs"].as_array().expect("a list").iter().map(|job| job["id"].clone()),
            );
            if told["has_more"] == json!(false) {
                break;
            }
            body["cursor"] = told["cursor"].clone();
        }
        if order == "desc" {
            seen.reverse();
        }
        assert_eq!(seen, ids, "{order} {sort}");
    }
    let lost = found(site, json!({ "queue": queue, "limit": 3, "cursor": "nonsense" }));
    assert_eq!(lost["jobs"].as_array().expect("a list").len(), 3);
    let most = found(site, json!({ "queue": queue, "limit": 5000 }));
    assert_eq!(most["jobs"].as_array().expect("a list").len(), 7);
}

#[test]
fn words_are_found_and_dead_jobs_listed() {
    let site = shared();
    let queue = queue("words");
    let id = site.enqueue(
        json!({ "queue": queue, "payload": { "text": "Zanzibar harbour" }, "max_retries": 0 }),
    );
    let told = site.get("/search/fulltext?q=zanzibar%20harbour").json();
    assert_eq!((&told["q"], &told["results"][0]["id"]), (&json!("zanzibar harbour"), &json!(id)));
    assert!(told["results"][0]["payload"].is_string() && told["results"][0]["tags"].is_string());
    for path in ["/search/fulltext", "/search/fulltext?q=", "/search/fulltext?q=x&limit=y"] {
        assert_eq!(site.get(path).failure(), (400, "VALIDATION_ERROR".into()), "{path}");
    }
    site.fetch(&queue).expect("a job");
    site.post(&format!("/fail/{id}"), json!({ "error": "x" }));
    let dead = site.get(&format!("/dead?queue={queue}")).json();
    assert_eq!((&dead["total"], &dead["jobs"][0]["id"]), (&json!(1), &json!(id)));
}
