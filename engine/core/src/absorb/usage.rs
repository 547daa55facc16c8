//! Events of usage.

use std::rc::Rc;

use jobbie_proto::event::ReportedUsage;
use jobbie_proto::usage::UsagePhase;
use xxhash_rust::xxh3::xxh3_64;

use super::Mark;
use crate::state::State;
use crate::usage::day_of;

impl State {
    pub(super) fn usage_reported(&mut self, reported: &ReportedUsage) {
        self.number_event();
        let job = reported.job.0;
        let number = self.active(reported.job);
        assert_eq!(reported.attempt, self.tracked.get(number).attempt, "another attempt used it");
        let queue = Rc::clone(&self.queues.get(self.queue_of(job)).name);
        self.usage.take(self.time, &queue, reported);
        let is_ack = reported.phase == UsagePhase::Ack;
        self.charge_budgets(job, reported.amounts.cost_micros, is_ack);
        let who = u64::from(reported.attempt) << 8 | reported.phase as u64;
        self.digest.mix_all(&[Mark::UsageReported as u64, job, who]);
        self.digest.mix_all(&reported.amounts.named().map(|(_, amount)| amount));
        let names = [&reported.model, &reported.provider].map(|name| xxh3_64(name.as_bytes()));
        let spent = self.usage.of_queue(&queue).spent_on(day_of(self.time));
        self.digest.mix_all(&[names[0], names[1], self.usage.cost_of(job), spent]);
    }
}
