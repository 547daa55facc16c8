//! A server in memory: sessions, exactly-once answers, pushed jobs, and faults by script.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use jobbie_proto::ability::{Abilities, Ability};
use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::reply::{Enqueued, Failed, Lease, QueueStats, Reply, ShardStats};
use jobbie_proto::request::{JobRef, Stats};
use jobbie_proto::wire::{
    ClientFrame, Durability, Encoder, Endpoint, FrameReader, Hello, LeaseBytes, Limits, Lookup,
    LostLease, Refused, ReplyHead, StatsAnswer, Welcome,
};
use jobbie_proto::{
    Code, EventSeq, JobId, JobSeq, LeaseToken, Micros, Request, SessionId, ShardId,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub(crate) const CREATED_MS: u64 = 1_795_000_000_000;

/// What happens to the next request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Done, but the connection breaks before the answer.
    DoneThenCut,
    /// The connection breaks before it is done.
    CutBefore,
    /// Nothing, for ever.
    Ignore,
    /// This code, not done.
    Refuse(Code),
    /// Not the leader; this address is.
    Redirect(String),
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) acts: VecDeque<Act>,
    /// What every hello is answered with instead of a welcome.
    pub(crate) refuse_hello: Option<Code>,
    /// Answers are sent in pieces of this size; 0 is whole.
    pub(crate) piece: usize,
    /// Abilities that the server does not have.
    pub(crate) lacks: Vec<Ability>,
    /// New connections find their session gone.
    pub(crate) forget_sessions: bool,
    /// Requests done: session, number, jobs enqueued.
    pub(crate) done: Vec<(u64, u64, usize)>,
    /// Numbers of all requests received, repeats included.
    pub(crate) received: Vec<u64>,
    pub(crate) confirmed_below: u64,
    pub(crate) hellos: Vec<SessionId>,
    pub(crate) names: Vec<String>,
    pub(crate) acked: Vec<(JobRef, Vec<u8>)>,
    pub(crate) failed: Vec<(JobRef, String, bool)>,
    pub(crate) beats: Vec<(JobRef, Vec<u8>)>,
    pub(crate) extended: usize,
    pub(crate) released: Vec<JobRef>,
    pub(crate) goodbyes: usize,
    /// Jobs to be pushed or fetched.
    pub(crate) queue: VecDeque<Vec<u8>>,
    /// Granted and not used up.
    pub(crate) credit: u32,
    pub(crate) credit_max: u32,
    sessions: HashMap<u128, u64>,
    answers: HashMap<(u64, u64), Reply>,
    next_session: u64,
    next_job: u64,
    payloads: HashMap<u64, Vec<u8>>,
    pushers: Vec<mpsc::UnboundedSender<Vec<LostLease>>>,
}

pub(crate) struct Fake {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
    shards: u16,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::start_with(1).await
    }

    pub(crate) async fn start_with(shards: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone(), shards));
            }
        });
        Self { address, state, shards }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn shards(&self) -> u16 {
        self.shards
    }

    /// Tells every connection that a lease is over.
    pub(crate) fn lose(&self, job: JobRef) {
        for pusher in &self.state().pushers {
            let _ = pusher.send(vec![LostLease { job, code: Code::NotActive }]);
        }
    }

    /// Breaks every connection.
    pub(crate) fn cut_all(&self) {
        self.state().pushers.clear();
    }
}

struct Peer {
    sink: OwnedWriteHalf,
    state: Arc<Mutex<State>>,
    encoder: Encoder,
    out: Vec<u8>,
    shard: ShardId,
    shards: u16,
    subscribed: bool,
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>, shards: u16) {
    let (mut source, sink) = stream.into_split();
    let (pusher, mut lost) = mpsc::unbounded_channel();
    state.lock().unwrap().pushers.push(pusher);
    let shard = ShardId(0);
    let encoder = Encoder::new();
    let mut peer = Peer { sink, state, encoder, out: vec![], shard, shards, subscribed: false };
    let mut reader = FrameReader::new(FRAME_BYTES_MAX);
    loop {
        tokio::select! {
            alive = read(&mut source, &mut reader) => if !alive { return },
            lost = lost.recv() => match lost {
                Some(lost) => peer.encoder.lost(&mut peer.out, &lost).unwrap(),
                None => return,
            },
        }
        while let Some(frame) = reader.next_frame().expect("the client sends frames") {
            let frame = ClientFrame::decode(frame).expect("the client sends good frames");
            if !peer.take(frame).await {
                return;
            }
        }
        peer.push();
        if !peer.send().await {
            return;
        }
    }
}

async fn read(source: &mut OwnedReadHalf, reader: &mut FrameReader) -> bool {
    source.read_buf(reader.buffer()).await.is_ok_and(|n| n > 0)
}

impl Peer {
    async fn send(&mut self) -> bool {
        let piece = self.state.lock().unwrap().piece;
        let bytes = std::mem::take(&mut self.out);
        for part in bytes.chunks(if piece == 0 { bytes.len().max(1) } else { piece }) {
            if self.sink.write_all(part).await.is_err() {
                return false;
            }
            if piece > 0 {
                tokio::task::yield_now().await;
            }
        }
        true
    }

    async fn take(&mut self, frame: ClientFrame<'_>) -> bool {
        match frame {
            ClientFrame::Hello(hello) => self.hello(&hello).await,
            ClientFrame::Request(request) => self.request(&request),
            ClientFrame::Subscribe(_) => {
                self.subscribed = true;
                self.state.lock().unwrap().credit = 0;
                true
            }
            ClientFrame::Credit { add, .. } => {
                let mut state = self.state.lock().unwrap();
                state.credit += add;
                state.credit_max = state.credit_max.max(state.credit);
                true
            }
            ClientFrame::Unsubscribe { .. } => {
                self.subscribed = false;
                true
            }
            ClientFrame::Goodbye => {
                self.state.lock().unwrap().goodbyes += 1;
                false
            }
            ClientFrame::Ping { nonce } => {
                self.encoder.pong(&mut self.out, nonce, Micros(1));
                true
            }
        }
    }

    async fn hello(&mut self, hello: &Hello<'_>) -> bool {
        let refuse = self.state.lock().unwrap().refuse_hello;
        if let Some(code) = refuse {
            let refused = Refused::new(code, "use a client of version 9");
            self.encoder.refused(&mut self.out, &refused).unwrap();
            self.send().await;
            return false;
        }
        if hello.shard.0 < self.shards {
            self.shard = hello.shard;
        }
        let session = {
            let mut state = self.state.lock().unwrap();
            if state.forget_sessions {
                state.sessions.clear();
                state.forget_sessions = false;
            }
            state.hellos.push(hello.resume_session);
            state.names.push(hello.name.to_owned());
            state.next_session += 1;
            let new = state.next_session;
            *state.sessions.entry(hello.client).or_insert(new)
        };
        let endpoints =
            (0..self.shards).map(|n| Endpoint { shard: ShardId(n), address: "", leader: true });
        let lacks = |of: &Ability| self.state.lock().unwrap().lacks.contains(of);
        let has = Ability::ALL.into_iter().filter(|ability| !lacks(ability));
        let abilities = Abilities(has.fold(0, |bits, ability| bits | 1 << ability as u8));
        let welcome = Welcome {
            version: 1,
            session: SessionId(session),
            shard: self.shard,
            shards: self.shards,
            endpoints: endpoints.collect(),
            limits: Limits::default(),
            server_time: Micros(CREATED_MS * 1000),
            durability: Durability::Fsync,
            server_version: "fake",
            store: 5,
            abilities,
            settings: Default::default(),
        };
        self.encoder.welcome(&mut self.out, &welcome).unwrap();
        true
    }

    fn request(&mut self, request: &Request<'_>) -> bool {
        let act = {
            let mut state = self.state.lock().unwrap();
            state.received.push(request.number);
            state.confirmed_below = request.confirmed_below;
            state.acts.pop_front()
        };
        match act {
            Some(Act::CutBefore) => false,
            Some(Act::Ignore) => true,
            Some(Act::DoneThenCut) => {
                self.execute(request);
                false
            }
            Some(Act::Refuse(code)) => self.refuse(request, code, ""),
            Some(Act::Redirect(to)) => self.refuse(request, Code::NotLeader, &to),
            None => {
                let reply = self.execute(request);
                self.answer(request, &reply);
                true
            }
        }
    }

    fn refuse(&mut self, request: &Request<'_>, code: Code, redirect: &str) -> bool {
        let reply = Reply { code, ..Reply::default() };
        let message = "refused by script";
        let shard = self.shard;
        let head =
            ReplyHead { number: request.number, shard, message, retry_after_ms: 1, redirect };
        self.encoder.plain_reply(&mut self.out, &head, &reply).unwrap();
        true
    }

    fn execute(&mut self, request: &Request<'_>) -> Reply {
        let mut state = self.state.lock().unwrap();
        let key = (request.session.0, request.number);
        if let Some(reply) = state.answers.get(&key) {
            return reply.clone();
        }
        let count = request.enqueues.len();
        state.done.push((key.0, key.1, count));
        let mut reply = Reply::default();
        if count > 0 {
            let first_job = JobSeq(state.next_job + 1);
            state.next_job += count as u64;
            let count = count as u32;
            reply.enqueued =
                vec![Enqueued { code: Code::Ok, created_ms: CREATED_MS, first_job, count }];
        }
        for ack in &request.acks {
            state.acked.push((ack.job, ack.result.to_vec()));
        }
        reply.acks = vec![Code::Ok; request.acks.len()];
        for fail in &request.fails {
            let text = String::from_utf8(fail.error.to_vec()).unwrap();
            state.failed.push((fail.job, text, fail.no_retry));
            let next_attempt = if fail.no_retry { Micros(0) } else { Micros(77) };
            reply.fails.push(Failed { code: Code::Ok, next_attempt, attempts_left: 2 });
        }
        for beat in &request.heartbeats {
            state.beats.push((beat.job, [beat.progress, beat.checkpoint].concat()));
        }
        reply.heartbeats = vec![Code::Ok; request.heartbeats.len()];
        state.extended += usize::from(request.extend_session_ms > 0);
        state.released.extend(&request.releases);
        reply.releases = vec![Code::Ok; request.releases.len()];
        reply.cancels = vec![Code::IllegalState; request.cancels.len()];
        reply.deletes = vec![Code::Ok; request.deletes.len()];
        if let Some(fetch) = &request.fetch {
            while reply.leases.len() < fetch.count as usize && !state.queue.is_empty() {
                reply.leases.push(lease(&mut state));
            }
        }
        state.answers.insert(key, reply.clone());
        reply
    }

    fn answer(&mut self, request: &Request<'_>, reply: &Reply) {
        let head = ReplyHead { number: request.number, shard: self.shard, ..ReplyHead::default() };
        let bytes = payloads(&self.state, &reply.leases);
        let queues = match request.stats {
            Stats::Queues { after: "", .. } => vec![QueueStats {
                queue: format!("queue-of-{}", self.shard),
                enqueued_total: 4,
                ..QueueStats::default()
            }],
            _ => vec![],
        };
        let shard = (request.stats != Stats::None).then(ShardStats::default);
        let lookups: Vec<_> = request.lookups.iter().map(|id| Lookup::not_found(*id)).collect();
        let source = |nth: usize, _: &Lease| LeaseBytes {
            queue: "q",
            payload: &bytes[nth],
            ..LeaseBytes::default()
        };
        let stats = StatsAnswer { queues: &queues, shard, ..StatsAnswer::default() };
        self.encoder.reply(&mut self.out, &head, reply, source, lookups, stats).unwrap();
    }

    /// Pushes as many jobs as there is credit for.
    fn push(&mut self) {
        if !self.subscribed {
            return;
        }
        let leases: Vec<_> = {
            let mut state = self.state.lock().unwrap();
            let count = state.queue.len().min(state.credit as usize);
            state.credit -= count as u32;
            (0..count).map(|_| lease(&mut state)).collect()
        };
        if leases.is_empty() {
            return;
        }
        let bytes = payloads(&self.state, &leases);
        let source = |nth: usize, _: &Lease| LeaseBytes {
            queue: "q",
            payload: &bytes[nth],
            ..LeaseBytes::default()
        };
        self.encoder.deliver(&mut self.out, 1, self.shard, (&leases, &[]), source).unwrap();
    }
}

/// Leases the first waiting job; its payload is remembered by its number.
fn lease(state: &mut State) -> Lease {
    state.next_job += 1;
    let payload = state.queue.pop_front().unwrap();
    let id = state.next_job;
    state.payloads.insert(id, payload);
    Lease {
        job: JobSeq(id),
        created_ms: CREATED_MS,
        token: LeaseToken(id + 1000),
        attempt: 1,
        max_retries: 3,
        deadline: Micros(1),
        record: EventSeq(id),
        checkpoint: EventSeq(0),
        placed: EventSeq(0),
        payload: EventSeq(0),
    }
}

fn payloads(state: &Mutex<State>, leases: &[Lease]) -> Vec<Vec<u8>> {
    let state = state.lock().unwrap();
    leases.iter().map(|lease| state.payloads[&lease.job.0].clone()).collect()
}

/// The job that [`lease`] makes of number `n`.
pub(crate) fn job(n: u64) -> JobRef {
    JobRef { job: JobId::new(CREATED_MS, ShardId(0), JobSeq(n)), token: LeaseToken(n + 1000) }
}

/// Waits until `check` holds.
pub(crate) async fn eventually(what: &str, check: impl Fn() -> bool) {
    for _ in 0..500 {
        if check() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
