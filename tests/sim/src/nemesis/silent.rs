//! A disk that lies: bits that turn over at rest, writes that are done elsewhere or not at all.

use jobbie_log::verify;
use jobbie_sim::{Fault, Operation};

use super::{MS, Nemesis};
use crate::check::violated;
use crate::damage::Verdict;
use crate::node::Node;
use crate::world::count;

/// Seconds after which a log must have found what is wrong with a sealed segment.
const FIND_SECS_MAX: u64 = 60;

impl Nemesis {
    /// While the shard is down a bit turns over.
    pub(super) async fn rot(&self, node: &Node) {
        match self.below(2) {
            0 => self.go_down(node),
            _ => node.shut_down().await,
        }
        self.one_at_a_time(node);
        let flipped = node.damage.flip(&node.disk(), &mut self.world.rng.borrow_mut());
        if flipped {
            count(&self.world.counts.silent_faults);
        }
        self.start(node).await;
        self.find_rot(node).await;
    }

    /// A log that serves although a sealed segment is damaged finds that by itself.
    async fn find_rot(&self, node: &Node) {
        let starts = node.starts.get();
        for _ in 0..FIND_SECS_MAX * 10 {
            let serves = node.starts.get() == starts && node.failed().is_none();
            let disk = node.disk();
            let stands = || matches!(node.damage.judge(&disk).0, Verdict::Refused { .. });
            if !serves || !node.damage.is_there(&disk) || !stands() {
                return;
            }
            if node.damage_found() > 0 {
                return count(&self.world.counts.found);
            }
            self.sleep(100 * MS).await;
        }
        violated!("f12", "{} does not find that a sealed segment is damaged", node.shard);
    }

    /// What a log calls damaged must be.
    pub(super) fn check_found(node: &Node) {
        if node.damage_found() > 0 && !node.may_be_damaged.get() {
            violated!("f12", "{} finds damage in what is sound", node.shard);
        }
    }

    /// A write is said to be done and is not, or not there, or not that. Then the shard goes down, sooner or later.
    pub(super) async fn write_astray(&self, node: &Node) {
        self.one_at_a_time(node);
        let faults = [Fault::Lost, Fault::Misdirected, Fault::BitFlip];
        let fault = faults[self.below(3) as usize];
        node.disk().plan(Operation::Write, self.below(30), fault);
        node.may_have_lied.set(true);
        node.may_be_damaged.set(true);
        self.sleep(self.below(800) * MS).await;
        if !node.disk().astray().is_empty() {
            count(&self.world.counts.silent_faults);
        }
        if node.failed().is_none() {
            self.go_down(node);
            self.start(node).await;
        }
    }

    /// Of two damages only one is told.
    fn one_at_a_time(&self, node: &Node) {
        let disk = node.disk();
        disk.forget_planned();
        node.damage.mend(&disk);
    }

    fn go_down(&self, node: &Node) {
        match self.below(2) {
            0 => {
                count(&self.world.counts.kills);
                node.kill();
            }
            _ => {
                count(&self.world.counts.power_losses);
                node.lose_power();
            }
        }
    }

    /// What a start must say about the disk; checking it offline must say the same, sealed segments included.
    pub(super) async fn judge(&self, node: &Node) -> Verdict {
        let disk = node.disk();
        if !node.damage.is_there(&disk) {
            return Verdict::Sound;
        }
        let (verdict, unnoticeable) = node.damage.judge(&disk);
        if unnoticeable {
            count(&self.world.counts.unnoticeable);
        }
        if let Verdict::Refused { file, offset, .. } = &verdict {
            let copy = disk.fork(self.below(u64::MAX));
            match verify(&copy).await {
                Ok(_) => violated!("r04", "verify does not see the damage of {file} at {offset}"),
                Err(error) => verdict.check_refusal(&error.to_string()),
            }
        }
        verdict
    }

    /// A start failed.
    pub(super) async fn refused(&self, node: &Node, verdict: &Verdict, error: &str) {
        if *verdict == Verdict::Sound {
            // A write of this very start may have gone astray.
            let excused = node.damage.is_there(&node.disk()) || node.take_excuse();
            node.damage.mend(&node.disk());
            assert!(excused, "r04 is broken: {} does not start: {error}", node.shard);
        } else if node.excuses.get() == 0 || error.contains("is damaged") {
            verdict.check_refusal(error);
            count(&self.world.counts.refusals);
            node.damage.mend(&node.disk());
        } else {
            // Another fault of the disk came first.
            node.take_excuse();
        }
        self.sleep(50 * MS).await;
    }
}
