//! openraft's types, filled in. Nothing of this reaches the disk or another crate.

use std::fmt::{self, Debug};
use std::marker::PhantomData;

use jobbie_log::{EntryId, Vote};
use openraft::async_runtime::AsyncRuntime;
use openraft::impls::{BasicNode, InlineBatch, OneshotResponder, leader_id_std};
use openraft::{OptionalSend, RaftTypeConfig};

use crate::payload::{Payload, Proposal};

/// openraft's parameters on the runtime `R`.
pub(crate) struct Types<R>(PhantomData<R>);

macro_rules! without_bounds {
    ($($trait:ident { $($body:tt)* })*) => {
        $(impl<R> $trait for Types<R> { $($body)* })*
    };
}

// Derives would ask the same of `R`, which is never held.
without_bounds! {
    Copy {}
    Eq {}
    Clone { fn clone(&self) -> Self { *self } }
    Default { fn default() -> Self { Self(PhantomData) } }
    Debug { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("Types") } }
    PartialEq { fn eq(&self, _: &Self) -> bool { true } }
    PartialOrd { fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> { Some(self.cmp(other)) } }
    Ord { fn cmp(&self, _: &Self) -> std::cmp::Ordering { std::cmp::Ordering::Equal } }
}

type LeaderId = leader_id_std::LeaderId<u64, u64>;
type CommittedLeaderId = <LeaderId as openraft::vote::RaftLeaderId>::Committed;

pub(crate) type RaftVote = openraft::impls::Vote<LeaderId>;
pub(crate) type LogId = openraft::LogId<CommittedLeaderId>;
pub(crate) type RaftEntry = openraft::Entry<CommittedLeaderId, Payload>;
pub(crate) type RaftMembership = openraft::Membership<u64, BasicNode>;
pub(crate) type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, BasicNode>;
pub(crate) type RaftSnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, BasicNode>;
pub(crate) type RaftSnapshot<S> = openraft::Snapshot<CommittedLeaderId, u64, BasicNode, S>;

impl<R: AsyncRuntime> RaftTypeConfig for Types<R> {
    type D = Proposal;
    type R = ();
    type NodeId = u64;
    type Node = BasicNode;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = RaftVote;
    type Payload = Payload;
    type Entry = RaftEntry;
    type AsyncRuntime = R;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = openraft::AnyError;
}

pub(crate) fn to_log_id(id: EntryId) -> LogId {
    LogId::new_term_index(id.term, id.index)
}

pub(crate) fn from_log_id(id: LogId) -> EntryId {
    EntryId { term: id.leader_id.term, index: id.index }
}

pub(crate) fn to_raft_vote(vote: Vote) -> RaftVote {
    match vote.committed {
        true => RaftVote::new_committed(vote.term, vote.node),
        false => RaftVote::new(vote.term, vote.node),
    }
}

pub(crate) fn from_raft_vote(vote: &RaftVote) -> Vote {
    Vote { term: vote.leader_id.term, node: vote.leader_id.voted_for, committed: vote.committed }
}
