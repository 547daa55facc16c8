//! Reading a log's directory without changing it: what opening it, and verifying it offline, go by.

mod pass;
mod tail;

use std::collections::BTreeMap;

use jobbie_io::{BLOCK_BYTES, Disk, FileInfo, OpenMode};

use crate::entry::Identity;
use crate::error::{Damage, OpenError};
use crate::format::header::{Place, RecordKind};
use crate::format::segment_header::SegmentHeader;
use crate::format::superblock::{self, SUPERBLOCK_BYTES};
use crate::format::{BLOCK, control::Control};
use crate::segment::{file_name, parse_name};
use crate::segments::Segments;
use crate::walk::{self, Found};
use crate::window::Window;

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

impl<F: jobbie_io::DiskFile> SegmentFile<F> {
    /// Opens segment `id` and checks its header against its name, its length and the log.
    pub(crate) async fn open<D: Disk<File = F>>(
        disk: &D,
        identity: &Identity,
        id: u64,
        len: u64,
    ) -> Result<Self, OpenError> {
        let file = disk.open(&file_name(id), OpenMode::Read).await;
        let mut window =
            Window::new(file.map_err(OpenError::io(format!("open {}", file_name(id))))?);
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

    /// What lies at `offset`, with a large record read whole.
    pub(crate) async fn look(&mut self, offset: u64) -> Result<Found, OpenError> {
        let place = Place { store: self.store, segment: self.id, offset };
        let read = || OpenError::io(format!("read {}", file_name(self.id)));
        let found = walk::look(self.window.get(offset, BLOCK_BYTES).await.map_err(read())?, &place);
        let Found::Cut { header } = &found else { return Ok(found) };
        let bytes = header.padded_bytes();
        if offset + bytes > self.header.footer_offset() {
            return Ok(found);
        }
        Ok(walk::look(self.window.get(offset, bytes as usize).await.map_err(read())?, &place))
    }

    /// The control state of a record that [`SegmentFile::look`] has just found at `offset`.
    pub(crate) async fn control(
        &mut self,
        offset: u64,
        kind: RecordKind,
    ) -> Result<Control, OpenError> {
        let at = crate::format::header::HEADER_BYTES;
        let bytes =
            self.window.get(offset, BLOCK_BYTES).await.map_err(OpenError::io("read a record"))?;
        let body = &bytes[at..at + crate::format::control::CONTROL_BYTES];
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
    pub(crate) async fn header_at(
        &mut self,
        offset: u64,
    ) -> Result<Option<crate::format::header::Header>, OpenError> {
        let place = Place { store: self.store, segment: self.id, offset };
        let bytes =
            self.window.get(offset, BLOCK_BYTES).await.map_err(OpenError::io("read a segment"))?;
        Ok(crate::format::header::Header::decode(bytes, &place).map(|(header, _)| header))
    }
}

/// Offsets of all blocks from `offset` on that may hold records.
pub(crate) fn blocks(header: &SegmentHeader, offset: u64) -> impl Iterator<Item = u64> + use<> {
    (offset..header.footer_offset()).step_by(BLOCK as usize)
}
