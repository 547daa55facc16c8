//! What goes wrong, and when.

mod full;
mod silent;

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use jobbie_sim::{Fault, Handle, Operation};

use crate::node::{Node, Started};
use crate::world::{Phase, World, count};

const MS: u64 = 1_000_000;
const DAY_US: i64 = 86_400_000_000;
/// Attempts to start before a run counts as stuck.
const STARTS_MAX: u32 = 50;
/// The longest time a call hangs.
const HANG_MAX: Duration = Duration::from_secs(5);
/// The longest time a start may take, hangs and slow disks included.
const START_MAX: Duration = Duration::from_secs(300);

pub(crate) struct Nemesis {
    world: Rc<World>,
}

impl Nemesis {
    pub(crate) fn new(world: &Rc<World>) -> Self {
        Self { world: Rc::clone(world) }
    }

    fn below(&self, bound: u64) -> u64 {
        self.world.rng.borrow_mut().below(bound)
    }

    async fn sleep(&self, nanos: u64) {
        let handle = Handle::current();
        handle.sleep_until(handle.now_nanos() + nanos).await;
    }

    /// Everything serves.
    pub(crate) async fn start_all(&self) {
        for node in &self.world.nodes {
            self.start(node).await;
        }
    }

    /// Starts until it serves. Power may fail meanwhile, and a planned read error may strike.
    async fn start(&self, node: &Node) {
        for _ in 0..STARTS_MAX {
            let again = self.below(2) == 0 && self.world.phase.get() == Phase::Load;
            if again {
                let disk = node.disk();
                disk.fail_power_at(disk.operations() + self.below(40));
            }
            if self.start_once(node).await {
                if again {
                    node.disk().keep_power();
                }
                return;
            }
        }
        panic!("r13 is broken: shard {} did not start {STARTS_MAX} times", node.shard);
    }

    /// Whether it serves now.
    async fn start_once(&self, node: &Node) -> bool {
        let verdict = self.judge(node).await;
        let Either::Left((started, _)) =
            select(pin!(node.start()), Handle::current().sleep(START_MAX)).await
        else {
            panic!("r13 is broken: shard {} neither starts nor says why", node.shard);
        };
        match started {
            Started::Serves => {
                verdict.check_service(self.world.plan.log.verify_sealed);
                true
            }
            Started::LostPower => {
                count(&self.world.counts.power_losses);
                false
            }
            Started::Failed(error) => {
                self.refused(node, &verdict, &error).await;
                false
            }
        }
    }

    /// Makes trouble for this long, silences not counted.
    pub(crate) async fn trouble(&self, nanos: u64) {
        let handle = Handle::current();
        let mut until = handle.now_nanos() + nanos;
        while handle.now_nanos() < until {
            let pause = self.world.plan.fault_pause_nanos;
            self.sleep(pause / 4 + self.below(pause * 3 / 2)).await;
            self.check_health().await;
            let at = self.below(self.world.nodes.len() as u64) as usize;
            let node = Rc::clone(&self.world.nodes[at]);
            match self.below(20) {
                0 | 1 => self.kill(&node).await,
                2 | 3 => self.power_loss(&node).await,
                4 | 5 => self.power_loss_at_a_call(&node).await,
                6..=8 => self.power_losses_in_a_row(&node).await,
                9 => self.shut_down(&node).await,
                10 => self.io_error(&node).await,
                11 => self.no_space(&node).await,
                12 => self.hang(&node).await,
                13 => self.slow(&node).await,
                14..=16 => self.step_clock().await,
                17 => self.rot(&node).await,
                18 => self.write_astray(&node).await,
                _ => until += self.silence().await,
            }
        }
    }

    /// A log that stopped without reason breaks a promise; with one it is restarted.
    async fn check_health(&self) {
        for node in &self.world.nodes {
            Self::check_found(node);
            let Some(error) = node.failed() else { continue };
            let damaged = node.damage.is_there(&node.disk());
            let excused = damaged || node.may_have_lied.get() || node.take_excuse();
            assert!(excused, "r05 is broken: {} stopped: {error}", node.shard);
            self.sleep(self.below(200) * MS).await;
            match self.below(2) {
                0 => node.kill(),
                _ => node.lose_power(),
            }
            if damaged {
                count(&self.world.counts.refusals);
                node.damage.mend(&node.disk());
            }
            self.start(node).await;
        }
    }

    async fn down_time(&self) {
        let ms = [0, 5, 100, 2000][self.below(4) as usize];
        self.sleep(self.below(ms * MS + 1)).await;
    }

    async fn kill(&self, node: &Node) {
        count(&self.world.counts.kills);
        node.kill();
        self.down_time().await;
        self.start(node).await;
    }

    async fn power_loss(&self, node: &Node) {
        count(&self.world.counts.power_losses);
        node.lose_power();
        self.down_time().await;
        self.start(node).await;
    }

    async fn power_loss_at_a_call(&self, node: &Node) {
        let disk = node.disk();
        disk.fail_power_at(disk.operations() + self.below(200));
        let sleep = Handle::current().sleep(Duration::from_secs(3));
        select(pin!(disk.power_failure()), sleep).await;
        count(&self.world.counts.power_losses);
        node.lose_power();
        self.down_time().await;
        self.start(node).await;
    }

    /// Tears the tail while two writes are on their way, then fails again and again among the first
    /// writes of each life: what the former life left behind the end of the log must not come back.
    async fn power_losses_in_a_row(&self, node: &Node) {
        self.world.hurry.set(true);
        let (mut writes, mut in_flight, mut patience) = (self.below(20), 2, 300 * MS);
        for _ in 0..2 + self.below(4) {
            let disk = node.disk();
            disk.fail_power_with_writes(writes, in_flight);
            if node.serving().is_none() {
                self.start_once(node).await;
            }
            let sleep = Handle::current().sleep(Duration::from_nanos(patience));
            select(pin!(disk.power_failure()), sleep).await;
            count(&self.world.counts.power_losses);
            node.lose_power();
            (writes, in_flight, patience) = (self.below(4), 1, 100 * MS);
        }
        self.world.hurry.set(false);
        self.start(node).await;
    }

    async fn shut_down(&self, node: &Node) {
        count(&self.world.counts.shutdowns);
        node.shut_down().await;
        self.down_time().await;
        self.start(node).await;
    }

    async fn io_error(&self, node: &Node) {
        count(&self.world.counts.disk_faults);
        node.excuses.set(node.excuses.get() + 1);
        node.may_be_damaged.set(true);
        let operations = [Operation::Write, Operation::Write, Operation::Sync, Operation::Read];
        let operation = operations[self.below(4) as usize];
        let fault = match (operation, self.below(3)) {
            (Operation::Write, 0) => Fault::ShortWrite,
            _ => Fault::Error,
        };
        node.disk().plan(operation, self.below(40), fault);
        self.sleep(500 * MS).await;
        self.check_health().await;
    }

    async fn hang(&self, node: &Node) {
        count(&self.world.counts.disk_faults);
        let disk = node.disk();
        let operation = [Operation::Write, Operation::Sync][self.below(2) as usize];
        disk.plan(operation, self.below(20), Fault::Hang);
        self.sleep(self.below(4000) * MS).await;
        disk.release();
    }

    /// No call hangs for ever, also one that hangs late.
    pub(crate) async fn release_for_ever(world: Rc<World>) {
        loop {
            Handle::current().sleep(HANG_MAX).await;
            world.nodes.iter().for_each(|node| node.disk().release());
        }
    }

    async fn slow(&self, node: &Node) {
        count(&self.world.counts.disk_faults);
        let disk = node.disk();
        let nanos = (1 + self.below(300)) * MS;
        disk.configure(|config| {
            config.write_nanos = nanos / 4..nanos;
            config.sync_nanos = nanos / 4..nanos;
        });
        self.sleep(self.below(2000) * MS).await;
        let plan = self.world.plan.disk.clone();
        disk.configure(|config| {
            config.write_nanos = plan.write_nanos;
            config.sync_nanos = plan.sync_nanos;
        });
    }

    async fn step_clock(&self) {
        count(&self.world.counts.clock_steps);
        let us = self.below(2 * DAY_US as u64 + 1) as i64 - DAY_US;
        let us = if self.below(2) == 0 { us } else { us / 40_000 };
        // A job takes the time at which it is due to the shard it moves to: where clocks are a day apart it would wait for
        // a day, and the run with it.
        let us = if self.world.nodes.len() > 1 { us / 2_000 } else { us };
        self.world.clock.step(us);
    }

    /// Everybody goes away, now and then for so long that sessions are forgotten.
    /// How long that was, in nanoseconds.
    async fn silence(&self) -> u64 {
        self.world.phase.set(Phase::Silence);
        let nanos = [1, 5, 30, 1000][self.below(4) as usize] * 1000 * MS;
        self.sleep(nanos).await;
        self.world.phase.set(Phase::Load);
        nanos
    }

    /// Nothing goes wrong any more.
    pub(crate) async fn heal(&self) {
        for node in &self.world.nodes {
            let (disk, plan) = (node.disk(), self.world.plan.disk.clone());
            disk.release();
            disk.forget_planned();
            node.damage.mend(&disk);
            disk.configure(|config| *config = plan);
            disk.keep_power();
        }
        self.sleep(2000 * MS).await;
        self.check_health().await;
        for node in &self.world.nodes {
            // A planned error may still strike, and leaves with the next power cycle's calls.
            if node.excuses.get() > 0 {
                for _ in 0..20 {
                    node.disk().release();
                    self.sleep(100 * MS).await;
                    self.check_health().await;
                }
            }
        }
    }

    /// The last restart: what was finished stays finished.
    pub(crate) async fn restart_all(&self) {
        for node in &self.world.nodes {
            node.lose_power();
            self.start(node).await;
        }
    }
}
