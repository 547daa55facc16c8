//! A connection that blocks, for asking a server what it is and for loads whose point is not speed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail};
use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::wire::{
    Durability, Encoder, FrameReader, Hello, PROTOCOL_VERSION, ReplyFrame, ServerFrame,
};
use jobbie_proto::{Request, SessionId, ShardId};

/// How long the server may take to answer, beyond what a request itself waits.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// What the server said it is.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// Where each shard is; empty is the address asked.
    pub(crate) shards: Vec<String>,
    /// What an answer is worth.
    pub(crate) durability: Durability,
}

/// A connection to one shard with a session of its own.
pub(crate) struct Link {
    stream: TcpStream,
    reader: FrameReader,
    encoder: Encoder,
    session: SessionId,
    number: u64,
}

impl Link {
    /// Connects and shakes hands.
    pub(crate) fn open(
        addr: &str,
        token: &str,
        shard: ShardId,
        client: u128,
    ) -> anyhow::Result<(Self, About)> {
        let stream = TcpStream::connect(addr).with_context(|| format!("connect to {addr}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        let reader = FrameReader::new(FRAME_BYTES_MAX);
        let mut link =
            Self { stream, reader, encoder: Encoder::new(), session: SessionId(0), number: 0 };
        let hello = Hello {
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            client,
            resume_session: SessionId(0),
            shard,
            token: token.as_bytes(),
            name: "jobbie-bench",
            host: "",
        };
        let mut out = Vec::new();
        link.encoder.hello(&mut out, &hello)?;
        link.stream.write_all(&out)?;
        let (session, about) = link.next(|frame| match frame {
            ServerFrame::Welcome(welcome) => {
                let mut shards = vec![addr.to_owned(); usize::from(welcome.shards)];
                for end in welcome.endpoints.iter().filter(|e| !e.address.is_empty()) {
                    let at = shards.get_mut(usize::from(end.shard.0));
                    *at.context("the server names a shard it has not")? = end.address.to_owned();
                }
                Ok(Some((welcome.session, About { shards, durability: welcome.durability })))
            }
            _ => bail!("the server does not begin with a welcome"),
        })?;
        link.session = session;
        Ok((link, about))
    }

    /// Makes a request and hands over its answer, in parts when it is long.
    pub(crate) fn call(
        &mut self,
        mut request: Request<'_>,
        mut answer: impl FnMut(&ReplyFrame<'_>),
    ) -> anyhow::Result<()> {
        self.number += 1;
        let number = self.number;
        (request.session, request.number, request.confirmed_below) = (self.session, number, number);
        let mut out = Vec::new();
        self.encoder.request(&mut out, &request)?;
        self.stream.write_all(&out)?;
        self.next(|frame| match frame {
            ServerFrame::Reply(reply) if reply.number == number => {
                answer(&reply);
                Ok((!reply.more).then_some(()))
            }
            ServerFrame::GoAway { message, .. } => bail!("the server is stopping: {message}"),
            _ => Ok(None),
        })
    }

    fn next<T>(
        &mut self,
        mut take: impl FnMut(ServerFrame<'_>) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let mut chunk = [0; 16 << 10];
        loop {
            while let Some(frame) = self.reader.next_frame()? {
                match ServerFrame::decode(frame)? {
                    ServerFrame::Refused(refused) => {
                        bail!("the server refuses: {} ({})", refused.message, refused.code.name())
                    }
                    frame => {
                        if let Some(found) = take(frame)? {
                            return Ok(found);
                        }
                    }
                }
            }
            match self.stream.read(&mut chunk)? {
                0 => bail!("the server closed the connection"),
                n => self.reader.feed(&chunk[..n]),
            }
        }
    }
}
