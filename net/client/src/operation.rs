//! Work on many jobs: it is begun, goes on in the background, and can be waited for.

use std::time::Duration;

use jobbie_proto::event::{BulkAction, JobFilter, Task};
use jobbie_proto::id::OperationRef;
use jobbie_proto::limits::OPERATION_JOBS_MAX;
use jobbie_proto::reply::{OperationStatus, OperationView};
use jobbie_proto::request::{Operate, Stats};
use jobbie_proto::{Code, JobId, Request, ShardId};
use tokio::time::sleep;

use crate::client::short_answer;
use crate::{Client, Error};

/// Pauses between two looks at how far an operation is.
const PAUSES_MS: [u64; 5] = [2, 5, 20, 50, 200];

/// What was begun: one operation for each shard and each list of jobs that is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// Its parts.
    pub parts: Vec<OperationRef>,
}

/// How far it is, all parts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// [`OperationStatus::Running`] while any part runs, otherwise [`OperationStatus::Cancelled`] when any was.
    pub status: OperationStatus,
    /// At most about so many jobs were meant.
    pub estimate: u64,
    /// Jobs looked at.
    pub looked_at: u64,
    /// Jobs that it applied to, or would have as a dry run.
    pub applied: u64,
    /// Jobs that were meant, but were in a state in which that is not done, or not there.
    pub skipped: u64,
    /// Parts of which the server knows nothing any more, because many others ended since.
    pub forgotten: u32,
}

impl Progress {
    fn add(&mut self, view: &OperationView) {
        self.estimate += view.estimate;
        self.looked_at += view.looked_at;
        self.applied += view.applied;
        self.skipped += view.skipped;
        let running = OperationStatus::Running;
        self.status = match (self.status, view.status) {
            (before, now) if before == running || now == running => running,
            (OperationStatus::Done, now) => now,
            (before, _) => before,
        };
    }
}

impl Client {
    /// Removes the pending and scheduled jobs of a queue, in the background. From the answer on none of them is handed
    /// out; jobs that are enqueued later stay, and are handed out when it is done.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn clear(&self, queue: &str) -> Result<Operation, Error> {
        let task = Task::Clear { queue: queue.to_owned() };
        self.start(self.topology().shard_of(queue), task, Vec::new()).await
    }

    /// Removes a queue in the background: its jobs in all states, its settings and its keys. Workers that have one of
    /// its jobs are told. Whatever is enqueued later makes the queue anew.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_queue(&self, queue: &str) -> Result<Operation, Error> {
        let task = Task::DeleteQueue { queue: queue.to_owned() };
        self.start(self.topology().shard_of(queue), task, Vec::new()).await
    }

    /// Does one thing to all jobs that match a filter, in the background, or counts them as a dry run. Jobs that are
    /// in a state in which that is not done are skipped, and so are those with plans that would move to another shard.
    ///
    /// # Errors
    /// See [`Error`]. When one shard refuses, others may have begun.
    pub async fn bulk(
        &self,
        action: BulkAction,
        filter: JobFilter,
        dry_run: bool,
    ) -> Result<Operation, Error> {
        let shards = if filter.queue.is_empty() {
            (0..self.topology().shards).map(ShardId).collect()
        } else {
            vec![self.topology().shard_of(&filter.queue)]
        };
        let task = Task::Bulk { action, filter, dry_run };
        let mut all = Operation::default();
        for shard in shards {
            all.parts.extend(self.start(shard, task.clone(), Vec::new()).await?.parts);
        }
        Ok(all)
    }

    /// Does one thing to these jobs, in the background, or counts those it would be done to. Those that moved to other shards
    /// are skipped: name them by the ids they have now.
    ///
    /// # Errors
    /// As [`Client::bulk`].
    pub async fn bulk_jobs(
        &self,
        action: BulkAction,
        jobs: &[JobId],
        dry_run: bool,
    ) -> Result<Operation, Error> {
        let mut shards: Vec<ShardId> = jobs.iter().map(|job| job.shard()).collect();
        shards.sort_unstable();
        shards.dedup();
        let task = Task::Bulk { action, filter: JobFilter::default(), dry_run };
        let mut all = Operation::default();
        for shard in shards {
            let here: Vec<JobId> = jobs.iter().copied().filter(|j| j.shard() == shard).collect();
            for some in here.chunks(OPERATION_JOBS_MAX) {
                all.parts.extend(self.start(shard, task.clone(), some.to_vec()).await?.parts);
            }
        }
        Ok(all)
    }

    async fn start(
        &self,
        shard: ShardId,
        task: Task,
        jobs: Vec<JobId>,
    ) -> Result<Operation, Error> {
        let operation = Some(Operate::Start { task, jobs });
        let answer = self.request(shard, &mut Request { operation, ..Request::default() }).await?;
        let operated = answer.operated.ok_or_else(short_answer)?;
        Ok(Operation { parts: vec![OperationRef { shard, id: operated.operation }] })
    }

    /// How far an operation is.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn progress(&self, operation: &Operation) -> Result<Progress, Error> {
        let mut shards: Vec<ShardId> = operation.parts.iter().map(|part| part.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        let mut progress = Progress { status: OperationStatus::Done, ..Progress::default() };
        for shard in shards {
            let views = self.operations_of(shard).await?;
            for part in operation.parts.iter().filter(|part| part.shard == shard) {
                match views.iter().find(|view| view.id == part.id) {
                    Some(view) => progress.add(view),
                    None => progress.forgotten += 1,
                }
            }
        }
        Ok(progress)
    }

    /// Waits until an operation is over, and says what it did.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn finished(&self, operation: &Operation) -> Result<Progress, Error> {
        let mut looks = 0;
        loop {
            let progress = self.progress(operation).await?;
            if progress.status != OperationStatus::Running {
                return Ok(progress);
            }
            sleep(Duration::from_millis(PAUSES_MS[looks.min(PAUSES_MS.len() - 1)])).await;
            looks += 1;
        }
    }

    /// Every operation that runs, and those that ended last, shard by shard.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn operations(&self) -> Result<Vec<(OperationRef, OperationView)>, Error> {
        let mut all = Vec::new();
        for shard in (0..self.topology().shards).map(ShardId) {
            let views = self.operations_of(shard).await?.into_iter();
            all.extend(views.map(|view| (OperationRef { shard, id: view.id }, view)));
        }
        Ok(all)
    }

    async fn operations_of(&self, shard: ShardId) -> Result<Vec<OperationView>, Error> {
        let mut request = Request { stats: Stats::Operations, ..Request::default() };
        Ok(self.request(shard, &mut request).await?.operations)
    }

    /// Ends a part of an operation where it is; what it did remains.
    ///
    /// # Errors
    /// [`Error::Refused`] with `NOT_FOUND` when there is none, with `ILLEGAL_STATE` when it is over.
    pub async fn cancel_operation(&self, operation: OperationRef) -> Result<(), Error> {
        let OperationRef { shard, id } = operation;
        let cancel = Some(Operate::Cancel { operation: id });
        let mut request = Request { operation: cancel, ..Request::default() };
        match self.request(shard, &mut request).await?.operated.map(|operated| operated.code) {
            Some(Code::Ok) => Ok(()),
            Some(code) => {
                Err(Error::Refused { code, message: format!("{operation} does not run") })
            }
            None => Err(short_answer()),
        }
    }
}
