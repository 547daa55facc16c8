//! What operations on many jobs mean for those who wait for the jobs.

use jobbie_proto::event::{BulkAction, JobFilter, Task};
use jobbie_proto::reply::JobState;
use jobbie_proto::{Code, Request, ShardId};

use crate::cases::{chain, members, open, seal, state, text, waits};
use crate::net::{Net, enqueue};

const HERE: ShardId = ShardId(0);

/// Of a batch over two queues and two shards, the queue with two members is emptied.
fn emptied(task: fn(String) -> Task) -> Net {
    let mut net = Net::new(2);
    let (a, b, done) = (net.queue(0), net.queue(1), "done");
    let batch = open(&mut net, Some(enqueue(done)));
    net.enqueue(members(&a, batch, 1));
    net.enqueue(members(&b, batch, 2));
    assert_eq!(seal(&mut net, batch, 3), Code::Ok);
    let job = net.fetch(&a, 1).remove(0).0;
    net.ack(job, b"");
    net.operate(ShardId(1), task(b.clone()), Vec::new());
    net.settle();
    assert!(net.fetch(&b, 1).is_empty());
    let called = net.fetch(done, 9);
    assert_eq!(called.len(), 1, "it calls back once");
    let expected = format!(r#"{{"batch":{{"failed":2,"id":"{batch}","succeeded":1,"total":3}}}}"#);
    assert_eq!(text(&called[0].1), expected);
    net.node(HERE).take_snapshot();
    net.nodes.iter_mut().for_each(crate::net::Node::restart);
    net.settle();
    assert!(net.fetch(done, 9).is_empty());
    net
}

#[test]
fn members_in_a_queue_that_is_cleared_count_as_failed() {
    emptied(|queue| Task::Clear { queue });
}

#[test]
fn members_in_a_queue_that_is_deleted_count_as_failed_and_jobs_come_into_it_again() {
    let mut net = emptied(|queue| Task::DeleteQueue { queue });
    let b = net.queue(1);
    assert_eq!(net.nodes[1].state.queue_stats(&b), None);
    // A step of a chain brings the queue back.
    let a = net.queue(0);
    net.enqueue(chain(&a, &[&b]));
    let job = net.fetch(&a, 1).remove(0).0;
    net.ack(job, b"");
    net.settle();
    assert_eq!(net.fetch(&b, 2).len(), 1);
}

#[test]
fn an_active_member_of_a_queue_that_is_deleted_counts_once() {
    let mut net = Net::new(1);
    let batch = open(&mut net, Some(enqueue("done")));
    net.enqueue(members("q", batch, 2));
    seal(&mut net, batch, 2);
    let active = net.fetch("q", 1).remove(0).0;
    net.operate(HERE, Task::DeleteQueue { queue: "q".into() }, Vec::new());
    net.settle();
    assert_ne!(net.ack(active, b""), Code::Ok);
    net.settle();
    let view = net.nodes[0].state.batch(batch).expect("kept");
    assert_eq!((view.succeeded, view.failed), (0, 2));
    assert_eq!(net.fetch("done", 9).len(), 1);
}

#[test]
fn a_chain_whose_jobs_are_cancelled_together_stops() {
    let mut net = Net::new(2);
    let (a, b) = (net.queue(0), net.queue(1));
    let mut request = chain(&a, &[&b]);
    request.ties.chains[0].on_failure = Some(enqueue(&b));
    request.ties.chains[0].on_exit = Some(enqueue(&b));
    let first = net.enqueue(request)[0];
    let active = net.fetch(&a, 1).remove(0).0;
    let filter = JobFilter::of_queue(&a);
    let task = Task::Bulk { action: BulkAction::Cancel, filter, dry_run: false };
    net.operate(HERE, task, Vec::new());
    net.settle();
    assert_eq!(state(&net, first), Ok(JobState::Cancelled));
    assert_ne!(net.ack(active, b""), Code::Ok);
    net.settle();
    assert!(net.fetch(&b, 1).is_empty());
    // Sent off again together, it goes on.
    let filter = JobFilter::of_queue(&a);
    let task = Task::Bulk { action: BulkAction::Retry, filter, dry_run: false };
    net.operate(HERE, task, Vec::new());
    let again = net.fetch(&a, 1).remove(0).0;
    net.ack(again, b"");
    net.settle();
    assert_eq!(net.fetch(&b, 2).len(), 1);
}

#[test]
fn a_job_that_waits_for_others_is_cleared_moved_and_sent_off_like_any_that_is_scheduled() {
    let mut net = Net::new(1);
    let on = net.enqueue(Request { enqueues: vec![enqueue("on")], ..Request::default() })[0];
    let [cleared, moved, sent] =
        ["cleared", "moved", "sent"].map(|queue| net.enqueue(waits(queue, &[on]))[0]);
    net.operate(HERE, Task::Clear { queue: "cleared".into() }, Vec::new());
    assert_eq!(state(&net, cleared), Err(Code::NotFound));
    let bulk = |action, queue| {
        let filter = JobFilter::of_queue(queue).in_states(&[JobState::Scheduled]);
        Task::Bulk { action, filter, dry_run: false }
    };
    net.operate(HERE, bulk(BulkAction::Move { queue: "elsewhere".into() }, "moved"), Vec::new());
    net.operate(HERE, bulk(BulkAction::Prioritize { priority: 0 }, "elsewhere"), Vec::new());
    net.operate(HERE, bulk(BulkAction::Retry, "sent"), Vec::new());
    assert_eq!(net.fetch("sent", 1).remove(0).0.job, sent);
    assert!(net.fetch("elsewhere", 1).is_empty(), "it still waits");
    let job = net.fetch("on", 1).remove(0).0;
    net.ack(job, b"");
    net.settle();
    assert!(net.fetch("cleared", 1).is_empty());
    assert_eq!(net.fetch("elsewhere", 1).remove(0).0.job, moved);
}

#[test]
fn what_is_deleted_together_is_waited_for_in_vain() {
    let mut net = Net::new(2);
    let (a, b) = (net.queue(0), net.queue(1));
    let gone = net.enqueue(Request { enqueues: vec![enqueue(&a)], ..Request::default() })[0];
    let early = net.enqueue(waits(&b, &[gone]))[0];
    net.settle();
    net.operate(HERE, Task::DeleteQueue { queue: a.clone() }, Vec::new());
    let late = net.enqueue(waits(&b, &[gone]))[0];
    net.settle();
    assert!(net.fetch(&b, 2).is_empty());
    for job in [early, late] {
        assert_eq!(state(&net, job), Ok(JobState::Scheduled));
    }
}
