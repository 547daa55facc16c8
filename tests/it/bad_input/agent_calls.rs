//! Calls of the Rust client for agent jobs, usage, budgets, approval policies and children.

use jobbie_client::{
    AgentLimits, AgentStatus, Amounts, Beat, Budget, EventSeq, IterationEnd, JobRef, JobTag,
    LeaseToken, Micros, NewJob, OnExceed, Policy, PolicyMode, Scope, Usage, UsageGroup,
};

use super::calls::{parse, recorded, run, wrong};
use super::{ELSEWHERE, UNKNOWN};

const NO_SHARD: &str = "the server has no shard 5, it has 1";

#[test]
fn agent_jobs() {
    run(async |scene| {
        let client = &scene.client;
        let job = |limits| NewJob::new("q", b"{}").agent(limits);
        let none = AgentLimits::default();
        let limits = AgentLimits { max_cost_micros: u64::MAX, ..none };
        let expected =
            "INVALID: agents[0].max_cost_micros: 18446744073709551615, at most 1000000000000000";
        wrong(scene, client.enqueue(&job(limits)), expected).await;
        let limits = AgentLimits { iteration_timeout_ms: u64::MAX, ..none };
        let expected =
            "INVALID: agents[0].iteration_timeout_ms: 18446744073709551615, at most 3162240000000";
        wrong(scene, client.enqueue(&job(limits)), expected).await;
        let kinds = [jobbie_client::Expected {
            name: "paid",
            need: jobbie_client::Need::Required,
            count: 1,
            deadline_ms: 0,
        }];
        let planned = job(none).plan(jobbie_client::Plan { deadline_ms: 0, kinds: &kinds });
        let expected = "INVALID: agents[0].enqueue: its job has a plan, and no worker gets a planned job: leave one of them out";
        wrong(scene, client.enqueue(&planned), expected).await;
    });
}

#[test]
fn ends_of_iterations() {
    run(async |scene| {
        let (client, big) = (&scene.client, vec![b'x'; 10 << 20]);
        let text = "x".repeat(10 << 20);
        let of = |job| JobRef { job, token: LeaseToken(0) };
        let goes_on = IterationEnd { status: AgentStatus::Continue, ..IterationEnd::default() };
        for (job, expected) in [
            (scene.pending, format!("NOT_ACTIVE: {} is unchanged", scene.pending)),
            (scene.agent, format!("NOT_ACTIVE: {} is unchanged", scene.agent)),
            (scene.leased, format!("NOT_AGENT: {} is unchanged", scene.leased)),
            (parse(UNKNOWN), format!("NOT_FOUND: {UNKNOWN} is unchanged")),
        ] {
            recorded(scene, client.ack_iteration(of(job), goes_on), &expected).await;
        }
        let leased = of(scene.leased);
        let cases = [
            (
                IterationEnd { checkpoint: &big, ..goes_on },
                "checkpoint of 10485760 bytes, at most 1048576 are possible",
            ),
            (
                IterationEnd { result: &big, ..goes_on },
                "result of 10485760 bytes, at most 1048576 are possible",
            ),
            (
                IterationEnd { reason: &text, ..goes_on },
                "reason of 10485760 bytes, at most 65536 are possible",
            ),
            (
                IterationEnd { reason: &text[..65_537], ..goes_on },
                "TOO_LARGE: agent_acks[0].reason: 65537 bytes, at most 65536",
            ),
        ];
        for (end, expected) in cases {
            wrong(scene, client.ack_iteration(leased, end), expected).await;
        }
        wrong(scene, client.ack_iteration(of(parse(ELSEWHERE)), goes_on), NO_SHARD).await;
    });
}

#[test]
fn reports_of_usage() {
    run(async |scene| {
        let (client, long) = (&scene.client, "x".repeat(10 << 20));
        let leased = JobRef { job: scene.leased, token: LeaseToken(0) };
        let amounts = Amounts { input_tokens: 1, ..Amounts::default() };
        let right = Usage { amounts, model: "m", provider: "p" };
        let (none, most) = (Amounts::default(), u64::MAX);
        let many = "18446744073709551615, at most 1000000000000";
        let cases = [
            (Amounts { input_tokens: most, ..none }, format!("input_tokens: {many}")),
            (Amounts { output_tokens: most, ..none }, format!("output_tokens: {many}")),
            (
                Amounts { cache_creation_tokens: most, ..none },
                format!("cache_creation_tokens: {many}"),
            ),
            (Amounts { cache_read_tokens: most, ..none }, format!("cache_read_tokens: {many}")),
            (Amounts { cost_micros: most, ..none }, format!("cost_micros: {many}")),
        ];
        let mut cases: Vec<_> = cases
            .into_iter()
            .map(|(amounts, said)| (Usage { amounts, ..right }, "INVALID", said))
            .collect();
        cases.push((
            Usage { model: &long[..129], ..right },
            "TOO_LARGE",
            "model: 129 bytes, at most 128".into(),
        ));
        cases.push((
            Usage { provider: &long[..129], ..right },
            "TOO_LARGE",
            "provider: 129 bytes, at most 128".into(),
        ));
        let control = Usage { provider: "a\nb", ..right };
        cases.push((control, "INVALID", "provider: has a control character".into()));
        for (usage, code, said) in cases {
            let beat = Beat { usage, ..Beat::default() };
            let expected = format!("{code}: heartbeat_usages[0].{said}");
            wrong(scene, client.heartbeat(leased, beat), &expected).await;
            let end = IterationEnd { usage, ..IterationEnd::default() };
            let expected = format!("{code}: ack_usages[0].{said}");
            wrong(scene, client.ack_iteration(leased, end), &expected).await;
        }
        for (usage, name) in [
            (Usage { model: &long, ..right }, "model"),
            (Usage { provider: &long, ..right }, "provider"),
        ] {
            let expected = format!("{name} of 10485760 bytes, at most 128 are possible");
            let beat = Beat { usage, ..Beat::default() };
            wrong(scene, client.heartbeat(leased, beat), &expected).await;
        }
        // What a worker without a lease reports is not counted.
        let idle = JobRef { job: scene.pending, token: LeaseToken(0) };
        let beat = Beat { usage: right, ..Beat::default() };
        let expected = format!("NOT_ACTIVE: {} is unchanged", scene.pending);
        recorded(scene, client.heartbeat(idle, beat), &expected).await;

        // Times at which nothing can have been used.
        let now = scene.stats().await;
        for (from, to) in [(u64::MAX, 0), (u64::MAX, u64::MAX), (0, 1), (u64::MAX, 1)] {
            let sums = client.usage(Micros(from), Micros(to), UsageGroup::Model).await;
            assert_eq!(sums, Ok(Vec::new()), "{from} {to}");
        }
        assert_eq!(scene.stats().await, now);
    });
}

#[test]
fn iterations_revisions_and_replays() {
    run(async |scene| {
        let client = &scene.client;
        let (unknown, elsewhere) = (parse(UNKNOWN), parse(ELSEWHERE));
        for (count, text) in [(0, "0"), (101, "101"), (u32::MAX, "4294967295")] {
            let expected = format!("INVALID: iterations.count: {text}, not in 1..=100");
            wrong(scene, client.iterations(scene.agent, EventSeq(0), count), &expected).await;
        }
        wrong(scene, client.iterations(elsewhere, EventSeq(0), 1), NO_SHARD).await;
        for from in [0, 1, 7, u64::MAX] {
            for job in [scene.pending, unknown] {
                assert_eq!(client.iterations(job, EventSeq(from), 9).await, Ok(Vec::new()));
            }
        }
        // Events that are no iterations, or none of this job's.
        for from in [1, u64::MAX] {
            let told = client.iterations(scene.agent, EventSeq(from), 9).await;
            assert_eq!(told, Ok(Vec::new()), "{from}");
        }

        let no_object = "the checkpoint is no JSON object, so feedback cannot be added to it";
        wrong(scene, client.revise(scene.agent, "so", "ann"), no_object).await;
        let not_agent = |job| format!("NOT_AGENT: {job} is unchanged");
        let not_found = format!("NOT_FOUND: {UNKNOWN} is unchanged");
        wrong(scene, client.revise(scene.held, "so", "ann"), &not_agent(scene.held)).await;
        wrong(scene, client.revise(unknown, "so", "ann"), &not_found).await;
        wrong(scene, client.revise(elsewhere, "so", "ann"), NO_SHARD).await;

        for never in [0, 2, u32::MAX] {
            let expected =
                format!("iteration {never}: {} has ended iterations 1 to 1", scene.agent);
            wrong(scene, client.replay(scene.agent, never, &[]), &expected).await;
        }
        let no_object = "the payload is no JSON object, so no keys of it can be set";
        wrong(scene, client.replay(scene.agent, 1, &[("a", "1")]), no_object).await;
        wrong(scene, client.replay(scene.pending, 1, &[]), &not_agent(scene.pending)).await;
        wrong(scene, client.replay(unknown, 1, &[]), &not_found).await;
        wrong(scene, client.replay(elsewhere, 1, &[]), NO_SHARD).await;
    });
}

#[test]
fn parents() {
    run(async |scene| {
        let client = &scene.client;
        let elsewhere = parse(ELSEWHERE);
        let expected = "INVALID: children.parent: of shard 5, and there are 1";
        wrong(scene, client.children(elsewhere), expected).await;
        let child = async || {
            let jobs = [NewJob::new("q", b"x").parent(elsewhere)];
            client.enqueue_tied(&jobs).await.remove(0)
        };
        let expected = "INVALID: parents[0].parent: of shard 5, and there are 1";
        wrong(scene, child(), expected).await;
        assert_eq!(client.children(parse(UNKNOWN)).await, Ok(Vec::new()));
        assert_eq!(client.children(scene.pending).await, Ok(Vec::new()));
    });
}

#[test]
fn budgets() {
    run(async |scene| {
        let (client, long) = (&scene.client, "x".repeat(10 << 20));
        let tag =
            |key: &str, value: &str| Scope::Tag(JobTag { key: key.into(), value: value.into() });
        let of =
            |scope, daily, per_job| Budget { scope, daily, per_job, on_exceed: OnExceed::Hold };
        let billion = "at most 1000000000000000";
        let cases = [
            (
                of(Scope::Global, None, None),
                "INVALID: rule_controls[0].daily and rule_controls[0].per_job: a budget has one limit at least".into(),
            ),
            (
                of(Scope::Global, Some(u64::MAX), None),
                format!("INVALID: rule_controls[0].daily: 18446744073709551615, {billion}"),
            ),
            (
                of(Scope::Global, None, Some(u64::MAX)),
                format!("INVALID: rule_controls[0].per_job: 18446744073709551615, {billion}"),
            ),
            (
                of(Scope::Queue(String::new()), Some(1), None),
                "INVALID: rule_controls[0].queue: empty, at least 1 byte".into(),
            ),
            (
                of(Scope::Queue("a\nb".into()), Some(1), None),
                "INVALID: rule_controls[0].queue: has a control character".into(),
            ),
            (
                of(Scope::Queue(long.clone()), Some(1), None),
                "queue of 10485760 bytes, at most 255 are possible".into(),
            ),
            (
                of(tag("", "x"), Some(1), None),
                "INVALID: rule_controls[0].tag.key: empty, at least 1 byte".into(),
            ),
            (
                of(tag(&long[..256], "x"), Some(1), None),
                "TOO_LARGE: rule_controls[0].tag.key: 256 bytes, at most 255".into(),
            ),
            (
                of(tag("a", &long), Some(1), None),
                "tag value of 10485760 bytes, at most 255 are possible".into(),
            ),
            (
                of(tag(&long, "a"), Some(1), None),
                "tag key of 10485760 bytes, at most 255 are possible".into(),
            ),
        ];
        for (budget, expected) in cases {
            wrong(scene, client.set_budget(&budget), &expected).await;
        }
        let expected = "INVALID: rule_controls[0].queue: empty, at least 1 byte";
        wrong(scene, client.delete_budget(&Scope::Queue(String::new())), expected).await;
        let expected = "TOO_LARGE: rule_controls[0].tag.value: 256 bytes, at most 255";
        wrong(scene, client.delete_budget(&tag("a", &long[..256])), expected).await;
    });
}

#[test]
fn policies() {
    run(async |scene| {
        let (client, long) = (&scene.client, "x".repeat(10 << 20));
        let right = Policy {
            name: "n".into(),
            mode: PolicyMode::Any,
            enabled: true,
            queue: None,
            tag: None,
        };
        let tag = |key: &str, value: &str| Some(JobTag { key: key.into(), value: value.into() });
        let cases = [
            (
                Policy { name: String::new(), ..right.clone() },
                "INVALID: rule_controls[0].name: empty, at least 1 byte",
            ),
            (
                Policy { name: "a\tb".into(), ..right.clone() },
                "INVALID: rule_controls[0].name: has a control character",
            ),
            (
                Policy { name: long[..256].into(), ..right.clone() },
                "TOO_LARGE: rule_controls[0].name: 256 bytes, at most 255",
            ),
            (
                Policy { name: long.clone(), ..right.clone() },
                "policy name of 10485760 bytes, at most 255 are possible",
            ),
            (
                Policy { queue: Some(String::new()), ..right.clone() },
                "INVALID: rule_controls[0].queue: empty, at least 1 byte",
            ),
            (
                Policy { tag: tag("", ""), ..right.clone() },
                "INVALID: rule_controls[0].tag.key: empty, at least 1 byte",
            ),
            (
                Policy { tag: tag("a", &long[..256]), ..right.clone() },
                "TOO_LARGE: rule_controls[0].tag.value: 256 bytes, at most 255",
            ),
        ];
        for (policy, expected) in cases {
            wrong(scene, client.add_policy(&policy), expected).await;
        }
        for unknown in [0, 1, u64::MAX] {
            let known = client.delete_policy(EventSeq(unknown)).await;
            assert_eq!(known, Ok(false), "{unknown}");
        }
    });
}
