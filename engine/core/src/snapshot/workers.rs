//! Workers in a snapshot.

use std::rc::Rc;

use jobbie_proto::Micros;
use jobbie_proto::event::{WorkerAsks, WorkerKey};
use jobbie_proto::limits::{WORKER_BYTES_MAX, WORKER_QUEUES_MAX, WORKERS_MAX};
use rkyv::{Archive, Deserialize, Serialize};

use super::read::{Checked, require};
use crate::state::State;
use crate::workers::Worker;

/// Bytes of one chunk, about.
const BYTES: usize = 192 << 10;

#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct WorkerRow {
    worker: WorkerKey,
    asks: WorkerAsks,
    started: Micros,
    last_seen: Micros,
}

/// Workers behind one, and the one to go on with.
pub(super) fn rows(state: &State, after: &WorkerKey) -> (Vec<WorkerRow>, Option<WorkerKey>) {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for (key, worker) in state.workers.after(after) {
        bytes += 64 + key.name.len() + worker.asks.host.len();
        bytes += worker.asks.queues.iter().map(|queue| 16 + queue.len()).sum::<usize>();
        rows.push(WorkerRow {
            worker: key.clone(),
            asks: worker.asks.clone(),
            started: Micros(worker.started),
            last_seen: Micros(worker.last_seen),
        });
        if bytes > BYTES {
            return (rows, Some(key.clone()));
        }
    }
    (rows, None)
}

pub(super) fn restore(state: &mut State, row: WorkerRow) -> Checked {
    let WorkerRow { worker, asks, started, last_seen } = row;
    let short = worker.name.len() <= WORKER_BYTES_MAX && asks.host.len() <= WORKER_BYTES_MAX;
    require(short, "a worker's name is too long")?;
    require(asks.queues.len() <= WORKER_QUEUES_MAX, "a worker has too many queues")?;
    require(worker.session.0 < state.next_event, "a worker is ahead of its session")?;
    require(started <= last_seen && last_seen.0 <= state.time, "a worker is ahead of time")?;
    require(state.workers.get(&worker).is_none(), "a worker comes twice")?;
    require(state.workers.len() < WORKERS_MAX, "too many workers")?;
    let (started, last_seen) = (started.0, last_seen.0);
    state.workers.put(Rc::new(worker), Worker { asks, started, last_seen });
    Ok(())
}
