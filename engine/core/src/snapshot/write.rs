//! A state to chunks, one at a time.

use jobbie_proto::EventSeq;
use jobbie_proto::event::WorkerKey;
use jobbie_proto::limits::PRIORITY_TIERS;
use jobbie_proto::reply::JobState;
use rkyv::rancor::Error as RkyvError;

use super::agents::AgentRow;
use super::kin::KinRow;
use super::rules::{self, RuleCursor};
use super::ties::{self, TieCursor};
use super::usage::{CostRow, UsageCursor};
use super::{
    BlockedRow, ChargeRow, ClaimRow, ClassRow, ClockRow, DefinitionRow, ErrorLinkRow, Header,
    JobRun, JobsPart, KeyRow, LaneRow, LaneWaitingRow, LinkRow, MemberRow, OWN_CLASS, OperationRow,
    Part, PayloadRow, PlanRow, QueueRow, RUN_MAX, ReplyRow, RevivedRow, SessionRow, SleeperRow,
    TrackedRow, UniqueRow, VERSION, WaitingRow, WeightRow, schedules, usage, workers,
};
use crate::class::{ClassEntry, ClassId};
use crate::fifo::{Cursor, Item};
use crate::jobs::Special;
use crate::lanes::fair::Clock;
use crate::lanes::saved::Saved;
use crate::lanes::{LaneId, Lanes, Waiting};
use crate::operations::Operation;
use crate::queue::Queue;
use crate::slab::NONE;
use crate::state::{Charge, State};
use crate::ties::{Blocked, Link};
use crate::unique::Unique;

/// Rows of one chunk, so that it stays below 256 KiB and takes well under a millisecond.
const ROWS: usize = 2000;
/// Jobs looked at for one chunk: a fifth of a millisecond.
const JOBS_LOOKED_AT: u64 = 4 * 1024;
/// Bytes of names or replies in one chunk.
const BYTES: usize = 192 << 10;

/// How far the snapshot has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Queues(usize),
    Classes(usize),
    Sessions(usize),
    /// Session, and reply within it.
    Replies(usize, usize),
    Jobs(u64),
    Lanes(usize),
    /// Window, and run within it.
    Claims(usize, usize),
    /// Queue, tier, item, and member within it.
    Waiting(usize, usize, Cursor, u64),
    /// Lane, tier, and job within it.
    LaneWaiting(usize, u8, Cursor),
    Keys(Option<crate::keys::Cursor>),
    Ties(TieCursor),
    /// Behind the schedule with this key.
    Schedules(String),
    Operations(usize),
    /// Behind this worker.
    Workers(WorkerKey),
    Usage(UsageCursor),
    Rules(RuleCursor),
    End,
    Done,
}

/// A state as it was, being turned into chunks of at most about 256 KiB. Taking one costs a reference a
/// page; the shard goes on meanwhile and copies the pages it writes.
pub struct Snapshot {
    state: State,
    stage: Stage,
    queues: Vec<u32>,
    classes: Vec<ClassId>,
    /// Place in `classes`, by number.
    class_rank: Vec<u32>,
    sessions: Vec<u32>,
    /// With the place of their queue in `queues`.
    lanes: Vec<(u32, LaneId)>,
}

impl State {
    /// The state as it is now, to be written in slices.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: self.clone(),
            stage: Stage::Header,
            queues: Vec::new(),
            classes: Vec::new(),
            class_rank: Vec::new(),
            sessions: Vec::new(),
            lanes: Vec::new(),
        }
    }
}

impl Iterator for Snapshot {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let (part, next) = match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Header => self.header(),
                Stage::Queues(from) => self.queues(from),
                Stage::Classes(from) => self.classes(from),
                Stage::Sessions(from) => self.sessions(from),
                Stage::Replies(session, reply) => self.replies(session, reply),
                Stage::Jobs(from) => self.jobs(from),
                Stage::Lanes(from) => self.lanes(from),
                Stage::Claims(window, run) => self.claims(window, run),
                Stage::Waiting(queue, tier, item, member) => {
                    self.waiting(queue, tier, item, member)
                }
                Stage::LaneWaiting(lane, tier, job) => self.lane_waiting(lane, tier, job),
                Stage::Keys(cursor) => self.keys(cursor),
                Stage::Ties(cursor) => self.ties(cursor),
                Stage::Schedules(after) => self.schedules(&after),
                Stage::Operations(from) => self.operations(from),
                Stage::Workers(after) => self.workers(&after),
                Stage::Usage(from) => self.usage(from),
                Stage::Rules(cursor) => self.rules(&cursor),
                Stage::End => (Some(Part::End), Stage::Done),
                Stage::Done => return None,
            };
            self.stage = next;
            if let Some(part) = part {
                return Some(encode(&part));
            }
        }
    }
}

pub(super) fn encode(part: &Part) -> Vec<u8> {
    let bytes = rkyv::to_bytes::<RkyvError>(part).expect("writing to memory");
    let mut bytes = bytes.into_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes
}

fn queue_row(queue: &Queue) -> QueueRow {
    let weight = |(key, weight): (&std::rc::Rc<str>, &u16)| WeightRow {
        key: key.to_string(),
        weight: *weight,
    };
    QueueRow {
        name: queue.name.to_string(),
        paused: queue.paused,
        completed: queue.jobs[JobState::Completed as usize],
        enqueued_total: queue.enqueued_total,
        draining: queue.draining,
        settings: queue.settings,
        weights: queue.weights.iter().map(weight).collect(),
        lanes: queue.lanes.as_ref().map(|lanes| {
            let Clock { now, finish_max, cost_us } = lanes.clock();
            ClockRow { now, finish_max, cost_us }
        }),
        deleted_below: queue.deleted_below,
        hidden: queue.hidden,
    }
}

fn operation_row(operation: &Operation, closed: bool) -> OperationRow {
    let forgets = crate::mutant!(BulkForgetsCursor);
    OperationRow {
        id: operation.id,
        task: operation.task.clone(),
        jobs: operation.jobs.clone(),
        named: operation.named,
        below: operation.below,
        cursor: if forgets { 0 } else { operation.cursor },
        estimate: operation.estimate,
        looked_at: operation.looked_at,
        applied: operation.applied,
        skipped: operation.skipped,
        started: operation.started,
        ended: operation.ended,
        status: operation.status,
        closed,
    }
}

type Step = (Option<Part>, Stage);

/// An empty list makes no chunk.
fn list<T>(rows: Vec<T>, part: fn(Vec<T>) -> Part) -> Option<Part> {
    (!rows.is_empty()).then(|| part(rows))
}

impl Snapshot {
    fn header(&mut self) -> Step {
        let state = &self.state;
        self.queues = state.queues.from("", "").chain(state.queues.hidden()).collect();
        self.classes = state.classes.sorted();
        let numbers = self.classes.iter().map(|class| class.0 as usize + 1).max().unwrap_or(0);
        self.class_rank = vec![u32::MAX; numbers];
        for (class, rank) in self.classes.iter().zip(0..) {
            self.class_rank[class.0 as usize] = rank;
        }
        self.sessions = state.sessions.sorted();
        for (rank, &at) in (0..).zip(&self.queues) {
            let Some(lanes) = &state.queues.get(at).lanes else { continue };
            let next = |(id, _): &(LaneId, Saved<'_>)| lanes.lane_after(Some(*id));
            let mut all: Vec<_> = std::iter::successors(lanes.lane_after(None), next).collect();
            all.retain(|(id, _)| !lanes.is_idle(*id, state.time));
            all.sort_unstable_by(|a, b| a.1.key.name.cmp(b.1.key.name));
            self.lanes.extend(all.into_iter().map(|(id, _)| (rank, id)));
        }
        let header = Header {
            shard: state.shard.0,
            shards: state.shards,
            time: state.time,
            next_event: state.next_event,
            next_job: state.next_job,
            digest: state.digest(),
        };
        (Some(Part::Header(header)), Stage::Queues(0))
    }

    fn queues(&self, from: usize) -> Step {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for &at in &self.queues[from..] {
            let queue = self.state.queues.get(at);
            rows.push(queue_row(queue));
            bytes += queue.name.len() + 40 * queue.weights.len();
            if rows.len() == ROWS || bytes > BYTES {
                let next = Stage::Queues(from + rows.len());
                return (Some(Part::Queues(rows)), next);
            }
        }
        (list(rows, Part::Queues), Stage::Classes(0))
    }

    fn classes(&self, from: usize) -> Step {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for &id in &self.classes[from..] {
            let ClassEntry { class, limit_key, .. } = self.state.classes.get(id);
            bytes += class.queue.len() + limit_key.len();
            rows.push(ClassRow { class: (**class).clone(), limit_key: limit_key.to_string() });
            if rows.len() == ROWS || bytes > BYTES {
                let next = Stage::Classes(from + rows.len());
                return (Some(Part::Classes(rows)), next);
            }
        }
        (list(rows, Part::Classes), Stage::Sessions(0))
    }

    fn sessions(&self, from: usize) -> Step {
        let rows: Vec<_> = self.sessions[from..]
            .iter()
            .take(ROWS)
            .map(|&at| {
                let session = self.state.sessions.get(at);
                let confirmed_below = session.confirmed_below;
                SessionRow { id: session.id, client: session.client, confirmed_below }
            })
            .collect();
        let next = match rows.len() {
            ROWS => Stage::Sessions(from + ROWS),
            _ => Stage::Replies(0, 0),
        };
        (list(rows, Part::Sessions), next)
    }

    fn replies(&self, mut at: usize, mut reply: usize) -> Step {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while at < self.sessions.len() && !crate::mutant!(RepliesMissingFromSnapshot) {
            let session = self.state.sessions.get(self.sessions[at]);
            for (number, answer) in session.replies.range(reply..) {
                bytes += 96 + 64 * (answer.leases.len() + answer.enqueued.len());
                bytes += 32 * answer.schedule_controls.len();
                bytes += 24 * answer.fails.len() + answer.acks.len() + answer.heartbeats.len();
                rows.push(ReplyRow {
                    session: session.id,
                    number: *number,
                    reply: (**answer).clone(),
                });
                reply += 1;
                if rows.len() == ROWS || bytes > BYTES {
                    return (Some(Part::Replies(rows)), Stage::Replies(at, reply));
                }
            }
            (at, reply) = (at + 1, 0);
        }
        (list(rows, Part::Replies), Stage::Jobs(0))
    }

    fn jobs(&self, from: u64) -> Step {
        let state = &self.state;
        let mut part = JobsPart::default();
        let mut next = state.jobs.next(from, state.next_job, false);
        let (mut looked_at, mut plan_rows) = (0, 0);
        while let Some(job) = next {
            let rows = part.runs.len()
                + 3 * part.tracked.len()
                + part.sleepers.len()
                + part.uniques.len()
                + part.payloads.len()
                + part.charges.len()
                + part.members.len()
                + part.links.len()
                + part.blocked.len()
                + part.definitions.len()
                + part.error_links.len()
                + 4 * part.kin.len()
                + part.costs.len()
                + part.agents.len()
                + part.revived.len()
                + plan_rows;
            if looked_at == JOBS_LOOKED_AT || rows >= ROWS {
                return (Some(Part::Jobs(part)), Stage::Jobs(job));
            }
            let plans = part.plans.len();
            self.add_job(job, &mut part);
            plan_rows += part.plans[plans..].iter().map(PlanRow::weight).sum::<usize>();
            looked_at += 1;
            next = state.jobs.next(job + 1, state.next_job, false);
        }
        let part = (!part.runs.is_empty()).then_some(Part::Jobs(part));
        (part, Stage::Lanes(0))
    }

    fn lanes_of(&self, queue: u32) -> &Lanes {
        let queue = self.state.queues.get(self.queues[queue as usize]);
        queue.lanes.as_ref().expect("the queue has lanes")
    }

    fn lanes(&self, from: usize) -> Step {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for &(queue, id) in &self.lanes[from..] {
            let saved = self.lanes_of(queue).saved(id);
            bytes += saved.key.name.len();
            rows.push(LaneRow {
                queue,
                key: saved.key.name.to_owned(),
                active: saved.active,
                start: saved.turn.start,
                finish: saved.turn.finish,
                cost_us: saved.cost_us,
            });
            if rows.len() == ROWS || bytes > BYTES {
                let next = Stage::Lanes(from + rows.len());
                return (Some(Part::Lanes(rows)), next);
            }
        }
        (list(rows, Part::Lanes), Stage::Claims(0, 0))
    }

    fn claims(&self, from: usize, run: usize) -> Step {
        let mut rows = Vec::new();
        let mut skip = run;
        for window in from..self.queues.len() + self.lanes.len() {
            let claims = match window.checked_sub(self.queues.len()) {
                None => &self.state.queues.get(self.queues[window]).window,
                Some(lane) => {
                    let (queue, id) = self.lanes[lane];
                    self.lanes_of(queue).window(id)
                }
            };
            for (nth, run) in claims.runs().enumerate().skip(skip) {
                if rows.len() == ROWS {
                    return (Some(Part::Claims(rows)), Stage::Claims(window, nth));
                }
                let (time, count) = (run.time_us, run.count);
                rows.push(ClaimRow { window: window as u32, time, count });
            }
            skip = 0;
        }
        (list(rows, Part::Claims), Stage::Waiting(0, 0, Cursor::START, 0))
    }

    fn lane_waiting(&self, from: usize, mut tier: u8, mut at: Cursor) -> Step {
        let mut rows = Vec::new();
        for lane in from..self.lanes.len() {
            let (queue, id) = self.lanes[lane];
            let lanes = self.lanes_of(queue);
            while tier < PRIORITY_TIERS {
                let before = at;
                let Some(waiting) = lanes.waiting_at(id, tier, &mut at) else {
                    (tier, at) = (tier + 1, Cursor::START);
                    continue;
                };
                if rows.len() == ROWS {
                    let next = Stage::LaneWaiting(lane, tier, before);
                    return (Some(Part::LaneWaiting(rows)), next);
                }
                if self.state.waits_at(waiting) {
                    let Waiting { job, position } = waiting;
                    rows.push(LaneWaitingRow { lane: lane as u32, tier, job, position });
                }
            }
            tier = 0;
        }
        (list(rows, Part::LaneWaiting), Stage::Keys(None))
    }

    fn add_job(&self, job: u64, part: &mut JobsPart) {
        let state = &self.state;
        let origin = state.jobs.origin(job);
        let class = self.class_rank[origin.class.0 as usize];
        let run = JobRun {
            first: job,
            count: 1,
            event: origin.event,
            created_ms: origin.created_ms,
            class,
        };
        match part.runs.last_mut() {
            Some(last)
                if last.first + last.count == job
                    && last.event + last.count == origin.event
                    && (last.created_ms, last.class) == (origin.created_ms, class)
                    && !job.is_multiple_of(RUN_MAX) =>
            {
                last.count += 1;
            }
            _ => part.runs.push(run),
        }
        match state.jobs.handle(job).map(crate::jobs::Handle::special) {
            None => {}
            Some(Special::Sleeper(at)) => {
                part.sleepers.push(SleeperRow { job, due: state.timers.at(at).due });
            }
            Some(Special::Struct(number)) => part.tracked.push(self.tracked_row(number)),
        }
        if let Some(Unique { hash, until, job }) = state.unique_of(job, state.time) {
            part.uniques.push(UniqueRow { job, hash, until });
        }
        if let Some(event) = state.payloads.get(job) {
            part.payloads.push(PayloadRow { job, event: EventSeq(*event) });
        }
        if let Some(&Charge { charged, since }) = state.charges.get(job) {
            part.charges.push(ChargeRow { job, charged, since });
        }
        if state.ties.is_used() {
            self.add_ties(job, part);
        }
        part.plans.extend(state.plans.get(job).map(|plan| PlanRow::new(job, plan)));
        if let Some(event) = state.schedules.definition_of(job) {
            part.definitions.push(DefinitionRow { job, event: EventSeq(event) });
        }
        for &(event, previous) in state.error_links.get(job).iter().flat_map(|links| links.iter()) {
            let (event, previous) = (EventSeq(event), EventSeq(previous));
            part.error_links.push(ErrorLinkRow { job, event, previous });
        }
        part.agents.extend(state.agents.get(job).map(|agent| AgentRow::new(job, agent)));
        part.revived.extend(RevivedRow::of(job, state));
        part.costs.extend(CostRow::of(job, state));
    }

    fn add_ties(&self, job: u64, part: &mut JobsPart) {
        let ties = &self.state.ties;
        part.members.extend(ties.members.get(job).map(|&batch| MemberRow { job, batch }));
        part.links.extend(ties.chains.get(job).map(|link| {
            let Link { definition, next, on_failure, on_exit } = *link;
            LinkRow { job, definition: EventSeq(definition), next, on_failure, on_exit }
        }));
        part.blocked.extend(ties.blocked.get(job).map(|blocked| {
            let Blocked { event, missing, due } = *blocked;
            BlockedRow { job, event: EventSeq(event), missing, due }
        }));
        part.kin.extend(ties.kin.get(job).map(|kin| KinRow::new(job, kin)));
    }

    fn tracked_row(&self, number: u32) -> TrackedRow {
        let tracked = self.state.tracked.get(number);
        let side = self.state.own_side(tracked);
        let lease = tracked.lease().map(|at| self.state.leases.get(at));
        TrackedRow {
            job: tracked.job,
            state: tracked.state,
            mark: tracked.mark,
            due: match (lease, tracked.timer) {
                (Some(lease), _) => lease.deadline,
                (None, NONE) => 0,
                (None, at) => self.state.timers.at(at).due,
            },
            attempt: tracked.attempt,
            lease_ms: lease.map_or(0, |lease| lease.lease_ms),
            session: lease.map_or(0, |lease| self.state.sessions.get(lease.session).id),
            lease_expiries: tracked.lease_expiries,
            checkpoint: side.checkpoint,
            progress: side.progress,
            error: side.error,
            hold: side.hold,
            placed: side.placed,
            class: match self.state.jobs.origin(tracked.job).class {
                own if own == tracked.class => OWN_CLASS,
                _ => self.class_rank[tracked.class.0 as usize],
            },
            then: tracked.then,
        }
    }

    /// Jobs that really wait; those next to each other join, however the queue stores them.
    fn waiting(&self, mut queue: usize, mut tier: usize, mut at: Cursor, mut member: u64) -> Step {
        let mut rows: Vec<WaitingRow> = Vec::new();
        let mut looked_at = 0;
        while queue < self.queues.len() {
            let fifo = &self.state.queues.get(self.queues[queue]).tiers[tier];
            let mut after = at;
            let Some(item) = fifo.next(&mut after) else {
                (tier, at, member) = (tier + 1, Cursor::START, 0);
                if tier == usize::from(jobbie_proto::limits::PRIORITY_TIERS) {
                    (queue, tier) = (queue + 1, 0);
                }
                continue;
            };
            let Some(offset) = self.state.next_waiting(item, member) else {
                (at, member) = (after, 0);
                continue;
            };
            let (first, count) = match item {
                Item::Run { first, .. } => (first + offset, 1),
                Item::Single { job, .. } => (job, 0),
            };
            let row = WaitingRow { queue: queue as u32, tier: tier as u8, first, count };
            let joins = rows.last().is_some_and(|last| {
                (last.queue, last.tier) == (row.queue, row.tier)
                    && (last.count > 0 && count > 0)
                    && last.first + last.count == first
                    && !first.is_multiple_of(RUN_MAX)
            });
            if !joins && (rows.len() == ROWS || looked_at >= JOBS_LOOKED_AT) {
                return (Some(Part::Waiting(rows)), Stage::Waiting(queue, tier, at, member));
            }
            if joins {
                rows.last_mut().expect("it joins").count += 1;
            } else if count > 0 || !crate::mutant!(SteppedBackMissingFromSnapshot) {
                rows.push(row);
            }
            member = offset + 1;
            looked_at += 1;
        }
        (list(rows, Part::Waiting), Stage::LaneWaiting(0, 0, Cursor::START))
    }

    fn keys(&self, cursor: Option<crate::keys::Cursor>) -> Step {
        let (keys, cursor) = self.state.keys.page(cursor, self.state.time, ROWS);
        let rows = keys
            .into_iter()
            .map(|key| KeyRow {
                hash: key.hash,
                content: key.content,
                until: key.until,
                job: key.job,
                created_ms: key.created_ms,
            })
            .collect();
        let next =
            cursor.map_or(Stage::Ties(TieCursor::default()), |cursor| Stage::Keys(Some(cursor)));
        (list(rows, Part::Keys), next)
    }

    fn ties(&self, cursor: TieCursor) -> Step {
        let (rows, next) = ties::page(&self.state, cursor, ROWS);
        let first = || Stage::Schedules(String::new());
        (list(rows, Part::Ties), next.map_or_else(first, Stage::Ties))
    }

    fn schedules(&self, after: &str) -> Step {
        let (rows, next) = schedules::rows(&self.state, after);
        (list(rows, Part::Schedules), next.map_or(Stage::Operations(0), Stage::Schedules))
    }

    fn operations(&self, from: usize) -> Step {
        let operations = &self.state.operations;
        let all = operations.running().iter().chain(operations.ended());
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for operation in all.skip(from) {
            let row = operation_row(operation, operations.has_closed(operation.id));
            bytes += 4096 + 8 * row.jobs.len();
            rows.push(row);
            if bytes > BYTES / 2 {
                let next = Stage::Operations(from + rows.len());
                return (Some(Part::Operations(rows)), next);
            }
        }
        (list(rows, Part::Operations), Stage::Workers(WorkerKey::default()))
    }

    fn workers(&self, after: &WorkerKey) -> Step {
        let (rows, next) = workers::rows(&self.state, after);
        let first = || Stage::Usage(UsageCursor::START);
        (list(rows, Part::Workers), next.map_or_else(first, Stage::Workers))
    }

    fn usage(&self, from: UsageCursor) -> Step {
        let (rows, next) = usage::rows(&self.state, from);
        let first = || Stage::Rules(RuleCursor::Start);
        (list(rows, Part::Usage), next.map_or_else(first, Stage::Usage))
    }

    fn rules(&self, cursor: &RuleCursor) -> Step {
        let (rows, next) = rules::page(&self.state, cursor);
        (list(rows, Part::Rules), next.map_or(Stage::End, Stage::Rules))
    }
}
