//! What is asked of the HTTP side: searches, and making the read model anew.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::print_failed;
use crate::args::{HttpClientArgs, Output, RebuildArgs, SearchArgs};
use crate::call::CallError;
use crate::exit::Exit;
use crate::output::{self, Rows};

/// Jobs that are asked for at a time.
const PAGE_MAX: u64 = 1000;
const COLUMNS: &[&str] = &["id", "queue", "state", "attempt", "created_at", "payload"];

/// Asks the HTTP side; what it answers.
fn post(args: &HttpClientArgs, path: &str, body: &Value) -> Result<Value, CallError> {
    let addr = &args.http_addr;
    let base = if addr.contains("://") { addr.clone() } else { format!("http://{addr}") };
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.post(format!("{base}/api/v1{path}"));
    if !args.token.is_empty() {
        request = request.header("X-API-Key", &args.token);
    }
    if !args.namespace.is_empty() {
        request = request.header("X-Jobbie-Namespace", &args.namespace);
    }
    let failed =
        |error: ureq::Error| CallError::Http { addr: addr.clone(), source: error.into_io() };
    let mut answer = request.send_json(body).map_err(failed)?;
    let status = answer.status().as_u16();
    let told = answer.body_mut().with_config().limit(1 << 30).read_json::<Value>();
    let told = told.map_err(failed)?;
    if status >= 400 {
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        return Err(CallError::HttpRefused { status, code: text("code"), message: text("error") });
    }
    Ok(told)
}

/// Makes the read model anew.
pub(super) fn rebuild(args: &RebuildArgs) -> Result<Exit, CallError> {
    let told = post(&args.http, "/admin/rebuild-sqlite", &json!({}))?;
    let line = format!("made anew in {} ms", told["duration_ms"]);
    output::print_made(&line, &told, args.http.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

/// The body of a search.
fn body(args: &SearchArgs) -> Map<String, Value> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        body.extend(value.map(|value| (name.to_owned(), value)));
    };
    let text = |text: &Option<String>| text.clone().map(Value::from);
    put("queue", text(&args.queue));
    let states = args.state.iter().map(|state| state.name().into());
    let states: Vec<Value> = states.collect();
    put("state", (!states.is_empty()).then_some(Value::Array(states)));
    put("priority", text(&args.priority));
    let tags = args.tags.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    put("tags", (!args.tags.is_empty()).then(|| Value::Object(tags.collect())));
    for (name, value) in [
        ("payload_contains", &args.payload_contains),
        ("payload_jq", &args.payload_jq),
        ("created_after", &args.created_after),
        ("created_before", &args.created_before),
        ("scheduled_after", &args.scheduled_after),
        ("scheduled_before", &args.scheduled_before),
        ("started_after", &args.started_after),
        ("started_before", &args.started_before),
        ("completed_after", &args.completed_after),
        ("completed_before", &args.completed_before),
        ("expire_after", &args.expire_after),
        ("expire_before", &args.expire_before),
        ("unique_key", &args.unique_key),
        ("batch_id", &args.batch_id),
        ("worker_id", &args.worker_id),
        ("parent_id", &args.parent_id),
        ("chain_id", &args.chain_id),
        ("error_contains", &args.error_contains),
        ("job_id_prefix", &args.job_id_prefix),
    ] {
        put(name, text(value));
    }
    put("attempt_min", args.attempt_min.map(Value::from));
    put("attempt_max", args.attempt_max.map(Value::from));
    put("has_errors", args.has_errors.then_some(true.into()));
    put("sort", Some(args.sort.clone().into()));
    put("order", Some(if args.ascending { "asc" } else { "desc" }.into()));
    body
}

pub(super) fn search(args: &SearchArgs) -> Result<Exit, CallError> {
    let mut body = body(args);
    let (mut left, mut found, mut any) = (args.limit, Vec::new(), false);
    while left > 0 {
        body.insert("limit".into(), left.min(PAGE_MAX).into());
        let page = post(&args.http, "/jobs/search", &Value::Object(body.clone()))?;
        let jobs = page["jobs"].as_array().cloned().unwrap_or_default();
        left = left.saturating_sub(jobs.len() as u64);
        any |= !jobs.is_empty();
        // Lines are printed page by page: whoever reads them need not wait for all.
        if args.http.output == Output::Jsonl {
            let lines: String = jobs.iter().map(|job| format!("{job}\n")).collect();
            std::io::stdout().write_all(lines.as_bytes()).map_err(print_failed)?;
        } else {
            found.extend(jobs);
        }
        match page["cursor"].as_str() {
            Some(cursor) => body.insert("cursor".into(), cursor.into()),
            None => break,
        };
    }
    match args.http.output {
        Output::Jsonl => {}
        Output::Json => {
            output::print_made("", &Value::Array(found), Output::Json).map_err(print_failed)?;
        }
        Output::Table => {
            let mut rows = Rows::new(COLUMNS);
            for job in &found {
                rows.push(COLUMNS.iter().map(|column| job[*column].clone()).collect());
            }
            rows.print(Output::Table).map_err(print_failed)?;
        }
    }
    Ok(if any { Exit::Done } else { Exit::Nothing })
}
