//! Planted defects. A test or a simulator that does not find them proves nothing.

use std::cell::Cell;

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Segments are opened without the promise that a write is durable (R1).
    WritesNotDurable,
    /// Records behind the end of the log are left there, and followed when new ones lead up to them (R4). Both
    /// defences are taken away: clearing the torn tail and checking the chain each make up for the other.
    StaleRecordsFollowed,
    /// What a dead process left is not flushed before it counts (R4).
    FoundNotFlushed,
    /// A record that is missing although a later one calls it durable is taken for a torn tail (R4).
    DamageTakenForTail,
    /// The checksum of a body is not looked at (R4).
    BodyUnchecked,
    /// What reading sealed segments back finds is not looked at (F12).
    ScrubFindsNothing,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 6] = [
        Mutant::WritesNotDurable,
        Mutant::StaleRecordsFollowed,
        Mutant::FoundNotFlushed,
        Mutant::DamageTakenForTail,
        Mutant::BodyUnchecked,
        Mutant::ScrubFindsNothing,
    ];
}

thread_local! {
    static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Plants a defect in this thread, or none.
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

pub(crate) fn is_planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}
