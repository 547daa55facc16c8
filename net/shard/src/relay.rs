//! Letters to other shards on their way out: committed messages, in order, again until they were taken.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use jobbie_core::ties::mail::{Found, Mail, Source};
use jobbie_io::Disk;
use jobbie_proto::event::{Event, Group, Tie};
use jobbie_proto::letter::{Letter, Message};
use jobbie_proto::{EventSeq, ShardId};
use jobbie_raft::AsyncRuntime;
use tracing::error;

use crate::bell::Bell;
use crate::clock::Clock;
use crate::limits::{LETTER_BYTES_MAX, LETTER_MESSAGES_MAX, LETTER_RETRY_PAUSE};
use crate::outgoing::Sources;
use crate::run::either;
use crate::shard::Inner;

/// How far messages to one shard have come. Not part of the state: after a restart all of them are sent again.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// The last message that is committed.
    committed: u64,
    /// The last message of the letter under way, and when that was sent, by the clock's elapsed microseconds.
    under_way: Option<(u64, u64)>,
    /// The last message that the shard has taken.
    taken: u64,
}

/// What the relay of a shard remembers.
#[derive(Default)]
pub(crate) struct Relay {
    ways: RefCell<BTreeMap<ShardId, Way>>,
    pub(crate) bell: Bell,
}

impl Relay {
    /// A shard has taken messages.
    pub(crate) fn taken(&self, by: ShardId, last: u64) {
        let mut ways = self.ways.borrow_mut();
        let way = ways.entry(by).or_default();
        way.taken = way.taken.max(last);
        way.under_way = way.under_way.filter(|(end, _)| *end > way.taken);
        self.bell.ring();
    }

    fn commit(&self, to: ShardId, last: u64) {
        self.ways.borrow_mut().entry(to).or_default().committed = last;
        self.bell.ring();
    }

    /// Committed groups: what they sent may leave, and what they took of this shard's own messages has arrived.
    pub(crate) fn committed(&self, own: ShardId, groups: &[Group]) {
        // Nobody asks for such events.
        for event in groups.iter().filter(|g| g.session.0 == 0).flat_map(|group| &group.events) {
            let Event::Tied(tie) = event else { continue };
            match **tie {
                Tie::Sent { to, first, ref parcels } => {
                    self.commit(to, first + parcels.len() as u64 - 1);
                }
                Tie::Received { from, last } if from == own => self.taken(from, last),
                _ => {}
            }
        }
    }
}

impl Source for Sources {
    fn find(&self, event: EventSeq) -> Option<Found<'_>> {
        self.found(event)
    }
}

impl<R: AsyncRuntime, D: Disk, C: Clock> Inner<R, D, C> {
    /// Everything in the state is committed: it may all be sent.
    pub(crate) fn begin_relay(&self) {
        self.relay.ways.borrow_mut().clear();
        let state = self.state.borrow();
        for to in state.mail_waits_for() {
            self.relay.commit(to, state.mail_sent(to));
        }
    }

    /// Sends letters as long as the shard runs.
    pub(crate) async fn relay_letters(self: Rc<Self>) {
        while self.stopped.borrow().is_none() {
            let mut waits = false;
            let all: Vec<_> = self.relay.ways.borrow().keys().copied().collect();
            for to in all {
                waits |= self.relay_to(to).await;
            }
            let rung = self.relay.bell.wait();
            if waits {
                either(rung, R::sleep(LETTER_RETRY_PAUSE)).await;
            } else {
                rung.await;
            }
        }
    }

    /// Sends the next letter to a shard unless one is under way. Whether something is left that time may have to move.
    async fn relay_to(&self, to: ShardId) -> bool {
        let Some(way) = self.relay.ways.borrow().get(&to).copied() else { return false };
        let now = self.clock.elapsed();
        let retry_us = LETTER_RETRY_PAUSE.as_micros() as u64;
        if let Some((_, sent)) = way.under_way
            && now < sent + retry_us
        {
            return true;
        }
        let mail: Vec<_> = {
            let state = self.state.borrow();
            let mail = state.mail(to, way.taken + 1).take_while(|(at, _)| *at <= way.committed);
            mail.take(LETTER_MESSAGES_MAX).collect()
        };
        let Some(&(first, _)) = mail.first() else { return false };
        let mut messages = Vec::new();
        let mut bytes = 0;
        for (_, mail) in &mail {
            let Some(message) = self.write(mail).await else { break };
            bytes += message_bytes(&message);
            // A large one goes alone.
            if bytes > LETTER_BYTES_MAX.min(self.letter_bytes_max()) && !messages.is_empty() {
                break;
            }
            messages.push(message);
        }
        if messages.is_empty() {
            return true;
        }
        let last = first + messages.len() as u64 - 1;
        if let Some(way) = self.relay.ways.borrow_mut().get_mut(&to) {
            way.under_way = Some((last, now));
        }
        self.post.post(to, Letter::Handoff { from: self.config.shard, first, messages });
        true
    }

    /// A message with what the log adds to it; `None` when that cannot be read now.
    async fn write(&self, mail: &Mail) -> Option<Message> {
        let mut sources = Sources::default();
        for event in mail.needs() {
            if sources.has(event) {
                continue;
            }
            match self.records.load(event).await {
                Ok(entry) => sources.add(entry),
                Err(error) => {
                    let shard = self.config.shard;
                    error!(%shard, %error, "a message to another shard waits for its record");
                    return None;
                }
            }
        }
        let message = mail.message(&sources);
        assert!(message.is_some(), "the state names the events of {mail:?}");
        message
    }
}

/// About what a message takes in the log of the shard that takes it.
pub(crate) fn message_bytes(message: &Message) -> usize {
    let (step, chain, more) = match message {
        Message::Make(new) => (&new.step, &new.chain, 0),
        Message::Move(moved) => {
            let of_work = [&moved.checkpoint, &moved.progress, &moved.error, &moved.backtrace];
            let of_hold = [&moved.hold_reason, &moved.hold_by];
            let texts = of_work.into_iter().chain(of_hold).map(Vec::len).sum::<usize>();
            (&moved.step, &moved.chain, texts + 16 * moved.awaits.len())
        }
        _ => return 64,
    };
    let later = chain
        .iter()
        .flat_map(|chain| chain.rest.iter().chain(&chain.on_failure).chain(&chain.on_exit));
    let steps = std::iter::once(step).chain(later);
    more + steps.map(|step| 256 + step.payload.len() + step.tags.len()).sum::<usize>()
}
