//! Asking a server, one request at a time. A command makes a handful of requests and ends, so this blocks and keeps
//! nothing; programs use the client library.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use jobbie_proto::ability::Abilities;
use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::wire::{
    ANY_SHARD, EncodeError, Encoder, FrameReader, Hello, PROTOCOL_VERSION, Refused, ReplyFrame,
    ServerFrame, ServerSettings,
};
use jobbie_proto::{Code, Request, SessionId, ShardId, placement};

use crate::args::ClientArgs;
use crate::exit::Exit;

/// Pause before trying again when the server names none.
const RETRY: Duration = Duration::from_millis(50);

/// A command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Nothing was sent.
    #[error(
        "cannot connect to jobbie at {addr}: {source}; is `jobbie server` running there? --addr names another address"
    )]
    Connect { addr: String, source: std::io::Error },
    /// The request may have been done.
    #[error(
        "the connection to {addr} was lost before the answer came: {reason}; whether the command was done is unknown"
    )]
    Lost { addr: String, reason: String },
    /// The server will not speak to this client.
    #[error("the server at {addr} refuses the connection: {message} ({code})")]
    Handshake { addr: String, code: &'static str, message: String },
    /// The server's answer is no.
    #[error("refused: {message} ({})", code.name())]
    Refused { code: Code, message: String },
    /// The server is too old: it was not asked.
    #[error(
        "the server at {addr}, release {version}, does not know {ability}: nothing was sent; update it, or use the \
         jobbie of its release"
    )]
    Lacking { addr: String, version: String, ability: &'static str },
    /// The HTTP side cannot be asked, or its answer not read.
    #[error(
        "cannot ask the HTTP side of jobbie at {addr}: {source}; is `jobbie server` running there? --http-addr names another address"
    )]
    Http { addr: String, source: std::io::Error },
    /// The answer of the HTTP side is no.
    #[error("refused: {message} ({code})")]
    HttpRefused { status: u16, code: String, message: String },
    /// A field is too large to be sent.
    #[error("{0}")]
    Encode(#[from] EncodeError),
    /// What the command was given cannot be read, or its output not written.
    #[error("{what}: {source}")]
    Local { what: String, source: std::io::Error },
    /// A wrong argument that only shows at work.
    #[error("{0}")]
    Usage(String),
}

impl CallError {
    /// A reader that has seen enough, such as `head`, is no failure.
    pub(crate) fn is_nobody_reading(&self) -> bool {
        matches!(self, Self::Local { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// What the process ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Connect { .. } | Self::Lost { .. } | Self::Http { .. } => Exit::Connection,
            Self::HttpRefused { status: 404, .. } => Exit::Nothing,
            Self::HttpRefused { status: 429 | 503, .. } => Exit::Busy,
            Self::HttpRefused { .. } => Exit::Refused,
            Self::Refused { code: Code::NotFound, .. } => Exit::Nothing,
            Self::Refused { code, .. } if (128..192).contains(&(*code as u8)) => Exit::Busy,
            Self::Refused { .. } | Self::Handshake { .. } | Self::Lacking { .. } => Exit::Refused,
            Self::Encode(_) | Self::Usage(_) => Exit::Usage,
            Self::Local { .. } => Exit::Failed,
        }
    }
}

/// A server and the connections made to it so far, one per shard at most.
pub(crate) struct Server {
    timeout: Duration,
    deadline: Instant,
    client: u128,
    name: String,
    token: String,
    shards: Vec<String>,
    /// As the server says in its welcome.
    server_version: String,
    abilities: Abilities,
    settings: ServerSettings,
    connections: HashMap<ShardId, Connection>,
    encoder: Encoder,
    /// Leases outlive the process only when the session does.
    keeps_session: bool,
}

struct Connection {
    stream: TcpStream,
    reader: FrameReader,
    addr: String,
    session: SessionId,
    number: u64,
}

impl Server {
    /// Connects to whatever shard answers, which knows the others.
    pub(crate) fn connect(args: &ClientArgs, name: Option<&str>) -> Result<Self, CallError> {
        let nanos = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let timeout = Duration::from_millis(args.timeout_ms.max(1));
        let mut server = Self {
            timeout,
            deadline: Instant::now() + timeout,
            client: nanos << 32 | u128::from(std::process::id()),
            name: name.map_or_else(|| format!("jobbie-cli-{}", std::process::id()), Into::into),
            token: args.token.clone(),
            shards: Vec::new(),
            server_version: String::new(),
            abilities: Abilities::default(),
            settings: ServerSettings::default(),
            connections: HashMap::new(),
            encoder: Encoder::new(),
            keeps_session: false,
        };
        let (connection, shard) = server.open(&args.addr, ANY_SHARD)?;
        server.connections.insert(shard, connection);
        Ok(server)
    }

    /// Every shard of the server.
    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards.len() as u16).map(ShardId)
    }

    /// What the server's operators have set.
    pub(crate) fn settings(&self) -> ServerSettings {
        self.settings
    }

    /// The shard of a queue.
    pub(crate) fn shard_of(&self, queue: &str) -> ShardId {
        placement::shard_of(queue, self.shards.len() as u16)
    }

    /// Leaves the session open at the end, so that its leases last until their time.
    pub(crate) fn keep_session(&mut self) {
        self.keeps_session = true;
    }

    /// Waits before something is asked again, if there is time.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let in_time = Instant::now() + pause < self.deadline;
        if in_time {
            std::thread::sleep(pause);
        }
        in_time
    }

    /// Waits this much longer for answers.
    pub(crate) fn allow(&mut self, extra: Duration) {
        self.deadline = Instant::now() + self.timeout + extra;
    }

    /// Makes a request and hands over its answer, in parts when it is long. Asks again while the server is busy and there is
    /// time.
    pub(crate) fn call(
        &mut self,
        shard: ShardId,
        request: &mut Request<'_>,
        mut answer: impl FnMut(&ReplyFrame<'_>),
    ) -> Result<(), CallError> {
        loop {
            let wait = match self.call_once(shard, request, &mut answer)? {
                None => return Ok(()),
                Some((code, _, wait))
                    if is_passing(code) && Instant::now() + wait < self.deadline =>
                {
                    wait
                }
                Some((code, message, _)) => return Err(CallError::Refused { code, message }),
            };
            std::thread::sleep(wait);
        }
    }

    fn call_once(
        &mut self,
        shard: ShardId,
        request: &mut Request<'_>,
        answer: &mut impl FnMut(&ReplyFrame<'_>),
    ) -> Result<Option<(Code, String, Duration)>, CallError> {
        if let Some(ability) = self.abilities.lacking(request) {
            return Err(CallError::Lacking {
                addr: self.shards.first().cloned().unwrap_or_default(),
                version: self.server_version.clone(),
                ability: ability.name(),
            });
        }
        if !self.connections.contains_key(&shard) {
            let unknown = || CallError::Usage(format!("the server has no shard {}", shard.0));
            let addr = self.shards.get(usize::from(shard.0)).cloned().ok_or_else(unknown)?;
            let (connection, _) = self.open(&addr, shard)?;
            self.connections.insert(shard, connection);
        }
        let connection = self.connections.get_mut(&shard).expect("was just made");
        connection.number += 1;
        request.session = connection.session;
        request.number = connection.number;
        request.confirmed_below = connection.number;
        let mut out = Vec::new();
        self.encoder.request(&mut out, request)?;
        connection.send(&out)?;
        loop {
            let number = connection.number;
            let done = connection.next(self.deadline, |frame| match frame {
                ServerFrame::Reply(reply) if reply.number == number => {
                    if reply.code != Code::Ok {
                        let wait = Duration::from_millis(reply.retry_after_ms.into()).max(RETRY);
                        return Some(Some((reply.code, explain(reply.code, reply.message), wait)));
                    }
                    answer(&reply);
                    (!reply.more).then_some(None)
                }
                _ => None,
            })?;
            if let Some(result) = done {
                return Ok(result);
            }
        }
    }

    fn open(&mut self, addr: &str, shard: ShardId) -> Result<(Connection, ShardId), CallError> {
        let failed = |source| CallError::Connect { addr: addr.to_owned(), source };
        let stream = connect(addr, self.timeout).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let reader = FrameReader::new(FRAME_BYTES_MAX);
        let mut connection =
            Connection { stream, reader, addr: addr.to_owned(), session: SessionId(0), number: 0 };
        let hello = Hello {
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            client: self.client,
            resume_session: SessionId(0),
            shard,
            token: self.token.as_bytes(),
            name: &self.name,
            host: "",
        };
        let mut out = Vec::new();
        self.encoder.hello(&mut out, &hello)?;
        connection.send(&out)?;
        let welcome = connection.next(self.deadline, |frame| match frame {
            ServerFrame::Welcome(welcome) => {
                let mut shards = vec![addr.to_owned(); usize::from(welcome.shards.max(1))];
                for end in welcome.endpoints.iter().filter(|e| !e.address.is_empty()) {
                    if let Some(at) = shards.get_mut(usize::from(end.shard.0)) {
                        *at = end.address.to_owned();
                    }
                }
                let said = (welcome.server_version.to_owned(), welcome.abilities, welcome.settings);
                Some((welcome.session, welcome.shard, shards, said))
            }
            _ => None,
        })?;
        let Some((session, served, shards, said)) = welcome else {
            let reason = "the first frame is not a welcome; is it a jobbie server?".into();
            return Err(CallError::Lost { addr: addr.to_owned(), reason });
        };
        connection.session = session;
        self.shards = shards;
        (self.server_version, self.abilities, self.settings) = said;
        Ok((connection, served))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.keeps_session {
            return;
        }
        let mut out = Vec::new();
        self.encoder.goodbye(&mut out);
        for connection in self.connections.values_mut() {
            // The session ends by itself after a while when this does not arrive.
            let _ = connection.stream.write_all(&out);
        }
    }
}

impl Connection {
    fn lost(&self, reason: impl ToString) -> CallError {
        CallError::Lost { addr: self.addr.clone(), reason: reason.to_string() }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        self.stream.write_all(bytes).map_err(|e| self.lost(e))
    }

    /// Waits for one frame.
    fn next<T>(
        &mut self,
        deadline: Instant,
        mut take: impl FnMut(ServerFrame<'_>) -> Option<T>,
    ) -> Result<Option<T>, CallError> {
        let addr = self.addr.clone();
        let lost = |reason: String| CallError::Lost { addr: addr.clone(), reason };
        loop {
            let frame = self.reader.next_frame();
            if let Some(frame) = frame.map_err(|e| lost(format!("{e}; is it a jobbie server?")))? {
                return match ServerFrame::decode(frame).map_err(|e| lost(e.to_string()))? {
                    ServerFrame::Refused(refused) => Err(handshake(&addr, &refused)),
                    ServerFrame::GoAway { .. } => Ok(None),
                    frame => Ok(take(frame)),
                };
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(lost("no answer in time; --timeout-ms gives it more".into()));
            }
            self.stream.set_read_timeout(Some(left)).map_err(|e| lost(e.to_string()))?;
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(lost("the server closed it".into())),
                Ok(n) => self.reader.feed(&chunk[..n]),
                Err(e)
                    if matches!(
                        e.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) => {}
                Err(e) => return Err(lost(e.to_string())),
            }
        }
    }
}

fn connect(addr: &str, timeout: Duration) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for at in addr.to_socket_addrs()? {
        match TcpStream::connect_timeout(&at, timeout) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn handshake(addr: &str, refused: &Refused<'_>) -> CallError {
    let code = refused.code;
    let message = match code {
        Code::BadVersion => format!(
            "it speaks protocol versions {} to {} and this is {PROTOCOL_VERSION}; use the jobbie of the server's release",
            refused.version_min, refused.version_max
        ),
        _ => explain(code, refused.message),
    };
    CallError::Handshake { addr: addr.to_owned(), code: code.name(), message }
}

/// Not done, and may be done if asked again.
fn is_passing(code: Code) -> bool {
    matches!(code, Code::Overloaded | Code::NotLeader)
}

/// The server's own words, or ours when it has none.
pub(crate) fn explain(code: Code, message: &str) -> String {
    if !message.is_empty() {
        return message.to_owned();
    }
    match code {
        Code::Conflict => "the key is taken by a job with other content; nothing was done",
        Code::NotFound => {
            "there is no such job, or it is completed or deleted; `jobbie-replay timeline` tells what became of it"
        }
        Code::NotActive => "the job is not leased to anybody, so nothing changed",
        Code::StaleLease => "the lease is over and the job was given out again; nothing changed",
        Code::IllegalState => {
            "the job's state does not allow it; nothing was done, see `jobbie inspect`"
        }
        Code::NotAgent => "the job is no agent job, and only those have iterations; nothing was done",
        Code::PlanFull => "the job has as many events as it can have; nothing was done",
        Code::Moved => "the job is on its way to another shard; nothing was done, try again",
        Code::Unsupported => "this version cannot do that, such as moving a job with a plan to a queue of another shard",
        Code::TooLarge => "a field is larger than its limit",
        Code::Overloaded => "the server is busy; nothing was done, try again",
        Code::NoSpace => "the server's disk is full; nothing was done, free some space",
        Code::Unavailable => "the shard stopped after a disk error; whether it was done is unknown, see the server's log",
        Code::ShuttingDown => "the server is stopping; nothing was done",
        _ => "the server gives no reason",
    }
    .to_owned()
}
