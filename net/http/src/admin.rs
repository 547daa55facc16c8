//! What operators do with the server as a whole.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::json;
use crate::routes::{Doc, Routes};

pub(crate) fn routes() -> Routes {
    let rebuild = Doc::new("Make the read model anew from the logs");
    Routes::default().post("/admin/rebuild-sqlite", rebuild_read_model, rebuild)
}

async fn rebuild_read_model(State(app): State<Arc<App>>, _: Caller) -> Result<Response, ApiError> {
    let begun = Instant::now();
    app.read_model()?;
    let done = tokio::select! {
        done = app.progress.rebuild() => done,
        () = app.stopping() => Err("the server is stopping".to_owned()),
    };
    done.map_err(|why| {
        let what = format!("the read model was not made: {why}");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "STORE_ERROR", what)
    })?;
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(json::ok(&json!({ "status": "ok", "rebuilt": true, "duration_ms": took })))
}
