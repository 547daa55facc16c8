use super::*;
use jobbie_proto::{JobSeq, Micros};

fn report(model: &str, cost_micros: u64) -> ReportedUsage {
    ReportedUsage {
        job: JobSeq(1),
        attempt: 1,
        phase: UsagePhase::Ack,
        amounts: Amounts { cost_micros, ..Amounts::default() },
        model: model.into(),
        provider: "p".into(),
    }
}

fn told(usage: &Usage, now: u64, by: UsageGroup) -> Vec<(String, u64, u64)> {
    let sums = usage.sums(now, &UsageQuery { by, ..UsageQuery::default() });
    sums.into_iter().map(|sum| (sum.name, sum.reports, sum.amounts.cost_micros)).collect()
}

fn row(name: &str, reports: u64, cost: u64) -> (String, u64, u64) {
    (name.to_owned(), reports, cost)
}

#[test]
fn too_many_models_and_queues_are_summed_up_together() {
    let mut usage = Usage { sums_max: 2, ..Usage::new() };
    let (a, b, c): (Rc<str>, Rc<str>, Rc<str>) = ("a".into(), "b".into(), "c".into());
    for (queue, model) in [(&a, "m1"), (&a, "m2"), (&a, "m3"), (&a, "m1"), (&b, "m4")] {
        usage.take(0, queue, &report(model, 1));
    }
    let models = [row("m1", 2, 2), row("m2", 1, 1), row("other", 2, 2)];
    assert_eq!(told(&usage, 0, UsageGroup::Model), models);
    assert_eq!(told(&usage, 0, UsageGroup::Queue), [row("a", 4, 4), row("b", 1, 1)]);
    // There is no room for another queue either, but those that are known go on.
    for queue in [&c, &a, &b] {
        usage.take(0, queue, &report("m5", 1));
    }
    let queues = [row("a", 5, 5), row("b", 2, 2), row("other", 1, 1)];
    assert_eq!(told(&usage, 0, UsageGroup::Queue), queues);
    assert_eq!(told(&usage, 0, UsageGroup::All), [row("", 8, 8)]);
    usage.check(0, |job| job == 1);
}

#[test]
fn sums_are_forgotten_after_35_days_and_make_room() {
    let mut usage = Usage { sums_max: 2, ..Usage::new() };
    let queue: Rc<str> = "q".into();
    usage.take(HOUR_US - 1, &queue, &report("old", 1));
    usage.take(HOUR_US, &queue, &report("new", 2));
    let days = 35 * DAY_US;
    assert_eq!(told(&usage, days - 1, UsageGroup::All), [row("", 2, 3)]);
    assert_eq!(told(&usage, days, UsageGroup::All), [row("", 1, 2)]);
    usage.take(days, &queue, &report("newest", 4));
    let models = [row("new", 1, 2), row("newest", 1, 4)];
    assert_eq!(told(&usage, days, UsageGroup::Model), models);
}

#[test]
fn what_a_queue_spent_begins_anew_each_day() {
    let mut usage = Usage::new();
    let queue: Rc<str> = "q".into();
    usage.take(DAY_US - 1, &queue, &report("m", 5));
    let cost = usage.of_queue("q");
    assert_eq!((cost.spent_on(0), cost.spent_on(1)), (5, 0));
    usage.take(DAY_US, &queue, &report("m", 7));
    let cost = usage.of_queue("q");
    assert_eq!((cost.spent_on(1), cost.acks, cost.ack_micros), (7, 2, 12));
    assert_eq!(usage.of_queue("").spent_on(1), 7);
}

#[test]
fn a_period_has_the_hours_that_it_touches() {
    let mut usage = Usage::new();
    let queue: Rc<str> = "q".into();
    (0..4).for_each(|hour| usage.take(hour * HOUR_US, &queue, &report("m", 1 << hour)));
    let cost = |from, to| {
        let query = UsageQuery { from: Micros(from), to: Micros(to), ..UsageQuery::default() };
        usage.sums(4 * HOUR_US, &query).first().map_or(0, |sum| sum.amounts.cost_micros)
    };
    assert_eq!(cost(0, 0), 15);
    assert_eq!(cost(2 * HOUR_US - 1, 0), 14);
    assert_eq!(cost(2 * HOUR_US, 3 * HOUR_US - 1), 4);
    assert_eq!(cost(2 * HOUR_US, 3 * HOUR_US), 12);
}
