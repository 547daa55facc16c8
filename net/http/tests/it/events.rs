//! What happened.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Site, queue, shared};

/// A stream of events, line by line.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(site: &Site, path: &str, headers: &str) -> Self {
        let address = site.url.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        write!(stream, "GET /api/v1{path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").expect("send");
        let mut found = Self(BufReader::new(stream));
        let head = found.until("");
        assert!(head[0].starts_with("HTTP/1.1 200"), "{head:?}");
        let has = |line: &str| head.iter().any(|one| one.eq_ignore_ascii_case(line));
        assert!(has("content-type: text/event-stream; charset=utf-8"), "{head:?}");
        assert!(has("cache-control: no-cache") && has("transfer-encoding: chunked"), "{head:?}");
        found
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).expect("a line");
        assert!(read > 0, "the stream has ended");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// Lines up to one that is `last`.
    fn until(&mut self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if line == last {
                return lines;
            }
            lines.push(line);
        }
    }

    /// The next event: its number, its kind, its data.
    fn event(&mut self) -> (u64, String, Value) {
        // Lines of chunk lengths stand between events.
        let mut line = self.line();
        while !line.starts_with("id: ") {
            line = self.line();
        }
        let id = line["id: ".len()..].parse().expect("a number");
        let kind = self.line().strip_prefix("event: ").expect("a kind").to_owned();
        let data = self.line();
        let data = data.strip_prefix("data: ").expect("data");
        assert!(data.is_ascii(), "{data}");
        (id, kind, serde_json::from_str(data).expect("JSON"))
    }
}

#[test]
fn events_by_pages() {
    let site = shared();
    let queue = queue("journal");
    let id = site.enqueue(json!({ "queue": queue }));
    site.fetch(&queue).expect("a job");
    site.post(&format!("/ack/{id}"), json!({}));
    let mut ours = Vec::new();
    let mut after = 0;
    loop {
        let page = site.get(&format!("/cluster/events?after_seq={after}&limit=7")).json();
        let page = page["events"].as_array().expect("a list").clone();
        let Some(last) = page.last() else { break };
        let seqs: Vec<u64> =
            page.iter().map(|event| event["seq"].as_u64().expect("a number")).collect();
        assert!(seqs[0] > after && seqs.is_sorted_by(|a, b| a < b) && seqs.len() <= 7, "{seqs:?}");
        after = last["seq"].as_u64().expect("a number");
        ours.extend(page.into_iter().filter(|event| event["job_id"] == json!(id)));
    }
    let kinds: Vec<_> = ours.iter().map(|event| event["type"].as_str().expect("a word")).collect();
    assert_eq!(kinds, ["enqueued", "started", "completed"]);
    assert!(ours.iter().all(|event| event["queue"] == json!(queue) && event["at_ns"].is_u64()));
    for query in ["after_seq=x", "limit=0", "limit=x", "limit=-1"] {
        let refused = site.get(&format!("/cluster/events?{query}"));
        assert_eq!(refused.failure(), (400, "VALIDATION_ERROR".into()), "{query}");
    }
}

#[test]
fn a_stream_pushes_and_resumes() {
    let site = shared();
    let queue = queue("pushed");
    let id = site.enqueue(json!({ "queue": queue, "payload": "\u{c5}" }));
    let path = format!("/events?queues={queue},other&types=enqueued,job.started,progress");
    let mut stream = Stream::open(site, &path, "");
    let (first, kind, data) = stream.event();
    assert_eq!((&*kind, &data["seq"], &data["job_id"]), ("enqueued", &json!(first), &json!(id)));
    // What comes now is pushed.
    site.fetch(&queue).expect("a job");
    let (second, kind, _) = stream.event();
    assert!(second > first && kind == "started");
    site.post("/heartbeat", json!({ "jobs": { &id: { "progress": { "m": "\u{c5}\u{2028}" } } } }));
    let (_, kind, data) = stream.event();
    assert_eq!((&*kind, &data["data"]), ("progress", &json!({ "m": "\u{c5}\u{2028}" })));
    drop(stream);
    let mut resumed = Stream::open(site, &format!("{path}&last_event_id={first}"), "");
    assert_eq!(resumed.event().0, second);
    let mut resumed = Stream::open(site, &path, &format!("Last-Event-ID: {first}\r\n"));
    assert_eq!(resumed.event().0, second);
    let other = site.enqueue(json!({ "queue": queue }));
    let mut one = Stream::open(site, &format!("/events?job_ids={other}"), "");
    assert_eq!(one.event().2["job_id"], json!(other));
    let refused = site.get("/events?last_event_id=x");
    assert_eq!(refused.failure(), (400, "VALIDATION_ERROR".into()));
}
