//! One shard's process: a disk that outlives it, a log, and the shard itself.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::{Either, FutureExt, select};
use jobbie_log::{Create, Identity, Log, LogConfig, Opened, Space};
use jobbie_proto::ShardId;
use jobbie_proto::wire::Durability;
use jobbie_raft::sim::SimRuntime;
use jobbie_shard::ShardConfig;
use jobbie_sim::{Handle, NodeId, SimDisk};

use crate::clock::SimClock;
use crate::damage::Damage;
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::post::SimPost;

pub(crate) type Shard = jobbie_shard::Shard<SimRuntime, SimDisk, SimClock>;

pub(crate) const STORE: u128 = 7;

/// A shard's process, running or not.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) shard: ShardId,
    plan: Rc<Plan>,
    clock: SimClock,
    ledger: Rc<Ledger>,
    post: SimPost,
    disk: RefCell<SimDisk>,
    running: RefCell<Option<(Shard, Log<SimDisk>)>>,
    /// Errors the disk was told to give, each of which may stop the log once.
    pub(crate) excuses: Cell<u32>,
    /// Whether the disk may have lied in this life: what is read back at once is noticed at once.
    pub(crate) may_have_lied: Cell<bool>,
    /// Whether the log may find damage in this life.
    pub(crate) may_be_damaged: Cell<bool>,
    pub(crate) starts: Cell<u64>,
    /// Starts that found a torn tail.
    pub(crate) torn: Rc<Cell<u64>>,
    /// What its disk did in silence.
    pub(crate) damage: Damage,
}

/// What became of a start.
#[derive(Debug)]
pub(crate) enum Started {
    Serves,
    /// The power failed on the way.
    LostPower,
    /// It refused.
    Failed(String),
}

impl Node {
    pub(crate) fn new(
        shard: ShardId,
        plan: &Rc<Plan>,
        clock: &SimClock,
        ledger: &Rc<Ledger>,
        post: &SimPost,
    ) -> Rc<Self> {
        let seed = plan.seed ^ (u64::from(shard.0) + 1) << 56;
        Rc::new(Self {
            id: NodeId(u64::from(shard.0) + 1),
            shard,
            plan: Rc::clone(plan),
            clock: clock.clone(),
            ledger: Rc::clone(ledger),
            post: post.clone(),
            disk: RefCell::new(SimDisk::new(seed, plan.disk.clone())),
            running: RefCell::default(),
            excuses: Cell::new(0),
            may_have_lied: Cell::new(false),
            may_be_damaged: Cell::new(false),
            starts: Cell::new(0),
            torn: Rc::default(),
            damage: Damage::new(STORE),
        })
    }

    pub(crate) fn disk(&self) -> SimDisk {
        self.disk.borrow().clone()
    }

    /// The shard, if it serves.
    pub(crate) fn serving(&self) -> Option<Shard> {
        self.running.borrow().as_ref().map(|(shard, _)| shard.clone())
    }

    /// Whether an error may be one that the disk was told to give.
    pub(crate) fn take_excuse(&self) -> bool {
        let left = self.excuses.get();
        self.excuses.set(left.saturating_sub(1));
        left > 0
    }

    /// Why the shard stopped, if it did.
    pub(crate) fn failed(&self) -> Option<String> {
        let running = self.running.borrow();
        let (shard, log) = running.as_ref()?;
        let stopped = || (shard.metrics().serving.get() == 0).then(|| "it stopped".to_owned());
        log.failed().map(|failed| failed.to_string()).or_else(stopped)
    }

    /// Whether the log says that the disk is full; `None` when it does not run.
    pub(crate) fn is_full(&self) -> Option<bool> {
        self.running.borrow().as_ref().map(|(_, log)| log.space() == Space::Low)
    }

    /// Places where the log has found damage by itself; 0 when it does not run.
    pub(crate) fn damage_found(&self) -> u64 {
        self.running.borrow().as_ref().map_or(0, |(_, log)| log.stats().damage_found)
    }

    /// Boots the process and returns when it serves, or why it does not.
    pub(crate) async fn start(&self) -> Started {
        self.starts.set(self.starts.get() + 1);
        self.may_have_lied.set(false);
        let disk = self.disk();
        self.may_be_damaged.set(self.damage.is_there(&disk) || disk.has_planned());
        let (log, config, clock) = (self.plan.log, self.config(), self.clock.clone());
        let identity = Identity { cluster: 1, node: 1, shard: self.shard.0.into(), store: STORE };
        let boot = boot(
            disk.clone(),
            log,
            identity,
            config,
            clock,
            self.post.clone(),
            Rc::clone(&self.torn),
        );
        let booted = Handle::current().spawn_on(self.id, boot);
        match select(booted, pin!(disk.power_failure())).await {
            Either::Right(_) => {
                self.kill();
                *self.disk.borrow_mut() = disk.reboot();
                Started::LostPower
            }
            Either::Left((Err(_), _)) => Started::Failed("it was killed".to_owned()),
            Either::Left((Ok(Err(error)), _)) => {
                self.kill();
                Started::Failed(format!("{error:#}"))
            }
            // It may have failed in the moment the shard was ready.
            Either::Left((Ok(Ok(_)), _)) if disk.power_failure().now_or_never().is_some() => {
                self.kill();
                *self.disk.borrow_mut() = disk.reboot();
                Started::LostPower
            }
            Either::Left((Ok(Ok((shard, log))), _)) => {
                self.ledger.started(self.shard, &log.state());
                *self.running.borrow_mut() = Some((shard, log));
                Started::Serves
            }
        }
    }

    fn config(&self) -> ShardConfig {
        ShardConfig {
            shard: self.shard,
            shards: self.plan.shards,
            node: 1,
            endpoints: (0..self.plan.shards).map(|shard| format!("sim:{shard}")).collect(),
            token: Vec::new(),
            durability: Durability::Fsync,
            server_version: "sim".to_owned(),
            store: STORE,
            snapshot_log_bytes: self.plan.snapshot_log_bytes,
            history_bytes: 0,
            // Few, so that much happens between the steps of an operation.
            operation_jobs_per_entry: 3,
            settings: Default::default(),
            feed: Arc::default(),
        }
    }

    /// The process dies; the kernel keeps what it was given.
    pub(crate) fn kill(&self) {
        *self.running.borrow_mut() = None;
        Handle::current().kill(self.id);
    }

    /// The power fails.
    pub(crate) fn lose_power(&self) {
        let disk = self.disk().crash();
        self.kill();
        *self.disk.borrow_mut() = disk;
    }

    /// Ends the process in order.
    pub(crate) async fn shut_down(&self) {
        if let Some(shard) = self.serving() {
            let ended = Handle::current().spawn_on(self.id, async move { shard.shutdown().await });
            let ended = ends_within(30, ended).await;
            assert!(ended || self.excuses.get() > 0, "r22 is broken: the shard does not shut down");
        }
        self.kill();
    }
}

async fn ends_within(secs: u64, future: impl Future) -> bool {
    let sleep = Handle::current().sleep(std::time::Duration::from_secs(secs));
    matches!(select(pin!(future), sleep).await, Either::Left(_))
}

async fn boot(
    disk: SimDisk,
    log: LogConfig,
    identity: Identity,
    config: ShardConfig,
    clock: SimClock,
    post: SimPost,
    torn: Rc<Cell<u64>>,
) -> anyhow::Result<(Shard, Log<SimDisk>)> {
    let Opened { log, driver, report } = Log::open(disk, log, identity, Create::IfMissing).await?;
    torn.set(torn.get() + u64::from(report.torn.is_some()));
    drop(Handle::current().spawn(driver));
    let shard = Shard::start(config, clock, log.clone(), Rc::new(post)).await?;
    Ok((shard, log))
}
