//! Where the jobs of older entries lie, so that one is read without the rest of its entry.
//!
//! Jobs that are given out in the order in which they came are read entry by entry, and each entry is read once. In
//! another order each fetch would read, check and decode whole entries, of up to a megabyte, for a job or two of each. So
//! of an entry that is decoded for the second time an outline is kept: the class of each job, its place in the
//! entry, and a checksum of each block. The log reads and checks single blocks then.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use futures_util::{StreamExt, stream};
use jobbie_io::Disk;
use jobbie_log::{EntryBlocks, Log, Part};
use jobbie_proto::EventSeq;
use jobbie_proto::event::{Blob, Class, EnqueuedJob, Event};

use crate::limits::{OUTLINE_BYTES, OUTLINE_CANDIDATES_MAX, PART_GAP_BLOCKS, PARTS_AT_ONCE_MAX};
use crate::records::{Decoded, JobRecord};

/// Payload, tags and key of a job, which lie behind each other in the blob of its entry.
#[derive(Clone, Copy)]
struct Place {
    offset: u32,
    payload: u32,
    tags: u16,
    key: u16,
}

impl Place {
    /// `None` when they do not.
    fn of(job: &EnqueuedJob) -> Option<Self> {
        let mut place = Place { offset: 0, payload: 0, tags: 0, key: 0 };
        let (mut next, mut lens) = (None, [0; 3]);
        for (Blob { offset, len }, out) in
            [job.payload, job.tags, job.key].into_iter().zip(&mut lens)
        {
            if len > 0 && *next.get_or_insert(offset) != offset {
                return None;
            }
            next = next.map(|next| next + len);
            *out = len;
        }
        place.payload = lens[0];
        (place.tags, place.key) = (lens[1].try_into().ok()?, lens[2].try_into().ok()?);
        place.offset = next.map_or(0, |end| end - lens.iter().sum::<u32>());
        Some(place)
    }

    fn range(self) -> Range<usize> {
        let start = self.offset as usize;
        start..start + self.payload as usize + usize::from(self.tags) + usize::from(self.key)
    }
}

/// Jobs of one event.
struct Run {
    first_event: u64,
    class: Rc<Class>,
    /// The first of them in [`Outline::places`].
    first: u32,
    count: u32,
}

/// Where the jobs of one entry lie.
struct Outline {
    first_event: u64,
    end_event: u64,
    blocks: EntryBlocks,
    runs: Vec<Run>,
    places: Vec<Place>,
}

impl Outline {
    /// `None` when the entry was not written as we write them.
    fn of(decoded: &Decoded, blocks: EntryBlocks) -> Option<Self> {
        let (mut runs, mut places) = (Vec::<Run>::new(), Vec::new());
        for (first_event, event) in decoded.records() {
            let (class, jobs) = match event {
                Event::Enqueued { class, jobs, .. } => (class, jobs),
                Event::Limited(limited) => (&limited.class, &limited.jobs),
                _ => continue,
            };
            let known = runs.last().map(|run| &run.class).filter(|known| ***known == *class);
            let class = known.map_or_else(|| Rc::new(class.clone()), Rc::clone);
            let (first, count) = (places.len() as u32, jobs.len() as u32);
            runs.push(Run { first_event, class, first, count });
            for job in jobs {
                places.push(Place::of(job)?);
            }
        }
        runs.shrink_to_fit();
        places.shrink_to_fit();
        let (first_event, end_event) = decoded.events();
        Some(Self { first_event, end_event, blocks, runs, places })
    }

    /// The job that `event` made.
    fn job(&self, event: u64) -> Option<(&Rc<Class>, Place)> {
        let run =
            &self.runs[self.runs.partition_point(|run| run.first_event <= event).checked_sub(1)?];
        let nth = u32::try_from(event - run.first_event).ok().filter(|nth| *nth < run.count)?;
        Some((&run.class, self.places[(run.first + nth) as usize]))
    }

    /// Memory it takes, in bytes: classes as if each run had its own.
    fn weight(&self) -> usize {
        let class = size_of::<Class>() + 2 * size_of::<usize>();
        let runs = self.runs.len() * (size_of::<Run>() + class);
        size_of::<Self>() + self.blocks.held_bytes() + runs + self.places.len() * size_of::<Place>()
    }
}

/// A job that was read without the rest of its entry.
pub(crate) struct LoneJob {
    /// The event that made it.
    pub(crate) event: EventSeq,
    class: Rc<Class>,
    place: Place,
    /// None when it has no bytes.
    part: Option<Rc<Part>>,
}

impl LoneJob {
    pub(crate) fn record(&self) -> JobRecord<'_> {
        let bytes = self
            .part
            .as_ref()
            .map_or(&[][..], |part| part.bytes(self.place.range()).expect("it was asked for"));
        let (payload, rest) = bytes.split_at(self.place.payload as usize);
        let (tags, key) = rest.split_at(self.place.tags.into());
        JobRecord { class: &self.class, payload, tags, key }
    }
}

/// Jobs of one entry that lie so near each other that they are read together.
struct Span {
    outline: Rc<Outline>,
    jobs: Vec<(EventSeq, Rc<Class>, Place)>,
    ranges: Vec<Range<usize>>,
}

/// The outlines kept.
#[derive(Default)]
pub(crate) struct Outlines {
    by_event: RefCell<BTreeMap<u64, Rc<Outline>>>,
    /// First events in the order they came in; the oldest goes first.
    order: RefCell<VecDeque<u64>>,
    bytes: Cell<usize>,
    /// Entries that were decoded once, by first event; the oldest goes first.
    candidates: RefCell<BTreeSet<u64>>,
}

impl Outlines {
    /// An entry was decoded that the log had to give, from the disk or its memory.
    pub(crate) fn decoded<D: Disk>(&self, log: &Log<D>, decoded: &Decoded) {
        let (first_event, _) = decoded.events();
        if self.by_event.borrow().contains_key(&first_event) {
            return;
        }
        let mut candidates = self.candidates.borrow_mut();
        if !candidates.remove(&first_event) {
            candidates.insert(first_event);
            if candidates.len() > OUTLINE_CANDIDATES_MAX {
                candidates.pop_first();
            }
            return;
        }
        let blocks = log.blocks_of_event(first_event);
        if let Some(outline) = blocks.and_then(|blocks| Outline::of(decoded, blocks)) {
            self.insert(outline);
        }
    }

    fn insert(&self, outline: Outline) {
        let (mut by_event, mut order) = (self.by_event.borrow_mut(), self.order.borrow_mut());
        self.bytes.set(self.bytes.get() + outline.weight());
        order.push_back(outline.first_event);
        by_event.insert(outline.first_event, Rc::new(outline));
        while self.bytes.get() > OUTLINE_BYTES
            && let Some(oldest) = order.pop_front()
        {
            let old = by_event.remove(&oldest).expect("one for each");
            self.bytes.set(self.bytes.get() - old.weight());
        }
    }

    /// Whether the entry with `event` has one.
    pub(crate) fn know(&self, event: EventSeq) -> bool {
        self.find(event.0).is_some()
    }

    fn find(&self, event: u64) -> Option<Rc<Outline>> {
        let by_event = self.by_event.borrow();
        let (_, outline) = by_event.range(..=event).next_back()?;
        (event < outline.end_event).then(|| Rc::clone(outline))
    }

    /// Those jobs whose entries have outlines, by event. One that cannot be read is left out: reading its entry whole
    /// will say what is wrong.
    pub(crate) async fn jobs<D: Disk>(
        &self,
        log: &Log<D>,
        mut events: Vec<EventSeq>,
    ) -> Vec<LoneJob> {
        events.sort_unstable();
        events.dedup();
        let (spans, mut jobs) = self.spans(events);
        let reads = stream::iter(spans).map(async |span| {
            let part = log.read_part(&span.outline.blocks, &span.ranges).await;
            let part = part.inspect_err(|error| tracing::warn!(%error, "a part of an entry"));
            part.ok().map(|part| (Rc::new(part), span.jobs))
        });
        let read: Vec<_> = reads.buffer_unordered(PARTS_AT_ONCE_MAX).collect().await;
        for (part, read) in read.into_iter().flatten() {
            jobs.extend(read.into_iter().map(|(event, class, place)| {
                let part = Some(Rc::clone(&part));
                LoneJob { event, class, place, part }
            }));
        }
        jobs.sort_unstable_by_key(|job| job.event);
        jobs
    }

    /// What is to be read, and the jobs for which nothing is.
    fn spans(&self, events: Vec<EventSeq>) -> (Vec<Span>, Vec<LoneJob>) {
        let (mut spans, mut empty) = (Vec::<Span>::new(), Vec::new());
        let mut last: Option<Rc<Outline>> = None;
        for event in events {
            if last.as_ref().is_none_or(|last| event.0 >= last.end_event) {
                last = self.find(event.0);
            }
            let Some(outline) = &last else { continue };
            let Some((class, place)) = outline.job(event.0) else { continue };
            let (class, range) = (Rc::clone(class), place.range());
            if range.is_empty() {
                empty.push(LoneJob { event, class, place, part: None });
                continue;
            }
            let near = |span: &&mut Span| {
                if !Rc::ptr_eq(&span.outline, outline) {
                    return false;
                }
                let before = span.ranges.last().expect("no span is empty");
                let (before, here) = (outline.blocks.blocks(before), outline.blocks.blocks(&range));
                before.start <= here.start && here.start <= before.end + PART_GAP_BLOCKS
            };
            if let Some(span) = spans.last_mut().filter(near) {
                span.jobs.push((event, class, place));
                span.ranges.push(range);
            } else {
                let (outline, ranges) = (Rc::clone(outline), vec![range]);
                spans.push(Span { outline, jobs: vec![(event, class, place)], ranges });
            }
        }
        (spans, empty)
    }
}

#[cfg(test)]
mod tests {
    use jobbie_log::{BodyBuilder, Create, Entry, EntryId, EntryKind, Identity, LogConfig};
    use jobbie_proto::event::{BackoffKind, Group, LimitedJobs, codec};
    use jobbie_proto::{JobSeq, Micros};
    use jobbie_sim::{DiskConfig, Executor, Handle, NodeId, Schedule, SimDisk};

    use super::*;
    use crate::records::Records;

    const IDENTITY: Identity = Identity { cluster: 1, node: 2, shard: 0, store: 3 };
    const FIRST: &str = "log-0000000000000001.seg";
    /// Jobs of an entry, and entries, each with a start of a session first.
    const JOBS: u64 = 60;
    const ENTRIES: u64 = 6;

    struct BodySink(BodyBuilder);

    impl codec::Sink for BodySink {
        fn put(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    /// Payload, tags and key of the job that an event makes, of all lengths that are special.
    fn texts(event: u64) -> [Vec<u8>; 3] {
        let text = |salt: u64, len: u64| {
            let mut state = event << 8 | salt;
            let mut byte = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            };
            (0..len).map(&mut byte).collect::<Vec<u8>>()
        };
        let payload = if event.is_multiple_of(5) { 0 } else { 1000 + event % 7 * 700 };
        [text(1, payload), text(2, event % 3 * 10), text(3, event % 2 * 20)]
    }

    fn class(queue: &str) -> Class {
        Class {
            queue: queue.to_owned(),
            priority: 1,
            max_retries: 3,
            backoff: BackoffKind::Fixed,
            backoff_base_ms: 1,
            backoff_cap_ms: 0,
            expire_after_ms: 0,
        }
    }

    fn entry(index: u64) -> Entry {
        let first_event = 1 + index * (JOBS + 1);
        let mut body = BodySink(BodyBuilder::with_capacity(0));
        let mut append = |bytes: &[u8]| {
            let offset = body.0.len() as u32;
            body.0.extend_from_slice(bytes);
            if bytes.is_empty() {
                return Blob::default();
            }
            Blob { offset, len: bytes.len() as u32 }
        };
        let mut job = |event| {
            let [payload, tags, key] = texts(event).map(|text| append(&text));
            EnqueuedJob { payload, tags, key, due: Micros(0) }
        };
        let jobs: Vec<_> = (first_event + 1..=first_event + JOBS).map(&mut job).collect();
        let (plain, limited) = jobs.split_at(JOBS as usize / 2);
        let opened =
            Event::SessionOpened { client: 1, name: Blob::default(), host: Blob::default() };
        let first_job = JobSeq(first_event);
        let plain = Event::Enqueued {
            class: class("plain"),
            first_job,
            jobs: plain.to_vec(),
            keys: vec![],
        };
        let limited = LimitedJobs {
            class: class("limited"),
            first_job,
            jobs: limited.to_vec(),
            keys: vec![],
            limit_keys: vec!["key".into(); limited.len()],
        };
        let events = vec![opened, plain, Event::Limited(Box::new(limited))];
        let groups = vec![Group { events, ..Group::default() }];
        let blob_len = body.0.len();
        codec::finish(&mut body, blob_len, &groups);
        Entry {
            id: EntryId { term: 1, index },
            kind: EntryKind::Batch,
            time_us: 5,
            first_event,
            event_count: JOBS as u32 + 1,
            body: body.0.finish(),
        }
    }

    /// A log whose entries are larger than what of them is kept in memory, and records that keep one.
    async fn records(disk: &SimDisk) -> Records<SimDisk> {
        let config = LogConfig {
            segment_bytes: 2 << 20,
            tail_bytes_max: 1,
            spare_segments: 1,
            ..LogConfig::default()
        };
        let opened = jobbie_log::Log::open(disk.clone(), config, IDENTITY, Create::IfMissing);
        let opened = opened.await.unwrap();
        Handle::current().spawn_on(NodeId(1), opened.driver);
        for index in 0..ENTRIES {
            opened.log.append(vec![entry(index)], |done| done.unwrap()).unwrap();
        }
        opened.log.wait_durable(ENTRIES - 1).await.unwrap();
        Records::new(opened.log, 1)
    }

    /// The first event of a job in each entry, and of more jobs.
    fn jobs_of(entries: Range<u64>) -> impl Iterator<Item = EventSeq> {
        let first = |index: u64| 2 + index * (JOBS + 1);
        entries.flat_map(move |index| (first(index)..first(index) + JOBS).map(EventSeq))
    }

    async fn load_all(records: &Records<SimDisk>) {
        for event in jobs_of(0..ENTRIES).step_by(JOBS as usize) {
            records.load(event).await.unwrap();
        }
    }

    fn simulate<T>(seed: u64, test: impl AsyncFnOnce(SimDisk) -> T) -> T {
        let disk = SimDisk::new(seed, DiskConfig::default());
        Executor::new(seed, Schedule::Shuffled).block_on(test(disk))
    }

    #[test]
    fn jobs_without_the_rest_of_their_entries_are_as_with_it() {
        simulate(1, async |disk| {
            let records = records(&disk).await;
            load_all(&records).await;
            let jobs = records.lone_jobs(jobs_of(0..ENTRIES)).await;
            assert!(jobs.is_empty(), "whoever reads in order once needs no outlines");
            load_all(&records).await;
            // All, some that are far apart, and one, in any order.
            for step in [1, 7, 50, 1000] {
                let mut wanted: Vec<_> = jobs_of(0..ENTRIES).step_by(step).collect();
                wanted.reverse();
                let jobs = records.lone_jobs(wanted.iter().copied()).await;
                wanted.reverse();
                // The newest entry is decoded.
                let decoded = 1 + (ENTRIES - 1) * (JOBS + 1);
                wanted.retain(|event| event.0 < decoded);
                assert_eq!(jobs.iter().map(|job| job.event).collect::<Vec<_>>(), wanted);
                for job in &jobs {
                    let JobRecord { class, payload, tags, key } = job.record();
                    assert_eq!([payload, tags, key].map(<[u8]>::to_vec), texts(job.event.0));
                    let limited = (job.event.0 - 1) % (JOBS + 1) > JOBS / 2;
                    assert_eq!(class.queue, if limited { "limited" } else { "plain" });
                }
            }
            let none = records.lone_jobs([1, JOBS + 2].map(EventSeq).into_iter()).await;
            assert!(none.is_empty(), "these events made no jobs");
        });
    }

    #[test]
    fn r04_a_job_in_a_damaged_block_is_left_to_whoever_reads_the_entry() {
        simulate(2, async |disk| {
            let records = records(&disk).await;
            load_all(&records).await;
            load_all(&records).await;
            let content = disk.content(FIRST).unwrap();
            let damaged = jobs_of(1..2).find(|event| texts(event.0)[0].len() > 4000).unwrap();
            let payload = &texts(damaged.0)[0];
            let at = content.windows(payload.len()).position(|bytes| bytes == payload).unwrap();
            disk.corrupt(FIRST, at as u64 + 2000, 4);
            let far = jobs_of(3..4);
            let jobs = records.lone_jobs(far.chain([damaged])).await;
            assert!(!jobs.is_empty() && jobs.iter().all(|job| job.event != damaged));
            // The entry as it was read before is still in the log's memory.
            let entry = records.load(damaged).await.unwrap();
            assert_eq!(entry.job(damaged).unwrap().payload, payload);
        });
    }

    #[test]
    fn texts_that_do_not_lie_behind_each_other_have_no_place() {
        let blob = |offset, len| Blob { offset, len };
        let job = |payload, tags, key| EnqueuedJob { payload, tags, key, due: Micros(0) };
        let none = Blob::default();
        let range = |job: EnqueuedJob| Place::of(&job).map(Place::range);
        assert_eq!(range(job(blob(7, 3), blob(10, 2), blob(12, 1))), Some(7..13));
        assert_eq!(range(job(none, blob(10, 2), none)), Some(10..12));
        assert_eq!(range(job(none, none, none)), Some(0..0));
        assert_eq!(range(job(blob(7, 3), blob(11, 2), none)), None);
        assert_eq!(range(job(blob(7, 3), none, blob(9, 1))), None);
        assert_eq!(range(job(blob(7, 3), blob(10, 70_000), none)), None);
    }

    #[test]
    fn outlines_and_candidates_are_bounded() {
        simulate(3, async |disk| {
            let records = records(&disk).await;
            load_all(&records).await;
            load_all(&records).await;
            let outlines = Outlines::default();
            let decoded = records.load(EventSeq(1)).await.unwrap();
            let blocks = || records.log().blocks_of_event(1).unwrap();
            let weight = Outline::of(&decoded, blocks()).unwrap().weight();
            for nth in 0..2 * (OUTLINE_BYTES / weight) as u64 {
                let first_event = nth * 1000;
                let outline = Outline::of(&decoded, blocks()).unwrap();
                outlines.insert(Outline { first_event, end_event: first_event + 1000, ..outline });
            }
            assert_eq!(outlines.by_event.borrow().len(), OUTLINE_BYTES / weight);
            assert!(outlines.know(EventSeq(2 * (OUTLINE_BYTES / weight) as u64 * 1000 - 1)));
            assert!(!outlines.know(EventSeq(0)));
        });
    }
}
