//! Schedules: what makes a job again and again, by queue and name.
//!
//! A schedule costs its names, texts and options; what its jobs carry stays in the log, in the event that defined it. Jobs
//! that a schedule made name that event instead of having a payload of their own, so a definition is needed until it was
//! replaced or deleted *and* the last of its jobs has left memory.

mod check;
mod view;

use std::rc::Rc;

use imbl::shared_ptr::RcK;
use imbl::{GenericOrdMap, GenericOrdSet};
use jobbie_proto::event::{Class, Missed, SetSchedule};

use crate::sidetable::SideTable;

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) name: Rc<str>,
    /// Of its jobs; has its queue.
    pub(crate) class: Rc<Class>,
    pub(crate) limit_key: Rc<str>,
    pub(crate) expression: Rc<str>,
    pub(crate) zone: Rc<str>,
    pub(crate) missed: Missed,
    pub(crate) unique: Rc<[u8]>,
    pub(crate) unique_ms: u64,
    /// The event with its payload and tags.
    pub(crate) defined: u64,
    pub(crate) paused: bool,
    /// The next planned time; 0 is never. While it is paused, what was next when it was.
    pub(crate) next: u64,
    /// The planned time that was run last; 0 is none.
    pub(crate) last_planned: u64,
    /// The job of its last run and when that was created; 0 is none.
    pub(crate) last_job: u64,
    pub(crate) last_created_ms: u64,
    pub(crate) fired: u64,
    pub(crate) skipped: u64,
}

impl Schedule {
    /// A schedule as `set` says, that goes on from `before`.
    fn new(set: &SetSchedule, defined: u64, before: Option<&Schedule>) -> Self {
        Self {
            name: set.name.as_str().into(),
            class: Rc::new(set.class.clone()),
            limit_key: set.limit_key.as_str().into(),
            expression: set.expression.as_str().into(),
            zone: set.zone.as_str().into(),
            missed: set.missed,
            unique: set.unique.as_slice().into(),
            unique_ms: set.unique_ms,
            defined,
            paused: before.is_some_and(|old| old.paused),
            next: set.next.0,
            last_planned: before.map_or(0, |old| old.last_planned),
            last_job: before.map_or(0, |old| old.last_job),
            last_created_ms: before.map_or(0, |old| old.last_created_ms),
            fired: before.map_or(0, |old| old.fired),
            skipped: before.map_or(0, |old| old.skipped),
        }
    }

    /// When it fires, if time alone makes it.
    pub(crate) fn due(&self) -> Option<u64> {
        (self.next > 0 && !self.paused).then_some(self.next)
    }
}

/// Queue and name as one text, in the order of queues, then names: no queue has a control character.
pub(crate) fn key_of(queue: &str, name: &str) -> String {
    format!("{queue}\0{name}")
}

/// All schedules of a shard, and the definitions that are needed. A clone shares everything.
#[derive(Clone)]
pub(crate) struct Schedules {
    by_key: GenericOrdMap<Rc<str>, Rc<Schedule>, RcK>,
    /// Those that fire, by time.
    due: GenericOrdSet<(u64, Rc<str>), RcK>,
    /// The events that define what jobs carry.
    definitions: SideTable<u64>,
    /// By how many schedules and jobs a definition is needed.
    needed: GenericOrdMap<u64, u64, RcK>,
}

impl Schedules {
    pub(crate) fn new() -> Self {
        Self {
            by_key: GenericOrdMap::new(),
            due: GenericOrdSet::new(),
            definitions: SideTable::new(),
            needed: GenericOrdMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn find(&self, queue: &str, name: &str) -> Option<&Schedule> {
        if self.by_key.is_empty() {
            return None;
        }
        self.by_key.get(key_of(queue, name).as_str()).map(|schedule| &**schedule)
    }

    /// The schedules behind the one with this key, if there is one, by key.
    pub(crate) fn after(&self, key: &str) -> impl Iterator<Item = &Rc<Schedule>> {
        let from = std::ops::Bound::Excluded(key);
        self.by_key.range::<_, str>((from, std::ops::Bound::Unbounded)).map(|(_, one)| one)
    }

    /// When the first of them fires.
    #[inline]
    pub(crate) fn first_due(&self) -> Option<u64> {
        if self.due.is_empty() { None } else { self.due.get_min().map(|(at, _)| *at) }
    }

    /// Those that fire at `now`, by time.
    pub(crate) fn due_at(&self, now: u64) -> impl Iterator<Item = &Schedule> {
        let due = self.due.iter().take_while(move |(at, _)| *at <= now);
        due.map(|(_, key)| &*self.by_key[key])
    }

    /// Makes a schedule, or gives it another definition.
    pub(crate) fn set(&mut self, set: &SetSchedule, defined: u64) {
        let before = self.find(&set.class.queue, &set.name);
        let schedule = Schedule::new(set, defined, before);
        self.put(schedule);
    }

    /// Puts a schedule where its name says.
    pub(crate) fn put(&mut self, schedule: Schedule) {
        let key: Rc<str> = key_of(&schedule.class.queue, &schedule.name).into();
        self.need(schedule.defined);
        if let Some(due) = schedule.due() {
            self.due.insert((due, Rc::clone(&key)));
        }
        if let Some(old) = self.by_key.insert(Rc::clone(&key), Rc::new(schedule)) {
            self.unlist(&old, key);
        }
    }

    /// Changes a schedule that is there.
    pub(crate) fn change(&mut self, queue: &str, name: &str, change: impl FnOnce(&mut Schedule)) {
        let mut schedule = self.find(queue, name).expect("an unknown schedule changed").clone();
        change(&mut schedule);
        self.put(schedule);
    }

    pub(crate) fn delete(&mut self, queue: &str, name: &str) {
        let key = key_of(queue, name);
        let old = self.by_key.remove(key.as_str()).expect("an unknown schedule was deleted");
        self.unlist(&old, key.into());
    }

    /// A schedule is no longer what it was.
    fn unlist(&mut self, old: &Schedule, key: Rc<str>) {
        let is_other = |new: &Rc<Schedule>| new.due() != old.due();
        if let Some(due) = old.due()
            && self.by_key.get(&key).is_none_or(is_other)
        {
            self.due.remove(&(due, key));
        }
        self.release(old.defined);
    }

    fn need(&mut self, definition: u64) {
        let users = self.needed.get(&definition).copied().unwrap_or(0);
        self.needed.insert(definition, users + 1);
    }

    fn release(&mut self, definition: u64) {
        match self.needed.get(&definition).copied() {
            Some(2..) => self.needed[&definition] -= 1,
            Some(_) => drop(self.needed.remove(&definition)),
            None => unreachable!("a definition nobody needs was in use"),
        }
    }

    /// A job carries what this event says.
    pub(crate) fn made(&mut self, job: u64, definition: u64) {
        self.definitions.insert(job, definition);
        self.need(definition);
    }

    /// The event that says what a job carries, when a schedule made it.
    #[inline]
    pub(crate) fn definition_of(&self, job: u64) -> Option<u64> {
        self.definitions.get(job).copied()
    }

    /// A job leaves memory.
    #[inline]
    pub(crate) fn forget(&mut self, job: u64) {
        if let Some(definition) = self.definitions.remove(job) {
            self.release(definition);
        }
    }

    /// The oldest definition that is needed.
    pub(crate) fn oldest_needed(&self) -> Option<u64> {
        self.needed.get_min().map(|(event, _)| *event)
    }
}

#[cfg(test)]
mod tests;
