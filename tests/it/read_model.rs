//! The read model of a real server: made while it serves, made anew, and made offline, it is the same.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jobbie_client::{Client, NewJob};
use jobbie_tests::server::{free_address, run};

use crate::four_shards::{WAIT, fetch_one, queues, runtime, serve};

/// As long as the read model may take to see everything.
const SEEN_MAX: Duration = Duration::from_secs(60);

fn file(data: &Path) -> PathBuf {
    data.join("read-model").join("jobs.sqlite")
}

/// Every row of a read model, as text; nothing when there is none, or a damaged one.
fn rows(file: &Path) -> String {
    let printed = run("jobbie-replay", &["rows", file.to_str().expect("a path")]);
    let text = if printed.status.success() { printed.stdout } else { Vec::new() };
    String::from_utf8(text).expect("text")
}

/// Every row of the read model that is made offline.
fn projected(data: &Path, out: &Path) -> String {
    let (data, file) = (data.to_str().expect("a path"), out.to_str().expect("a path"));
    let made = run("jobbie-replay", &["project", data, "--out", file]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    rows(out)
}

/// Jobs in every state, of several shards, with what makes rows long.
async fn work(client: &Client) {
    let names = queues(client);
    for (nth, queue) in names.iter().enumerate() {
        let payload = format!(r#"{{"n":{nth}}}"#);
        for tags in [&br#"{"k":"v"}"#[..], b""] {
            let job = NewJob::new(queue, payload.as_bytes()).tags(tags).attempts(1);
            client.enqueue(&job).await.expect("enqueue");
        }
        let later = NewJob::new(queue, b"later").delay(Duration::from_secs(3600));
        let id = client.enqueue(&later).await.expect("enqueue").id;
        client.cancel(id).await.expect("cancel");
        client.enqueue(&later).await.expect("enqueue");
        let done = fetch_one(client, queue).await;
        client.ack(done.lease(), br#"{"ok":true}"#).await.expect("ack");
        let dead = fetch_one(client, queue).await;
        client.fail(dead.lease(), "no route", "line 7", true).await.expect("fail");
    }
    let moves = client.enqueue(&NewJob::new(&names[0], b"moves")).await.expect("enqueue").id;
    client.move_job(moves, &names[1]).await.expect("move");
    let moved = fetch_one(client, &names[1]).await;
    client.release(moved.lease()).await.expect("release");
}

/// Waits until the read model of a running server is what its logs add up to, and gives that.
fn caught_up(data: &Path, folder: &Path) -> String {
    let begin = Instant::now();
    loop {
        let offline = folder.join("offline.sqlite");
        let expected = projected(data, &offline);
        std::fs::remove_file(&offline).expect("remove it");
        let found = rows(&file(data));
        if found == expected {
            return expected;
        }
        let lacks = |all: &str, of: &str| {
            let of: Vec<_> = of.lines().collect();
            all.lines().filter(|line| !of.contains(line)).collect::<Vec<_>>().join("\n")
        };
        assert!(
            begin.elapsed() < SEEN_MAX,
            "the read model does not get there. It lacks:\n{}\nIt has besides:\n{}",
            lacks(&expected, &found),
            lacks(&found, &expected)
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_read_model_is_the_same_online_anew_and_offline() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data, address) = (folder.path().join("data"), free_address(4));
    let server = serve(&data, address);
    let runtime = runtime();
    runtime.block_on(async {
        let client = Client::connect(server.addr()).await.expect("connect");
        work(&client).await;
        client.close().await;
    });
    assert_eq!(server.stop(), Some(0));
    // What it had not seen before it stopped it sees now.
    let server = serve(&data, address);
    let all = caught_up(&data, folder.path());
    for expected in ["no route", "moves", "line 7"] {
        assert!(all.contains(expected), "{expected} is in no row:\n{all}");
    }

    server.kill();
    std::fs::write(file(&data), "no database").expect("damage the read model");
    let server = serve(&data, address);
    caught_up(&data, folder.path());

    server.kill();
    std::fs::remove_dir_all(data.join("read-model")).expect("remove the read model");
    let server = serve(&data, address);
    caught_up(&data, folder.path());
    runtime.block_on(async {
        let client = Client::connect(server.addr()).await.expect("connect");
        let queue = &queues(&client)[2];
        client.enqueue(&NewJob::new(queue, b"newest")).await.expect("enqueue");
        assert_eq!(client.fetch(&[queue], WAIT).await.expect("fetch").len(), 1);
        client.close().await;
    });
    assert!(caught_up(&data, folder.path()).contains("newest"));
}
