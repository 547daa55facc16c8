//! `jobbie server`: from flags to a running node.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::args::{Durability, LogFormat, ServerArgs};
use crate::exit::Exit;

/// Sizes a segment may have, in bytes: smaller ones are all header, larger ones take long to recover.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=4 << 30;
/// Size of a segment when none is asked for, in bytes.
const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;

/// What the flags come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    /// Nothing is one per core, or what the data directory was made with.
    pub(crate) shards: Option<u16>,
    pub(crate) durability: Durability,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: String,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) segment_bytes: u64,
}

impl Options {
    /// Checks what no flag can check alone.
    fn new(args: &ServerArgs) -> Result<Self, String> {
        let segment_bytes = args.segment_bytes.unwrap_or(SEGMENT_BYTES_DEFAULT);
        if !SEGMENT_BYTES.contains(&segment_bytes) {
            return Err("--segment-bytes must be 1MiB to 4GiB".into());
        }
        if args.metrics == Some(args.listen) {
            return Err(format!(
                "--metrics and --listen are both {}: give metrics another port",
                args.listen
            ));
        }
        Ok(Self {
            data_dir: args.data_dir.clone(),
            listen: args.listen,
            shards: args.shards,
            durability: args.durability,
            log_format: args.log_format,
            log_level: args.log_level.clone(),
            metrics: args.metrics,
            segment_bytes,
        })
    }
}

/// Runs the server until it is told to stop.
pub(crate) fn run(args: &ServerArgs) -> Exit {
    match Options::new(args) {
        Ok(options) => start(&options),
        Err(e) => {
            eprintln!("error: {e}");
            Exit::Usage
        }
    }
}

fn start(options: &Options) -> Exit {
    if let Err(e) = std::fs::create_dir_all(&options.data_dir) {
        eprintln!("error: make data directory {}: {e}", options.data_dir.display());
        return Exit::DataDir;
    }
    eprintln!("error: this build has no server: {options:?} is understood and nothing was started");
    Exit::Failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Command, parse};

    fn options(flags: &[&str]) -> Result<Options, String> {
        let argv = ["jobbie", "server"].iter().chain(flags).map(Into::into).collect();
        let Command::Server(args) = parse(argv).expect("flags are right").command else {
            panic!("not the server")
        };
        Options::new(&args)
    }

    #[test]
    fn defaults_need_no_flags() {
        let options = options(&[]).expect("defaults fit together");
        assert_eq!(options.durability, Durability::Fsync);
        assert_eq!(options.listen.to_string(), "127.0.0.1:7400");
        assert_eq!(options.segment_bytes, SEGMENT_BYTES_DEFAULT);
        assert_eq!(options.shards, None);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        assert!(options(&["--metrics", "127.0.0.1:7400"]).is_err());
        assert!(options(&["--segment-bytes", "4KiB"]).is_err());
        assert!(options(&["--segment-bytes", "5GiB"]).is_err());
    }
}
