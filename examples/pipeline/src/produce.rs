//! A chain a file, a batch for so many files.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use jobbie_client::{BackoffKind, BatchId, Client, NewJob, QueueSettings, TiedJob};
use serde_json::json;

use crate::files::{files_below, name_of};
use crate::{COUNT, MERGE, READ, TOKENISE};

/// A worker that dies gives its job back; some jobs see several die.
const ATTEMPTS: u32 = 100;

/// Payloads of the chain of one file.
struct Steps {
    read: Vec<u8>,
    count: Vec<u8>,
}

impl Steps {
    fn chain(&self, batch: BatchId) -> TiedJob<'_> {
        let (tokenise, count) = (step(TOKENISE, b""), step(COUNT, &self.count));
        step(READ, &self.read).then(tokenise).then(count).batch(batch)
    }
}

fn step<'a>(queue: &'a str, payload: &'a [u8]) -> NewJob<'a> {
    let soon = Duration::from_millis(200);
    NewJob::new(queue, payload).attempts(ATTEMPTS).backoff(BackoffKind::Fixed, soon, soon)
}

pub(crate) async fn run(
    client: &Client,
    dir: &Path,
    out: &Path,
    batch_files: usize,
    rate: u32,
) -> anyhow::Result<()> {
    let limits = QueueSettings { rate, window_ms: 1000, ..QueueSettings::default() };
    client.configure(TOKENISE, limits).await.context("limit the rate")?;
    let files = files_below(dir)?;
    let batches = files.chunks(batch_files.max(1));
    let count = batches.len();
    for (nth, files) in batches.enumerate() {
        let from = out.join("counts").join(nth.to_string());
        let to = out.join("merged").join(format!("{nth}.json"));
        let merge = json!({ "from": from, "to": to }).to_string();
        let callback = step(MERGE, merge.as_bytes());
        let batch = client.open_batch(Some(&callback)).await.context("open a batch")?;
        let steps: Vec<Steps> = files.iter().map(|file| steps(file, out, &from)).collect();
        let chains: Vec<_> = steps.iter().map(|own| own.chain(batch)).collect();
        for made in client.enqueue_tied(&chains).await {
            made.context("enqueue")?;
        }
        client.seal_batch(batch, chains.len() as u64).await.context("seal a batch")?;
    }
    eprintln!("{} files", files.len());
    println!("{count}");
    Ok(())
}

fn steps(file: &str, out: &Path, counts: &Path) -> Steps {
    let name = name_of(file);
    let spool = out.join("spool").join(&name);
    let into = counts.join(format!("{name}.json"));
    Steps {
        read: json!({ "path": file, "spool": spool }).to_string().into_bytes(),
        count: json!({ "into": into }).to_string().into_bytes(),
    }
}
