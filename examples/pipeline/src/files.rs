//! Files, words and counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};

/// How often each word is there.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Every regular file below `dir` whose path is text; links are not followed.
pub(crate) fn files_below(dir: &Path) -> anyhow::Result<Vec<String>> {
    let (mut files, mut folders) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.extend(entry.path().to_str().map(str::to_owned));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The words of a text, in order.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.split(move |c| !is_word(c)).filter(|word| !word.is_empty())
}

pub(crate) fn count<'a>(words: impl Iterator<Item = &'a str>) -> Counts {
    let mut counts = Counts::new();
    for word in words {
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                counts.insert(word.to_owned(), 1);
            }
        }
    }
    counts
}

pub(crate) fn add(counts: &mut Counts, more: Counts) {
    for (word, count) in more {
        *counts.entry(word).or_default() += count;
    }
}

/// A name for what belongs to a path, the same for every worker that does it again.
pub(crate) fn name_of(path: &str) -> String {
    Sha256::digest(path).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file whole or not at all, whoever else writes it at the same time.
pub(crate) async fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    tokio::fs::create_dir_all(folder).await?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary: PathBuf = folder.join(format!(".{name}.{}", std::process::id()));
    tokio::fs::write(&temporary, content).await?;
    tokio::fs::rename(&temporary, path).await
}
