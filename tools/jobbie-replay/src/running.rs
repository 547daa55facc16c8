//! Whether a server is at work in a directory. It is only looked for, never locked out.

use std::os::linux::fs::MetadataExt;
use std::path::Path;

/// The file that a running server has locked.
const LOCK: &str = "LOCK";

/// Whether a process has locked the data directory that `log` is in.
pub(crate) fn is_running(log: &Path) -> bool {
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else { return false };
    let log = log.canonicalize().unwrap_or_else(|_| log.to_owned());
    log.ancestors().take(3).any(|dir| match std::fs::metadata(dir.join(LOCK)) {
        Ok(file) => locks.lines().any(|line| names(line, file.st_dev(), file.st_ino())),
        Err(_) => false,
    })
}

/// Whether a line such as `1: FLOCK  ADVISORY  WRITE 4711 fd:01:1234 0 EOF` is of that file, and no mere wish.
fn names(line: &str, device: u64, inode: u64) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let is_lock = words.next() == Some("FLOCK");
    let place = words.find(|word| word.matches(':').count() == 2);
    let parts: Option<Vec<&str>> = place.map(|place| place.split(':').collect());
    let Some([major, minor, number]) = parts.as_deref() else { return false };
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    // As the kernel takes a device number apart.
    let [its_major, its_minor] =
        [device >> 8 & 0xfff | device >> 32 & !0xfff, device & 0xff | device >> 12 & 0xffff_ff00];
    // The device of a file on an overlay or a btrfs is not the one that the kernel tells here.
    let same_device = (hex(major), hex(minor)) == (Some(its_major), Some(its_minor));
    let anonymous = hex(major) == Some(0) || its_major == 0;
    is_lock && number.parse() == Ok(inode) && (same_device || anonymous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_while_it_is_held() {
        let dir = tempfile::tempdir().expect("make a folder");
        let shard = dir.path().join("shard-000");
        std::fs::create_dir(&shard).expect("make a folder");
        assert!(!is_running(&shard));
        let lock = jobbie_io::DirLock::acquire(dir.path()).expect("nobody has it");
        assert!(is_running(&shard));
        drop(lock);
        assert!(!is_running(&shard));
    }

    #[test]
    fn a_line_of_another_file_or_kind_is_not_meant() {
        let line = "3: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF";
        assert!(names(line, 0x801, 1234));
        assert!(!names(line, 0x801, 1235) && !names(line, 0x802, 1234));
        assert!(!names(&line.replace("FLOCK ", "POSIX "), 0x801, 1234));
        assert!(!names("", 0x801, 1234));
    }
}
