//! What can be wrong with a frame.

use crate::limits::FRAME_BYTES_MAX;

/// The stream is not a sequence of frames; nothing after this point can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It does not begin with the magic bytes.
    #[error("not a jobbie frame: it begins with {0:02x?} instead of \"JOB\\x01\"")]
    Magic([u8; 4]),
    /// Longer than the limit of the phase the connection is in.
    #[error("frame of {bytes} bytes, at most {bytes_max} are allowed here")]
    TooLarge {
        /// Bytes announced.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// The header contradicts itself.
    #[error("frame header is damaged: table of {table} bytes in a body of {body}")]
    Header {
        /// Bytes of the table announced.
        table: usize,
        /// Bytes of the body announced.
        body: usize,
    },
    /// A byte that must be zero is not.
    #[error("frame header is damaged: reserved bytes are not zero")]
    Reserved,
}

/// The frame is whole but does not make sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Unknown, or one that only the other side may send.
    #[error("frame kind {0} is not known here")]
    Kind(u8),
    /// An offset of the table leads out of it.
    #[error("the table is damaged: {field} reaches beyond it")]
    Table {
        /// Where.
        field: &'static str,
    },
    /// A length reaches beyond the blob.
    #[error("{field} reaches beyond the frame")]
    Range {
        /// Which.
        field: &'static str,
    },
    /// A number stands for nothing.
    #[error("{field} cannot be {value}")]
    Value {
        /// Which.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// Text that is not UTF-8.
    #[error("{field} is not UTF-8")]
    Text {
        /// Which.
        field: &'static str,
    },
    /// More operations than [`crate::limits`] allows.
    #[error("{count} {field}, at most {count_max} are allowed")]
    TooMany {
        /// Which.
        field: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        count_max: usize,
    },
    /// Two vectors that must be of one length are not.
    #[error("{field} must have one element for each job")]
    Parallel {
        /// Which.
        field: &'static str,
    },
    /// A number no job can have.
    #[error("a job id has more than 104 bits")]
    JobId,
}

/// The values do not fit a frame. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// One field is longer than its length field can say.
    #[error("{field} of {bytes} bytes, at most {bytes_max} are possible")]
    Field {
        /// Which.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest possible.
        bytes_max: usize,
    },
    /// All together are longer than a frame.
    #[error("frame of {bytes} bytes, at most {FRAME_BYTES_MAX} are possible: send it as several")]
    Frame {
        /// How long it would be.
        bytes: usize,
    },
    /// More operations of one kind than a request may hold.
    #[error("{count} {field} in one request, at most {count_max} are possible: send several")]
    TooMany {
        /// Which.
        field: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        count_max: usize,
    },
}
