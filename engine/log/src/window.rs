//! Reading a file front to back in large pieces, as opening a log does.

use jobbie_io::{AlignedBuf, BLOCK_BYTES, DiskFile};

use crate::limits::{CHUNK_BYTES, WINDOW_BYTES};

/// Bytes of the first read at a place. A header or a footer needs no more.
const FIRST_BYTES: usize = 64 << 10;
/// Bytes of a read of many in a row. The kernel reads ahead by itself.
const NEXT_BYTES: usize = CHUNK_BYTES;

/// What a window reads through: a file, or a file with rests between the reads.
pub(crate) trait Source {
    /// As [`DiskFile::read_at`].
    fn read(
        &self,
        buf: AlignedBuf,
        offset: u64,
    ) -> impl Future<Output = (std::io::Result<usize>, AlignedBuf)>;
}

impl<F: DiskFile> Source for F {
    async fn read(&self, buf: AlignedBuf, offset: u64) -> (std::io::Result<usize>, AlignedBuf) {
        self.read_at(buf, offset).await
    }
}

/// A file and the piece of it read last.
pub(crate) struct Window<S> {
    source: S,
    start: u64,
    buf: AlignedBuf,
    filled: usize,
}

const _: () = assert!(FIRST_BYTES <= NEXT_BYTES && NEXT_BYTES <= WINDOW_BYTES);

impl<S: Source> Window<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, start: 0, buf: AlignedBuf::with_capacity(BLOCK_BYTES), filled: 0 }
    }

    /// At least `len` bytes from `offset`, or as many as there are before the end of the file.
    pub(crate) async fn get(&mut self, offset: u64, len: usize) -> std::io::Result<&[u8]> {
        let end = self.start + self.filled as u64;
        if offset < self.start || offset + len as u64 > end {
            let goes_on = self.filled > 0 && (self.start..=end).contains(&offset);
            let wanted = len.max(if goes_on { NEXT_BYTES } else { FIRST_BYTES });
            let mut buf = std::mem::replace(&mut self.buf, AlignedBuf::with_capacity(BLOCK_BYTES));
            buf.resize(wanted);
            let (read, buf) = self.source.read(buf, offset).await;
            self.buf = buf;
            self.start = offset;
            self.filled = 0;
            self.filled = read?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.buf[from.min(self.filled)..self.filled])
    }
}
