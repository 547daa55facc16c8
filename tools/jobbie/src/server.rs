//! `jobbie server`: from flags to a running node, and its end.

use std::io::IsTerminal;

use jobbie_server::{Durability as LogDurability, Server, ServerConfig, Settings, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::args::{Durability, LogFormat, ServerArgs};
use crate::exit::Exit;

/// Runs the server until it is told to stop.
pub(crate) fn run(args: &ServerArgs) -> Exit {
    let config = match config(args) {
        Ok(config) => config,
        Err(e) => return fail(&e, Exit::Usage),
    };
    if let Err(e) = start_log(args.log_format, &args.log_level) {
        return fail(&e, Exit::Usage);
    }
    // Before anything is started, so that no signal is missed once the port answers.
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(e) => return fail(&format!("listen for signals: {e}"), Exit::Failed),
    };
    let server = match Server::start(&config) {
        Ok(server) => server,
        Err(e) => return fail(&e.to_string(), exit_of(&e)),
    };
    let http = match crate::http::beside(&server, &args.http, &config.token) {
        Ok(http) => http,
        Err(e) => {
            server.stop();
            return fail(&e.to_string(), Exit::Failed);
        }
    };
    announce(&server, &config);
    if let Some(http) = &http {
        info!(address = %http.address(), "http");
    }
    let name = signals.wait();
    info!(signal = name, "stopping; a second signal ends at once");
    std::thread::spawn(move || {
        signals.wait();
        std::process::exit(Exit::Failed as i32);
    });
    // It lets its callers go before the shards do.
    if let Some(http) = http {
        http.stop();
    }
    server.stop();
    Exit::Done
}

pub(crate) fn fail(message: &str, exit: Exit) -> Exit {
    eprintln!("error: {message}");
    exit
}

fn exit_of(error: &StartError) -> Exit {
    match error {
        StartError::Config(_) => Exit::Usage,
        StartError::DataDir(_) | StartError::Shard(_) => Exit::DataDir,
        _ => Exit::Failed,
    }
}

/// Checks what no flag can check alone.
fn config(args: &ServerArgs) -> Result<ServerConfig, String> {
    if args.metrics.is_some_and(|at| at.port() != 0 && at == args.listen) {
        return Err(format!(
            "--metrics and --listen are both {}: give metrics another port",
            args.listen
        ));
    }
    let defaults = ServerConfig::default();
    let config = ServerConfig {
        data_dir: args.data_dir.clone(),
        listen: args.listen,
        advertise: args.advertise.clone(),
        shards: args.shards,
        durability: match args.durability {
            Durability::Fsync => LogDurability::Fsync,
            Durability::IntervalMs(ms) => LogDurability::Interval(ms),
            Durability::None => LogDurability::None,
        },
        segment_bytes: args.segment_bytes.unwrap_or(defaults.segment_bytes),
        snapshot_log_bytes: args.snapshot_log_bytes.unwrap_or(defaults.snapshot_log_bytes),
        history_bytes: args.history_bytes.unwrap_or(defaults.history_bytes),
        read_model: !args.no_read_model,
        token: args.token.clone(),
        metrics: args.metrics,
        settings: Settings {
            retention_ms: args.retention,
            lease_expiries_max: args.lease_expiries_max,
            ..defaults.settings
        },
    };
    config.validate()?;
    Ok(config)
}

/// Logs go to stderr, stdout is for data.
pub(crate) fn start_log(format: LogFormat, level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|e| format!("--log-level {level}: {e}"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|e| format!("start logging: {e}"))
}

fn announce(server: &Server, config: &ServerConfig) {
    for (shard, address) in server.addresses().iter().enumerate() {
        info!(shard, %address, "listening");
    }
    if let Some(address) = server.metrics_address() {
        info!(%address, "metrics");
    }
    match config.durability {
        LogDurability::Fsync => {}
        LogDurability::Interval(ms) => {
            warn!(
                ms,
                "relaxed durability: a power cut loses what was acknowledged in the last milliseconds"
            );
        }
        LogDurability::None => {
            warn!(
                "no durability: a power cut loses what was acknowledged and not yet written by the kernel"
            );
        }
    }
}

/// SIGTERM and SIGINT, as they come.
pub(crate) struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        drop(entered);
        Ok(Self { runtime, terminate, interrupt })
    }

    /// Waits for the next one; its name.
    pub(crate) fn wait(&mut self) -> &'static str {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Command, parse};

    fn of(flags: &[&str]) -> Result<ServerConfig, String> {
        let argv = ["jobbie", "server"].iter().chain(flags).map(Into::into).collect();
        let Command::Server(args) = parse(argv).expect("flags are right").command else {
            panic!("not the server")
        };
        config(&args)
    }

    #[test]
    fn flags_and_library_agree_on_the_defaults() {
        let (flags, library) = (of(&[]).expect("defaults fit together"), ServerConfig::default());
        assert_eq!(flags.durability, library.durability);
        assert_eq!(flags.listen, library.listen);
        assert_eq!(flags.segment_bytes, library.segment_bytes);
        assert_eq!(flags.shards, library.shards);
        assert_eq!(flags.settings, library.settings);
        assert!(flags.data_dir.ends_with(&library.data_dir));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let refused = |flags: &[&str]| of(flags).expect_err("must be refused");
        assert!(refused(&["--metrics", "127.0.0.1:7400"]).contains("--metrics"));
        assert!(refused(&["--listen", "0.0.0.0:7400"]).contains("--advertise"));
        for wrong in ["59m", "3661d", "0s"] {
            let message = refused(&["--retention", wrong]);
            assert!(message.starts_with("--retention is ") && message.contains("1h to 3660d"));
        }
        for right in ["1h", "3660d"] {
            assert!(of(&["--retention", right, "--lease-expiries-max", "0"]).is_ok(), "{right}");
        }
    }
}
