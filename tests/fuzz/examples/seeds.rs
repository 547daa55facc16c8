//! Writes the corpora of the disk formats from the golden files: `cargo run --example seeds` in this folder. Every seed is one
//! that its target accepts.

use std::path::{Path, PathBuf};

use jobbie_core::{Decision, Settings, State, decide, decide_open_session, decide_timers};
use jobbie_fuzz::{fix, log, run, snapshot};
use jobbie_proto::event::{BackoffKind, Group};
use jobbie_proto::request::{Ack, Enqueue, Fail, Fetch, JobRef, When};
use jobbie_proto::{JobId, Micros, Request, SessionId, ShardId};

const STORE: u8 = 9;

fn main() {
    events();
    segments();
    records();
    snapshots();
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn golden(name: &str) -> Vec<u8> {
    let path = folder().join("golden/v1").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn save(target: &str, name: &str, bytes: &[u8]) {
    let folder = folder().join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&folder).expect("make the folder");
    std::fs::write(folder.join(name), bytes).expect("write a seed");
}

/// Length, then offset and content of each block that is not all zeros.
fn unpack(packed: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight")) as usize;
    let (len, mut rest) = packed.split_at(8);
    let mut content = vec![0; number(len)];
    while !rest.is_empty() {
        let offset = number(&rest[..8]);
        let block = fix::BLOCK.min(content.len() - offset);
        content[offset..offset + block].copy_from_slice(&rest[8..8 + block]);
        rest = &rest[8 + block..];
    }
    content
}

fn events() {
    save("event_body", "every_kind.bin", &golden("events/every_kind.bin"));
    let mut empty = Vec::new();
    jobbie_proto::event::codec::finish(&mut empty, 0, &Vec::new());
    save("event_body", "empty.bin", &empty);
}

fn log_file(file: usize) -> Vec<u8> {
    unpack(&golden(&format!("log/{}.blocks", log::file_name(file))))
}

fn segments() {
    let all: Vec<_> = (0..=4).map(|file| (file, log_file(file))).collect();
    let verified = |packed: &[u8]| run(jobbie_log::verify(&log::disk(packed)));
    let whole = log::pack(&all);
    assert_eq!(verified(&whole).expect("the golden log").torn, None);
    save("log_segments", "golden.bin", &whole);
    // One segment that is still being written, and the same with its end torn off.
    let mut one = vec![all[0].clone(), all[1].clone()];
    let last = one[1].1.len() - fix::BLOCK;
    one[1].1[last..].fill(0);
    verified(&log::pack(&one)).expect("no footer, and nothing behind");
    save("log_segments", "unsealed.bin", &log::pack(&one));
    one[1].1[5 * fix::BLOCK..].fill(0);
    verified(&log::pack(&one)).expect("a shorter log");
    save("log_segments", "short.bin", &log::pack(&one));
}

fn records() {
    let mut kinds = std::collections::BTreeSet::new();
    for file in 1..=4 {
        let content = log_file(file);
        for block in content.chunks(fix::BLOCK).skip(1).filter(|block| block.starts_with(b"jbR1")) {
            let used = block.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let body = u32::from_le_bytes(block[8..12].try_into().expect("four")) as usize;
            let bytes = fix::RECORD_HEADER_BYTES + body;
            if bytes <= 1024 && kinds.insert((block[5], block[6])) {
                let mut seed = vec![0, STORE, file as u8, 1];
                seed.extend_from_slice(&block[..bytes.max(used)]);
                save("log_record", &format!("kind_{}_{}.bin", block[5], block[6]), &seed);
            }
        }
    }
    assert!(kinds.len() >= 5, "{kinds:?}");
}

fn snapshots() {
    let file = unpack(&golden("log/snap-0000000000000004-0000000000000001.snap.blocks"));
    let header = &file[..128];
    save("snapshot", "golden.bin", &[&[1], &file[..]].concat());
    let empty: Vec<_> = State::new(ShardId(0), 1).snapshot().collect();
    let small: Vec<_> = state(3).snapshot().collect();
    let mixed: Vec<_> = state(40).snapshot().collect();
    assert!(mixed.len() >= 8, "{} parts", mixed.len());
    for (name, chunks) in [("empty.bin", empty), ("small.bin", small), ("mixed.bin", mixed)] {
        State::restore(&chunks).expect("a state");
        save("snapshot", name, &snapshot::pack(header, chunks.iter().map(Vec::as_slice)));
    }
}

/// A state with a bit of everything.
fn state(rounds: u64) -> State {
    let mut state = State::new(ShardId(0), 1);
    let mut now = Micros(1_700_000_000_000_000);
    let session = SessionId(state.next_event().0);
    let opened = decide_open_session(&state, 7, "worker", "host", &mut Vec::new());
    absorb(&mut state, now, opened);
    for round in 0..rounds {
        now.0 += 300_000;
        let key = round.to_le_bytes();
        let number = 1 + round * 3;
        let mut request = Request { session, number, ..Request::default() };
        request.enqueues.push(job(round, &key));
        ask(&mut state, now, &request);
        let mut request = Request { session, number: number + 1, ..Request::default() };
        let queues = vec![["a", "b", "c"][round as usize % 3]];
        request.fetch = Some(Fetch { queues, count: 1, lease_ms: 2000, wait_ms: 0, worker: "" });
        let Some(leased) = ask(&mut state, now, &request) else { continue };
        let mut request = Request { session, number: number + 2, ..Request::default() };
        for lease in &leased.leases {
            let id = JobId::new(lease.created_ms, state.shard(), lease.job);
            let job = JobRef { job: id, token: lease.token };
            match round % 4 {
                0 => request.acks.push(Ack { job, result: b"done" }),
                1 => request.fails.push(Fail {
                    job,
                    error: b"e",
                    backtrace: b"",
                    no_retry: round % 8 == 1,
                }),
                2 => request.cancels.push(id),
                _ => {}
            }
        }
        request.confirmed_below = number.saturating_sub(6);
        ask(&mut state, now, &request);
        let events = decide_timers(&state, &Settings::default(), now, 100, &mut Vec::new());
        if !events.is_empty() {
            state.absorb(now, &Group { events, ..Group::default() });
        }
    }
    state.check();
    state
}

fn job(round: u64, key: &[u8]) -> Enqueue<'_> {
    Enqueue {
        queue: ["a", "b", "c"][round as usize % 3],
        payload: b"work",
        tags: b"",
        key: if round.is_multiple_of(4) { key } else { b"" },
        key_ms: 0,
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: (round % 3) as u8,
        max_retries: 3,
        backoff: BackoffKind::Fixed,
        backoff_base_ms: 1000,
        backoff_cap_ms: 0,
        expire_after_ms: round % 5 / 4 * 3_600_000,
        when: if round.is_multiple_of(7) { When::DelayMs(5000) } else { When::Now },
    }
}

fn ask(
    state: &mut State,
    now: Micros,
    request: &Request<'_>,
) -> Option<std::rc::Rc<jobbie_proto::Reply>> {
    let decision = decide(state, now, request, &mut Vec::new());
    absorb(state, now, decision)
}

fn absorb(
    state: &mut State,
    now: Micros,
    decision: Decision,
) -> Option<std::rc::Rc<jobbie_proto::Reply>> {
    match decision {
        Decision::Events(group) => state.absorb(now, &group),
        _ => None,
    }
}
