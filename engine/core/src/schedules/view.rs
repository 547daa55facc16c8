//! Questions about schedules.

use std::iter::successors;

use jobbie_proto::reply::ScheduleView;
use jobbie_proto::request::Schedules as Wanted;
use jobbie_proto::{EventSeq, JobId, JobSeq, Micros, ShardId};

use super::{Schedule, key_of};
use crate::state::State;

/// Schedules in one answer.
const SCHEDULES_PER_ANSWER: usize = 1000;

impl State {
    /// A schedule, if it is there.
    #[must_use]
    pub fn schedule(&self, queue: &str, name: &str) -> Option<ScheduleView> {
        self.schedules.find(queue, name).map(|schedule| schedule.view(self.shard))
    }

    /// The next planned times of a schedule, at most `count`; none while it is paused. Whoever asks computes them, so another
    /// release may answer otherwise; the first is what the log says.
    #[must_use]
    pub fn schedule_times(&self, queue: &str, name: &str, count: u16) -> Vec<Micros> {
        let Some(schedule) = self.schedules.find(queue, name) else { return Vec::new() };
        let Some(first) = schedule.due() else { return Vec::new() };
        let plan = jobbie_cron::Schedule::parse(&schedule.expression, &schedule.zone).ok();
        let next = |last: &Micros| plan.as_ref()?.next_after(*last);
        successors(Some(Micros(first)), next).take(count.into()).collect()
    }

    /// What a request wants to know of schedules, and the planned times of the one it names.
    pub(crate) fn wanted_schedules(&self, wanted: Wanted<'_>) -> (Vec<ScheduleView>, Vec<Micros>) {
        match wanted {
            Wanted::None => (Vec::new(), Vec::new()),
            Wanted::One { queue, name, times } => {
                let found = self.schedule(queue, name).into_iter().collect();
                (found, self.schedule_times(queue, name, times))
            }
            Wanted::List { queue, after_queue, after_name } => {
                // Keys begin with their queue; without one to begin with, all are behind the empty text.
                let after = match (queue, after_queue) {
                    ("", "") => String::new(),
                    (queue, "") => key_of(queue, ""),
                    (_, after_queue) => key_of(after_queue, after_name),
                };
                let here =
                    |one: &&std::rc::Rc<Schedule>| queue.is_empty() || one.class.queue == queue;
                let listed = self.schedules.after(&after).take_while(here);
                let views = listed.take(SCHEDULES_PER_ANSWER).map(|one| one.view(self.shard));
                (views.collect(), Vec::new())
            }
        }
    }
}

impl Schedule {
    fn view(&self, shard: ShardId) -> ScheduleView {
        let job = JobSeq(self.last_job);
        ScheduleView {
            name: self.name.to_string(),
            class: (*self.class).clone(),
            limit_key: self.limit_key.to_string(),
            expression: self.expression.to_string(),
            zone: self.zone.to_string(),
            missed: self.missed,
            unique: self.unique.to_vec(),
            unique_ms: self.unique_ms,
            paused: self.paused,
            next: Micros(self.due().unwrap_or(0)),
            last_planned: Micros(self.last_planned),
            last_job: (job.0 > 0).then(|| JobId::new(self.last_created_ms, shard, job)),
            fired: self.fired,
            skipped: self.skipped,
            defined: EventSeq(self.defined),
        }
    }
}
