//! Writes a golden entry body of this version, once, before it ships:
//! `golden_events every_kind|plans|ties|moves|schedules|operations|usage|rules|archive FILE`.

#[expect(dead_code, reason = "those of older versions are written")]
#[path = "../tests/support/events.rs"]
mod events;
#[path = "../tests/support/events_archive.rs"]
mod events_archive;
#[path = "../tests/support/events_moves.rs"]
mod events_moves;
#[path = "../tests/support/events_plans.rs"]
mod events_plans;
#[path = "../tests/support/events_rules.rs"]
mod events_rules;
#[path = "../tests/support/events_ties.rs"]
mod events_ties;
#[path = "../tests/support/events_usage.rs"]
mod events_usage;

fn main() {
    let name = std::env::args().nth(1).expect("a name");
    let body = match &*name {
        "every_kind" => events::body_2(),
        "plans" => events_plans::body(),
        "ties" => events_ties::body(),
        "moves" => events_moves::body(),
        "schedules" => events::body_of_schedules(),
        "rules" => events_rules::body(),
        "archive" => events_archive::body(),
        "usage" => events_usage::body(),
        "operations" => events::body_operations(),
        other => panic!("no golden body {other}"),
    };
    let path = std::env::args().nth(2).expect("a file");
    let mut file = std::fs::File::create_new(&path).expect("a file that is not there yet");
    std::io::Write::write_all(&mut file, &body).expect("written");
}
