//! What people want to know: why a job failed, which wait for them, and who works.

use std::sync::Arc;

use bytes::Bytes;
use jobbie_proto::limits::{HELD_COUNT_MAX, WORKERS_PER_ANSWER_MAX};
use jobbie_proto::reply::{JobState, WorkerView};
use jobbie_proto::request::{HeldJobs, History, Workers};
use jobbie_proto::{EventSeq, JobId, JobSeq, Micros, Request, SessionId, ShardId, wire};

use crate::answer::Shared;
use crate::{Client, Error};

/// Why a job failed once, or died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobErrorRecord {
    /// Its record.
    pub event: EventSeq,
    /// The error before it; 0 is none.
    pub previous: EventSeq,
    /// When it was recorded, by the server's clock.
    pub time: Micros,
    /// The attempt that failed; 0 when it was none: the job expired, was rejected, or its plan failed.
    pub attempt: u32,
    /// What went wrong.
    pub error: Bytes,
    /// Where.
    pub backtrace: Bytes,
}

/// Owned errors out of a reply; `blob` is what they borrow from.
pub(crate) fn errors(errors: &[wire::JobError<'_>], blob: &[u8]) -> Vec<JobErrorRecord> {
    if errors.is_empty() {
        return Vec::new();
    }
    let shared = Shared::new(blob);
    let one = |of: &wire::JobError<'_>| JobErrorRecord {
        event: of.event,
        previous: of.previous,
        time: of.time,
        attempt: of.attempt,
        error: shared.part(of.error),
        backtrace: shared.part(of.backtrace),
    };
    errors.iter().map(one).collect()
}

/// A job that waits for a human.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldJob {
    /// The job.
    pub id: JobId,
    /// Its queue.
    pub queue: Arc<str>,
    /// Why it was held; empty is not said.
    pub reason: Bytes,
    /// Who held it; empty is not said.
    pub by: String,
}

/// Held jobs that are looked up at once.
const HELD_LOOKED_UP: usize = 100;

impl Client {
    /// Held jobs of all shards: those of each shard in the order in which they came there, as they were when they were
    /// come to.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn held(&self) -> Result<Vec<HeldJob>, Error> {
        let mut all = Vec::new();
        for shard in (0..self.topology().shards).map(ShardId) {
            let mut after = JobSeq(0);
            loop {
                let held = Some(HeldJobs { after, count: HELD_COUNT_MAX });
                let mut request = Request { held, ..Request::default() };
                let page = self.request(shard, &mut request).await?.held;
                let Some(last) = page.last() else { break };
                after = last.seq();
                for jobs in page.chunks(HELD_LOOKED_UP) {
                    let mut request = Request { lookups: jobs.to_vec(), ..Request::default() };
                    let found = self.request(shard, &mut request).await?.lookups;
                    let still = found.into_iter().filter_map(|(_, info)| info);
                    let still = still.filter(|info| info.state == JobState::Held);
                    all.extend(still.map(|info| HeldJob {
                        id: info.id,
                        queue: info.queue,
                        // Without the rest of the answer, which it is a part of.
                        reason: Bytes::copy_from_slice(&info.hold_reason),
                        by: info.hold_by,
                    }));
                }
            }
        }
        Ok(all)
    }

    /// Errors of a job, newest first: at most `count` (1 to 100), from `from` on, which is 0 or what the oldest error
    /// seen so far names as the one before it. None when the job is not in the server's memory or has none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn errors(
        &self,
        job: JobId,
        from: EventSeq,
        count: u32,
    ) -> Result<Vec<JobErrorRecord>, Error> {
        let errors = Some(History { job, from, count });
        let mut request = Request { errors, ..Request::default() };
        Ok(self.request(job.shard(), &mut request).await?.errors)
    }

    /// Workers that asked any shard for jobs within the last 24 hours, by shard, session and name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn workers(&self) -> Result<Vec<(ShardId, WorkerView)>, Error> {
        let mut all = Vec::new();
        for shard in (0..self.topology().shards).map(ShardId) {
            let (mut after_session, mut after_worker) = (SessionId(0), String::new());
            loop {
                let (count, after_worker_now) = (WORKERS_PER_ANSWER_MAX, &*after_worker);
                let wanted = Workers { after_session, after_worker: after_worker_now, count };
                let mut request = Request { workers: Some(wanted), ..Request::default() };
                let found = self.request(shard, &mut request).await?.workers;
                let Some(last) = found.last() else { break };
                (after_session, after_worker) = (last.session, last.name.clone());
                all.extend(found.into_iter().map(|worker| (shard, worker)));
            }
        }
        Ok(all)
    }
}
