//! How a log behaves.

use crate::error::OpenError;
use crate::limits::{
    SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SEGMENTS_PER_DISK_MIN,
};

/// What "done" means for an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives power loss.
    Fsync,
    /// The kernel has it; it is flushed within this many milliseconds (at least 1). Power loss takes
    /// at most that much, always from the end.
    Interval(u32),
    /// The kernel has it; it is flushed when the drive likes. Power loss takes an unknown part, always from
    /// the end; the death of the process alone takes nothing.
    None,
}

/// Configuration of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Size of new segments, in bytes (`SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX`, whole MiB). Space is
    /// given back segment by segment, and an entry cannot be larger. Less is used on a small disk.
    pub segment_bytes: u64,
    /// Prepared segments beyond the one being written (at least 1). More absorb longer bursts, and are
    /// the reserve that still takes acks when the disk is full. Of segments that nobody needs any more,
    /// as many files are kept for later, four times as many where space is plenty.
    pub spare_segments: usize,
    /// Memory for the newest entries, in bytes.
    pub tail_bytes_max: usize,
    /// What "done" means.
    pub durability: Durability,
    /// Whether opening reads sealed segments too, rather than trusting their footers and leaving their
    /// records to be checked when they are read.
    pub verify_sealed: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            spare_segments: 4,
            tail_bytes_max: 32 << 20,
            durability: Durability::Fsync,
            verify_sealed: false,
        }
    }
}

impl LogConfig {
    /// Files of recycled segments that are kept while `available` bytes of the disk are free: many only where space is
    /// plenty, since snapshots and others need some too.
    pub(crate) fn spares_kept_max(&self, segment_bytes: u64, available: u64) -> usize {
        let plenty = segment_bytes.saturating_mul(4 * SEGMENTS_PER_DISK_MIN);
        if available < plenty { self.spare_segments } else { self.spare_segments.saturating_mul(4) }
    }

    /// # Errors
    /// [`OpenError::Config`] naming the first value out of range.
    pub fn validate(&self) -> Result<(), OpenError> {
        let refuse = |what: &str| Err(OpenError::Config(what.to_owned()));
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return refuse("segment_bytes must be between 1 MiB and 1 GiB");
        }
        if !self.segment_bytes.is_multiple_of(SEGMENT_BYTES_MIN) {
            return refuse("segment_bytes must be whole MiB");
        }
        if self.spare_segments == 0 {
            return refuse("spare_segments must be at least 1");
        }
        if self.durability == Durability::Interval(0) {
            return refuse("a flush interval must be at least 1 ms");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_are_kept_only_where_space_is_plenty() {
        let config = LogConfig::default();
        assert_eq!(config.spares_kept_max(1 << 20, 64 << 20), 16);
        assert_eq!(config.spares_kept_max(1 << 20, (64 << 20) - 1), 4);
    }
}
