//! Servers that answer a connection's commands one by one, in their order.

use std::collections::VecDeque;

use crate::payload;
use crate::wire::{Answer, Job, Received, WireError};

/// What one reply says.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// A write is done.
    Done,
    /// A write is refused, and what that is called.
    Refused(&'static str),
    /// A job, and the server's id for it, where it has one.
    Job(u128, &'a [u8]),
    /// There is no job.
    Nothing,
}

/// A request whose replies have not all come.
#[derive(Debug)]
struct Open {
    answer: Answer,
    writes_left: u32,
    takes_left: u32,
    jobs_per_write: u32,
}

/// The requests of one connection.
#[derive(Debug)]
pub struct InOrder {
    payload_bytes: usize,
    open: VecDeque<Open>,
    /// What replies to the first request have brought: the last of them may come much later.
    first: Received,
    next: u64,
}

impl InOrder {
    /// None yet, of jobs of this size.
    #[must_use]
    pub fn new(payload_bytes: usize) -> Self {
        Self { payload_bytes, open: VecDeque::new(), first: Received::default(), next: 0 }
    }

    /// A request of `writes` commands that create or finish `jobs_per_write` jobs each, and then `takes` commands that
    /// take a job each; its ticket.
    pub fn request(&mut self, writes: u32, takes: u32, jobs_per_write: u32) -> u64 {
        self.next += 1;
        let answer = Answer { ticket: self.next, ..Answer::default() };
        self.open.push_back(Open {
            answer,
            writes_left: writes,
            takes_left: takes,
            jobs_per_write,
        });
        self.next
    }

    /// Takes the next reply.
    ///
    /// # Errors
    /// When it answers nothing that was asked.
    pub fn reply(&mut self, outcome: Outcome<'_>, into: &mut Received) -> Result<(), WireError> {
        let unasked = || WireError("a reply to nothing".into());
        let open = self.open.front_mut().ok_or_else(unasked)?;
        let left = match outcome {
            Outcome::Done | Outcome::Refused(_) => &mut open.writes_left,
            Outcome::Job(..) | Outcome::Nothing => &mut open.takes_left,
        };
        *left = left.checked_sub(1).ok_or_else(unasked)?;
        match outcome {
            Outcome::Done => open.answer.ok += open.jobs_per_write,
            Outcome::Refused(name) => {
                let first = open.answer.ok + open.answer.errors;
                self.first.refused.extend(first..first + open.jobs_per_write);
                open.answer.errors += open.jobs_per_write;
                open.answer.error = open.answer.error.or(Some(name));
            }
            Outcome::Job(id, payload) => match payload::read(payload, self.payload_bytes) {
                Some((number, sent_ns)) => {
                    open.answer.jobs += 1;
                    self.first.jobs.push(Job { number, sent_ns, id, token: 0 });
                }
                None => into.mangled += 1,
            },
            Outcome::Nothing => {}
        }
        if open.writes_left + open.takes_left == 0 {
            into.answers.push(open.answer);
            into.jobs.append(&mut self.first.jobs);
            into.refused.append(&mut self.first.refused);
            self.open.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_there_when_its_last_reply_is() {
        let (mut requests, mut into) = (InOrder::new(20), Received::default());
        let mut payload = Vec::new();
        payload::write(7, 9, 20, &mut payload);
        let ticket = requests.request(2, 2, 1);
        for outcome in [Outcome::Refused("NO"), Outcome::Done, Outcome::Job(5, &payload)] {
            requests.reply(outcome, &mut into).expect("was asked");
            assert_eq!((&*into.answers, &*into.jobs, &*into.refused), (&[][..], &[][..], &[][..]));
        }
        requests.reply(Outcome::Nothing, &mut into).expect("was asked");
        let error = Some("NO");
        assert_eq!(into.answers, [Answer { ticket, ok: 1, errors: 1, error, jobs: 1 }]);
        assert_eq!(into.refused, [0]);
        assert_eq!(into.jobs, [Job { number: 7, sent_ns: 9, id: 5, token: 0 }]);
        assert!(requests.reply(Outcome::Nothing, &mut into).is_err(), "nothing is open");
    }

    #[test]
    fn mangled_jobs_are_counted_and_not_given_out() {
        let (mut requests, mut into) = (InOrder::new(20), Received::default());
        requests.request(0, 1, 1);
        requests.reply(Outcome::Job(5, b"short"), &mut into).expect("was asked");
        assert_eq!((into.jobs.len(), into.mangled, into.answers[0].jobs), (0, 1, 0));
    }

    #[test]
    fn a_reply_of_the_wrong_kind_is_refused() {
        let mut requests = InOrder::new(20);
        requests.request(1, 0, 3);
        assert!(requests.reply(Outcome::Nothing, &mut Received::default()).is_err());
    }
}
