//! HTTP, beside a node and as a process of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jobbie_tests::server::{Server, binary, free_address, run};

/// A process that is killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One request on a connection of its own: the status line and the body.
fn ask(at: SocketAddr, request: &str, body: &str) -> (String, String) {
    let begin = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(at) {
            Ok(stream) => break stream,
            Err(error) => assert!(begin.elapsed() < Duration::from_secs(30), "{at}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let len = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

fn lives_a_job(at: SocketAddr) {
    let (status, body) = ask(at, "POST /api/v1/enqueue", r#"{"queue":"q","payload":{"n":1}}"#);
    assert!(status.contains(" 201 "), "{status} {body}");
    let fetch = r#"{"queues":["q"],"worker_id":"w","timeout":5}"#;
    let (status, body) = ask(at, "POST /api/v1/fetch", fetch);
    assert!(status.contains(" 200 ") && body.contains(r#""payload":{"n":1}"#), "{status} {body}");
    let id =
        body.split('"').find(|part| part.len() == 30 && part.starts_with("job_")).expect("an id");
    let (status, _) = ask(at, &format!("POST /api/v1/ack/{id}"), "{}");
    assert!(status.contains(" 200 "), "{status}");
}

#[test]
fn a_server_speaks_http_and_finds_what_it_did() {
    let folder = tempfile::tempdir().expect("make a folder");
    let http = free_address(1);
    let flags = ["--shards", "2", "--http", &http.to_string()];
    let server = Server::start(&folder.path().join("data"), free_address(2), &flags);
    lives_a_job(http);
    let search = r#"{"queue":"q","state":["completed"]}"#;
    let begin = Instant::now();
    loop {
        let (status, body) = ask(http, "POST /api/v1/jobs/search", search);
        if status.contains(" 200 ") {
            assert!(body.contains(r#""total":1"#), "{body}");
            break;
        }
        // The read model may not be there yet.
        assert!(begin.elapsed() < Duration::from_secs(30), "{status} {body}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn http_runs_as_a_process_of_its_own_without_search() {
    let folder = tempfile::tempdir().expect("make a folder");
    let server = Server::start(&folder.path().join("data"), free_address(1), &["--shards", "1"]);
    let http = free_address(1);
    let mut shim = Command::new(binary("jobbie"));
    shim.args(["http", "--connect", &server.addr(), "--http", &http.to_string()]);
    let _shim = Process(shim.stderr(Stdio::null()).spawn().expect("start jobbie http"));
    lives_a_job(http);
    let (status, body) = ask(http, "POST /api/v1/jobs/search", "{}");
    assert!(!status.contains(" 200 ") && body.contains("read model"), "{status} {body}");

    let refused = run("jobbie", &["http", "--http", "0.0.0.0:8080"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("--token"), "{said}");
}
