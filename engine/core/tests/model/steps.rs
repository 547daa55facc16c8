//! What a history is made of.

use proptest::prelude::*;

use crate::naive_archive::Archived;
use crate::operations::Meant;

/// One operation; jobs are named by how recently they were made.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Enqueue {
        queue: usize,
        options: u8,
        key: usize,
        unique: usize,
        times: u8,
        hold: Option<u8>,
        plan: Option<u8>,
        agent: Option<u8>,
    },
    Ack {
        job: usize,
        token: u8,
        usage: Option<u8>,
        said: Option<u8>,
    },
    Fail {
        job: usize,
        token: u8,
        no_retry: bool,
    },
    Heartbeat {
        job: usize,
        token: u8,
        extend_ms: u32,
        with: u8,
        usage: Option<u8>,
    },
    Release {
        job: usize,
        token: u8,
    },
    Cancel {
        job: usize,
    },
    Delete {
        job: usize,
    },
    Pause {
        queue: usize,
        paused: bool,
    },
    Fetch {
        queues: Vec<usize>,
        count: u32,
        lease_ms: u32,
        wait: bool,
    },
    Extend {
        ms: u32,
    },
}

/// One step of a history.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Request { client: u8, ops: Vec<Op>, confirm: bool },
    Control { client: u8, jobs: Vec<(usize, u8, u8)> },
    Archive { client: u8, jobs: Vec<Archived> },
    Configure { client: u8, queue: usize, limits: [u8; 4] },
    Append { client: u8, events: Vec<(usize, usize, u8)> },
    Schedule { client: u8, controls: Vec<(usize, usize, u8, u8)> },
    Repeat { client: u8, back: u64 },
    Advance { us: u64 },
    Timers { limit: usize },
    Operate { client: u8, meant: Meant },
    CancelOperation { client: u8, back: usize },
    Operations { limit: usize, times: usize },
    Close { client: u8 },
    Sight { client: u8, name: usize, queues: usize },
    Restart,
    HoldSnapshot,
}

impl Step {
    /// What it asks of the engine: the passing of time is none.
    pub(crate) fn commands(&self) -> u64 {
        let n = match self {
            Step::Request { ops, .. } => ops.len(),
            Step::Control { jobs, .. } => jobs.len(),
            Step::Archive { jobs, .. } => jobs.len(),
            Step::Append { events, .. } => events.len(),
            Step::Schedule { controls, .. } => controls.len(),
            Step::Operations { times, .. } => *times,
            Step::Advance { .. } => 0,
            Step::Configure { .. }
            | Step::Repeat { .. }
            | Step::Timers { .. }
            | Step::Operate { .. }
            | Step::CancelOperation { .. }
            | Step::Close { .. }
            | Step::Sight { .. }
            | Step::Restart
            | Step::HoldSnapshot => 1,
        };
        n as u64
    }
}

fn op() -> impl Strategy<Value = Op> {
    let job = || 0..12_usize;
    let token = || 0..4_u8;
    let hold = prop::option::weighted(0.15, 0..3_u8);
    let plan = prop::option::weighted(0.15, 0..4_u8);
    let agent = || prop::option::weighted(0.3, any::<u8>());
    let usage = || prop::option::weighted(0.4, any::<u8>());
    prop_oneof![
        6 => (0..3_usize, any::<u8>(), 0..4_usize, 0..6_usize, 1..4_u8, hold, plan, agent()).prop_map(
            |(queue, options, key, unique, times, hold, plan, agent)| {
                Op::Enqueue { queue, options, key, unique, times, hold, plan, agent }
            }),
        3 => (job(), token(), usage(), agent())
            .prop_map(|(job, token, usage, said)| Op::Ack { job, token, usage, said }),
        2 => (job(), token(), any::<bool>())
            .prop_map(|(job, token, no_retry)| Op::Fail { job, token, no_retry }),
        2 => (job(), token(), prop_oneof![Just(0), 100..3000_u32], 0..4_u8, usage()).prop_map(
            |(job, token, extend_ms, with, usage)| {
                Op::Heartbeat { job, token, extend_ms, with, usage }
            }),
        1 => (job(), token()).prop_map(|(job, token)| Op::Release { job, token }),
        1 => job().prop_map(|job| Op::Cancel { job }),
        1 => job().prop_map(|job| Op::Delete { job }),
        1 => (0..3_usize, prop::bool::weighted(0.3))
            .prop_map(|(queue, paused)| Op::Pause { queue, paused }),
        5 => (prop::collection::vec(0..3_usize, 1..4), 1..6_u32, 100..3000_u32, any::<bool>())
            .prop_map(|(queues, count, lease_ms, wait)| Op::Fetch { queues, count, lease_ms, wait }),
        1 => (100..3000_u32).prop_map(|ms| Op::Extend { ms }),
    ]
}

/// A history.
pub(crate) fn steps(len: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..3_u8, prop::collection::vec(op(), 1..6), any::<bool>())
            .prop_map(|(client, ops, confirm)| Step::Request { client, ops, confirm }),
        6 => (0..3_u8, prop::collection::vec((0..12_usize, 0..9_u8, any::<u8>()), 1..4))
            .prop_map(|(client, jobs)| Step::Control { client, jobs }),
        4 => (0..3_u8, prop::collection::vec((0..12_usize, 0..6_u8, any::<u8>(), 0..6_usize), 1..3))
            .prop_map(|(client, jobs)| Step::Archive { client, jobs }),
        2 => (0..3_u8, 0..3_usize, any::<[u8; 4]>())
            .prop_map(|(client, queue, limits)| Step::Configure { client, queue, limits }),
        3 => (0..3_u8, prop::collection::vec((0..12_usize, 0..5_usize, 0..9_u8), 1..4))
            .prop_map(|(client, events)| Step::Append { client, events }),
        3 => (0..3_u8, prop::collection::vec((0..3_usize, 0..2_usize, 0..8_u8, any::<u8>()), 1..3))
            .prop_map(|(client, controls)| Step::Schedule { client, controls }),
        1 => (0..3_u8, 0..4_u64).prop_map(|(client, back)| Step::Repeat { client, back }),
        4 => prop_oneof![0..2_000_u32, 100_000..2_000_000_u32]
            .prop_map(|us| Step::Advance { us: us.into() }),
        1 => (20_000_000..400_000_000_u64).prop_map(|us| Step::Advance { us }),
        1 => Just(Step::Advance { us: 7 * 86_400_000_000 - 1_000_000 }),
        3 => (1..20_usize).prop_map(|limit| Step::Timers { limit }),
        3 => (0..3_u8, crate::operations::meant())
            .prop_map(|(client, meant)| Step::Operate { client, meant }),
        1 => (0..3_u8, 0..4_usize)
            .prop_map(|(client, back)| Step::CancelOperation { client, back }),
        6 => (1..6_usize, 1..4_usize)
            .prop_map(|(limit, times)| Step::Operations { limit, times }),
        1 => (0..3_u8).prop_map(|client| Step::Close { client }),
        2 => (0..3_u8, 0..2_usize, 1..4_usize)
            .prop_map(|(client, name, queues)| Step::Sight { client, name, queues }),
        1 => Just(Step::Restart),
        1 => Just(Step::HoldSnapshot),
    ];
    prop::collection::vec(step, 1..len)
}
