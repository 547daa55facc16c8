//! A snapshot file: it is refused, or its content can be written again; and if its content is a state, that state
//! gives the same chunks whenever it is written and restored again.
#![no_main]

use jobbie_core::State;
use jobbie_fuzz::{disk::MemDisk, run};
use jobbie_log::{Identity, SnapshotMeta, Snapshots};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let file = jobbie_fuzz::snapshot::file(input);
    let identity = owner(&file);
    let disk = MemDisk::default();
    disk.put("snap-0000000000000004-0000000000000001.snap", &file);
    let Some((meta, chunks)) = read(disk, identity) else { return };
    assert_eq!(written_again(identity, &meta, &chunks), Some((meta, chunks.concat())));
    let Ok(state) = State::restore(&chunks) else { return };
    let again: Vec<_> = state.snapshot().collect();
    let restored = State::restore(&again).expect("what was written is read");
    assert!(restored.snapshot().eq(again), "a state is written the same way twice");
});

/// Whom the file says it belongs to, so that nothing is refused as foreign.
fn owner(file: &[u8]) -> Identity {
    let mut bytes = [0; 32];
    let given = file.len().min(32);
    bytes[..given].copy_from_slice(&file[..given]);
    let shard = u32::from_le_bytes(bytes[12..16].try_into().expect("four bytes"));
    let cluster = u128::from_le_bytes(bytes[16..].try_into().expect("16 bytes"));
    Identity { cluster, node: 1, shard, store: 1 }
}

fn read(disk: MemDisk, identity: Identity) -> Option<(SnapshotMeta, Vec<Vec<u8>>)> {
    let latest = run(Snapshots::offline(disk, identity).latest()).expect("a disk without errors");
    let mut reader = latest.snapshot?;
    let mut chunks = Vec::new();
    while let Some(chunk) = run(reader.next_chunk()).expect("it was read before") {
        chunks.push(chunk);
    }
    Some((reader.meta().clone(), chunks))
}

fn written_again(
    identity: Identity,
    meta: &SnapshotMeta,
    chunks: &[Vec<u8>],
) -> Option<(SnapshotMeta, Vec<u8>)> {
    let disk = MemDisk::default();
    run(async {
        let mut writer = Snapshots::offline(disk.clone(), identity).begin(meta.clone()).await?;
        for chunk in chunks {
            writer.write(chunk).await?;
        }
        writer.finish().await
    })
    .expect("a disk without errors");
    read(disk, identity).map(|(meta, chunks)| (meta, chunks.concat()))
}
