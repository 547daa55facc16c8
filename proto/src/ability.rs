//! What a server can do, as it tells its clients, so that a newer client does not ask an older server for what that
//! would not understand.

use crate::request::{JobAction, QueueAction, Request, Schedules, Stats};

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
    /// What work on jobs used.
    Usage = 10,
    /// Agent jobs.
    Agents = 11,
    /// Budgets and approval policies.
    Rules = 12,
    /// Parents and children.
    Kin = 13,
    /// The list of held jobs.
    Held = 14,
    /// Completed jobs that have left memory: revive, delete and move.
    Archive = 15,
}

impl Ability {
    /// Every ability, by number.
    pub const ALL: [Self; 16] = [
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
        Self::Usage,
        Self::Agents,
        Self::Rules,
        Self::Kin,
        Self::Held,
        Self::Archive,
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
            Self::Usage => "usage",
            Self::Agents => "agents",
            Self::Rules => "rules",
            Self::Kin => "kin",
            Self::Held => "held",
            Self::Archive => "archive",
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
            Self::Usage => {
                let mut reports = request.ack_usages.iter().chain(&request.heartbeat_usages);
                // A report of nothing is dropped by servers that know it, too.
                request.usage.is_some() || reports.any(|one| !one.usage.amounts.is_nothing())
            }
            Self::Agents => {
                let is_revision = |action| matches!(action, JobAction::Revise { .. });
                let lists = request.agents.len() | request.agent_acks.len();
                let revises = request.job_controls.iter().any(|one| is_revision(one.action));
                lists != 0 || request.iterations.is_some() || revises
            }
            Self::Rules => {
                !request.rule_controls.is_empty() || matches!(request.stats, Stats::Rules)
            }
            Self::Held => request.held.is_some(),
            Self::Archive => !request.archived.is_empty(),
            Self::Kin => !request.ties.parents.is_empty() || request.children.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{
        Ack, AgentAck, ArchivedAction, ArchivedControl, Children, EnqueueAgent, HeldJobs, History,
        JobControl, JobRef, Parents, ReportUsage, Ties, Usage, UsageQuery,
    };
    use crate::rules::{RuleControl, Scope};
    use crate::usage::Amounts;
    use crate::{EventSeq, JobId, JobSeq, LeaseToken, ShardId};

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

    /// Everything but one ability.
    fn without(ability: Ability) -> Abilities {
        Abilities(Abilities::OURS.0 & !(1 << ability as u8))
    }

    #[test]
    fn what_takes_the_newer_abilities() {
        let job = JobId::new(1, ShardId(0), JobSeq(1));
        let amounts = Amounts { cost_micros: 1, ..Amounts::default() };
        let report = ReportUsage { of: 0, usage: Usage { amounts, ..Usage::default() } };
        let history = Some(History { job, from: EventSeq(0), count: 1 });
        let revise =
            JobAction::Revise { checkpoint: b"{}", feedback: b"", by: "", replaces: EventSeq(0) };
        let acks = vec![Ack { job: JobRef { job, token: LeaseToken(1) }, result: b"" }];
        let parents = vec![Parents { parent: job, first: 0, count: 1 }];
        let children = Some(Children { parent: job, after: JobSeq(0), count: 1 });
        let held = Some(HeldJobs { after: JobSeq(0), count: 1 });
        let archived = vec![ArchivedControl { job, action: ArchivedAction::Delete }];
        let none = Request::default;
        let cases = [
            (Ability::Usage, Request { ack_usages: vec![report], ..none() }),
            (Ability::Usage, Request { heartbeat_usages: vec![report], ..none() }),
            (Ability::Usage, Request { usage: Some(UsageQuery::default()), ..none() }),
            (Ability::Agents, Request { agents: vec![EnqueueAgent::default()], ..none() }),
            (Ability::Agents, Request { agent_acks: vec![AgentAck::default()], ..none() }),
            (Ability::Agents, Request { iterations: history, ..none() }),
            (
                Ability::Agents,
                Request { job_controls: vec![JobControl { job, action: revise }], ..none() },
            ),
            (
                Ability::Rules,
                Request { rule_controls: vec![RuleControl::DeleteBudget(Scope::Global)], ..none() },
            ),
            (Ability::Rules, Request { stats: Stats::Rules, ..none() }),
            (Ability::Kin, Request { ties: Ties { parents, ..Ties::default() }, ..none() }),
            (Ability::Kin, Request { children, ..none() }),
            (Ability::Held, Request { held, ..none() }),
            (Ability::Archive, Request { archived, ..none() }),
        ];
        for (ability, request) in cases {
            assert_eq!(without(ability).lacking(&request), Some(ability), "{request:?}");
            for other in Ability::ALL.into_iter().skip(Ability::Usage as usize) {
                let lacks = without(other).lacking(&request);
                assert_eq!(lacks, (other == ability).then_some(other), "{request:?}");
            }
        }
        // An ack that reports nothing goes to every server.
        let nothing = ReportUsage::default();
        let old = Request { acks, ack_usages: vec![nothing], ..none() };
        assert_eq!(without(Ability::Usage).lacking(&old), None);
    }
}
