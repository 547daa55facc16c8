//! What work used, as workers report it.

use jobbie_client::{Amounts, Usage};
use jobbie_proto::limits::{MODEL_BYTES_MAX, USAGE_COST_MICROS_MAX, USAGE_TOKENS_MAX};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::options::micros;

/// Tokens and money. What is negative is nothing.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct UsageBody {
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cache_creation_tokens: Option<i64>,
    cache_read_tokens: Option<i64>,
    model: Option<String>,
    provider: Option<String>,
    cost_usd: Option<f64>,
}

fn tokens(count: Option<i64>) -> u64 {
    u64::try_from(count.unwrap_or(0)).unwrap_or(0).min(USAGE_TOKENS_MAX)
}

/// As much of a name as fits: an ack is not refused for it.
fn name(text: Option<&str>) -> &str {
    let text = text.unwrap_or_default();
    let text = text.split(char::is_control).next().unwrap_or_default();
    let mut end = text.len().min(MODEL_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl UsageBody {
    pub(crate) fn report(&self) -> Usage<'_> {
        let amounts = Amounts {
            input_tokens: tokens(self.input_tokens),
            output_tokens: tokens(self.output_tokens),
            cache_creation_tokens: tokens(self.cache_creation_tokens),
            cache_read_tokens: tokens(self.cache_read_tokens),
            cost_micros: micros(self.cost_usd.unwrap_or(0.0)).min(USAGE_COST_MICROS_MAX),
        };
        Usage {
            amounts,
            model: name(self.model.as_deref()),
            provider: name(self.provider.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_counted_is_made_to_fit() {
        let body: UsageBody = serde_json::from_str(
            r#"{"input_tokens": -4, "output_tokens": 7, "cost_usd": 0.0123, "model": "a\nb"}"#,
        )
        .expect("JSON");
        let usage = body.report();
        assert_eq!((usage.amounts.input_tokens, usage.amounts.output_tokens), (0, 7));
        assert_eq!((usage.amounts.cost_micros, usage.model), (12_300, "a"));
        assert_eq!(name(Some(&"\u{e4}".repeat(100))).len(), MODEL_BYTES_MAX);
        let loss = UsageBody { cost_usd: Some(-1.0), ..UsageBody::default() };
        assert!(loss.report().amounts.is_nothing());
    }
}
