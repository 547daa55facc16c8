//! An entry body that has every fact about budgets and approval policies, in every shape.

use jobbie_proto::event::{Event, Excess, Group, OverrunAt, Parcel, Rule, TaggedJob, Tie};
use jobbie_proto::rules::{Budget, JobTag, OnExceed, Policy, PolicyMode, Scope};
use jobbie_proto::{Code, EventSeq, JobSeq, Micros, SessionId, ShardId};

use crate::events::body_of;

/// A blob: none of the events refers to it.
pub(crate) const BLOB: &[u8] = b"nothing refers to this";

const CREATED: Micros = Micros(1_795_000_000_123_456);

fn tag() -> JobTag {
    JobTag { key: "team".into(), value: "a value longer than eight bytes".into() }
}

fn queue() -> Scope {
    Scope::Queue("a queue name longer than eight bytes".into())
}

fn set(id: u64, scope: Scope, limits: [Option<u64>; 2], on_exceed: OnExceed) -> Rule {
    let [daily, per_job] = limits;
    let budget = Budget { scope, daily, per_job, on_exceed };
    Rule::BudgetSet { id: EventSeq(id), created: CREATED, budget }
}

fn added(id: u64, mode: PolicyMode, enabled: bool, queue: bool, tagged: bool) -> Rule {
    let queue = queue.then(|| "q".to_owned());
    let (name, tag) = ("a policy of some name".to_owned(), tagged.then(tag));
    let policy = Policy { name, mode, enabled, queue, tag };
    Rule::PolicyAdded { id: EventSeq(id), created: CREATED, policy }
}

fn exceeded(scope: Scope, excess: Excess, on_exceed: OnExceed, held: Option<JobSeq>) -> Rule {
    let (budget, day, spent, limit) = (EventSeq(70), 20_775, 12_300_001, 12_300_000);
    let reason = String::new();
    Rule::Exceeded { scope, budget, excess, day, spent, limit, on_exceed, held, reason }.explained()
}

fn overrun(at: OverrunAt, scope: Scope, on_exceed: OnExceed) -> Rule {
    let (spent, limit, reason) = (0x0102_0304_0506, 500_000, String::new());
    Rule::Overrun { job: JobSeq(5), at, scope, spent, limit, on_exceed, reason }.explained()
}

/// All of it, in two groups.
pub(crate) fn groups() -> Vec<Group> {
    let told = [
        set(0, Scope::Tag(tag()), [Some(0), Some(600_000)], OnExceed::Reject),
        set(0, Scope::Global, [Some(12_300_000), None], OnExceed::AlertOnly),
        set(70, queue(), [Some(12_300_000), Some(500_000)], OnExceed::Hold),
        set(0, Scope::Tag(tag()), [None, Some(700_000)], OnExceed::AlertOnly),
        Rule::BudgetDeleted { scope: queue() },
        Rule::BudgetDeleted { scope: Scope::Tag(tag()) },
        added(0, PolicyMode::Any, true, true, true),
        added(71, PolicyMode::All, false, false, true),
        Rule::PolicyDeleted { id: EventSeq(71), code: Code::Ok },
        Rule::PolicyDeleted { id: EventSeq(72), code: Code::NotFound },
        added(0, PolicyMode::Any, true, false, false),
    ];
    let jobs = vec![
        TaggedJob { job: JobSeq(5), rules: vec![EventSeq(70), EventSeq(71)] },
        TaggedJob { job: JobSeq(6), rules: vec![EventSeq(70)] },
    ];
    let seen = [
        Rule::Tagged { jobs },
        Rule::Spent { of: ShardId(3), budget: EventSeq(70), day: 20_775, micros: 12_300 },
        exceeded(Scope::Global, Excess::Daily, OnExceed::Reject, None),
        exceeded(queue(), Excess::Mean, OnExceed::Hold, Some(JobSeq(5))),
        exceeded(Scope::Tag(tag()), Excess::Daily, OnExceed::AlertOnly, None),
        Rule::DayTurned { day: 20_776 },
        overrun(OverrunAt::Ack, queue(), OnExceed::Reject),
        overrun(OverrunAt::Heartbeat, Scope::Tag(tag()), OnExceed::Hold),
        overrun(OverrunAt::Heartbeat, Scope::Global, OnExceed::AlertOnly),
    ];
    let parcels = vec![
        Parcel::Rule { event: EventSeq(70) },
        Parcel::Spent { budget: EventSeq(70), day: 20_775, micros: 12_300 },
    ];
    let sent = Tie::Sent { to: ShardId(4), first: 9, parcels };
    let seen = seen.into_iter().map(Event::from).chain([sent.into()]).collect();
    let told = told.into_iter().map(Event::from).collect();
    vec![
        Group { session: SessionId(9), number: 8, confirmed_below: 7, events: told },
        Group { events: seen, ..Group::default() },
    ]
}

/// The body that holds them.
pub(crate) fn body() -> Vec<u8> {
    body_of(BLOB, &groups())
}
