//! Shards that keep their logs in memory, and messages between them.

use jobbie_core::ties::mail::{Found, Source, checkpoint_of, error_of, hold_of, progress_of};
use jobbie_core::{
    Decision, Settings, State, decide, decide_consequences, decide_delivered, decide_letter,
    decide_open_session, decide_operations, decide_timers,
};
use jobbie_proto::event::{BackoffKind, Event, Group, Task};
use jobbie_proto::letter::Message;
use jobbie_proto::placement::shard_of;
use jobbie_proto::reply::Lease;
use jobbie_proto::request::{Ack, Enqueue, Fail, Fetch, JobRef, Operate, When};
use jobbie_proto::{Code, EventSeq, JobId, Micros, Reply, Request, SessionId, ShardId};

/// One entry of a log.
struct Logged {
    first_event: u64,
    time: Micros,
    group: Group,
    blob: Vec<u8>,
}

/// One shard with one session.
pub(crate) struct Node {
    pub(crate) state: State,
    log: Vec<Logged>,
    session: SessionId,
    number: u64,
    /// A snapshot, and the entries it holds.
    snapshot: Option<(Vec<Vec<u8>>, usize)>,
}

pub(crate) struct Log<'a>(&'a [Logged]);

impl Source for Log<'_> {
    fn find(&self, event: EventSeq) -> Option<Found<'_>> {
        let at = self.0.partition_point(|logged| logged.first_event <= event.0).checked_sub(1)?;
        let logged = &self.0[at];
        let mut first = logged.first_event;
        for record in &logged.group.events {
            if event.0 < first + record.count() {
                let nth = (event.0 - first) as usize;
                return Some(Found { event: record, nth, blob: &logged.blob });
            }
            first += record.count();
        }
        None
    }
}

impl Node {
    fn new(shard: u16, shards: u16) -> Self {
        let state = State::new(ShardId(shard), shards);
        let session = SessionId(state.next_event().0);
        let mut node = Self { state, log: Vec::new(), session, number: 0, snapshot: None };
        let mut blob = Vec::new();
        let opened = decide_open_session(&node.state, 7, "worker", "host", &mut blob);
        let Decision::Events(group) = opened else { panic!("{opened:?}") };
        node.absorb(Micros(1_000_000), group, blob);
        node
    }

    fn absorb(&mut self, now: Micros, group: Group, blob: Vec<u8>) -> Option<Reply> {
        let first_event = self.state.next_event().0;
        let reply = self.state.absorb(now, &group);
        self.state.check();
        self.log.push(Logged { first_event, time: now, group, blob });
        reply.map(|reply| (*reply).clone())
    }

    /// What the state refers to at length, taken from the log.
    pub(crate) fn log(&self) -> Log<'_> {
        Log(&self.log)
    }

    pub(crate) fn take_snapshot(&mut self) {
        self.snapshot = Some((self.state.snapshot().collect(), self.log.len()));
    }

    /// The process dies and starts again, from its newest snapshot and the log.
    pub(crate) fn restart(&mut self) {
        let (shard, shards) = (self.state.shard(), self.state.shards());
        let (mut state, from) = match &self.snapshot {
            Some((chunks, from)) => (State::restore(chunks).expect("a snapshot"), *from),
            None => (State::new(shard, shards), 0),
        };
        for logged in &self.log[from..] {
            state.absorb(logged.time, &logged.group);
        }
        state.check();
        assert_eq!(state.digest(), self.state.digest());
        let chunks = |state: &State| state.snapshot().collect::<Vec<_>>();
        assert_eq!(chunks(&state), chunks(&self.state), "another state than before the crash");
        self.state = state;
    }

    /// How often `f` is true of an event of the log.
    pub(crate) fn count(&self, mut f: impl FnMut(&Event) -> bool) -> usize {
        self.log.iter().flat_map(|logged| &logged.group.events).filter(|event| f(event)).count()
    }
}

/// Shards of one cluster and its time.
pub(crate) struct Net {
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Micros,
    /// Things due at once are done with their cause, at most so many at a time.
    pub(crate) consequences: usize,
}

impl Net {
    pub(crate) fn new(shards: u16) -> Self {
        let nodes = (0..shards).map(|shard| Node::new(shard, shards)).collect();
        Self { nodes, now: Micros(1_000_000), consequences: 100 }
    }

    pub(crate) fn node(&mut self, shard: ShardId) -> &mut Node {
        &mut self.nodes[usize::from(shard.0)]
    }

    /// A queue of a shard.
    pub(crate) fn queue(&self, shard: u16) -> String {
        let shards = self.nodes.len() as u16;
        let names = (0..).map(|n| format!("queue-{n}"));
        names.into_iter().find(|name| shard_of(name, shards) == ShardId(shard)).expect("one is")
    }

    pub(crate) fn decide(&mut self, shard: ShardId, mut request: Request<'_>) -> Decision {
        let now = self.now;
        let node = self.node(shard);
        node.number += 1;
        (request.session, request.number) = (node.session, node.number);
        let mut blob = Vec::new();
        let decision = decide(&node.state, now, &request, &mut blob);
        if let Decision::Events(group) = &decision {
            node.absorb(now, group.clone(), blob);
        }
        decision
    }

    pub(crate) fn run(&mut self, shard: ShardId, request: Request<'_>) -> Reply {
        match self.decide(shard, request) {
            Decision::Events(_) => {}
            Decision::Nothing => return Reply::default(),
            other => panic!("{other:?}"),
        }
        let limit = self.consequences;
        let node = self.node(shard);
        let reply = node.state.answer_to(node.session, node.number).expect("it was done");
        let reply = (**reply).clone();
        if limit > 0 {
            self.consequences_of(shard);
        }
        reply
    }

    pub(crate) fn refused(&mut self, shard: ShardId, request: Request<'_>) -> (Code, String) {
        match self.decide(shard, request) {
            Decision::Refuse { code, message } => (code, message),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn consequences_of(&mut self, shard: ShardId) {
        let (now, limit) = (self.now, self.consequences.max(1));
        let node = self.node(shard);
        while node.state.has_consequences() {
            let events = decide_consequences(&node.state, limit);
            assert!(!events.is_empty(), "something is due and nothing follows");
            node.absorb(now, Group { events, ..Group::default() }, Vec::new());
        }
    }

    /// All processes die and start again.
    pub(crate) fn restart_all(&mut self) {
        for node in &mut self.nodes {
            node.take_snapshot();
            node.restart();
            node.snapshot = None;
            node.restart();
        }
    }

    /// Checkpoint, progress, error, backtrace, hold reason and by of a job, as the log of its shard has them.
    pub(crate) fn moved_bytes(&self, job: JobId) -> [String; 6] {
        let node = &self.nodes[usize::from(job.shard().0)];
        let view = node.state.job(job).expect("it is in memory");
        let (log, text) = (node.log(), |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap());
        let at = |event, of: fn(Found<'_>) -> &[u8]| {
            log.find(event).map_or_else(String::new, |f| text(of(f)))
        };
        [
            at(view.checkpoint, checkpoint_of),
            at(view.progress, progress_of),
            at(view.last_error, |found| error_of(found).0),
            at(view.last_error, |found| error_of(found).1),
            at(view.hold, |found| hold_of(found).0),
            at(view.hold, |found| hold_of(found).1),
        ]
    }

    /// Enqueues jobs, all to queues of one shard.
    pub(crate) fn enqueue(&mut self, request: Request<'_>) -> Vec<JobId> {
        let shards = self.nodes.len() as u16;
        let shard = shard_of(request.enqueues[0].queue, shards);
        let reply = self.run(shard, request);
        let runs = reply.enqueued.iter();
        runs.flat_map(|run| {
            (0..u64::from(run.count))
                .map(|nth| JobId::new(run.created_ms, shard, run.first_job.plus(nth)))
        })
        .collect()
    }

    /// Fetches from a queue; ids, tokens and payloads.
    pub(crate) fn fetch(&mut self, queue: &str, count: u32) -> Vec<(JobRef, Vec<u8>)> {
        let shard = shard_of(queue, self.nodes.len() as u16);
        let fetch = Fetch { queues: vec![queue], count, lease_ms: 1000, wait_ms: 0, worker: "" };
        let reply = self.run(shard, Request { fetch: Some(fetch), ..Request::default() });
        let node = &self.nodes[usize::from(shard.0)];
        let payload = |lease: &Lease| {
            let found =
                node.log().find(lease.record).map(|f| (f.event.clone(), f.nth, f.blob.to_vec()));
            let (event, nth, blob) = found.expect("it was enqueued");
            match event {
                Event::Enqueued { jobs, .. } => jobs[nth].payload.of(&blob).to_vec(),
                Event::Limited(limited) => limited.jobs[nth].payload.of(&blob).to_vec(),
                Event::ScheduleSet(set) => set.payload.of(&blob).to_vec(),
                other => panic!("{other:?}"),
            }
        };
        let leased = |lease: &Lease| {
            let job = JobId::new(lease.created_ms, shard, lease.job);
            (JobRef { job, token: lease.token }, payload(lease))
        };
        reply.leases.iter().map(leased).collect()
    }

    pub(crate) fn ack(&mut self, job: JobRef, result: &[u8]) -> Code {
        let acks = vec![Ack { job, result }];
        self.run(job.job.shard(), Request { acks, ..Request::default() }).acks[0]
    }

    pub(crate) fn fail(&mut self, job: JobRef, error: &[u8]) {
        let fails = vec![Fail { job, error, backtrace: b"", no_retry: true }];
        let reply = self.run(job.job.shard(), Request { fails, ..Request::default() });
        assert_eq!(reply.fails[0].code, Code::Ok);
    }

    /// An operation on many jobs, all of its steps.
    pub(crate) fn operate(&mut self, shard: ShardId, task: Task, jobs: Vec<JobId>) {
        let operation = Some(Operate::Start { task, jobs });
        let reply = self.run(shard, Request { operation, ..Request::default() });
        assert_eq!(reply.operated.map(|operated| operated.code), Some(Code::Ok));
        let now = self.now;
        loop {
            let node = self.node(shard);
            let mut blob = Vec::new();
            let events = decide_operations(&node.state, now, 2, &mut blob);
            if events.is_empty() {
                return;
            }
            node.absorb(now, Group { events, ..Group::default() }, blob);
            if self.consequences > 0 {
                self.consequences_of(shard);
            }
        }
    }

    /// Everything that one shard has for another, from its first open message on, at most so many.
    pub(crate) fn letter(&self, from: u16, to: u16, most: usize) -> Option<(u64, Vec<Message>)> {
        let node = &self.nodes[usize::from(from)];
        let mail: Vec<_> = node.state.mail(ShardId(to), 0).take(most).collect();
        let first = mail.first()?.0;
        let message = |(_, mail): &(u64, jobbie_core::ties::mail::Mail)| {
            mail.message(&node.log()).expect("the log has it")
        };
        Some((first, mail.iter().map(message).collect()))
    }

    /// A shard takes a letter; how far it has taken them then.
    pub(crate) fn take(&mut self, from: u16, to: u16, first: u64, messages: &[Message]) -> u64 {
        let now = self.now;
        let node = self.node(ShardId(to));
        let mut blob = Vec::new();
        if let Some(group) = decide_letter(&node.state, ShardId(from), first, messages, &mut blob) {
            node.absorb(now, group, blob);
            if self.consequences > 0 {
                self.consequences_of(ShardId(to));
            }
        }
        self.nodes[usize::from(to)].state.letters_taken(ShardId(from))
    }

    pub(crate) fn delivered(&mut self, from: u16, to: u16, last: u64) {
        let now = self.now;
        let node = self.node(ShardId(from));
        if let Some(group) = decide_delivered(&node.state, ShardId(to), last) {
            node.absorb(now, group, Vec::new());
        }
    }

    /// Delivers everything, until nothing is on the way.
    pub(crate) fn settle(&mut self) {
        let shards = self.nodes.len() as u16;
        loop {
            (0..shards).for_each(|shard| self.consequences_of(ShardId(shard)));
            let mut moved = false;
            for (from, to) in (0..shards).flat_map(|a| (0..shards).map(move |b| (a, b))) {
                if let Some((first, messages)) = self.letter(from, to, 10) {
                    let last = self.take(from, to, first, &messages);
                    self.delivered(from, to, last);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// What is due by now.
    pub(crate) fn timers(&mut self) {
        let now = self.now;
        for shard in 0..self.nodes.len() as u16 {
            let node = self.node(ShardId(shard));
            loop {
                let mut blob = Vec::new();
                let events = decide_timers(&node.state, &Settings::default(), now, 10, &mut blob);
                if events.is_empty() {
                    break;
                }
                node.absorb(now, Group { events, ..Group::default() }, blob);
            }
            if self.consequences > 0 {
                self.consequences_of(ShardId(shard));
            }
        }
    }
}

pub(crate) fn enqueue(queue: &str) -> Enqueue<'_> {
    Enqueue {
        queue,
        payload: b"",
        tags: b"",
        key: b"",
        key_ms: 0,
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: 2,
        max_retries: 2,
        backoff: BackoffKind::Fixed,
        backoff_base_ms: 1000,
        backoff_cap_ms: 0,
        expire_after_ms: 0,
        when: When::Now,
    }
}
