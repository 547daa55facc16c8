//! The binary on logs written by the real log and the real state machine.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jobbie_core::{Decision, State, decide, decide_open_session};
use jobbie_io::UringDisk;
use jobbie_io::runtime::{block_on, spawn};
use jobbie_log::{
    Body, Create, Entry, EntryId, EntryKind, Identity, Log, LogConfig, SnapshotMeta, Vote,
};
use jobbie_proto::event::{BackoffKind, Group, codec};
use jobbie_proto::request::{Ack, Enqueue, Fetch, JobRef, Request, When};
use jobbie_proto::{JobId, LeaseToken, Micros, SessionId, ShardId};
use serde_json::Value;

const IDENTITY: Identity = Identity { cluster: 1, node: 1, shard: 0, store: 7 };
const NOW_US: u64 = 1_795_000_000_000_000;

/// A log in the making, with the state it adds up to.
struct Scribe {
    state: State,
    /// After each entry.
    states: Vec<State>,
    entries: Vec<Entry>,
}

impl Scribe {
    fn new() -> Self {
        Self { state: State::new(ShardId(0), 1), states: Vec::new(), entries: Vec::new() }
    }

    fn write(&mut self, decide: impl FnOnce(&State, Micros, &mut Vec<u8>) -> Decision) {
        let now = Micros(NOW_US + self.entries.len() as u64 * 1000);
        let (mut blob, first_event) = (Vec::new(), self.state.next_event().0);
        let Decision::Events(group) = decide(&self.state, now, &mut blob) else {
            panic!("decided nothing")
        };
        self.state.absorb(now, &group);
        self.states.push(self.state.clone());
        let groups: Vec<Group> = vec![group];
        let blob_len = blob.len();
        codec::finish(&mut blob, blob_len, &groups);
        self.entries.push(Entry {
            id: EntryId { term: 1, index: self.entries.len() as u64 },
            kind: EntryKind::Batch,
            time_us: now.0,
            first_event,
            event_count: (self.state.next_event().0 - first_event) as u32,
            body: Body::copy_of(&blob),
        });
    }
}

/// Opens a session, enqueues three jobs, fetches two and acks one.
fn scribe() -> Scribe {
    let mut scribe = Scribe::new();
    scribe.write(|state, _, blob| decide_open_session(state, 99, "worker", "host", blob));
    let session = scribe.state.session_of(99).expect("was just opened");
    let request =
        |number| Request { session, number, confirmed_below: number, ..Request::default() };
    let job = |payload: &'static [u8]| Enqueue {
        queue: "mail",
        payload,
        tags: b"",
        key: b"",
        key_ms: 0,
        unique: b"",
        unique_ms: 0,
        limit_key: "",
        priority: 2,
        max_retries: 3,
        backoff: BackoffKind::None,
        backoff_base_ms: 0,
        backoff_cap_ms: 0,
        expire_after_ms: 0,
        when: When::Now,
    };
    let enqueues = vec![job(b"one"), job(b"two"), job(b"\xff")];
    scribe.write(|s, now, blob| decide(s, now, &Request { enqueues, ..request(1) }, blob));
    let fetch = Fetch { queues: vec!["mail"], count: 2, lease_ms: 60_000, wait_ms: 0, worker: "" };
    scribe
        .write(|s, now, blob| decide(s, now, &Request { fetch: Some(fetch), ..request(2) }, blob));
    let id = JobId::new(NOW_US / 1000 + 1, ShardId(0), jobbie_proto::JobSeq(1));
    let job = JobRef { job: id, token: LeaseToken(0) };
    let acks = vec![Ack { job, result: b"sent" }];
    scribe.write(|s, now, blob| decide(s, now, &Request { acks, ..request(3) }, blob));
    assert_ne!(session, SessionId(0));
    scribe
}

/// Writes the entries into a new log below `dir`, each in a write of its own.
fn store(dir: &Path, entries: Vec<Entry>) -> PathBuf {
    store_in(dir, entries.into_iter().map(|entry| vec![entry]).collect(), async |_, _| {})
}

/// Writes batches of entries into a new log below `dir`, each batch in a write of its own, and gives `between` the
/// log and the last entry after each.
fn store_in(
    dir: &Path,
    batches: Vec<Vec<Entry>>,
    between: impl AsyncFn(Log<UringDisk>, u64),
) -> PathBuf {
    let at = dir.join("shard-0000");
    std::fs::create_dir(&at).expect("make a folder");
    block_on(async {
        let disk = UringDisk::open(&at).expect("open the folder");
        let config = LogConfig { segment_bytes: 1 << 20, ..LogConfig::default() };
        let opened =
            Log::open(disk, config, IDENTITY, Create::IfMissing).await.expect("make a log");
        spawn(opened.driver);
        for batch in batches {
            let last = batch.last().expect("a batch of something").id.index;
            opened.log.append(batch, |_| {}).expect("is taken");
            opened.log.wait_durable(last).await.expect("is flushed");
            between(opened.log.clone(), last).await;
        }
        opened.log.close().await.expect("is flushed");
    })
    .expect("a ring");
    at
}

/// Writes each entry, and snapshots behind the first two; before the last entry the log lets go of the first one.
fn store_with_snapshots(dir: &Path, scribe: &Scribe) -> PathBuf {
    let batches = scribe.entries.iter().map(|entry| vec![entry.clone()]).collect();
    store_in(dir, batches, async |log, index| {
        let state = &scribe.states[index as usize];
        if index < 2 {
            let mut writer = log.snapshots().begin(meta(index, state)).await.expect("begins");
            for chunk in state.snapshot() {
                writer.write_part(&chunk).await.expect("is written");
            }
            writer.finish().await.expect("is published");
        }
        if index == 2 {
            log.purge(EntryId { term: 1, index: 0 }).await.expect("is let go");
            // That goes with the next record of this kind.
            let vote = Vote { term: 1, node: 1, committed: true };
            log.save_vote(vote).await.expect("is written");
        }
    })
}

fn meta(index: u64, state: &State) -> SnapshotMeta {
    SnapshotMeta {
        last: EntryId { term: 1, index },
        next_event: state.next_event().0,
        time_us: state.time().0,
        state_hash: state.digest(),
        membership: Vec::new(),
    }
}

fn replay(args: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobbie-replay"));
    command.args(args).arg(dir).output().expect("start jobbie-replay")
}

fn lines(out: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&out.stdout);
    text.lines().map(|l| serde_json::from_str(l).expect("a line of JSON")).collect()
}

/// Every file and its bytes, to see that nothing was changed.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("list")
        .map(|e| e.expect("list").path())
        .map(|p| (p.clone(), std::fs::read(&p).expect("read")))
        .collect();
    files.sort();
    files
}

#[test]
fn r07_the_fold_of_the_log_is_the_state_that_wrote_it() {
    let folder = tempfile::tempdir().expect("make a folder");
    let scribe = scribe();
    let hash = format!("{:016x}", scribe.state.digest());
    let log = store(folder.path(), scribe.entries);
    let before = contents(&log);
    let out = replay(&["state"], folder.path());
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let state = &lines(&out)[0];
    assert_eq!(state["state_hash"], hash);
    assert_eq!((&state["jobs"]["pending"], &state["jobs"]["active"]), (&1.into(), &1.into()));
    assert_eq!((&state["jobs"]["completed"], &state["last_job"]), (&1.into(), &3.into()));
    let earlier = lines(&replay(&["state", "--until-index", "1"], folder.path()));
    assert_eq!(earlier[0]["jobs"]["pending"], 3);
    assert_ne!(earlier[0]["state_hash"], hash);
    assert_eq!(contents(&log), before, "an offline tool changes nothing");
}

#[test]
fn r07_the_fold_from_a_snapshot_is_the_same_state() {
    let folder = tempfile::tempdir().expect("make a folder");
    let scribe = scribe();
    let log = store_with_snapshots(folder.path(), &scribe);
    let before = contents(&log);
    let hash = |args: &[&str]| {
        let out = replay(args, folder.path());
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        let state = lines(&out)[0].clone();
        (state["from_snapshot"].as_u64(), state["state_hash"].as_str().map(str::to_owned))
    };
    let expected = |index: usize| Some(format!("{:016x}", scribe.states[index].digest()));
    // Entry 0 is gone, so there is no other way.
    assert_eq!(hash(&["state"]), (Some(1), expected(3)));
    assert_eq!(hash(&["state", "--from", "snapshot"]), (Some(1), expected(3)));
    assert_eq!(hash(&["state", "--until-index", "2"]), (Some(1), expected(2)));
    assert_eq!(hash(&["state", "--until-index", "0"]), (Some(0), expected(0)));
    let out = replay(&["state", "--from", "zero"], folder.path());
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(3) && said.contains("begins at entry 1"), "{out:?}");
    let first = &lines(&replay(&["dump"], folder.path()))[0];
    assert_eq!(first["seq"], scribe.states[0].next_event().0, "what is left is printed");
    assert_eq!(contents(&log), before, "an offline tool changes nothing");
}

#[test]
fn f09_a_damaged_snapshot_is_found_and_the_one_before_serves() {
    let folder = tempfile::tempdir().expect("make a folder");
    let scribe = scribe();
    let log = store_with_snapshots(folder.path(), &scribe);
    let names = [
        "snap-0000000000000001-0000000000000001.snap",
        "snap-0000000000000000-0000000000000001.snap",
    ];
    let flip = |name: &str| {
        let file = std::fs::OpenOptions::new().write(true).open(log.join(name)).expect("open");
        file.write_all_at(b"?", 4096 + 100).expect("damage");
    };
    assert_eq!(lines(&replay(&["verify"], folder.path()))[0]["snapshots"], 2);
    flip(names[0]);
    let out = replay(&["verify"], folder.path());
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && said.contains(names[0]), "{out:?}");
    assert!(said.contains("is damaged at offset 4096"), "{said}");
    assert_eq!(lines(&out)[0]["verdict"], "damaged");
    let state = lines(&replay(&["state"], folder.path()))[0].clone();
    assert_eq!(state["state_hash"], format!("{:016x}", scribe.states[3].digest()));
    assert_eq!(state["from_snapshot"], 0);
    flip(names[1]);
    let out = replay(&["state"], folder.path());
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(3) && said.contains("no sound snapshot"), "{out:?}");
}

#[test]
fn r08_dump_gives_each_event_its_number() {
    let folder = tempfile::tempdir().expect("make a folder");
    store(folder.path(), scribe().entries);
    let all = lines(&replay(&["dump"], folder.path()));
    let numbers: Vec<_> = all.iter().map(|l| l["seq"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=7).collect::<Vec<_>>());
    let names: Vec<_> = all.iter().map(|l| l["event"].as_str().expect("a name")).collect();
    let expected =
        ["session_opened", "enqueued", "enqueued", "enqueued", "leased", "leased", "completed"];
    assert_eq!(names, expected);
    assert_eq!(all[1]["payload"]["bytes"], 3, "contents are shown only when asked for");
    let one = lines(&replay(&["dump", "--payloads", "--job", "1"], folder.path()));
    let names: Vec<_> = one.iter().map(|l| l["event"].as_str().expect("a name")).collect();
    assert_eq!(names, ["enqueued", "leased", "completed"]);
    assert_eq!((&one[0]["payload"], &one[2]["result"]), (&"one".into(), &"sent".into()));
    let third = lines(&replay(&["dump", "--payloads", "--job", "3"], folder.path()));
    assert_eq!(third[0]["payload"]["base64"], "/w==");
}

/// Changes a byte of the first entry; returns the name of its segment.
fn damage(log: &Path) -> String {
    let holds = |bytes: &[u8]| bytes.windows(6).position(|w| w == b"worker");
    let found = contents(log).into_iter().find_map(|(path, bytes)| Some((path, holds(&bytes)?)));
    let (path, at) = found.expect("a segment holds the first entry");
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("open");
    file.write_all_at(b"W", at as u64).expect("damage");
    path.file_name().expect("has one").to_string_lossy().into_owned()
}

#[test]
fn r04_verify_finds_damage_before_the_tail() {
    let folder = tempfile::tempdir().expect("make a folder");
    let log = store(folder.path(), scribe().entries);
    let out = replay(&["verify"], folder.path());
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    assert_eq!(lines(&out)[0]["verdict"], "sound");
    assert_eq!(lines(&out)[0]["last_index"], 3);
    // Later records say that the first was flushed, so it cannot be a torn tail.
    let name = damage(&log);
    let out = replay(&["verify"], folder.path());
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains(&name) && said.contains("offset"), "{said}");
    assert_eq!(replay(&["state"], folder.path()).status.code(), Some(2));
}

#[test]
fn r04_verify_tells_a_torn_tail_and_leaves_it() {
    let folder = tempfile::tempdir().expect("make a folder");
    let log = store_in(folder.path(), vec![scribe().entries], async |_, _| {});
    // One write, and nothing after it says that it was flushed.
    let name = damage(&log);
    let before = contents(&log);
    let out = replay(&["verify"], folder.path());
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert_eq!(lines(&out)[0]["torn"]["file"], name);
    let out = replay(&["state"], folder.path());
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert_eq!(lines(&out)[0]["last_index"], Value::Null);
    assert_eq!(contents(&log), before, "an offline tool changes nothing");
}

#[test]
fn wrong_places_and_flags_are_told_apart() {
    let folder = tempfile::tempdir().expect("make a folder");
    let out = replay(&["verify"], folder.path());
    assert_eq!(out.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&out.stderr).contains("holds no jobbie data"));
    let out = replay(&["verify"], Path::new("/no/such/place"));
    assert_eq!(out.status.code(), Some(3));
    assert_eq!(replay(&["verfy"], folder.path()).status.code(), Some(64));
}
