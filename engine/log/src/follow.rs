//! Reading a log from beside, while somebody else writes it: committed entries in order, nothing but files and nothing in common
//! with the writer.
//!
//! A record is whole or it is not there, because its checksums bind it to its place. Whether an entry counts is known once a
//! later record says that it is committed, or once everything there is has been read and the writer has said so: only then no
//! truncation behind it can have been missed.

use std::collections::VecDeque;
use std::rc::Rc;

use jobbie_io::{AlignedBuf, BLOCK_BYTES, Disk, DiskFile, OpenMode};

use crate::entry::{Entry, Identity};
use crate::error::{Damage, OpenError, ReadError};
use crate::format::BLOCK;
use crate::format::control::Control;
use crate::format::footer;
use crate::format::header::{HEADER_BYTES, Header, Place, RecordKind};
use crate::read::io_error;
use crate::segment::{file_name, parse_name};
use crate::verify::identify;
use crate::walk::{self, Found};

/// Bytes of a read at the end of the log, where little is to be expected.
const READ_BYTES_MIN: u64 = 32 << 10;
/// Bytes of a read while there is more. An entry that is larger is read at once.
const READ_BYTES_MAX: u64 = 1 << 20;

/// Where a log that is followed begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Index of the first entry that its oldest segment may hold.
    pub index: u64,
    /// The first event that it may hold.
    pub event: u64,
}

/// Follows a log.
pub struct Follower<D: Disk> {
    disk: D,
    identity: Identity,
    at: At<D::File>,
    /// Number and checksum of the last record read.
    last: Option<(u64, u32)>,
    /// Index of the next entry to give.
    next: u64,
    /// Every entry below this is committed, as records have said.
    committed_end: u64,
    /// Entries read and not given.
    pending: VecDeque<Entry>,
    /// Bytes that the next read asks for.
    read_bytes: u64,
    /// The log went on without what should be at this place, when that was looked at last.
    stuck: Option<(u64, u64)>,
}

/// A place in a segment.
struct At<F> {
    segment: u64,
    file: F,
    /// Where records must end.
    limit: u64,
    offset: u64,
}

/// The first record of a segment.
struct Start {
    control: Control,
    sequence: u64,
    previous: u32,
}

impl Start {
    fn beginning(&self) -> Beginning {
        let index = self.control.last.map_or(0, |last| last.index + 1);
        Beginning { index, event: self.control.next_event }
    }
}

impl<D: Disk> Follower<D> {
    /// Begins at entry `from`.
    ///
    /// # Errors
    /// [`ReadError::Purged`] when the log has given it up, which says where the log begins. Otherwise what opening it would say.
    pub async fn open(disk: D, from: u64) -> Result<Self, FollowError> {
        let identity = identify(&disk).await?;
        let starts = starts(&disk, identity.store).await?;
        let place = starts.iter().rposition(|(_, start)| start.beginning().index <= from);
        let Some(place) = place else {
            let first = starts.first().map_or(0, |(_, start)| start.beginning().index);
            return Err(ReadError::Purged { index: from, first }.into());
        };
        let segment = starts[place].0;
        let at = open_at(&disk, segment).await.map_err(|error| io_error(segment, &error))?;
        Ok(Self {
            disk,
            identity,
            at,
            last: None,
            next: from,
            committed_end: 0,
            pending: VecDeque::new(),
            read_bytes: READ_BYTES_MAX,
            stuck: None,
        })
    }

    /// Where the log in the directory of `disk` begins now.
    ///
    /// # Errors
    /// What opening it would say.
    pub async fn beginning(disk: &D) -> Result<Beginning, FollowError> {
        let identity = identify(disk).await?;
        let starts = starts(disk, identity.store).await?;
        Ok(starts.first().map_or(Beginning { index: 0, event: 1 }, |(_, start)| start.beginning()))
    }

    /// Whose log it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Index of the next entry to give.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.next
    }

    /// The next committed entries, about a megabyte of them; none when there are no more for now. The writer said, before
    /// this is called, that every entry below `committed_end` is committed; without a writer, 0.
    ///
    /// # Errors
    /// [`ReadError::Purged`] when the log gave up what comes next.
    pub async fn read(&mut self, committed_end: u64) -> Result<Vec<Entry>, FollowError> {
        loop {
            let has_read = self.step().await?;
            let end = self.committed_end.max(if has_read { 0 } else { committed_end });
            let given = self.take(end);
            if !has_read || !given.is_empty() {
                return Ok(given);
            }
        }
    }

    /// Every entry that is read and not given, committed or not: the end of a log that nobody writes, after [`Self::read`] gave none.
    pub fn take_rest(&mut self) -> Vec<Entry> {
        self.take(u64::MAX)
    }

    fn take(&mut self, end: u64) -> Vec<Entry> {
        let count = self.pending.partition_point(|entry| entry.id.index < end);
        let given: Vec<Entry> = self.pending.drain(..count).collect();
        if let Some(last) = given.last() {
            self.next = last.id.index + 1;
        }
        given
    }

    /// Reads on, or goes on to the next segment; whether there was anything.
    async fn step(&mut self) -> Result<bool, FollowError> {
        let room = self.at.limit - self.at.offset;
        if room >= BLOCK {
            let wanted = self.read_bytes.min(room);
            let buf = self.read_at(wanted).await?;
            let (walked, cut) = self.walk(&Rc::new(buf))?;
            self.at.offset += walked;
            // What fills a read is followed by more; at the end, most of a large one would be in vain.
            self.read_bytes = match cut {
                Some(bytes) if walked == 0 => bytes,
                _ if walked + READ_BYTES_MIN >= wanted => READ_BYTES_MAX,
                _ => READ_BYTES_MIN,
            };
            if walked > 0 || cut.is_some_and(|bytes| bytes <= room) {
                return Ok(true);
            }
        }
        self.next_segment().await
    }

    async fn read_at(&self, len: u64) -> Result<AlignedBuf, FollowError> {
        let (at, len) = (&self.at, len as usize);
        let (read, buf) = at.file.read_at(AlignedBuf::unzeroed(len), at.offset).await;
        let read = read.map_err(|error| io_error(at.segment, &error))?;
        if read < len {
            let expected = "more of the segment".to_owned();
            let found = "the end of the file".to_owned();
            let (file, offset) = (file_name(at.segment), at.offset + read as u64);
            return Err(ReadError::Damaged(Damage { file, offset, expected, found }).into());
        }
        Ok(buf)
    }

    /// Takes the records at the beginning of `buf`. Gives their bytes and, when the one behind them is cut off, its bytes.
    fn walk(&mut self, buf: &Rc<AlignedBuf>) -> Result<(u64, Option<u64>), FollowError> {
        let mut walked = 0;
        while walked < buf.len() {
            let offset = self.at.offset + walked as u64;
            let place = Place { store: self.identity.store, segment: self.at.segment, offset };
            match walk::look(&buf[walked..], &place) {
                Found::Record { header, checksum } if self.follows(&header) => {
                    self.note(&header, checksum, buf, walked)?;
                    walked += header.padded_bytes() as usize;
                }
                Found::Cut { header, .. } if self.follows(&header) => {
                    return Ok((walked as u64, Some(header.padded_bytes())));
                }
                _ => break,
            }
        }
        Ok((walked as u64, None))
    }

    /// Whether a record comes right behind the last one.
    fn follows(&self, header: &Header) -> bool {
        self.last.is_none_or(|last| (header.sequence, header.previous) == (last.0 + 1, last.1))
    }

    fn note(
        &mut self,
        header: &Header,
        checksum: u32,
        buf: &Rc<AlignedBuf>,
        at: usize,
    ) -> Result<(), FollowError> {
        self.last = Some((header.sequence, checksum));
        self.committed_end = self.committed_end.max(header.committed_end);
        if let Some(entry) = walk::entry(header, buf, at) {
            if entry.id.index >= self.next {
                self.pending.push_back(entry);
            }
        } else if header.kind == RecordKind::Truncate {
            let body = &buf[at + HEADER_BYTES..][..header.body_bytes as usize];
            let control = Control::decode(body).ok_or_else(|| {
                let offset = self.at.offset + at as u64;
                self.damage(offset, "the state of the log", "something else")
            })?;
            let end = control.last.map_or(0, |last| last.index + 1);
            self.pending.retain(|entry| entry.id.index < end);
        }
        Ok(())
    }

    fn damage(&self, offset: u64, expected: &str, found: &str) -> ReadError {
        let file = file_name(self.at.segment);
        ReadError::Damaged(Damage { file, offset, expected: expected.into(), found: found.into() })
    }

    /// Goes on to the next segment if the log has; whether it has.
    async fn next_segment(&mut self) -> Result<bool, FollowError> {
        let (segment, offset) = (self.at.segment, self.at.offset);
        let next = segment + 1;
        let Some((last, checksum)) = self.last else { return Ok(false) };
        let opened = match open_at(&self.disk, next).await {
            Ok(at) => start(&at, self.identity.store).await.map(|start| start.map(|it| (at, it))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        match opened.map_err(|error| io_error(next, &error))? {
            Some((at, start)) if (start.sequence, start.previous) == (last + 1, checksum) => {
                self.at = at;
                self.stuck = None;
                return Ok(true);
            }
            Some((_, start)) if start.sequence > last + 1 => {}
            _ => return self.is_there().await.map(|()| false),
        }
        // The segment was written on after it was read here, unless it is gone or damaged.
        self.is_there().await?;
        if self.stuck.replace((segment, offset)) == Some((segment, offset)) {
            let expected = format!("record {}", last + 1);
            return Err(self.damage(offset, &expected, "no valid record").into());
        }
        Ok(true)
    }

    /// # Errors
    /// When the log has given up the segment that is read.
    async fn is_there(&self) -> Result<(), FollowError> {
        match self.disk.open(&file_name(self.at.segment), OpenMode::Read).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let first = Self::beginning(&self.disk).await?.index;
                Err(ReadError::Purged { index: self.next, first }.into())
            }
            Err(error) => Err(io_error(self.at.segment, &error).into()),
        }
    }
}

/// Why a log cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be read on.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The first records of the segments that belong to the log, oldest first.
async fn starts<D: Disk>(disk: &D, store: u128) -> Result<Vec<(u64, Start)>, FollowError> {
    let files = disk.list().await.map_err(OpenError::io("list the directory"))?;
    let mut starts = Vec::new();
    for segment in files.iter().filter_map(|file| parse_name(&file.name, "log-")) {
        let found = match open_at(disk, segment).await {
            Ok(at) => start(&at, store).await,
            // It was given up since the directory was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        if let Some(start) = found.map_err(|error| io_error(segment, &error))? {
            starts.push((segment, start));
        }
    }
    let oldest = starts.last().map_or(0, |(_, start)| start.control.oldest_segment);
    starts.retain(|(segment, _)| *segment >= oldest);
    Ok(starts)
}

async fn open_at<D: Disk>(disk: &D, segment: u64) -> std::io::Result<At<D::File>> {
    let file = disk.open(&file_name(segment), OpenMode::Direct).await?;
    let len = file.len().await?;
    // A file that is not prepared yet has no room for a record.
    let limit = if len < 2 * BLOCK { BLOCK } else { footer::offset(len) };
    Ok(At { segment, file, limit, offset: BLOCK })
}

/// The first record of a segment, if the log has come to it.
async fn start<F: DiskFile>(at: &At<F>, store: u128) -> std::io::Result<Option<Start>> {
    let (read, buf) = at.file.read_at(AlignedBuf::unzeroed(BLOCK_BYTES), BLOCK).await;
    if read? < BLOCK_BYTES {
        return Ok(None);
    }
    let place = Place { store, segment: at.segment, offset: BLOCK };
    let Found::Record { header, .. } = walk::look(&buf, &place) else { return Ok(None) };
    if header.kind != RecordKind::Start {
        return Ok(None);
    }
    let control = Control::decode(&buf[HEADER_BYTES..][..header.body_bytes as usize]);
    let (sequence, previous) = (header.sequence, header.previous);
    Ok(control.map(|control| Start { control, sequence, previous }))
}
