//! One connection: its socket, its protocol and the requests it has open.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, bail};

use crate::wire::{Job, NewJobs, Received, Role, Wire};

/// Bytes of the read buffer at first; it grows to the largest frame.
const INPUT_BYTES: usize = 128 << 10;

/// A request without an answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) ticket: u64,
    /// When it was sent, or meant to be; of an ack, when its fetch was.
    pub(super) since_ns: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Enqueue(NewJobs),
    Fetch,
    Ack(Vec<Job>),
}

pub(super) struct Conn<W> {
    stream: TcpStream,
    pub(super) wire: W,
    pub(super) role: Role,
    pub(super) pending: Vec<Pending>,
    /// Of a producer: there is nothing left to create.
    pub(super) is_done: bool,
    /// The socket took not all that was to be written.
    pub(super) is_blocked: bool,
    out: Vec<u8>,
    out_at: usize,
    input: Vec<u8>,
    input_len: usize,
}

impl<W: Wire> Conn<W> {
    pub(super) fn new(stream: TcpStream, wire: W, role: Role) -> anyhow::Result<Self> {
        stream.set_nodelay(true).context("set TCP_NODELAY")?;
        stream.set_nonblocking(true).context("set non-blocking")?;
        let mut conn = Self {
            stream,
            wire,
            role,
            pending: Vec::new(),
            is_done: false,
            is_blocked: false,
            out: Vec::new(),
            out_at: 0,
            input: vec![0; INPUT_BYTES],
            input_len: 0,
        };
        conn.wire.open(&mut conn.out);
        Ok(conn)
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn enqueue(&mut self, jobs: NewJobs, since_ns: u64) {
        let ticket = self.wire.enqueue(jobs, &mut self.out);
        self.pending.push(Pending { ticket, since_ns, what: What::Enqueue(jobs) });
    }

    pub(super) fn fetch(&mut self, count: u32, now_ns: u64) {
        let ticket = self.wire.fetch(count, &mut self.out);
        self.pending.push(Pending { ticket, since_ns: now_ns, what: What::Fetch });
    }

    pub(super) fn ack(&mut self, jobs: Vec<Job>, fetch: u32, since_ns: u64) {
        let ticket = self.wire.ack(&jobs, fetch, &mut self.out);
        self.pending.push(Pending { ticket, since_ns, what: What::Ack(jobs) });
    }

    /// Takes the request that an answer belongs to.
    pub(super) fn answered(&mut self, ticket: u64) -> anyhow::Result<Pending> {
        match self.pending.iter().position(|p| p.ticket == ticket) {
            Some(at) => Ok(self.pending.remove(at)),
            None => bail!("the server answered a request that was not made (ticket {ticket})"),
        }
    }

    /// Writes what it can; true when something is left.
    pub(super) fn flush(&mut self) -> anyhow::Result<bool> {
        while self.out_at < self.out.len() {
            match self.stream.write(&self.out[self.out_at..]) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(n) => self.out_at += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e).context("send to the server"),
            }
        }
        self.out.clear();
        self.out_at = 0;
        Ok(false)
    }

    /// Reads once and takes the answers out of what has come.
    pub(super) fn receive(&mut self, into: &mut Received) -> anyhow::Result<()> {
        if self.input_len == self.input.len() {
            self.input.resize(self.input.len() * 2, 0);
        }
        match self.stream.read(&mut self.input[self.input_len..]) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(n) => self.input_len += n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(e) => return Err(e).context("read from the server"),
        }
        let used = self.wire.receive(&self.input[..self.input_len], into)?;
        // Answers are small beside the buffer: what is left is at most the beginning of one.
        self.input.copy_within(used..self.input_len, 0);
        self.input_len -= used;
        Ok(())
    }
}
