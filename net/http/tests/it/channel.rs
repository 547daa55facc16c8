//! A small client of gRPC and Connect over HTTP/2.

use std::future::Future;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use serde_json::Value;
use ureq::http::{HeaderMap, Request, Response};

use crate::support::Site;

/// Where the methods are.
pub(crate) const SERVICE: &str = "/corvo.v1.WorkerService/";

/// Runs a test.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let in_time = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    runtime.expect("a runtime").block_on(in_time).expect("the test ends")
}

pub(crate) struct Channel(SendRequest<Bytes>);

/// A call under way.
pub(crate) struct Call {
    sender: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    pub(crate) head: HeaderMap,
    body: Option<RecvStream>,
    buffer: BytesMut,
}

/// How a call ended: the code of gRPC, and its text.
pub(crate) type End = (u16, String);

impl Channel {
    pub(crate) async fn open(site: &Site) -> Self {
        let address = site.url.strip_prefix("http://").expect("an address");
        let stream = tokio::net::TcpStream::connect(address).await.expect("connect");
        let (channel, connection) = h2::client::handshake(stream).await.expect("a handshake");
        tokio::spawn(connection);
        Self(channel)
    }

    pub(crate) async fn call(&self, method: &str, kind: &str, headers: &[(&str, &str)]) -> Call {
        let mut request =
            Request::builder().method("POST").uri(format!("http://x{SERVICE}{method}"));
        request = request.header("content-type", kind).header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut channel = self.0.clone().ready().await.expect("a connection");
        let request = request.body(()).expect("a request");
        let (response, sender) = channel.send_request(request, false).expect("a stream");
        let (head, buffer) = (HeaderMap::new(), BytesMut::new());
        Call { sender, response: Some(response), head, body: None, buffer }
    }

    /// A call with one message there and at most one back, in JSON.
    pub(crate) async fn unary(&self, method: &str, message: Value) -> Result<Value, End> {
        self.unary_as(method, message, &[]).await
    }

    pub(crate) async fn unary_as(
        &self,
        method: &str,
        message: Value,
        headers: &[(&str, &str)],
    ) -> Result<Value, End> {
        let mut call = self.call(method, "application/grpc+json", headers).await;
        call.send(message.to_string().as_bytes());
        call.done();
        let answer = call.receive_json().await;
        match call.end().await {
            (0, _) => Ok(answer.expect("a message")),
            end => Err(end),
        }
    }
}

impl Call {
    pub(crate) fn send(&mut self, message: &[u8]) {
        self.send_flagged(0, message);
    }

    pub(crate) fn send_flagged(&mut self, flags: u8, message: &[u8]) {
        let mut whole = vec![flags];
        whole.extend_from_slice(&u32::try_from(message.len()).expect("short").to_be_bytes());
        whole.extend_from_slice(message);
        self.send_raw(&whole);
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.sender.send_data(Bytes::copy_from_slice(bytes), false).expect("the stream is open");
    }

    pub(crate) fn done(&mut self) {
        self.sender.send_data(Bytes::new(), true).expect("the stream is open");
    }

    /// Status of HTTP.
    pub(crate) async fn status(&mut self) -> u16 {
        let response: Response<RecvStream> =
            self.response.take().expect("asked once").await.expect("an answer");
        let (head, body) = response.into_parts();
        (self.head, self.body) = (head.headers, Some(body));
        head.status.as_u16()
    }

    async fn more(&mut self) -> bool {
        if self.body.is_none() {
            assert_eq!(self.status().await, 200);
        }
        let body = self.body.as_mut().expect("it has begun");
        let Some(data) = body.data().await else { return false };
        let data = data.expect("data");
        body.flow_control().release_capacity(data.len()).expect("a window");
        self.buffer.extend_from_slice(&data);
        true
    }

    /// The next message with its flags.
    pub(crate) async fn receive(&mut self) -> Option<(u8, Bytes)> {
        loop {
            let length = self.buffer.get(1..5).map(|mut length| length.get_u32() as usize);
            if let Some(length) = length.filter(|length| self.buffer.len() >= 5 + length) {
                let flags = self.buffer.get_u8();
                self.buffer.advance(4);
                return Some((flags, self.buffer.split_to(length).freeze()));
            }
            if !self.more().await {
                assert!(self.buffer.is_empty(), "the answer ends within a message");
                return None;
            }
        }
    }

    pub(crate) async fn receive_json(&mut self) -> Option<Value> {
        let (flags, message) = self.receive().await?;
        assert_eq!(flags, 0);
        Some(serde_json::from_slice(&message).expect("JSON"))
    }

    /// Sends a frame, and waits for the answer.
    pub(crate) async fn exchange(&mut self, frame: Value) -> Value {
        self.send(frame.to_string().as_bytes());
        self.receive_json().await.expect("the stream goes on")
    }

    /// How it ended.
    pub(crate) async fn end(&mut self) -> End {
        assert_eq!(self.receive().await, None);
        let trailers = self.body.as_mut().expect("begun").trailers().await.expect("trailers");
        let headers = trailers.as_ref().unwrap_or(&self.head);
        let text = |name: &str| headers.get(name).map(|value| value.to_str().expect("ASCII"));
        let number = text("grpc-status").expect("a status").parse().expect("a number");
        (number, text("grpc-message").unwrap_or_default().to_owned())
    }
}
