//! Printing results.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use jobbie_client::{Client, FetchOptions};

use crate::RESULTS;

/// Results in one call.
const BATCH: u32 = 500;
/// How long a call waits for results, in milliseconds.
const WAIT_MS: u32 = 1_000;
/// How long results stay with a collector that gives no sign of life, in milliseconds.
const LEASE_MS: u32 = 5_000;
/// Pause after a failed call.
const REST: Duration = Duration::from_millis(100);

/// Prints each result as it comes. A result that comes again, because the server was killed between the line and its ack, is
/// not printed again.
pub(crate) async fn run(client: &Client, count: usize) -> anyhow::Result<()> {
    let mut printed: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut out = std::io::stdout().lock();
    while printed.len() < count {
        let options = FetchOptions { count: BATCH, lease_ms: LEASE_MS, wait_ms: WAIT_MS };
        let Ok(jobs) = client.fetch(&[RESULTS], options).await else {
            // Whatever was leased unseen comes again when its lease ends.
            tokio::time::sleep(REST).await;
            continue;
        };
        for job in jobs {
            if printed.insert(job.payload.to_vec()) {
                out.write_all(&job.payload).and_then(|()| out.write_all(b"\n")).context("print")?;
            }
            // An ack that fails leaves the result to come again.
            let _ = client.ack(job.lease(), b"").await;
        }
    }
    out.flush().context("print")
}
