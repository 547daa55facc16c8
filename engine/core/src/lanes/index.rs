//! The ordered sets in which lanes stand.
//!
//! They are persistent B+ trees: a clone, which a snapshot is, shares all nodes, and a change
//! copies the path to it. No lane is ever looked for by walking over others.

use imbl::GenericOrdSet;
use imbl::shared_ptr::RcK;

use super::fair::Tag;
use super::lane::{Lane, Rank, Standing};
use super::{LaneId, TIERS};

pub(super) type Set<T> = GenericOrdSet<T, RcK>;

/// All sets of a queue. Each lane is in those its [`Standing`] names, and in no other.
#[derive(Clone, Default)]
pub(super) struct Index {
    /// Ready lanes, by tier: once in each in which a job of theirs waits.
    pub(super) ready: [Set<(Rank, LaneId)>; TIERS],
    pub(super) opening: Set<(u64, LaneId)>,
    pub(super) cooling: Set<(u64, LaneId)>,
    pub(super) lingering: Set<(Tag, LaneId)>,
}

impl Index {
    pub(super) fn has_ready(&self) -> bool {
        self.ready.iter().any(|tier| !tier.is_empty())
    }

    pub(super) fn insert(&mut self, id: LaneId, lane: &Lane, standing: Standing) {
        let old = match standing {
            Standing::Held => false,
            Standing::Ready => {
                ranks(lane).any(|(tier, rank)| self.ready[tier].insert((rank, id)).is_some())
            }
            Standing::Opening(at) => self.opening.insert((at, id)).is_some(),
            Standing::Cooling(at) => self.cooling.insert((at, id)).is_some(),
            Standing::Lingering(tag) => self.lingering.insert((tag, id)).is_some(),
        };
        assert!(!old, "a lane stands in a set twice");
    }

    pub(super) fn remove(&mut self, id: LaneId, lane: &Lane, standing: Standing) {
        let was = match standing {
            Standing::Held => true,
            Standing::Ready => {
                ranks(lane).all(|(tier, rank)| self.ready[tier].remove(&(rank, id)).is_some())
            }
            Standing::Opening(at) => self.opening.remove(&(at, id)).is_some(),
            Standing::Cooling(at) => self.cooling.remove(&(at, id)).is_some(),
            Standing::Lingering(tag) => self.lingering.remove(&(tag, id)).is_some(),
        };
        assert!(was, "a lane does not stand where it should");
    }
}

/// The tiers in which a lane has jobs, and its rank in each.
fn ranks(lane: &Lane) -> impl Iterator<Item = (usize, Rank)> {
    (0..TIERS).filter_map(|tier| Some((tier, lane.rank(tier)?)))
}
