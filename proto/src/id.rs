//! Ids and times. All of them are plain integers on disk and on the wire.

use std::fmt;
use std::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize,
            Deserialize,
        )]
        #[rkyv(derive(Clone, Copy, Debug, PartialEq, Eq))]
        pub struct $name(pub u64);

        impl $name {
            /// The id `n` after this one.
            ///
            /// # Panics
            /// When the sequence is used up, which at a million a second takes 584,000 years.
            #[must_use]
            pub fn plus(self, n: u64) -> Self {
                Self(self.0.checked_add(n).expect("sequence used up"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

integer_id! {
    /// A job within its shard: dense, from 1, in the order of enqueueing.
    JobSeq
}
integer_id! {
    /// An event within its shard: dense, from 1, never reused. Also how the state names a place in
    /// the log: the record of a job, its last error, its checkpoint. 0 means "none".
    EventSeq
}
integer_id! {
    /// A client session within its shard: the sequence number of the event that opened it.
    /// 0 is the server itself (timers).
    SessionId
}
integer_id! {
    /// The right to finish a job: the sequence number of the event that leased it, so a later lease
    /// always has a larger token. 0 means "none given".
    LeaseToken
}
integer_id! {
    /// Work on many jobs within its shard: the sequence number of the event that began it.
    OperationId
}
integer_id! {
    /// Log time: microseconds since the Unix epoch, stamped by the leader, never running backwards.
    Micros
}

impl Micros {
    /// This time plus `ms` milliseconds, or the end of time.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// Whole milliseconds since the Unix epoch.
    #[must_use]
    pub fn ms(self) -> u64 {
        self.0 / 1000
    }
}

/// A shard of the node, `0..SHARDS_MAX`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Archive,
    Serialize,
    Deserialize,
)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const SEQ_BITS: u32 = 50;
const SHARD_BITS: u32 = 10;
const MS_BITS: u32 = 44;
const HEX_DIGITS: usize = 26;
const PREFIX: &str = "job_";
const OPERATION_PREFIX: &str = "op_";

const _: () = assert!((SEQ_BITS + SHARD_BITS + MS_BITS) as usize == HEX_DIGITS * 4);
const _: () = assert!(crate::limits::SHARDS_MAX as u64 == 1 << SHARD_BITS);

/// A job, anywhere: creation time in milliseconds (44 bits, to the year 2527), shard (10 bits) and
/// sequence (50 bits), most significant first. So ids sort by creation, and an id alone finds its
/// shard and its place there, without a map.
///
/// As text: `job_` and 26 lower-case hexadecimal digits, 30 characters.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct JobId(u128);

impl JobId {
    /// Puts an id together.
    ///
    /// # Panics
    /// When a part does not fit its bits.
    #[must_use]
    pub fn new(created_ms: u64, shard: ShardId, seq: JobSeq) -> Self {
        assert!(created_ms < 1 << MS_BITS, "creation time beyond the year 2527");
        assert!(u64::from(shard.0) < 1 << SHARD_BITS, "shard number out of range");
        assert!(seq.0 < 1 << SEQ_BITS, "job sequence out of range");
        Self(
            u128::from(created_ms) << (SHARD_BITS + SEQ_BITS)
                | u128::from(shard.0) << SEQ_BITS
                | u128::from(seq.0),
        )
    }

    /// From its 104-bit number; `None` when it has more bits.
    #[must_use]
    pub fn from_u128(raw: u128) -> Option<Self> {
        (raw >> (MS_BITS + SHARD_BITS + SEQ_BITS) == 0).then_some(Self(raw))
    }

    /// As a 104-bit number.
    #[must_use]
    pub fn to_u128(self) -> u128 {
        self.0
    }

    /// When the job was created, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn created_ms(self) -> u64 {
        (self.0 >> (SHARD_BITS + SEQ_BITS)) as u64
    }

    /// The shard that holds the job.
    #[must_use]
    pub fn shard(self) -> ShardId {
        ShardId((self.0 >> SEQ_BITS) as u16 & ((1 << SHARD_BITS) - 1))
    }

    /// The job within its shard.
    #[must_use]
    pub fn seq(self) -> JobSeq {
        JobSeq(self.0 as u64 & ((1 << SEQ_BITS) - 1))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:026x}", self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a job id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a job id: expected \"job_\" and 26 lower-case hexadecimal digits")]
pub struct BadJobId;

impl FromStr for JobId {
    type Err = BadJobId;

    fn from_str(text: &str) -> Result<Self, BadJobId> {
        parse_digits(text, PREFIX).map(Self).ok_or(BadJobId)
    }
}

fn parse_digits(text: &str, prefix: &str) -> Option<u128> {
    let digits = text.strip_prefix(prefix)?;
    let lower_hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let sound = digits.len() == HEX_DIGITS && digits.as_bytes().iter().all(lower_hex);
    sound.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

const BATCH_PREFIX: &str = "batch_";

/// A batch, anywhere: as [`JobId`], with the number of the event that opened it in place of a job's. The shard is
/// the one that counts its members.
///
/// As text: `batch_` and 26 lower-case hexadecimal digits, 32 characters.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct BatchId(u128);

impl BatchId {
    /// Puts an id together.
    ///
    /// # Panics
    /// When a part does not fit its bits.
    #[must_use]
    pub fn new(opened_ms: u64, shard: ShardId, number: EventSeq) -> Self {
        Self(JobId::new(opened_ms, shard, JobSeq(number.0)).0)
    }

    /// From its 104-bit number; `None` when it has more bits.
    #[must_use]
    pub fn from_u128(raw: u128) -> Option<Self> {
        JobId::from_u128(raw).map(|id| Self(id.0))
    }

    /// As a 104-bit number.
    #[must_use]
    pub fn to_u128(self) -> u128 {
        self.0
    }

    /// When it was opened, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn opened_ms(self) -> u64 {
        JobId(self.0).created_ms()
    }

    /// The shard that counts its members.
    #[must_use]
    pub fn shard(self) -> ShardId {
        JobId(self.0).shard()
    }

    /// The event that opened it, within its shard.
    #[must_use]
    pub fn number(self) -> EventSeq {
        EventSeq(JobId(self.0).seq().0)
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BATCH_PREFIX}{:026x}", self.0)
    }
}

impl fmt::Debug for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a batch id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a batch id: expected \"batch_\" and 26 lower-case hexadecimal digits")]
pub struct BadBatchId;

impl FromStr for BatchId {
    type Err = BadBatchId;

    fn from_str(text: &str) -> Result<Self, BadBatchId> {
        parse_digits(text, BATCH_PREFIX).map(Self).ok_or(BadBatchId)
    }
}

/// An operation, anywhere. As text: `op_SHARD_ID`, such as `op_0_17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationRef {
    /// The shard that does it.
    pub shard: ShardId,
    /// Which of that shard's.
    pub id: OperationId,
}

impl fmt::Display for OperationRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OPERATION_PREFIX}{}_{}", self.shard, self.id)
    }
}

/// The text is not an operation's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an operation: expected \"op_\", the shard, \"_\" and a number, such as op_0_17")]
pub struct BadOperationRef;

impl FromStr for OperationRef {
    type Err = BadOperationRef;

    fn from_str(text: &str) -> Result<Self, BadOperationRef> {
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let numbers = text.strip_prefix(OPERATION_PREFIX).and_then(|rest| rest.split_once('_'));
        let (shard, id) = numbers.filter(|(a, b)| digits(a) && digits(b)).ok_or(BadOperationRef)?;
        let shard = ShardId(shard.parse().map_err(|_| BadOperationRef)?);
        let id = OperationId(id.parse().map_err(|_| BadOperationRef)?);
        Ok(Self { shard, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_thirty_characters_and_reads_back() {
        let id = JobId::new(1_795_000_000_123, ShardId(1023), JobSeq((1 << 50) - 1));
        let text = id.to_string();
        assert_eq!(text, "job_1a1ee565e7bfffffffffffffff");
        assert_eq!(text.len(), 30);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(
            (id.created_ms(), id.shard(), id.seq()),
            (1_795_000_000_123, ShardId(1023), JobSeq((1 << 50) - 1))
        );
    }

    #[test]
    fn ids_sort_by_creation_then_shard_then_sequence() {
        let id = |ms, shard, seq| JobId::new(ms, ShardId(shard), JobSeq(seq));
        let sorted = [id(1, 9, 9), id(2, 0, 5), id(2, 0, 6), id(2, 1, 1), id(3, 0, 1)];
        assert!(sorted.is_sorted());
        let text: Vec<_> = sorted.iter().map(ToString::to_string).collect();
        assert!(text.is_sorted());
    }

    #[test]
    fn an_operation_is_named_with_its_shard() {
        let operation = OperationRef { shard: ShardId(3), id: OperationId(17) };
        assert_eq!(operation.to_string(), "op_3_17");
        assert_eq!("op_3_17".parse(), Ok(operation));
        for text in ["", "op_", "op_3", "op_3_", "op__3", "op_+3_1", "op_70000_1", "job_3_1"] {
            assert_eq!(text.parse::<OperationRef>(), Err(BadOperationRef), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "job_",
            "job_0",
            "sob_1a1ee565e7bfffffffffffffff",
            "job_1A1EE565E7BFFFFFFFFFFFFFFF",
        ] {
            assert_eq!(text.parse::<JobId>(), Err(BadJobId), "{text}");
        }
        assert_eq!(format!("job_{:+026x}", 1).parse::<JobId>(), Err(BadJobId));
        assert_eq!(JobId::from_u128(1 << 104), None);
        let batch = BatchId::new(7, ShardId(3), EventSeq(9));
        assert_eq!(batch.to_string().parse(), Ok(batch));
        assert_eq!(
            (batch.opened_ms(), batch.shard(), batch.number()),
            (7, ShardId(3), EventSeq(9))
        );
        assert_eq!("job_0000000000000000000000000a".parse::<BatchId>(), Err(BadBatchId));
    }
}
