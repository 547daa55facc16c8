//! What helps at a terminal and asks no server: the version, completions, manual pages.

use std::path::Path;

use clap_complete::generate;
use serde_json::json;

use crate::args::{CompletionsArgs, ManArgs, Shell, VersionArgs, command};
use crate::call::CallError;
use crate::exit::Exit;
use crate::output;

pub(crate) fn version(args: &VersionArgs) -> Result<Exit, CallError> {
    let version = env!("CARGO_PKG_VERSION");
    let line = format!("jobbie {version}");
    output::print_made(&line, &json!({ "version": version }), args.output)
        .map_err(|source| CallError::Local { what: "print the version".into(), source })?;
    Ok(Exit::Done)
}

pub(crate) fn completions(args: &CompletionsArgs) -> Result<Exit, CallError> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut command(), "jobbie", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)
        .map_err(|source| CallError::Local { what: "print the script".into(), source })?;
    Ok(Exit::Done)
}

/// Writes `jobbie.1`, and `jobbie-enqueue.1` and the like beside it.
pub(crate) fn man(args: &ManArgs) -> Result<Exit, CallError> {
    let failed = |path: &Path| {
        let what = format!("write {}", path.display());
        move |source| CallError::Local { what, source }
    };
    std::fs::create_dir_all(&args.out).map_err(failed(&args.out))?;
    let whole = command().disable_help_subcommand(true);
    clap_mangen::generate_to(whole, &args.out).map_err(failed(&args.out))?;
    Ok(Exit::Done)
}
