//! One step of a chore: a command, its name and how long it took.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

/// A named command that must succeed.
pub(crate) struct Step {
    name: String,
    command: Command,
}

impl Step {
    pub(crate) fn new(name: impl Into<String>, command: Command) -> Self {
        Self { name: name.into(), command }
    }

    /// Runs it with its output passed through.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let words: Vec<_> = self.command.get_args().map(|a| a.to_string_lossy()).collect();
        let program = Path::new(self.command.get_program()).file_name().unwrap_or_default();
        eprintln!("\n== {}: {} {}", self.name, program.to_string_lossy(), words.join(" "));
        let begin = Instant::now();
        let status = self.command.status().with_context(|| format!("start {}", self.name))?;
        eprintln!("== {}: {status}, {:.1} s", self.name, begin.elapsed().as_secs_f64());
        if !status.success() {
            bail!("{} failed ({status})", self.name);
        }
        Ok(())
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("tools/xtask is two below the root").to_owned()
}

/// A cargo command at the root.
pub(crate) fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Whether a program answers to `--version`.
pub(crate) fn is_installed(program: &str, args: &[&str]) -> bool {
    let out = Command::new(program).args(args).output();
    out.is_ok_and(|out| out.status.success())
}
