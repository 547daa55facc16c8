//! The rules of the house, over the whole repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jobbie_tests::tidy::{imports, modules, owners, repo, source};

#[track_caller]
fn none<T: ToString>(what: &str, found: &[T]) {
    let list: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{what}:\n  {}", list.join("\n  "));
}

#[test]
fn imports_point_down() {
    none("imports", &imports::violations(&repo::metadata(&repo::root())));
}

#[test]
fn every_file_has_an_owner() {
    let files = repo::files(&repo::root());
    assert!(files.len() > 20, "git lists only {} files", files.len());
    none(
        "files without an owner (tests/src/tidy/owners.rs)",
        &owners::without_owner(files.iter().map(String::as_str)),
    );
}

#[test]
fn every_source_file_is_compiled() {
    let root = repo::root();
    let metadata = repo::metadata(&root);
    let relative = |path: &str| Path::new(path).strip_prefix(&root).map(Path::to_owned);
    let mut roots: Vec<PathBuf> = metadata
        .packages
        .iter()
        .flat_map(|p| &p.targets)
        .map(|t| relative(&t.src_path).expect("targets are in the repository"))
        .collect();
    let files = repo::files(&root);
    let known: BTreeSet<_> =
        metadata.packages.iter().filter_map(|p| relative(&p.manifest_path).ok()).collect();
    for manifest in files.iter().filter(|f| f.ends_with("/Cargo.toml")) {
        if !known.contains(Path::new(manifest)) {
            let text = std::fs::read_to_string(root.join(manifest)).expect("read manifest");
            roots.extend(repo::targets_of(manifest, &text));
        }
    }
    let sources = files.iter().filter(|f| f.ends_with(".rs")).map(PathBuf::from).collect();
    let read = |file: &Path| std::fs::read_to_string(root.join(file)).unwrap_or_default();
    let lost = modules::unreachable(&roots, &sources, read);
    let lost: Vec<_> = lost.iter().map(|p| p.display()).collect();
    none("source files that no `mod` leads to", &lost);
}

#[test]
fn files_keep_the_rules() {
    let root = repo::root();
    let mut found = Vec::new();
    for file in repo::files(&root) {
        // Golden bytes and other binary files are not text, and the lock file is not ours.
        if let Ok(text) = std::fs::read_to_string(root.join(&file))
            && file != "Cargo.lock"
        {
            found.extend(source::violations(&file, &text));
        }
    }
    none("house rules", &found);
}
