//! What clients send.

use super::blob::BlobReader;
use super::frame::{Frame, Kind};
use super::generated as fb;
use super::table::Table;
use super::{DecodeError, Hello, decode_request, table};
use crate::Request;
use crate::limits::FETCH_QUEUES_MAX;

/// A frame from a client, decoded and borrowed from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "almost every frame is the large one")]
pub enum ClientFrame<'a> {
    /// The first frame of a connection, and only that.
    Hello(Hello<'a>),
    /// A batch of operations.
    Request(Request<'a>),
    /// Push jobs of these queues.
    Subscribe(Subscribe<'a>),
    /// More jobs may be pushed.
    Credit {
        /// To which subscription.
        subscription: u32,
        /// How many more.
        add: u32,
    },
    /// Push no more.
    Unsubscribe {
        /// Which subscription.
        subscription: u32,
    },
    /// End the session: its leases go back at once.
    Goodbye,
    /// Say something.
    Ping {
        /// Comes back in the pong.
        nonce: u64,
    },
}

/// Jobs of these queues are to be pushed, as far as credit allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Chosen by the client, unique on its connection.
    pub subscription: u32,
    /// Queues, served strictly in this order.
    pub queues: Vec<&'a str>,
    /// Lease length, in milliseconds.
    pub lease_ms: u32,
    /// Worker name when it differs from the session's; empty otherwise.
    pub worker: &'a str,
}

impl<'a> Subscribe<'a> {
    fn decode(blob: &'a [u8], bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let table = Table::open(bytes)?;
        let lens = table.list("queues", fb::Subscribe::VT_NAMES, FETCH_QUEUES_MAX)?;
        let names_at = table.u32(fb::Subscribe::VT_NAMES_AT)?;
        let worker_len = table.u16(fb::Subscribe::VT_WORKER_LEN)?;
        Ok(Self {
            subscription: table.u32(fb::Subscribe::VT_SUBSCRIPTION)?,
            queues: table::names(lens, names_at, blob)?.into_vec(),
            lease_ms: table.u32(fb::Subscribe::VT_LEASE_MS)?,
            worker: BlobReader::new(blob).text("worker", worker_len.into())?,
        })
    }
}

impl<'a> ClientFrame<'a> {
    /// Checks and decodes a frame.
    ///
    /// # Errors
    /// When it is not a well-formed frame that clients send.
    pub fn decode(frame: Frame<'a>) -> Result<Self, DecodeError> {
        let Frame { kind, blob, table } = frame;
        Ok(match Kind::from_u8(kind) {
            Some(Kind::Request) => Self::Request(decode_request::decode(blob, table)?),
            Some(Kind::Hello) => Self::Hello(Hello::decode(blob, table)?),
            Some(Kind::Subscribe) => Self::Subscribe(Subscribe::decode(blob, table)?),
            Some(Kind::Credit) => {
                let table = Table::open(table)?;
                Self::Credit {
                    subscription: table.u32(fb::Credit::VT_SUBSCRIPTION)?,
                    add: table.u32(fb::Credit::VT_ADD)?,
                }
            }
            Some(Kind::Unsubscribe) => {
                let subscription = Table::open(table)?.u32(fb::Unsubscribe::VT_SUBSCRIPTION)?;
                Self::Unsubscribe { subscription }
            }
            Some(Kind::Goodbye) => {
                Table::open(table)?;
                Self::Goodbye
            }
            Some(Kind::Ping) => Self::Ping { nonce: Table::open(table)?.u64(fb::Ping::VT_NONCE)? },
            _ => return Err(DecodeError::Kind(kind)),
        })
    }
}
