//! Events of queues.

use jobbie_proto::event::{Event, QueueSettings};
use xxhash_rust::xxh3::xxh3_64;

use super::Mark;
use crate::state::State;

impl State {
    /// Absorbs an event of this module.
    pub(super) fn absorb_queue(&mut self, event: &Event) {
        match event {
            Event::QueuePaused { queue } => self.set_paused(queue, true, false),
            Event::QueueResumed { queue } => self.set_paused(queue, false, false),
            Event::QueueDrained { queue } => self.set_paused(queue, true, true),
            Event::QueueConfigured { queue, settings } => self.configured(queue, *settings),
            Event::KeyWeighed { queue, key, weight } => self.weighed(queue, key, *weight),
            Event::LimitsOpened { queues } => queues.iter().for_each(|queue| self.reopened(queue)),
            other => unreachable!("{other:?} is absorbed elsewhere"),
        }
    }

    fn set_paused(&mut self, queue: &str, paused: bool, draining: bool) {
        self.number_event();
        let at = self.queues.find_or_insert(queue);
        let entry = self.queues.get_mut(at);
        (entry.paused, entry.draining) = (paused, draining);
        let how = u64::from(draining) << 1 | u64::from(paused);
        self.digest.mix_all(&[Mark::Queue as u64, xxh3_64(queue.as_bytes()), how]);
    }

    fn configured(&mut self, queue: &str, settings: QueueSettings) {
        self.number_event();
        let at = self.queues.find_or_insert(queue);
        self.configure(at, settings);
        let QueueSettings { concurrency, rate, window_ms, .. } = settings;
        let QueueSettings { key_concurrency, key_rate, key_window_ms, fair, .. } = settings;
        let pair = |a: u32, b: u32| u64::from(a) << 32 | u64::from(b);
        self.digest.mix_all(&[
            Mark::QueueConfigured as u64,
            xxh3_64(queue.as_bytes()),
            pair(concurrency, rate),
            pair(window_ms, key_concurrency),
            pair(key_rate, key_window_ms),
            fair as u64,
        ]);
    }

    fn weighed(&mut self, queue: &str, key: &str, weight: u16) {
        self.number_event();
        let at = self.queues.find_or_insert(queue);
        self.weigh(at, key, weight);
        let hashes = [xxh3_64(queue.as_bytes()), xxh3_64(key.as_bytes())];
        self.digest.mix_all(&[Mark::KeyWeighed as u64, hashes[0], hashes[1], u64::from(weight)]);
    }

    fn reopened(&mut self, queue: &str) {
        self.number_event();
        let at = self.queues.find(queue).expect("the windows of an unknown queue opened");
        self.open_limits(at);
        self.digest.mix_all(&[Mark::LimitsOpened as u64, xxh3_64(queue.as_bytes())]);
    }
}
