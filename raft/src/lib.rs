//! One Raft group over the shard log. The only crate that names openraft.
//!
//! A shard hands [`Proposal`]s to its [`Group`] and hears through [`Machine::committed`] what is
//! committed. Votes, entries and memberships reach the disk in the formats of `jobbie-log` and of
//! [`Membership::encode`]; no type of openraft leaves this crate, except the runtime it runs on.

pub mod config;
pub mod group;
pub mod leadership;
pub mod limits;
pub mod machine;
pub mod membership;
pub mod network;
mod observed;
mod payload;
mod shared;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod store;
#[cfg(test)]
mod tests;
mod types;

pub use config::{Bootstrap, GroupConfig};
pub use group::{Group, GroupMetrics, ProposeError, StartError};
pub use leadership::Leadership;
pub use machine::{FIRST_EVENT, Machine, Memberships, Recovered, SnapshotMeta};
pub use membership::{Membership, MembershipError, PlacedMembership};
pub use network::{Ballot, NoPeers, Peer, PeerError, PeerNetwork, PeerReply, PeerRequest};
pub use observed::Observed;
pub use openraft::async_runtime::AsyncRuntime;
pub use openraft_rt_monoio::MonoioRuntime;
pub use payload::Proposal;
pub use shared::Fatal;
