//! Which session is served by which connection, and which ones nobody has come back for.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use jobbie_proto::limits::SESSION_IDLE_MS_MAX;
use jobbie_proto::{Micros, SessionId};

use crate::connection::Connection;

/// Sessions as the leader sees them; nothing of this is in the log.
#[derive(Default)]
pub(crate) struct Sessions {
    connected: HashMap<SessionId, Rc<Connection>>,
    idle: BTreeSet<(Micros, SessionId)>,
    idle_until: HashMap<SessionId, Micros>,
}

impl Sessions {
    /// `connection` serves `session` from now on; the connection that did before is returned.
    pub(crate) fn connect(
        &mut self,
        session: SessionId,
        connection: &Rc<Connection>,
    ) -> Option<Rc<Connection>> {
        if let Some(until) = self.idle_until.remove(&session) {
            self.idle.remove(&(until, session));
        }
        connection.session.set(session);
        let before = self.connected.insert(session, Rc::clone(connection))?;
        (!Rc::ptr_eq(&before, connection)).then_some(before)
    }

    /// Nobody serves `session` from now on, unless another connection took over already.
    pub(crate) fn disconnect(&mut self, connection: &Rc<Connection>, now: Micros) {
        let session = connection.session.get();
        if self.connected.get(&session).is_some_and(|other| Rc::ptr_eq(other, connection)) {
            self.connected.remove(&session);
            self.leave(session, now);
        }
    }

    /// A session without a connection: it is forgotten unless its client comes back in time.
    pub(crate) fn leave(&mut self, session: SessionId, now: Micros) {
        let until = now.plus_ms(SESSION_IDLE_MS_MAX);
        if let Some(before) = self.idle_until.insert(session, until) {
            self.idle.remove(&(before, session));
        }
        self.idle.insert((until, session));
    }

    /// The session was closed.
    pub(crate) fn close(&mut self, session: SessionId) -> Option<Rc<Connection>> {
        if let Some(until) = self.idle_until.remove(&session) {
            self.idle.remove(&(until, session));
        }
        self.connected.remove(&session)
    }

    /// The connection that serves `session`.
    pub(crate) fn connection(&self, session: SessionId) -> Option<&Rc<Connection>> {
        self.connected.get(&session)
    }

    /// When the next idle session is to be closed.
    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        self.idle.first().map(|(until, _)| *until)
    }

    /// A session that nobody came back for.
    pub(crate) fn pop_overdue(&mut self, now: Micros) -> Option<SessionId> {
        let (until, session) = self.idle.first().copied().filter(|(until, _)| *until <= now)?;
        self.idle.remove(&(until, session));
        self.idle_until.remove(&session);
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_outlives_its_connection_for_a_while() {
        let mut sessions = Sessions::default();
        let connection = Connection::new(1);
        assert!(sessions.connect(SessionId(7), &connection).is_none());
        sessions.disconnect(&connection, Micros(0));
        let until = sessions.next_deadline().expect("idle");
        assert_eq!(until, Micros(0).plus_ms(SESSION_IDLE_MS_MAX));
        assert_eq!(sessions.pop_overdue(Micros(until.0 - 1)), None);
        assert_eq!(sessions.pop_overdue(until), Some(SessionId(7)));
        assert_eq!(sessions.next_deadline(), None);
    }

    #[test]
    fn a_client_that_comes_back_takes_over_from_its_old_connection() {
        let mut sessions = Sessions::default();
        let (old, new) = (Connection::new(1), Connection::new(2));
        sessions.connect(SessionId(7), &old);
        let replaced = sessions.connect(SessionId(7), &new).expect("the old one");
        assert!(Rc::ptr_eq(&replaced, &old));
        sessions.disconnect(&old, Micros(0));
        assert_eq!(sessions.next_deadline(), None);
        assert!(sessions.connection(SessionId(7)).is_some());
    }
}
