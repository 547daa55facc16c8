//! How a group reaches its peers: the boundary, and what openraft sees of it.

use std::future::Future;
use std::io;
use std::time::Duration;

use jobbie_log::{Entry, EntryId, Vote};
use openraft::async_runtime::{AsyncRuntime, Select2};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use crate::machine::{Published, SnapshotMeta};
use crate::payload::to_entry;
use crate::types::{
    RaftSnapshot, RaftVote, Types, from_log_id, from_raft_vote, to_log_id, to_raft_vote,
};

/// A peer and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its node id.
    pub node: u64,
    /// Its address, as the membership has it.
    pub address: String,
}

/// What one member asks of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerRequest {
    /// Entries to append, or none for a heartbeat.
    Append {
        /// The sender's vote.
        vote: Vote,
        /// The entry before the first one.
        previous: Option<EntryId>,
        /// The entries.
        entries: Vec<Entry>,
        /// How far the leader has committed.
        committed: Option<EntryId>,
    },
    /// Asks for a vote.
    Vote(Ballot),
    /// Asks whether a vote would be granted, and changes nothing.
    PreVote(Ballot),
    /// The leader of `vote` wants `to` to lead.
    TransferLeader {
        /// The present leader's vote.
        vote: Vote,
        /// Who is to lead.
        to: u64,
        /// How long its log must be.
        last: Option<EntryId>,
    },
}

/// A candidate and how long its log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// The candidate's vote.
    pub vote: Vote,
    /// Its last entry.
    pub last: Option<EntryId>,
    /// Whether the present leader asked for this election.
    pub transfer: bool,
}

/// The answer to a [`PeerRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerReply {
    /// All entries are flushed.
    Appended,
    /// Entries up to here are flushed.
    AppendedUpTo(Option<EntryId>),
    /// The entry before the first one is another here.
    Conflict,
    /// The receiver knows a higher vote.
    HigherVote(Vote),
    /// The answer to a ballot.
    Ballot {
        /// The receiver's vote.
        vote: Vote,
        /// Its last entry.
        last: Option<EntryId>,
        /// Whether it granted the vote.
        granted: bool,
    },
    /// The receiver begins an election.
    TransferAccepted,
    /// The receiver has another vote than the one that wants to hand over.
    TransferOutdated(Vote),
    /// The receiver has flushed only up to here.
    TransferTooEarly(Option<EntryId>),
}

/// Why a peer did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It cannot be reached for now; wait before trying again.
    #[error("peer {node} is unreachable: {reason}")]
    Unreachable {
        /// The peer.
        node: u64,
        /// What happened.
        reason: String,
    },
    /// The request was lost or refused; it may be tried again at once.
    #[error("peer {node}: {reason}")]
    Failed {
        /// The peer.
        node: u64,
        /// What happened.
        reason: String,
    },
}

/// Carries requests to the same group on other nodes. Clones share connections.
pub trait PeerNetwork: Clone + 'static {
    /// What [`crate::Machine::Snapshot`] is.
    type Snapshot: 'static;

    /// Sends a request and waits for its answer, at most for `ttl`.
    ///
    /// # Errors
    /// When there is no answer in time.
    fn call(
        &self,
        peer: &Peer,
        request: PeerRequest,
        ttl: Duration,
    ) -> impl Future<Output = Result<PeerReply, PeerError>>;

    /// Carries a whole snapshot to a peer and has it installed; gives the peer's vote.
    ///
    /// # Errors
    /// When it did not arrive whole.
    fn send_snapshot(
        &self,
        peer: &Peer,
        vote: Vote,
        meta: SnapshotMeta,
        snapshot: Self::Snapshot,
        ttl: Duration,
    ) -> impl Future<Output = Result<Vote, PeerError>>;
}

/// The network of a group that has no other members.
pub struct NoPeers<S>(std::marker::PhantomData<fn() -> S>);

impl<S> NoPeers<S> {
    /// Reaches nobody.
    #[must_use]
    pub fn new() -> Self {
        Self(std::marker::PhantomData)
    }

    fn refuse<T>(peer: &Peer) -> Result<T, PeerError> {
        let reason = "this node runs without peers".to_owned();
        Err(PeerError::Unreachable { node: peer.node, reason })
    }
}

impl<S> Default for NoPeers<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for NoPeers<S> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<S: 'static> PeerNetwork for NoPeers<S> {
    type Snapshot = S;

    async fn call(&self, peer: &Peer, _: PeerRequest, _: Duration) -> Result<PeerReply, PeerError> {
        Self::refuse(peer)
    }

    async fn send_snapshot(
        &self,
        peer: &Peer,
        _: Vote,
        _: SnapshotMeta,
        _: S,
        _: Duration,
    ) -> Result<Vote, PeerError> {
        Self::refuse(peer)
    }
}

/// openraft's side of a [`PeerNetwork`].
pub(crate) struct Network<N>(pub(crate) N);

/// openraft's side of one peer.
pub(crate) struct Client<N> {
    network: N,
    peer: Peer,
}

impl<R: AsyncRuntime, N: PeerNetwork> RaftNetworkFactory<Types<R>> for Network<N> {
    type Network = Client<N>;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Client<N> {
        let peer = Peer { node: target, address: node.addr.clone() };
        Client { network: self.0.clone(), peer }
    }
}

fn to_rpc_error<R: AsyncRuntime>(error: PeerError) -> RPCError<Types<R>> {
    match error {
        PeerError::Unreachable { .. } => RPCError::Unreachable(Unreachable::new(&error)),
        PeerError::Failed { .. } => RPCError::Network(NetworkError::new(&error)),
    }
}

/// A reply of the wrong kind: the peer is broken, or the transport mixed up its answers.
fn misfit<R: AsyncRuntime>(reply: PeerReply) -> RPCError<Types<R>> {
    let error = io::Error::other(format!("the peer answered {reply:?} to another question"));
    RPCError::Network(NetworkError::new(&error))
}

impl<N: PeerNetwork> Client<N> {
    async fn call<R: AsyncRuntime>(
        &self,
        request: PeerRequest,
        option: &RPCOption,
    ) -> Result<PeerReply, RPCError<Types<R>>> {
        let reply = self.network.call(&self.peer, request, option.hard_ttl()).await;
        reply.map_err(to_rpc_error)
    }

    async fn ballot<R: AsyncRuntime>(
        &self,
        request: PeerRequest,
        option: &RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        match self.call(request, option).await? {
            PeerReply::Ballot { vote, last, granted } => {
                Ok(VoteResponse::new(to_raft_vote(vote), last.map(to_log_id), granted))
            }
            other => Err(misfit(other)),
        }
    }
}

impl<R: AsyncRuntime, N: PeerNetwork> RaftNetworkV2<Types<R>> for Client<N> {
    type SnapshotData = Published<N::Snapshot>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<R>>, RPCError<Types<R>>> {
        let request = PeerRequest::Append {
            vote: from_raft_vote(&rpc.vote),
            previous: rpc.prev_log_id.map(from_log_id),
            entries: rpc.entries.into_iter().map(to_entry).collect(),
            committed: rpc.leader_commit.map(from_log_id),
        };
        match self.call(request, &option).await? {
            PeerReply::Appended => Ok(AppendEntriesResponse::Success),
            PeerReply::AppendedUpTo(last) => {
                Ok(AppendEntriesResponse::PartialSuccess(last.map(to_log_id)))
            }
            PeerReply::Conflict => Ok(AppendEntriesResponse::Conflict),
            PeerReply::HigherVote(vote) => {
                Ok(AppendEntriesResponse::HigherVote(to_raft_vote(vote)))
            }
            other => Err(misfit(other)),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        self.ballot(PeerRequest::Vote(from_vote_request(&rpc)), &option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        self.ballot(PeerRequest::PreVote(from_vote_request(&rpc)), &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: RaftSnapshot<Published<N::Snapshot>>,
        cancel: impl Future<Output = ReplicationClosed> + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types<R>>, StreamingError<Types<R>>> {
        let Published { meta, snapshot } = snapshot.snapshot;
        let (vote, ttl) = (from_raft_vote(&vote), option.hard_ttl());
        let sending = self.network.send_snapshot(&self.peer, vote, meta, snapshot, ttl);
        match R::select2(cancel, sending).await {
            Select2::First(closed) => Err(closed.into()),
            Select2::Second(Ok(vote)) => Ok(SnapshotResponse::new(to_raft_vote(vote))),
            Select2::Second(Err(error)) => match error {
                PeerError::Unreachable { .. } => Err(Unreachable::new(&error).into()),
                PeerError::Failed { .. } => Err(NetworkError::new(&error).into()),
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<R>>, RPCError<Types<R>>> {
        let (from, last) = (*rpc.from_leader(), rpc.last_log_id().copied());
        let request = PeerRequest::TransferLeader {
            vote: from_raft_vote(&from),
            to: *rpc.to_node_id(),
            last: last.map(from_log_id),
        };
        match self.call(request, &option).await? {
            PeerReply::TransferAccepted => Ok(Ok(())),
            PeerReply::TransferOutdated(vote) => {
                let actual = to_raft_vote(vote);
                Ok(Err(TransferLeaderError::VoteChanged { expected: from, actual }))
            }
            PeerReply::TransferTooEarly(flushed) => {
                let actual = flushed.map(to_log_id);
                Ok(Err(TransferLeaderError::LogNotFlushed { expected: last, actual }))
            }
            other => Err(misfit(other)),
        }
    }
}

fn from_vote_request<R: AsyncRuntime>(rpc: &VoteRequest<Types<R>>) -> Ballot {
    Ballot {
        vote: from_raft_vote(&rpc.vote),
        last: rpc.last_log_id.map(from_log_id),
        transfer: rpc.leadership_transfer,
    }
}
