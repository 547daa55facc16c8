//! Reads the chunk after the one that is being used up.

use std::rc::Rc;

use jobbie_io::Disk;

use crate::read;
use crate::shared::Shared;

pub(super) async fn run<D: Disk>(shared: Rc<Shared<D>>) {
    loop {
        let wanted = shared
            .work
            .until(|| {
                let mut core = shared.core.borrow_mut();
                if core.failed.is_some() || core.closing {
                    return Some(None);
                }
                core.wanted_chunk.take().map(Some)
            })
            .await;
        let Some((segment, offset)) = wanted else { return };
        // Recycled or truncated meanwhile, or unreadable: whoever really needs it will see the error.
        let there =
            shared.core.borrow().segments.get(segment).is_some_and(|s| offset < s.readable_end);
        if there {
            let _ = read::load_chunk(&shared, segment, offset).await;
        }
    }
}
