//! Opening a log: create it, or scan it, repair what a crash left, and take it up where it ended.

use std::collections::VecDeque;
use std::rc::Rc;

use jobbie_io::{AlignedBuf, BLOCK_BYTES, Disk, DiskFile, OpenMode};

use crate::chunks::Chunks;
use crate::config::LogConfig;
use crate::core::{Change, Core, Ready, Scrub, Space};
use crate::driver::{Driver, Step};
use crate::entry::Identity;
use crate::error::{Damage, OpenError};
use crate::format::header::RecordKind;
use crate::format::segment_header::SegmentHeader;
use crate::format::superblock::{self, SUPERBLOCK_BYTES};
use crate::limits::{SEGMENT_BYTES_MIN, SEGMENTS_PER_DISK_MIN};
use crate::log::{Log, LogState};
use crate::queue::Queue;
use crate::scan::{self, Names, SUPERBLOCK_NAME, SUPERBLOCK_TEMPORARY_NAME, Scanned, TornTail};
use crate::segment::{file_name, spare_name};
use crate::shared::Shared;
use crate::signal::Signal;
use crate::tail::Tail;

/// What to do with a directory that holds no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// Refuse.
    Never,
    /// Make one there.
    IfMissing,
}

/// An open log.
pub struct Opened<D: Disk> {
    /// Use it.
    pub log: Log<D>,
    /// Spawn it.
    pub driver: Driver,
    /// Report it.
    pub report: RecoveryReport,
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The log was made just now.
    pub created: bool,
    /// Segments that belong to the log.
    pub segments: usize,
    /// Where the log stands.
    pub state: LogState,
    /// A torn tail that was cut. Nothing in it had been acknowledged.
    pub torn: Option<TornTail>,
    /// A damaged copy of the superblock, which was written again from the sound one.
    pub superblock: Option<Damage>,
}

impl<D: Disk> Log<D> {
    /// Opens the log in the directory of `disk`, which must hold nothing else and be in nobody else's use.
    /// Everything found to be in the log is durable when this returns.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing was changed when the log is damaged or somebody else's.
    pub async fn open(
        disk: D,
        config: LogConfig,
        identity: Identity,
        create: Create,
    ) -> Result<Opened<D>, OpenError> {
        config.validate()?;
        let segment_bytes = fit_segments(&disk, config.segment_bytes).await?;
        let names = list(&disk).await?;
        let created = !names.has_superblock;
        let names = if created {
            make(&disk, &identity, segment_bytes, names, create).await?;
            list(&disk).await?
        } else {
            names
        };
        let (found, superblock) = scan::read_superblock(&disk).await?;
        if found != identity {
            return Err(OpenError::Foreign { expected: identity, found });
        }
        let scanned = scan::scan_segments(&disk, identity, names, config.verify_sealed).await?;
        let torn = scanned.torn.clone();
        if let Some(damage) = &superblock {
            mend_superblock(&disk, &identity, damage.offset).await?;
        }
        let mut core = repair(&disk, config, segment_bytes, scanned).await?;
        if core.segments.active().records == 0 {
            core.push_control(RecordKind::Start, Change::Nothing, None);
        }
        let segments = core.segments.len();
        let core = std::cell::RefCell::new(core);
        let shared = Rc::new(Shared {
            disk,
            core,
            work: Signal::default(),
            changed: Signal::default(),
            loaded: Signal::default(),
            scrubbed: Signal::default(),
        });
        let driver = Driver::new(&shared);
        let log = Log { shared };
        let report = RecoveryReport { created, segments, state: log.state(), torn, superblock };
        Ok(Opened { log, driver, report })
    }
}

async fn list<D: Disk>(disk: &D) -> Result<Names, OpenError> {
    Names::sort(&disk.list().await.map_err(OpenError::io("list the directory"))?)
}

/// Smaller segments on a small disk, so that space comes back in useful pieces.
async fn fit_segments<D: Disk>(disk: &D, configured: u64) -> Result<u64, OpenError> {
    let available = disk.available_bytes().await.map_err(OpenError::io("ask for free space"))?;
    let share = available / SEGMENTS_PER_DISK_MIN;
    let fitting = share / SEGMENT_BYTES_MIN * SEGMENT_BYTES_MIN;
    Ok(configured.min(fitting.max(SEGMENT_BYTES_MIN)))
}

/// Makes a log. The superblock comes last: without it there is none, so a crash before leaves an
/// attempt that the next one clears away.
async fn make<D: Disk>(
    disk: &D,
    identity: &Identity,
    segment_bytes: u64,
    names: Names,
    create: Create,
) -> Result<(), OpenError> {
    if create == Create::Never {
        return Err(OpenError::Missing);
    }
    clear_attempt(disk, identity, &names).await?;
    let header = SegmentHeader {
        shard: identity.shard,
        store: identity.store,
        segment: 1,
        segment_bytes,
        recycled: false,
    };
    let io = || OpenError::io("create the first segment");
    crate::driver::create(disk, &header, async |_| Step::Zero).await.map_err(io())?;
    let io = || OpenError::io("write the superblock");
    let file = disk.open(SUPERBLOCK_TEMPORARY_NAME, OpenMode::Create).await.map_err(io())?;
    let mut buf = AlignedBuf::with_capacity(SUPERBLOCK_BYTES);
    buf.extend_from_slice(&superblock::encode(identity));
    file.write_at(Rc::new(buf), 0..SUPERBLOCK_BYTES, 0).await.map_err(io())?;
    file.sync_all().await.map_err(io())?;
    disk.rename(SUPERBLOCK_TEMPORARY_NAME, SUPERBLOCK_NAME).await.map_err(io())?;
    disk.sync_dir().await.map_err(io())
}

/// Writes the copy of the superblock at `offset` again.
async fn mend_superblock<D: Disk>(
    disk: &D,
    identity: &Identity,
    offset: u64,
) -> Result<(), OpenError> {
    let io = || OpenError::io("mend the superblock");
    let mut copy = AlignedBuf::with_capacity(BLOCK_BYTES);
    copy.extend_from_slice(&superblock::encode(identity)[offset as usize..][..BLOCK_BYTES]);
    let file = disk.open(SUPERBLOCK_NAME, OpenMode::Durable).await.map_err(io())?;
    file.write_at(Rc::new(copy), 0..BLOCK_BYTES, offset).await.map_err(io())
}

/// Removes what an interrupted creation left; refuses if there is more than that.
async fn clear_attempt<D: Disk>(
    disk: &D,
    identity: &Identity,
    names: &Names,
) -> Result<(), OpenError> {
    let missing = || OpenError::MissingFile { file: SUPERBLOCK_NAME.into() };
    if !names.spares.is_empty() || names.segments.keys().any(|id| *id != 1) {
        return Err(missing());
    }
    let io = || OpenError::io("clear an interrupted creation");
    if let Some(len) = names.segments.get(&1) {
        let mut segment =
            scan::SegmentFile::open(disk, identity, 1, *len).await.map_err(|_| missing())?;
        for offset in scan::blocks(&segment.header, crate::format::BLOCK) {
            if segment.header_at(offset).await?.is_some() {
                return Err(missing());
            }
        }
        disk.remove(&file_name(1)).await.map_err(io())?;
    }
    for name in &names.temporary {
        disk.remove(name).await.map_err(io())?;
    }
    disk.sync_dir().await.map_err(io())
}

/// Makes durable what the scan found, clears away what it did not count, opens what will be written.
async fn repair<D: Disk>(
    disk: &D,
    config: LogConfig,
    segment_bytes: u64,
    mut scanned: Scanned<D::File>,
) -> Result<Core<D::File>, OpenError> {
    if !crate::mutant!(StaleRecordsFollowed) {
        zero_stale_blocks(disk, &scanned.stale_blocks).await?;
    }
    let mode = config.durability.open_mode();
    for segment in scanned.segments.iter_mut().filter(|segment| !segment.sealed) {
        let name = file_name(segment.id);
        let file = disk.open(&name, mode).await.map_err(OpenError::io(format!("open {name}")))?;
        // What was read may so far be only in a cache of the drive: a dead process leaves writes behind
        // that nobody flushed.
        if !crate::mutant!(FoundNotFlushed) {
            file.sync_data().await.map_err(OpenError::io(format!("flush {name}")))?;
        }
        segment.file = Some(file);
    }
    let mut ready = VecDeque::new();
    let mut unfit = Vec::new();
    for (id, bytes) in &scanned.ready {
        if *bytes == segment_bytes && unfit.is_empty() {
            let name = file_name(*id);
            let file =
                disk.open(&name, mode).await.map_err(OpenError::io(format!("open {name}")))?;
            ready.push_back(Ready { id: *id, bytes: *bytes, file });
        } else {
            unfit.push(file_name(*id));
        }
    }
    let spares = tidy_names(disk, &config, segment_bytes, &scanned.names, unfit).await?;
    let last_segment = ready.back().map_or(scanned.segments.active().id, |ready| ready.id);
    let tail = Tail::new(config.tail_bytes_max);
    Ok(Core {
        config,
        identity: scanned.identity,
        segment_bytes,
        segments: scanned.segments,
        ready,
        control: scanned.control,
        placed: scanned.control,
        committed_end: scanned.committed_end,
        placed_bytes: 0,
        sequence: scanned.sequence,
        checksum: scanned.checksum,
        force_point: scanned.force_point,
        written_sequence: scanned.sequence,
        durable_sequence: scanned.sequence,
        marked_sequence: if scanned.ends_with_mark { scanned.sequence } else { 0 },
        flushed: scanned.control.last,
        tail,
        chunks: Chunks::default(),
        wanted_chunk: None,
        loading: Vec::new(),
        unplaced: VecDeque::new(),
        queue: Queue::default(),
        space: Space::Ok,
        keep_from: 0,
        failed: None,
        closing: false,
        uses: 0,
        last_segment,
        spares,
        copied_records: 0,
        chunks_read: 0,
        scrub: Scrub { is_due: true, ..Scrub::default() },
    })
}

/// Records behind the end must not be found by a later scan, when new ones have led up to them.
async fn zero_stale_blocks<D: Disk>(disk: &D, blocks: &[(u64, u64)]) -> Result<(), OpenError> {
    let zeros = Rc::new(AlignedBuf::zeroed(BLOCK_BYTES));
    for (segment, offset) in blocks {
        let name = file_name(*segment);
        let io = || OpenError::io(format!("cut the torn tail in {name}"));
        let file = disk.open(&name, OpenMode::Durable).await.map_err(io())?;
        file.write_at(Rc::clone(&zeros), 0..BLOCK_BYTES, *offset).await.map_err(io())?;
    }
    Ok(())
}

/// Removes or keeps files that are no part of the log; gives the spares.
async fn tidy_names<D: Disk>(
    disk: &D,
    config: &LogConfig,
    segment_bytes: u64,
    names: &Names,
    unfit: Vec<String>,
) -> Result<VecDeque<u64>, OpenError> {
    let io = || OpenError::io("clear away files of no use");
    let available = disk.available_bytes().await.map_err(io())?;
    let kept_max = config.spares_kept_max(segment_bytes, available);
    let mut spares = VecDeque::new();
    let mut gone = unfit;
    gone.extend(names.temporary.iter().cloned());
    for (id, len) in &names.spares {
        if *len == segment_bytes && spares.len() < kept_max {
            spares.push_back(*id);
        } else {
            gone.push(spare_name(*id));
        }
    }
    gone.extend(names.outdated.iter().map(|id| file_name(*id)));
    // From the highest segment down, so that a crash in between leaves no gap.
    gone.sort_unstable_by(|a, b| b.cmp(a));
    for name in &gone {
        disk.remove(name).await.map_err(io())?;
        disk.sync_dir().await.map_err(io())?;
    }
    disk.sync_dir().await.map_err(io())?;
    Ok(spares)
}
