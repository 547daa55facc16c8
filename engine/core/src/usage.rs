//! What work on jobs used: the cost of each job that reported any, what each queue has spent today, and sums by hour,
//! queue, model and provider, which stay when the jobs are gone.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use imbl::GenericOrdMap;
use imbl::shared_ptr::RcK;
use jobbie_proto::event::ReportedUsage;
use jobbie_proto::limits::{USAGE_GROUPS_MAX, USAGE_HOURS, USAGE_OTHER, USAGE_SUMS_MAX};
use jobbie_proto::reply::UsageSum;
use jobbie_proto::request::UsageQuery;
use jobbie_proto::usage::{Amounts, UsageGroup, UsagePhase};

use crate::sidetable::SideTable;

const HOUR_US: u64 = 3600 * 1_000_000;
const DAY_US: u64 = 24 * HOUR_US;
/// Sums that are forgotten with one report, so that none takes long although all of an hour are over at once.
const FORGOTTEN_AT_ONCE: usize = 64;

/// The day in UTC that holds a time, counted from 1970.
pub(crate) fn day_of(time: u64) -> u64 {
    time / DAY_US
}

fn hour_of(time: u64) -> u32 {
    u32::try_from(time / HOUR_US).unwrap_or(u32::MAX)
}

/// What the jobs of a queue cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueCost {
    /// The day of the last report.
    pub(crate) day: u64,
    /// What was reported on that day, in micro-dollars.
    pub(crate) spent_micros: u64,
    /// Reports that came with acks, ever.
    pub(crate) acks: u64,
    /// What those add up to, in micro-dollars.
    pub(crate) ack_micros: u64,
}

impl QueueCost {
    /// What was spent on a day that is not before that of the last report, in micro-dollars.
    pub(crate) fn spent_on(&self, day: u64) -> u64 {
        if self.day == day { self.spent_micros } else { 0 }
    }

    fn take(&mut self, day: u64, reported: &ReportedUsage) {
        let cost = reported.amounts.cost_micros;
        self.spent_micros = self.spent_on(day).saturating_add(cost);
        self.day = day;
        if reported.phase == UsagePhase::Ack {
            self.acks += 1;
            self.ack_micros = self.ack_micros.saturating_add(cost);
        }
    }
}

/// What a sum is of, in the order in which sums are forgotten.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SumKey {
    /// Since 1970.
    pub(crate) hour: u32,
    /// Empty is all for which there was no room.
    pub(crate) queue: Rc<str>,
    pub(crate) model: Rc<str>,
    pub(crate) provider: Rc<str>,
}

impl SumKey {
    fn first_of(hour: u32) -> Self {
        let empty: Rc<str> = "".into();
        Self { hour, queue: Rc::clone(&empty), model: Rc::clone(&empty), provider: empty }
    }
}

/// What reports add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) reports: u64,
    pub(crate) amounts: Amounts,
}

impl Sum {
    fn add(&mut self, reports: u64, amounts: &Amounts) {
        self.reports += reports;
        self.amounts.add(amounts);
    }
}

/// All that is known of usage. A clone shares everything.
#[derive(Clone)]
pub(crate) struct Usage {
    /// What the work on a job has cost, in micro-dollars, of jobs that reported any.
    costs: SideTable<u64>,
    /// By name; that of the whole shard has none.
    queues: GenericOrdMap<Rc<str>, QueueCost, RcK>,
    sums: GenericOrdMap<SumKey, Sum, RcK>,
    sums_max: usize,
}

impl Usage {
    pub(crate) fn new() -> Self {
        Self {
            costs: SideTable::new(),
            queues: GenericOrdMap::new(),
            sums: GenericOrdMap::new(),
            sums_max: USAGE_SUMS_MAX,
        }
    }

    /// What the work on a job has cost, in micro-dollars.
    #[inline]
    pub(crate) fn cost_of(&self, job: u64) -> u64 {
        self.costs.get(job).copied().unwrap_or(0)
    }

    /// The same, when it reported any.
    pub(crate) fn row_of(&self, job: u64) -> Option<u64> {
        self.costs.get(job).copied()
    }

    /// What the jobs of a queue cost; of the whole shard when the name is empty.
    pub(crate) fn of_queue(&self, queue: &str) -> QueueCost {
        self.queues.get(queue).copied().unwrap_or_default()
    }

    /// A job leaves memory. Sums stay.
    #[inline]
    pub(crate) fn forget(&mut self, job: u64) {
        self.costs.remove(job);
    }

    /// Adds a report, and forgets what is too old to be asked for.
    pub(crate) fn take(&mut self, now: u64, queue: &Rc<str>, reported: &ReportedUsage) {
        let job = reported.job.0;
        let uncounted =
            reported.phase == UsagePhase::Heartbeat && crate::mutant!(HeartbeatCostIgnored);
        if !uncounted {
            let cost = self.cost_of(job).saturating_add(reported.amounts.cost_micros);
            self.costs.insert(job, cost);
        }
        for name in [queue, &Rc::from("")] {
            let mut cost = self.of_queue(name);
            cost.take(day_of(now), reported);
            self.queues.insert(Rc::clone(name), cost);
        }
        self.forget_old(now);
        let key = self.key(hour_of(now), queue, &reported.model, &reported.provider);
        let mut sum = self.sums.get(&key).copied().unwrap_or_default();
        sum.add(1, &reported.amounts);
        self.sums.insert(key, sum);
    }

    /// Under what a report is counted.
    fn key(&self, hour: u32, queue: &Rc<str>, model: &str, provider: &str) -> SumKey {
        let queue = Rc::clone(queue);
        let own = SumKey { hour, queue, model: model.into(), provider: provider.into() };
        if self.sums.len() < self.sums_max || self.sums.contains_key(&own) {
            return own;
        }
        let other: Rc<str> = USAGE_OTHER.into();
        let of_queue = SumKey { model: Rc::clone(&other), provider: other, ..own };
        if self.sums.len() < 2 * self.sums_max || self.sums.contains_key(&of_queue) {
            return of_queue;
        }
        SumKey { queue: "".into(), ..of_queue }
    }

    fn forget_old(&mut self, now: u64) {
        let oldest = oldest_hour(now);
        for _ in 0..FORGOTTEN_AT_ONCE {
            match self.sums.get_min() {
                Some((key, _)) if key.hour < oldest => {
                    let key = key.clone();
                    self.sums.remove(&key);
                }
                _ => break,
            }
        }
    }

    /// Sums of the hours that are wanted and not too old at `now`, by name.
    pub(crate) fn sums(&self, now: u64, query: &UsageQuery<'_>) -> Vec<UsageSum> {
        let first = hour_of(query.from.0).max(oldest_hour(now));
        let last = if query.to.0 == 0 { u32::MAX } else { hour_of(query.to.0) };
        let mut groups: BTreeMap<&str, Sum> = BTreeMap::new();
        let from = Bound::Included(SumKey::first_of(first));
        let wanted = self.sums.range((from, Bound::Unbounded));
        for (key, sum) in wanted.take_while(|(key, _)| key.hour <= last) {
            let name = match query.by {
                UsageGroup::All => "",
                UsageGroup::Queue if key.queue.is_empty() => USAGE_OTHER,
                UsageGroup::Queue => &key.queue,
                UsageGroup::Model => &key.model,
                UsageGroup::Provider => &key.provider,
            };
            if query.after.is_none_or(|after| name > after) {
                groups.entry(name).or_default().add(sum.reports, &sum.amounts);
            }
        }
        let told = groups.into_iter().take(USAGE_GROUPS_MAX);
        told.map(|(name, Sum { reports, amounts })| {
            let name = name.to_owned();
            UsageSum { name, reports, amounts }
        })
        .collect()
    }

    /// Queues whose name comes after one, and what they cost, by name; from the beginning without one.
    pub(crate) fn queues_after(
        &self,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&Rc<str>, &QueueCost)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.queues.range::<_, str>((from, Bound::Unbounded))
    }

    /// Sums after one, by key; from the beginning without one.
    pub(crate) fn sums_after(
        &self,
        after: Option<&SumKey>,
    ) -> impl Iterator<Item = (&SumKey, &Sum)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.sums.range::<_, SumKey>((from, Bound::Unbounded))
    }

    /// A job has cost so much elsewhere, where it counts in all sums.
    pub(crate) fn set_cost(&mut self, job: u64, cost: u64) {
        self.costs.insert(job, cost);
    }

    /// Puts back what a job has cost; whether that was not known.
    pub(crate) fn restore_cost(&mut self, job: u64, cost: u64) -> bool {
        let new = self.costs.get(job).is_none();
        self.set_cost(job, cost);
        new
    }

    /// Puts back what a queue costs; whether that was not known.
    pub(crate) fn restore_queue(&mut self, queue: Rc<str>, cost: QueueCost) -> bool {
        self.queues.insert(queue, cost).is_none()
    }

    /// Puts back a sum; whether that was not known.
    pub(crate) fn restore_sum(&mut self, key: SumKey, sum: Sum) -> bool {
        self.sums.insert(key, sum).is_none()
    }

    /// Asserts that everything agrees with everything else.
    pub(crate) fn check(&self, now: u64, lives: impl Fn(u64) -> bool) {
        assert!(self.costs.jobs().into_iter().all(lives), "a cost without a job");
        let all = self.of_queue("");
        let of_queues = || self.queues.iter().filter(|(name, _)| !name.is_empty());
        let sum = |of: &dyn Fn(&QueueCost) -> u64| {
            of_queues().fold(0_u64, |sum, (_, cost)| sum.saturating_add(of(cost)))
        };
        assert!(all.day <= day_of(now), "usage is ahead of its time");
        assert!(of_queues().all(|(_, cost)| cost.day <= all.day), "a queue is ahead of its shard");
        assert_eq!(sum(&|cost| cost.spent_on(all.day)), all.spent_micros, "queues spent otherwise");
        assert_eq!(sum(&|cost| cost.acks), all.acks, "acks with usage miscounted");
        assert_eq!(sum(&|cost| cost.ack_micros), all.ack_micros, "queues cost otherwise");
        assert!(self.sums.len() <= 2 * self.sums_max + USAGE_HOURS as usize, "too many sums");
        let counted = |(key, sum): (&SumKey, &Sum)| key.hour <= hour_of(now) && sum.reports > 0;
        assert!(self.sums.iter().all(counted), "a sum of nothing");
    }
}

/// The first hour that is remembered at `now`.
fn oldest_hour(now: u64) -> u32 {
    (hour_of(now) + 1).saturating_sub(USAGE_HOURS)
}

#[cfg(test)]
mod tests;
