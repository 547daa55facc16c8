//! How the public events of one log entry are packed into one row.
//!
//! All numbers are varints: seven bits a byte, the lowest first, the top bit says that more follow. Signed ones are zigzag.
//!
//! First the queue names: how many, then of each its bytes. Then each event:
//!
//! - its kind, one byte: bit 7 data follows, bit 6 it is about a job, the rest a number of [`KINDS`];
//! - its number less that of the one before it, or less that of the row;
//! - which name, from 0;
//! - if it is about a job: its creation in ms less the entry's time (signed), its number less that of the job before it (signed);
//! - if data follows: how many bytes, and these.

use std::sync::Arc;

use jobbie_proto::{JobId, JobSeq, Micros, ShardId};

use crate::journal::JournalEvent;

/// The kinds, by number. New ones are only added at the end.
pub(crate) const KINDS: [&str; 26] = [
    "enqueued",
    "started",
    "completed",
    "continued",
    "held",
    "approved",
    "rejected",
    "failed",
    "progress",
    "retried",
    "requeued",
    "cancelled",
    "moved",
    "deleted",
    "promoted",
    "reclaimed",
    "dead",
    "expired",
    "purged",
    "priority_changed",
    "queue.paused",
    "queue.resumed",
    "queue.cleared",
    "queue.deleted",
    "worker.registered",
    "replaced",
];

/// A number of [`KINDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Enqueued,
    Started,
    Completed,
    Continued,
    Held,
    Approved,
    Rejected,
    Failed,
    Progress,
    Retried,
    Requeued,
    Cancelled,
    Moved,
    Deleted,
    Promoted,
    Reclaimed,
    Dead,
    Expired,
    Purged,
    PriorityChanged,
    QueuePaused,
    QueueResumed,
    QueueCleared,
    QueueDeleted,
    WorkerRegistered,
    Replaced,
}

const _: () = assert!(Kind::Replaced as usize + 1 == KINDS.len());
const HAS_DATA: u8 = 0x80;
const HAS_JOB: u8 = 0x40;

/// Packs the public events of one entry.
#[derive(Debug)]
pub(crate) struct Packer {
    pub(crate) first_seq: u64,
    time_ms: u64,
    names: Vec<Arc<str>>,
    events: Vec<u8>,
    last_seq: u64,
    last_job: u64,
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(out: &mut Vec<u8>, value: i64) {
    varint(out, (value << 1 ^ value >> 63) as u64);
}

impl Packer {
    pub(crate) fn new(first_seq: u64, time_ms: u64) -> Self {
        let (names, events) = (Vec::new(), Vec::new());
        Self { first_seq, time_ms, names, events, last_seq: first_seq, last_job: 0 }
    }

    pub(crate) fn push(
        &mut self,
        seq: u64,
        kind: Kind,
        job: Option<JobId>,
        queue: &Arc<str>,
        data: &[u8],
    ) {
        let known = self.names.iter().rposition(|name| Arc::ptr_eq(name, queue) || name == queue);
        let name = known.unwrap_or_else(|| {
            self.names.push(Arc::clone(queue));
            self.names.len() - 1
        });
        let flags =
            if data.is_empty() { 0 } else { HAS_DATA } | if job.is_some() { HAS_JOB } else { 0 };
        let out = &mut self.events;
        out.push(kind as u8 | flags);
        varint(out, seq - self.last_seq);
        varint(out, name as u64);
        if let Some(job) = job {
            zigzag(out, job.created_ms() as i64 - self.time_ms as i64);
            zigzag(out, job.seq().0 as i64 - self.last_job as i64);
            self.last_job = job.seq().0;
        }
        if !data.is_empty() {
            varint(out, data.len() as u64);
            out.extend_from_slice(data);
        }
        self.last_seq = seq;
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.events.len() + 16);
        varint(&mut out, self.names.len() as u64);
        for name in &self.names {
            varint(&mut out, name.len() as u64);
            out.extend_from_slice(name.as_bytes());
        }
        out.extend_from_slice(&self.events);
        out
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn take(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

/// Unpacks a row: `None` when it is damaged. `each` says whether it wants more.
pub(crate) fn unpack(
    row: (u64, ShardId, Micros),
    packed: &[u8],
    mut each: impl FnMut(JournalEvent) -> bool,
) -> Option<()> {
    let (mut seq, shard, time) = row;
    let mut bytes = Bytes(packed);
    let count = bytes.varint()?;
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(std::str::from_utf8(bytes.take()?).ok()?);
    }
    let mut last_job = 0_i64;
    while let Some((kind, rest)) = bytes.0.split_first() {
        bytes.0 = rest;
        seq += bytes.varint()?;
        let queue = (*names.get(usize::try_from(bytes.varint()?).ok()?)?).to_owned();
        let mut job = None;
        if kind & HAS_JOB != 0 {
            let created = u64::try_from(time.ms() as i64 + bytes.zigzag()?).ok()?;
            last_job += bytes.zigzag()?;
            job = Some(JobId::new(created, shard, JobSeq(u64::try_from(last_job).ok()?)));
        }
        let data = if kind & HAS_DATA == 0 { Vec::new() } else { bytes.take()?.to_vec() };
        let kind = KINDS.get(usize::from(kind & !(HAS_DATA | HAS_JOB)))?;
        if !each(JournalEvent { seq, kind, job, queue, at: time, data }) {
            break;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again_and_no_cut_is_taken_for_a_row() {
        let (mails, thumbs): (Arc<str>, Arc<str>) = ("mails".into(), "thumbs".into());
        let job = |ms, seq| Some(JobId::new(ms, ShardId(3), JobSeq(seq)));
        let mut packer = Packer::new(1001, 5_000);
        packer.push(1001, Kind::Enqueued, job(5_000, 900), &mails, b"");
        packer.push(1001 + 300, Kind::Progress, job(4_000, 7), &thumbs, br#"{"done":1}"#);
        packer.push(1302, Kind::QueuePaused, None, &mails, b"");
        let packed = packer.finish();
        let row = (1001, ShardId(3), Micros(5_000_999));
        let mut events = Vec::new();
        unpack(row, &packed, |event| {
            events.push(event);
            true
        })
        .unwrap();
        let seen: Vec<_> = events.iter().map(|e| (e.seq, e.kind, &*e.queue, e.job)).collect();
        assert_eq!(
            seen,
            [
                (1001, "enqueued", "mails", job(5_000, 900)),
                (1301, "progress", "thumbs", job(4_000, 7)),
                (1302, "queue.paused", "mails", None),
            ]
        );
        assert_eq!(events[1].data, br#"{"done":1}"#);
        for cut in 0..packed.len() {
            let mut count = 0;
            let whole = unpack(row, &packed[..cut], |_| {
                count += 1;
                true
            });
            assert!(whole.is_none() || count < 3, "cut at {cut}");
        }
    }
}
