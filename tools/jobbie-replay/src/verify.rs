//! `verify`: is every record as it was written?

use std::io::Write;
use std::path::Path;

use jobbie_io::runtime::block_on;
use serde_json::json;

use crate::data_dir;
use crate::error::{Exit, ReplayError};
use crate::running::is_running;

/// Checks every log and goes on after a bad one; the worst decides the exit code.
pub(crate) fn run(dir: &Path) -> Result<Exit, ReplayError> {
    let mut worst = Exit::Sound;
    for log in data_dir::logs(dir)? {
        let found = match one(&log) {
            Ok(exit) => exit,
            Err(ReplayError::Print(e)) => return Err(e.into()),
            Err(e) => {
                eprintln!("error: {e}");
                e.exit()
            }
        };
        worst = worst.max(found);
    }
    Ok(worst)
}

fn one(dir: &Path) -> Result<Exit, ReplayError> {
    let verify = async || {
        let disk = data_dir::disk(dir).await?;
        let failed = |source| ReplayError::Open { dir: dir.into(), source: Box::new(source) };
        jobbie_log::verify(&disk).await.map_err(failed)
    };
    let verified = block_on(data_dir::again(dir, verify))??;
    let is_running = is_running(dir);
    // Where a server is writing, the end is not torn but not yet written.
    let torn = verified.torn.as_ref().filter(|_| !is_running);
    let damages: Vec<_> = verified.superblock.iter().chain(&verified.damaged_snapshots).collect();
    let verdict = match torn {
        _ if !damages.is_empty() => "damaged",
        Some(_) => "torn tail",
        None => "sound",
    };
    let line = json!({
        "dir": dir.display().to_string(),
        "verdict": verdict,
        "running": is_running,
        "shard": verified.identity.shard,
        "node": verified.identity.node,
        "segments": verified.segments,
        "records": verified.records,
        "last_index": verified.last_index,
        "snapshots": verified.snapshots,
        "torn": torn.map(|t| json!({ "file": t.file, "offset": t.offset, "bytes": t.bytes })),
    });
    writeln!(std::io::stdout(), "{line}")?;
    for damage in &damages {
        eprintln!(
            "error: {}: {damage}; another copy is sound, and the server starts from that",
            dir.display()
        );
    }
    if !damages.is_empty() {
        return Ok(Exit::Damaged);
    }
    if let Some(torn) = torn {
        let (file, offset) = (dir.join(&torn.file), torn.offset);
        eprintln!(
            "torn tail: {} at offset {offset}; nothing in it was acknowledged",
            file.display()
        );
        return Ok(Exit::Torn);
    }
    Ok(Exit::Sound)
}
