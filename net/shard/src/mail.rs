//! Letters of other shards on their way in.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use jobbie_core::{decide_consequences, decide_delivered, decide_letter};
use jobbie_io::Disk;
use jobbie_log::Space;
use jobbie_proto::event::Group;
use jobbie_proto::letter::{Letter, Message};
use jobbie_proto::{Micros, ShardId};
use jobbie_raft::AsyncRuntime;

use crate::clock::Clock;
use crate::entry::EntryBuilder;
use crate::limits::{DELIVERED_PAUSE_MS, TIMER_JOBS_PER_ENTRY};
use crate::relay::message_bytes;
use crate::shard::{Inner, Shard};

/// Carries letters to shards, this one too. It may lose them: they are sent again. One that it doubles, or delivers late,
/// does no harm.
pub trait Post {
    /// Sends a letter; returns at once.
    fn post(&self, to: ShardId, letter: Letter);
}

/// Letters that arrived and are not decided: from each shard one of each kind, since the newest says all that counts.
#[derive(Default)]
pub(crate) struct Mailbox {
    handoffs: RefCell<BTreeMap<ShardId, (u64, Vec<Message>)>>,
    taken: RefCell<BTreeMap<ShardId, u64>>,
    /// When the oldest of `taken` should be in the log.
    taken_due: Cell<Option<Micros>>,
}

impl Mailbox {
    pub(crate) fn has_work(&self) -> bool {
        !self.handoffs.borrow().is_empty()
    }

    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        self.taken_due.get()
    }
}

impl<R: AsyncRuntime, D: Disk, C: Clock> Shard<R, D, C> {
    /// Takes a letter, to be decided in its turn.
    pub fn receive(&self, letter: Letter) {
        let inner = &self.inner;
        if inner.stopped.borrow().is_some() {
            return;
        }
        match letter {
            Letter::Handoff { from, first, messages } => {
                inner.mailbox.handoffs.borrow_mut().insert(from, (first, messages));
                inner.bell.ring();
            }
            Letter::Taken { by, last } => inner.taken(by, last),
        }
    }
}

impl<R: AsyncRuntime, D: Disk, C: Clock> Inner<R, D, C> {
    /// A shard has taken messages. The relay goes on at once; the log notes it with the next entry, or soon.
    fn taken(&self, by: ShardId, last: u64) {
        self.relay.taken(by, last);
        let mut taken = self.mailbox.taken.borrow_mut();
        let known = taken.entry(by).or_default();
        *known = last.max(*known);
        if self.mailbox.taken_due.get().is_none() {
            self.mailbox.taken_due.set(Some(self.now().plus_ms(DELIVERED_PAUSE_MS)));
            self.bell.ring();
        }
    }

    /// Decides the letters that have arrived.
    pub(crate) fn take_letters(&self, entry: &mut EntryBuilder) {
        while !entry.is_full() {
            let Some((from, (first, mut messages))) =
                self.mailbox.handoffs.borrow_mut().pop_first()
            else {
                return;
            };
            messages.truncate(self.fitting(from, &messages));
            // It comes again, and finds room then.
            let makes = |message: &Message| matches!(message, Message::Make(_) | Message::Move(_));
            if self.log.space() == Space::Low && messages.iter().any(makes) {
                continue;
            }
            let group = decide_letter(&self.state.borrow(), from, first, &messages, entry.blob());
            if let Some(group) = group {
                self.absorb(entry, group);
            }
            if from != self.config.shard {
                let last = self.state.borrow().letters_taken(from);
                entry.letters.push((from, Letter::Taken { by: self.config.shard, last }));
            }
        }
    }

    /// How many messages of a letter fit an entry: the others come again. One that never does waits until its shard has a larger disk.
    fn fitting(&self, from: ShardId, messages: &[Message]) -> usize {
        let mut left = self.letter_bytes_max();
        let fits = messages.iter().take_while(|message| {
            let rest = left.checked_sub(message_bytes(message));
            left = rest.unwrap_or(0);
            rest.is_some()
        });
        let fits = fits.count();
        if fits == 0 && !messages.is_empty() {
            tracing::warn!(
                shard = self.config.shard.0,
                from = from.0,
                bytes_max = self.letter_bytes_max(),
                "a job of another shard is larger than what an entry has room for on this small disk: it waits"
            );
        }
        fits
    }

    /// Notes what other shards have taken, when it is time or there is an entry anyway.
    pub(crate) fn note_delivered(&self, entry: &mut EntryBuilder) {
        let due = self.mailbox.taken_due.get().is_some_and(|due| due <= entry.time);
        if !due && !entry.has_events() {
            return;
        }
        self.mailbox.taken_due.set(None);
        for (to, last) in self.mailbox.taken.take() {
            let group = decide_delivered(&self.state.borrow(), to, last);
            if let Some(group) = group {
                self.absorb(entry, group);
            }
        }
    }

    /// Makes facts of what follows from the end of jobs, in the entry that ended them as far as there is room.
    pub(crate) fn follow(&self, entry: &mut EntryBuilder) {
        while !entry.is_full() && self.state.borrow().has_consequences() {
            let events = decide_consequences(&self.state.borrow(), TIMER_JOBS_PER_ENTRY);
            self.absorb(entry, Group { events, ..Default::default() });
        }
    }
}
