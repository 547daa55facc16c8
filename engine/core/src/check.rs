//! Everything that must hold of a state, checked from scratch.

use std::collections::{BTreeMap, BTreeSet};

use jobbie_proto::event::Parcel;
use jobbie_proto::limits::{ERROR_LINKS_MAX, PRIORITY_TIERS};
use jobbie_proto::reply::{JOB_STATES, JobState};

use crate::class::ClassId;
use crate::fifo::Item;
use crate::jobs::Special;
use crate::lanes::Lanes;
use crate::slab::NONE;
use crate::state::{BLOCKED, CLASS_TIMER, State, item_of};
use crate::ties::kin::{Kin, Passage};

impl State {
    /// Asserts every invariant, in time proportional to everything in memory. For tests and the simulator.
    ///
    /// # Panics
    /// When the state contradicts itself, saying how.
    pub fn check(&self) {
        assert!(self.stirred.is_empty(), "limits were changed and not settled");
        self.jobs.check();
        self.timers.check();
        self.keys.check();
        self.leases.check(|lease| self.tracked.get(lease.job).mark);
        let mut counts: BTreeMap<u32, [u64; JOB_STATES]> = BTreeMap::new();
        let mut live: BTreeMap<ClassId, u64> = BTreeMap::new();
        let mut untouched: BTreeMap<ClassId, Vec<u64>> = BTreeMap::new();
        let (mut structs, mut sides, mut timers) = (0, 0, BTreeSet::new());
        for job in self.jobs.iter() {
            let origin = self.jobs.origin(job);
            assert!(job < self.next_job && origin.event < self.next_event, "job {job} is ahead");
            *live.entry(origin.class).or_default() += 1;
            let class = self.class_of(job);
            if class != origin.class {
                *live.entry(class).or_default() += 1;
            }
            let queue = self.classes.get(class).queue;
            let state = self.job_state(job);
            counts.entry(queue).or_default()[state as usize] += 1;
            let special = self.jobs.handle(job).map(crate::jobs::Handle::special);
            if !matches!(special, Some(Special::Struct(_))) {
                untouched.entry(origin.class).or_default().push(job);
            }
            match special {
                None => {}
                Some(Special::Sleeper(at)) => {
                    assert_eq!(self.timers.at(at).key, job, "a sleeper has another's timer");
                    timers.insert(job);
                }
                Some(Special::Struct(number)) => {
                    structs += 1;
                    sides += usize::from(self.tracked.get(number).side != NONE);
                    if self.check_struct(job, number) {
                        timers.insert(job);
                    }
                }
            }
        }
        assert_eq!(structs, self.tracked.live(), "structs without a job");
        assert_eq!(sides, self.sides.live(), "side entries without a job");
        let keys: BTreeSet<_> =
            self.timers.iter().map(|t| t.key).filter(|key| key & CLASS_TIMER == 0).collect();
        assert_eq!(keys, timers, "timers and jobs that need one differ");
        assert_eq!(live.len(), self.classes.len(), "classes without jobs");
        for (id, live) in live {
            self.check_class(id, live, untouched.get(&id).map_or(&[], Vec::as_slice));
        }
        for at in 0..self.queues.len() as u32 {
            self.check_queue(at, counts.remove(&at).unwrap_or_default());
        }
        let limited = (0..self.queues.len() as u32).filter(|at| self.queues.get(*at).is_limited());
        assert_eq!(limited.count(), self.limited, "limited queues miscounted");
        self.check_sessions();
        self.check_operations();
        self.check_ended();
        self.check_held();
        self.check_plans();
        let goes_on = |job: &u64| !self.job_state(*job).has_ended();
        self.uniques.check(|job| self.jobs.unique(job).filter(|_| goes_on(&job)));
        assert_eq!(self.jobs.uniques(), self.uniques.len(), "a job has a unique key that is gone");
        let waits = |job: u64| self.jobs.contains(job);
        let active = |job: u64| self.job_state(job) == JobState::Active;
        assert!(self.charges.jobs().into_iter().all(active), "a charge without a lease");
        assert!(self.payloads.jobs().into_iter().all(waits), "a payload without a job");
        self.schedules.check(self.time, self.next_event, waits);
        self.workers.check(self.time);
        self.check_error_links();
        self.usage.check(self.time, waits);
        assert!(self.agents.jobs().into_iter().all(waits), "an agent job that is not there");
        self.check_ties();
        self.check_rules();
        self.check_kin();
        self.check_revived();
    }

    /// What left is on its way or where somebody says, and nobody else is.
    fn check_kin(&self) {
        let kindred = &self.ties.kin;
        let (mut stubs, mut due, mut sent, mut children) = (Vec::new(), 0, Vec::new(), 0);
        for job in kindred.jobs() {
            let kin = kindred.get(job).expect("listed");
            assert!(self.jobs.contains(job), "job {job} is gone and has kin");
            assert!(*kin != Kin::default(), "job {job} has nothing");
            let active = self.job_state(job) == JobState::Active;
            assert!(kin.leaving.is_none() || active, "job {job} waits for no worker and stays");
            if let Some(parent) = kin.parent {
                children += 1;
                assert!(kindred.children(parent, job - 1).next() == Some(job), "a child is lost");
            }
            let Some(away) = &kin.away else { continue };
            stubs.push(job);
            assert!(away.to != self.shard, "job {job} left for its own shard");
            assert!(kin.parent.is_none(), "job {job} is a child here and away");
            match away.passage {
                Passage::Due => {
                    due += 1;
                    assert!(kindred.unsent.contains(&job), "job {job} stays in between");
                }
                Passage::Sent(number) => sent.push((away.to, number, job)),
                Passage::Over => {}
            }
        }
        assert_eq!(kindred.children_count(), children, "a child without a job");
        assert_eq!(kindred.unsent.len(), due, "a job is due that has gone");
        let moved = |job: &u64| self.job_state(*job) == JobState::Moved;
        assert!(
            self.jobs.iter().filter(moved).eq(stubs),
            "a job is here and elsewhere, or nowhere"
        );
        let open = self.ties.post.all_open(None).filter_map(|(to, number, parcel)| match parcel {
            Parcel::Move { job } => Some((to, number, job.0)),
            _ => None,
        });
        sent.sort_unstable();
        assert!(open.eq(sent), "jobs on their way and messages differ");
    }

    /// Of all others, events come in the order of numbers.
    fn check_revived(&self) {
        self.revived.check();
        for job in self.revived.jobs() {
            let revival = self.revived.get(job).expect("listed");
            assert!(self.jobs.contains(job), "job {job} was revived and is gone");
            assert!(self.number_of(job).is_some(), "job {job} was revived and is untouched");
            let origin = self.jobs.origin(job);
            assert_eq!(origin.event, revival.event, "job {job} was revived by another event");
            let expires = self.expire_at(origin).is_some();
            assert_eq!(expires, revival.expires > 0, "job {job} expires otherwise");
        }
        let others = self.jobs.iter().filter(|job| self.revived.get(*job).is_none());
        let events = others.map(|job| self.jobs.origin(job).event);
        assert!(events.is_sorted_by(|a, b| a < b), "jobs were made out of order");
    }

    fn check_error_links(&self) {
        for job in self.error_links.jobs() {
            assert!(self.jobs.contains(job), "errors of a job that is gone");
            let links = self.error_links.get(job).expect("it was listed");
            assert!((1..=ERROR_LINKS_MAX).contains(&links.len()), "links of errors miscounted");
            let older = links.iter().all(|(event, previous)| previous < event);
            assert!(older && links.is_sorted_by(|a, b| a.0 <= b.1), "an error follows a later one");
            let number = self.number_of(job).expect("a job with errors has a struct");
            let newest = self.side(self.tracked.get(number)).error;
            assert!(links.iter().all(|(event, _)| *event <= newest.0), "an error is ahead");
        }
    }

    fn check_ties(&self) {
        let ties = &self.ties;
        let lives = |job: &u64| self.jobs.contains(*job);
        assert!(ties.members.jobs().iter().all(lives), "a member of a batch without a job");
        assert!(ties.chains.jobs().iter().all(lives), "a link without a job");
        let goes_on = |job: &u64| lives(job) && !self.job_state(*job).has_ended();
        assert!(ties.members.jobs().iter().all(goes_on), "a member counts after its end");
        let waits = |job: &u64| {
            let number = self.number_of(*job).expect("a job that waits for others has a struct");
            let tracked = self.tracked.get(number);
            tracked.state == JobState::Held || tracked.mark == BLOCKED
        };
        let blocked = ties.blocked.jobs();
        assert!(blocked.iter().all(waits), "a job waits for others and for something else");
        let blocked_jobs = self.jobs.iter().filter(|job| {
            let number = self.number_of(*job).map(|number| self.tracked.get(number));
            number.is_some_and(|t| t.state == JobState::Scheduled && t.mark == BLOCKED)
        });
        assert!(
            blocked_jobs.into_iter().all(|job| blocked.contains(&job)),
            "a job waits for nothing"
        );
        for job in blocked {
            let own = ties.blocked.get(job).expect("listed");
            assert!(own.missing > 0, "job {job} waits for nothing");
        }
        assert!(ties.gone.runs(0).all(|(first, end)| (first..end).all(|job| !lives(&job))));
        for (cause, due) in &ties.steps {
            let sent = ties.post.open(due.to, 0).any(|(_, parcel)| {
                parcel == Parcel::Step { cause: jobbie_proto::EventSeq(*cause) }
            });
            assert!(
                sent != ties.unsent_steps.contains(cause),
                "a step is due and sent, or neither"
            );
        }
    }

    /// Every planned job has a plan, and no job has one that never was planned.
    fn check_plans(&self) {
        let planned = |job: &u64| self.job_state(*job) == JobState::Planned;
        let with = self.plans.jobs();
        assert!(self.jobs.iter().filter(planned).all(|job| with.binary_search(&job).is_ok()));
        for job in with {
            let plan = self.plans.get(job).expect("it was listed");
            let number = self.number_of(job).expect("a job with a plan has a struct");
            let tracked = self.tracked.get(number);
            let state = tracked.state;
            assert!(planned(&job) || state.has_ended(), "job {job} is {state:?} and has a plan");
            assert!(
                !planned(&job) || tracked.mark == plan.due(),
                "job {job} waits for another time"
            );
            assert!(plan.record < self.next_event && plan.newest < self.next_event);
            assert!(plan.kinds.iter().all(|kind| kind.seen <= kind.count && kind.count > 0));
        }
    }

    fn check_operations(&self) {
        let running = self.operations.running();
        assert!(running.is_sorted_by(|a, b| a.id < b.id), "operations are out of order");
        for operation in running {
            assert!(operation.id < self.next_event, "an operation is ahead of its event");
            assert!(operation.below <= self.next_job, "an operation is ahead of its jobs");
        }
        let hidden = (0..self.queues.len() as u32).filter(|at| self.queues.get(*at).hidden);
        for at in hidden.clone() {
            let queue = self.queues.get(at);
            assert!(queue.is_unused(), "queue {} is used and hidden", queue.name);
        }
        assert!(self.queues.hidden().count() == hidden.count(), "hidden queues miscounted");
        let shown = self.queues.from("", "").count();
        assert_eq!(shown, self.queues.shown(), "queues miscounted");
    }

    fn check_held(&self) {
        let held = |job: &u64| self.job_state(*job) == JobState::Held;
        assert!(
            self.jobs.iter().filter(held).eq(self.held.iter().copied()),
            "held jobs are not all listed, or others are"
        );
    }

    fn check_ended(&self) {
        let front_is_gone = self.ended.front().is_some_and(|front| self.is_ended(front).is_none());
        assert!(!front_is_gone, "a job that has not ended is the first to be purged");
        let before = self.ended_before.iter().copied().map(item_of);
        let front_is_gone =
            before.clone().next().is_some_and(|front| self.is_ended(front).is_none());
        assert!(!front_is_gone, "a job that has not ended is the first of those that came ended");
        let all = self.ended.iter().chain(before);
        let mut listed: Vec<_> = all.filter_map(|item| self.is_ended(item)).collect();
        listed.sort_unstable();
        listed.dedup();
        let ended = |job: &u64| self.job_state(*job).has_ended();
        assert!(self.jobs.iter().filter(ended).eq(listed), "ended jobs are not all listed");
    }

    /// Whether the job needs a timer besides its lease.
    fn check_struct(&self, job: u64, number: u32) -> bool {
        let tracked = self.tracked.get(number);
        assert_eq!(tracked.job, job, "a struct of another job");
        let own = self.jobs.origin(job).class == tracked.class;
        assert_eq!(tracked.moved, !own, "job {job} does not know whether it was moved");
        let expires = self.expiry_of(job, self.jobs.origin(job));
        let needed = match tracked.state {
            JobState::Active => {
                assert!(tracked.mark > 0 && tracked.mark < self.next_event, "a token is ahead");
                let lease = self.leases.get(tracked.timer);
                assert_eq!(lease.job, number, "job {job} has another's lease");
                return false;
            }
            JobState::Scheduled if tracked.mark == BLOCKED => expires.is_some(),
            JobState::Scheduled | JobState::Retrying => true,
            JobState::Pending => expires.is_some(),
            JobState::Held | JobState::Planned => expires.is_some() || tracked.mark > 0,
            JobState::Completed => panic!("job {job} is completed and in memory"),
            JobState::Dead | JobState::Cancelled | JobState::Moved => false,
        };
        assert_eq!(tracked.timer != NONE, needed, "job {job}, {:?}: wrong timer", tracked.state);
        if needed {
            let timer = self.timers.at(tracked.timer);
            assert_eq!(timer.key, job, "job {job} has another's timer");
            let due = match tracked.state {
                JobState::Pending => expires.unwrap_or(0),
                JobState::Held | JobState::Planned if tracked.mark == 0 => expires.unwrap_or(0),
                _ => expires.map_or(tracked.mark, |at| at.min(tracked.mark)),
            };
            assert_eq!(timer.due, due, "job {job}, {:?}: timer at a wrong time", tracked.state);
        }
        needed
    }

    /// `untouched` are the jobs that were made with this class and have no struct.
    fn check_class(&self, id: ClassId, live: u64, untouched: &[u64]) {
        let entry = self.classes.get(id);
        assert_eq!(entry.live, live, "a class miscounts its jobs");
        assert_eq!(entry.class.queue, *self.queues.get(entry.queue).name, "class of another queue");
        let found = self.classes.find(&entry.class, &entry.limit_key, entry.hash);
        assert_eq!(found, Some(id), "a class is not found");
        if let Some(lanes) = &self.queues.get(entry.queue).lanes
            && lanes.is_of(entry.lane, &entry.limit_key)
        {
            assert_eq!(
                lanes.find(&entry.limit_key),
                Some(entry.lane),
                "a class has another's lane"
            );
        }
        let mut watched = Vec::new();
        for item in entry.expiring.iter() {
            let Item::Run { first, count } = item else { panic!("a single is watched") };
            let mut from = first;
            while let Some(job) = self.next_expiring(from, first + count) {
                assert!(watched.is_empty() || from > first || job >= first);
                watched.push(job);
                from = job + 1;
            }
        }
        assert!(watched.is_sorted_by(|a, b| a < b), "expiry is not in order of creation");
        if entry.class.expire_after_ms == 0 {
            assert!(watched.is_empty() && entry.timer == NONE, "expiry of a class without one");
            return;
        }
        assert_eq!(watched, untouched, "expiry watches the wrong jobs");
        match entry.expiring.front() {
            None => assert_eq!(entry.timer, NONE, "a class waits for nothing"),
            Some(front) => {
                let Item::Run { first, .. } = front else { unreachable!("checked above") };
                assert_eq!(watched.first(), Some(&first), "the first watched is not in front");
                let timer = self.timers.at(entry.timer);
                assert_eq!(timer.key, CLASS_TIMER | u64::from(id.0), "a class has another's timer");
                let due = self.expire_at(self.jobs.origin(first));
                assert_eq!(Some(timer.due), due, "a class waits for a wrong time");
            }
        }
    }

    fn check_queue(&self, at: u32, counts: [u64; JOB_STATES]) {
        let queue = self.queues.get(at);
        let name = &queue.name;
        assert_eq!(self.queues.find(name), Some(at), "queue {name} is not found");
        let mut kept = queue.jobs;
        kept[JobState::Completed as usize] = 0;
        assert_eq!(kept, counts, "queue {name} miscounts its jobs");
        let mut waiting = BTreeSet::new();
        for (tier, fifo) in queue.tiers.iter().enumerate() {
            for (nth, item) in fifo.iter().enumerate() {
                let mut from = 0;
                while let Some(offset) = self.next_waiting(item, from) {
                    assert!(nth > 0 || from > 0 || offset == 0, "queue {name}: front is gone");
                    let job = match item {
                        Item::Run { first, .. } => first + offset,
                        Item::Single { job, .. } => job,
                    };
                    assert!(waiting.insert(job), "job {job} waits twice");
                    self.check_place(job, at, tier);
                    from = offset + 1;
                }
                assert!(nth > 0 || from > 0, "queue {name}: nobody waits at the front");
            }
        }
        if let Some(lanes) = &queue.lanes {
            self.check_lanes(at, lanes, &mut waiting);
        }
        let rate = queue.rate();
        assert!(rate.is_some() || queue.window.is_empty(), "queue {name} counts for nothing");
        let noted = (queue.opening > 0).then_some((queue.opening, at));
        let stands = self.openings.iter().find(|opening| opening.1 == at).copied();
        assert_eq!(stands, noted, "queue {name} stands at another time of opening");
        assert_eq!(queue.opening, queue.opens_at(), "queue {name} opens at another time");
        assert_eq!(waiting.len() as u64, queue.pending(), "queue {name}: lost a waiting job");
        let expires = |job: &u64| {
            let entry = self.classes.get(self.class_of(*job));
            entry.queue == at && entry.class.expire_after_ms > 0
        };
        assert_eq!(queue.expiring, self.jobs.iter().filter(expires).count() as u64);
    }

    fn check_place(&self, job: u64, queue: u32, tier: usize) {
        let class = self.classes.get(self.class_of(job));
        assert_eq!(class.queue, queue, "job {job} waits in another queue");
        assert_eq!(usize::from(class.class.priority), tier, "job {job}: wrong tier");
    }

    /// Every job stands in the lane of its key, and as many are active as leases say.
    fn check_lanes(&self, at: u32, lanes: &Lanes, waiting: &mut BTreeSet<u64>) {
        let mut active: BTreeMap<&str, u32> = BTreeMap::new();
        for job in self.jobs.iter().filter(|job| self.job_state(*job) == JobState::Active) {
            let entry = self.classes.get(self.class_of(job));
            if entry.queue == at {
                *active.entry(&entry.limit_key).or_default() += 1;
            }
        }
        let mut last = None;
        while let Some((lane, saved)) = lanes.lane_after(last) {
            last = Some(lane);
            for tier in 0..PRIORITY_TIERS {
                for one in lanes.waiting(lane, tier).filter(|one| self.waits_at(*one)) {
                    assert!(waiting.insert(one.job), "job {} waits twice", one.job);
                    self.check_place(one.job, at, tier.into());
                    let key = &self.classes.get(self.class_of(one.job)).limit_key;
                    assert_eq!(**key, *saved.key.name, "job {} waits in another's lane", one.job);
                }
            }
        }
        let sum: u32 = active.values().sum();
        assert_eq!(u64::from(sum), self.queues.get(at).jobs[JobState::Active as usize]);
        let active = |key: &str| active.get(key).copied().unwrap_or(0);
        lanes.check(|one| self.waits_at(one), active);
    }

    fn check_sessions(&self) {
        let mut leases = 0;
        for at in self.sessions.sorted() {
            let session = self.sessions.get(at);
            assert_eq!(self.sessions.find(session.id), Some(at), "a session is not found");
            assert_eq!(self.sessions.find_client(session.client), Some(at), "client not found");
            let numbers = session.replies.iter().map(|r| r.0);
            assert!(numbers.is_sorted_by(|a, b| a < b), "replies are out of order");
            let (mut number, mut previous, mut token) = (session.first, NONE, 0);
            while number != NONE {
                let lease = self.leases.get(number);
                let tracked = self.tracked.get(lease.job);
                assert_eq!(tracked.lease(), Some(number), "a lease of a job that is not active");
                assert_eq!((lease.session, lease.previous_held), (at, previous), "lease list");
                assert!(tracked.mark > token, "leases are not in the order of their tokens");
                (previous, token, number) = (number, tracked.mark, lease.next_held);
                leases += 1;
            }
            assert_eq!(session.last, previous, "the last lease is not the last");
        }
        let counted: u32 =
            self.sessions.sorted().iter().map(|&s| self.sessions.get(s).leases).sum();
        let all = self.leases.len();
        assert_eq!((leases, counted as usize), (all, all), "leases miscounted");
    }
}
