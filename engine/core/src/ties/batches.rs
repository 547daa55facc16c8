//! Batches that are counted here.

use jobbie_proto::limits::BATCH_OPEN_MS_MAX;
use jobbie_proto::reply::BatchView;
use jobbie_proto::{Micros, ShardId};

use super::{Map, Set};
use crate::settings::Settings;

/// One batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) opened_ms: u64,
    /// Where its callback goes, if it has one.
    pub(crate) callback: Option<ShardId>,
    /// Its members, once they are known.
    pub(crate) total: Option<u64>,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// When the last member ended; 0 before.
    pub(crate) ended: u64,
    /// Whether its callback is on its way, or made.
    pub(crate) called_back: bool,
    /// Whether its callback is made.
    pub(crate) made: bool,
}

impl Batch {
    pub(crate) fn counted(&self) -> u64 {
        self.succeeded + self.failed
    }

    fn is_complete(&self) -> bool {
        self.total == Some(self.counted())
    }

    pub(crate) fn view(&self) -> BatchView {
        BatchView {
            total: self.total,
            succeeded: self.succeeded,
            failed: self.failed,
            ended: Micros(self.ended),
            called_back: self.called_back,
        }
    }
}

/// All of them, by the number of the event that opened each.
#[derive(Clone, Default)]
pub(crate) struct Batches {
    batches: Map<u64, Batch>,
    /// Those whose definition is still needed.
    open: Set<u64>,
    /// Those whose members are not known yet, which were opened in the order of their numbers.
    unsealed: Set<u64>,
    /// Complete, and their callback is not sent.
    due: Set<u64>,
    /// Time and number of those that have ended.
    ended: Set<(u64, u64)>,
}

impl Batches {
    pub(crate) fn get(&self, number: u64) -> Option<&Batch> {
        self.batches.get(&number)
    }

    pub(crate) fn insert(&mut self, number: u64, batch: Batch) {
        self.batches.insert(number, batch);
        self.place(number, batch);
    }

    fn place(&mut self, number: u64, batch: Batch) {
        if batch.total.is_none() {
            self.unsealed.insert(number);
        }
        if batch.ended == 0 {
            self.open.insert(number);
            return;
        }
        self.ended.insert((batch.ended, number));
        if batch.callback.is_some() && !batch.made {
            self.open.insert(number);
            if !batch.called_back {
                self.due.insert(number);
            }
        }
    }

    fn change(&mut self, number: u64, now: u64, change: impl FnOnce(&mut Batch)) {
        let mut batch = *self.get(number).expect("an unknown batch");
        change(&mut batch);
        let ends = batch.is_complete() && batch.ended == 0;
        if ends {
            // Nothing happens at 0.
            batch.ended = now.max(1);
            self.open.remove(&number);
        }
        self.batches.insert(number, batch);
        if ends {
            self.place(number, batch);
        }
    }

    pub(crate) fn seal(&mut self, number: u64, total: u64, now: u64) {
        self.change(number, now, |batch| {
            assert!(batch.total.is_none() && batch.counted() <= total, "cannot be sealed so");
            batch.total = Some(total);
        });
        self.unsealed.remove(&number);
    }

    /// Members have ended. Those beyond the sealed number count for nothing, and of several that end at once those that
    /// are completed count first.
    pub(crate) fn count(&mut self, number: u64, succeeded: u32, failed: u32, now: u64) {
        self.change(number, now, |batch| {
            let room = batch.total.map_or(u64::MAX, |total| total - batch.counted());
            let succeeded = u64::from(succeeded).min(room);
            batch.succeeded += succeeded;
            batch.failed += u64::from(failed).min(room - succeeded);
        });
    }

    pub(crate) fn is_callback_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Complete batches with a callback that is not sent.
    pub(crate) fn due(&self) -> impl Iterator<Item = (u64, ShardId)> + '_ {
        self.due.iter().map(|number| {
            (*number, self.batches[number].callback.expect("only batches with a callback"))
        })
    }

    pub(crate) fn called_back(&mut self, number: u64) {
        assert!(self.due.remove(&number).is_some(), "a callback was sent that is not due");
        let mut batch = self.batches[&number];
        batch.called_back = true;
        self.batches.insert(number, batch);
    }

    /// The callback is made: nothing needs the definition any more.
    pub(crate) fn delivered(&mut self, number: u64) {
        self.open.remove(&number);
        let mut batch = self.batches[&number];
        batch.made = true;
        self.batches.insert(number, batch);
    }

    pub(crate) fn oldest_open(&self) -> Option<u64> {
        self.open.get_min().copied()
    }

    /// When a batch that nobody sealed is given up.
    fn given_up(&self, number: u64) -> u64 {
        Micros(self.batches[&number].opened_ms * 1000).plus_ms(BATCH_OPEN_MS_MAX).0
    }

    /// When the first batch is forgotten: one that has ended, or one that nobody has sealed.
    #[inline]
    pub(crate) fn first_purge(&self, settings: &Settings) -> Option<u64> {
        if self.batches.is_empty() {
            return None;
        }
        let retained = |at: u64| Micros(at).plus_ms(settings.retention_ms).0;
        let ended = self.ended.get_min().map(|(at, _)| retained(*at));
        let given_up = self.unsealed.get_min().map(|number| self.given_up(*number));
        ended.into_iter().chain(given_up).min()
    }

    /// Batches that ended long ago, in that order, and those that were opened long ago and never sealed.
    pub(crate) fn purgeable(
        &self,
        now: u64,
        settings: &Settings,
    ) -> impl Iterator<Item = u64> + '_ {
        let retention_ms = settings.retention_ms;
        let old = move |ended: u64| Micros(ended).plus_ms(retention_ms).0 <= now;
        let ended = self.ended.iter().take_while(move |(ended, _)| old(*ended));
        let given_up = self.unsealed.iter().take_while(move |open| self.given_up(**open) <= now);
        ended.map(|(_, number)| *number).chain(given_up.copied())
    }

    pub(crate) fn forget(&mut self, number: u64) {
        let batch = self.batches.remove(&number).expect("an unknown batch was forgotten");
        let was_kept = match batch.total {
            None => self.unsealed.remove(&number).is_some(),
            Some(_) => self.ended.remove(&(batch.ended, number)).is_some(),
        };
        assert!(was_kept, "a batch that goes on was forgotten");
        self.open.remove(&number);
        self.due.remove(&number);
    }

    pub(crate) fn iter(&self, from: u64) -> impl Iterator<Item = (u64, Batch)> + '_ {
        self.batches.range(from..).map(|(number, batch)| (*number, *batch))
    }
}
