//! One job a file.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use jobbie_client::{Client, NewJob};
use sha2::{Digest, Sha256};

use crate::FILES;

/// Jobs in one call.
const BATCH: usize = 1000;
/// A file is a job once, however often the producer is started within this time.
const KEY_PERIOD: Duration = Duration::from_secs(24 * 3600);
/// A worker that dies gives its file back; some files see several die.
const ATTEMPTS: u32 = 100;

pub(crate) async fn run(client: &Client, dir: &Path) -> anyhow::Result<()> {
    let files = files_below(dir)?;
    for batch in files.chunks(BATCH) {
        // The path itself may be longer than a key.
        let keys: Vec<_> =
            batch.iter().map(|file| Sha256::digest(file.as_os_str().as_bytes())).collect();
        let job = |(file, key): (&'_ PathBuf, &'_ sha2::digest::Output<Sha256>)| {
            (file.as_os_str().as_bytes().to_vec(), key.to_vec())
        };
        let owned: Vec<(Vec<u8>, Vec<u8>)> = batch.iter().zip(&keys).map(job).collect();
        let new: Vec<_> = owned
            .iter()
            .map(|(path, key)| NewJob::new(FILES, path).key(key, KEY_PERIOD).attempts(ATTEMPTS))
            .collect();
        for done in client.enqueue_many(&new).await {
            done.context("enqueue")?;
        }
    }
    println!("{}", files.len());
    Ok(())
}

/// Every regular file below `dir`; links are not followed.
fn files_below(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}
