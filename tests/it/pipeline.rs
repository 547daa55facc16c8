//! The example on real files, with its workers killed at random and the server under them.

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

fn pipeline(addr: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary("pipeline"));
    command.args(args).args(["--addr", addr]).stdin(Stdio::null());
    command
}

fn worker(addr: &str) -> Process {
    Process(pipeline(addr, &["work"]).spawn().expect("start a worker"))
}

#[test]
fn words_are_counted_right_though_workers_and_server_are_killed() {
    let kills = setting("JOBBIE_TEST_PIPELINE_KILLS", 6);
    let dir = std::env::var_os("JOBBIE_TEST_PIPELINE_DIR")
        .map_or_else(|| repo::root().join("engine/core"), PathBuf::from);
    let dir = dir.to_str().expect("a UTF-8 path");
    let folder = tempfile::tempdir().expect("make a folder");
    let out = folder.path().join("out");
    let out = out.to_str().expect("a UTF-8 path");
    let (data_dir, listen) = (folder.path().join("data"), free_address(4));
    let flags = ["--shards", "4"];
    let mut server = Server::start(&data_dir, listen, &flags);
    let at = server.addr();
    let mut workers = [worker(&at), worker(&at), worker(&at)];
    let mut command = pipeline(&at, &["produce", dir, out, "--batch", "25", "--rate", "1000"]);
    let producer = command.stdout(Stdio::piped()).spawn().expect("start the producer");
    // Differs from run to run, which is the point.
    let mut random = std::process::id();
    for kill in 0..kills {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::thread::sleep(Duration::from_millis(50 + u64::from(random >> 24)));
        workers[(random >> 16) as usize % 3] = worker(&at);
        if kill % 3 == 2 {
            server.kill();
            server = Server::start(&data_dir, listen, &flags);
        }
    }
    let produced = producer.wait_with_output().expect("wait for the producer");
    assert!(produced.status.success(), "{produced:?}");
    let batches = String::from_utf8_lossy(&produced.stdout).trim().to_owned();
    let checked = pipeline(&at, &["check", dir, out, &batches]).output().expect("start the check");
    assert!(checked.status.success(), "{checked:?}");
    println!("{kills} kills; {}", String::from_utf8_lossy(&checked.stdout).trim());
}
