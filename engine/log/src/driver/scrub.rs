//! Reads sealed segments back from the disk and checks all of them, so that damage is found while a copy from before
//! can still be had, not when somebody needs the record. Each segment has its turn soon after it was sealed, or
//! after the log was opened, and once in every [`SCRUB_AGAIN_NANOS`].

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use jobbie_io::{AlignedBuf, Disk, DiskFile, OpenMode};

use super::pace::Rest;
use crate::core::Core;
use crate::entry::Identity;
use crate::error::{Damage, OpenError};
use crate::format::BLOCK;
use crate::format::footer::Footer;
use crate::limits::{
    DAMAGE_UNTOLD_MAX, SCRUB_AGAIN_NANOS, SCRUB_BUSY_NANOS, SCRUB_REST_NANOS, ZERO_IDLE_NANOS,
};
use crate::scan::{Chain, SegmentFile};
use crate::segment::file_name;
use crate::shared::Shared;
use crate::window::Source;

pub(super) async fn run<D: Disk>(shared: Rc<Shared<D>>) {
    loop {
        let mut round = Box::pin(shared.disk.sleep(SCRUB_AGAIN_NANOS));
        loop {
            match next(&shared, round.as_mut()).await {
                Next::Segment(id) => scrub(&shared, id).await,
                Next::Round => break,
                Next::End => return,
            }
        }
        let mut core = shared.core.borrow_mut();
        core.segments.iter_mut().for_each(|segment| segment.scrubbed = false);
        core.scrub.is_due = true;
    }
}

enum Next {
    Segment(u64),
    /// All begins anew.
    Round,
    /// The log ends.
    End,
}

/// What to do next. While there is nothing, only the end of the round wakes this part by itself.
async fn next<D: Disk>(shared: &Shared<D>, mut round: Pin<&mut impl Future<Output = ()>>) -> Next {
    poll_fn(|cx| {
        let mut core = shared.core.borrow_mut();
        if core.is_ending() {
            return Poll::Ready(Next::End);
        }
        if let Some(id) = core.next_to_scrub() {
            return Poll::Ready(Next::Segment(id));
        }
        drop(core);
        if round.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Next::Round);
        }
        shared.work.register(cx.waker());
        Poll::Pending
    })
    .await
}

impl<F: Clone> Core<F> {
    pub(crate) fn is_ending(&self) -> bool {
        self.failed.is_some() || self.closing
    }

    /// The newest sealed segment that was not read back in this round: the older ones have waited already.
    fn next_to_scrub(&mut self) -> Option<u64> {
        if !self.scrub.is_due {
            // Asked each time anything happens, so it does not go through all segments.
            return None;
        }
        let mut left = self.segments.iter().rev().filter(|s| s.sealed && !s.scrubbed);
        let next = left.find(|s| !self.is_unneeded(s.id)).map(|segment| segment.id);
        self.scrub.is_due = next.is_some();
        next
    }

    /// Whether segment `id` is still worth reading: it is neither recycled nor waits for that.
    fn wants_scrub(&self, id: u64) -> bool {
        !self.is_ending() && self.segments.get(id).is_some() && !self.is_unneeded(id)
    }

    /// Notes what became of segment `id`.
    fn scrubbed(&mut self, id: u64, damage: Option<Damage>) {
        let Some(segment) = self.segments.get_mut(id) else { return };
        segment.scrubbed = true;
        let scrub = &mut self.scrub;
        scrub.segments += 1;
        if let Some(damage) = damage
            && segment.damaged_at.replace(damage.offset) != Some(damage.offset)
        {
            scrub.damage_found += 1;
            if scrub.untold.len() < DAMAGE_UNTOLD_MAX {
                scrub.untold.push_back(damage);
            }
        }
    }

    /// What segment `id` must be like: what lies before it, and how it ends.
    fn should_be(&self, id: u64) -> (Chain, Footer) {
        let segment = self.segments.get(id).expect("it was just picked");
        let before = id.checked_sub(1).and_then(|before| self.segments.get(before));
        let mut chain = Chain::beginning(id);
        if let Some(closing) = before.and_then(|before| before.closing.as_ref()) {
            chain = Chain {
                control: closing.control,
                sequence: segment.first_sequence - 1,
                checksum: closing.last_checksum,
            };
        }
        (chain, segment.footer())
    }
}

/// Reads one segment back.
async fn scrub<D: Disk>(shared: &Rc<Shared<D>>, id: u64) {
    let scrub = {
        let core = shared.core.borrow();
        let segment = core.segments.get(id).expect("it was just picked");
        Scrub {
            shared: Rc::clone(shared),
            id,
            identity: core.identity,
            bytes: segment.bytes,
            has_footer: segment.has_footer,
            at: Rc::default(),
            _pin: Rc::clone(&segment.pin),
        }
    };
    let checked = scrub.check().await;
    let damage = checked.err().filter(|_| !crate::mutant!(ScrubFindsNothing));
    let damage = damage.map(|error| scrub.damage(error));
    drop(scrub);
    let mut core = shared.core.borrow_mut();
    if core.wants_scrub(id) {
        core.scrubbed(id, damage);
    }
    drop(core);
    shared.scrubbed.raise();
    // It may wait for the pin to be recycled.
    shared.work.raise();
}

/// A segment being read back.
struct Scrub<D: Disk> {
    shared: Rc<Shared<D>>,
    id: u64,
    identity: Identity,
    bytes: u64,
    has_footer: bool,
    /// Offset of the latest read, in bytes.
    at: Rc<Cell<u64>>,
    /// Keeps the file from being recycled while it is read.
    _pin: Rc<()>,
}

impl<D: Disk> Scrub<D> {
    /// Checks header, records and footer.
    async fn check(&self) -> Result<(), OpenError> {
        let (mut chain, footer) = self.shared.core.borrow().should_be(self.id);
        let file = self.open().await.map_err(OpenError::io("open it"))?;
        let len = file.len().await.map_err(OpenError::io("ask for its length"))?;
        let paced = Paced {
            file,
            shared: Rc::clone(&self.shared),
            id: self.id,
            at: Rc::clone(&self.at),
            rest: Cell::default(),
        };
        let mut file = SegmentFile::begin(paced, &self.identity, self.id, len).await?;
        let mut offset = BLOCK;
        while offset < footer.end {
            let Some(record) = file.next(&chain, offset, footer.end).await? else { break };
            chain.take(&record);
            offset += record.header.padded_bytes();
        }
        file.check_end(&chain, offset, &footer).await?;
        if !self.has_footer {
            return Ok(());
        }
        let found = file.footer().await?;
        if found.as_ref().is_some_and(|found| found.ends_like(&footer)) {
            return Ok(());
        }
        let last = |footer: &Footer| {
            format!("a footer behind record {} at {}", footer.last_sequence(), footer.end)
        };
        let found = found.as_ref().map_or_else(|| "no valid footer".to_owned(), last);
        let offset = file.header.footer_offset();
        Err(Damage { file: file_name(self.id), offset, expected: last(&footer), found }.into())
    }

    /// The descriptor that is open, or one for this alone: those that readers need are not closed for it.
    async fn open(&self) -> io::Result<D::File> {
        let open = self.shared.core.borrow().segments.get(self.id).and_then(|s| s.file.clone());
        match open {
            Some(file) => Ok(file),
            None => self.shared.disk.open(&file_name(self.id), OpenMode::Direct).await,
        }
    }

    /// What an error of [`Scrub::check`] says of the segment.
    fn damage(&self, error: OpenError) -> Damage {
        let offset = self.at.get();
        let (expected, found) = match error {
            OpenError::Damaged(damage) => return damage,
            OpenError::StrangeFile { why, .. } => {
                (format!("the header of segment {}", self.id), why)
            }
            OpenError::Io { action, source } => {
                (format!("{} bytes that can be read", self.bytes), format!("{action}: {source}"))
            }
            other => ("a sealed segment".to_owned(), other.to_string()),
        };
        Damage { file: file_name(self.id), offset, expected, found }
    }
}

/// A file that is read at a pace that the log does not feel.
struct Paced<D: Disk> {
    file: D::File,
    shared: Rc<Shared<D>>,
    id: u64,
    at: Rc<Cell<u64>>,
    rest: Cell<Rest>,
}

impl<D: Disk> Paced<D> {
    fn is_over(&self) -> bool {
        !self.shared.core.borrow().wants_scrub(self.id)
    }

    /// Waits for the next read: shortly while the log rests, and until it does while it writes, but not for ever.
    async fn pause(&self) {
        let mut rest = self.rest.take();
        if rest.lasts(&self.shared.core.borrow()) {
            super::sleep_or(&self.shared, SCRUB_REST_NANOS, || self.is_over()).await;
        }
        let mut waited_nanos = 0;
        while waited_nanos < SCRUB_BUSY_NANOS
            && !rest.lasts(&self.shared.core.borrow())
            && !self.is_over()
        {
            rest = Rest::watch(&self.shared, || self.is_over()).await;
            waited_nanos += ZERO_IDLE_NANOS;
        }
        self.rest.set(rest);
    }
}

impl<D: Disk> Source for Paced<D> {
    async fn read(&self, buf: AlignedBuf, offset: u64) -> (io::Result<usize>, AlignedBuf) {
        self.pause().await;
        if self.is_over() {
            // Whoever asked finds that as well, and takes this for no error.
            return (Err(io::ErrorKind::Interrupted.into()), buf);
        }
        self.at.set(offset);
        let (read, buf) = self.file.read_at(buf, offset).await;
        if let Ok(bytes) = read {
            self.shared.core.borrow_mut().scrub.bytes += bytes as u64;
        }
        (read, buf)
    }
}
