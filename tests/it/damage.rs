//! The real server on a data directory in which something has rotted.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jobbie_tests::server::{Server, free_address, run};

/// A snapshot is due after a mebibyte of log, the least there is.
const FLAGS: [&str; 4] = ["--shards", "1", "--snapshot-log-bytes", "1MiB"];
const JOBS: &str = "30000";

/// Snapshots of the only shard, oldest first.
fn snapshots(data_dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(data_dir.join("shard-000")).expect("list the log");
    let mut paths: Vec<_> = files.map(|file| file.expect("list the log").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "snap"));
    paths.sort();
    paths
}

fn flip(path: &Path, offset: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).expect("open");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("read");
    file.write_all_at(&[byte[0] ^ 4], offset).expect("damage");
}

/// Queues and their counts, as printed.
fn queues(addr: &str) -> String {
    let out = run("jobbie", &["queues", "--addr", addr, "--output", "jsonl"]);
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).expect("JSON")
}

#[test]
fn r17_the_older_snapshot_serves_when_the_newer_has_rotted() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(1));
    let dir = data_dir.to_str().expect("temporary paths are UTF-8");
    let server = Server::start(&data_dir, addr, &FLAGS);
    let load = ["enqueue", "--addr", &server.addr(), "--connections", "4", "--jobs", JOBS];
    let out = run("jobbie-bench", &[&load[..], &["--batch", "20", "--keep", "--json"]].concat());
    assert!(out.status.success(), "{out:?}");
    let before = queues(&server.addr());
    assert!(before.contains(JOBS), "{before}");
    // Where the log begins is written down when it rests; until then it begins at its first entry.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(server.stop(), Some(0));
    let out = run("jobbie-replay", &["state", "--from", "zero", dir]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("the log begins at"), "{out:?}");
    let [older, newer] = snapshots(&data_dir).try_into().expect("two snapshots are kept");

    flip(&newer, 4096 + 500);
    let out = run("jobbie-replay", &["verify", dir]);
    let name = newer.file_name().expect("it has one").to_str().expect("UTF-8");
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains(name), "{out:?}");

    let server = Server::start(&data_dir, addr, &FLAGS);
    assert_eq!(queues(&server.addr()), before);
    assert_eq!(server.stop(), Some(0));
    let left = snapshots(&data_dir);
    assert!(left.contains(&older) && !left.contains(&newer), "{left:?}");
    assert_eq!(run("jobbie-replay", &["verify", dir]).status.code(), Some(0));
}
