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
    /// Where each complete frame in `buf` ends.
    ends: Vec<usize>,
}

impl<S: AsyncReadRent> FrameStream<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self { socket, buf: Vec::with_capacity(READ_BYTES), ends: Vec::new() }
    }

    /// Reads until at least one frame is complete and hands over all that are. `body_bytes_max` is
    /// asked after each read, because it grows once the client has shown who it is.
    pub(crate) async fn read(
        &mut self,
        body_bytes_max: impl Fn() -> usize,
        take: impl FnMut(Frame),
    ) -> Result<(), ReadError> {
        loop {
            if let Some(whole) = self.find_frames(body_bytes_max())? {
                self.hand_over(whole, take);
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

    /// Finds the complete frames at the beginning of the buffer. Where the last one ends, if there is one.
    fn find_frames(&mut self, body_bytes_max: usize) -> Result<Option<usize>, FrameError> {
        let mut end = 0;
        while let Some((_, bytes)) = frame::split(&self.buf[end..], body_bytes_max)? {
            end += bytes;
            self.ends.push(end);
        }
        Ok(self.ends.last().copied())
    }

    /// Takes the frames found, of `whole` bytes, out of the buffer.
    fn hand_over(&mut self, whole: usize, mut take: impl FnMut(Frame)) {
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
        for end in self.ends.drain(..) {
            take(Frame::new(Rc::clone(&shared), at..end));
            at = end;
        }
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use jobbie_proto::Request;
    use jobbie_proto::limits::FRAME_BYTES_MAX;
    use jobbie_proto::request::{Ack, JobRef};
    use jobbie_proto::wire::Encoder;
    use jobbie_proto::{JobId, JobSeq, LeaseToken, ShardId};

    use super::*;

    fn frame_of(result_bytes: usize) -> Vec<u8> {
        let job = JobRef { job: JobId::new(1, ShardId(0), JobSeq(1)), token: LeaseToken(1) };
        let result = vec![result_bytes as u8; result_bytes];
        let request = Request { acks: vec![Ack { job, result: &result }], ..Request::default() };
        let mut frame = Vec::new();
        Encoder::new().request(&mut frame, &request).expect("it fits");
        frame
    }

    /// Every frame that comes out, and how it ends.
    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, ReadError) {
        let (mut stream, mut seen) = (FrameStream::new(bytes), Vec::new());
        loop {
            let read = stream.read(|| FRAME_BYTES_MAX, |frame| seen.push(frame.to_vec()));
            if let Err(error) = read.now_or_never().expect("memory is always ready") {
                return (seen, error);
            }
        }
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        // Reads whose frames are copied out, reads that are handed on, and frames that take several reads.
        let frames = [1, 100, 100 << 10, 20 << 10, 3, 200 << 10, 4, 5].map(frame_of);
        let (seen, ended) = read(&frames.concat());
        assert!(seen == frames, "{:?}", seen.iter().map(Vec::len).collect::<Vec<_>>());
        assert!(matches!(ended, ReadError::Closed), "{ended}");
    }

    #[test]
    fn nothing_is_taken_of_a_read_that_is_not_all_frames() {
        let (seen, ended) = read(&[frame_of(1), b"junk".to_vec()].concat());
        assert!(seen.is_empty(), "{}", seen.len());
        assert!(matches!(ended, ReadError::Frame(FrameError::Magic(_))), "{ended}");
    }
}
