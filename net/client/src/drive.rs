//! The task behind a link: connect, carry bytes, connect again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::time::{Instant, sleep_until, timeout};

use crate::Error;
use crate::link::{Link, Trouble};

const READ_BYTES: usize = 64 << 10;
/// A write buffer larger than this is given back once it is sent.
const KEEP_BYTES_MAX: usize = 1 << 20;

/// Keeps the link connected until it is stopped or refused for good.
pub(crate) async fn run(link: Arc<Link>) {
    let mut failures = 0;
    loop {
        if link.stopping.load(Ordering::SeqCst) {
            return link.end(None);
        }
        let address = address(&link);
        let (was_open, trouble) = one_connection(&link, &address).await;
        link.lock().connection.disconnected();
        match trouble {
            Trouble::Stopped => return link.end(None),
            Trouble::Fatal(error) => {
                tracing::error!(address, %error, "connection refused for good");
                return link.end(Some(&error));
            }
            Trouble::Again { cause, after_ms } => {
                failures = if was_open { 1 } else { failures + 1 };
                let pause = link.config.backoff(failures).max(Duration::from_millis(after_ms));
                tracing::debug!(address, cause, ?pause, "connection ended");
                next_address(&link, cause, was_open);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = link.stop.notified() => {}
                }
            }
        }
    }
}

fn address(link: &Link) -> String {
    let shared = link.lock();
    let addresses = &link.config.addresses;
    shared
        .redirect
        .clone()
        .unwrap_or_else(|| addresses[shared.address_at % addresses.len()].clone())
}

/// After a failure, another address; a leader that cannot be reached is asked for again elsewhere.
fn next_address(link: &Link, cause: String, was_open: bool) {
    let mut shared = link.lock();
    if !was_open && shared.redirect.as_deref().is_some_and(|to| cause.starts_with(to)) {
        shared.redirect = None;
    } else if !was_open {
        shared.address_at += 1;
    }
    shared.cause = cause;
}

fn again(address: &str, what: impl std::fmt::Display) -> Trouble {
    Trouble::Again { cause: format!("{address}: {what}"), after_ms: 0 }
}

async fn connect(link: &Link, address: &str) -> Result<TcpStream, Trouble> {
    let patience = Duration::from_millis(link.config.connect_ms);
    let connecting = timeout(patience, TcpStream::connect(address));
    let stream = tokio::select! {
        stream = connecting => stream,
        () = link.stop.notified() => return Err(Trouble::Stopped),
    };
    let stream = stream
        .map_err(|_| again(address, "no connection in time"))?
        .map_err(|e| again(address, e))?;
    stream.set_nodelay(true).map_err(|e| again(address, e))?;
    Ok(stream)
}

/// One connection from its beginning to its end, and whether it was ever open.
async fn one_connection(link: &Link, address: &str) -> (bool, Trouble) {
    let mut stream = match connect(link, address).await {
        Ok(stream) => stream,
        Err(trouble) => return (false, trouble),
    };
    if let Err(e) = link.lock().connection.start() {
        return (false, Trouble::Fatal(Error::TooLarge(e)));
    }
    let mut was_open = false;
    let trouble = match carry(link, address, &mut stream, &mut was_open).await {
        Err(trouble) => trouble,
        Ok(()) => Trouble::Stopped,
    };
    (was_open, trouble)
}

/// Bytes on their way out.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
}

impl Outgoing {
    fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Writes as much as the socket takes. Everything callers have put in by now goes out with one system call.
    fn write(&mut self, link: &Link, socket: &WriteHalf<'_>) -> io::Result<()> {
        loop {
            if self.is_empty() {
                self.bytes.clear();
                self.written = 0;
                if self.bytes.capacity() > KEEP_BYTES_MAX {
                    self.bytes = Vec::new();
                }
                std::mem::swap(&mut self.bytes, link.lock().connection.output());
                if self.bytes.is_empty() {
                    return Ok(());
                }
            }
            match socket.try_write(&self.bytes[self.written..]) {
                Ok(n) => self.written += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}

/// Notices a server that has gone without a word.
struct Silence {
    every: Duration,
    next: Instant,
    heard: bool,
    asked: bool,
}

impl Silence {
    fn ring(&mut self, link: &Link, open: bool) -> Result<(), &'static str> {
        if !self.heard && (self.asked || !open) {
            return Err("no sign of life");
        }
        self.asked = !self.heard;
        if self.asked {
            link.lock().connection.ping(0);
        }
        self.heard = false;
        self.next = Instant::now() + self.every;
        Ok(())
    }
}

async fn carry(
    link: &Link,
    address: &str,
    stream: &mut TcpStream,
    was_open: &mut bool,
) -> Result<(), Trouble> {
    let (mut source, sink) = stream.split();
    let mut incoming = vec![0; READ_BYTES];
    let mut outgoing = Outgoing::default();
    let every = Duration::from_millis(link.config.silence_ms);
    let welcome_by = Instant::now() + Duration::from_millis(link.config.connect_ms);
    let mut silence = Silence { every, next: welcome_by, heard: false, asked: false };
    let mut alarm = std::pin::pin!(sleep_until(silence.next));
    loop {
        outgoing.write(link, &sink).map_err(|e| again(address, e))?;
        tokio::select! {
            biased;
            read = source.read(&mut incoming) => {
                let n = read.map_err(|e| again(address, e))?;
                if n == 0 {
                    return Err(again(address, "the server closed the connection"));
                }
                silence.heard = true;
                link.receive(&incoming[..n], address)?;
                *was_open = *was_open || link.lock().connection.is_open();
            }
            () = link.wake.notified() => {
                if *was_open && !link.lock().connection.is_open() {
                    return Err(again(address, "redirected"));
                }
            }
            writable = sink.writable(), if !outgoing.is_empty() => {
                writable.map_err(|e| again(address, e))?;
            }
            () = link.stop.notified() => {
                farewell(link, &mut outgoing, &sink).await;
                return Ok(());
            }
            () = alarm.as_mut() => {
                silence.ring(link, *was_open).map_err(|what| again(address, what))?;
                alarm.as_mut().reset(silence.next);
            }
        }
    }
}

/// Sends what is left, the goodbye last, as long as the server takes it.
async fn farewell(link: &Link, outgoing: &mut Outgoing, sink: &WriteHalf<'_>) {
    let patience = Duration::from_millis(link.config.connect_ms.min(1000));
    let sending = async {
        while outgoing.write(link, sink).is_ok() && !outgoing.is_empty() {
            if sink.writable().await.is_err() {
                return;
            }
        }
    };
    // Who does not take it in a second will find out by the closed connection.
    let _ = timeout(patience, sending).await;
}
