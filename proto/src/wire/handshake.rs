//! The first frames of a connection.

use super::blob::{BlobReader, len_u16, len_u32};
use super::encoder::{Encoder, vector};
use super::frame::Kind;
use super::generated as fb;
use super::table::Table;
use super::{DecodeError, EncodeError, table};
use crate::ability::Abilities;
use crate::limits;
use crate::{Code, Micros, SessionId, ShardId};

/// The protocol version this release speaks, and the only one.
pub const PROTOCOL_VERSION: u16 = 1;
/// [`Hello::shard`] of a client that takes any shard.
pub const ANY_SHARD: ShardId = ShardId(u16::MAX);

/// What a client says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Oldest protocol version the client speaks.
    pub version_min: u16,
    /// Newest protocol version the client speaks.
    pub version_max: u16,
    /// Chosen at random when the client starts; opening again with it finds the same session.
    pub client: u128,
    /// The session to go on with; 0 opens one.
    pub resume_session: SessionId,
    /// The shard the client wants to speak to; [`ANY_SHARD`] takes whichever answers.
    pub shard: ShardId,
    /// Credential; empty is none.
    pub token: &'a [u8],
    /// Name of the worker or program.
    pub name: &'a str,
    /// Name of its machine.
    pub host: &'a str,
}

impl<'a> Hello<'a> {
    pub(super) fn decode(blob: &'a [u8], bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let table = Table::open(bytes)?;
        let mut blob = BlobReader::new(blob);
        Ok(Self {
            version_min: table.u16(fb::Hello::VT_VERSION_MIN)?,
            version_max: table.u16(fb::Hello::VT_VERSION_MAX)?,
            client: u128::from(table.u64(fb::Hello::VT_CLIENT_HIGH)?) << 64
                | u128::from(table.u64(fb::Hello::VT_CLIENT_LOW)?),
            resume_session: SessionId(table.u64(fb::Hello::VT_RESUME_SESSION)?),
            shard: ShardId(table.u16_or(fb::Hello::VT_SHARD, ANY_SHARD.0)?),
            token: blob.bytes("token", table.u16(fb::Hello::VT_TOKEN_LEN)?.into())?,
            name: blob.text("name", table.u16(fb::Hello::VT_NAME_LEN)?.into())?,
            host: blob.text("host", table.u16(fb::Hello::VT_HOST_LEN)?.into())?,
        })
    }
}

/// How durable an answer is, as the server was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The operating system decides when it reaches the disk.
    None,
    /// Flushed at least this often, in milliseconds.
    IntervalMs(u32),
    /// Flushed before the answer is sent.
    Fsync,
}

impl Durability {
    fn to_wire(self) -> (u8, u32) {
        match self {
            Self::None => (0, 0),
            Self::IntervalMs(ms) => (1, ms),
            Self::Fsync => (2, 0),
        }
    }

    fn from_wire(number: u8, interval_ms: u32) -> Result<Self, DecodeError> {
        match number {
            0 => Ok(Self::None),
            1 => Ok(Self::IntervalMs(interval_ms)),
            2 => Ok(Self::Fsync),
            n => Err(DecodeError::Value { field: "durability", value: n.into() }),
        }
    }
}

/// Where a shard is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// The shard.
    pub shard: ShardId,
    /// `host:port`. Empty: the address this connection was made to.
    pub address: &'a str,
    /// Whether it leads the shard, as far as the server knows.
    pub leader: bool,
}

/// The server's limits, so that a client can split and refuse before it sends. [`crate::limits`] says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the constants they carry")]
pub struct Limits {
    pub frame_bytes_max: u32,
    pub payload_bytes_max: u32,
    pub tags_bytes_max: u32,
    pub result_bytes_max: u32,
    pub error_bytes_max: u32,
    pub ops_per_request_max: u32,
    pub fetch_count_max: u32,
    pub fetch_queues_max: u32,
    pub fetch_wait_ms_max: u32,
    pub lease_ms_min: u32,
    pub lease_ms_max: u32,
    pub session_replies_max: u32,
    pub session_idle_ms_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: limits::FRAME_BYTES_MAX as u32,
            payload_bytes_max: limits::PAYLOAD_BYTES_MAX as u32,
            tags_bytes_max: limits::TAGS_BYTES_MAX as u32,
            result_bytes_max: limits::RESULT_BYTES_MAX as u32,
            error_bytes_max: limits::ERROR_BYTES_MAX as u32,
            ops_per_request_max: limits::OPS_PER_REQUEST_MAX as u32,
            fetch_count_max: limits::FETCH_COUNT_MAX,
            fetch_queues_max: limits::FETCH_QUEUES_MAX as u32,
            fetch_wait_ms_max: limits::FETCH_WAIT_MS_MAX,
            lease_ms_min: limits::LEASE_MS_MIN,
            lease_ms_max: limits::LEASE_MS_MAX,
            session_replies_max: limits::SESSION_REPLIES_MAX as u32,
            session_idle_ms_max: limits::SESSION_IDLE_MS_MAX as u32,
        }
    }
}

/// What operators have set for the whole server, as far as clients may want to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerSettings {
    /// How long dead and cancelled jobs are kept, in milliseconds; 0 is unknown.
    pub retention_ms: u64,
    /// Leases of a job that must have run out, with no attempt left, before it is quarantined; 0 is never.
    pub lease_expiries_max: u32,
}

/// The server's answer to a hello it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The version both sides speak from here on.
    pub version: u16,
    /// The session. Another than asked for means that the one asked for is gone, and with it what is known of its
    /// unanswered requests.
    pub session: SessionId,
    /// The shard this connection speaks to.
    pub shard: ShardId,
    /// How many shards there are; places queues (see [`crate::placement`]).
    pub shards: u16,
    /// Where they are served.
    pub endpoints: Vec<Endpoint<'a>>,
    /// What the server accepts.
    pub limits: Limits,
    /// The server's clock.
    pub server_time: Micros,
    /// What an answer of this server is worth.
    pub durability: Durability,
    /// Release of the server, for people.
    pub server_version: &'a str,
    /// Random name of the data. Another than before means another server or a wiped one: forget sessions and ids.
    pub store: u128,
    /// What it can do.
    pub abilities: Abilities,
    /// What its operators have set.
    pub settings: ServerSettings,
}

impl<'a> Welcome<'a> {
    pub(super) fn decode(blob: &'a [u8], bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let table = Table::open(bytes)?;
        let mut blob = BlobReader::new(blob);
        let server_version =
            blob.text("server version", table.u16(fb::Welcome::VT_SERVER_VERSION_LEN)?.into())?;
        let endpoints = table.list("endpoints", fb::Welcome::VT_ENDPOINTS, u16::MAX.into())?;
        let endpoints = table::collect(endpoints, |raw| {
            let e = fb::Endpoint(raw);
            let address = blob.text("address", e.address_len().into())?;
            Ok(Endpoint { shard: ShardId(e.shard()), address, leader: e.leader() })
        })?;
        Ok(Self {
            version: table.u16(fb::Welcome::VT_VERSION)?,
            session: SessionId(table.u64(fb::Welcome::VT_SESSION)?),
            shard: ShardId(table.u16(fb::Welcome::VT_SHARD)?),
            shards: table.u16(fb::Welcome::VT_SHARDS)?,
            endpoints,
            limits: table
                .structure(fb::Welcome::VT_LIMITS)?
                .map(|raw| limits_from(&fb::Limits(raw)))
                .unwrap_or_default(),
            server_time: Micros(table.u64(fb::Welcome::VT_SERVER_TIME_US)?),
            durability: Durability::from_wire(
                table.u8(fb::Welcome::VT_DURABILITY)?,
                table.u32(fb::Welcome::VT_DURABILITY_INTERVAL_MS)?,
            )?,
            server_version,
            store: u128::from(table.u64(fb::Welcome::VT_STORE_HIGH)?) << 64
                | u128::from(table.u64(fb::Welcome::VT_STORE_LOW)?),
            abilities: Abilities(table.u64(fb::Welcome::VT_ABILITIES)?),
            settings: ServerSettings {
                retention_ms: table.u64(fb::Welcome::VT_RETENTION_MS)?,
                lease_expiries_max: table.u32(fb::Welcome::VT_LEASE_EXPIRIES_MAX)?,
            },
        })
    }
}

fn limits_from(l: &fb::Limits) -> Limits {
    Limits {
        frame_bytes_max: l.frame_bytes_max(),
        payload_bytes_max: l.payload_bytes_max(),
        tags_bytes_max: l.tags_bytes_max(),
        result_bytes_max: l.result_bytes_max(),
        error_bytes_max: l.error_bytes_max(),
        ops_per_request_max: l.ops_per_request_max(),
        fetch_count_max: l.fetch_count_max(),
        fetch_queues_max: l.fetch_queues_max(),
        fetch_wait_ms_max: l.fetch_wait_ms_max(),
        lease_ms_min: l.lease_ms_min(),
        lease_ms_max: l.lease_ms_max(),
        session_replies_max: l.session_replies_max(),
        session_idle_ms_max: l.session_idle_ms_max(),
    }
}

fn limits_to(l: &Limits) -> fb::Limits {
    let mut wire = fb::Limits::default();
    wire.set_frame_bytes_max(l.frame_bytes_max);
    wire.set_payload_bytes_max(l.payload_bytes_max);
    wire.set_tags_bytes_max(l.tags_bytes_max);
    wire.set_result_bytes_max(l.result_bytes_max);
    wire.set_error_bytes_max(l.error_bytes_max);
    wire.set_ops_per_request_max(l.ops_per_request_max);
    wire.set_fetch_count_max(l.fetch_count_max);
    wire.set_fetch_queues_max(l.fetch_queues_max);
    wire.set_fetch_wait_ms_max(l.fetch_wait_ms_max);
    wire.set_lease_ms_min(l.lease_ms_min);
    wire.set_lease_ms_max(l.lease_ms_max);
    wire.set_session_replies_max(l.session_replies_max);
    wire.set_session_idle_ms_max(l.session_idle_ms_max);
    wire
}

/// Why a connection is refused or closed. It is the last frame of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    /// Why.
    pub code: Code,
    /// What happened and what to do, for people.
    pub message: &'a str,
    /// Oldest version spoken here.
    pub version_min: u16,
    /// Newest version spoken here.
    pub version_max: u16,
    /// When to try again, in milliseconds; 0 is no advice.
    pub retry_after_ms: u32,
    /// Where to go instead (`host:port`); empty is nowhere.
    pub redirect: &'a str,
}

impl<'a> Refused<'a> {
    /// A refusal by this release.
    #[must_use]
    pub fn new(code: Code, message: &'a str) -> Self {
        Self {
            code,
            message,
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            retry_after_ms: 0,
            redirect: "",
        }
    }

    pub(super) fn decode(blob: &'a [u8], bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let table = Table::open(bytes)?;
        let mut blob = BlobReader::new(blob);
        Ok(Self {
            code: table::code(table.u8(fb::Refused::VT_CODE)?)?,
            message: blob.text("message", table.u32(fb::Refused::VT_MESSAGE_LEN)?)?,
            version_min: table.u16(fb::Refused::VT_VERSION_MIN)?,
            version_max: table.u16(fb::Refused::VT_VERSION_MAX)?,
            retry_after_ms: table.u32(fb::Refused::VT_RETRY_AFTER_MS)?,
            redirect: blob.text("redirect", table.u16(fb::Refused::VT_REDIRECT_LEN)?.into())?,
        })
    }
}

impl Encoder {
    /// What a client says first.
    ///
    /// # Errors
    /// When a field is too long.
    pub fn hello(&mut self, out: &mut Vec<u8>, hello: &Hello<'_>) -> Result<(), EncodeError> {
        self.whole(out, |this, out| {
            let open = this.begin(out);
            for part in [hello.token, hello.name.as_bytes(), hello.host.as_bytes()] {
                out.extend_from_slice(part);
            }
            let args = fb::HelloArgs {
                version_min: hello.version_min,
                version_max: hello.version_max,
                client_low: hello.client as u64,
                client_high: (hello.client >> 64) as u64,
                resume_session: hello.resume_session.0,
                shard: hello.shard.0,
                token_len: len_u16("token", hello.token)?,
                name_len: len_u16("name", hello.name.as_bytes())?,
                host_len: len_u16("host", hello.host.as_bytes())?,
            };
            let root = fb::Hello::create(&mut this.table, &args);
            this.end(out, &open, Kind::Hello, root)
        })
    }

    /// Answers a hello.
    ///
    /// # Errors
    /// When a field is too long.
    pub fn welcome(&mut self, out: &mut Vec<u8>, welcome: &Welcome<'_>) -> Result<(), EncodeError> {
        self.whole(out, |this, out| {
            let open = this.begin(out);
            out.extend_from_slice(welcome.server_version.as_bytes());
            let mut endpoints = Vec::with_capacity(welcome.endpoints.len());
            for e in &welcome.endpoints {
                out.extend_from_slice(e.address.as_bytes());
                let len = len_u16("address", e.address.as_bytes())?;
                endpoints.push(fb::Endpoint::new(e.shard.0, len, e.leader));
            }
            let (durability, durability_interval_ms) = welcome.durability.to_wire();
            let args = fb::WelcomeArgs {
                version: welcome.version,
                session: welcome.session.0,
                shard: welcome.shard.0,
                shards: welcome.shards,
                endpoints: vector(&mut this.table, &endpoints),
                limits: Some(&limits_to(&welcome.limits)),
                server_time_us: welcome.server_time.0,
                durability,
                durability_interval_ms,
                server_version_len: len_u16("version", welcome.server_version.as_bytes())?,
                store_low: welcome.store as u64,
                store_high: (welcome.store >> 64) as u64,
                abilities: welcome.abilities.0,
                retention_ms: welcome.settings.retention_ms,
                lease_expiries_max: welcome.settings.lease_expiries_max,
            };
            let root = fb::Welcome::create(&mut this.table, &args);
            this.end(out, &open, Kind::Welcome, root)
        })
    }

    /// Refuses or closes a connection.
    ///
    /// # Errors
    /// When a field is too long.
    pub fn refused(&mut self, out: &mut Vec<u8>, refused: &Refused<'_>) -> Result<(), EncodeError> {
        self.whole(out, |this, out| {
            let open = this.begin(out);
            out.extend_from_slice(refused.message.as_bytes());
            out.extend_from_slice(refused.redirect.as_bytes());
            let args = fb::RefusedArgs {
                code: refused.code as u8,
                version_min: refused.version_min,
                version_max: refused.version_max,
                retry_after_ms: refused.retry_after_ms,
                message_len: len_u32("message", refused.message.as_bytes())?,
                redirect_len: len_u16("redirect", refused.redirect.as_bytes())?,
            };
            let root = fb::Refused::create(&mut this.table, &args);
            this.end(out, &open, Kind::Refused, root)
        })
    }
}
