//! Jobs that are tied to others, of any shard.

use jobbie_proto::request::{
    BatchSeal, Chain, Depends, Enqueue, JobAction, JobControl, Members, Ties,
};
use jobbie_proto::{JobId, Request};

use super::Client;
use super::jobs::Order;

impl Client {
    pub(super) fn tie(&mut self) {
        match self.rng.below(8) {
            0 => self.open_batch(),
            1 => self.seal_batch(),
            _ => self.enqueue_tied(),
        }
    }

    /// A job without anything that a job made by others cannot have, in a queue of any shard.
    fn step(&mut self) -> Order {
        let queues = &self.world.plan.all_queues();
        let queue = queues[self.rng.below(queues.len() as u64) as usize].clone();
        let mut order = self.order();
        order.make_step(queue);
        order
    }

    fn open_batch(&mut self) {
        let callback = (self.rng.below(4) > 0).then(|| self.step());
        let batch_opens = vec![callback.as_ref().map(Order::enqueue)];
        let ties = Ties { batch_opens, ..Ties::default() };
        self.submit(Request { ties, ..Request::default() });
    }

    fn seal_batch(&mut self) {
        let own = self.shard;
        let batches = self.world.batches.borrow().clone();
        let here: Vec<_> = batches.into_iter().filter(|batch| batch.shard() == own).collect();
        if here.is_empty() {
            return;
        }
        let batch = here[self.rng.below(here.len() as u64) as usize];
        let batch_seals = vec![BatchSeal { batch, total: self.rng.below(6) }];
        let ties = Ties { batch_seals, ..Ties::default() };
        self.submit(Request { ties, ..Request::default() });
    }

    fn enqueue_tied(&mut self) {
        let jobs = 1 + self.rng.below(3) as u32;
        let orders: Vec<Order> = (0..jobs).map(|_| self.order()).collect();
        let enqueues = orders.iter().map(Order::enqueue).collect();
        let mut ties = Ties::default();
        let batches = self.world.batches.borrow().clone();
        if !batches.is_empty() && self.rng.coin() {
            let batch = batches[self.rng.below(batches.len() as u64) as usize];
            ties.members = vec![Members { batch, first: 0, count: jobs }];
        }
        let steps: Vec<Order> = (0..self.rng.below(4)).map(|_| self.step()).collect();
        let handlers: Vec<Order> = (0..2).map(|_| self.step()).collect();
        if self.rng.coin() {
            let steps: Vec<Enqueue<'_>> = steps.iter().map(Order::enqueue).collect();
            let mut handler = |at: usize| self.rng.coin().then(|| handlers[at].enqueue());
            let (on_failure, on_exit) = (handler(0), handler(1));
            ties.chains = vec![Chain { enqueue: 0, steps, on_failure, on_exit }];
        }
        let known = self.world.known.borrow().clone();
        if !known.is_empty() && self.rng.below(3) == 0 {
            let count = 1 + self.rng.below(3);
            let any = |_| known[self.rng.below(known.len() as u64) as usize];
            let on: Vec<JobId> = (0..count).map(any).collect();
            ties.depends = vec![Depends { enqueue: jobs - 1, on }];
        }
        self.submit(Request { enqueues, ties, ..Request::default() });
    }

    /// Sends off what waits for jobs that may never be completed.
    pub(super) fn send_off_blocked(&mut self) {
        let blocked = self.world.ledger.with(self.shard, |book| {
            let jobs = book.model.blocked.keys().take(100);
            jobs.map(|seq| book.model.job(*seq).id).collect::<Vec<_>>()
        });
        let retry = |job| JobControl { job, action: JobAction::Retry };
        let job_controls = blocked.into_iter().map(retry).collect();
        self.submit(Request { job_controls, ..Request::default() });
    }
}
