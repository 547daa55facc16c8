//! What work on jobs used.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use jobbie_proto::limits::USAGE_HOURS;
use jobbie_proto::reply::UsageSum;
use jobbie_proto::request::{ReportUsage, Usage, UsageQuery};
use jobbie_proto::usage::{Amounts, UsageGroup, dollars};
use jobbie_proto::{Micros, Request};
use serde_json::Value;

use super::print_failed;
use crate::args::{CacheCommand, SpentArgs, UsageArgs};
use crate::call::{CallError, Server};
use crate::exit::Exit;
use crate::output::Rows;

/// Columns of a table of sums, behind those that say of what.
macro_rules! columns {
    ($($of:literal,)?) => {
        &[
            $($of,)?
            "reports",
            "input_tokens",
            "output_tokens",
            "cache_creation_tokens",
            "cache_read_tokens",
            "cost_usd",
        ]
    };
}

/// What the work on the one job of a request used.
pub(super) fn report(args: &SpentArgs) -> Vec<ReportUsage<'_>> {
    let amounts = Amounts {
        input_tokens: args.input_tokens,
        output_tokens: args.output_tokens,
        cache_creation_tokens: args.cache_creation_tokens,
        cache_read_tokens: args.cache_read_tokens,
        cost_micros: args.cost_usd,
    };
    // The server drops a report of nothing, but says what is wrong with it.
    if amounts.is_nothing() && args.model.is_empty() && args.provider.is_empty() {
        return Vec::new();
    }
    vec![ReportUsage {
        of: 0,
        usage: Usage { amounts, model: &args.model, provider: &args.provider },
    }]
}

/// The sums that are asked for; none when nothing was used by any of what they are of.
fn asked(args: &UsageArgs) -> Result<(UsageGroup, BTreeMap<String, UsageSum>), CallError> {
    let period_max = u64::from(USAGE_HOURS) * 3_600_000;
    if !(1..=period_max).contains(&args.period) {
        let (period, days) = (args.period, USAGE_HOURS / 24);
        let message = format!("--period is {period}ms, and must be 1ms to {days}d");
        return Err(CallError::Usage(message));
    }
    let mut server = Server::connect(&args.client, None)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
    let from = Micros(now.saturating_sub(args.period.saturating_mul(1000)));
    let by = args.group_by.map_or(UsageGroup::All, UsageGroup::from);
    let mut sums = sums(&mut server, from, by)?;
    if by == UsageGroup::All {
        sums.entry(String::new()).or_default();
    }
    if sums.is_empty() {
        eprintln!("nothing was used in this time");
    }
    Ok((by, sums))
}

/// How much of what models read came from their prompt caches.
pub(super) fn cache(command: &CacheCommand) -> Result<Exit, CallError> {
    let CacheCommand::Stats(args) = command;
    let (_, sums) = asked(args)?;
    if sums.is_empty() {
        return Ok(Exit::Nothing);
    }
    let columns =
        &["of", "input_tokens", "cache_creation_tokens", "cache_read_tokens", "hit_percent"];
    let mut rows = Rows::new(columns);
    for (of, UsageSum { amounts, .. }) in &sums {
        let Amounts { input_tokens, cache_creation_tokens, cache_read_tokens, .. } = *amounts;
        rows.push(vec![
            if of.is_empty() { "all".into() } else { of.as_str().into() },
            input_tokens.into(),
            cache_creation_tokens.into(),
            cache_read_tokens.into(),
            hit_percent(amounts).map_or(Value::Null, Value::from),
        ]);
    }
    rows.print(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

/// Of a hundred tokens that models read, how many came from a cache. Providers count tokens read from a cache beside the
/// others; where one does not, this is too low.
fn hit_percent(amounts: &Amounts) -> Option<u64> {
    let read = u128::from(amounts.cache_read_tokens);
    let all = read + u128::from(amounts.cache_creation_tokens) + u128::from(amounts.input_tokens);
    (all > 0).then(|| (read * 100 / all) as u64)
}

pub(super) fn usage(args: &UsageArgs) -> Result<Exit, CallError> {
    let (by, sums) = asked(args)?;
    if sums.is_empty() {
        return Ok(Exit::Nothing);
    }
    let columns: &'static [&'static str] = match by {
        UsageGroup::All => columns!(),
        UsageGroup::Queue => columns!("queue",),
        UsageGroup::Model => columns!("model",),
        UsageGroup::Provider => columns!("provider",),
    };
    let mut rows = Rows::new(columns);
    for (of, UsageSum { reports, amounts, .. }) in &sums {
        let mut row: Vec<Value> = Vec::with_capacity(columns.len());
        row.extend((by != UsageGroup::All).then(|| of.as_str().into()));
        row.push((*reports).into());
        row.extend(amounts.named()[..4].iter().map(|(_, n)| Value::from(*n)));
        row.push(dollars(amounts.cost_micros).into());
        rows.push(row);
    }
    rows.print(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

/// All shards together, by name.
fn sums(
    server: &mut Server,
    from: Micros,
    by: UsageGroup,
) -> Result<BTreeMap<String, UsageSum>, CallError> {
    let mut all: BTreeMap<String, UsageSum> = BTreeMap::new();
    for shard in server.shards() {
        let mut after: Option<String> = None;
        loop {
            let query = UsageQuery { from, to: Micros(0), by, after: after.as_deref() };
            let mut request = Request { usage: Some(query), ..Request::default() };
            let mut page = Vec::new();
            server.call(shard, &mut request, |reply| page.extend_from_slice(&reply.usage))?;
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
            for UsageSum { name, reports, amounts } in page {
                let sum = all.entry(name).or_default();
                sum.reports += reports;
                sum.amounts.add(&amounts);
            }
        }
    }
    Ok(all)
}
