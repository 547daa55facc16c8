//! Jobs of other shards and for others, as rows and back.

use std::rc::Rc;

use jobbie_proto::event::HoldEnd;
use jobbie_proto::placement::shard_of;
use jobbie_proto::reply::JobState;
use jobbie_proto::{EventSeq, JobId, ShardId};
use rkyv::{Archive, Deserialize, Serialize};

use super::read::{Checked, require};
use crate::state::State;
use crate::ties::kin::{Away, Kin, Passage};

/// What a job has to do with other shards and other jobs.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct KinRow {
    pub(super) job: u64,
    parent: Option<JobId>,
    /// The id it had, and when it expires.
    from: Option<(JobId, u64)>,
    /// The queue that it goes to when its worker gives it back.
    leaving: Option<String>,
    away: Option<AwayRow>,
}

#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct AwayRow {
    queue: String,
    was: JobState,
    then: HoldEnd,
    blocked: Option<(EventSeq, u64)>,
    parent: Option<JobId>,
    /// Number of its message; 0 is none.
    sent: u64,
    /// Whether it has arrived.
    over: bool,
    now: Option<JobId>,
}

impl AwayRow {
    fn new(away: &Away) -> Self {
        Self {
            queue: away.queue.to_string(),
            was: away.was,
            then: away.then,
            blocked: away.blocked.map(|(event, due)| (EventSeq(event), due)),
            parent: away.parent,
            sent: if let Passage::Sent(number) = away.passage { number } else { 0 },
            over: away.passage == Passage::Over,
            now: away.now,
        }
    }

    fn restore(&self, state: &State, queue: Rc<str>) -> Result<Away, &'static str> {
        let legal = !matches!(
            self.was,
            JobState::Active | JobState::Completed | JobState::Planned | JobState::Moved
        );
        require(legal, "a job that could not go has moved")?;
        if let Some((event, _)) = self.blocked {
            require((1..state.next_event).contains(&event.0), "a tie is ahead")?;
            require(
                matches!(self.was, JobState::Scheduled | JobState::Held),
                "a job waited for others and for something else",
            )?;
        }
        let passage = match (self.sent, self.over) {
            (0, false) => Passage::Due,
            (0, true) => Passage::Over,
            (number, false) => Passage::Sent(number),
            (_, true) => return Err("a job is on its way and has arrived"),
        };
        Ok(Away {
            to: shard_of(&queue, state.shards),
            queue,
            was: self.was,
            then: self.then,
            blocked: self.blocked.map(|(event, due)| (event.0, due)),
            parent: self.parent,
            passage,
            now: self.now,
        })
    }
}

impl KinRow {
    pub(super) fn new(job: u64, kin: &Kin) -> Self {
        let leaving = kin.leaving.as_ref().map(|queue| queue.to_string());
        let away = kin.away.as_deref().map(AwayRow::new);
        Self { job, parent: kin.parent, from: kin.from, leaving, away }
    }

    /// Where the job has gone and how far it is, if it has gone.
    pub(super) fn restore(
        &self,
        state: &mut State,
    ) -> Result<Option<(ShardId, Passage)>, &'static str> {
        let job = self.job;
        require(state.jobs.contains(job), "kin of an unknown job")?;
        require(state.ties.kin.get(job).is_none(), "a job has kin twice")?;
        let stands = state.job_state(job);
        require(self.away.is_some() == (stands == JobState::Moved), "a job is here and away")?;
        let mut kin = Kin { parent: self.parent, from: self.from, ..Kin::default() };
        if let Some(queue) = &self.leaving {
            require(stands == JobState::Active, "a job without a worker waits for one")?;
            self.is_elsewhere(state, queue)?;
            kin.leaving = Some(state.ties.kin.name(queue));
        }
        let mut gone = None;
        if let Some(row) = &self.away {
            self.is_elsewhere(state, &row.queue)?;
            let queue = state.ties.kin.name(&row.queue);
            let away = row.restore(state, queue)?;
            gone = Some((away.to, away.passage));
            kin.away = Some(Rc::new(away));
        }
        require(kin != Kin::default(), "kin of nobody")?;
        require(kin.away.is_none() || kin.parent.is_none(), "a job is a child here and away")?;
        if matches!(gone, Some((_, Passage::Due))) {
            state.ties.kin.unsent.insert(job);
        }
        state.ties.kin.change(job, |own| *own = kin);
        Ok(gone)
    }

    fn is_elsewhere(&self, state: &State, queue: &str) -> Checked {
        let to = shard_of(queue, state.shards);
        require(to != state.shard, "a job goes from its shard to its shard")
    }
}
