//! What ties jobs together, as rows and back.

use std::collections::BTreeSet;
use std::ops::Bound;

use jobbie_proto::event::{Fate, NextStep, Parcel};
use jobbie_proto::reply::JobState;
use jobbie_proto::{BatchId, JobId, ShardId};
use rkyv::{Archive, Deserialize, Serialize};

use super::read::{Checked, require};
use super::{BlockedRow, JobsPart, LinkRow, MemberRow, TrackedRow};
use crate::jobs::Special;
use crate::state::{BLOCKED, State};
use crate::ties::batches::Batch;
use crate::ties::kin::Passage;
use crate::ties::{Blocked, Link, StepDue, Tally, Ties};

/// One fact; those of a kind stand together, in the order of the kinds, and rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(super) enum TieRow {
    /// Number of the last message sent to a shard.
    Sent {
        to: u16,
        last: u64,
    },
    /// Number of the last message taken from a shard.
    Taken {
        from: u16,
        last: u64,
    },
    /// A message that its shard has not said it took.
    Open {
        to: u16,
        number: u64,
        parcel: Parcel,
    },
    Batch(BatchRow),
    /// Jobs that left memory without being completed.
    Gone {
        first: u64,
        end: u64,
    },
    /// A job, and one that waits for it.
    Waits {
        on: u64,
        by: JobId,
    },
    /// A completed job for which some still wait.
    Settling {
        on: u64,
        id: JobId,
    },
    /// A job of a chain that is to be made.
    Step(StepRow),
    /// Ended members of a batch that are not reported.
    Tally {
        batch: BatchId,
        succeeded: u32,
        failed: u32,
    },
    /// A job that waits for one of another shard, which does not know.
    Ask {
        by: JobId,
        on: JobId,
    },
    /// Where a job is that was moved here, for the shard it came from.
    Located {
        job: JobId,
        now: JobId,
    },
    /// What became of it.
    Fate {
        job: JobId,
        fate: Fate,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(super) struct BatchRow {
    number: u64,
    opened_ms: u64,
    callback: Option<u16>,
    total: Option<u64>,
    succeeded: u64,
    failed: u64,
    ended: u64,
    called_back: bool,
    made: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(super) struct StepRow {
    cause: u64,
    definition: u64,
    kind: NextStep,
    to: u16,
    job: JobId,
    batch: Option<BatchId>,
}

const KINDS: u8 = 12;

/// How far the rows have come: a kind, and the last of its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TieCursor {
    kind: u8,
    last: Option<TieRow>,
}

/// At most `limit` rows, and where to go on.
pub(super) fn page(
    state: &State,
    mut at: TieCursor,
    limit: usize,
) -> (Vec<TieRow>, Option<TieCursor>) {
    let mut rows = Vec::new();
    while at.kind < KINDS {
        for row in rows_after(state, at) {
            if rows.len() == limit {
                return (rows, Some(at));
            }
            at.last = Some(row);
            rows.push(row);
        }
        at = TieCursor { kind: at.kind + 1, last: None };
    }
    (rows, None)
}

/// The key of the last row, which is of the kind at hand.
macro_rules! key {
    ($last:expr, $row:pat => $key:expr) => {
        match $last {
            Some($row) => Some($key),
            _ => None,
        }
    };
}

/// What comes behind a key.
fn behind<K>(key: Option<K>) -> (Bound<K>, Bound<K>) {
    (key.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

fn rows_after(state: &State, at: TieCursor) -> Box<dyn Iterator<Item = TieRow> + '_> {
    let (ties, last) = (&state.ties, at.last);
    match at.kind {
        0..=2 => post_rows(ties, at),
        3 => {
            let key = key!(last, TieRow::Batch(b) => b.number);
            let from = key.map_or(0, |number| number + 1);
            Box::new(ties.batches.iter(from).map(|(number, batch)| batch_row(number, &batch)))
        }
        4 => {
            let key = key!(last, TieRow::Gone { first, .. } => first);
            let runs = ties.gone.runs(key.map_or(0, |first| first + 1));
            Box::new(runs.map(|(first, end)| TieRow::Gone { first, end }))
        }
        5 => {
            let key = key!(last, TieRow::Waits { on, by } => (on, by));
            // Who waits for what is gone is swept by and by.
            let known = |on: u64| state.jobs.contains(on) || ties.settling.contains_key(&on);
            let rows = ties.dependents.range(behind(key)).filter(move |(on, _)| known(*on));
            Box::new(rows.map(|(on, by)| TieRow::Waits { on: *on, by: *by }))
        }
        6 => {
            let key = key!(last, TieRow::Settling { on, .. } => on);
            let rows = ties.settling.range(behind(key));
            Box::new(rows.map(|(on, id)| TieRow::Settling { on: *on, id: *id }))
        }
        7 => {
            let key = key!(last, TieRow::Step(step) => step.cause);
            Box::new(ties.steps.range(behind(key)).map(|(cause, due)| step_row(*cause, due)))
        }
        8 => {
            let key = key!(last, TieRow::Tally { batch, .. } => batch);
            Box::new(ties.tallies.range(behind(key)).map(|(batch, tally)| {
                let Tally { succeeded, failed } = *tally;
                TieRow::Tally { batch: *batch, succeeded, failed }
            }))
        }
        10 => {
            let key = key!(last, TieRow::Located { job, .. } => job);
            let rows = ties.kin.located.range(behind(key));
            Box::new(rows.map(|(job, now)| TieRow::Located { job: *job, now: *now }))
        }
        11 => {
            let key = key!(last, TieRow::Fate { job, .. } => job);
            let rows = ties.kin.fates.range(behind(key));
            Box::new(rows.map(|(job, fate)| TieRow::Fate { job: *job, fate: *fate }))
        }
        _ => {
            let key = key!(last, TieRow::Ask { by, on } => (by, on));
            let rows = ties.asks.range(behind(key));
            Box::new(rows.map(|(by, on)| TieRow::Ask { by: *by, on: *on }))
        }
    }
}

fn post_rows(ties: &Ties, at: TieCursor) -> Box<dyn Iterator<Item = TieRow> + '_> {
    match (at.kind, at.last) {
        (0, last) => {
            let after =
                move |to: u16| !matches!(last, Some(TieRow::Sent { to: last, .. }) if to <= last);
            let rows = ties.post.all_sent().filter(move |(to, _)| after(to.0));
            Box::new(rows.map(|(to, last)| TieRow::Sent { to: to.0, last }))
        }
        (1, last) => {
            let after = move |from: u16| !matches!(last, Some(TieRow::Taken { from: last, .. }) if from <= last);
            let rows = ties.post.all_taken().filter(move |(from, _)| after(from.0));
            Box::new(rows.map(|(from, last)| TieRow::Taken { from: from.0, last }))
        }
        (_, last) => {
            let key = key!(last, TieRow::Open { to, number, .. } => (to, number));
            let rows = ties.post.all_open(key);
            Box::new(rows.map(|(to, number, parcel)| TieRow::Open { to: to.0, number, parcel }))
        }
    }
}

fn batch_row(number: u64, batch: &Batch) -> TieRow {
    let Batch { opened_ms, callback, total, succeeded, failed, ended, called_back, made } = *batch;
    let callback = callback.map(|to| to.0);
    TieRow::Batch(BatchRow {
        number,
        opened_ms,
        callback,
        total,
        succeeded,
        failed,
        ended,
        called_back,
        made,
    })
}

fn step_row(cause: u64, due: &StepDue) -> TieRow {
    let StepDue { definition, kind, to, job, batch } = *due;
    TieRow::Step(StepRow { cause, definition, kind, to: to.0, job, batch })
}

/// Rows to ties, checked as far as rows before them go.
#[derive(Default)]
pub(super) struct RestoringTies {
    kind: u8,
    /// Events whose step was sent.
    sent_steps: BTreeSet<u64>,
    /// Batches whose callback was sent.
    sent_callbacks: BTreeSet<u64>,
    /// Jobs scheduled for when others are completed, and those that say for which.
    scheduled: usize,
    waiting: usize,
    /// Jobs on their way, with shard and number, whose message has not come.
    sent_moves: BTreeSet<(u16, u64, u64)>,
    /// Jobs that have moved, and those that say where to.
    moved: usize,
    away: usize,
}

impl RestoringTies {
    pub(super) fn of_jobs(&mut self, state: &mut State, part: &JobsPart) -> Checked {
        let known = |event: u64| require((1..state.next_event).contains(&event), "a tie is ahead");
        let lives = |job: u64| require(state.jobs.contains(job), "a tie of an unknown job");
        let ties = &mut state.ties;
        for MemberRow { job, batch } in &part.members {
            lives(*job)?;
            require(ties.members.get(*job).is_none(), "a job counts twice")?;
            ties.members.insert(*job, *batch);
        }
        for LinkRow { job, definition, next, on_failure, on_exit } in &part.links {
            lives(*job)?;
            known(definition.0)?;
            require(ties.chains.get(*job).is_none(), "a job is in two chains")?;
            let (next, on_failure, on_exit) = (*next, *on_failure, *on_exit);
            ties.chains.insert(*job, Link { definition: definition.0, next, on_failure, on_exit });
        }
        for BlockedRow { job, event, missing, due } in &part.blocked {
            known(event.0)?;
            lives(*job)?;
            let job_state = match state.jobs.handle(*job).map(crate::jobs::Handle::special) {
                Some(Special::Struct(number)) => {
                    let tracked = state.tracked.get(number);
                    (tracked.state, tracked.mark)
                }
                _ => return Err("a job that waits for others has no struct"),
            };
            match job_state {
                (JobState::Scheduled, BLOCKED) => self.waiting += 1,
                (JobState::Held, _) => {}
                _ => return Err("a job waits for others and for something else"),
            }
            let fits = *missing > 0 && ties.blocked.get(*job).is_none();
            require(fits, "a job waits for others twice, or for none")?;
            let blocked = Blocked { event: event.0, missing: *missing, due: *due };
            ties.blocked.insert(*job, blocked);
        }
        for row in &part.kin {
            let Some(passage) = row.restore(state)? else { continue };
            self.away += 1;
            if let (to, Passage::Sent(number)) = passage {
                self.sent_moves.insert((to.0, number, row.job));
            }
        }
        let moved = |row: &&TrackedRow| row.state == JobState::Moved;
        self.moved += part.tracked.iter().filter(moved).count();
        let waits = |row: &&TrackedRow| row.state == JobState::Scheduled && row.mark == BLOCKED;
        self.scheduled += part.tracked.iter().filter(waits).count();
        Ok(())
    }

    pub(super) fn add(&mut self, state: &mut State, row: TieRow) -> Checked {
        let kind = kind_of(&row);
        require(kind >= self.kind, "ties out of order")?;
        self.kind = kind;
        let (shards, next_event) = (state.shards, state.next_event);
        let shard = |shard: u16| require(shard < shards, "a shard out of range");
        let known = |event: u64| require((1..next_event).contains(&event), "a tie is ahead");
        let ties = &mut state.ties;
        match row {
            TieRow::Sent { to, last } => {
                shard(to)?;
                require(last > 0 && ties.post.next(ShardId(to)) == 1, "a shard was sent to twice")?;
                ties.post.restore_sent(ShardId(to), last);
            }
            TieRow::Taken { from, last } => {
                shard(from)?;
                require(last > ties.post.taken(ShardId(from)), "a shard is taken from twice")?;
                ties.post.take(ShardId(from), last);
            }
            TieRow::Open { to, number, parcel } => {
                shard(to)?;
                match parcel {
                    Parcel::Step { cause } => self.sent_steps.insert(cause.0),
                    Parcel::Callback { batch } => self.sent_callbacks.insert(batch.0),
                    Parcel::Move { job } => {
                        let sent = self.sent_moves.remove(&(to, number, job.0));
                        require(sent, "a message about a job that is here")?;
                        true
                    }
                    _ => true,
                };
                let in_order = ties.post.restore_open(ShardId(to), number, parcel);
                require(in_order, "messages out of order")?;
            }
            TieRow::Batch(row) => self.batch(state, &row)?,
            TieRow::Gone { first, end } => {
                require(end <= state.next_job && first > 0, "a job is gone before it was made")?;
                require(ties.gone.push(first, end), "jobs are gone twice")?;
                let here = state.jobs.next(first, end, false);
                require(here.is_none(), "a job is gone and in memory")?;
            }
            TieRow::Waits { on, by } => {
                require(on < state.next_job, "a job is waited for before it was made")?;
                require(by.shard().0 < shards, "a shard out of range")?;
                ties.dependents.insert((on, by));
            }
            TieRow::Settling { on, id } => {
                require(id.seq().0 == on && id.shard() == state.shard, "a job with another's id")?;
                require(ties.waiting_for(on).next().is_some(), "nobody waits for a job")?;
                ties.settling.insert(on, id);
            }
            TieRow::Step(StepRow { cause, definition, kind, to, job, batch }) => {
                shard(to)?;
                known(cause)?;
                known(definition)?;
                let due = StepDue { definition, kind, to: ShardId(to), job, batch };
                require(ties.steps.insert(cause, due).is_none(), "a step comes twice")?;
                if !self.sent_steps.remove(&cause) {
                    ties.unsent_steps.insert(cause);
                }
            }
            TieRow::Tally { batch, succeeded, failed } => {
                shard(batch.shard().0)?;
                let tally = Tally { succeeded, failed };
                require(tally != Tally::default(), "nothing is counted")?;
                ties.tallies.insert(batch, tally);
            }
            TieRow::Ask { by, on } => {
                require(by.shard() == state.shard, "a job of another shard asks")?;
                shard(on.shard().0)?;
                ties.asks.insert((by, on));
            }
            TieRow::Located { job, now } => {
                shard(job.shard().0)?;
                shard(now.shard().0)?;
                ties.kin.located.insert(job, now);
            }
            TieRow::Fate { job, fate } => {
                shard(job.shard().0)?;
                ties.kin.fates.insert(job, fate);
            }
        }
        Ok(())
    }

    fn batch(&mut self, state: &mut State, row: &BatchRow) -> Checked {
        let (shards, next_event, now_ms) = (state.shards, state.next_event, state.time().ms());
        let ties = &mut state.ties;
        let BatchRow { number, opened_ms, succeeded, failed, .. } = *row;
        let BatchRow { callback, total, ended, called_back, made, .. } = *row;
        require((1..next_event).contains(&number), "a batch is ahead")?;
        require(callback.is_none_or(|to| to < shards), "a shard out of range")?;
        require(ties.batches.get(number).is_none(), "a batch comes twice")?;
        let sent = self.sent_callbacks.remove(&number);
        require(sent == (called_back && !made), "a callback is on its way, or not")?;
        require(callback.is_some() || !called_back, "a callback of a batch without")?;
        require(opened_ms <= now_ms, "a batch is opened later")?;
        let is_complete = total.is_some() && total == succeeded.checked_add(failed);
        require(is_complete == (ended > 0), "a batch has ended, or not")?;
        let callback = callback.map(ShardId);
        let batch =
            Batch { opened_ms, callback, total, succeeded, failed, ended, called_back, made };
        ties.batches.insert(number, batch);
        Ok(())
    }

    pub(super) fn end(&self) -> Checked {
        let all = self.sent_steps.is_empty() && self.sent_callbacks.is_empty();
        require(all, "a message refers to what is not there")?;
        require(self.sent_moves.is_empty(), "a job is on its way without a message")?;
        require(self.moved == self.away, "a job has moved to nowhere")?;
        require(self.waiting == self.scheduled, "a job waits for nothing")
    }
}

fn kind_of(row: &TieRow) -> u8 {
    match row {
        TieRow::Sent { .. } => 0,
        TieRow::Taken { .. } => 1,
        TieRow::Open { .. } => 2,
        TieRow::Batch(_) => 3,
        TieRow::Gone { .. } => 4,
        TieRow::Waits { .. } => 5,
        TieRow::Settling { .. } => 6,
        TieRow::Step(_) => 7,
        TieRow::Tally { .. } => 8,
        TieRow::Ask { .. } => 9,
        TieRow::Located { .. } => 10,
        TieRow::Fate { .. } => 11,
    }
}
