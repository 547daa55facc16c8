//! What a server says of itself and its peers.

use jobbie_proto::ability::Abilities;
use jobbie_proto::placement::shard_of;
use jobbie_proto::wire::{Durability, Limits, ServerSettings, Welcome};
use jobbie_proto::{Micros, ShardId};

/// Shards, where they are, and what the server accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// How many shards there are.
    pub shards: u16,
    /// Random name of the data.
    pub store: u128,
    /// What the server accepts.
    pub limits: Limits,
    /// What an answer is worth.
    pub durability: Durability,
    /// Release of the server, for people.
    pub server_version: String,
    /// The server's clock at the handshake.
    pub server_time: Micros,
    /// What it can do.
    pub abilities: Abilities,
    /// What its operators have set.
    pub settings: ServerSettings,
    endpoints: Vec<(ShardId, String, bool)>,
}

impl Topology {
    pub(crate) fn new(welcome: &Welcome<'_>) -> Self {
        Self {
            shards: welcome.shards.max(1),
            store: welcome.store,
            limits: welcome.limits,
            durability: welcome.durability,
            server_version: welcome.server_version.to_owned(),
            server_time: welcome.server_time,
            abilities: welcome.abilities,
            settings: welcome.settings,
            endpoints: welcome
                .endpoints
                .iter()
                .map(|e| (e.shard, e.address.to_owned(), e.leader))
                .collect(),
        }
    }

    /// The shard of a queue.
    #[must_use]
    pub fn shard_of(&self, queue: &str) -> ShardId {
        shard_of(queue, self.shards)
    }

    /// Where a shard is led, or at least served; `None` is where this was learnt.
    #[must_use]
    pub fn address(&self, shard: ShardId) -> Option<&str> {
        let of_shard = || self.endpoints.iter().filter(|e| e.0 == shard && !e.1.is_empty());
        of_shard().find(|e| e.2).or_else(|| of_shard().next()).map(|e| e.1.as_str())
    }
}
