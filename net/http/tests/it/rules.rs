//! Budgets, policies, usage.

use serde_json::{Value, json};

use crate::support::{Site, queue, shared};

fn spend(site: &Site, queue: &str, usage: Value) -> (u16, Value) {
    let id = site.enqueue(json!({ "queue": queue }));
    site.fetch(queue).expect("a job");
    let answer = site.post(&format!("/ack/{id}"), json!({ "usage": usage }));
    (answer.status, answer.json())
}

#[test]
fn a_budget_closes_its_queue() {
    let site = shared();
    let queue = queue("spender");
    let body =
        json!({ "scope": "queue", "target": queue, "daily_usd": 1.0, "on_exceed": "reject" });
    let set = site.post("/budgets", body).json();
    assert!(set["id"].as_str().expect("an id").starts_with("budget_"), "{set}");
    assert_eq!((&set["daily_usd"], &set["on_exceed"]), (&json!(1.0), &json!("reject")));
    assert!(set.get("per_job_usd").is_none() && set["created_at"].is_string());
    let (status, told) = spend(site, &queue, json!({ "cost_usd": 1.5, "model": "m-1" }));
    assert_eq!((status, told), (200, json!({ "status": "ok" })));
    site.enqueue(json!({ "queue": queue }));
    let refused = site.post("/fetch", json!({ "queues": [queue], "timeout": 1 }));
    assert_eq!(refused.failure(), (429, "BUDGET_EXCEEDED".into()));
    let all = site.get("/budgets").json();
    let listed = all.as_array().expect("a list").iter().find(|one| one["target"] == json!(queue));
    assert_eq!(listed.expect("it is listed")["spent_today_usd"], json!(1.5));
    for _ in 0..2 {
        let path = format!("/budgets/queue/{queue}");
        assert_eq!(site.send("DELETE", &path, &[], "").json(), json!({ "status": "deleted" }));
    }
    assert!(site.fetch(&queue).is_some());
}

#[test]
fn budgets_that_cannot_be() {
    let site = shared();
    let cases = [
        json!({}),
        json!({ "scope": "all", "daily_usd": 1 }),
        json!({ "scope": "queue", "daily_usd": 1 }),
        json!({ "scope": "tag", "target": "k", "daily_usd": 1 }),
        json!({ "scope": "queue", "target": "q" }),
        json!({ "scope": "queue", "target": "q", "daily_usd": -1 }),
        json!({ "scope": "queue", "target": "q", "daily_usd": 1, "on_exceed": "explode" }),
    ];
    for body in cases {
        assert_eq!(
            site.post("/budgets", body.clone()).failure(),
            (400, "BUDGET_ERROR".into()),
            "{body}"
        );
    }
    let wrong = site.post("/budgets", json!({ "daily_usd": "1" }));
    assert_eq!(wrong.failure(), (400, "PARSE_ERROR".into()));
}

#[test]
fn a_policy_holds_agents() {
    let site = shared();
    let queue = queue("watched");
    let made = site.post("/approval-policies", json!({ "name": "look", "queue": queue })).json();
    let id = made["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("apol_"));
    assert_eq!(
        (&made["mode"], &made["enabled"], &made["queue"]),
        (&json!("any"), &json!(true), &json!(queue))
    );
    let job = site.enqueue(json!({ "queue": queue, "agent": {} }));
    site.fetch(&queue).expect("a job");
    site.post(&format!("/ack/{job}"), json!({ "agent_status": "continue" }));
    let seen = site.get(&format!("/jobs/{job}")).json();
    assert_eq!(
        (&seen["state"], &seen["hold_reason"]),
        (&json!("held"), &json!("approval policy matched: look"))
    );
    let all = site.get("/approval-policies").json();
    assert!(all.as_array().expect("a list").iter().any(|one| one["id"] == json!(id)));
    let path = format!("/approval-policies/{id}");
    assert_eq!(site.send("DELETE", &path, &[], "").json(), json!({ "status": "deleted" }));
    assert_eq!(site.send("DELETE", &path, &[], "").failure(), (400, "POLICY_ERROR".into()));
    for body in [json!({}), json!({ "name": "x", "mode": "some" })] {
        assert_eq!(site.post("/approval-policies", body).failure(), (400, "POLICY_ERROR".into()));
    }
}

#[test]
fn usage_adds_up() {
    let site = shared();
    let queue = queue("usage");
    spend(
        site,
        &queue,
        json!({ "input_tokens": 10, "output_tokens": 5, "cost_usd": 0.25, "model": queue, "provider": "p" }),
    );
    spend(site, &queue, json!({ "input_tokens": 1, "cost_usd": 0.5, "model": queue }));
    for group in ["queue", "model"] {
        let told = site.get(&format!("/usage/summary?period=7d&group_by={group}")).json();
        let groups = told["groups"].as_array().expect("groups");
        let ours = groups.iter().find(|one| one["key"] == json!(queue)).expect("it is there");
        assert_eq!(
            (&ours["input_tokens"], &ours["cost_usd"], &ours["count"]),
            (&json!(11), &json!(0.75), &json!(2))
        );
        assert!(told["totals"]["cost_usd"].as_f64().expect("a number") >= 0.75);
        assert_eq!(told["period"], "7d");
    }
    let told = site.get("/usage/summary").json();
    assert!(told.get("groups").is_none() && told["from"].is_string() && told["to"].is_string());
    for query in ["period=x", "period=0s", "period=-1h", "group_by=colour"] {
        let refused = site.get(&format!("/usage/summary?{query}"));
        assert_eq!(refused.failure(), (400, "USAGE_SUMMARY_ERROR".into()), "{query}");
    }
    let billing = site.get("/billing/summary").json();
    assert_eq!(billing["period"], "24h");
    let ours = billing["summary"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|row| row["namespace"] == "default");
    assert!(ours.expect("it is there")["rows"].as_u64().expect("a number") >= 2);
}
