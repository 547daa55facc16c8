//! Budgets and approval policies on the real server: by the command line and by the Rust client, over several shards.

use std::time::Duration;

use jobbie_client::{
    Amounts, Beat, Budget, Client, Code, Error, FetchOptions, JobState, JobTag, NewJob, OnExceed,
    Policy, PolicyMode, Scope, Usage,
};
use jobbie_tests::cli::{done, json, refused};
use jobbie_tests::server::{Server, free_address};

fn queue(name: &str) -> Scope {
    Scope::Queue(name.into())
}

fn daily(scope: Scope, micros: u64, on_exceed: OnExceed) -> Budget {
    Budget { scope, daily: Some(micros), per_job: None, on_exceed }
}

fn used(cost_micros: u64) -> Usage<'static> {
    let amounts = Amounts { cost_micros, ..Amounts::default() };
    Usage { amounts, model: "m", provider: "p" }
}

#[test]
fn budgets_and_policies_are_set_listed_and_deleted_and_survive_kill_9() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(3));
    let server = Server::start(&data_dir, addr, &["--shards", "3"]);
    let at = server.addr();
    done(&at, &["budget", "set", "queue", "mail", "--daily", "12.5", "--on-exceed", "reject"]);
    done(&at, &["budget", "set", "queue", "sms", "--per-job", "0.000001"]);
    done(&at, &["budget", "set", "tag", "team:a", "--daily", "0", "--on-exceed", "alert_only"]);
    done(&at, &["budget", "set", "global", "--daily", "100", "--per-job", "2"]);
    done(&at, &["budget", "set", "queue", "fax", "--daily", "1"]);
    done(&at, &["budget", "delete", "queue", "fax"]);
    done(&at, &["budget", "delete", "queue", "fax"]);
    let policy = ["approval-policy", "set", "mail needs a look", "--queue", "mail"];
    let first = json(&at, &policy).remove(0)["id"].as_u64().expect("an id");
    let policy = ["approval-policy", "set", "team a", "--tag", "team=a", "--mode", "all"];
    done(&at, &[&policy[..], &["--disabled"]].concat());
    server.kill();
    let server = Server::start(&data_dir, addr, &[]);

    let row = |row: &serde_json::Value| {
        let text = |field: &str| row[field].as_str().unwrap_or("-").to_owned();
        ["scope", "target", "daily_usd", "per_job_usd", "on_exceed"].map(text).join(" ")
    };
    let rows = json(&at, &["budget", "list"]);
    let told: Vec<_> = rows.iter().map(row).collect();
    assert_eq!(
        told,
        [
            "global * 100.000000 2.000000 hold",
            "queue mail 12.500000 - reject",
            "queue sms - 0.000001 hold",
            "tag team=a 0.000000 - alert_only",
        ]
    );
    assert_eq!(rows[3]["exceeded"], true);
    let policies = json(&at, &["approval-policy", "list"]);
    let names: Vec<_> = policies.iter().map(|row| row["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["team a", "mail needs a look"]);
    assert_eq!((&policies[0]["enabled"], &policies[0]["mode"]), (&false.into(), &"all".into()));
    assert_eq!(policies[0]["tag"], "team=a");
    done(&at, &["approval-policy", "delete", &first.to_string()]);
    let (exit, message) = refused(&at, &["approval-policy", "delete", &first.to_string()]);
    assert_eq!(exit, Some(4), "{message}");

    // What is wrong is refused before anything is sent, or by the server with its field.
    for wrong in [
        &["budget", "set", "queue", "q"][..],
        &["budget", "set", "queue", "--daily", "1"],
        &["budget", "set", "tag", "team", "--daily", "1"],
        &["budget", "set", "global", "q", "--daily", "1"],
        &["budget", "set", "queue", "q", "--daily", "0.0000001"],
        &["budget", "set", "queue", "q", "--daily", "-1"],
    ] {
        let (exit, message) = refused(&at, wrong);
        assert_eq!(exit, Some(2), "{wrong:?}: {message}");
    }
    let (_, message) = refused(&at, &["budget", "set", "queue", "q", "--daily", "1000000001"]);
    assert!(message.contains("rule_controls[0].daily: 1000000001000000, at most"), "{message}");
    server.stop();
}

#[tokio::test(flavor = "current_thread")]
async fn a_queue_without_money_gives_nothing_out_until_the_limit_is_raised() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = Server::start(&folder.path().join("data"), free_address(2), &["--shards", "2"]);
    let client = Client::connect(server.addr()).await.expect("connect");
    client.set_budget(&daily(queue("mail"), 100, OnExceed::Hold)).await.expect("set");
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(client.enqueue(&NewJob::new("mail", b"prompt")).await.expect("enqueue").id);
    }
    let job = client.fetch(&["mail"], FetchOptions::default()).await.expect("fetch").remove(0);
    client.ack_with(job.lease(), b"", used(100)).await.expect("it is leased");
    assert!(client.fetch(&["mail"], FetchOptions::default()).await.expect("fetch").is_empty());
    let stats = client.queue("mail").await.expect("ask");
    assert_eq!(stats.exceeded, Some(OnExceed::Hold));
    let held = client.job(ids[1]).await.expect("ask").expect("it is there");
    assert_eq!(held.state, JobState::Held);
    let reason = String::from_utf8_lossy(&held.hold_reason).into_owned();
    assert_eq!(reason, "budget exceeded: queue mail, 0.000100 of 0.000100 USD spent today");
    let budgets = client.budgets().await.expect("ask");
    assert_eq!((budgets[0].spent, budgets[0].exceeded), (100, true));

    // Whoever waits gets the next job when the limit is raised.
    let other = Client::connect(server.addr()).await.expect("connect");
    let raise = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        other.set_budget(&daily(queue("mail"), 101, OnExceed::Reject)).await.expect("set");
    };
    let waits = FetchOptions { wait_ms: 20_000, ..FetchOptions::default() };
    let (got, ()) = tokio::join!(client.fetch(&["mail"], waits), raise);
    let got = got.expect("fetch");
    assert_eq!(got.iter().map(|job| job.id).collect::<Vec<_>>(), [ids[2]]);
    client.ack_with(got[0].lease(), b"", used(1)).await.expect("it is leased");
    // A budget that rejects says so.
    let error = client.fetch(&["mail"], FetchOptions::default()).await.expect_err("no money");
    assert!(matches!(error, Error::Refused { code: Code::BudgetExceeded, .. }), "{error:?}");
    client.delete_budget(&queue("mail")).await.expect("delete");
    assert!(client.fetch(&["mail"], FetchOptions::default()).await.expect("fetch").is_empty());
    server.stop();
}

#[tokio::test(flavor = "current_thread")]
async fn jobs_that_cost_too_much_are_refused_their_ack_or_stopped() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = Server::start(&folder.path().join("data"), free_address(1), &["--shards", "1"]);
    let client = Client::connect(server.addr()).await.expect("connect");
    let per_job = |scope, on_exceed| Budget { scope, daily: None, per_job: Some(10), on_exceed };
    client.set_budget(&per_job(queue("mail"), OnExceed::Reject)).await.expect("set");
    let tag = Scope::Tag(JobTag { key: "team".into(), value: "a".into() });
    client.set_budget(&per_job(tag, OnExceed::Hold)).await.expect("set");
    let mail = client.enqueue(&NewJob::new("mail", b"prompt")).await.expect("enqueue").id;
    let tagged = NewJob::new("sms", b"prompt").tags(br#"{"team":"a"}"#);
    let sms = client.enqueue(&tagged).await.expect("enqueue").id;
    let job = client.fetch(&["mail"], FetchOptions::default()).await.expect("fetch").remove(0);
    let error = client.ack_with(job.lease(), b"", used(11)).await.expect_err("it costs too much");
    assert!(format!("{error:?}").contains("BudgetExceeded"), "{error:?}");
    let held = client.job(mail).await.expect("ask").expect("it is there");
    assert_eq!((held.state, held.cost_micros), (JobState::Held, 11));
    let job = client.fetch(&["sms"], FetchOptions::default()).await.expect("fetch").remove(0);
    let beat = |cost| Beat { usage: used(cost), ..Beat::default() };
    client.heartbeat(job.lease(), beat(10)).await.expect("exactly the limit");
    let error = client.heartbeat(job.lease(), beat(1)).await.expect_err("it costs too much");
    assert!(format!("{error:?}").contains("BudgetExceeded"), "{error:?}");
    let held = client.job(sms).await.expect("ask").expect("it is there");
    assert_eq!(held.state, JobState::Held);
    assert!(String::from_utf8_lossy(&held.hold_reason).contains("tag team=a"));
    server.stop();
}

#[tokio::test(flavor = "current_thread")]
async fn one_budget_of_all_jobs_closes_queues_of_every_shard() {
    let folder = tempfile::tempdir().expect("make a folder");
    let data_dir = folder.path().join("data");
    let server = Server::start(&data_dir, free_address(3), &["--shards", "3"]);
    let client = Client::connect(server.addr()).await.expect("connect");
    client.set_budget(&daily(Scope::Global, 6, OnExceed::Reject)).await.expect("set");
    let queues: Vec<String> = (0..6).map(|n| format!("queue-{n}")).collect();
    for queue in &queues {
        client.enqueue(&NewJob::new(queue, b"a")).await.expect("enqueue");
        client.enqueue(&NewJob::new(queue, b"b")).await.expect("enqueue");
        let got = client.fetch(&[queue], FetchOptions::default()).await.expect("fetch");
        client.ack_with(got[0].lease(), b"", used(1)).await.expect("it is leased");
    }
    // What other shards spend is on its way for some milliseconds.
    for queue in &queues {
        let mut tries = 0;
        while client.queue(queue).await.expect("ask").exceeded.is_none() {
            tries += 1;
            assert!(tries < 1000, "{queue} was never told");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let error = client.fetch(&[queue], FetchOptions::default()).await.expect_err("no money");
        assert!(matches!(error, Error::Refused { code: Code::BudgetExceeded, .. }), "{error:?}");
    }
    let policy =
        Policy { name: "p".into(), mode: PolicyMode::Any, enabled: true, queue: None, tag: None };
    let id = client.add_policy(&policy).await.expect("add");
    assert_eq!(client.policies().await.expect("ask")[0].policy, policy);
    assert!(client.delete_policy(id).await.expect("ask"));
    assert!(!client.delete_policy(id).await.expect("ask"));
    server.stop();
}
