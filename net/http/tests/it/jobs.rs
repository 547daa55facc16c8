//! Looking at jobs, and what operators do with them.

use serde_json::{Value, json};

use crate::support::{Site, queue, shared};

fn job(site: &Site, id: &str) -> Value {
    let answer = site.get(&format!("/jobs/{id}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn a_job_is_seen_at_once_in_each_state() {
    let site = shared();
    let queue = queue("seen");
    let body = json!({ "queue": queue, "payload": { "a": [1, null] }, "priority": "high",
        "tags": { "k": "v" }, "unique_key": "u", "max_retries": 2, "retry_backoff": "linear",
        "retry_base_delay": "1h", "retry_max_delay": "3h", "expire_after": "24h" });
    let id = site.enqueue(body);
    let seen = job(site, &id);
    let expected = json!({ "id": id, "queue": queue, "state": "pending", "payload": { "a": [1, null] },
        "priority": 1, "attempt": 0, "max_retries": 2, "retry_backoff": "linear",
        "retry_base_delay_ms": 3_600_000, "retry_max_delay_ms": 10_800_000, "unique_key": "u",
        "tags": { "k": "v" }, "created_at": seen["created_at"], "expire_at": seen["expire_at"] });
    assert_eq!(seen, expected);
    let fetch = json!({ "queues": [queue], "timeout": 30, "worker_id": "w-1", "hostname": "h" });
    assert_eq!(site.post("/fetch", fetch).status, 200);
    let seen = job(site, &id);
    assert_eq!(
        (&seen["state"], &seen["attempt"], &seen["worker_id"]),
        (&json!("active"), &json!(1), &json!("w-1"))
    );
    assert!(seen["lease_expires_at"].is_string() && seen["started_at"].is_string(), "{seen}");
    let beat = json!({ "jobs": { &id: { "progress": { "n": 1 }, "checkpoint": { "c": 2 } } } });
    site.post("/heartbeat", beat);
    let seen = job(site, &id);
    assert_eq!((&seen["progress"], &seen["checkpoint"]), (&json!({ "n": 1 }), &json!({ "c": 2 })));
    site.post(&format!("/fail/{id}"), json!({ "error": "boom", "backtrace": "at 1" }));
    let seen = job(site, &id);
    assert_eq!(seen["state"], "retrying");
    assert!(seen["scheduled_at"].is_string() && seen["failed_at"].is_string(), "{seen}");
    assert!(seen.get("lease_expires_at").is_none(), "{seen}");
    let error = &seen["errors"][0];
    assert_eq!(
        (&error["error"], &error["attempt"], &error["backtrace"]),
        (&json!("boom"), &json!(1), &json!("at 1"))
    );
    assert_eq!(error["job_id"], json!(id));
}

#[test]
fn a_completed_job_is_still_seen_with_its_result() {
    let site = shared();
    let queue = queue("done");
    let id = site.enqueue(json!({ "queue": queue }));
    site.fetch(&queue).expect("a job");
    site.post(&format!("/ack/{id}"), json!({ "result": { "r": 1 } }));
    let seen = job(site, &id);
    assert_eq!((&seen["state"], &seen["result"]), (&json!("completed"), &json!({ "r": 1 })));
    assert!(seen["completed_at"].is_string(), "{seen}");
    let late = site.post(&format!("/ack/{id}"), json!({})).json();
    assert_eq!(late, json!({ "status": "ok", "acked": false, "state": "completed" }));
    let many = site.post("/jobs/bulk-get", json!({ "job_ids": ["nobody", id, id] })).json();
    assert_eq!(many["jobs"].as_array().expect("jobs").len(), 2);
}

#[test]
fn jobs_that_are_not_there() {
    let site = shared();
    for id in ["nobody", "job_00000000000000000000000001", "job_ffffffffffffffffffffffffff"] {
        for path in [format!("/jobs/{id}"), format!("/jobs/{id}/iterations")] {
            assert_eq!(site.get(&path).failure(), (404, "NOT_FOUND".into()), "{path}");
        }
        let deleted = site.send("DELETE", &format!("/jobs/{id}"), &[], "");
        assert_eq!(deleted.failure(), (404, "NOT_FOUND".into()));
        let actions = ["retry", "cancel", "hold", "approve", "reject"];
        for action in actions {
            let code = format!("{}_ERROR", action.to_uppercase());
            let answer = site.post(&format!("/jobs/{id}/{action}"), json!({}));
            assert_eq!(answer.failure(), (400, code), "{action} {id}");
        }
        let moved = site.post(&format!("/jobs/{id}/move"), json!({ "queue": "q" }));
        assert_eq!(moved.failure(), (400, "MOVE_ERROR".into()));
        let replayed = site.post(&format!("/jobs/{id}/replay"), json!({ "from": 1 }));
        assert_eq!(replayed.failure(), (400, "REPLAY_ERROR".into()));
    }
    let many = site.post("/jobs/bulk-get", json!({ "job_ids": [] })).json();
    assert_eq!(many, json!({ "jobs": [] }));
    let ids: Vec<_> = (0..1001).map(|_| "job").collect();
    let refused = site.post("/jobs/bulk-get", json!({ "job_ids": ids }));
    assert_eq!(refused.failure(), (400, "VALIDATION_ERROR".into()));
}

#[test]
fn actions_in_states() {
    let site = shared();
    let name = queue("acts");
    let act = |id: &str, action: &str| {
        site.send(
            "POST",
            &format!("/jobs/{id}/{action}"),
            &[("content-type", "application/json")],
            "",
        )
    };
    let status = |id: &str, action: &str| {
        let answer = act(id, action);
        assert_eq!(answer.status, 200, "{action}: {answer:?}");
        answer.json()["status"].as_str().expect("a word").to_owned()
    };
    let code = |id: &str, action: &str| act(id, action).failure().1;
    let id = site.enqueue(json!({ "queue": name }));
    assert_eq!(code(&id, "retry"), "RETRY_ERROR");
    assert_eq!(code(&id, "approve"), "APPROVE_ERROR");
    assert_eq!(status(&id, "hold"), "held");
    assert_eq!(code(&id, "hold"), "HOLD_ERROR");
    assert_eq!(status(&id, "approve"), "pending");
    assert_eq!(status(&id, "cancel"), "cancelled");
    assert_eq!(code(&id, "cancel"), "CANCEL_ERROR");
    assert_eq!(status(&id, "retry"), "retried");
    site.fetch(&name).expect("a job");
    assert_eq!(status(&id, "cancel"), "cancelling");
    let beat = site.post("/heartbeat", json!({ "jobs": { &id: {} } })).json();
    assert_eq!(beat["jobs"][&id]["status"], "cancel");
    assert_eq!(status(&id, "retry"), "retried");
    assert_eq!(status(&id, "hold"), "held");
    let rejected =
        site.post(&format!("/jobs/{id}/reject"), json!({ "reason": "no", "rejected_by": "ann" }));
    assert_eq!(rejected.json()["status"], "dead");
    let seen = job(site, &id);
    assert_eq!((&seen["state"], &seen["errors"][0]["error"]), (&json!("dead"), &json!("no")));
    assert!(seen["failed_at"].is_string(), "{seen}");
    let other = queue("elsewhere");
    let moved = site.post(&format!("/jobs/{id}/move"), json!({ "queue": other }));
    assert_eq!(moved.json(), json!({ "status": "moved" }));
    assert_eq!(job(site, &id)["queue"], json!(other));
    let bad = site.post(&format!("/jobs/{id}/move"), json!({}));
    assert_eq!(bad.failure(), (400, "VALIDATION_ERROR".into()));
    let deleted = site.send("DELETE", &format!("/jobs/{id}"), &[], "");
    assert_eq!(deleted.json(), json!({ "status": "deleted" }));
    assert_eq!(site.get(&format!("/jobs/{id}")).failure(), (404, "NOT_FOUND".into()));
}

#[test]
fn iterations_and_their_replay() {
    let site = shared();
    let queue = queue("agent");
    let id = site
        .enqueue(json!({ "queue": queue, "agent": { "max_iterations": 5 }, "priority": "high" }));
    for n in 1..=2 {
        site.fetch(&queue).expect("a job");
        let ack = json!({ "agent_status": "continue", "checkpoint": { "n": n }, "result": n,
            "usage": { "cost_usd": 0.5, "model": "m" } });
        site.post(&format!("/ack/{id}"), ack);
    }
    let told = site.get(&format!("/jobs/{id}/iterations")).json();
    let told = told["iterations"].as_array().expect("iterations").clone();
    assert_eq!(told.len(), 2);
    assert_eq!((&told[0]["iteration"], &told[0]["checkpoint"]), (&json!(1), &json!({ "n": 1 })));
    assert_eq!(
        (&told[1]["status"], &told[1]["cost_usd"], &told[1]["model"]),
        (&json!("continue"), &json!(0.5), &json!("m"))
    );
    let replay = |from: Value| site.post(&format!("/jobs/{id}/replay"), json!({ "from": from }));
    for from in [json!(0), json!(-1), Value::Null] {
        assert_eq!(replay(from).failure(), (400, "VALIDATION_ERROR".into()));
    }
    assert_eq!(replay(json!(9)).failure(), (400, "REPLAY_ERROR".into()));
    let made = replay(json!(1));
    assert_eq!(made.status, 201, "{made:?}");
    let new = made.json()["job_id"].as_str().expect("an id").to_owned();
    let seen = job(site, &new);
    assert_eq!((&seen["checkpoint"], &seen["priority"]), (&json!({ "n": 1 }), &json!(1)));
    assert_eq!((&seen["parent_id"], &seen["agent"]["iteration"]), (&json!(id), &json!(1)));
    let held = site.post(&format!("/jobs/{id}/hold"), json!({})).json();
    assert_eq!(held["status"], "held");
    let revise = json!({ "revise": true, "feedback": "shorter" });
    assert_eq!(site.post(&format!("/jobs/{id}/reject"), revise).json()["status"], "pending");
    assert_eq!(job(site, &id)["checkpoint"]["feedback"], json!(["shorter"]));
}

#[test]
fn a_job_of_another_namespace_is_not_found() {
    let site = shared();
    let headers = [("x-jobbie-namespace", "shop")];
    let body = json!({ "queue": queue("theirs") }).to_string();
    let id = site.send("POST", "/enqueue", &headers, &body).json()["job_id"].clone();
    let id = id.as_str().expect("an id");
    assert_eq!(site.get(&format!("/jobs/{id}")).failure(), (404, "NOT_FOUND".into()));
    let cancel = site.post(&format!("/jobs/{id}/cancel"), json!({}));
    assert_eq!(cancel.failure(), (404, "NOT_FOUND".into()));
    let many = site.post("/jobs/bulk-get", json!({ "job_ids": [id] })).json();
    assert_eq!(many, json!({ "jobs": [] }));
    assert_eq!(site.send("GET", &format!("/jobs/{id}"), &headers, "").status, 200);
}

#[test]
fn a_completed_job_is_revived_moved_and_deleted() {
    let site = shared();
    let name = queue("revived");
    let done = |body: Value| {
        let id = site.enqueue(body);
        site.fetch(&name).expect("a job");
        site.post(&format!("/ack/{id}"), json!({ "result": 1 }));
        id
    };
    let id = done(
        json!({ "queue": name, "payload": { "p": 1 }, "tags": { "k": "v" }, "max_retries": 4, "priority": "high" }),
    );
    let revived = site.post(&format!("/jobs/{id}/retry"), json!({}));
    assert_eq!(revived.json(), json!({ "status": "retried" }));
    let again = site.fetch(&name).expect("the same job");
    assert_eq!(
        (&again["job_id"], &again["attempt"], &again["payload"]),
        (&json!(id), &json!(1), &json!({ "p": 1 }))
    );
    assert_eq!((&again["max_retries"], &again["tags"]), (&json!(4), &json!({ "k": "v" })));
    site.post(&format!("/ack/{id}"), json!({ "result": 2 }));
    assert_eq!(job(site, &id)["result"], json!(2));
    let deleted = site.send("DELETE", &format!("/jobs/{id}"), &[], "");
    assert_eq!(deleted.json(), json!({ "status": "deleted" }));
    let id = done(json!({ "queue": name }));
    let moved = site.post(&format!("/jobs/{id}/move"), json!({ "queue": name }));
    assert_eq!(moved.json(), json!({ "status": "moved" }));
}
