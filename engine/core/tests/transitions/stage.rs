//! A job that has been through much, in any state: whatever a transition does to a field shows.

use jobbie_proto::event::HoldEnd;
use jobbie_proto::reply::{JobState, JobView};
use jobbie_proto::request::{
    Ack, Enqueue, Fail, Heartbeat, Hold, JobAction, JobControl, JobRef, When,
};
use jobbie_proto::{Code, EventSeq, JobId, LeaseToken, Reply, Request};

use crate::shard::{Shard, enqueue, fetch};

/// How long a job of these tests may live, and how long its leases are.
pub(crate) const EXPIRE_MS: u64 = 90_000;
pub(crate) const LEASE_MS: u64 = 1_000;

/// A shard with one job of queue `q`, and the newest lease of it.
pub(crate) struct Case {
    pub(crate) shard: Shard,
    pub(crate) job: JobRef,
}

impl Case {
    pub(crate) fn view(&self) -> Result<JobView, Code> {
        self.shard.state.job(self.job.job)
    }

    /// The event that came last.
    pub(crate) fn newest(&self) -> EventSeq {
        EventSeq(self.shard.state.next_event().0 - 1)
    }

    pub(crate) fn pass_ms(&mut self, ms: u64) {
        self.shard.now = self.shard.now.plus_ms(ms);
        self.shard.timers();
    }

    /// To the microsecond at which it expires, and no timer before that is run: nothing but the expiry is seen.
    pub(crate) fn pass_until_expiry(&mut self) {
        let at = self.view().expect("it is staged").expire_at;
        self.shard.now = at;
        self.shard.timers();
    }

    fn run(&mut self, fill: impl FnOnce(&mut Request<'static>)) -> Reply {
        let mut request = self.shard.request();
        fill(&mut request);
        self.shard.run(&request)
    }

    fn control(&mut self, action: JobAction<'static>) -> Code {
        let control = JobControl { job: self.job.job, action };
        self.run(|request| request.job_controls = vec![control]).job_controls[0]
    }

    pub(crate) fn fetch(&mut self) -> Vec<JobRef> {
        let leases = self.shard.fetch("q", 1);
        self.job = leases.first().copied().unwrap_or(self.job);
        leases
    }

    pub(crate) fn ack(&mut self) -> Code {
        let job = self.job;
        self.run(|request| request.acks = vec![Ack { job, result: b"done" }]).acks[0]
    }

    pub(crate) fn fail(&mut self, no_retry: bool) -> Code {
        let fail = Fail { job: self.job, error: b"broken", backtrace: b"here", no_retry };
        self.run(|request| request.fails = vec![fail]).fails[0].code
    }

    pub(crate) fn extend_ms(&mut self, extend_ms: u32) -> Code {
        let beat = Heartbeat { job: self.job, extend_ms, progress: b"", checkpoint: b"" };
        self.run(|request| request.heartbeats = vec![beat]).heartbeats[0]
    }

    pub(crate) fn heartbeat(&mut self, progress: &'static [u8], checkpoint: &'static [u8]) -> Code {
        let beat = Heartbeat { job: self.job, extend_ms: 0, progress, checkpoint };
        self.run(|request| request.heartbeats = vec![beat]).heartbeats[0]
    }

    pub(crate) fn release(&mut self) -> Code {
        let job = self.job;
        self.run(|request| request.releases = vec![job]).releases[0]
    }

    pub(crate) fn cancel(&mut self) -> Code {
        let job = self.job.job;
        self.run(|request| request.cancels = vec![job]).cancels[0]
    }

    pub(crate) fn delete(&mut self) -> Code {
        let job = self.job.job;
        self.run(|request| request.deletes = vec![job]).deletes[0]
    }

    pub(crate) fn hold(&mut self) -> Code {
        let (reason, by, then) = (b"why" as &[u8], "ann", HoldEnd::Stay);
        self.control(JobAction::Hold(Hold { reason, by, timeout_ms: 0, then }))
    }

    pub(crate) fn approve(&mut self) -> Code {
        self.control(JobAction::Approve { note: b"fine", by: "ann" })
    }

    pub(crate) fn reject(&mut self) -> Code {
        self.control(JobAction::Reject { reason: b"no", by: "ann" })
    }

    pub(crate) fn retry(&mut self) -> Code {
        self.control(JobAction::Retry)
    }

    pub(crate) fn requeue(&mut self) -> Code {
        self.control(JobAction::Requeue)
    }

    pub(crate) fn move_to(&mut self, queue: &'static str) -> Code {
        self.control(JobAction::Move { queue })
    }

    pub(crate) fn prioritize(&mut self, priority: u8) -> Code {
        self.control(JobAction::Prioritize { priority })
    }
}

/// All options but a time, and 3 attempts with a second between them.
fn job() -> Enqueue<'static> {
    Enqueue {
        tags: b"t",
        key: b"k",
        key_ms: 600_000,
        unique: b"u",
        unique_ms: 600_000,
        limit_key: "ann",
        max_retries: 3,
        expire_after_ms: EXPIRE_MS,
        ..enqueue("q")
    }
}

fn only(shard: &mut Shard, job: Enqueue<'static>) -> Case {
    let id: JobId = shard.enqueue(vec![job])[0];
    let shard = std::mem::replace(shard, Shard::new());
    Case { shard, job: JobRef { job: id, token: LeaseToken(0) } }
}

/// A job in `state`: one that has lost a lease and failed once, with progress, checkpoint, another payload and a hold
/// behind it; a scheduled one has another payload only.
pub(crate) fn stage(state: JobState) -> Case {
    use JobState::{
        Active, Cancelled, Completed, Dead, Held, Moved, Pending, Planned, Retrying, Scheduled,
    };
    let mut shard = Shard::new();
    if state == Scheduled {
        let mut case = only(&mut shard, Enqueue { when: When::DelayMs(5_000), ..job() });
        assert_eq!(case.control(JobAction::Replace { payload: b"new" }), Code::Ok);
        return case;
    }
    let mut case = only(&mut shard, job());
    assert_eq!(case.fetch().len(), 1);
    assert_eq!(case.heartbeat(b"half", b"resume here"), Code::Ok);
    assert_eq!(case.fail(false), Code::Ok);
    case.pass_ms(1_000);
    assert_eq!(case.control(JobAction::Replace { payload: b"new" }), Code::Ok);
    assert_eq!(case.hold(), Code::Ok);
    assert_eq!(case.approve(), Code::Ok);
    match state {
        Pending => {}
        Active => assert_eq!(case.fetch().len(), 1),
        Retrying | Dead => {
            assert_eq!(case.fetch().len(), 1);
            assert_eq!(case.fail(state == Dead), Code::Ok);
        }
        Held => assert_eq!(case.hold(), Code::Ok),
        Cancelled => assert_eq!(case.cancel(), Code::Ok),
        Scheduled | Completed | Planned | Moved => unreachable!("not staged here"),
    }
    let view = case.view().expect("it is in memory");
    assert_eq!(view.state, state);
    let set = [view.payload, view.hold, view.last_error, view.checkpoint, view.progress];
    assert!(set.iter().all(|event| event.0 > 0) && view.attempt > 0, "{view:?}");
    case
}

/// A fetch from one queue, for the timing table.
pub(crate) fn claims(shard: &mut Shard, queue: &'static str) -> usize {
    let request = Request { fetch: Some(fetch(queue, 1)), ..shard.request() };
    shard.run(&request).leases.len()
}
