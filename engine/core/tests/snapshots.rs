//! Snapshots of more than a few jobs, and bytes that are not one.

mod shard;

use jobbie_core::{Settings, State};
use jobbie_proto::Request;
use jobbie_proto::request::{Ack, Enqueue, Fail, When};
use shard::{Shard, enqueue};

const QUEUES: [&str; 3] = ["a", "b", "c"];

/// A shard with every kind of thing in it.
fn mixed(rounds: u64) -> Shard {
    let mut shard = Shard::new();
    for round in 0..rounds {
        shard.now.0 += 777;
        let queue = QUEUES[round as usize % 3];
        let key = round.to_le_bytes();
        let job = Enqueue {
            key: if round % 4 == 0 { &key } else { b"" },
            expire_after_ms: round % 5 / 4 * 3_600_000,
            when: if round % 7 == 0 { When::DelayMs(round % 900 + 50) } else { When::Now },
            ..enqueue(queue)
        };
        let ids = shard.enqueue(vec![job]);
        if round % 3 == 0 {
            let leases = shard.fetch(QUEUES[round as usize % 2], 3);
            let mut request = shard.request();
            for (nth, lease) in leases.into_iter().enumerate() {
                match nth {
                    0 => request.acks.push(Ack { job: lease, result: b"" }),
                    1 => {
                        let (error, backtrace, no_retry) = (b"e", b"", round % 2 == 0);
                        request.fails.push(Fail { job: lease, error, backtrace, no_retry });
                    }
                    _ => {}
                }
            }
            if round % 12 == 0 {
                request.cancels = ids;
            }
            // Something happens in every such request, so that answers get confirmed.
            request.extend_session_ms = 1000;
            request.confirmed_below = request.number.saturating_sub(1000);
            decide_and_absorb(&mut shard, &request);
        }
        if round % 50 == 0 {
            let events = jobbie_core::decide_timers(
                &shard.state,
                &Settings::default(),
                shard.now,
                1000,
                &mut Vec::new(),
            );
            let group = jobbie_proto::event::Group { events, ..Default::default() };
            shard.state.absorb(shard.now, &group);
        }
    }
    shard.state.check();
    shard
}

fn decide_and_absorb(shard: &mut Shard, request: &Request<'_>) {
    match jobbie_core::decide(&shard.state, shard.now, request, &mut Vec::new()) {
        jobbie_core::Decision::Events(group) => shard.state.absorb(shard.now, &group),
        other => panic!("{other:?}"),
    };
}

#[test]
fn r07_a_snapshot_of_many_chunks_reads_back_the_same() {
    let shard = mixed_quickly(8_000);
    let chunks: Vec<_> = shard.state.snapshot().collect();
    assert!(chunks.len() > 8, "{} chunks", chunks.len());
    let largest = chunks.iter().map(Vec::len).max().unwrap();
    assert!(largest <= 256 << 10, "a chunk of {largest} bytes");
    let restored = State::restore(&chunks).unwrap();
    restored.check();
    assert_eq!(restored.digest(), shard.state.digest());
    assert_eq!(
        restored.next_timer(&Settings::default()),
        shard.state.next_timer(&Settings::default())
    );
    assert_eq!(restored.stats(), shard.state.stats());
    assert!(restored.snapshot().eq(chunks));
}

/// As [`mixed`], with the invariants checked at the end only.
fn mixed_quickly(rounds: u64) -> Shard {
    shard::without_checks(|| mixed(rounds))
}

#[test]
fn r17_a_changed_byte_never_crashes_a_restore() {
    let chunks: Vec<_> = mixed(60).state.snapshot().collect();
    for chunk in 0..chunks.len() {
        for at in (0..chunks[chunk].len()).step_by(13) {
            let mut changed = chunks.clone();
            changed[chunk][at] ^= 1 << (at % 8);
            drop(State::restore(changed));
        }
        assert!(State::restore(&chunks[..chunk]).is_err(), "without chunk {chunk}");
        let mut twice = chunks.clone();
        twice.insert(chunk, chunks[chunk].clone());
        assert!(State::restore(twice).is_err(), "chunk {chunk} twice");
    }
}
