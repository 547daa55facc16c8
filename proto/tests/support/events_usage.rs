//! An entry body that has every kind of event of usage and agent jobs, in every shape.

use jobbie_proto::agent::{AgentLimits, AgentStatus};
use jobbie_proto::event::{
    Asked, Blob, EnqueuedAgent, Event, Group, Iteration, Late, Replayed, ReportedUsage, RevisedJob,
};
use jobbie_proto::usage::{Amounts, UsagePhase};
use jobbie_proto::{Code, EventSeq, JobId, JobSeq, LeaseToken, SessionId, ShardId};

use crate::events::{body_of, part};

/// The blob that the events refer to.
pub(crate) const BLOB: &[u8] = br#"{"a":1}resultreasonann"#;

fn reported(phase: UsagePhase, model: &str, provider: &str) -> Event {
    let amounts = Amounts {
        input_tokens: 0x0101_0203_0405_0607,
        output_tokens: 0x1111_1213_1415_1617,
        cache_creation_tokens: 0x2121_2223_2425_2627,
        cache_read_tokens: 0x3131_3233_3435_3637,
        cost_micros: 12_300,
    };
    let (model, provider) = (model.to_owned(), provider.to_owned());
    let (job, attempt) = (JobSeq(5), 3);
    Event::UsageReported(Box::new(ReportedUsage { job, attempt, phase, amounts, model, provider }))
}

fn enqueued(replayed: Option<Replayed>, checkpoint: Blob) -> Event {
    let limits = AgentLimits {
        max_iterations: 0x4142_4344,
        max_cost_micros: 0x5152_5354_5556_5758,
        iteration_timeout_ms: 0x6162_6364_6566_6768,
    };
    Event::AgentEnqueued(Box::new(EnqueuedAgent { job: JobSeq(5), limits, checkpoint, replayed }))
}

fn iterated(status: AgentStatus, next: u32) -> Event {
    Event::Iterated(Box::new(Iteration {
        job: JobSeq(5),
        number: 3,
        next,
        attempt: 4,
        status,
        checkpoint: part(BLOB, "{\"a\":1}"),
        kept: EventSeq(77),
        result: part(BLOB, "result"),
        reason: part(BLOB, "reason"),
        amounts: Amounts { input_tokens: 9, cost_micros: 12_300, ..Amounts::default() },
        model: "large".into(),
        provider: "a provider with a name longer than eight".into(),
        previous: EventSeq(66),
    }))
}

/// Every kind of event of usage and of agent jobs, in one group.
pub(crate) fn groups() -> Vec<Group> {
    let events = vec![
        reported(UsagePhase::Ack, "a model with a name longer than eight", "lab"),
        reported(UsagePhase::Heartbeat, "", ""),
        enqueued(None, Blob::default()),
        enqueued(
            Some(Replayed { job: JobId::new(1, ShardId(2), JobSeq(3)), iteration: 6 }),
            part(BLOB, "{\"a\":1}"),
        ),
        iterated(AgentStatus::Done, 3),
        iterated(AgentStatus::Continue, 4),
        iterated(AgentStatus::Hold, 4),
        Event::Revised(Box::new(RevisedJob {
            job: JobSeq(5),
            checkpoint: part(BLOB, "{\"a\":1}"),
            feedback: part(BLOB, "reason"),
            by: part(BLOB, "ann"),
        })),
        Event::Refused { job: JobSeq(5), asked: Asked::Revise, code: Code::NotAgent },
        Event::Ignored {
            job: JobSeq(5),
            token: LeaseToken(4),
            late: Late::Ack,
            code: Code::NotAgent,
        },
    ];
    vec![Group { session: SessionId(9), number: 8, confirmed_below: 7, events }]
}

/// The body that holds them.
pub(crate) fn body() -> Vec<u8> {
    body_of(BLOB, &groups())
}
