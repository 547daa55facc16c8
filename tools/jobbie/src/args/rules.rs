//! Flags of budgets and approval policies.

use clap::{Args, Subcommand, ValueEnum};
use jobbie_proto::rules::{JobTag, OnExceed, PolicyMode, Scope};
use jobbie_proto::usage::{DollarsError, parse_dollars};

use super::ClientArgs;
use super::units::queue_name;

#[derive(Debug, Subcommand)]
pub(crate) enum BudgetCommand {
    /// List budgets and what was spent of them today
    List(RulesArgs),
    /// Make a budget, or give the one of that scope other limits
    Set(SetBudgetArgs),
    /// Remove a budget
    Delete(ScopeArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List approval policies, newest first
    List(RulesArgs),
    /// Make an approval policy, newer than all others, and print its id
    Set(SetPolicyArgs),
    /// Remove an approval policy
    Delete(DeletePolicyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScopeKind {
    /// The jobs of a queue
    Queue,
    /// Jobs with a tag
    Tag,
    /// All jobs
    Global,
}

/// What happens to work for which no money is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnExceeded {
    /// It waits
    Hold,
    /// It is refused
    Reject,
    /// It goes on
    #[value(name = "alert_only", alias = "alert-only")]
    AlertOnly,
}

impl From<OnExceeded> for OnExceed {
    fn from(what: OnExceeded) -> Self {
        match what {
            OnExceeded::Hold => Self::Hold,
            OnExceeded::Reject => Self::Reject,
            OnExceeded::AlertOnly => Self::AlertOnly,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// One condition is enough
    Any,
    /// All conditions must hold
    All,
}

impl From<Mode> for PolicyMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Any => Self::Any,
            Mode::All => Self::All,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ScopeArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// For what
    #[arg(value_enum)]
    kind: ScopeKind,
    /// The queue, or the tag as key=value or key:value; none or * for all jobs
    target: Option<String>,
}

impl ScopeArgs {
    /// What the budget is about.
    ///
    /// # Errors
    /// When the target does not go with the kind, in words.
    pub(crate) fn scope(&self) -> Result<Scope, String> {
        let target = self.target.as_deref();
        match (self.kind, target) {
            (ScopeKind::Global, None | Some("*")) => Ok(Scope::Global),
            (ScopeKind::Global, Some(_)) => Err("a global budget has no target".into()),
            (_, None) => Err("which queue or tag the budget is for is missing".into()),
            (ScopeKind::Queue, Some(queue)) => queue_name(queue).map(Scope::Queue),
            (ScopeKind::Tag, Some(text)) => tag(text).map(Scope::Tag),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct SetBudgetArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// What may be spent from 00:00 to 24:00 UTC, in dollars with at most six decimal places; 0 stops everything
    #[arg(long, value_name = "USD", value_parser = amount, required_unless_present = "per_job")]
    pub(crate) daily: Option<u64>,
    /// What one job may cost, in dollars
    #[arg(long, value_name = "USD", value_parser = amount)]
    pub(crate) per_job: Option<u64>,
    /// What happens to work for which no money is left
    #[arg(long, value_enum, default_value = "hold")]
    pub(crate) on_exceed: OnExceeded,
}

#[derive(Debug, Args)]
pub(crate) struct SetPolicyArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Its name, which several may have
    pub(crate) name: String,
    /// How the conditions go together
    #[arg(long, value_enum, default_value = "any")]
    pub(crate) mode: Mode,
    /// Condition: the job is in this queue
    #[arg(long, value_parser = queue_name)]
    pub(crate) queue: Option<String>,
    /// Condition: the job has this tag
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    pub(crate) tag: Option<JobTag>,
    /// Keep it, but do not look at it
    #[arg(long)]
    pub(crate) disabled: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeletePolicyArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Its id, as `list` shows it
    pub(crate) id: u64,
}

/// Reads an amount of dollars, in micro-dollars.
fn amount(text: &str) -> Result<u64, DollarsError> {
    parse_dollars(text)
}

/// Reads a tag: up to the first `=` or `:` is the key.
fn tag(text: &str) -> Result<JobTag, String> {
    let (key, value) = text.split_once(['=', ':']).ok_or("a tag is key=value or key:value")?;
    if key.is_empty() {
        return Err("the key of a tag has at least 1 byte".into());
    }
    Ok(JobTag { key: key.into(), value: value.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_split_at_the_first_sign() {
        let pair = |text| tag(text).map(|tag| (tag.key, tag.value));
        assert_eq!(pair("a=b"), Ok(("a".into(), "b".into())));
        assert_eq!(pair("a:b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        for wrong in ["a", "=b", ""] {
            assert!(tag(wrong).is_err(), "{wrong}");
        }
    }
}
