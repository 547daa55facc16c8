//! Chains: jobs that follow one another.

use jobbie_client::{NewJob, TiedJob};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::ApiError;
use crate::json::{self, Raw};
use crate::namespace::Namespace;
use crate::new_job::prefixed;
use crate::options::{Retries, priority};

/// A chain.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ChainBody {
    steps: Option<Vec<StepBody>>,
    #[serde(deserialize_with = "handler")]
    on_failure: Option<StepBody>,
    #[serde(deserialize_with = "json::object")]
    on_exit: Option<StepBody>,
}

/// A job of a chain.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct StepBody {
    queue: Option<String>,
    #[serde(deserialize_with = "json::unless_null")]
    payload: Option<Raw>,
    priority: Option<String>,
    max_retries: Option<i64>,
    retry_backoff: Option<String>,
    retry_base_delay: Option<String>,
    retry_max_delay: Option<String>,
}

/// A handler: an object, or the name of a queue. Some clients write what is to become of the chain instead; it stops anyway.
fn handler<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<StepBody>, D::Error> {
    let Some(raw) = json::unless_null(from)? else { return Ok(None) };
    let parsed = match raw.get().starts_with('"') {
        false => serde_json::from_str(raw.get()).map(Some),
        true => serde_json::from_str::<String>(raw.get()).map(|queue| match queue.as_str() {
            "" | "stop" | "continue" => None,
            _ => Some(StepBody { queue: Some(queue), ..StepBody::default() }),
        }),
    };
    parsed.map_err(serde::de::Error::custom)
}

/// A step of a chain, checked.
#[derive(Debug)]
struct Step {
    queue: String,
    payload: Vec<u8>,
    priority: u8,
    retries: Retries,
}

impl Step {
    fn new(at: &str, body: StepBody, namespace: &Namespace) -> Result<Self, ApiError> {
        let queue = body.queue.unwrap_or_default();
        let queue = namespace.queue(&queue).map_err(|e| prefixed(e, at))?;
        let retries = Retries::new(
            at,
            body.max_retries,
            body.retry_backoff.as_deref(),
            body.retry_base_delay.as_deref(),
            body.retry_max_delay.as_deref(),
        )?;
        // What came before is laid under an object; there is no place for it in anything else.
        let payload = json::bytes(body.payload.as_ref());
        let payload = if payload.first() == Some(&b'{') { payload.to_vec() } else { Vec::new() };
        Ok(Self { queue, payload, priority: priority(body.priority.as_deref()), retries })
    }

    fn job<'a>(&'a self, tags: &'a [u8]) -> NewJob<'a> {
        let job = NewJob::new(&self.queue, &self.payload).tags(tags).priority(self.priority);
        self.retries.put(job)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Chain {
    steps: Vec<Step>,
    on_failure: Option<Step>,
    on_exit: Option<Step>,
}

impl Chain {
    /// Checks it; the first step is the job itself, in `queue`.
    pub(crate) fn new(
        at: &str,
        body: ChainBody,
        queue: &str,
        by: &Namespace,
    ) -> Result<Self, ApiError> {
        let bad = |what: &str| ApiError::validation(format!("{at}chain: {what}"));
        let mut steps = body.steps.unwrap_or_default().into_iter();
        let first = steps.next().ok_or_else(|| bad("at least two steps are needed"))?;
        if by.queue(&first.queue.unwrap_or_default()).ok().as_deref() != Some(queue) {
            return Err(bad("the queue of steps[0] must be that of the job"));
        }
        if steps.len() == 0 {
            return Err(bad("at least two steps are needed"));
        }
        let step = |(n, body)| Step::new(&format!("{at}chain.steps[{}].", n + 1), body, by);
        let steps = steps.enumerate().map(step).collect::<Result<Vec<_>, _>>()?;
        let handler = |name: &str, body: Option<StepBody>| {
            body.map(|body| Step::new(&format!("{at}chain.{name}."), body, by)).transpose()
        };
        let on_failure = handler("on_failure", body.on_failure)?;
        Ok(Self { steps, on_failure, on_exit: handler("on_exit", body.on_exit)? })
    }

    /// Ties the later jobs to the first; all have its tags.
    pub(crate) fn tie<'a>(&'a self, first: TiedJob<'a>, tags: &'a [u8]) -> TiedJob<'a> {
        let mut tied = self.steps.iter().fold(first, |tied, step| tied.then(step.job(tags)));
        if let Some(step) = &self.on_failure {
            tied = tied.on_failure(step.job(tags));
        }
        match &self.on_exit {
            Some(step) => tied.on_exit(step.job(tags)),
            None => tied,
        }
    }
}
