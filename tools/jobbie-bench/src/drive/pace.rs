//! When an open loop sends: on a fixed schedule, whatever the server does. A request that had to wait for a free connection
//! keeps the time it was meant to be sent, so a stall of the server shows in every request behind it.

use std::time::Duration;

/// What makes producers send.
#[derive(Debug)]
pub(super) enum Sending {
    /// The answer to the last request. Also when there is nothing left to send.
    Answers,
    /// The time.
    Schedule(Pace),
    /// That every worker has waited for a while.
    Waiting(Pause),
}

/// How long workers are left waiting before the next job.
#[derive(Debug)]
pub(super) struct Pause {
    pause_ns: u64,
    since_ns: Option<u64>,
}

impl Pause {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause_ns: pause.as_nanos() as u64, since_ns: None }
    }

    /// When the next job is to be sent, or nothing while somebody is at work.
    pub(super) fn due_ns(&mut self, everyone_waits: bool, now_ns: u64) -> Option<u64> {
        let since_ns = everyone_waits.then(|| self.since_ns.unwrap_or(now_ns));
        self.since_ns = since_ns;
        since_ns.map(|since| since + self.pause_ns)
    }
}

/// A schedule of equal steps.
#[derive(Debug)]
pub(super) struct Pace {
    begin_ns: u64,
    step_ns: f64,
    sent: u64,
}

impl Pace {
    /// `rate` requests a second, the first at `begin_ns`.
    pub(super) fn new(begin_ns: u64, rate: f64) -> Self {
        assert!(rate > 0.0, "options refuse a rate of 0");
        Self { begin_ns, step_ns: 1e9 / rate, sent: 0 }
    }

    /// When the next request is meant to be sent.
    pub(super) fn due_ns(&self) -> u64 {
        self.begin_ns + (self.sent as f64 * self.step_ns) as u64
    }

    /// The next request was sent.
    pub(super) fn step(&mut self) {
        self.sent += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_does_not_move_the_schedule() {
        let mut pace = Pace::new(1_000, 1_000_000.0);
        let mut due = Vec::new();
        for _ in 0..4 {
            due.push(pace.due_ns());
            pace.step();
        }
        assert_eq!(due, [1_000, 2_000, 3_000, 4_000]);
    }

    #[test]
    fn a_pause_counts_from_when_everyone_waits() {
        let mut pause = Pause::new(Duration::from_nanos(100));
        assert_eq!(pause.due_ns(false, 1_000), None);
        assert_eq!(pause.due_ns(true, 1_010), Some(1_110));
        assert_eq!(pause.due_ns(true, 1_090), Some(1_110));
        assert_eq!(pause.due_ns(false, 1_120), None);
        assert_eq!(pause.due_ns(true, 1_500), Some(1_600));
    }

    #[test]
    fn rounding_does_not_add_up() {
        let mut pace = Pace::new(0, 3.0);
        (0..3_000).for_each(|_| pace.step());
        assert_eq!(pace.due_ns(), 1_000_000_000_000);
    }
}
