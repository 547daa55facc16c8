//! The real binaries, started as their users start them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::tidy::repo;

/// How long a server may take to listen: it reads its log first.
const START_MAX: Duration = Duration::from_secs(60);
/// How long it may take to stop when told to.
const STOP_MAX: Duration = Duration::from_secs(30);

/// The path of one of our binaries, built when it is not, or not new.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).join(name)
}

fn build() -> PathBuf {
    let is_release = std::env::var("JOBBIE_TEST_PROFILE").is_ok_and(|profile| profile == "release");
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--locked"]).current_dir(repo::root());
    command.args(["-p", "jobbie", "-p", "jobbie-bench", "-p", "jobbie-replay"]);
    command.args(["-p", "checksums", "-p", "pipeline"]);
    command.args(is_release.then_some("--release"));
    let status = command.status().expect("start cargo");
    assert!(status.success(), "{command:?}: {status}");
    // This test is in <target>/<profile>/deps.
    let this = std::env::current_exe().expect("this test has a path");
    let target = this.ancestors().nth(3).expect("it is below the target folder");
    target.join(if is_release { "release" } else { "debug" })
}

/// A number from the environment, as the long runs set it.
#[must_use]
pub fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs one of our binaries to its end.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn run(name: &str, args: &[&str]) -> Output {
    Command::new(binary(name)).args(args).output().unwrap_or_else(|e| panic!("start {name}: {e}"))
}

/// A running server, killed when dropped.
pub struct Server {
    child: Child,
    listen: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts a server on `data_dir` and waits until it listens.
    ///
    /// # Panics
    /// With what it said, when it does not.
    #[must_use]
    pub fn start(data_dir: &Path, listen: SocketAddr, flags: &[&str]) -> Self {
        Self::try_start(data_dir, listen, flags).unwrap_or_else(|said| panic!("{said}"))
    }

    /// Starts a server; what it said when it ended at once.
    ///
    /// # Errors
    /// Its last words.
    ///
    /// # Panics
    /// When it neither listens nor ends.
    pub fn try_start(data_dir: &Path, listen: SocketAddr, flags: &[&str]) -> Result<Self, String> {
        let log = data_dir.with_extension("log");
        let stderr =
            std::fs::File::options().create(true).append(true).open(&log).expect("open log");
        let mut command = Command::new(binary("jobbie"));
        command.arg("server").arg("--data-dir").arg(data_dir);
        command.args(["--listen", &listen.to_string()]).args(flags);
        if !flags.contains(&"--http") {
            command.arg("--no-http");
        }
        let child = command.stdin(Stdio::null()).stderr(stderr).spawn().expect("start the server");
        let mut server = Self { child, listen, log: log.clone() };
        let begin = Instant::now();
        loop {
            if let Some(status) = server.child.try_wait().expect("ask for its state") {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("the server ended at once ({status}): {said}"));
            }
            if TcpStream::connect(listen).is_ok() {
                return Ok(server);
            }
            assert!(
                begin.elapsed() < START_MAX,
                "the server does not listen; see {}",
                log.display()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> String {
        self.listen.to_string()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(mut self) {
        self.child.kill().expect("kill the server");
        self.child.wait().expect("wait for the server");
        self.wait_until_closed();
    }

    /// The kernel takes a ring apart after its process is gone: until then the socket takes connections that nobody
    /// will ever answer.
    fn wait_until_closed(&self) {
        let begin = Instant::now();
        while TcpStream::connect(self.listen).is_ok() {
            assert!(begin.elapsed() < STOP_MAX, "the port of a server that has ended stays open");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM; its exit code.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("send SIGTERM");
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("ask for its state") {
                self.wait_until_closed();
                return status.code();
            }
            assert!(begin.elapsed() < STOP_MAX, "the server does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let ended = self.child.try_wait().ok().flatten();
            let ended =
                ended.map_or_else(|| "runs".to_owned(), |status| format!("ended: {status}"));
            eprintln!("the server {ended}; its log: {log}");
        }
        // It has ended already when it was killed or stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine with `ports` free ports in a row.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_address(ports: u16) -> SocketAddr {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Below the range that outgoing connections take their ports from; different for each process, and for each test
    // of a process, since a port given to one is free until its server listens.
    let own = GIVEN.fetch_add(1, Ordering::Relaxed) % 40;
    let begin = 10_000 + (std::process::id() % 50) as u16 * 400 + own * 10;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let found = (0..10).map(|n| begin + n).find(|p| (*p..*p + ports).all(is_free));
    SocketAddr::from(([127, 0, 0, 1], found.expect("some port is free")))
}
