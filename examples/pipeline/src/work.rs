//! The steps. Each may be done more than once: it writes the same file again.

use std::path::{Path, PathBuf};

use anyhow::Context;
use jobbie_client::{Client, JobContext, JobError, Worker};
use serde_json::{Value, json};

use crate::files::{Counts, add, count, words, write_whole};
use crate::{COUNT, MERGE, READ, TOKENISE};

/// How long a job stays with a worker that gives no sign of life, in milliseconds.
const LEASE_MS: u32 = 2_000;

pub(crate) async fn run(client: &Client, concurrency: u32) -> anyhow::Result<()> {
    let report = Worker::builder(client)
        .queue(READ, async |job: JobContext| read(&job).await)
        .queue(TOKENISE, async |job: JobContext| tokenise(&job).await)
        .queue(COUNT, async |job: JobContext| count_words(&job).await)
        .queue(MERGE, async |job: JobContext| merge(&job).await)
        .concurrency(concurrency)
        .lease_ms(LEASE_MS)
        .run()
        .await
        .context("work")?;
    eprintln!("{} jobs done", report.completed);
    Ok(())
}

fn payload(job: &JobContext) -> Result<Value, JobError> {
    serde_json::from_slice(job.payload()).map_err(|error| JobError::permanent(error.to_string()))
}

/// A path in a payload.
fn path(payload: &Value, at: &[&str]) -> Result<PathBuf, JobError> {
    let found = at.iter().try_fold(payload, |value, key| value.get(key));
    let text = found.and_then(Value::as_str);
    text.map(PathBuf::from).ok_or_else(|| JobError::permanent(format!("no {at:?} in the payload")))
}

fn result(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

async fn read(job: &JobContext) -> Result<Vec<u8>, JobError> {
    let payload = payload(job)?;
    let (from, spool) = (path(&payload, &["path"])?, path(&payload, &["spool"])?);
    let content = tokio::fs::read(from).await?;
    write_whole(&spool, &content).await?;
    Ok(result(&json!({ "text": spool })))
}

async fn tokenise(job: &JobContext) -> Result<Vec<u8>, JobError> {
    let from = path(&payload(job)?, &["previous_result", "text"])?;
    let content = tokio::fs::read(&from).await?;
    let text = String::from_utf8_lossy(&content);
    let lines: String = words(&text).flat_map(|word| [word, "\n"]).collect();
    let tokens = from.with_extension("words");
    write_whole(&tokens, lines.as_bytes()).await?;
    Ok(result(&json!({ "words": tokens })))
}

async fn count_words(job: &JobContext) -> Result<Vec<u8>, JobError> {
    let payload = payload(job)?;
    let (from, into) = (path(&payload, &["previous_result", "words"])?, path(&payload, &["into"])?);
    let text = tokio::fs::read_to_string(from).await?;
    let counts = count(text.lines());
    write_whole(&into, &serde_json::to_vec(&counts)?).await?;
    Ok(result(&json!({ "distinct": counts.len() })))
}

async fn merge(job: &JobContext) -> Result<Vec<u8>, JobError> {
    let payload = payload(job)?;
    let (from, to) = (path(&payload, &["from"])?, path(&payload, &["to"])?);
    let batch = &payload["batch"];
    if batch["succeeded"] != batch["total"] {
        return Err(JobError::permanent(format!("files failed: {batch}")));
    }
    let counts = sum_of(&from).await?;
    if Some(counts.0) != batch["total"].as_u64() {
        let text = format!("{} counts below {}, and {batch}", counts.0, from.display());
        return Err(JobError::permanent(text));
    }
    write_whole(&to, &serde_json::to_vec(&counts.1)?).await?;
    Ok(result(&json!({ "files": counts.0 })))
}

/// How many counts are in a folder, and their sum.
async fn sum_of(folder: &Path) -> Result<(u64, Counts), JobError> {
    let (mut files, mut sum) = (0, Counts::new());
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name();
        // What a killed worker left half-written begins with a dot.
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        files += 1;
        add(&mut sum, serde_json::from_slice(&tokio::fs::read(entry.path()).await?)?);
    }
    Ok((files, sum))
}
