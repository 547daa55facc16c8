use super::*;
use crate::state::State;
use jobbie_proto::ShardId;
use jobbie_proto::event::BackoffKind;

fn chunks(state: &State) -> Vec<Vec<u8>> {
    state.snapshot().collect()
}

#[test]
fn every_missing_cut_or_foreign_chunk_is_refused() {
    let whole = chunks(&State::new(ShardId(1), 4));
    assert_eq!(State::restore(&whole).map(|s| s.shard()), Ok(ShardId(1)));
    assert_eq!(State::restore(&whole[..1]).err(), Some(RestoreError::Incomplete(1)));
    assert!(State::restore(&whole[1..]).is_err());
    let none: [Vec<u8>; 0] = [];
    assert_eq!(State::restore(none).err(), Some(RestoreError::Incomplete(0)));
    for cut in 0..whole[0].len() {
        assert!(State::restore([&whole[0][..cut], &whole[1]]).is_err(), "cut at {cut}");
    }
    let mut newer = whole.clone();
    let at = newer[0].len() - 2;
    newer[0][at] = 3;
    assert_eq!(State::restore(newer).err(), Some(RestoreError::Version(3)));
}

/// Jobs 1 and 2, of which 2 stepped back into its queue by event 3, and job 2^49.
struct Parts {
    header: Header,
    jobs: JobsPart,
    waiting: Vec<WaitingRow>,
}

impl Parts {
    fn new() -> Self {
        let header = Header {
            shard: 0,
            shards: 1,
            time: 9_000,
            next_event: 8,
            next_job: 1 << 49 | 1,
            digest: 5,
        };
        let run = |first, count, event| JobRun { first, count, event, created_ms: 9, class: 0 };
        let tracked = TrackedRow {
            job: 2,
            state: JobState::Pending,
            mark: 3,
            due: 0,
            attempt: 1,
            lease_ms: 0,
            session: 0,
            lease_expiries: 0,
            checkpoint: EventSeq(0),
            progress: EventSeq(0),
            error: EventSeq(0),
            hold: EventSeq(0),
            placed: EventSeq(0),
            class: OWN_CLASS,
            then: HoldEnd::Stay,
        };
        let runs = vec![run(1, 2, 1), run(1 << 49, 1, 7)];
        let jobs =
            JobsPart { runs, sleepers: Vec::new(), tracked: vec![tracked], ..JobsPart::default() };
        let row = |first, count| WaitingRow { queue: 0, tier: 1, first, count };
        Self { header, jobs, waiting: vec![row(1, 1), row(1 << 49, 1), row(2, 0)] }
    }

    fn restore(&self) -> Result<State, RestoreError> {
        let queue = QueueRow {
            name: "q".into(),
            paused: false,
            completed: 0,
            enqueued_total: 3,
            draining: false,
            settings: jobbie_proto::event::QueueSettings::default(),
            weights: Vec::new(),
            lanes: None,
            deleted_below: 0,
            hidden: false,
        };
        let class = Class {
            queue: "q".into(),
            priority: 1,
            max_retries: 0,
            backoff: BackoffKind::None,
            backoff_base_ms: 0,
            backoff_cap_ms: 0,
            expire_after_ms: 0,
        };
        let parts = [
            Part::Header(self.header),
            Part::Queues(vec![queue]),
            Part::Classes(vec![ClassRow { class, limit_key: String::new() }]),
            Part::Jobs(self.jobs.clone()),
            Part::Waiting(self.waiting.clone()),
            Part::End,
        ];
        State::restore(parts.iter().map(write::encode))
    }
}

#[test]
fn jobs_any_distance_apart_are_restored() {
    let state = Parts::new().restore().expect("it is sound");
    state.check();
    assert_eq!(State::restore(chunks(&state)).map(|again| chunks(&again)), Ok(chunks(&state)));
}

#[test]
fn contradictions_are_refused() {
    let refused = |change: fn(&mut Parts)| {
        let mut parts = Parts::new();
        change(&mut parts);
        match parts.restore().err() {
            Some(RestoreError::Contradiction { message, .. }) => message,
            other => panic!("not refused: {other:?}"),
        }
    };
    let ahead = "a job is ahead of its event";
    assert_eq!(refused(|parts| parts.jobs.tracked[0].mark = 0), ahead);
    assert_eq!(refused(|parts| parts.jobs.tracked[0].mark = 8), ahead);
    assert_eq!(refused(|parts| parts.jobs.tracked[0].mark = 1 << 61), ahead);
    assert_eq!(refused(|parts| parts.jobs.runs[1].event = 8), ahead);
    assert_eq!(refused(|parts| parts.waiting[0].count = u64::MAX), "a job waits twice");
    assert_eq!(refused(|parts| parts.waiting[2].first = 1), "a job without a struct stepped back");
    assert_eq!(refused(|parts| parts.waiting.truncate(2)), "a pending job waits nowhere");
    assert_eq!(refused(|parts| parts.waiting[0].tier = 2), "a job waits in another queue");
    assert_eq!(refused(|parts| parts.jobs.runs[1].first = 2), "jobs out of order");
}

/// docs/format.md gives these.
#[test]
fn rows_have_the_documented_sizes() {
    macro_rules! sizes { ($($row:ty),*) => { [$(size_of::<rkyv::Archived<$row>>()),*] } }
    let rows = sizes!(Header, QueueRow, SessionRow, ReplyRow, JobRun, SleeperRow, TrackedRow);
    assert_eq!(rows, [36, 109, 32, 147, 36, 16, 88]);
    assert_eq!(sizes!(JobsPart, WaitingRow, KeyRow, Part), [128, 21, 48, 129]);
    assert_eq!(sizes!(KinRow, kin::AwayRow), [130, 70]);
    assert_eq!(sizes!(CostRow, UsageRow, AgentRow, RevivedRow), [16, 77, 49, 16]);
    assert_eq!(sizes!(RuleRow, rules::CrossingRow, jobbie_proto::reply::RuleDone), [118, 21, 9]);
    assert_eq!(sizes!(PlanRow, plans::PlanKindRow), [57, 29]);
    assert_eq!(sizes!(UniqueRow, PayloadRow, ChargeRow), [32, 16, 24]);
    assert_eq!(sizes!(DefinitionRow, ScheduleRow), [16, 136]);
    let lanes = sizes!(WeightRow, ClockRow, ClassRow, LaneRow, ClaimRow, LaneWaitingRow);
    assert_eq!(lanes, [10, 40, 38, 56, 16, 21]);
    assert_eq!(sizes!(OperationRow, Task), [150, 64]);
    use jobbie_proto::reply::{Enqueued, Failed, Lease, ScheduleDone};
    assert_eq!(sizes!(Enqueued, Failed, ScheduleDone, Lease, Reply), [21, 13, 25, 72, 131]);
    assert_eq!(sizes!(jobbie_proto::event::SetSchedule), [103]);
    let tied = sizes!(MemberRow, LinkRow, BlockedRow, ties::TieRow, ties::BatchRow, ties::StepRow);
    assert_eq!(tied, [24, 25, 28, 55, 54, 52]);
    assert_eq!(sizes!(jobbie_proto::reply::Appended), [11]);
    use jobbie_proto::event::{WorkerAsks, WorkerKey};
    assert_eq!(sizes!(ErrorLinkRow, WorkerRow, WorkerKey, WorkerAsks), [24, 52, 16, 20]);
    assert_eq!(sizes!(jobbie_proto::event::SeenWorker), [37]);
}
