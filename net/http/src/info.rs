//! Whether the server lives, what it is, and how it is used.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::app::App;
use crate::error::ApiError;
use crate::json;

/// Version of what is under `/api/v1`.
const API_VERSION: &str = "1.0.0";
/// How long shards may take to show that they live.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) async fn info(State(app): State<Arc<App>>) -> Response {
    let server_version = &app.client.topology().server_version;
    json::ok(&json!({ "server_version": server_version, "api_version": API_VERSION }))
}

/// Whether a shard answers.
pub(crate) async fn healthz(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let unhealthy =
        |message: String| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "UNHEALTHY", message);
    if app.is_stopping() {
        return Err(unhealthy("the server is stopping".to_owned()));
    }
    match tokio::time::timeout(PATIENCE, app.client.stats()).await {
        Ok(stats) => stats.map_err(|error| unhealthy(error.to_string()))?,
        Err(_) => return Err(unhealthy("no answer from the shards".to_owned())),
    };
    Ok(json::ok(&json!({ "status": "ok" })))
}

/// The specification, and a page that shows it without anything from elsewhere.
pub(crate) fn docs(specification: &Value) -> Router<Arc<App>> {
    let page = page(specification);
    let text = specification.to_string();
    let specification = move || async move { ([(header::CONTENT_TYPE, "application/json")], text) };
    Router::new()
        .route("/openapi.json", get(specification))
        .route("/docs", get(move || async move { Html(page) }))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn page(specification: &Value) -> String {
    use std::fmt::Write;
    let mut rows = String::new();
    let paths = specification["paths"].as_object();
    for (path, methods) in paths.into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let summary = operation["summary"].as_str().unwrap_or_default();
            let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let body = body.as_str().and_then(|r| r.rsplit('/').next()).unwrap_or_default();
            let method = method.to_uppercase();
            writeln!(
                rows,
                "<tr><td>{method}</td><td><code>{}</code></td><td>{}</td><td><code>{}</code></td></tr>",
                escape(path),
                escape(summary),
                escape(body)
            )
            .expect("writing to memory cannot fail");
        }
    }
    let schemas = serde_json::to_string_pretty(&specification["components"]["schemas"]);
    PAGE.replace("ROWS", &rows).replace("SCHEMAS", &escape(&schemas.unwrap_or_default()))
}

const PAGE: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>jobbie HTTP API</title>
<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ccc;padding:.3rem .6rem;text-align:left}
pre{background:#f5f5f5;padding:1rem;overflow:auto}</style></head><body>
<h1>jobbie HTTP API</h1>
<p>The same as OpenAPI: <a href="/openapi.json">/openapi.json</a>. Failures are <code>{"error": …, "code": …}</code>.</p>
<table><thead><tr><th>method</th><th>path</th><th></th><th>body</th></tr></thead><tbody>
ROWS</tbody></table>
<h2>Schemas</h2><pre>SCHEMAS</pre></body></html>
"#;
