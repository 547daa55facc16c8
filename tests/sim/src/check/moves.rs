//! R9, R10: a job that was moved is in exactly one place, as it was, and every shard that it was on knows what became of it.

use jobbie_core::State;
use jobbie_proto::reply::JobState;

use super::violated;
use crate::model::{Baggage, Model};

/// Nothing is on its way any more.
pub(crate) fn check(models: &[&Model], states: &[State]) -> usize {
    let mut moves = 0;
    for model in models {
        for job in &model.jobs {
            let Some((from, came)) = &job.came else { continue };
            moves += 1;
            let old = models[usize::from(from.shard().0)].job(from.seq().0);
            if old.id != *from || (!old.gone && old.state != JobState::Moved) {
                violated!("r09", "{from} is here and came to another shard as {}: {old:?}", job.id);
            }
            if old.gone != job.gone {
                let id = job.id;
                violated!("r10", "{from} is gone: {}, and {id} is gone: {}", old.gone, job.gone);
            }
            let went = Baggage::of(old);
            if went != **came {
                violated!("r10", "{from} went as {went:?} and came as {came:?}");
            }
        }
        for job in model.live.iter().map(|seq| model.job(*seq)) {
            if job.state == JobState::Moved {
                found(models, states, job.id);
            }
        }
    }
    moves
}

/// A moved job is followed to where it is.
fn found(models: &[&Model], states: &[State], id: jobbie_proto::JobId) {
    let mut came = models.iter().filter_map(|model| Some((model, model.as_it_came(id)?)));
    let Some((model, seq)) = came.next() else { violated!("r10", "{id} has moved to nowhere") };
    if came.next().is_some() {
        violated!("r09", "{id} came to two shards");
    }
    let kin = match states[usize::from(id.shard().0)].job(id) {
        Ok(view) => view.kin,
        Err(code) => violated!("r10", "{id} has moved, and its shard says {code:?}"),
    };
    // It may have gone on: then its stub says so.
    let mut at = model.job(seq).id;
    while models[usize::from(at.shard().0)].job(at.seq().0).state == JobState::Moved {
        let next = models.iter().find_map(|model| Some(model.job(model.as_it_came(at)?).id));
        let Some(next) = next else { violated!("r10", "{at} has moved to nowhere") };
        at = next;
    }
    if kin.moved_to != Some(at) {
        violated!("r10", "{id} is {at}, and its shard says {:?}", kin.moved_to);
    }
}
