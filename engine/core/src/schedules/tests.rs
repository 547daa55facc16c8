use super::*;
use jobbie_proto::Micros;
use jobbie_proto::event::{BackoffKind, Blob};

fn set(queue: &str, name: &str, next: u64) -> SetSchedule {
    SetSchedule {
        name: name.into(),
        class: Class {
            queue: queue.into(),
            priority: 2,
            max_retries: 3,
            backoff: BackoffKind::None,
            backoff_base_ms: 0,
            backoff_cap_ms: 0,
            expire_after_ms: 0,
        },
        limit_key: String::new(),
        expression: "* * * * *".into(),
        zone: "UTC".into(),
        missed: Missed::Once,
        payload: Blob::default(),
        tags: Blob::default(),
        unique: Vec::new(),
        unique_ms: 0,
        next: Micros(next),
    }
}

fn names(schedules: &Schedules, after: &str) -> Vec<String> {
    schedules.after(after).map(|one| format!("{} {}", one.class.queue, one.name)).collect()
}

#[test]
fn schedules_are_in_the_order_of_queues_then_names() {
    let mut schedules = Schedules::new();
    for (queue, name, event) in [("ab", "a", 1), ("a", "z", 2), ("a", "b", 3), ("b", "", 4)] {
        schedules.set(&set(queue, name, 60), event);
    }
    assert_eq!(names(&schedules, ""), ["a b", "a z", "ab a", "b "]);
    assert_eq!(names(&schedules, &key_of("a", "b")), ["a z", "ab a", "b "]);
    assert_eq!(names(&schedules, &key_of("a", "c")), ["a z", "ab a", "b "]);
    assert!(schedules.find("a", "z").is_some() && schedules.find("az", "").is_none());
    schedules.check(0, 5, |_| true);
}

#[test]
fn a_definition_is_needed_until_nobody_uses_it() {
    let mut schedules = Schedules::new();
    schedules.set(&set("a", "b", 60), 3);
    schedules.made(7, 3);
    schedules.made(8, 3);
    let copy = schedules.clone();
    schedules.set(&set("a", "b", 120), 9);
    schedules.forget(8);
    schedules.forget(99);
    schedules.check(0, 10, |job| job == 7);
    assert_eq!((schedules.oldest_needed(), schedules.definition_of(7)), (Some(3), Some(3)));
    schedules.forget(7);
    assert_eq!((schedules.oldest_needed(), schedules.first_due()), (Some(9), Some(120)));
    schedules.delete("a", "b");
    assert_eq!((schedules.oldest_needed(), schedules.first_due()), (None, None));
    schedules.check(0, 10, |_| false);
    copy.check(0, 10, |_| true);
    assert_eq!((copy.len(), copy.first_due()), (1, Some(60)));
}

#[test]
fn a_paused_schedule_does_not_fire_and_keeps_its_time() {
    let mut schedules = Schedules::new();
    schedules.set(&set("a", "b", 60), 3);
    schedules.change("a", "b", |one| one.paused = true);
    assert_eq!((schedules.first_due(), schedules.find("a", "b").unwrap().next), (None, 60));
    schedules.set(&set("a", "b", 180), 4);
    assert_eq!(schedules.first_due(), None);
    schedules.change("a", "b", |one| one.paused = false);
    assert_eq!(schedules.due_at(180).map(|one| one.next).collect::<Vec<_>>(), [180]);
    assert_eq!(schedules.due_at(179).count(), 0);
    schedules.check(0, 5, |_| true);
}
