//! What is not done, and that nothing changes by it.

use super::*;
use jobbie_proto::limits::{SCHEDULE_CONTROLS_MAX, SCHEDULE_TIMES_MAX};

fn refused_set(shard: &mut Shard, name: &str, definition: Definition<'_>) -> (Code, String) {
    let action = ScheduleAction::Set(definition);
    let schedule_controls = vec![ScheduleControl { queue: "q", name, action }];
    let request = Request { schedule_controls, ..shard.request() };
    let before = shard.state.digest();
    let refused = shard.refused(&request);
    assert_eq!(shard.state.digest(), before);
    assert_eq!(shard.state.schedule("q", name), None);
    refused
}

#[test]
fn expressions_zones_and_names_are_refused_with_the_field_and_the_reason() {
    let mut shard = shard_at(SPRING);
    let cases: [(&'static str, &'static str, Code, &str); 9] = [
        ("61 * * * *", "", Code::Invalid, "expression: minute: \"61\" is not in 0-59"),
        ("* * * *", "", Code::Invalid, "expression: expression has 4 fields, must have 5"),
        ("* * * foo *", "", Code::Invalid, "expression: month: \"foo\" is not in"),
        ("0 0 30 2 *", "", Code::Invalid, "never fires: none of its months has such a day"),
        ("*/0 * * * *", "", Code::Invalid, "expression: minute: step \"0\" is not in 1-60"),
        ("@often", "", Code::Invalid, "expression: nickname \"@often\" is unknown"),
        ("", "", Code::Invalid, "expression: expression has 0 fields"),
        ("* * * * *", "Europe/Berlln", Code::Invalid, "zone: time zone \"Europe/Berlln\""),
        ("* * * * \u{e9}", "", Code::Invalid, "character '\u{e9}' at byte 8"),
    ];
    for (expression, zone, code, text) in cases {
        let (found, message) = refused_set(&mut shard, "often", definition(expression, zone));
        let says = message.starts_with("schedule_controls[0].") && message.contains(text);
        assert!(found == code && says, "{expression:?} {zone:?}: {found:?} {message}");
    }
    let long = "x".repeat(10 << 20);
    let (code, message) = refused_set(&mut shard, &long, definition("@daily", ""));
    assert_eq!(code, Code::TooLarge);
    assert_eq!(message, "schedule_controls[0].name: 10485760 bytes, at most 255");
    let (code, message) =
        refused_set(&mut shard, "a", Definition { zone: &long, ..definition("@daily", "") });
    assert_eq!((code, message.contains("zone: time zone has 10485760")), (Code::TooLarge, true));
    let (code, message) =
        refused_set(&mut shard, "a", Definition { expression: &long, ..definition("", "") });
    assert_eq!((code, message.contains("expression has 10485760")), (Code::TooLarge, true));
    for (name, text) in [("", "name: empty"), ("a\nb", "name: has a control character")] {
        let (code, message) = refused_set(&mut shard, name, definition("@daily", ""));
        assert_eq!((code, message.contains(text)), (Code::Invalid, true), "{message}");
    }
    let payload = vec![0; (256 << 10) + 1];
    let large = Definition { payload: &payload, ..definition("@daily", "") };
    assert_eq!(refused_set(&mut shard, "a", large).0, Code::TooLarge);
    let tier = Definition { priority: 3, ..definition("@daily", "") };
    assert_eq!(refused_set(&mut shard, "a", tier).0, Code::Invalid);
    // Eight years without such a day are no reason.
    shard.set("leap", definition("0 0 29 2 *", ""));
}

#[test]
fn what_is_not_there_is_not_found_and_none_of_the_request_is_done() {
    let mut shard = shard_at(SPRING);
    shard.set("often", definition("* * * * *", ""));
    let pause = |name| ScheduleControl { queue: "q", name, action: ScheduleAction::Pause };
    for action in
        [ScheduleAction::Pause, ScheduleAction::Resume, ScheduleAction::Run, ScheduleAction::Delete]
    {
        let missing = ScheduleControl { queue: "q", name: "never", action };
        let schedule_controls = vec![pause("often"), missing];
        let request = Request { schedule_controls, ..shard.request() };
        let (code, message) = shard.refused(&request);
        assert_eq!(code, Code::NotFound);
        assert_eq!(message, "schedule_controls[1].name: queue q has no schedule never");
    }
    assert!(!shard.schedule("often").paused);
}

#[test]
fn controls_stand_alone_name_each_schedule_once_and_are_bounded() {
    let mut shard = shard_at(SPRING);
    shard.set("often", definition("* * * * *", ""));
    let run = ScheduleControl { queue: "q", name: "often", action: ScheduleAction::Run };
    let refused = |shard: &mut Shard, request: Request<'_>| {
        let (session, number) = (shard.session, shard.request().number);
        shard.refused(&Request { session, number, ..request })
    };
    let twice = Request { schedule_controls: vec![run, run], ..Request::default() };
    let (code, message) = refused(&mut shard, twice);
    let expected = "schedule_controls[1].name: named in schedule_controls[0] too";
    assert_eq!((code, &*message), (Code::Invalid, expected));
    let schedule_controls = vec![run];
    let both = Request { schedule_controls, enqueues: vec![enqueue("q")], ..Request::default() };
    let (code, message) = refused(&mut shard, both);
    assert!(code == Code::Invalid && message.contains("in one request with enqueues"), "{message}");
    let many =
        Request { schedule_controls: vec![run; SCHEDULE_CONTROLS_MAX + 1], ..Request::default() };
    assert_eq!(refused(&mut shard, many).0, Code::TooLarge);
    let schedules = Schedules::One { queue: "q", name: "often", times: SCHEDULE_TIMES_MAX + 1 };
    let (code, message) = refused(&mut shard, Request { schedules, ..Request::default() });
    assert_eq!((code, &*message), (Code::Invalid, "schedules.times: 101, at most 100"));
    let schedules = Schedules::One { queue: "q", name: "often", times: SCHEDULE_TIMES_MAX };
    let request = Request { schedules, ..shard.request() };
    assert_eq!(jobbie_core::answers(&shard.state, &request).times.len(), 100);
}
