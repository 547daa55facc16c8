//! How far the read model is: what whoever feeds it tells this crate.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

/// How far the read model is behind the logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Committed events that it has not seen.
    pub events: u64,
    /// How old the oldest of them is, in milliseconds.
    pub ms: u64,
}

/// What is known of the read model's progress.
pub trait Progress: Send + Sync {
    /// Waits, at most for `within`, until everything is in the read model that was committed when this was called; what it
    /// still lacks then. Nothing lacking is no events.
    fn caught_up(&self, within: Duration) -> BoxFuture<'_, Lag>;

    /// The newest position of the journal in the read model, and its changes.
    fn changed(&self) -> watch::Receiver<u64>;

    /// Has the read model made anew from the logs, and waits until readers see that. All who ask meanwhile share one.
    ///
    /// The error is why it could not be made.
    fn rebuild(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Err("the read model is not kept by this process".to_owned()) })
    }

    /// How often the file was replaced.
    fn generation(&self) -> u64 {
        0
    }

    /// How far it is behind now.
    fn lag(&self) -> Lag;
}
