//! Moving frames between a socket and the shard.

use std::io;
use std::rc::Rc;

use jobbie_proto::wire::{FrameError, frame};
use jobbie_shard::Frame;
use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};

/// Room made for one read.
const READ_BYTES: usize = 64 << 10;
/// Frames of reads up to this size are copied out, so that the large buffer can be read into again;
/// beyond it the buffer itself is handed on.
const COPY_BYTES_MAX: usize = 16 << 10;

/// Why a connection's input ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The client closed the connection, or the network broke it.
    #[error("connection closed")]
    Closed,
    /// What came is not made of frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// The reading side of one connection.
pub(crate) struct FrameStream<S> {
    socket: S,
    buf: Vec<u8>,
}

impl<S: AsyncReadRent> FrameStream<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self { socket, buf: Vec::with_capacity(READ_BYTES) }
    }

    /// Reads until at least one frame is complete and hands over all that are. `body_bytes_max` is
    /// asked after each read, because it grows once the client has shown who it is.
    pub(crate) async fn read(
        &mut self,
        body_bytes_max: impl Fn() -> usize,
        mut take: impl FnMut(Frame),
    ) -> Result<(), ReadError> {
        loop {
            let bytes_max = body_bytes_max();
            let whole = self.whole_frames(bytes_max)?;
            if whole > 0 {
                self.hand_over(whole, bytes_max, &mut take)?;
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Reads and throws away until the client closes its side.
    pub(crate) async fn drain(&mut self) {
        while self.fill().await.is_ok() {
            self.buf.clear();
        }
    }

    /// Bytes of complete frames at the beginning of the buffer.
    fn whole_frames(&self, body_bytes_max: usize) -> Result<usize, ReadError> {
        let mut end = 0;
        while let Some((_, bytes)) = frame::split(&self.buf[end..], body_bytes_max)? {
            end += bytes;
        }
        Ok(end)
    }

    fn hand_over(
        &mut self,
        whole: usize,
        body_bytes_max: usize,
        take: &mut impl FnMut(Frame),
    ) -> Result<(), ReadError> {
        let shared = if whole <= COPY_BYTES_MAX {
            let copy = self.buf[..whole].to_vec();
            self.buf.drain(..whole);
            copy
        } else {
            let mut rest = Vec::with_capacity(READ_BYTES.max(self.buf.len() - whole));
            rest.extend_from_slice(&self.buf[whole..]);
            std::mem::replace(&mut self.buf, rest)
        };
        let shared = Rc::new(shared);
        let mut at = 0;
        while at < whole {
            let (_, bytes) = frame::split(&shared[at..whole], body_bytes_max)?
                .expect("these bytes were split before");
            take(Frame::new(Rc::clone(&shared), at..at + bytes));
            at += bytes;
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), ReadError> {
        // The room grows with what has arrived, never with what a header promises.
        if self.buf.capacity() - self.buf.len() < READ_BYTES / 4 {
            self.buf.reserve(READ_BYTES.max(self.buf.len()));
        }
        let buf = std::mem::take(&mut self.buf);
        let len = buf.len();
        let end = buf.capacity();
        let (read, slice) = self.socket.read(buf.slice_mut(len..end)).await;
        self.buf = slice.into_inner();
        match read {
            Ok(0) | Err(_) => Err(ReadError::Closed),
            Ok(_) => Ok(()),
        }
    }
}

/// Writes what the outbox holds until it is closed and empty, then says that no more comes.
pub(crate) async fn write_all(
    mut socket: impl AsyncWriteRent,
    outbox: &jobbie_shard::Outbox,
) -> io::Result<()> {
    let mut buf = Vec::new();
    while outbox.take(&mut buf).await {
        let (written, returned) = socket.write_all(buf).await;
        written?;
        buf = returned;
        buf.clear();
    }
    socket.shutdown().await
}
