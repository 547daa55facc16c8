//! What is asked of the server for a frame.

use std::time::{Duration, Instant};

use jobbie_proto::reply::{JobState, QueueStats, ShardStats};
use jobbie_proto::request::Stats;
use jobbie_proto::{Request, ShardId};

use super::latency::{self, Latency};
use crate::args::{ClientArgs, TopArgs};
use crate::call::{CallError, Server};
use crate::commands::{observe, queues};

/// What a server was doing at a moment.
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) queues: Vec<QueueStats>,
    pub(super) shards: Vec<(ShardId, ShardStats)>,
    pub(super) workers: Vec<Worker>,
    /// None when metrics were not asked for.
    pub(super) latency: Option<Result<Latency, String>>,
}

/// A worker on all shards.
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) active: u64,
    pub(super) last_seen_ms: u64,
}

impl Look {
    /// Jobs in a state, of all queues.
    pub(super) fn jobs(&self, state: JobState) -> u64 {
        self.queues.iter().map(|queue| queue.jobs[state as usize]).sum()
    }

    /// Jobs ever enqueued, of all queues.
    pub(super) fn enqueued(&self) -> u64 {
        self.queues.iter().map(|queue| queue.enqueued_total).sum()
    }
}

/// Looks again and again, over connections that stay.
pub(super) struct Looker<'a> {
    args: &'a TopArgs,
    server: Option<Server>,
}

impl<'a> Looker<'a> {
    pub(super) fn new(args: &'a TopArgs) -> Result<Self, CallError> {
        Ok(Self { args, server: Some(connect(&args.client)?) })
    }

    /// Asks everything; connects anew after a failure.
    pub(super) fn look(&mut self) -> Result<Look, CallError> {
        let mut server = match self.server.take() {
            Some(server) => server,
            None => connect(&self.args.client)?,
        };
        server.allow(Duration::ZERO);
        let queues = queues::all(&mut server, &self.args.prefix)?;
        let mut shards = Vec::new();
        for shard in server.shards() {
            let mut request = Request { stats: Stats::Shard, ..Request::default() };
            server.call(shard, &mut request, |reply| {
                shards.extend(reply.shard_stats.map(|stats| (shard, stats)));
            })?;
        }
        let workers = observe::everywhere(&mut server)?.into_iter().map(|((name, host), of)| {
            Worker { name, host, active: of.active, last_seen_ms: of.last_seen_ms }
        });
        let workers = workers.collect();
        self.server = Some(server);
        let latency = self.args.metrics.map(latency::read);
        Ok(Look { at: Instant::now(), queues, shards, workers, latency })
    }
}

fn connect(args: &ClientArgs) -> Result<Server, CallError> {
    Server::connect(args, None)
}
