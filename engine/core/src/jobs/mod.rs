//! Every job in memory, by its number.
//!
//! A job that was only ever enqueued is a bit here and shares a row with those that came with it.
//! Pages are found by the number alone and are dropped when their last job leaves.

mod links;
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

impl Segment {
    fn new() -> Self {
        Self { pages: std::array::from_fn(|_| None), used: 0 }
    }
}

/// All jobs of a shard.
#[derive(Clone)]
pub(crate) struct Jobs {
    /// Those with pages, with their numbers, which rise: a job that stays for years costs no more than its page.
    segments: VecDeque<(u64, Rc<Segment>)>,
    live: u64,
    /// The newest job. Its page is kept even when it is empty: a shard that keeps up would make a
    /// page for every job otherwise.
    newest: u64,
}

impl Jobs {
    pub(crate) fn new() -> Self {
        Self { segments: VecDeque::new(), live: 0, newest: 0 }
    }

    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    /// Where the segment of a job is, or where it would be. Seldom is one missing between it and the newest.
    #[inline]
    fn find(&self, job: u64) -> Result<usize, usize> {
        let number = job / SEGMENT;
        let newest = self.segments.back().map_or(0, |(newest, _)| *newest);
        let guess =
            self.segments.len().wrapping_sub(1).wrapping_sub(newest.wrapping_sub(number) as usize);
        if self.segments.get(guess).is_some_and(|(found, _)| *found == number) {
            return Ok(guess);
        }
        self.segments.binary_search_by_key(&number, |(found, _)| *found)
    }

    #[inline]
    fn page(&self, job: u64) -> Option<&Page> {
        let (_, segment) = &self.segments[self.find(job).ok()?];
        segment.pages[(job / PAGE) as usize % PAGES].as_deref()
    }

    #[inline]
    fn page_mut(&mut self, job: u64) -> &mut Page {
        let at = self.find(job).expect("the job is not in memory");
        let page = &mut own(&mut self.segments[at].1).pages[(job / PAGE) as usize % PAGES];
        own(page.as_mut().expect("the job is not in memory"))
    }

    fn page_or_new(&mut self, job: u64) -> &mut Page {
        let at = self.find(job).unwrap_or_else(|at| {
            self.segments.insert(at, (job / SEGMENT, Rc::new(Segment::new())));
            at
        });
        let segment = own(&mut self.segments[at].1);
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

    /// A job that had left memory is in it again.
    pub(crate) fn put_back(&mut self, job: u64, origin: Origin) {
        self.live += 1;
        self.page_or_new(job).put_back(job % PAGE, origin);
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

    /// What belongs to a job, if it is in memory.
    #[inline]
    pub(crate) fn find_handle(&self, job: u64) -> Option<Option<Handle>> {
        let (page, at) = (self.page(job)?, job % PAGE);
        page.contains(at).then(|| page.handle(at))
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

    /// The number of a job's unique key, if it has one.
    #[inline]
    pub(crate) fn unique(&self, job: u64) -> Option<u32> {
        self.page(job)?.unique(job % PAGE)
    }

    /// A job without one has a unique key.
    pub(crate) fn set_unique(&mut self, job: u64, key: u32) {
        self.page_mut(job).set_unique(job % PAGE, key);
    }

    /// A job's unique key, if it has one, is no longer its own.
    pub(crate) fn take_unique(&mut self, job: u64) -> Option<u32> {
        self.page_mut(job).take_unique(job % PAGE)
    }

    /// The job leaves memory, with its handle. Gives the number of its unique key, which has lost it.
    #[inline]
    pub(crate) fn remove(&mut self, job: u64) -> Option<u32> {
        self.live -= 1;
        let page = self.page_mut(job);
        page.remove(job % PAGE);
        let unique = page.take_unique(job % PAGE);
        if page.live == 0 && job / PAGE != self.newest / PAGE {
            self.drop_page(job);
        }
        unique
    }

    fn drop_page(&mut self, job: u64) {
        let at = self.find(job).expect("a segment holds the page");
        let segment = own(&mut self.segments[at].1);
        segment.pages[(job / PAGE) as usize % PAGES] = None;
        segment.used -= 1;
        if segment.used == 0 {
            self.segments.remove(at);
        }
    }

    /// The first job in `from..end`; only untouched ones when `fresh`.
    #[inline]
    pub(crate) fn next(&self, from: u64, end: u64, fresh: bool) -> Option<u64> {
        let (Ok(mut place) | Err(mut place)) = self.find(from);
        let mut at = from;
        while at < end {
            let (number, segment) = self.segments.get(place)?;
            at = at.max(number * SEGMENT);
            while at / SEGMENT == *number && at < end {
                let start = at - at % PAGE;
                if let Some(page) = segment.pages[(at / PAGE) as usize % PAGES].as_ref() {
                    let found = page.next(at % PAGE, fresh);
                    if found < PAGE {
                        return Some(start + found).filter(|&job| job < end);
                    }
                }
                at = start + PAGE;
            }
            place += 1;
        }
        None
    }

    /// Every job in memory, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        std::iter::successors(self.next(0, u64::MAX, false), |job| {
            self.next(job + 1, u64::MAX, false)
        })
    }

    /// Jobs with unique keys; looks at every page.
    pub(crate) fn uniques(&self) -> usize {
        let pages = self.segments.iter().flat_map(|(_, segment)| segment.pages.iter().flatten());
        pages.map(|page| page.uniques()).sum()
    }

    pub(crate) fn check(&self) {
        let (mut live, mut empty) = (0, 0);
        assert!(self.segments.iter().is_sorted_by(|a, b| a.0 < b.0), "segments out of order");
        for (_, segment) in &self.segments {
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
        assert_eq!(jobs.segments.iter().map(|segment| segment.0).collect::<Vec<_>>(), [1]);
        jobs.check();
        assert_eq!(copy.iter().count(), 40_010);
        copy.check();
        jobs.remove(40_509);
        jobs.add(1_000_000, 1, origin(99_999, 3));
        assert_eq!(jobs.next(0, 1_000_000, false), None);
        assert_eq!(jobs.next(0, 1_000_001, true), Some(1_000_000));
    }

    /// As when one job stays and trillions come and go after it.
    #[test]
    fn jobs_far_apart_cost_their_pages_only() {
        let mut jobs = Jobs::new();
        let numbers = [7, 7 * SEGMENT, 1 << 40, (1 << 40) + SEGMENT, (1 << 50) - 1];
        for (job, event) in numbers.into_iter().zip(1..) {
            jobs.add(job, 1, origin(event, 1));
        }
        assert!(jobs.segments.capacity() < 16);
        assert!(jobs.iter().eq(numbers));
        for (at, job) in numbers.into_iter().enumerate() {
            assert_eq!(jobs.origin(job).event, at as u64 + 1);
            assert!(!jobs.contains(job - 1) && !jobs.contains(job + 1));
            assert_eq!(jobs.next(job + 1, u64::MAX, true), numbers.get(at + 1).copied());
        }
        jobs.remove(1 << 40);
        jobs.check();
        let left: Vec<_> = numbers.into_iter().filter(|job| *job != 1 << 40).collect();
        assert!(jobs.iter().eq(left));
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
