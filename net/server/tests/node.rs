//! A whole node and the Rust client, in one process.

use std::future::Future;
use std::path::Path;

use jobbie_client::{Client, FetchOptions, NewJob};
use jobbie_server::{Server, ServerConfig};

fn start(dir: &Path, shards: u16) -> Server {
    let config = ServerConfig {
        data_dir: dir.to_owned(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        shards: Some(shards),
        ..ServerConfig::default()
    };
    Server::start(&config).expect("start the node")
}

fn job<'a>(queue: &'a str, payload: &'a [u8]) -> NewJob<'a> {
    NewJob::new(queue, payload)
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn a_job_goes_from_enqueue_to_ack_on_any_shard() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let server = start(dir.path(), 2);
    run(async {
        let client = Client::connect(server.addresses()[0].to_string()).await.expect("connect");
        for n in 0..20 {
            let queue = format!("queue-{n}");
            let payload = format!("payload {n}");
            let enqueued = client.enqueue(&job(&queue, payload.as_bytes())).await.expect("enqueue");
            let fetched = client.fetch(&[&queue], FetchOptions::default()).await.expect("fetch");
            assert_eq!(fetched.len(), 1);
            assert_eq!((fetched[0].id, &fetched[0].payload[..]), (enqueued.id, payload.as_bytes()));
            client.ack(fetched[0].lease(), b"done").await.expect("ack");
            assert!(client.job(enqueued.id).await.expect("look up").is_none());
        }
        client.close().await;
    });
    server.stop();
}
