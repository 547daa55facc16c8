//! Takes segments that nobody needs out of the log and keeps their files for new ones.

use std::rc::Rc;

use jobbie_io::Disk;

use crate::core::{Change, Core};
use crate::format::header::RecordKind;
use crate::segment::{file_name, spare_name};
use crate::shared::Shared;

pub(super) async fn run<D: Disk>(shared: Rc<Shared<D>>) {
    loop {
        let ended = shared
            .work
            .until(|| {
                let core = shared.core.borrow();
                let ended = core.failed.is_some() || core.closing;
                (ended || core.oldest_is_free()).then_some(ended)
            })
            .await;
        if ended || recycle(&shared).await.is_err() {
            return;
        }
        shared.work.raise();
    }
}

async fn recycle<D: Disk>(shared: &Rc<Shared<D>>) -> Result<(), ()> {
    // First the log says, durably, that it begins later; only then may the file go. A crash in between
    // leaves a file below the oldest segment, which opening the log makes a spare.
    let (done, wait) = shared.when_done();
    let (id, bytes) = {
        let mut core = shared.core.borrow_mut();
        let (id, bytes) = (core.segments.oldest().id, core.segments.oldest().bytes);
        core.push_control(RecordKind::Purge, Change::Oldest(id + 1), Some(done));
        (id, bytes)
    };
    shared.work.raise();
    wait.await.map_err(drop)?;
    shared.sync_written().await.map_err(drop)?;
    // Where the system will not say, space is taken for scarce.
    let available = shared.disk.available_bytes().await.unwrap_or(0);
    let keep = {
        let mut core = shared.core.borrow_mut();
        let gone = core.segments.pop_oldest();
        assert_eq!(gone.id, id, "only this task recycles");
        core.chunks.drop_segment(id);
        let kept_max = core.config.spares_kept_max(core.segment_bytes, available);
        bytes == core.segment_bytes && core.spares.len() < kept_max
    };
    let renamed = move_away(shared, id, keep).await;
    if let Err(error) = renamed {
        shared.fail_io("recycle a segment", &error);
        return Err(());
    }
    if keep {
        shared.core.borrow_mut().spares.push_back(id);
    }
    Ok(())
}

async fn move_away<D: Disk>(shared: &Shared<D>, id: u64, keep: bool) -> std::io::Result<()> {
    if keep {
        shared.disk.rename(&file_name(id), &spare_name(id)).await?;
    } else {
        shared.disk.remove(&file_name(id)).await?;
    }
    // Before the file is used again, so that no crash can bring back its old name beside the new one.
    shared.disk.sync_dir().await
}

impl<F> Core<F> {
    /// Whether a file kept for later is at hand.
    pub(crate) fn has_spare(&self) -> bool {
        !self.spares.is_empty()
    }
}
