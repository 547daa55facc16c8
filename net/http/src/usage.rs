//! What work used.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jobbie_client::{Amounts, Micros, UsageGroup, UsageSum};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Caller, Params};
use crate::fetch::dollars;
use crate::json;
use crate::moment;
use crate::namespace::Namespace;
use crate::routes::{Doc, Routes};

const CODE: &str = "USAGE_SUMMARY_ERROR";
const PERIOD_DEFAULT: &str = "24h";

pub(crate) fn routes() -> Routes {
    Routes::default()
        .get("/usage/summary", summary, Doc::new("What was used, by queue, model or provider"))
        .get("/billing/summary", billing, Doc::new("What was used, by namespace"))
}

/// A sum.
#[derive(Default, Serialize, JsonSchema)]
struct Sum {
    input_tokens: u64,
    output_tokens: u64,
    cache_creation_tokens: u64,
    cache_read_tokens: u64,
    cost_usd: f64,
}

impl From<&Amounts> for Sum {
    fn from(of: &Amounts) -> Self {
        Self {
            input_tokens: of.input_tokens,
            output_tokens: of.output_tokens,
            cache_creation_tokens: of.cache_creation_tokens,
            cache_read_tokens: of.cache_read_tokens,
            cost_usd: dollars(of.cost_micros),
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct Total {
    #[serde(flatten)]
    sum: Sum,
    count: u64,
}

#[derive(Serialize, JsonSchema)]
struct Group {
    key: String,
    #[serde(flatten)]
    sum: Sum,
    count: u64,
}

/// A time up to now.
struct Period {
    text: String,
    from: Micros,
    to: Micros,
}

impl Period {
    fn new(params: &Params) -> Result<Self, ApiError> {
        let text = params.get("period").unwrap_or(PERIOD_DEFAULT).to_owned();
        let ms = moment::duration_ms("period", &text).map_err(|error| error.of(CODE))?;
        if ms == 0 {
            return Err(ApiError::bad(CODE, "period: more than 0"));
        }
        let to = moment::now();
        let from = Micros(to.0.saturating_sub(ms.saturating_mul(1000)));
        Ok(Self { text, from, to })
    }

    async fn sums(&self, app: &App, by: UsageGroup) -> Result<Vec<UsageSum>, ApiError> {
        Ok(app.client.usage(self.from, Micros(0), by).await?)
    }
}

fn total<'s>(sums: impl IntoIterator<Item = &'s UsageSum>) -> (Amounts, u64) {
    let mut all = (Amounts::default(), 0);
    for sum in sums {
        all.0.add(&sum.amounts);
        all.1 += sum.reports;
    }
    all
}

async fn summary(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> Result<Response, ApiError> {
    let period = Period::new(&params)?;
    let namespace = &caller.namespace;
    let by = match params.get("group_by") {
        None | Some("none") => None,
        Some("queue") => Some(UsageGroup::Queue),
        Some("model") => Some(UsageGroup::Model),
        Some("provider") => Some(UsageGroup::Provider),
        Some(other) => {
            let what = format!("group_by: \"{other}\" is not queue, model, provider or none");
            return Err(ApiError::bad(CODE, what));
        }
    };
    let by_queue = matches!(by, None | Some(UsageGroup::Queue));
    if !by_queue && *namespace != Namespace::default() {
        return Err(ApiError::bad(CODE, "group_by: of a namespace only queue or none"));
    }
    // Only sums by queue tell whose they are.
    let mut sums = period.sums(&app, UsageGroup::Queue).await?;
    sums.retain(|sum| namespace.owns(&sum.name));
    let (amounts, count) = total(&sums);
    let mut told = json!({
        "period": period.text,
        "from": moment::text(period.from),
        "to": moment::text(period.to),
        "totals": Total { sum: Sum::from(&amounts), count },
    });
    if let Some(by) = by {
        let mut groups = if by_queue { sums } else { period.sums(&app, by).await? };
        groups.sort_by_key(|sum| std::cmp::Reverse(sum.amounts.cost_micros));
        let group = |sum: UsageSum| Group {
            key: if by_queue { namespace.shown(&sum.name).to_owned() } else { sum.name },
            sum: Sum::from(&sum.amounts),
            count: sum.reports,
        };
        told["groups"] = json!(groups.into_iter().map(group).collect::<Vec<_>>());
    }
    Ok(json::ok(&told))
}

async fn billing(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> Result<Response, ApiError> {
    let period = Period::new(&params)?;
    let mut namespaces: BTreeMap<String, Vec<UsageSum>> = BTreeMap::new();
    for sum in period.sums(&app, UsageGroup::Queue).await? {
        let of = Namespace::of(&sum.name);
        if caller.namespace == Namespace::default() || caller.namespace == of {
            namespaces.entry(of.name().to_owned()).or_default().push(sum);
        }
    }
    let row = |(namespace, sums): (&String, &Vec<UsageSum>)| {
        let (amounts, rows) = total(sums);
        let mut row = json!(Sum::from(&amounts));
        row["namespace"] = json!(namespace);
        row["rows"] = json!(rows);
        row
    };
    let rows: Vec<_> = namespaces.iter().map(row).collect();
    Ok(json::ok(&json!({ "period": period.text, "summary": rows })))
}
