//! Checks what a load wrote down (`jobbie-bench --history`) against what a server promises.
//!
//! acked ⊆ drained ⊆ attempted; one job a key; no job given out after it was acked; no two leases of a job at a time; a
//! later lease has a larger token.

use std::collections::{BTreeMap, BTreeSet};

/// Everything that was seen of one job.
#[derive(Debug, Default)]
struct Seen<'a> {
    key: &'a str,
    /// Token, from, until; times by the server's clock, in microseconds.
    leases: Vec<(u64, u64, u64)>,
    acked: u32,
}

/// What was counted, to see that a run was worth anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys sent.
    pub attempted: usize,
    /// Keys answered.
    pub enqueued: usize,
    /// Keys whose connection was lost before the answer at least once.
    pub unknown: usize,
    /// Jobs given out.
    pub leased: usize,
    /// Jobs acked.
    pub acked: usize,
    /// Jobs given out more than once.
    pub leased_again: usize,
}

/// Reads histories that follow each other, the last of which drained the queues. Returns what was counted and every
/// broken promise.
#[must_use]
pub fn check(histories: &[&str]) -> (Counts, Vec<String>) {
    let mut checker = Checker::default();
    for history in histories {
        for line in whole_lines(history) {
            checker.line(line);
        }
    }
    checker.finish()
}

/// A load that was killed may have left half a line.
fn whole_lines(history: &str) -> impl Iterator<Item = &str> {
    let end = history.rfind('\n').map_or(0, |at| at + 1);
    history[..end].lines()
}

#[derive(Default)]
struct Checker<'a> {
    attempted: BTreeSet<&'a str>,
    enqueued: BTreeMap<&'a str, &'a str>,
    unknown: BTreeSet<&'a str>,
    jobs: BTreeMap<&'a str, Seen<'a>>,
    broken: Vec<String>,
}

impl<'a> Checker<'a> {
    fn line(&mut self, line: &'a str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["enqueue", key] => drop(self.attempted.insert(key)),
            ["unknown", key] => drop(self.unknown.insert(key)),
            ["enqueued", key, job] => self.enqueued(key, job),
            ["leased", job, token, from, until, key] => {
                let number = |word: &str| word.parse::<u64>();
                match (number(token), number(from), number(until)) {
                    (Ok(token), Ok(from), Ok(until)) => self.leased(job, key, (token, from, until)),
                    _ => self.broken.push(format!("not a line of a history: {line}")),
                }
            }
            ["acked", job, _] => self.acked(job),
            ["ack", _, _] | ["ack-refused", _, _, _] => {}
            _ => self.broken.push(format!("not a line of a history: {line}")),
        }
    }

    fn enqueued(&mut self, key: &'a str, job: &'a str) {
        let first = *self.enqueued.entry(key).or_insert(job);
        if first != job {
            self.broken.push(format!("r09: key {key} was answered with {first} and with {job}"));
        }
    }

    fn leased(&mut self, job: &'a str, key: &'a str, lease: (u64, u64, u64)) {
        let seen = self.jobs.entry(job).or_insert(Seen { key, ..Seen::default() });
        if seen.key != key {
            self.broken.push(format!("{job} came with the content of {} and of {key}", seen.key));
        }
        if seen.acked > 0 {
            self.broken.push(format!("r10: {job} was given out after it was acked"));
        }
        seen.leases.push(lease);
    }

    fn acked(&mut self, job: &'a str) {
        let seen = self.jobs.entry(job).or_default();
        seen.acked += 1;
        if seen.acked > 1 {
            self.broken.push(format!("r10: {job} was acked twice"));
        }
    }

    fn finish(mut self) -> (Counts, Vec<String>) {
        let mut by_key: BTreeMap<&str, &str> = BTreeMap::new();
        for (job, seen) in &mut self.jobs {
            if !self.attempted.contains(seen.key) {
                self.broken.push(format!("{job} has the key {:?}, which nobody sent", seen.key));
            }
            if let Some(other) = by_key.insert(seen.key, job) {
                self.broken.push(format!("r09: key {} has two jobs, {other} and {job}", seen.key));
            }
            // Workers write down leases a little after each other; the server's clock has their order.
            seen.leases.sort_by_key(|(_, from, _)| *from);
            for pair in seen.leases.windows(2) {
                let [(token, _, until), (next, from, _)] = [pair[0], pair[1]];
                if next <= token {
                    self.broken
                        .push(format!("r11: {job} was given out with token {next} after {token}"));
                }
                if from < until {
                    self.broken
                        .push(format!("r11: {job} was given out at {from}, leased until {until}"));
                }
            }
        }
        for (key, job) in &self.enqueued {
            match by_key.get(key) {
                Some(found) if found == job => {}
                Some(found) => self
                    .broken
                    .push(format!("r09: key {key} was answered with {job} and came as {found}")),
                None => {
                    self.broken.push(format!("r01: {job} (key {key}) was acknowledged and is lost"))
                }
            }
        }
        let unfinished = self.jobs.iter().filter(|(_, seen)| seen.acked == 0).map(|(job, _)| *job);
        // Its ack may have been done and its answer lost; then it is not given out again, which is right.
        let leased_again = self.jobs.values().filter(|seen| seen.leases.len() > 1).count();
        let counts = Counts {
            attempted: self.attempted.len(),
            enqueued: self.enqueued.len(),
            unknown: self.unknown.len(),
            leased: self.jobs.len(),
            acked: self.jobs.len() - unfinished.count(),
            leased_again,
        };
        (counts, self.broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "enqueue k1\nenqueue k2\nenqueued k1 j1\nunknown k2\nleased j1 5 100 200 k1\nack j1 5\nacked j1 5\nleased j2 6 100 200 k2\nleased j2 9 200 300 k2\nack j2 9\nacked j2 9\n";

    fn broken(more: &str) -> Vec<String> {
        check(&[GOOD, more]).1
    }

    #[test]
    fn a_good_history_has_nothing_broken() {
        let (counts, broken) = check(&[GOOD, "leased j3 7 1 2 half a li"]);
        assert_eq!(broken, Vec::<String>::new());
        let expected =
            Counts { attempted: 2, enqueued: 1, unknown: 1, leased: 2, acked: 2, leased_again: 1 };
        assert_eq!(counts, expected);
    }

    #[test]
    fn each_promise_is_found_broken() {
        for (promise, more) in [
            ("r01", "enqueue k3\nenqueued k3 j3\n"),
            ("r09", "enqueued k1 j9\n"),
            ("r09", "leased j7 10 300 400 k1\n"),
            ("r10", "acked j1 5\n"),
            ("r10", "leased j1 10 300 400 k1\n"),
            ("r11", "enqueue k3\nleased j3 5 100 200 k3\nleased j3 6 150 250 k3\n"),
            ("r11", "enqueue k3\nleased j3 5 100 200 k3\nleased j3 5 250 350 k3\n"),
            ("nobody sent", "leased j3 5 100 200 k3\n"),
            ("not a line", "leased j3\n"),
        ] {
            let found = broken(more);
            assert!(found.iter().any(|b| b.contains(promise)), "{more:?}: {found:?}");
        }
    }
}
