//! The ordered sets in which lanes stand. No lane is ever looked for by walking over others.

use super::fair::Tag;
use super::lane::{Lane, Rank, Standing};
use super::{LaneId, TIERS};
use crate::ordered::Ordered;

/// All sets of a queue. Each lane is in those its [`Standing`] names, and in no other.
#[derive(Clone, Default)]
pub(super) struct Index {
    /// Ready lanes, by tier: once in each in which a job of theirs waits.
    pub(super) ready: [Ordered<(Rank, LaneId)>; TIERS],
    pub(super) opening: Ordered<(u64, LaneId)>,
    pub(super) cooling: Ordered<(u64, LaneId)>,
    pub(super) lingering: Ordered<(Tag, LaneId)>,
}

impl Index {
    pub(super) fn has_ready(&self) -> bool {
        self.ready.iter().any(|tier| !tier.is_empty())
    }

    pub(super) fn insert(&mut self, id: LaneId, lane: &Lane, standing: Standing) {
        let is_new = match standing {
            Standing::Held => true,
            Standing::Ready => ranks(lane).all(|(tier, rank)| self.ready[tier].insert((rank, id))),
            Standing::Opening(at) => self.opening.insert((at, id)),
            Standing::Cooling(at) => self.cooling.insert((at, id)),
            Standing::Lingering(tag) => self.lingering.insert((tag, id)),
        };
        assert!(is_new, "a lane stands in a set twice");
    }

    pub(super) fn remove(&mut self, id: LaneId, lane: &Lane, standing: Standing) {
        let was = match standing {
            Standing::Held => true,
            Standing::Ready => ranks(lane).all(|(tier, rank)| self.ready[tier].remove((rank, id))),
            Standing::Opening(at) => self.opening.remove((at, id)),
            Standing::Cooling(at) => self.cooling.remove((at, id)),
            Standing::Lingering(tag) => self.lingering.remove((tag, id)),
        };
        assert!(was, "a lane does not stand where it should");
    }
}

/// The tiers in which a lane has jobs, and its rank in each.
fn ranks(lane: &Lane) -> impl Iterator<Item = (usize, Rank)> {
    (0..TIERS).filter_map(|tier| Some((tier, lane.rank(tier)?)))
}
