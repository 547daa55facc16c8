//! Usage on the wire: what work on jobs used, and sums of it.

use super::blob::{BlobReader, len_u16};
use super::decode_controls::Rising;
use super::encoder::Scratch;
use super::generated as fb;
use super::table::{Table, collect};
use super::{DecodeError, EncodeError, Lookup};
use crate::Micros;
use crate::limits::{OPS_PER_REQUEST_MAX, USAGE_GROUPS_MAX};
use crate::reply::UsageSum;
use crate::request::{ReportUsage, Request, Usage, UsageQuery};
use crate::usage::{Amounts, UsageGroup};

/// Usage of a request.
#[derive(Default)]
pub(super) struct Using {
    pub(super) acks: Vec<fb::Usage>,
    pub(super) heartbeats: Vec<fb::Usage>,
    pub(super) query: Option<fb::UsageQuery>,
}

impl Using {
    pub(super) fn put(out: &mut Vec<u8>, request: &Request<'_>) -> Result<Self, EncodeError> {
        let mut all = |reports: &[ReportUsage<'_>]| {
            reports.iter().map(|report| report_to(out, report)).collect::<Result<Vec<_>, _>>()
        };
        let (acks, heartbeats) = (all(&request.ack_usages)?, all(&request.heartbeat_usages)?);
        let mut using = Self { acks, heartbeats, query: None };
        if let Some(UsageQuery { from, to, by, after }) = request.usage {
            let name = after.unwrap_or_default().as_bytes();
            let len = len_u16("group of usage", name)?;
            let query = fb::UsageQuery::new(from.0, to.0, len, after.is_some(), by as u8);
            using.query = Some(query);
            out.extend_from_slice(name);
        }
        Ok(using)
    }
}

fn report_to(out: &mut Vec<u8>, report: &ReportUsage<'_>) -> Result<fb::Usage, EncodeError> {
    let ReportUsage { of, usage: Usage { amounts, model, provider } } = *report;
    let (model, provider) = (model.as_bytes(), provider.as_bytes());
    out.extend_from_slice(model);
    out.extend_from_slice(provider);
    Ok(fb::Usage::new(
        amounts.input_tokens,
        amounts.output_tokens,
        amounts.cache_creation_tokens,
        amounts.cache_read_tokens,
        amounts.cost_micros,
        of,
        len_u16("model", model)?,
        len_u16("provider", provider)?,
    ))
}

/// Usage of a request, into it.
pub(super) fn usages<'a>(
    table: &Table<'a>,
    request: &mut Request<'a>,
    blob: &mut BlobReader<'a>,
) -> Result<(), DecodeError> {
    use fb::Request as T;
    let of = |field, slot, len, blob: &mut BlobReader<'a>| {
        let mut rising = Rising::new(field, len);
        collect(table.list(field, slot, OPS_PER_REQUEST_MAX)?, |raw| {
            let wire = fb::Usage(raw);
            rising.position(wire.of())?;
            report(&wire, blob)
        })
    };
    let (acks, beats) = (request.acks.len(), request.heartbeats.len());
    request.ack_usages = of("usage of acks", T::VT_ACK_USAGES, acks, blob)?;
    request.heartbeat_usages = of("usage of heartbeats", T::VT_HEARTBEAT_USAGES, beats, blob)?;
    let Some(wire) = table.structure(T::VT_USAGE_QUERY)?.map(fb::UsageQuery) else {
        return Ok(());
    };
    let (field, value) = ("grouping of usage", wire.kind().into());
    let by = UsageGroup::from_u8(wire.kind()).ok_or(DecodeError::Value { field, value })?;
    let after = blob.text("group of usage", wire.after_len().into())?;
    let after = wire.goes_on().then_some(after);
    let (from, to) = (Micros(wire.from_us()), Micros(wire.to_us()));
    request.usage = Some(UsageQuery { from, to, by, after });
    Ok(())
}

fn report<'a>(wire: &fb::Usage, blob: &mut BlobReader<'a>) -> Result<ReportUsage<'a>, DecodeError> {
    let amounts = Amounts {
        input_tokens: wire.input_tokens(),
        output_tokens: wire.output_tokens(),
        cache_creation_tokens: wire.cache_creation_tokens(),
        cache_read_tokens: wire.cache_read_tokens(),
        cost_micros: wire.cost_micros(),
    };
    let model = blob.text("model", wire.model_len().into())?;
    let provider = blob.text("provider", wire.provider_len().into())?;
    Ok(ReportUsage { of: wire.of(), usage: Usage { amounts, model, provider } })
}

/// What the job of the lookup that was put last has cost.
pub(super) fn put_cost(scratch: &mut Scratch, cost_micros: u64) {
    if cost_micros > 0 {
        let lookup = scratch.lookups.len() as u32 - 1;
        scratch.lookup_costs.push(fb::LookupCost::new(cost_micros, lookup));
    }
}

pub(super) fn decode_costs(
    table: &Table<'_>,
    lookups: &mut [Lookup<'_>],
) -> Result<(), DecodeError> {
    let costs = table.list("costs", fb::Reply::VT_LOOKUP_COSTS, OPS_PER_REQUEST_MAX)?;
    let mut rising = Rising::new("position of a lookup's cost", lookups.len());
    for raw in costs {
        let cost = fb::LookupCost(*raw);
        let at = rising.position(cost.lookup())?;
        if let Some(details) = &mut lookups[at].details {
            details.cost_micros = cost.cost_micros();
        }
    }
    Ok(())
}

pub(super) fn put_sum(scratch: &mut Scratch, sum: &UsageSum) -> Result<(), EncodeError> {
    let name = sum.name.as_bytes();
    scratch.usage_sums.push(fb::UsageSum::new(
        sum.reports,
        sum.amounts.input_tokens,
        sum.amounts.output_tokens,
        sum.amounts.cache_creation_tokens,
        sum.amounts.cache_read_tokens,
        sum.amounts.cost_micros,
        len_u16("group of usage", name)?,
    ));
    scratch.usage_bytes.extend_from_slice(name);
    Ok(())
}

pub(super) fn decode_sums(
    table: &Table<'_>,
    blob: &mut BlobReader<'_>,
) -> Result<Vec<UsageSum>, DecodeError> {
    let list = table.list("sums of usage", fb::Reply::VT_USAGE_SUMS, USAGE_GROUPS_MAX)?;
    collect(list, |raw| {
        let wire = fb::UsageSum(raw);
        Ok(UsageSum {
            name: blob.text("group of usage", wire.name_len().into())?.to_owned(),
            reports: wire.reports(),
            amounts: Amounts {
                input_tokens: wire.input_tokens(),
                output_tokens: wire.output_tokens(),
                cache_creation_tokens: wire.cache_creation_tokens(),
                cache_read_tokens: wire.cache_read_tokens(),
                cost_micros: wire.cost_micros(),
            },
        })
    })
}
