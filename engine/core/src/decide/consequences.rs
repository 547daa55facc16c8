//! What follows from the end of jobs: messages and counts, in bounded steps.

use std::collections::BTreeMap;

use jobbie_proto::event::{Event, Parcel, Rule, Tie};
use jobbie_proto::rules::{OnExceed, Scope};
use jobbie_proto::{EventSeq, JobId, JobSeq, ShardId};

use super::fetch::head_of;
use crate::rules::{Account, Crossing};
use crate::state::State;
use crate::ties::Tally;

/// What is made of what is due.
#[derive(Default)]
struct Consequences {
    events: Vec<Event>,
    /// Messages by the shard they go to.
    parcels: BTreeMap<ShardId, Vec<Parcel>>,
    left: usize,
}

impl Consequences {
    fn send(&mut self, to: ShardId, parcel: Parcel) {
        self.parcels.entry(to).or_default().push(parcel);
        self.left -= 1;
    }
}

/// What is due because jobs have ended: at most `limit` messages and counts. Absorb it as a group of no session, in the
/// entry that made it due if there is room, and ask again while [`State::has_consequences`].
#[must_use]
pub fn decide_consequences(state: &State, limit: usize) -> Vec<Event> {
    let mut due = Consequences { left: limit, ..Consequences::default() };
    crossings(state, &mut due);
    rules(state, &mut due);
    steps(state, &mut due);
    tallies(state, &mut due);
    asks(state, &mut due);
    callbacks(state, &mut due);
    settle(state, &mut due);
    moves(state, &mut due);
    let Consequences { mut events, parcels, .. } = due;
    for (to, parcels) in parcels {
        let first = state.ties.post.next(to);
        events.push(Tie::Sent { to, first, parcels }.into());
    }
    events
}

/// Budgets that became exceeded. The first job that their queue would have given out is held.
fn crossings(state: &State, due: &mut Consequences) {
    for (scope, crossing) in state.rules.crossings.iter().take(due.left) {
        let account = &state.rules.accounts[scope];
        let on_exceed = account.budget.on_exceed;
        let held = match scope {
            Scope::Queue(queue) if on_exceed == OnExceed::Hold => head_of(state, queue),
            _ => None,
        };
        let Crossing { excess, day, spent, limit } = *crossing;
        let (scope, budget) = (scope.clone(), EventSeq(account.id));
        let reason = String::new();
        let exceeded =
            Rule::Exceeded { scope, budget, excess, day, spent, limit, on_exceed, held, reason };
        due.events.push(exceeded.explained().into());
        due.left -= 1;
    }
}

/// What other shards are to know of budgets and policies, in the order in which it came.
fn rules(state: &State, due: &mut Consequences) {
    for (event, to) in state.rules.outgoing.iter().take(due.left) {
        due.send(ShardId(*to), Parcel::Rule { event: EventSeq(*event) });
    }
    for id in state.rules.unreported.iter().take(due.left) {
        let scope = &state.rules.ids[id];
        let Account { day, own, reported, .. } = state.rules.accounts[scope];
        let (budget, micros) = (EventSeq(*id), own - reported);
        due.send(scope.home(state.shards), Parcel::Spent { budget, day, micros });
    }
}

fn steps(state: &State, due: &mut Consequences) {
    for cause in state.ties.unsent_steps.iter().take(due.left) {
        due.send(state.ties.steps[cause].to, Parcel::Step { cause: EventSeq(*cause) });
    }
}

fn tallies(state: &State, due: &mut Consequences) {
    for (batch, tally) in state.ties.tallies.iter().take(due.left) {
        let Tally { succeeded, failed } = *tally;
        if batch.shard() == state.shard && state.has_batch(*batch) {
            let (batch, of) = (batch.number(), state.shard);
            due.events.push(Tie::BatchCounted { batch, of, succeeded, failed }.into());
            due.left -= 1;
        } else {
            due.send(batch.shard(), Parcel::Tally { batch: *batch, succeeded, failed });
        }
    }
}

fn asks(state: &State, due: &mut Consequences) {
    for (by, on) in state.ties.asks.iter().take(due.left) {
        due.send(on.shard(), Parcel::Ask { on: *on, by: *by });
    }
}

fn callbacks(state: &State, due: &mut Consequences) {
    for (batch, to) in state.ties.batches.due().take(due.left) {
        due.send(to, Parcel::Callback { batch: EventSeq(batch) });
    }
}

fn settle(state: &State, due: &mut Consequences) {
    for (on, id) in &state.ties.settling {
        if due.left == 0 {
            return;
        }
        let mut here: Vec<JobId> = Vec::new();
        for by in state.ties.waiting_for(*on).take(due.left) {
            if by.shard() == state.shard {
                here.push(by);
                due.left -= 1;
            } else {
                due.send(by.shard(), Parcel::Settled { on: *id, by });
            }
        }
        if !here.is_empty() {
            due.events.push(Tie::Settled { on: *id, jobs: here }.into());
        }
    }
}

/// Jobs that go to other shards, then where jobs are that came from there, and only then what became of them.
fn moves(state: &State, due: &mut Consequences) {
    let kin = &state.ties.kin;
    for job in kin.unsent.iter().take(due.left) {
        let to = kin.away(*job).expect("it is to be sent").to;
        due.send(to, Parcel::Move { job: JobSeq(*job) });
    }
    for (job, now) in kin.located.iter().take(due.left) {
        due.send(job.shard(), Parcel::Located { job: *job, now: *now });
    }
    for (job, fate) in kin.fates.iter().take(due.left) {
        due.send(job.shard(), Parcel::Fate { job: *job, fate: *fate });
    }
}

impl State {
    /// Whether [`decide_consequences`] has something to do.
    #[must_use]
    pub fn has_consequences(&self) -> bool {
        self.ties.is_due() || self.rules.is_due()
    }
}
