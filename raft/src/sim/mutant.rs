//! Bugs to be planted, so that a simulation shows that it would find them.

use std::cell::Cell;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// An append is reported flushed as soon as the log has taken it.
    CallbackBeforeFlush,
    /// A vote is reported flushed before it is.
    VoteBeforeFlush,
}

thread_local! {
    static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Runs `body` on this thread with the bug in place.
pub fn with_mutant<T>(mutant: Mutant, body: impl FnOnce() -> T) -> T {
    let before = PLANTED.replace(Some(mutant));
    let result = body();
    PLANTED.set(before);
    result
}

/// Whether the bug is in place.
pub(crate) fn planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}
