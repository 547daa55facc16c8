//! Runs the README's quick start as it is written, so that what a newcomer types is what was tested.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::step::{Step, root};

/// The heading under which the quick start stands.
const HEADING: &str = "## Quick start";
/// How long a fresh machine may take to build and start the server.
const START_MAX: Duration = Duration::from_secs(20 * 60);
/// Where the quick start's server listens, by its own protocol and for HTTP.
const ADDRS: [&str; 2] = ["127.0.0.1:7400", "127.0.0.1:8080"];

/// Runs the first block as the server and the others as clients, one after the other.
pub(crate) fn run() -> anyhow::Result<()> {
    let readme = std::fs::read_to_string(root().join("README.md")).context("read README.md")?;
    let blocks = blocks(&readme)?;
    let [server, clients @ ..] = blocks.as_slice() else {
        bail!("the quick start has no commands");
    };
    ensure!(
        clients.len() == 2,
        "the quick start has {} blocks for clients, not two",
        clients.len()
    );
    for addr in ADDRS {
        let taken = std::net::TcpStream::connect(addr).is_ok();
        ensure!(!taken, "something else listens on {addr}, stop it first");
    }
    let folder = tempfile::tempdir().context("make a folder")?;
    link_target()?;
    let mut running = Server::start(server, folder.path())?;
    running.wait_until_listening()?;
    clients
        .iter()
        .try_for_each(|client| Step::new("quick start", shell(client, folder.path())).run())
}

/// The `sh` blocks below the heading.
fn blocks(readme: &str) -> anyhow::Result<Vec<String>> {
    let (_, rest) = readme.split_once(HEADING).context("README.md has no quick start")?;
    let section = rest.split("\n## ").next().unwrap_or_default();
    let fenced = section.split("```sh\n").skip(1).filter_map(|b| b.split_once("```"));
    Ok(fenced.map(|(block, _)| block.to_owned()).collect())
}

/// The text is run at the root, as the reader does it, but its data ends up in `folder`.
fn shell(text: &str, folder: &Path) -> Command {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", text]).current_dir(root());
    command.env("JOBBIE_DATA_DIR", folder.join("jobbie-data"));
    command
}

/// Makes `target/` lead to where cargo really builds, since the quick start names it.
fn link_target() -> anyhow::Result<()> {
    let link = root().join("target");
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from)
        && !link.exists()
    {
        std::os::unix::fs::symlink(&target, &link).context("link target/")?;
    }
    Ok(())
}

/// The quick start's server, ended when dropped.
struct Server {
    child: Child,
}

impl Server {
    fn start(text: &str, folder: &Path) -> anyhow::Result<Self> {
        use std::os::unix::process::CommandExt;
        let mut command = shell(text, folder);
        command.process_group(0);
        eprintln!("\n== quick start, server: {}", text.trim());
        Ok(Self { child: command.spawn().context("start bash")? })
    }

    fn wait_until_listening(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < START_MAX {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once ({status})");
            }
            if ADDRS.iter().all(|addr| std::net::TcpStream::connect(addr).is_ok()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the server does not listen on {ADDRS:?} after {} s", START_MAX.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The whole group: bash, cargo and the server.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_those_below_the_heading() {
        let readme = "```sh\nno\n```\n## Quick start\n```sh\na\n```\nthen\n```sh\nb\nc\n```\n## Next\n```sh\nno\n```";
        assert_eq!(blocks(readme).expect("there is a quick start"), ["a\n", "b\nc\n"]);
        assert!(blocks("# jobbie").is_err());
    }
}
