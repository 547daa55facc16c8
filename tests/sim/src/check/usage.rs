//! Usage: the log says what workers said, and sums are what it adds up to.

use std::collections::{BTreeMap, BTreeSet};

use jobbie_core::State;
use jobbie_proto::Request;
use jobbie_proto::event::ReportedUsage;
use jobbie_proto::limits::USAGE_HOURS;
use jobbie_proto::request::{JobRef, UsageQuery};
use jobbie_proto::usage::{Amounts, UsageGroup, UsagePhase};

use super::violated;
use crate::model::{Model, hour_of};

/// A report is about to be counted; `jobs` are those that the request acks, or prolongs.
pub(crate) fn reported(
    model: &Model,
    request: &Request<'_>,
    jobs: &[JobRef],
    reported: &ReportedUsage,
) {
    let seq = reported.job.0;
    let told = match reported.phase {
        UsagePhase::Ack => &request.ack_usages,
        UsagePhase::Heartbeat => &request.heartbeat_usages,
    };
    let said = told.iter().any(|report| {
        jobs[report.of as usize].job.seq().0 == seq
            && report.usage.amounts == reported.amounts
            && (report.usage.model, report.usage.provider)
                == (&*reported.model, &*reported.provider)
    });
    if !said {
        violated!("usage", "{reported:?} was counted, which no worker said");
    }
    if reported.attempt != model.job(seq).attempt {
        violated!("usage", "{reported:?} is of another attempt of {:?}", model.job(seq));
    }
}

/// An ack of this job took effect: what it said that it used was counted just before, in the same group.
pub(crate) fn counted(model: &Model, request: &Request<'_>, seq: u64, counted: &BTreeSet<u64>) {
    let token = model.job(seq).token;
    let is_meant = |by: JobRef| by.job.seq().0 == seq && (by.token.0 == 0 || by.token.0 == token);
    // What is said of an iteration of a job that has none is refused; another ack of the request may still be taken.
    let is_agent = model.job(seq).agent.is_some();
    let is_refused =
        |at: usize| !is_agent && request.agent_acks.iter().any(|ack| ack.of as usize == at);
    let mut acks = request.acks.iter().enumerate();
    let Some((at, _)) = acks.find(|(at, ack)| is_meant(ack.job) && !is_refused(*at)) else {
        return;
    };
    let mut reports = request.ack_usages.iter();
    let said = reports.any(|one| one.of as usize == at && !one.usage.amounts.is_nothing());
    if said != counted.contains(&seq) {
        violated!("usage", "job {seq} was acked with usage: {said}, and it is not so counted");
    }
}

/// The sums of every queue are what was reported.
pub(crate) fn check(model: &Model, state: &State) {
    let mut expected: BTreeMap<&str, (u64, Amounts)> = BTreeMap::new();
    let oldest = (hour_of(model.time) + 1).saturating_sub(u64::from(USAGE_HOURS));
    for ((hour, queue), (reports, amounts)) in &model.usage.sums {
        if *hour >= oldest {
            let sum = expected.entry(queue).or_default();
            sum.0 += reports;
            sum.1.add(amounts);
        }
    }
    let query = UsageQuery { by: UsageGroup::Queue, ..UsageQuery::default() };
    let found = state.usage_sums(&query);
    let found: BTreeMap<&str, _> =
        found.iter().map(|sum| (&*sum.name, (sum.reports, sum.amounts))).collect();
    if found != expected {
        violated!("usage", "queues have used {found:?}, reported was {expected:?}");
    }
}
