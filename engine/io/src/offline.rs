//! Reading a file front to back as fast as the disk allows, without any runtime.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use io_uring::{IoUring, opcode, types};

use crate::AlignedBuf;

/// Bytes of one read.
pub const READ_BYTES: usize = 256 * 1024;

/// Reads in flight.
pub const READS_IN_FLIGHT: usize = 64;

/// Streams one file in order with many reads in flight.
pub struct OfflineReader {
    ring: IoUring,
    file: File,
    file_bytes: u64,
    slots: Vec<Slot>,
    submitted: u64,
    delivered: u64,
    in_flight: usize,
}

struct Slot {
    buf: AlignedBuf,
    result: Option<i32>,
}

impl OfflineReader {
    /// Opens `path` past the page cache when the filesystem can do that.
    ///
    /// # Errors
    /// Whatever the system reports, for the file or for the ring.
    pub fn open(path: &Path) -> io::Result<Self> {
        let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
        let file = match direct {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => File::open(path)?,
            opened => opened?,
        };
        let file_bytes = file.metadata()?.len();
        let slots = file_bytes.div_ceil(READ_BYTES as u64).min(READS_IN_FLIGHT as u64);
        let slots = (0..slots)
            .map(|_| Slot { buf: AlignedBuf::zeroed(READ_BYTES), result: None })
            .collect();
        let ring = IoUring::new(READS_IN_FLIGHT as u32)?;
        let mut reader =
            Self { ring, file, file_bytes, slots, submitted: 0, delivered: 0, in_flight: 0 };
        for _ in 0..reader.slots.len() {
            reader.submit_next();
        }
        reader.ring.submit()?;
        Ok(reader)
    }

    /// Length of the file when it was opened, in bytes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The next piece with its offset; pieces come in order and without gaps, each of
    /// [`READ_BYTES`] but the last. `None` at the end.
    ///
    /// # Errors
    /// What the read reported; `UnexpectedEof` when the file shrank meanwhile.
    pub fn next_piece(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        // The slot delivered last is free again only now, because its bytes were lent out.
        if self.delivered > 0 {
            self.submit_next();
        }
        let offset = self.delivered * READ_BYTES as u64;
        if offset >= self.file_bytes {
            return Ok(None);
        }
        let index = self.slot_of(self.delivered);
        while self.slots[index].result.is_none() {
            self.ring.submit_and_wait(1)?;
            self.reap();
        }
        self.ring.submit()?;
        self.delivered += 1;
        let slot = &mut self.slots[index];
        let result = slot.result.take().expect("waited for above");
        let read = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))?;
        let wanted = (self.file_bytes - offset).min(READ_BYTES as u64) as usize;
        if read < wanted {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok(Some((offset, &slot.buf[..wanted])))
    }

    fn slot_of(&self, piece: u64) -> usize {
        (piece % self.slots.len() as u64) as usize
    }

    fn submit_next(&mut self) {
        let offset = self.submitted * READ_BYTES as u64;
        if offset >= self.file_bytes {
            return;
        }
        let index = self.slot_of(self.submitted);
        let slot = &mut self.slots[index];
        assert!(slot.result.is_none(), "slot is still in use");
        let read = opcode::Read::new(
            types::Fd(self.file.as_raw_fd()),
            slot.buf.as_mut_ptr(),
            READ_BYTES as u32,
        )
        .offset(offset)
        .build()
        .user_data(index as u64);
        #[expect(unsafe_code, reason = "hands the buffer to the kernel")]
        // SAFETY: the slot owns a buffer of READ_BYTES on the heap, which is neither touched, grown
        // nor freed until `reap` has seen this read complete: `next_piece` lends it only after that,
        // and `drop` waits for every read in flight before the slots are freed.
        let pushed = unsafe { self.ring.submission().push(&read) };
        pushed.expect("as many ring entries as slots");
        self.submitted += 1;
        self.in_flight += 1;
    }

    fn reap(&mut self) {
        for completion in self.ring.completion() {
            let slot = &mut self.slots[completion.user_data() as usize];
            slot.result = Some(completion.result());
            self.in_flight -= 1;
        }
    }
}

impl Drop for OfflineReader {
    fn drop(&mut self) {
        while self.in_flight > 0 {
            // Freeing the buffers under the kernel would corrupt memory, so there is no way on.
            match self.ring.submit_and_wait(1) {
                Ok(_) => self.reap(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => std::process::abort(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(len: usize) {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("file");
        let content: Vec<u8> = (0..len).map(|i| (i / 3 + i / 4096) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let mut reader = OfflineReader::open(&path).unwrap();
        let mut read = Vec::new();
        while let Some((offset, piece)) = reader.next_piece().unwrap() {
            assert_eq!(offset, read.len() as u64);
            read.extend_from_slice(piece);
        }
        assert!(read == content);
    }

    #[test]
    fn files_of_every_shape_come_back_whole() {
        for len in [0, 1, READ_BYTES - 1, READ_BYTES, READ_BYTES * 3 + 5, READ_BYTES * 100] {
            round_trip(len);
        }
    }

    #[test]
    fn dropped_early() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![1; READ_BYTES * 80]).unwrap();
        let mut reader = OfflineReader::open(&path).unwrap();
        assert!(reader.next_piece().unwrap().is_some());
    }
}
