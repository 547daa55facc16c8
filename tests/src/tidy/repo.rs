//! The repository as the rules see it: the files git knows, and cargo's view of the crates.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::imports::Metadata;

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is below the root").to_owned()
}

/// Whether a tool wrote the file, by the sentence such tools begin with.
#[must_use]
pub fn is_generated(text: &str) -> bool {
    text.lines().take(3).any(|line| line.contains("automatically generated"))
}

/// Every file that is tracked or would be, relative to the root, sorted.
///
/// # Panics
/// When git is missing or the root is not a repository.
#[must_use]
pub fn files(root: &Path) -> Vec<String> {
    let args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let out = run(Command::new("git").args(args).current_dir(root));
    let mut files: Vec<String> =
        out.split('\0').filter(|path| root.join(path).is_file()).map(Into::into).collect();
    files.sort();
    files.dedup();
    files
}

/// What cargo knows of the workspace.
///
/// # Panics
/// When cargo fails.
#[must_use]
pub fn metadata(root: &Path) -> Metadata {
    let args = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let out = run(Command::new(env!("CARGO")).args(args).current_dir(root));
    serde_json::from_str(&out).expect("cargo metadata prints JSON")
}

/// The root files of the targets of a manifest outside the workspace, such as a fuzz crate.
///
/// # Panics
/// When the manifest does not parse.
#[must_use]
pub fn targets_of(manifest: &str, text: &str) -> Vec<PathBuf> {
    let folder = Path::new(manifest).parent().unwrap_or(Path::new(""));
    let table: toml::Table = text.parse().unwrap_or_else(|e| panic!("{manifest}: {e}"));
    let mut roots =
        vec![folder.join("src/lib.rs"), folder.join("src/main.rs"), folder.join("build.rs")];
    for kind in ["bin", "test", "bench", "example"] {
        let targets = table.get(kind).and_then(toml::Value::as_array).into_iter().flatten();
        roots.extend(targets.filter_map(|t| Some(folder.join(t.get("path")?.as_str()?))));
    }
    roots
}

fn run(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("paths and metadata are UTF-8")
}
