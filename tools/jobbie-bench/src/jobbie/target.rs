//! The whole server: which shards it has, where they are, and queues spread over them.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use jobbie_proto::event::{QueueSettings, Sharing};
use jobbie_proto::limits::{FRAME_BYTES_MAX, OPS_PER_REQUEST_MAX, RATE_MAX};
use jobbie_proto::request::{QueueAction, QueueControl};
use jobbie_proto::wire::{ANY_SHARD, Durability};
use jobbie_proto::{Code, Request, ShardId};

use super::connection::Connection;
use super::group::Group;
use super::jobs::Jobs;
use super::link::Link;
use crate::options::Options;
use crate::wire::{Role, Target};

/// Jobs of a queue or of a limit key that may be active at a time with `--limits`.
const CONCURRENCY: u32 = 1_000_000_000;
/// How long the window is in which [`RATE_MAX`] may be given out with `--limits`, in milliseconds. Four million a second
/// are more than a shard's thread decides.
const WINDOW_MS: u32 = 250;

/// A jobbie server.
#[derive(Debug)]
pub struct Jobbie {
    /// Where each shard is.
    shards: Vec<String>,
    /// Queues, and the shard of each.
    queues: Vec<(Arc<str>, ShardId)>,
    durability: String,
    run: u128,
    token: Arc<str>,
    jobs: Arc<Jobs>,
}

impl Jobbie {
    /// Asks the server what it is, and limits the queues of the run as the options say.
    ///
    /// # Errors
    /// When it cannot be reached, the options do not fit it or it refuses the limits.
    pub fn new(options: &Options) -> anyhow::Result<Self> {
        let mut jobs = Jobs::new(options);
        let batch_max = FRAME_BYTES_MAX / jobs.frame_bytes();
        if options.batch as usize > batch_max {
            bail!(
                "a request of {} jobs is too large: --batch is at most {batch_max} here",
                options.batch
            );
        }
        let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() << 32
            | u128::from(std::process::id());
        let (mut link, about) = Link::open(&options.addr, &options.token, ANY_SHARD, run)
            .with_context(|| {
                format!("connect to jobbie at {} (is `jobbie server` running?)", options.addr)
            })?;
        let queues = queues(run, options.queues, about.shards.len() as u16);
        if options.callback {
            jobs.group = Some(Group::open(&mut link, run).context("open the batch")?);
        }
        let (durability, jobs) = (durability(about.durability), Arc::new(jobs));
        let token = options.token.as_str().into();
        let target = Self { shards: about.shards, queues, durability, run, token, jobs };
        if let Some(settings) = settings(options) {
            target.limit(settings).context("limit the queues")?;
        }
        Ok(target)
    }

    /// Gives every queue these limits.
    fn limit(&self, settings: QueueSettings) -> anyhow::Result<()> {
        for (shard, addr) in (0..).map(ShardId).zip(&self.shards) {
            let of_shard = self.queues.iter().filter(|(_, of)| *of == shard);
            let controls: Vec<_> = of_shard
                .map(|(queue, _)| QueueControl { queue, action: QueueAction::Configure(settings) })
                .collect();
            if controls.is_empty() {
                continue;
            }
            // One session: another of the same client would number its requests as this one does.
            let (mut link, _) = Link::open(addr, &self.token, shard, !self.run)?;
            for queue_controls in controls.chunks(OPS_PER_REQUEST_MAX) {
                let queue_controls = queue_controls.to_vec();
                let mut refusal = None;
                link.call(Request { queue_controls, ..Request::default() }, |reply| {
                    if reply.code != Code::Ok {
                        refusal = Some(format!("{} ({})", reply.message, reply.code.name()));
                    }
                })?;
                if let Some(refusal) = refusal {
                    bail!("the server refuses: {refusal}");
                }
            }
        }
        Ok(())
    }
}

/// What the options set on queues, when they do.
fn settings(options: &Options) -> Option<QueueSettings> {
    let fair = if options.fair { Sharing::Jobs } else { Sharing::None };
    let settings = match options.limits {
        false => QueueSettings { fair, ..QueueSettings::default() },
        true => QueueSettings {
            concurrency: CONCURRENCY,
            rate: RATE_MAX,
            window_ms: WINDOW_MS,
            key_concurrency: CONCURRENCY,
            key_rate: RATE_MAX,
            key_window_ms: WINDOW_MS,
            fair,
        },
    };
    (settings != QueueSettings::default()).then_some(settings)
}

/// Names of the run's queues: as many as asked for, or one on each shard.
fn queues(run: u128, wanted: Option<u32>, shards: u16) -> Vec<(Arc<str>, ShardId)> {
    let name = |nth: u32| {
        let name: Arc<str> = format!("bench.{run:x}.{nth}").into();
        let shard = jobbie_proto::placement::shard_of(&name, shards);
        (name, shard)
    };
    match wanted {
        Some(count) => (0..count).map(name).collect(),
        None => {
            let first_of = |shard| (0..).map(name).find(|(_, of)| *of == ShardId(shard));
            (0..shards).filter_map(first_of).collect()
        }
    }
}

fn durability(of: Durability) -> String {
    match of {
        Durability::Fsync => "fsync".into(),
        Durability::IntervalMs(ms) => format!("interval:{ms}"),
        Durability::None => "none".into(),
    }
}

impl Target for Jobbie {
    type Wire = Connection;

    fn connect(&self, role: Role, index: u32) -> anyhow::Result<(TcpStream, Connection)> {
        let (queue, shard) = &self.queues[index as usize % self.queues.len()];
        let addr = &self.shards[usize::from(shard.0)];
        let stream = TcpStream::connect(addr)
            .with_context(|| format!("connect to shard {} at {addr}", shard.0))?;
        // The address of the socket makes it different for each connection of the run.
        let port = u128::from(stream.local_addr()?.port());
        let client = self.run
            ^ (port << 64)
            ^ (u128::from(role == Role::Worker) << 112)
            ^ (u128::from(index) << 80);
        let (queue, token) = (queue.clone(), self.token.clone());
        let wire = Connection::new(queue, token, client, *shard, self.jobs.clone());
        Ok((stream, wire))
    }

    fn finish(&self, jobs: u64) -> anyhow::Result<Option<Duration>> {
        let Some(group) = &self.jobs.group else { return Ok(None) };
        let link = |shard: ShardId, run| {
            let addr = &self.shards[usize::from(shard.0)];
            Ok::<_, anyhow::Error>(Link::open(addr, &self.token, shard, run)?.0)
        };
        let to = jobbie_proto::placement::shard_of(group.queue(), self.shards.len() as u16);
        let (mut home, mut other) =
            (link(group.batch.shard(), !self.run ^ 1)?, link(to, !self.run ^ 2)?);
        group.finish(&mut home, &mut other, jobs).map(Some)
    }

    fn durability(&self) -> String {
        self.durability.clone()
    }

    fn shards(&self) -> u32 {
        self.shards.len() as u32
    }

    fn queues(&self) -> u32 {
        self.queues.len() as u32
    }
}
