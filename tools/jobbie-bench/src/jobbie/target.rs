//! The whole server: which shards it has, where they are, and queues spread over them.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::wire::{
    ANY_SHARD, Durability, Encoder, FrameReader, Hello, PROTOCOL_VERSION, ServerFrame,
};
use jobbie_proto::{SessionId, ShardId};

use super::Connection;
use crate::options::Options;
use crate::wire::{Role, Target};

/// How long the server has to answer the first frame.
const PROBE_WAIT: Duration = Duration::from_secs(10);
/// Bytes that a job takes in a frame beside its payload, with room to spare.
const JOB_OVERHEAD_BYTES: usize = 64;

/// A jobbie server.
#[derive(Debug)]
pub struct Jobbie {
    /// Where each shard is.
    shards: Vec<String>,
    /// Queues, and the shard of each.
    queues: Vec<(Arc<str>, ShardId)>,
    durability: String,
    run: u128,
    payload_bytes: usize,
}

impl Jobbie {
    /// Asks the server what it is.
    ///
    /// # Errors
    /// When it cannot be reached or the options do not fit it.
    pub fn new(options: &Options) -> anyhow::Result<Self> {
        let payload_bytes = options.payload_bytes as usize;
        let frame_bytes = options.batch as usize * (payload_bytes + JOB_OVERHEAD_BYTES);
        if frame_bytes > FRAME_BYTES_MAX {
            let batch_max = FRAME_BYTES_MAX / (payload_bytes + JOB_OVERHEAD_BYTES);
            bail!(
                "a request of {} jobs is too large: --batch is at most {batch_max} here",
                options.batch
            );
        }
        let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() << 32
            | u128::from(std::process::id());
        let (shards, durability) = probe(&options.addr, run).with_context(|| {
            format!("connect to jobbie at {} (is `jobbie server` running?)", options.addr)
        })?;
        let queues = queues(run, options.queues, shards.len() as u16);
        Ok(Self { shards, queues, durability, run, payload_bytes })
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

/// Where each shard is, and what a write is worth.
fn probe(addr: &str, client: u128) -> anyhow::Result<(Vec<String>, String)> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PROBE_WAIT))?;
    let mut out = Vec::new();
    let hello = Hello {
        version_min: PROTOCOL_VERSION,
        version_max: PROTOCOL_VERSION,
        client,
        resume_session: SessionId(0),
        shard: ANY_SHARD,
        token: b"",
        name: "jobbie-bench",
        host: "",
    };
    Encoder::new().hello(&mut out, &hello)?;
    stream.write_all(&out)?;
    let mut reader = FrameReader::new(FRAME_BYTES_MAX);
    let mut chunk = [0; 4096];
    loop {
        if let Some(frame) = reader.next_frame()? {
            match ServerFrame::decode(frame)? {
                ServerFrame::Welcome(welcome) => {
                    let mut shards = vec![addr.to_owned(); usize::from(welcome.shards)];
                    for end in welcome.endpoints.iter().filter(|e| !e.address.is_empty()) {
                        let at = usize::from(end.shard.0);
                        *shards.get_mut(at).context("the server names a shard it has not")? =
                            end.address.to_owned();
                    }
                    return Ok((shards, durability(welcome.durability)));
                }
                ServerFrame::Refused(refused) => {
                    bail!("{} ({})", refused.message, refused.code.name())
                }
                _ => bail!("the server does not begin with a welcome"),
            }
        }
        match stream.read(&mut chunk)? {
            0 => bail!("the server closed the connection"),
            n => reader.feed(&chunk[..n]),
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
        Ok((stream, Connection::new(queue.clone(), client, *shard, self.payload_bytes)))
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
