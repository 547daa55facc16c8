//! An entry while it is being decided.

use jobbie_core::BlobSink;
use jobbie_log::{Body, BodyBuilder};
use jobbie_proto::event::{Blob, Group, codec};
use jobbie_proto::letter::Letter;
use jobbie_proto::{EventSeq, Micros, ShardId};

use crate::outgoing::Outgoing;
use crate::snapshots::Captured;

/// About what a group and one of its events take in the body, beside what lies in the blob.
const GROUP_BYTES: usize = 128;
const EVENT_BYTES: usize = 48;

/// Collects what one turn of the shard decides: blob, groups, and the answers that wait for it.
pub(crate) struct EntryBuilder {
    pub(crate) time: Micros,
    first_event: EventSeq,
    blob: BlobBuilder,
    groups: Vec<Group>,
    /// About how many bytes the groups will take.
    groups_bytes: usize,
    bytes_soft: usize,
    pub(crate) outgoing: Vec<Outgoing>,
    /// Letters that say what was taken.
    pub(crate) letters: Vec<(ShardId, Letter)>,
}

/// The front part of the body, filled straight from the frames.
struct BlobBuilder(BodyBuilder);

impl BlobSink for BlobBuilder {
    fn append(&mut self, bytes: &[u8]) -> Blob {
        if bytes.is_empty() {
            return Blob::default();
        }
        let offset = u32::try_from(self.0.len()).expect("an entry is far below 4 GiB");
        self.0.extend_from_slice(bytes);
        Blob { offset, len: u32::try_from(bytes.len()).expect("a frame is far below 4 GiB") }
    }
}

struct BodySink<'a>(&'a mut BodyBuilder);

impl codec::Sink for BodySink<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

impl EntryBuilder {
    /// An empty entry that takes no more requests from about `bytes_soft` bytes on, with room for
    /// `bytes_expected`.
    pub(crate) fn new(
        time: Micros,
        first_event: EventSeq,
        bytes_expected: usize,
        bytes_soft: usize,
    ) -> Self {
        Self {
            time,
            first_event,
            blob: BlobBuilder(BodyBuilder::with_capacity(bytes_expected)),
            groups: Vec::new(),
            groups_bytes: 0,
            bytes_soft,
            outgoing: Vec::new(),
            letters: Vec::new(),
        }
    }

    /// Where `decide` puts payloads.
    pub(crate) fn blob(&mut self) -> &mut impl BlobSink {
        &mut self.blob
    }

    /// Adds a group that was absorbed.
    pub(crate) fn push(&mut self, group: Group) {
        self.groups_bytes += GROUP_BYTES + group.count() as usize * EVENT_BYTES;
        self.groups.push(group);
    }

    /// Whether the next request should wait for the next entry.
    pub(crate) fn is_full(&self) -> bool {
        self.blob.0.len() + self.groups_bytes >= self.bytes_soft
    }

    /// Whether there is anything for the log.
    pub(crate) fn has_events(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Completes the body. The second part is what remains to be done when it is committed.
    pub(crate) fn finish(mut self) -> (Body, Pending) {
        let blob_len = self.blob.0.len();
        codec::finish(&mut BodySink(&mut self.blob.0), blob_len, &self.groups);
        let event_count = self.groups.iter().map(Group::count).sum();
        let pending = Pending {
            first_event: self.first_event,
            event_count,
            groups: self.groups,
            outgoing: self.outgoing,
            letters: self.letters,
            proposed_at: 0,
            state_hash: 0,
            snapshot: None,
        };
        (self.blob.0.finish(), pending)
    }
}

/// An entry proposed and not yet committed.
pub(crate) struct Pending {
    pub(crate) first_event: EventSeq,
    pub(crate) event_count: u64,
    pub(crate) groups: Vec<Group>,
    pub(crate) outgoing: Vec<Outgoing>,
    pub(crate) letters: Vec<(ShardId, Letter)>,
    /// When it was proposed, by the clock's elapsed microseconds.
    pub(crate) proposed_at: u64,
    /// Rolling hash of the state after it.
    pub(crate) state_hash: u64,
    /// The state as of this entry, when a snapshot is to be taken there.
    pub(crate) snapshot: Option<Captured>,
}
