//! The data directory of a node: who it belongs to and how many shards it has.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jobbie_io::{DirLock, LockError};
use jobbie_log::Identity;

const MANIFEST: &str = "node";
const TEMPORARY: &str = "node.new";
const HEADER: &str = "jobbie node 1";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// It was made with another number of shards.
    #[error(
        "{dir} was made with {found} shards, not {asked}: leave --shards out, or start with another \
         --data-dir"
    )]
    Shards {
        /// The directory.
        dir: PathBuf,
        /// What was asked for.
        asked: u16,
        /// What it has.
        found: u16,
    },
    /// The manifest is not one.
    #[error("{file} is damaged ({why}): put back the copy of a backup; the shards are untouched")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There are shards and no manifest.
    #[error(
        "{dir} has shards and no file `{MANIFEST}`: it is a part of a data directory; put the file back, \
         or start with another --data-dir"
    )]
    Headless {
        /// The directory.
        dir: PathBuf,
    },
    /// The system refused.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An opened, locked data directory.
#[derive(Debug)]
pub struct DataDir {
    dir: PathBuf,
    manifest: Manifest,
    _lock: DirLock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Manifest {
    cluster: u128,
    node: u64,
    store: u128,
    shards: u16,
}

impl DataDir {
    /// Opens `dir`, or makes it with `shards` shards (or `shards_default`).
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn open(
        dir: &Path,
        shards: Option<u16>,
        shards_default: u16,
    ) -> Result<Self, DataDirError> {
        make_dir(dir)?;
        let lock = DirLock::acquire(dir)?;
        let path = dir.join(MANIFEST);
        let manifest = match fs::read_to_string(&path) {
            Ok(text) => Manifest::parse(&text)
                .map_err(|why| DataDirError::Damaged { file: path.clone(), why })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if shard_dir(dir, 0).exists() {
                    return Err(DataDirError::Headless { dir: dir.to_owned() });
                }
                let manifest = Manifest::new(shards.unwrap_or(shards_default));
                manifest.write(dir)?;
                manifest
            }
            Err(source) => return Err(DataDirError::Io { action: "read", path, source }),
        };
        if let Some(asked) = shards.filter(|asked| *asked != manifest.shards) {
            let (dir, found) = (dir.to_owned(), manifest.shards);
            return Err(DataDirError::Shards { dir, asked, found });
        }
        for shard in 0..manifest.shards {
            make_dir(&shard_dir(dir, shard))?;
        }
        sync_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), manifest, _lock: lock })
    }

    /// How many shards it has.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.manifest.shards
    }

    /// The node it belongs to.
    #[must_use]
    pub fn node(&self) -> u64 {
        self.manifest.node
    }

    /// Its random name.
    #[must_use]
    pub fn store(&self) -> u128 {
        self.manifest.store
    }

    /// Where a shard's log is.
    #[must_use]
    pub fn shard_dir(&self, shard: u16) -> PathBuf {
        shard_dir(&self.dir, shard)
    }

    /// Where the read model is.
    #[must_use]
    pub fn read_model_dir(&self) -> PathBuf {
        self.dir.join("read-model")
    }

    /// What a shard's log must say of itself.
    #[must_use]
    pub fn identity(&self, shard: u16) -> Identity {
        let Manifest { cluster, node, store, .. } = self.manifest;
        Identity { cluster, node, shard: u32::from(shard), store }
    }
}

/// Where the log of `shard` is in the data directory `dir`.
#[must_use]
pub fn shard_dir(dir: &Path, shard: u16) -> PathBuf {
    dir.join(format!("shard-{shard:03}"))
}

impl Manifest {
    fn new(shards: u16) -> Self {
        let (cluster, store) = (rand::random(), rand::random());
        Self { cluster, node: 1, store, shards }
    }

    fn text(&self) -> String {
        let Self { cluster, node, store, shards } = self;
        let body = format!(
            "{HEADER}\ncluster {cluster:032x}\nnode {node}\nstore {store:032x}\nshards {shards}\n"
        );
        format!("{body}crc32 {:08x}\n", crc32fast::hash(body.as_bytes()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let at = text.rfind("crc32 ").ok_or("it has no checksum")?;
        let (body, crc) = text.split_at(at);
        if crc != format!("crc32 {:08x}\n", crc32fast::hash(body.as_bytes())) {
            return Err("its checksum does not match".to_owned());
        }
        let mut lines = body.lines();
        if lines.next() != Some(HEADER) {
            return Err(format!("its first line is not `{HEADER}`: a newer release made it"));
        }
        let mut value = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name));
            line.map(str::trim).ok_or_else(|| format!("it does not say `{name}`"))
        };
        let hex = |text: &str| u128::from_str_radix(text, 16).map_err(|error| error.to_string());
        let cluster = hex(value("cluster")?)?;
        let node = value("node")?.parse().map_err(|_| "its node is no number")?;
        let store = hex(value("store")?)?;
        let shards = value("shards")?.parse().map_err(|_| "its shards are no number")?;
        Ok(Self { cluster, node, store, shards })
    }

    fn write(&self, dir: &Path) -> Result<(), DataDirError> {
        let (temporary, path) = (dir.join(TEMPORARY), dir.join(MANIFEST));
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { action, path, source }
        };
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(failed("create", &temporary))?;
        file.write_all(self.text().as_bytes()).map_err(failed("write", &temporary))?;
        file.sync_all().map_err(failed("flush", &temporary))?;
        fs::rename(&temporary, &path).map_err(failed("rename to", &path))?;
        sync_dir(dir)
    }
}

fn make_dir(dir: &Path) -> Result<(), DataDirError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| DataDirError::Io { action: "create", path: dir.to_owned(), source })
}

fn sync_dir(dir: &Path) -> Result<(), DataDirError> {
    let synced = fs::File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| DataDirError::Io { action: "flush", path: dir.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_names_and_its_number_of_shards() {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, identity) = {
            let made = DataDir::open(dir.path(), None, 3).expect("made");
            assert_eq!(made.shards(), 3);
            (made.store(), made.identity(2))
        };
        let again = DataDir::open(dir.path(), Some(3), 1).expect("opened");
        assert_eq!((again.store(), again.identity(2)), (store, identity));
        drop(again);
        let other = DataDir::open(dir.path(), Some(2), 1);
        assert!(matches!(other, Err(DataDirError::Shards { asked: 2, found: 3, .. })));
    }

    #[test]
    fn r21_every_cut_and_every_flipped_bit_of_the_manifest_is_noticed() {
        let manifest = Manifest::new(7);
        let text = manifest.text();
        assert_eq!(Manifest::parse(&text), Ok(manifest));
        for cut in 0..text.len() {
            assert!(Manifest::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(damaged) = String::from_utf8(bytes) {
                assert!(Manifest::parse(&damaged).is_err(), "flipped at {at}");
            }
        }
    }

    #[test]
    fn two_servers_never_share_a_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let _first = DataDir::open(dir.path(), None, 1).expect("made");
        assert!(matches!(DataDir::open(dir.path(), None, 1), Err(DataDirError::Locked(_))));
    }

    #[test]
    fn shards_without_a_manifest_are_not_taken_for_a_new_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(shard_dir(dir.path(), 0)).expect("made");
        let opened = DataDir::open(dir.path(), None, 1);
        assert!(matches!(opened, Err(DataDirError::Headless { .. })));
    }
}
