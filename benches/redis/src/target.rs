//! Redis as a server of jobs.

use jobbie_bench::in_order::{InOrder, Outcome};
use jobbie_bench::payload;
use jobbie_bench::peer::Place;
use jobbie_bench::wire::{Job, NewJobs, Received, Wire, WireError};

use crate::resp::{Reply, bulk, command, header, reply};

/// How long a fetch waits, in seconds.
const WAIT_S: &[u8] = b"1";

pub(crate) struct Connection {
    queue: Vec<u8>,
    own: Vec<u8>,
    bytes: usize,
    requests: InOrder,
    scratch: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(place: Place) -> Self {
        let Place { queue, own, payload_bytes: bytes } = place;
        Self {
            queue: queue.into_bytes(),
            own: own.into_bytes(),
            bytes,
            requests: InOrder::new(bytes),
            scratch: Vec::new(),
        }
    }

    /// The first may wait for a job, the others take what is there.
    fn take(&self, count: u32, waits: bool, out: &mut Vec<u8>) {
        for nth in 0..count {
            if nth == 0 && waits {
                command(&[b"BLMOVE", &self.queue, &self.own, b"RIGHT", b"LEFT", WAIT_S], out);
            } else {
                command(&[b"LMOVE", &self.queue, &self.own, b"RIGHT", b"LEFT"], out);
            }
        }
    }

    fn job_payload(&mut self, job: &Job) -> &[u8] {
        self.scratch.clear();
        payload::write(job.number, job.sent_ns, self.bytes, &mut self.scratch);
        &self.scratch
    }
}

impl Wire for Connection {
    fn open(&mut self, _out: &mut Vec<u8>) {}

    fn is_open(&self) -> bool {
        true
    }

    fn enqueue(&mut self, jobs: NewJobs, out: &mut Vec<u8>) -> u64 {
        header(b'*', jobs.count as usize + 2, out);
        bulk(b"LPUSH", out);
        bulk(&self.queue, out);
        for nth in 0..jobs.count {
            header(b'$', self.bytes, out);
            payload::write(jobs.first + u64::from(nth), jobs.sent_ns, self.bytes, out);
            out.extend_from_slice(b"\r\n");
        }
        self.requests.request(1, 0, jobs.count)
    }

    fn fetch(&mut self, count: u32, out: &mut Vec<u8>) -> u64 {
        self.take(count, true, out);
        self.requests.request(0, count, 1)
    }

    fn ack(&mut self, jobs: &[Job], fetch: u32, out: &mut Vec<u8>) -> u64 {
        for job in jobs {
            header(b'*', 4, out);
            bulk(b"LREM", out);
            bulk(&self.own, out);
            bulk(b"1", out);
            bulk(self.job_payload(job), out);
        }
        self.take(fetch, false, out);
        self.requests.request(jobs.len() as u32, fetch, 1)
    }

    fn receive(&mut self, bytes: &[u8], into: &mut Received) -> Result<usize, WireError> {
        let mut used = 0;
        while let Some((found, len)) = reply(&bytes[used..]).map_err(WireError)? {
            used += len;
            let outcome = match found {
                Reply::Error(text) => {
                    return Err(WireError(format!("Redis says {}", String::from_utf8_lossy(text))));
                }
                // LREM says how many it removed; LPUSH how long the list is.
                Reply::Simple(b"0") => Outcome::Refused("NOT_ACTIVE"),
                Reply::Simple(_) => Outcome::Done,
                Reply::Bulk(Some(payload)) => Outcome::Job(0, payload),
                Reply::Bulk(None) => Outcome::Nothing,
            };
            self.requests.reply(outcome, into)?;
        }
        Ok(used)
    }
}
