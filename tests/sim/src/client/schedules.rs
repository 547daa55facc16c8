//! What a client does to schedules.

use jobbie_proto::Request;
use jobbie_proto::event::{BackoffKind, Missed};
use jobbie_proto::request::{Definition, ScheduleAction, ScheduleControl, Schedules};

use super::Client;
use crate::model::schedules::EVERY_MINUTE;

/// Few, so that clients meet.
const NAMES: [&str; 3] = ["hourly", "a report", "größe"];

impl Client {
    pub(super) fn schedule(&mut self) {
        let queue = self.queues[self.rng.below(self.queues.len() as u64) as usize].clone();
        let name = NAMES[self.rng.below(3) as usize];
        if self.rng.below(8) == 0 {
            let schedules = Schedules::One { queue: &queue, name, times: 5 };
            return self.submit(Request { schedules, ..Request::default() });
        }
        let payload = self.new_payload();
        let action = match self.rng.below(10) {
            0 => ScheduleAction::Pause,
            1 => ScheduleAction::Resume,
            2..=4 => ScheduleAction::Run,
            5 => ScheduleAction::Delete,
            _ => ScheduleAction::Set(self.definition(&payload)),
        };
        let schedule_controls = vec![ScheduleControl { queue: &queue, name, action }];
        self.submit(Request { schedule_controls, ..Request::default() });
    }

    fn definition<'a>(&mut self, payload: &'a [u8]) -> Definition<'a> {
        Definition {
            expression: EVERY_MINUTE,
            zone: ["", "Europe/Berlin"][self.rng.below(2) as usize],
            missed: Missed::from_u8(self.rng.below(3) as u8).expect("there are three"),
            payload,
            tags: b"tag",
            unique: if self.rng.below(3) == 0 { b"unique-1" } else { b"" },
            unique_ms: 2000,
            limit_key: if self.world.plan.limits && self.rng.coin() { "ann" } else { "" },
            priority: self.rng.below(3) as u8,
            max_retries: self.rng.below(5) as u32,
            backoff: BackoffKind::Fixed,
            backoff_base_ms: 200,
            backoff_cap_ms: 1500,
            expire_after_ms: 0,
        }
    }
}
