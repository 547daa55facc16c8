//! Schedules.

use serde_json::json;

use crate::support::{queue, shared};

#[test]
fn a_schedule_is_made_changed_and_removed() {
    let site = shared();
    let queue = queue("nightly");
    let body = json!({ "name": "report", "queue": queue, "cron": "30 2 * * *", "timezone": "Europe/Berlin",
        "payload": { "a": 1 }, "max_retries": 5 });
    let made = site.post("/schedules", body.clone());
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let id = made["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("sched_") && made["next_run"].is_string(), "{made}");
    assert_eq!((&made["payload"], &made["max_retries"]), (&json!({ "a": 1 }), &json!(5)));
    assert_eq!((&made["timezone"], &made["cron"]), (&json!("Europe/Berlin"), &json!("30 2 * * *")));
    assert_eq!(site.post("/schedules", body).failure(), (409, "CONFLICT".into()));
    let path = format!("/schedules/{id}");
    let put = |body: serde_json::Value| site.send("PUT", &path, &[], &body.to_string());
    let changed = put(json!({ "cron": "0 * * * *", "unique_key": "u" })).json();
    assert_eq!(
        (&changed["cron"], &changed["timezone"], &changed["payload"]),
        (&json!("0 * * * *"), &json!("Europe/Berlin"), &json!({ "a": 1 }))
    );
    assert_eq!((&changed["unique_key"], &changed["max_retries"]), (&json!("u"), &json!(5)));
    assert_eq!(put(json!({ "name": "other" })).failure(), (400, "VALIDATION_ERROR".into()));
    assert_eq!(put(json!({ "cron": "x" })).failure(), (400, "VALIDATION_ERROR".into()));
    let all = site.get("/schedules").json();
    let listed = all.as_array().expect("a list").iter().find(|one| one["id"] == json!(id));
    assert_eq!(listed.expect("it is listed")["payload"], json!({ "a": 1 }));
    assert_eq!(site.send("DELETE", &path, &[], "").json(), json!({ "status": "deleted" }));
    assert_eq!(site.send("DELETE", &path, &[], "").failure(), (404, "NOT_FOUND".into()));
    assert_eq!(put(json!({})).failure(), (404, "NOT_FOUND".into()));
}

#[test]
fn schedules_that_cannot_be() {
    let site = shared();
    let cases = [
        json!({ "queue": "q", "cron": "* * * * *" }),
        json!({ "name": "n", "cron": "* * * * *" }),
        json!({ "name": "n", "queue": "q" }),
        json!({ "name": "n", "queue": "q", "cron": "* * *" }),
        json!({ "name": "n", "queue": "q", "cron": "* * * * *", "timezone": "Mars/North" }),
    ];
    for body in cases {
        assert_eq!(
            site.post("/schedules", body.clone()).failure(),
            (400, "VALIDATION_ERROR".into()),
            "{body}"
        );
    }
    assert_eq!(
        site.post("/schedules", json!({ "name": 1 })).failure(),
        (400, "PARSE_ERROR".into())
    );
}
