//! `jobbie http`: the HTTP side as a process of its own, for nodes elsewhere.

use std::sync::Arc;

use jobbie_http::{HttpConfig, HttpServer};
use tracing::info;

use crate::args::ShimArgs;
use crate::exit::Exit;
use crate::http::nothing;
use crate::server::{Signals, fail, start_log};

/// Serves until it is told to stop.
pub(crate) fn run(args: &ShimArgs) -> Exit {
    if let Err(e) = start_log(args.log_format, &args.log_level) {
        return fail(&e, Exit::Usage);
    }
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(e) => return fail(&format!("listen for signals: {e}"), Exit::Failed),
    };
    let config = HttpConfig {
        listen: args.http,
        connect: args.connect.clone(),
        token: args.token.clone(),
        // It is a file of the node.
        read_model: None,
        ..HttpConfig::default()
    };
    let http = match HttpServer::start(config, Arc::new(nothing())) {
        Ok(http) => http,
        Err(e) => return fail(&e.to_string(), Exit::Failed),
    };
    info!(address = %http.address(), "http, without search and history: the read model is with the node");
    let name = signals.wait();
    info!(signal = name, "stopping; a second signal ends at once");
    std::thread::spawn(move || {
        signals.wait();
        std::process::exit(Exit::Failed as i32);
    });
    http.stop();
    Exit::Done
}
