//! Jobs that were completed and have left their shards.

use serde_json::{Value, json};

use crate::support::{Answer, Site, queue, shared};

/// A job that was completed.
fn completed(site: &Site, body: Value) -> String {
    let name = body["queue"].as_str().expect("a queue").to_owned();
    let id = site.enqueue(body);
    assert_eq!(site.fetch(&name).expect("a job")["job_id"], json!(id));
    let acked = site.post(&format!("/ack/{id}"), json!({ "result": { "ok": 1 } }));
    assert_eq!(acked.json(), json!({ "status": "ok" }));
    id
}

fn many(site: &Site, queue: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| completed(site, json!({ "queue": queue, "payload": { "n": n } }))).collect()
}

fn count(site: &Site, queue: &str, state: &str) -> Value {
    site.post("/jobs/search", json!({ "queue": queue, "state": [state] })).json()["total"].clone()
}

fn state(site: &Site, id: &str) -> (Value, Value) {
    let job = site.get(&format!("/jobs/{id}")).json();
    (job["state"].clone(), job["attempt"].clone())
}

#[test]
fn each_change_is_seen_at_once() {
    let site = shared();
    let name = queue("archived");
    let id = completed(site, json!({ "queue": name, "payload": { "p": 1 } }));
    assert_eq!(count(site, &name, "completed"), json!(1));
    let moved = site.post(&format!("/jobs/{id}/move"), json!({ "queue": name }));
    assert_eq!(moved.json(), json!({ "status": "moved" }));
    assert_eq!(site.post(&format!("/jobs/{id}/retry"), json!({})).status, 200);
    assert_eq!(state(site, &id), (json!("pending"), json!(0)));
    assert_eq!(
        (count(site, &name, "completed"), count(site, &name, "pending")),
        (json!(0), json!(1))
    );
    site.fetch(&name).expect("it runs again");
    site.post(&format!("/ack/{id}"), json!({}));
    assert_eq!(site.send("DELETE", &format!("/jobs/{id}"), &[], "").status, 200);
    assert_eq!(site.get(&format!("/jobs/{id}")).failure(), (404, "NOT_FOUND".into()));
    assert_eq!(count(site, &name, "completed"), json!(0));
    let again = site.post(&format!("/jobs/{id}/retry"), json!({}));
    assert_eq!(again.failure(), (400, "RETRY_ERROR".into()));
    let again = site.send("DELETE", &format!("/jobs/{id}"), &[], "");
    assert_eq!(again.failure(), (404, "NOT_FOUND".into()));
}

#[test]
fn of_two_retries_one_is_done() {
    let site = shared();
    let name = queue("race");
    for _ in 0..10 {
        let id = completed(site, json!({ "queue": name }));
        let path = format!("/jobs/{id}/retry");
        let both: Vec<Answer> = std::thread::scope(|scope| {
            let one = || scope.spawn(|| site.post(&path, json!({})));
            let both = [one(), one()];
            both.into_iter().map(|one| one.join().expect("an answer")).collect()
        });
        let done = both.iter().filter(|answer| answer.status == 200).count();
        let refused = both.iter().filter(|answer| answer.status == 400);
        assert_eq!(done, 1, "{both:?}");
        let codes: Vec<_> = refused.map(Answer::failure).collect();
        assert_eq!(codes, [(400, "RETRY_ERROR".into())]);
        assert_eq!(site.fetch(&name).expect("it runs again")["job_id"], json!(id));
        site.post(&format!("/ack/{id}"), json!({}));
    }
}

#[test]
fn many_by_their_ids() {
    let site = shared();
    let (name, live) = (queue("ids"), queue("ids.live"));
    let mut ids = many(site, &name, 40);
    // Repeats, jobs in memory and nobody's.
    ids.extend(ids[..3].to_vec());
    let pending = site.enqueue(json!({ "queue": live }));
    site.post(&format!("/jobs/{pending}/cancel"), json!({}));
    ids.extend([pending.clone(), "nobody".to_owned()]);
    let act = |action: &str| {
        let body = json!({ "job_ids": ids, "action": action, "move_to_queue": name });
        let answer = site.post("/jobs/bulk", body);
        assert_eq!(answer.status, 200, "{action}: {answer:?}");
        (answer.json()["affected"].clone(), answer.json()["errors"].clone())
    };
    assert_eq!(act("cancel"), (json!(0), json!(0)));
    assert_eq!(act("retry"), (json!(41), json!(0)));
    assert_eq!(count(site, &name, "pending"), json!(40));
    assert_eq!(act("retry"), (json!(0), json!(0)));
    for _ in 0..40 {
        let job = site.fetch(&name).expect("a job");
        site.post(&format!("/ack/{}", job["job_id"].as_str().expect("an id")), json!({}));
    }
    assert_eq!(act("delete"), (json!(41), json!(0)));
    assert_eq!(
        (count(site, &name, "completed"), count(site, &live, "pending")),
        (json!(0), json!(0))
    );
}

#[test]
fn many_by_a_filter() {
    let site = shared();
    let name = queue("filtered");
    many(site, &name, 50);
    let act = |filter: Value, action: &str, wait: bool| {
        let body = json!({ "filter": filter, "action": action, "async": !wait });
        site.post("/jobs/bulk", body).json()
    };
    let found = act(json!({ "queue": name, "payload_jq": ".n < 10" }), "retry", true);
    assert_eq!((&found["affected"], &found["errors"]), (&json!(10), &json!(0)));
    assert_eq!(count(site, &name, "pending"), json!(10));
    let none = act(json!({ "queue": name, "state": ["dead"] }), "delete", true);
    assert_eq!(none["affected"], json!(0));
    let begun = act(json!({ "queue": name, "state": ["completed"] }), "retry", false);
    assert_eq!((&begun["status"], &begun["estimated_total"]), (&json!("queued"), &json!(40)));
    let id = begun["bulk_operation_id"].as_str().expect("an id").to_owned();
    let stream = site.get(&format!("/bulk/{id}/progress"));
    assert!(stream.text.contains("event: bulk.async.completed\n"), "{stream:?}");
    let status = site.get(&format!("/bulk/{id}")).json();
    assert_eq!((&status["status"], &status["action"]), (&json!("completed"), &json!("retry")));
    assert_eq!((&status["affected"], &status["processed"]), (&json!(40), &json!(40)));
    assert_eq!(count(site, &name, "pending"), json!(50));
    // Jobs in memory and completed ones.
    let job = site.fetch(&name).expect("a job");
    site.post(&format!("/ack/{}", job["job_id"].as_str().expect("an id")), json!({}));
    assert_eq!(act(json!({ "queue": name }), "delete", true)["affected"], json!(50));
    let left = site.post("/jobs/search", json!({ "queue": name })).json();
    assert_eq!(left["total"], json!(0));
}
