//! How messages travel: enveloped or bare, and where it says how a call ended.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::codec::{Codec, Wired};
use super::status::{Status, Why, trailers};

/// Bytes before each message: flags, and the length of the message.
const HEAD_BYTES: usize = 5;
const COMPRESSED: u8 = 1;
/// Of a stream of Connect: how it ended follows.
const CONNECT_END: u8 = 2;
/// Of gRPC-Web: trailers follow.
const WEB_END: u8 = 0x80;

/// How messages are put after each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Grpc,
    GrpcWeb,
    /// One message, bare.
    Connect,
    ConnectStream,
}

/// What a request is in; its answer is in the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    kind: &'static str,
    pub(super) framing: Framing,
    pub(super) codec: Codec,
}

const fn wire(kind: &'static str, framing: Framing, codec: Codec) -> Wire {
    Wire { kind, framing, codec }
}

const WIRES: [Wire; 10] = [
    wire("application/grpc", Framing::Grpc, Codec::Protobuf),
    wire("application/grpc+proto", Framing::Grpc, Codec::Protobuf),
    wire("application/grpc+json", Framing::Grpc, Codec::Json),
    wire("application/grpc-web", Framing::GrpcWeb, Codec::Protobuf),
    wire("application/grpc-web+proto", Framing::GrpcWeb, Codec::Protobuf),
    wire("application/grpc-web+json", Framing::GrpcWeb, Codec::Json),
    wire("application/proto", Framing::Connect, Codec::Protobuf),
    wire("application/json", Framing::Connect, Codec::Json),
    wire("application/connect+proto", Framing::ConnectStream, Codec::Protobuf),
    wire("application/connect+json", Framing::ConnectStream, Codec::Json),
];

fn envelope(flags: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("messages are far below 4 GiB");
    let mut whole = BytesMut::with_capacity(HEAD_BYTES + message.len());
    whole.put_u8(flags);
    whole.put_u32(length);
    whole.extend_from_slice(message);
    whole.freeze()
}

fn from_frames<S>(frames: S) -> Body
where
    S: Stream<Item = Frame<Bytes>> + Send + 'static,
{
    Body::new(StreamBody::new(frames.map(Ok::<_, Infallible>)))
}

impl Wire {
    /// By the content type of a request.
    ///
    /// # Errors
    /// The status for one that is not spoken here.
    pub(super) fn of(request: &Request) -> Result<Self, StatusCode> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let coding = request.headers().get(header::CONTENT_ENCODING);
        if coding.is_some_and(|coding| coding != "identity") {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let found = WIRES.into_iter().find(|wire| wire.kind == kind);
        let wire = found.ok_or(StatusCode::UNSUPPORTED_MEDIA_TYPE)?;
        if wire.framing == Framing::Grpc && request.version() < Version::HTTP_2 {
            return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED);
        }
        Ok(wire)
    }

    fn answer(self, body: Body) -> Response {
        let mut response = Response::new(body);
        let kind = HeaderValue::from_static(self.kind);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    fn end(self, end: Result<(), &Status>) -> Frame<Bytes> {
        match self.framing {
            Framing::Grpc => Frame::trailers(trailers(end)),
            Framing::GrpcWeb => {
                let mut text = Vec::new();
                for (name, value) in &trailers(end) {
                    text.extend_from_slice(name.as_str().as_bytes());
                    text.extend_from_slice(b": ");
                    text.extend_from_slice(value.as_bytes());
                    text.extend_from_slice(b"\r\n");
                }
                Frame::data(envelope(WEB_END, &text))
            }
            Framing::Connect | Framing::ConnectStream => {
                let told = match end {
                    Ok(()) => serde_json::json!({}),
                    Err(status) => serde_json::json!({ "error": status.json() }),
                };
                Frame::data(envelope(CONNECT_END, told.to_string().as_bytes()))
            }
        }
    }

    /// An answer of one message.
    pub(super) fn one(self, message: &impl Wired) -> Response {
        let message = self.codec.encode(message);
        match self.framing {
            Framing::Connect => self.answer(Body::from(message)),
            _ => {
                let frames = [Frame::data(envelope(0, &message)), self.end(Ok(()))];
                self.answer(from_frames(stream::iter(frames)))
            }
        }
    }

    /// An answer that says why there is none.
    pub(super) fn failed(self, status: &Status) -> Response {
        match self.framing {
            Framing::Grpc => {
                let mut response = self.answer(Body::empty());
                response.headers_mut().extend(trailers(Err(status)));
                response
            }
            Framing::Connect => {
                // Failures are JSON whatever the messages are in.
                let wire = Self { kind: "application/json", ..self };
                let mut response = wire.answer(Body::from(status.json().to_string()));
                *response.status_mut() = status.why.http();
                response
            }
            Framing::GrpcWeb | Framing::ConnectStream => {
                let end = self.end(Err(status));
                self.answer(from_frames(stream::iter([end])))
            }
        }
    }

    /// An answer of many messages, each asked for when the one before is sent. It ends with the first that is none.
    pub(super) fn many<S>(self, messages: S) -> Response
    where
        S: Stream<Item = Result<Bytes, Status>> + Send + 'static,
    {
        let frames = stream::unfold(Some(Box::pin(messages)), move |messages| async move {
            let mut messages = messages?;
            Some(match messages.next().await {
                Some(Ok(message)) => (Frame::data(envelope(0, &message)), Some(messages)),
                Some(Err(status)) => (self.end(Err(&status)), None),
                None => (self.end(Ok(())), None),
            })
        });
        self.answer(from_frames(frames))
    }
}

/// The messages of a request, one after the other.
pub(super) struct Receiver {
    wire: Wire,
    body: Body,
    buffer: BytesMut,
    bytes_max: usize,
    ended: bool,
}

impl Receiver {
    pub(super) fn new(wire: Wire, body: Body, bytes_max: usize) -> Self {
        Self { wire, body, buffer: BytesMut::new(), bytes_max, ended: false }
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// When it cannot be read; then no other can.
    pub(super) async fn next<T: Wired>(&mut self) -> Result<Option<T>, Status> {
        let bytes = match self.wire.framing {
            Framing::Connect => self.bare().await?,
            _ => self.enveloped().await?,
        };
        bytes.map(|bytes| self.wire.codec.decode(&bytes)).transpose()
    }

    /// More of the body; whether there was more.
    async fn more(&mut self) -> Result<bool, Status> {
        let broken = |e| Status::new(Why::Unknown, format!("the request broke off: {e}"));
        match self.body.frame().await {
            Some(frame) => {
                if let Ok(data) = frame.map_err(broken)?.into_data() {
                    self.buffer.extend_from_slice(&data);
                }
                Ok(true)
            }
            None => {
                self.ended = true;
                Ok(false)
            }
        }
    }

    fn check(&self, length: usize) -> Result<(), Status> {
        if length <= self.bytes_max {
            return Ok(());
        }
        Err(Status::invalid(format!("the message is longer than {} bytes", self.bytes_max)))
    }

    async fn bare(&mut self) -> Result<Option<Bytes>, Status> {
        if self.ended {
            return Ok(None);
        }
        while self.more().await? {
            self.check(self.buffer.len())?;
        }
        Ok(Some(self.buffer.split().freeze()))
    }

    async fn enveloped(&mut self) -> Result<Option<Bytes>, Status> {
        while self.buffer.len() < HEAD_BYTES {
            if !self.more().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(cut()) };
            }
        }
        let flags = self.buffer[0];
        let length = (&self.buffer[1..HEAD_BYTES]).get_u32() as usize;
        if flags & COMPRESSED != 0 {
            return Err(Status::new(Why::Unimplemented, "compressed messages are not taken"));
        }
        if flags & (CONNECT_END | WEB_END) != 0 {
            return Ok(None);
        }
        self.check(length)?;
        while self.buffer.len() < HEAD_BYTES + length {
            if !self.more().await? {
                return Err(cut());
            }
        }
        self.buffer.advance(HEAD_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

fn cut() -> Status {
    Status::new(Why::Unknown, "the request ends within a message")
}
