//! openraft's log, kept by `jobbie-log`.

use std::cell::Cell;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::rc::Rc;

use jobbie_io::Disk;
use jobbie_log::{AppendError, ControlError, Entry, Log, LogFailed, Space};
use openraft::OptionalSend;
use openraft::async_runtime::AsyncRuntime;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};

use crate::limits::REPLICATE_BYTES_MAX;
use crate::payload::{Stamps, from_entry, to_entry};
use crate::shared::Shared;
#[cfg(any(test, feature = "sim"))]
use crate::sim::mutant::{Mutant, planted};
use crate::types::{
    LogId, RaftEntry, RaftVote, Types, from_log_id, from_raft_vote, to_log_id, to_raft_vote,
};

/// The log of one group. Clones are the same log; openraft reads through some of them.
pub(crate) struct LogStore<D: Disk> {
    log: Log<D>,
    shared: Shared,
    /// Time of the newest entry, for entries that Raft adds itself.
    last_time_us: Rc<Cell<u64>>,
}

impl<D: Disk> Clone for LogStore<D> {
    fn clone(&self) -> Self {
        Self {
            log: self.log.clone(),
            shared: self.shared.clone(),
            last_time_us: self.last_time_us.clone(),
        }
    }
}

impl<D: Disk> LogStore<D> {
    pub(crate) fn new(log: Log<D>, shared: Shared) -> Self {
        Self { log, shared, last_time_us: Rc::default() }
    }

    #[cfg(test)]
    pub(crate) fn last(&self) -> Option<jobbie_log::EntryId> {
        self.log.state().last
    }

    /// Notes an error that openraft stops for.
    fn fail(&self, error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
        self.shared.fail(io::Error::other(error))
    }

    /// The entry as it goes to the log; one that Raft added gets the stamps that come next.
    fn stamp(&self, mut entry: RaftEntry, next_event: u64) -> Entry {
        let time_us = self.last_time_us.get();
        let stamps =
            entry.payload.stamps.get_or_insert(Stamps { time_us, first_event: next_event });
        self.last_time_us.set(stamps.time_us.max(time_us));
        to_entry(entry)
    }

    /// Tells openraft how an append ended. The log calls these in the order of the appends (O1).
    fn report<R: AsyncRuntime>(
        &self,
        flushed: IOFlushed<Types<R>>,
    ) -> impl FnOnce(Result<(), LogFailed>) + 'static {
        let shared = self.shared.clone();
        move |result| {
            flushed.io_completed(result.map_err(|error| shared.fail(io::Error::other(error))));
        }
    }

    /// Raft takes a refused append for a broken disk, so a full one makes it wait. Whoever proposes
    /// looks at the space first; what comes here is Raft's own or was under way.
    async fn append_when_there_is_space<R: AsyncRuntime>(
        &self,
        entries: Vec<Entry>,
        flushed: IOFlushed<Types<R>>,
    ) -> io::Result<()> {
        let flushed = Rc::new(Cell::new(Some(flushed)));
        loop {
            let (waiting, store) = (flushed.clone(), self.clone());
            let done = move |result| {
                let flushed = waiting.take().expect("an append is taken once");
                store.report::<R>(flushed)(result);
            };
            match self.log.append(entries.clone(), done) {
                Ok(()) => return Ok(()),
                Err(AppendError::NoSpace) => {
                    self.log.space_changed(Space::Low).await;
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    async fn read(&self, first: u64, end: u64) -> io::Result<Vec<RaftEntry>> {
        if first >= end {
            return Ok(Vec::new());
        }
        let entries =
            self.log.read(first..end, usize::MAX).await.map_err(|error| self.fail(error))?;
        let found = entries.first().map(|entry| entry.id.index);
        if found != Some(first) || entries.len() as u64 != end - first {
            // A shorter list would be taken for a shorter log.
            let error = format!("entries {first}..{end} gave {} from {found:?}", entries.len());
            return Err(self.shared.fail(io::Error::other(error)));
        }
        self.convert(entries)
    }

    fn convert(&self, entries: Vec<Entry>) -> io::Result<Vec<RaftEntry>> {
        let convert = |entry| from_entry(entry).map_err(|error| self.fail(error));
        entries.into_iter().map(convert).collect()
    }

    /// The part of a range that the log holds. openraft asks for more in places where it tolerates
    /// what was purged or is not there yet.
    fn held(&self, range: &impl RangeBounds<u64>) -> (u64, u64) {
        let first = match range.start_bound() {
            Bound::Included(first) => *first,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let after = |id: Option<jobbie_log::EntryId>| id.map_or(0, |id| id.index + 1);
        (first.max(after(self.log.state().purged)), end.min(after(self.log.state().last)))
    }
}

impl<R: AsyncRuntime, D: Disk> RaftLogReader<Types<R>> for LogStore<D> {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<RaftEntry>> {
        let (first, end) = self.held(&range);
        self.read(first, end).await
    }

    async fn limited_get_log_entries(
        &mut self,
        first: u64,
        end: u64,
    ) -> io::Result<Vec<RaftEntry>> {
        if first >= end {
            return Ok(Vec::new());
        }
        // A follower is sent these: none may be missing in front, and there may be fewer.
        let entries = self.log.read(first..end, REPLICATE_BYTES_MAX).await;
        let entries = entries.map_err(|error| self.fail(error))?;
        if entries.first().map(|entry| entry.id.index) != Some(first) {
            return Err(self.shared.fail(io::Error::other(format!("entry {first} was not read"))));
        }
        self.convert(entries)
    }

    async fn read_vote(&mut self) -> io::Result<Option<RaftVote>> {
        Ok(self.log.state().vote.map(to_raft_vote))
    }
}

impl<R: AsyncRuntime, D: Disk> RaftLogStorage<Types<R>> for LogStore<D> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<R>>> {
        Ok(LogState {
            last_purged_log_id: self.log.state().purged.map(to_log_id),
            last_log_id: self.log.state().last.map(to_log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> io::Result<()> {
        #[cfg(any(test, feature = "sim"))]
        if planted(Mutant::VoteBeforeFlush) {
            let (log, vote) = (self.log.clone(), from_raft_vote(vote));
            drop(R::spawn(async move { log.save_vote(vote).await }));
            return Ok(());
        }
        loop {
            match self.log.save_vote(from_raft_vote(vote)).await {
                Ok(()) => return Ok(()),
                Err(ControlError::NoSpace) => {
                    self.log.space_changed(Space::Low).await;
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        // Rides on the next record; a flush of its own would double the writes.
        if let Some(committed) = committed {
            self.log.note_committed(committed.index);
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        let Some(index) = self.log.state().committed else { return Ok(None) };
        if let Some(purged) = self.log.state().purged.filter(|purged| purged.index >= index) {
            return Ok(Some(to_log_id(purged)));
        }
        let entries = self.read(index, index + 1).await?;
        Ok(entries.first().map(|entry| entry.log_id))
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types<R>>) -> io::Result<()>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut next_event = self.log.state().next_event;
        let entries: Vec<Entry> = entries
            .into_iter()
            .map(|entry| {
                let entry = self.stamp(entry, next_event);
                next_event = entry.next_event();
                entry
            })
            .collect();
        if self.log.space() == Space::Low {
            return self.append_when_there_is_space(entries, flushed).await;
        }
        let done = self.report::<R>(flushed);
        #[cfg(any(test, feature = "sim"))]
        let done = {
            let mut done = Some(done);
            if planted(Mutant::CallbackBeforeFlush) {
                done.take().expect("just made")(Ok(()));
            }
            move |result| {
                if let Some(done) = done {
                    done(result);
                }
            }
        };
        self.log.append(entries, done).map_err(|error| self.fail(error))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let last = last.map(from_log_id);
        self.log.truncate_after(last).await.map_err(|error| self.fail(error))
    }

    async fn purge(&mut self, id: LogId) -> io::Result<()> {
        let id = from_log_id(id);
        if self.log.state().last.is_none_or(|last| last.index < id.index) {
            // A snapshot of the leader goes beyond the whole log.
            let next_event = self.shared.next_event_after(id);
            return self.log.restart_after(id, next_event).await.map_err(|error| self.fail(error));
        }
        self.log.purge(id).await.map_err(|error| self.fail(error))
    }
}
