//! What people want to know: why a job failed, and who works.

use bytes::Bytes;
use jobbie_proto::limits::WORKERS_PER_ANSWER_MAX;
use jobbie_proto::reply::WorkerView;
use jobbie_proto::request::{History, Workers};
use jobbie_proto::{EventSeq, JobId, Micros, Request, SessionId, ShardId, wire};

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

impl Client {
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
