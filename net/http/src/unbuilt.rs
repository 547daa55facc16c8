//! Routes of the contract that are not built: they say so.

use std::sync::Arc;

use axum::Router;
use axum::extract::MatchedPath;
use axum::routing::any;

use crate::app::App;
use crate::error::ApiError;

const PATHS: [&str; 24] = [
    "/webhooks",
    "/auth/status",
    "/auth/keys",
    "/auth/keys/{key}/roles",
    "/auth/keys/{key}/roles/{role}",
    "/auth/roles",
    "/auth/roles/{name}",
    "/namespaces",
    "/namespaces/{name}",
    "/namespaces/{name}/rate-limit",
    "/settings/sso",
    "/audit-logs",
    "/org",
    "/org/members",
    "/org/members/{id}",
    "/org/api-keys",
    "/org/api-keys/{id}",
    "/cluster/join",
    "/admin/backup",
    "/admin/restore",
    "/debug/runtime",
    "/jobs/{id}/stream",
    "/batch",
    "/batch/{id}/seal",
];

async fn unbuilt(path: MatchedPath) -> ApiError {
    ApiError::unsupported(format!("{} is not built in this release", path.as_str()))
}

pub(crate) fn router() -> Router<Arc<App>> {
    PATHS.into_iter().fold(Router::new(), |router, path| router.route(path, any(unbuilt)))
}
