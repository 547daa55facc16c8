//! Replies and deliveries: encoded from what the shard knows, decoded to what a client sees.

use jobbie_proto::agent::{AgentLimits, AgentState, AgentStatus};
use jobbie_proto::event::HoldEnd;
use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::plan::{Effect, Need, PlanStatus};
use jobbie_proto::reply::{
    AgentView, Appended, BatchView, BudgetView, Child, Enqueued, Failed, JOB_STATES, JobState,
    Lease, LeasedAgent, Operated, OperationStatus, OperationView, PolicyView, QueueStats, Reply,
    ShardStats, UsageSum, WorkerView,
};
use jobbie_proto::wire::{
    Encoder, EnqueuedRun, FrameReader, IterationRecord, JobBytes, JobDetails, JobError, JobEvent,
    Kin, KindDetails, LeaseBytes, LeasedJob, Lookup, PlanDetails, ReplyFrame, ReplyHead,
    ScheduleDetails, ServerFrame, StatsAnswer,
};
use jobbie_proto::{
    Code, EventSeq, JobId, JobSeq, LeaseToken, Micros, OperationId, SessionId, ShardId,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::schedules::{changed, details, done};
use crate::strategies::{amounts, backoff, batch_id, bytes, code, job_id, settings, task, text};

const SHARD: ShardId = ShardId(3);

type Bytes = (&'static str, &'static [u8], &'static [u8], &'static [u8]);

/// Everything a reply frame is made from.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    reply: Reply,
    bytes: Vec<Bytes>,
    texts: (&'static str, &'static str),
    lookups: Vec<Lookup<'static>>,
    queues: Vec<QueueStats>,
    shard: Option<ShardStats>,
    batches: Vec<Result<BatchView, Code>>,
    events: Vec<JobEvent<'static>>,
    schedules: Vec<ScheduleDetails<'static>>,
    times: Vec<Micros>,
    operations: Vec<OperationView>,
    errors: Vec<JobError<'static>>,
    workers: Vec<WorkerView>,
    children: Vec<Child>,
    usage: Vec<UsageSum>,
    iterations: Vec<IterationRecord<'static>>,
    budgets: Vec<BudgetView>,
    policies: Vec<PolicyView>,
    held: Vec<JobId>,
}

fn lease() -> impl Strategy<Value = Lease> {
    let ids = (0..1u64 << 44, 1..1u64 << 50, any::<u64>(), any::<u64>());
    (ids, any::<u32>(), any::<u32>()).prop_map(|(ids, attempt, max_retries)| Lease {
        job: JobSeq(ids.1),
        created_ms: ids.0,
        token: LeaseToken(ids.2),
        attempt,
        max_retries,
        deadline: Micros(ids.3),
        record: EventSeq(0),
        checkpoint: EventSeq(0),
        placed: EventSeq(0),
        payload: EventSeq(0),
    })
}

fn lookup() -> impl Strategy<Value = Lookup<'static>> {
    let job_bytes =
        (vec(bytes(), 8), text(), text()).prop_map(|(b, hold_by, limit_key)| JobBytes {
            payload: b[0],
            tags: b[1],
            key: b[2],
            error: b[3],
            backtrace: b[4],
            progress: b[5],
            checkpoint: b[6],
            hold_reason: b[7],
            hold_by,
            limit_key,
        });
    let numbers = (any::<u8>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<u64>());
    let times = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>());
    let tied = (any::<u32>(), option::of(batch_id()), any::<u64>());
    let more =
        prop_oneof![Just((0, 0, 0, (0, None, 0))), (any::<u64>(), any::<u32>(), 0..3u8, tied)];
    let details = (0..JOB_STATES as u8, text(), numbers, backoff(), times, job_bytes, more)
        .prop_map(|(state, queue, n, backoff, t, bytes, more)| JobDetails {
            state: JobState::from_u8(state).unwrap(),
            queue,
            priority: n.0,
            max_retries: n.1,
            backoff,
            backoff_base_ms: n.2,
            backoff_cap_ms: n.3,
            expire_after_ms: n.4,
            attempt: t.0,
            token: LeaseToken(t.1),
            due: Micros(t.2),
            expire_at: Micros(t.3),
            ended: Micros(more.0),
            lease_expiries: more.1,
            then: HoldEnd::from_u8(more.2).unwrap(),
            waits_for: more.3.0,
            batch: more.3.1,
            cost_micros: more.3.2,
            agent: (more.1 % 2 == 1).then_some(AgentView {
                iteration: more.1,
                limits: AgentLimits {
                    max_iterations: !more.1,
                    max_cost_micros: more.0,
                    iteration_timeout_ms: !more.0,
                },
                newest: EventSeq(more.3.2),
                checkpoint: EventSeq(!more.3.2),
            }),
            bytes,
        });
    let plan = option::weighted(0.3, plan());
    let kin = prop_oneof![2 => Just(Kin::default()), 1 => kin()];
    (job_id(), option::of((details, plan)), kin).prop_map(|(job, found, kin)| {
        let (details, plan) = found.unzip();
        Lookup { job, details, plan: plan.flatten(), kin }
    })
}

fn kin() -> impl Strategy<Value = Kin<'static>> {
    let id = || option::of(job_id()).prop_map(|id| id.filter(|id| *id != JobId::default()));
    (id(), id(), text(), id()).prop_map(|(parent, moved_from, moves_to, moved_to)| Kin {
        parent,
        moved_from,
        moves_to,
        moved_to,
    })
}

fn plan() -> impl Strategy<Value = PlanDetails<'static>> {
    let kind = (text(), 0..3u8, any::<u16>(), any::<u16>(), any::<u64>()).prop_map(
        |(name, need, count, seen, deadline)| KindDetails {
            name,
            need: Need::from_u8(need).unwrap(),
            count,
            seen,
            deadline: Micros(deadline),
        },
    );
    let numbers = (1..7u8, any::<u64>(), any::<u32>(), any::<u64>());
    (numbers, vec(kind, 0..5)).prop_map(|((status, newest, events, deadline), kinds)| PlanDetails {
        status: PlanStatus::from_u8(status).unwrap(),
        newest: EventSeq(newest),
        events,
        deadline: Micros(deadline),
        kinds,
    })
}

fn event() -> impl Strategy<Value = JobEvent<'static>> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), 0..10u8);
    (numbers, bytes(), text(), bytes(), text(), text()).prop_map(
        |((event, previous, time, effect), id, kind, data, source, trace)| JobEvent {
            event: EventSeq(event),
            previous: EventSeq(previous),
            time: Micros(time),
            effect: Effect::from_u8(effect).unwrap(),
            id,
            kind,
            data,
            source,
            trace,
        },
    )
}

fn agent_state() -> impl Strategy<Value = AgentState> {
    any::<([u64; 3], [u32; 2])>().prop_map(|(n, m)| AgentState {
        iteration: m[0],
        cost_micros: n[0],
        limits: AgentLimits {
            max_iterations: m[1],
            max_cost_micros: n[1],
            iteration_timeout_ms: n[2],
        },
    })
}

fn iteration() -> impl Strategy<Value = IterationRecord<'static>> {
    let numbers = (any::<[u64; 3]>(), any::<[u32; 2]>(), 0..3u8);
    (numbers, vec(bytes(), 3), amounts(), text(), text()).prop_map(
        |((n, m, status), b, amounts, model, provider)| IterationRecord {
            event: EventSeq(n[0]),
            previous: EventSeq(n[1]),
            time: Micros(n[2]),
            number: m[0],
            attempt: m[1],
            status: AgentStatus::from_u8(status).unwrap(),
            checkpoint: b[0],
            result: b[1],
            reason: b[2],
            amounts,
            model,
            provider,
        },
    )
}

fn operation() -> impl Strategy<Value = OperationView> {
    (task(), any::<[u64; 7]>(), any::<u32>(), 0..3u8).prop_map(|(task, n, jobs, status)| {
        OperationView {
            id: OperationId(n[0]),
            task,
            status: OperationStatus::from_u8(status).unwrap(),
            jobs,
            estimate: n[1],
            looked_at: n[2],
            applied: n[3],
            skipped: n[4],
            started: Micros(n[5]),
            ended: Micros(n[6]),
        }
    })
}

fn error() -> impl Strategy<Value = JobError<'static>> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    (numbers, bytes(), bytes()).prop_map(|((event, previous, time, attempt), error, backtrace)| {
        let (event, previous, time) = (EventSeq(event), EventSeq(previous), Micros(time));
        JobError { event, previous, time, attempt, error, backtrace }
    })
}

fn worker() -> impl Strategy<Value = WorkerView> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
    (numbers, text(), text(), vec(text(), 0..5)).prop_map(|(n, name, host, queues)| WorkerView {
        session: SessionId(n.0),
        name: name.to_owned(),
        host: host.to_owned(),
        queues: queues.into_iter().map(str::to_owned).collect(),
        queues_asked: n.3,
        started: Micros(n.1),
        last_seen: Micros(n.2),
        leases: n.4,
    })
}

pub(crate) fn parts() -> impl Strategy<Value = Parts> {
    let run = (code(), 0..1u64 << 44, 1..1u64 << 49, 1..100u32).prop_map(
        |(code, created_ms, first, count)| Enqueued {
            code,
            created_ms,
            first_job: JobSeq(first),
            count,
        },
    );
    let failed = (code(), any::<u64>(), any::<u32>()).prop_map(|(code, at, attempts_left)| {
        Failed { code, next_attempt: Micros(at), attempts_left }
    });
    let codes = || vec(code(), 0..6);
    let lists =
        (vec(run, 0..4), codes(), vec(failed, 0..4), codes(), codes(), codes(), codes(), codes());
    let appended = (0..10u8, 0..7u8, any::<u64>()).prop_map(|(effect, status, event)| Appended {
        effect: Effect::from_u8(effect).unwrap(),
        status: PlanStatus::from_u8(status),
        event: EventSeq(event),
    });
    let lists = (lists, vec(appended, 0..4), vec(done(), 0..4));
    let batches = (vec(batch_id(), 0..3), codes());
    let operated =
        (code(), any::<u64>()).prop_map(|(code, id)| Operated { code, operation: OperationId(id) });
    let lists = (lists, option::of(operated), vec(crate::rules::done(), 0..4));
    let agents = vec(option::weighted(0.3, agent_state()), 6);
    let reply = (code(), lists, vec(lease(), 0..6), batches, agents);
    let reply = reply.prop_map(
        |(
            code,
            ((lists, appended, schedule_controls), operated, rule_controls),
            leases,
            batches,
            agents,
        )| Reply {
            rule_controls,
            agents: (0..leases.len() as u32)
                .zip(agents)
                .filter_map(|(lease, state)| Some(LeasedAgent { lease, state: state? }))
                .collect(),
            code,
            operated,
            enqueued: lists.0,
            acks: lists.1,
            fails: lists.2,
            heartbeats: lists.3,
            releases: lists.4,
            cancels: lists.5,
            deletes: lists.6,
            job_controls: lists.7,
            schedule_controls,
            leases,
            batches: batches.0,
            batch_seals: batches.1,
            appended,
        },
    );
    let counts = (any::<[u64; JOB_STATES]>(), any::<u64>(), any::<u32>());
    let settings = (settings(), option::weighted(0.3, crate::rules::on_exceed()));
    let queue = (text(), any::<bool>(), any::<bool>(), counts, settings).prop_map(
        |(queue, paused, draining, (jobs, enqueued_total, keys), (settings, exceeded))| {
            QueueStats {
                exceeded,
                queue: queue.to_owned(),
                paused,
                draining,
                settings,
                keys,
                jobs,
                enqueued_total,
            }
        },
    );
    let shard = any::<[u64; 8]>().prop_map(|n| ShardStats {
        queues: n[0],
        sessions: n[1],
        leases: n[2],
        jobs: n[3],
        last_event: EventSeq(n[4]),
        last_job: JobSeq(n[5]),
        state_hash: n[6],
        time: Micros(n[7]),
    });
    let lease_bytes = vec((text(), bytes(), bytes(), bytes()), 6);
    let counts = (option::of(any::<u64>()), any::<[u64; 3]>(), any::<bool>());
    let view = counts.prop_map(|(total, n, called_back)| BatchView {
        total,
        succeeded: n[0],
        failed: n[1],
        ended: Micros(n[2]),
        called_back,
    });
    let missing = Just(Err(Code::NotFound));
    let batches = vec(prop_oneof![view.prop_map(Ok), missing], 0..3);
    let rest = (vec(queue, 0..4), option::of(shard), vec(event(), 0..4));
    let times = vec(any::<u64>().prop_map(Micros), 0..4);
    let child = (job_id(), 0..JOB_STATES as u8)
        .prop_map(|(job, state)| Child { job, state: JobState::from_u8(state).unwrap() });
    let observed = (vec(error(), 0..4), vec(worker(), 0..4), vec(child, 0..4), vec(job_id(), 0..4));
    let sum = (text(), any::<u64>(), amounts()).prop_map(|(name, reports, amounts)| UsageSum {
        name: name.to_owned(),
        reports,
        amounts,
    });
    let rules = (vec(crate::rules::budget_view(), 0..4), vec(crate::rules::policy_view(), 0..4));
    let told = (
        vec(details(), 0..4),
        times,
        vec(operation(), 0..4),
        vec(sum, 0..4),
        vec(iteration(), 0..3),
        rules,
        observed,
    );
    let rest = (vec(lookup(), 0..4), rest, batches, told);
    (reply, lease_bytes, (text(), text()), rest).prop_map(|(reply, bytes, texts, rest)| Parts {
        reply,
        bytes,
        texts,
        lookups: rest.0,
        queues: rest.1.0,
        shard: rest.1.1,
        events: rest.1.2,
        batches: rest.2,
        schedules: rest.3.0,
        times: rest.3.1,
        operations: rest.3.2,
        errors: rest.3.6.0,
        workers: rest.3.6.1,
        children: rest.3.6.2,
        held: rest.3.6.3,
        usage: rest.3.3,
        iterations: rest.3.4,
        budgets: rest.3.5.0,
        policies: rest.3.5.1,
    })
}

fn leased(lease: &Lease, bytes: &Bytes, agent: Option<AgentState>) -> LeasedJob<'static> {
    LeasedJob {
        job: JobId::new(lease.created_ms, SHARD, lease.job),
        token: lease.token,
        deadline: lease.deadline,
        attempt: lease.attempt,
        max_retries: lease.max_retries,
        queue: bytes.0,
        payload: bytes.1,
        tags: bytes.2,
        checkpoint: bytes.3,
        agent,
    }
}

fn all_leased(parts: &Parts) -> Vec<LeasedJob<'static>> {
    let agent = |nth: usize| {
        let found = parts.reply.agents.iter().find(|agent| agent.lease as usize == nth);
        found.map(|agent| agent.state)
    };
    let leases = parts.reply.leases.iter().zip(&parts.bytes).enumerate();
    leases.map(|(nth, (lease, bytes))| leased(lease, bytes, agent(nth))).collect()
}

fn lease_bytes(bytes: &Bytes) -> LeaseBytes<'static> {
    LeaseBytes { queue: bytes.0, payload: bytes.1, tags: bytes.2, checkpoint: bytes.3 }
}

impl Parts {
    pub(crate) fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let (message, redirect) = self.texts;
        let head = ReplyHead { number: 77, shard: SHARD, message, retry_after_ms: 5, redirect };
        let stats = StatsAnswer {
            queues: &self.queues,
            shard: self.shard,
            events: &self.events,
            batches: &self.batches,
            schedules: &self.schedules,
            times: &self.times,
            operations: &self.operations,
            errors: &self.errors,
            workers: &self.workers,
            children: &self.children,
            usage: &self.usage,
            iterations: &self.iterations,
            budgets: &self.budgets,
            policies: &self.policies,
            held: &self.held,
        };
        let source = |nth: usize, _: &Lease| lease_bytes(&self.bytes[nth]);
        encoder.reply(out, &head, &self.reply, source, self.lookups.clone(), stats).unwrap();
    }

    fn expected(&self) -> ReplyFrame<'static> {
        let reply = self.reply.clone();
        let run = |r: &Enqueued| EnqueuedRun {
            code: r.code,
            first: JobId::new(r.created_ms, SHARD, r.first_job),
            count: r.count,
        };
        ReplyFrame {
            number: 77,
            code: reply.code,
            more: false,
            retry_after_ms: 5,
            message: self.texts.0,
            redirect: self.texts.1,
            enqueued: reply.enqueued.iter().map(run).collect(),
            acks: reply.acks,
            fails: reply.fails,
            heartbeats: reply.heartbeats,
            releases: reply.releases,
            cancels: reply.cancels,
            deletes: reply.deletes,
            job_controls: reply.job_controls,
            schedule_controls: reply.schedule_controls.iter().map(|d| changed(SHARD, d)).collect(),
            operated: reply.operated,
            operations: self.operations.clone(),
            errors: self.errors.clone(),
            workers: self.workers.clone(),
            children: self.children.clone(),
            leases: all_leased(self),
            lookups: self.lookups.clone(),
            queue_stats: self.queues.clone(),
            shard_stats: self.shard,
            batches: reply.batches,
            batch_seals: reply.batch_seals,
            batch_lookups: self.batches.clone(),
            appended: reply.appended,
            events: self.events.clone(),
            schedules: self.schedules.clone(),
            schedule_times: self.times.clone(),
            usage: self.usage.clone(),
            iterations: self.iterations.clone(),
            rule_controls: reply.rule_controls,
            budgets: self.budgets.clone(),
            policies: self.policies.clone(),
            held: self.held.clone(),
        }
    }
}

proptest! {
    #[test]
    fn replies_come_back(parts in parts()) {
        let mut out = vec![];
        parts.encode(&mut Encoder::new(), &mut out);
        let frame = crate::round_trip::only(&out);
        prop_assert_eq!(ServerFrame::decode(frame), Ok(ServerFrame::Reply(parts.expected())));
    }

    #[test]
    fn deliveries_come_back(parts in parts()) {
        let (mut out, leases) = (vec![], &parts.reply.leases[..]);
        let source = |nth: usize, _: &Lease| lease_bytes(&parts.bytes[nth]);
        let agents = &parts.reply.agents[..];
        Encoder::new().deliver(&mut out, 9, SHARD, (leases, agents), source).unwrap();
        let leases = all_leased(&parts);
        let expected = ServerFrame::Deliver { subscription: 9, leases };
        prop_assert_eq!(ServerFrame::decode(crate::round_trip::only(&out)), Ok(expected));
    }
}

#[test]
fn a_long_reply_is_several_frames_that_add_up() {
    let payload = vec![7u8; 200_000];
    let leases: Vec<_> = (1..=40)
        .map(|n| Lease {
            job: JobSeq(n),
            created_ms: 5,
            token: LeaseToken(n),
            attempt: 1,
            max_retries: 3,
            deadline: Micros(9),
            record: EventSeq(0),
            checkpoint: EventSeq(0),
            placed: EventSeq(0),
            payload: EventSeq(0),
        })
        .collect();
    let reply = Reply { acks: vec![Code::Ok; 3], leases, ..Reply::default() };
    let head = ReplyHead { number: 4, shard: SHARD, ..ReplyHead::default() };
    let source =
        |_: usize, _: &Lease| LeaseBytes { queue: "q", payload: &payload, ..LeaseBytes::default() };
    let shard = Some(ShardStats::default());
    let stats = StatsAnswer { shard, ..StatsAnswer::default() };
    let mut out = vec![];
    Encoder::new().reply(&mut out, &head, &reply, source, [], stats).unwrap();

    let mut reader = FrameReader::new(FRAME_BYTES_MAX);
    reader.feed(&out);
    let (mut jobs, mut acks, mut frames, mut last) = (vec![], 0, 0, None);
    while let Some(frame) = reader.next_frame().unwrap() {
        let Ok(ServerFrame::Reply(part)) = ServerFrame::decode(frame) else { panic!("no reply") };
        assert_eq!((part.number, last), (4, last.filter(|more| *more)), "nothing after the last");
        assert!(part.leases.iter().all(|l| l.payload == payload));
        jobs.extend(part.leases.iter().map(|l| l.token.0));
        acks += part.acks.len();
        frames += 1;
        assert_eq!(part.shard_stats, shard.filter(|_| !part.more));
        last = Some(part.more);
    }
    assert!(frames > 5, "{frames}");
    assert_eq!((jobs, acks, last), ((1..=40).collect(), 3, Some(false)));
}
