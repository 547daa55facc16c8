//! When an open loop sends: on a fixed schedule, whatever the server does. A request that had to wait for a free connection
//! keeps the time it was meant to be sent, so a stall of the server shows in every request behind it.

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
    fn rounding_does_not_add_up() {
        let mut pace = Pace::new(0, 3.0);
        (0..3_000).for_each(|_| pace.step());
        assert_eq!(pace.due_ns(), 1_000_000_000_000);
    }
}
