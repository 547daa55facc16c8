//! Jobs that moved to other shards, parents and children.

use std::time::Duration;

use jobbie_proto::limits::{CHILDREN_COUNT_MAX, MOVE_HOPS_MAX};
use jobbie_proto::reply::Child;
use jobbie_proto::request::Children;
use jobbie_proto::{Code, JobId, JobSeq, Request, ShardId};
use tokio::time::{Instant, sleep};

use crate::client::{deadline, short_answer};
use crate::{Answer, Client, Error, JobInfo};

/// How long to wait before it is asked again where a job on its way has come to: at first, and at most.
const WAY_PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(500)];

/// A job that is on another shard, or on its way there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedJob {
    /// The id by which it was looked up.
    pub job: JobId,
    /// The queue that it went to.
    pub queue: String,
    /// The id it has there; `None` while it is on its way.
    pub now: Option<JobId>,
}

/// One of the ids that a job had, followed to the newest.
struct Way {
    job: JobId,
    hops: usize,
    until: Instant,
    pause: Duration,
}

impl Way {
    fn new(client: &Client, job: JobId) -> Self {
        let until = deadline(client.config().deadline_ms);
        Self { job, hops: 0, until, pause: WAY_PAUSES[0] }
    }

    /// Goes on to where the job is, or waits while it is on its way.
    async fn go_on(&mut self, now: Option<JobId>) -> Result<(), Error> {
        let lost = Err(Error::Job { job: self.job, code: Code::Moved });
        let Some(now) = now else {
            if Instant::now() + self.pause >= self.until {
                return lost;
            }
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(WAY_PAUSES[1]);
            return Ok(());
        };
        self.hops += 1;
        if self.hops > MOVE_HOPS_MAX {
            return lost;
        }
        self.job = now;
        Ok(())
    }
}

impl Client {
    async fn look_up(&self, job: JobId) -> Result<(Option<JobInfo>, Option<MovedJob>), Error> {
        let mut request = Request { lookups: vec![job], ..Request::default() };
        let answer = self.request(job.shard(), &mut request).await?;
        let found = answer.lookups.into_iter().next().map(|(_, info)| info);
        Ok((found.ok_or_else(short_answer)?, answer.moved.into_iter().next()))
    }

    /// What the server knows of a job; `None` when it is completed, deleted or never was. One that moved to another shard is
    /// followed there: [`JobInfo::id`] is the id it has now.
    ///
    /// # Errors
    /// [`Error::Job`] with `MOVED` when it is on its way for longer than the deadline; otherwise see [`Error`].
    pub async fn job(&self, job: JobId) -> Result<Option<JobInfo>, Error> {
        let mut way = Way::new(self, job);
        loop {
            match self.look_up(way.job).await? {
                (info, None) => return Ok(info),
                (_, Some(moved)) => way.go_on(moved.now).await?,
            }
        }
    }

    /// Makes a request about a job, where that is.
    pub(crate) async fn follow<'r>(
        &self,
        job: JobId,
        request: impl Fn(JobId) -> Request<'r>,
        code: impl Fn(&Answer) -> Option<Code>,
    ) -> Result<Answer, Error> {
        let mut way = Way::new(self, job);
        loop {
            match self.job_request(way.job, &mut request(way.job), &code).await {
                Err(Error::Job { code: Code::Moved, .. }) => {}
                done => return done,
            }
            match self.look_up(way.job).await? {
                (_, Some(moved)) => way.go_on(moved.now).await?,
                // It has ended meanwhile, or come back.
                (None, None) => return Err(Error::Job { job: way.job, code: Code::NotFound }),
                (Some(_), None) => way.go_on(None).await?,
            }
        }
    }

    /// Jobs in the server's memory that were enqueued with `job` as their parent ([`crate::TiedJob::parent`]), of all shards:
    /// those of each shard in the order in which they came there. A parent that moved is meant by the id that they name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn children(&self, job: JobId) -> Result<Vec<Child>, Error> {
        let mut all = Vec::new();
        for shard in 0..self.topology().shards {
            let mut after = JobSeq(0);
            loop {
                let children = Some(Children { parent: job, after, count: CHILDREN_COUNT_MAX });
                let mut request = Request { children, ..Request::default() };
                let mut page = self.request(ShardId(shard), &mut request).await?.children;
                let is_last = page.len() < CHILDREN_COUNT_MAX as usize;
                after = page.last().map_or(after, |child| child.job.seq());
                all.append(&mut page);
                if is_last {
                    break;
                }
            }
        }
        Ok(all)
    }
}
