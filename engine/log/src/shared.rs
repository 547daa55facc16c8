//! What the log's handles and its driver have in common.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use jobbie_io::{Disk, DiskFile};

use crate::core::Core;
use crate::error::LogFailed;
use crate::queue::Done;
use crate::signal::Signal;

pub(crate) struct Shared<D: Disk> {
    pub(crate) disk: D,
    pub(crate) core: RefCell<Core<D::File>>,
    /// Something to do for the driver.
    pub(crate) work: Signal,
    /// Something changed that a caller may wait for.
    pub(crate) changed: Signal,
    /// A chunk was read, or could not be.
    pub(crate) loaded: Signal,
    /// A sealed segment was read back, or the log ends.
    pub(crate) scrubbed: Signal,
}

impl<D: Disk> Shared<D> {
    /// Stops the log: nothing is acknowledged any more, nothing is tried again.
    pub(crate) fn fail(&self, reason: String) -> LogFailed {
        let (failed, dones) = self.core.borrow_mut().fail(reason);
        for done in dones {
            done(Err(failed.clone()));
        }
        self.work.raise();
        self.changed.raise();
        self.scrubbed.raise();
        failed
    }

    pub(crate) fn fail_io(&self, action: &str, error: &io::Error) -> LogFailed {
        self.fail(format!("{action}: {error}"))
    }

    pub(crate) fn failed(&self) -> bool {
        self.core.borrow().failed.is_some()
    }

    /// Flushes what was written, for durabilities that do not do that with each write.
    pub(crate) async fn sync_written(&self) -> Result<(), LogFailed> {
        let (files, written) = {
            let core = self.core.borrow();
            core.check()?;
            let dirty = core.segments.iter().filter(|segment| {
                segment.records > 0
                    && segment.last_sequence() > core.durable_sequence
                    && segment.first_sequence <= core.written_sequence
            });
            let files: Vec<D::File> = dirty.filter_map(|segment| segment.file.clone()).collect();
            (files, core.written_sequence)
        };
        for file in files {
            if let Err(error) = file.sync_data().await {
                return Err(self.fail_io("flush the log", &error));
            }
        }
        let mut core = self.core.borrow_mut();
        core.check()?;
        core.durable_sequence = core.durable_sequence.max(written);
        Ok(())
    }

    /// A callback and what it will have said.
    pub(crate) fn when_done(
        self: &Rc<Self>,
    ) -> (Done, impl Future<Output = Result<(), LogFailed>> + use<D>) {
        let said = Rc::new(RefCell::new(None));
        let done: Done = {
            let (shared, said) = (Rc::clone(self), Rc::clone(&said));
            Box::new(move |result| {
                *said.borrow_mut() = Some(result);
                shared.changed.raise();
            })
        };
        let shared = Rc::clone(self);
        let wait = async move { shared.changed.until(|| said.borrow_mut().take()).await };
        (done, wait)
    }
}
