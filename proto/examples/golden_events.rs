//! Writes the golden entry body of this version, once, before it ships: `golden_events FILE`.

#[expect(dead_code, reason = "those of older versions are written")]
#[path = "../tests/support/events.rs"]
mod events;

fn main() {
    let path = std::env::args().nth(1).expect("a file");
    let mut file = std::fs::File::create_new(&path).expect("a file that is not there yet");
    std::io::Write::write_all(&mut file, &events::body_2()).expect("written");
}
