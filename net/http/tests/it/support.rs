//! A node, the HTTP side, and a small client.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jobbie_http::{HttpConfig, HttpServer, Lag, Progress};
use jobbie_server::{Durability, ReadModel, Server, ServerConfig};
use serde_json::Value;
use tokio::sync::watch;

/// The read model of the node.
struct Model(ReadModel);

impl Progress for Model {
    fn caught_up(&self, within: Duration) -> BoxFuture<'_, Lag> {
        Box::pin(
            async move { if self.0.caught_up(within).await { Lag::default() } else { self.lag() } },
        )
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.0.seq()
    }

    fn rebuild(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.0.rebuilt())
    }

    fn generation(&self) -> u64 {
        self.0.position().borrow().generation
    }

    fn lag(&self) -> Lag {
        let jobbie_server::Lag { events, ms } = self.0.lag();
        Lag { events, ms }
    }
}

/// A node with an HTTP side.
pub(crate) struct Site {
    pub(crate) url: String,
    agent: ureq::Agent,
    http: Option<HttpServer>,
    node: Option<Server>,
    _folder: tempfile::TempDir,
}

/// Nodes are heavy: tests that need no settings of their own share one.
pub(crate) fn shared() -> &'static Site {
    static SHARED: std::sync::OnceLock<Site> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| Site::start(|_| {}))
}

/// A queue that no other test uses.
pub(crate) fn queue(name: &str) -> String {
    static GIVEN: Mutex<u32> = Mutex::new(0);
    let mut given = GIVEN.lock().expect("no test panics with it");
    *given += 1;
    format!("{name}.{given}")
}

fn node(folder: &Path, token: &str) -> Server {
    let config = ServerConfig {
        data_dir: folder.join("data"),
        listen: ([127, 0, 0, 1], 0).into(),
        shards: Some(2),
        durability: Durability::None,
        segment_bytes: 4 << 20,
        token: token.to_owned(),
        ..ServerConfig::default()
    };
    Server::start(&config).expect("start a node")
}

impl Site {
    pub(crate) fn start(change: impl FnOnce(&mut HttpConfig)) -> Self {
        Self::start_with("", change)
    }

    /// A site that asks for a token.
    pub(crate) fn start_guarded(token: &str) -> Self {
        Self::start_with(token, |_| {})
    }

    fn start_with(token: &str, change: impl FnOnce(&mut HttpConfig)) -> Self {
        let folder = tempfile::tempdir().expect("make a folder");
        let node = node(folder.path(), token);
        let mut config = HttpConfig {
            token: token.to_owned(),
            listen: ([127, 0, 0, 1], 0).into(),
            connect: vec![node.addresses()[0].to_string()],
            ..HttpConfig::default()
        };
        change(&mut config);
        let model = node.read_model().expect("the node has one");
        config.read_model = Some(model.path().to_owned());
        let http = HttpServer::start(config, Arc::new(Model(model))).expect("start the HTTP side");
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("http://{}", http.address());
        Self { url, agent, http: Some(http), node: Some(node), _folder: folder }
    }

    /// The file of the read model.
    pub(crate) fn read_model(&self) -> std::path::PathBuf {
        let node = self.node.as_ref().expect("it runs");
        node.read_model().expect("it has one").path().to_owned()
    }

    pub(crate) fn stop_http(&mut self) {
        self.http.take().expect("it runs").stop();
    }

    /// Sends a request; its status, headers and body.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(self.at(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_owned()).expect("a request");
        let mut response = self.agent.run(request).expect("an answer");
        let text = response.body_mut().read_to_string().expect("a text");
        let headers = response.headers().clone();
        Answer { status: response.status().as_u16(), headers, text }
    }

    fn at(&self, path: &str) -> String {
        let base = if path.starts_with("//") { "" } else { "/api/v1" };
        format!("{}{base}{}", self.url, path.replacen("//", "/", 1))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], &body.to_string())
    }

    /// The id of a new job.
    pub(crate) fn enqueue(&self, body: Value) -> String {
        let answer = self.post("/enqueue", body);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["job_id"].as_str().expect("an id").to_owned()
    }

    /// A job of a queue, if there is one.
    pub(crate) fn fetch(&self, queue: &str) -> Option<Value> {
        let answer = self.post("/fetch", serde_json::json!({ "queues": [queue], "timeout": 1 }));
        (answer.status == 200).then(|| answer.json())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(http) = self.http.take() {
            http.stop();
        }
        if let Some(node) = self.node.take() {
            node.stop();
        }
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert!(self.text.ends_with('\n'), "an answer ends with its line: {self:?}");
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Status and code of a failure.
    pub(crate) fn failure(&self) -> (u16, String) {
        let json = self.json();
        assert!(json["error"].is_string(), "{self:?}");
        (self.status, json["code"].as_str().expect("a code").to_owned())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a text"))
    }
}
