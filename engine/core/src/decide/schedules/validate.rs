//! Whether what is asked of schedules may be done.

use std::collections::BTreeMap;

use jobbie_cron::ScheduleError;
use jobbie_proto::limits::{
    SCHEDULE_CONTROLS_MAX, SCHEDULE_NAME_BYTES_MAX, SCHEDULE_TIMES_MAX, SCHEDULES_MAX,
};
use jobbie_proto::request::{Definition, ScheduleAction, Schedules};
use jobbie_proto::{Code, Request};

use super::super::validate::{
    Checked, Field, Refusal, at_most, check_enqueue, invalid, plain_name, queue, stands_alone,
};
use crate::schedules::key_of;
use crate::state::State;

/// Each schedule once, and nothing else that changes anything, so that each control is decided about the state as it is.
pub(in crate::decide) fn check_schedules(state: &State, request: &Request<'_>) -> Checked {
    check_query(state, request)?;
    let controls = &request.schedule_controls;
    if controls.is_empty() {
        return Ok(());
    }
    stands_alone(request, "schedule_controls")?;
    if controls.len() > SCHEDULE_CONTROLS_MAX {
        let count = controls.len();
        let message = format!("schedule_controls: {count}, at most {SCHEDULE_CONTROLS_MAX}");
        return refuse(Code::TooLarge, message);
    }
    let mut named = BTreeMap::new();
    let mut new = 0;
    for (at, control) in controls.iter().enumerate() {
        let field = |name: &str| format!("schedule_controls[{at}].{name}");
        schedule_name(control.name, &field)?;
        if let Some(before) = named.insert(key_of(control.queue, control.name), at) {
            let message = format!("{}: named in schedule_controls[{before}] too", field("name"));
            return invalid(message);
        }
        let known = state.schedules.find(control.queue, control.name).is_some();
        match &control.action {
            ScheduleAction::Set(definition) => {
                check_definition(control.queue, definition, &field)?;
                new += usize::from(!known);
            }
            _ if known => {}
            _ => {
                let (queue, name) = (control.queue, control.name);
                let message = format!("{}: queue {queue} has no schedule {name}", field("name"));
                return refuse(Code::NotFound, message);
            }
        }
    }
    if new > 0 && state.schedules.len() + new > SCHEDULES_MAX {
        let message = format!("schedules: {SCHEDULES_MAX} exist, the most a shard holds");
        return refuse(Code::Overloaded, message);
    }
    Ok(())
}

fn refuse(code: Code, message: String) -> Checked {
    Err(Refusal { code, message })
}

fn schedule_name(name: &str, field: Field<'_>) -> Checked {
    plain_name(name, SCHEDULE_NAME_BYTES_MAX, "name", field)
}

fn check_definition(queue: &str, definition: &Definition<'_>, field: Field<'_>) -> Checked {
    check_enqueue(&definition.job(queue), field)?;
    let parsed = jobbie_cron::Schedule::parse(definition.expression, definition.zone);
    let Err(error) = parsed else { return Ok(()) };
    let (code, at) = match error {
        ScheduleError::ExpressionTooLong { .. } => (Code::TooLarge, "expression"),
        ScheduleError::ZoneTooLong { .. } => (Code::TooLarge, "zone"),
        ScheduleError::Zone { .. } => (Code::Invalid, "zone"),
        _ => (Code::Invalid, "expression"),
    };
    refuse(code, format!("{}: {error}", field(at)))
}

fn check_query(state: &State, request: &Request<'_>) -> Checked {
    let field = |field: &str| format!("schedules.{field}");
    match request.schedules {
        Schedules::None => Ok(()),
        Schedules::One { queue: name, times, .. } => {
            queue(state, name, &field)?;
            at_most(times.into(), SCHEDULE_TIMES_MAX.into(), "times", &field)
        }
        Schedules::List { queue: "", .. } => Ok(()),
        Schedules::List { queue: name, .. } => queue(state, name, &field),
    }
}
