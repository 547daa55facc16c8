//! What all parts of one run share.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use jobbie_proto::{BatchId, JobId, ShardId};
use jobbie_sim::Rng;

use crate::check::ties::Story;
use crate::clock::SimClock;
use crate::ledger::Ledger;
use crate::node::Node;
use crate::plan::Plan;
use crate::post::SimPost;

/// Batches and jobs of all shards that clients remember together.
const SHARED_MAX: usize = 60;

/// What the clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Whatever they like.
    Load,
    /// Nobody says anything for a while.
    Silence,
    /// Finish what there is.
    Drain,
    /// Stop when nothing is unanswered.
    End,
}

/// One run.
pub(crate) struct World {
    pub(crate) plan: Rc<Plan>,
    pub(crate) clock: SimClock,
    pub(crate) ledger: Rc<Ledger>,
    pub(crate) nodes: Vec<Rc<Node>>,
    pub(crate) phase: Cell<Phase>,
    /// Clients hardly pause, so that writes overlap.
    pub(crate) hurry: Cell<bool>,
    pub(crate) rng: RefCell<Rng>,
    /// Batches and jobs of all shards that clients know of.
    pub(crate) batches: RefCell<VecDeque<BatchId>>,
    pub(crate) known: RefCell<VecDeque<JobId>>,
    pub(crate) counts: Counts,
}

/// What happened, to show that a run was worth something.
#[derive(Default)]
pub(crate) struct Counts {
    /// Jobs that came from other shards.
    pub(crate) moves: Cell<usize>,
    pub(crate) connections: Cell<u64>,
    pub(crate) requests: Cell<u64>,
    pub(crate) answers: Cell<u64>,
    pub(crate) sessions_lost: Cell<u64>,
    pub(crate) kills: Cell<u64>,
    pub(crate) power_losses: Cell<u64>,
    pub(crate) shutdowns: Cell<u64>,
    pub(crate) disk_faults: Cell<u64>,
    pub(crate) clock_steps: Cell<u64>,
    /// Disks so full that the log noticed.
    pub(crate) full_disks: Cell<u64>,
    /// Bits turned over at rest, and writes that went astray.
    pub(crate) silent_faults: Cell<u64>,
    /// Starts refused because of those.
    pub(crate) refusals: Cell<u64>,
    /// Silent faults that the log found by itself while it served.
    pub(crate) found: Cell<u64>,
    /// Silent faults that nothing could tell of.
    pub(crate) unnoticeable: Cell<u64>,
}

/// Adds one.
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl World {
    pub(crate) fn new(plan: Plan) -> Rc<Self> {
        let (plan, clock) = (Rc::new(plan), SimClock::default());
        let ledger = Ledger::new(plan.shards, plan.check_every);
        let post = SimPost::new(plan.seed);
        let node = |shard| Node::new(ShardId(shard), &plan, &clock, &ledger, &post);
        let nodes: Vec<_> = (0..plan.shards).map(node).collect();
        post.connect(&nodes);
        let rng = RefCell::new(Rng::new(plan.seed ^ 0x00b0_0b5e));
        let (phase, hurry) = (Cell::new(Phase::Load), Cell::new(false));
        let counts = Counts::default();
        let (batches, known) = (RefCell::default(), RefCell::default());
        Rc::new(Self { plan, clock, ledger, nodes, phase, hurry, rng, batches, known, counts })
    }

    pub(crate) fn node(&self, shard: ShardId) -> &Rc<Node> {
        &self.nodes[usize::from(shard.0)]
    }

    /// What others may name.
    pub(crate) fn share(&self, reply: &jobbie_proto::wire::ReplyFrame<'_>) {
        let mut batches = self.batches.borrow_mut();
        batches.extend(&reply.batches);
        let mut known = self.known.borrow_mut();
        known.extend(reply.enqueued.iter().flat_map(|run| run.ids()));
        while batches.len() > SHARED_MAX {
            batches.pop_front();
        }
        while known.len() > SHARED_MAX {
            known.pop_front();
        }
    }

    /// What ties jobs together, as all logs tell it.
    pub(crate) fn story(&self) -> Story {
        let mut story = Story::default();
        for node in &self.nodes {
            self.ledger.with(node.shard, |book| story.read(node.shard, book.entries()));
        }
        story
    }

    /// Whether no shard owes another anything.
    pub(crate) fn is_quiet(&self) -> bool {
        self.nodes.iter().all(|node| self.ledger.with(node.shard, |book| book.is_quiet()))
    }

    /// Jobs of all shards that still want something to happen.
    pub(crate) fn unfinished(&self) -> usize {
        let of = |node: &Rc<Node>| self.ledger.with(node.shard, |b| b.model.unfinished().count());
        self.nodes.iter().map(of).sum()
    }
}
