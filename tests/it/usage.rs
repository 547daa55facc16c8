//! Usage on the real server: by the command line and by the Rust client, over several shards.

use jobbie_client::{
    Amounts, Beat, Client, FetchOptions, JobId, Micros, NewJob, Usage, UsageGroup,
};
use jobbie_tests::cli::{done, json, refused};
use jobbie_tests::server::{Server, free_address};

const MODEL: [&str; 4] = ["--model", "large", "--provider", "lab"];

fn fetched(at: &str, queue: &str) -> String {
    done(at, &["enqueue", queue, "prompt"]);
    json(at, &["fetch", queue]).remove(0)["job"].as_str().expect("an id").to_owned()
}

#[test]
fn usage_is_summed_up_over_shards_and_kill_9_and_outlives_its_jobs() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(3));
    let server = Server::start(&data_dir, addr, &["--shards", "3"]);
    let at = server.addr();
    for queue in ["mail", "sms", "push", "fax"] {
        let job = fetched(&at, queue);
        let used = ["--input-tokens", "1000", "--cost-usd", "0.000001"];
        done(&at, &[&["ack", &job][..], &used, &MODEL].concat());
    }
    let job = fetched(&at, "mail");
    done(&at, &["ack", &job, "--cost-usd", "1.5", "--model", "small", "--output-tokens", "7"]);
    server.kill();
    let server = Server::start(&data_dir, addr, &[]);

    let all = json(&at, &["usage"]).remove(0);
    assert_eq!(
        (&all["reports"], &all["cost_usd"], &all["input_tokens"], &all["output_tokens"]),
        (&5.into(), &"1.500004".into(), &4000.into(), &7.into())
    );
    let by = |by: &str| {
        let rows = json(&at, &["usage", "--group-by", by]);
        let row = |row: &serde_json::Value| {
            let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
            (text(by), row["reports"].as_u64().expect("a count"), text("cost_usd"))
        };
        rows.iter().map(row).collect::<Vec<_>>()
    };
    let row = |name: &str, reports, cost: &str| (name.to_owned(), reports, cost.to_owned());
    assert_eq!(by("model"), [row("large", 4, "0.000004"), row("small", 1, "1.500000")]);
    assert_eq!(by("provider"), [row("", 1, "1.500000"), row("lab", 4, "0.000004")]);
    let others = ["fax", "push", "sms"].map(|queue| row(queue, 1, "0.000001"));
    assert_eq!(
        by("queue"),
        [&[others[0].clone(), row("mail", 2, "1.500001")][..], &others[1..]].concat()
    );
    // What is no whole number of micro-dollars is refused before anything is sent.
    let job = fetched(&at, "mail");
    let (exit, message) = refused(&at, &["ack", &job, "--cost-usd", "0.0000001"]);
    assert_eq!(exit, Some(2), "{message}");
    assert!(message.contains("more than 6 decimal places"), "{message}");
    let (exit, message) = refused(&at, &["ack", &job, "--cost-usd", "1000000.000001"]);
    assert_eq!(exit, Some(5), "{message}");
    assert!(message.contains("ack_usages[0].cost_micros: 1000000000001, at most"), "{message}");
    done(&at, &["ack", &job]);
    assert_eq!(json(&at, &["usage"]).remove(0)["reports"], 5, "nothing was used");
    server.stop();
}

#[tokio::test(flavor = "current_thread")]
async fn heartbeats_add_to_what_a_job_costs() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = Server::start(&folder.path().join("data"), free_address(1), &["--shards", "1"]);
    let client = Client::connect(server.addr()).await.expect("connect");
    let id = client.enqueue(&NewJob::new("mail", b"prompt")).await.expect("enqueue").id;
    let job = client.fetch(&["mail"], FetchOptions::default()).await.expect("fetch").remove(0);
    let used = |cost_micros| Usage {
        amounts: Amounts { cost_micros, ..Amounts::default() },
        model: "large",
        provider: "lab",
    };
    for cost in [5, 0, 7] {
        let beat = Beat { usage: used(cost), ..Beat::default() };
        client.heartbeat(job.lease(), beat).await.expect("it is leased");
    }
    let cost = async |id: JobId| client.job(id).await.expect("ask").map(|job| job.cost_micros);
    assert_eq!(cost(id).await, Some(12));
    client.fail(job.lease(), "no", "", true).await.expect("it is leased");
    assert_eq!(cost(id).await, Some(12), "a failure costs, too");
    assert!(client.ack_with(job.lease(), b"", used(100)).await.is_err(), "too late");
    let sums = client.usage(Micros(0), Micros(0), UsageGroup::Queue).await.expect("ask");
    let told: Vec<_> = sums.iter().map(|s| (&*s.name, s.reports, s.amounts.cost_micros)).collect();
    assert_eq!(told, [("mail", 2, 12)]);
    assert_eq!(json(&server.addr(), &["inspect", &id.to_string()])[0]["cost_usd"], "0.000012");
}
