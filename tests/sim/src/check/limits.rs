//! Limits: never more active jobs of a queue or of a limit key than may be, never more given out within any window.

use jobbie_proto::event::Sharing;
use jobbie_proto::reply::JobState;

use super::violated;
use crate::model::{Job, Model};

/// How many more jobs of a queue, or of one of its keys, may be given out at `time`.
fn room(model: &Model, queue: &str, key: Option<&str>, time: u64) -> u64 {
    let settings = model.settings(queue);
    let (concurrency, rate, window_ms) = match key {
        None => (settings.concurrency, settings.rate, settings.window_ms),
        Some(_) => (settings.key_concurrency, settings.key_rate, settings.key_window_ms),
    };
    let slots = match concurrency {
        0 => u64::MAX,
        most => u64::from(most).saturating_sub(active(model, queue, key)),
    };
    if rate == 0 {
        return slots;
    }
    let window_us = u64::from(window_ms) * 1000;
    let claims = model.claims(queue, key).iter().filter(|at| **at + window_us > time).count();
    slots.min(u64::from(rate).saturating_sub(claims as u64))
}

fn active(model: &Model, queue: &str, key: Option<&str>) -> u64 {
    let is_active = |job: &Job| {
        let here = job.state == JobState::Active && job.class.queue == queue;
        here && key.is_none_or(|key| job.limit_key == key)
    };
    model.live.iter().filter(|seq| is_active(model.job(**seq))).count() as u64
}

/// A job is about to be leased.
pub(crate) fn leased(model: &Model, seq: u64, time: u64) {
    let job = model.job(seq);
    let (queue, key) = (&job.class.queue, &*job.limit_key);
    if room(model, queue, None, time) == 0 {
        violated!("limits", "job {seq} was leased from {queue}, which is at its limit");
    }
    if !key.is_empty() && room(model, queue, Some(key), time) == 0 {
        violated!("limits", "job {seq} was leased for {key}, which is at its limit");
    }
}

/// Whether `other` may be given out although `first` came before it.
pub(crate) fn may_be_passed(
    model: &Model,
    first: &Job,
    other: &Job,
    time: u64,
    group: u64,
) -> bool {
    let queue = &first.class.queue;
    let (ours, theirs) = (&*first.limit_key, &*other.limit_key);
    // What a request itself puts into a queue with lanes waits for the next one.
    // So does an agent job that brings its own checkpoint, and one with a tag that rules name.
    let brings = first.agent.is_some() && first.checkpoint >= group;
    let is_tagged = model.rules.tagged.contains_key(&first.id.seq().0);
    let is_new = first.position >= group && (brings || is_tagged || model.has_lanes(queue));
    let shares = model.settings(queue).fair != Sharing::None && ours != theirs;
    let is_limited = !ours.is_empty() && room(model, queue, Some(ours), time) == 0;
    // A lower tier is never served before a higher one, except where that is limited.
    let has_no_money = super::budgets::has_closed_tag(model, first.id.seq().0);
    is_new || has_no_money || is_limited || (shares && first.class.priority == other.class.priority)
}
