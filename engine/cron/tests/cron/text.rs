//! What a schedule says of itself.

use proptest::prelude::*;

use jobbie_cron::Schedule;

use crate::meaning;
use crate::schedule;

#[test]
fn one_meaning_has_one_display() {
    for (expression, zone, expected) in [
        ("@hourly", "", "0 * * * * UTC"),
        ("@Daily", "utc", "0 0 * * * UTC"),
        ("@midnight", "europe/berlin", "0 0 * * * Europe/Berlin"),
        ("@weekly", "", "0 0 * * 0 UTC"),
        ("@monthly", "", "0 0 1 * * UTC"),
        ("@yearly", "", "0 0 1 1 * UTC"),
        ("@annually", "", "0 0 1 1 * UTC"),
        (" 00\t0-23   */1 JAN-dec sun-SAT ", "", "0 * * * 0-6 UTC"),
        ("0-59/15 */24 * * 7", "", "*/15 0 * * 0 UTC"),
        ("*/60 9,11,10 * mar,feb 5-7", "", "0 9-11 * 2,3 0,5,6 UTC"),
        ("5,4 1-23/2 1-31/10,2 * *", "", "4,5 1,3,5,7,9,11,13,15,17,19,21,23 1,2,11,21,31 * * UTC"),
        // Stars of day fields are more than their values.
        ("0 0 1-31 * mon", "", "0 0 1-31 * 1 UTC"),
        ("0 0 */2 * mon", "", "0 0 */2 * 1 UTC"),
        ("0 0 */10,5 * mon", "", "0 0 */10,5 * 1 UTC"),
        ("0 0 13 * */7", "", "0 0 13 * */7 UTC"),
        ("0 0 13 * */7,fri", "", "0 0 13 * */5 UTC"),
    ] {
        let schedule = schedule(expression, zone);
        assert_eq!(schedule.to_string(), expected);
        assert_eq!(schedule.expression(), expression);
    }
}

#[test]
fn equal_is_what_is_written_the_same_for_the_same_zone() {
    let daily = schedule("@daily", "");
    assert_eq!(daily, daily.clone());
    assert_eq!(daily, schedule("@daily", "utc"));
    assert_eq!((daily.expression(), daily.zone()), ("@daily", "UTC"));
    assert_ne!(daily, schedule("0 0 * * *", ""));
    assert_ne!(daily, schedule("@daily", "Europe/Berlin"));
}

proptest! {
    #[test]
    fn a_display_reads_as_itself(expression in meaning::expression()) {
        let first = schedule(&expression.to_string(), "");
        let shown = first.to_string();
        let again = schedule(shown.strip_suffix(" UTC").expect("the zone"), "");
        prop_assert_eq!(again.to_string(), shown);
        let mut time = jobbie_proto::Micros(0);
        for _ in 0..20 {
            prop_assert_eq!(first.next_after(time), again.next_after(time));
            let Some(next) = first.next_after(time) else { break };
            time = next;
        }
    }

    #[test]
    fn no_text_is_too_strange_to_answer(text in "\\PC{0,60}", zone in "\\PC{0,70}") {
        let _ = Schedule::parse(&text, &zone);
    }

    #[test]
    fn no_near_miss_is_too_strange_to_answer(text in "[-0-9*/, a-z@]{0,40}( [-0-9*/,a-z]{1,8}){0,5}") {
        if let Ok(schedule) = Schedule::parse(&text, "America/New_York") {
            let next = schedule.next_after(jobbie_proto::Micros(1_800_000_000_000_000));
            prop_assert!(next.is_some(), "{}", schedule);
        }
    }
}
