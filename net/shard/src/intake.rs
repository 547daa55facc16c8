//! What has arrived and waits to be decided, taken in fair turns.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::connection::Connection;
use crate::frame::Frame;
use crate::limits::{INTAKE_BYTES_MAX, TURN_BYTES};

/// Connections with something to decide, in the order of their turns.
#[derive(Default)]
pub(crate) struct Intake {
    line: RefCell<VecDeque<Rc<Connection>>>,
    bytes: Cell<usize>,
    frames: Cell<usize>,
}

/// A connection's turn: up to [`TURN_BYTES`] of its frames, but at least one.
pub(crate) struct Turn {
    pub(crate) connection: Rc<Connection>,
    budget: usize,
}

impl Intake {
    /// Whether so much waits that new jobs are refused.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.get() >= INTAKE_BYTES_MAX
    }

    /// Frames that wait.
    pub(crate) fn depth(&self) -> usize {
        self.frames.get()
    }

    /// Bytes that the next entry may take over: room to make for it.
    pub(crate) fn next_bytes(&self) -> usize {
        self.bytes.get()
    }

    pub(crate) fn push(&self, connection: &Rc<Connection>, frame: Frame) {
        self.bytes.set(self.bytes.get() + frame.len());
        self.frames.set(self.frames.get() + 1);
        connection.queued_bytes.set(connection.queued_bytes.get() + frame.len());
        connection.queue.borrow_mut().push_back(frame);
        if !connection.in_line.replace(true) {
            self.line.borrow_mut().push_back(Rc::clone(connection));
        }
    }

    /// Whose turn it is.
    pub(crate) fn next_turn(&self) -> Option<Turn> {
        let connection = self.line.borrow_mut().pop_front()?;
        Some(Turn { connection, budget: TURN_BYTES })
    }

    /// The next frame of a turn; `None` when it is over.
    pub(crate) fn next_frame(&self, turn: &mut Turn) -> Option<Frame> {
        if turn.budget == 0 {
            return None;
        }
        let frame = turn.connection.pop()?;
        turn.budget = turn.budget.saturating_sub(frame.len().max(1));
        self.bytes.set(self.bytes.get() - frame.len());
        self.frames.set(self.frames.get() - 1);
        Some(frame)
    }

    /// Puts the connection back at the end of the line if it has more.
    pub(crate) fn end_turn(&self, turn: Turn) {
        if turn.connection.queue.borrow().is_empty() {
            turn.connection.in_line.set(false);
        } else {
            self.line.borrow_mut().push_back(turn.connection);
        }
    }

    /// Forgets what a connection sent and was not decided.
    pub(crate) fn forget(&self, connection: &Connection) {
        self.bytes.set(self.bytes.get() - connection.queued_bytes.get());
        self.frames.set(self.frames.get() - connection.queue.borrow().len());
        connection.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Frame {
        Frame::new(Rc::new(vec![0; len]), 0..len)
    }

    #[test]
    fn a_connection_with_much_to_say_does_not_delay_one_with_little() {
        let intake = Intake::default();
        let (busy, calm) = (Connection::new(1), Connection::new(2));
        for _ in 0..100 {
            intake.push(&busy, frame(TURN_BYTES / 4));
        }
        intake.push(&calm, frame(10));
        let mut served = Vec::new();
        while let Some(mut turn) = intake.next_turn() {
            let mut n = 0;
            while intake.next_frame(&mut turn).is_some() {
                n += 1;
            }
            served.push((Rc::ptr_eq(&turn.connection, &calm), n));
            intake.end_turn(turn);
        }
        assert_eq!(served[..3], [(false, 4), (true, 1), (false, 4)]);
        assert_eq!((intake.depth(), intake.bytes.get()), (0, 0));
    }

    #[test]
    fn a_closed_connection_leaves_nothing_behind() {
        let intake = Intake::default();
        let connection = Connection::new(1);
        intake.push(&connection, frame(10));
        intake.forget(&connection);
        assert_eq!((intake.depth(), intake.bytes.get()), (0, 0));
        let mut turn = intake.next_turn().expect("still in line");
        assert!(intake.next_frame(&mut turn).is_none());
        intake.end_turn(turn);
        assert!(intake.next_turn().is_none());
    }
}
