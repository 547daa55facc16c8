//! Numbers that say how an operation ended. They never change their meaning.

use rkyv::{Archive, Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// How an operation ended, the same number on the wire, in the log and in metrics.
        ///
        /// 0 is success; 1–63 speak of the job; 64–127 of the request; 128–191 of the server,
        /// where the request was **not done** and may be sent again; 192 and above of the connection.
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize,
            Deserialize,
        )]
        #[repr(u8)]
        pub enum Code {
            $($(#[$doc])* $name = $number,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code with this number.
            #[must_use]
            pub fn from_u8(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Code::$name),)*
                    _ => None,
                }
            }

            /// The code's name: upper-case words joined by `_`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// Done.
    #[default]
    Ok = 0, "OK";
    /// The idempotency key is taken by a job with the same content; that job's id is in the answer.
    Duplicate = 1, "DUPLICATE";
    /// The idempotency key is taken by a job with other content. Nothing was done.
    Conflict = 2, "CONFLICT";
    /// No such job, or it has left the server's memory: completed, deleted, or never existed.
    NotFound = 3, "NOT_FOUND";
    /// The job is not leased to anybody, so the ack, fail or heartbeat changed nothing.
    NotActive = 4, "NOT_ACTIVE";
    /// The job was leased again since; this lease is over and the operation changed nothing.
    StaleLease = 5, "STALE_LEASE";
    /// The job is in a state in which the operation is not allowed. Nothing was done.
    IllegalState = 6, "ILLEGAL_STATE";
    /// The job has as many events as it can have. Nothing was done.
    PlanFull = 9, "PLAN_FULL";
    /// The job went to a queue of another shard, or is on its way there. Nothing was done; a lookup says under which id it is there.
    Moved = 11, "MOVED";
    /// The job is no agent job, and only one can go on like that. Nothing was done.
    NotAgent = 12, "NOT_AGENT";
    /// There is no money left. Of a fetch: every queue it names is closed for today, and nothing was done. Of an ack: the job is held.
    /// Of a heartbeat: the job costs more than it may; unless the budget only warns, its lease is over.
    BudgetExceeded = 13, "BUDGET_EXCEEDED";

    /// A field is missing, out of range or of the wrong form.
    Invalid = 64, "INVALID";
    /// A field is larger than its limit.
    TooLarge = 65, "TOO_LARGE";
    /// The session is unknown or was forgotten. What its unanswered requests did is unknown; they
    /// will never be executed again.
    SessionGone = 66, "SESSION_GONE";
    /// The request number is below what the client has confirmed, or too far ahead.
    BadRequestNumber = 67, "BAD_REQUEST_NUMBER";
    /// The operation is not built in this version.
    Unsupported = 68, "UNSUPPORTED";

    /// A bounded queue is full. Not done; send again after the hint.
    Overloaded = 128, "OVERLOADED";
    /// The disk is full. Not done; acks, fails, heartbeats and reads still work.
    NoSpace = 129, "NO_SPACE";
    /// This node does not lead the shard. Not done; the answer names the leader when it is known.
    NotLeader = 130, "NOT_LEADER";
    /// The queue or job lives on another shard. Not done; see the topology of the handshake.
    WrongShard = 131, "WRONG_SHARD";
    /// The server is stopping. Not done.
    ShuttingDown = 132, "SHUTTING_DOWN";
    /// The shard has stopped after a disk error. Whether the request was done is **unknown**.
    Unavailable = 133, "UNAVAILABLE";

    /// The first frame was not a handshake this server understands.
    BadHandshake = 192, "BAD_HANDSHAKE";
    /// The protocol version is not spoken here; the answer names those that are.
    BadVersion = 193, "BAD_VERSION";
    /// The credential is missing or wrong.
    Unauthorized = 194, "UNAUTHORIZED";
    /// The frame is longer than the limit.
    FrameTooLarge = 195, "FRAME_TOO_LARGE";
    /// The frame does not decode.
    BadFrame = 196, "BAD_FRAME";
    /// Too many connections.
    TooManyConnections = 197, "TOO_MANY_CONNECTIONS";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_read_back() {
        for (i, a) in Code::ALL.iter().enumerate() {
            assert_eq!(Code::from_u8(*a as u8), Some(*a));
            assert!(Code::ALL[i + 1..].iter().all(|b| a.name() != b.name()));
        }
        assert_eq!(Code::from_u8(255), None);
    }
}
