//! A data directory of the first release, on the server of today.
//!
//! `tests/golden/v1/data` was written by that release, two shards with the smallest segments there are, while its clock
//! showed the year 2100: a server starts no earlier than its log ends, so nothing in it is ever overdue. Beside it is
//! what that release said itself: of every job (`jobs.jsonl`), of its queues (`queues.jsonl`), and what a fetch of each
//! queue gave on a copy, once all were resumed (`fetched.jsonl`). Some jobs changed after the snapshots.

use std::path::{Path, PathBuf};

use jobbie_tests::cli::{done, jobbie, json, lines};
use jobbie_tests::golden;
use jobbie_tests::server::{Server, free_address, run};
use jobbie_tests::tidy::repo;
use serde_json::Value;

const DAY_MS: &str = "86400000";

fn golden_dir() -> PathBuf {
    repo::root().join("tests/golden/v1/data")
}

/// What the first release said.
fn said(file: &str) -> Vec<Value> {
    lines(&std::fs::read_to_string(golden_dir().join(file)).expect("read what it said"))
}

/// The id of the job with this payload.
fn job(payload: &str) -> String {
    let found = said("jobs.jsonl").into_iter().find(|job| job["payload"] == payload);
    found.expect(payload)["job"].as_str().expect("an id").to_owned()
}

/// Everything it said is still so. There may be more to say, and a lease does not run while nobody serves.
fn assert_same(then: &Value, now: &Value) {
    for (field, value) in then.as_object().expect("an object") {
        if field == "due_ms" && then["state"] == "active" {
            assert!(now["due_ms"].as_u64() >= value.as_u64(), "{now} was {then}");
            continue;
        }
        assert_eq!(&now[field], value, "{field} of {then}");
    }
}

fn assert_all_there(addr: &str) {
    for then in said("jobs.jsonl") {
        let id = then["job"].as_str().expect("an id");
        if then.get("state").is_some() {
            assert_same(&then, &json(addr, &["inspect", id])[0]);
        } else {
            assert_eq!(jobbie(addr, &["inspect", id]).status.code(), Some(4), "{id} was over");
        }
    }
    let queues = json(addr, &["queues"]);
    assert_eq!(queues.len(), said("queues.jsonl").len());
    said("queues.jsonl").iter().zip(&queues).for_each(|(then, now)| assert_same(then, now));
}

fn verify(data_dir: &Path) {
    let out = run("jobbie-replay", &["verify", data_dir.to_str().expect("UTF-8")]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
}

#[test]
fn r24_what_the_first_release_wrote_is_sound_and_adds_up() {
    let folder = tempfile::tempdir().expect("make a folder");
    golden::unpack_dir(&golden_dir(), folder.path());
    verify(folder.path());
    let dir = folder.path().to_str().expect("UTF-8");
    let [all, rest] = ["zero", "snapshot"].map(|from| {
        let out = run("jobbie-replay", &["state", "--from", from, dir]);
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        lines(&String::from_utf8_lossy(&out.stdout))
    });
    assert_eq!((all.len(), rest.len()), (2, 2));
    for (all, rest) in all.iter().zip(&rest) {
        assert!(all["from_snapshot"].is_null() && rest["from_snapshot"].is_u64(), "{rest}");
        assert_eq!((&all["state_hash"], &all["jobs"]), (&rest["state_hash"], &rest["jobs"]));
        assert_eq!(all["jobs"]["held"], 0);
    }
}

#[test]
fn r24_every_job_of_the_first_release_is_there_and_goes_on() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(2));
    golden::unpack_dir(&golden_dir(), &data_dir);
    let server = Server::start(&data_dir, addr, &[]);
    let at = server.addr();
    assert_all_there(&at);
    assert_eq!(server.stop(), Some(0));
    let server = Server::start(&data_dir, addr, &[]);
    assert_all_there(&at);

    // Keys are remembered, and so is what was asked for with them.
    let key = ["--key", "mail-2-1", "--key-ms", "3153600000000", "--priority", "2"];
    let rest = ["--tags", "{\"tier\":2}", "--backoff", "linear", "--expire-after-ms", "2592000000"];
    let again = |payload| [&["enqueue", "mail", payload], &key[..], &rest[..]].concat();
    let duplicate = json(&at, &again("mail tier 2 nr 1")).remove(0);
    let first = job("mail tier 2 nr 1");
    assert_eq!((&duplicate["job"], &duplicate["duplicate"]), (&first.into(), &true.into()));
    assert_eq!(jobbie(&at, &again("something else")).status.code(), Some(5));

    // Leases are still good, and only theirs.
    let (active, checkpoint) = (job("mail active"), job("video active with a checkpoint"));
    let token = said("jobs.jsonl")[0]["lease_token"].to_string();
    assert_eq!(jobbie(&at, &["ack", &active, "--lease-token", "1"]).status.code(), Some(5));
    done(&at, &["ack", &active, "--lease-token", &token]);
    done(&at, &["fail", &checkpoint, "try again", "--lease-token", "12"]);

    for queue in said("fetched.jsonl") {
        let name = queue["queue"].as_str().expect("a name");
        done(&at, &["resume", name]);
        let given = json(&at, &["fetch", name, "--count", "100", "--lease-ms", DAY_MS]);
        let ids: Vec<_> = given.into_iter().map(|lease| lease["job"].clone()).collect();
        assert_eq!(Value::Array(ids), queue["jobs"], "{name}");
    }

    // What there was no command for can be done now, with the errors and checkpoints of then.
    let (dead, told) = (job("mail dead of its attempts"), job("video dead at once"));
    let cancelled = job("invoices cancelled while active");
    done(&at, &["retry", &dead, &cancelled, &job("video scheduled")]);
    let lease = json(&at, &["fetch", "mail"]).remove(0);
    assert_eq!((lease["job"].as_str(), &lease["attempt"]), (Some(&*dead), &1.into()));
    assert_eq!(json(&at, &["inspect", &dead])[0]["error"], "gone");
    assert_eq!(json(&at, &["fetch", "invoices"])[0]["job"], cancelled.as_str());
    assert_eq!(json(&at, &["fetch", "video"])[0]["payload"], "video scheduled");
    done(&at, &["hold", &job("mail retrying"), "--by", "ann"]);
    done(&at, &["move", &job("video retrying"), "images"]);
    done(&at, &["requeue", &told]);
    let lease = json(&at, &["fetch", "video"]).remove(0);
    assert_eq!((lease["job"].as_str(), &lease["attempt"]), (Some(&*told), &2.into()));
    server.kill();
    let server = Server::start(&data_dir, addr, &[]);
    let state = |id: &str| json(&at, &["inspect", id])[0]["state"].clone();
    let states = [&*dead, &cancelled, &checkpoint, &job("mail retrying")].map(state);
    assert_eq!(states, ["active", "active", "retrying", "held"]);
    let moved = json(&at, &["inspect", &job("video retrying")]).remove(0);
    assert_eq!((&moved["queue"], &moved["state"]), (&"images".into(), &"retrying".into()));
    assert_eq!((&moved["checkpoint"], &moved["error"]), (&"{\"at\":3}".into(), &"no route".into()));
    assert_eq!(jobbie(&at, &["inspect", &active]).status.code(), Some(4), "it is completed");
    assert_eq!(server.stop(), Some(0));
    verify(&data_dir);
}
