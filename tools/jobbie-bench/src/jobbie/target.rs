//! The whole server: which shards it has, where they are, and queues spread over them.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use jobbie_proto::ShardId;
use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::wire::{ANY_SHARD, Durability};

use super::connection::{Connection, JobKind};
use super::link::Link;
use crate::options::Options;
use crate::wire::{Role, Target};

/// Bytes that a job takes in a frame beside its payload, with room to spare.
const JOB_OVERHEAD_BYTES: usize = 64;
/// The same with every option.
const JOB_OVERHEAD_BYTES_MAX: usize = 192;

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
    payload_bytes: usize,
    kind: JobKind,
}

impl Jobbie {
    /// Asks the server what it is.
    ///
    /// # Errors
    /// When it cannot be reached or the options do not fit it.
    pub fn new(options: &Options) -> anyhow::Result<Self> {
        let payload_bytes = options.payload_bytes as usize;
        let (kind, overhead_bytes) = match options.every_option {
            true => (JobKind::EveryOption, JOB_OVERHEAD_BYTES_MAX),
            false => (JobKind::Plain, JOB_OVERHEAD_BYTES),
        };
        let batch_max = FRAME_BYTES_MAX / (payload_bytes + overhead_bytes);
        if options.batch as usize > batch_max {
            bail!(
                "a request of {} jobs is too large: --batch is at most {batch_max} here",
                options.batch
            );
        }
        let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() << 32
            | u128::from(std::process::id());
        let (_, about) =
            Link::open(&options.addr, &options.token, ANY_SHARD, run).with_context(|| {
                format!("connect to jobbie at {} (is `jobbie server` running?)", options.addr)
            })?;
        let queues = queues(run, options.queues, about.shards.len() as u16);
        let durability = durability(about.durability);
        Ok(Self {
            shards: about.shards,
            queues,
            durability,
            run,
            token: options.token.as_str().into(),
            payload_bytes,
            kind,
        })
    }
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
        let wire = Connection::new(queue, token, client, *shard, self.payload_bytes, self.kind);
        Ok((stream, wire))
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
