//! Many new jobs: split over shards and requests.

use futures_util::future::join_all;
use jobbie_proto::request::{EnqueueAgent, EnqueueHold, EnqueuePlan, Plan, Ties};
use jobbie_proto::wire::Limits;
use jobbie_proto::{Code, Request, ShardId};

use crate::{Answer, Client, Enqueued, Error, NewJob, TiedJob};

/// Bytes of one request, so that a large call does not hold up everybody else's.
const REQUEST_BYTES_SOFT: usize = 1 << 20;
/// What a job takes in a frame beside its own bytes, at most.
const JOB_OVERHEAD_BYTES: usize = 112;
/// And its hold.
const HOLD_OVERHEAD_BYTES: usize = 24;
/// And its plan, and each kind of events of that.
const PLAN_OVERHEAD_BYTES: usize = 16;

/// And what is special about an agent job.
const AGENT_OVERHEAD_BYTES: usize = 48;

/// What became of each job, in order.
pub(crate) fn outcomes(answer: &Answer) -> Vec<Result<Enqueued, Error>> {
    let mut all = Vec::new();
    for run in &answer.enqueued {
        all.extend(run.ids().map(|id| match run.code {
            Code::Ok => Ok(Enqueued { id, duplicate: false }),
            Code::Duplicate => Ok(Enqueued { id, duplicate: true }),
            Code::Conflict => Err(Error::Conflict { job: id }),
            code => Err(Error::Job { job: id, code }),
        }));
    }
    all
}

/// A job to be enqueued, with or without ties.
pub(crate) trait Item<'a> {
    fn job(&self) -> NewJob<'a>;
    /// What ties it to others, if it may have any.
    fn tied(&self) -> Option<&TiedJob<'a>>;
}

impl<'a> Item<'a> for NewJob<'a> {
    fn job(&self) -> NewJob<'a> {
        *self
    }

    fn tied(&self) -> Option<&TiedJob<'a>> {
        None
    }
}

impl<'a> Item<'a> for TiedJob<'a> {
    fn job(&self) -> NewJob<'a> {
        self.job
    }

    fn tied(&self) -> Option<&TiedJob<'a>> {
        Some(self)
    }
}

fn all_bytes<'a>(item: &impl Item<'a>) -> usize {
    let tied = item.tied().map_or(0, |tied| {
        tied.tie_bytes() + tied.made_later().map(|step| bytes(*step)).sum::<usize>()
    });
    bytes(item.job()) + tied
}

fn bytes(job: NewJob<'_>) -> usize {
    let held = job.1.map_or(0, |hold| hold.reason.len() + hold.by.len() + HOLD_OVERHEAD_BYTES);
    let kinds = job.2.map_or(0, |plan| {
        PLAN_OVERHEAD_BYTES
            + plan.kinds.iter().map(|k| k.name.len() + PLAN_OVERHEAD_BYTES).sum::<usize>()
    });
    let agent = job.3.map_or(0, |agent| agent.checkpoint.len() + AGENT_OVERHEAD_BYTES);
    let job = &job.0;
    let keys = job.key.len() + job.unique.len() + job.limit_key.len();
    job.queue.len()
        + job.payload.len()
        + job.tags.len()
        + keys
        + held
        + kinds
        + agent
        + JOB_OVERHEAD_BYTES
}

/// The request that makes these jobs.
pub(crate) fn request<'a, 'i, I: Item<'a> + 'i>(
    items: impl IntoIterator<Item = &'i I>,
) -> Request<'a> {
    let (mut enqueues, mut holds, mut plans) = (Vec::new(), Vec::new(), Vec::new());
    let mut agents = Vec::new();
    let mut ties = Ties::default();
    for item in items {
        let enqueue = enqueues.len() as u32;
        if let Some(tied) = item.tied() {
            tied.add_to(&mut ties, enqueue);
        }
        let NewJob(job, hold, plan, agent) = item.job();
        agents.extend(agent.map(|agent| EnqueueAgent { enqueue, agent }));
        plans.extend(plan.map(|Plan { deadline_ms, kinds }| {
            let kinds = kinds.to_vec();
            EnqueuePlan { enqueue, deadline_ms, kinds }
        }));
        holds.extend(hold.map(|hold| EnqueueHold { enqueue, hold }));
        enqueues.push(job);
    }
    Request { enqueues, holds, plans, agents, ties, ..Request::default() }
}

/// Positions of `jobs` that go into one request, in order.
fn split<'a, I: Item<'a>>(jobs: &[I], positions: &[usize], limits: &Limits) -> Vec<Vec<usize>> {
    let bytes_max = REQUEST_BYTES_SOFT.min(limits.frame_bytes_max as usize);
    let count_max = limits.ops_per_request_max as usize;
    let (mut requests, mut room) = (Vec::<Vec<usize>>::new(), 0);
    for &at in positions {
        let need = all_bytes(&jobs[at]);
        match requests.last_mut() {
            Some(request) if room >= need && request.len() < count_max => {
                request.push(at);
                room -= need;
            }
            _ => {
                requests.push(vec![at]);
                room = bytes_max.saturating_sub(need);
            }
        }
    }
    requests
}

pub(crate) async fn enqueue<'a, I: Item<'a>>(
    client: &Client,
    jobs: &[I],
) -> Vec<Result<Enqueued, Error>> {
    let topology = client.topology();
    let mut by_shard = vec![Vec::new(); usize::from(topology.shards)];
    for (at, job) in jobs.iter().enumerate() {
        by_shard[usize::from(topology.shard_of(job.job().0.queue).0)].push(at);
    }
    let of_shard = async |(shard, positions): (usize, &Vec<usize>)| {
        let mut done = Vec::with_capacity(positions.len());
        // One after the other, so that jobs of a queue keep their order.
        for request in split(jobs, positions, &topology.limits) {
            let mut asked = self::request(request.iter().map(|at| &jobs[*at]));
            let results = match client.request(ShardId(shard as u16), &mut asked).await {
                Ok(answer) => outcomes(&answer),
                Err(error) => vec![Err(error); request.len()],
            };
            done.extend(request.into_iter().zip(results));
        }
        done
    };
    let shards = by_shard.iter().enumerate().filter(|(_, positions)| !positions.is_empty());
    let mut results: Vec<Option<Result<Enqueued, Error>>> = vec![None; jobs.len()];
    for (at, result) in join_all(shards.map(of_shard)).await.into_iter().flatten() {
        results[at] = Some(result);
    }
    let missing = || Error::Invalid("the server answered for fewer jobs than were sent".into());
    results.into_iter().map(|r| r.unwrap_or_else(|| Err(missing()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_keep_to_the_limits_and_the_order() {
        let payload = vec![0; 100_000];
        let jobs = vec![NewJob::new("q", &payload); 25];
        let positions: Vec<_> = (0..25).collect();
        let requests = split(&jobs, &positions, &Limits::default());
        assert!(requests.iter().all(|r| r.len() <= 10), "{requests:?}");
        assert_eq!(requests.concat(), positions);
        let few = Limits { ops_per_request_max: 4, ..Limits::default() };
        assert_eq!(split(&jobs, &positions[..9], &few).iter().map(Vec::len).max(), Some(4));
    }
}
