//! The log as its users see it.

use std::ops::Range;
use std::rc::Rc;

use jobbie_io::Disk;

use crate::config::Durability;
use crate::core::{Change, Space};
use crate::entry::{Entry, EntryId, Vote};
use crate::error::{AppendError, ControlError, Damage, LogFailed, ReadError};
use crate::format::header::{RecordKind, padded_bytes};
use crate::limits::ENTRY_RESERVE_BYTES;
use crate::part::{EntryBlocks, Part, read_part};
use crate::read;
use crate::shared::Shared;
use crate::snapshot::Snapshots;

/// One shard's log. Clones are the same log. Everything that is asked for happens while the
/// [`crate::Driver`] is polled.
pub struct Log<D: Disk> {
    pub(crate) shared: Rc<Shared<D>>,
}

impl<D: Disk> Clone for Log<D> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

/// Where a log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Last entry that is logically gone; the log begins behind it.
    pub purged: Option<EntryId>,
    /// Last entry, the purged one when there is none behind it.
    pub last: Option<EntryId>,
    /// Last entry that was acknowledged, with all before it.
    pub flushed: Option<EntryId>,
    /// Last committed index noted; may be lower after a restart.
    pub committed: Option<u64>,
    /// The vote.
    pub vote: Option<Vote>,
    /// Sequence number the next event must have.
    pub next_event: u64,
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStats {
    /// Segments that belong to the log.
    pub segments: usize,
    /// Segments prepared beyond the one being written.
    pub segments_ready: usize,
    /// Records whose body had to be copied because somebody else held it.
    pub copied_records: u64,
    /// Reads of older records from the disk.
    pub chunks_read: u64,
    /// Sealed segments read back in the background, to their end or to the first damage, since the log was opened.
    pub scrubbed_segments: u64,
    /// Bytes read for that.
    pub scrubbed_bytes: u64,
    /// Places where that found damage; see [`Log::take_damage`].
    pub damage_found: u64,
}

impl<D: Disk> Log<D> {
    /// Takes entries that follow the last one. They can be read at once. `done` is called from the driver, once,
    /// when they and everything before are durable (as [`Durability`] says), or with the error that
    /// stopped the log; calls come in the order of the appends. A body is written from its own buffer
    /// when nobody else holds a clone of it.
    ///
    /// # Errors
    /// Nothing was taken, and `done` is never called.
    ///
    /// # Panics
    /// If `entries` is empty.
    pub fn append(
        &self,
        entries: Vec<Entry>,
        done: impl FnOnce(Result<(), LogFailed>) + 'static,
    ) -> Result<(), AppendError> {
        assert!(!entries.is_empty(), "an append of nothing");
        let mut core = self.shared.core.borrow_mut();
        core.check_open()?;
        let (mut index, mut event) = (core.next_index(), core.control.next_event);
        let bytes_max = core.body_bytes_max();
        for entry in &entries {
            if entry.id.index != index {
                return Err(AppendError::IndexGap { expected: index, found: entry.id.index });
            }
            if entry.first_event != event {
                return Err(AppendError::EventGap {
                    index,
                    expected: event,
                    found: entry.first_event,
                });
            }
            let bytes = entry.body.bytes().len();
            if bytes > bytes_max {
                return Err(AppendError::TooLarge { index, bytes, bytes_max });
            }
            index += 1;
            event = entry.next_event();
        }
        let sizes = entries.iter().map(|entry| padded_bytes(entry.body.bytes().len()));
        if core.space == Space::Low && !core.fits(sizes, ENTRY_RESERVE_BYTES) {
            return Err(AppendError::NoSpace);
        }
        let last = entries.len() - 1;
        let mut done: Option<crate::queue::Done> = Some(Box::new(done));
        for (position, entry) in entries.into_iter().enumerate() {
            core.push_entry(entry, if position == last { done.take() } else { None });
        }
        drop(core);
        self.shared.work.raise();
        Ok(())
    }

    /// Records the vote. Returns when it and everything before survives power loss, whatever the durability.
    ///
    /// # Errors
    /// [`ControlError::Failed`] or [`ControlError::NoSpace`].
    pub async fn save_vote(&self, vote: Vote) -> Result<(), ControlError> {
        self.control(RecordKind::Vote, Change::Vote(vote)).await
    }

    /// Notes that entries up to `index` are committed. Nothing is written for it: it goes with the next record.
    pub fn note_committed(&self, index: u64) {
        let mut core = self.shared.core.borrow_mut();
        core.committed_end = core.committed_end.max(index + 1);
    }

    /// Takes back every entry behind `last` (all of them for `None`). Returns when that survives power loss.
    ///
    /// # Errors
    /// [`ControlError::NoSuchEntry`] when the log does not hold `last`, nor ends its purged part with it.
    pub async fn truncate_after(&self, last: Option<EntryId>) -> Result<(), ControlError> {
        let (state, end_index) = (self.state(), last.map_or(0, |last| last.index + 1));
        self.require(last, &state).await?;
        if state.last == last {
            return Ok(());
        }
        let next_event = match read::entry_at(&self.shared, end_index).await {
            Ok(entry) => entry.first_event,
            Err(error) => return Err(ControlError::Read(Box::new(error))),
        };
        let (done, wait) = self.shared.when_done();
        {
            let mut core = self.shared.core.borrow_mut();
            core.check_open()?;
            assert!(core.control.last == state.last, "appended to while it was truncated");
            if !core.takes_control() {
                return Err(ControlError::NoSpace);
            }
            core.truncate(last, next_event, Some(done));
        }
        self.flush(wait).await
    }

    /// Whether `id` is in the log, or is what it begins behind.
    async fn require(&self, id: Option<EntryId>, state: &LogState) -> Result<(), ControlError> {
        let Some(id) = id else {
            return match state.purged {
                None => Ok(()),
                Some(id) => Err(ControlError::NoSuchEntry { id }),
            };
        };
        if state.purged == Some(id) || state.last == Some(id) {
            return Ok(());
        }
        match read::entry_at(&self.shared, id.index).await {
            Ok(entry) if entry.id == id => Ok(()),
            Ok(_) | Err(ReadError::Purged { .. } | ReadError::Beyond { .. }) => {
                Err(ControlError::NoSuchEntry { id })
            }
            Err(error) => Err(ControlError::Read(Box::new(error))),
        }
    }

    /// Lets go of entries up to `id`. They are no longer read by index, but their events stay readable
    /// until [`Log::keep_from`] passes them too and the segment is recycled. After a crash the log may
    /// begin earlier again. An `id` behind the last entry is as [`Log::restart_after`] with
    /// the next event unchanged.
    ///
    /// # Errors
    /// As [`Log::restart_after`].
    pub async fn purge(&self, id: EntryId) -> Result<(), ControlError> {
        let next_event = {
            let mut core = self.shared.core.borrow_mut();
            core.check()?;
            if core.control.purged.is_some_and(|purged| purged.index >= id.index) {
                return Ok(());
            }
            if core.control.last.is_some_and(|last| last.index >= id.index) {
                core.control.purged = Some(id);
                if core.placed.last.is_some_and(|last| last.index >= id.index) {
                    core.placed.purged = Some(id);
                }
                core.committed_end = core.committed_end.max(id.index + 1);
                drop(core);
                self.shared.work.raise();
                return Ok(());
            }
            core.control.next_event
        };
        self.restart_after(id, next_event).await
    }

    /// Goes on behind an entry the log does not hold, after an installed snapshot: the next entry has
    /// index `id.index + 1` and begins with `next_event`. Everything before is gone logically.
    /// Returns when that survives power loss.
    ///
    /// # Errors
    /// [`ControlError::Failed`] or [`ControlError::NoSpace`].
    pub async fn restart_after(&self, id: EntryId, next_event: u64) -> Result<(), ControlError> {
        let (done, wait) = self.shared.when_done();
        {
            let mut core = self.shared.core.borrow_mut();
            core.check_open()?;
            if !core.takes_control() {
                return Err(ControlError::NoSpace);
            }
            core.restart(id, next_event, Some(done));
        }
        self.flush(wait).await
    }

    async fn control(&self, kind: RecordKind, change: Change) -> Result<(), ControlError> {
        let (done, wait) = self.shared.when_done();
        {
            let mut core = self.shared.core.borrow_mut();
            core.check_open()?;
            if !core.takes_control() {
                return Err(ControlError::NoSpace);
            }
            core.push_control(kind, change, Some(done));
        }
        self.flush(wait).await
    }

    async fn flush(
        &self,
        wait: impl Future<Output = Result<(), LogFailed>>,
    ) -> Result<(), ControlError> {
        self.shared.work.raise();
        wait.await?;
        let durability = self.shared.core.borrow().config.durability;
        if durability != Durability::Fsync {
            self.shared.sync_written().await?;
        }
        Ok(())
    }

    /// Where the log stands.
    #[must_use]
    pub fn state(&self) -> LogState {
        let core = self.shared.core.borrow();
        LogState {
            purged: core.control.purged,
            last: core.control.last,
            flushed: core.flushed,
            committed: core.committed_end.checked_sub(1),
            vote: core.control.vote,
            next_event: core.control.next_event,
        }
    }

    /// Entries of `range`, from its beginning without gap, as many as end within `bytes_max` of bodies but at least one.
    ///
    /// # Errors
    /// When the first entry of the range is not there or cannot be read, or a later one cannot.
    pub async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        self.shared.core.borrow().check()?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        for index in range {
            let in_memory = self.shared.core.borrow_mut().entry_in_memory(index);
            let entry = match in_memory {
                Some(entry) if index >= self.shared.core.borrow().first_index() => entry,
                _ => match read::entry_at(&self.shared, index).await {
                    Err(ReadError::Beyond { .. }) if !entries.is_empty() => break,
                    entry => entry?,
                },
            };
            bytes += entry.body.bytes().len();
            if !entries.is_empty() && bytes > bytes_max {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// The entry that holds `event`, if it is in memory.
    #[must_use]
    pub fn cached(&self, event: u64) -> Option<Entry> {
        let mut core = self.shared.core.borrow_mut();
        let entry = core.event_in_memory(event);
        let reading_on = core.wanted_chunk.is_some();
        drop(core);
        if reading_on {
            self.shared.work.raise();
        }
        entry
    }

    /// The entry that holds `event`, purged or not, as long as its segment is kept.
    ///
    /// # Errors
    /// When the event is not there any more, not yet, or cannot be read.
    pub async fn entry_of_event(&self, event: u64) -> Result<Entry, ReadError> {
        match self.cached(event) {
            Some(entry) => Ok(entry),
            None => read::entry_of_event(&self.shared, event).await,
        }
    }

    /// What the blocks of the entry that holds `event` are like, if it was read from the disk a moment ago.
    #[must_use]
    pub fn blocks_of_event(&self, event: u64) -> Option<EntryBlocks> {
        self.shared.core.borrow().chunks.blocks_of_event(event)
    }

    /// Reads ranges of an entry's body, and what lies between them, without the rest of it. Only what was asked for is
    /// checked, and only that is given out.
    ///
    /// # Errors
    /// When its segment is not kept any more, cannot be read, or has other bytes than when the entry was read whole.
    ///
    /// # Panics
    /// When there is no range, or one that is empty or beyond the body.
    pub async fn read_part(
        &self,
        entry: &EntryBlocks,
        ranges: &[Range<usize>],
    ) -> Result<Part, ReadError> {
        read_part(&self.shared, entry, ranges).await
    }

    /// Nobody needs events below `event` any more. Segments that are wholly below it and purged are recycled.
    pub fn keep_from(&self, event: u64) {
        let mut core = self.shared.core.borrow_mut();
        core.keep_from = core.keep_from.max(event);
        drop(core);
        self.shared.work.raise();
    }

    /// The first event of the segments that hold the newest `bytes` of the log, so that [`Log::keep_from`] keeps no more than
    /// that for its own sake; the next event to come when the segment being written alone is more.
    #[must_use]
    pub fn event_of_newest(&self, bytes: u64) -> u64 {
        let core = self.shared.core.borrow();
        let mut left = bytes;
        let mut first = core.control.next_event;
        for segment in core.segments.iter().rev() {
            match left.checked_sub(segment.end) {
                Some(rest) => (left, first) = (rest, segment.start_event),
                None => break,
            }
        }
        first
    }

    /// Bytes that may still be written to the disk; 0 where the system will not say.
    pub async fn available_bytes(&self) -> u64 {
        self.shared.disk.available_bytes().await.unwrap_or(0)
    }

    /// Whether a batch appended now would be written at once: then build one, else let it grow.
    #[must_use]
    pub fn room(&self) -> bool {
        let core = self.shared.core.borrow();
        core.unplaced.is_empty() && core.queue.has_room()
    }

    /// Waits for [`Log::room`].
    ///
    /// # Errors
    /// When the log has stopped.
    pub async fn wait_room(&self) -> Result<(), LogFailed> {
        self.shared
            .changed
            .until(|| {
                let core = self.shared.core.borrow();
                if let Err(failed) = core.check() {
                    return Some(Err(failed));
                }
                (core.unplaced.is_empty() && core.queue.has_room()).then_some(Ok(()))
            })
            .await
    }

    /// Waits until entries up to `index`, which was appended, survive power loss, whatever the durability.
    ///
    /// # Errors
    /// When the log has stopped before.
    pub async fn wait_durable(&self, index: u64) -> Result<(), LogFailed> {
        let written = self.shared.changed.until(|| {
            let core = self.shared.core.borrow();
            let written = core.flushed.is_some_and(|flushed| flushed.index >= index);
            core.check().err().map(Err).or(written.then_some(Ok(())))
        });
        written.await?;
        if self.shared.core.borrow().config.durability != Durability::Fsync {
            self.shared.sync_written().await?;
        }
        Ok(())
    }

    /// Whether the log can still grow.
    #[must_use]
    pub fn space(&self) -> Space {
        self.shared.core.borrow().space
    }

    /// Waits until [`Log::space`] is something else than `space`.
    pub async fn space_changed(&self, space: Space) -> Space {
        let changed = || Some(self.space()).filter(|now| *now != space);
        self.shared.changed.until(changed).await
    }

    /// The largest body an entry may have, in bytes.
    #[must_use]
    pub fn body_bytes_max(&self) -> usize {
        self.shared.core.borrow().body_bytes_max()
    }

    /// Why the log stopped, if it did.
    #[must_use]
    pub fn failed(&self) -> Option<LogFailed> {
        self.shared.core.borrow().failed.clone()
    }

    /// The snapshots beside this log.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots<D> {
        Snapshots::new(self.shared.disk.clone(), self.shared.core.borrow().identity)
    }

    /// Figures for metrics.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let core = self.shared.core.borrow();
        LogStats {
            segments: core.segments.len(),
            segments_ready: core.ready.len(),
            copied_records: core.copied_records,
            chunks_read: core.chunks_read,
            scrubbed_segments: core.scrub.segments,
            scrubbed_bytes: core.scrub.bytes,
            damage_found: core.scrub.damage_found,
        }
    }

    /// Waits until another sealed segment was read back than `before` knows, and gives the figures then; `None` when
    /// the log ends.
    pub async fn scrubbed_since(&self, before: &LogStats) -> Option<LogStats> {
        self.shared
            .scrubbed
            .until(|| {
                let now = self.stats();
                if now.scrubbed_segments != before.scrubbed_segments {
                    return Some(Some(now));
                }
                self.shared.core.borrow().is_ending().then_some(None)
            })
            .await
    }

    /// Damage that was found in a sealed segment without anybody reading it, or an error of the disk there: each place
    /// is given once. The log goes on: stopping it would bring nothing back.
    #[must_use]
    pub fn take_damage(&self) -> Option<Damage> {
        self.shared.core.borrow_mut().scrub.untold.pop_front()
    }

    /// Writes out what was taken, flushes it, marks the end, and lets the driver finish. Nothing may be appended any more.
    ///
    /// # Errors
    /// When the log has stopped before everything was durable.
    pub async fn close(&self) -> Result<(), LogFailed> {
        let wait = self.shared.changed.until(|| {
            let core = self.shared.core.borrow();
            if let Err(failed) = core.check() {
                return Some(Err(failed));
            }
            (core.unplaced.is_empty() && core.queue.is_idle()).then_some(Ok(()))
        });
        wait.await?;
        self.shared.sync_written().await?;
        self.shared.core.borrow_mut().closing = true;
        self.shared.work.raise();
        self.shared.scrubbed.raise();
        Ok(())
    }
}
