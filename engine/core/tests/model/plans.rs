//! Plans and events of the histories.

use jobbie_proto::JobId;
use jobbie_proto::plan::Need;
use jobbie_proto::request::{Append, EnqueuePlan, Expected};

const IDS: [&[u8]; 9] = [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8"];
const KINDS: [&str; 5] = ["a", "b", "f", "o", "x"];

fn kind(name: &'static str, need: Need, count: u16, deadline_ms: u64) -> Expected<'static> {
    Expected { name, need, count, deadline_ms }
}

/// One of four.
pub(crate) fn plan(enqueue: u32, which: u8) -> EnqueuePlan<'static> {
    use Need::{Failure, Optional, Required};
    let (deadline_ms, kinds) = match which {
        0 => (0, vec![kind("a", Required, 1, 0), kind("b", Required, 2, 0)]),
        1 => (
            900,
            vec![kind("b", Required, 2, 0), kind("f", Failure, 1, 0), kind("o", Optional, 1, 0)],
        ),
        2 => (
            0,
            vec![
                kind("a", Required, 2, 500),
                kind("b", Required, 1, 1500),
                kind("f", Failure, 2, 0),
            ],
        ),
        _ => (2000, vec![kind("a", Required, 3, 0), kind("f", Failure, 1, 0)]),
    };
    EnqueuePlan { enqueue, deadline_ms, kinds }
}

pub(crate) fn append(job: JobId, kind: usize, id: u8) -> Append<'static> {
    let (id, kind) = (IDS[usize::from(id)], KINDS[kind]);
    Append { job, id, kind, data: b"data", source: "test", trace: "" }
}
