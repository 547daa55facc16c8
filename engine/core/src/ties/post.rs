//! Numbered messages between shards (ADR 12): each is sent until the other shard has said that it took it, and taken once.

use jobbie_proto::ShardId;
use jobbie_proto::event::Parcel;

use super::Map;

/// What is on the way to other shards, and how far theirs have come.
#[derive(Clone, Default)]
pub(crate) struct Post {
    /// Number of the last message sent to each shard.
    sent: Map<u16, u64>,
    /// Messages that their shard has not said it took.
    open: Map<(u16, u64), Parcel>,
    /// Number of the last message taken from each shard.
    taken: Map<u16, u64>,
}

impl Post {
    /// The number that the next message to a shard gets.
    pub(crate) fn next(&self, to: ShardId) -> u64 {
        self.sent.get(&to.0).map_or(1, |last| last + 1)
    }

    pub(crate) fn send(&mut self, to: ShardId, number: u64, parcel: Parcel) {
        assert_eq!(number, self.next(to), "messages are not numbered consecutively");
        self.sent.insert(to.0, number);
        self.open.insert((to.0, number), parcel);
    }

    /// A shard has taken everything up to `last`: the messages that are over.
    pub(crate) fn delivered(&mut self, to: ShardId, last: u64) -> Vec<Parcel> {
        assert!(last < self.next(to), "a shard took messages that were not sent");
        let over = self.open(to, 0).take_while(|(number, _)| *number <= last);
        let over: Vec<_> = over.collect();
        over.iter().for_each(|(number, _)| {
            self.open.remove(&(to.0, *number));
        });
        over.into_iter().map(|(_, parcel)| parcel).collect()
    }

    /// The first message that a shard has not said it took.
    pub(crate) fn first_open(&self, to: ShardId) -> Option<u64> {
        self.open(to, 0).next().map(|(number, _)| number)
    }

    /// Messages to a shard, from a number on.
    pub(crate) fn open(&self, to: ShardId, from: u64) -> impl Iterator<Item = (u64, Parcel)> + '_ {
        let range = self.open.range((to.0, from)..=(to.0, u64::MAX));
        range.map(|((_, number), parcel)| (*number, *parcel))
    }

    /// Shards with messages that they have not said they took.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = ShardId> + '_ {
        let first = self.open.get_min().map(|((to, _), _)| *to);
        std::iter::successors(first, |to| {
            self.open.range((to + 1, 0)..).next().map(|((to, _), _)| *to)
        })
        .map(ShardId)
    }

    /// All messages on the way, behind a shard and number.
    pub(crate) fn all_open(
        &self,
        behind: Option<(u16, u64)>,
    ) -> impl Iterator<Item = (ShardId, u64, Parcel)> + '_ {
        let from = behind.map_or((0, 0), |(to, number)| (to, number + 1));
        self.open.range(from..).map(|((to, number), parcel)| (ShardId(*to), *number, *parcel))
    }

    /// Messages on the way.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// The last message taken from a shard.
    pub(crate) fn taken(&self, from: ShardId) -> u64 {
        self.taken.get(&from.0).copied().unwrap_or(0)
    }

    pub(crate) fn take(&mut self, from: ShardId, last: u64) {
        assert!(last > self.taken(from), "messages were taken twice");
        self.taken.insert(from.0, last);
    }

    /// Shards that messages were sent to, with the number of the last.
    pub(crate) fn all_sent(&self) -> impl Iterator<Item = (ShardId, u64)> + '_ {
        self.sent.iter().map(|(to, last)| (ShardId(*to), *last))
    }

    /// Shards that messages were taken from, with the number of the last.
    pub(crate) fn all_taken(&self) -> impl Iterator<Item = (ShardId, u64)> + '_ {
        self.taken.iter().map(|(from, last)| (ShardId(*from), *last))
    }

    /// Sets how far messages to a shard have come, with none open.
    pub(crate) fn restore_sent(&mut self, to: ShardId, last: u64) {
        self.sent.insert(to.0, last);
    }

    /// Opens a message again. Whether it can be: it was sent, and is the last or stands before the next.
    pub(crate) fn restore_open(&mut self, to: ShardId, number: u64, parcel: Parcel) -> bool {
        let sound = (1..self.next(to)).contains(&number)
            && self.open(to, 0).last().is_none_or(|(last, _)| last + 1 == number);
        self.open.insert((to.0, number), parcel);
        sound
    }
}
