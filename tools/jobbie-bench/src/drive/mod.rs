//! Driving connections: threads, the loop of each, and what they share.

mod conn;
mod event_loop;
mod pace;
mod shared;

use std::sync::Barrier;

use anyhow::Context;

pub use event_loop::{Sample, Seen};
pub use shared::{Phase, Shared};

use crate::wire::{Role, Target};
use event_loop::EventLoop;

/// Runs one phase to its end on as many threads as it has. `watch` is called several times a second meanwhile.
///
/// # Errors
/// When a connection cannot be made or is lost, or the server stops answering.
pub fn drive<T: Target>(
    target: &T,
    shared: &Shared,
    mut watch: impl FnMut(&Shared),
) -> anyhow::Result<Seen> {
    let threads = shared.phase.threads.max(1);
    let everyone = Barrier::new(threads as usize);
    let results: Vec<anyhow::Result<Seen>> = std::thread::scope(|scope| {
        let everyone = &everyone;
        let start = |thread| {
            move || {
                let done = one_thread(target, shared, thread, everyone);
                if done.is_err() {
                    shared.abort();
                }
                done
            }
        };
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(start(thread))).collect();
        while handles.iter().any(|h| !h.is_finished()) {
            std::thread::park_timeout(std::time::Duration::from_millis(50));
            watch(shared);
        }
        let joined = handles.into_iter().map(|h| h.join().expect("driver threads do not panic"));
        joined.collect()
    });
    let mut all = Seen::new();
    for result in results {
        all.merge(&result?);
    }
    Ok(all)
}

fn one_thread<T: Target>(
    target: &T,
    shared: &Shared,
    thread: u32,
    everyone: &Barrier,
) -> anyhow::Result<Seen> {
    let opened = open_all(target, shared, thread);
    // Also after an error, or the others wait for ever.
    everyone.wait();
    let mut event_loop = opened?;
    if shared.is_aborted() {
        return Ok(event_loop.into_seen());
    }
    shared.begin();
    event_loop.run()?;
    Ok(event_loop.into_seen())
}

fn open_all<'a, T: Target>(
    target: &T,
    shared: &'a Shared,
    thread: u32,
) -> anyhow::Result<EventLoop<'a, T::Wire>> {
    let phase = &shared.phase;
    let mut event_loop = EventLoop::new(shared)?;
    for (role, count) in [(Role::Producer, phase.producers), (Role::Worker, phase.workers)] {
        for index in (thread..count).step_by(phase.threads as usize) {
            let (stream, wire) = target.connect(role, index)?;
            event_loop.add(stream, wire, role).context("add connection")?;
        }
    }
    event_loop.open()?;
    Ok(event_loop)
}
