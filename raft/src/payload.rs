//! What entries hold while openraft carries them.

use std::fmt::{self, Debug, Display};

use jobbie_log::{Body, Entry, EntryKind};
use openraft::entry::RaftPayload;
use openraft::impls::BasicNode;

use crate::membership::{Membership, MembershipError};
use crate::types::{RaftEntry, RaftMembership, from_log_id, to_log_id};

/// What a leader asks to have appended: an entry without its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The leader's clock, in microseconds since 1970, never running backwards.
    pub time_us: u64,
    /// Number of the first event in the body; continues the sequence of the shard.
    pub first_event: u64,
    /// Events in the body.
    pub event_count: u32,
    /// The events. Held by nobody else, or the log has to copy it.
    pub body: Body,
}

impl Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "events {}+{}", self.first_event, self.event_count)
    }
}

impl Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(self, f)
    }
}

/// An entry's content and its stamps.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    /// `None` for what Raft itself adds, until the log gives it the stamps that come next.
    pub(crate) stamps: Option<Stamps>,
    content: Content,
}

/// Where an entry stands in the shard's time and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamps {
    pub(crate) time_us: u64,
    pub(crate) first_event: u64,
}

#[derive(Clone, Debug)]
enum Content {
    Blank,
    Batch { event_count: u32, body: Body },
    Membership(RaftMembership),
}

impl Payload {
    pub(crate) fn membership(&self) -> Option<&RaftMembership> {
        match &self.content {
            Content::Membership(membership) => Some(membership),
            _ => None,
        }
    }
}

impl Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Blank => f.write_str("blank"),
            Content::Batch { event_count, .. } => write!(f, "{event_count} events"),
            Content::Membership(membership) => write!(f, "{membership}"),
        }
    }
}

impl RaftPayload for Payload {
    type D = Proposal;
    type NodeId = u64;
    type Node = BasicNode;

    fn blank() -> Self {
        Self { stamps: None, content: Content::Blank }
    }

    fn with_normal(self, proposal: Proposal) -> Self {
        let Proposal { time_us, first_event, event_count, body } = proposal;
        Self {
            stamps: Some(Stamps { time_us, first_event }),
            content: Content::Batch { event_count, body },
        }
    }

    fn with_membership(self, membership: RaftMembership) -> Self {
        Self { stamps: self.stamps, content: Content::Membership(membership) }
    }

    fn get_membership(&self) -> Option<RaftMembership> {
        self.membership().cloned()
    }
}

/// The entry as the log and peers have it. One that has no stamps yet gets zeros; only the log
/// store meets those, and it stamps them first.
pub(crate) fn to_entry(entry: RaftEntry) -> Entry {
    let stamps = entry.payload.stamps.unwrap_or(Stamps { time_us: 0, first_event: 0 });
    let (kind, event_count, body) = match entry.payload.content {
        Content::Blank => (EntryKind::Blank, 0, Body::copy_of(&[])),
        Content::Batch { event_count, body } => (EntryKind::Batch, event_count, body),
        Content::Membership(membership) => {
            let bytes = Membership::from_raft(&membership).encode();
            (EntryKind::Membership, 0, Body::copy_of(&bytes))
        }
    };
    let Stamps { time_us, first_event } = stamps;
    Entry { id: from_log_id(entry.log_id), kind, time_us, first_event, event_count, body }
}

/// The entry as openraft has it.
///
/// # Errors
/// When the body of a membership entry is none that we know.
pub(crate) fn from_entry(entry: Entry) -> Result<RaftEntry, MembershipError> {
    let content = match entry.kind {
        EntryKind::Blank => Content::Blank,
        EntryKind::Batch => Content::Batch { event_count: entry.event_count, body: entry.body },
        EntryKind::Membership => {
            Content::Membership(Membership::decode(entry.body.bytes())?.to_raft()?)
        }
    };
    let stamps = Some(Stamps { time_us: entry.time_us, first_event: entry.first_event });
    Ok(RaftEntry { log_id: to_log_id(entry.id), payload: Payload { stamps, content } })
}
