//! What people ask for: all errors of a job, and who works.

mod shard;

use jobbie_core::{Settings, Sighting, State, answers, decide_timers, decide_worker};
use jobbie_proto::event::{Event, Group};
use jobbie_proto::limits::{
    ERROR_LINKS_MAX, WORKER_QUEUES_MAX, WORKER_SEEN_MS, WORKER_SILENT_MS_MAX, WORKERS_MAX,
};
use jobbie_proto::reply::JobState;
use jobbie_proto::request::{Enqueue, Fail, Fetch, History, JobAction, JobControl, Workers};
use jobbie_proto::{Code, EventSeq, JobId, Micros, Request, SessionId};
use shard::{Shard, enqueue, fetch, without_checks};

fn chain(state: &State, job: JobId, from: EventSeq) -> Option<(EventSeq, Vec<(u64, u64)>)> {
    let errors = Some(History { job, from, count: 1 });
    let asked = answers(state, &Request { errors, ..Request::default() }).errors?;
    Some((asked.from, asked.links.to_vec()))
}

fn retry(shard: &mut Shard, job: JobId) {
    let job_controls = vec![JobControl { job, action: JobAction::Retry }];
    let request = Request { job_controls, ..shard.request() };
    assert_eq!(shard.run(&request).job_controls, [Code::Ok]);
}

#[test]
fn the_error_of_an_expired_job_does_not_hide_those_before_it() {
    let mut shard = Shard::new();
    let job = shard.enqueue(vec![Enqueue { expire_after_ms: 5_000, ..enqueue("q") }])[0];
    assert_eq!(chain(&shard.state, job, EventSeq(0)), None);
    let lease = shard.fetch("q", 1)[0];
    let failed = shard.state.next_event();
    let fails = vec![Fail { job: lease, error: b"one", backtrace: b"", no_retry: true }];
    let request = Request { fails, ..shard.request() };
    shard.run(&request);
    assert_eq!(chain(&shard.state, job, EventSeq(0)), Some((failed, vec![])));
    shard.now = shard.now.plus_ms(6_000);
    let mut links = Vec::new();
    let mut before = failed.0;
    for _ in 0..ERROR_LINKS_MAX + 3 {
        retry(&mut shard, job);
        let expired = shard.state.next_event().0;
        shard.timers();
        assert_eq!(shard.state.job(job).map(|view| view.state), Ok(JobState::Dead));
        links.push((expired, before));
        before = expired;
    }
    // The newest are remembered.
    links.drain(..3);
    assert_eq!(chain(&shard.state, job, EventSeq(0)), Some((EventSeq(before), links.clone())));
    // Others than those of the job are not looked for where the log may not have them.
    let made = shard.state.job(job).expect("it is dead").record;
    for from in [made.0, 1, before + 1] {
        assert_eq!(chain(&shard.state, job, EventSeq(from)), None, "{from}");
    }
    let restored = State::restore(shard.state.snapshot()).expect("it was just written");
    restored.check();
    assert_eq!(chain(&restored, job, EventSeq(0)), Some((EventSeq(before), links)));
    let deletes = vec![job];
    let request = Request { deletes, ..shard.request() };
    shard.run(&request);
    assert_eq!(chain(&shard.state, job, EventSeq(0)), None);
}

fn sighting<'a>(session: SessionId, name: &'a str, queues: &'a [&'a str]) -> Sighting<'a> {
    Sighting { session, name, host: "host", queues }
}

fn see(shard: &mut Shard, sighting: &Sighting<'_>) -> usize {
    let events = decide_worker(&shard.state, shard.now, sighting);
    let noted = events.len();
    if noted > 0 {
        shard.state.absorb(shard.now, &Group { events, ..Group::default() });
    }
    noted
}

fn all(state: &State) -> Vec<jobbie_proto::reply::WorkerView> {
    state.workers(&Workers { count: 1000, ..Workers::default() }).collect()
}

#[test]
fn b7_a_worker_is_noted_at_most_once_in_ten_seconds_and_keeps_its_beginning() {
    let mut shard = Shard::new();
    let (session, began) = (shard.session, shard.now);
    assert_eq!(see(&mut shard, &sighting(SessionId(99), "w", &["q"])), 0, "no session");
    assert_eq!(see(&mut shard, &sighting(session, "w", &["q"])), 1);
    for polls in 1..100 {
        shard.now = began.plus_ms(polls * 100);
        assert_eq!(see(&mut shard, &sighting(session, "w", &["q", "r"])), 0, "poll {polls}");
    }
    shard.now = began.plus_ms(WORKER_SEEN_MS);
    assert_eq!(see(&mut shard, &sighting(session, "w", &["q", "r"])), 1);
    assert_eq!(see(&mut shard, &sighting(session, "", &["q"])), 1, "another of the session");
    let found = all(&shard.state);
    assert_eq!(found.iter().map(|w| &*w.name).collect::<Vec<_>>(), ["", "w"]);
    let worker = &found[1];
    assert_eq!((worker.started, worker.last_seen), (began, shard.now));
    assert_eq!((&worker.queues[..], worker.queues_asked), (&["q".to_owned(), "r".into()][..], 2));
    assert_eq!((&*worker.host, worker.leases), ("host", 0));
    // What it has is counted when somebody asks.
    shard.enqueue(vec![enqueue("q"); 3]);
    shard.fetch("q", 2);
    assert_eq!(all(&shard.state)[1].leases, 2);
    // A refresh says nothing that is known.
    shard.now = shard.now.plus_ms(WORKER_SEEN_MS);
    let events = decide_worker(&shard.state, shard.now, &sighting(session, "w", &["q", "r"]));
    let [Event::WorkerSeen(seen)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(seen.asks, None);
}

#[test]
fn b7_a_worker_is_forgotten_after_a_day_of_silence() {
    let mut shard = Shard::new();
    let session = shard.session;
    see(&mut shard, &sighting(session, "a", &["q"]));
    shard.now = shard.now.plus_ms(WORKER_SEEN_MS);
    see(&mut shard, &sighting(session, "b", &["q"]));
    let silent = Micros(1_000_000).plus_ms(WORKER_SILENT_MS_MAX);
    assert_eq!(shard.state.next_timer(&Settings::default()), Some(silent));
    shard.now = Micros(silent.0 - 1);
    shard.timers();
    assert_eq!(all(&shard.state).len(), 2);
    shard.now = silent;
    shard.timers();
    assert_eq!(all(&shard.state).iter().map(|w| &*w.name).collect::<Vec<_>>(), ["b"]);
    let restored = State::restore(shard.state.snapshot()).expect("it was just written");
    restored.check();
    assert_eq!(all(&restored), all(&shard.state));
    assert!(restored.snapshot().eq(shard.state.snapshot()));
}

#[test]
fn b7_a_shard_remembers_so_many_workers_and_so_many_queues_of_each() {
    let mut shard = Shard::new();
    let names: Vec<_> = (0..300).map(|nth| format!("queue-{nth}")).collect();
    let queues: Vec<&str> = names.iter().map(String::as_str).collect();
    let session = shard.session;
    without_checks(|| {
        for nth in 0..WORKERS_MAX {
            shard.now.0 += 1;
            assert_eq!(see(&mut shard, &sighting(session, &format!("w{nth}"), &queues)), 1);
        }
        shard.now.0 += 1;
        assert_eq!(see(&mut shard, &sighting(session, "one more", &queues)), 2);
    });
    shard.state.check();
    let found: Vec<_> =
        shard.state.workers(&Workers { count: u32::MAX, ..Workers::default() }).collect();
    assert_eq!(found.len(), WORKERS_MAX);
    assert!(found.iter().all(|worker| worker.name != "w0"), "the one that was silent longest");
    let kept = found.iter().all(|w| w.queues.len() == WORKER_QUEUES_MAX && w.queues_asked == 300);
    assert!(kept);
    // A page after the other.
    let (mut after_session, mut after_worker, mut seen) = (SessionId(0), String::new(), 0);
    loop {
        let wanted = Workers { after_session, after_worker: &after_worker, count: 1000 };
        let page: Vec<_> = shard.state.workers(&wanted).collect();
        let Some(last) = page.last() else { break };
        seen += page.len();
        (after_session, after_worker) = (last.session, last.name.clone());
    }
    assert_eq!(seen, WORKERS_MAX);
    let restored = State::restore(shard.state.snapshot()).expect("it was just written");
    assert_eq!(all(&restored), all(&shard.state));
}

#[test]
fn silent_workers_take_no_more_than_their_turn() {
    let mut shard = Shard::new();
    let session = shard.session;
    for nth in 0..25 {
        see(&mut shard, &sighting(session, &format!("w{nth}"), &["q"]));
    }
    shard.now = shard.now.plus_ms(2 * WORKER_SILENT_MS_MAX);
    let events = decide_timers(&shard.state, &Settings::default(), shard.now, 10, &mut Vec::new());
    assert_eq!(events.iter().map(Event::count).sum::<u64>(), 10);
    shard.timers();
    assert_eq!(all(&shard.state), []);
}

#[test]
fn a_fetch_decides_nothing_by_workers() {
    let mut shard = Shard::new();
    shard.enqueue(vec![enqueue("q")]);
    let request =
        Request { fetch: Some(Fetch { worker: "w", ..fetch("q", 1) }), ..shard.request() };
    assert_eq!(shard.run(&request).leases.len(), 1);
    assert_eq!(all(&shard.state), []);
}
