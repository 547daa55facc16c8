//! What workers say their work used, summed up the obvious way.

use std::collections::BTreeMap;

use jobbie_proto::event::ReportedUsage;
use jobbie_proto::reply::JobState;
use jobbie_proto::usage::{Amounts, UsagePhase};

use super::Model;
use super::absorb::Step;
use crate::check::{r10_one_state, r11_leases, usage};

const HOUR_US: u64 = 3600 * 1_000_000;

/// What reports add up to.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Reports and amounts, by hour since 1970 and queue.
    pub(crate) sums: BTreeMap<(u64, String), (u64, Amounts)>,
    /// How many reports and iterations there were, to show that a run was worth something.
    pub(crate) reports: u64,
    pub(crate) iterations: u64,
}

pub(crate) fn hour_of(time: u64) -> u64 {
    time / HOUR_US
}

impl Model {
    pub(super) fn usage_reported(&mut self, reported: &ReportedUsage, step: &mut Step<'_>) {
        self.number();
        let fact = step.fact;
        let (seq, amounts) = (reported.job.0, &reported.amounts);
        r10_one_state::leaves(seq, self.job(seq), &[JobState::Active], "said to have used");
        let request = fact.request.expect("workers report");
        let jobs: Vec<_> = match reported.phase {
            UsagePhase::Ack => request.acks.iter().map(|ack| ack.job).collect(),
            UsagePhase::Heartbeat => request.heartbeats.iter().map(|beat| beat.job).collect(),
        };
        r11_leases::takes_effect(self, seq, "said to have used", jobs.iter().copied());
        usage::reported(self, request, &jobs, reported);
        let queue = self.job(seq).class.queue.clone();
        self.job_mut(seq).cost += amounts.cost_micros;
        self.charge(seq, &queue, amounts.cost_micros, reported.phase);
        let sum = self.usage.sums.entry((hour_of(fact.time), queue)).or_default();
        sum.0 += 1;
        sum.1.add(amounts);
        self.usage.reports += 1;
        if reported.phase == UsagePhase::Ack {
            step.counted.insert(seq);
        }
    }
}
