//! The shard as its Raft group sees it: what is committed, and snapshots.

use std::future::Future;
use std::io;
use std::rc::Rc;

use jobbie_core::State;
use jobbie_io::Disk;
use jobbie_log::snapshot::{SnapshotError, SnapshotMeta as LogMeta, SnapshotReader};
use jobbie_log::{Entry, EntryId, Space};
use jobbie_raft::{AsyncRuntime, Machine, Membership, Memberships, PlacedMembership, SnapshotMeta};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::limits::{SNAPSHOT_RETRY_PAUSE, SNAPSHOT_SLICE_PAUSE};
use crate::shard::Inner;
use crate::snapshots::Captured;

/// History takes no more than this part of what is free on the disk.
const HISTORY_SHARE: u64 = 4;

impl<R: AsyncRuntime, D: Disk, C: Clock> Machine for Inner<R, D, C> {
    type Snapshot = LogMeta;

    fn committed(&self, entry: &Entry) {
        let me = self.me.upgrade().expect("called on a shared machine");
        me.on_committed(entry);
    }

    fn snapshot(
        self: &Rc<Self>,
        memberships: Memberships,
    ) -> impl Future<Output = io::Result<(SnapshotMeta, LogMeta)>> + 'static {
        let inner = Rc::clone(self);
        async move {
            loop {
                let (last, snapshot) = inner.snapshots.capture(|| inner.bell.ring()).await;
                let more = u64::from(crate::mutant!(SnapshotSaysMore));
                let last = EntryId { index: last.index + more, ..last };
                let membership = memberships.as_of(last);
                let encoded = encode_membership(&membership);
                match inner.write_snapshot(snapshot, encoded, last).await {
                    Ok(published) => {
                        let next_event = published.next_event;
                        return Ok((SnapshotMeta { last, next_event, membership }, published));
                    }
                    // A full disk costs the snapshot, not the shard. What was written is in the way now.
                    Err(error) if error.is_no_space() && inner.stopped.borrow().is_none() => {
                        warn!(shard = %inner.config.shard, %error, "no room for a snapshot, tried again soon");
                        let discarded = inner.log.snapshots().discard_unfinished().await;
                        discarded.map_err(io::Error::other)?;
                        R::sleep(SNAPSHOT_RETRY_PAUSE).await;
                    }
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
        }
    }

    async fn latest_snapshot(&self) -> io::Result<Option<(SnapshotMeta, LogMeta)>> {
        let latest = self.log.snapshots().latest().await.map_err(io::Error::other)?;
        let Some(reader) = latest.snapshot else { return Ok(None) };
        let meta = reader.meta().clone();
        Ok(Some((raft_meta(&meta).map_err(io::Error::other)?, meta)))
    }

    async fn install(&self, _meta: &SnapshotMeta, _snapshot: LogMeta) -> io::Result<()> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this release runs on one node and takes no snapshots from others",
        ))
    }
}

impl<R: AsyncRuntime, D: Disk, C: Clock> Inner<R, D, C> {
    async fn write_snapshot(
        &self,
        captured: Captured,
        membership: Vec<u8>,
        last: EntryId,
    ) -> Result<LogMeta, SnapshotError> {
        let meta = LogMeta {
            last,
            next_event: captured.next_event,
            time_us: captured.time_us,
            state_hash: captured.state_hash,
            membership,
        };
        let mut writer = self.log.snapshots().begin(meta).await?;
        for chunk in captured.snapshot {
            writer.write_part(&chunk).await?;
            // Writes to memory end at once, so nothing else would make way for requests.
            R::sleep(SNAPSHOT_SLICE_PAUSE).await;
        }
        // Whatever "done" means otherwise: a log that ends before a snapshot has lost something.
        self.log.wait_durable(last.index).await?;
        let published = writer.finish().await?;
        self.let_log_go().await?;
        let dropped = crate::mutant!(RecordsDropped);
        let needed = if dropped { published.next_event } else { captured.oldest_needed_event };
        self.needed_event.set(needed);
        let room = self.log.available_bytes().await / HISTORY_SHARE;
        self.trim_log(self.config.history_bytes.min(room));
        self.metrics.snapshots_total.add(1);
        info!(shard = %self.config.shard, index = last.index, "snapshot written");
        Ok(published)
    }

    /// Lets the log give up what nobody needs: not the state, and, while there is room, not whoever follows the log, or looks back into
    /// its newest `history` bytes.
    pub(crate) fn trim_log(&self, history: u64) {
        let wished = match self.log.space() {
            Space::Ok => self.config.feed.kept_from().min(self.log.event_of_newest(history)),
            _ => u64::MAX,
        };
        self.log.keep_from(self.needed_event.get().min(wished));
    }

    /// The log is needed from the oldest snapshot kept on, in case the newer ones turn out damaged.
    async fn let_log_go(&self) -> Result<(), SnapshotError> {
        let Some(oldest) = self.log.snapshots().oldest_of_enough().await? else { return Ok(()) };
        let group = self.group().clone();
        // An error means that the group has stopped, which the loop sees by itself.
        drop(R::spawn(async move { group.purge_log(oldest.index).await.ok() }));
        Ok(())
    }
}

/// The members and the entry that made them so: its term and index, zeros for none.
fn encode_membership(placed: &PlacedMembership) -> Vec<u8> {
    let id = placed.id.unwrap_or(EntryId { term: 0, index: 0 });
    let mut bytes = vec![u8::from(placed.id.is_some())];
    bytes.extend_from_slice(&id.term.to_le_bytes());
    bytes.extend_from_slice(&id.index.to_le_bytes());
    bytes.extend_from_slice(&placed.membership.encode());
    bytes
}

/// What Raft keeps of a snapshot.
pub(crate) fn raft_meta(meta: &LogMeta) -> Result<SnapshotMeta, RecoverError> {
    let index = meta.last.index;
    let failed = |reason: String| RecoverError::Restore { index, reason };
    let (head, members) = meta
        .membership
        .split_at_checked(17)
        .ok_or_else(|| failed("its membership is cut short".to_owned()))?;
    let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let id = (head[0] != 0).then(|| EntryId { term: number(1), index: number(9) });
    let membership = Membership::decode(members).map_err(|error| failed(error.to_string()))?;
    let membership = PlacedMembership { id, membership };
    Ok(SnapshotMeta { last: meta.last, next_event: meta.next_event, membership })
}

/// Why a state could not be put together from what the disk has.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A snapshot cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A snapshot's bytes do not make a state.
    #[error("snapshot at entry {index}: {reason}")]
    Restore {
        /// Its last entry.
        index: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry cannot be read.
    #[error(transparent)]
    Read(#[from] jobbie_log::ReadError),
    /// The newest sound snapshot ends before the log begins.
    #[error("entries {needed} to {} are in no sound snapshot and no longer in the log", first - 1)]
    Gap {
        /// The first entry needed.
        needed: u64,
        /// The first entry there is.
        first: u64,
    },
    /// An entry does not follow from the state before it.
    #[error("entry {index} begins with event {found}, expected {expected}")]
    Events {
        /// The entry.
        index: u64,
        /// Its first event.
        found: u64,
        /// The first event that the state lacks.
        expected: u64,
    },
    /// An entry's records do not decode.
    #[error("entry {index}: {source}")]
    Decode {
        /// The entry.
        index: u64,
        /// What is wrong with it.
        source: jobbie_proto::event::codec::DecodeError,
    },
}

/// The state that a snapshot holds.
///
/// # Errors
/// When it cannot be read or is not one of this release's.
pub(crate) async fn restore<D: Disk>(
    reader: &mut SnapshotReader<D>,
) -> Result<State, RecoverError> {
    let index = reader.meta().last.index;
    let failed = |reason: String| RecoverError::Restore { index, reason };
    let state = State::restore(reader.parts().await?).map_err(|error| failed(error.to_string()))?;
    if state.digest() != reader.meta().state_hash {
        return Err(failed("its state has another hash than it says".to_owned()));
    }
    Ok(state)
}

/// Says which snapshots were passed over, and why.
pub(crate) fn report_refused(refused: &[SnapshotError]) {
    for error in refused {
        warn!(%error, "snapshot refused, the one before is used");
    }
}
