//! One seed, from the empty disk to the last check.

use std::rc::Rc;
use std::time::Instant;

use jobbie_sim::{Executor, Handle, Schedule};

use crate::check::{crossings, moves, r07_replay, spending, ties, usage, violated};
use crate::client::Client;
use crate::model::Model;
use crate::nemesis::Nemesis;
use crate::plan::Plan;
use crate::world::{Phase, World};

/// Virtual seconds in which everything must be finished once nothing goes wrong any more.
const DRAIN_SECS_MAX: u64 = 300;

/// What a run is reported by.
pub(crate) struct Report {
    pub(crate) trace: u64,
    pub(crate) text: String,
}

/// Runs `seed`. A broken promise panics.
pub(crate) fn run(seed: u64, secs: Option<u64>) -> Report {
    let begun = Instant::now();
    let plan = Plan::new(seed, secs);
    let schedule = if seed.is_multiple_of(3) { Schedule::Fifo } else { Schedule::Shuffled };
    Executor::new(seed, schedule).block_on(async move {
        let world = World::new(plan);
        jobbie_shard::sim::observe(Rc::clone(&world.ledger) as Rc<_>);
        whole(&world).await;
        report(&world, begun)
    })
}

async fn whole(world: &Rc<World>) {
    let handle = Handle::current();
    let nemesis = Nemesis::new(world);
    drop(handle.spawn(Nemesis::release_for_ever(Rc::clone(world))));
    nemesis.start_all().await;
    let mut clients = Vec::new();
    for node in &world.nodes {
        for _ in 0..world.plan.clients_per_shard {
            let client = Client::new(world, node.shard, clients.len() as u64 + 1);
            clients.push(handle.spawn(client.run()));
        }
    }
    nemesis.trouble(world.plan.secs * 1_000_000_000).await;
    world.phase.set(Phase::Drain);
    nemesis.heal().await;
    drain(world).await;
    world.phase.set(Phase::End);
    for client in clients {
        assert!(client.await.is_ok(), "clients are not killed");
    }
    check_end(world);
    nemesis.restart_all().await;
    check_end(world);
}

/// Waits until every job is finished.
async fn drain(world: &World) {
    let handle = Handle::current();
    let begun = handle.now_nanos();
    while world.unfinished() > 0 || !world.is_quiet() {
        if handle.now_nanos() - begun > DRAIN_SECS_MAX * 1_000_000_000 {
            for node in &world.nodes {
                world.ledger.with(node.shard, |book| {
                    let stuck = book.model.unfinished().next();
                    if let Some(seq) = stuck {
                        let job = book.model.job(seq);
                        let time = book.model.time;
                        violated!("r13", "job {seq} is never finished at {time}: {job:?}");
                    }
                });
            }
            violated!("r13", "a shard owes others something for ever");
        }
        handle.sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Nothing is under way: what the engine has is what was promised.
fn check_end(world: &World) {
    let story = world.story();
    story.check();
    let mut states = Vec::new();
    for node in &world.nodes {
        world.ledger.with(node.shard, |book| {
            let (entries, hashes) = (book.entries(), book.hashes());
            let state = r07_replay::from_zero(node.shard, world.plan.shards, entries, hashes);
            crate::check::r10_one_state::compare(&book.model, &state, 0);
            usage::check(&book.model, &state);
            if !ties::is_quiet(&state) {
                violated!("r13", "{}: something that is due was never sent", node.shard);
            }
            states.push(state);
        });
    }
    world.ledger.with_models(|models| {
        crossings::check(models);
        spending::check(models, &states);
    });
    world.counts.moves.set(world.ledger.with_models(|models| moves::check(models, &states)));
}

fn report(world: &World, begun: Instant) -> Report {
    let handle = Handle::current();
    let trace = handle.trace_hash();
    let virtual_secs = handle.now_nanos() as f64 / 1e9;
    let real_secs = begun.elapsed().as_secs_f64();
    let counts = &world.counts;
    let (up, down) = world.ledger.frames.get();
    let (mut jobs, mut events, mut entries) = (0, 0, 0);
    for node in &world.nodes {
        world.ledger.with(node.shard, |book| {
            jobs += book.model.jobs.len();
            events += book.model.next_event - 1;
            entries += book.entries().all().len();
        });
    }
    let starts: u64 = world.nodes.iter().map(|node| node.starts.get()).sum();
    let torn: u64 = world.nodes.iter().map(|node| node.torn.get()).sum();
    let (steps, calls) = world.story().counts();
    let (reports, iterations) = world.ledger.with_models(|models| {
        let usages = || models.iter().map(|model| &model.usage);
        (usages().map(|u| u.reports).sum::<u64>(), usages().map(|u| u.iterations).sum::<u64>())
    });
    let crossings = |models: &[&Model]| models.iter().map(|model| model.rules.crossings).sum();
    let crossings: u64 = world.ledger.with_models(crossings);
    let text = format!(
        "shards={} steps={steps} callbacks={calls} reports={reports} iterations={iterations} crossings={crossings} moves={} jobs={jobs} events={events} entries={entries} frames={up}+{down} connections={} \
         requests={} long_answers={} sessions_lost={} starts={starts} torn_tails={torn} kills={} power_losses={} shutdowns={} \
         disk_faults={} full={} silent={} refused={} found={} unnoticeable={} clock_steps={} virtual_s={virtual_secs:.1} real_s={real_secs:.2} ({:.0}x)",
        world.plan.shards,
        counts.moves.get(),
        counts.connections.get(),
        counts.requests.get(),
        world.ledger.long_answers.get(),
        counts.sessions_lost.get(),
        counts.kills.get(),
        counts.power_losses.get(),
        counts.shutdowns.get(),
        counts.disk_faults.get(),
        counts.full_disks.get(),
        counts.silent_faults.get(),
        counts.refusals.get(),
        counts.found.get(),
        counts.unnoticeable.get(),
        counts.clock_steps.get(),
        virtual_secs / real_secs,
    );
    Report { trace, text }
}
