//! Usage, in the naive model: a list of all reports, summed up anew each time anybody asks.

use std::collections::BTreeMap;

use jobbie_proto::Micros;
use jobbie_proto::reply::{JobState, UsageSum};
use jobbie_proto::request::{JobRef, ReportUsage, Usage, UsageQuery};
use jobbie_proto::usage::UsageGroup;

use crate::driver::Driver;
use crate::naive::Naive;

const HOUR_US: u64 = 3_600_000_000;
const MODELS: [&str; 3] = ["", "large", "small"];

/// One report.
#[derive(Clone, Debug)]
pub(crate) struct Reported {
    at: u64,
    queue: String,
    usage: Usage<'static>,
}

/// What the histories report.
pub(crate) fn usage(of: u32, with: u8) -> ReportUsage<'static> {
    let mut usage = Usage::default();
    usage.amounts.cost_micros = u64::from(with % 4) * 1000;
    usage.amounts.input_tokens = u64::from(with / 4 % 2) * 10;
    usage.amounts.cache_read_tokens = u64::from(with / 8 % 2);
    usage.model = MODELS[usize::from(with / 16 % 3)];
    usage.provider = if with & 1 == 0 { "lab" } else { "" };
    ReportUsage { of, usage }
}

impl Naive {
    /// Notes what the job at a position of a list used, when that is active and this worker's.
    pub(crate) fn report(&mut self, lease: JobRef, at: usize, usages: &[ReportUsage<'static>]) {
        let found = usages.iter().find(|report| report.of as usize == at);
        let Some(ReportUsage { usage, .. }) = found else { return };
        let Some(job) = self.find(lease.job) else { return };
        let is_own = lease.token.0 == 0 || lease.token == job.view.token;
        if job.view.state != JobState::Active || !is_own || usage.amounts.is_nothing() {
            return;
        }
        let queue = job.view.class.queue.clone();
        self.event();
        let job = self.jobs.get_mut(&lease.job.seq().0).expect("it was found");
        job.view.cost_micros += usage.amounts.cost_micros;
        self.reports.push(Reported { at: self.now, queue, usage: *usage });
    }

    /// Sums of the hours that a query is about.
    pub(crate) fn sums(&self, now: u64, query: &UsageQuery<'_>) -> Vec<UsageSum> {
        let hour = |at: u64| at / HOUR_US;
        let mut sums: BTreeMap<String, UsageSum> = BTreeMap::new();
        for report in &self.reports {
            let old = hour(report.at) + 35 * 24 <= hour(now);
            let early = hour(report.at) < hour(query.from.0);
            let late = query.to.0 > 0 && hour(report.at) > hour(query.to.0);
            let name = match query.by {
                UsageGroup::All => "",
                UsageGroup::Queue => &report.queue,
                UsageGroup::Model => report.usage.model,
                UsageGroup::Provider => report.usage.provider,
            };
            if old || early || late || query.after.is_some_and(|after| name <= after) {
                continue;
            }
            let sum = sums.entry(name.to_owned()).or_default();
            sum.name = name.to_owned();
            sum.reports += 1;
            sum.amounts.add(&report.usage.amounts);
        }
        sums.into_values().collect()
    }
}

impl Driver {
    /// Sums by each name, of all that is remembered and of the last hour.
    pub(crate) fn compare_usage(&self) {
        let now = self.state.time();
        for by in (0..4).filter_map(UsageGroup::from_u8) {
            for (from, to) in [(0, 0), (now.0, 0), (0, now.0.saturating_sub(3_600_000_000))] {
                let (from, to) = (Micros(from), Micros(to));
                let query = UsageQuery { from, to, by, after: None };
                let (sums, expected) =
                    (self.state.usage_sums(&query), self.model.sums(now.0, &query));
                assert_eq!(sums, expected, "usage {query:?}");
                let after = sums.first().map(|first| first.name.as_str());
                let query = UsageQuery { after, ..query };
                assert_eq!(self.state.usage_sums(&query)[..], sums[sums.len().min(1)..], "rest");
            }
        }
    }
}
