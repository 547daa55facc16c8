//! Every source file is part of some crate: a file no `mod` leads to is never compiled, and its tests never run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The files that the `mod` lines of `file` lead to, as pairs of candidates of which one exists.
/// `is_root` is whether the file is the root of a crate, and so owns its folder.
#[must_use]
pub fn children(file: &Path, is_root: bool, text: &str) -> Vec<[PathBuf; 2]> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let stem = file.file_stem().unwrap_or_default();
    let owns_folder = is_root || stem == "mod" || stem == "lib" || stem == "main";
    let below = if owns_folder { folder.to_owned() } else { folder.join(stem) };
    let mut found = Vec::new();
    let mut path_attribute = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            path_attribute = rest.split('"').next().map(|p| folder.join(p));
        } else if let Some(name) = mod_name(line) {
            found.push(match path_attribute.take() {
                Some(path) => [path.clone(), path],
                None => [below.join(format!("{name}.rs")), below.join(name).join("mod.rs")],
            });
        } else if let Some((_, rest)) = line.split_once("include!(\"") {
            let path = folder.join(rest.split('"').next().unwrap_or_default());
            found.push([path.clone(), path]);
        }
    }
    found
}

/// `mod name;` with any visibility.
fn mod_name(line: &str) -> Option<&str> {
    let rest = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1.trim_start(),
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let name = rest.strip_prefix("mod ")?.split_once(';')?.0.trim();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_word)).then_some(name)
}

/// The files among `sources` that nothing leads to from `roots`.
#[must_use]
pub fn unreachable(
    roots: &[PathBuf],
    sources: &BTreeSet<PathBuf>,
    read: impl Fn(&Path) -> String,
) -> Vec<PathBuf> {
    let mut reached: BTreeSet<PathBuf> = BTreeSet::new();
    let mut open: Vec<(PathBuf, bool)> = roots.iter().map(|r| (r.clone(), true)).collect();
    while let Some((file, is_root)) = open.pop() {
        if !reached.insert(file.clone()) {
            continue;
        }
        for pair in children(&file, is_root, &read(&file)) {
            open.extend(pair.into_iter().filter(|p| sources.contains(p)).map(|p| (p, false)));
        }
    }
    sources.difference(&reached).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(files: &[(&str, &str)], roots: &[&str]) -> Vec<PathBuf> {
        let sources = files.iter().map(|(path, _)| PathBuf::from(path)).collect();
        let roots: Vec<_> = roots.iter().map(PathBuf::from).collect();
        let read = |at: &Path| {
            let hit = files.iter().find(|(path, _)| Path::new(path) == at);
            hit.map_or("", |(_, text)| *text).to_owned()
        };
        unreachable(&roots, &sources, read)
    }

    #[test]
    fn a_file_without_a_mod_line_is_found() {
        let files = [("a/src/lib.rs", "pub mod b;"), ("a/src/b.rs", ""), ("a/src/lost.rs", "")];
        assert_eq!(lost(&files, &["a/src/lib.rs"]), [PathBuf::from("a/src/lost.rs")]);
    }

    #[test]
    fn files_are_followed_through_folders_paths_and_includes() {
        let files = [
            ("a/src/lib.rs", "mod b;\npub(crate) mod c;\n#[path = \"gen/w.rs\"]\nmod wire;"),
            ("a/src/b.rs", "#[cfg(test)]\nmod tests;"),
            ("a/src/b/tests.rs", ""),
            ("a/src/c/mod.rs", "mod d;\ninclude!(\"e.rs\");"),
            ("a/src/c/d.rs", ""),
            ("a/src/c/e.rs", ""),
            ("a/src/gen/w.rs", ""),
            ("tests/it/main.rs", "mod tidy;"),
            ("tests/it/tidy.rs", ""),
            ("a/benches/append.rs", "mod support;"),
            ("a/benches/support.rs", ""),
        ];
        let roots = ["a/src/lib.rs", "tests/it/main.rs", "a/benches/append.rs"];
        assert_eq!(lost(&files, &roots), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_mod_line_in_a_comment_leads_nowhere() {
        let files = [("a/src/lib.rs", "// mod b;"), ("a/src/b.rs", "")];
        assert_eq!(lost(&files, &["a/src/lib.rs"]).len(), 1);
    }
}
