//! JSON that clients put together for agent jobs, so that all of them do it alike. The server neither reads nor writes it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The key of a checkpoint under which feedback stands: a list of texts, the newest last.
pub const FEEDBACK_KEY: &str = "feedback";

/// Values are handed on as they were written.
type Object = BTreeMap<String, Box<RawValue>>;

/// What cannot be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// Feedback has no place in it.
    #[error("the checkpoint is no JSON object, so feedback cannot be added to it")]
    Checkpoint,
    /// Something else stands where feedback goes.
    #[error(
        "the checkpoint's {FEEDBACK_KEY:?} is no list of texts, so feedback cannot be added to it"
    )]
    Feedback,
    /// There are no keys to lay others over.
    #[error("the payload is no JSON object, so no keys of it can be set")]
    Payload,
}

fn object(bytes: &[u8]) -> Option<Object> {
    if bytes.is_empty() { Some(Object::new()) } else { serde_json::from_slice(bytes).ok() }
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("texts and lists of them are JSON")
}

fn written(object: &Object) -> Vec<u8> {
    serde_json::to_vec(object).expect("it was parsed or made here")
}

/// A checkpoint with feedback added. An empty one counts as an object without keys.
///
/// # Errors
/// When the checkpoint is no JSON object, or has something else under [`FEEDBACK_KEY`] than a list of texts.
pub fn with_feedback(checkpoint: &[u8], feedback: &str) -> Result<Vec<u8>, ComposeError> {
    let mut object = object(checkpoint).ok_or(ComposeError::Checkpoint)?;
    let mut all: Vec<String> = match object.get(FEEDBACK_KEY) {
        Some(list) => serde_json::from_str(list.get()).map_err(|_| ComposeError::Feedback)?,
        None => Vec::new(),
    };
    all.push(feedback.to_owned());
    object.insert(FEEDBACK_KEY.to_owned(), raw(&all));
    Ok(written(&object))
}

/// A payload with keys laid over its own. A value that is not JSON is a text. Without keys the payload stays as it is,
/// whatever it is.
///
/// # Errors
/// When there are keys and the payload is no JSON object.
pub fn with_keys(payload: &[u8], keys: &[(&str, &str)]) -> Result<Vec<u8>, ComposeError> {
    if keys.is_empty() {
        return Ok(payload.to_vec());
    }
    let mut object = object(payload).ok_or(ComposeError::Payload)?;
    for (key, value) in keys {
        let json = serde_json::from_str::<Box<RawValue>>(value);
        object.insert((*key).to_owned(), json.unwrap_or_else(|_| raw(value)));
    }
    Ok(written(&object))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("JSON")
    }

    #[test]
    fn feedback_is_appended_to_a_list_and_the_rest_stays_as_it_was() {
        let first = with_feedback(br#"{"z":1.50,"a":[]}"#, "not \"so\"").expect("an object");
        assert_eq!(text(first.clone()), r#"{"a":[],"feedback":["not \"so\""],"z":1.50}"#);
        let second = text(with_feedback(&first, "so").expect("an object"));
        assert_eq!(second, r#"{"a":[],"feedback":["not \"so\"","so"],"z":1.50}"#);
        assert_eq!(text(with_feedback(b"", "so").expect("nothing")), r#"{"feedback":["so"]}"#);
        for wrong in [&b"[1]"[..], b"page 2", b"{", &[255]] {
            assert_eq!(with_feedback(wrong, "so"), Err(ComposeError::Checkpoint));
        }
        assert_eq!(with_feedback(br#"{"feedback":7}"#, "so"), Err(ComposeError::Feedback));
    }

    #[test]
    fn keys_are_laid_over_a_payload() {
        let made = with_keys(br#"{"a":1,"b":2.0}"#, &[("a", "7"), ("c", "plain"), ("d", "{}")]);
        assert_eq!(text(made.expect("an object")), r#"{"a":7,"b":2.0,"c":"plain","d":{}}"#);
        assert_eq!(with_keys(b"page", &[]).as_deref(), Ok(&b"page"[..]));
        assert_eq!(with_keys(b"page", &[("a", "1")]), Err(ComposeError::Payload));
    }
}
