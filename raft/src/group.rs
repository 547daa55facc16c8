//! One member of one Raft group.

use std::rc::Rc;

use jobbie_io::Disk;
use jobbie_log::{EntryId, Log, Vote};
use openraft::Raft;
use openraft::async_runtime::{AsyncRuntime, WatchReceiver};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest,
    VoteRequest,
};

use crate::config::{Bootstrap, GroupConfig};
use crate::leadership::Leadership;
use crate::machine::{Machine, Recovered, SnapshotMeta, StateMachine, to_raft_snapshot};
use crate::membership::{Membership, PlacedMembership};
use crate::network::{Ballot, Network, PeerNetwork, PeerReply, PeerRequest};
use crate::observed::Observed;
use crate::payload::{Proposal, from_entry};
use crate::shared::{Fatal, Shared};
use crate::store::LogStore;
use crate::types::{Types, from_log_id, from_raft_vote, to_log_id, to_raft_vote};

type RaftOf<R, M> = Raft<Types<R>, StateMachine<M>>;

/// Why a group did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A value of [`GroupConfig`] is out of range.
    #[error("raft configuration: {0}")]
    Config(String),
    /// The log or the machine could not be read, or contradict each other.
    #[error("start raft: {0}")]
    Failed(String),
    /// The list of founders is not usable.
    #[error("found the group: {0}")]
    Bootstrap(String),
}

/// Why a proposal was not taken. Nothing of it is in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead the term any more.
    #[error("this node does not lead; the leader is {leader:?}")]
    NotLeader {
        /// Who does, as far as known.
        leader: Option<u64>,
    },
    /// The group has stopped.
    #[error(transparent)]
    Stopped(#[from] Fatal),
}

/// Where a group stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupMetrics {
    /// The highest term seen.
    pub term: u64,
    /// Last entry in the log.
    pub last_index: Option<u64>,
    /// Last entry known to be committed.
    pub committed: Option<EntryId>,
    /// Last entry given to the machine.
    pub applied: Option<EntryId>,
    /// Last entry of the newest snapshot.
    pub snapshot: Option<EntryId>,
    /// Last entry gone from the log.
    pub purged: Option<EntryId>,
}

/// A handle on this node's member of a group. Clones are the same member.
pub struct Group<R: AsyncRuntime, M: Machine> {
    raft: RaftOf<R, M>,
    shared: Shared,
}

impl<R: AsyncRuntime, M: Machine> Clone for Group<R, M> {
    fn clone(&self) -> Self {
        Self { raft: self.raft.clone(), shared: self.shared.clone() }
    }
}

impl<R: AsyncRuntime, M: Machine> Group<R, M> {
    /// Starts the member on its log. A group of one leads within a few writes of the log.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start<D: Disk, N: PeerNetwork<Snapshot = M::Snapshot>>(
        config: GroupConfig,
        log: Log<D>,
        machine: Rc<M>,
        recovered: Recovered,
        network: N,
    ) -> Result<Self, StartError> {
        let shared = Shared::new();
        let raft_config = config.to_raft().map_err(StartError::Config)?;
        let state = log.state();
        let fresh = state.vote.is_none() && state.last.is_none();
        let store = LogStore::new(log, shared.clone());
        let machine = StateMachine::new(machine, shared.clone(), recovered);
        let raft = Raft::new(config.node, raft_config, Network(network), store, machine)
            .await
            .map_err(|error| StartError::Failed(error.to_string()))?;
        let group = Self { raft, shared };
        // Ends with Raft; nobody waits for it.
        drop(R::spawn(group.clone().follow_role()));
        match fresh {
            true => group.found(&config).await?,
            false => group.resume(config.node).await?,
        }
        Ok(group)
    }

    async fn found(&self, config: &GroupConfig) -> Result<(), StartError> {
        let members = match &config.bootstrap {
            Bootstrap::Single { address } => Membership::single(config.node, address),
            Bootstrap::Founders(members) => members.clone(),
            Bootstrap::Join => return Ok(()),
        };
        let nodes: std::collections::BTreeMap<_, _> = members
            .addresses
            .iter()
            .map(|(id, address)| (*id, openraft::impls::BasicNode::new(address)))
            .collect();
        self.raft.runtime_config().tick(!members.is_single());
        let founded = self.raft.initialize(nodes).await;
        founded.map_err(|error| StartError::Bootstrap(error.to_string()))
    }

    /// A single member need not wait whether somebody else leads.
    async fn resume(&self, node: u64) -> Result<(), StartError> {
        let failed = |error: openraft::errors::Fatal<_>| StartError::Failed(error.to_string());
        let membership = self.raft.with_raft_state(|state| {
            PlacedMembership::from_raft(state.membership_state.effective()).membership
        });
        let membership = membership.await.map_err(failed)?;
        self.raft.runtime_config().tick(!membership.is_single());
        if membership.is_single() && membership.voters.iter().any(|ids| ids.contains(&node)) {
            self.raft.trigger().elect(false).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Keeps [`Group::leadership`] true until Raft ends.
    async fn follow_role(self) {
        let mut changes = self.raft.server_metrics();
        let mut all = self.raft.metrics();
        drop(self.raft);
        loop {
            let role = {
                let now = all.borrow_and_update();
                let term = now.current_term;
                match now.state.is_leader() {
                    true => Leadership::Leader { term, ready: false },
                    false => Leadership::Follower { term, leader: now.current_leader },
                }
            };
            self.shared.set_role(role);
            if changes.changed().await.is_err() {
                break;
            }
        }
        let state = all.borrow_watched().running_state.clone();
        self.shared.stop(match state {
            Ok(()) | Err(openraft::errors::Fatal::Stopped) => Fatal::ShutDown,
            Err(error) => Fatal::Raft(error.to_string()),
        });
    }

    /// Hands an entry to Raft, which appends it after everything proposed before. Does not wait
    /// for it to be committed: [`Machine::committed`] says that.
    ///
    /// Proposals of one term are appended in order without a gap, up to one after which none of
    /// that term is. So a machine that absorbed them before has diverged from the log only if the
    /// term it proposed in ends; it then compares its next event with the log's, and rebuilds
    /// itself if it is ahead.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub async fn propose(&self, term: u64, proposal: Proposal) -> Result<(), ProposeError> {
        match self.shared.leadership().get() {
            Leadership::Leader { term: now, ready: true } if now == term => {}
            Leadership::Leader { .. } => return Err(ProposeError::NotLeader { leader: None }),
            Leadership::Follower { leader, .. } => return Err(ProposeError::NotLeader { leader }),
            Leadership::Stopped(fatal) => return Err(fatal.into()),
        }
        let leader = to_log_id(EntryId { term, index: 0 }).leader_id;
        let sent = self.raft.write(proposal).with_leader(leader).await;
        sent.map_err(|error| self.stopped(&error).into())
    }

    /// Who leads, and a way to wait for changes.
    #[must_use]
    pub fn leadership(&self) -> &Observed<Leadership> {
        self.shared.leadership()
    }

    /// Why the group stopped, if it has.
    #[must_use]
    pub fn fatal(&self) -> Option<Fatal> {
        self.shared.fatal()
    }

    /// Where the group stands.
    #[must_use]
    pub fn metrics(&self) -> GroupMetrics {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        GroupMetrics {
            term: now.current_term,
            last_index: now.last_log_index,
            committed: now.local_committed.map(from_log_id),
            applied: self.shared.applied(),
            snapshot: now.snapshot.map(from_log_id),
            purged: now.purged.map(from_log_id),
        }
    }

    /// Has the machine take a snapshot in the background.
    ///
    /// # Errors
    /// When the group has stopped.
    pub async fn trigger_snapshot(&self) -> Result<(), Fatal> {
        self.raft.trigger().snapshot().await.map_err(|error| self.stopped(&error))
    }

    /// Lets the log go up to `index`, as far as a snapshot covers it.
    ///
    /// # Errors
    /// When the group has stopped.
    pub async fn purge_log(&self, index: u64) -> Result<(), Fatal> {
        self.raft.trigger().purge_log(index).await.map_err(|error| self.stopped(&error))
    }

    /// Stops Raft. The log and the machine stay as they are.
    pub async fn shutdown(&self) {
        // The only error is that the task ended before, by panic or by a kill of its node.
        let _ = self.raft.shutdown().await;
        self.shared.stop(Fatal::ShutDown);
    }

    /// Answers a request of another member.
    ///
    /// # Errors
    /// When the group has stopped.
    pub async fn handle(&self, request: PeerRequest) -> Result<PeerReply, Fatal> {
        match request {
            PeerRequest::Append { vote, previous, entries, committed } => {
                let entries: Result<Vec<_>, _> = entries.into_iter().map(from_entry).collect();
                let request = AppendEntriesRequest {
                    vote: to_raft_vote(vote),
                    prev_log_id: previous.map(to_log_id),
                    entries: entries.map_err(|error| self.stop_for(&error))?,
                    leader_commit: committed.map(to_log_id),
                };
                let reply = self.raft.append_entries(request).await;
                Ok(match reply.map_err(|error| self.stopped(&error))? {
                    AppendEntriesResponse::Success => PeerReply::Appended,
                    AppendEntriesResponse::PartialSuccess(last) => {
                        PeerReply::AppendedUpTo(last.map(from_log_id))
                    }
                    AppendEntriesResponse::Conflict => PeerReply::Conflict,
                    AppendEntriesResponse::HigherVote(vote) => {
                        PeerReply::HigherVote(from_raft_vote(&vote))
                    }
                })
            }
            PeerRequest::Vote(ballot) => self.ballot(ballot, false).await,
            PeerRequest::PreVote(ballot) => self.ballot(ballot, true).await,
            PeerRequest::TransferLeader { vote, to, last } => {
                let vote = to_raft_vote(vote);
                let request = TransferLeaderRequest::new(vote, to, last.map(to_log_id));
                let reply = self.raft.handle_transfer_leader(request).await;
                Ok(match reply.map_err(|error| self.stopped(&error))? {
                    Ok(()) => PeerReply::TransferAccepted,
                    Err(TransferLeaderError::VoteChanged { actual, .. }) => {
                        PeerReply::TransferOutdated(from_raft_vote(&actual))
                    }
                    Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
                        PeerReply::TransferTooEarly(actual.map(from_log_id))
                    }
                })
            }
        }
    }

    async fn ballot(&self, ballot: Ballot, pre_vote: bool) -> Result<PeerReply, Fatal> {
        let mut request = VoteRequest::new(to_raft_vote(ballot.vote), ballot.last.map(to_log_id));
        request.leadership_transfer = ballot.transfer;
        let reply = match pre_vote {
            true => self.raft.pre_vote(request).await,
            false => self.raft.vote(request).await,
        };
        let reply = reply.map_err(|error| self.stopped(&error))?;
        Ok(PeerReply::Ballot {
            vote: from_raft_vote(&reply.vote),
            last: reply.last_log_id.map(from_log_id),
            granted: reply.vote_granted,
        })
    }

    /// Installs a snapshot that a leader sent; gives this member's vote.
    ///
    /// # Errors
    /// When the group has stopped.
    pub async fn install_snapshot(
        &self,
        vote: Vote,
        meta: SnapshotMeta,
        snapshot: M::Snapshot,
    ) -> Result<Vote, Fatal> {
        let snapshot = to_raft_snapshot(meta, snapshot).map_err(|error| self.stop_for(&error))?;
        let reply = self.raft.install_full_snapshot(to_raft_vote(vote), snapshot).await;
        let reply = reply.map_err(|error| self.stopped(&error))?;
        Ok(from_raft_vote(&reply.vote))
    }

    /// The reason Raft stopped: the first error the storage saw, if it was that.
    fn stopped(&self, error: &dyn std::error::Error) -> Fatal {
        self.shared.fatal().unwrap_or_else(|| self.stop_for(error))
    }

    fn stop_for(&self, error: &dyn std::error::Error) -> Fatal {
        let fatal = Fatal::Raft(error.to_string());
        self.shared.stop(fatal.clone());
        self.shared.fatal().unwrap_or(fatal)
    }
}
