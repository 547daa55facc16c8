//! Requests and timers to events. Reads the state, changes nothing.

mod agents;
mod archive;
mod consequences;
mod controls;
mod draft;
mod enqueue;
mod fetch;
mod letter;
mod operations;
mod plans;
mod rules;
mod schedules;
mod session;
mod ties;
mod timers;
mod usage;
mod validate;
mod validate_agents;
mod validate_archive;
mod validate_operation;
mod validate_plans;
mod validate_rules;
mod validate_ties;
mod validate_usage;
mod work;
mod workers;

use std::rc::Rc;

use jobbie_proto::event::{Blob, Group};
use jobbie_proto::limits::SESSION_REPLIES_MAX;
use jobbie_proto::{Code, Micros, Reply, Request};

pub use consequences::decide_consequences;
pub use fetch::decide_fetch;
pub use letter::{decide_delivered, decide_letter};
pub use operations::decide_operations;
pub use session::{decide_close_session, decide_open_session};
pub use timers::decide_timers;
pub use workers::{Sighting, decide_worker};

use crate::state::State;
use draft::Draft;
use validate::Refusal;

/// Where variable-length data goes: the blob of the entry that will hold the events.
pub trait BlobSink {
    /// Appends bytes and says where they are. No bytes are [`Blob::default`].
    fn append(&mut self, bytes: &[u8]) -> Blob;
}

impl BlobSink for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) -> Blob {
        if bytes.is_empty() {
            return Blob::default();
        }
        let offset = u32::try_from(self.len()).expect("blob larger than an entry may be");
        self.extend_from_slice(bytes);
        Blob { offset, len: bytes.len() as u32 }
    }
}

/// What is to be done about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Absorb this at the time given to [`decide`], log it, and answer with what absorbing returns.
    Events(Group),
    /// It was answered before; this is the answer.
    Repeat(Rc<Reply>),
    /// It changes nothing: only questions, or a fetch that found no job and does not wait.
    Nothing,
    /// It is a fetch alone, found no job and wants to wait. [`decide_fetch`] serves it later.
    Wait,
    /// None of it was done.
    Refuse {
        /// Why, as a number.
        code: Code,
        /// Why, for a human: the field and its limit.
        message: String,
    },
}

/// Decides a request at `now`. `blob` grows only by what the returned events refer to.
///
/// # Panics
/// When `now` is before the state's time.
pub fn decide(
    state: &State,
    now: Micros,
    request: &Request<'_>,
    blob: &mut impl BlobSink,
) -> Decision {
    assert!(now >= state.time(), "time runs backwards, {} to {now}", state.time());
    match standing(state, request) {
        Ok(None) => {}
        Ok(Some(reply)) => return Decision::Repeat(reply),
        Err(refusal) => return refusal.into(),
    }
    if let Err(refusal) = validate::validate(state, request) {
        return refusal.into();
    }
    if let Some(message) = rules::refused_fetch(state, now, request) {
        return Decision::Refuse { code: Code::BudgetExceeded, message };
    }
    let mut draft = Draft::new(state, now, request);
    let is_everyday = request.is_everyday();
    draft.enqueues(request, blob);
    if !is_everyday {
        draft.batch_opens(&request.ties.batch_opens, blob);
        draft.batch_seals(&request.ties.batch_seals);
        draft.exits(&request.ties.exits, &request.acks);
    }
    draft.acks(request, blob);
    draft.fails(&request.fails, blob);
    draft.heartbeats(&request.heartbeats, &request.heartbeat_usages, blob);
    draft.extend_session(request.session, request.extend_session_ms);
    draft.releases(&request.releases);
    draft.cancels(&request.cancels);
    draft.deletes(&request.deletes);
    if !is_everyday {
        draft.job_controls(&request.job_controls, blob);
        draft.appends(&request.appends, blob);
        draft.queue_controls(&request.queue_controls);
        draft.schedule_controls(&request.schedule_controls, blob);
        draft.rule_controls(&request.rule_controls);
        draft.archived(&request.archived, blob);
        if let Some(operate) = &request.operation {
            draft.operate(operate);
        }
    }
    if let Some(fetch) = &request.fetch {
        draft.fetch(request.session, fetch, blob);
    }
    if draft.events.is_empty() {
        let waits =
            !request.asks() && request.fetch.as_ref().is_some_and(|fetch| fetch.wait_ms > 0);
        return if waits { Decision::Wait } else { Decision::Nothing };
    }
    Decision::Events(Group {
        session: request.session,
        number: request.number,
        confirmed_below: request.confirmed_below,
        events: draft.events,
    })
}

impl From<Refusal> for Decision {
    fn from(Refusal { code, message }: Refusal) -> Self {
        Decision::Refuse { code, message }
    }
}

pub(crate) fn check_request(state: &State, request: &Request<'_>) -> Result<(), (Code, String)> {
    validate::validate(state, request).map_err(|refusal| (refusal.code, refusal.message))
}

/// The answer to a repeat, or whether the request may be done at all.
fn standing(state: &State, request: &Request<'_>) -> Result<Option<Rc<Reply>>, Refusal> {
    let refuse = |code, message| Err(Refusal { code, message });
    let number = request.number;
    let Some(at) = state.sessions.find(request.session.0) else {
        return refuse(Code::SessionGone, format!("session: {} is not open", request.session));
    };
    let session = state.sessions.get(at);
    if number == 0 {
        return refuse(Code::BadRequestNumber, "number: 0, numbers begin at 1".into());
    }
    if number < session.confirmed_below {
        let below = session.confirmed_below;
        let message = format!("number: {number}, the client has confirmed all below {below}");
        return refuse(Code::BadRequestNumber, message);
    }
    if let Some(reply) = session.reply(number) {
        return Ok(Some(Rc::clone(reply)));
    }
    let below = request.confirmed_below;
    if below > number {
        let message = format!("confirmed_below: {below}, above the request's own number {number}");
        return refuse(Code::BadRequestNumber, message);
    }
    let confirmed = session.replies.partition_point(|reply| reply.0 < below);
    if session.replies.len() - confirmed >= SESSION_REPLIES_MAX {
        let message = format!("session: {SESSION_REPLIES_MAX} answers are not confirmed yet");
        return refuse(Code::Overloaded, message);
    }
    Ok(None)
}
