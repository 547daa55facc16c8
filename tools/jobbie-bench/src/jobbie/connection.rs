//! One connection to one shard.

use std::collections::VecDeque;
use std::sync::Arc;

use jobbie_proto::limits::{FRAME_BYTES_MAX, LEASE_MS_DEFAULT};
use jobbie_proto::request::{Ack, Fetch, JobRef};
use jobbie_proto::wire::{Encoder, Hello, PROTOCOL_VERSION, ReplyFrame, ServerFrame, frame};
use jobbie_proto::{Code, JobId, LeaseToken, Request, SessionId, ShardId};

use super::jobs::{Jobs, Own};
use crate::payload;
use crate::wire::{Answer, Job, NewJobs, Received, Wire, WireError};

/// How long a fetch that finds nothing waits, in milliseconds. The server answers it "nothing" then and the worker asks
/// again, which costs nothing at this pace.
const WAIT_MS: u32 = 5_000;

/// Bytes of a job's own key: its idempotency key, its unique key, or both.
const KEY_BYTES: usize = 16;

/// A request without a complete answer. Requests of one session are numbered from 1.
#[derive(Debug)]
struct Open {
    operations: u32,
    answer: Answer,
    /// What the parts of a long answer have brought so far.
    jobs: Vec<Job>,
    refused: Vec<u32>,
}

/// The protocol of one connection.
#[derive(Debug)]
pub struct Connection {
    encoder: Encoder,
    queue: Arc<str>,
    token: Arc<str>,
    client: u128,
    shard: ShardId,
    jobs: Arc<Jobs>,
    session: Option<SessionId>,
    last_number: u64,
    /// In the order of their numbers, so that the first tells what is confirmed.
    open: VecDeque<Open>,
    scratch: Vec<u8>,
    keys: Vec<u8>,
}

impl Connection {
    /// A connection to `shard` for one queue of it. `client` is a random number of its own.
    #[must_use]
    pub fn new(
        queue: Arc<str>,
        token: Arc<str>,
        client: u128,
        shard: ShardId,
        jobs: Arc<Jobs>,
    ) -> Self {
        Self {
            encoder: Encoder::new(),
            queue,
            token,
            client,
            shard,
            jobs,
            session: None,
            last_number: 0,
            open: VecDeque::new(),
            scratch: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// The next request, empty, with its number and what is confirmed.
    fn request(&mut self, operations: u32) -> Request<'static> {
        self.last_number += 1;
        let answer = Answer { ticket: self.last_number, ..Answer::default() };
        let (jobs, refused) = (Vec::new(), Vec::new());
        self.open.push_back(Open { operations, answer, jobs, refused });
        Request {
            session: self.session.expect("the loop waits for the handshake"),
            number: self.last_number,
            confirmed_below: self.open[0].answer.ticket,
            ..Request::default()
        }
    }

    fn send(encoder: &mut Encoder, request: &Request<'_>, out: &mut Vec<u8>) -> u64 {
        encoder.request(out, request).expect("the options keep requests within the limits");
        request.number
    }

    fn reply(&mut self, reply: &ReplyFrame<'_>, into: &mut Received) -> Result<(), WireError> {
        let unknown = || WireError(format!("a reply to request {} that is not open", reply.number));
        let at =
            self.open.iter().position(|o| o.answer.ticket == reply.number).ok_or_else(unknown)?;
        let Open { operations, answer, jobs, refused } = &mut self.open[at];
        if reply.code != Code::Ok {
            answer.error = Some(reply.code.name());
            refused.extend(answer.errors..*operations);
            answer.errors = *operations;
        }
        for run in &reply.enqueued {
            count(answer, run.code, run.count, refused);
        }
        for code in &reply.acks {
            count(answer, *code, 1, refused);
        }
        jobs.reserve(reply.leases.len());
        for lease in &reply.leases {
            match payload::read(lease.payload, self.jobs.payload_bytes) {
                Some((number, sent_ns)) => {
                    let (id, token) = (lease.job.to_u128(), lease.token.0);
                    jobs.push(Job { number, sent_ns, id, token });
                    answer.jobs += 1;
                }
                None => into.mangled += 1,
            }
        }
        if !reply.more {
            into.answers.push(*answer);
            into.jobs.append(jobs);
            into.refused.append(refused);
            self.open.remove(at);
        }
        Ok(())
    }
}

fn count(answer: &mut Answer, code: Code, operations: u32, refused: &mut Vec<u32>) {
    if code == Code::Ok {
        answer.ok += operations;
        return;
    }
    let first = answer.ok + answer.errors;
    refused.extend(first..first + operations);
    answer.errors += operations;
    answer.error = answer.error.or(Some(code.name()));
}

impl Wire for Connection {
    fn open(&mut self, out: &mut Vec<u8>) {
        let hello = Hello {
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            client: self.client,
            resume_session: SessionId(0),
            shard: self.shard,
            token: self.token.as_bytes(),
            name: "jobbie-bench",
            host: "",
        };
        self.encoder.hello(out, &hello).expect("a hello is small");
    }

    fn is_open(&self) -> bool {
        self.session.is_some()
    }

    fn enqueue(&mut self, jobs: NewJobs, out: &mut Vec<u8>) -> u64 {
        let mut request = self.request(jobs.count);
        let (numbers, bytes) = (jobs.first.., self.jobs.payload_bytes);
        self.scratch.clear();
        self.keys.clear();
        for number in numbers.clone().take(jobs.count as usize) {
            let sent_ns = jobs.due.map_or(jobs.sent_ns, |due| due.since_begin_ns(number));
            payload::write(number, sent_ns, bytes, &mut self.scratch);
            // Numbers are a run's own, so its part of the client makes them nobody else's.
            self.keys.extend_from_slice(&((self.client >> 32) as u64).to_le_bytes());
            self.keys.extend_from_slice(&number.to_le_bytes());
        }
        let keys = self.keys.chunks_exact(KEY_BYTES);
        request.enqueues = (self.scratch.chunks_exact(bytes).zip(keys).zip(numbers))
            .map(|((payload, key), number)| {
                let due_us = jobs.due.map(|due| due.unix_us(number));
                self.jobs.enqueue(&self.queue, Own { number, payload, key, due_us })
            })
            .collect();
        if let Some(group) = &self.jobs.group {
            group.join(&mut request, jobs.count);
        }
        Self::send(&mut self.encoder, &request, out)
    }

    fn fetch(&mut self, count: u32, out: &mut Vec<u8>) -> u64 {
        let mut request = self.request(0);
        request.fetch = Some(fetch(&self.queue, count, WAIT_MS));
        Self::send(&mut self.encoder, &request, out)
    }

    fn ack(&mut self, jobs: &[Job], count: u32, out: &mut Vec<u8>) -> u64 {
        let mut request = self.request(jobs.len() as u32);
        let ack = |job: &Job| {
            let id = JobId::from_u128(job.id).expect("the server gave this id");
            Ack { job: JobRef { job: id, token: LeaseToken(job.token) }, result: b"" }
        };
        request.acks = jobs.iter().map(ack).collect();
        // The acks' answer must not wait for new jobs.
        request.fetch = (count > 0).then(|| fetch(&self.queue, count, 0));
        Self::send(&mut self.encoder, &request, out)
    }

    fn receive(&mut self, bytes: &[u8], into: &mut Received) -> Result<usize, WireError> {
        let mut used = 0;
        let wrong =
            |e: &dyn std::fmt::Display| WireError(format!("the server sent no valid frame: {e}"));
        while let Some((frame, len)) =
            frame::split(&bytes[used..], FRAME_BYTES_MAX).map_err(|e| wrong(&e))?
        {
            used += len;
            match ServerFrame::decode(frame).map_err(|e| wrong(&e))? {
                ServerFrame::Reply(reply) => self.reply(&reply, into)?,
                ServerFrame::Welcome(welcome) => self.session = Some(welcome.session),
                ServerFrame::Refused(refused) => {
                    let code = refused.code.name();
                    return Err(WireError(format!(
                        "the server refuses: {} ({code})",
                        refused.message
                    )));
                }
                ServerFrame::GoAway { message, .. } => {
                    return Err(WireError(format!("the server is stopping: {message}")));
                }
                ServerFrame::Lost(lost) => {
                    return Err(WireError(format!(
                        "{} leases were lost while at work",
                        lost.len()
                    )));
                }
                ServerFrame::Pong { .. } | ServerFrame::Deliver { .. } => {}
            }
        }
        Ok(used)
    }
}

fn fetch(queue: &str, count: u32, wait_ms: u32) -> Fetch<'_> {
    Fetch { queues: vec![queue], count, lease_ms: LEASE_MS_DEFAULT, wait_ms, worker: "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use jobbie_proto::Micros;
    use jobbie_proto::request::{Enqueue, When};
    use jobbie_proto::wire::{ClientFrame, LeasedJob};

    use crate::due::Due;
    use crate::options::tests::workload;

    fn opened() -> Connection {
        let flags = workload("enqueue --payload-bytes 20 --every-option --unique");
        let jobs = Arc::new(Jobs::new(flags.options()));
        let mut connection = Connection::new("q".into(), "".into(), 7 << 32, ShardId(0), jobs);
        connection.session = Some(SessionId(1));
        connection
    }

    fn new_jobs(first: u64, count: u32, due: Option<Due>) -> NewJobs {
        NewJobs { first, count, sent_ns: 9, due }
    }

    fn lease(payload: &[u8]) -> LeasedJob<'_> {
        LeasedJob {
            job: JobId::from_u128(1 << 50).expect("an id"),
            token: LeaseToken(3),
            deadline: Micros(9),
            attempt: 1,
            max_retries: 1,
            queue: "q",
            payload,
            tags: b"",
            checkpoint: b"",
            agent: None,
        }
    }

    #[test]
    fn requests_are_numbered_and_confirm_what_is_answered() {
        let mut connection = opened();
        let mut out = Vec::new();
        assert_eq!(connection.fetch(5, &mut out), 1);
        assert_eq!(connection.enqueue(new_jobs(0, 3, None), &mut out), 2);
        connection.open.pop_front();
        assert_eq!(connection.fetch(5, &mut out), 3);
        let mut confirmed = Vec::new();
        let mut at = 0;
        while let Some((frame, len)) = frame::split(&out[at..], FRAME_BYTES_MAX).expect("frames") {
            at += len;
            match ClientFrame::decode(frame).expect("is well-formed") {
                ClientFrame::Request(r) => {
                    confirmed.push((r.number, r.confirmed_below, r.enqueues.len()))
                }
                other => panic!("not a request: {other:?}"),
            }
        }
        assert_eq!(confirmed, [(1, 1, 0), (2, 1, 3), (3, 2, 0)]);
    }

    #[test]
    fn refusals_name_their_positions() {
        let mut connection = opened();
        let mut received = Received::default();
        let jobs = [Job { number: 1, sent_ns: 0, id: 1 << 50, token: 3 }; 3];
        connection.ack(&jobs, 0, &mut Vec::new());
        let acks = vec![Code::Ok, Code::StaleLease, Code::Ok];
        let reply = ReplyFrame { number: 1, acks, ..ReplyFrame::default() };
        connection.reply(&reply, &mut received).expect("is open");
        assert_eq!(received.refused, [1]);
        let answer = received.answers[0];
        assert_eq!((answer.ok, answer.errors, answer.error), (2, 1, Some("STALE_LEASE")));
        assert!(connection.reply(&reply, &mut received).is_err(), "answered twice");
    }

    #[test]
    fn a_long_answer_comes_whole_with_its_last_part() {
        let (mut connection, mut payload) = (opened(), Vec::new());
        connection.fetch(2, &mut Vec::new());
        payload::write(5, 9, 20, &mut payload);
        for (more, expected) in [(true, 0), (false, 2)] {
            let mut received = Received::default();
            let reply = ReplyFrame {
                number: 1,
                more,
                leases: vec![lease(&payload)],
                ..ReplyFrame::default()
            };
            connection.reply(&reply, &mut received).expect("is open");
            assert_eq!(received.jobs.len(), expected);
            assert_eq!(received.answers.iter().map(|a| a.jobs as usize).sum::<usize>(), expected);
        }
    }

    #[test]
    fn a_request_refused_whole_refuses_each_operation() {
        let mut connection = opened();
        let mut received = Received::default();
        connection.enqueue(new_jobs(0, 3, None), &mut Vec::new());
        let reply = ReplyFrame { number: 1, code: Code::Overloaded, ..ReplyFrame::default() };
        connection.reply(&reply, &mut received).expect("is open");
        assert_eq!(received.refused, [0, 1, 2]);
        assert_eq!(received.answers[0].error, Some("OVERLOADED"));
    }

    /// The jobs of an enqueue as the server decodes them, by what `look` finds.
    fn enqueued<T>(new: NewJobs, look: impl Fn(u64, &Enqueue<'_>) -> T) -> Vec<T> {
        let (mut connection, mut out) = (opened(), Vec::new());
        connection.enqueue(new, &mut out);
        let (frame, _) = frame::split(&out, FRAME_BYTES_MAX).expect("a frame").expect("all of it");
        match ClientFrame::decode(frame).expect("is well-formed") {
            ClientFrame::Request(request) => (new.first..)
                .zip(&request.enqueues)
                .map(|(number, job)| look(number, job))
                .collect(),
            other => panic!("not a request: {other:?}"),
        }
    }

    #[test]
    fn every_option_is_set_and_keys_are_a_jobs_own() {
        let found = enqueued(new_jobs(300, 2, None), |number, job| {
            let key = [7_u64.to_le_bytes(), number.to_le_bytes()].concat();
            assert_eq!((job.key, job.unique), (&key[..], &key[..]));
            assert_eq!(payload::read(job.payload, 20), Some((number, 9)));
            assert!(!job.tags.is_empty() && job.key_ms > 0 && job.expire_after_ms > 0);
            assert!(job.when == When::DelayMs(1) && job.priority == 1 && job.max_retries == 7);
        });
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn jobs_carry_the_time_they_are_due() {
        let due = Due::new(10, Duration::from_secs(3), 1_700_000_000_000_000_000);
        let found = enqueued(new_jobs(4, 2, Some(due)), |number, job| {
            let sent_ns = due.since_begin_ns(number);
            assert_eq!(payload::read(job.payload, 20), Some((number, sent_ns)));
            job.when
        });
        assert_eq!(found, [4, 5].map(|number| When::At(Micros(due.unix_us(number)))));
    }
}
