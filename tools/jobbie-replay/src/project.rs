//! `project` and `rows`: the read model of all logs, made as the server makes it, and what is in such a file.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use jobbie_io::UringDisk;
use jobbie_io::runtime::block_on;
use jobbie_projector::pump::Pump;
use jobbie_projector::{Options, Projection, dump};
use jobbie_proto::ShardId;

use crate::data_dir;
use crate::error::{Exit, ReplayError};
use crate::overlay::Overlay;

/// Makes the read model in `out`, which must not be there yet, from what the logs have.
pub(crate) fn run(dir: &Path, out: &Path, retention_ms: u64) -> Result<Exit, ReplayError> {
    if out.exists() {
        return Err(ReplayError::Usage(format!(
            "{} is there already: name another",
            out.display()
        )));
    }
    let logs = data_dir::logs(dir)?;
    let unfinished = PathBuf::from(format!("{}.unfinished", out.display()));
    let options = Options { shards: logs.len() as u16, retention_ms, bulk: true };
    let events = block_on(make(&logs, &unfinished, out, options));
    if !matches!(events, Ok(Ok(_))) {
        // What there is of it is of no use; the error is what counts.
        std::fs::remove_file(&unfinished).ok();
    }
    writeln!(std::io::stdout(), "{}", serde_json::json!({ "events": events??, "out": out }))?;
    Ok(Exit::Sound)
}

async fn make(
    logs: &[PathBuf],
    unfinished: &Path,
    out: &Path,
    options: Options,
) -> Result<u64, ReplayError> {
    let disk = |log: &PathBuf| {
        let disk = UringDisk::open(log);
        disk.map(Overlay::new).map_err(|source| ReplayError::Dir { dir: log.clone(), source })
    };
    let disks: Vec<_> = logs.iter().map(disk).collect::<Result<_, _>>()?;
    let mut model = Projection::open(unfinished, options)?;
    let mut pump = Pump::open(disks, &mut model).await.map_err(Box::new)?;
    pump.finish(&mut model).await.map_err(Box::new)?;
    let model = model.finish_bulk(out)?;
    Ok((0..options.shards).map(|shard| model.watermark(ShardId(shard)).1.0).sum())
}

/// Prints every row of a read model. One that a server has is copied first, with what it has written lately.
pub(crate) fn rows(file: &Path) -> Result<Exit, ReplayError> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match dump(file, &mut out) {
        Err(error) if error.is_locked() => {
            let folder = std::env::temp_dir().join(format!("jobbie-rows-{}", std::process::id()));
            let copied = copy(file, &folder).and_then(|copy| Ok(dump(&copy, &mut out)?));
            // It is of no use any more; the error is what counts.
            std::fs::remove_dir_all(&folder).ok();
            copied?;
        }
        printed => printed?,
    }
    out.flush()?;
    Ok(Exit::Sound)
}

fn copy(file: &Path, folder: &Path) -> Result<PathBuf, ReplayError> {
    let failed = |source| ReplayError::Write { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let to = folder.join("copy.sqlite");
    std::fs::copy(file, &to).map_err(failed)?;
    let log = PathBuf::from(format!("{}-wal", file.display()));
    match std::fs::copy(log, folder.join("copy.sqlite-wal")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(to),
    }
}
