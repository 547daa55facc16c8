//! The batch of a run: every job is a member of it, and the run ends with its callback.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use jobbie_proto::request::{Ack, BatchSeal, Fetch, JobRef, Members, Ties};
use jobbie_proto::wire::ReplyFrame;
use jobbie_proto::{BatchId, Code, Request};

use super::jobs::plain;
use super::link::Link;

/// How long a fetch waits for the callback at a time, in milliseconds.
const WAIT_MS: u32 = 5_000;
/// How often it is waited for.
const WAITS: usize = 12;

/// A batch that was opened for a run.
#[derive(Debug)]
pub(super) struct Group {
    /// Its id.
    pub(super) batch: BatchId,
    /// The queue its callback comes to.
    queue: String,
}

fn refusal(reply: &ReplyFrame<'_>) -> Option<String> {
    (reply.code != Code::Ok).then(|| format!("{} ({})", reply.message, reply.code.name()))
}

impl Group {
    /// Opens a batch on the shard of `link`, with a callback to a queue of its own.
    pub(super) fn open(link: &mut Link, run: u128) -> anyhow::Result<Self> {
        let queue = format!("bench.{run:x}.callback");
        let mut opened = Err("the server opened no batch".to_owned());
        let ties = Ties { batch_opens: vec![Some(plain(&queue, b""))], ..Ties::default() };
        link.call(Request { ties, ..Request::default() }, |reply| {
            opened = match refusal(reply) {
                Some(refusal) => Err(format!("the server refuses: {refusal}")),
                None => reply.batches.first().copied().ok_or("the server opened no batch".into()),
            };
        })?;
        let batch = opened.map_err(anyhow::Error::msg)?;
        Ok(Self { batch, queue })
    }

    /// Makes the first `count` enqueues of a request members.
    pub(super) fn join(&self, request: &mut Request<'_>, count: u32) {
        request.ties.members = vec![Members { batch: self.batch, first: 0, count }];
    }

    /// Seals the batch, whose jobs are all done, and waits until a worker has its callback. How long that took.
    ///
    /// # Errors
    /// When it does not come, or says other counts. `link` is of the batch's shard, `other` of that of its callback.
    pub(super) fn finish(
        &self,
        link: &mut Link,
        other: &mut Link,
        total: u64,
    ) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let seal = BatchSeal { batch: self.batch, total };
        let ties = Ties { batch_seals: vec![seal], ..Ties::default() };
        let mut code = Code::Ok;
        link.call(Request { ties, ..Request::default() }, |reply| {
            code = reply.batch_seals.first().copied().unwrap_or(reply.code);
        })?;
        ensure!(code == Code::Ok, "the batch cannot be sealed: {}", code.name());
        let (job, payload) = self.callback(other)?;
        let took = begin.elapsed();
        let expected = format!(
            r#"{{"batch":{{"failed":0,"id":"{}","succeeded":{total},"total":{total}}}}}"#,
            self.batch
        );
        ensure!(payload == expected.as_bytes(), "the callback is {}", payload.escape_ascii());
        let acks = vec![Ack { job, result: b"" }];
        other.call(Request { acks, ..Request::default() }, |_| ())?;
        Ok(took)
    }

    fn callback(&self, link: &mut Link) -> anyhow::Result<(JobRef, Vec<u8>)> {
        for _ in 0..WAITS {
            let (queues, lease_ms) = (vec![&*self.queue], 60_000);
            let fetch = Fetch { queues, count: 2, lease_ms, wait_ms: WAIT_MS, worker: "" };
            let mut found = Vec::new();
            link.call(Request { fetch: Some(fetch), ..Request::default() }, |reply| {
                found.extend(reply.leases.iter().map(|lease| {
                    (JobRef { job: lease.job, token: lease.token }, lease.payload.to_vec())
                }));
            })?;
            if found.len() > 1 {
                bail!("the batch called back {} times", found.len());
            }
            if let Some(found) = found.pop() {
                return Ok(found);
            }
        }
        None.context("the batch did not call back within a minute")
    }

    /// The queue its callback comes to.
    pub(super) fn queue(&self) -> &str {
        &self.queue
    }
}
