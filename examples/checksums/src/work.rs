//! Hashing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use jobbie_client::{Client, JobContext, JobError, NewJob, Worker};
use sha2::{Digest, Sha256};

use crate::{FILES, RESULTS};

/// How long a file stays with a worker that gives no sign of life, in milliseconds.
const LEASE_MS: u32 = 5_000;
/// A file has one result, however many workers hashed it within this time.
const KEY_PERIOD: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn run(client: &Client, concurrency: u32) -> anyhow::Result<()> {
    let results = client.clone();
    let report = Worker::builder(client)
        .queue(FILES, move |job: JobContext| {
            let results = results.clone();
            async move { hash(&results, &job).await }
        })
        .concurrency(concurrency)
        .lease_ms(LEASE_MS)
        .run()
        .await
        .context("work")?;
    eprintln!("{} files hashed", report.completed);
    Ok(())
}

async fn hash(results: &Client, job: &JobContext) -> Result<Vec<u8>, JobError> {
    let path = Path::new(OsStr::from_bytes(job.payload()));
    let content = tokio::fs::read(path).await?;
    let digest = Sha256::digest(&content);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut line = format!("{hex}  ").into_bytes();
    line.extend_from_slice(job.payload());
    // The result is a job for the collector, made once for each file even when the ack is lost.
    let key = Sha256::digest(job.payload());
    results.enqueue(&NewJob::new(RESULTS, &line).key(&key, KEY_PERIOD)).await?;
    Ok(hex.into_bytes())
}
