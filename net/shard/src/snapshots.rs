//! Taking the state at one committed entry, without stopping for it.
//!
//! The leader's state runs ahead of what is committed. So a snapshot is taken right after an entry was
//! decided, shares its pages with the running state, and is given to the writer when that entry is
//! committed.

use std::cell::{Cell, RefCell};

use jobbie_core::{Snapshot, State};
use jobbie_log::EntryId;

use crate::bell::Bell;

/// The state at one moment, and what is said about it.
pub(crate) struct Captured {
    pub(crate) snapshot: Snapshot,
    pub(crate) next_event: u64,
    pub(crate) time_us: u64,
    pub(crate) state_hash: u64,
    /// What the state refers to begins here.
    pub(crate) oldest_needed_event: u64,
}

impl Captured {
    pub(crate) fn of(state: &State) -> Self {
        Self {
            snapshot: state.snapshot(),
            next_event: state.next_event().0,
            time_us: state.time().0,
            state_hash: state.digest(),
            oldest_needed_event: state.oldest_needed_event().0,
        }
    }
}

/// A snapshot on its way from the running state to its writer.
#[derive(Default)]
pub(crate) struct Snapshots {
    wanted: Cell<bool>,
    captured: RefCell<Option<(EntryId, Captured)>>,
    ready: Bell,
}

impl Snapshots {
    /// Asks for one and waits for it. One caller at a time.
    pub(crate) async fn capture(&self, ask: impl FnOnce()) -> (EntryId, Captured) {
        self.wanted.set(true);
        ask();
        loop {
            if let Some(captured) = self.captured.borrow_mut().take() {
                return captured;
            }
            self.ready.wait().await;
        }
    }

    /// Whether one was asked for and not yet taken; taking it answers the wish.
    pub(crate) fn take_wish(&self) -> bool {
        self.wanted.take()
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.get()
    }

    /// The entry that a snapshot was taken at is committed.
    pub(crate) fn captured(&self, at: EntryId, snapshot: Captured) {
        *self.captured.borrow_mut() = Some((at, snapshot));
        self.ready.ring();
    }
}
