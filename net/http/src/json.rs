//! JSON as the contract wants it: one value and a line end, `null` for "not there", texts of unknown origin made safe.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// JSON exactly as somebody wrote it.
pub(crate) type Raw = Box<RawValue>;

/// For fields in which `null` is a value of its own, unlike a field that is not there.
pub(crate) fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Raw>, D::Error> {
    Raw::deserialize(from).map(Some)
}

/// For fields that are to be seen as they were written, with `null` as "not there".
pub(crate) fn unless_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Raw>, D::Error> {
    Raw::deserialize(from).map(|raw| (raw.get() != "null").then_some(raw))
}

/// For fields that hold an object: a list with the values of its fields in order is none.
pub(crate) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let Some(raw) = unless_null(from)? else { return Ok(None) };
    if !raw.get().starts_with('{') {
        return Err(serde::de::Error::custom("not an object"));
    }
    serde_json::from_str(raw.get()).map(Some).map_err(serde::de::Error::custom)
}

/// What a raw value holds as bytes, nothing if there is none.
pub(crate) fn bytes(raw: Option<&Raw>) -> &[u8] {
    raw.map_or(&[], |raw| raw.get().as_bytes())
}

/// Bytes that are mostly JSON, as JSON: verbatim when they are, as a text when they are not.
pub(crate) fn raw(bytes: &[u8]) -> Raw {
    if let Ok(sound) = serde_json::from_slice::<&RawValue>(bytes) {
        return sound.to_owned();
    }
    text(&String::from_utf8_lossy(bytes))
}

/// The same, `None` for nothing.
pub(crate) fn some_raw(bytes: &[u8]) -> Option<Raw> {
    (!bytes.is_empty()).then(|| raw(bytes))
}

/// A payload: nothing is an empty object.
pub(crate) fn payload(bytes: &[u8]) -> Raw {
    some_raw(bytes).unwrap_or_else(|| raw(b"{}"))
}

fn text(text: &str) -> Raw {
    serde_json::value::to_raw_value(text).expect("a text is JSON")
}

/// An answer with a JSON body.
pub(crate) fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    let mut bytes = serde_json::to_vec(value).expect("answers are made of plain values");
    bytes.push(b'\n');
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The usual answer.
pub(crate) fn ok(value: &impl Serialize) -> Response {
    answer(StatusCode::OK, value)
}

/// `{"status": …}`.
pub(crate) fn status(word: &str) -> Response {
    ok(&serde_json::json!({ "status": word }))
}

/// JSON with every character that is not ASCII escaped. Outside of strings there are none.
pub(crate) fn ascii(json: &str) -> String {
    use std::fmt::Write;
    if json.is_ascii() {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len() + json.len() / 2);
    for char in json.chars() {
        if char.is_ascii() {
            out.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}").expect("writing to memory cannot fail");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[derive(Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "present")]
        kept: Option<Raw>,
        #[serde(default, deserialize_with = "unless_null")]
        dropped: Option<Raw>,
    }

    #[test]
    fn null_is_kept_only_where_it_is_a_value() {
        let sample: Sample = serde_json::from_str(r#"{"kept":null,"dropped":null}"#).expect("JSON");
        assert_eq!(sample.kept.map(|raw| raw.get().to_owned()).as_deref(), Some("null"));
        assert!(sample.dropped.is_none());
        let sample: Sample = serde_json::from_str(r#"{"dropped": [ 1 ]}"#).expect("JSON");
        assert!(sample.kept.is_none());
        assert_eq!(bytes(sample.dropped.as_ref()), b"[ 1 ]");
    }

    #[test]
    fn bytes_that_are_no_json_become_a_text() {
        assert_eq!(raw(b"{\"a\": 1}").get(), "{\"a\": 1}");
        assert_eq!(raw(b"to: ann").get(), "\"to: ann\"");
        assert_eq!(raw(b"\xff").get(), "\"\u{fffd}\"");
        assert_eq!(payload(b"").get(), "{}");
    }

    #[test]
    fn other_alphabets_are_escaped() {
        let json = "{\"a\":\"\u{c5}\u{2028}\u{1f600}\"}";
        let escaped = ascii(json);
        assert_eq!(escaped, "{\"a\":\"\\u00c5\\u2028\\ud83d\\ude00\"}");
        let (a, b): (Value, Value) =
            (serde_json::from_str(json).unwrap(), serde_json::from_str(&escaped).unwrap());
        assert_eq!(a, b);
    }
}
