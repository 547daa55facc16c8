//! The pass over all segments that rebuilds the log's state.

use jobbie_io::Disk;

use super::chain::{Chain, Record};
use super::tail::{End, Rest, judge};
use super::{Names, Scanned, SegmentFile, blocks};
use crate::entry::Identity;
use crate::error::{Damage, OpenError};
use crate::format::BLOCK;
use crate::format::control::Control;
use crate::format::footer::Footer;
use crate::format::header::RecordKind;
use crate::segment::{Closing, Segment, file_name};
use crate::segments::Segments;
use crate::walk::Found;

/// The state while records are followed.
struct Pass<F> {
    segments: Segments<F>,
    chain: Chain,
    committed_end: u64,
    durable_sequence: u64,
    force_point: bool,
    ends_with_mark: bool,
}

/// Follows the records of all segments in `names`.
///
/// # Errors
/// Damage before the end, files missing or foreign.
pub(crate) async fn scan_segments<D: Disk>(
    disk: &D,
    identity: Identity,
    names: Names,
    verify_sealed: bool,
) -> Result<Scanned<D::File>, OpenError> {
    let mut oldest = oldest_segment(disk, &identity, &names).await?;
    loop {
        let scanned = match scan_from(disk, identity, names.clone(), oldest, verify_sealed).await {
            Err(missing @ OpenError::MissingFile { .. }) => {
                return Err(
                    behind_missing(disk, identity, names, oldest, verify_sealed, missing).await
                );
            }
            scanned => scanned?,
        };
        let named = scanned.control.oldest_segment;
        if named == oldest {
            return Ok(scanned);
        }
        if named > oldest {
            let active = scanned.segments.active();
            let expected = format!("records of a log that begins with segment {oldest}");
            let found = format!("one that begins it with segment {named}");
            let (file, offset) = (file_name(active.id), BLOCK);
            return Err(Damage { file, offset, expected, found }.into());
        }
        // What gave up a segment turns out not to count, so the segment does.
        oldest = named;
    }
}

/// Why the segment with which the log begins is missing: the record that gave it up may be damaged, or one before that.
async fn behind_missing<D: Disk>(
    disk: &D,
    identity: Identity,
    names: Names,
    oldest: u64,
    verify_sealed: bool,
    missing: OpenError,
) -> OpenError {
    let Some((&first, _)) = names.segments.first_key_value().filter(|(id, _)| **id > oldest) else {
        return missing;
    };
    match scan_from(disk, identity, names, first, verify_sealed).await {
        // Damage of the first record only says that the log does not begin there.
        Err(OpenError::Damaged(damage))
            if (&*damage.file, damage.offset) != (&*file_name(first), BLOCK) =>
        {
            damage.into()
        }
        _ => missing,
    }
}

async fn scan_from<D: Disk>(
    disk: &D,
    identity: Identity,
    mut names: Names,
    oldest: u64,
    verify_sealed: bool,
) -> Result<Scanned<D::File>, OpenError> {
    names.outdated = names.segments.range(..oldest).map(|(id, _)| *id).collect();
    names.segments = names.segments.split_off(&oldest);
    let files: Vec<(u64, u64)> = names.segments.iter().map(|(id, len)| (*id, *len)).collect();
    for (position, (id, _)) in files.iter().enumerate() {
        let expected = oldest + position as u64;
        if *id != expected {
            return Err(OpenError::MissingFile { file: file_name(expected) });
        }
    }
    if files.is_empty() {
        return Err(OpenError::MissingFile { file: file_name(oldest) });
    }
    let mut pass = Pass::new(oldest);
    let mut rest = Rest { torn: None, stale_blocks: Vec::new() };
    let mut ready = Vec::new();
    for (position, (id, len)) in files.iter().enumerate() {
        let mut file = SegmentFile::open(disk, &identity, *id, *len).await?;
        let following = &files[position + 1..];
        if let Some(footer) = file.footer().await? {
            if following.is_empty() {
                // The log never leaves a segment before the next one is there.
                return Err(OpenError::MissingFile { file: file_name(id + 1) });
            }
            pass.take_footer(&mut file, footer, verify_sealed).await?;
            continue;
        }
        let end = pass.follow(&mut file, None).await?;
        if pass.goes_on(disk, &identity, following).await? {
            pass.leave_segment();
            continue;
        }
        if pass.chain.sequence == 0 && *id != 1 {
            let expected = "the first record of the log".into();
            let found = "none, and this is not its first segment".into();
            return Err(Damage { file: file_name(*id), offset: BLOCK, expected, found }.into());
        }
        let end = End {
            offset: end,
            sequence: pass.chain.sequence + 1,
            previous: pass.chain.checksum,
            durable_sequence: pass.durable_sequence,
        };
        rest = judge(disk, &identity, &mut file, following, &end).await?;
        for (id, len) in following {
            SegmentFile::open(disk, &identity, *id, *len).await?;
            ready.push((*id, *len));
        }
        break;
    }
    pass.check_beginning()?;
    pass.check_end(&names)?;
    Ok(Scanned {
        identity,
        segments: pass.segments,
        ready,
        control: pass.chain.control,
        committed_end: pass.committed_end,
        sequence: pass.chain.sequence,
        checksum: pass.chain.checksum,
        force_point: pass.force_point,
        ends_with_mark: pass.ends_with_mark,
        torn: rest.torn,
        stale_blocks: rest.stale_blocks,
        names,
    })
}

/// The lowest segment that belongs to the log, from the last segment that holds any record: files below it
/// may already be something else.
async fn oldest_segment<D: Disk>(
    disk: &D,
    identity: &Identity,
    names: &Names,
) -> Result<u64, OpenError> {
    for (id, len) in names.segments.iter().rev() {
        let mut file = SegmentFile::open(disk, identity, *id, *len).await?;
        if let Some(footer) = file.footer().await? {
            return Ok(footer.control.oldest_segment);
        }
        let mut oldest = None;
        let mut offset = BLOCK;
        while offset < file.header.footer_offset() {
            let Found::Record { header, .. } = file.look(offset).await? else {
                if oldest.is_some() {
                    break;
                }
                // Nothing at the front: an empty segment, or one whose first record is damaged. The
                // tail's judge decides that; here any record says what is needed.
                match first_record(&mut file, offset + BLOCK).await? {
                    Some(next) => offset = next,
                    None => break,
                }
                continue;
            };
            if !matches!(header.kind, RecordKind::Entry(_)) {
                match file.control(offset, header.kind).await {
                    Ok(control) => oldest = Some(control.oldest_segment).max(oldest),
                    // Whoever follows the records refuses it; those of a sealed segment need not be followed.
                    Err(OpenError::Damaged(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            offset += header.padded_bytes();
        }
        if let Some(oldest) = oldest {
            return Ok(oldest);
        }
    }
    // No record anywhere: a log that was created and not yet written, which begins with segment 1.
    Ok(1)
}

async fn first_record<F: jobbie_io::DiskFile>(
    file: &mut SegmentFile<F>,
    from: u64,
) -> Result<Option<u64>, OpenError> {
    for offset in blocks(&file.header, from) {
        if file.header_at(offset).await?.is_some()
            && matches!(file.look(offset).await?, Found::Record { .. })
        {
            return Ok(Some(offset));
        }
    }
    Ok(None)
}

impl<F: jobbie_io::DiskFile> Pass<F> {
    fn new(oldest: u64) -> Self {
        Self {
            segments: Segments::new(),
            chain: Chain::beginning(oldest),
            committed_end: 0,
            durable_sequence: 0,
            force_point: false,
            ends_with_mark: false,
        }
    }

    /// Follows the chain of records in `file`, to its end or to `until`; gives the offset behind the last one.
    async fn follow(
        &mut self,
        file: &mut SegmentFile<F>,
        until: Option<u64>,
    ) -> Result<u64, OpenError> {
        let limit = until.unwrap_or_else(|| file.header.footer_offset());
        let segment = Segment::new(
            file.id,
            file.header.segment_bytes,
            None,
            self.chain.next_index(),
            self.chain.control.next_event,
        );
        self.segments.push(segment);
        let mut offset = BLOCK;
        while offset < limit {
            let Some(record) = file.next(&self.chain, offset, limit).await? else { break };
            self.take(&record, offset);
            offset += record.header.padded_bytes();
        }
        Ok(offset)
    }

    fn take(&mut self, record: &Record, offset: u64) {
        let header = &record.header;
        let active = self.segments.active_mut();
        if active.records == 0 {
            active.first_sequence = header.sequence;
        }
        active.records += 1;
        active.end = offset + header.padded_bytes();
        active.readable_end = active.end;
        match record.control {
            None => {
                let force_point = std::mem::take(&mut self.force_point);
                active.note_entry(header.index, header.first_event, offset, force_point);
            }
            Some(control) => self.take_control(header.kind, control),
        }
        self.chain.take(record);
        self.durable_sequence = self.durable_sequence.max(header.durable_sequence);
        self.committed_end = self.committed_end.max(header.committed_end);
        self.ends_with_mark = header.kind == RecordKind::Mark;
    }

    fn take_control(&mut self, kind: RecordKind, control: Control) {
        let end_index = control.last.map_or(0, |last| last.index + 1);
        if kind == RecordKind::Truncate {
            self.segments.truncate(end_index, control.next_event);
            let active = self.segments.active_mut();
            active.truncated_to = active.truncated_to.min(end_index);
            self.force_point = true;
        }
        if kind == RecordKind::Start && self.chain.sequence == 0 {
            let active = self.segments.active_mut();
            active.start_index = end_index;
            active.start_event = control.next_event;
        }
        let restarted = kind == RecordKind::Purge && control.last != self.chain.control.last;
        self.force_point |= restarted && control.last.is_some();
    }

    async fn take_footer(
        &mut self,
        file: &mut SegmentFile<F>,
        footer: Footer,
        verify: bool,
    ) -> Result<(), OpenError> {
        let expected = self.chain.sequence + 1;
        if self.chain.sequence != 0 && footer.first_sequence != expected {
            let found = format!("record {}", footer.first_sequence);
            let expected = format!("record {expected} at the beginning of the segment");
            return Err(Damage { file: file_name(file.id), offset: BLOCK, expected, found }.into());
        }
        if verify {
            let end = self.follow(file, Some(footer.end)).await?;
            file.check_end(&self.chain, end, &footer).await?;
            self.leave_segment();
            let segment = self.segments.active_mut();
            (segment.sealed, segment.has_footer) = (true, true);
            return Ok(());
        }
        if footer.truncated_to != u64::MAX {
            self.segments.truncate(footer.truncated_to, footer.start_event);
        }
        self.chain = Chain {
            control: footer.control,
            sequence: footer.last_sequence(),
            checksum: footer.last_checksum,
        };
        self.durable_sequence = self.chain.sequence;
        self.committed_end = self.committed_end.max(footer.committed_end);
        self.force_point = false;
        self.ends_with_mark = false;
        self.segments.push(Segment::from_footer(footer, file.header.segment_bytes));
        Ok(())
    }

    /// Whether the chain goes on at the beginning of the next segment.
    async fn goes_on<D: Disk<File = F>>(
        &self,
        disk: &D,
        identity: &Identity,
        following: &[(u64, u64)],
    ) -> Result<bool, OpenError> {
        let Some((id, len)) = following.first() else { return Ok(false) };
        if self.chain.sequence == 0 {
            return Ok(false);
        }
        let mut next = SegmentFile::open(disk, identity, *id, *len).await?;
        if let Some(footer) = next.footer().await? {
            return Ok(footer.first_sequence == self.chain.sequence + 1);
        }
        let found = next.look(BLOCK).await?;
        Ok(
            matches!(found, Found::Record { header, .. } if self.chain.continues(&header, &next.header, BLOCK)),
        )
    }

    fn leave_segment(&mut self) {
        let closing = Closing {
            control: self.chain.control,
            committed_end: self.committed_end,
            last_checksum: self.chain.checksum,
        };
        self.segments.active_mut().closing = Some(closing);
    }

    /// The log must hold everything behind what it calls purged.
    fn check_beginning(&self) -> Result<(), OpenError> {
        let first = self
            .segments
            .iter()
            .find_map(|segment| segment.entries().map(|e| (segment.id, e.start)));
        let purged_end = self.chain.control.purged.map_or(0, |purged| purged.index + 1);
        match first {
            Some((id, index)) if index > purged_end => {
                let expected = format!("entry {purged_end}, the first one that is not purged");
                let found = format!("entry {index}");
                Err(Damage { file: file_name(id), offset: BLOCK, expected, found }.into())
            }
            _ => Ok(()),
        }
    }

    /// The log was durable up to the last entry of every snapshot when that got its name.
    fn check_end(&self, names: &Names) -> Result<(), OpenError> {
        let last = self.chain.control.last.map(|last| last.index);
        let Some(index) = names.snapshot.filter(|index| last < Some(*index)) else { return Ok(()) };
        let active = self.segments.active();
        let expected = format!("entry {index}, which a snapshot holds");
        let found = match last {
            Some(last) => format!("the end of the log behind entry {last}"),
            None => "a log without entries".into(),
        };
        Err(Damage { file: file_name(active.id), offset: active.end, expected, found }.into())
    }
}
