//! A group of one: promises across restarts, crashes and broken disks.

use std::time::Duration;

use jobbie_sim::{
    DiskConfig, Executor, Fault, Handle, LinkRates, NodeId, Operation, Schedule, SimDisk, SimNet,
};
use openraft::async_runtime::AsyncRuntime;

use super::node::{Ledger, Node};
use super::peers::Switchboard;
use super::proposal;
use crate::sim::SimRuntime;
use crate::sim::mutant::{Mutant, with_mutant};
use crate::{Bootstrap, Fatal, Leadership, Membership, ProposeError};

fn single(seed: u64, ledger: &Ledger) -> Node {
    let board = Switchboard::new(SimNet::new(seed, LinkRates::default()));
    let disk = SimDisk::new(seed, DiskConfig::default());
    Node::new(1, disk, ledger, &board, Bootstrap::Single { address: "here".into() })
}

fn run<T>(seed: u64, test: impl AsyncFnOnce() -> T) -> T {
    Executor::new(seed, Schedule::Shuffled).block_on(test())
}

async fn sleep_ms(ms: u64) {
    SimRuntime::sleep(Duration::from_millis(ms)).await;
}

#[test]
fn a_single_member_leads_at_once_on_first_start_and_on_restart() {
    run(1, async || {
        let ledger = Ledger::default();
        let mut node = single(1, &ledger);
        for _ in 0..3 {
            let before = Handle::current().now_nanos();
            let running = node.start().await.expect("the power holds");
            let role = running.group.leadership().until(|role| role.ready_term().is_some()).await;
            let took_ms = (Handle::current().now_nanos() - before) / 1_000_000;
            assert!(took_ms < 60, "{role:?} took {took_ms} ms of simulated disk");
            node.kill();
        }
    });
}

#[test]
fn r03_entries_are_committed_in_order_and_survive_restarts() {
    for seed in 0..2 {
        run(seed, async || {
            let ledger = Ledger::default();
            let mut node = single(seed, &ledger);
            let mut committed = 0;
            for _ in 0..3 {
                let running = node.start().await.expect("the power holds");
                running.keep_proposing(1);
                sleep_ms(40).await;
                assert!(ledger.len() > committed + 20, "{} entries", ledger.len());
                assert_eq!(ledger.check(), Ok(()));
                committed = ledger.len();
                assert_eq!(running.machine.history(), ledger.history(), "all of it came back");
                node.kill();
            }
        });
    }
}

/// Runs until the power fails at disk call `operation`, restarts, and checks that everything that
/// was committed is there again. Says whether the run got as far as that call.
fn crash_at(seed: u64, operation: u64) -> Result<bool, String> {
    run(seed, async || {
        let ledger = Ledger::default();
        let mut node = single(seed, &ledger);
        node.disk.fail_power_at(operation);
        if let Some(running) = node.start().await {
            running.keep_proposing(1);
        }
        let power = node.disk.clone();
        let failed = SimRuntime::timeout(Duration::from_millis(10), power.power_failure()).await;
        node.disk.fail_power_at(u64::MAX);
        if failed.is_err() {
            node.disk.crash();
        }
        node.kill();
        node.disk = node.disk.reboot();
        let before = ledger.history();
        let running = node.start().await.expect("the power holds now");
        running.group.leadership().until(|role| role.ready_term().is_some()).await;
        running.keep_proposing(1);
        sleep_ms(5).await;
        ledger.check()?;
        let after = running.machine.history();
        let lost = before.iter().find(|(index, hash)| after.get(index) != Some(hash));
        match lost {
            Some((index, _)) => Err(format!("r01: entry {index} was committed and is gone")),
            None if after.len() <= before.len() => Err("the group does not go on".to_owned()),
            None => Ok(failed.is_ok()),
        }
    })
}

/// Disk calls of a run that nothing disturbs, roughly.
fn calls_of_a_run() -> u64 {
    let whole = |step: &u64| crash_at(0, step * 32) == Ok(false);
    (1..).find(whole).expect("a run ends") * 32
}

#[test]
fn r01_a_power_failure_at_any_disk_call_loses_nothing_committed() {
    let calls = calls_of_a_run();
    for operation in (0..calls).step_by(2) {
        let outcome = crash_at(operation % 11, operation);
        assert!(outcome.is_ok(), "disk call {operation}: {outcome:?}");
    }
    assert!(calls > 60, "a run made only {calls} disk calls");
}

#[test]
fn r01_a_callback_before_the_flush_is_caught() {
    let calls = calls_of_a_run();
    let caught = (0..calls)
        .step_by(2)
        .filter(|operation| {
            let run = || crash_at(operation % 11, *operation);
            with_mutant(Mutant::CallbackBeforeFlush, run).is_err()
        })
        .count();
    assert!(caught > 3, "the planted bug was seen in {caught} of {calls} crashes");
}

#[test]
fn r06_a_failed_write_stops_the_group_and_says_why() {
    for fault in [Fault::Error, Fault::ShortWrite] {
        run(3, async || {
            let ledger = Ledger::default();
            let mut node = single(3, &ledger);
            let running = node.start().await.expect("the power holds");
            running.keep_proposing(1);
            sleep_ms(20).await;
            node.disk.plan(Operation::Write, 0, fault);
            let stopped = |role: &Leadership| matches!(role, Leadership::Stopped(_));
            let role = running.group.leadership().until(stopped).await;
            let committed = ledger.history();
            assert!(matches!(role, Leadership::Stopped(Fatal::Storage(_))), "{role:?}");
            let refused = running.group.propose(1, proposal(0, 1)).await;
            assert!(matches!(refused, Err(ProposeError::Stopped(_))), "{refused:?}");
            sleep_ms(1_000).await;
            assert_eq!(ledger.history(), committed, "nothing is committed after the error");
            node.kill();
            let running = node.start().await.expect("the power holds");
            running.group.leadership().until(|role| role.ready_term().is_some()).await;
            assert!(running.machine.history().len() >= committed.len());
        });
    }
}

#[test]
fn snapshots_bound_what_a_restart_applies() {
    run(4, async || {
        let ledger = Ledger::default();
        let mut node = single(4, &ledger);
        let running = node.start().await.expect("the power holds");
        running.keep_proposing(1);
        sleep_ms(100).await;
        running.group.trigger_snapshot().await.expect("the group runs");
        sleep_ms(50).await;
        let (meta, _) = node.slot.borrow().clone().expect("there is a snapshot");
        assert_eq!(meta.membership.membership, Membership::single(1, "here"));
        assert_eq!(running.group.metrics().snapshot, Some(meta.last));
        node.lose_power();
        let running = node.start().await.expect("the power holds");
        running.group.leadership().until(|role| role.ready_term().is_some()).await;
        let (all, there) = (ledger.history(), running.machine.history());
        assert!(all.iter().all(|(index, hash)| there.get(index) == Some(hash)));
    });
}

#[test]
fn proposals_of_an_old_term_are_refused() {
    run(5, async || {
        let mut node = single(5, &Ledger::default());
        for _ in 0..2 {
            let running = node.start().await.expect("the power holds");
            let role = running.group.leadership().until(|role| role.ready_term().is_some()).await;
            let term = role.ready_term().expect("waited for");
            let next = running.log.state().next_event;
            let refused = running.group.propose(term - 1, proposal(next, 1)).await;
            assert!(matches!(refused, Err(ProposeError::NotLeader { .. })), "{refused:?}");
            running.group.propose(term, proposal(next, 1)).await.expect("this is the term");
            running.machine.progress().until(|committed| *committed == next + 1).await;
            running.group.shutdown().await;
            assert!(running.group.fatal().is_some());
            Handle::current().kill(NodeId(1));
        }
    });
}
