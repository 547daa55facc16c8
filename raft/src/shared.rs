//! What the parts of one group tell each other.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use jobbie_log::EntryId;

use crate::leadership::Leadership;
use crate::observed::Observed;

/// Why a group stopped for good. Only a restart, which reads the disk again, helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// The log or the machine reported an error.
    #[error("storage failed: {0}")]
    Storage(String),
    /// Raft itself stopped.
    #[error("raft stopped: {0}")]
    Raft(String),
    /// [`crate::Group::shutdown`] was called.
    #[error("the group was shut down")]
    ShutDown,
}

/// How far the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) last: EntryId,
    pub(crate) next_event: u64,
}

struct State {
    applied: Cell<Option<Applied>>,
    /// As Raft last said; never ready.
    role: RefCell<Leadership>,
    leadership: Observed<Leadership>,
    fatal: RefCell<Option<Fatal>>,
}

/// Shared by the log store, the state machine and the handle of one group.
#[derive(Clone)]
pub(crate) struct Shared(Rc<State>);

impl Shared {
    pub(crate) fn new() -> Self {
        Self(Rc::new(State {
            applied: Cell::new(None),
            role: RefCell::new(Leadership::default()),
            leadership: Observed::new(Leadership::default()),
            fatal: RefCell::new(None),
        }))
    }

    pub(crate) fn applied(&self) -> Option<EntryId> {
        self.0.applied.get().map(|applied| applied.last)
    }

    pub(crate) fn set_applied(&self, last: EntryId, next_event: u64) {
        let before = self.0.applied.replace(Some(Applied { last, next_event }));
        if before.is_none_or(|before| before.last.term != last.term) {
            self.publish();
        }
    }

    /// The first event after `last`, which is the last entry applied.
    ///
    /// # Panics
    /// If it is not: the log would go on behind a gap.
    pub(crate) fn next_event_after(&self, last: EntryId) -> u64 {
        let applied = self.0.applied.get().filter(|applied| applied.last == last);
        applied.expect("the log restarts behind an installed snapshot only").next_event
    }

    pub(crate) fn leadership(&self) -> &Observed<Leadership> {
        &self.0.leadership
    }

    pub(crate) fn set_role(&self, role: Leadership) {
        self.0.role.replace(role);
        self.publish();
    }

    /// A leader is ready once an entry of its own term is applied: its first one is blank, and
    /// follows everything it had in its log.
    fn publish(&self) {
        let leadership = match (&*self.0.fatal.borrow(), self.0.role.borrow().clone()) {
            (Some(fatal), _) => Leadership::Stopped(fatal.clone()),
            (None, Leadership::Leader { term, .. }) => {
                let ready = self.applied().is_some_and(|applied| applied.term == term);
                Leadership::Leader { term, ready }
            }
            (None, other) => other,
        };
        self.0.leadership.set(leadership);
    }

    pub(crate) fn fatal(&self) -> Option<Fatal> {
        self.0.fatal.borrow().clone()
    }

    /// Stops the group's service at once; the first reason stays.
    pub(crate) fn stop(&self, reason: Fatal) {
        self.0.fatal.borrow_mut().get_or_insert(reason);
        self.publish();
    }

    /// Notes an error that openraft will stop for, and passes it on.
    pub(crate) fn fail(&self, error: io::Error) -> io::Error {
        self.stop(Fatal::Storage(describe(&error)));
        error
    }
}

/// The error and everything it came from, on one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
