//! Questions: what a job is doing, and how many there are.

use std::ops::Bound;
use std::rc::Rc;

use jobbie_proto::event::HoldEnd;
use jobbie_proto::reply::{
    AgentView, BatchView, BudgetView, Child, JobState, JobView, KinView, OperationView, PolicyView,
    QueueStats, ScheduleView, ShardStats, UsageSum, WorkerView,
};
use jobbie_proto::request::{Children, HeldJobs, History, Stats, UsageQuery};
use jobbie_proto::rules::day_of;
use jobbie_proto::{BatchId, Code, EventSeq, JobId, JobSeq, LeaseToken, Micros, Request};

use crate::slab::NONE;
use crate::state::{BLOCKED, Standing, State};
use crate::ties::batches::Batch;
use crate::tracked::Side;

/// Queues in one answer.
const QUEUES_PER_ANSWER: usize = 1000;

/// Answers to the questions of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// One for each lookup.
    pub jobs: Vec<Result<JobView, Code>>,
    /// Of the shard, when asked.
    pub shard: Option<ShardStats>,
    /// Of queues, when asked.
    pub queues: Vec<QueueStats>,
    /// One for each batch asked for.
    pub batches: Vec<Result<BatchView, Code>>,
    /// Where the events asked for begin: the newest of them. Each names the one before it.
    pub history: Option<EventSeq>,
    /// Schedules, when asked.
    pub schedules: Vec<ScheduleView>,
    /// The next planned times of the one that was asked for.
    pub times: Vec<Micros>,
    /// Of operations, when asked.
    pub operations: Vec<OperationView>,
    /// Where the errors asked for begin, and what of their order their events do not tell.
    pub errors: Option<ErrorChain>,
    /// Workers, when asked.
    pub workers: Vec<WorkerView>,
    /// Children of the job asked for.
    pub children: Vec<Child>,
    /// Where the iterations asked for begin, as those events do.
    pub iterations: Option<EventSeq>,
    /// Of usage, when asked.
    pub usage: Vec<UsageSum>,
    /// Budgets whose home the shard is, when asked, by scope.
    pub budgets: Vec<BudgetView>,
    /// Approval policies, when the shard is their home and they are asked for, newest first.
    pub policies: Vec<PolicyView>,
    /// Held jobs, when asked.
    pub held: Vec<JobId>,
}

/// Errors of a job, from the newest on. Most events of errors name the one before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorChain {
    /// The newest of them.
    pub from: EventSeq,
    /// Events of errors that do not name the one before them, and that one, by rising number.
    pub links: Rc<[(u64, u64)]>,
}

/// Answers a request's questions from the state as it is; call it after absorbing what the request did.
#[must_use]
pub fn answers(state: &State, request: &Request<'_>) -> Answers {
    let (shard, queues) = match request.stats {
        Stats::None | Stats::Operations | Stats::Rules => (None, Vec::new()),
        Stats::Shard => (Some(state.stats()), Vec::new()),
        Stats::Queue(name) => (None, state.queue_stats(name).into_iter().collect()),
        Stats::Queues { prefix, after } => {
            let queues = state.queues(prefix, after).take(QUEUES_PER_ANSWER).collect();
            (Some(state.stats()), queues)
        }
    };
    let history = request.history.and_then(|history| state.history(&history));
    let (schedules, times) = state.wanted_schedules(request.schedules);
    let operations = match request.stats {
        Stats::Operations => state.operations().collect(),
        _ => Vec::new(),
    };
    let (budgets, policies) = match request.stats {
        Stats::Rules => (state.budgets().collect(), state.policies().collect()),
        _ => (Vec::new(), Vec::new()),
    };
    let jobs = request.lookups.iter().map(|job| state.job(*job)).collect();
    let batches = request.ties.batch_lookups.iter().map(|batch| state.batch(*batch)).collect();
    let errors = request.errors.and_then(|errors| state.errors(&errors));
    let workers = request.workers.iter().flat_map(|wanted| state.workers(wanted)).collect();
    let children = request.children.map_or_else(Vec::new, |wanted| state.children(&wanted));
    let iterations = request.iterations.and_then(|wanted| state.iterations(&wanted));
    let usage = request.usage.map_or_else(Vec::new, |query| state.usage_sums(&query));
    Answers {
        jobs,
        shard,
        queues,
        batches,
        history,
        schedules,
        times,
        operations,
        errors,
        workers,
        children,
        usage,
        iterations,
        budgets,
        policies,
        held: request.held.map_or_else(Vec::new, |wanted| state.held_jobs(wanted)),
    }
}

impl State {
    /// Counts of the shard.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        ShardStats {
            queues: self.queues.shown() as u64,
            sessions: self.sessions.len() as u64,
            leases: self.leases.len() as u64,
            jobs: self.jobs.live(),
            last_event: EventSeq(self.next_event - 1),
            last_job: JobSeq(self.next_job - 1),
            state_hash: self.digest(),
            time: self.time(),
        }
    }

    /// Counts of one queue, if it exists.
    #[must_use]
    pub fn queue_stats(&self, name: &str) -> Option<QueueStats> {
        let found = self.queues.find(name).filter(|at| !self.queues.get(*at).hidden);
        found.map(|at| self.stats_of(at))
    }

    /// Counts of the queues whose name begins with `prefix` and comes after `after`, by name.
    pub fn queues<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
    ) -> impl Iterator<Item = QueueStats> {
        self.queues
            .from(prefix, after)
            .take_while(move |&at| self.queues.get(at).name.starts_with(prefix))
            .map(|at| self.stats_of(at))
    }

    fn stats_of(&self, at: u32) -> QueueStats {
        let queue = self.queues.get(at);
        QueueStats {
            queue: queue.name.to_string(),
            paused: queue.paused,
            draining: queue.draining,
            settings: queue.settings,
            keys: queue.lanes.as_ref().map_or(0, |lanes| lanes.len() as u32),
            jobs: queue.jobs,
            enqueued_total: queue.enqueued_total,
            exceeded: self.exceeded_for(&queue.name, self.time()),
        }
    }

    /// Budgets whose home this shard is, by scope.
    pub fn budgets(&self) -> impl Iterator<Item = BudgetView> + '_ {
        let own = self.rules.accounts.iter().filter(|(scope, _)| self.is_home_of(scope));
        let today = day_of(self.time());
        own.map(move |(_, account)| BudgetView {
            id: EventSeq(account.id),
            budget: (*account.budget).clone(),
            created: Micros(account.created),
            spent: account.total_on(today),
            exceeded: account.is_spent(today, true),
        })
    }

    /// Approval policies, newest first, if this shard is their home.
    pub fn policies(&self) -> impl Iterator<Item = PolicyView> + '_ {
        let own = self.rules.policies.iter().filter(|_| self.is_rules_home()).rev();
        own.map(|(id, approval)| PolicyView {
            id: EventSeq(*id),
            policy: approval.policy.clone(),
            created: Micros(approval.created),
        })
    }

    /// Everything known of a job.
    ///
    /// # Errors
    /// [`Code::WrongShard`], or [`Code::NotFound`] when it has left memory or never was.
    pub fn job(&self, id: JobId) -> Result<JobView, Code> {
        if id.shard() != self.shard {
            return Err(Code::WrongShard);
        }
        let job = self.resolve(id)?;
        let origin = self.jobs.origin(job);
        let mut view = JobView {
            id,
            state: JobState::Pending,
            class: (*self.classes.get(self.class_of(job)).class).clone(),
            limit_key: self.classes.get(self.class_of(job)).limit_key.to_string(),
            attempt: 0,
            token: LeaseToken(0),
            due: Micros(0),
            expire_at: Micros(self.expiry_of(job, origin).unwrap_or(0)),
            ended: Micros(0),
            lease_expiries: 0,
            then: HoldEnd::Stay,
            record: EventSeq(self.record_of(job, origin)),
            payload: EventSeq(self.payloads.get(job).copied().unwrap_or(0)),
            hold: EventSeq(0),
            last_error: EventSeq(0),
            checkpoint: self.first_checkpoint(job),
            progress: EventSeq(0),
            waits_for: 0,
            batch: self.ties.members.get(job).copied(),
            plan: None,
            kin: self.kin_of(job),
            cost_micros: self.usage.cost_of(job),
            agent: None,
        };
        if self.job_state(job) == JobState::Moved {
            // Payload and tags are where it is.
            if let Standing::Tracked(tracked) = self.standing(job) {
                view.attempt = tracked.attempt;
                view.lease_expiries = u32::from(tracked.lease_expiries);
            }
            let nothing = EventSeq(0);
            (view.state, view.record, view.payload) = (JobState::Moved, nothing, nothing);
            return Ok(view);
        }
        match self.standing(job) {
            Standing::Fresh => {}
            Standing::Sleeping(due) => (view.state, view.due) = (JobState::Scheduled, Micros(due)),
            Standing::Tracked(tracked) => {
                (view.state, view.attempt) = (tracked.state, tracked.attempt);
                match tracked.state {
                    JobState::Active => {
                        view.token = LeaseToken(tracked.mark);
                        view.due = Micros(self.leases.get(tracked.timer).deadline);
                    }
                    JobState::Scheduled if tracked.mark == BLOCKED => {}
                    JobState::Scheduled | JobState::Retrying => view.due = Micros(tracked.mark),
                    JobState::Held => (view.due, view.then) = (Micros(tracked.mark), tracked.then),
                    JobState::Planned => view.due = Micros(tracked.mark),
                    JobState::Dead | JobState::Cancelled => view.ended = Micros(tracked.mark),
                    JobState::Pending | JobState::Completed | JobState::Moved => {}
                }
                view.lease_expiries = u32::from(tracked.lease_expiries);
                let Side { checkpoint, progress, error, hold, .. } = self.side(tracked);
                (view.checkpoint, view.progress, view.last_error) = (checkpoint, progress, error);
                view.hold = hold;
                let plan = self.plans.get(job).map(|plan| Box::new(plan.view(view.state)));
                view.plan = plan;
            }
        }
        view.agent = self.agents.get(job).map(|agent| AgentView {
            iteration: agent.iteration,
            limits: agent.limits,
            newest: EventSeq(agent.newest),
            checkpoint: view.checkpoint,
        });
        if let Some(blocked) = self.ties.blocked.get(job) {
            view.waits_for = blocked.missing;
            if view.state == JobState::Scheduled {
                view.due = Micros(blocked.due);
            }
        }
        Ok(view)
    }

    /// Every job in memory, those that have ended and those that have moved included, in the order of their numbers.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        let id = |job| JobId::new(self.jobs.origin(job).created_ms, self.shard, JobSeq(job));
        self.jobs.iter().map(id)
    }

    fn kin_of(&self, job: u64) -> KinView {
        let Some(kin) = self.ties.kin.get(job) else { return KinView::default() };
        let away = kin.away.as_deref();
        let moves_to = away.map(|away| &away.queue).or(kin.leaving.as_ref());
        KinView {
            parent: kin.parent,
            moved_from: kin.from.map(|(id, _)| id),
            moves_to: moves_to.map_or_else(String::new, |queue| queue.to_string()),
            moved_to: away.and_then(|away| away.now),
        }
    }

    /// Held jobs, in the order in which they came here.
    fn held_jobs(&self, wanted: HeldJobs) -> Vec<JobId> {
        let after = (Bound::Excluded(wanted.after.0), Bound::Unbounded);
        let id =
            |job: &u64| JobId::new(self.jobs.origin(*job).created_ms, self.shard, JobSeq(*job));
        self.held.range(after).take(wanted.count as usize).map(id).collect()
    }

    /// Jobs that name another as their parent. One that has moved is told of where it is.
    fn children(&self, wanted: &Children) -> Vec<Child> {
        let all = self.ties.kin.children(wanted.parent, wanted.after.0);
        let child = |job: u64| {
            let created_ms = self.jobs.origin(job).created_ms;
            let id = JobId::new(created_ms, self.shard, JobSeq(job));
            Child { job: id, state: self.job_state(job) }
        };
        all.take(wanted.count as usize).map(child).collect()
    }

    /// What was used in the hours that are asked for, at most [`USAGE_HOURS`](jobbie_proto::limits::USAGE_HOURS) ago: one
    /// sum for each group, by name, at most as many as one answer tells.
    #[must_use]
    pub fn usage_sums(&self, query: &UsageQuery<'_>) -> Vec<UsageSum> {
        self.usage.sums(self.time, query)
    }

    pub(crate) fn find_batch(&self, id: BatchId) -> Option<&Batch> {
        let batch = self.ties.batches.get(id.number().0)?;
        (id.shard() == self.shard && batch.opened_ms == id.opened_ms()).then_some(batch)
    }

    /// What is known of a batch that is counted here.
    ///
    /// # Errors
    /// [`Code::NotFound`] when it was forgotten or never was.
    pub fn batch(&self, id: BatchId) -> Result<BatchView, Code> {
        self.find_batch(id).map(Batch::view).ok_or(Code::NotFound)
    }

    /// The event where a history begins: none when the job is not in memory or has no events. What a client names is
    /// only looked at where the log surely still has it.
    fn history(&self, history: &History) -> Option<EventSeq> {
        let plan = self.plans.get(self.resolve(history.job).ok()?)?;
        let newest = EventSeq(plan.newest);
        let from = if history.from == EventSeq(0) { newest } else { history.from };
        (plan.record < from.0 && from <= newest).then_some(from)
    }

    /// Where a job's errors begin: none when it is not in memory or has none.
    fn errors(&self, errors: &History) -> Option<ErrorChain> {
        let job = self.resolve(errors.job).ok()?;
        let newest = self.side(self.tracked.get(self.number_of(job)?)).error;
        let from = if errors.from == EventSeq(0) { newest } else { errors.from };
        let made = self.jobs.origin(job).event;
        let links = self.error_links.get(job).cloned().unwrap_or_default();
        (made < from.0 && from <= newest).then_some(ErrorChain { from, links })
    }

    /// The same of the iterations of an agent job.
    fn iterations(&self, wanted: &History) -> Option<EventSeq> {
        let agent = self.agents.get(self.resolve(wanted.job).ok()?)?;
        let newest = EventSeq(agent.newest);
        let from = if wanted.from == EventSeq(0) { newest } else { wanted.from };
        (agent.record < from.0 && from <= newest).then_some(from)
    }

    /// Whether there are agent jobs.
    #[must_use]
    pub fn has_agents(&self) -> bool {
        !self.agents.is_empty()
    }

    /// Where a job's struct is, if it has one.
    pub(crate) fn number_of(&self, job: u64) -> Option<u32> {
        match self.jobs.handle(job)?.special() {
            crate::jobs::Special::Struct(number) => Some(number),
            crate::jobs::Special::Sleeper(_) => None,
        }
    }

    /// Leases that ran out for a job in memory.
    #[must_use]
    pub fn lease_expiries(&self, job: JobSeq) -> u32 {
        let number = self.number_of(job.0).unwrap_or(NONE);
        if number == NONE { 0 } else { u32::from(self.tracked.get(number).lease_expiries) }
    }
}
