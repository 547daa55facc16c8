//! The real server, killed and cut off under load, again and again on one directory.

use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use jobbie_tests::history::{self, Counts};
use jobbie_tests::loop_fs::LoopFs;
use jobbie_tests::server::{Server, binary, free_address, run, setting};

/// Shards of the servers here.
const SHARDS: u16 = 2;
const FLAGS: [&str; 2] = ["--shards", "2"];
/// How long the server lives between kills, in milliseconds.
const LIVES_MS: [u64; 8] = [30, 400, 120, 700, 5, 250, 60, 1000];

/// A load that goes on through every kill.
struct Load {
    child: Child,
}

impl Load {
    fn start(addr: &str, history: &Path) -> Self {
        let mut command = Command::new(binary("jobbie-bench"));
        command.args(["steady", "--addr", addr, "--connections", "4", "--batch", "8"]);
        command.args(["--seconds", "86400", "--json", "--history"]).arg(history);
        Self { child: command.spawn().expect("start the load") }
    }

    /// Waits until jobs are acked: a slow disk may need longer for an empty log than a server lives between kills.
    fn wait_until_served(&mut self, history: &Path) {
        let begin = Instant::now();
        while !std::fs::read_to_string(history).is_ok_and(|text| text.contains("\nacked ")) {
            let ended = self.child.try_wait().expect("ask for its state");
            assert_eq!(ended, None, "the load ended by itself");
            assert!(begin.elapsed() < Duration::from_secs(60), "nothing is served");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The load's own end is a crash too: its history has every request it sent.
    fn kill(mut self) {
        let ended = self.child.try_wait().expect("ask for its state");
        assert_eq!(ended, None, "the load ended by itself");
        self.child.kill().expect("kill the load");
        self.child.wait().expect("wait for the load");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Drains the queues and checks both histories.
fn check(addr: &str, folder: &Path) -> Counts {
    let drained = folder.join("drained");
    let path = drained.to_str().expect("temporary paths are UTF-8");
    let out = run(
        "jobbie-bench",
        &[
            "lifecycle",
            "--addr",
            addr,
            "--connections",
            "4",
            "--batch",
            "500",
            "--json",
            "--history",
            path,
        ],
    );
    assert!(out.status.success(), "{out:?}");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("read history");
    let (loaded, drained) = (read("loaded"), read("drained"));
    let (counts, broken) = history::check(&[&loaded, &drained]);
    assert!(broken.is_empty(), "{counts:?}\n{}", broken[..broken.len().min(50)].join("\n"));
    counts
}

fn verify(data_dir: &Path) {
    let out = run("jobbie-replay", &["verify", data_dir.to_str().expect("UTF-8")]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    // The first lives are so short that there may be nothing yet.
    let is_empty = said.contains("holds no jobbie data");
    assert!(is_empty || matches!(out.status.code(), Some(0 | 1)), "{:?}: {said}", out.status);
}

#[test]
fn r01_r09_r11_nothing_is_lost_or_doubled_by_kill_9() {
    let cycles = setting("JOBBIE_TEST_CRASH_CYCLES", 10);
    let folder = tempfile::tempdir().expect("make a folder");
    let (data_dir, addr) = (folder.path().join("data"), free_address(SHARDS));
    let loaded = folder.path().join("loaded");
    let mut load = Load::start(&addr.to_string(), &loaded);
    for cycle in 0..cycles {
        let server = Server::start(&data_dir, addr, &FLAGS);
        if cycle == 0 {
            load.wait_until_served(&loaded);
        }
        std::thread::sleep(Duration::from_millis(LIVES_MS[cycle as usize % LIVES_MS.len()]));
        server.kill();
        verify(&data_dir);
    }
    load.kill();
    let server = Server::start(&data_dir, addr, &FLAGS);
    let counts = check(&server.addr(), folder.path());
    println!("kill -9: {cycles} times: {counts:?}");
    assert!(counts.acked > 0 && counts.unknown > 0, "the load was not hit: {counts:?}");
    assert_eq!(server.stop(), Some(0));
    verify(&data_dir);
}

#[test]
fn r01_r04_nothing_is_lost_by_power_cuts() {
    let cuts = setting("JOBBIE_TEST_POWER_CUTS", 3);
    let folder = tempfile::tempdir().expect("make a folder");
    let mut fs = match LoopFs::new(folder.path(), 1024) {
        Ok(fs) => fs,
        Err(why) => {
            println!("NOT RUN: power cuts need root and a loop device: {why}");
            return;
        }
    };
    let (data_dir, addr) = (fs.path().join("data"), free_address(SHARDS));
    let loaded = folder.path().join("loaded");
    let mut load = Load::start(&addr.to_string(), &loaded);
    for cut in 0..cuts {
        let server = Server::start(&data_dir, addr, &FLAGS);
        if cut == 0 {
            load.wait_until_served(&loaded);
        }
        std::thread::sleep(Duration::from_millis(200 + LIVES_MS[cut as usize % LIVES_MS.len()]));
        fs.cut_power(|| server.kill()).expect("cut the power");
        verify(&data_dir);
    }
    load.kill();
    let server = Server::start(&data_dir, addr, &FLAGS);
    let counts = check(&server.addr(), folder.path());
    println!("power cut {cuts} times: {counts:?}");
    assert!(counts.acked > 0 && counts.unknown > 0, "the load was not hit: {counts:?}");
    server.kill();
}

#[test]
fn r05_a_full_disk_is_an_answer_and_passes() {
    let folder = tempfile::tempdir().expect("make a folder");
    let fs = match LoopFs::new(folder.path(), 64) {
        Ok(fs) => fs,
        Err(why) => {
            println!("NOT RUN: a small filesystem needs root and a loop device: {why}");
            return;
        }
    };
    let (data_dir, addr) = (fs.path().join("data"), free_address(1));
    // Somebody else fills the disk: the log must not be able to grow.
    let flags = ["--shards", "1", "--segment-bytes", "4MiB"];
    let server = Server::start(&data_dir, addr, &flags);
    let addr = server.addr();
    let jobbie =
        |args: &[&str]| run("jobbie", &[args, &["--addr", &addr, "--timeout-ms", "2000"]].concat());
    assert!(jobbie(&["enqueue", "q", "first"]).status.success());
    assert!(jobbie(&["enqueue", "q", "second"]).status.success());
    let ballast = fs.path().join("ballast");
    let payload = folder.path().join("payload");
    std::fs::write(&payload, vec![b'x'; 200 << 10]).expect("write the payload");
    let payload = format!("@{}", payload.display());
    fill(&ballast);
    let begin = Instant::now();
    let refused = loop {
        let out = jobbie(&["enqueue", "q", &payload]);
        if !out.status.success() {
            break out;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "the disk does not get full");
    };
    assert_eq!(refused.status.code(), Some(6), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("NO_SPACE"), "{refused:?}");
    // Acks and fetches go on from the reserve.
    let fetched = jobbie(&["fetch", "q", "--output", "jsonl"]);
    assert!(fetched.status.success(), "{fetched:?}");
    let job = job_id_in(&fetched);
    assert!(jobbie(&["ack", &job]).status.success());
    // A lease whose worker says nothing runs out as ever.
    let fetched = jobbie(&["fetch", "q", "--lease-ms", "1000", "--output", "jsonl"]);
    let job = job_id_in(&fetched);
    let is_active = || {
        let seen = jobbie(&["inspect", &job, "--output", "jsonl"]);
        String::from_utf8_lossy(&seen.stdout).contains("\"active\"")
    };
    assert!(is_active(), "it was just leased");
    let begin = Instant::now();
    while is_active() {
        assert!(begin.elapsed() < Duration::from_secs(20), "no lease runs out on a full disk");
        std::thread::sleep(Duration::from_millis(100));
    }
    let refused = jobbie(&["enqueue", "q", &payload]);
    assert_eq!(refused.status.code(), Some(6), "the disk was full all the while: {refused:?}");
    std::fs::remove_file(&ballast).expect("make room");
    let begin = Instant::now();
    while !jobbie(&["enqueue", "q", "again"]).status.success() {
        assert!(begin.elapsed() < Duration::from_secs(30), "writes do not resume");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(server.stop(), Some(0));
}

/// The id of the job that a `fetch` printed as JSON.
fn job_id_in(fetched: &Output) -> String {
    let text = String::from_utf8_lossy(&fetched.stdout);
    text.split('"').find(|word| word.starts_with("job_")).expect("an id").to_owned()
}

/// Takes all the space there is.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).expect("create");
    let block = vec![0; 64 << 10];
    while file.write_all(&block).is_ok() {}
    // Whatever reached the disk stays there.
    let _ = file.sync_all();
}
