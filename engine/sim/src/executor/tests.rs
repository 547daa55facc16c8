use super::*;

fn order_of(seed: u64, schedule: Schedule) -> (Vec<u32>, u64) {
    let mut executor = Executor::new(seed, schedule);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let handle = executor.handle().clone();
    executor.block_on(async {
        let joins: Vec<_> = (0..8_u32)
            .map(|i| {
                let (seen, handle) = (seen.clone(), handle.clone());
                handle.clone().spawn(async move {
                    seen.borrow_mut().push(i);
                    handle.sleep(Duration::from_millis(1 + u64::from(i % 3))).await;
                    seen.borrow_mut().push(100 + i);
                })
            })
            .collect();
        for join in joins {
            join.await.expect("nothing aborts these");
        }
    });
    let order = seen.take();
    (order, handle.trace_hash())
}

#[test]
fn fifo_runs_tasks_in_the_order_they_woke() {
    let (order, _) = order_of(1, Schedule::Fifo);
    assert_eq!(order[..8], [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(order[8..], [100, 103, 106, 101, 104, 107, 102, 105]);
}

#[test]
fn equal_seeds_give_equal_runs_and_others_differ() {
    assert_eq!(order_of(5, Schedule::Shuffled), order_of(5, Schedule::Shuffled));
    let hashes: std::collections::BTreeSet<u64> =
        (0..20).map(|seed| order_of(seed, Schedule::Shuffled).1).collect();
    assert_eq!(hashes.len(), 20);
    let orders: std::collections::BTreeSet<Vec<u32>> =
        (0..20).map(|seed| order_of(seed, Schedule::Shuffled).0).collect();
    assert!(orders.len() > 15, "the shuffle follows the seed");
}

#[test]
fn time_is_virtual_and_exact() {
    let mut executor = Executor::new(1, Schedule::Fifo);
    let handle = executor.handle().clone();
    executor.block_on(async {
        handle.sleep(Duration::from_secs(86_400 * 365)).await;
        assert_eq!(handle.now_nanos(), 86_400 * 365 * 1_000_000_000);
        handle.sleep_until(5).await;
        assert_eq!(handle.now_nanos(), 86_400 * 365 * 1_000_000_000, "never backwards");
    });
}

#[test]
fn a_dropped_sleep_leaves_no_timer() {
    let mut executor = Executor::new(1, Schedule::Fifo);
    let handle = executor.handle().clone();
    executor.block_on(async {
        let join = handle.spawn(handle.sleep(Duration::from_secs(1)));
        handle.yield_now().await;
        join.abort();
        assert_eq!(join.await, Err(JoinError));
    });
    assert!(!handle.advance(), "no timer is left");
}

#[test]
fn killing_a_node_drops_its_tasks_and_what_they_spawned() {
    let mut executor = Executor::new(1, Schedule::Fifo);
    let handle = executor.handle().clone();
    let alive = Rc::new(Cell::new(0_u32));
    executor.block_on(async {
        let beat = |node| {
            let (handle, alive) = (handle.clone(), alive.clone());
            let inner = handle.clone();
            handle.spawn_on(NodeId(node), async move {
                // The grandchild belongs to the same node without being told.
                inner.clone().spawn(async move {
                    loop {
                        inner.sleep(Duration::from_millis(1)).await;
                        alive.set(alive.get() + 1);
                    }
                });
                std::future::pending::<()>().await;
            })
        };
        let (dead, _living) = (beat(1), beat(2));
        handle.sleep(Duration::from_micros(10_500)).await;
        assert_eq!(alive.get(), 20);
        handle.kill(NodeId(1));
        assert_eq!(dead.await, Err(JoinError));
        handle.sleep(Duration::from_millis(10)).await;
        assert_eq!(alive.get(), 30, "only the other node goes on");
    });
}

#[test]
fn a_node_may_kill_itself() {
    let mut executor = Executor::new(1, Schedule::Fifo);
    let handle = executor.handle().clone();
    executor.block_on(async {
        let inner = handle.clone();
        let join = handle.spawn_on(NodeId(1), async move {
            inner.kill(NodeId(1));
            inner.yield_now().await;
            unreachable!("the task was killed at its first wait");
        });
        assert_eq!(join.await, Err(JoinError));
    });
}

#[test]
#[should_panic(expected = "nothing can ever run again")]
fn a_wait_for_nothing_is_found() {
    Executor::new(1, Schedule::Fifo).block_on(std::future::pending::<()>());
}

#[test]
fn dropping_the_executor_drops_its_tasks() {
    let witness = Rc::new(());
    let mut executor = Executor::new(1, Schedule::Fifo);
    let handle = executor.handle().clone();
    let held = witness.clone();
    executor.block_on(async {
        handle.spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        handle.yield_now().await;
    });
    drop(executor);
    assert_eq!(Rc::strong_count(&witness), 1);
}
