//! Planted defects. A test or a simulator that does not find them proves nothing.

use std::cell::Cell;

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// An old token still acks (R11).
    TokenUncompared,
    /// Remembered replies are not in snapshots (R9).
    RepliesMissingFromSnapshot,
    /// Leases and delays end 50 ms early (R12, R14).
    LeaseEndedEarly,
    /// A taken idempotency key is taken again (R9).
    KeyUnchecked,
    /// An expired job is leased.
    ExpiredLeased,
    /// Pending jobs that stepped back are not in snapshots (R13).
    SteppedBackMissingFromSnapshot,
    /// A unique key that a job has is taken again.
    UniqueUnchecked,
    /// A job that keeps losing its workers is handed out for ever (B2).
    CrashLoopUnnoticed,
    /// More jobs of a queue are active than may be.
    ConcurrencyIgnored,
    /// More jobs of a queue are given out in a window than may be.
    RateIgnored,
    /// Limits per key do not hold.
    KeyLimitsIgnored,
    /// A dead job keeps its unique key.
    UniqueKeptByTheDead,
    /// A retried job keeps the attempts it has made.
    RetryKeepsAttempts,
    /// Ended jobs are forgotten a second early.
    PurgedEarly,
    /// Nothing happens when a hold is over.
    HoldNeverEnds,
    /// A member of a batch counts each time it ends.
    MemberCountedTwice,
    /// A job goes on although what it waits for has died.
    DeathSettles,
    /// Messages of another shard are taken again when they come again.
    LetterTakenTwice,
    /// The handler of a failed step is made again when the step is retried and fails again.
    FailureHandledTwice,
    /// An event counts each time it is sent.
    PlanCountsRepeats,
    /// Plans have no deadlines.
    PlanNeverTimesOut,
    /// A plan goes on when what must not come has come.
    PlanFailureIgnored,
    /// The plan of a retried job keeps what has come.
    PlanRetryKeepsCounts,
    /// The ids of events are not in snapshots.
    PlanIdsMissingFromSnapshot,
    /// A schedule runs a planned time again and again.
    ScheduleFiresTwice,
    /// What was planned while the shard was down is never run.
    MissedRunsForgotten,
    /// Clearing a queue also takes jobs that came after it was asked for.
    ClearTakesLaterJobs,
    /// How far an operation is, is not in snapshots.
    BulkForgetsCursor,
    /// The error of an expired job hides those before it.
    OlderErrorsForgotten,
    /// A worker that polls is noted each time.
    WorkerNotedAlways,
    /// A job that comes from another shard is made twice.
    ArrivesTwice,
    /// What is left of a moved job is forgotten as soon as it has arrived.
    StubForgottenEarly,
    /// An active job that is to go to another shard stays when its worker gives it back, and is handed out again.
    NotedMoveForgotten,
    /// A moved job counts in its batch on the shard that it left, too.
    MemberCountedByBoth,
    /// A moved job has all its attempts before it again.
    MoveForgetsAttempts,
    /// What heartbeats report is not part of what a job cost.
    HeartbeatCostIgnored,
    /// What the work on jobs has cost is not in snapshots.
    CostMissingFromSnapshot,
    /// An agent job stays in its first iteration.
    IterationUncounted,
    /// An agent job goes on although it has had all its iterations.
    GuardrailIgnored,
    /// The attempts at one iteration count for the next.
    AgentKeepsAttempts,
    /// That a job was revived, and when it expires, is not in snapshots.
    RevivalMissingFromSnapshot,
    /// A budget of all jobs looks at each queue by itself.
    GlobalBudgetPerQueue,
    /// A budget says again and again that it is exceeded.
    CrossingToldTwice,
    /// What was spent yesterday still counts today.
    DayNeverTurns,
    /// The usage that an ack reports is forgotten when the ack is refused for it.
    RefusedAckForgetsUsage,
    /// The oldest approval policy counts.
    PoliciesOldestFirst,
    /// What budgets have spent is not in snapshots.
    SpendingMissingFromSnapshot,
    /// The tags of jobs are not in snapshots.
    TagsMissingFromSnapshot,
    /// Only one other shard is told of rules.
    RuleToldToOneShard,
}

impl Mutant {
    /// Those of one shard alone.
    pub const ALL: [Mutant; 32] = [
        Mutant::TokenUncompared,
        Mutant::RepliesMissingFromSnapshot,
        Mutant::LeaseEndedEarly,
        Mutant::KeyUnchecked,
        Mutant::ExpiredLeased,
        Mutant::SteppedBackMissingFromSnapshot,
        Mutant::UniqueUnchecked,
        Mutant::CrashLoopUnnoticed,
        Mutant::ConcurrencyIgnored,
        Mutant::RateIgnored,
        Mutant::KeyLimitsIgnored,
        Mutant::UniqueKeptByTheDead,
        Mutant::RetryKeepsAttempts,
        Mutant::PurgedEarly,
        Mutant::HoldNeverEnds,
        Mutant::PlanCountsRepeats,
        Mutant::PlanNeverTimesOut,
        Mutant::PlanFailureIgnored,
        Mutant::PlanRetryKeepsCounts,
        Mutant::PlanIdsMissingFromSnapshot,
        Mutant::ScheduleFiresTwice,
        Mutant::MissedRunsForgotten,
        Mutant::ClearTakesLaterJobs,
        Mutant::BulkForgetsCursor,
        Mutant::OlderErrorsForgotten,
        Mutant::WorkerNotedAlways,
        Mutant::HeartbeatCostIgnored,
        Mutant::CostMissingFromSnapshot,
        Mutant::IterationUncounted,
        Mutant::GuardrailIgnored,
        Mutant::AgentKeepsAttempts,
        Mutant::RevivalMissingFromSnapshot,
    ];
    /// Those of budgets and approval policies.
    pub const RULES: [Mutant; 7] = [
        Mutant::GlobalBudgetPerQueue,
        Mutant::CrossingToldTwice,
        Mutant::DayNeverTurns,
        Mutant::RefusedAckForgetsUsage,
        Mutant::SpendingMissingFromSnapshot,
        Mutant::TagsMissingFromSnapshot,
        Mutant::RuleToldToOneShard,
    ];
    /// Those of what ties jobs together.
    pub const TIES: [Mutant; 4] = [
        Mutant::MemberCountedTwice,
        Mutant::DeathSettles,
        Mutant::LetterTakenTwice,
        Mutant::FailureHandledTwice,
    ];
    /// Those of moves between shards.
    pub const MOVES: [Mutant; 5] = [
        Mutant::ArrivesTwice,
        Mutant::StubForgottenEarly,
        Mutant::NotedMoveForgotten,
        Mutant::MemberCountedByBoth,
        Mutant::MoveForgetsAttempts,
    ];
}

thread_local! {
    static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Plants a defect in this thread, or none.
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

pub(crate) fn is_planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}
