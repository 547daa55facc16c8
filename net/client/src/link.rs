//! One session with one shard on tokio: callers put requests in, a task carries bytes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jobbie_proto::limits::SESSION_REPLIES_MAX;
use jobbie_proto::wire::{LostLease, Subscribe};
use jobbie_proto::{Code, Request, ShardId};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::connection::{Cancelled, Connection, Event, Identity, ProtocolError, SubmitError};
use crate::topology::Topology;
use crate::{Answer, Config, Error, Job, Outcome, answer, drive};

/// What a server sends unasked.
#[derive(Debug)]
pub(crate) enum Push {
    /// A connection stands (again): subscriptions are to be made anew.
    Opened {
        /// Counts connections; credit is for one connection only.
        epoch: u64,
    },
    /// Jobs against credit.
    Jobs(Vec<Job>),
    /// Leases that ended.
    Lost(Vec<LostLease>),
    /// The link is over for good.
    Over(Error),
}

/// Whoever waits for an answer.
#[derive(Debug)]
pub(crate) struct Waiter {
    sender: oneshot::Sender<Result<Answer, Error>>,
    parts: Option<Box<Answer>>,
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It can be made again, after this long at least.
    Again { cause: String, after_ms: u64 },
    /// It makes no sense to try again.
    Fatal(Error),
    /// The link was told to stop.
    Stopped,
}

pub(crate) struct Shared {
    pub(crate) connection: Connection<Waiter>,
    /// Where to connect; a position in the addresses, unless redirected.
    pub(crate) redirect: Option<String>,
    pub(crate) address_at: usize,
    /// What keeps the link from being open, for people.
    pub(crate) cause: String,
    topology: Option<Arc<Topology>>,
    over: Option<Error>,
    epoch: u64,
    /// Callers waiting for room or for the session.
    starved: usize,
}

/// A session with one shard that is kept up until [`Link::stop`].
pub(crate) struct Link {
    shared: Mutex<Shared>,
    pub(crate) config: Arc<Config>,
    /// There is something to send.
    pub(crate) wake: Notify,
    /// Room, or the end.
    room: Notify,
    pub(crate) stopping: AtomicBool,
    pub(crate) stop: Notify,
    done: Notify,
    ended: AtomicBool,
    pushes: Option<mpsc::UnboundedSender<Push>>,
}

impl Link {
    /// Starts a session with `shard` ([`jobbie_proto::wire::ANY_SHARD`] for whichever answers), first at `address`.
    pub(crate) fn start(
        config: Arc<Config>,
        shard: ShardId,
        address: Option<String>,
        pushes: Option<mpsc::UnboundedSender<Push>>,
    ) -> Arc<Self> {
        let identity = Identity {
            name: config.name.clone(),
            host: config.host.clone(),
            token: config.token.clone(),
            shard,
            ..Identity::random()
        };
        let link = Arc::new(Self {
            shared: Mutex::new(Shared {
                connection: Connection::new(identity, config.requests_max),
                redirect: address,
                address_at: 0,
                cause: "no connection yet".into(),
                topology: None,
                over: None,
                epoch: 0,
                starved: 0,
            }),
            config,
            wake: Notify::new(),
            room: Notify::new(),
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
            done: Notify::new(),
            ended: AtomicBool::new(false),
            pushes,
        });
        tokio::spawn(drive::run(link.clone()));
        link
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Sends `request` and waits for the answer, whatever its code.
    pub(crate) async fn call(
        &self,
        request: &mut Request<'_>,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let began = Instant::now();
        let (number, mut answer) = self.submit(request, began, deadline).await?;
        if let Ok(answered) = timeout_at(deadline, &mut answer).await {
            return answered.unwrap_or(Err(Error::Closed { outcome: Outcome::Unknown }));
        }
        let mut shared = self.lock();
        let outcome = match shared.connection.cancel(number) {
            Cancelled::NotDone(_) => Outcome::NotDone,
            Cancelled::Unknown => Outcome::Unknown,
            Cancelled::Answered => {
                drop(shared);
                return answer
                    .try_recv()
                    .unwrap_or(Err(Error::Closed { outcome: Outcome::Unknown }));
            }
        };
        Err(late(began, outcome, shared.cause.clone()))
    }

    async fn submit(
        &self,
        request: &mut Request<'_>,
        began: Instant,
        deadline: Instant,
    ) -> Result<(u64, oneshot::Receiver<Result<Answer, Error>>), Error> {
        let (sender, receiver) = oneshot::channel();
        let mut waiter = Waiter { sender, parts: None };
        loop {
            // Registered before looking, so that room made in between is not missed.
            let mut room = std::pin::pin!(self.room.notified());
            {
                let mut shared = self.lock();
                if let Some(error) = &shared.over {
                    return Err(error.clone());
                }
                match shared.connection.submit(request, waiter) {
                    Ok(number) => {
                        drop(shared);
                        self.wake.notify_one();
                        return Ok((number, receiver));
                    }
                    Err((SubmitError::Encode(e), _)) => return Err(e.into()),
                    Err((SubmitError::Lacking(ability), _)) => {
                        let topology = shared.topology.as_ref();
                        let version = topology.map(|topology| topology.server_version.clone());
                        let server_version = version.unwrap_or_default();
                        return Err(Error::Lacking { ability, server_version });
                    }
                    Err((SubmitError::Full | SubmitError::NotOpen, back)) => waiter = back,
                }
                room.as_mut().enable();
                shared.starved += 1;
            }
            let waited = timeout_at(deadline, room).await;
            let mut shared = self.lock();
            shared.starved -= 1;
            if waited.is_err() {
                return Err(late(began, Outcome::NotDone, shared.cause.clone()));
            }
        }
    }

    /// Waits until a server has said what it is.
    pub(crate) async fn topology(&self, deadline: Instant) -> Result<Arc<Topology>, Error> {
        let began = Instant::now();
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            {
                let mut shared = self.lock();
                if let Some(error) = &shared.over {
                    return Err(error.clone());
                }
                if let Some(topology) = &shared.topology {
                    return Ok(topology.clone());
                }
                room.as_mut().enable();
                shared.starved += 1;
            }
            let waited = timeout_at(deadline, room).await;
            let mut shared = self.lock();
            shared.starved -= 1;
            if waited.is_err() {
                return Err(late(began, Outcome::NotDone, shared.cause.clone()));
            }
        }
    }

    pub(crate) fn shard(&self) -> ShardId {
        self.lock().connection.shard()
    }

    /// Whether so much is unconfirmed that another session is better for a request that may wait long.
    pub(crate) fn is_crowded(&self) -> bool {
        let shared = self.lock();
        shared.connection.span() >= SESSION_REPLIES_MAX / 2 || !shared.connection.has_room()
    }

    /// Subscribes and grants the first credit, if connection number `epoch` still stands.
    pub(crate) fn subscribe(
        &self,
        epoch: u64,
        subscribe: &Subscribe<'_>,
        credit: u32,
    ) -> Result<(), Error> {
        self.if_open(epoch, |connection| {
            connection.subscribe(subscribe)?;
            connection.credit(subscribe.subscription, credit);
            Ok(())
        })
        .unwrap_or(Ok(()))
    }

    /// Grants credit, if connection number `epoch` still stands; the next subscription grants it all.
    pub(crate) fn credit(&self, epoch: u64, subscription: u32, add: u32) {
        self.if_open(epoch, |connection| connection.credit(subscription, add));
    }

    pub(crate) fn unsubscribe(&self, epoch: u64, subscription: u32) {
        self.if_open(epoch, |connection| connection.unsubscribe(subscription));
    }

    fn if_open<V>(&self, epoch: u64, put: impl FnOnce(&mut Connection<Waiter>) -> V) -> Option<V> {
        let mut shared = self.lock();
        let open = shared.epoch == epoch && shared.connection.is_open();
        let value = open.then(|| put(&mut shared.connection));
        drop(shared);
        self.wake.notify_one();
        value
    }

    /// Connects elsewhere: the shard's leader is at `address`.
    pub(crate) fn redirect(&self, address: String) {
        let mut shared = self.lock();
        if shared.redirect.as_ref() != Some(&address) {
            shared.redirect = Some(address);
            shared.connection.disconnected();
            drop(shared);
            self.wake.notify_one();
        }
    }

    /// Ends the session: it says goodbye if it can, and the task ends.
    pub(crate) fn stop(&self) {
        if !self.stopping.swap(true, Ordering::SeqCst) {
            let mut shared = self.lock();
            if shared.connection.is_open() {
                shared.connection.goodbye();
            }
        }
        self.stop.notify_one();
    }

    /// Waits until the task has ended, at most `patience`.
    pub(crate) async fn stopped(&self, patience: Duration) {
        let mut done = std::pin::pin!(self.done.notified());
        done.as_mut().enable();
        if !self.ended.load(Ordering::SeqCst) {
            // Whatever is not sent by then is not worth waiting for: the server ends idle sessions itself.
            let _ = tokio::time::timeout(patience, done).await;
        }
    }

    /// The task has ended: everybody who waits is told.
    pub(crate) fn end(&self, error: Option<&Error>) {
        let mut shared = self.lock();
        shared.connection.disconnected();
        for (waiter, sent) in shared.connection.abandon() {
            let outcome = if sent { Outcome::Unknown } else { Outcome::NotDone };
            let told = match error {
                Some(error) if !sent => error.clone(),
                _ => Error::Closed { outcome },
            };
            // A caller that has gone needs no answer.
            let _ = waiter.sender.send(Err(told));
        }
        let closed = Error::Closed { outcome: Outcome::NotDone };
        shared.over = Some(error.cloned().unwrap_or_else(|| closed.clone()));
        drop(shared);
        self.room.notify_waiters();
        self.push(Push::Over(error.cloned().unwrap_or(closed)));
        self.ended.store(true, Ordering::SeqCst);
        self.done.notify_waiters();
    }

    fn push(&self, push: Push) {
        if let Some(pushes) = &self.pushes {
            // A worker that has gone needs no jobs; its leases end by themselves.
            let _ = pushes.send(push);
        }
    }

    /// Takes in what a server sent.
    pub(crate) fn receive(&self, bytes: &[u8], address: &str) -> Result<(), Trouble> {
        let mut guard = self.lock();
        let shared = &mut *guard;
        shared.connection.feed(bytes);
        let protocol = |e: ProtocolError| {
            let (address, message) = (address.to_owned(), e.to_string());
            Trouble::Fatal(Error::Protocol { address, message, outcome: Outcome::NotDone })
        };
        while let Some(event) = shared.connection.next_event().map_err(protocol)? {
            match event {
                Event::Reply { tag, reply, blob } => {
                    let answer = match tag.parts {
                        Some(mut parts) => {
                            parts.append(reply, blob);
                            *parts
                        }
                        None => Answer::new(reply, blob),
                    };
                    // A caller that has gone needs no answer.
                    let _ = tag.sender.send(Ok(answer));
                }
                Event::Part { tag, reply, blob } => match &mut tag.parts {
                    Some(parts) => parts.append(reply, blob),
                    none => *none = Some(Box::new(Answer::new(reply, blob))),
                },
                Event::Deliver { leases, blob, .. } => {
                    self.push(Push::Jobs(answer::jobs(&leases, blob)));
                }
                Event::Lost(leases) => self.push(Push::Lost(leases)),
                Event::Opened { welcome, lost, .. } => {
                    shared.topology = Some(Arc::new(Topology::new(&welcome)));
                    shared.cause = "the server has not answered".into();
                    for waiter in lost {
                        let _ = waiter.sender.send(Err(Error::SessionGone));
                    }
                    shared.epoch += 1;
                    self.push(Push::Opened { epoch: shared.epoch });
                }
                Event::Refused(refused) => {
                    if !refused.redirect.is_empty() {
                        shared.redirect = Some(refused.redirect.to_owned());
                    }
                    return Err(refusal(&refused, address));
                }
                Event::Unavailable { code, message } => {
                    let cause = format!("{address}: {}: {message}", code.name());
                    return Err(Trouble::Again { cause, after_ms: 100 });
                }
                Event::GoAway { message } => {
                    tracing::info!(address, message, "server is stopping");
                }
                Event::Quiet => {}
            }
        }
        if shared.starved > 0 {
            drop(guard);
            self.room.notify_waiters();
        }
        Ok(())
    }
}

fn late(began: Instant, outcome: Outcome, cause: String) -> Error {
    let after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Error::Deadline { outcome, after_ms, cause }
}

fn refusal(refused: &jobbie_proto::wire::Refused<'_>, address: &str) -> Trouble {
    match refused.code {
        Code::Overloaded
        | Code::NoSpace
        | Code::NotLeader
        | Code::WrongShard
        | Code::ShuttingDown
        | Code::Unavailable
        | Code::SessionGone
        | Code::TooManyConnections => Trouble::Again {
            cause: format!("{address}: {}: {}", refused.code.name(), refused.message),
            after_ms: refused.retry_after_ms.into(),
        },
        code => Trouble::Fatal(Error::ConnectionRefused {
            address: address.to_owned(),
            code,
            message: refused.message.to_owned(),
        }),
    }
}
