//! The crate from outside: what its documentation promises, against tables and against a scan that knows nothing of its methods.

mod errors;
mod meaning;
mod scan;
mod text;
mod times;

use jobbie_cron::Schedule;
use jobbie_proto::Micros;

fn schedule(expression: &str, zone: &str) -> Schedule {
    Schedule::parse(expression, zone).unwrap_or_else(|e| panic!("{expression:?} {zone:?}: {e}"))
}

/// An RFC 3339 time in log time.
fn at(time: &str) -> Micros {
    let time: jiff::Timestamp = time.parse().expect(time);
    Micros(time.as_microsecond().try_into().expect("after 1970"))
}

/// Log time in RFC 3339, for failures that can be read.
fn show(time: Micros) -> String {
    let micros = time.0.try_into().expect("64 bits");
    jiff::Timestamp::from_microsecond(micros).expect("before the year 10000").to_string()
}
