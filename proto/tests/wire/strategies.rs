//! Random frames. Borrowed parts are leaked: a test run makes a few megabytes.

use jobbie_proto::ability::Abilities;
use jobbie_proto::agent::AgentLimits;
use jobbie_proto::event::{
    BackoffKind, BulkAction, HoldEnd, JobFilter, QueueSettings, Replayed, Sharing, Task,
};
use jobbie_proto::plan::Need;
use jobbie_proto::request::{
    Ack, Agent, AgentAck, Append, ArchivedAction, ArchivedControl, BatchSeal, Chain, Children,
    Depends, Enqueue, EnqueueAgent, EnqueueHold, EnqueuePlan, Expected, Fail, Fetch, Heartbeat,
    HeldJobs, History, Hold, JobAction, JobControl, JobRef, Members, Operate, Parents, QueueAction,
    QueueControl, ReportUsage, Revive, RevivedAgent, Stats, Ties, Usage, UsageQuery, When, Workers,
};
use jobbie_proto::usage::{Amounts, UsageGroup};
use jobbie_proto::wire::{
    ClientFrame, Durability, Endpoint, Hello, Limits, LostLease, Refused, ServerFrame,
    ServerSettings, Subscribe, Welcome,
};
use jobbie_proto::{
    BatchId, Code, EventSeq, JobId, JobSeq, LeaseToken, Micros, OperationId, Request, SessionId,
    ShardId,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::schedules::{control as schedule_control, query};

pub(crate) fn bytes() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![
        3 => Just(&[][..]),
        1 => vec(any::<u8>(), 0..40).prop_map(|v| &*v.leak()),
    ]
}

pub(crate) fn text() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        2 => select(vec!["", "a", "mail", "größe", "images/thumbnails"]),
        1 => "[a-z.:é]{0,30}".prop_map(|s| &*s.leak()),
    ]
}

pub(crate) fn job_id() -> impl Strategy<Value = JobId> {
    (0..1u64 << 44, 0..1024u16, 0..1u64 << 49)
        .prop_map(|(ms, shard, seq)| JobId::new(ms, ShardId(shard), JobSeq(seq)))
}

pub(crate) fn job_ref() -> impl Strategy<Value = JobRef> {
    (job_id(), any::<u64>()).prop_map(|(job, token)| JobRef { job, token: LeaseToken(token) })
}

pub(crate) fn code() -> impl Strategy<Value = Code> {
    select(Code::ALL)
}

pub(crate) fn backoff() -> impl Strategy<Value = BackoffKind> {
    (0..4u8).prop_map(|n| BackoffKind::from_u8(n).unwrap())
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => Just(When::Now),
        1 => any::<u64>().prop_map(When::DelayMs),
        1 => any::<u64>().prop_map(|us| When::At(Micros(us))),
    ]
}

fn enqueue() -> impl Strategy<Value = Enqueue<'static>> {
    let numbers = (any::<u64>(), any::<u8>(), any::<u32>(), any::<u32>(), any::<u32>());
    let options = prop_oneof![3 => Just((0, 2, 3, 5000, 600_000)), 1 => numbers];
    let keys = (bytes(), bytes(), any::<u64>(), text());
    (text(), bytes(), bytes(), keys, options, backoff(), 0..3u64, when()).prop_map(
        |(
            queue,
            payload,
            tags,
            (key, unique, ms, limit_key),
            numbers,
            backoff,
            expire_after_ms,
            when,
        )| {
            Enqueue {
                queue,
                payload,
                tags,
                key,
                key_ms: numbers.0,
                unique,
                unique_ms: if unique.is_empty() { 0 } else { ms },
                limit_key,
                priority: numbers.1,
                max_retries: numbers.2,
                backoff,
                backoff_base_ms: numbers.3,
                backoff_cap_ms: numbers.4,
                expire_after_ms,
                when,
            }
        },
    )
}

fn fetch() -> impl Strategy<Value = Fetch<'static>> {
    (vec(text(), 0..20), any::<u32>(), any::<u32>(), any::<u32>(), text()).prop_map(
        |(queues, count, lease_ms, wait_ms, worker)| Fetch {
            queues,
            count,
            lease_ms,
            wait_ms,
            worker,
        },
    )
}

fn stats() -> impl Strategy<Value = Stats<'static>> {
    prop_oneof![
        Just(Stats::None),
        Just(Stats::Shard),
        text().prop_map(Stats::Queue),
        (text(), text()).prop_map(|(prefix, after)| Stats::Queues { prefix, after }),
        Just(Stats::Operations),
        Just(Stats::Rules),
    ]
}

fn hold() -> impl Strategy<Value = Hold<'static>> {
    (bytes(), text(), any::<u64>(), 0..3u8).prop_map(|(reason, by, timeout_ms, then)| Hold {
        reason,
        by,
        timeout_ms,
        then: HoldEnd::from_u8(then).unwrap(),
    })
}

pub(crate) fn settings() -> impl Strategy<Value = QueueSettings> {
    let some = (any::<[u32; 6]>(), 0..3u8).prop_map(|(n, fair)| QueueSettings {
        concurrency: n[0],
        rate: n[1],
        window_ms: n[2],
        key_concurrency: n[3],
        key_rate: n[4],
        key_window_ms: n[5],
        fair: Sharing::from_u8(fair).unwrap(),
    });
    prop_oneof![Just(QueueSettings::default()), some]
}

fn queue_control() -> impl Strategy<Value = QueueControl<'static>> {
    let action = prop_oneof![
        2 => Just(QueueAction::Pause),
        2 => Just(QueueAction::Resume),
        1 => Just(QueueAction::Drain),
        1 => settings().prop_map(QueueAction::Configure),
        1 => (text(), any::<u16>()).prop_map(|(key, weight)| QueueAction::Weigh { key, weight }),
    ];
    (text(), action).prop_map(|(queue, action)| QueueControl { queue, action })
}

fn job_control() -> impl Strategy<Value = JobControl<'static>> {
    let action = prop_oneof![
        Just(JobAction::Retry),
        Just(JobAction::Requeue),
        hold().prop_map(JobAction::Hold),
        (bytes(), text()).prop_map(|(note, by)| JobAction::Approve { note, by }),
        (bytes(), text()).prop_map(|(reason, by)| JobAction::Reject { reason, by }),
        text().prop_map(|queue| JobAction::Move { queue }),
        any::<u8>().prop_map(|priority| JobAction::Prioritize { priority }),
        bytes().prop_map(|payload| JobAction::Replace { payload }),
        (bytes(), bytes(), text(), any::<u64>()).prop_map(|(checkpoint, feedback, by, event)| {
            JobAction::Revise { checkpoint, feedback, by, replaces: EventSeq(event) }
        }),
    ];
    (job_id(), action).prop_map(|(job, action)| JobControl { job, action })
}

pub(crate) fn batch_id() -> impl Strategy<Value = BatchId> {
    (0..1u128 << 104).prop_map(|raw| BatchId::from_u128(raw).unwrap())
}

/// A job that others make: without what such a job cannot have.
fn step() -> impl Strategy<Value = Enqueue<'static>> {
    (enqueue(), text()).prop_map(|(job, limit_key)| Enqueue {
        key: b"",
        unique: b"",
        unique_ms: 0,
        limit_key,
        when: When::Now,
        ..job
    })
}

fn ties() -> impl Strategy<Value = Ties<'static>> {
    let seal = (batch_id(), any::<u64>()).prop_map(|(batch, total)| BatchSeal { batch, total });
    let run = (batch_id(), any::<u32>(), any::<u32>()).prop_map(|(batch, first, count)| Members {
        batch,
        first,
        count,
    });
    let chain = (any::<u32>(), vec(step(), 0..4), option::of(step()), option::of(step())).prop_map(
        |(enqueue, steps, on_failure, on_exit)| Chain { enqueue, steps, on_failure, on_exit },
    );
    let wait =
        (any::<u32>(), vec(job_id(), 0..4)).prop_map(|(enqueue, on)| Depends { enqueue, on });
    let parents = (job_id(), any::<u32>(), any::<u32>())
        .prop_map(|(parent, first, count)| Parents { parent, first, count });
    let some = (
        (vec(option::of(step()), 0..3), vec(seal, 0..3), vec(run, 0..3), vec(parents, 0..3)),
        (vec(chain, 0..3), vec(wait, 0..3), vec(any::<u32>(), 0..3), vec(batch_id(), 0..3)),
    );
    let some = some.prop_map(|(batches, rest)| Ties {
        batch_opens: batches.0,
        batch_seals: batches.1,
        members: batches.2,
        parents: batches.3,
        chains: rest.0,
        depends: rest.1,
        exits: rest.2,
        batch_lookups: rest.3,
    });
    prop_oneof![2 => Just(Ties::default()), 1 => some]
}

fn plan() -> impl Strategy<Value = (u64, Vec<Expected<'static>>)> {
    let kind = (text(), 0..3u8, any::<u16>(), any::<u64>()).prop_map(
        |(name, need, count, deadline_ms)| Expected {
            name,
            need: Need::from_u8(need).unwrap(),
            count,
            deadline_ms,
        },
    );
    (any::<u64>(), vec(kind, 0..5))
}

fn append() -> impl Strategy<Value = Append<'static>> {
    (job_id(), bytes(), text(), bytes(), text(), text()).prop_map(
        |(job, id, kind, data, source, trace)| Append { job, id, kind, data, source, trace },
    )
}

fn history() -> impl Strategy<Value = History> {
    (job_id(), any::<u64>(), any::<u32>()).prop_map(|(job, from, count)| History {
        job,
        from: EventSeq(from),
        count,
    })
}

fn children() -> impl Strategy<Value = Children> {
    (job_id(), any::<u64>(), any::<u32>()).prop_map(|(parent, after, count)| Children {
        parent,
        after: JobSeq(after),
        count,
    })
}

fn held() -> impl Strategy<Value = HeldJobs> {
    (any::<u64>(), any::<u32>()).prop_map(|(after, count)| HeldJobs { after: JobSeq(after), count })
}

fn workers() -> impl Strategy<Value = Workers<'static>> {
    (any::<u64>(), text(), any::<u32>()).prop_map(|(session, after_worker, count)| Workers {
        after_session: SessionId(session),
        after_worker,
        count,
    })
}

fn string() -> impl Strategy<Value = String> {
    text().prop_map(str::to_owned)
}

pub(crate) fn task() -> impl Strategy<Value = Task> {
    let hold =
        (string(), string(), any::<u64>(), 0..3u8).prop_map(|(reason, by, timeout_ms, then)| {
            BulkAction::Hold { reason, by, timeout_ms, then: HoldEnd::from_u8(then).unwrap() }
        });
    let action = prop_oneof![
        Just(BulkAction::Cancel),
        Just(BulkAction::Delete),
        Just(BulkAction::Retry),
        Just(BulkAction::Requeue),
        hold,
        (string(), string()).prop_map(|(note, by)| BulkAction::Approve { note, by }),
        (string(), string()).prop_map(|(reason, by)| BulkAction::Reject { reason, by }),
        string().prop_map(|queue| BulkAction::Move { queue }),
        any::<u8>().prop_map(|priority| BulkAction::Prioritize { priority }),
    ];
    let texts = (string(), string());
    let numbers = (any::<u16>(), option::of(0..255u8), any::<u64>(), any::<u64>());
    let filter = (texts, numbers).prop_map(|((queue, limit_key), n)| JobFilter {
        queue,
        states: n.0,
        priority: n.1,
        limit_key,
        created_after_ms: n.2,
        created_before_ms: n.3,
    });
    prop_oneof![
        string().prop_map(|queue| Task::Clear { queue }),
        string().prop_map(|queue| Task::DeleteQueue { queue }),
        (action, filter, any::<bool>()).prop_map(|(action, filter, dry_run)| Task::Bulk {
            action,
            filter,
            dry_run
        }),
    ]
}

pub(crate) fn amounts() -> impl Strategy<Value = Amounts> {
    any::<[u64; 5]>().prop_map(|n| Amounts {
        input_tokens: n[0],
        output_tokens: n[1],
        cache_creation_tokens: n[2],
        cache_read_tokens: n[3],
        cost_micros: n[4],
    })
}

/// Usage of some of the first five of a list.
fn usages() -> impl Strategy<Value = Vec<Option<Usage<'static>>>> {
    let usage = (amounts(), text(), text()).prop_map(|(amounts, model, provider)| Usage {
        amounts,
        model,
        provider,
    });
    vec(option::weighted(0.3, usage), 5)
}

fn reports(len: usize, usages: &[Option<Usage<'static>>]) -> Vec<ReportUsage<'static>> {
    let some = (0..len as u32).zip(usages);
    some.filter_map(|(of, usage)| Some(ReportUsage { of, usage: (*usage)? })).collect()
}

fn usage_query() -> impl Strategy<Value = UsageQuery<'static>> {
    (any::<[u64; 2]>(), 0..4u8, option::of(text())).prop_map(|(at, by, after)| UsageQuery {
        from: Micros(at[0]),
        to: Micros(at[1]),
        by: UsageGroup::from_u8(by).unwrap(),
        after,
    })
}

fn agent() -> impl Strategy<Value = Agent<'static>> {
    let replayed = (job_id(), any::<u32>())
        .prop_filter("no job is 0", |(job, _)| *job != JobId::default())
        .prop_map(|(job, iteration)| Replayed { job, iteration });
    (any::<[u64; 2]>(), any::<u32>(), bytes(), option::of(replayed)).prop_map(
        |(n, max_iterations, checkpoint, replayed)| Agent {
            limits: AgentLimits {
                max_iterations,
                max_cost_micros: n[0],
                iteration_timeout_ms: n[1],
            },
            checkpoint,
            replayed,
        },
    )
}

fn agent_ack() -> impl Strategy<Value = AgentAck<'static>> {
    (any::<u8>(), bytes(), bytes()).prop_map(|(status, checkpoint, reason)| AgentAck {
        of: 0,
        status,
        checkpoint,
        reason,
    })
}

fn operate() -> impl Strategy<Value = Operate> {
    let cancel = (1..u64::MAX).prop_map(|id| Operate::Cancel { operation: OperationId(id) });
    let start =
        (task(), vec(job_id(), 0..4)).prop_map(|(task, jobs)| Operate::Start { task, jobs });
    prop_oneof![cancel, start]
}

fn archived() -> impl Strategy<Value = ArchivedControl<'static>> {
    let limits = (any::<u32>(), any::<u64>(), any::<u64>()).prop_map(
        |(max_iterations, max_cost_micros, iteration_timeout_ms)| AgentLimits {
            max_iterations,
            max_cost_micros,
            iteration_timeout_ms,
        },
    );
    let agent =
        (any::<u32>(), limits).prop_map(|(iteration, limits)| RevivedAgent { iteration, limits });
    let with = (bytes(), bytes(), option::of(job_id()), any::<u64>(), option::of(agent));
    let revive = (enqueue(), with).prop_map(|(content, with)| {
        let (checkpoint, progress, parent, cost_micros, agent) = with;
        // Neither goes along.
        let content = Enqueue { key: b"", when: When::Now, ..content };
        let parent = parent.filter(|parent| *parent != JobId::default());
        let revive = Revive { content, checkpoint, progress, parent, cost_micros, agent };
        ArchivedAction::Revive(Box::new(revive))
    });
    let action = prop_oneof![
        3 => revive,
        1 => Just(ArchivedAction::Delete),
        1 => text().prop_map(|queue| ArchivedAction::Move { queue }),
    ];
    (job_id(), action).prop_map(|(job, action)| ArchivedControl { job, action })
}

pub(crate) fn request() -> impl Strategy<Value = Request<'static>> {
    let ack = (job_ref(), bytes()).prop_map(|(job, result)| Ack { job, result });
    let fail = (job_ref(), bytes(), bytes(), any::<bool>())
        .prop_map(|(job, error, backtrace, no_retry)| Fail { job, error, backtrace, no_retry });
    let beat = (job_ref(), any::<u32>(), bytes(), bytes()).prop_map(
        |(job, extend_ms, progress, checkpoint)| Heartbeat { job, extend_ms, progress, checkpoint },
    );
    let ids = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    let job = (enqueue(), option::weighted(0.1, hold()), option::weighted(0.1, plan()));
    let jobs = (vec(job, 0..30), vec(ack, 0..5));
    let results = (vec(fail, 0..5), vec(beat, 0..5));
    let refs =
        (vec(job_ref(), 0..4), vec(job_id(), 0..4), vec(job_id(), 0..4), vec(job_control(), 0..4));
    let rest = (vec(queue_control(), 0..3), option::of(fetch()), vec(job_id(), 0..4), stats());
    let observed = (
        option::of(history()),
        option::of(history()),
        option::of(workers()),
        option::weighted(0.2, children()),
        option::weighted(0.2, held()),
    );
    // Kept apart, so that a request with everything fits a test's stack.
    let observed = observed.boxed();
    let rest = (rest, vec(append(), 0..4), observed, ties());
    let schedules = (vec(schedule_control(), 0..4), query());
    let usage = (usages(), usages(), option::of(usage_query()));
    let agents = (vec(option::weighted(0.2, agent()), 30), vec(agent_ack(), 5));
    let usage = (usage, agents, option::of(history())).boxed();
    let rules = (vec(crate::rules::control(), 0..4), vec(archived(), 0..4)).boxed();
    let rest = (rest, schedules, option::weighted(0.3, operate()), usage, rules);
    (ids, jobs, results, refs, rest).prop_map(
        |(
            ids,
            jobs,
            results,
            refs,
            (
                (rest, appends, observed, ties),
                schedules,
                operation,
                (usage, agents, iterations),
                (rule_controls, archived),
            ),
        )| {
            let (history, errors, workers, children, held) = observed;
            Request {
                session: SessionId(ids.0),
                number: ids.1,
                confirmed_below: ids.2,
                extend_session_ms: ids.3,
                enqueues: jobs.0.iter().map(|(enqueue, ..)| *enqueue).collect(),
                holds: (0..)
                    .zip(&jobs.0)
                    .filter_map(|(enqueue, (_, hold, _))| {
                        Some(EnqueueHold { enqueue, hold: (*hold)? })
                    })
                    .collect(),
                plans: (0..)
                    .zip(&jobs.0)
                    .filter_map(|(enqueue, (.., plan))| {
                        let (deadline_ms, kinds) = plan.clone()?;
                        Some(EnqueuePlan { enqueue, deadline_ms, kinds })
                    })
                    .collect(),
                ack_usages: reports(jobs.1.len(), &usage.0),
                heartbeat_usages: reports(results.1.len(), &usage.1),
                usage: usage.2,
                agents: (0..jobs.0.len() as u32)
                    .zip(&agents.0)
                    .filter_map(|(enqueue, agent)| Some(EnqueueAgent { enqueue, agent: (*agent)? }))
                    .collect(),
                agent_acks: (0..jobs.1.len() as u32)
                    .zip(agents.1)
                    .map(|(of, ack)| AgentAck { of, ..ack })
                    .filter(|ack| ack.status > 0)
                    .collect(),
                iterations,
                rule_controls,
                archived,
                appends,
                history,
                errors,
                workers,
                children,
                held,
                acks: jobs.1,
                fails: results.0,
                heartbeats: results.1,
                releases: refs.0,
                cancels: refs.1,
                deletes: refs.2,
                job_controls: refs.3,
                queue_controls: rest.0,
                fetch: rest.1,
                lookups: rest.2,
                stats: rest.3,
                ties,
                operation,
                schedule_controls: schedules.0,
                schedules: schedules.1,
            }
        },
    )
}

pub(crate) fn client_frame() -> impl Strategy<Value = ClientFrame<'static>> {
    let numbers = (any::<u16>(), any::<u16>(), any::<u128>(), any::<u64>(), any::<u16>());
    let hello = (numbers, bytes(), text(), text()).prop_map(|(n, token, name, host)| Hello {
        version_min: n.0,
        version_max: n.1,
        client: n.2,
        resume_session: SessionId(n.3),
        shard: ShardId(n.4),
        token,
        name,
        host,
    });
    let subscribe = (any::<u32>(), vec(text(), 0..5), any::<u32>(), text()).prop_map(
        |(subscription, queues, lease_ms, worker)| Subscribe {
            subscription,
            queues,
            lease_ms,
            worker,
        },
    );
    prop_oneof![
        8 => request().prop_map(ClientFrame::Request),
        2 => hello.prop_map(ClientFrame::Hello),
        1 => subscribe.prop_map(ClientFrame::Subscribe),
        1 => (any::<u32>(), any::<u32>())
            .prop_map(|(subscription, add)| ClientFrame::Credit { subscription, add }),
        1 => any::<u32>().prop_map(|subscription| ClientFrame::Unsubscribe { subscription }),
        1 => Just(ClientFrame::Goodbye),
        1 => any::<u64>().prop_map(|nonce| ClientFrame::Ping { nonce }),
    ]
}

fn welcome() -> impl Strategy<Value = Welcome<'static>> {
    let endpoint = (any::<u16>(), text(), any::<bool>())
        .prop_map(|(shard, address, leader)| Endpoint { shard: ShardId(shard), address, leader });
    let durability = prop_oneof![
        Just(Durability::None),
        any::<u32>().prop_map(Durability::IntervalMs),
        Just(Durability::Fsync)
    ];
    let numbers = (any::<u16>(), any::<u64>(), any::<u16>(), any::<u16>(), any::<u64>());
    let settings = (any::<u64>(), any::<u64>(), any::<u32>());
    let rest = (text(), any::<u128>(), settings);
    (numbers, vec(endpoint, 0..9), any::<u32>(), durability, rest).prop_map(
        |(n, endpoints, limit, durability, (server_version, store, more))| Welcome {
            version: n.0,
            session: SessionId(n.1),
            shard: ShardId(n.2),
            shards: n.3,
            endpoints,
            limits: Limits { lease_ms_max: limit, frame_bytes_max: !limit, ..Limits::default() },
            server_time: Micros(n.4),
            durability,
            server_version,
            store,
            abilities: Abilities(more.0),
            settings: ServerSettings { retention_ms: more.1, lease_expiries_max: more.2 },
        },
    )
}

/// Every frame of a server but replies and deliveries, which are encoded from other types.
pub(crate) fn small_server_frame() -> impl Strategy<Value = ServerFrame<'static>> {
    let lost = (job_ref(), code()).prop_map(|(job, code)| LostLease { job, code });
    let refused = (code(), text(), any::<u16>(), any::<u16>(), any::<u32>(), text()).prop_map(
        |(code, message, version_min, version_max, retry_after_ms, redirect)| Refused {
            code,
            message,
            version_min,
            version_max,
            retry_after_ms,
            redirect,
        },
    );
    prop_oneof![
        welcome().prop_map(ServerFrame::Welcome),
        vec(lost, 0..9).prop_map(ServerFrame::Lost),
        refused.prop_map(ServerFrame::Refused),
        (any::<u32>(), text())
            .prop_map(|(grace_ms, message)| ServerFrame::GoAway { grace_ms, message }),
        (any::<u64>(), any::<u64>())
            .prop_map(|(nonce, time)| ServerFrame::Pong { nonce, server_time: Micros(time) }),
    ]
}
