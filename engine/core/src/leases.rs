//! Live leases, by when they end.
//!
//! Leases of one length end in the order in which they were given. So they stand in lists, each in the order of
//! (end, token), and only the first of a list has a timer: giving a lease and taking it back touch the ends of a
//! list. A lease joins the list whose last one ends latest before it, which keeps as many lists as there are lengths
//! in use; when none of the lists that are still looked at will do, it begins one. Which list a lease
//! stands in has no effect that can be seen.

use crate::heap::{Heap, Owner, Timer};
use crate::pages::per_page;
use crate::slab::{NONE, Slab, Slot};

/// Lists that a lease may join. The others only become shorter.
const OPEN_MAX: usize = 16;

/// What a job has only while a worker has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// When it ends.
    pub(crate) deadline: u64,
    /// Number of the job's struct.
    pub(crate) job: u32,
    /// What a heartbeat adds.
    pub(crate) lease_ms: u32,
    /// Number of the session that has it.
    pub(crate) session: u32,
    /// The session's leases beside it, in the order of tokens.
    pub(crate) next_held: u32,
    pub(crate) previous_held: u32,
    list: u32,
    next: u32,
    previous: u32,
}

const _: () = assert!(size_of::<Lease>() == 40);

impl Default for Lease {
    fn default() -> Self {
        Self {
            deadline: 0,
            job: NONE,
            lease_ms: 0,
            session: NONE,
            next_held: NONE,
            previous_held: NONE,
            list: NONE,
            next: NONE,
            previous: NONE,
        }
    }
}

impl Slot for Lease {
    fn next_free(&self) -> u32 {
        self.next
    }

    fn free(next: u32) -> Self {
        Self { next, ..Self::default() }
    }
}

/// End and token: no two leases have the same.
type Order = (u64, u64);

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    /// Place of the timer of the first.
    timer: u32,
    /// Of the last, or of one that was there since.
    newest: Order,
}

impl Default for List {
    fn default() -> Self {
        Self { first: NONE, last: NONE, timer: NONE, newest: (0, 0) }
    }
}

impl Slot for List {
    fn next_free(&self) -> u32 {
        self.first
    }

    fn free(next: u32) -> Self {
        Self { first: next, ..Self::default() }
    }
}

type Lists = Slab<List, 64>;

impl Owner for Lists {
    #[inline]
    fn timer_is_at(&mut self, key: u64, at: u32) {
        self.get_mut(key as u32).timer = at;
    }
}

/// All leases of a shard.
#[derive(Clone)]
pub(crate) struct Leases {
    leases: Slab<Lease, { per_page::<Lease>() }>,
    lists: Lists,
    /// Lists that grow, the latest end first.
    open: Vec<u32>,
    /// The first lease of each list; the key is the list.
    firsts: Heap,
}

impl Leases {
    pub(crate) fn new() -> Self {
        let (leases, lists, firsts) = (Slab::new(), Slab::new(), Heap::new());
        Self { leases, lists, open: Vec::with_capacity(OPEN_MAX), firsts }
    }

    pub(crate) fn len(&self) -> usize {
        self.leases.live()
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> &Lease {
        self.leases.get(at)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: u32) -> &mut Lease {
        self.leases.get_mut(at)
    }

    /// When the first lease ends.
    pub(crate) fn first_deadline(&self) -> Option<u64> {
        self.firsts.first().map(|timer| timer.due)
    }

    /// A lease that no session holds yet.
    pub(crate) fn insert(&mut self, job: u32, token: u64, deadline: u64, lease_ms: u32) -> u32 {
        let at = self.leases.insert(Lease { deadline, job, lease_ms, ..Lease::default() });
        self.append(at, (deadline, token));
        at
    }

    pub(crate) fn remove(&mut self, at: u32) -> Lease {
        self.take_out(at);
        self.leases.remove(at)
    }

    /// Lets a lease end later, or at the same time.
    pub(crate) fn extend(&mut self, at: u32, token: u64, deadline: u64) {
        let lease = self.leases.get_mut(at);
        assert!(deadline >= lease.deadline, "a lease was made shorter");
        if deadline > lease.deadline {
            lease.deadline = deadline;
            self.take_out(at);
            self.append(at, (deadline, token));
        }
    }

    fn append(&mut self, at: u32, order: Order) {
        let number = self.list_for(order);
        let list = self.lists.get_mut(number);
        let previous = std::mem::replace(&mut list.last, at);
        list.newest = order;
        let lease = self.leases.get_mut(at);
        (lease.list, lease.previous, lease.next) = (number, previous, NONE);
        if previous != NONE {
            self.leases.get_mut(previous).next = at;
            return;
        }
        self.lists.get_mut(number).first = at;
        let first = Timer { due: order.0, key: u64::from(number) };
        self.firsts.insert(first, &mut self.lists);
    }

    /// The list whose last lease is the latest before this one, or a new one.
    fn list_for(&mut self, order: Order) -> u32 {
        let before = self.open.iter().find(|list| self.lists.get(**list).newest < order);
        if let Some(list) = before {
            return *list;
        }
        let list = self.lists.insert(List::default());
        // It ends before all the others.
        self.open.truncate(OPEN_MAX - 1);
        self.open.push(list);
        list
    }

    fn take_out(&mut self, at: u32) {
        let &Lease { list: number, next, previous, .. } = self.leases.get(at);
        let list = self.lists.get_mut(number);
        if next == NONE {
            list.last = previous;
        } else {
            self.leases.get_mut(next).previous = previous;
        }
        if previous != NONE {
            self.leases.get_mut(previous).next = next;
            return;
        }
        list.first = next;
        let timer = list.timer;
        if next == NONE {
            self.firsts.remove(timer, &mut self.lists);
            self.lists.remove(number);
            self.open.retain(|open| *open != number);
        } else {
            let due = self.leases.get(next).deadline;
            self.firsts.change(timer, due, &mut self.lists);
        }
    }

    /// The places of the timers below a place, or the first one's.
    pub(crate) fn firsts_below(&self, at: Option<u32>) -> std::ops::Range<u32> {
        at.map_or(0..self.firsts.len().min(1) as u32, |at| self.firsts.children(at))
    }

    /// The lease whose timer is at a place.
    pub(crate) fn first_at(&self, at: u32) -> u32 {
        self.lists.get(self.firsts.at(at).key as u32).first
    }

    /// The lease behind another in its list.
    pub(crate) fn after(&self, at: u32) -> Option<u32> {
        Some(self.leases.get(at).next).filter(|next| *next != NONE)
    }

    /// Asserts that every lease stands in its place.
    pub(crate) fn check(&self, token: impl Fn(&Lease) -> u64) {
        self.firsts.check();
        assert_eq!(self.firsts.len(), self.lists.live(), "a list without a timer");
        let mut listed = 0;
        for (place, timer) in self.firsts.iter().enumerate() {
            let number = timer.key as u32;
            let list = self.lists.get(number);
            assert_eq!(list.timer as usize, place, "a list has another's timer");
            assert_ne!(list.first, NONE, "a list without leases");
            assert_eq!(timer.due, self.get(list.first).deadline, "a list's timer at a wrong time");
            let (mut at, mut previous, mut order) = (list.first, NONE, (0, 0));
            while at != NONE {
                let lease = self.get(at);
                assert_eq!((lease.list, lease.previous), (number, previous), "a list is torn");
                let this = (lease.deadline, token(lease));
                assert!(this > order, "leases are not in the order of their ends");
                (previous, order, at) = (at, this, lease.next);
                listed += 1;
            }
            assert_eq!(list.last, previous, "the last of a list is not the last");
            assert!(order <= list.newest, "a lease is behind the newest of its list");
        }
        assert_eq!(listed, self.len(), "leases outside every list");
        let open = self.open.iter().map(|list| self.lists.get(*list));
        assert!(open.is_sorted_by(|a, b| a.newest > b.newest), "open lists out of order");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The model: end and token of each lease, by number.
    type Model = BTreeMap<u32, Order>;

    fn check(leases: &Leases, model: &Model) {
        leases.check(|lease| u64::from(lease.job));
        assert_eq!(leases.len(), model.len());
        assert_eq!(leases.first_deadline(), model.values().min().map(|order| order.0));
    }

    #[test]
    fn leases_of_a_few_lengths_need_as_many_lists() {
        let (mut leases, mut given) = (Leases::new(), Vec::new());
        for token in 1..3000_u32 {
            let (time, length) = (u64::from(token), [60_000, 30_000, 90_000][token as usize % 3]);
            given.push(leases.insert(token, u64::from(token), time + length, 0));
        }
        assert_eq!(leases.lists.live(), 3);
        for (at, time) in given.iter().zip(3000..) {
            let token = u64::from(leases.get(*at).job);
            let length = [60_000, 30_000, 90_000][token as usize % 3];
            leases.extend(*at, token, time + length);
        }
        assert_eq!(leases.lists.live(), 3);
        leases.check(|lease| u64::from(lease.job));
    }

    #[test]
    fn the_first_end_is_known_whatever_comes_goes_and_lasts() {
        let (mut leases, mut model) = (Leases::new(), Model::new());
        let mut random = 1_u64;
        for token in 1..6000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(token);
            let victim =
                *model.keys().nth((random >> 40) as usize % model.len().max(1)).unwrap_or(&0);
            match random >> 61 {
                0..4 => {
                    // Far more lengths than lists are open, and some in falling order.
                    let deadline = token + ((random >> 30) % 40) * 1000;
                    let at = leases.insert(token as u32, token, deadline, 0);
                    model.insert(at, (deadline, token));
                }
                4 | 5 if !model.is_empty() => {
                    let order = model.get_mut(&victim).expect("it is live");
                    order.0 += random >> 20 & 0xfff;
                    leases.extend(victim, order.1, order.0);
                }
                _ if !model.is_empty() => {
                    let order = model.remove(&victim).expect("it is live");
                    let removed = leases.remove(victim);
                    assert_eq!((removed.deadline, u64::from(removed.job)), order);
                }
                _ => {}
            }
            assert!(leases.open.len() <= OPEN_MAX);
            if token % 7 == 0 {
                check(&leases, &model);
            }
        }
        assert!(leases.lists.live() > OPEN_MAX, "the lists were never too many");
        while let Some((&at, _)) = model.iter().min_by_key(|(_, order)| **order) {
            leases.remove(at);
            model.remove(&at);
            assert_eq!(leases.first_deadline(), model.values().min().map(|order| order.0));
        }
        assert_eq!((leases.lists.live(), leases.open.len()), (0, 0));
    }
}
