//! Writes the footer of a segment once all its records are durable.

use std::rc::Rc;

use jobbie_io::{AlignedBuf, Disk, DiskFile};

use crate::config::Durability;
use crate::shared::Shared;

pub(super) async fn run<D: Disk>(shared: Rc<Shared<D>>) {
    loop {
        let next = shared.work.until(|| next(&shared)).await;
        let Some(segment) = next else { return };
        if seal(&shared, segment).await.is_err() {
            return;
        }
        shared.work.raise();
    }
}

/// The oldest segment that is complete and not sealed. `None` inside when the log ends.
fn next<D: Disk>(shared: &Shared<D>) -> Option<Option<u64>> {
    let core = shared.core.borrow();
    if core.failed.is_some() {
        return Some(None);
    }
    let left = core.segments.iter().find(|segment| segment.closing.is_some() && !segment.sealed);
    match left {
        Some(segment) if core.written_sequence >= segment.last_sequence() => Some(Some(segment.id)),
        None if core.closing && core.queue.is_idle() && core.unplaced.is_empty() => Some(None),
        _ => None,
    }
}

async fn seal<D: Disk>(shared: &Rc<Shared<D>>, id: u64) -> Result<(), ()> {
    if shared.core.borrow().config.durability != Durability::Fsync {
        // The footer says that the records are durable.
        shared.sync_written().await.map_err(drop)?;
    }
    let (file, buf, offset) = {
        let core = shared.core.borrow();
        let segment = core.segments.get(id).expect("only sealed segments are recycled");
        let footer = segment.footer();
        let buf: Option<AlignedBuf> =
            footer.fits(segment.bytes).then(|| footer.encode(core.identity.store, segment.bytes));
        (segment.file.clone().expect("open until it is sealed"), buf, segment.limit())
    };
    let has_footer = buf.is_some();
    if let Some(buf) = buf {
        let len = buf.len();
        if let Err(error) = file.write_at(Rc::new(buf), 0..len, offset).await {
            shared.fail_io("seal a segment", &error);
            return Err(());
        }
        if shared.core.borrow().config.durability != Durability::Fsync
            && let Err(error) = file.sync_data().await
        {
            shared.fail_io("seal a segment", &error);
            return Err(());
        }
    }
    let mut core = shared.core.borrow_mut();
    let segment = core.segments.get_mut(id).expect("as above");
    (segment.sealed, segment.has_footer) = (true, has_footer);
    core.scrub.is_due = true;
    core.close_unused_files();
    Ok(())
}
