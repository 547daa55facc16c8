//! Replies and deliveries: encoded from what the shard knows, decoded to what a client sees.

use jobbie_proto::event::HoldEnd;
use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::reply::{Enqueued, Failed, JobState, Lease, QueueStats, Reply, ShardStats};
use jobbie_proto::wire::{
    Encoder, EnqueuedRun, FrameReader, JobBytes, JobDetails, LeaseBytes, LeasedJob, Lookup,
    ReplyFrame, ReplyHead, ServerFrame, StatsAnswer,
};
use jobbie_proto::{Code, EventSeq, JobId, JobSeq, LeaseToken, Micros, ShardId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::strategies::{backoff, bytes, code, job_id, settings, text};

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
    let more = prop_oneof![Just((0, 0, 0)), (any::<u64>(), any::<u32>(), 0..3u8)];
    let details = (0..8u8, text(), numbers, backoff(), times, job_bytes, more).prop_map(
        |(state, queue, n, backoff, t, bytes, more)| JobDetails {
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
            bytes,
        },
    );
    (job_id(), option::of(details)).prop_map(|(job, details)| Lookup { job, details })
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
    let reply = (code(), lists, vec(lease(), 0..6)).prop_map(|(code, lists, leases)| Reply {
        code,
        enqueued: lists.0,
        acks: lists.1,
        fails: lists.2,
        heartbeats: lists.3,
        releases: lists.4,
        cancels: lists.5,
        deletes: lists.6,
        job_controls: lists.7,
        leases,
    });
    let counts = (any::<[u64; 8]>(), any::<u64>(), any::<u32>());
    let queue = (text(), any::<bool>(), any::<bool>(), counts, settings()).prop_map(
        |(queue, paused, draining, (jobs, enqueued_total, keys), settings)| QueueStats {
            queue: queue.to_owned(),
            paused,
            draining,
            settings,
            keys,
            jobs,
            enqueued_total,
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
    let rest = (vec(lookup(), 0..4), vec(queue, 0..4), option::of(shard));
    (reply, lease_bytes, (text(), text()), rest).prop_map(|(reply, bytes, texts, rest)| Parts {
        reply,
        bytes,
        texts,
        lookups: rest.0,
        queues: rest.1,
        shard: rest.2,
    })
}

fn leased(lease: &Lease, bytes: &Bytes) -> LeasedJob<'static> {
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
    }
}

fn lease_bytes(bytes: &Bytes) -> LeaseBytes<'static> {
    LeaseBytes { queue: bytes.0, payload: bytes.1, tags: bytes.2, checkpoint: bytes.3 }
}

impl Parts {
    pub(crate) fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let (message, redirect) = self.texts;
        let head = ReplyHead { number: 77, shard: SHARD, message, retry_after_ms: 5, redirect };
        let stats = StatsAnswer { queues: &self.queues, shard: self.shard };
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
            leases: reply.leases.iter().zip(&self.bytes).map(|(l, b)| leased(l, b)).collect(),
            lookups: self.lookups.clone(),
            queue_stats: self.queues.clone(),
            shard_stats: self.shard,
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
        let (mut out, leases) = (vec![], &parts.reply.leases);
        let source = |nth: usize, _: &Lease| lease_bytes(&parts.bytes[nth]);
        Encoder::new().deliver(&mut out, 9, SHARD, leases, source).unwrap();
        let leases = leases.iter().zip(&parts.bytes).map(|(l, b)| leased(l, b)).collect();
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
    let stats = StatsAnswer { queues: &[], shard };
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
