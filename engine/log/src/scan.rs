//! Reading a log's directory without changing it: what opening it, and verifying it offline, go by.

mod chain;
mod pass;
mod tail;

use std::collections::BTreeMap;

use jobbie_io::{BLOCK_BYTES, Disk, DiskFile, FileInfo, OpenMode};

use crate::entry::Identity;
use crate::error::{Damage, OpenError};
use crate::format::BLOCK;
use crate::format::control::{CONTROL_BYTES, Control};
use crate::format::footer::{self, Footer};
use crate::format::header::{HEADER_BYTES, Header, Place, RecordKind};
use crate::format::segment_header::SegmentHeader;
use crate::format::superblock::{self, SUPERBLOCK_BYTES};
use crate::segment::{file_name, parse_name};
use crate::segments::Segments;
use crate::walk::{self, Found};
use crate::window::{Source, Window};

pub(crate) use chain::{Chain, Record};
pub(crate) use pass::scan_segments;

pub(crate) const SUPERBLOCK_NAME: &str = "superblock";
pub(crate) const SUPERBLOCK_TEMPORARY_NAME: &str = "superblock.tmp";

/// A tail that a crash left half written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// File name.
    pub file: String,
    /// Offset of the first record that does not count.
    pub offset: u64,
    /// From there to the end of the last trace of a record, in bytes.
    pub bytes: u64,
}

/// What a log's directory holds.
pub(crate) struct Scanned<F> {
    pub(crate) identity: Identity,
    pub(crate) segments: Segments<F>,
    /// Prepared segments and their sizes.
    pub(crate) ready: Vec<(u64, u64)>,
    pub(crate) control: Control,
    pub(crate) committed_end: u64,
    pub(crate) sequence: u64,
    pub(crate) checksum: u32,
    pub(crate) force_point: bool,
    pub(crate) ends_with_mark: bool,
    pub(crate) torn: Option<TornTail>,
    /// Blocks that look like records of this place behind the end: to be zeroed.
    pub(crate) stale_blocks: Vec<(u64, u64)>,
    pub(crate) names: Names,
}

/// The files of a directory, by what they are.
#[derive(Clone)]
pub(crate) struct Names {
    pub(crate) has_superblock: bool,
    /// Segments that belong to the log or are ready, with their lengths.
    pub(crate) segments: BTreeMap<u64, u64>,
    /// Segments that no longer belong to the log.
    pub(crate) outdated: Vec<u64>,
    /// Files kept for new segments, with their lengths.
    pub(crate) spares: BTreeMap<u64, u64>,
    /// Index of the last entry of the newest snapshot.
    pub(crate) snapshot: Option<u64>,
    /// Files that a crash left before they got their name.
    pub(crate) temporary: Vec<String>,
}

impl Names {
    /// # Errors
    /// [`OpenError::StrangeFile`] for a name nobody here writes.
    pub(crate) fn sort(files: &[FileInfo]) -> Result<Self, OpenError> {
        let mut names = Self {
            has_superblock: false,
            segments: BTreeMap::new(),
            outdated: Vec::new(),
            spares: BTreeMap::new(),
            snapshot: None,
            temporary: Vec::new(),
        };
        for FileInfo { name, len } in files {
            if let Some(id) = parse_name(name, "log-") {
                names.segments.insert(id, *len);
            } else if let Some(id) = parse_name(name, "spare-") {
                names.spares.insert(id, *len);
            } else if name == SUPERBLOCK_NAME {
                names.has_superblock = true;
            } else if name == SUPERBLOCK_TEMPORARY_NAME
                || name == crate::driver::PREPARE_TEMPORARY_NAME
            {
                names.temporary.push(name.clone());
            } else if let Some(last) = crate::snapshot::parse_name(name) {
                names.snapshot = names.snapshot.max(Some(last.index));
            } else if name != crate::snapshot::TEMPORARY_NAME {
                return Err(OpenError::StrangeFile {
                    file: name.clone(),
                    why: "unknown name".into(),
                });
            }
        }
        Ok(names)
    }
}

/// Whose log it is, and which copy of the superblock does not say so any more.
pub(crate) async fn read_superblock<D: Disk>(
    disk: &D,
) -> Result<(Identity, Option<Damage>), OpenError> {
    let file = disk
        .open(SUPERBLOCK_NAME, OpenMode::Read)
        .await
        .map_err(OpenError::io("open superblock"))?;
    let mut window = Window::new(file);
    let bytes = window.get(0, SUPERBLOCK_BYTES).await.map_err(OpenError::io("read superblock"))?;
    let damage = |(offset, found)| {
        let expected = "an identity with a valid checksum".into();
        Damage { file: SUPERBLOCK_NAME.into(), offset, expected, found }
    };
    let (identity, wrong) = superblock::decode(bytes).map_err(damage)?;
    Ok((identity, wrong.map(damage)))
}

/// A segment file being scanned.
pub(crate) struct SegmentFile<F> {
    pub(crate) id: u64,
    pub(crate) header: SegmentHeader,
    pub(crate) store: u128,
    pub(crate) window: Window<F>,
}

impl<F: DiskFile> SegmentFile<F> {
    /// Opens segment `id` and checks its header against its name, its length and the log.
    pub(crate) async fn open<D: Disk<File = F>>(
        disk: &D,
        identity: &Identity,
        id: u64,
        len: u64,
    ) -> Result<Self, OpenError> {
        let file = disk.open(&file_name(id), OpenMode::Read).await;
        let file = file.map_err(OpenError::io(format!("open {}", file_name(id))))?;
        Self::begin(file, identity, id, len).await
    }
}

impl<S: Source> SegmentFile<S> {
    /// As [`SegmentFile::open`], of a file that is open.
    pub(crate) async fn begin(
        file: S,
        identity: &Identity,
        id: u64,
        len: u64,
    ) -> Result<Self, OpenError> {
        let mut window = Window::new(file);
        let damaged = |offset: u64, expected: String, found: String| {
            OpenError::Damaged(Damage { file: file_name(id), offset, expected, found })
        };
        let bytes =
            window.get(0, BLOCK_BYTES).await.map_err(OpenError::io("read a segment header"))?;
        let header = SegmentHeader::decode(bytes)
            .map_err(|found| damaged(0, format!("the header of segment {id}"), found))?;
        if (header.store, header.shard) != (identity.store, identity.shard) {
            let why =
                format!("it belongs to shard {} of store {:032x}", header.shard, header.store);
            return Err(OpenError::StrangeFile { file: file_name(id), why });
        }
        if header.segment != id {
            let why = format!("it is segment {}", header.segment);
            return Err(OpenError::StrangeFile { file: file_name(id), why });
        }
        if len != header.segment_bytes {
            let expected = format!("a file of {} bytes", header.segment_bytes);
            return Err(damaged(len.min(header.segment_bytes), expected, format!("{len} bytes")));
        }
        Ok(Self { id, header, store: identity.store, window })
    }

    /// What lies at `offset`. A large record is read piece by piece.
    pub(crate) async fn look(&mut self, offset: u64) -> Result<Found, OpenError> {
        let place = Place { store: self.store, segment: self.id, offset };
        let found = walk::look(self.get(offset, BLOCK_BYTES).await?, &place);
        let Found::Cut { header, checksum } = found else { return Ok(found) };
        if offset + header.padded_bytes() > self.header.footer_offset() {
            return Ok(Found::Cut { header, checksum });
        }
        let mut crc = crc32fast::Hasher::new();
        let mut at = offset + HEADER_BYTES as u64;
        let end = at + u64::from(header.body_bytes);
        while at < end {
            // What is read begins on blocks; only the header is in front of the body in its own.
            let block = at / BLOCK * BLOCK;
            let bytes = self.get(block, BLOCK_BYTES).await?;
            let (from, to) = ((at - block) as usize, bytes.len().min((end - block) as usize));
            if to <= from {
                // The file ends here.
                return Ok(Found::Cut { header, checksum });
            }
            crc.update(&bytes[from..to]);
            at = block + to as u64;
        }
        Ok(walk::judge_body(header, checksum, crc.finalize()))
    }

    async fn get(&mut self, offset: u64, len: usize) -> Result<&[u8], OpenError> {
        let id = self.id;
        let action = || format!("read {}", file_name(id));
        let read = self.window.get(offset, len).await;
        read.map_err(|source| OpenError::Io { action: action(), source })
    }

    /// The record at `offset`, if it continues `chain` and ends at `limit` at the latest.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] for a record that continues the chain and contradicts it.
    pub(crate) async fn next(
        &mut self,
        chain: &Chain,
        offset: u64,
        limit: u64,
    ) -> Result<Option<Record>, OpenError> {
        let Found::Record { header, checksum } = self.look(offset).await? else { return Ok(None) };
        let fits = offset + header.padded_bytes() <= limit;
        if !fits || !chain.continues(&header, &self.header, offset) {
            return Ok(None);
        }
        let control = match header.kind {
            RecordKind::Entry(_) => None,
            kind => Some(self.control(offset, kind).await?),
        };
        if let Some((expected, found)) = chain.contradiction(&header, control.as_ref()) {
            return Err(Damage { file: file_name(self.id), offset, expected, found }.into());
        }
        Ok(Some(Record { header, checksum, control }))
    }

    /// Checks that `chain`, which was followed through this segment to `end`, ends as `footer` says.
    pub(crate) async fn check_end(
        &mut self,
        chain: &Chain,
        end: u64,
        footer: &Footer,
    ) -> Result<(), OpenError> {
        let last = (footer.last_sequence(), footer.last_checksum);
        if end == footer.end && (chain.sequence, chain.checksum) == last {
            return Ok(());
        }
        let found = self.look(end).await?;
        let expected = format!("record {} of a sealed segment", chain.sequence + 1);
        let id = self.id;
        let bytes = self.get(end, BLOCK_BYTES).await?;
        let bytes = &bytes[..bytes.len().min(BLOCK_BYTES)];
        let damage = walk::damage(id, end, expected, &found, bytes);
        Err(damage.into())
    }

    /// The footer, if there is a sound one.
    pub(crate) async fn footer(&mut self) -> Result<Option<Footer>, OpenError> {
        let (store, id, offset) = (self.store, self.id, self.header.footer_offset());
        let len = footer::reserved_bytes(self.header.segment_bytes) as usize;
        let bytes = self.get(offset, len).await?.get(..len);
        let footer = bytes.and_then(|bytes| Footer::decode(bytes, store, id));
        Ok(footer.filter(|footer| footer.end <= offset))
    }

    /// The control state of a record that [`SegmentFile::look`] has just found at `offset`.
    pub(crate) async fn control(
        &mut self,
        offset: u64,
        kind: RecordKind,
    ) -> Result<Control, OpenError> {
        let bytes = self.get(offset, BLOCK_BYTES).await?;
        let body = &bytes[HEADER_BYTES..HEADER_BYTES + CONTROL_BYTES];
        Control::decode(body).ok_or_else(|| {
            OpenError::Damaged(Damage {
                file: file_name(self.id),
                offset,
                expected: format!("the state of the log in a {kind:?} record"),
                found: "bytes of another format".into(),
            })
        })
    }

    /// Header, if any, of the block at `offset`, whose body is not looked at.
    pub(crate) async fn header_at(&mut self, offset: u64) -> Result<Option<Header>, OpenError> {
        let place = Place { store: self.store, segment: self.id, offset };
        let bytes = self.get(offset, BLOCK_BYTES).await?;
        Ok(Header::decode(bytes, &place).map(|(header, _)| header))
    }
}

/// Offsets of all blocks from `offset` on that may hold records.
pub(crate) fn blocks(header: &SegmentHeader, offset: u64) -> impl Iterator<Item = u64> + use<> {
    (offset..header.footer_offset()).step_by(BLOCK as usize)
}
