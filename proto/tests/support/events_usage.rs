//! An entry body that has every kind of event of usage and agent jobs, in every shape.

use jobbie_proto::event::{Event, Group, ReportedUsage};
use jobbie_proto::usage::{Amounts, UsagePhase};
use jobbie_proto::{JobSeq, SessionId};

use crate::events::body_of;

/// The blob that the events refer to.
pub(crate) const BLOB: &[u8] = b"";

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

/// Every kind of event of usage, in one group.
pub(crate) fn groups() -> Vec<Group> {
    let events = vec![
        reported(UsagePhase::Ack, "a model with a name longer than eight", "lab"),
        reported(UsagePhase::Heartbeat, "", ""),
    ];
    vec![Group { session: SessionId(9), number: 8, confirmed_below: 7, events }]
}

/// The body that holds them.
pub(crate) fn body() -> Vec<u8> {
    body_of(BLOB, &groups())
}
