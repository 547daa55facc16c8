//! One client connection as the shard sees it: what it sent, what goes back, what it waits for.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use jobbie_proto::SessionId;

use crate::bell::Bell;
use crate::frame::Frame;
use crate::limits::{CONNECTION_INTAKE_BYTES_MAX, OUTBOX_BYTES_MAX};
use crate::outbox::Outbox;
use crate::workers::Noted;

/// A connection. The socket's reader calls [`crate::Shard::submit`] and [`Connection::room`], its
/// writer takes from [`Connection::outbox`].
pub struct Connection {
    /// Frames for the client.
    pub outbox: Rc<Outbox>,
    /// Number of the connection, in the order of their coming.
    pub(crate) id: u64,
    /// The session opened on this connection; 0 before the handshake is through.
    pub(crate) session: Cell<SessionId>,
    pub(crate) queue: RefCell<VecDeque<Frame>>,
    pub(crate) queued_bytes: Cell<usize>,
    /// Whether the connection stands in the intake's line.
    pub(crate) in_line: Cell<bool>,
    /// Fetches and subscriptions that wait.
    pub(crate) waiting: Cell<usize>,
    /// Name and host, as the hello gave them.
    pub(crate) who: OnceCell<(String, String)>,
    /// The worker it is, if it is one.
    pub(crate) worker: RefCell<Option<Noted>>,
    /// There is room again, or nothing more to wait for.
    drained: Bell,
}

impl Connection {
    pub(crate) fn new(id: u64) -> Rc<Self> {
        Rc::new(Self {
            id,
            outbox: Outbox::new(OUTBOX_BYTES_MAX),
            session: Cell::new(SessionId(0)),
            queue: RefCell::default(),
            queued_bytes: Cell::new(0),
            in_line: Cell::new(false),
            waiting: Cell::new(0),
            who: OnceCell::new(),
            worker: RefCell::default(),
            drained: Bell::default(),
        })
    }

    /// Whether the handshake is through, so that frames may be large.
    #[must_use]
    pub fn is_greeted(&self) -> bool {
        self.session.get() != SessionId(0)
    }

    /// Waits until the shard has taken enough of what this connection sent. Until then its socket
    /// is not read, so that TCP slows the client down. For one task: the connection's reader.
    pub async fn room(&self) {
        while self.queued_bytes.get() >= CONNECTION_INTAKE_BYTES_MAX && !self.outbox.is_closed() {
            self.drained.wait().await;
        }
    }

    /// The next frame, if any.
    pub(crate) fn pop(&self) -> Option<Frame> {
        let frame = self.queue.borrow_mut().pop_front()?;
        let before = self.queued_bytes.get();
        let after = before - frame.len();
        self.queued_bytes.set(after);
        if before >= CONNECTION_INTAKE_BYTES_MAX && after < CONNECTION_INTAKE_BYTES_MAX {
            self.drained.ring();
        }
        Some(frame)
    }

    /// Ends the connection: nothing more is read or decided, what was encoded is still written.
    pub(crate) fn close(&self) {
        self.outbox.close();
        self.queue.borrow_mut().clear();
        self.queued_bytes.set(0);
        self.drained.ring();
    }
}
