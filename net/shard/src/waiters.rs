//! Fetches that found nothing, and subscriptions with credit: who gets the next job of a queue.
//!
//! They wait in memory only, on the leader. Waiters of a queue are served in the order of their
//! arrival; a subscription that was served goes to the end of its lines.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;

use jobbie_proto::Micros;
use jobbie_proto::request::Fetch;

use crate::connection::Connection;

/// A waiter's number, rising.
pub(crate) type WaiterId = u64;

/// What is owed when jobs come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// The answer to a request, at the latest (then empty) at `deadline`.
    Reply { number: u64, confirmed_below: u64, deadline: Micros },
    /// A delivery, as often as there is credit.
    Delivery { subscription: u32 },
}

pub(crate) struct Waiter {
    pub(crate) connection: Rc<Connection>,
    pub(crate) owed: Owed,
    pub(crate) queues: Vec<Rc<str>>,
    pub(crate) lease_ms: u32,
    pub(crate) worker: String,
    /// Jobs still wanted: the count of a fetch, the credit of a subscription.
    pub(crate) want: u32,
}

impl Waiter {
    pub(crate) fn fetch(&self) -> Fetch<'_> {
        Fetch {
            queues: self.queues.iter().map(|queue| &**queue).collect(),
            count: self.want,
            lease_ms: self.lease_ms,
            wait_ms: 0,
            worker: &self.worker,
        }
    }
}

/// Everyone who waits.
#[derive(Default)]
pub(crate) struct Waiters {
    next: WaiterId,
    waiters: BTreeMap<WaiterId, Waiter>,
    lines: HashMap<Rc<str>, VecDeque<WaiterId>>,
    deadlines: BTreeSet<(Micros, WaiterId)>,
    subscriptions: HashMap<(*const Connection, u32), WaiterId>,
    requests: HashSet<(*const Connection, u64)>,
    /// Queues that may have become claimable since they were last looked at.
    stirred: VecDeque<Rc<str>>,
}

impl Waiters {
    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Whether some queue is to be looked at.
    pub(crate) fn is_stirred(&self) -> bool {
        !self.stirred.is_empty()
    }

    /// Whether this request waits already.
    pub(crate) fn has_request(&self, connection: &Rc<Connection>, number: u64) -> bool {
        self.requests.contains(&(Rc::as_ptr(connection), number))
    }

    /// Ends a subscription, if there is one.
    pub(crate) fn unsubscribe(&mut self, connection: &Rc<Connection>, subscription: u32) {
        if let Some(id) = self.subscription(connection, subscription) {
            self.remove(id);
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Lets `waiter` wait.
    pub(crate) fn add(&mut self, waiter: Waiter) -> WaiterId {
        let id = self.next;
        self.next += 1;
        for queue in &waiter.queues {
            self.lines.entry(Rc::clone(queue)).or_default().push_back(id);
        }
        match waiter.owed {
            Owed::Reply { number, deadline, .. } => {
                self.requests.insert((Rc::as_ptr(&waiter.connection), number));
                self.deadlines.insert((deadline, id));
            }
            Owed::Delivery { subscription } => {
                self.subscriptions.insert((Rc::as_ptr(&waiter.connection), subscription), id);
            }
        }
        waiter.connection.waiting.set(waiter.connection.waiting.get() + 1);
        self.waiters.insert(id, waiter);
        id
    }

    /// Ends a wait.
    pub(crate) fn remove(&mut self, id: WaiterId) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        for queue in &waiter.queues {
            if let Some(line) = self.lines.get_mut(queue) {
                line.retain(|other| *other != id);
                if line.is_empty() {
                    self.lines.remove(queue);
                }
            }
        }
        match waiter.owed {
            Owed::Reply { number, deadline, .. } => {
                self.requests.remove(&(Rc::as_ptr(&waiter.connection), number));
                self.deadlines.remove(&(deadline, id));
            }
            Owed::Delivery { subscription } => {
                self.subscriptions.remove(&(Rc::as_ptr(&waiter.connection), subscription));
            }
        }
        waiter.connection.waiting.set(waiter.connection.waiting.get() - 1);
        Some(waiter)
    }

    pub(crate) fn get_mut(&mut self, id: WaiterId) -> Option<&mut Waiter> {
        self.waiters.get_mut(&id)
    }

    pub(crate) fn subscription(
        &self,
        connection: &Rc<Connection>,
        number: u32,
    ) -> Option<WaiterId> {
        self.subscriptions.get(&(Rc::as_ptr(connection), number)).copied()
    }

    /// Ends every wait of a connection.
    pub(crate) fn forget(&mut self, connection: &Rc<Connection>) {
        if connection.waiting.get() == 0 {
            return;
        }
        let theirs: Vec<WaiterId> = self
            .waiters
            .iter()
            .filter(|(_, waiter)| Rc::ptr_eq(&waiter.connection, connection))
            .map(|(id, _)| *id)
            .collect();
        for id in theirs {
            self.remove(id);
        }
    }

    /// A queue may have become claimable.
    pub(crate) fn stir(&mut self, queue: &str) {
        if let Some((queue, _)) = self.lines.get_key_value(queue)
            && self.stirred.back() != Some(queue)
        {
            self.stirred.push_back(Rc::clone(queue));
        }
    }

    /// Any queue may have become claimable.
    pub(crate) fn stir_all(&mut self) {
        self.stirred.clear();
        let mut queues: Vec<_> = self.lines.keys().cloned().collect();
        queues.sort_unstable();
        self.stirred.extend(queues);
    }

    /// A queue to look at and the waiters that want it, first come first.
    pub(crate) fn next_stirred(&mut self) -> Option<Rc<str>> {
        self.stirred.pop_front()
    }

    /// The first in line for `queue` that `ready` accepts (it has credit and room).
    pub(crate) fn first(&self, queue: &str, ready: impl Fn(&Waiter) -> bool) -> Option<WaiterId> {
        let line = self.lines.get(queue)?;
        line.iter().copied().find(|id| self.waiters.get(id).is_some_and(&ready))
    }

    /// Sends a served subscription to the end of its lines.
    pub(crate) fn send_back(&mut self, id: WaiterId) {
        let Some(waiter) = self.waiters.get(&id) else { return };
        for queue in &waiter.queues {
            if let Some(line) = self.lines.get_mut(queue)
                && let Some(at) = line.iter().position(|other| *other == id)
            {
                line.remove(at);
                line.push_back(id);
            }
        }
    }

    /// When the next fetch gives up.
    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A fetch that has waited long enough.
    pub(crate) fn pop_overdue(&mut self, now: Micros) -> Option<Waiter> {
        let (_, id) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now)?;
        self.remove(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(owed: Owed, queues: &[&str]) -> Waiter {
        Waiter {
            connection: Connection::new(1),
            owed,
            queues: queues.iter().map(|queue| Rc::from(*queue)).collect(),
            lease_ms: 1000,
            worker: String::new(),
            want: 1,
        }
    }

    fn fetch(number: u64, deadline: u64) -> Owed {
        Owed::Reply { number, confirmed_below: 0, deadline: Micros(deadline) }
    }

    #[test]
    fn first_come_first_served_and_subscriptions_rotate() {
        let mut waiters = Waiters::default();
        let a = waiters.add(waiter(Owed::Delivery { subscription: 1 }, &["q", "r"]));
        let b = waiters.add(waiter(fetch(1, 50), &["q"]));
        assert_eq!(waiters.first("q", |_| true), Some(a));
        waiters.send_back(a);
        assert_eq!(waiters.first("q", |_| true), Some(b));
        assert_eq!(waiters.first("r", |_| true), Some(a));
        assert_eq!(waiters.first("q", |w| w.want > 1), None);
        waiters.remove(b);
        assert_eq!(waiters.first("q", |_| true), Some(a));
    }

    #[test]
    fn a_forgotten_connection_waits_for_nothing() {
        let mut waiters = Waiters::default();
        let id = waiters.add(waiter(fetch(1, 50), &["q"]));
        let connection = Rc::clone(&waiters.get_mut(id).expect("waits").connection);
        waiters.forget(&connection);
        assert_eq!((waiters.len(), connection.waiting.get()), (0, 0));
        assert_eq!(waiters.next_deadline(), None);
        assert!(waiters.lines.is_empty());
    }

    #[test]
    fn only_queues_somebody_waits_for_are_stirred_and_once_each() {
        let mut waiters = Waiters::default();
        waiters.add(waiter(fetch(1, 50), &["q"]));
        waiters.stir("q");
        waiters.stir("q");
        waiters.stir("other");
        assert_eq!(waiters.next_stirred().as_deref(), Some("q"));
        assert_eq!(waiters.next_stirred(), None);
    }

    #[test]
    fn fetches_give_up_in_the_order_of_their_deadlines() {
        let mut waiters = Waiters::default();
        waiters.add(waiter(fetch(1, 50), &["q"]));
        waiters.add(waiter(fetch(2, 40), &["q"]));
        assert_eq!(waiters.next_deadline(), Some(Micros(40)));
        assert!(waiters.pop_overdue(Micros(39)).is_none());
        assert_eq!(waiters.pop_overdue(Micros(60)).map(|w| w.owed), Some(fetch(2, 40)));
        assert_eq!(waiters.pop_overdue(Micros(60)).map(|w| w.owed), Some(fetch(1, 50)));
        assert!(waiters.pop_overdue(Micros(60)).is_none());
    }
}
