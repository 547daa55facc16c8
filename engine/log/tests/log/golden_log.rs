//! The log whose files are kept as golden ones: a bit of everything the format has.

use jobbie_log::{
    Body, BodyBuilder, Create, Entry, EntryId, EntryKind, Identity, Log, LogConfig, Opened,
    SnapshotMeta, Vote,
};
use jobbie_sim::{Handle, SimDisk};

pub(crate) const IDENTITY: Identity =
    Identity { cluster: 0x1111, node: 7, shard: 2, store: 0x2222 };
pub(crate) const VOTE: Vote = Vote { term: 3, node: 7, committed: true };
pub(crate) const PURGED: EntryId = EntryId { term: 1, index: 1 };

pub(crate) fn config() -> LogConfig {
    LogConfig { segment_bytes: 1 << 20, spare_segments: 1, ..LogConfig::default() }
}

/// The entries that count, in order.
pub(crate) fn entries() -> Vec<Entry> {
    let mut next_event = 1;
    let mut entries = Vec::new();
    let kinds = [EntryKind::Membership, EntryKind::Blank, EntryKind::Batch];
    for index in 0..12_u64 {
        let kind = kinds[(index as usize).min(2)];
        let event_count = if kind == EntryKind::Batch { index as u32 } else { 0 };
        let term = if index < 6 { 1 } else { 3 };
        // Mostly zeros, so that few blocks have to be kept; large ones fill segments.
        let mut body = BodyBuilder::with_capacity(0);
        body.extend_from_slice(format!("entry {index}").as_bytes());
        body.extend_zeroed(if index % 4 == 2 { 500_000 } else { index as usize * 400 });
        let body: Body = body.finish();
        let id = EntryId { term, index };
        entries.push(Entry {
            id,
            kind,
            time_us: 1_000_000 + index,
            first_event: next_event,
            event_count,
            body,
        });
        next_event += u64::from(event_count);
    }
    entries
}

pub(crate) fn snapshot_meta() -> SnapshotMeta {
    SnapshotMeta {
        last: EntryId { term: 1, index: 4 },
        next_event: 10,
        time_us: 1_000_004,
        state_hash: 0xabcdef,
        membership: b"members".to_vec(),
    }
}

pub(crate) const SNAPSHOT: &[u8] = b"the state at entry 4";

/// Writes the log to an empty disk.
pub(crate) async fn write(disk: &SimDisk) {
    let Opened { log, driver, .. } = Log::open(disk.clone(), config(), IDENTITY, Create::IfMissing)
        .await
        .expect("an empty disk");
    Handle::current().spawn(driver);
    let entries = entries();
    let ready = || Handle::current().sleep(std::time::Duration::from_secs(1));
    for entry in &entries[..6] {
        log.append(vec![entry.clone()], |result| result.expect("written")).expect("taken");
        ready().await;
    }
    for entry in &entries[6..9] {
        let mut wrong = entry.clone();
        wrong.id.term = 2;
        wrong.body = Body::copy_of(b"truncated");
        log.append(vec![wrong], |result| result.expect("written")).expect("taken");
    }
    log.truncate_after(Some(entries[5].id)).await.expect("truncated");
    log.save_vote(VOTE).await.expect("saved");
    let mut snapshot = log.snapshots().begin(snapshot_meta()).await.expect("begun");
    snapshot.write(SNAPSHOT).await.expect("written");
    snapshot.finish().await.expect("finished");
    log.purge(PURGED).await.expect("purged");
    log.note_committed(8);
    for entry in &entries[6..] {
        log.append(vec![entry.clone()], |result| result.expect("written")).expect("taken");
        ready().await;
    }
    log.close().await.expect("closed");
    ready().await;
}

/// Length, then offset and content of each block that is not all zeros.
#[allow(dead_code, reason = "used by the program that writes the files")]
pub(crate) fn pack(content: &[u8]) -> Vec<u8> {
    let mut packed = (content.len() as u64).to_le_bytes().to_vec();
    for (number, block) in content.chunks(4096).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            packed.extend_from_slice(&(number as u64 * 4096).to_le_bytes());
            packed.extend_from_slice(block);
        }
    }
    packed
}

/// What [`pack`] was given.
#[allow(dead_code, reason = "used by the test that reads the files")]
pub(crate) fn unpack(packed: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes")) as usize;
    let (len, mut rest) = packed.split_at(8);
    let mut content = vec![0; number(len)];
    while !rest.is_empty() {
        let offset = number(&rest[..8]);
        let block = 4096.min(content.len() - offset);
        content[offset..offset + block].copy_from_slice(&rest[8..8 + block]);
        rest = &rest[8 + block..];
    }
    content
}
