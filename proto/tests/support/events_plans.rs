//! An entry body that has every kind of event of planned jobs, in every shape.

use jobbie_proto::event::{AppendedEvent, Blob, Event, ExpectedKind, Group, PlannedJob};
use jobbie_proto::plan::{Effect, Need};
use jobbie_proto::{EventSeq, JobSeq, SessionId};

use crate::events::{body_of, part};

/// The blob that the events refer to.
pub(crate) const BLOB: &[u8] = b"evt-1paid{4}webhook00-abcplan failed: refunded";

fn planned() -> Event {
    let kind = |name: &str, need, count, deadline_ms| ExpectedKind {
        name: name.into(),
        need,
        count,
        deadline_ms,
    };
    let kinds = vec![
        kind("paid", Need::Required, 1, 86_400_000),
        kind("a kind with a name longer than eight", Need::Required, u16::MAX, 0),
        kind("rated", Need::Optional, 2, 0),
        kind("refunded", Need::Failure, 1, 0),
    ];
    Event::Planned(Box::new(PlannedJob { job: JobSeq(5), deadline_ms: 604_800_000, kinds }))
}

fn appended(effect: Effect) -> Event {
    let blob = |text: &str| part(BLOB, text);
    let some = |text| if effect.is_recorded() { blob(text) } else { Blob::default() };
    let is_expected =
        matches!(effect, Effect::Counted | Effect::Completed | Effect::Failed | Effect::Surplus);
    let failed = effect == Effect::Failed;
    Event::Appended(Box::new(AppendedEvent {
        job: JobSeq(5),
        id_hash: 0x5152_5354_5556_5758_595a_5b5c_5d5e_5f50,
        nth: is_expected.then_some(3),
        effect,
        id: blob("evt-1"),
        kind: some("paid"),
        data: some("{4}"),
        source: some("webhook"),
        trace: some("00-abc"),
        error: if failed { blob("plan failed: refunded") } else { Blob::default() },
        previous: EventSeq(40),
    }))
}

/// Every kind of event of planned jobs, in two groups.
pub(crate) fn groups() -> Vec<Group> {
    let mut asked = vec![planned()];
    asked.extend(Effect::ALL.iter().map(|effect| appended(*effect)));
    let group = |session, number, confirmed_below, events| Group {
        session: SessionId(session),
        number,
        confirmed_below,
        events,
    };
    let timed_out = Event::PlanTimedOut { jobs: vec![JobSeq(5), JobSeq(9)] };
    vec![group(9, 8, 7, asked), group(0, 0, 0, vec![timed_out])]
}

/// The body that holds them.
pub(crate) fn body() -> Vec<u8> {
    body_of(BLOB, &groups())
}
