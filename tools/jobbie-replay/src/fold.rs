//! Following a log: from a snapshot or its first entry to any point that it still reaches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use jobbie_core::State;
use jobbie_io::UringDisk;
use jobbie_log::{Entry, EntryKind, SnapshotReader};
use jobbie_proto::event::codec;
use jobbie_proto::{Micros, ShardId};

use crate::data_dir::Reading;
use crate::error::ReplayError;
use crate::overlay::Overlay;
use crate::point::Point;
use crate::time;

/// A state, and what of the log is in it.
pub(crate) struct Folded {
    pub(crate) state: State,
    /// Last entry of the snapshot it was begun with, if there was one.
    pub(crate) snapshot: Option<u64>,
    /// Last entry in it.
    pub(crate) last: Option<u64>,
}

impl Folded {
    /// The state before the first entry of a log that one of `shards` shards has, which must still be there.
    pub(crate) fn empty(log: &Reading, shards: u16) -> Result<Self, ReplayError> {
        let first = log.first_index();
        if first > 0 {
            return Err(purged(log, "the first entry is needed"));
        }
        let state = State::new(ShardId(log.shard as u16), shards.max(log.shard as u16 + 1));
        Ok(Self { state, snapshot: None, last: None })
    }

    /// The oldest state from which the log can be followed.
    pub(crate) async fn oldest(log: &Reading, shards: u16) -> Result<Self, ReplayError> {
        match (log.first_index(), log.oldest_snapshot().await?) {
            (0, _) => Self::empty(log, shards),
            (_, Some(snapshot)) => Self::of(log, snapshot).await,
            (_, None) => Err(purged(log, "no sound snapshot reaches it")),
        }
    }

    /// The state at a point, from the newest snapshot before it.
    pub(crate) async fn at(log: &Reading, shards: u16, point: Point) -> Result<Self, ReplayError> {
        let mut folded = match log.snapshot(|meta| point.covers(meta)).await? {
            Some(snapshot) if snapshot.meta().last.index + 1 >= log.first_index() => {
                Self::of(log, snapshot).await?
            }
            _ if log.first_index() == 0 => Self::empty(log, shards)?,
            _ if point == Point::Begin => Self::oldest(log, shards).await?,
            _ => return Err(too_early(log).await?),
        };
        folded.go_on(log, point, |_, _| Ok(())).await?;
        if let Point::Index(index) = point
            && index >= log.end_index()
        {
            let (dir, end) = (log.dir().display(), log.end_index());
            let ends = end
                .checked_sub(1)
                .map_or("is empty".into(), |last| format!("ends with entry {last}"));
            return Err(ReplayError::Nothing(format!(
                "{dir}: there is no entry {index}: the log {ends}"
            )));
        }
        Ok(folded)
    }

    /// The state of a snapshot.
    pub(crate) async fn of(
        log: &Reading,
        mut snapshot: SnapshotReader<Overlay<UringDisk>>,
    ) -> Result<Self, ReplayError> {
        let dir = || log.dir().to_owned();
        let failed = |source| ReplayError::Snapshot { dir: dir(), source: Box::new(source) };
        let chunks = snapshot.parts().await.map_err(failed)?;
        let index = snapshot.meta().last.index;
        let wrong = |reason: String| ReplayError::State { dir: dir(), index, reason };
        let state = State::restore(chunks).map_err(|error| wrong(error.to_string()))?;
        let (said, computed) = (snapshot.meta().state_hash, state.digest());
        if said != computed {
            return Err(wrong(format!(
                "it says its state hash is {said:016x}, it is {computed:016x}"
            )));
        }
        Ok(Self { state, snapshot: Some(index), last: Some(index) })
    }

    /// Follows the log up to a point, and shows `visit` the state after each entry.
    pub(crate) async fn go_on(
        &mut self,
        log: &Reading,
        until: Point,
        mut visit: impl FnMut(&State, &Entry) -> Result<(), ReplayError>,
    ) -> Result<(), ReplayError> {
        let begin = self.last.map_or(0, |index| index + 1);
        if begin < log.first_index() {
            return Err(purged(log, "no sound snapshot reaches it"));
        }
        let Self { state, last, .. } = self;
        let absorb = |entry: &Entry| {
            if !until.includes(entry) {
                return Ok(false);
            }
            absorb(log.dir(), state, entry)?;
            *last = Some(entry.id.index);
            visit(state, entry)?;
            Ok(true)
        };
        log.entries(begin, absorb).await
    }
}

fn purged(log: &Reading, wanted: &str) -> ReplayError {
    let (dir, first) = (log.dir().into(), log.first_index());
    ReplayError::Purged { dir, first, wanted: wanted.to_owned() }
}

/// The log does not reach as far back as was asked; says how far it does.
async fn too_early(log: &Reading) -> Result<ReplayError, ReplayError> {
    let reaches = match log.oldest_snapshot().await? {
        Some(snapshot) => {
            let meta = snapshot.meta();
            let at = time::text(meta.time_us);
            format!("the oldest state it can give is that after entry {}, of {at}", meta.last.index)
        }
        None => "there is no sound snapshot to begin with".to_owned(),
    };
    Ok(purged(log, &reaches))
}

fn absorb(log: &Path, state: &mut State, entry: &Entry) -> Result<(), ReplayError> {
    if entry.kind != EntryKind::Batch {
        return Ok(());
    }
    let wrong =
        |reason: String| ReplayError::Body { dir: log.into(), index: entry.id.index, reason };
    let (groups, _) = codec::decode(entry.body.bytes()).map_err(|e| wrong(e.to_string()))?;
    if state.next_event().0 != entry.first_event {
        let expected = state.next_event();
        return Err(wrong(format!(
            "it begins with event {}, expected {expected}",
            entry.first_event
        )));
    }
    let absorbed = catch_unwind(AssertUnwindSafe(|| {
        for group in &groups {
            state.absorb(Micros(entry.time_us), group);
        }
    }));
    absorbed.map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        wrong(format!(
            "its events do not follow from what came before: {}",
            said.unwrap_or_default()
        ))
    })
}

/// A log that does not add up is reported as such, and not as a panic of this program.
pub(crate) fn silence_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}
