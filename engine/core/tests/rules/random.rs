//! Anything in any order, on one shard and on three, with messages that are lost, late and doubled, and shards that crash anywhere; compared with
//! what a few maps say.

use std::collections::BTreeMap;

use jobbie_core::Decision;
use jobbie_proto::event::{Event, Rule};
use jobbie_proto::letter::Message;
use jobbie_proto::placement::shard_of;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::JobRef;
use jobbie_proto::rules::{Budget, DAY_US, OnExceed, RuleControl, Scope};
use jobbie_proto::{Code, JobId};

use crate::net::Net;
use crate::tag;

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

/// A job, as a budget sees it.
#[derive(Clone, Debug)]
struct Job {
    queue: String,
    /// Settings of budgets of tags that were there when it came.
    tags: Vec<u64>,
    cost: u64,
}

#[derive(Clone, Debug)]
struct Set {
    budget: Budget,
    id: u64,
}

/// One report of a cost.
struct Report {
    day: u64,
    queue: String,
    tags: Vec<u64>,
    micros: u64,
    is_ack: bool,
}

/// What must be true: all that was reported, added up anew each time somebody asks.
#[derive(Default)]
struct Naive {
    jobs: BTreeMap<JobId, Job>,
    budgets: BTreeMap<Scope, Set>,
    reports: Vec<Report>,
    active: Vec<JobRef>,
}

impl Naive {
    fn spent(&self, set: &Set, day: u64) -> u64 {
        let counts = |report: &&Report| {
            report.day == day
                && match &set.budget.scope {
                    Scope::Global => true,
                    Scope::Queue(queue) => *queue == report.queue,
                    Scope::Tag(_) => report.tags.contains(&set.id),
                }
        };
        self.reports.iter().filter(counts).map(|report| report.micros).sum()
    }

    fn is_mean_exceeded(&self, limit: u64, queue: &str) -> bool {
        let acks = self.reports.iter().filter(|report| report.is_ack && report.queue == queue);
        let (count, sum) = acks.fold((0, 0), |(n, sum), report| (n + 1, sum + report.micros));
        sum > limit * count
    }

    /// The strictest budget that is exceeded for a queue.
    fn exceeded(&self, queue: &str, day: u64) -> Option<OnExceed> {
        let of = |scope: Scope| {
            let set = self.budgets.get(&scope)?;
            let spent = set.budget.daily.is_some_and(|daily| self.spent(set, day) >= daily);
            let mean = set.budget.per_job.is_some_and(|most| self.is_mean_exceeded(most, queue));
            (spent || mean).then_some(set.budget.on_exceed)
        };
        of(Scope::Global).max(of(Scope::Queue(queue.into())))
    }

    fn has_spent_tag(&self, job: &Job, day: u64) -> bool {
        self.budgets.values().any(|set| {
            matches!(set.budget.scope, Scope::Tag(_))
                && job.tags.contains(&set.id)
                && set.budget.on_exceed > OnExceed::AlertOnly
                && set.budget.daily.is_some_and(|daily| self.spent(set, day) >= daily)
        })
    }

    /// What the smallest budget for one job does with this one.
    fn overrun(&self, job: &Job) -> Option<OnExceed> {
        let concerns = |set: &&Set| match &set.budget.scope {
            Scope::Global => true,
            Scope::Queue(queue) => *queue == job.queue,
            Scope::Tag(_) => job.tags.contains(&set.id),
        };
        let limits = self.budgets.values().filter(concerns);
        let limits = limits.filter_map(|set| Some((set.budget.per_job?, set.budget.on_exceed)));
        let smallest = limits.clone().map(|(limit, _)| limit).min()?;
        let strictest = limits.filter(|(limit, _)| *limit == smallest).map(|(_, what)| what).max();
        strictest.filter(|_| job.cost > smallest)
    }
}

struct Run {
    rng: Rng,
    net: Net,
    naive: Naive,
    queues: Vec<String>,
    /// Letters that may come again.
    stale: Vec<(u16, u16, u64, Vec<Message>)>,
}

const TAGS: [&str; 3] = ["", r#"{"t":"x"}"#, r#"{"t":1,"u":"y"}"#];

fn scopes(queues: &[String]) -> Vec<Scope> {
    let queues = queues.iter().map(|queue| Scope::Queue(queue.clone()));
    let tags = [tag("t", "x"), tag("t", "1"), tag("u", "y")];
    [Scope::Global].into_iter().chain(queues).chain(tags).collect()
}

impl Run {
    fn new(seed: u64, shards: u16) -> Self {
        let net = Net::new(shards);
        let mut queues: Vec<_> = (0..shards).map(|shard| net.queue(shard)).collect();
        if shards == 1 {
            queues.push("another".into());
        }
        Self { rng: Rng(seed), net, naive: Naive::default(), queues, stale: Vec::new() }
    }

    fn day(&self) -> u64 {
        self.net.now.0 / DAY_US
    }

    fn is_exact(&self) -> bool {
        self.net.nodes.len() == 1
    }

    fn queue(&mut self) -> String {
        let at = self.rng.below(self.queues.len() as u64) as usize;
        self.queues[at].clone()
    }

    fn enqueue(&mut self) {
        let (queue, tags) = (self.queue(), TAGS[self.rng.below(3) as usize]);
        let id = self.net.add(&queue, tags, 1)[0];
        let known = match tags {
            r#"{"t":"x"}"# => vec![tag("t", "x")],
            "" => vec![],
            _ => vec![tag("t", "1"), tag("u", "y")],
        };
        let sets = known.iter().filter_map(|scope| self.naive.budgets.get(scope));
        let tags = sets.map(|set| set.id).collect();
        self.naive.jobs.insert(id, Job { queue, tags, cost: 0 });
    }

    fn set(&mut self) {
        let all = scopes(&self.queues);
        let scope = all[self.rng.below(all.len() as u64) as usize].clone();
        if self.rng.one_in(5) {
            self.net.control(RuleControl::DeleteBudget(scope.clone()));
            self.naive.budgets.remove(&scope);
        } else {
            let on_exceed = OnExceed::ALL[self.rng.below(3) as usize];
            let daily = (self.rng.below(3) > 0).then(|| self.rng.below(40) * self.rng.below(3));
            let per_job = (daily.is_none() || self.rng.one_in(3)).then(|| self.rng.below(12));
            let budget = Budget { scope: scope.clone(), daily, per_job, on_exceed };
            let id = self.net.set(budget.clone());
            self.naive.budgets.insert(scope, Set { budget, id });
        }
        // All shards know the same before anything else happens.
        self.net.settle();
    }

    /// What a fetch gives is what nothing forbids.
    fn fetch(&mut self) {
        let queue = self.queue();
        let shard = shard_of(&queue, self.net.nodes.len() as u16);
        let exceeded = self.naive.exceeded(&queue, self.day());
        let decision = self.net.decide(shard, Net::ask(&[&queue], 3, 0));
        if self.is_exact() && exceeded == Some(OnExceed::Reject) {
            let is = matches!(decision, Decision::Refuse { code: Code::BudgetExceeded, .. });
            return assert!(is, "{queue} is closed: {decision:?}");
        }
        let leased: Vec<JobId> = match decision {
            Decision::Nothing => Vec::new(),
            Decision::Refuse { code: Code::BudgetExceeded, .. } if !self.is_exact() => Vec::new(),
            Decision::Events(group) => {
                let node = self.net.node(shard);
                let token = node.state.next_event().0 - group.count();
                let mut leased = Vec::new();
                let mut at = token;
                for event in &group.events {
                    if let Event::Leased { jobs, .. } = event {
                        for (nth, job) in jobs.iter().enumerate() {
                            let known = self.naive.jobs.keys();
                            let mut known =
                                known.filter(|id| id.shard() == shard && id.seq() == job.job);
                            let id = *known.next().expect("it was enqueued");
                            let token = jobbie_proto::LeaseToken(at + nth as u64);
                            // Its lease before may have run out.
                            self.naive.active.retain(|before| before.job != id);
                            self.naive.active.push(JobRef { job: id, token });
                            leased.push(id);
                        }
                    }
                    at += event.count();
                }
                leased
            }
            other => panic!("{other:?}"),
        };
        if !self.is_exact() {
            return;
        }
        if exceeded > Some(OnExceed::AlertOnly) {
            assert!(leased.is_empty(), "{queue} is closed");
        }
        let day = self.day();
        for id in &leased {
            let job = &self.naive.jobs[id];
            assert!(!self.naive.has_spent_tag(job, day), "{id} has a spent tag");
        }
        // And nothing else holds it back.
        if leased.len() < 3 && exceeded.is_none_or(|what| what == OnExceed::AlertOnly) {
            let waits = |(id, job): &(&JobId, &Job)| {
                job.queue == queue
                    && self.net.state_of(**id) == Ok(JobState::Pending)
                    && !self.naive.has_spent_tag(job, day)
            };
            let left = self.naive.jobs.iter().filter(waits).count();
            assert_eq!(left, 0, "{queue} has jobs that may go");
        }
    }

    fn work(&mut self) {
        if self.naive.active.is_empty() {
            return;
        }
        let at = self.rng.below(self.naive.active.len() as u64) as usize;
        let lease = self.naive.active[at];
        if self.net.state_of(lease.job) != Ok(JobState::Active) {
            self.naive.active.swap_remove(at);
            return;
        }
        let (cost, is_ack) = (self.rng.below(9), self.rng.below(3) > 0);
        let day = self.day();
        let job = self.naive.jobs.get_mut(&lease.job).expect("known");
        job.cost += cost;
        if cost > 0 {
            let (queue, tags) = (job.queue.clone(), job.tags.clone());
            self.naive.reports.push(Report { day, queue, tags, micros: cost, is_ack });
        }
        let job = self.naive.jobs[&lease.job].clone();
        let overrun = self.naive.overrun(&job);
        if is_ack {
            let code = self.net.finish(lease, cost);
            let refused = cost > 0 && overrun == Some(OnExceed::Reject);
            assert_eq!(code == Code::BudgetExceeded, refused, "{job:?}");
            assert_eq!(self.net.state_of(lease.job).is_err(), !refused);
            self.naive.active.swap_remove(at);
            return;
        }
        let code = self.net.beat(lease, cost);
        assert_eq!(code == Code::BudgetExceeded, overrun.is_some(), "{job:?}");
        let expected = match overrun {
            None | Some(OnExceed::AlertOnly) => JobState::Active,
            Some(OnExceed::Hold) => JobState::Held,
            Some(OnExceed::Reject) => JobState::Cancelled,
        };
        assert_eq!(self.net.state_of(lease.job), Ok(expected), "{job:?}");
    }

    /// A message is carried, lost, doubled, or comes out of its time.
    fn carry(&mut self) {
        let shards = self.net.nodes.len() as u64;
        let (from, to) = (self.rng.below(shards) as u16, self.rng.below(shards) as u16);
        if self.rng.one_in(4) && !self.stale.is_empty() {
            let at = self.rng.below(self.stale.len() as u64) as usize;
            let (from, to, first, messages) = self.stale[at].clone();
            self.net.take(from, to, first, &messages);
            return;
        }
        let most = 1 + self.rng.below(3) as usize;
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
        let at = self.rng.below(self.net.nodes.len() as u64) as usize;
        match self.rng.below(4) {
            0 => self.net.nodes[at].take_snapshot(),
            1 => self.net.nodes[at].restart(),
            2 => {
                // Sometimes exactly at the turn of the day.
                let next = (self.day() + 1) * DAY_US;
                let to = if self.rng.one_in(2) { next } else { next - 1 };
                if to > self.net.now.0 {
                    self.net.at(to);
                    if self.rng.one_in(2) {
                        self.net.timers();
                    }
                }
            }
            _ if self.is_exact() => {}
            _ => self.net.consequences = self.rng.below(4) as usize,
        }
    }

    fn step(&mut self) {
        self.net.now = self.net.now.plus_ms(1);
        match self.rng.below(20) {
            0 | 1 => self.set(),
            2..=6 => self.enqueue(),
            7..=10 => self.fetch(),
            11..=15 => self.work(),
            16..=18 => self.carry(),
            _ => self.trouble(),
        }
        if self.is_exact() {
            self.compare();
        }
    }

    /// What every shard says when nothing is on its way.
    fn compare(&mut self) {
        let day = self.day();
        for (scope, set) in &self.naive.budgets {
            // A view is of the day of the newest log time.
            let home = scope.home(self.net.nodes.len() as u16);
            let seen = self.net.nodes[usize::from(home.0)].state.time().0 / DAY_US;
            if seen == day {
                assert_eq!(self.net.spent(scope), self.naive.spent(set, day), "{scope}");
            }
        }
        for queue in self.queues.clone() {
            let shard = shard_of(&queue, self.net.nodes.len() as u16);
            let state = &self.net.nodes[usize::from(shard.0)].state;
            if state.time().0 / DAY_US == day && state.queue_stats(&queue).is_some() {
                assert_eq!(self.net.exceeded(&queue), self.naive.exceeded(&queue, day), "{queue}");
            }
        }
    }

    /// Each limit's crossing is told once for each day and setting.
    fn count_crossings(&mut self) {
        let shards = self.net.nodes.len() as u16;
        for at in 0..shards {
            let mut said = BTreeMap::<(Scope, u32, bool), usize>::new();
            self.net.nodes[usize::from(at)].count(|event| {
                let Event::Ruled(rule) = event else { return false };
                match &**rule {
                    Rule::BudgetSet { budget, .. } => {
                        said.retain(|(scope, ..), _| *scope != budget.scope);
                        false
                    }
                    Rule::BudgetDeleted { scope } => {
                        said.retain(|(of, ..), _| of != scope);
                        false
                    }
                    Rule::Exceeded { scope, day, excess, .. } => {
                        let daily = *excess == jobbie_proto::event::Excess::Daily;
                        let key = (scope.clone(), *day, daily);
                        let times = said.entry(key).or_default();
                        *times += 1;
                        assert_eq!(*times, 1, "{scope} is said to be exceeded again on day {day}");
                        true
                    }
                    _ => false,
                }
            });
        }
    }

    fn finish(mut self) {
        self.net.consequences = 100;
        self.net.now = self.net.now.plus_ms(1);
        self.net.timers();
        self.net.settle();
        // Something happens on every shard today, so that each knows the day.
        for queue in self.queues.clone() {
            self.net.add(&queue, "", 1);
        }
        self.net.settle();
        self.compare();
        self.count_crossings();
        for node in &mut self.net.nodes {
            assert_eq!((node.state.mail_len(), node.state.has_consequences()), (0, false));
            node.take_snapshot();
            node.restart();
        }
        let all = |node: &crate::net::Node| node.state.budgets().count();
        let known: usize = self.net.nodes.iter().map(all).sum();
        assert_eq!(known, self.naive.budgets.len());
    }
}

fn run(seed: u64, shards: u16, steps: u64) {
    let mut run = Run::new(seed, shards);
    (0..steps).for_each(|_| run.step());
    run.finish();
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// `JOBBIE_RULES_SEEDS` says how many.
#[test]
fn budgets_hold_whatever_happens() {
    let (first, seeds) = (number("JOBBIE_RULES_FIRST", 0), number("JOBBIE_RULES_SEEDS", 60));
    for seed in first..first + seeds {
        for shards in [1, 3] {
            let ran = std::panic::catch_unwind(|| run(seed, shards, 200));
            assert!(ran.is_ok(), "seed {seed} with {shards} shards");
        }
    }
    println!("{seeds} seeds of 200 steps on 1 shard and on 3");
}

#[cfg(feature = "mutants")]
#[test]
fn every_mutant_of_rules_falls_and_the_engine_does_not() {
    use jobbie_core::mutants::{Mutant, plant};
    for mutant in Mutant::RULES {
        plant(Some(mutant));
        let falls = |seed: &u64| {
            [1, 3]
                .iter()
                .any(|shards| std::panic::catch_unwind(|| run(*seed, *shards, 200)).is_err())
        };
        let fell = (0..60).find(falls);
        plant(None);
        println!("{mutant:?} fell with seed {fell:?}");
        assert!(fell.is_some(), "{mutant:?} was not found");
    }
}
