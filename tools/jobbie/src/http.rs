//! HTTP beside the node of this process: from flags to a running shim, and what it is told of the read model.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jobbie_http::{HttpConfig, HttpServer, Progress, StartError};
use jobbie_server::{ReadModel, Server};
use tokio::sync::watch;

use crate::args::HttpArgs;

/// The read model of the node, as the shim asks for it.
struct OfNode(ReadModel);

impl Progress for OfNode {
    fn caught_up(&self, within: Duration) -> BoxFuture<'_, jobbie_http::Lag> {
        Box::pin(async move {
            if self.0.caught_up(within).await { jobbie_http::Lag::default() } else { self.lag() }
        })
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

    fn lag(&self) -> jobbie_http::Lag {
        let jobbie_server::Lag { events, ms } = self.0.lag();
        jobbie_http::Lag { events, ms }
    }
}

/// No read model: nothing is ever seen.
struct Nothing(watch::Sender<u64>);

impl Progress for Nothing {
    fn caught_up(&self, _within: Duration) -> BoxFuture<'_, jobbie_http::Lag> {
        Box::pin(async { jobbie_http::Lag::default() })
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    fn lag(&self) -> jobbie_http::Lag {
        jobbie_http::Lag::default()
    }
}

/// Where there is no read model.
pub(crate) fn nothing() -> impl Progress {
    Nothing(watch::channel(0).0)
}

/// Serves HTTP for the node of this process, unless it is told not to.
pub(crate) fn beside(
    server: &Server,
    args: &HttpArgs,
    token: &str,
) -> Result<Option<HttpServer>, StartError> {
    if args.no_http {
        return Ok(None);
    }
    let model = server.read_model();
    let config = HttpConfig {
        listen: args.http,
        connect: server.addresses().iter().map(ToString::to_string).collect(),
        token: token.to_owned(),
        read_model: model.as_ref().map(|model| model.path().to_owned()),
        ..HttpConfig::default()
    };
    let progress: Arc<dyn Progress> = match model {
        Some(model) => Arc::new(OfNode(model)),
        None => Arc::new(nothing()),
    };
    HttpServer::start(config, progress).map(Some)
}
