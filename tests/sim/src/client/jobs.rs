//! New jobs of all kinds.

use jobbie_proto::event::BackoffKind;
use jobbie_proto::request::{Enqueue, When};

use super::Client;

/// An enqueue that owns what it names.
pub(super) struct Order {
    queue: String,
    payload: Vec<u8>,
    tags: &'static [u8],
    key: Vec<u8>,
    key_ms: u64,
    unique: Vec<u8>,
    limit_key: &'static str,
    priority: u8,
    max_retries: u32,
    backoff: BackoffKind,
    expire_after_ms: u64,
    when: When,
}

impl Order {
    pub(super) fn enqueue(&self) -> Enqueue<'_> {
        Enqueue {
            queue: &self.queue,
            payload: &self.payload,
            tags: self.tags,
            key: &self.key,
            key_ms: self.key_ms,
            unique: &self.unique,
            unique_ms: 2000,
            limit_key: self.limit_key,
            priority: self.priority,
            max_retries: self.max_retries,
            backoff: self.backoff,
            backoff_base_ms: 200,
            backoff_cap_ms: 1500,
            expire_after_ms: self.expire_after_ms,
            when: self.when,
        }
    }
}

impl Order {
    /// Leaves out what a job that others make cannot have.
    pub(super) fn make_step(&mut self, queue: String) {
        (self.queue, self.when) = (queue, When::Now);
        (self.key, self.unique, self.payload) = (Vec::new(), Vec::new(), Vec::new());
    }
}

impl Client {
    pub(super) fn order(&mut self) -> Order {
        let queue = self.queues[self.rng.below(self.queues.len() as u64) as usize].clone();
        if self.rng.below(5) == 0 {
            return self.keyed(queue);
        }
        let payload = self.new_payload();
        let max_retries = self.rng.below(5) as u32;
        let backoffs =
            [BackoffKind::None, BackoffKind::Fixed, BackoffKind::Linear, BackoffKind::Exponential];
        let backoff = backoffs[self.rng.below(4) as usize];
        let expires = self.rng.below(8) == 0;
        let expire_after_ms = if expires { 50 + self.rng.below(4000) } else { 0 };
        let when = match self.rng.below(8) {
            0 => When::DelayMs(self.rng.below(3000)),
            1 => When::At(self.some_time()),
            _ => When::Now,
        };
        let unique = match self.rng.below(8) {
            0 => format!("unique-{}", self.rng.below(4)).into_bytes(),
            _ => Vec::new(),
        };
        let limit_key = match self.world.plan.limits && self.rng.coin() {
            true => ["ann", "bob", "cy"][self.rng.below(3) as usize],
            false => "",
        };
        let tags: &[u8] = match self.world.plan.budgets {
            true => {
                [&b"tag"[..], br#"{"team":"a"}"#, br#"{"team":"b"}"#][self.rng.below(3) as usize]
            }
            false => b"tag",
        };
        Order {
            queue,
            payload,
            tags,
            key: Vec::new(),
            key_ms: 0,
            unique,
            limit_key,
            priority: self.rng.below(3) as u8,
            max_retries,
            backoff,
            expire_after_ms,
            when,
        }
    }

    /// One that nobody else has.
    pub(super) fn new_payload(&mut self) -> Vec<u8> {
        self.payloads += 1;
        let mut payload = format!("{}/{}", self.number, self.payloads).into_bytes();
        let more = self.rng.below(self.world.plan.payload_bytes_max) as usize;
        payload.resize(payload.len() + more, self.number as u8);
        payload
    }

    /// A time around log time, which is not the wall clock's.
    fn some_time(&mut self) -> jobbie_proto::Micros {
        let now = self.world.ledger.with(self.shard, |book| book.model.time);
        jobbie_proto::Micros((now + self.rng.below(4_000_000)).saturating_sub(1_000_000))
    }

    /// One of a few keys that all clients of the shard use, mostly with the same content.
    fn keyed(&mut self, queue: String) -> Order {
        let nth = self.rng.below(6);
        let key = format!("key-{nth}").into_bytes();
        let kind = if self.rng.below(6) == 0 { "other" } else { "same" };
        let payload = [kind.as_bytes(), b"/", &key].concat();
        Order {
            queue,
            payload,
            tags: b"tag",
            key,
            key_ms: 200 + 1500 * nth,
            unique: Vec::new(),
            limit_key: "",
            priority: 1,
            max_retries: 3,
            backoff: BackoffKind::Fixed,
            expire_after_ms: 0,
            when: When::Now,
        }
    }
}
