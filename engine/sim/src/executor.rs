//! A one-thread executor with virtual time.
//!
//! Time moves only when no task can run, straight to the next timer. The order of tasks is the
//! order of their wakes, or a shuffle of it drawn from the seed; nothing else decides it.

mod join;
mod timer;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::rng::{Rng, mix};

pub use join::{JoinError, JoinHandle};
pub use timer::Sleep;

use timer::Timers;

/// Tasks of one node die together. The harness itself is [`NodeId::HARNESS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The test that drives the run; the future of [`Executor::block_on`] belongs to it.
    pub const HARNESS: Self = Self(u64::MAX);
}

/// Which of the tasks that can run goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// The one woken first.
    Fifo,
    /// Any of them, drawn from the seed: finds orders a real runtime rarely shows.
    Shuffled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TaskId(u64);

/// The future given to `block_on`.
const MAIN: TaskId = TaskId(0);

struct Task {
    node: NodeId,
    waker: Waker,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

type ReadyQueue = Arc<Mutex<VecDeque<TaskId>>>;

/// A waker must be `Send`, so the queue it feeds is behind a lock that nobody ever contends.
struct TaskWaker {
    id: TaskId,
    queued: AtomicBool,
    ready: ReadyQueue,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().expect("no holder panics").push_back(self.id);
        }
    }
}

struct State {
    now_nanos: Cell<u64>,
    trace: Cell<u64>,
    next_task: Cell<u64>,
    running: Cell<NodeId>,
    schedule: Schedule,
    rng: RefCell<Rng>,
    timers: RefCell<Timers>,
    tasks: RefCell<BTreeMap<TaskId, Task>>,
    /// Kept apart from the task, which is out of `tasks` while it runs.
    wakers: RefCell<BTreeMap<TaskId, Arc<TaskWaker>>>,
    /// The running task was aborted from inside its own poll.
    running_aborted: Cell<bool>,
    running_task: Cell<TaskId>,
    ready: ReadyQueue,
}

thread_local! {
    static CURRENT: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// Runs a simulation. Dropping it drops every task.
pub struct Executor {
    handle: Handle,
}

/// The running simulation, from inside it.
#[derive(Clone)]
pub struct Handle(Rc<State>);

impl Executor {
    /// A simulation of `seed` at time zero.
    #[must_use]
    pub fn new(seed: u64, schedule: Schedule) -> Self {
        Self {
            handle: Handle(Rc::new(State {
                now_nanos: Cell::new(0),
                trace: Cell::new(mix(seed)),
                next_task: Cell::new(MAIN.0 + 1),
                running: Cell::new(NodeId::HARNESS),
                schedule,
                rng: RefCell::new(Rng::new(seed)),
                timers: RefCell::default(),
                tasks: RefCell::default(),
                wakers: RefCell::default(),
                running_aborted: Cell::new(false),
                running_task: Cell::new(MAIN),
                ready: ReadyQueue::default(),
            })),
        }
    }

    /// The handle that code inside the simulation finds with [`Handle::current`].
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `future` to its end, and every spawned task beside it for as long.
    ///
    /// # Panics
    /// If a task panics, or if `future` waits for something that can never happen: no task can
    /// run and no timer is set.
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let _entered = Entered::new(self.handle.clone());
        let state = &self.handle.0;
        let main = Arc::new(TaskWaker {
            id: MAIN,
            queued: AtomicBool::new(false),
            ready: state.ready.clone(),
        });
        let waker = Waker::from(main.clone());
        let mut future = pin!(future);
        waker.wake_by_ref();
        loop {
            let Some(id) = self.handle.next_ready() else {
                assert!(
                    self.handle.advance(),
                    "nothing can ever run again at {} ns: the main future and {} tasks wait",
                    state.now_nanos.get(),
                    state.tasks.borrow().len(),
                );
                continue;
            };
            if id != MAIN {
                self.handle.poll_task(id);
                continue;
            }
            main.queued.store(false, Ordering::Relaxed);
            self.handle.enter_task(MAIN, NodeId::HARNESS);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // Tasks hold handles, so without this the tasks and the state would keep each other.
        let _entered = Entered::new(self.handle.clone());
        self.handle.kill_where(|_| true);
    }
}

impl Handle {
    /// The simulation this thread is running.
    ///
    /// # Panics
    /// Outside [`Executor::block_on`].
    #[must_use]
    pub fn current() -> Self {
        CURRENT
            .with_borrow(Clone::clone)
            .expect("this code runs inside a simulation (Executor::block_on)")
    }

    /// Nanoseconds since the simulation began.
    #[must_use]
    pub fn now_nanos(&self) -> u64 {
        self.0.now_nanos.get()
    }

    /// The next 64 bits of the seed's sequence.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.0.rng.borrow_mut().next_u64()
    }

    /// A generator of its own, drawn from the seed.
    #[must_use]
    pub fn fork_rng(&self) -> Rng {
        self.0.rng.borrow_mut().fork()
    }

    /// Folds `value` into the trace hash.
    pub fn trace(&self, value: u64) {
        let hash = self.0.trace.get();
        self.0.trace.set(mix(hash.rotate_left(5) ^ value));
    }

    /// Everything that happened so far, as one number.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.0.trace.get()
    }

    /// The node whose task is running.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.running.get()
    }

    /// Spawns a task of the node that is running.
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.spawn_on(self.node(), future)
    }

    /// Spawns a task of `node`.
    pub fn spawn_on<F: Future + 'static>(&self, node: NodeId, future: F) -> JoinHandle<F::Output> {
        let id = TaskId(self.0.next_task.replace(self.0.next_task.get() + 1));
        let (join, settle) = join::pair(self.clone(), id);
        let task_waker =
            Arc::new(TaskWaker { id, queued: AtomicBool::new(false), ready: self.0.ready.clone() });
        let waker = Waker::from(task_waker.clone());
        waker.wake_by_ref();
        let future = Box::pin(async move { settle.finish(future.await) });
        self.0.wakers.borrow_mut().insert(id, task_waker);
        self.0.tasks.borrow_mut().insert(id, Task { node, waker, future });
        self.trace(id.0);
        join
    }

    /// A future that ends `duration` from now.
    #[must_use]
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sleep_until(self.now_nanos().saturating_add(nanos))
    }

    /// A future that ends at `deadline_nanos`.
    #[must_use]
    pub fn sleep_until(&self, deadline_nanos: u64) -> Sleep {
        Sleep::new(self.clone(), deadline_nanos)
    }

    /// Lets every other task that can run go first.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        std::future::poll_fn(|cx| {
            if yielded {
                return Poll::Ready(());
            }
            yielded = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Drops every task of `node` where it stands, as a crash of its process does. What the
    /// tasks left on a disk or in the network stays.
    pub fn kill(&self, node: NodeId) {
        self.trace(node.0);
        self.kill_where(|task_node| task_node == node);
    }

    fn kill_where(&self, doomed: impl Fn(NodeId) -> bool) {
        if doomed(self.0.running.get()) && self.0.running_task.get() != MAIN {
            self.0.running_aborted.set(true);
        }
        let ids: Vec<TaskId> = self
            .0
            .tasks
            .borrow()
            .iter()
            .filter(|(_, task)| doomed(task.node))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.drop_task(id);
        }
    }

    /// A dropped future runs destructors, which may wake, spawn or abort: no borrow is held.
    fn drop_task(&self, id: TaskId) {
        self.0.wakers.borrow_mut().remove(&id);
        let task = self.0.tasks.borrow_mut().remove(&id);
        drop(task);
    }

    fn abort(&self, id: TaskId) {
        if self.0.running_task.get() == id {
            self.0.running_aborted.set(true);
        }
        self.drop_task(id);
    }

    fn next_ready(&self) -> Option<TaskId> {
        let mut ready = self.0.ready.lock().expect("no holder panics");
        match self.0.schedule {
            Schedule::Shuffled if ready.len() > 1 => {
                let at = self.0.rng.borrow_mut().below(ready.len() as u64);
                ready.remove(usize::try_from(at).expect("an index of the queue"))
            }
            _ => ready.pop_front(),
        }
    }

    /// Moves time to the next timer; false if there is none.
    fn advance(&self) -> bool {
        let Some((deadline_nanos, wakers)) = self.0.timers.borrow_mut().pop_next() else {
            return false;
        };
        assert!(deadline_nanos >= self.now_nanos(), "time ran backwards");
        self.0.now_nanos.set(deadline_nanos);
        wakers.into_iter().for_each(Waker::wake);
        true
    }

    fn enter_task(&self, id: TaskId, node: NodeId) {
        self.0.running.set(node);
        self.0.running_task.set(id);
        self.0.running_aborted.set(false);
        self.trace(id.0 ^ self.now_nanos().rotate_left(32));
    }

    fn poll_task(&self, id: TaskId) {
        // A task that ended or was killed may still have a wake in the queue.
        let Some(mut task) = self.0.tasks.borrow_mut().remove(&id) else { return };
        if let Some(waker) = self.0.wakers.borrow().get(&id) {
            waker.queued.store(false, Ordering::Relaxed);
        }
        self.enter_task(id, task.node);
        let poll = task.future.as_mut().poll(&mut Context::from_waker(&task.waker));
        let keep = poll.is_pending() && !self.0.running_aborted.get();
        if keep {
            self.0.tasks.borrow_mut().insert(id, task);
        } else {
            self.0.wakers.borrow_mut().remove(&id);
            drop(task);
        }
        self.0.running.set(NodeId::HARNESS);
        self.0.running_task.set(MAIN);
    }
}

/// Makes a simulation the thread's current one, and puts back what was there before.
struct Entered(Option<Handle>);

impl Entered {
    fn new(handle: Handle) -> Self {
        Self(CURRENT.replace(Some(handle)))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

#[cfg(test)]
mod tests;
