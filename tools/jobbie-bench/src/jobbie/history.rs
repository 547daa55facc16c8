//! What was asked and what was answered, in the order in which it happened, safe from a crash of this machine.
//!
//! One event a line, words separated by spaces:
//!
//! | line | means |
//! |---|---|
//! | `enqueue KEY` | about to be sent |
//! | `enqueued KEY JOB` | answered with this job, new or had already |
//! | `unknown KEY` | the connection was lost before the answer |
//! | `leased JOB TOKEN GRANTED_US DEADLINE_US KEY` | a worker was given the job; times by the server's clock |
//! | `ack JOB TOKEN` | about to be sent |
//! | `acked JOB TOKEN` | answered with done |
//! | `ack-refused JOB TOKEN CODE` | answered with no |

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;

/// The file, shared by all threads of the load.
pub(crate) struct History {
    file: Mutex<File>,
}

impl History {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Appends whole lines; on disk when this returns.
    pub(crate) fn write(&self, lines: &str) -> anyhow::Result<()> {
        assert!(lines.is_empty() || lines.ends_with('\n'), "whole lines only");
        let mut file = self.file.lock().expect("writers do not panic");
        file.write_all(lines.as_bytes()).context("write history")?;
        file.sync_data().context("flush history")
    }
}
