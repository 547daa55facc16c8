//! Anything in any order, with messages that are lost, late and doubled, and shards that crash anywhere; compared with what
//! a few maps say.

use std::collections::{BTreeMap, BTreeSet};

use jobbie_proto::event::{BulkAction, JobFilter, Task};
use jobbie_proto::letter::Message;
use jobbie_proto::reply::{JobState, JobView, QueueStats};
use jobbie_proto::request::{
    BatchSeal, Chain, Depends, Enqueue, JobAction, JobControl, JobRef, Members, Ties,
};
use jobbie_proto::{BatchId, Code, JobId, Request, ShardId};

use crate::net::{Net, enqueue};

const SHARDS: u16 = 3;

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a job is, to those who wait for it.
#[derive(Clone, Debug, Default)]
struct Job {
    batch: Option<usize>,
    /// Steps after it; handlers have none.
    chain: Option<usize>,
    handler_left: bool,
    waits_for: BTreeSet<JobId>,
    /// Sent off by an operator, whatever it waits for.
    forced: bool,
    completed: bool,
    dead: bool,
    gone: bool,
    /// Attempts begun.
    attempt: u32,
}

#[derive(Default)]
struct Batch {
    id: Option<BatchId>,
    total: u64,
    succeeded: u64,
    failed: u64,
    calls: Vec<String>,
}

/// What must be true, as maps.
#[derive(Default)]
struct Naive {
    /// By the first id of each.
    jobs: BTreeMap<JobId, Job>,
    /// Ids that jobs got when they moved, and the first.
    later_ids: BTreeMap<JobId, JobId>,
    batches: Vec<Batch>,
    active: Vec<JobRef>,
    /// What comes after a job: how many of its next steps and handlers are to be seen, and were.
    expected: BTreeMap<(JobId, &'static str), u32>,
    seen: BTreeMap<(JobId, &'static str), u32>,
}

impl Naive {
    fn first_id(&self, id: JobId) -> JobId {
        self.later_ids.get(&id).copied().unwrap_or(id)
    }

    fn is_active(&self, first: JobId) -> bool {
        self.active.iter().any(|lease| self.first_id(lease.job) == first)
    }

    fn count(&mut self, job: JobId, succeeded: bool) {
        let Some(batch) = self.jobs.get_mut(&job).and_then(|job| job.batch.take()) else { return };
        let batch = &mut self.batches[batch];
        *(if succeeded { &mut batch.succeeded } else { &mut batch.failed }) += 1;
    }

    fn completed(&mut self, job: JobId) {
        let known = self.jobs.get_mut(&job).expect("it was seen");
        (known.completed, known.dead) = (true, false);
        match known.chain {
            Some(0) | None => self.count(job, true),
            Some(_) => {
                self.expected.insert((job, "previous_job_id"), 1);
            }
        }
    }

    fn died(&mut self, job: JobId) {
        let known = self.jobs.get_mut(&job).expect("it was seen");
        known.dead = true;
        if std::mem::take(&mut known.handler_left) {
            self.expected.insert((job, "failed_job_id"), 1);
        }
        self.count(job, false);
    }
}

struct Run {
    rng: Rng,
    net: Net,
    naive: Naive,
    queues: Vec<String>,
    /// Whether workers give nothing back any more.
    ends: bool,
    /// Letters that may come again.
    stale: Vec<(u16, u16, u64, Vec<Message>)>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let net = Net::new(SHARDS);
        let queues = (0..SHARDS).map(|shard| net.queue(shard)).collect();
        Self {
            rng: Rng(seed),
            net,
            naive: Naive::default(),
            queues,
            ends: false,
            stale: Vec::new(),
        }
    }

    fn queue(&mut self) -> String {
        let at = self.rng.below(u64::from(SHARDS)) as usize;
        self.queues[at].clone()
    }

    fn open(&mut self) {
        let name = format!("callback-{}", self.naive.batches.len());
        let ties = Ties { batch_opens: vec![Some(enqueue(&name))], ..Ties::default() };
        let home = ShardId(self.rng.below(u64::from(SHARDS)) as u16);
        let id = self.net.run(home, Request { ties, ..Request::default() }).batches[0];
        self.naive.batches.push(Batch { id: Some(id), ..Batch::default() });
    }

    /// One job with any ties.
    fn enqueue(&mut self) {
        let queue = self.queue();
        let mut job = Job::default();
        let mut ties = Ties::default();
        let open = self.naive.batches.len();
        if open > 0 && self.rng.one_in(2) {
            let at = self.rng.below(open as u64) as usize;
            if let Some(batch) = self.naive.batches[at].id {
                ties.members = vec![Members { batch, first: 0, count: 1 }];
                job.batch = Some(at);
                self.naive.batches[at].total += 1;
            }
        }
        let steps: Vec<_> = (0..self.rng.below(4)).map(|_| self.queue()).collect();
        let handler = self.queue();
        if self.rng.one_in(2) {
            job.chain = Some(steps.len());
            job.handler_left = true;
            let steps = steps.iter().map(|queue| enqueue(queue)).collect();
            let on_failure = Some(enqueue(&handler));
            ties.chains = vec![Chain { enqueue: 0, steps, on_failure, on_exit: None }];
        }
        if self.rng.one_in(3) && !self.naive.jobs.is_empty() {
            let all: Vec<_> = self.naive.jobs.keys().copied().collect();
            let count = 1 + self.rng.below(3);
            let on = (0..count).map(|_| all[self.rng.below(all.len() as u64) as usize]).collect();
            job.waits_for = BTreeSet::clone(&on);
            ties.depends = vec![Depends { enqueue: 0, on: on.into_iter().collect() }];
        }
        let enqueues = vec![Enqueue { max_retries: 1, ..enqueue(&queue) }];
        let id = self.net.enqueue(Request { enqueues, ties, ..Request::default() })[0];
        self.naive.jobs.insert(id, job);
    }

    fn fetch(&mut self, queue: &str) {
        for (lease, payload) in self.net.fetch(queue, 3) {
            let id = self.recognise(lease.job);
            if !self.naive.jobs.contains_key(&id) {
                self.meet(id, &payload);
            }
            assert!(!self.naive.is_active(id), "{id} is handed out twice");
            let job = self.naive.jobs.get_mut(&id).expect("known");
            assert!(!job.completed && !job.dead && !job.gone, "{id} was over: {job:?}");
            job.attempt += 1;
            let job = &self.naive.jobs[&id];
            let done = |on: &JobId| self.naive.jobs[on].completed;
            let may_run = job.forced || job.waits_for.iter().all(done);
            assert!(may_run, "{id} runs before what it waits for: {job:?}");
            self.naive.active.push(lease);
        }
    }

    /// The first id of a job that was handed out.
    fn recognise(&mut self, id: JobId) -> JobId {
        let mut before = id;
        while let Some(from) = self.view(before).ok().and_then(|view| view.kin.moved_from) {
            before = from;
        }
        let first = self.naive.first_id(before);
        if first != id {
            self.naive.later_ids.insert(id, first);
        }
        first
    }

    fn view(&self, id: JobId) -> Result<JobView, Code> {
        self.net.nodes[usize::from(id.shard().0)].state.job(id)
    }

    /// A job where it is, unless it is on its way.
    fn locate(&self, mut id: JobId) -> Option<JobView> {
        loop {
            let view = self.view(id).ok()?;
            if view.state != JobState::Moved {
                return Some(view);
            }
            id = view.kin.moved_to?;
        }
    }

    /// A job goes to any queue, in any state, under any of its ids.
    fn move_one(&mut self) {
        let all: Vec<_> = self.naive.jobs.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let id = all[self.rng.below(all.len() as u64) as usize];
        let to = self.queue();
        let Some(view) = self.locate(id) else { return };
        assert!(!self.naive.jobs[&id].completed && !self.naive.jobs[&id].gone, "{id} is over");
        let action = JobAction::Move { queue: &to };
        if self.rng.one_in(3) {
            let bulk = BulkAction::Move { queue: to };
            return self.act(view.id, bulk);
        }
        let job_controls = vec![JobControl { job: view.id, action }];
        let request = Request { job_controls, ..Request::default() };
        assert_eq!(self.net.run(view.id.shard(), request).job_controls, [Code::Ok]);
    }

    /// A job that a shard made, which its payload explains.
    fn meet(&mut self, id: JobId, payload: &[u8]) {
        let said: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
        for key in ["previous_job_id", "failed_job_id"] {
            let Some(before) = said.get(key).and_then(|id| id.as_str()) else { continue };
            let before: JobId = before.parse().expect("an id");
            let before = self.naive.first_id(before);
            *self.naive.seen.entry((before, key)).or_default() += 1;
            let mut job = Job::default();
            if key == "previous_job_id" {
                let parent = self.naive.jobs.get_mut(&before).expect("its job was seen");
                job.chain = parent.chain.map(|left| left - 1);
                job.batch = parent.batch.take();
                job.handler_left = true;
            }
            self.naive.jobs.insert(id, job);
            return;
        }
        panic!("a job from nowhere: {said}");
    }

    fn work(&mut self) {
        if self.naive.active.is_empty() {
            return;
        }
        let at = self.rng.below(self.naive.active.len() as u64) as usize;
        let lease = self.naive.active.swap_remove(at);
        let id = self.naive.first_id(lease.job);
        match self.rng.below(if self.ends { 4 } else { 6 }) {
            0 => {
                self.net.fail(lease, b"no");
                self.naive.died(id);
            }
            1..=3 => {
                assert_eq!(self.net.ack(lease, b"{}"), Code::Ok, "{id}");
                self.naive.completed(id);
            }
            _ => {
                let releases = vec![lease];
                self.net.run(lease.job.shard(), Request { releases, ..Request::default() });
                self.naive.jobs.get_mut(&id).expect("known").attempt -= 1;
            }
        }
    }

    /// An operator does something to any job.
    fn operate(&mut self) {
        let idle = |id: &JobId, naive: &Naive| {
            let job = &naive.jobs[id];
            !job.completed && !job.gone && !naive.is_active(*id)
        };
        let all: Vec<_> = self.naive.jobs.keys().copied().collect();
        let idle: Vec<_> = all.into_iter().filter(|id| idle(id, &self.naive)).collect();
        if idle.is_empty() {
            return;
        }
        let id = idle[self.rng.below(idle.len() as u64) as usize];
        let dead = self.naive.jobs[&id].dead;
        let Some(at) = self.locate(id).map(|view| view.id) else { return };
        match self.rng.below(3) {
            0 if dead || !self.naive.jobs[&id].waits_for.is_empty() => {
                let job_controls = vec![JobControl { job: at, action: JobAction::Retry }];
                let request = Request { job_controls, ..Request::default() };
                let reply = self.net.run(at.shard(), request);
                if reply.job_controls[0] == Code::Ok {
                    let job = self.naive.jobs.get_mut(&id).expect("known");
                    (job.dead, job.forced, job.attempt) = (false, true, 0);
                }
            }
            1 if !dead => {
                self.stop(at, BulkAction::Cancel);
                self.naive.jobs.get_mut(&id).expect("known").dead = true;
                self.naive.count(id, false);
            }
            2 => {
                self.stop(at, BulkAction::Delete);
                self.naive.jobs.get_mut(&id).expect("known").gone = true;
                self.naive.count(id, false);
            }
            _ => {}
        }
    }

    /// Cancels or deletes a job: by itself, or by an operation on many.
    fn stop(&mut self, id: JobId, action: BulkAction) {
        if self.rng.one_in(2) {
            return self.act(id, action);
        }
        let (mut cancels, mut deletes) = (Vec::new(), Vec::new());
        (if action == BulkAction::Cancel { &mut cancels } else { &mut deletes }).push(id);
        self.net.run(id.shard(), Request { cancels, deletes, ..Request::default() });
    }

    fn act(&mut self, id: JobId, action: BulkAction) {
        let task = Task::Bulk { action, filter: JobFilter::default(), dry_run: false };
        self.net.operate(id.shard(), task, vec![id]);
    }

    /// A message is carried, lost, doubled, or comes out of its time.
    fn carry(&mut self) {
        let (from, to) = (self.rng.below(3) as u16, self.rng.below(3) as u16);
        if self.rng.one_in(4) && !self.stale.is_empty() {
            let at = self.rng.below(self.stale.len() as u64) as usize;
            let (from, to, first, messages) = self.stale[at].clone();
            self.net.take(from, to, first, &messages);
            return;
        }
        let most = 1 + self.rng.below(5) as usize;
        let Some((first, messages)) = self.net.letter(from, to, most) else { return };
        self.stale.push((from, to, first, messages.clone()));
        if self.rng.one_in(3) {
            return;
        }
        let last = self.net.take(from, to, first, &messages);
        if self.rng.below(3) > 0 {
            self.net.delivered(from, to, last);
        }
    }

    fn trouble(&mut self) {
        let at = self.rng.below(u64::from(SHARDS)) as usize;
        match self.rng.below(3) {
            0 => self.net.nodes[at].take_snapshot(),
            1 => self.net.nodes[at].restart(),
            _ => self.net.consequences = self.rng.below(4) as usize,
        }
    }

    fn step(&mut self) {
        self.net.now = self.net.now.plus_ms(1);
        match self.rng.below(22) {
            0 => self.open(),
            1..=5 => self.enqueue(),
            6..=8 => {
                let queue = self.queue();
                self.fetch(&queue);
            }
            9..=12 => self.work(),
            13 => self.operate(),
            14..=17 => self.carry(),
            18..=19 => self.move_one(),
            _ => self.trouble(),
        }
    }

    /// Everything is worked off, then everything must have come as the maps say.
    fn finish(mut self) {
        (self.net.consequences, self.ends) = (100, true);
        for at in 0..self.naive.batches.len() {
            let Batch { id, total, .. } = self.naive.batches[at];
            let batch = id.expect("open");
            let ties = Ties { batch_seals: vec![BatchSeal { batch, total }], ..Ties::default() };
            self.net.run(batch.shard(), Request { ties, ..Request::default() });
        }
        loop {
            self.net.settle();
            for queue in self.queues.clone() {
                self.fetch(&queue);
            }
            for at in 0..self.naive.batches.len() {
                for (lease, payload) in self.net.fetch(&format!("callback-{at}"), 3) {
                    self.naive.batches[at].calls.push(String::from_utf8(payload).expect("JSON"));
                    self.net.ack(lease, b"");
                }
            }
            if self.naive.active.is_empty() {
                break;
            }
            while !self.naive.active.is_empty() {
                self.work();
            }
        }
        self.compare();
    }

    /// Nothing is on its way, no job is lost or there twice, and each is known under every id it had.
    fn each_is_in_one_place(&self) {
        let mut alive = 0;
        for (id, job) in &self.naive.jobs {
            let at = self.locate(*id);
            assert_eq!(at.is_none(), job.completed || job.gone, "{id} at {at:?}: {job:?}");
            let Some(at) = at else { continue };
            alive += 1;
            assert_eq!(at.attempt, job.attempt, "{id} has other attempts before it as {}", at.id);
            let ids = self.naive.later_ids.iter().filter(|(_, first)| *first == id);
            for (later, _) in ids.filter(|(later, _)| **later != at.id) {
                let stub = self.view(*later).expect("its stub stays");
                assert_eq!((stub.state, stub.kin.moved_to), (JobState::Moved, Some(at.id)));
            }
        }
        let queues = self.net.nodes.iter().flat_map(|node| node.state.queues("", ""));
        let here = |queue: QueueStats| {
            let all = JobState::HERE.iter().filter(|state| **state != JobState::Completed);
            all.map(|state| queue.jobs[*state as usize]).sum::<u64>()
        };
        assert_eq!(queues.map(here).sum::<u64>(), alive, "a job is there twice");
    }

    fn compare(&mut self) {
        assert_eq!(self.naive.seen, self.naive.expected, "steps and handlers");
        for (id, job) in &self.naive.jobs {
            let done = |on: &JobId| self.naive.jobs[on].completed;
            let ran = job.completed || job.dead || job.gone;
            let may_run = job.waits_for.iter().all(done) || job.forced;
            assert!(ran || !may_run, "{id} never ran: {job:?}");
        }
        self.each_is_in_one_place();
        for batch in &mut self.naive.batches {
            let waits = batch.total - batch.succeeded - batch.failed;
            if waits > 0 {
                assert_eq!(batch.calls, [""; 0], "called back too early");
                continue;
            }
            let Batch { id, total, succeeded, failed, .. } = batch;
            let id = id.expect("open");
            let expected = format!(
                r#"{{"batch":{{"failed":{failed},"id":"{id}","succeeded":{succeeded},"total":{total}}}}}"#
            );
            assert_eq!(batch.calls, [expected]);
        }
        for node in &mut self.net.nodes {
            assert_eq!((node.state.mail_len(), node.state.has_consequences()), (0, false));
            node.take_snapshot();
            node.restart();
        }
    }
}

fn run(seed: u64, steps: u64) {
    let mut run = Run::new(seed);
    (0..steps).for_each(|_| run.step());
    run.finish();
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// `JOBBIE_TIES_SEEDS` says how many.
#[test]
fn anything_in_any_order_has_its_effect_once() {
    let (first, seeds) = (number("JOBBIE_TIES_FIRST", 0), number("JOBBIE_TIES_SEEDS", 60));
    for seed in first..first + seeds {
        let ran = std::panic::catch_unwind(|| run(seed, 200));
        assert!(ran.is_ok(), "seed {seed}");
    }
    println!("{seeds} seeds of 200 steps over {SHARDS} shards");
}

#[cfg(feature = "mutants")]
#[test]
fn every_mutant_falls_and_the_engine_does_not() {
    use jobbie_core::mutants::{Mutant, plant};
    for mutant in Mutant::TIES.into_iter().chain(Mutant::MOVES) {
        plant(Some(mutant));
        let fell = (0..60).find(|seed| std::panic::catch_unwind(|| run(*seed, 200)).is_err());
        plant(None);
        println!("{mutant:?} fell with seed {fell:?}");
        assert!(fell.is_some(), "{mutant:?} was not found");
    }
}
