//! Taking the state at one committed entry, without stopping for it.
//!
//! The leader's state runs ahead of what is committed. So a snapshot is taken right after an entry was
//! decided, shares its pages with the running state, and is given to the writer when that entry is
//! committed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use jobbie_core::Snapshot;
use jobbie_log::EntryId;

use crate::bell::Bell;

/// A snapshot on its way from the running state to its writer.
#[derive(Default)]
pub(crate) struct Snapshots {
    wanted: Cell<bool>,
    captured: RefCell<Option<(EntryId, Rc<Snapshot>)>>,
    ready: Bell,
}

impl Snapshots {
    /// Asks for one and waits for it. One caller at a time.
    pub(crate) async fn capture(&self, ask: impl FnOnce()) -> (EntryId, Rc<Snapshot>) {
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
    pub(crate) fn captured(&self, at: EntryId, snapshot: Rc<Snapshot>) {
        *self.captured.borrow_mut() = Some((at, snapshot));
        self.ready.ring();
    }
}
