//! A client's connection to a shard: what a listener does with a socket, on pipes that break.

use std::rc::Rc;

use futures_util::future::{Either, select};
use jobbie_proto::ShardId;
use jobbie_proto::limits::FRAME_BYTES_MAX;
use jobbie_proto::wire::frame;
use jobbie_shard::{Connection, Frame};
use jobbie_sim::{Handle, NodeId, Rng};
use std::pin::pin;

use crate::ledger::Ledger;
use crate::node::Shard;
use crate::pipe::Pipe;

/// The client's end.
pub(crate) struct Link {
    /// To the shard.
    pub(crate) up: Pipe,
    /// From the shard.
    pub(crate) down: Pipe,
}

impl Link {
    /// Breaks the connection anywhere in what is on the way.
    pub(crate) fn sever(&self) {
        self.up.sever();
        self.down.sever();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.up.close();
        self.down.close();
    }
}

/// Closes both directions when the server's task ends, also when its process dies.
struct Socket {
    up: Pipe,
    down: Pipe,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.up.close();
        self.down.close();
    }
}

/// Connects to a shard that runs as `node`.
pub(crate) fn connect(
    shard: Shard,
    id: ShardId,
    node: NodeId,
    ledger: &Rc<Ledger>,
    rng: &mut Rng,
) -> Link {
    let delay = 20_000..20_000 + rng.below(1_500_000);
    let (up, down) = (Pipe::new(rng.fork(), delay.clone()), Pipe::new(rng.fork(), delay));
    let socket = Socket { up: up.clone(), down: down.clone() };
    let ledger = Rc::clone(ledger);
    Handle::current().spawn_on(node, serve(shard, id, socket, ledger));
    Link { up, down }
}

async fn serve(shard: Shard, id: ShardId, socket: Socket, ledger: Rc<Ledger>) {
    let connection = shard.connect();
    let watch = ledger.connected();
    let outbox = Rc::clone(&connection.outbox);
    let down = socket.down.clone();
    let writer = Rc::clone(&ledger);
    Handle::current().spawn(async move {
        let mut bytes = Vec::new();
        while outbox.take(&mut bytes).await {
            writer.sent_down(id, watch, &bytes);
            down.send(std::mem::take(&mut bytes));
        }
        down.close();
    });
    read(&shard, &connection, &socket, |bytes| ledger.arrived_up(id, watch, bytes)).await;
    shard.disconnect(&connection);
    connection.outbox.close();
    // The writer takes what is left before the socket is dropped.
    Handle::current().yield_now().await;
}

async fn read(
    shard: &Shard,
    connection: &Rc<Connection>,
    socket: &Socket,
    arrived: impl Fn(&[u8]),
) {
    let mut received = Vec::new();
    loop {
        let piece = {
            let closed = pin!(connection.outbox.closed());
            match select(pin!(socket.up.receive()), closed).await {
                Either::Left((Some(piece), _)) => piece,
                _ => return,
            }
        };
        received.extend_from_slice(&piece);
        let mut whole = 0;
        while let Some((_, bytes)) =
            frame::split(&received[whole..], FRAME_BYTES_MAX).expect("clients send frames")
        {
            arrived(&received[whole..whole + bytes]);
            whole += bytes;
        }
        let shared = Rc::new(received[..whole].to_vec());
        received.drain(..whole);
        let mut at = 0;
        while let Some((_, bytes)) =
            frame::split(&shared[at..], FRAME_BYTES_MAX).expect("split before")
        {
            shard.submit(connection, Frame::new(Rc::clone(&shared), at..at + bytes));
            at += bytes;
        }
        connection.room().await;
    }
}
