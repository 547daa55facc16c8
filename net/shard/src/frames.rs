//! What each frame of a client means.

use std::rc::Rc;

use jobbie_core::{Decision, answers, decide, decide_close_session, decide_open_session};
use jobbie_io::Disk;
use jobbie_log::Space;
use jobbie_proto::event::RevivedJob;
use jobbie_proto::limits::{
    FETCH_COUNT_MAX, FRAME_BYTES_MAX, KEY_BYTES_MAX, LEASE_MS_DEFAULT, QUEUE_BYTES_MAX,
    SCHEDULE_NAME_BYTES_MAX,
};
use jobbie_proto::request::{
    ArchivedAction, ArchivedControl, History, JobAction, JobControl, Operate, ScheduleAction,
    ScheduleControl, Schedules,
};
use jobbie_proto::wire::{
    ANY_SHARD, ClientFrame, Hello, PROTOCOL_VERSION, Refused, Subscribe, frame,
};
use jobbie_proto::{Code, EventSeq, Reply, Request, SessionId};
use jobbie_raft::AsyncRuntime;

use crate::clock::Clock;
use crate::connection::Connection;
use crate::entry::EntryBuilder;
use crate::errors::WantedErrors;
use crate::frame::Frame;
use crate::history::Wanted;
use crate::limits::WAITERS_PER_CONNECTION_MAX;
use crate::outgoing::{Answer, Asked, Content, Outgoing};
use crate::shard::Inner;
use crate::waiters::{Owed, Waiter};

impl<R: AsyncRuntime, D: Disk, C: Clock> Inner<R, D, C> {
    pub(crate) fn take_frame(
        self: &Rc<Self>,
        entry: &mut EntryBuilder,
        connection: &Rc<Connection>,
        frame: &Frame,
    ) {
        self.metrics.frames_total.add(1);
        let decoded = match decode(frame) {
            Ok(decoded) => decoded,
            Err(message) => return self.refuse(connection, Code::BadFrame, &message),
        };
        let greeted = connection.session.get() != SessionId(0);
        match decoded {
            ClientFrame::Hello(hello) if !greeted => self.hello(entry, connection, &hello),
            ClientFrame::Hello(_) => {
                self.refuse(connection, Code::BadHandshake, "a second hello on one connection");
            }
            _ if !greeted => {
                let message = "the first frame of a connection must be a hello";
                self.refuse(connection, Code::BadHandshake, message);
            }
            ClientFrame::Request(request) => {
                self.request(entry, connection, &request, frame.len());
            }
            ClientFrame::Subscribe(subscribe) => self.subscribe(entry, connection, &subscribe),
            ClientFrame::Credit { subscription, add } => {
                self.credit(connection, subscription, add);
                self.is_alive(entry, connection);
            }
            ClientFrame::Unsubscribe { subscription } => {
                self.waiters.borrow_mut().unsubscribe(connection, subscription);
            }
            ClientFrame::Goodbye => self.goodbye(entry, connection),
            ClientFrame::Ping { nonce } => {
                let (encoder, now) = (&mut *self.encoder.borrow_mut(), entry.time);
                connection.outbox.put(|out| encoder.pong(out, nonce, now));
                self.is_alive(entry, connection);
            }
        }
    }

    fn hello(&self, entry: &mut EntryBuilder, connection: &Rc<Connection>, hello: &Hello<'_>) {
        if let Err(refused) = self.check_hello(hello) {
            return self.refuse_as(connection, &refused);
        }
        let decision = {
            let state = self.state.borrow();
            decide_open_session(&state, hello.client, hello.name, hello.host, entry.blob())
        };
        let session = match decision {
            Decision::Events(group) => {
                let session = SessionId(self.state.borrow().next_event().0);
                self.absorb(entry, group);
                session
            }
            Decision::Refuse { code, message } => return self.refuse(connection, code, &message),
            _ => self.state.borrow().session_of(hello.client).expect("else it would be opened"),
        };
        let before = self.sessions.borrow_mut().connect(session, connection);
        if let Some(before) = before {
            let message = "the session went on over another connection";
            self.refuse(&before, Code::SessionGone, message);
        }
        // A second hello never comes this far.
        let _ = connection.who.set((hello.name.to_owned(), hello.host.to_owned()));
        let content = Content::Welcome { session, time: entry.time };
        entry.outgoing.push(Outgoing { connection: Rc::clone(connection), content });
    }

    fn check_hello<'a>(&'a self, hello: &Hello<'_>) -> Result<(), Refused<'a>> {
        if !(hello.version_min..=hello.version_max).contains(&PROTOCOL_VERSION) {
            let message =
                "this server speaks version 1 of the protocol: use a client that does too";
            return Err(Refused::new(Code::BadVersion, message));
        }
        if !same_secret(hello.token, &self.config.token) {
            let message = "the token is missing or wrong: give the client the server's token";
            return Err(Refused::new(Code::Unauthorized, message));
        }
        if hello.shard != ANY_SHARD && hello.shard != self.config.shard {
            let message = "this port serves another shard: see the endpoints of the welcome";
            let there = self.config.endpoints.get(usize::from(hello.shard.0));
            let redirect = there.map_or("", String::as_str);
            return Err(Refused { redirect, ..Refused::new(Code::WrongShard, message) });
        }
        Ok(())
    }

    fn request(
        self: &Rc<Self>,
        entry: &mut EntryBuilder,
        connection: &Rc<Connection>,
        request: &Request<'_>,
        frame_bytes: usize,
    ) {
        let bytes_max = self.log.body_bytes_max() / 2;
        let bytes = log_bytes(request, frame_bytes, bytes_max, self.state.borrow().has_agents());
        if bytes > bytes_max {
            let message = format!(
                "the request takes up to {bytes} bytes in the log, and on this small disk at most \
                 {bytes_max} fit its segments: send fewer operations at once"
            );
            return self.reject(entry, connection, request, Code::TooLarge, message);
        }
        if request.session != connection.session.get() {
            let message = "the request names another session than this connection's";
            return self.reject(entry, connection, request, Code::SessionGone, message.into());
        }
        let replaces = |control: &JobControl<'_>| {
            matches!(control.action, JobAction::Replace { .. } | JobAction::Revise { .. })
        };
        let revives =
            |control: &ArchivedControl<'_>| matches!(control.action, ArchivedAction::Revive(_));
        let makes = |control: &ScheduleControl<'_>| {
            matches!(control.action, ScheduleAction::Set(_) | ScheduleAction::Run)
        };
        let adds = !request.enqueues.is_empty()
            || !request.ties.batch_opens.is_empty()
            || !request.appends.is_empty()
            || request.job_controls.iter().any(replaces)
            || request.archived.iter().any(revives)
            || request.schedule_controls.iter().any(makes)
            || matches!(&request.operation, Some(Operate::Start { task, .. }) if !task.makes_room())
            || crate::mutant!(AcksRefusedWhenFull);
        let done = || self.state.borrow().answer_to(request.session, request.number).is_some();
        if adds && self.log.space() == Space::Low && !done() {
            let message = "the disk is full: free space there, or finish and delete jobs";
            return self.reject(entry, connection, request, Code::NoSpace, message.into());
        }
        let decision = decide(&self.state.borrow(), entry.time, request, entry.blob());
        let reply = match decision {
            Decision::Events(group) => self.absorb(entry, group).expect("a session asked"),
            Decision::Repeat(reply) => reply,
            Decision::Nothing => Rc::default(),
            Decision::Wait => {
                self.note_request(entry, connection, request);
                return self.wait(entry, connection, request);
            }
            Decision::Refuse { code, message } => {
                return self.reject(entry, connection, request, code, message);
            }
        };
        self.note_request(entry, connection, request);
        let asked = request.asks().then(|| {
            let answers = answers(&self.state.borrow(), request);
            let wanted = request.history.zip(answers.history);
            let of = |(History { job, count, .. }, from): (History, EventSeq)| {
                let job = job.seq();
                Wanted { job, from, count }
            };
            let history = wanted.map(of);
            let iterations = request.iterations.zip(answers.iterations).map(of);
            let one_schedule = matches!(request.schedules, Schedules::One { .. });
            let wanted = request.errors.zip(answers.errors.clone());
            let errors = wanted.map(|(History { job, count, .. }, chain)| {
                let job = job.seq();
                WantedErrors { job, chain, count }
            });
            let lookups = request.lookups.clone();
            Box::new(Asked { lookups, one_schedule, answers, history, errors, iterations })
        });
        let answer = Answer { number: request.number, reply, asked, ..Answer::default() };
        self.answer(entry, connection, answer);
    }

    fn answer(&self, entry: &mut EntryBuilder, connection: &Rc<Connection>, answer: Answer) {
        let content = Content::Reply(answer);
        entry.outgoing.push(Outgoing { connection: Rc::clone(connection), content });
    }

    pub(crate) fn reject(
        &self,
        entry: &mut EntryBuilder,
        connection: &Rc<Connection>,
        request: &Request<'_>,
        code: Code,
        message: String,
    ) {
        let retry_after_ms = match code {
            Code::Overloaded => self.retry_after_ms(),
            Code::NoSpace => 1000,
            _ => 0,
        };
        if code == Code::Overloaded {
            self.metrics.overloaded_total.add(1);
        }
        let reply = Rc::new(Reply { code, ..Reply::default() });
        let number = request.number;
        let answer = Answer { number, reply, message, retry_after_ms, ..Answer::default() };
        self.answer(entry, connection, answer);
    }

    fn wait(&self, entry: &mut EntryBuilder, connection: &Rc<Connection>, request: &Request<'_>) {
        let fetch = request.fetch.as_ref().expect("only a fetch waits");
        let mut waiters = self.waiters.borrow_mut();
        if waiters.has_request(connection, request.number) {
            return;
        }
        if connection.waiting.get() >= WAITERS_PER_CONNECTION_MAX {
            drop(waiters);
            let message = format!("{WAITERS_PER_CONNECTION_MAX} fetches of this connection wait");
            return self.reject(entry, connection, request, Code::Overloaded, message);
        }
        waiters.add(Waiter {
            connection: Rc::clone(connection),
            owed: Owed::Reply {
                number: request.number,
                confirmed_below: request.confirmed_below,
                deadline: entry.time.plus_ms(u64::from(fetch.wait_ms)),
            },
            queues: fetch.queues.iter().map(|queue| Rc::from(*queue)).collect(),
            lease_ms: fetch.lease_ms,
            worker: fetch.worker.to_owned(),
            want: fetch.count,
        });
    }

    fn subscribe(
        &self,
        entry: &mut EntryBuilder,
        connection: &Rc<Connection>,
        subscribe: &Subscribe<'_>,
    ) {
        let fetch = jobbie_proto::request::Fetch {
            queues: subscribe.queues.clone(),
            count: 1,
            lease_ms: subscribe.lease_ms,
            wait_ms: 0,
            worker: subscribe.worker,
        };
        if let Err((code, message)) = jobbie_core::validate_fetch(&self.state.borrow(), &fetch) {
            return self.refuse(connection, code, &format!("subscribe: {message}"));
        }
        let mut waiters = self.waiters.borrow_mut();
        waiters.unsubscribe(connection, subscribe.subscription);
        if connection.waiting.get() >= WAITERS_PER_CONNECTION_MAX {
            drop(waiters);
            let message = format!("{WAITERS_PER_CONNECTION_MAX} subscriptions on this connection");
            return self.refuse(connection, Code::Overloaded, &message);
        }
        let lease_ms = if fetch.lease_ms == 0 { LEASE_MS_DEFAULT } else { fetch.lease_ms };
        waiters.add(Waiter {
            connection: Rc::clone(connection),
            owed: Owed::Delivery { subscription: subscribe.subscription },
            queues: fetch.queues.iter().map(|queue| Rc::from(*queue)).collect(),
            lease_ms,
            worker: fetch.worker.to_owned(),
            want: 0,
        });
        drop(waiters);
        self.asked_for_jobs(entry, connection, fetch.worker, fetch.queues.iter().copied());
    }

    fn credit(&self, connection: &Rc<Connection>, subscription: u32, add: u32) {
        let mut waiters = self.waiters.borrow_mut();
        let Some(id) = waiters.subscription(connection, subscription) else { return };
        let waiter = waiters.get_mut(id).expect("it was just found");
        waiter.want = waiter.want.saturating_add(add).min(FETCH_COUNT_MAX);
        let queues = waiter.queues.clone();
        queues.iter().for_each(|queue| waiters.stir(queue));
    }

    fn goodbye(&self, entry: &mut EntryBuilder, connection: &Rc<Connection>) {
        let session = connection.session.get();
        let group = decide_close_session(&self.state.borrow(), session);
        self.sessions.borrow_mut().close(session);
        self.forget(connection);
        if let Some(group) = group {
            self.absorb(entry, group);
        }
    }

    /// Refuses new jobs of a frame that there is no room for; anything else is still taken.
    pub(crate) fn refuse_if_enqueue(&self, connection: &Rc<Connection>, frame: &Frame) -> bool {
        let Ok(ClientFrame::Request(request)) = decode(frame) else { return false };
        if request.enqueues.is_empty() {
            return false;
        }
        self.metrics.overloaded_total.add(1);
        let answer = Answer {
            number: request.number,
            reply: Rc::new(Reply { code: Code::Overloaded, ..Reply::default() }),
            message: "more jobs arrive than the disk can take: send again a little later".into(),
            retry_after_ms: self.retry_after_ms(),
            ..Answer::default()
        };
        let content = Content::Reply(answer);
        self.encode(&Outgoing { connection: Rc::clone(connection), content }, &Default::default());
        true
    }

    /// How long what waits now will take, in milliseconds: 1 to 1000.
    fn retry_after_ms(&self) -> u32 {
        let entries = self.metrics.entries_total.get().max(1);
        let per_entry_us = self.metrics.commit_us.sum() / entries;
        let frames_per_entry = (self.metrics.frames_total.get() / entries).max(1);
        let waits_us = self.intake.depth() as u64 / frames_per_entry * per_entry_us;
        (waits_us / 1000).clamp(1, 1000) as u32
    }
}

/// At most what a request takes in the log: its own bytes, what it says of each job, its events, and the name of a queue in
/// each event that has one, which a frame has only once. Exact enough to be told only when it may be above `bytes_max`.
fn log_bytes(
    request: &Request<'_>,
    frame_bytes: usize,
    bytes_max: usize,
    has_agents: bool,
) -> usize {
    const EVENT_BYTES: usize = 64;
    const JOB_BYTES: usize = 48;
    /// What a kind of events takes more in a record than in a frame.
    const KIND_BYTES: usize = 8;
    /// Queue, name and unique key of a run, and the fixed part of a definition.
    const SCHEDULE_BYTES: usize =
        QUEUE_BYTES_MAX + SCHEDULE_NAME_BYTES_MAX + KEY_BYTES_MAX + 4 * EVENT_BYTES;
    /// The fixed part of a revived job, its unique key and its rules.
    const ARCHIVED_BYTES: usize = size_of::<RevivedJob>() + 4 * EVENT_BYTES;
    let named = match &request.operation {
        Some(Operate::Start { jobs, .. }) => jobs.len() + 4,
        _ => 0,
    };
    let operations: usize = request.operations().iter().map(|(_, len)| len).sum::<usize>() + named;
    let schedules = request.schedule_controls.len() * SCHEDULE_BYTES;
    let archived = request.archived.len() * (ARCHIVED_BYTES + EVENT_BYTES + QUEUE_BYTES_MAX);
    let most = frame_bytes + schedules + archived;
    let most = most + (operations + 4) * (JOB_BYTES + EVENT_BYTES + QUEUE_BYTES_MAX);
    if most <= bytes_max {
        return most;
    }
    // Runs of like jobs share one event.
    let runs = request.enqueues.chunk_by(|a, b| a.shares_class(b)).count();
    let steps = request.ties.chains.iter().map(|chain| chain.all().count()).sum::<usize>();
    let steps = steps + request.ties.batch_opens.len();
    let named = runs + steps + request.job_controls.len() + request.queue_controls.len();
    let unnamed = request.fails.len()
        + request.holds.len()
        + request.plans.len()
        + request.appends.len()
        + request.ties.depends.len()
        + 4;
    // A report stands in its list's way, and is longer than other events.
    let reports = request.ack_usages.len() + request.heartbeat_usages.len();
    // And an ack of an agent job has the record of an iteration, with a reason of the server.
    let iterations = if has_agents { request.acks.len() } else { 0 };
    let unnamed = unnamed + 2 * reports + 2 * request.agents.len() + 5 * iterations;
    let kinds: usize = request.plans.iter().map(|plan| plan.kinds.len()).sum();
    frame_bytes
        + schedules
        + archived
        + operations * JOB_BYTES
        + kinds * KIND_BYTES
        + unnamed * EVENT_BYTES
        + named * (EVENT_BYTES + QUEUE_BYTES_MAX)
}

fn decode(bytes: &[u8]) -> Result<ClientFrame<'_>, String> {
    let split = frame::split(bytes, FRAME_BYTES_MAX).map_err(|error| error.to_string())?;
    let (frame, _) = split.ok_or("the frame is not complete")?;
    ClientFrame::decode(frame).map_err(|error| error.to_string())
}

/// Compares without telling by the time it takes how much was right.
fn same_secret(given: &[u8], expected: &[u8]) -> bool {
    expected.is_empty()
        || given.len() == expected.len()
            && given.iter().zip(expected).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_must_be_the_same_unless_none_is_asked_for() {
        assert!(same_secret(b"", b"") && same_secret(b"any", b"") && same_secret(b"abc", b"abc"));
        assert!(!same_secret(b"", b"abc") && !same_secret(b"abd", b"abc"));
        assert!(!same_secret(b"abcd", b"abc") && !same_secret(b"ab", b"abc"));
    }
}
