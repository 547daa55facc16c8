//! One session with one shard, over as many connections as it takes; no socket, clock or task.
//!
//! Bytes received go into [`Connection::input`], bytes to send come out of [`Connection::output`], and
//! [`Connection::next_event`] says what happened. A request keeps its number until it is answered: when a connection
//! breaks, [`Connection::start`] begins another, and what is unanswered is sent again under the same numbers, so that
//! the server does each request once.

use jobbie_proto::ability::{Abilities, Ability};
use jobbie_proto::limits::{FRAME_BYTES_MAX, SESSION_REPLIES_MAX};
use jobbie_proto::wire::{
    ANY_SHARD, ClientFrame, DecodeError, EncodeError, Encoder, FrameError, FrameReader, Hello,
    LeasedJob, LostLease, PROTOCOL_VERSION, Refused, ReplyFrame, ServerFrame, Subscribe, Welcome,
    frame,
};
use jobbie_proto::{Code, Request, SessionId, ShardId};

use crate::in_flight::{InFlight, Pending};

/// Who the client is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Random; the server finds the session by it when the first answer got lost.
    pub client: u128,
    /// Name of the worker or program, at most 255 bytes.
    pub name: String,
    /// Name of the machine, at most 255 bytes.
    pub host: String,
    /// Credential; empty is none.
    pub token: Vec<u8>,
    /// The shard to speak to; [`ANY_SHARD`] takes whichever answers, and stays with it.
    pub shard: ShardId,
}

impl Identity {
    /// Nobody in particular, on any shard, with a random id.
    #[must_use]
    pub fn random() -> Self {
        Self {
            client: rand::random(),
            name: String::new(),
            host: String::new(),
            token: Vec::new(),
            shard: ANY_SHARD,
        }
    }
}

/// The server does not speak the protocol. The connection is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The bytes are not frames.
    #[error("the server does not speak jobbie's binary protocol: {0}")]
    Frame(#[from] FrameError),
    /// A frame does not decode.
    #[error("a frame from the server does not decode: {0}")]
    Decode(#[from] DecodeError),
    /// A frame at the wrong time.
    #[error("the server sent {0} out of turn")]
    OutOfTurn(&'static str),
}

/// The request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// There has been no welcome yet, so there is no session.
    #[error("no session yet")]
    NotOpen,
    /// As many requests are unanswered as may be.
    #[error("too many requests in flight")]
    Full,
    /// The server is too old for it.
    #[error("the server does not know {}", .0.name())]
    Lacking(Ability),
    /// It does not fit a frame.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// What became of a request that its caller no longer waits for.
#[derive(Debug, PartialEq, Eq)]
pub enum Cancelled<T> {
    /// It never left: it will not be done.
    NotDone(T),
    /// It may have left: it may be done.
    Unknown,
    /// It is answered already.
    Answered,
}

/// What a server said, borrowed from the bytes received.
#[derive(Debug)]
pub enum Event<'a, T> {
    /// The handshake succeeded.
    Opened {
        /// What the server said.
        welcome: Welcome<'a>,
        /// Whether it is the session from before. If not, subscriptions and leases are gone.
        resumed: bool,
        /// Requests of a session that is gone: what they did is unknown.
        lost: Vec<T>,
    },
    /// A part of a long answer.
    Part {
        /// Of which request.
        tag: &'a mut T,
        /// Its first or next part.
        reply: ReplyFrame<'a>,
        /// What the reply borrows from, to be copied in one go.
        blob: &'a [u8],
    },
    /// The answer, or its last part.
    Reply {
        /// To which request.
        tag: T,
        /// The answer.
        reply: ReplyFrame<'a>,
        /// What the reply borrows from, to be copied in one go.
        blob: &'a [u8],
    },
    /// Jobs for a subscription.
    Deliver {
        /// Which.
        subscription: u32,
        /// The jobs.
        leases: Vec<LeasedJob<'a>>,
        /// What the leases borrow from, to be copied in one go.
        blob: &'a [u8],
    },
    /// Leases that ended under the worker.
    Lost(Vec<LostLease>),
    /// The server ends the connection.
    Refused(Refused<'a>),
    /// The shard cannot say what became of a request, or the session is gone. It stays in flight: connect again.
    Unavailable {
        /// Which of the two.
        code: Code,
        /// What the server said.
        message: &'a str,
    },
    /// The server is about to stop.
    GoAway {
        /// Why.
        message: &'a str,
    },
    /// Nothing to act on.
    Quiet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Down,
    Greeting,
    Open,
}

/// See the module. `T` is whatever finds the caller of a request again.
#[derive(Debug)]
pub struct Connection<T> {
    identity: Identity,
    phase: Phase,
    session: SessionId,
    store: u128,
    abilities: Abilities,
    requests: InFlight<T>,
    requests_max: usize,
    encoder: Encoder,
    reader: FrameReader,
    output: Vec<u8>,
}

impl<T> Connection<T> {
    /// A session that does not exist yet. At most `requests_max` requests (1..=[`SESSION_REPLIES_MAX`]) are in
    /// flight at a time.
    #[must_use]
    pub fn new(identity: Identity, requests_max: usize) -> Self {
        Self {
            identity,
            phase: Phase::Down,
            session: SessionId(0),
            store: 0,
            abilities: Abilities::default(),
            requests: InFlight::new(),
            requests_max: requests_max.clamp(1, SESSION_REPLIES_MAX),
            encoder: Encoder::new(),
            reader: FrameReader::new(FRAME_BYTES_MAX),
            output: Vec::new(),
        }
    }

    /// Begins a new connection: everything half-sent or half-received is forgotten and the hello is in the output.
    ///
    /// # Errors
    /// When a name or the token is too long for a hello.
    pub fn start(&mut self) -> Result<(), EncodeError> {
        self.disconnected();
        let hello = Hello {
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            client: self.identity.client,
            resume_session: self.session,
            shard: self.identity.shard,
            token: &self.identity.token,
            name: &self.identity.name,
            host: &self.identity.host,
        };
        self.encoder.hello(&mut self.output, &hello)?;
        self.phase = Phase::Greeting;
        Ok(())
    }

    /// The connection is gone. Requests stay in flight.
    pub fn disconnected(&mut self) {
        self.phase = Phase::Down;
        self.output.clear();
        self.reader = FrameReader::new(FRAME_BYTES_MAX);
    }

    /// Whether the handshake is done and the connection stands.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether there is a session, even if its connection is down: then requests can be taken.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.session != SessionId(0)
    }

    /// The session, 0 before the first welcome.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The shard, once it is known.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.identity.shard
    }

    /// Requests not answered yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.requests.open()
    }

    /// Answers the server has to remember for this session.
    #[must_use]
    pub fn span(&self) -> usize {
        self.requests.span()
    }

    /// Whether one more request is taken.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.requests.open() < self.requests_max && self.requests.span() < SESSION_REPLIES_MAX
    }

    /// Bytes to send. Whoever sends them removes them.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// The buffer to append received bytes to, with room for a read.
    pub fn input(&mut self) -> &mut Vec<u8> {
        self.reader.buffer()
    }

    /// Appends received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.reader.feed(bytes);
    }

    /// Numbers `request` and sends it, at once or with the next connection. Its session, number and confirmation are
    /// filled in.
    ///
    /// # Errors
    /// With the tag, when it is not taken: also when it asks for what the server, as it said in its welcome, does not know.
    pub fn submit(&mut self, request: &mut Request<'_>, tag: T) -> Result<u64, (SubmitError, T)> {
        if !self.has_session() {
            return Err((SubmitError::NotOpen, tag));
        }
        if let Some(ability) = self.abilities.lacking(request) {
            return Err((SubmitError::Lacking(ability), tag));
        }
        if !self.has_room() {
            return Err((SubmitError::Full, tag));
        }
        let number = self.requests.next_number();
        request.session = self.session;
        request.number = number;
        request.confirmed_below = self.requests.confirmed_below();
        let mut frame = self.requests.buffer();
        if let Err(e) = self.encoder.request(&mut frame, request) {
            self.requests.keep_buffer(frame);
            return Err((e.into(), tag));
        }
        let sent = self.phase == Phase::Open;
        if sent {
            self.output.extend_from_slice(&frame);
        }
        self.requests.push(Pending { number, frame, sent, tag });
        Ok(number)
    }

    /// The caller of request `number` has gone.
    pub fn cancel(&mut self, number: u64) -> Cancelled<T> {
        match self.requests.get_mut(number) {
            None => Cancelled::Answered,
            Some(pending) if pending.sent => Cancelled::Unknown,
            Some(_) => {
                Cancelled::NotDone(self.requests.answer(number).expect("it was there just now"))
            }
        }
    }

    /// Gives up: every unanswered request and whether a server may have seen it.
    pub fn abandon(&mut self) -> Vec<(T, bool)> {
        self.requests.take_all().into_iter().map(|p| (p.tag, p.sent)).collect()
    }

    /// Asks for jobs to be pushed. Subscriptions end with the connection.
    ///
    /// # Errors
    /// When the names do not fit a frame.
    pub fn subscribe(&mut self, subscribe: &Subscribe<'_>) -> Result<(), EncodeError> {
        self.encoder.subscribe(&mut self.output, subscribe)
    }

    /// Allows `add` more jobs to be pushed.
    pub fn credit(&mut self, subscription: u32, add: u32) {
        self.encoder.credit(&mut self.output, subscription, add);
    }

    /// Ends pushing.
    pub fn unsubscribe(&mut self, subscription: u32) {
        self.encoder.unsubscribe(&mut self.output, subscription);
    }

    /// Asks the server for a sign of life.
    pub fn ping(&mut self, nonce: u64) {
        self.encoder.ping(&mut self.output, nonce);
    }

    /// Ends the session: its leases go back at once.
    pub fn goodbye(&mut self) {
        self.encoder.goodbye(&mut self.output);
    }

    /// The next thing the server said; `None` until more bytes arrive.
    ///
    /// # Errors
    /// When it does not speak the protocol; the connection is to be closed then.
    pub fn next_event(&mut self) -> Result<Option<Event<'_, T>>, ProtocolError> {
        if self.phase == Phase::Down {
            return Ok(None);
        }
        let Some(frame) = self.reader.next_frame()? else { return Ok(None) };
        let blob = frame.blob;
        let decoded = ServerFrame::decode(frame)?;
        if self.phase != Phase::Open {
            return match decoded {
                ServerFrame::Welcome(welcome) => {
                    let resumed = self.session == welcome.session && self.store == welcome.store;
                    let lost = if resumed {
                        Vec::new()
                    } else {
                        renumber(&mut self.requests, &mut self.encoder, welcome.session)
                    };
                    self.session = welcome.session;
                    self.store = welcome.store;
                    self.abilities = welcome.abilities;
                    self.identity.shard = welcome.shard;
                    self.phase = Phase::Open;
                    for pending in self.requests.iter_mut() {
                        self.output.extend_from_slice(&pending.frame);
                        pending.sent = true;
                    }
                    Ok(Some(Event::Opened { welcome, resumed, lost }))
                }
                ServerFrame::Refused(refused) => Ok(Some(Event::Refused(refused))),
                _ => Err(ProtocolError::OutOfTurn("a frame before the handshake")),
            };
        }
        Ok(Some(match decoded {
            ServerFrame::Reply(reply) => {
                return Ok(Some(answered(&mut self.requests, reply, blob)));
            }
            ServerFrame::Deliver { subscription, leases } => {
                Event::Deliver { subscription, leases, blob }
            }
            ServerFrame::Lost(leases) => Event::Lost(leases),
            ServerFrame::Refused(refused) => Event::Refused(refused),
            ServerFrame::GoAway { message, .. } => Event::GoAway { message },
            ServerFrame::Pong { .. } => Event::Quiet,
            ServerFrame::Welcome(_) => return Err(ProtocolError::OutOfTurn("a second welcome")),
        }))
    }
}

fn answered<'a, T>(
    requests: &'a mut InFlight<T>,
    reply: ReplyFrame<'a>,
    blob: &'a [u8],
) -> Event<'a, T> {
    // Either way the server cannot say what became of it; the next handshake will show.
    if matches!(reply.code, Code::Unavailable | Code::SessionGone) {
        return Event::Unavailable { code: reply.code, message: reply.message };
    }
    if reply.more {
        return match requests.get_mut(reply.number) {
            Some(pending) => Event::Part { tag: &mut pending.tag, reply, blob },
            None => Event::Quiet,
        };
    }
    match requests.answer(reply.number) {
        Some(tag) => Event::Reply { tag, reply, blob },
        // A second answer to a request that was sent twice.
        None => Event::Quiet,
    }
}

/// The old session is gone. What a server may have seen is lost; the rest gets numbers of the new one.
fn renumber<T>(requests: &mut InFlight<T>, encoder: &mut Encoder, session: SessionId) -> Vec<T> {
    let mut lost = Vec::new();
    for mut pending in requests.take_all() {
        if pending.sent {
            lost.push(pending.tag);
            continue;
        }
        let (old, _) = frame::split(&pending.frame, FRAME_BYTES_MAX)
            .ok()
            .flatten()
            .expect("written by this encoder");
        let Ok(ClientFrame::Request(mut request)) = ClientFrame::decode(old) else {
            unreachable!("written by this encoder");
        };
        request.session = session;
        request.number = requests.next_number();
        request.confirmed_below = requests.confirmed_below();
        let mut frame = Vec::with_capacity(pending.frame.len());
        encoder.request(&mut frame, &request).expect("it fitted before");
        pending.number = request.number;
        pending.frame = frame;
        requests.push(pending);
    }
    lost
}
