//! What hangs on the old id of a job that went to another shard: keys, batches, chains, and who waits for whom.

use jobbie_proto::event::HoldEnd;
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Chain, Enqueue, Hold, JobAction, JobRef, Ties, When};
use jobbie_proto::{Code, Request, ShardId};

use crate::cases::{chain, members, open, seal, state, text, waits};
use crate::moves::{control, held, move_to, now_of, one, view};
use crate::net::{Net, enqueue};

#[test]
fn a_unique_key_stays_with_the_old_queue_until_the_job_ends_where_it_is() {
    let ends: [fn(&mut Net, JobRef); 3] = [
        |net, job| assert_eq!(net.ack(job, b""), Code::Ok),
        |net, job| net.fail(job, b"no"),
        |net, job| {
            let deletes = vec![job.job];
            net.run(job.job.shard(), Request { deletes, ..Request::default() });
        },
    ];
    for end in ends {
        let mut net = Net::new(2);
        let (here, there) = (net.queue(0), net.queue(1));
        let unique = Enqueue { unique: b"u", unique_ms: 60_000, ..enqueue(&here) };
        let old = one(&mut net, unique);
        move_to(&mut net, old, &there);
        assert_eq!(one(&mut net, unique), old, "a duplicate names the id it knows");
        net.settle();
        assert_eq!(one(&mut net, unique), old);
        net.restart_all();
        let (lease, _) = net.fetch(&there, 1)[0].clone();
        assert_eq!(one(&mut net, unique), old);
        end(&mut net, lease);
        assert_eq!(one(&mut net, unique), old, "its end is not known yet");
        net.settle();
        assert_ne!(one(&mut net, unique), old);
    }
}

#[test]
fn an_idempotency_key_answers_with_the_id_it_knows() {
    let mut net = Net::new(2);
    let (here, there) = (net.queue(0), net.queue(1));
    let keyed = Enqueue { key: b"k", key_ms: 60_000, ..enqueue(&here) };
    let old = one(&mut net, keyed);
    move_to(&mut net, old, &there);
    net.settle();
    assert_eq!(one(&mut net, keyed), old);
    let (lease, _) = net.fetch(&there, 1)[0].clone();
    net.ack(lease, b"");
    net.settle();
    assert_eq!(one(&mut net, keyed), old);
}

#[test]
fn jobs_that_wait_for_a_moved_one_go_on_when_it_is_completed_there() {
    let mut net = Net::new(3);
    let (here, there, third) = (net.queue(0), net.queue(1), net.queue(2));
    let old = one(&mut net, enqueue(&here));
    net.enqueue(waits(&here, &[old]));
    net.enqueue(waits(&third, &[old]));
    move_to(&mut net, old, &there);
    net.settle();
    net.enqueue(waits(&third, &[old]));
    let new = now_of(&net, old);
    net.enqueue(waits(&here, &[new]));
    net.settle();
    for queue in [&here, &third] {
        assert!(net.fetch(queue, 9).is_empty(), "it is not completed");
    }
    let (lease, _) = net.fetch(&there, 1)[0].clone();
    // Dead and revived is not completed.
    net.fail(lease, b"no");
    net.settle();
    assert!(net.fetch(&here, 9).is_empty() && net.fetch(&third, 9).is_empty());
    assert_eq!(control(&mut net, new, JobAction::Retry), Code::Ok);
    let (lease, _) = net.fetch(&there, 1)[0].clone();
    net.ack(lease, b"");
    net.settle();
    assert_eq!((net.fetch(&here, 9).len(), net.fetch(&third, 9).len()), (2, 2));
}

#[test]
fn a_job_that_waits_asks_anew_under_its_new_id() {
    for held_too in [false, true] {
        let mut net = Net::new(3);
        let (here, there, third) = (net.queue(0), net.queue(1), net.queue(2));
        let on: Vec<_> = [&here, &there, &third].map(|queue| one(&mut net, enqueue(queue))).into();
        let due = net.now.plus_ms(50_000);
        let mut request = waits(&here, &on);
        request.enqueues[0].when = When::At(due);
        let old = net.enqueue(request)[0];
        // One is completed before it goes, and one while it is on its way.
        let (lease, _) = net.fetch(&there, 1)[0].clone();
        net.ack(lease, b"");
        net.settle();
        assert_eq!(view(&net, old).waits_for, 2);
        if held_too {
            let hold = Hold { timeout_ms: 0, then: HoldEnd::Stay, ..held() };
            assert_eq!(control(&mut net, old, JobAction::Hold(hold)), Code::Ok);
        }
        move_to(&mut net, old, &there);
        let (lease, _) = net.fetch(&third, 1)[0].clone();
        net.ack(lease, b"");
        net.settle();
        let new = now_of(&net, old);
        net.restart_all();
        let after = view(&net, new);
        let expected = if held_too { JobState::Held } else { JobState::Scheduled };
        assert_eq!((after.state, after.waits_for), (expected, 1));
        if held_too {
            assert_eq!(control(&mut net, new, JobAction::Approve { note: b"", by: "" }), Code::Ok);
            assert_eq!(view(&net, new).state, JobState::Scheduled);
        } else {
            assert_eq!(after.due, due);
        }
        let (lease, _) = net.fetch(&here, 1)[0].clone();
        net.ack(lease, b"");
        net.settle();
        if !held_too {
            assert_eq!(view(&net, new).state, JobState::Scheduled, "for its own time");
            net.now = due;
            net.timers();
        }
        assert_eq!(net.fetch(&there, 9).len(), 1);
    }
}

#[test]
fn a_moved_member_counts_once_and_a_moved_step_goes_on() {
    let mut net = Net::new(3);
    let (here, there, third) = (net.queue(0), net.queue(1), net.queue(2));
    let batch = open(&mut net, Some(enqueue("callback")));
    let old = net.enqueue(members(&here, batch, 2));
    seal(&mut net, batch, 2);
    old.iter().for_each(|job| assert_eq!(move_to(&mut net, *job, &there), Code::Ok));
    net.settle();
    let leases = net.fetch(&there, 9);
    net.ack(leases[0].0, b"");
    net.fail(leases[1].0, b"no");
    net.settle();
    let view = net.nodes[0].state.batch(batch).expect("it is known");
    assert_eq!((view.succeeded, view.failed, view.called_back), (1, 1, true));

    let old = net.enqueue(chain(&here, &[&third, &there]))[0];
    move_to(&mut net, old, &there);
    net.settle();
    net.restart_all();
    let (lease, _) = net.fetch(&there, 1)[0].clone();
    net.ack(lease, b"{\"n\":1}");
    net.settle();
    let (lease, payload) = net.fetch(&third, 1)[0].clone();
    assert!(text(&payload).contains("\"previous_result\":{\"n\":1}"));
    // A step that is moved is a step still.
    let step = lease.job;
    net.run(step.shard(), Request { releases: vec![lease], ..Request::default() });
    move_to(&mut net, step, &here);
    net.settle();
    let (lease, _) = net.fetch(&here, 1)[0].clone();
    net.ack(lease, b"");
    net.settle();
    assert_eq!(net.fetch(&there, 9).len(), 1, "the last step");
}

#[test]
fn a_handler_that_has_run_does_not_run_again_after_a_move() {
    let mut net = Net::new(2);
    let (here, there) = (net.queue(0), net.queue(1));
    let on_failure = Some(enqueue("failures"));
    let steps = vec![enqueue(&here)];
    let chains = vec![Chain { enqueue: 0, steps, on_failure, on_exit: None }];
    let ties = Ties { chains, ..Ties::default() };
    let enqueues = vec![enqueue(&here)];
    let old = net.enqueue(Request { enqueues, ties, ..Request::default() })[0];
    let (lease, _) = net.fetch(&here, 1)[0].clone();
    net.fail(lease, b"no");
    net.settle();
    assert_eq!(net.fetch("failures", 9).len(), 1);
    move_to(&mut net, old, &there);
    net.settle();
    let new = now_of(&net, old);
    assert_eq!(control(&mut net, new, JobAction::Retry), Code::Ok);
    let (lease, _) = net.fetch(&there, 1)[0].clone();
    net.fail(lease, b"no");
    net.settle();
    assert_eq!(net.fetch("failures", 9).len(), 0);
    // It runs for another step that dies.
    assert_eq!(control(&mut net, new, JobAction::Retry), Code::Ok);
    let (lease, _) = net.fetch(&there, 1)[0].clone();
    net.ack(lease, b"");
    net.settle();
    let (lease, _) = net.fetch(&here, 1)[0].clone();
    net.fail(lease, b"no");
    net.settle();
    assert_eq!(net.fetch("failures", 9).len(), 1);
}

#[test]
fn a_job_that_moves_on_and_back_is_found_under_every_id_it_had() {
    let mut net = Net::new(3);
    let queues = [net.queue(0), net.queue(1), net.queue(2)];
    let first = one(&mut net, Enqueue { unique: b"u", unique_ms: 60_000, ..enqueue(&queues[0]) });
    let waits_for = net.enqueue(waits(&queues[2], &[first]))[0];
    let mut ids = vec![first];
    for to in [1, 2, 0, 1, 0] {
        let last = *ids.last().expect("one");
        assert_eq!(move_to(&mut net, last, &queues[to]), Code::Ok);
        net.settle();
        ids.push(now_of(&net, last));
    }
    let last = *ids.last().expect("one");
    for id in &ids[..ids.len() - 1] {
        assert_eq!(now_of(&net, *id), last, "every stub knows where it is now");
    }
    net.restart_all();
    let (lease, _) = net.fetch(&queues[0], 9)[0].clone();
    assert_eq!(lease.job, last);
    net.ack(lease, b"");
    net.settle();
    assert!(ids.iter().all(|id| state(&net, *id) == Err(Code::NotFound)), "no stub is left");
    assert_eq!(state(&net, waits_for), Ok(JobState::Pending));
    let again = one(&mut net, Enqueue { unique: b"u", ..enqueue(&queues[0]) });
    assert!(!ids.contains(&again), "the key is free");
}

/// The end of a moved job and somebody who waits for it come in one letter.
#[test]
fn who_comes_to_wait_together_with_the_end_of_a_moved_job_learns_of_it() {
    for completed in [true, false] {
        let mut net = Net::new(2);
        let (here, there) = (net.queue(0), net.queue(1));
        let old = one(&mut net, enqueue(&here));
        move_to(&mut net, old, &there);
        net.settle();
        net.enqueue(waits(&there, &[old]));
        let comes = net.enqueue(waits(&there, &[old]))[0];
        let (lease, _) = net.fetch(&there, 9)[0].clone();
        // Nothing of it is known on the old shard before all of it is.
        net.consequences = 0;
        if completed {
            net.ack(lease, b"");
        } else {
            let deletes = vec![lease.job];
            net.run(ShardId(1), Request { deletes, ..Request::default() });
        }
        move_to(&mut net, comes, &here);
        net.consequences_of(ShardId(1));
        let (first, messages) = net.letter(1, 0, 99).expect("all of it");
        assert!(messages.len() > 3, "{messages:?}");
        net.take(1, 0, first, &messages);
        net.settle();
        net.restart_all();
        let ready = usize::from(completed);
        assert_eq!((net.fetch(&here, 9).len(), net.fetch(&there, 9).len()), (ready, ready));
    }
}
