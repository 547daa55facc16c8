//! Reading a file front to back in large pieces, as opening a log does.

use jobbie_io::{AlignedBuf, BLOCK_BYTES, DiskFile};

use crate::limits::WINDOW_BYTES;

/// A file and the piece of it read last.
pub(crate) struct Window<F> {
    file: F,
    start: u64,
    buf: AlignedBuf,
    filled: usize,
}

impl<F: DiskFile> Window<F> {
    pub(crate) fn new(file: F) -> Self {
        Self { file, start: 0, buf: AlignedBuf::with_capacity(BLOCK_BYTES), filled: 0 }
    }

    /// At least `len` bytes from `offset`, or as many as there are before the end of the file.
    pub(crate) async fn get(&mut self, offset: u64, len: usize) -> std::io::Result<&[u8]> {
        let end = self.start + self.filled as u64;
        if offset < self.start || offset + len as u64 > end {
            let wanted = len.max(WINDOW_BYTES);
            let mut buf = std::mem::replace(&mut self.buf, AlignedBuf::with_capacity(BLOCK_BYTES));
            buf.resize(wanted);
            let (read, buf) = self.file.read_at(buf, offset).await;
            self.buf = buf;
            self.start = offset;
            self.filled = 0;
            self.filled = read?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.buf[from.min(self.filled)..self.filled])
    }
}
