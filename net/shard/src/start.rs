//! From disk to serving.

use std::rc::Rc;

use jobbie_core::State;
use jobbie_io::Disk;
use jobbie_log::{EntryId, EntryKind, Log};
use jobbie_proto::Micros;
use jobbie_proto::event::codec;
use jobbie_raft::{
    AsyncRuntime, Bootstrap, Group, GroupConfig, Leadership, NoPeers, Recovered, SnapshotMeta,
};
use tracing::info;

use crate::clock::Clock;
use crate::machine::{RecoverError, raft_meta, report_refused, restore};
use crate::mail::Post;
use crate::shard::{Inner, Shard, ShardConfig};

/// Bytes of entries read at a time while the log is replayed.
const REPLAY_BYTES: usize = 4 << 20;

/// Why a shard did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its state could not be put together.
    #[error("recover the state: {0}")]
    Recover(#[from] RecoverError),
    /// Its Raft group did not start.
    #[error(transparent)]
    Raft(#[from] jobbie_raft::StartError),
    /// It stopped before it could serve.
    #[error("{0}")]
    Stopped(String),
}

impl<R: AsyncRuntime, D: Disk, C: Clock> Shard<R, D, C> {
    /// Recovers the state, starts the group, and returns once the shard serves. The log's driver must
    /// be running. `post` carries letters to the other shards, and to this one.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        config: ShardConfig,
        clock: C,
        log: Log<D>,
        post: Rc<dyn Post>,
    ) -> Result<Self, StartError> {
        let (state, recovered) = recover(&config, &log).await?;
        let address = config.endpoints.get(usize::from(config.shard.0)).cloned();
        let node = config.node;
        let bootstrap = Bootstrap::Single { address: address.unwrap_or_default() };
        let inner = Inner::new(config, clock, log.clone(), post, state);
        inner.committed.set(recovered.applied);
        let group = GroupConfig::new(node, bootstrap);
        let group: Group<R, Inner<R, D, C>> =
            Group::start(group, log, Rc::clone(&inner), recovered, NoPeers::default()).await?;
        let leadership = group.leadership().clone();
        assert!(inner.group.set(group).is_ok(), "a shard is started once");
        drop(R::spawn(Rc::clone(&inner).run()));
        drop(R::spawn(Rc::clone(&inner).watch_log()));
        drop(R::spawn(Rc::clone(&inner).relay_letters()));
        let now = leadership
            .until(|now| now.ready_term().is_some() || matches!(now, Leadership::Stopped(_)))
            .await;
        match now {
            Leadership::Stopped(fatal) => Err(StartError::Stopped(fatal.to_string())),
            _ => Ok(Self { inner }),
        }
    }
}

async fn recover<D: Disk>(
    config: &ShardConfig,
    log: &Log<D>,
) -> Result<(State, Recovered), StartError> {
    let latest = log.snapshots().latest().await.map_err(RecoverError::from)?;
    report_refused(&latest.refused);
    let (mut state, recovered) = match latest.snapshot {
        None => (State::new(config.shard, config.shards), Recovered::default()),
        Some(mut reader) => {
            let state = restore(&mut reader).await?;
            let meta = raft_meta(reader.meta())?;
            let SnapshotMeta { last, next_event, membership } = meta;
            (state, Recovered { applied: Some(last), next_event, membership })
        }
    };
    crate::tell!(|observer| observer.restored(config.shard, recovered.applied, &state));
    let from = state.next_event();
    replay(&mut state, log, recovered.applied).await?;
    // The state is whole without them.
    log.snapshots().discard_damaged(&latest.refused).await.map_err(RecoverError::from)?;
    info!(
        shard = %config.shard,
        replayed = state.next_event().0 - from.0,
        event = state.next_event().0 - 1,
        jobs = state.stats().jobs,
        "state recovered"
    );
    Ok((state, recovered))
}

/// Absorbs the whole local log behind `after`, committed or not: a new leader does so before it
/// decides anything, and a single member's log is all there is.
async fn replay<D: Disk>(
    state: &mut State,
    log: &Log<D>,
    after: Option<EntryId>,
) -> Result<(), RecoverError> {
    let Some(last) = log.state().last else { return Ok(()) };
    let mut next = after.map_or(0, |id| id.index + 1);
    let first = first_index(log);
    if next < first {
        return Err(RecoverError::Gap { needed: next, first });
    }
    while next <= last.index {
        let entries = log.read(next..last.index + 1, REPLAY_BYTES).await?;
        for entry in entries {
            next = entry.id.index + 1;
            let skipped = crate::mutant!(ReplayStopsEarly) && next > last.index;
            if entry.kind != EntryKind::Batch || skipped {
                continue;
            }
            let (index, expected) = (entry.id.index, state.next_event().0);
            if entry.first_event != expected {
                return Err(RecoverError::Events { index, found: entry.first_event, expected });
            }
            let (groups, _) = codec::decode(entry.body.bytes())
                .map_err(|source| RecoverError::Decode { index, source })?;
            for group in &groups {
                let time = Micros(entry.time_us);
                state.absorb(time, group);
                crate::tell!(|observer| observer.replayed(state.shard(), time, group, state));
            }
        }
    }
    Ok(())
}

fn first_index<D: Disk>(log: &Log<D>) -> u64 {
    log.state().purged.map_or(0, |purged| purged.index + 1)
}
