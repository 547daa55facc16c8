//! What callers are told when something does not work: a status, a code for programs, a text for people.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jobbie_client::{Error, Outcome};
use jobbie_proto::Code;
use serde::Serialize;

/// An answer that says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// When to ask again, in milliseconds.
    pub(crate) retry_after_ms: Option<u32>,
}

/// What the answer to a failed request looks like.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Envelope<'a> {
    error: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u32>,
}

/// When to ask again while a shard is busy, in milliseconds, if it does not say.
const RETRY_MS_DEFAULT: u32 = 100;

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after_ms: None }
    }

    /// The body cannot be read.
    pub(crate) fn parse() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "PARSE_ERROR", "invalid JSON")
    }

    /// A field is missing or cannot be.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::bad(
            // The code of everything that the caller can see by itself.
            "VALIDATION_ERROR",
            message,
        )
    }

    /// What was asked for cannot be done, with the code of what it was.
    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "CONFLICT", message)
    }

    /// It is not built.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "UNSUPPORTED", message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message)
    }

    /// Not done: there is too much to do.
    pub(crate) fn overloaded(message: impl Into<String>, retry_after_ms: u32) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "OVERLOADED", message);
        Self { retry_after_ms: Some(retry_after_ms.max(1)), ..error }
    }

    /// The same with the code of what was asked for, if the caller is to blame.
    pub(crate) fn of(self, code: &'static str) -> Self {
        let is_callers = self.status == StatusCode::BAD_REQUEST;
        if is_callers { Self { code, ..self } } else { self }
    }

    /// What a job operation that changed nothing is answered with.
    pub(crate) fn of_job(error: Error, code: &'static str) -> Self {
        match error {
            Error::Job { job, code: Code::NotFound } => {
                Self::bad(code, format!("job {job} is not known, or has left memory"))
            }
            Error::Job { job, code: why } => {
                Self::bad(code, format!("job {job} is not in a state for this: {}", why.name()))
            }
            Error::Refused { code: Code::NotFound | Code::IllegalState, message } => {
                Self::bad(code, message)
            }
            other => Self::from(other).of(code),
        }
    }
}

fn refused(code: Code, message: String) -> ApiError {
    let unavailable =
        |message| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "LEADER_UNAVAILABLE", message);
    match code {
        Code::Overloaded => ApiError::overloaded(message, RETRY_MS_DEFAULT),
        Code::Invalid => ApiError::validation(message),
        Code::TooLarge | Code::FrameTooLarge => ApiError::too_large(message),
        Code::NotFound => ApiError::not_found(message),
        Code::Conflict => ApiError::conflict(message),
        Code::Unsupported => ApiError::unsupported(message),
        Code::BudgetExceeded => {
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "BUDGET_EXCEEDED", message)
        }
        Code::NoSpace => ApiError::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "STORE_ERROR",
            format!("{message}; acks, fails, heartbeats and reads still work"),
        ),
        Code::NotLeader | Code::WrongShard | Code::ShuttingDown | Code::Unavailable => {
            unavailable(format!("{}: {message}", code.name()))
        }
        _ => ApiError::internal(format!("{}: {message}", code.name())),
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { code, message } => refused(code, message),
            Error::Invalid(message) => Self::validation(message),
            Error::TooLarge(error) => Self::too_large(error.to_string()),
            Error::Conflict { .. } => Self::conflict(error.to_string()),
            Error::Lacking { .. } => Self::unsupported(error.to_string()),
            Error::Job { job, code: Code::NotFound } => {
                Self::not_found(format!("job {job} not found"))
            }
            Error::Job { code: Code::Moved, .. } => {
                Self::overloaded("the job is on its way to another shard", RETRY_MS_DEFAULT)
            }
            Error::Job { .. } | Error::Batch { .. } => Self::validation(error.to_string()),
            Error::Deadline { outcome: Outcome::NotDone, .. }
            | Error::Closed { outcome: Outcome::NotDone }
            | Error::ConnectionRefused { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "LEADER_UNAVAILABLE", error.to_string())
            }
            // It may have been done.
            Error::Deadline { .. }
            | Error::Closed { .. }
            | Error::SessionGone
            | Error::Protocol { .. } => Self::internal(error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, message, retry_after_ms } = self;
        let envelope = Envelope { error: &message, code, retry_after_ms };
        let mut response = crate::json::answer(status, &envelope);
        let seconds = match (retry_after_ms, code) {
            (Some(ms), _) => Some(ms.div_ceil(1000)),
            (None, "RATE_LIMITED") => Some(1),
            (None, _) => None,
        };
        if let Some(seconds) = seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_server_has_a_status_that_says_what_to_do() {
        for code in Code::ALL {
            let told = refused(*code, "why".into());
            let expected = match code {
                Code::Overloaded | Code::BudgetExceeded => 429,
                Code::Invalid => 400,
                Code::TooLarge | Code::FrameTooLarge => 413,
                Code::NotFound => 404,
                Code::Conflict => 409,
                Code::Unsupported => 501,
                Code::NoSpace => 507,
                Code::NotLeader | Code::WrongShard | Code::ShuttingDown | Code::Unavailable => 503,
                _ => 500,
            };
            assert_eq!(told.status.as_u16(), expected, "{}", code.name());
        }
    }

    #[test]
    fn only_what_the_caller_did_takes_the_code_of_the_operation() {
        assert_eq!(ApiError::validation("x").of("QUEUE_ERROR").code, "QUEUE_ERROR");
        assert_eq!(ApiError::overloaded("x", 5).of("QUEUE_ERROR").code, "OVERLOADED");
    }

    #[test]
    fn retry_after_is_whole_seconds_rounded_up() {
        let response = ApiError::overloaded("x", 1001).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
