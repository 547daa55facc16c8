//! Deciding what the end of a log is: a clean end, a torn tail, or damage.

use jobbie_io::{BLOCK_BYTES, Disk};

use super::{SegmentFile, TornTail, blocks};
use crate::entry::Identity;
use crate::error::{Damage, OpenError};
use crate::format::BLOCK;
use crate::format::header::Header;
use crate::segment::file_name;
use crate::walk::{self, Found};

/// Where the first record that does not count lies, and what it should have been.
pub(super) struct End {
    pub(super) offset: u64,
    /// Number the record would have.
    pub(super) sequence: u64,
    /// Checksum it would carry.
    pub(super) previous: u32,
    /// Highest durable number any record before it names.
    pub(super) durable_sequence: u64,
}

/// What lies behind the end.
pub(super) struct Rest {
    pub(super) torn: Option<TornTail>,
    pub(super) stale_blocks: Vec<(u64, u64)>,
}

/// Looks at everything behind the end. Records found there do not count, but what they say was durable
/// when they were made does: if that includes the record missing at the end, it was there and is
/// damaged, while a crash loses only what no later record calls durable.
///
/// # Errors
/// [`OpenError::Damaged`] at the end's offset.
pub(super) async fn judge<D: Disk>(
    disk: &D,
    identity: &Identity,
    last: &mut SegmentFile<D::File>,
    following: &[(u64, u64)],
    end: &End,
) -> Result<Rest, OpenError> {
    let found = if end.offset < last.header.footer_offset() {
        last.look(end.offset).await?
    } else {
        Found::Nothing
    };
    let mut durable_sequence = end.durable_sequence;
    let mut stale_blocks = Vec::new();
    for offset in blocks(&last.header, end.offset) {
        if let Some(header) = last.header_at(offset).await? {
            durable_sequence = durable_sequence.max(header.durable_sequence);
            stale_blocks.push((last.id, offset));
        }
    }
    for (id, len) in following {
        let mut segment = SegmentFile::open(disk, identity, *id, *len).await?;
        let before = stale_blocks.len();
        for offset in blocks(&segment.header, BLOCK) {
            if let Some(header) = segment.header_at(offset).await? {
                durable_sequence = durable_sequence.max(header.durable_sequence);
                stale_blocks.push((*id, offset));
            }
        }
        if stale_blocks.len() == before {
            // A segment is begun only when the one before is full.
            break;
        }
    }
    let at_end =
        last.window.get(end.offset, BLOCK_BYTES).await.map_err(OpenError::io("read a segment"))?;
    let at_end = &at_end[..at_end.len().min(BLOCK_BYTES)];
    let in_records = end.offset < last.header.footer_offset();
    let trace = in_records
        && if last.header.recycled {
            Header::resembles(at_end, end.sequence, end.previous)
        } else {
            at_end.iter().any(|byte| *byte != 0)
        };
    if durable_sequence >= end.sequence && !crate::mutant!(DamageTakenForTail) {
        if let (false, [(next, _), ..]) =
            (trace || stale_blocks.iter().any(|(id, _)| *id == last.id), following)
        {
            // Nothing was ever written here: the record missing is the first one of the next segment.
            let expected = format!("record {}, the first of the segment", end.sequence);
            let found = "no valid record header".into();
            return Err(Damage { file: file_name(*next), offset: BLOCK, expected, found }.into());
        }
        let expected = format!(
            "record {}, which record {durable_sequence} or later was durable with",
            end.sequence
        );
        return Err(walk::damage(last.id, end.offset, expected, &found, at_end).into());
    }
    if trace && !stale_blocks.contains(&(last.id, end.offset)) {
        stale_blocks.push((last.id, end.offset));
    }
    let here = stale_blocks
        .iter()
        .filter(|(id, _)| *id == last.id)
        .map(|(_, offset)| offset + BLOCK)
        .max();
    let torn = (!stale_blocks.is_empty()).then(|| TornTail {
        file: file_name(last.id),
        offset: end.offset,
        bytes: here.map_or(0, |behind| behind - end.offset),
    });
    Ok(Rest { torn, stale_blocks })
}
