//! The merged counts beside those of the files themselves.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::files::{Counts, add, count, files_below, words};

/// How long nothing may be merged before that is given up on.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn run(dir: &Path, out: &Path, batches: usize) -> anyhow::Result<()> {
    let mut merged = Counts::new();
    for nth in 0..batches {
        let path = out.join("merged").join(format!("{nth}.json"));
        wait_for(&path).await?;
        let counts = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        add(&mut merged, serde_json::from_slice(&counts)?);
    }
    let files = files_below(dir)?;
    let mut direct = Counts::new();
    for file in &files {
        let content = std::fs::read(file).with_context(|| format!("read {file}"))?;
        add(&mut direct, count(words(&String::from_utf8_lossy(&content))));
    }
    ensure!(merged == direct, "the merged counts are not those of the files");
    let all: u64 = merged.values().sum();
    let (files, distinct) = (files.len(), merged.len());
    println!(
        "{files} files in {batches} batches: {all} words, {distinct} distinct, as counted directly"
    );
    Ok(())
}

async fn wait_for(path: &Path) -> anyhow::Result<()> {
    let mut waited = Duration::ZERO;
    while !path.exists() {
        ensure!(waited < PATIENCE, "{} does not come", path.display());
        tokio::time::sleep(PAUSE).await;
        waited += PAUSE;
    }
    Ok(())
}
