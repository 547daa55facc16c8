//! The shard's runtime, behind so few functions that exchanging it is a day's work.

use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use monoio::{IoUringDriver, RuntimeBuilder};

use crate::sys::{self, Share};

/// Submission slots of one shard's ring.
pub const RING_ENTRIES: u32 = 1024;

/// How long a shard thread runs before others may have its core, in nanoseconds, the least that the kernel takes. The
/// kernel's own threads complete durable writes: with the default of 3 ms they would wait as long behind a busy
/// shard. A thread with short slices also gets the core sooner when it wakes.
const TIME_SLICE_NANOS: u64 = 100_000;

/// Why a runtime did not start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The kernel would not lock the memory of the ring.
    #[error(
        "the ring needs locked memory and only {limit_bytes} bytes are allowed: raise `ulimit -l` \
         (LimitMEMLOCK= in a systemd unit)"
    )]
    LockedMemory {
        /// The limit in force, in bytes.
        limit_bytes: u64,
    },
    /// The kernel has no io_uring, or forbids it (seccomp, `kernel.io_uring_disabled`).
    #[error(
        "io_uring is not available here (Linux 5.15 or newer is needed, and containers often forbid it)"
    )]
    NoRing {
        /// What the system said.
        source: io::Error,
    },
    /// The thread could not be started or bound to its core.
    #[error("start a shard thread")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
}

fn explain(source: io::Error) -> RuntimeError {
    if source.raw_os_error() == Some(libc::ENOMEM)
        && let Ok(Some(limit_bytes)) = sys::memlock_limit_bytes()
    {
        return RuntimeError::LockedMemory { limit_bytes };
    }
    RuntimeError::NoRing { source }
}

/// Runs `future` to its end on a runtime of the calling thread.
///
/// # Errors
/// When the ring cannot be built; the future has then not been started.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, RuntimeError> {
    Ok(build()?.block_on(future))
}

type Runtime = monoio::Runtime<monoio::time::TimeDriver<IoUringDriver>>;

/// A runtime for the calling thread. Its completions are looked at when the thread asks, not by interrupting
/// it (Linux 6.1 and newer): at tens of thousands of small requests a second the interrupts cost more than the requests.
fn build() -> Result<Runtime, RuntimeError> {
    let builder = |ring: &io_uring_monoio::Builder| {
        RuntimeBuilder::<IoUringDriver>::new()
            .uring_builder(ring.clone())
            .with_entries(RING_ENTRIES)
            .enable_timer()
            .build()
    };
    let mut ring = io_uring_monoio::IoUring::builder();
    ring.setup_single_issuer().setup_defer_taskrun();
    let built = match builder(&ring) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            builder(&io_uring_monoio::IoUring::builder())
        }
        built => built,
    };
    built.map_err(explain)
}

/// Starts a thread with a runtime of its own, bound to `core` when one is given, and runs what
/// `start` makes there. Returns once the ring is built, so that its errors are seen here.
///
/// # Errors
/// When the thread or its ring cannot be had.
pub fn spawn_thread<S, F>(
    name: String,
    core: Option<usize>,
    start: S,
) -> Result<JoinHandle<F::Output>, RuntimeError>
where
    S: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    spawn_with(name, core, Share::Slices(TIME_SLICE_NANOS), start)
}

/// As [`spawn_thread`], for work that takes only the processor time that all other threads leave.
///
/// # Errors
/// When the thread or its ring cannot be had.
pub fn spawn_background_thread<S, F>(
    name: String,
    start: S,
) -> Result<JoinHandle<F::Output>, RuntimeError>
where
    S: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    spawn_with(name, None, Share::Background, start)
}

fn spawn_with<S, F>(
    name: String,
    core: Option<usize>,
    share: Share,
    start: S,
) -> Result<JoinHandle<F::Output>, RuntimeError>
where
    S: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    let (ready_sender, ready) = mpsc::sync_channel(1);
    let body = move || {
        let built =
            core.map_or(Ok(()), sys::pin_to_core).map_err(|source| RuntimeError::Thread { source });
        // Only speed is lost where the kernel will not.
        let _ = sys::set_share(share);
        let built = built.and_then(|()| build());
        match built {
            Ok(mut runtime) => {
                let _ = ready_sender.send(Ok(()));
                runtime.block_on(async move { start().await })
            }
            Err(error) => {
                let _ = ready_sender.send(Err(error));
                // Nobody joins this thread; unwinding quietly ends it without inventing a result.
                std::panic::resume_unwind(Box::new("runtime refused"))
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name(name)
        .spawn(body)
        .map_err(|source| RuntimeError::Thread { source })?;
    match ready.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(RuntimeError::Thread { source: io::Error::other("the thread ended early") }),
    }
}

/// Starts a task on the runtime of the calling thread; it runs until it ends by itself.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    drop(monoio::spawn(future));
}

/// Waits at least `duration`.
pub async fn sleep(duration: Duration) {
    monoio::time::sleep(duration).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_runs_its_future_and_gives_back_the_result() {
        let thread = spawn_thread("shard-0".into(), Some(0), || async {
            let (done, waited) =
                (std::rc::Rc::new(std::cell::Cell::new(false)), Duration::from_millis(1));
            let flag = std::rc::Rc::clone(&done);
            spawn(async move { flag.set(true) });
            sleep(waited).await;
            (done.get(), std::thread::current().name().map(str::to_owned))
        })
        .unwrap();
        assert_eq!(thread.join().unwrap(), (true, Some("shard-0".to_owned())));
    }

    #[test]
    fn impossible_core_is_an_error_not_a_panic_of_the_caller() {
        let error = spawn_thread("shard-9".into(), Some(100_000), || async {}).unwrap_err();
        assert!(matches!(error, RuntimeError::Thread { .. }), "{error}");
    }
}
