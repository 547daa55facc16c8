//! Keeps segments ready beyond the one being written: recycled ones, or new ones filled with zeros in
//! small pieces, at the pace of [`Pacer`].

use std::io;
use std::rc::Rc;

use jobbie_io::{AlignedBuf, BLOCK_BYTES, Disk, DiskFile, OpenMode};

use crate::config::Durability;
use crate::core::{Ready, Space};
use crate::driver::pace::{Pacer, Step};
use crate::error::is_no_space;
use crate::format::segment_header::SegmentHeader;
use crate::limits::{SPACE_MARGIN_BYTES, SPACE_PROBE_NANOS, ZERO_BYTES};
use crate::segment::{file_name, spare_name};
use crate::shared::Shared;

pub(crate) const TEMPORARY_NAME: &str = "prepare.tmp";

pub(super) async fn run<D: Disk>(shared: Rc<Shared<D>>) {
    loop {
        let ended = shared
            .work
            .until(|| {
                let core = shared.core.borrow();
                let ended = core.failed.is_some() || core.closing && core.unplaced.is_empty();
                (ended || core.ready.len() < core.config.spare_segments).then_some(ended)
            })
            .await;
        if ended {
            return;
        }
        match prepare(&shared).await {
            Ok(Some(ready)) => {
                let mut core = shared.core.borrow_mut();
                core.ready.push_back(ready);
                core.space = Space::Ok;
                core.place_waiting();
                drop(core);
                shared.work.raise();
                shared.changed.raise();
            }
            Ok(None) => return,
            Err(error) if is_no_space(&error) => wait_for_space(&shared).await,
            Err(error) => {
                shared.fail_io("prepare a segment", &error);
                return;
            }
        }
    }
}

async fn wait_for_space<D: Disk>(shared: &Rc<Shared<D>>) {
    shared.core.borrow_mut().space = Space::Low;
    shared.changed.raise();
    super::sleep_or(shared, SPACE_PROBE_NANOS, || {
        let core = shared.core.borrow();
        core.has_spare() || core.failed.is_some() || core.closing
    })
    .await;
}

/// One more segment; `None` when the log ends meanwhile.
async fn prepare<D: Disk>(shared: &Rc<Shared<D>>) -> io::Result<Option<Ready<D::File>>> {
    let (header, spare, durability) = {
        let mut core = shared.core.borrow_mut();
        let spare = core.spares.pop_front();
        let header = SegmentHeader {
            shard: core.identity.shard,
            store: core.identity.store,
            segment: core.last_segment + 1,
            segment_bytes: core.segment_bytes,
            recycled: spare.is_some(),
        };
        (header, spare, core.config.durability)
    };
    let disk = &shared.disk;
    match spare {
        Some(id) => reuse(disk, &spare_name(id), &header).await?,
        None => {
            let mut pacer = Pacer::new(&shared.core.borrow());
            let step = async |zeroed| pacer.step(shared, zeroed).await;
            match create(disk, &header, step).await {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => {
                    if is_no_space(&error) {
                        // Gives back what was taken so far; there may be nothing to remove.
                        let _ = disk.remove(TEMPORARY_NAME).await;
                    }
                    return Err(error);
                }
            }
        }
    }
    let file = disk.open(&file_name(header.segment), durability.open_mode()).await?;
    shared.core.borrow_mut().last_segment = header.segment;
    Ok(Some(Ready { id: header.segment, bytes: header.segment_bytes, file }))
}

impl Durability {
    /// How segments are opened for writing.
    pub(crate) fn open_mode(self) -> OpenMode {
        match self {
            Self::Fsync if crate::mutant!(WritesNotDurable) => OpenMode::Direct,
            Self::Fsync => OpenMode::Durable,
            Self::Interval(_) | Self::None => OpenMode::Direct,
        }
    }
}

async fn reuse<D: Disk>(disk: &D, spare: &str, header: &SegmentHeader) -> io::Result<()> {
    let file = disk.open(spare, OpenMode::Durable).await?;
    let mut block = AlignedBuf::zeroed(BLOCK_BYTES);
    header.encode(&mut block);
    file.write_at(Rc::new(block), 0..BLOCK_BYTES, 0).await?;
    disk.rename(spare, &file_name(header.segment)).await?;
    disk.sync_dir().await
}

/// Makes a segment under its own name, all of it allocated, and zeroed as far as `step` lets it. False when told to
/// stop.
pub(crate) async fn create<D: Disk>(
    disk: &D,
    header: &SegmentHeader,
    mut step: impl AsyncFnMut(u64) -> Step,
) -> io::Result<bool> {
    if disk.available_bytes().await? < header.segment_bytes + SPACE_MARGIN_BYTES {
        return Err(io::ErrorKind::StorageFull.into());
    }
    drop(disk.open(TEMPORARY_NAME, OpenMode::Create).await?);
    let file = disk.open(TEMPORARY_NAME, OpenMode::Direct).await?;
    file.allocate(header.segment_bytes).await?;
    let zeros = Rc::new(AlignedBuf::zeroed(ZERO_BYTES));
    let mut first = AlignedBuf::zeroed(ZERO_BYTES);
    header.encode(&mut first);
    file.write_at(Rc::new(first), 0..ZERO_BYTES, 0).await?;
    let mut zeroed = ZERO_BYTES as u64;
    while zeroed < header.segment_bytes {
        match step(zeroed).await {
            Step::Zero => {}
            Step::HandOver => break,
            Step::Stop => {
                disk.remove(TEMPORARY_NAME).await?;
                return Ok(false);
            }
        }
        file.write_at(Rc::clone(&zeros), 0..ZERO_BYTES, zeroed).await?;
        zeroed += ZERO_BYTES as u64;
    }
    file.sync_all().await?;
    disk.rename(TEMPORARY_NAME, &file_name(header.segment)).await?;
    disk.sync_dir().await?;
    Ok(true)
}
