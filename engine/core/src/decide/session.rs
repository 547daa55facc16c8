//! Sessions come and go.

use jobbie_proto::event::{Event, Group};
use jobbie_proto::limits::{SESSIONS_MAX, WORKER_BYTES_MAX};
use jobbie_proto::{Code, JobSeq, SessionId};

use super::{BlobSink, Decision};
use crate::slab::NONE;
use crate::state::State;

/// Opens a client's session: the events to absorb, or [`Decision::Nothing`] when the client has
/// one already ([`State::session_of`]). The new session's id is [`State::next_event`] at the time
/// of absorbing.
pub fn decide_open_session(
    state: &State,
    client: u128,
    name: &str,
    host: &str,
    blob: &mut impl BlobSink,
) -> Decision {
    if state.session_of(client).is_some() {
        return Decision::Nothing;
    }
    for (field, text) in [("name", name), ("host", host)] {
        if text.len() > WORKER_BYTES_MAX {
            let bytes = text.len();
            let message = format!("{field}: {bytes} bytes, at most {WORKER_BYTES_MAX}");
            return Decision::Refuse { code: Code::TooLarge, message };
        }
    }
    if state.sessions.len() >= SESSIONS_MAX {
        let message = format!("sessions: {SESSIONS_MAX} are open, the most a shard holds");
        return Decision::Refuse { code: Code::Overloaded, message };
    }
    let (name, host) = (blob.append(name.as_bytes()), blob.append(host.as_bytes()));
    let events = vec![Event::SessionOpened { client, name, host }];
    Decision::Events(Group { events, ..Group::default() })
}

/// Ends a session and gives its leases back, in the order in which it got them. `None` when it
/// is not open.
#[must_use]
pub fn decide_close_session(state: &State, session: SessionId) -> Option<Group> {
    let at = state.sessions.find(session.0)?;
    let mut jobs = Vec::new();
    let mut number = state.sessions.get(at).first;
    while number != NONE {
        let lease = state.leases.get(number);
        jobs.push(JobSeq(state.tracked.get(lease.job).job));
        number = lease.next_held;
    }
    let mut events = Vec::with_capacity(2);
    if !jobs.is_empty() {
        events.push(Event::Released { jobs });
    }
    events.push(Event::SessionClosed { session });
    Some(Group { events, ..Group::default() })
}
