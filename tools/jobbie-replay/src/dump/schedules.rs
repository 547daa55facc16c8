//! Events of schedules.

use jobbie_proto::event::{Event, SetSchedule};
use jobbie_proto::{JobId, ShardId};
use serde_json::{Value, json};

use super::Lines;

impl Lines<'_> {
    pub(super) fn schedule(&self, event: &Event) -> Value {
        match event {
            Event::ScheduleSet(set) => self.set(set),
            Event::SchedulePaused { queue, name } => {
                json!({ "event": "schedule_paused", "queue": queue, "schedule": name })
            }
            Event::ScheduleResumed { queue, name, next, skipped } => json!({
                "event": "schedule_resumed", "queue": queue, "schedule": name,
                "next_us": next.0, "skipped": skipped,
            }),
            Event::ScheduleDeleted { queue, name } => {
                json!({ "event": "schedule_deleted", "queue": queue, "schedule": name })
            }
            Event::ScheduleSkipped { queue, name, next, skipped } => json!({
                "event": "schedule_skipped", "queue": queue, "schedule": name,
                "next_us": next.0, "skipped": skipped,
            }),
            Event::ScheduleFired {
                queue,
                name,
                planned,
                next,
                skipped,
                defined,
                job,
                duplicate,
            } => {
                let ms = self.entry.time_us / 1000;
                let id = JobId::new(ms, ShardId(self.shard), *job);
                // Of a job that was there already, the event does not say when it was made.
                let id = if *duplicate { Value::Null } else { id.to_string().into() };
                json!({
                    "event": "schedule_fired", "job": job.0, "id": id, "queue": queue,
                    "schedule": name, "planned_us": planned.0, "next_us": next.0,
                    "skipped": skipped, "defined_seq": defined.0, "duplicate": duplicate,
                })
            }
            other => unreachable!("{other:?} is no event of a schedule"),
        }
    }

    fn set(&self, set: &SetSchedule) -> Value {
        json!({
            "event": "schedule_set", "queue": set.class.queue, "schedule": set.name,
            "expression": set.expression, "zone": set.zone, "missed": set.missed.name(),
            "next_us": set.next.0, "priority": set.class.priority,
            "max_retries": set.class.max_retries, "limit_key": set.limit_key,
            "unique": self.bytes(&set.unique),
            "payload": self.blob(set.payload), "tags": self.blob(set.tags),
        })
    }
}
