//! How calls end: the codes of gRPC and Connect.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use crate::error::ApiError;

/// When to ask again after too many requests of one client, in milliseconds.
const RATE_LIMITED_MS: u32 = 1000;

/// Why a call was not done. The numbers are those of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Why {
    Unknown = 2,
    InvalidArgument = 3,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Why {
    /// Its name in Connect.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::InvalidArgument => "invalid_argument",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::Unauthenticated => "unauthenticated",
        }
    }

    /// Its status as a Connect answer that is no stream.
    pub(super) fn http(self) -> StatusCode {
        match self {
            Self::Unknown | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::InvalidArgument => StatusCode::BAD_REQUEST,
            Self::AlreadyExists => StatusCode::CONFLICT,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
        }
    }
}

/// Why a call was not done, with a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) why: Why,
    pub(super) message: String,
}

impl Status {
    pub(super) fn new(why: Why, message: impl Into<String>) -> Self {
        Self { why, message: message.into() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Why::InvalidArgument, message)
    }

    /// As Connect tells it.
    pub(super) fn json(&self) -> serde_json::Value {
        json!({ "code": self.why.name(), "message": self.message })
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let ApiError { status, code, message, retry_after_ms } = error;
        let retry_ms = match code {
            "RATE_LIMITED" => Some(RATE_LIMITED_MS),
            _ => retry_after_ms,
        };
        let why = match status.as_u16() {
            // A job that nobody knows, or that is another namespace's: callers cannot tell which.
            _ if matches!(code, "NOT_FOUND" | "BUDGET_EXCEEDED") => Why::InvalidArgument,
            400 | 413 => Why::InvalidArgument,
            401 => Why::Unauthenticated,
            403 => Why::PermissionDenied,
            409 => Why::AlreadyExists,
            429 | 507 => Why::ResourceExhausted,
            501 => Why::Unimplemented,
            503 => Why::Unavailable,
            _ => Why::Internal,
        };
        let message = match retry_ms {
            Some(ms) => format!("{message} (retry_after_ms={ms})"),
            None => message,
        };
        Self { why, message }
    }
}

/// A text as `grpc-message` has it.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to memory cannot fail");
        }
    }
    out
}

/// How a gRPC call ended, as trailers.
pub(super) fn trailers(end: Result<(), &Status>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let number = end.err().map_or(0, |status| status.why as u8);
    headers.insert("grpc-status", HeaderValue::from(u16::from(number)));
    if let Err(status) = end {
        let message = HeaderValue::from_str(&escaped(&status.message));
        headers.insert("grpc-message", message.expect("escaped texts are printable"));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_codes_of_the_contract() {
        let of = |error: ApiError| {
            let status = Status::from(error);
            (status.why, status.message)
        };
        let full = of(ApiError::overloaded("full", 70));
        assert_eq!(full, (Why::ResourceExhausted, "full (retry_after_ms=70)".to_owned()));
        let busy = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", "often");
        assert_eq!(of(busy), (Why::ResourceExhausted, "often (retry_after_ms=1000)".to_owned()));
        let broke = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "BUDGET_EXCEEDED", "no money");
        assert_eq!(of(broke), (Why::InvalidArgument, "no money".to_owned()));
        assert_eq!(of(ApiError::not_found("x")).0, Why::InvalidArgument);
        assert_eq!(of(ApiError::too_large("x")).0, Why::InvalidArgument);
        assert_eq!(of(ApiError::unsupported("x")).0, Why::Unimplemented);
        assert_eq!(of(ApiError::internal("x")).0, Why::Internal);
        let no_leader = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "LEADER_UNAVAILABLE", "x");
        assert_eq!(of(no_leader).0, Why::Unavailable);
        let nobody = ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "x");
        assert_eq!(of(nobody).0, Why::Unauthenticated);
    }

    #[test]
    fn trailers_are_printable() {
        let status = Status::invalid("100% \u{c5}\n");
        let told = trailers(Err(&status));
        assert_eq!(told["grpc-status"], "3");
        assert_eq!(told["grpc-message"], "100%25 %C3%85%0A");
        let fine = trailers(Ok(()));
        assert!(fine["grpc-status"] == "0" && fine.len() == 1);
    }
}
