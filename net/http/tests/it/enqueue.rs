//! New jobs.

use serde_json::{Value, json};

use crate::support::{queue, shared};

#[test]
fn a_job_is_answered_with_three_fields() {
    let site = shared();
    let plain = site.post("/enqueue", json!({ "queue": queue("plain") }));
    assert_eq!(plain.status, 201);
    let plain = plain.json();
    let id = plain["job_id"].as_str().expect("an id");
    assert!(id.starts_with("job_") && id.len() == 30, "{id}");
    assert_eq!((&plain["status"], &plain["unique_existing"]), (&json!("pending"), &json!(false)));
    let late = json!({ "queue": queue("late"), "scheduled_at": "2020-01-01T00:00:00.5+01:00" });
    assert_eq!(site.post("/enqueue", late).json()["status"], "scheduled");
}

#[test]
fn a_unique_key_gives_the_job_that_has_it() {
    let site = shared();
    let body = json!({ "queue": queue("unique"), "unique_key": "k", "unique_period": -1 });
    let first = site.post("/enqueue", body.clone()).json();
    let again = site.post("/enqueue", body);
    assert_eq!(again.status, 200);
    let expected =
        json!({ "job_id": first["job_id"], "status": "duplicate", "unique_existing": true });
    assert_eq!(again.json(), expected);
}

#[test]
fn an_idempotency_key_makes_a_repeat_harmless() {
    let site = shared();
    let body = json!({ "queue": queue("repeat"), "payload": 1 });
    let send = |body: &Value| {
        let headers = [("idempotency-key", "k-1")];
        site.send("POST", "/enqueue", &headers, &body.to_string())
    };
    let first = send(&body);
    let again = send(&body);
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json(), again.json());
    let other = json!({ "queue": body["queue"], "payload": 2 });
    assert_eq!(send(&other).failure(), (409, "CONFLICT".into()));
    let long = "k".repeat(256);
    let headers = [("idempotency-key", &*long)];
    let refused = site.send("POST", "/enqueue", &headers, &body.to_string());
    assert_eq!(refused.failure(), (400, "VALIDATION_ERROR".into()));
}

#[test]
fn payloads_come_back_as_they_were_written() {
    let site = shared();
    let queue = queue("payload");
    let cases = ["{\"b\": 1,  \"a\":[1.0, 1e3]}", "null", "\"text\"", "17", "\"\u{e4}\""];
    for payload in cases {
        let body = format!("{{\"queue\":\"{queue}\",\"payload\":{payload}}}");
        assert_eq!(site.send("POST", "/enqueue", &[], &body).status, 201);
        let told = site.post("/fetch", json!({ "queues": [queue], "timeout": 5 }));
        assert!(told.text.contains(&format!("\"payload\":{payload},")), "{payload}: {told:?}");
    }
    site.enqueue(json!({ "queue": queue }));
    assert_eq!(site.fetch(&queue).expect("a job")["payload"], json!({}));
    let long = json!({ "queue": queue, "payload": "x".repeat(300_000) });
    assert_eq!(site.post("/enqueue", long).failure(), (413, "PAYLOAD_TOO_LARGE".into()));
}

#[test]
fn null_is_absent_and_unknown_fields_are_nothing() {
    let site = shared();
    let names = [
        "priority",
        "unique_key",
        "unique_period",
        "max_retries",
        "retry_backoff",
        "retry_base_delay",
        "retry_max_delay",
        "scheduled_at",
        "expire_after",
        "tags",
        "chain",
        "agent",
        "depends_on",
        "parent_id",
        "checkpoint",
        "chain_id",
        "chain_step",
        "chain_config",
        "unheard_of",
        "hold",
    ];
    let mut body = json!({ "queue": queue("nulls") });
    for name in names {
        body[name] = Value::Null;
    }
    let answer = site.post("/enqueue", body.clone());
    assert_eq!(answer.status, 201, "{answer:?}");
    body["queue"] = Value::Null;
    assert_eq!(site.post("/enqueue", body).failure(), (400, "VALIDATION_ERROR".into()));
}

#[test]
fn fields_of_a_wrong_type_or_value() {
    let site = shared();
    let wrong_types = [
        json!({ "queue": 1 }),
        json!({ "priority": 1 }),
        json!({ "unique_period": "1" }),
        json!({ "max_retries": 1.5 }),
        json!({ "max_retries": "3" }),
        json!({ "retry_base_delay": 5 }),
        json!({ "scheduled_at": "tomorrow" }),
        json!({ "scheduled_at": 17 }),
        json!({ "tags": { "a": 1 } }),
        json!({ "tags": ["a"] }),
        json!({ "chain": [] }),
        json!({ "chain": { "steps": {} } }),
        json!({ "agent": true }),
        json!({ "depends_on": "job" }),
        json!({ "depends_on": [1] }),
    ];
    let wrong_values = [
        json!({ "queue": "" }),
        json!({ "queue": "a\u{7}b" }),
        json!({ "queue": "q".repeat(256) }),
        json!({ "retry_base_delay": "soon" }),
        json!({ "retry_max_delay": "-1s" }),
        json!({ "expire_after": "1 h" }),
        json!({ "expire_after": "0s" }),
        json!({ "depends_on": ["nobody"] }),
        json!({ "parent_id": "nobody" }),
        json!({ "unique_key": "k".repeat(256) }),
        json!({ "max_retries": 9_000_000 }),
        json!({ "chain": {} }),
        json!({ "chain": { "steps": [{ "queue": "q" }] } }),
        json!({ "chain": { "steps": [{ "queue": "other" }, { "queue": "b" }] } }),
        json!({ "chain": { "steps": [{ "queue": "q" }, { "queue": "" }] } }),
        json!({ "chain": { "steps": [{ "queue": "q" }, { "queue": "b" }], "on_exit": {} } }),
        json!({ "hold": { "timeout": "1s" } }),
        json!({ "hold": { "timeout": "1s", "timeout_action": "jump" } }),
    ];
    let unbuilt =
        [json!({ "checkpoint": {} }), json!({ "chain_id": "c" }), json!({ "chain_step": 1 })];
    let sets = [
        (&wrong_types[..], (400, "PARSE_ERROR")),
        (&wrong_values[..], (400, "VALIDATION_ERROR")),
        (&unbuilt[..], (501, "UNSUPPORTED")),
    ];
    for (bodies, (status, code)) in sets {
        for body in bodies {
            let mut whole = json!({ "queue": "q" });
            for (name, value) in body.as_object().expect("an object") {
                whole[name] = value.clone();
            }
            let answer = site.post("/enqueue", whole.clone());
            assert_eq!(answer.failure(), (status, code.to_owned()), "{body}");
            let answer = site.post("/enqueue/batch", json!({ "jobs": [whole] }));
            assert_eq!(answer.failure(), (status, code.to_owned()), "in a batch: {body}");
        }
    }
}

#[test]
fn a_chain_goes_on_with_results_and_a_text_names_its_handler() {
    let site = shared();
    let (a, b, alerts) = (queue("a"), queue("b"), queue("alerts"));
    let steps = json!([{ "queue": a, "payload": null }, { "queue": b, "payload": { "own": 1 } }]);
    let chain = json!({ "steps": steps, "on_failure": alerts, "on_exit": null });
    let first = site.enqueue(json!({ "queue": a, "chain": chain, "tags": { "t": "1" } }));
    assert_eq!(site.fetch(&a).expect("a job")["job_id"], json!(first));
    site.post(&format!("/ack/{first}"), json!({ "result": { "r": 1 } }));
    let second = site.fetch(&b).expect("the next step");
    let expected = json!({ "own": 1, "previous_job_id": first, "previous_result": { "r": 1 } });
    assert_eq!((&second["payload"], &second["tags"]), (&expected, &json!({ "t": "1" })));
    for word in ["stop", "continue", ""] {
        let chain = json!({ "steps": [{ "queue": a }, { "queue": b }], "on_failure": word });
        site.enqueue(json!({ "queue": a, "chain": chain }));
    }
}

#[test]
fn a_batch_is_in_order_and_calls_back() {
    let site = shared();
    let (members, callback) = (queue("members"), queue("callback"));
    let other = queue("other");
    let job = |n: u32| json!({ "queue": members, "payload": n, "priority": "high" });
    let jobs = json!([job(0), { "queue": other }, job(1), job(2)]);
    let batch = json!({ "callback_queue": callback, "callback_payload": { "x": 1 } });
    let answer = site.post("/enqueue/batch", json!({ "jobs": jobs, "batch": batch }));
    assert_eq!(answer.status, 201, "{answer:?}");
    let made = answer.json();
    assert!(made["batch_id"].as_str().expect("an id").starts_with("batch_"));
    let ids = made["job_ids"].as_array().expect("ids");
    assert_eq!(ids.len(), 4);
    for n in 0..3 {
        let job = site.fetch(&members).expect("a member");
        assert_eq!((&job["payload"], &job["job_id"]), (&json!(n), &ids[[0, 2, 3][n]]));
    }
    site.fetch(&other).expect("a member");
    let acks: Vec<_> = ids.iter().map(|id| json!({ "job_id": id })).collect();
    assert_eq!(site.post("/ack/batch", json!({ "acks": acks })).json(), json!({ "acked": 4 }));
    let called = site.post("/fetch", json!({ "queues": [callback], "timeout": 5 })).json();
    assert_eq!(
        (&called["payload"]["x"], &called["payload"]["batch"]["succeeded"]),
        (&json!(1), &json!(4))
    );
    let plain = site.post("/enqueue/batch", json!({ "jobs": [job(0)], "batch": null })).json();
    assert!(plain.get("batch_id").is_none());
    for jobs in [json!({}), json!({ "jobs": [] }), json!({ "jobs": null })] {
        let refused = site.post("/enqueue/batch", jobs);
        assert_eq!(refused.failure(), (400, "VALIDATION_ERROR".into()));
    }
    let long = json!({ "jobs": [job(0), { "queue": members, "payload": "x".repeat(300_000) }] });
    let refused = site.post("/enqueue/batch", long);
    assert!(refused.text.contains("jobs[1]"), "{refused:?}");
    assert_eq!(refused.failure(), (413, "PAYLOAD_TOO_LARGE".into()));
}

#[test]
fn a_third_party_enqueues_whatever_it_has() {
    let site = shared();
    let queue = queue("hooks");
    let path =
        format!("/webhooks/{queue}?priority=high&max_retries=7&tags=a:b,c:d&unique_key=once");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(site.send("POST", &path, &form, "a=1").status, 201);
    assert_eq!(site.send("POST", &path, &form, "a=1").json()["status"], "duplicate");
    let job = site.fetch(&queue).expect("a job");
    assert_eq!((&job["payload"], &job["max_retries"]), (&json!("a=1"), &json!(7)));
    assert_eq!(job["tags"], json!({ "a": "b", "c": "d" }));
    for wrong in ["max_retries=x", "scheduled_at=now", "tags=a"] {
        let refused = site.send("POST", &format!("/webhooks/{queue}?{wrong}"), &[], "");
        assert_eq!(refused.failure(), (400, "VALIDATION_ERROR".into()), "{wrong}");
    }
}

#[test]
fn a_job_waits_for_another() {
    let site = shared();
    let (first, second) = (queue("first"), queue("second"));
    let id = site.enqueue(json!({ "queue": first }));
    site.enqueue(json!({ "queue": second, "depends_on": [id, format!(" {id} "), ""] }));
    assert!(site.fetch(&second).is_none());
    site.fetch(&first).expect("a job");
    site.post(&format!("/ack/{id}"), json!({}));
    assert!(site.post("/fetch", json!({ "queues": [second], "timeout": 5 })).status == 200);
}
