//! Words and numbers that jobs and steps of chains have in common.

use std::time::Duration;

use jobbie_client::{BackoffKind, NewJob};
use jobbie_proto::limits::{ATTEMPTS_DEFAULT, ATTEMPTS_MAX};

use crate::error::ApiError;
use crate::moment::duration_ms;

/// The tier of a word; any other than these is normal.
pub(crate) fn priority(word: Option<&str>) -> u8 {
    match word {
        Some("critical") => 0,
        Some("high") => 1,
        _ => 2,
    }
}

/// How retries are delayed; any other word than these is exponential.
pub(crate) fn backoff(word: Option<&str>) -> BackoffKind {
    match word {
        Some("none") => BackoffKind::None,
        Some("fixed") => BackoffKind::Fixed,
        Some("linear") => BackoffKind::Linear,
        _ => BackoffKind::Exponential,
    }
}

/// The word for it.
pub(crate) fn backoff_word(kind: BackoffKind) -> &'static str {
    match kind {
        BackoffKind::None => "none",
        BackoffKind::Fixed => "fixed",
        BackoffKind::Linear => "linear",
        BackoffKind::Exponential => "exponential",
    }
}

/// Micro-dollars of an amount, nothing for a negative one.
pub(crate) fn micros(dollars: f64) -> u64 {
    (dollars.max(0.0) * 1e6).round() as u64
}

fn attempts(at: &str, total: Option<i64>) -> Result<u32, ApiError> {
    let total =
        total.map_or(ATTEMPTS_DEFAULT, |total| u32::try_from(total.max(0)).unwrap_or(u32::MAX));
    if total > ATTEMPTS_MAX {
        return Err(ApiError::validation(format!("{at}max_retries: at most {ATTEMPTS_MAX}")));
    }
    Ok(total)
}

/// When failures are tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retries {
    total: u32,
    kind: BackoffKind,
    base: Duration,
    cap: Duration,
}

impl Retries {
    /// Checks them; `at` is what their fields are called by in errors.
    pub(crate) fn new(
        at: &str,
        total: Option<i64>,
        kind: Option<&str>,
        base: Option<&str>,
        cap: Option<&str>,
    ) -> Result<Self, ApiError> {
        let field = |name: &str| format!("{at}{name}");
        let ms = |name: &str, text: &str| {
            let ms = duration_ms(&field(name), text)?;
            let most = u64::from(u32::MAX);
            if ms > most {
                return Err(ApiError::validation(format!("{at}{name}: at most 49 days")));
            }
            Ok(Duration::from_millis(ms))
        };
        let base = base.filter(|t| !t.is_empty()).map(|text| ms("retry_base_delay", text));
        let cap = cap.filter(|t| !t.is_empty()).map(|text| ms("retry_max_delay", text));
        Ok(Self {
            total: attempts(at, total)?,
            kind: backoff(kind),
            base: base.transpose()?.unwrap_or(Duration::from_secs(5)),
            cap: cap.transpose()?.unwrap_or(Duration::from_secs(600)),
        })
    }

    pub(crate) fn put<'a>(&self, job: NewJob<'a>) -> NewJob<'a> {
        job.attempts(self.total).backoff(self.kind, self.base, self.cap)
    }
}
