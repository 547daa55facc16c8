//! Client sessions: exactly-once replies and the leases they hold.

use std::collections::VecDeque;
use std::rc::Rc;

use jobbie_proto::Reply;
use xxhash_rust::xxh3::xxh3_64;

use crate::pages::own;
use crate::slab::{NONE, Slab, Slot};
use crate::table::Table;

/// One client's session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) client: u128,
    /// The client has the answers to all requests below this.
    pub(crate) confirmed_below: u64,
    /// Answers not confirmed yet, by rising number.
    pub(crate) replies: VecDeque<(u64, Rc<Reply>)>,
    /// Its leases, in the order of their tokens.
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) leases: u32,
}

impl Session {
    pub(crate) fn new(id: u64, client: u128) -> Self {
        let replies = VecDeque::new();
        Self { id, client, confirmed_below: 0, replies, first: NONE, last: NONE, leases: 0 }
    }

    pub(crate) fn reply(&self, number: u64) -> Option<&Rc<Reply>> {
        let at = self.replies.binary_search_by_key(&number, |r| r.0).ok()?;
        Some(&self.replies[at].1)
    }

    pub(crate) fn confirm(&mut self, below: u64) {
        self.confirmed_below = self.confirmed_below.max(below);
        while self.replies.front().is_some_and(|r| r.0 < self.confirmed_below) {
            self.replies.pop_front();
        }
    }

    /// # Panics
    /// When the number was answered before.
    pub(crate) fn remember(&mut self, number: u64, reply: Rc<Reply>) {
        let at = self.replies.partition_point(|r| r.0 < number);
        assert!(self.replies.get(at).is_none_or(|r| r.0 != number), "a request was done twice");
        self.replies.insert(at, (number, reply));
    }
}

#[derive(Clone)]
enum Place {
    Free(u32),
    Used(Rc<Session>),
}

impl Default for Place {
    fn default() -> Self {
        Place::Free(NONE)
    }
}

impl Slot for Place {
    fn next_free(&self) -> u32 {
        match self {
            Place::Free(next) => *next,
            Place::Used(_) => unreachable!("a used place is not free"),
        }
    }

    fn free(next: u32) -> Self {
        Place::Free(next)
    }
}

/// All sessions of a shard.
#[derive(Clone)]
pub(crate) struct Sessions {
    places: Slab<Place, 64>,
    by_id: Table,
    by_client: Table,
}

fn hash_id(id: u64) -> u64 {
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn hash_client(client: u128) -> u64 {
    xxh3_64(&client.to_le_bytes())
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { places: Slab::new(), by_id: Table::new(), by_client: Table::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn get(&self, at: u32) -> &Session {
        match self.places.get(at) {
            Place::Used(session) => session,
            Place::Free(_) => unreachable!("no such session"),
        }
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> &mut Session {
        match self.places.get_mut(at) {
            Place::Used(session) => own(session),
            Place::Free(_) => unreachable!("no such session"),
        }
    }

    pub(crate) fn find(&self, id: u64) -> Option<u32> {
        self.by_id.find(hash_id(id), |at| self.get(at).id == id)
    }

    pub(crate) fn find_client(&self, client: u128) -> Option<u32> {
        self.by_client.find(hash_client(client), |at| self.get(at).client == client)
    }

    pub(crate) fn insert(&mut self, session: Session) -> u32 {
        let (id, client) = (session.id, session.client);
        let at = self.places.insert(Place::Used(Rc::new(session)));
        self.by_id.insert(hash_id(id), at);
        self.by_client.insert(hash_client(client), at);
        at
    }

    pub(crate) fn remove(&mut self, at: u32) {
        let session = self.get(at);
        assert_eq!(session.leases, 0, "a session with leases was closed");
        let (id, client) = (session.id, session.client);
        self.by_id.remove(hash_id(id), at);
        self.by_client.remove(hash_client(client), at);
        self.places.remove(at);
    }

    /// Numbers of all sessions, by id.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        let mut all = self.by_id.numbers();
        all.sort_unstable_by_key(|&at| self.get(at).id);
        all
    }
}
