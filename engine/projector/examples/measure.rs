//! Times folding, loading and searching on made-up entries. `measure FOLDER [MILLIONS]`: how many million jobs are searched.

use std::path::Path;
use std::time::Instant;

use jobbie_projector::search::{Bounds, Filter, Search, Sort};
use jobbie_projector::{Committed, Options, Projection, Reader};
use jobbie_proto::event::{
    BackoffKind, Blob, Class, CompletedJob, EnqueuedJob, Event, Group, LeasedJob, codec,
};
use jobbie_proto::reply::JobState;
use jobbie_proto::{EventSeq, JobId, JobSeq, Micros, SessionId, ShardId};

/// Jobs in an entry.
const BATCH: u64 = 256;
const OPTIONS: Options = Options { shards: 1, retention_ms: 0, bulk: false };
const START: u64 = 1_700_000_000_000_000;

type Failure = Box<dyn std::error::Error>;

/// One entry after the other: jobs come, are leased `lag` batches later and completed another `lag` later.
struct Entries {
    lag: u64,
    batch: u64,
    total: u64,
    event: u64,
    index: u64,
}

struct Made {
    index: u64,
    time: u64,
    first: u64,
    body: Vec<u8>,
}

fn payload(job: u64) -> String {
    let word = ["invoice", "receipt", "welcome", "reminder", "report"][(job % 5) as usize];
    let mixed = job.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        r#"{{"order":{job},"kind":"{word}","customer":"c-{mixed:016x}","amount":{},"to":"u{}@example.org"}}"#,
        job % 1000,
        job % 10_007
    )
}

impl Entries {
    fn new(jobs: u64, lag: u64) -> Self {
        Self { lag, batch: 0, total: jobs / BATCH, event: 1, index: 1 }
    }
}

impl Iterator for Entries {
    type Item = Made;

    fn next(&mut self) -> Option<Made> {
        let at = self.batch;
        self.batch += 1;
        let (mut events, mut blob) = (Vec::new(), Vec::new());
        if at == 0 {
            let blob = Blob::default();
            events.push(Event::SessionOpened { client: 7, name: blob, host: blob });
        }
        let jobs = |batch: u64| (batch * BATCH + 1..).take(BATCH as usize);
        if at < self.total {
            let job = |job| {
                let text = payload(job);
                let payload = Blob { offset: blob.len() as u32, len: text.len() as u32 };
                blob.extend_from_slice(text.as_bytes());
                let none = Blob::default();
                EnqueuedJob { payload, tags: none, key: none, due: Micros(0) }
            };
            let jobs_made = jobs(at).map(job).collect();
            let class = Class {
                queue: format!("queue-{}", at % 20),
                priority: 2,
                max_retries: 3,
                backoff: BackoffKind::Exponential,
                backoff_base_ms: 1000,
                backoff_cap_ms: 0,
                expire_after_ms: 0,
            };
            let first_job = JobSeq(at * BATCH + 1);
            events.push(Event::Enqueued { class, first_job, jobs: jobs_made, keys: Vec::new() });
        }
        if let Some(batch) = at.checked_sub(self.lag).filter(|batch| *batch < self.total) {
            let lease = |job| LeasedJob { job: JobSeq(job), attempt: 1 };
            events.push(Event::Leased {
                session: SessionId(1),
                deadline: Micros(START + at * 1000 + 30_000_000),
                worker: Blob::default(),
                lease_ms: 30_000,
                jobs: jobs(batch).map(lease).collect(),
            });
        }
        // The newest stay active, and of the others one in a hundred batches is dead or waits.
        let done = at.checked_sub(2 * self.lag).filter(|batch| *batch < self.total);
        if let Some(batch) = done {
            let ack = |job| CompletedJob { job: JobSeq(job), result: Blob::default() };
            if batch % 100 == 99 {
                let jobs = jobs(batch).map(JobSeq).collect();
                events.push(Event::Cancelled { jobs });
            } else {
                events.push(Event::Completed { jobs: jobs(batch).map(ack).collect() });
            }
        }
        if at >= self.total && at.checked_sub(2 * self.lag).is_none_or(|batch| batch >= self.total)
        {
            return None;
        }
        let count: u64 = events.iter().map(Event::count).sum();
        let groups = vec![Group { events, ..Group::default() }];
        let len = blob.len();
        codec::finish(&mut blob, len, &groups);
        let made =
            Made { index: self.index, time: START + at * 1000, first: self.event, body: blob };
        self.index += 1;
        self.event += count;
        Some(made)
    }
}

fn committed(made: &Made) -> Committed<'_> {
    Committed {
        shard: ShardId(0),
        index: made.index,
        time: Micros(made.time),
        first_event: EventSeq(made.first),
        body: &made.body,
    }
}

/// Seconds that this thread had a core: others may want it too.
fn core_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|text| text.parse::<u64>().ok());
    nanos.unwrap_or(0) as f64 / 1e9
}

/// Folds, with a commit when one is due or after `each` entries; events and seconds of a core.
fn fold(projection: &mut Projection, entries: Entries, each: u64) -> Result<(u64, f64), Failure> {
    let (mut seconds, mut last) = (0.0, 0);
    let mut entries = entries.peekable();
    while entries.peek().is_some() {
        let some: Vec<Made> = entries.by_ref().take(64).collect();
        let began = core_seconds();
        for made in &some {
            let due = projection.apply(&[committed(made)])?;
            if due || made.index % each == 0 {
                projection.commit()?;
            }
        }
        seconds += core_seconds() - began;
        last = projection.watermark(ShardId(0)).1.0;
    }
    let began = core_seconds();
    projection.commit()?;
    seconds += core_seconds() - began;
    Ok((last, seconds))
}

fn folded(folder: &Path, name: &str, jobs: u64, lag: u64, each: u64) -> Result<(), Failure> {
    let path = folder.join("live.db");
    for rest in ["live.db", "live.db-wal", "live.db-shm"] {
        let _ = std::fs::remove_file(folder.join(rest));
    }
    let mut projection = Projection::open(&path, OPTIONS)?;
    let (events, seconds) = fold(&mut projection, Entries::new(jobs, lag), each)?;
    println!("{name}: {:.0} events/s ({events} in {seconds:.1} s)", events as f64 / seconds);
    Ok(())
}

fn timed(name: &str, mut ask: impl FnMut(u64) -> Result<u64, Failure>) -> Result<(), Failure> {
    let (mut times, mut found) = (Vec::new(), 0);
    let all = Instant::now();
    for nth in 0..100 {
        let began = Instant::now();
        found += ask(nth)?;
        times.push(began.elapsed());
        if all.elapsed().as_secs() > 20 {
            break;
        }
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    println!(
        "{name}: median {:.2} ms, p99 {:.2} ms, {found} found in {} questions",
        at(50),
        at(99),
        times.len()
    );
    Ok(())
}

fn search(reader: &Reader, filter: Filter, sort: Sort) -> Result<u64, Failure> {
    let page = reader.search(&Search { filter, sort, limit: 50, ..Search::default() })?;
    Ok(page.jobs.len() as u64)
}

fn searches(path: &Path, jobs: u64) -> Result<(), Failure> {
    let reader = Reader::open(path)?;
    let any = Filter::default;
    let queue = |nth: u64| Some(format!("queue-{}", nth % 20));
    let some = |nth: u64| nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) % jobs + 1;
    let time = |job: u64| Micros(START + job / BATCH * 1000);
    timed("newest", |_| search(&reader, any(), Sort::Created))?;
    timed("queue", |n| search(&reader, Filter { queue: queue(n), ..any() }, Sort::Created))?;
    timed("queue, completed", |n| {
        let filter = Filter { queue: queue(n), states: vec![JobState::Completed], ..any() };
        search(&reader, filter, Sort::Completed)
    })?;
    timed("queue, cancelled", |n| {
        let filter = Filter { queue: queue(n), states: vec![JobState::Cancelled], ..any() };
        search(&reader, filter, Sort::Created)
    })?;
    timed("cancelled or active", |_| {
        let filter = Filter { states: vec![JobState::Cancelled, JobState::Active], ..any() };
        search(&reader, filter, Sort::Created)
    })?;
    timed("completed in a second", |n| {
        let after = time(some(n));
        let completed = Bounds { after: Some(after), before: Some(after.plus_ms(1000)) };
        search(&reader, Filter { completed, ..any() }, Sort::Created)
    })?;
    timed("created after, by start", |n| {
        let created = Bounds { after: Some(time(some(n))), before: None };
        search(&reader, Filter { created, ..any() }, Sort::Started)
    })?;
    timed("by tier", |_| search(&reader, any(), Sort::Priority))?;
    timed("by attempts", |_| search(&reader, any(), Sort::Attempt))?;
    timed("id prefix", |n| {
        let job = some(n);
        let id = JobId::new(time(job).ms(), ShardId(0), JobSeq(job)).to_string();
        search(&reader, Filter { id_prefix: Some(id[..20].into()), ..any() }, Sort::Created)
    })?;
    timed("a job", |n| {
        let job = some(n);
        let id = JobId::new(time(job - 1).ms(), ShardId(0), JobSeq(job));
        Ok(reader.job(id)?.map_or(0, |_| 1))
    })?;
    let text = |text: String| Filter { payload_contains: Some(text), ..any() };
    timed("text, one job", |n| {
        let job = some(n);
        search(&reader, text(format!("\"order\":{job},")), Sort::Created)
    })?;
    timed("text, one customer", |n| {
        let mixed = some(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        search(&reader, text(format!("{mixed:016x}")), Sort::Created)
    })?;
    timed("text, 500 jobs", |n| {
        search(&reader, text(format!("u{}@example", n * 71 % 10_007)), Sort::Created)
    })?;
    timed("text, one in five", |_| search(&reader, text("INVOICE".into()), Sort::Created))?;
    timed("text, nowhere", |n| search(&reader, text(format!("zq{n}xyw")), Sort::Created))?;
    timed("words", |n| {
        let words = ["invoice".to_owned(), format!("u{}@", n * 71 % 10_007)];
        Ok(reader.fulltext(&jobbie_projector::Namespace::Any, &words, 50)?.len() as u64)
    })?;
    timed("expression, one in ten", |n| {
        let jq = Some(format!(".amount == {}", n % 1000).parse()?);
        search(&reader, Filter { payload_jq: jq, ..any() }, Sort::Created)
    })?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("a folder is missing")?;
    let folder = Path::new(&folder);
    let millions: u64 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    folded(folder, "each job within one commit", 600_000, 4, u64::MAX)?;
    folded(folder, "each step in another commit", 600_000, 600, u64::MAX)?;
    folded(folder, "a commit every 4 entries", 300_000, 8, 4)?;
    let jobs = millions * 1_000_000;
    let (from, path) = (folder.join("bulk.db"), folder.join("rows.db"));
    let _ = std::fs::remove_file(&from);
    let mut projection = Projection::open(&from, Options { bulk: true, ..OPTIONS })?;
    let (events, seconds) = fold(&mut projection, Entries::new(jobs, 4), u64::MAX)?;
    let began = core_seconds();
    let mut projection = projection.finish_bulk(&path)?;
    let (indexes, bytes) = (core_seconds() - began, std::fs::metadata(&path)?.len());
    println!(
        "bulk: {:.0} jobs/s ({events} events of {jobs} jobs in {seconds:.1} s, indexes {indexes:.1} s, {} bytes a job)",
        jobs as f64 / (seconds + indexes),
        bytes / jobs
    );
    let (began, mut rows) = (core_seconds(), 0);
    loop {
        match projection.index_text(20_000)? {
            0 => break,
            some => rows += some,
        }
    }
    let (seconds, bytes) = (core_seconds() - began, std::fs::metadata(&path)?.len());
    println!("text: {:.0} rows/s, {} bytes a job", rows as f64 / seconds, bytes / jobs);
    searches(&path, jobs)
}
