//! All routes put together.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{
    DefaultPredicate, NotForContentType, Predicate, SizeAbove,
};

use crate::app::App;
use crate::routes::Routes;
use crate::{
    ack, actions, admin, budgets, bulk, bulk_progress, cluster, enqueue, enqueue_batch, events,
    fail, fetch, heartbeat, info, jobs, layers, queues, repeats, rpc, schedules, search, unbuilt,
    usage, workers,
};

/// Where everything begins that has a version.
pub(crate) const BASE: &str = "/api/v1";
/// Shorter answers are not compressed: it takes longer than to send them.
const COMPRESSED_BYTES_MIN: u16 = 16 << 10;

/// Everything below [`BASE`] that asks who calls.
fn guarded() -> Routes {
    Routes::default()
        .merge(enqueue::routes())
        .merge(enqueue_batch::routes())
        .merge(fetch::routes())
        .merge(ack::routes())
        .merge(fail::routes())
        .merge(heartbeat::routes())
        .merge(jobs::routes())
        .merge(actions::routes())
        .merge(search::routes())
        .merge(bulk::routes())
        .merge(bulk_progress::routes())
        .merge(queues::routes())
        .merge(workers::routes())
        .merge(budgets::routes())
        .merge(usage::routes())
        .merge(schedules::routes())
        .merge(events::routes())
        .merge(cluster::routes())
        .merge(admin::routes())
}

/// The whole server. Further protocols, which bring their own paths, are merged here.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let guarded = guarded();
    let specification = app.config.docs.then(|| guarded.specification(BASE));
    let api = guarded
        .router()
        .merge(unbuilt::router())
        .layer(from_fn_with_state(Arc::clone(app), repeats::repeat))
        .layer(from_fn_with_state(Arc::clone(app), layers::guard));
    let open = Router::new().route("/info", get(info::info));
    let mut all = Router::new().nest(BASE, api.merge(open)).route("/healthz", get(info::healthz));
    if let Some(specification) = specification {
        all = all.merge(info::docs(&specification));
    }
    // Streams of Connect say for themselves how they are compressed; gRPC is left out by default.
    let streams = NotForContentType::const_new("application/connect+");
    let worth = DefaultPredicate::new().and(SizeAbove::new(COMPRESSED_BYTES_MIN)).and(streams);
    all.merge(rpc::router())
        .fallback(layers::no_route)
        .method_not_allowed_fallback(layers::no_method)
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn_with_state(Arc::clone(app), layers::observe))
        .layer(CompressionLayer::new().gzip(true).compress_when(worth))
        .layer(from_fn(layers::any_options))
        .layer(from_fn(layers::whole_body))
        .with_state(Arc::clone(app))
}
