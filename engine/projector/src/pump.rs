//! From the logs into the read model: follows the log of every shard, puts their entries in one order, and folds them.

use jobbie_io::Disk;
use jobbie_log::{Entry, EntryKind, FollowError, Follower, ReadError};
use jobbie_proto::{EventSeq, Micros, ShardId};

use crate::merge::{Merge, Timed};
use crate::{Committed, Error, Projection};

/// What is known of a shard from whoever writes its log.
pub trait Source {
    /// What is committed from now on is no earlier than this. Asked before [`Source::committed_end`].
    fn floor(&self) -> Micros;
    /// Every entry below this index is committed.
    fn committed_end(&self) -> u64;
    /// Asks for a floor of at least `time`, to be had later.
    fn ask(&self, time: Micros);
    /// Whether a floor that was asked for is still to come.
    fn is_asked(&self) -> bool;
}

/// Why the read model cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PumpError {
    /// A log cannot be followed.
    #[error("follow the log of shard {shard}: {source}")]
    Follow {
        /// The shard.
        shard: ShardId,
        /// Why.
        source: FollowError,
    },
    /// The read model cannot be written.
    #[error(transparent)]
    Model(#[from] Error),
}

impl PumpError {
    /// Whether a read model made anew from what the logs have would go on.
    #[must_use]
    pub fn wants_rebuild(&self) -> bool {
        match self {
            Self::Follow { source: FollowError::Read(ReadError::Purged { .. }), .. } => true,
            Self::Follow { .. } => false,
            Self::Model(error) => error.wants_rebuild() || matches!(error, Error::Gap { .. }),
        }
    }
}

/// What a step of the pump came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pumped {
    /// Enough was folded for a commit, and there may be more.
    Full,
    /// This many entries were folded, and there are no more for now.
    Drained(u64),
}

/// Follows the logs of all shards.
pub struct Pump<D: Disk> {
    lanes: Vec<Lane<D>>,
    merge: Merge<Item>,
}

struct Lane<D: Disk> {
    shard: ShardId,
    disk: D,
    follower: Follower<D>,
    /// Time of the newest entry read.
    time: Micros,
    /// A floor that was asked for, and must have come by now if nothing is asked any more.
    awaited: Option<Micros>,
}

struct Item {
    entry: Entry,
    time: Micros,
}

impl Timed for Item {
    fn time(&self) -> Micros {
        self.time
    }
}

impl<D: Disk> Pump<D> {
    /// Follows the logs in `disks`, those of shard 0 and up, from where the read model is.
    ///
    /// # Errors
    /// [`PumpError`]; when a log no longer has what comes next, the read model wants to be made anew.
    pub async fn open(disks: Vec<D>, model: &mut Projection) -> Result<Self, PumpError> {
        let merge = Merge::new(disks.len() as u16);
        let mut lanes = Vec::with_capacity(disks.len());
        for (shard, disk) in (0..).map(ShardId).zip(disks) {
            let failed = |source| PumpError::Follow { shard, source };
            let begins = Follower::beginning(&disk).await.map_err(failed)?;
            model.log_begins(shard, EventSeq(begins.event));
            let (index, _) = model.watermark(shard);
            let from = if index == 0 { begins.index } else { index + 1 };
            let follower = Follower::open(disk.clone(), from).await.map_err(failed)?;
            lanes.push(Lane { shard, disk, follower, time: Micros(0), awaited: None });
        }
        Ok(Self { lanes, merge })
    }

    /// Folds what is committed, up to a commit's worth.
    ///
    /// # Errors
    /// [`PumpError`]; the pump and the read model are then to be opened again.
    pub async fn step<S: Source>(
        &mut self,
        model: &mut Projection,
        sources: &[S],
    ) -> Result<Pumped, PumpError> {
        let mut folded = 0;
        loop {
            let mut has_read = false;
            for (lane, source) in self.lanes.iter_mut().zip(sources) {
                has_read |= lane.fill(&mut self.merge, source).await?;
            }
            let before = folded;
            while let Some((shard, item)) = self.merge.pop() {
                folded += 1;
                if model.apply(&[item.committed(shard)])? {
                    return Ok(Pumped::Full);
                }
            }
            // What was folded may have made room for more.
            if !has_read && folded == before && !self.ask(sources) {
                return Ok(Pumped::Drained(folded));
            }
        }
    }

    /// Folds the rest of logs that nobody writes.
    ///
    /// # Errors
    /// [`PumpError`].
    pub async fn finish(&mut self, model: &mut Projection) -> Result<(), PumpError> {
        loop {
            let mut has_read = false;
            for lane in &mut self.lanes {
                has_read |= lane.fill_to_end(&mut self.merge).await?;
            }
            let mut has_folded = false;
            while let Some((shard, item)) = self.merge.pop() {
                has_folded = true;
                if model.apply(&[item.committed(shard)])? {
                    model.commit()?;
                }
            }
            if !has_read && !has_folded {
                return Ok(model.commit()?);
            }
        }
    }

    /// Tells the read model what the logs no longer have.
    ///
    /// # Errors
    /// When a log's directory cannot be read.
    pub async fn note_beginnings(&self, model: &mut Projection) -> Result<(), PumpError> {
        for lane in &self.lanes {
            let failed = |source| PumpError::Follow { shard: lane.shard, source };
            let begins = Follower::beginning(&lane.disk).await.map_err(failed)?;
            model.log_begins(lane.shard, EventSeq(begins.event));
        }
        Ok(())
    }

    /// Asks the shards for which the next entry waits to let it go first. Whether one of them will not, and it goes all the same: its
    /// clock is too far behind.
    fn ask<S: Source>(&mut self, sources: &[S]) -> bool {
        let wanted: Vec<(ShardId, Micros)> = self.merge.waits_for().collect();
        let mut goes = false;
        for (shard, time) in wanted {
            let (lane, source) =
                (&mut self.lanes[usize::from(shard.0)], &sources[usize::from(shard.0)]);
            match lane.awaited {
                Some(awaited) if awaited >= time => {
                    if !source.is_asked() && source.floor() < time {
                        self.merge.promise(shard, time);
                        lane.awaited = None;
                        goes = true;
                    }
                }
                _ => {
                    lane.awaited = Some(time);
                    source.ask(time);
                }
            }
        }
        goes
    }
}

impl<D: Disk> Lane<D> {
    /// Reads on when nothing of the shard waits; whether there was anything.
    async fn fill<S: Source>(
        &mut self,
        merge: &mut Merge<Item>,
        source: &S,
    ) -> Result<bool, PumpError> {
        if !merge.is_empty(self.shard) {
            return Ok(false);
        }
        let floor = source.floor();
        let end = source.committed_end();
        let read =
            if self.follower.next_index() < end { self.read(end).await? } else { Vec::new() };
        if read.is_empty() {
            merge.promise(self.shard, floor);
        }
        Ok(self.push(merge, read))
    }

    async fn fill_to_end(&mut self, merge: &mut Merge<Item>) -> Result<bool, PumpError> {
        if !merge.is_empty(self.shard) {
            return Ok(false);
        }
        let mut read = self.read(0).await?;
        if read.is_empty() {
            read = self.follower.take_rest();
        }
        if read.is_empty() {
            merge.promise(self.shard, Micros(u64::MAX));
        }
        Ok(self.push(merge, read))
    }

    async fn read(&mut self, committed_end: u64) -> Result<Vec<Entry>, PumpError> {
        let read = self.follower.read(committed_end).await;
        read.map_err(|source| PumpError::Follow { shard: self.shard, source })
    }

    fn push(&mut self, merge: &mut Merge<Item>, entries: Vec<Entry>) -> bool {
        let is_any = !entries.is_empty();
        for entry in entries {
            // What is no batch has no time of its own.
            self.time = self.time.max(Micros(entry.time_us));
            merge.push(self.shard, Item { entry, time: self.time });
        }
        is_any
    }
}

impl Item {
    fn committed(&self, shard: ShardId) -> Committed<'_> {
        let is_batch = self.entry.kind == EntryKind::Batch;
        Committed {
            shard,
            index: self.entry.id.index,
            time: self.time,
            first_event: EventSeq(self.entry.first_event),
            body: if is_batch { self.entry.body.bytes() } else { &[] },
        }
    }
}
