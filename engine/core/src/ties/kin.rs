//! Jobs that came from other shards, go there, or were enqueued for another job.
//!
//! A job that goes to a queue of another shard gets a new id there. What stays under the old one is a *stub*: a job in the
//! state moved, which keeps what hangs on that id (its unique key, jobs that wait for it) until the job ends where it is, and
//! says where that is.

use std::rc::Rc;

use jobbie_proto::event::{Fate, HoldEnd};
use jobbie_proto::reply::JobState;
use jobbie_proto::{JobId, ShardId};

use super::{Map, Set};
use crate::sidetable::SideTable;

/// A job that is no longer here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Away {
    /// Its queue now, or when it went.
    pub(crate) queue: Rc<str>,
    pub(crate) to: ShardId,
    /// The state that it is in on its way. What that needs stays in its struct.
    pub(crate) was: JobState,
    pub(crate) then: HoldEnd,
    /// The event that says what it waits for, and when it may run at the earliest.
    pub(crate) blocked: Option<(u64, u64)>,
    /// It is nobody's child here any more.
    pub(crate) parent: Option<JobId>,
    pub(crate) passage: Passage,
    /// The id it has there, once that is known.
    pub(crate) now: Option<JobId>,
}

/// How far a job is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It is still to be sent.
    Due,
    /// It is sent, with this number.
    Sent(u64),
    /// It has arrived, and only what hangs on its id is left.
    Over,
}

/// What only such jobs have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kin {
    pub(crate) parent: Option<JobId>,
    /// The id it had on another shard, and when it expires: 0 is never.
    pub(crate) from: Option<(JobId, u64)>,
    /// The queue of another shard that it goes to when its worker gives it back.
    pub(crate) leaving: Option<Rc<str>>,
    pub(crate) away: Option<Rc<Away>>,
}

/// All of them, and what is due because of them.
#[derive(Clone, Default)]
pub(crate) struct Kindred {
    jobs: SideTable<Kin>,
    /// A parent, which need not be here, and a job in memory that names it.
    children: Set<(JobId, u64)>,
    /// The queue that a job went to last: many go together.
    last_queue: Option<Rc<str>>,

    // What is due.
    /// Jobs that are to be sent.
    pub(crate) unsent: Set<u64>,
    /// Where jobs are, for the shards they came from, by the id they had there.
    pub(crate) located: Map<JobId, JobId>,
    /// What became of them.
    pub(crate) fates: Map<JobId, Fate>,
}

impl Kindred {
    /// Whether any job is one of them.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        !self.jobs.is_empty()
    }

    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        !self.unsent.is_empty() || !self.located.is_empty() || !self.fates.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, job: u64) -> Option<&Kin> {
        self.jobs.get(job)
    }

    pub(crate) fn away(&self, job: u64) -> Option<&Away> {
        self.get(job)?.away.as_deref()
    }

    /// When a job that came from another shard expires.
    #[inline]
    pub(crate) fn expires(&self, job: u64) -> Option<u64> {
        self.get(job)?.from.map(|(_, expires)| expires)
    }

    pub(crate) fn change(&mut self, job: u64, change: impl FnOnce(&mut Kin)) {
        let before = self.jobs.get(job).cloned().unwrap_or_default();
        let mut kin = before.clone();
        change(&mut kin);
        if kin.parent != before.parent {
            before.parent.and_then(|parent| self.children.remove(&(parent, job)));
            kin.parent.and_then(|parent| self.children.insert((parent, job)));
        }
        if kin == Kin::default() {
            self.jobs.remove(job);
        } else if kin != before {
            self.jobs.insert(job, kin);
        }
    }

    pub(crate) fn change_away(&mut self, job: u64, change: impl FnOnce(&mut Away)) {
        self.change(job, |kin| {
            change(Rc::make_mut(kin.away.as_mut().expect("the job is here")));
        });
    }

    /// A queue's name, shared with the job before.
    pub(crate) fn name(&mut self, queue: &str) -> Rc<str> {
        match &self.last_queue {
            Some(last) if **last == *queue => Rc::clone(last),
            _ => Rc::clone(self.last_queue.insert(queue.into())),
        }
    }

    /// A job of this shard is over, or dead: its old shard is to know.
    pub(crate) fn fated(&mut self, job: u64, fate: Fate) {
        let Some(kin) = self.jobs.get(job) else { return };
        let (from, leaves) = (kin.from, kin.leaving.is_some());
        if let Some((from, _)) = from {
            self.fates.insert(from, fate);
        }
        if leaves {
            self.change(job, |kin| kin.leaving = None);
        }
    }

    /// A job leaves memory.
    pub(crate) fn forget(&mut self, job: u64) {
        let Some(kin) = self.jobs.remove(job) else { return };
        kin.parent.and_then(|parent| self.children.remove(&(parent, job)));
        self.unsent.remove(&job);
        if let Some((from, _)) = kin.from
            && self.fates.get(&from) != Some(&Fate::Completed)
        {
            self.fates.insert(from, Fate::Gone);
        }
    }

    /// Jobs that name a parent, in order, behind one of them.
    pub(crate) fn children(&self, parent: JobId, after: u64) -> impl Iterator<Item = u64> + '_ {
        let from = (parent, after.saturating_add(1));
        self.children.range(from..).take_while(move |(of, _)| *of == parent).map(|(_, job)| *job)
    }

    /// Everybody who has it, by number.
    pub(crate) fn jobs(&self) -> Vec<u64> {
        self.jobs.jobs()
    }

    pub(crate) fn children_count(&self) -> usize {
        self.children.len()
    }
}
