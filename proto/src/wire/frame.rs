//! Cutting a byte stream into frames.
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 4 | magic: `JOB` and the framing version, 1 |
//! | 4 | 1 | kind |
//! | 5 | 3 | zero |
//! | 8 | 4 | bytes of the body, little-endian |
//! | 12 | 4 | bytes of the table, the end of the body, little-endian |
//! | 16 | … | body: blob, zeros to a multiple of 8, table |
//!
//! The blob comes first so that payloads are copied straight into the outgoing buffer while the
//! table that describes them is still being gathered.

use super::FrameError;

/// First bytes of every frame.
pub const MAGIC: [u8; 4] = *b"JOB\x01";
/// Bytes before the body.
pub const HEADER_BYTES: usize = 16;
/// The table begins at a multiple of this in the body.
pub const TABLE_ALIGN: usize = 8;

/// Room made for a read when no frame asks for more.
const READ_BYTES: usize = 64 << 10;
/// A buffer larger than this is given back once it is empty.
const KEEP_BYTES_MAX: usize = 256 << 10;

/// What a frame is. Clients send 1–127, servers 128–255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Opens a connection.
    Hello = 1,
    /// A batch of operations.
    Request = 2,
    /// Asks for jobs to be pushed.
    Subscribe = 3,
    /// Allows more jobs to be pushed.
    Credit = 4,
    /// Ends pushing.
    Unsubscribe = 5,
    /// Ends the session.
    Goodbye = 6,
    /// Asks for a sign of life.
    Ping = 7,
    /// Answers the hello.
    Welcome = 128,
    /// Answers a request.
    Reply = 129,
    /// Pushes leased jobs.
    Deliver = 130,
    /// Tells of leases that ended.
    Lost = 131,
    /// Ends the connection with a reason.
    Refused = 132,
    /// The server is about to stop.
    GoAway = 133,
    /// Answers a ping.
    Pong = 134,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 14] = [
        Kind::Hello,
        Kind::Request,
        Kind::Subscribe,
        Kind::Credit,
        Kind::Unsubscribe,
        Kind::Goodbye,
        Kind::Ping,
        Kind::Welcome,
        Kind::Reply,
        Kind::Deliver,
        Kind::Lost,
        Kind::Refused,
        Kind::GoAway,
        Kind::Pong,
    ];

    /// The kind with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// One frame, not yet decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its kind's number.
    pub kind: u8,
    /// Variable-length data, and up to seven zeros.
    pub blob: &'a [u8],
    /// The flatbuffers table.
    pub table: &'a [u8],
}

struct Header {
    kind: u8,
    body: usize,
    table: usize,
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

fn header(bytes: &[u8], body_bytes_max: usize) -> Result<Option<Header>, FrameError> {
    let seen = bytes.len().min(MAGIC.len());
    if bytes[..seen] != MAGIC[..seen] {
        let mut found = [0; 4];
        found[..seen].copy_from_slice(&bytes[..seen]);
        return Err(FrameError::Magic(found));
    }
    if bytes.len() < HEADER_BYTES {
        return Ok(None);
    }
    if bytes[5..8] != [0; 3] {
        return Err(FrameError::Reserved);
    }
    let (body, table) = (u32_at(bytes, 8), u32_at(bytes, 12));
    if body > body_bytes_max {
        return Err(FrameError::TooLarge { bytes: body, bytes_max: body_bytes_max });
    }
    if table > body || (body - table) % TABLE_ALIGN != 0 {
        return Err(FrameError::Header { table, body });
    }
    Ok(Some(Header { kind: bytes[4], body, table }))
}

/// The first frame in `bytes` and how many bytes it takes; `None` when it is not complete.
///
/// # Errors
/// When `bytes` does not begin with a frame of at most `body_bytes_max`. The connection is over then.
pub fn split(
    bytes: &[u8],
    body_bytes_max: usize,
) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some(header) = header(bytes, body_bytes_max)? else { return Ok(None) };
    let Some(body) = bytes[HEADER_BYTES..].get(..header.body) else { return Ok(None) };
    let (blob, table) = body.split_at(header.body - header.table);
    Ok(Some((Frame { kind: header.kind, blob, table }, HEADER_BYTES + header.body)))
}

/// Writes the header over the first [`HEADER_BYTES`] of `frame`, whose body is complete.
pub(super) fn seal(frame: &mut [u8], kind: Kind, table_bytes: usize) {
    let body = u32::try_from(frame.len() - HEADER_BYTES).expect("frame checked against its limit");
    let table = u32::try_from(table_bytes).expect("the table is a part of the frame");
    frame[..4].copy_from_slice(&MAGIC);
    frame[4..8].copy_from_slice(&[kind as u8, 0, 0, 0]);
    frame[8..12].copy_from_slice(&body.to_le_bytes());
    frame[12..16].copy_from_slice(&table.to_le_bytes());
}

/// Gathers received bytes and gives back frames. It has no socket: read into [`FrameReader::buffer`]
/// or [`FrameReader::feed`] it.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// Bytes of `buffer` already given back as frames.
    consumed: usize,
    body_bytes_max: usize,
}

impl FrameReader {
    /// An empty reader that accepts bodies of at most `body_bytes_max`.
    #[must_use]
    pub fn new(body_bytes_max: usize) -> Self {
        Self { buffer: Vec::new(), consumed: 0, body_bytes_max }
    }

    /// From the next frame on, another limit: a connection begins with
    /// [`crate::limits::HELLO_BYTES_MAX`] and gets more once it has shown who it is.
    pub fn set_body_bytes_max(&mut self, body_bytes_max: usize) {
        self.body_bytes_max = body_bytes_max;
    }

    /// Bytes received that are not yet part of a frame given back.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.consumed
    }

    /// Appends received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.compact();
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer to append received bytes to, with spare capacity for a read. It may be taken out by
    /// [`std::mem::take`] while a read owns it, if it is put back before any other call.
    ///
    /// The room grows with what has arrived, not with what a header promises, so that a peer that
    /// announces a large frame and sends nothing costs nothing.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.compact();
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare < READ_BYTES / 4 {
            self.buffer.reserve(READ_BYTES.max(self.buffer.len()));
        }
        &mut self.buffer
    }

    /// The next complete frame.
    ///
    /// # Errors
    /// When the stream is not made of frames; every later call fails the same way.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let found = split(&self.buffer[self.consumed..], self.body_bytes_max)?;
        if let Some((_, bytes)) = found {
            self.consumed += bytes;
        }
        Ok(found.map(|(frame, _)| frame))
    }

    fn compact(&mut self) {
        if self.consumed == 0 {
            return;
        }
        if self.consumed == self.buffer.len() && self.buffer.capacity() > KEEP_BYTES_MAX {
            self.buffer = Vec::new();
        } else {
            self.buffer.drain(..self.consumed);
        }
        self.consumed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, blob: &[u8], table: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes.extend_from_slice(blob);
        bytes.extend_from_slice(table);
        seal(&mut bytes, Kind::Ping, table.len());
        bytes[4] = kind;
        bytes
    }

    #[test]
    fn frames_come_back_whatever_the_pieces() {
        let stream =
            [frame(1, b"", b"abcd"), frame(9, b"12345678", b"t"), frame(2, b"", b"")].concat();
        for piece in 1..=stream.len() {
            let (mut reader, mut seen) = (FrameReader::new(64), vec![]);
            for bytes in stream.chunks(piece) {
                reader.feed(bytes);
                while let Some(frame) = reader.next_frame().unwrap() {
                    seen.push((frame.kind, frame.blob.to_vec(), frame.table.to_vec()));
                }
            }
            let expected = [
                (1, vec![], b"abcd".to_vec()),
                (9, b"12345678".to_vec(), b"t".to_vec()),
                (2, vec![], vec![]),
            ];
            assert_eq!(seen, expected, "pieces of {piece}");
            assert_eq!(reader.pending(), 0);
        }
    }

    #[test]
    fn r21_what_is_not_a_frame_is_refused_at_its_first_byte() {
        assert_eq!(split(b"G", 64), Err(FrameError::Magic(*b"G\0\0\0")));
        assert_eq!(split(b"JOB\x02", 64), Err(FrameError::Magic(*b"JOB\x02")));
        assert_eq!(split(b"JOB", 64), Ok(None));
    }

    #[test]
    fn r21_a_damaged_header_is_refused() {
        let good = frame(1, b"12345678", b"table");
        assert!(split(&good, 13).unwrap().is_some());
        assert_eq!(split(&good, 12), Err(FrameError::TooLarge { bytes: 13, bytes_max: 12 }));
        let mut bytes = good.clone();
        bytes[6] = 1;
        assert_eq!(split(&bytes, 64), Err(FrameError::Reserved));
        let mut bytes = good.clone();
        bytes[12] = 14;
        assert_eq!(split(&bytes, 64), Err(FrameError::Header { table: 14, body: 13 }));
        let mut bytes = good;
        bytes[12] = 4;
        assert_eq!(split(&bytes, 64), Err(FrameError::Header { table: 4, body: 13 }));
    }

    #[test]
    fn r21_a_promise_of_bytes_makes_no_room() {
        let mut reader = FrameReader::new(4 << 20);
        let mut head = frame(1, b"", b"");
        head[8..12].copy_from_slice(&(4u32 << 20).to_le_bytes());
        reader.feed(&head);
        assert_eq!(reader.next_frame(), Ok(None));
        assert!(reader.buffer().capacity() <= 2 * READ_BYTES);
    }
}
