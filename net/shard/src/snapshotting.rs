//! When a snapshot is due, and stopping.

use std::rc::Rc;

use jobbie_io::Disk;
use jobbie_raft::AsyncRuntime;

use crate::clock::Clock;
use crate::shard::{Inner, Shard};

impl<R: AsyncRuntime, D: Disk, C: Clock> Inner<R, D, C> {
    /// Counts log bytes, and asks for a snapshot when there are enough since the last.
    pub(crate) fn count_log_bytes(self: &Rc<Self>, bytes: usize) {
        let since = self.bytes_since_snapshot.get() + bytes as u64;
        self.bytes_since_snapshot.set(since);
        if since >= self.config.snapshot_log_bytes {
            self.bytes_since_snapshot.set(0);
            let group = self.group().clone();
            // An error means that the group has stopped, which the loop sees by itself.
            drop(R::spawn(async move { group.trigger_snapshot().await.ok() }));
        }
    }
}

impl<R: AsyncRuntime, D: Disk, C: Clock> Shard<R, D, C> {
    /// Ends the shard: what is under way is finished and answered, waiting fetches are answered
    /// empty, connections are told to go, and the log is closed. What clients send from now on
    /// is refused as not done.
    pub async fn shutdown(&self) {
        let inner = &self.inner;
        inner.close_intake();
        while !inner.pending.borrow().is_empty() && inner.group().fatal().is_none() {
            inner.settled.wait().await;
        }
        inner.part("the server is stopping: connect again, and repeat what was not answered");
        inner.group().shutdown().await;
        if let Err(error) = inner.log.close().await {
            tracing::error!(shard = %inner.config.shard, %error, "close the log");
        }
    }
}
