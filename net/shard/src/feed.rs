//! What a shard says to whoever follows its log on another thread, and what it hears from there. Following never makes it wait.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use jobbie_proto::Micros;

/// How far a shard's clock may be set forward for its follower, in microseconds. Leases end that much sooner.
const AHEAD_US_MAX: u64 = 1_000_000;

/// The connection between a shard and its follower. Any thread may use it.
pub struct Feed {
    /// Every entry below this index is committed.
    committed_end: AtomicU64,
    /// What is committed later is no earlier than this.
    floor: AtomicU64,
    /// The follower wants the floor to be at least this; 0 is nothing.
    wanted: AtomicU64,
    /// What of that the shard has seen.
    seen: AtomicU64,
    /// The follower needs the log from this event on.
    kept_from: AtomicU64,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            committed_end: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            kept_from: AtomicU64::new(u64::MAX),
            wake: OnceLock::new(),
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("committed_end", &self.committed_end()).finish_non_exhaustive()
    }
}

/// For the follower.
impl Feed {
    /// Every entry below this index is committed.
    #[must_use]
    pub fn committed_end(&self) -> u64 {
        self.committed_end.load(Ordering::SeqCst)
    }

    /// What is committed from now on is no earlier than this. Read before [`Feed::committed_end`], it also holds for every entry from
    /// that index on.
    #[must_use]
    pub fn floor(&self) -> Micros {
        Micros(self.floor.load(Ordering::SeqCst))
    }

    /// Asks the shard to stay behind `time`, once it has been woken.
    pub fn ask(&self, time: Micros) {
        self.wanted.fetch_max(time.0, Ordering::SeqCst);
    }

    /// Whether an answer is still to come. Once it has, a floor that is earlier than what was asked for stays so: the shard's clock is
    /// too far behind.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) != 0
    }

    /// Whether the shard has not seen yet what it was asked.
    #[must_use]
    pub fn is_calling(&self) -> bool {
        let wanted = self.wanted.load(Ordering::SeqCst);
        wanted != 0 && wanted != self.seen.load(Ordering::SeqCst)
    }

    /// The log is needed from `event` on, and not what is before; `u64::MAX` when nobody follows.
    pub fn keep_from(&self, event: u64) {
        self.kept_from.store(event, Ordering::SeqCst);
    }

    /// What is called after every commit and promise, on the shard's thread: wakes the follower if it sleeps. Set once.
    pub fn wake_with(&self, wake: impl Fn() + Send + Sync + 'static) {
        let first = self.wake.set(Box::new(wake)).is_ok();
        assert!(first, "a shard has two followers");
    }
}

/// For the shard.
impl Feed {
    pub(crate) fn kept_from(&self) -> u64 {
        self.kept_from.load(Ordering::SeqCst)
    }

    /// Entry `index`, made at `time`, is committed.
    pub(crate) fn committed(&self, index: u64, time: Micros) {
        // In this order: whoever reads the floor first never takes it for later than what is still to come.
        self.committed_end.store(index + 1, Ordering::SeqCst);
        self.promise(time);
    }

    /// What is committed from now on is no earlier than `time`.
    pub(crate) fn promise(&self, time: Micros) {
        self.floor.fetch_max(time.0, Ordering::SeqCst);
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// What the follower asks for; it need not call for it again.
    pub(crate) fn see(&self) -> Option<Micros> {
        let wanted = self.wanted.load(Ordering::SeqCst);
        // Every commit comes by, and mostly nothing is asked.
        if wanted == 0 {
            return None;
        }
        self.seen.store(wanted, Ordering::SeqCst);
        Some(Micros(wanted))
    }

    /// The answer to `wanted`.
    pub(crate) fn answer(&self, wanted: Micros, floor: Micros) {
        // In this order: whoever sees that it is answered sees the answer.
        self.promise(floor);
        self.wanted.compare_exchange(wanted.0, 0, Ordering::SeqCst, Ordering::SeqCst).ok();
        self.seen.store(0, Ordering::SeqCst);
    }
}

/// The floor that a shard whose clock says `now` can give who wants `wanted`: no more than a little ahead of its clock.
pub(crate) fn floor_for(wanted: Micros, now: Micros) -> Micros {
    let most = now.0.saturating_add(AHEAD_US_MAX);
    if wanted.0 > most { now } else { now.max(wanted) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn a_follower_is_told_what_is_committed_and_woken() {
        let feed = Feed::default();
        let woken = Arc::new(AtomicU32::new(0));
        let bell = Arc::clone(&woken);
        feed.committed(4, Micros(10));
        feed.wake_with(move || {
            bell.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!((feed.committed_end(), feed.floor()), (5, Micros(10)));
        feed.committed(5, Micros(0));
        assert_eq!(
            (feed.committed_end(), feed.floor()),
            (6, Micros(10)),
            "some entries have no time"
        );
        assert_eq!(woken.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_question_calls_once_and_stands_until_it_is_answered() {
        let feed = Feed::default();
        assert_eq!(feed.see(), None);
        feed.ask(Micros(90));
        assert!(feed.is_asked() && feed.is_calling());
        assert_eq!(feed.see(), Some(Micros(90)));
        assert!(feed.is_asked() && !feed.is_calling());
        feed.ask(Micros(95));
        assert!(feed.is_calling());
        feed.answer(Micros(90), Micros(90));
        assert!(feed.is_asked(), "it wants more by now");
        feed.answer(Micros(95), Micros(95));
        assert_eq!((feed.is_asked(), feed.is_calling(), feed.floor()), (false, false, Micros(95)));
        feed.ask(Micros(95));
        assert!(feed.is_calling(), "the same may be asked again");
    }

    #[test]
    fn a_clock_is_set_forward_by_a_second_at_most() {
        let floor = |wanted| floor_for(Micros(wanted), Micros(100));
        assert_eq!(
            (floor(90), floor(1_000_100), floor(1_000_101)),
            (Micros(100), Micros(1_000_100), Micros(100))
        );
    }
}
