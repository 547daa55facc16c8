//! The bytes of an entry body: `blob · archive · trailer`.
//!
//! The blob comes first so that payloads can be copied from the network straight into the
//! buffer that goes to disk, before it is known what else the entry will hold.
//!
//! | part | bytes | content |
//! |---|---|---|
//! | blob | `blob_len` | variable-length data of all events, back to back |
//! | archive | the rest | rkyv archive of `Vec<Group>`: little-endian, 32-bit relative pointers, unaligned, root last |
//! | trailer | 8 | `blob_len` u32, record version u16, zero u16; little-endian |

use rkyv::rancor::Error as RkyvError;
use rkyv::ser::{Positional, Writer};
use rkyv::vec::ArchivedVec;

use super::{AppendedEvent, ArchivedGroup, Blob, EnqueuedJob, Event, Group, Iteration, RevisedJob};

/// The newest version of the event records. An entry is written with the oldest that has all its kinds of events, so
/// that an older release reads what it can understand and refuses the rest by its version.
pub const VERSION: u16 = 2;
/// Bytes after the archive.
pub const TRAILER_BYTES: usize = 8;

/// A buffer that grows at its end.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The body is not an entry body of a version known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than its own parts.
    #[error("entry body of {0} bytes is shorter than its parts")]
    Short(usize),
    /// Written by a newer release.
    #[error("event records of version {0}, this release reads versions 1 to {VERSION}")]
    Version(u16),
    /// The archive does not check out.
    #[error("event records do not decode: {0}")]
    Malformed(String),
}

struct SinkWriter<'a, S> {
    sink: &'a mut S,
    pos: usize,
}

impl<S> Positional for SinkWriter<'_, S> {
    fn pos(&self) -> usize {
        self.pos
    }
}

impl<S: Sink, E> Writer<E> for SinkWriter<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), E> {
        self.sink.put(bytes);
        self.pos += bytes.len();
        Ok(())
    }
}

/// Completes an entry body in `sink`, which holds the blob of `blob_len` bytes already.
///
/// # Panics
/// When `blob_len` does not fit 32 bits.
pub fn finish(sink: &mut impl Sink, blob_len: usize, groups: &Vec<Group>) {
    let writer = SinkWriter { sink, pos: 0 };
    let writer = rkyv::api::high::to_bytes_in::<_, RkyvError>(groups, writer)
        .expect("writing to memory cannot fail");
    let blob_len = u32::try_from(blob_len).expect("blob larger than an entry may be");
    let mut trailer = [0; TRAILER_BYTES];
    trailer[..4].copy_from_slice(&blob_len.to_le_bytes());
    let events = groups.iter().flat_map(|group| &group.events);
    let version = events.map(Event::version).max().unwrap_or(1);
    trailer[4..6].copy_from_slice(&version.to_le_bytes());
    writer.sink.put(&trailer);
}

/// Takes an entry body apart. Every [`Blob`] in the groups lies within the returned blob.
///
/// # Errors
/// When the bytes are not an entry body of a known version, whatever they are instead.
pub fn decode(body: &[u8]) -> Result<(Vec<Group>, &[u8]), DecodeError> {
    let short = DecodeError::Short(body.len());
    let archive_end = body.len().checked_sub(TRAILER_BYTES).ok_or(short.clone())?;
    let (parts, trailer) = body.split_at(archive_end);
    let version = u16::from_le_bytes([trailer[4], trailer[5]]);
    if !(1..=VERSION).contains(&version) {
        return Err(DecodeError::Version(version));
    }
    let blob_len = u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]) as usize;
    let (blob, archive) = parts.split_at_checked(blob_len).ok_or(short)?;
    let malformed = |e: RkyvError| DecodeError::Malformed(e.to_string());
    let archived =
        rkyv::access::<ArchivedVec<ArchivedGroup>, RkyvError>(archive).map_err(malformed)?;
    let groups: Vec<Group> = rkyv::deserialize::<_, RkyvError>(archived).map_err(malformed)?;
    for event in groups.iter().flat_map(|g| &g.events) {
        check_blobs(event, blob.len())?;
    }
    Ok((groups, blob))
}

fn check_job(
    job: &EnqueuedJob,
    check: impl Fn(&Blob) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    check(&job.payload)?;
    check(&job.tags)?;
    check(&job.key)
}

fn check_blobs(event: &Event, blob_len: usize) -> Result<(), DecodeError> {
    let check = |blob: &Blob| {
        let end = u64::from(blob.offset) + u64::from(blob.len);
        let inside = end <= blob_len as u64;
        inside.then_some(()).ok_or_else(|| {
            DecodeError::Malformed(format!("range ends at {end} of a blob of {blob_len} bytes"))
        })
    };
    match event {
        Event::SessionOpened { name, host, .. } => [name, host].into_iter().try_for_each(check),
        Event::Enqueued { jobs, .. } => jobs.iter().try_for_each(|job| check_job(job, check)),
        Event::Leased { worker, .. } => check(worker),
        Event::Completed { jobs } => jobs.iter().map(|j| &j.result).try_for_each(check),
        Event::Failed { error, backtrace, .. } => {
            [error, backtrace].into_iter().try_for_each(check)
        }
        Event::Extended { jobs } => {
            jobs.iter().flat_map(|j| [&j.progress, &j.checkpoint]).try_for_each(check)
        }
        Event::Limited(limited) => limited.jobs.iter().try_for_each(|job| check_job(job, check)),
        Event::UniqueTaken { jobs } => jobs.iter().map(|j| &j.key).try_for_each(check),
        Event::Quarantined { jobs } => jobs.iter().map(|j| &j.error).try_for_each(check),
        Event::Held { reason, by, .. } | Event::Rejected { reason, by, .. } => {
            [reason, by].into_iter().try_for_each(check)
        }
        Event::Approved { note, by, .. } => [note, by].into_iter().try_for_each(check),
        Event::Replaced { payload, .. } => check(payload),
        Event::Tied(tie) => tie.blobs().into_iter().try_for_each(check),
        Event::Appended(appended) => {
            let AppendedEvent { id, kind, data, source, trace, error, .. } = &**appended;
            [id, kind, data, source, trace, error].into_iter().try_for_each(check)
        }
        Event::AgentEnqueued(agent) => check(&agent.checkpoint),
        Event::Iterated(iteration) => {
            let Iteration { checkpoint, result, reason, .. } = &**iteration;
            [checkpoint, result, reason].into_iter().try_for_each(check)
        }
        Event::Revised(revised) => {
            let RevisedJob { checkpoint, feedback, by, .. } = &**revised;
            [checkpoint, feedback, by].into_iter().try_for_each(check)
        }
        Event::ScheduleSet(set) => [&set.payload, &set.tags].into_iter().try_for_each(check),
        Event::Archived(archived) => archived.blobs().iter().try_for_each(check),
        Event::SessionClosed { .. }
        | Event::Deduplicated { .. }
        | Event::SessionExtended { .. }
        | Event::Released { .. }
        | Event::LeaseExpired { .. }
        | Event::Promoted { .. }
        | Event::Expired { .. }
        | Event::Cancelled { .. }
        | Event::Deleted { .. }
        | Event::QueuePaused { .. }
        | Event::QueueResumed { .. }
        | Event::Ignored { .. }
        | Event::Refused { .. }
        | Event::Retried { .. }
        | Event::Requeued { .. }
        | Event::Moved { .. }
        | Event::Prioritized { .. }
        | Event::Purged { .. }
        | Event::QueueConfigured { .. }
        | Event::QueueDrained { .. }
        | Event::KeyWeighed { .. }
        | Event::LimitsOpened { .. }
        | Event::Planned(_)
        | Event::PlanTimedOut { .. }
        | Event::SchedulePaused { .. }
        | Event::ScheduleResumed { .. }
        | Event::ScheduleDeleted { .. }
        | Event::ScheduleFired { .. }
        | Event::ScheduleSkipped { .. }
        | Event::OperationStarted(_)
        | Event::OperationAdvanced { .. }
        | Event::OperationEnded { .. }
        | Event::OperationRefused { .. }
        | Event::WorkerSeen(_)
        | Event::WorkersForgotten { .. }
        | Event::UsageReported(_)
        | Event::Ruled(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{BackoffKind, Class, CompletedJob, EnqueuedJob};
    use crate::{JobSeq, Micros, SessionId};

    fn sample() -> (Vec<u8>, Vec<Group>) {
        let job = |offset| EnqueuedJob {
            payload: Blob { offset, len: 3 },
            tags: Blob::default(),
            key: Blob::default(),
            due: Micros(0),
        };
        let class = Class {
            queue: "a-queue-name-longer-than-inline".into(),
            priority: 2,
            max_retries: 3,
            backoff: BackoffKind::Exponential,
            backoff_base_ms: 5000,
            backoff_cap_ms: 600_000,
            expire_after_ms: 0,
        };
        let enqueued = Event::Enqueued {
            class,
            first_job: JobSeq(1),
            jobs: vec![job(0), job(3)],
            keys: vec![],
        };
        let completed = Event::Completed {
            jobs: vec![CompletedJob { job: JobSeq(1), result: Blob { offset: 6, len: 2 } }],
        };
        let group =
            |number, events| Group { session: SessionId(7), number, confirmed_below: 1, events };
        (b"abcdefok".to_vec(), vec![group(1, vec![enqueued]), group(2, vec![completed])])
    }

    fn body(blob: &[u8], groups: &Vec<Group>) -> Vec<u8> {
        let mut body = blob.to_vec();
        finish(&mut body, blob.len(), groups);
        body
    }

    #[test]
    fn an_entry_reads_back_and_counts_its_events() {
        let (blob, groups) = sample();
        let body = body(&blob, &groups);
        let (read, read_blob) = decode(&body).unwrap();
        assert_eq!((read, read_blob), (groups.clone(), &blob[..]));
        assert_eq!(groups.iter().map(Group::count).sum::<u64>(), 3);
    }

    #[test]
    fn every_cut_is_refused() {
        let (blob, groups) = sample();
        let body = body(&blob, &groups);
        for cut in 0..body.len() {
            assert!(decode(&body[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_range_outside_the_blob_is_refused() {
        let (blob, groups) = sample();
        let body = body(&blob[..7], &groups);
        assert!(matches!(decode(&body), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn a_newer_version_is_refused_by_its_number() {
        let (blob, groups) = sample();
        let mut body = body(&blob, &groups);
        let at = body.len() - 4;
        body[at] = 3;
        assert_eq!(decode(&body), Err(DecodeError::Version(3)));
    }
}
