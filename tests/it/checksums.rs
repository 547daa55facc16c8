//! The example on real files, with the server killed under it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jobbie_tests::server::{Server, binary, free_address, setting};
use jobbie_tests::tidy::repo;

/// A process of the example, killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn checksums(addr: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary("checksums"));
    command.args(args).args(["--addr", addr]).stdin(Stdio::null());
    command
}

/// What `sha256sum` says of every file below `dir`.
fn expected(dir: &str) -> BTreeSet<String> {
    let script = "find \"$1\" -type f -print0 | xargs -0 -r sha256sum";
    let out = Command::new("sh").args(["-c", script, "sh", dir]).output().expect("start sha256sum");
    assert!(out.status.success(), "{out:?}");
    String::from_utf8_lossy(&out.stdout).lines().map(Into::into).collect()
}

#[test]
fn r01_r09_r13_every_file_is_hashed_once_though_the_server_is_killed() {
    let kills = setting("JOBBIE_TEST_CHECKSUMS_KILLS", 3);
    let dir = std::env::var_os("JOBBIE_TEST_CHECKSUMS_DIR")
        .map_or_else(|| repo::root().join("engine"), PathBuf::from);
    let dir = dir.to_str().expect("a UTF-8 path");
    let expected = expected(dir);
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, listen) = (folder.path().join("data"), free_address(2));
    let flags = ["--shards", "2"];
    let mut server = Server::start(&data_dir, listen, &flags);
    let at = server.addr();
    let spawn = |command: &mut Command| Process(command.spawn().expect("start the example"));
    let _workers = [spawn(&mut checksums(&at, &["work"])), spawn(&mut checksums(&at, &["work"]))];
    let mut producer = spawn(checksums(&at, &["produce", dir]).stdout(Stdio::null()));
    let count = expected.len().to_string();
    let out = std::fs::File::create(folder.path().join("collected")).expect("create");
    let mut collector = spawn(checksums(&at, &["collect", &count]).stdout(out));
    for kill in 0..kills {
        std::thread::sleep(Duration::from_millis(40 + 150 * u64::from(kill)));
        server.kill();
        server = Server::start(&data_dir, listen, &flags);
    }
    assert!(producer.0.wait().expect("wait for the producer").success());
    assert!(collector.0.wait().expect("wait for the collector").success());
    let collected = std::fs::read_to_string(folder.path().join("collected")).expect("read");
    let lines: Vec<String> = collected.lines().map(Into::into).collect();
    println!("{} files, {kills} kills, {} results", expected.len(), lines.len());
    assert_eq!(lines.len(), expected.len(), "each result once");
    assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), expected);
}
