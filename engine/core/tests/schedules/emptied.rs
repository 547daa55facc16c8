//! Schedules of queues that are emptied and deleted.

use jobbie_core::decide_operations;
use jobbie_proto::event::Task;
use jobbie_proto::request::Operate;

use super::*;

fn begin(shard: &mut Shard, task: Task) {
    let operation = Some(Operate::Start { task, jobs: Vec::new() });
    let request = Request { operation, ..shard.request() };
    assert_eq!(shard.run(&request).operated.map(|operated| operated.code), Some(Code::Ok));
}

fn finish(shard: &mut Shard) {
    loop {
        let events = decide_operations(&shard.state, shard.now, 2, &mut Vec::new());
        if events.is_empty() {
            return;
        }
        shard.state.absorb(shard.now, &Group { events, ..Group::default() });
        shard.state.check();
    }
}

#[test]
fn a_job_that_waits_to_be_removed_does_not_keep_a_schedule_from_making_another() {
    let tasks: [fn(String) -> Task; 2] =
        [|queue| Task::Clear { queue }, |queue| Task::DeleteQueue { queue }];
    for task in tasks {
        let mut shard = shard_at(SPRING);
        let unique_ms = DAY / 1000;
        shard.set("often", Definition { unique: b"one", unique_ms, ..definition("* * * * *", "") });
        shard.pass(SPRING + MINUTE);
        let before = shard.schedule("often").last_job.expect("it ran");
        begin(&mut shard, task("q".into()));
        let run = shard.control("often", ScheduleAction::Run);
        assert_eq!(run.code, Code::Ok);
        assert_ne!(run.job, before.seq());
        finish(&mut shard);
        assert_eq!(shard.state.job(before), Err(Code::NotFound));
        assert_eq!(shard.fetch("q", 9).len(), 1, "the later one stays");
        assert_eq!(shard.control("often", ScheduleAction::Run).code, Code::Duplicate);
    }
}

#[test]
fn a_schedule_outlives_its_queue_and_brings_it_back() {
    let mut shard = shard_at(SPRING);
    shard.set("often", definition("* * * * *", ""));
    shard.pass(SPRING + 2 * MINUTE);
    begin(&mut shard, Task::DeleteQueue { queue: "q".into() });
    finish(&mut shard);
    assert_eq!(shard.state.queue_stats("q"), None);
    let restored = State::restore(shard.state.snapshot().collect::<Vec<_>>()).expect("a snapshot");
    restored.check();
    assert_eq!(restored.schedule("q", "often"), shard.state.schedule("q", "often"));
    assert_eq!(shard.pass(SPRING + 3 * MINUTE), [SPRING + 3 * MINUTE]);
    let stats = shard.state.queue_stats("q").expect("it is used again");
    assert_eq!(stats.enqueued_total, 1);
}
