//! What the jobs of a run are, beside their payload.

use jobbie_proto::event::BackoffKind;
use jobbie_proto::request::{Enqueue, When};
use jobbie_proto::{Micros, limits};

use super::group::Group;
use crate::options::Options;
use crate::scatter::{Zipf, evenly};

/// How long a unique key is held at most, in milliseconds.
const UNIQUE_MS: u64 = 3600 * 1000;

/// Bytes that a job takes in a frame beside its payload, with room to spare.
const JOB_BYTES: usize = 64;
/// The same with every option.
const EVERY_OPTION_BYTES: usize = 192;
/// What a unique key adds.
const UNIQUE_BYTES: usize = 48;
/// What a limit key adds.
const LIMIT_KEY_BYTES: usize = 40;

/// The kind of jobs that a run has.
#[derive(Debug)]
pub struct Jobs {
    /// Size of the payload, in bytes.
    pub(super) payload_bytes: usize,
    every_option: bool,
    unique: bool,
    limit_keys: Option<LimitKeys>,
    /// The batch that all are members of.
    pub(super) group: Option<Group>,
}

/// What makes one job of a run different from the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'a> {
    pub(super) number: u64,
    pub(super) payload: &'a [u8],
    /// Nobody else's, of this run or another.
    pub(super) key: &'a [u8],
    /// When it is due, in microseconds since 1970, where jobs wait for their time.
    pub(super) due_us: Option<u64>,
}

/// Limit keys and who gets which.
#[derive(Debug)]
struct LimitKeys {
    names: Vec<Box<str>>,
    zipf: Option<Zipf>,
}

impl LimitKeys {
    fn new(count: u32, zipf: bool) -> Self {
        let names = (0..count).map(|nth| format!("tenant-{nth}").into()).collect();
        Self { names, zipf: zipf.then(|| Zipf::new(count)) }
    }

    fn of(&self, number: u64) -> &str {
        let place = match &self.zipf {
            Some(zipf) => zipf.place(number),
            None => evenly(number, self.names.len() as u64) as usize,
        };
        &self.names[place]
    }
}

impl Jobs {
    /// Those that the options ask for.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            payload_bytes: options.payload_bytes as usize,
            every_option: options.every_option,
            unique: options.unique,
            limit_keys: options.limit_keys.map(|count| LimitKeys::new(count, options.zipf)),
            group: None,
        }
    }

    /// Bytes that a job takes in a frame at most.
    pub(super) fn frame_bytes(&self) -> usize {
        let job = if self.every_option { EVERY_OPTION_BYTES } else { JOB_BYTES };
        let unique = if self.unique { UNIQUE_BYTES } else { 0 };
        let limit_key = if self.limit_keys.is_some() { LIMIT_KEY_BYTES } else { 0 };
        self.payload_bytes + job + unique + limit_key
    }

    /// A job as it is enqueued.
    pub(super) fn enqueue<'a>(&'a self, queue: &'a str, own: Own<'a>) -> Enqueue<'a> {
        let usual = match self.every_option {
            true => every_option(queue, own.payload, own.key),
            false => plain(queue, own.payload),
        };
        let (unique, unique_ms) = if self.unique { (own.key, UNIQUE_MS) } else { (&b""[..], 0) };
        Enqueue {
            unique,
            unique_ms,
            limit_key: self.limit_keys.as_ref().map_or("", |keys| keys.of(own.number)),
            when: own.due_us.map_or(usual.when, |at| When::At(Micros(at))),
            ..usual
        }
    }
}

pub(super) fn plain<'a>(queue: &'a str, payload: &'a [u8]) -> Enqueue<'a> {
    Enqueue {
        queue,
        payload,
        tags: b"",
        key: b"",
        key_ms: 0,
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: limits::PRIORITY_DEFAULT,
        max_retries: limits::ATTEMPTS_DEFAULT,
        backoff: BackoffKind::default(),
        backoff_base_ms: limits::BACKOFF_BASE_MS_DEFAULT,
        backoff_cap_ms: limits::BACKOFF_CAP_MS_DEFAULT,
        expire_after_ms: 0,
        when: When::Now,
    }
}

fn every_option<'a>(queue: &'a str, payload: &'a [u8], key: &'a [u8]) -> Enqueue<'a> {
    Enqueue {
        tags: br#"{"customer":"42"}"#,
        key,
        key_ms: limits::KEY_MS_DEFAULT,
        priority: 1,
        max_retries: 7,
        backoff: BackoffKind::Linear,
        backoff_base_ms: 1_000,
        backoff_cap_ms: 60_000,
        expire_after_ms: 24 * 3600 * 1000,
        when: When::DelayMs(1),
        ..plain(queue, payload)
    }
}

#[cfg(test)]
mod tests {
    use jobbie_proto::Request;
    use jobbie_proto::wire::Encoder;

    use super::*;

    const KINDS: [(bool, bool, bool); 4] =
        [(false, false, false), (false, true, true), (true, false, false), (true, true, true)];

    fn jobs(every_option: bool, unique: bool, limit_keys: Option<LimitKeys>) -> Jobs {
        Jobs { payload_bytes: 20, every_option, unique, limit_keys, group: None }
    }

    fn own(number: u64, due_us: Option<u64>) -> Own<'static> {
        Own { number, payload: &[7; 20], key: &[9; 16], due_us }
    }

    #[test]
    fn jobs_have_what_was_asked_for_and_no_more() {
        let usual = plain("q", &[7; 20]);
        assert_eq!(jobs(false, false, None).enqueue("q", own(1, None)), usual);
        let unique = Enqueue { unique: &[9; 16], unique_ms: 3_600_000, ..usual };
        assert_eq!(jobs(false, true, None).enqueue("q", own(1, None)), unique);
        let due = Enqueue { when: When::At(Micros(5)), ..usual };
        assert_eq!(jobs(false, false, None).enqueue("q", own(1, Some(5))), due);
        let keyed = jobs(false, false, Some(LimitKeys::new(10, false)));
        assert_eq!(keyed.enqueue("q", own(1, None)), Enqueue { limit_key: "tenant-9", ..usual });
        let every = jobs(true, true, None);
        let all = every.enqueue("q", own(1, None));
        assert_eq!((all.key, all.unique, all.when), (&[9; 16][..], &[9; 16][..], When::DelayMs(1)));
    }

    #[test]
    fn limit_keys_get_equally_many_or_as_zipf_says() {
        for (zipf, first, last) in
            [(false, 1000..=1000, 1000..=1000), (true, 3300..=3500, 300..=400)]
        {
            let (keys, mut met) = (LimitKeys::new(10, zipf), std::collections::BTreeMap::new());
            (0..10_000).for_each(|number| *met.entry(keys.of(number)).or_insert(0) += 1);
            assert!(first.contains(&met["tenant-0"]) && last.contains(&met["tenant-9"]), "{met:?}");
        }
    }

    #[test]
    fn a_job_takes_no_more_room_than_is_counted() {
        for (every_option, unique, keyed) in KINDS {
            let keys = keyed.then(|| LimitKeys::new(1_000_000, false));
            let jobs = jobs(every_option, unique, keys);
            let (mut out, batch) = (Vec::new(), 1000);
            let enqueues = (0..batch).map(|n| jobs.enqueue("q", own(n, Some(1)))).collect();
            let request = Request { number: 1, enqueues, ..Request::default() };
            Encoder::new().request(&mut out, &request).expect("a frame takes it");
            let most = jobs.frame_bytes() * batch as usize;
            assert!(out.len() <= most, "{} of {most} bytes: {jobs:?}", out.len());
        }
    }
}
