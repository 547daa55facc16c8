//! The file as it looks from outside: whether it is still the one that was opened.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::schema;

const HEADER_BYTES: usize = 100;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A file that is to stay what it is while it is open. Only the one who writes it may look: a checkpoint of somebody else could lie
/// between two looks. It is held open as long as the database is: closing any descriptor of a file gives up the locks that SQLite
/// holds on it.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    file: File,
    /// Whether the log of changes was seen beside it.
    has_log: bool,
}

impl Watched {
    /// The file that is there now.
    ///
    /// # Errors
    /// [`Error::Damaged`] when there is none, or it is no read model.
    pub fn of(path: &Path) -> Result<Self> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return damaged("it is gone"),
            file => file?,
        };
        let mut watched = Self { path: path.to_owned(), file, has_log: false };
        watched.check()?;
        Ok(watched)
    }

    /// Whether it still is.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it was removed, replaced, cut off or written over.
    pub fn check(&mut self) -> Result<()> {
        let is = self.file.metadata()?;
        let there = match fs::metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return damaged("it is gone"),
            there => there?,
        };
        if (is.dev(), is.ino()) != (there.dev(), there.ino()) {
            return damaged("another file is in its place");
        }
        let mut log: OsString = self.path.as_os_str().to_owned();
        log.push("-wal");
        let is_log_there = Path::new(&log).exists();
        if self.has_log && !is_log_there {
            return damaged("its log of changes is gone");
        }
        self.has_log = is_log_there;
        let mut header = [0; HEADER_BYTES];
        if self.file.read_exact_at(&mut header, 0).is_err() {
            return damaged("it is cut off");
        }
        let number = |at: usize| -> u32 {
            header[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
        };
        if &header[..MAGIC.len()] != MAGIC || i64::from(number(68)) != schema::APPLICATION {
            return damaged("it is no read model");
        }
        let page = match number(16) >> 16 {
            1 => 65_536,
            bytes => u64::from(bytes),
        };
        if is.len() < page * u64::from(number(28)) {
            return damaged("it is cut off");
        }
        Ok(())
    }
}

fn damaged<V>(why: &str) -> Result<V> {
    Err(Error::Damaged(why.into()))
}
