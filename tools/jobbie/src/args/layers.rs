//! Flag, variable, file, default: the layers a value can come from.
//!
//! Variables and keys are not written out anywhere: both follow from the flag's name, so a new flag has them by itself.
//! What the file says is handed to the same parser as the flags, so a value means the same wherever it stands.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches};

use super::{Cli, ClientArgs};

/// What all client commands share has a table of its own.
const SHARED_TABLE: &str = "client";
/// Names further apart than this are not offered as what was meant.
const TYPO_DISTANCE_MAX: usize = 4;

/// The command line, the environment or the file is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    /// As clap words it; also carries `--help` and `--version`.
    #[error(transparent)]
    Flags(#[from] clap::Error),
    /// The file cannot be read.
    #[error("read config {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// The file is not TOML.
    #[error("config {path} is not valid TOML: {source}")]
    Toml { path: PathBuf, source: Box<toml::de::Error> },
    /// A table or key that means nothing.
    #[error("config {path}: unknown {what} \"{name}\"{hint}")]
    Unknown { path: PathBuf, what: &'static str, name: String, hint: String },
    /// A value of a kind that no flag has.
    #[error("config {path}: \"{key}\" must be {expected}")]
    Value { path: PathBuf, key: String, expected: &'static str },
    /// The flags are right and the file is not.
    #[error("a value in config {path} is wrong; {source}")]
    InFile { path: PathBuf, source: clap::Error },
}

/// Reads the command line, the environment and the file.
pub(crate) fn parse(argv: Vec<OsString>) -> Result<Cli, UsageError> {
    let command = command();
    let matches = command.clone().try_get_matches_from(&argv)?;
    let Some(path) = matches.get_one::<PathBuf>("config").cloned() else {
        return Ok(Cli::from_arg_matches(&matches)?);
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|source| UsageError::Read { path: path.clone(), source })?;
    let file: toml::Table = text
        .parse()
        .map_err(|source| UsageError::Toml { path: path.clone(), source: Box::new(source) })?;
    check_names(&command, &file, &path)?;
    let Some((name, given)) = matches.subcommand() else {
        return Ok(Cli::from_arg_matches(&matches)?);
    };
    let extra = missing(&command, name, given, &file, &path)?;
    let matches = command
        .try_get_matches_from(with_extra(argv, extra))
        .map_err(|source| UsageError::InFile { path, source })?;
    Ok(Cli::from_arg_matches(&matches)?)
}

/// The command with a variable for every flag.
pub(crate) fn command() -> clap::Command {
    fn with_variables(command: clap::Command) -> clap::Command {
        let command = command.mut_args(|arg| match arg.get_long() {
            Some("help" | "version") | None => arg,
            Some(long) => {
                let name = format!("JOBBIE_{}", long.to_uppercase().replace('-', "_"));
                // A few dozen names for the life of the process: clap keeps them by reference.
                arg.env(&*name.leak())
            }
        });
        command.mut_subcommands(with_variables)
    }
    with_variables(Cli::command())
}

/// Long names of a command's flags, with those of the commands below it: they share its table.
fn flags(command: &clap::Command) -> Vec<&str> {
    let longs = command.get_arguments().filter_map(|arg| arg.get_long());
    let own = longs.filter(|long| !["help", "version", "config"].contains(long));
    own.chain(command.get_subcommands().flat_map(flags)).collect()
}

/// Every table and key of the file means something, also those of other commands.
fn check_names(command: &clap::Command, file: &toml::Table, path: &Path) -> Result<(), UsageError> {
    let shared = ClientArgs::augment_args(clap::Command::new(SHARED_TABLE));
    let tables: Vec<_> = command.get_subcommands().chain([&shared]).collect();
    let unknown = |what, name: String, among: Vec<String>| {
        let hint =
            nearest(&name, among).map_or(String::new(), |n| format!("; did you mean \"{n}\"?"));
        UsageError::Unknown { path: path.to_owned(), what, name, hint }
    };
    for (table, value) in file {
        let Some(of) = tables.iter().find(|c| c.get_name() == table) else {
            // A flag outside its table is the likely mistake.
            let homes = tables.iter().filter(|c| flags(c).contains(&table.as_str()));
            let places: Vec<String> = homes.map(|c| format!("{}.{table}", c.get_name())).collect();
            let names = tables.iter().map(|c| c.get_name().to_owned()).collect();
            return Err(match places.first() {
                Some(place) => UsageError::Unknown {
                    path: path.to_owned(),
                    what: "key",
                    name: table.clone(),
                    hint: format!("; did you mean \"{place}\"?"),
                },
                None => unknown("table", table.clone(), names),
            });
        };
        let Some(keys) = value.as_table() else {
            let (path, key) = (path.to_owned(), table.clone());
            return Err(UsageError::Value { path, key, expected: "a table" });
        };
        let known = flags(of);
        if let Some(key) = keys.keys().find(|key| !known.contains(&key.as_str())) {
            let among = known.iter().map(|k| format!("{table}.{k}")).collect();
            return Err(unknown("key", format!("{table}.{key}"), among));
        }
    }
    Ok(())
}

fn nearest(name: &str, among: Vec<String>) -> Option<String> {
    let distance = |known: &String| strsim::damerau_levenshtein(name, known);
    let best = among.into_iter().min_by_key(distance)?;
    (distance(&best) <= TYPO_DISTANCE_MAX).then_some(best)
}

/// Flags for what neither the command line nor the environment gives and the file does.
fn missing(
    command: &clap::Command,
    name: &str,
    given: &ArgMatches,
    file: &toml::Table,
    path: &Path,
) -> Result<Vec<OsString>, UsageError> {
    let mut sub = command.find_subcommand(name).expect("clap found it");
    let mut given = given;
    while let Some((below, its)) = given.subcommand() {
        (sub, given) = (sub.find_subcommand(below).expect("clap found it"), its);
    }
    let mut extra = Vec::new();
    for arg in sub.get_arguments() {
        let Some(long) = arg.get_long() else { continue };
        let in_table =
            |table: &str| file.get(table)?.get(long).map(|v| (format!("{table}.{long}"), v));
        let Some((key, value)) = in_table(name).or_else(|| in_table(SHARED_TABLE)) else {
            continue;
        };
        let source = given.value_source(arg.get_id().as_str());
        if matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable)) {
            continue;
        }
        let wrong = |expected| UsageError::Value { path: path.to_owned(), key, expected };
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        match value {
            toml::Value::Boolean(true) if is_switch => extra.push(format!("--{long}").into()),
            toml::Value::Boolean(false) if is_switch => {}
            _ if is_switch => return Err(wrong("true or false")),
            toml::Value::String(text) => extra.push(format!("--{long}={text}").into()),
            toml::Value::Integer(number) => extra.push(format!("--{long}={number}").into()),
            _ => return Err(wrong("a string or an integer")),
        }
    }
    Ok(extra)
}

/// The flags go before a `--`, behind which everything is taken as it is.
fn with_extra(mut argv: Vec<OsString>, extra: Vec<OsString>) -> Vec<OsString> {
    let end = argv.iter().position(|a| a == "--").unwrap_or(argv.len());
    argv.splice(end..end, extra);
    argv
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ScheduleCommand;
    use crate::args::{Command, Durability, ServerArgs};

    fn with_file(text: &str, args: &[&str]) -> Result<Cli, UsageError> {
        let folder = tempfile::tempdir().expect("make a folder");
        let path = folder.path().join("jobbie.toml");
        std::fs::write(&path, text).expect("write config");
        let mut argv: Vec<OsString> = vec!["jobbie".into(), "--config".into(), path.into()];
        argv.extend(args.iter().map(Into::into));
        parse(argv)
    }

    fn server(cli: Cli) -> ServerArgs {
        match cli.command {
            Command::Server(args) => args,
            other => panic!("not the server: {other:?}"),
        }
    }

    fn refused(text: &str, args: &[&str]) -> String {
        let error = with_file(text, args).expect_err("must be refused").to_string();
        error.split_once(".toml: ").map_or(error.clone(), |(_, rest)| rest.to_owned())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable() {
        let all = command();
        let below = all.get_subcommands().flat_map(clap::Command::get_subcommands);
        for sub in all.get_subcommands().chain(below) {
            for arg in sub.get_arguments().filter(|a| a.get_long().is_some_and(|l| l != "help")) {
                let long = arg.get_long().unwrap_or_default();
                let expected = format!("JOBBIE_{}", long.replace('-', "_").to_uppercase());
                let variable = arg.get_env().map(|v| v.to_string_lossy().into_owned());
                assert_eq!(variable, Some(expected), "{} --{long}", sub.get_name());
            }
        }
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let file = "[server]\nshards = 3\nlisten = \"127.0.0.1:9\"\ndurability = \"none\"\n";
        let args = server(with_file(file, &["server", "--shards", "5"]).expect("is right"));
        assert_eq!(args.shards, Some(5));
        assert_eq!(args.listen.port(), 9);
        assert_eq!(args.durability, Durability::None);
        assert_eq!(args.data_dir, Path::new("./jobbie-data"));
    }

    #[test]
    fn client_commands_share_a_table() {
        let file = "[client]\naddr = \"h:1\"\noutput = \"json\"\n[fail]\nno-retry = true\naddr = \"h:2\"\n";
        let job = "job_1a1ee565e7bfffffffffffffff";
        let cli = with_file(file, &["fail", job, "--", "-x"]).expect("is right");
        let Command::Fail(args) = cli.command else { panic!("not fail") };
        assert!(args.no_retry);
        assert_eq!(args.client.addr, "h:2");
        assert_eq!(args.client.output, crate::args::Output::Json);
        assert_eq!(args.error, "-x");
    }

    #[test]
    fn commands_below_a_command_share_its_table() {
        let file = "[client]\naddr = \"h:1\"\n[schedule]\nzone = \"Europe/Berlin\"\nnext = 7\n";
        let cli = with_file(file, &["schedule", "set", "q", "n", "@daily", "p"]).expect("is right");
        let Command::Schedule(ScheduleCommand::Set(args)) = cli.command else { panic!("not set") };
        assert_eq!((&*args.zone, &*args.schedule.client.addr), ("Europe/Berlin", "h:1"));
        let cli = with_file(file, &["schedule", "show", "q", "n"]).expect("is right");
        let Command::Schedule(ScheduleCommand::Show(args)) = cli.command else { panic!("no show") };
        assert_eq!(args.next, 7);
        let hint = refused("[schedule]\nzones = 1\n", &["version"]);
        assert_eq!(hint, "unknown key \"schedule.zones\"; did you mean \"schedule.zone\"?");
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest_known() {
        let hint = refused("[server]\ndata_dri = \"x\"\n", &["server"]);
        assert_eq!(hint, "unknown key \"server.data_dri\"; did you mean \"server.data-dir\"?");
        let hint = refused("[sever]\n", &["server"]);
        assert_eq!(hint, "unknown table \"sever\"; did you mean \"server\"?");
        let hint = refused("listen = \"127.0.0.1:9\"\n", &["server"]);
        assert_eq!(hint, "unknown key \"listen\"; did you mean \"server.listen\"?");
        let hint = refused("[server]\nquite-something-else = 1\n", &["server"]);
        assert_eq!(hint, "unknown key \"server.quite-something-else\"");
        let hint = refused("[enqueue]\npriorty = 1\n", &["version"]);
        assert_eq!(hint, "unknown key \"enqueue.priorty\"; did you mean \"enqueue.priority\"?");
    }

    #[test]
    fn wrong_values_name_the_file_and_the_flag() {
        assert!(refused("[server]\nshards = 0\n", &["server"]).contains("--shards"));
        assert!(
            refused("[server]\nshards = [1]\n", &["server"]).contains("\"server.shards\" must be")
        );
        assert!(
            refused("[fail]\nno-retry = 1\n", &["fail", "job_1a1ee565e7bfffffffffffffff", "e"])
                .contains("true or false")
        );
        assert!(refused("server = 1\n", &["server"]).contains("\"server\" must be a table"));
        assert!(refused("[server\n", &["server"]).contains("not valid TOML"));
    }
}
