//! Crash, reopen, compare, continue, crash again: what was acknowledged is there, what is there was
//! asked for, and it is a prefix of what was asked for.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use jobbie_log::{Entry, EntryId, Log, LogConfig, Vote};
use jobbie_sim::{Handle, SimDisk};
use proptest::prelude::*;

use crate::support::*;

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: usize,
        bytes: usize,
        wait: bool,
    },
    Vote,
    TruncateBack {
        entries: u64,
    },
    PurgeAllBut {
        entries: u64,
    },
    SleepUs {
        us: u64,
    },
    /// The power fails now.
    PowerLoss,
    /// The power fails when the disk has been called this many times more.
    PowerLossLater {
        calls: u64,
    },
    /// The process dies; the disk keeps what it has, flushed or not.
    Kill,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..5_usize, prop_oneof![0..300_usize, 0..90_000_usize], any::<bool>())
            .prop_map(|(count, bytes, wait)| Step::Append { count, bytes, wait }),
        1 => Just(Step::Vote),
        2 => (0..6_u64).prop_map(|entries| Step::TruncateBack { entries }),
        2 => (0..20_u64).prop_map(|entries| Step::PurgeAllBut { entries }),
        3 => (1..300_000_u64).prop_map(|us| Step::SleepUs { us }),
        2 => Just(Step::PowerLoss),
        2 => (0..60_u64).prop_map(|calls| Step::PowerLossLater { calls }),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
    ]
}

/// One record's worth of change.
#[derive(Clone, Debug)]
enum Change {
    Append(Entry),
    TruncateTo(Option<EntryId>),
    Vote(Vote),
}

#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    entries: Vec<Entry>,
    vote: Option<Vote>,
}

impl State {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Append(entry) => self.entries.push(entry.clone()),
            Change::TruncateTo(last) => {
                let end = last.map_or(0, |last| last.index + 1);
                self.entries.retain(|entry| entry.id.index < end);
            }
            Change::Vote(vote) => self.vote = Some(*vote),
        }
    }
}

#[derive(Default)]
struct Model {
    base: State,
    changes: Vec<Change>,
    /// How many of the changes were acknowledged.
    acked: usize,
    term: u64,
    purged: Option<u64>,
}

impl Model {
    /// The state after some number of changes, at least the acknowledged ones, must be what was found.
    fn recovered(&mut self, found: &State, first: u64) {
        let mut state = self.base.clone();
        let from_first = |state: &State| {
            let mut state = state.clone();
            state.entries.retain(|entry| entry.id.index >= first);
            state
        };
        let mut matches = false;
        for done in 0..=self.changes.len() {
            if done >= self.acked && from_first(&state) == *found {
                matches = true;
                break;
            }
            if let Some(change) = self.changes.get(done) {
                state.apply(change);
            }
        }
        assert!(
            matches,
            "no prefix of {} changes, {} of them acknowledged, gives the {} entries found from {first}",
            self.changes.len(),
            self.acked,
            found.entries.len(),
        );
        assert!(first <= self.purged.map_or(0, |purged| purged + 1), "purged more than asked for");
        self.base = state;
        self.changes.clear();
        self.acked = 0;
    }
}

async fn race<T>(future: impl Future<Output = T>, disk: &SimDisk) -> Option<T> {
    let (mut future, mut failure) = (pin!(future), pin!(disk.power_failure()));
    poll_fn(|cx| {
        if failure.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

async fn perform(log: &Log<SimDisk>, model: &Rc<RefCell<Model>>, step: &Step) {
    match step {
        Step::Append { count, bytes, wait } => {
            let term = model.borrow().term;
            let mut entries = Vec::new();
            let (mut index, mut event) =
                (log.state().last.map_or(0, |last| last.index + 1), log.state().next_event);
            for i in 0..*count {
                let entry = entry(term, index, event, (i % 3) as u32, bytes / (i + 1));
                (index, event) = (index + 1, entry.next_event());
                entries.push(entry);
            }
            let end = {
                let mut model = model.borrow_mut();
                model.changes.extend(entries.iter().cloned().map(Change::Append));
                model.changes.len()
            };
            let acks = Rc::clone(model);
            let done = Rc::new(std::cell::Cell::new(false));
            let said = Rc::clone(&done);
            log.append(entries, move |result| {
                result.unwrap();
                let mut model = acks.borrow_mut();
                assert!(model.acked < end, "acknowledged in order");
                model.acked = end;
                said.set(true);
            })
            .unwrap();
            while *wait && !done.get() {
                Handle::current().sleep(std::time::Duration::from_micros(10)).await;
            }
        }
        Step::Vote => {
            let vote = {
                let mut model = model.borrow_mut();
                model.term += 1;
                let vote = Vote {
                    term: model.term,
                    node: model.term * 3,
                    committed: model.term.is_multiple_of(2),
                };
                model.changes.push(Change::Vote(vote));
                vote
            };
            log.save_vote(vote).await.unwrap();
            assert_eq!(log.state().vote, Some(vote));
            acked_all(model);
        }
        Step::TruncateBack { entries } => {
            let state = log.state();
            let Some(last) = state.last else { return };
            let first = state.purged.map_or(0, |purged| purged.index + 1);
            let end = (last.index + 1).saturating_sub(*entries).max(first);
            let keep = match end.checked_sub(1) {
                None => None,
                Some(index) if index + 1 == first => state.purged,
                Some(index) => Some(log.read(index..index + 1, 1).await.unwrap()[0].id),
            };
            if keep == state.last {
                return;
            }
            {
                let mut model = model.borrow_mut();
                model.changes.push(Change::TruncateTo(keep));
                model.term += 1;
            }
            log.truncate_after(keep).await.unwrap();
            acked_all(model);
        }
        Step::PurgeAllBut { entries } => {
            let Some(index) = log.state().flushed.and_then(|id| id.index.checked_sub(*entries))
            else {
                return;
            };
            if log.state().purged.is_some_and(|purged| purged.index >= index) {
                return;
            }
            let entry = log.read(index..index + 1, 1).await.unwrap().remove(0);
            model.borrow_mut().purged = Some(index);
            log.purge(entry.id).await.unwrap();
            log.keep_from(entry.next_event());
        }
        Step::SleepUs { us } => {
            Handle::current().sleep(std::time::Duration::from_micros(*us)).await
        }
        _ => unreachable!("handled outside"),
    }
}

fn acked_all(model: &Rc<RefCell<Model>>) {
    let mut model = model.borrow_mut();
    model.acked = model.changes.len();
}

async fn run(seed: u64, config: LogConfig, steps: &[Step]) {
    let mut disk = disk(seed);
    let model = Rc::new(RefCell::new(Model { term: 1, ..Model::default() }));
    let mut steps = steps.iter();
    loop {
        let verified = race(jobbie_log::verify(&disk), &disk).await;
        let opened = race(try_open(&disk, config), &disk).await;
        let Some(opened) = opened else {
            Handle::current().kill(NODE);
            disk = disk.reboot();
            continue;
        };
        let (log, report) = opened.expect("a crash never looks like damage");
        if let Some(verified) = verified {
            // What verify says beforehand is what opening then finds.
            let torn = verified.map_or_else(|_| None, |verified| verified.torn);
            assert_eq!(torn, report.torn);
        }
        let first = report.state.purged.map_or(0, |purged| purged.index + 1);
        let Some(entries) = race(read_all(&log), &disk).await else {
            Handle::current().kill(NODE);
            disk = disk.reboot();
            continue;
        };
        let found = State { entries, vote: log.state().vote };
        model.borrow_mut().recovered(&found, first);
        let lost = loop {
            let Some(step) = steps.next() else { return };
            match step {
                Step::PowerLoss => break Some(disk.crash()),
                Step::PowerLossLater { calls } => disk.fail_power_at(disk.operations() + calls),
                Step::Kill => break None,
                Step::Close => {
                    if race(log.close(), &disk).await.is_none() {
                        break Some(disk.reboot());
                    }
                    acked_all(&model);
                    if race(Handle::current().sleep(std::time::Duration::from_secs(1)), &disk)
                        .await
                        .is_none()
                    {
                        break Some(disk.reboot());
                    }
                    break None;
                }
                step => {
                    if race(perform(&log, &model, step), &disk).await.is_none() {
                        break Some(disk.reboot());
                    }
                }
            }
        };
        Handle::current().kill(NODE);
        disk = lost.unwrap_or(disk);
        // Whatever was about to fail later has nothing to do with the next life.
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn r01_r04_what_was_acknowledged_survives_every_crash(
        seed in any::<u64>(),
        spare_segments in 1..3_usize,
        verify_sealed in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let config = LogConfig { spare_segments, verify_sealed, ..config() };
        simulate(seed, async || run(seed, config, &steps).await);
    }
}
