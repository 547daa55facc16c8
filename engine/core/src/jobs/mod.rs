//! Every job in memory, by its number.
//!
//! A job that was only ever enqueued is a bit here and shares a row with those that came with it.
//! Pages are found by the number alone and are dropped when their last job leaves.

mod page;
mod rows;

use std::collections::VecDeque;
use std::rc::Rc;

use crate::class::ClassId;
use crate::pages::own;
use page::{PAGE, Page};

const PAGES: usize = 64;
const SEGMENT: u64 = PAGES as u64 * PAGE;

/// What belongs to a job that is more than waiting: a struct, or, for a scheduled job that was never
/// touched, only its timer (top bit set).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle(pub(crate) u32);

const SLEEPER: u32 = 1 << 31;

/// [`Handle`], taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// Number of its struct.
    Struct(u32),
    /// Place of its timer.
    Sleeper(u32),
}

impl Handle {
    pub(crate) fn of_struct(number: u32) -> Self {
        assert!(number < SLEEPER, "too many structs");
        Self(number)
    }

    pub(crate) fn of_sleeper(timer: u32) -> Self {
        assert!(timer < SLEEPER, "too many timers");
        Self(timer | SLEEPER)
    }

    pub(crate) fn special(self) -> Special {
        if self.0 & SLEEPER == 0 {
            Special::Struct(self.0)
        } else {
            Special::Sleeper(self.0 & !SLEEPER)
        }
    }
}

/// Where a job came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The event that made it.
    pub(crate) event: u64,
    /// When, in milliseconds since the epoch.
    pub(crate) created_ms: u64,
    /// What it has in common with others.
    pub(crate) class: ClassId,
}

#[derive(Clone)]
struct Segment {
    pages: [Option<Rc<Page>>; PAGES],
    used: u32,
}

/// All jobs of a shard.
#[derive(Clone)]
pub(crate) struct Jobs {
    segments: VecDeque<Option<Rc<Segment>>>,
    /// Number of the first of `segments`.
    base: u64,
    live: u64,
    /// The newest job. Its page is kept even when it is empty: a shard that keeps up would make a
    /// page for every job otherwise.
    newest: u64,
}

impl Jobs {
    pub(crate) fn new() -> Self {
        Self { segments: VecDeque::new(), base: 0, live: 0, newest: 0 }
    }

    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    #[inline]
    fn page(&self, job: u64) -> Option<&Page> {
        let segment = (job / SEGMENT).checked_sub(self.base)?;
        let segment = self.segments.get(segment as usize)?.as_ref()?;
        segment.pages[(job / PAGE) as usize % PAGES].as_deref()
    }

    #[inline]
    fn page_mut(&mut self, job: u64) -> &mut Page {
        let segment = (job / SEGMENT).checked_sub(self.base).expect("the job is not in memory");
        let segment = self.segments[segment as usize].as_mut().expect("the job is not in memory");
        let page = &mut own(segment).pages[(job / PAGE) as usize % PAGES];
        own(page.as_mut().expect("the job is not in memory"))
    }

    fn page_or_new(&mut self, job: u64) -> &mut Page {
        let number = job / SEGMENT;
        if self.segments.is_empty() {
            self.base = number;
        }
        let at = number.checked_sub(self.base).expect("job numbers rise") as usize;
        if at >= self.segments.len() {
            self.segments.resize_with(at + 1, || None);
        }
        let segment = self.segments[at].get_or_insert_with(|| {
            Rc::new(Segment { pages: std::array::from_fn(|_| None), used: 0 })
        });
        let segment = own(segment);
        let page = &mut segment.pages[(job / PAGE) as usize % PAGES];
        segment.used += u32::from(page.is_none());
        own(page.get_or_insert_with(Rc::default))
    }

    /// Adds `count` jobs made by consecutive events. Numbers only rise.
    pub(crate) fn add(&mut self, mut first: u64, mut count: u64, mut origin: Origin) {
        self.live += count;
        let filled = std::mem::replace(&mut self.newest, first + count - 1);
        if filled / PAGE != self.newest / PAGE && self.page(filled).is_some_and(|p| p.live == 0) {
            self.drop_page(filled);
        }
        while count > 0 {
            let here = count.min(PAGE - first % PAGE);
            self.page_or_new(first).add(first % PAGE, here, origin);
            (first, count, origin.event) = (first + here, count - here, origin.event + here);
        }
    }

    #[inline]
    pub(crate) fn contains(&self, job: u64) -> bool {
        self.page(job).is_some_and(|page| page.contains(job % PAGE))
    }

    /// Where a job in memory came from.
    #[inline]
    pub(crate) fn origin(&self, job: u64) -> Origin {
        self.origin_run(job).0
    }

    /// The same, and how many numbers from it on came from there too.
    #[inline]
    pub(crate) fn origin_run(&self, job: u64) -> (Origin, u64) {
        self.page(job).expect("the job is not in memory").origin(job % PAGE)
    }

    /// Where a job came from and what belongs to it, if it is in memory.
    #[inline]
    pub(crate) fn look_up(&self, job: u64) -> Option<(Origin, Option<Handle>)> {
        let (page, at) = (self.page(job)?, job % PAGE);
        page.contains(at).then(|| (page.origin(at).0, page.handle(at)))
    }

    #[inline]
    pub(crate) fn handle(&self, job: u64) -> Option<Handle> {
        self.page(job)?.handle(job % PAGE)
    }

    #[inline]
    pub(crate) fn set_handle(&mut self, job: u64, handle: Handle) {
        self.page_mut(job).set_handle(job % PAGE, handle);
    }

    #[inline]
    pub(crate) fn clear_handle(&mut self, job: u64) {
        self.page_mut(job).clear_handle(job % PAGE);
    }

    /// The job leaves memory, with its handle.
    pub(crate) fn remove(&mut self, job: u64) {
        self.live -= 1;
        let page = self.page_mut(job);
        page.remove(job % PAGE);
        if page.live == 0 && job / PAGE != self.newest / PAGE {
            self.drop_page(job);
        }
    }

    fn drop_page(&mut self, job: u64) {
        let at = (job / SEGMENT - self.base) as usize;
        let segment = own(self.segments[at].as_mut().expect("it holds the page"));
        segment.pages[(job / PAGE) as usize % PAGES] = None;
        segment.used -= 1;
        if segment.used == 0 {
            self.segments[at] = None;
            while self.segments.front().is_some_and(Option::is_none) {
                self.segments.pop_front();
                self.base += 1;
            }
        }
    }

    /// The first job in `from..end`; only untouched ones when `fresh`.
    #[inline]
    pub(crate) fn next(&self, from: u64, end: u64, fresh: bool) -> Option<u64> {
        let mut at = from.max(self.base * SEGMENT);
        while at < end {
            let segment = (at / SEGMENT - self.base) as usize;
            let Some(segment) = self.segments.get(segment)?.as_ref() else {
                at = (at / SEGMENT + 1) * SEGMENT;
                continue;
            };
            let start = at - at % PAGE;
            if let Some(page) = segment.pages[(at / PAGE) as usize % PAGES].as_ref() {
                let found = page.next(at % PAGE, fresh);
                if found < PAGE {
                    return Some(start + found).filter(|&job| job < end);
                }
            }
            at = start + PAGE;
        }
        None
    }

    /// Every job in memory, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        std::iter::successors(self.next(0, u64::MAX, false), |job| {
            self.next(job + 1, u64::MAX, false)
        })
    }

    pub(crate) fn check(&self) {
        let (mut live, mut empty) = (0, 0);
        for segment in self.segments.iter().flatten() {
            let pages: Vec<_> = segment.pages.iter().flatten().collect();
            assert_eq!(pages.len(), segment.used as usize, "a segment miscounts its pages");
            assert!(segment.used > 0, "an empty segment was kept");
            for page in pages {
                page.check();
                live += u64::from(page.live);
                empty += u64::from(page.live == 0);
            }
        }
        assert_eq!(live, self.live, "jobs miscounted");
        let newest_is_empty = self.page(self.newest).is_some_and(|page| page.live == 0);
        assert_eq!(empty, u64::from(newest_is_empty), "an empty page was kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(event: u64, class: u32) -> Origin {
        Origin { event, created_ms: 9, class: ClassId(class) }
    }

    #[test]
    fn jobs_are_found_by_number_over_pages_and_segments() {
        let mut jobs = Jobs::new();
        jobs.add(500, 40_000, origin(1, 1));
        jobs.add(40_500, 10, origin(90_000, 2));
        assert_eq!(jobs.origin(500), origin(1, 1));
        assert_eq!(jobs.origin(40_499), origin(40_000, 1));
        assert_eq!(jobs.origin_run(40_505), (origin(90_005, 2), 512 - 40_505 % 512));
        assert!(!jobs.contains(499) && !jobs.contains(40_510));
        jobs.check();
        let copy = jobs.clone();
        for job in 500..40_509 {
            jobs.remove(job);
        }
        assert_eq!(jobs.iter().collect::<Vec<_>>(), [40_509]);
        assert_eq!((jobs.segments.len(), jobs.base), (1, 1));
        jobs.check();
        assert_eq!(copy.iter().count(), 40_010);
        copy.check();
        jobs.remove(40_509);
        jobs.add(1_000_000, 1, origin(99_999, 3));
        assert_eq!(jobs.next(0, 1_000_000, false), None);
        assert_eq!(jobs.next(0, 1_000_001, true), Some(1_000_000));
    }

    #[test]
    fn rows_join_only_when_event_time_and_class_continue() {
        let mut jobs = Jobs::new();
        jobs.add(1, 2, origin(10, 1));
        jobs.add(3, 1, origin(12, 1));
        assert_eq!(jobs.origin_run(1).1, 511);
        jobs.add(4, 1, origin(14, 1));
        jobs.add(5, 1, origin(15, 2));
        jobs.add(6, 1, Origin { created_ms: 10, ..origin(16, 2) });
        assert_eq!((jobs.origin_run(1).1, jobs.origin_run(4).1, jobs.origin_run(5).1), (3, 1, 1));
    }
}
