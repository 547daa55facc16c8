//! What a server can do, as it tells its clients, so that a newer client does not ask an older server for what that
//! would not understand.

use crate::request::{QueueAction, Request, Schedules, Stats};

/// Something that servers can do since some release. What servers of the first release could do has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ability {
    /// Unique keys.
    Keys = 0,
    /// Retry, requeue, approve, reject, move, prioritize and replace.
    Controls = 1,
    /// Holds, also of new jobs.
    Holds = 2,
    /// Limit keys, limits of queues, drain.
    Limits = 3,
    /// Batches, chains and dependencies.
    Ties = 4,
    /// Plans and events.
    Plans = 5,
    /// Schedules.
    Schedules = 6,
    /// Operations on many jobs.
    Operations = 7,
    /// All errors of a job.
    History = 8,
    /// The list of workers.
    Workers = 9,
}

impl Ability {
    /// Every ability, by number.
    pub const ALL: [Self; 10] = [
        Self::Keys,
        Self::Controls,
        Self::Holds,
        Self::Limits,
        Self::Ties,
        Self::Plans,
        Self::Schedules,
        Self::Operations,
        Self::History,
        Self::Workers,
    ];

    /// The ability's name on every surface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Controls => "controls",
            Self::Holds => "holds",
            Self::Limits => "limits",
            Self::Ties => "ties",
            Self::Plans => "plans",
            Self::Schedules => "schedules",
            Self::Operations => "operations",
            Self::History => "history",
            Self::Workers => "workers",
        }
    }
}

/// A set of abilities. On the wire it is a number with a bit for each; bits without a name are those of newer servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities(pub u64);

impl Abilities {
    /// Those of this release.
    pub const OURS: Self = {
        let mut bits = 0;
        let mut nth = 0;
        while nth < Ability::ALL.len() {
            bits |= 1 << Ability::ALL[nth] as u8;
            nth += 1;
        }
        Self(bits)
    };

    /// Whether `ability` is in it.
    #[must_use]
    pub fn has(self, ability: Ability) -> bool {
        self.0 >> ability as u8 & 1 == 1
    }

    /// The first ability that `request` takes and that is not in it.
    #[must_use]
    pub fn lacking(self, request: &Request<'_>) -> Option<Ability> {
        if self.0 & Self::OURS.0 == Self::OURS.0 {
            return None;
        }
        Ability::ALL.into_iter().find(|ability| !self.has(*ability) && ability.is_taken_by(request))
    }
}

impl Ability {
    fn is_taken_by(self, request: &Request<'_>) -> bool {
        match self {
            Self::Keys => request.enqueues.iter().any(|job| !job.unique.is_empty()),
            Self::Controls => !request.job_controls.is_empty(),
            Self::Holds => !request.holds.is_empty(),
            Self::Limits => {
                let simple = |action| matches!(action, QueueAction::Pause | QueueAction::Resume);
                request.enqueues.iter().any(|job| !job.limit_key.is_empty())
                    || request.queue_controls.iter().any(|control| !simple(control.action))
            }
            Self::Ties => request.ties != crate::request::Ties::default(),
            Self::Plans => {
                let none = request.plans.is_empty() && request.appends.is_empty();
                !none || request.history.is_some()
            }
            Self::Schedules => {
                !request.schedule_controls.is_empty() || request.schedules != Schedules::None
            }
            Self::Operations => {
                request.operation.is_some() || matches!(request.stats, Stats::Operations)
            }
            Self::History => request.errors.is_some(),
            Self::Workers => request.workers.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{JobAction, JobControl};
    use crate::{JobId, JobSeq, ShardId};

    #[test]
    fn numbers_and_names_are_unique_and_numbers_are_places() {
        for (nth, ability) in Ability::ALL.into_iter().enumerate() {
            assert_eq!(ability as usize, nth);
            assert_eq!(Ability::ALL.iter().filter(|a| a.name() == ability.name()).count(), 1);
            assert!(Abilities::OURS.has(ability) && !Abilities::default().has(ability));
        }
    }

    #[test]
    fn what_an_old_server_can_do_lacks_nothing() {
        let job = JobId::new(1, ShardId(0), JobSeq(1));
        let old = Request { cancels: vec![job], lookups: vec![job], ..Request::default() };
        assert_eq!(Abilities::default().lacking(&old), None);
        let controls = vec![JobControl { job, action: JobAction::Retry }];
        let new = Request { job_controls: controls, ..Request::default() };
        assert_eq!(Abilities::default().lacking(&new), Some(Ability::Controls));
        assert_eq!(Abilities(1 << 1).lacking(&new), None);
        assert_eq!(Abilities::OURS.lacking(&new), None);
    }
}
