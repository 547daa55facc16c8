//! One client of one shard: producer, worker and operator at once, over connections that break.

mod act;
mod agents;
mod jobs;
mod many;
mod plans;
mod rules;
mod schedules;
mod ties;

use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;

use futures_util::future::{Either, select};
use jobbie_client::connection::{Connection, Event, Identity};
use jobbie_proto::request::JobRef;
use jobbie_proto::wire::{Encoder, EnqueuedRun, LeasedJob};
use jobbie_proto::{Code, JobId, Request, ShardId};
use jobbie_sim::{Handle, Rng};

use crate::link::{self, Link};
use crate::plan::{Habits, Plan};
use crate::world::{Phase, World, count};

/// Frames remembered to be sent again.
const RECENT_MAX: usize = 12;
/// Jobs remembered to be cancelled, deleted and looked up.
const KNOWN_MAX: usize = 40;
/// Leases remembered after they are over.
const OLD_MAX: usize = 40;

/// Mean pause of a client in a hurry.
const HURRY_NANOS: u64 = 1_500_000;

/// A lease in hand.
#[derive(Clone, Copy, Debug)]
struct Held {
    job: JobRef,
    /// When the worker gives it up unless it has finished it.
    until_nanos: u64,
}

pub(crate) struct Client {
    world: Rc<World>,
    shard: ShardId,
    /// Unique in the run; part of every payload.
    number: u64,
    rng: Rng,
    core: Connection<()>,
    encoder: Encoder,
    habits: Habits,
    queues: Vec<String>,
    held: Vec<Held>,
    old: VecDeque<JobRef>,
    known: VecDeque<JobId>,
    recent: VecDeque<Vec<u8>>,
    payloads: u64,
    /// The subscription of this connection, and what is left of its credit.
    subscription: Option<(u32, u32)>,
    subscriptions: u32,
    /// Nothing more is sent before this.
    patience_nanos: u64,
}

/// Why a connection ended.
enum Ended {
    /// It broke, or the server closed it.
    Broken,
    /// The client has nothing to do any more.
    Done,
}

impl Client {
    pub(crate) fn new(world: &Rc<World>, shard: ShardId, number: u64) -> Self {
        let mut rng = world.rng.borrow_mut().fork();
        let client = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        let identity = Identity {
            client,
            name: format!("client-{number}"),
            host: "sim".to_owned(),
            token: Vec::new(),
            shard,
        };
        Self {
            world: Rc::clone(world),
            shard,
            number,
            core: Connection::new(identity, 1 + rng.below(8) as usize),
            encoder: Encoder::new(),
            habits: Plan::habits(&mut rng),
            queues: world.plan.queues(shard),
            held: Vec::new(),
            old: VecDeque::new(),
            known: VecDeque::new(),
            recent: VecDeque::new(),
            payloads: 0,
            subscription: None,
            subscriptions: 0,
            patience_nanos: 0,
            rng,
        }
    }

    fn phase(&self) -> Phase {
        self.world.phase.get()
    }

    /// About this long, in nanoseconds.
    fn about(&mut self, nanos: u64) -> u64 {
        nanos / 4 + self.rng.below(nanos * 3 / 2)
    }

    async fn pause(&mut self, nanos: u64) {
        let handle = Handle::current();
        let nanos = self.about(nanos);
        handle.sleep_until(handle.now_nanos() + nanos).await;
    }

    /// Lives until the run ends.
    pub(crate) async fn run(mut self) {
        loop {
            while self.phase() == Phase::Silence {
                self.pause(1_000_000_000).await;
            }
            if self.phase() == Phase::End && self.core.in_flight() == 0 {
                return;
            }
            let node = Rc::clone(self.world.node(self.shard));
            if let Some(shard) = node.serving() {
                count(&self.world.counts.connections);
                let ledger = &self.world.ledger;
                let link = link::connect(shard, self.shard, node.id, ledger, &mut self.rng);
                self.core.start().expect("the names are short");
                self.subscription = None;
                if let Ended::Done = self.connected(link).await {
                    return;
                }
                self.core.disconnected();
            }
            self.pause(20_000_000).await;
        }
    }

    async fn connected(&mut self, link: Link) -> Ended {
        let handle = Handle::current();
        let life = self.world.plan.connection_nanos;
        let life = if self.phase() == Phase::Load { self.about(life) } else { u64::MAX / 2 };
        let until = handle.now_nanos() + life;
        let mut next_act = handle.now_nanos();
        loop {
            let output = std::mem::take(self.core.output());
            link.up.send(output);
            let wake = next_act.min(until);
            let heard = {
                let sleep = handle.sleep_until(wake);
                match select(pin!(link.down.receive()), sleep).await {
                    Either::Left((received, _)) => Some(received),
                    Either::Right(_) => None,
                }
            };
            match heard {
                Some(None) => return Ended::Broken,
                Some(Some(bytes)) => {
                    self.core.feed(&bytes);
                    if !self.hear() {
                        return Ended::Broken;
                    }
                }
                None if handle.now_nanos() >= until => {
                    link.sever();
                    return Ended::Broken;
                }
                None => {
                    match self.phase() {
                        Phase::Silence => return Ended::Broken,
                        Phase::End if self.core.in_flight() == 0 => return Ended::Done,
                        _ if self.core.is_open() => self.act(),
                        _ => {}
                    }
                    let hurry = self.world.hurry.get();
                    let think = if hurry { HURRY_NANOS } else { self.world.plan.think_nanos };
                    next_act = handle.now_nanos() + self.about(think);
                }
            }
        }
    }

    /// Takes in what the shard said; whether the connection goes on.
    fn hear(&mut self) -> bool {
        loop {
            let event = self.core.next_event().expect("the server speaks the protocol");
            let mut leases: Vec<JobRef> = Vec::new();
            let mut runs: Vec<EnqueuedRun> = Vec::new();
            let job_of = |lease: &LeasedJob<'_>| JobRef { job: lease.job, token: lease.token };
            match event {
                None => return true,
                Some(Event::Opened { resumed, lost, .. }) => {
                    if !resumed {
                        count(&self.world.counts.sessions_lost);
                        drop(lost);
                        let held = std::mem::take(&mut self.held);
                        held.into_iter().for_each(|held| self.old.push_back(held.job));
                        self.recent.clear();
                    }
                }
                Some(Event::Reply { reply, .. }) => {
                    count(&self.world.counts.answers);
                    match reply.code {
                        Code::Ok => {}
                        Code::Overloaded | Code::NoSpace => {
                            let nanos = u64::from(reply.retry_after_ms) * 1_000_000;
                            self.patience_nanos = Handle::current().now_nanos() + nanos / 2;
                        }
                        // Of a schedule that is not there: no other operation is refused so as a whole.
                        Code::BadRequestNumber | Code::NotFound => {}
                        // Of a fetch for whose queues no money is left.
                        Code::BudgetExceeded => {}
                        code => panic!("a request was answered {code:?}: {}", reply.message),
                    }
                    self.world.share(&reply);
                    leases.extend(reply.leases.iter().map(job_of));
                    runs.extend(&reply.enqueued);
                }
                Some(Event::Deliver { leases: delivered, .. }) => {
                    leases.extend(delivered.iter().map(job_of));
                    if let Some((_, credit)) = &mut self.subscription {
                        *credit = credit.saturating_sub(delivered.len() as u32);
                    }
                }
                Some(Event::Lost(lost)) => {
                    for lease in lost {
                        self.held.retain(|held| held.job != lease.job);
                        self.old.push_back(lease.job);
                    }
                }
                Some(Event::Refused(_) | Event::Unavailable { .. }) => return false,
                Some(Event::Part { reply, .. }) => leases.extend(reply.leases.iter().map(job_of)),
                Some(Event::GoAway { .. } | Event::Quiet) => {}
            }
            self.take_up(leases, &runs);
        }
    }

    fn take_up(&mut self, leases: Vec<JobRef>, runs: &[EnqueuedRun]) {
        for job in leases {
            let nanos = match self.rng.below(8) {
                // A slow worker finishes too late.
                0 => self.about(4_000_000_000),
                _ => self.about(60_000_000),
            };
            let until_nanos = Handle::current().now_nanos() + nanos;
            self.held.push(Held { job, until_nanos });
        }
        for job in runs.iter().flat_map(|run| run.ids()) {
            self.known.push_back(job);
        }
        while self.known.len() > KNOWN_MAX {
            self.known.pop_front();
        }
        while self.old.len() > OLD_MAX {
            self.old.pop_front();
        }
    }

    fn submit(&mut self, mut request: Request<'_>) {
        if !self.core.has_room() {
            return;
        }
        count(&self.world.counts.requests);
        self.core.submit(&mut request, ()).map_err(|(error, ())| error).expect("there is room");
        let mut frame = Vec::new();
        self.encoder.request(&mut frame, &request).expect("it was encoded before");
        self.recent.push_back(frame);
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
    }
}
