//! Whether reports of usage may be at all.

use jobbie_proto::Request;
use jobbie_proto::limits::{MODEL_BYTES_MAX, USAGE_COST_MICROS_MAX, USAGE_TOKENS_MAX};
use jobbie_proto::request::{ReportUsage, Usage};

use super::validate::{Checked, Field, at_most, bytes, invalid};

pub(super) fn usages(request: &Request<'_>) -> Checked {
    let lists = [
        ("ack_usages", &request.ack_usages, "ack", request.acks.len()),
        ("heartbeat_usages", &request.heartbeat_usages, "heartbeat", request.heartbeats.len()),
    ];
    for (list, reports, kind, len) in lists {
        let mut next = 0;
        for (at, ReportUsage { of, usage }) in reports.iter().enumerate() {
            let field = |name: &str| format!("{list}[{at}].{name}");
            let position = *of as usize;
            if position < next || position >= len {
                return invalid(format!("{}: {position}, not a later {kind}'s", field("of")));
            }
            next = position + 1;
            check_usage(usage, &field)?;
        }
    }
    Ok(())
}

fn check_usage(usage: &Usage<'_>, field: Field<'_>) -> Checked {
    for (name, amount) in usage.amounts.named() {
        let most = if name == "cost_micros" { USAGE_COST_MICROS_MAX } else { USAGE_TOKENS_MAX };
        at_most(amount, most, name, field)?;
    }
    for (name, text) in [("model", usage.model), ("provider", usage.provider)] {
        bytes(text.as_bytes(), MODEL_BYTES_MAX, name, field)?;
        if text.chars().any(char::is_control) {
            return invalid(format!("{}: has a control character", field(name)));
        }
    }
    Ok(())
}
