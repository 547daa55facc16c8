//! Finding entries: in the tail, among what was read lately, else on the disk.

use std::rc::Rc;

use jobbie_io::{AlignedBuf, BLOCK_BYTES, Disk, DiskFile, OpenMode};

use crate::chunks::Chunk;
use crate::core::Core;
use crate::entry::Entry;
use crate::error::{Damage, ReadError};
use crate::format::header::Place;
use crate::limits::CHUNK_BYTES;
use crate::segment::file_name;
use crate::shared::Shared;
use crate::walk::{self, Found};

impl<F: Clone> Core<F> {
    /// The entry, when it is in memory.
    pub(crate) fn entry_in_memory(&mut self, index: u64) -> Option<Entry> {
        if let Some(entry) = self.tail.get(index) {
            return Some(entry.clone());
        }
        self.chunks.of_index(index).cloned()
    }

    /// The entry that holds `event`, when it is in memory.
    pub(crate) fn event_in_memory(&mut self, event: u64) -> Option<Entry> {
        if let Some(entry) = self.tail.of_event(event) {
            return Some(entry.clone());
        }
        let (entry, next) = self.chunks.of_event(event)?;
        let entry = entry.clone();
        if let Some((segment, offset)) = next {
            self.want_chunk(segment, offset);
        }
        Some(entry)
    }

    /// Asks the driver to read on, since whoever drains a queue reads entries in order.
    fn want_chunk(&mut self, segment: u64, offset: u64) {
        let readable =
            self.segments.get(segment).is_some_and(|segment| offset < segment.readable_end);
        if readable && self.chunks.end_of(segment, offset).is_none() {
            self.wanted_chunk = Some((segment, offset));
        }
    }

    /// Index behind the last entry gone.
    pub(crate) fn first_index(&self) -> u64 {
        self.control.purged.map_or(0, |purged| purged.index + 1)
    }
}

/// Entry `index`.
pub(crate) async fn entry_at<D: Disk>(
    shared: &Rc<Shared<D>>,
    index: u64,
) -> Result<Entry, ReadError> {
    let (segment, offset) = {
        let mut core = shared.core.borrow_mut();
        core.check()?;
        let (first, end) = (core.first_index(), core.next_index());
        if index < first {
            return Err(ReadError::Purged { index, first });
        }
        if index >= end {
            return Err(ReadError::Beyond { index, end });
        }
        if let Some(entry) = core.entry_in_memory(index) {
            return Ok(entry);
        }
        core.segments.find_index(index).ok_or(ReadError::Purged { index, first })?
    };
    let what = format!("entry {index}");
    seek(shared, segment, offset, &what, |core| core.entry_in_memory(index)).await
}

/// The entry that holds `event`.
pub(crate) async fn entry_of_event<D: Disk>(
    shared: &Rc<Shared<D>>,
    event: u64,
) -> Result<Entry, ReadError> {
    let (segment, offset) = {
        let mut core = shared.core.borrow_mut();
        core.check()?;
        let end = core.control.next_event;
        if event >= end {
            return Err(ReadError::FutureEvent { event, end });
        }
        if let Some(entry) = core.event_in_memory(event) {
            return Ok(entry);
        }
        let first =
            core.segments.iter().find_map(|s| s.entries().map(|_| s.start_event)).unwrap_or(end);
        core.segments.find_event(event).ok_or(ReadError::Trimmed { event, first })?
    };
    let what = format!("event {event}");
    seek(shared, segment, offset, &what, |core| core.event_in_memory(event)).await
}

/// Reads chunk after chunk from a point of the index on, until `look` finds what it wants.
async fn seek<D: Disk>(
    shared: &Rc<Shared<D>>,
    segment: u64,
    mut offset: u64,
    what: &str,
    look: impl Fn(&mut Core<D::File>) -> Option<Entry>,
) -> Result<Entry, ReadError> {
    loop {
        let end = load_chunk(shared, segment, offset).await?;
        let mut core = shared.core.borrow_mut();
        core.check()?;
        if let Some(entry) = look(&mut core) {
            return Ok(entry);
        }
        if core.segments.get(segment).is_none_or(|segment| end >= segment.readable_end) {
            return Err(ReadError::Damaged(Damage {
                file: file_name(segment),
                offset,
                expected: what.to_owned(),
                found: "other records up to the end of the segment".into(),
            }));
        }
        offset = end;
    }
}

/// A chunk being read: whoever wants it too waits, so that a crowd of readers makes one read.
struct Loading<'a, D: Disk> {
    shared: &'a Shared<D>,
    chunk: (u64, u64),
}

impl<D: Disk> Drop for Loading<'_, D> {
    fn drop(&mut self) {
        self.shared.core.borrow_mut().loading.retain(|chunk| *chunk != self.chunk);
        self.shared.loaded.raise();
    }
}

/// Sees that the chunk of records from `offset` on is in the cache; gives the offset behind its last one.
pub(crate) async fn load_chunk<D: Disk>(
    shared: &Rc<Shared<D>>,
    segment: u64,
    offset: u64,
) -> Result<u64, ReadError> {
    let chunk = (segment, offset);
    let there = shared
        .loaded
        .until(|| {
            let mut core = shared.core.borrow_mut();
            let there = core.chunks.end_of(segment, offset);
            if there.is_none() {
                if core.loading.contains(&chunk) {
                    return None;
                }
                core.loading.push(chunk);
            }
            Some(there)
        })
        .await;
    match there {
        Some(end) => Ok(end),
        None => {
            let _loading = Loading { shared, chunk };
            read_chunk(shared, segment, offset).await
        }
    }
}

async fn read_chunk<D: Disk>(
    shared: &Rc<Shared<D>>,
    segment: u64,
    offset: u64,
) -> Result<u64, ReadError> {
    // An entry that is larger than a chunk is read at once, not its beginning first.
    let next = shared.core.borrow().segments.get(segment).and_then(|it| it.point_behind(offset));
    let mut wanted = next.map_or(0, |next| next - offset).max(CHUNK_BYTES as u64);
    loop {
        // The pin keeps the file from being recycled while it is read.
        let (file, _pin, len) = open_segment(shared, segment, offset, wanted).await?;
        let (read, buf) = file.read_at(AlignedBuf::unzeroed(len), offset).await;
        let read = read.map_err(|error| io_error(segment, &error))?;
        if read < len {
            return Err(ReadError::Damaged(Damage {
                file: file_name(segment),
                offset: offset + read as u64,
                expected: "more of the segment".into(),
                found: "the end of the file".into(),
            }));
        }
        let mut core = shared.core.borrow_mut();
        match parse(&core, segment, offset, &Rc::new(buf))? {
            Parsed::Chunk(chunk) => {
                let end = chunk.end;
                core.chunks.push(chunk);
                return Ok(end);
            }
            Parsed::Larger(bytes) => wanted = bytes,
        }
    }
}

pub(crate) fn io_error(segment: u64, error: &std::io::Error) -> ReadError {
    ReadError::Io { file: file_name(segment), reason: error.to_string() }
}

/// The file, a pin on it, and how many bytes to read.
pub(crate) async fn open_segment<D: Disk>(
    shared: &Rc<Shared<D>>,
    id: u64,
    offset: u64,
    wanted: u64,
) -> Result<(D::File, Rc<()>, usize), ReadError> {
    let (open, pin, len) = {
        let mut core = shared.core.borrow_mut();
        core.check()?;
        core.chunks_read += 1;
        core.uses += 1;
        let uses = core.uses;
        let gone = || io_error(id, &std::io::ErrorKind::NotFound.into());
        let segment = core.segments.get_mut(id).ok_or_else(gone)?;
        segment.used = uses;
        assert!(offset < segment.readable_end, "reading where nothing was written");
        let len = wanted.min(segment.readable_end - offset);
        (segment.file.clone(), Rc::clone(&segment.pin), len as usize)
    };
    assert!(len.is_multiple_of(BLOCK_BYTES));
    if let Some(file) = open {
        return Ok((file, pin, len));
    }
    let file = shared.disk.open(&file_name(id), OpenMode::Direct).await;
    let file = file.map_err(|error| io_error(id, &error))?;
    let mut core = shared.core.borrow_mut();
    if let Some(segment) = core.segments.get_mut(id) {
        segment.file = Some(file.clone());
    }
    core.close_unused_files();
    Ok((file, pin, len))
}

enum Parsed {
    Chunk(Chunk),
    /// The first record needs a read of this many bytes.
    Larger(u64),
}

fn parse<F: Clone>(
    core: &Core<F>,
    id: u64,
    offset: u64,
    buf: &Rc<AlignedBuf>,
) -> Result<Parsed, ReadError> {
    let gone = || io_error(id, &std::io::ErrorKind::NotFound.into());
    let segment = core.segments.get(id).ok_or_else(gone)?;
    let mut chunk =
        Chunk { segment: id, offset, end: offset, entries: Vec::new(), offsets: Vec::new() };
    let mut at = 0;
    while at < buf.len() {
        let place = Place { store: core.identity.store, segment: id, offset: offset + at as u64 };
        let found = walk::look(&buf[at..], &place);
        match found {
            Found::Record { header, .. } => {
                if segment.counts(header.index, place.offset)
                    && let Some(entry) = walk::entry(&header, buf, at)
                {
                    chunk.entries.push(entry);
                    chunk.offsets.push(place.offset);
                }
                at += header.padded_bytes() as usize;
                chunk.end = offset + at as u64;
            }
            Found::Cut { header, .. }
                if place.offset + header.padded_bytes() <= segment.readable_end =>
            {
                if at == 0 {
                    return Ok(Parsed::Larger(header.padded_bytes()));
                }
                break;
            }
            other => {
                let damage = walk::damage(
                    id,
                    place.offset,
                    "a record".into(),
                    &other,
                    &buf[at..at + BLOCK_BYTES],
                );
                return Err(damage.into());
            }
        }
    }
    Ok(Parsed::Chunk(chunk))
}
