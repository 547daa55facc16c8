//! Python packages for checks, each set in a virtual environment of its own below `target/`.

use std::path::PathBuf;
use std::process::Command;

use crate::step::{Step, root};

/// The virtual environment `target/<name>` with `packages`, made when it is not there.
pub(crate) fn with(name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let home = root().join("target").join(name);
    let done = home.join("installed");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&done).is_ok_and(|found| found == wanted) {
        return Ok(home);
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&home);
    Step::new("virtual environment", venv).run()?;
    let mut install = Command::new(home.join("bin/pip"));
    install.args(["install", "--quiet"]).args(packages);
    Step::new("install Python packages", install).run()?;
    std::fs::write(&done, wanted)?;
    Ok(home)
}
