//! Who belongs to the group, in bytes that outlive openraft's own types.
//!
//! Little-endian: version `u8` = 1; number of configs `u8` (2 while one replaces another);
//! for each a count `u16` and so many voter ids `u64`; then a count `u16` of members, each with its
//! id `u64`, the length `u16` of its address and the address in UTF-8.

use std::collections::{BTreeMap, BTreeSet};

use jobbie_log::EntryId;
use openraft::impls::BasicNode;

use crate::types::{RaftMembership, StoredMembership, to_log_id};

const VERSION: u8 = 1;

/// Voters and addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// One set of voters, or the old and the new while a change is under way: both must agree.
    pub voters: Vec<BTreeSet<u64>>,
    /// Address of every member; one that votes in no set is a learner.
    pub addresses: BTreeMap<u64, String>,
}

/// Bytes that are no membership of a version we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// The bytes end early, go on too long or hold an address that is not UTF-8.
    #[error("membership bytes are malformed at byte {0}")]
    Malformed(usize),
    /// Written by a newer release.
    #[error("membership version {0} is unknown")]
    Version(u8),
    /// A voter without an address, or no set of voters at all.
    #[error("membership is inconsistent")]
    Inconsistent,
}

impl Membership {
    /// A group of one.
    #[must_use]
    pub fn single(node: u64, address: &str) -> Self {
        Self {
            voters: vec![BTreeSet::from([node])],
            addresses: BTreeMap::from([(node, address.to_owned())]),
        }
    }

    /// Whether no other node belongs to the group.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.addresses.len() <= 1
    }

    /// The bytes written to disk and to peers.
    ///
    /// # Panics
    /// If there are more members than `u16` counts or an address is longer than 64 KiB.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = |n: usize| u16::try_from(n).expect("members and addresses are few and short");
        let mut bytes = vec![VERSION];
        bytes.push(u8::try_from(self.voters.len()).expect("one or two sets of voters"));
        for voters in &self.voters {
            bytes.extend(count(voters.len()).to_le_bytes());
            voters.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
        }
        bytes.extend(count(self.addresses.len()).to_le_bytes());
        for (id, address) in &self.addresses {
            bytes.extend(id.to_le_bytes());
            bytes.extend(count(address.len()).to_le_bytes());
            bytes.extend(address.as_bytes());
        }
        bytes
    }

    /// Reads what [`Membership::encode`] wrote.
    ///
    /// # Errors
    /// On any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, MembershipError> {
        let mut reader = Reader { bytes, at: 0 };
        let [version] = reader.array()?;
        if version != VERSION {
            return Err(MembershipError::Version(version));
        }
        let mut membership = Self::default();
        let [sets] = reader.array()?;
        for _ in 0..sets {
            let mut voters = BTreeSet::new();
            for _ in 0..reader.count()? {
                voters.insert(reader.id()?);
            }
            membership.voters.push(voters);
        }
        for _ in 0..reader.count()? {
            let id = reader.id()?;
            let len = reader.count()?;
            let at = reader.at;
            let address = std::str::from_utf8(reader.take(len)?)
                .map_err(|_| MembershipError::Malformed(at))?;
            membership.addresses.insert(id, address.to_owned());
        }
        if reader.at != bytes.len() {
            return Err(MembershipError::Malformed(reader.at));
        }
        let known =
            |voters: &BTreeSet<u64>| voters.iter().all(|id| membership.addresses.contains_key(id));
        if !membership.voters.iter().all(known) {
            return Err(MembershipError::Inconsistent);
        }
        Ok(membership)
    }

    pub(crate) fn to_raft(&self) -> Result<RaftMembership, MembershipError> {
        let nodes = self.addresses.iter().map(|(id, address)| (*id, BasicNode::new(address)));
        RaftMembership::new(self.voters.clone(), nodes.collect::<BTreeMap<_, _>>())
            .map_err(|_| MembershipError::Inconsistent)
    }

    pub(crate) fn from_raft(membership: &RaftMembership) -> Self {
        Self {
            voters: membership.get_joint_config().clone(),
            addresses: membership.nodes().map(|(id, node)| (*id, node.addr.clone())).collect(),
        }
    }
}

/// A membership and the entry that brought it; none before a group's first entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacedMembership {
    /// The membership entry.
    pub id: Option<EntryId>,
    /// What it says.
    pub membership: Membership,
}

impl PlacedMembership {
    pub(crate) fn to_raft(&self) -> Result<StoredMembership, MembershipError> {
        if self.membership.voters.is_empty() {
            return Ok(StoredMembership::default());
        }
        Ok(StoredMembership::new(self.id.map(to_log_id), self.membership.to_raft()?))
    }

    pub(crate) fn from_raft(stored: &StoredMembership) -> Self {
        Self {
            id: stored.log_id().map(crate::types::from_log_id),
            membership: Membership::from_raft(stored.membership()),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], MembershipError> {
        let part =
            self.bytes.get(self.at..self.at + len).ok_or(MembershipError::Malformed(self.at))?;
        self.at += len;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MembershipError> {
        Ok(self.take(N)?.try_into().expect("`take` gave so many bytes"))
    }

    fn count(&mut self) -> Result<usize, MembershipError> {
        self.array().map(u16::from_le_bytes).map(usize::from)
    }

    fn id(&mut self) -> Result<u64, MembershipError> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joint() -> Membership {
        Membership {
            voters: vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])],
            addresses: [(1, "a:1"), (2, "b:2"), (3, ""), (9, "learner")]
                .map(|(id, address)| (id, address.to_owned()))
                .into(),
        }
    }

    #[test]
    fn r24_version_1_bytes_never_change() {
        let bytes = Membership::single(7, "ab").encode();
        let golden =
            [1, 1, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, b'a', b'b'];
        assert_eq!(bytes, golden);
        assert_eq!(Membership::decode(&golden), Ok(Membership::single(7, "ab")));
    }

    #[test]
    fn comes_back_and_every_cut_is_noticed() {
        let bytes = joint().encode();
        assert_eq!(Membership::decode(&bytes), Ok(joint()));
        for cut in 0..bytes.len() {
            assert!(Membership::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Membership::decode(&longer), Err(MembershipError::Malformed(bytes.len())));
    }

    #[test]
    fn r24_an_unknown_version_and_a_voter_without_address_are_refused() {
        let mut bytes = joint().encode();
        bytes[0] = 2;
        assert_eq!(Membership::decode(&bytes), Err(MembershipError::Version(2)));
        let mut lost = joint();
        lost.addresses.remove(&3);
        assert_eq!(Membership::decode(&lost.encode()), Err(MembershipError::Inconsistent));
    }

    #[test]
    fn openraft_and_back() {
        let raft = joint().to_raft().expect("it is consistent");
        assert_eq!(Membership::from_raft(&raft), joint());
        assert_eq!(PlacedMembership::default().to_raft(), Ok(StoredMembership::default()));
    }
}
