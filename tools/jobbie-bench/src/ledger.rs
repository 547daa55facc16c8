//! Which jobs were created, given out and finished: a bit for each number, so that "each exactly once" is counted and not
//! believed.

/// A set of job numbers.
#[derive(Clone, Debug, Default)]
pub struct NumberSet {
    words: Vec<u64>,
    count: u64,
}

impl NumberSet {
    /// Adds a number; false when it was there already.
    pub fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.words.len() {
            self.words.resize((word + 1).next_power_of_two(), 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.count += u64::from(is_new);
        is_new
    }

    /// How many numbers it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds all of `other`; returns how many were there already.
    pub fn merge(&mut self, other: &NumberSet) -> u64 {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
        let before = self.count + other.count;
        self.count = self.words.iter().map(|w| u64::from(w.count_ones())).sum();
        before - self.count
    }

    /// How many numbers `other` lacks, and the first of them.
    #[must_use]
    pub fn missing_from(&self, other: &NumberSet) -> (u64, Option<u64>) {
        let (mut count, mut first) = (0, None);
        for (at, word) in self.words.iter().enumerate() {
            let lacking = word & !other.words.get(at).copied().unwrap_or(0);
            if lacking != 0 && first.is_none() {
                first = Some(at as u64 * 64 + u64::from(lacking.trailing_zeros()));
            }
            count += u64::from(lacking.count_ones());
        }
        (count, first)
    }
}

/// What one thread saw, or all of them together.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Enqueues that were answered with done.
    pub enqueued: NumberSet,
    /// Acks that were answered with done.
    pub acked: NumberSet,
    /// Acks that were answered with done for a job already acked.
    pub acked_twice: u64,
    /// Jobs whose payload is not what was sent.
    pub mangled: u64,
}

impl Ledger {
    /// Notes a finished job.
    pub fn ack(&mut self, number: u64) {
        self.acked_twice += u64::from(!self.acked.insert(number));
    }

    /// Adds what another thread saw.
    pub fn merge(&mut self, other: &Ledger) {
        let twice = self.enqueued.merge(&other.enqueued);
        assert_eq!(twice, 0, "numbers are given out once");
        self.acked_twice += other.acked_twice + self.acked.merge(&other.acked);
        self.mangled += other.mangled;
    }

    /// What is wrong with the delivery, in words; nothing when each enqueued job was acked exactly once.
    /// An enqueue that was refused counts as not enqueued, and must not turn up.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |count: u64, what: &str, first: Option<u64>| {
            if count > 0 {
                let first = first.map_or(String::new(), |n| format!(", the first is number {n}"));
                faults.push(format!("{count} jobs {what}{first}"));
            }
        };
        let (lost, first_lost) = self.enqueued.missing_from(&self.acked);
        fault(lost, "were enqueued and never finished", first_lost);
        let (foreign, first_foreign) = self.acked.missing_from(&self.enqueued);
        fault(foreign, "were finished and never enqueued", first_foreign);
        fault(self.acked_twice, "were finished twice", None);
        fault(self.mangled, "came with other bytes than were sent", None);
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(enqueued: &[u64], acked: &[u64]) -> Ledger {
        let mut ledger = Ledger::default();
        for n in enqueued {
            ledger.enqueued.insert(*n);
        }
        for n in acked {
            ledger.ack(*n);
        }
        ledger
    }

    #[test]
    fn exactly_once_has_no_faults_and_everything_else_has() {
        assert_eq!(ledger(&[0, 1, 700], &[700, 0, 1]).faults(), Vec::<String>::new());
        assert_eq!(
            ledger(&[0, 64, 65], &[0]).faults(),
            ["2 jobs were enqueued and never finished, the first is number 64"]
        );
        assert_eq!(
            ledger(&[0], &[0, 9]).faults(),
            ["1 jobs were finished and never enqueued, the first is number 9"]
        );
        assert_eq!(ledger(&[0], &[0, 0]).faults(), ["1 jobs were finished twice"]);
    }

    #[test]
    fn a_job_finished_by_two_threads_is_found() {
        let mut all = ledger(&[1, 2], &[1, 2]);
        all.merge(&ledger(&[3], &[2, 3]));
        assert_eq!(all.faults(), ["1 jobs were finished twice"]);
        assert_eq!((all.enqueued.count(), all.acked.count()), (3, 3));
    }
}
