//! Callers of one namespace neither see nor touch the jobs of another.

use serde_json::{Value, json};

use crate::support::{Site, queue, shared};

fn post(site: &Site, namespace: &str, path: &str, body: Value) -> Value {
    let json = ("content-type", "application/json");
    let headers = [json, ("x-jobbie-namespace", namespace)];
    let answer = site.send("POST", path, &headers, &body.to_string());
    assert!(answer.status < 300, "{answer:?}");
    answer.json()
}

fn enqueue(site: &Site, namespace: &str, queue: &str, tag: &str) -> Value {
    let body = json!({ "queue": queue, "tags": { "of": tag } });
    post(site, namespace, "/enqueue", body)["job_id"].clone()
}

#[test]
fn totals_are_those_of_the_namespace() {
    let site = shared();
    let (name, tag) = (queue("totals"), queue("totals-tag"));
    enqueue(site, "default", &name, &tag);
    for namespace in ["totals-a", "totals-a", "totals-b"] {
        enqueue(site, namespace, &name, &tag);
    }
    let total = |namespace: &str| {
        let found = post(site, namespace, "/jobs/search", json!({ "tags": { "of": tag } }));
        let jobs = found["jobs"].as_array().expect("jobs").len();
        assert_eq!(found["total"], json!(jobs), "{found}");
        jobs
    };
    assert_eq!([total("default"), total("totals-a"), total("totals-b")], [1, 2, 1]);
    // A page is full although jobs of others lie between.
    let page = post(site, "default", "/jobs/search", json!({ "tags": { "of": tag }, "limit": 1 }));
    assert_eq!(
        (page["jobs"].as_array().map(Vec::len), &page["has_more"]),
        (Some(1), &json!(false))
    );
    let words = site.get(&format!("/search/fulltext?q={tag}")).json();
    assert_eq!(words["results"].as_array().map(Vec::len), Some(1), "{words}");
}

#[test]
fn bulk_operations_leave_the_jobs_of_others_alone() {
    let site = shared();
    let (name, tag) = (queue("bulk-ns"), queue("bulk-ns-tag"));
    let ours = enqueue(site, "default", &name, &tag);
    let theirs = enqueue(site, "bulk-ns", &name, &tag);
    let bulk = |namespace: &str, what: &str, which: Value, action: &str| {
        let mut body = json!({ "action": action });
        body[what] = which;
        post(site, namespace, "/jobs/bulk", body)["affected"].clone()
    };
    let ids = || json!([ours, theirs]);
    let filter = || json!({ "tags": { "of": tag } });
    assert_eq!(bulk("default", "job_ids", ids(), "hold"), json!(1));
    assert_eq!(bulk("bulk-ns", "job_ids", ids(), "hold"), json!(1));
    assert_eq!(bulk("default", "filter", filter(), "cancel"), json!(1));
    assert_eq!(bulk("bulk-ns", "filter", filter(), "cancel"), json!(1));
    assert_eq!(bulk("default", "job_ids", ids(), "retry"), json!(1));
    assert_eq!(bulk("bulk-ns", "job_ids", ids(), "retry"), json!(1));
    // Completed ones as well.
    for namespace in ["default", "bulk-ns"] {
        let fetch = json!({ "queues": [name], "timeout": 1 });
        let job = post(site, namespace, "/fetch", fetch)["job_id"].clone();
        let path = format!("/ack/{}", job.as_str().expect("an id"));
        post(site, namespace, &path, json!({}));
    }
    assert_eq!(bulk("default", "job_ids", ids(), "retry"), json!(1));
    assert_eq!(bulk("default", "filter", filter(), "delete"), json!(1));
    assert_eq!(bulk("bulk-ns", "filter", filter(), "delete"), json!(1));
}
