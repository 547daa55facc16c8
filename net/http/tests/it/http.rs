//! What holds for every route.

use serde_json::json;

use crate::support::{Site, queue, shared};

#[test]
fn every_answer_has_its_headers() {
    let site = shared();
    let answer = site.send("GET", "/info", &[("x-request-id", "mine-7")], "");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-request-id"), "mine-7");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("content-type"), "application/json");
    let timing = answer.header("server-timing").strip_prefix("proc;dur=").expect("a time");
    assert!(timing.parse::<f64>().is_ok() && timing.split('.').nth(1).expect("digits").len() == 3);
    let info = answer.json();
    assert!(info["server_version"].is_string() && info["api_version"].is_string());
    assert_eq!(site.get("/nothing").header("x-request-id").len(), 16);
}

#[test]
fn options_are_answered_everywhere() {
    let site = shared();
    for path in ["/enqueue", "/nothing", "//healthz"] {
        let answer = site.send("OPTIONS", path, &[], "");
        assert_eq!((answer.status, &*answer.text), (200, ""), "{path}");
        assert!(answer.header("access-control-allow-headers").contains("X-API-Key"));
    }
}

#[test]
fn unknown_routes_and_methods_have_an_envelope() {
    let site = shared();
    for path in ["/nothing", "//nothing", "/jobs"] {
        assert_eq!(site.get(path).failure(), (404, "NOT_FOUND".into()), "{path}");
    }
    assert_eq!(site.get("/enqueue").failure(), (405, "METHOD_NOT_ALLOWED".into()));
    let deleted = site.send("DELETE", "/fetch", &[], "");
    assert_eq!(deleted.failure(), (405, "METHOD_NOT_ALLOWED".into()));
}

#[test]
fn bodies_have_to_be_json_of_a_bounded_length() {
    let site = shared();
    let send =
        |kind: &str, body: &str| site.send("POST", "/enqueue", &[("content-type", kind)], body);
    let body = json!({ "queue": queue("kinds") }).to_string();
    for kind in ["application/json", "application/json; charset=utf-8", "application/x+json"] {
        assert_eq!(send(kind, &body).status, 201, "{kind}");
    }
    assert_eq!(send("text/plain", &body).failure(), (415, "UNSUPPORTED_MEDIA_TYPE".into()));
    for text in ["", "{", "[]", "{} x", "\"queue\"", "{\"queue\": 1}"] {
        assert_eq!(send("application/json", text).failure(), (400, "PARSE_ERROR".into()), "{text}");
    }
    let long = format!("{{\"queue\":\"{}\"}}", "q".repeat(5 << 20));
    assert_eq!(send("application/json", &long).failure(), (413, "PAYLOAD_TOO_LARGE".into()));
}

#[test]
fn health_and_documentation() {
    let site = shared();
    assert_eq!(site.get("//healthz").json(), json!({ "status": "ok" }));
    let specification = serde_json::from_str::<serde_json::Value>(&site.get("//openapi.json").text);
    let specification = specification.expect("JSON");
    assert_eq!(specification["openapi"], "3.1.0");
    let enqueue = &specification["paths"]["/api/v1/enqueue"]["post"];
    let body = enqueue["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
    let name = body.and_then(|body| body.rsplit('/').next()).expect("a schema");
    assert!(specification["components"]["schemas"][name]["properties"]["queue"].is_object());
    let page = site.get("//docs");
    assert!(page.text.contains("/api/v1/enqueue") && !page.text.contains("src="), "{page:?}");
}

#[test]
fn a_token_is_asked_for_when_there_is_one() {
    let guarded = Site::start_guarded("secret");
    let ask = |headers: &[(&str, &str)]| guarded.send("POST", "/ack/batch", headers, "{}");
    assert_eq!(ask(&[]).failure(), (401, "UNAUTHORIZED".into()));
    assert_eq!(ask(&[("x-api-key", "other")]).failure(), (401, "UNAUTHORIZED".into()));
    let keys = [
        ("x-api-key", "secret"),
        ("authorization", "Bearer secret"),
        ("cookie", "jobbie_api_key=secret"),
    ];
    for key in keys {
        assert_eq!(ask(&[key]).failure(), (400, "VALIDATION_ERROR".into()), "{key:?}");
    }
    // The key goes before the token.
    let both = [("x-api-key", "other"), ("authorization", "Bearer secret")];
    assert_eq!(ask(&both).failure(), (401, "UNAUTHORIZED".into()));
    assert_eq!(guarded.get("/info").status, 200);
    assert_eq!(guarded.get("//healthz").status, 200);
}

#[test]
fn who_asks_too_much_is_told() {
    let site = Site::start(|config| {
        let rate =
            jobbie_http::RateLimits { read_rps: 1, read_burst: 1, write_rps: 1, write_burst: 5 };
        config.limits.rate = Some(rate);
    });
    let jobs: Vec<_> = (0..50).map(|_| json!({ "queue": "q" })).collect();
    let many = json!({ "jobs": jobs });
    // Two clients, as they have two keys: a batch costs what it has, or everything.
    let send = |key: &str, body: &serde_json::Value| {
        site.send("POST", "/enqueue/batch", &[("x-api-key", key)], &body.to_string())
    };
    let refused = send("a", &many);
    assert_eq!(
        refused.failure(),
        (429, "RATE_LIMITED".into()),
        "one token is taken before the body"
    );
    assert_eq!(refused.header("retry-after"), "1");
    let one = json!({ "jobs": [{ "queue": "q" }] });
    assert_eq!(send("b", &one).status, 201);
    let options = site.send("OPTIONS", "/enqueue", &[("x-api-key", "a")], "");
    assert_eq!(options.status, 200);
}

#[test]
fn a_repeat_under_its_key_gets_the_first_answer() {
    let site = shared();
    let name = queue("repeats");
    let many = json!({ "jobs": [{ "queue": name }, { "queue": name }] }).to_string();
    let send = |path: &str, key: &str, body: &str| {
        site.send("POST", path, &[("idempotency-key", key)], body)
    };
    let first = send("/enqueue/batch", &name, &many);
    let again = send("/enqueue/batch", &name, &many);
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.text, again.text);
    assert_eq!(
        (first.header("idempotent-replayed"), again.header("idempotent-replayed")),
        ("", "true")
    );
    let other = send("/enqueue/batch", &name, &json!({ "jobs": [{ "queue": name }] }).to_string());
    assert_eq!(other.failure(), (409, "CONFLICT".into()));
    let found = site.post("/jobs/search", json!({ "queue": name })).json();
    assert_eq!(found["total"], json!(2));
    // What failed for good is the same again, too.
    let key = format!("{name}-x");
    for replayed in ["", "true"] {
        let refused = send("/jobs/nobody/retry", &key, "");
        assert_eq!(refused.failure(), (400, "RETRY_ERROR".into()));
        assert_eq!(refused.header("idempotent-replayed"), replayed);
    }
}

#[test]
fn http_2_is_spoken_without_an_upgrade() {
    use std::io::{Read, Write};
    let site = shared();
    let address = site.url.strip_prefix("http://").expect("an address");
    let mut stream = std::net::TcpStream::connect(address).expect("connect");
    // The preface and an empty SETTINGS frame.
    let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(hello).expect("send");
    let mut head = [0; 9];
    stream.read_exact(&mut head).expect("a frame");
    assert_eq!((head[3], &head[5..]), (4, &[0; 4][..]), "its first frame has the settings");
}
