//! When jobs that wait for their time are due.

use std::time::Duration;

use crate::scatter;

/// All become due within this long, in microseconds.
const SPREAD_US: u64 = 1_000_000;
/// How long before the first job's time workers begin to fetch.
const WORKERS_AHEAD: Duration = Duration::from_secs(1);
/// A job that came so long before its time is a fault. Clocks of two programs on one machine agree to much less.
const CLOCKS_APART_MAX: Duration = Duration::from_millis(100);

/// The times of so many jobs, evenly spread over one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    jobs: u64,
    shuffle: bool,
    first_unix_us: u64,
    epoch_unix_ns: u64,
}

impl Due {
    /// Times of `jobs` jobs, at least 1, in the order of their numbers. The first is due so long after the run began, and
    /// that was so many nanoseconds after 1970.
    #[must_use]
    pub fn new(jobs: u64, first: Duration, epoch_unix_ns: u64) -> Self {
        let first_unix_us = (epoch_unix_ns + first.as_nanos() as u64).div_ceil(1000);
        Self { jobs, shuffle: false, first_unix_us, epoch_unix_ns }
    }

    /// The same times in another order, in which neighbours are far apart.
    #[must_use]
    pub fn shuffled(self) -> Self {
        Self { shuffle: true, ..self }
    }

    /// When the first is due, in nanoseconds since the run began.
    #[must_use]
    pub fn first_ns(&self) -> u64 {
        self.first_unix_us * 1000 - self.epoch_unix_ns
    }

    /// How long to wait until workers begin, when all jobs are there `filled` after the run began.
    ///
    /// # Errors
    /// When that is too late, and what to do.
    pub fn pause(&self, filled: Duration) -> Result<Duration, String> {
        let first = Duration::from_nanos(self.first_ns());
        first.saturating_sub(WORKERS_AHEAD).checked_sub(filled).ok_or_else(|| {
            let (took, given) = (filled.as_secs_f64(), first.as_secs_f64());
            let enough = 2 * filled.as_secs() + 2;
            format!(
                "all jobs were there after {took:.1} s, and the first is due after {given:.1} s: give --ahead {enough}"
            )
        })
    }

    /// When job `number` is due, in microseconds since 1970.
    #[must_use]
    pub fn unix_us(&self, number: u64) -> u64 {
        let nth = if self.shuffle { scatter::evenly(number, self.jobs) } else { number };
        self.first_unix_us + nth * SPREAD_US / self.jobs
    }

    /// The same in nanoseconds since the run began.
    #[must_use]
    pub fn since_begin_ns(&self, number: u64) -> u64 {
        self.unix_us(number) * 1000 - self.epoch_unix_ns
    }
}

/// What is wrong when a job came so long before its time.
#[must_use]
pub fn fault(early: Duration) -> Option<String> {
    (early > CLOCKS_APART_MAX).then(|| {
        let ms = early.as_millis();
        format!("jobs came up to {ms} ms before they were due, by the clock of this machine")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_due_evenly_over_one_second() {
        let epoch_ns = 1_700_000_000_000_000_123;
        for jobs in [1, 4, 100_003, 1_000_000] {
            let due = Due::new(jobs, Duration::from_secs(5), epoch_ns);
            let times = |due: Due| (0..jobs).map(|number| due.unix_us(number)).collect::<Vec<_>>();
            let first = 1_700_000_005_000_001;
            let wanted: Vec<u64> = (0..jobs).map(|nth| first + nth * 1_000_000 / jobs).collect();
            assert!(times(due) == wanted, "{jobs}");
            let mut shuffled = times(due.shuffled());
            assert!(jobs == 1 || shuffled != wanted, "{jobs}");
            shuffled.sort_unstable();
            assert!(shuffled == wanted, "{jobs}");
        }
    }

    #[test]
    fn both_clocks_mean_one_time() {
        let due = Due::new(10, Duration::from_secs(1), 1_700_000_000_000_000_123);
        assert_eq!(due.first_ns(), 1_000_000_877);
        assert_eq!(due.since_begin_ns(0), due.first_ns());
        for number in 0..10 {
            let unix_ns = 1_700_000_000_000_000_123 + due.since_begin_ns(number);
            assert_eq!(unix_ns, due.unix_us(number) * 1000);
        }
    }

    #[test]
    fn jobs_that_come_before_their_time_are_a_fault() {
        assert_eq!(fault(Duration::from_micros(100)), None);
        assert!(fault(Duration::from_secs(1)).is_some_and(|said| said.contains("1000 ms")));
    }

    #[test]
    fn a_fill_that_takes_too_long_says_how_much_it_needs() {
        let due = Due::new(10, Duration::from_secs(5), 0);
        assert_eq!(due.pause(Duration::from_millis(3500)), Ok(Duration::from_millis(500)));
        let said = due.pause(Duration::from_millis(4500)).expect_err("too late for workers");
        assert!(
            said.ends_with("after 4.5 s, and the first is due after 5.0 s: give --ahead 10"),
            "{said}"
        );
    }
}
