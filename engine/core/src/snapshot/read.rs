//! Chunks to a state.

use std::rc::Rc;

use jobbie_proto::event::HoldEnd;
use jobbie_proto::limits::{ERROR_LINKS_MAX, LIMIT_KEY_BYTES_MAX, PRIORITY_TIERS, WEIGHT_MAX};
use jobbie_proto::reply::JobState;
use jobbie_proto::{Micros, ShardId};
use rkyv::rancor::Error as RkyvError;

use super::read_lanes::{RestoringLanes, rises};
use super::ties::RestoringTies;
use super::{
    ChargeRow, ClaimRow, ClassRow, ErrorLinkRow, Header, JobsPart, KeyRow, LaneWaitingRow,
    OWN_CLASS, Part, PayloadRow, PlanRow, QueueRow, RUN_MAX, ReplyRow, RestoreError, RevivedRow,
    SessionRow, SleeperRow, TRAILER_BYTES, TrackedRow, UniqueRow, VERSION, WaitingRow, WeightRow,
    read_operations, rules, schedules, usage, v1, workers,
};
use crate::class::ClassId;
use crate::digest::Digest;
use crate::fifo::Item;
use crate::jobs::Origin;
use crate::keys::Key;
use crate::lanes::Waiting;
use crate::revived::Revival;
use crate::session::Session;
use crate::state::{BLOCKED, Charge, State};
use crate::tracked::Side;
use crate::unique::Unique;

pub(super) type Checked<T = ()> = Result<T, &'static str>;

pub(super) fn require(holds: bool, message: &'static str) -> Checked {
    holds.then_some(()).ok_or(message)
}

impl State {
    /// The state that a snapshot was taken of, from its chunks in order.
    ///
    /// # Errors
    /// When the chunks are not those of one whole snapshot of a known version, whatever they are
    /// instead. The caller has verified checksums; this protects from defects, not from malice.
    pub fn restore<C: AsRef<[u8]>>(
        chunks: impl IntoIterator<Item = C>,
    ) -> Result<State, RestoreError> {
        let mut restoring: Option<Restoring> = None;
        let mut chunks_seen = 0;
        for (chunk, bytes) in chunks.into_iter().enumerate() {
            chunks_seen = chunk + 1;
            let part = decode(chunk, bytes.as_ref())?;
            let contradiction = |message| RestoreError::Contradiction { chunk, message };
            let Some(restoring) = &mut restoring else {
                let Part::Header(header) = part else {
                    return Err(contradiction("the first chunk is not a header"));
                };
                restoring = Some(Restoring::new(header).map_err(contradiction)?);
                continue;
            };
            restoring.add(part).map_err(contradiction)?;
        }
        match restoring {
            Some(restoring) if restoring.ended => Ok(restoring.state),
            _ => Err(RestoreError::Incomplete(chunks_seen)),
        }
    }
}

fn decode(chunk: usize, bytes: &[u8]) -> Result<Part, RestoreError> {
    let malformed = |message: String| RestoreError::Malformed { chunk, message };
    let Some((archive, trailer)) = bytes.split_last_chunk::<TRAILER_BYTES>() else {
        return Err(malformed(format!("{} bytes", bytes.len())));
    };
    let part = match u16::from_le_bytes(*trailer) {
        1 => rkyv::from_bytes::<v1::Part, RkyvError>(archive).map(Part::from),
        VERSION => rkyv::from_bytes::<Part, RkyvError>(archive),
        version => return Err(RestoreError::Version(version)),
    };
    part.map_err(|e| malformed(e.to_string()))
}

/// An active job.
struct HeldLease {
    deadline: u64,
    token: u64,
    lease_ms: u32,
    /// Its struct.
    number: u32,
    session: u32,
}

struct Restoring {
    state: State,
    /// Set last: the moves by which the state is rebuilt mix into it.
    digest: Digest,
    /// By rank.
    queues: Vec<u32>,
    totals: Vec<u64>,
    /// Queues that exist no longer.
    hidden: Vec<u32>,
    classes: Vec<ClassId>,
    leases: Vec<HeldLease>,
    lanes: RestoringLanes,
    ties: RestoringTies,
    /// The order of parts seen so far.
    rank: u8,
    /// Jobs are above this.
    last_job: u64,
    /// Structs of pending jobs that no queue holds yet.
    pending: u64,
    /// Untouched jobs that no queue holds yet.
    fresh: u64,
    /// Planned jobs that have no plan yet.
    planned: u64,
    ended: bool,
}

impl Restoring {
    fn new(header: Header) -> Checked<Self> {
        require(header.shard < header.shards, "shard out of range")?;
        require(header.next_event > 0 && header.next_event < 1 << 47, "events out of range")?;
        require(Micros(header.time).ms() < 1 << 44, "time out of range")?;
        require(header.next_job > 0 && header.next_job < 1 << 50, "jobs out of range")?;
        let mut state = State::new(ShardId(header.shard), header.shards);
        state.time = header.time;
        state.next_event = header.next_event;
        state.next_job = header.next_job;
        Ok(Self {
            state,
            digest: Digest(header.digest),
            queues: Vec::new(),
            totals: Vec::new(),
            hidden: Vec::new(),
            classes: Vec::new(),
            leases: Vec::new(),
            lanes: RestoringLanes::default(),
            ties: RestoringTies::default(),
            rank: 0,
            last_job: 0,
            pending: 0,
            fresh: 0,
            planned: 0,
            ended: false,
        })
    }

    fn add(&mut self, part: Part) -> Checked {
        let rank = match &part {
            Part::Header(_) => return Err("a second header"),
            Part::Queues(_) => 1,
            Part::Classes(_) => 2,
            Part::Sessions(_) => 3,
            Part::Replies(_) => 4,
            Part::Jobs(_) => 5,
            Part::Lanes(_) => 6,
            Part::Claims(_) => 7,
            Part::Waiting(_) => 8,
            Part::LaneWaiting(_) => 9,
            Part::Keys(_) => 10,
            Part::Ties(_) => 11,
            Part::Schedules(_) => 12,
            Part::Operations(_) => 13,
            Part::Workers(_) => 14,
            Part::Usage(_) => 15,
            Part::Rules(_) => 16,
            Part::End => 17,
        };
        require(rank >= self.rank && !self.ended, "parts out of order")?;
        self.rank = rank;
        match part {
            Part::Header(_) => unreachable!("refused above"),
            Part::Queues(rows) => rows.into_iter().try_for_each(|row| self.queue(&row)),
            Part::Classes(rows) => rows.into_iter().try_for_each(|row| self.class(&row)),
            Part::Sessions(rows) => rows.into_iter().try_for_each(|row| self.session(&row)),
            Part::Replies(rows) => rows.into_iter().try_for_each(|row| self.reply(row)),
            Part::Jobs(part) => self.jobs(&part),
            Part::Lanes(rows) => rows.iter().try_for_each(|row| self.lanes.lane(&self.state, row)),
            Part::Claims(rows) => rows.into_iter().try_for_each(|row| self.claim(row)),
            Part::Waiting(rows) => rows.into_iter().try_for_each(|row| self.waiting(row)),
            Part::LaneWaiting(rows) => rows.into_iter().try_for_each(|row| self.lane_waiting(row)),
            Part::Keys(rows) => rows.into_iter().try_for_each(|row| self.key(row)),
            Part::Ties(rows) => {
                rows.into_iter().try_for_each(|row| self.ties.add(&mut self.state, row))
            }
            Part::Schedules(rows) => {
                rows.into_iter().try_for_each(|row| schedules::restore(&mut self.state, row))
            }
            Part::Operations(rows) => {
                rows.into_iter().try_for_each(|row| read_operations::add(&mut self.state, row))
            }
            Part::Workers(rows) => {
                rows.into_iter().try_for_each(|row| workers::restore(&mut self.state, row))
            }
            Part::Usage(rows) => {
                rows.into_iter().try_for_each(|row| usage::restore(&mut self.state, row))
            }
            Part::Rules(rows) => {
                rows.into_iter().try_for_each(|row| rules::restore(&mut self.state, row))
            }
            Part::End => self.end(),
        }
    }

    fn queue(&mut self, row: &QueueRow) -> Checked {
        require(self.state.queues.find(&row.name).is_none(), "a queue comes twice")?;
        let at = self.state.queues.find_or_insert(&row.name);
        let queue = self.state.queues.get_mut(at);
        (queue.paused, queue.draining) = (row.paused, row.draining);
        queue.deleted_below = row.deleted_below;
        queue.settings = row.settings;
        for WeightRow { key, weight } in &row.weights {
            let sound = !key.is_empty() && key.len() <= LIMIT_KEY_BYTES_MAX;
            require(sound && (2..=WEIGHT_MAX).contains(weight), "a weight out of range")?;
            let known = queue.weights.insert(key.as_str().into(), *weight);
            require(known.is_none(), "a key has two weights")?;
        }
        self.lanes.queue(at, row.lanes, queue.lane_limits())?;
        queue.jobs[JobState::Completed as usize] = row.completed;
        let numbered = row.deleted_below <= self.state.next_job;
        require(numbered, "a queue was deleted ahead of its jobs")?;
        if row.hidden {
            self.hidden.push(at);
        }
        self.queues.push(at);
        self.totals.push(row.enqueued_total);
        Ok(())
    }

    fn class(&mut self, ClassRow { class, limit_key }: &ClassRow) -> Checked {
        require(limit_key.len() <= LIMIT_KEY_BYTES_MAX, "a limit key is too long")?;
        require(class.priority < PRIORITY_TIERS, "priority out of range")?;
        require(self.state.queues.find(&class.queue).is_some(), "a class of an unknown queue")?;
        let before = self.state.classes.len();
        self.classes.push(self.state.intern(class, limit_key));
        require(self.state.classes.len() > before, "a class comes twice")
    }

    fn session(&mut self, row: &SessionRow) -> Checked {
        let known = self.state.sessions.find(row.id).is_some()
            || self.state.sessions.find_client(row.client).is_some();
        require(!known, "a session comes twice")?;
        require(row.id < self.state.next_event, "a session is ahead")?;
        let mut session = Session::new(row.id, row.client);
        session.confirmed_below = row.confirmed_below;
        self.state.sessions.insert(session);
        Ok(())
    }

    fn reply(&mut self, row: ReplyRow) -> Checked {
        let at = self.state.sessions.find(row.session).ok_or("a reply of an unknown session")?;
        let session = self.state.sessions.get_mut(at);
        let rises = session.replies.back().is_none_or(|last| last.0 < row.number);
        require(rises && row.number >= session.confirmed_below, "replies out of order")?;
        session.replies.push_back((row.number, Rc::new(row.reply)));
        Ok(())
    }

    fn jobs(&mut self, part: &JobsPart) -> Checked {
        for run in &part.runs {
            let end = run.first.checked_add(run.count).ok_or("a run is too long")?;
            let counted = (1..=RUN_MAX).contains(&run.count);
            let fits = run.first > self.last_job && counted && end <= self.state.next_job;
            require(fits, "jobs out of order")?;
            let last_event = run.event.checked_add(run.count).ok_or("a run is too long")?;
            require(last_event <= self.state.next_event, "a job is ahead of its event")?;
            require(run.created_ms <= Micros(self.state.time).ms(), "a job is ahead of its time")?;
            let class = *self.classes.get(run.class as usize).ok_or("an unknown class")?;
            let origin = Origin { event: run.event, created_ms: run.created_ms, class };
            self.state.create(run.first, run.count, origin);
            self.last_job = end - 1;
            self.fresh += run.count;
        }
        part.revived.iter().try_for_each(|row| self.revived(*row))?;
        part.sleepers.iter().try_for_each(|row| self.sleeper(*row))?;
        part.tracked.iter().try_for_each(|row| self.tracked(row))?;
        part.uniques.iter().try_for_each(|row| self.unique(*row))?;
        part.payloads.iter().try_for_each(|row| self.payload(*row))?;
        part.charges.iter().try_for_each(|row| self.charge(*row))?;
        self.ties.of_jobs(&mut self.state, part)?;
        part.plans.iter().try_for_each(|row| self.plan(row))?;
        let definitions = part.definitions.iter();
        let made = |row| schedules::restore_definition(&mut self.state, row);
        definitions.copied().try_for_each(made)?;
        let agents = part.agents.iter().copied();
        agents.into_iter().try_for_each(|row| row.restore(&mut self.state))?;
        let costs = part.costs.iter().copied();
        costs.into_iter().try_for_each(|row| usage::restore_cost(&mut self.state, row))?;
        part.error_links.iter().try_for_each(|row| self.error_link(*row))
    }

    fn revived(&mut self, row: RevivedRow) -> Checked {
        let RevivedRow { job, expires } = row;
        require(self.state.jobs.contains(job), "an unknown job was revived")?;
        require(self.state.revived.get(job).is_none(), "a job was revived twice")?;
        let origin = self.state.jobs.origin(job);
        let has_expiry = self.state.expire_at(origin).is_some();
        require(has_expiry == (expires > 0), "a revived job expires otherwise than its class")?;
        self.state.revived.insert(job, Revival { event: origin.event, expires });
        Ok(())
    }

    fn error_link(&mut self, row: ErrorLinkRow) -> Checked {
        let ErrorLinkRow { job, event, previous } = row;
        let known = self.state.jobs.contains(job).then(|| self.state.number_of(job)).flatten();
        let number = known.ok_or("errors of an unknown job")?;
        let newest = self.state.side(self.state.tracked.get(number)).error;
        require(0 < previous.0 && previous < event && event <= newest, "errors out of order")?;
        let links = self.state.error_links.get(job).cloned().unwrap_or_default();
        let rises = links.last().is_none_or(|(last, _)| *last <= previous.0);
        require(rises && links.len() < ERROR_LINKS_MAX, "errors out of order, or too many")?;
        let links = links.iter().copied().chain([(event.0, previous.0)]).collect();
        self.state.error_links.insert(job, links);
        Ok(())
    }

    fn plan(&mut self, row: &PlanRow) -> Checked {
        let waits = row.restore(&mut self.state)?;
        self.planned = self.planned.checked_sub(u64::from(waits)).ok_or("a job has two plans")?;
        Ok(())
    }

    fn charge(&mut self, row: ChargeRow) -> Checked {
        let known = self.state.jobs.contains(row.job);
        require(
            known && self.state.job_state(row.job) == JobState::Active,
            "an idle job's charge",
        )?;
        require(row.since <= self.state.time && row.charged > 0, "a charge out of range")?;
        require(self.state.charges.get(row.job).is_none(), "a job has two charges")?;
        let charge = Charge { charged: row.charged, since: row.since };
        self.state.charges.insert(row.job, charge);
        Ok(())
    }

    fn claim(&mut self, row: ClaimRow) -> Checked {
        require(row.time <= self.state.time && row.count > 0, "a claim out of range")?;
        match (row.window as usize).checked_sub(self.queues.len()) {
            Some(lane) => self.lanes.claim(lane, row),
            None => {
                let queue = self.state.queues.get_mut(self.queues[row.window as usize]);
                require(queue.rate().is_some(), "a claim of a queue without a rate")?;
                require(rises(&queue.window, row.time), "claims out of order")?;
                queue.window.claim(row.time, row.count);
                Ok(())
            }
        }
    }

    fn lane_waiting(&mut self, row: LaneWaitingRow) -> Checked {
        require(row.tier < PRIORITY_TIERS, "an unknown tier")?;
        require(self.state.jobs.contains(row.job), "an unknown job waits")?;
        let waiting = Waiting { job: row.job, position: row.position };
        require(self.state.waits_at(waiting), "a job waits elsewhere than in its lane")?;
        require((1..self.state.next_event).contains(&row.position), "a job is ahead of its event")?;
        let entry = self.state.classes.get(self.state.class_of(row.job));
        let (queue, key) = (entry.queue, entry.limit_key.clone());
        require(entry.class.priority == row.tier, "a job waits in another queue")?;
        let is_fresh = self.state.number_of(row.job).is_none();
        let left = if is_fresh { &mut self.fresh } else { &mut self.pending };
        *left = left.checked_sub(1).ok_or("a job waits twice")?;
        if is_fresh {
            self.state.queues.get_mut(queue).jobs[JobState::Pending as usize] += 1;
        }
        self.lanes.waiting(row, queue, &key)
    }

    fn has_ended(&self, job: u64) -> bool {
        self.state.job_state(job).has_ended()
    }

    fn unique(&mut self, row: UniqueRow) -> Checked {
        let lives = self.state.jobs.contains(row.job) && !self.has_ended(row.job);
        require(lives, "a unique key of a job that has ended")?;
        let now = self.state.time;
        require(row.until > now, "a unique key is over")?;
        require(self.state.uniques.find(row.hash, now).is_none(), "a unique key comes twice")?;
        require(self.state.jobs.unique(row.job).is_none(), "a job has two unique keys")?;
        let UniqueRow { job, hash, until } = row;
        self.state.take_unique(Unique { hash, until, job }, |_, _| false);
        Ok(())
    }

    fn payload(&mut self, row: PayloadRow) -> Checked {
        require(self.state.jobs.contains(row.job), "a payload of an unknown job")?;
        require(row.event.0 > 0 && row.event.0 < self.state.next_event, "a payload is ahead")?;
        require(self.state.payloads.get(row.job).is_none(), "a job has two payloads")?;
        self.state.payloads.insert(row.job, row.event.0);
        Ok(())
    }

    fn require_fresh(&self, job: u64) -> Checked {
        let fresh = self.state.jobs.next(job, job.saturating_add(1), true) == Some(job);
        require(fresh, "a job is unknown or comes twice")
    }

    fn sleeper(&mut self, row: SleeperRow) -> Checked {
        self.require_fresh(row.job)?;
        let class = self.state.jobs.origin(row.job).class;
        self.state.sleep(row.job, class, row.due);
        self.fresh -= 1;
        Ok(())
    }

    fn tracked(&mut self, row: &TrackedRow) -> Checked {
        self.require_fresh(row.job)?;
        require(row.state != JobState::Completed, "a completed job")?;
        let waits =
            matches!(row.state, JobState::Active | JobState::Scheduled | JobState::Retrying);
        let may_wait = matches!(row.state, JobState::Held | JobState::Planned);
        let needs_timer = (waits || (may_wait && row.mark > 0)) && row.mark != BLOCKED;
        require(row.due > 0 || !needs_timer, "a job without its timer")?;
        let marked_by_event = matches!(row.state, JobState::Active | JobState::Pending);
        let known_event = (1..self.state.next_event).contains(&row.mark);
        require(known_event || !marked_by_event, "a job is ahead of its event")?;
        let ends = row.state == JobState::Held && row.mark > 0;
        require(ends == (row.then != HoldEnd::Stay), "a hold has a time or an end but not both")?;
        let mut detached = self.state.detach_fresh(row.job);
        if row.class != OWN_CLASS {
            let class = *self.classes.get(row.class as usize).ok_or("an unknown class")?;
            require(class != detached.class, "a job's own class is named as another")?;
            let expiry = |class| self.state.classes.get(class).class.expire_after_ms;
            require(expiry(class) == expiry(detached.class), "a class of another expiry")?;
            detached = detached.into_class(class);
        }
        // Version 1 did not say when a job ended.
        let ended = row.state.has_ended();
        let mark = if ended && row.mark == 0 { self.state.time } else { row.mark };
        require(!ended || mark <= self.state.time, "a job ended ahead of its time")?;
        let number = self.state.track(detached, row.state, mark);
        self.fresh -= 1;
        let tracked = self.state.tracked.get_mut(number);
        tracked.attempt = row.attempt;
        tracked.lease_expiries = row.lease_expiries;
        tracked.then = row.then;
        if row.due > 0 && row.state != JobState::Active {
            self.state.set_timer(number, row.due);
        }
        let side = Side {
            checkpoint: row.checkpoint,
            progress: row.progress,
            error: row.error,
            hold: row.hold,
            placed: row.placed,
        };
        if side != Side::default() {
            *self.state.side_mut(number) = side;
        }
        match row.state {
            JobState::Active => {
                let session = self.state.sessions.find(row.session);
                let session = session.ok_or("a lease of an unknown session")?;
                let (deadline, token, lease_ms) = (row.due, row.mark, row.lease_ms);
                self.leases.push(HeldLease { deadline, token, lease_ms, number, session });
            }
            JobState::Pending => self.pending += 1,
            JobState::Planned => self.planned += 1,
            _ => {}
        }
        Ok(())
    }

    fn waiting(&mut self, row: WaitingRow) -> Checked {
        let queue = *self.queues.get(row.queue as usize).ok_or("an unknown queue")?;
        require(row.tier < PRIORITY_TIERS, "an unknown tier")?;
        require(self.fresh >= row.count, "a job waits twice")?;
        let end = row.first.saturating_add(row.count.max(1));
        for job in row.first..end {
            require(self.state.jobs.contains(job), "an unknown job waits")?;
            let entry = self.state.classes.get(self.state.class_of(job));
            let here = entry.queue == queue && entry.class.priority == row.tier;
            require(here, "a job waits in another queue")?;
        }
        if row.count > 0 {
            (row.first..end).try_for_each(|job| self.require_fresh(job))?;
            let class = self.state.jobs.origin(row.first).class;
            self.fresh -= row.count;
            // No queue has lanes yet, so that nothing depends on the position.
            self.state.wait_fresh(row.first, row.count, class, 0);
            return Ok(());
        }
        let number =
            self.state.number_of(row.first).ok_or("a job without a struct stepped back")?;
        let tracked = self.state.tracked.get(number);
        require(tracked.state == JobState::Pending, "a job waits that is not pending")?;
        let (job, position) = (row.first, tracked.mark);
        require(self.pending > 0, "a job waits twice")?;
        self.pending -= 1;
        let fifo = &mut self.state.queues.get_mut(queue).tiers[usize::from(row.tier)];
        fifo.push(Item::Single { job, position });
        Ok(())
    }

    fn key(&mut self, row: KeyRow) -> Checked {
        require(row.job < self.state.next_job, "a key of a job that does not exist")?;
        require(row.created_ms <= Micros(self.state.time).ms(), "a key is ahead of its time")?;
        let now = self.state.time;
        require(row.until > now, "a key is over")?;
        require(self.state.keys.find(row.hash, now).is_none(), "a key comes twice")?;
        let KeyRow { hash, content, until, job, created_ms } = row;
        self.state.keys.take(Key { hash, content, until, job, created_ms }, now, 0);
        Ok(())
    }

    /// Leases begin in the order in which they end, so that they all stand in one list, and go back to their
    /// sessions in the order of their tokens.
    fn all_leases(&mut self) -> Checked {
        self.leases.sort_unstable_by_key(|lease| (lease.deadline, lease.token));
        let begin = |lease: &HeldLease| {
            let at = self.state.begin_lease(lease.number, lease.deadline, lease.lease_ms);
            (lease.token, at, lease.session)
        };
        let mut held: Vec<_> = self.leases.iter().map(begin).collect();
        held.sort_unstable();
        require(held.is_sorted_by(|a, b| a.0 < b.0), "two leases have one token")?;
        held.iter().for_each(|&(_, lease, session)| self.state.hold(lease, session));
        Ok(())
    }

    fn end(&mut self) -> Checked {
        require(self.pending == 0 && self.fresh == 0, "a pending job waits nowhere")?;
        self.ties.end()?;
        require(self.planned == 0, "a planned job has no plan")?;
        self.state.sort_ended();
        self.all_leases()?;
        std::mem::take(&mut self.lanes).install(&mut self.state)?;
        for (&at, &total) in self.queues.iter().zip(&self.totals) {
            self.state.queues.get_mut(at).enqueued_total = total;
        }
        for &at in &self.hidden {
            let unused = self.state.queues.get(at).is_unused();
            require(unused, "a queue that exists no longer is used")?;
            self.state.queues.hide(at);
        }
        let used = self.classes.iter().all(|&class| self.state.classes.get(class).live > 0);
        require(used, "a class without jobs")?;
        rules::finish(&mut self.state);
        self.state.digest = self.digest;
        self.ended = true;
        Ok(())
    }
}
