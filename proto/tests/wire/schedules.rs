//! Random schedules, of both directions.

use jobbie_proto::event::Missed;
use jobbie_proto::reply::ScheduleDone;
use jobbie_proto::request::{Definition, ScheduleAction, ScheduleControl, Schedules};
use jobbie_proto::wire::{ScheduleChanged, ScheduleDetails};
use jobbie_proto::{JobId, JobSeq, Micros, ShardId};
use proptest::option;
use proptest::prelude::*;

use crate::strategies::{backoff, bytes, code, job_id, text};

fn definition() -> impl Strategy<Value = Definition<'static>> {
    let texts = (text(), text(), text(), bytes(), bytes(), bytes());
    let numbers = (any::<u64>(), any::<u64>(), any::<u8>(), any::<[u32; 3]>());
    (texts, numbers, backoff(), 0..3u8).prop_map(|(texts, numbers, backoff, missed)| Definition {
        expression: texts.0,
        zone: texts.1,
        limit_key: texts.2,
        payload: texts.3,
        tags: texts.4,
        unique: texts.5,
        unique_ms: numbers.0,
        expire_after_ms: numbers.1,
        priority: numbers.2,
        max_retries: numbers.3[0],
        backoff_base_ms: numbers.3[1],
        backoff_cap_ms: numbers.3[2],
        backoff,
        missed: Missed::from_u8(missed).unwrap(),
    })
}

pub(crate) fn control() -> impl Strategy<Value = ScheduleControl<'static>> {
    let action = prop_oneof![
        definition().prop_map(ScheduleAction::Set),
        Just(ScheduleAction::Pause),
        Just(ScheduleAction::Resume),
        Just(ScheduleAction::Run),
        Just(ScheduleAction::Delete),
    ];
    (text(), text(), action).prop_map(|(queue, name, action)| ScheduleControl {
        queue,
        name,
        action,
    })
}

pub(crate) fn query() -> impl Strategy<Value = Schedules<'static>> {
    prop_oneof![
        2 => Just(Schedules::None),
        1 => (text(), text(), any::<u16>())
            .prop_map(|(queue, name, times)| Schedules::One { queue, name, times }),
        1 => (text(), text(), text()).prop_map(|(queue, after_queue, after_name)| {
            Schedules::List { queue, after_queue, after_name }
        }),
    ]
}

pub(crate) fn done() -> impl Strategy<Value = ScheduleDone> {
    let job = prop_oneof![Just((0, 0)), (1..1u64 << 49, 0..1u64 << 44)];
    (code(), any::<u64>(), job).prop_map(|(code, next, (job, created_ms))| ScheduleDone {
        code,
        next: Micros(next),
        job: JobSeq(job),
        created_ms,
    })
}

/// What a client sees of it.
pub(crate) fn changed(shard: ShardId, done: &ScheduleDone) -> ScheduleChanged {
    let job = (done.job.0 > 0).then(|| JobId::new(done.created_ms, shard, done.job));
    ScheduleChanged { code: done.code, next: done.next, job }
}

pub(crate) fn details() -> impl Strategy<Value = ScheduleDetails<'static>> {
    let job = option::of(job_id().prop_filter("no job has the id 0", |id| id.to_u128() > 0));
    (text(), text(), definition(), any::<bool>(), any::<[u64; 4]>(), job).prop_map(
        |(queue, name, definition, paused, numbers, last_job)| ScheduleDetails {
            queue,
            name,
            definition,
            paused,
            next: Micros(numbers[0]),
            last_planned: Micros(numbers[1]),
            last_job,
            fired: numbers[2],
            skipped: numbers[3],
        },
    )
}
