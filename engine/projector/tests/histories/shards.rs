//! Shards of the real engine that keep their logs in memory, and anything done to them at random.

use jobbie_core::ties::mail::{Found, Source};
use jobbie_core::{
    Decision, Settings, Sighting, State, decide, decide_consequences, decide_delivered,
    decide_letter, decide_open_session, decide_operations, decide_timers, decide_worker,
};
use jobbie_projector::Committed;
use jobbie_proto::event::{Event, Group, codec};
use jobbie_proto::{EventSeq, JobId, JobSeq, Micros, Reply, Request, SessionId, ShardId};

/// splitmix64.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// One entry of a log.
pub(crate) struct Entry {
    pub(crate) shard: ShardId,
    pub(crate) index: u64,
    pub(crate) time: Micros,
    pub(crate) first_event: EventSeq,
    pub(crate) body: Vec<u8>,
}

impl Entry {
    pub(crate) fn committed(&self) -> Committed<'_> {
        let Self { shard, index, time, first_event, body } = self;
        Committed { shard: *shard, index: *index, time: *time, first_event: *first_event, body }
    }
}

pub(crate) struct Logged {
    pub(crate) first_event: u64,
    pub(crate) group: Group,
    pub(crate) blob: Vec<u8>,
}

pub(crate) struct Node {
    pub(crate) state: State,
    pub(crate) log: Vec<Logged>,
    pub(crate) sessions: Vec<SessionId>,
    number: u64,
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
    pub(crate) fn log(&self) -> Log<'_> {
        Log(&self.log)
    }
}

/// Shards of one node and its time.
pub(crate) struct Shards {
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Micros,
    /// Entries that nobody has taken yet.
    pub(crate) fresh: Vec<Entry>,
    /// Every job that ever was.
    pub(crate) jobs: Vec<JobId>,
}

impl Shards {
    pub(crate) fn new(shards: u16) -> Self {
        let node = |shard| Node {
            state: State::new(ShardId(shard), shards),
            log: Vec::new(),
            sessions: Vec::new(),
            number: 0,
        };
        let nodes = (0..shards).map(node).collect();
        let (now, fresh, jobs) = (Micros(1_700_000_000_000_321), Vec::new(), Vec::new());
        let mut made = Self { nodes, now, fresh, jobs };
        for shard in 0..shards {
            for client in 0..2 {
                let mut blob = Vec::new();
                let state = &made.nodes[usize::from(shard)].state;
                let session = SessionId(state.next_event().0);
                let name = format!("worker-{client}");
                let Decision::Events(group) =
                    decide_open_session(state, 7 + client, &name, "host-a", &mut blob)
                else {
                    panic!("a session cannot be opened")
                };
                made.absorb(shard, group, blob);
                made.nodes[usize::from(shard)].sessions.push(session);
            }
        }
        made
    }

    fn absorb(&mut self, shard: u16, group: Group, blob: Vec<u8>) -> Option<Reply> {
        let node = &mut self.nodes[usize::from(shard)];
        let first_event = node.state.next_event();
        let reply = node.state.absorb(self.now, &group);
        for event in &group.events {
            let (first, count) = match event {
                Event::Enqueued { first_job, jobs, .. } => (*first_job, jobs.len()),
                Event::Limited(limited) => (limited.first_job, limited.jobs.len()),
                Event::ScheduleFired { job, duplicate: false, .. } => (*job, 1),
                _ => (JobSeq(0), 0),
            };
            let id = |nth| JobId::new(self.now.ms(), ShardId(shard), first.plus(nth));
            self.jobs.extend((0..count as u64).map(id));
        }
        let mut body = blob.clone();
        let groups = vec![group];
        codec::finish(&mut body, blob.len(), &groups);
        let group = groups.into_iter().next().expect("one");
        let index = node.log.len() as u64 + 1;
        let (shard, time) = (ShardId(shard), self.now);
        self.fresh.push(Entry { shard, index, time, first_event, body });
        node.log.push(Logged { first_event: first_event.0, group, blob });
        reply.map(|reply| (*reply).clone())
    }

    /// What a request does, if it is not refused.
    pub(crate) fn run(&mut self, shard: u16, session: usize, mut request: Request<'_>) -> Reply {
        let now = self.now;
        let node = &mut self.nodes[usize::from(shard)];
        node.number += 1;
        (request.session, request.number) = (node.sessions[session], node.number);
        request.confirmed_below = node.number;
        let mut blob = Vec::new();
        match decide(&node.state, now, &request, &mut blob) {
            Decision::Events(group) => self.absorb(shard, group, blob).expect("it has a session"),
            _ => Reply::default(),
        }
    }

    pub(crate) fn sight(&mut self, shard: u16, session: usize, name: &str, host: &str) {
        let node = &self.nodes[usize::from(shard)];
        let sighting =
            Sighting { session: node.sessions[session], name, host, queues: &["q-0", "q-1"] };
        let events = decide_worker(&node.state, self.now, &sighting);
        self.events(shard, events, Vec::new());
    }

    fn events(&mut self, shard: u16, events: Vec<Event>, blob: Vec<u8>) -> bool {
        let any = !events.is_empty();
        if any {
            self.absorb(shard, Group { events, ..Group::default() }, blob);
        }
        any
    }

    pub(crate) fn timers(&mut self, shard: u16) {
        loop {
            let (state, mut blob) = (&self.nodes[usize::from(shard)].state, Vec::new());
            let settings = Settings { retention_ms: 700, ..Settings::default() };
            let events = decide_timers(state, &settings, self.now, 10, &mut blob);
            if !self.events(shard, events, blob) {
                return;
            }
        }
    }

    pub(crate) fn operations(&mut self, shard: u16) {
        let (state, mut blob) = (&self.nodes[usize::from(shard)].state, Vec::new());
        let events = decide_operations(state, self.now, 5, &mut blob);
        self.events(shard, events, blob);
    }

    pub(crate) fn consequences(&mut self, shard: u16) {
        while self.nodes[usize::from(shard)].state.has_consequences() {
            let events = decide_consequences(&self.nodes[usize::from(shard)].state, 10);
            self.events(shard, events, Vec::new());
        }
    }

    /// A letter from one shard to another arrives, and is said to have.
    pub(crate) fn letter(&mut self, from: u16, to: u16) {
        let node = &self.nodes[usize::from(from)];
        let mail: Vec<_> = node.state.mail(ShardId(to), 0).take(5).collect();
        let Some(first) = mail.first().map(|(number, _)| *number) else { return };
        let messages: Vec<_> = mail
            .iter()
            .map(|(_, mail)| mail.message(&node.log()).expect("the log has it"))
            .collect();
        let mut blob = Vec::new();
        let state = &self.nodes[usize::from(to)].state;
        if let Some(group) = decide_letter(state, ShardId(from), first, &messages, &mut blob) {
            self.absorb(to, group, blob);
        }
        let last = self.nodes[usize::from(to)].state.letters_taken(ShardId(from));
        if let Some(group) =
            decide_delivered(&self.nodes[usize::from(from)].state, ShardId(to), last)
        {
            self.absorb(from, group, Vec::new());
        }
    }

    /// Everything new, in the order in which it is to be folded.
    pub(crate) fn take(&mut self) -> Vec<Entry> {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.sort_by_key(|entry| (entry.time, entry.shard, entry.index));
        fresh
    }
}
