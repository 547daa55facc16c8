//! What is said of plans everywhere: what a plan expects, how far it is, what an appended event did.
//!
//! A planned job is worked on by nobody here: other systems append events to it, and what becomes of the job follows
//! from its plan.

use rkyv::{Archive, Deserialize, Serialize};

use crate::Code;

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number,)*
        }

        impl $name {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The one with this number.
            #[must_use]
            pub fn from_u8(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its name on every surface.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

numbered! {
    /// What events of a kind are to a plan.
    Need {
        /// The plan is satisfied when all kinds of this sort have come as often as they should.
        Required = 0, "required";
        /// They may come, and are counted.
        Optional = 1, "optional";
        /// When they have come as often as is said, the plan has failed.
        Failure = 2, "failure";
    }
}

numbered! {
    /// How far a plan is. Follows from the events that were counted, from time, and from what else became of the job.
    PlanStatus {
        /// Nothing that is expected has come.
        Waiting = 1, "waiting";
        /// Something that is expected has come.
        InProgress = 2, "in_progress";
        /// Everything required has come: the job is completed.
        Satisfied = 3, "satisfied";
        /// What must not come has come: the job is dead.
        Failed = 4, "failed";
        /// Something required did not come in time: the job is dead.
        TimedOut = 5, "timed_out";
        /// The job ended without its plan: it expired or was cancelled.
        Stopped = 6, "stopped";
    }
}

numbered! {
    /// What an appended event did.
    Effect {
        /// It is one more of its kind.
        Counted = 0, "counted";
        /// The same, and with it everything required has come: the job is completed.
        Completed = 1, "completed";
        /// The same, and with it the plan has failed: the job is dead.
        Failed = 2, "failed";
        /// As many of its kind have come before. Recorded only.
        Surplus = 3, "surplus";
        /// The plan does not know its kind. Recorded only.
        Unexpected = 4, "unexpected";
        /// The job had ended. Recorded only.
        Late = 5, "late";
        /// An event with this id came before. Nothing changed.
        Duplicate = 6, "duplicate";
        /// No such job is in memory: it was completed, deleted or never was. Recorded only.
        NotFound = 7, "not_found";
        /// The job has no plan. Nothing changed.
        Unplanned = 8, "unplanned";
        /// The job has as many events as it can have. Nothing changed.
        Full = 9, "full";
    }
}

impl Effect {
    /// What the client is told.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Counted
            | Self::Completed
            | Self::Failed
            | Self::Surplus
            | Self::Unexpected
            | Self::Late => Code::Ok,
            Self::Duplicate => Code::Duplicate,
            Self::NotFound => Code::NotFound,
            Self::Unplanned => Code::IllegalState,
            Self::Full => Code::PlanFull,
        }
    }

    /// Whether the event is kept with its content, and not only that there was one.
    #[must_use]
    pub fn is_recorded(self) -> bool {
        !matches!(self, Self::Duplicate | Self::Unplanned | Self::Full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        assert!(Need::ALL.iter().all(|need| Need::from_u8(*need as u8) == Some(*need)));
        assert!(PlanStatus::ALL.iter().all(|of| PlanStatus::from_u8(*of as u8) == Some(*of)));
        assert!(Effect::ALL.iter().all(|effect| Effect::from_u8(*effect as u8) == Some(*effect)));
        // On the wire 0 stands for no plan.
        assert_eq!(
            (PlanStatus::from_u8(0), Need::from_u8(3), Effect::from_u8(10)),
            (None, None, None)
        );
    }
}
