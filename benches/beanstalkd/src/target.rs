//! beanstalkd as a server of jobs.

use std::io::Write;

use jobbie_bench::in_order::{InOrder, Outcome};
use jobbie_bench::payload;
use jobbie_bench::peer::Place;
use jobbie_bench::wire::{Job, NewJobs, Received, Wire, WireError};

use crate::line::{Reply, reply};

/// How long a fetch waits, in seconds.
const WAIT_S: u32 = 1;
/// Replies to what opens a connection.
const OPENING: u32 = 3;

pub(crate) struct Connection {
    tube: String,
    bytes: usize,
    opening: u32,
    requests: InOrder,
}

impl Connection {
    pub(crate) fn new(place: Place) -> Self {
        let Place { queue: tube, payload_bytes: bytes, .. } = place;
        Self { tube, bytes, opening: OPENING, requests: InOrder::new(bytes) }
    }
}

fn say(out: &mut Vec<u8>, line: std::fmt::Arguments<'_>) {
    write!(out, "{line}\r\n").expect("writing to memory cannot fail");
}

/// The first may wait for a job, the others take what is there.
fn reserve(count: u32, wait_s: u32, out: &mut Vec<u8>) {
    for nth in 0..count {
        let wait_s = if nth == 0 { wait_s } else { 0 };
        say(out, format_args!("reserve-with-timeout {wait_s}"));
    }
}

impl Wire for Connection {
    fn open(&mut self, out: &mut Vec<u8>) {
        say(out, format_args!("use {}", self.tube));
        say(out, format_args!("watch {}", self.tube));
        say(out, format_args!("ignore default"));
    }

    fn is_open(&self) -> bool {
        self.opening == 0
    }

    fn enqueue(&mut self, jobs: NewJobs, out: &mut Vec<u8>) -> u64 {
        for nth in 0..jobs.count {
            say(out, format_args!("put 1024 0 60 {}", self.bytes));
            payload::write(jobs.first + u64::from(nth), jobs.sent_ns, self.bytes, out);
            out.extend_from_slice(b"\r\n");
        }
        self.requests.request(jobs.count, 0, 1)
    }

    fn fetch(&mut self, count: u32, out: &mut Vec<u8>) -> u64 {
        reserve(count, WAIT_S, out);
        self.requests.request(0, count, 1)
    }

    fn ack(&mut self, jobs: &[Job], fetch: u32, out: &mut Vec<u8>) -> u64 {
        for job in jobs {
            say(out, format_args!("delete {}", job.id));
        }
        reserve(fetch, 0, out);
        self.requests.request(jobs.len() as u32, fetch, 1)
    }

    fn receive(&mut self, bytes: &[u8], into: &mut Received) -> Result<usize, WireError> {
        let mut used = 0;
        while let Some((found, len)) = reply(&bytes[used..]).map_err(WireError)? {
            used += len;
            let outcome = match found {
                Reply::Set => {
                    let unasked = || WireError("a reply to nothing".into());
                    self.opening = self.opening.checked_sub(1).ok_or_else(unasked)?;
                    continue;
                }
                Reply::Done => Outcome::Done,
                Reply::NotFound => Outcome::Refused("NOT_FOUND"),
                Reply::Reserved(id, payload) => Outcome::Job(u128::from(id), payload),
                Reply::Nothing => Outcome::Nothing,
            };
            self.requests.reply(outcome, into)?;
        }
        Ok(used)
    }
}
