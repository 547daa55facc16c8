//! A real server of four shards, and a client that uses all of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use jobbie_client::{Client, FetchOptions, Job};
use jobbie_tests::server::Server;

/// As long as a job may take to come from another shard.
pub(crate) const WAIT: FetchOptions = FetchOptions { count: 1, lease_ms: 60_000, wait_ms: 20_000 };

pub(crate) fn serve(data: &Path, address: SocketAddr) -> Server {
    Server::start(data, address, &["--shards", "4"])
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let builder =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    builder.expect("a runtime")
}

/// Queues of different shards.
pub(crate) fn queues(client: &Client) -> Vec<String> {
    let shard = |name: &String| client.topology().shard_of(name);
    let mut queues: BTreeMap<_, String> = BTreeMap::new();
    for name in (0..100).map(|n| format!("queue-{n}")) {
        queues.entry(shard(&name)).or_insert(name);
    }
    assert_eq!(queues.len(), 4);
    queues.into_values().collect()
}

/// The first job of a queue.
pub(crate) async fn fetch_one(client: &Client, queue: &str) -> Job {
    let mut jobs = client.fetch(&[queue], WAIT).await.expect("fetch");
    assert_eq!(jobs.len(), 1, "in {queue}");
    jobs.remove(0)
}

/// The job of a queue, which has no other.
pub(crate) async fn fetch_only(client: &Client, queue: &str) -> Job {
    let all = FetchOptions { count: 10, ..WAIT };
    let mut jobs = client.fetch(&[queue], all).await.expect("fetch");
    assert_eq!(jobs.len(), 1, "in {queue}");
    jobs.remove(0)
}
