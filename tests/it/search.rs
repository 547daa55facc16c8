//! `jobbie search` and `jobbie rebuild`, which ask the HTTP side of a real server.

use std::io::Write;
use std::process::{Command, Stdio};

use jobbie_tests::server::{Server, binary, free_address, run};

#[test]
fn what_is_found_is_what_bulk_takes() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (address, http) = (free_address(2), free_address(1).to_string());
    let flags = ["--shards", "2", "--durability", "none", "--http", &http];
    let server = Server::start(&folder.path().join("data"), address, &flags);
    let addr = server.addr();
    let cli = |args: &[&str]| {
        let done = run("jobbie", args);
        (done.status.code(), String::from_utf8(done.stdout).expect("text"))
    };
    for n in 0..30 {
        let payload = format!(r#"{{"n":{n}}}"#);
        let (code, id) =
            cli(&["enqueue", "--addr", &addr, "q", &payload, "--tags", r#"{"k":"v"}"#]);
        assert_eq!(code, Some(0));
        let cancelled = cli(&["cancel", "--addr", &addr, id.trim()]);
        assert_eq!(cancelled.0, Some(0));
    }
    let search = |more: &[&str]| cli(&[&["search", "--http-addr", &http], more].concat());
    let some = ["--queue", "q", "--state", "cancelled", "--tag", "k=v", "--payload-jq", ".n < 20"];
    let (code, lines) = search(&[&some[..], &["--output", "jsonl"]].concat());
    assert_eq!((code, lines.lines().count()), (Some(0), 20), "{lines}");
    let (_, few) = search(&[&some[..], &["--output", "jsonl", "--limit", "7"]].concat());
    assert_eq!(few.lines().count(), 7);
    let (_, table) = search(&["--queue", "q", "--limit", "3"]);
    assert_eq!(table.lines().count(), 4, "{table}");
    assert_eq!(search(&["--queue", "nobody"]).0, Some(4));
    assert_eq!(search(&["--payload-jq", "nonsense ("]).0, Some(5));
    assert_eq!(search(&["--state", "asleep"]).0, Some(2));

    let mut bulk = Command::new(binary("jobbie"))
        .args(["bulk", "retry", "-", "--addr", &addr])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("start it");
    bulk.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("write to it");
    assert!(bulk.wait().expect("it ends").success());
    let pending = || search(&["--state", "pending", "--output", "jsonl"]).1.lines().count();
    let begun = std::time::Instant::now();
    while pending() != 20 {
        assert!(begun.elapsed().as_secs() < 20, "the jobs do not come back");
    }

    let (code, told) = cli(&["rebuild", "--http-addr", &http]);
    assert_eq!(code, Some(0));
    assert!(told.starts_with("made anew in "), "{told}");
    assert_eq!(pending(), 20);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(search(&[]).0, Some(3), "nobody is there");
}
