//! What the programs that load other servers have in common.

use std::net::TcpStream;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;

use crate::options::{Options, Workload};
use crate::run::run;
use crate::wire::{Role, Target, Wire};

/// What one connection to another server works on.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where its jobs go or come from.
    pub queue: String,
    /// A name of its own, for a server that keeps a worker's jobs under one.
    pub own: String,
    /// Bytes of each job's payload.
    pub payload_bytes: usize,
}

/// Another server: one shard that flushes every write.
struct Peer<W> {
    name: &'static str,
    wire: fn(Place) -> W,
    addr: String,
    /// Different in each run, so that nothing is left over from another.
    run: String,
    queues: u32,
    payload_bytes: usize,
}

impl<W> Peer<W> {
    fn new(name: &'static str, wire: fn(Place) -> W, options: &Options) -> anyhow::Result<Self> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(Self {
            name,
            wire,
            addr: options.addr.clone(),
            run: format!("{:x}", since.as_micros()),
            queues: options.queues.unwrap_or(1),
            payload_bytes: options.payload_bytes as usize,
        })
    }
}

impl<W: Wire> Target for Peer<W> {
    type Wire = W;

    fn connect(&self, role: Role, index: u32) -> anyhow::Result<(TcpStream, W)> {
        let stream = TcpStream::connect(&self.addr)
            .with_context(|| format!("connect to {} at {}", self.name, self.addr))?;
        let place = Place {
            queue: format!("q.{}.{}", self.run, index % self.queues),
            own: format!("w.{}.{role:?}.{index}", self.run),
            payload_bytes: self.payload_bytes,
        };
        Ok((stream, (self.wire)(place)))
    }

    /// As it is to be started for a comparison: not every server can be asked.
    fn durability(&self) -> String {
        "fsync".into()
    }

    fn shards(&self) -> u32 {
        1
    }

    fn queues(&self) -> u32 {
        self.queues
    }
}

/// Runs a workload against the server `name`, whose protocol `wire` makes for each connection, and prints what came
/// out, as `jobbie-bench` does.
pub fn main<W: Wire>(workload: &Workload, name: &'static str, wire: fn(Place) -> W) -> ExitCode {
    match compare(workload, name, wire) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare<W: Wire>(
    workload: &Workload,
    name: &'static str,
    wire: fn(Place) -> W,
) -> anyhow::Result<bool> {
    let options = workload.options();
    options.validate(workload).map_err(anyhow::Error::msg)?;
    if let Some(flag) = options.special() {
        anyhow::bail!("only jobs and queues of jobbie have that: no {flag}");
    }
    let waits = matches!(workload, Workload::Due(_));
    anyhow::ensure!(!waits, "only jobs of jobbie wait for their time to a microsecond: no due");
    anyhow::ensure!(options.history.is_none(), "only jobbie is killed and checked: no --history");
    let report = run(&Peer::new(name, wire, options)?, workload)?;
    if !options.json {
        eprint!("{}", report.text());
    }
    println!("{}", report.json());
    Ok(report.is_good())
}
