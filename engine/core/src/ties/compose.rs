//! Payloads of jobs that the server makes: JSON objects of what it has to say, with the keys of the job's own payload laid
//! over them, which win.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jobbie_proto::reply::BatchView;
use jobbie_proto::{BatchId, JobId};
use serde_json::value::RawValue;

/// Bytes of an error's text that go into a payload.
const ERROR_BYTES_MAX: usize = 16 << 10;

/// An object's values are handed on as they were written.
type Object = BTreeMap<String, Box<RawValue>>;

/// Whether bytes can be a step's own payload: nothing, or a JSON object.
#[must_use]
pub fn is_object(payload: &[u8]) -> bool {
    payload.is_empty() || object(payload).is_some()
}

fn object(payload: &[u8]) -> Option<Object> {
    serde_json::from_slice(payload).ok()
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("strings and numbers are JSON")
}

fn lay_over(mut said: Object, own: &[u8]) -> Vec<u8> {
    said.extend(object(own).unwrap_or_default());
    serde_json::to_vec(&said).expect("it was parsed or made here")
}

/// What the step after `job` gets: `previous_job_id`, and `previous_result` when there is one. A result that is not JSON comes as
/// text, or as `previous_result_base64` when it is not text either, or mostly of characters that JSON escapes.
#[must_use]
pub fn next_step(own: &[u8], job: JobId, result: &[u8]) -> Vec<u8> {
    let mut said = Object::from([("previous_job_id".to_owned(), raw(&job.to_string()))]);
    if !result.is_empty() {
        let text = || std::str::from_utf8(result).ok().map(|text| raw(&text));
        #[expect(clippy::borrowed_box, reason = "what filter hands over")]
        let short = |text: &Box<RawValue>| text.get().len() <= result.len() / 3 * 4 + 16;
        let (key, value) =
            match serde_json::from_slice(result).ok().or_else(|| text().filter(short)) {
                Some(value) => ("previous_result", value),
                None => ("previous_result_base64", raw(&STANDARD.encode(result))),
            };
        said.insert(key.to_owned(), value);
    }
    lay_over(said, own)
}

/// What the handler of a failed step gets: `failed_job_id`, `failed_step`, `error`.
#[must_use]
pub fn failed_step(own: &[u8], job: JobId, step: i32, error: &[u8]) -> Vec<u8> {
    let error = &error[..error.len().min(ERROR_BYTES_MAX)];
    let said = Object::from([
        ("failed_job_id".to_owned(), raw(&job.to_string())),
        ("failed_step".to_owned(), raw(&step)),
        ("error".to_owned(), raw(&String::from_utf8_lossy(error))),
    ]);
    lay_over(said, own)
}

/// What the callback of a batch gets: its own payload, with `batch` when that is an object or nothing.
#[must_use]
pub fn callback(own: &[u8], batch: BatchId, view: &BatchView) -> Vec<u8> {
    if !is_object(own) {
        return own.to_vec();
    }
    let counts = Object::from([
        ("id".to_owned(), raw(&batch.to_string())),
        ("total".to_owned(), raw(&view.total)),
        ("succeeded".to_owned(), raw(&view.succeeded)),
        ("failed".to_owned(), raw(&view.failed)),
    ]);
    lay_over(Object::from([("batch".to_owned(), raw(&counts))]), own)
}

#[cfg(test)]
mod tests {
    use jobbie_proto::limits::{MADE_PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX, STEP_RESULT_BYTES_MAX};
    use jobbie_proto::{EventSeq, JobSeq, ShardId};

    use super::*;

    fn job() -> JobId {
        JobId::new(1, ShardId(0), JobSeq(2))
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("JSON")
    }

    #[test]
    fn a_result_goes_on_as_it_is_and_own_keys_win() {
        let id = job().to_string();
        let made = text(next_step(b"", job(), b""));
        assert_eq!(made, format!(r#"{{"previous_job_id":"{id}"}}"#));
        let made =
            text(next_step(br#"{"a":1.50,"z":[]}"#, job(), br#"{"big":12345678901234567890123}"#));
        let expected = format!(
            r#"{{"a":1.50,"previous_job_id":"{id}","previous_result":{{"big":12345678901234567890123}},"z":[]}}"#
        );
        assert_eq!(made, expected);
        let made = text(next_step(br#"{"previous_result":0}"#, job(), b"plain \"text\""));
        assert!(made.ends_with(r#""previous_result":0}"#));
        let made = text(next_step(b"", job(), b"plain \"text\""));
        assert!(made.ends_with(r#""previous_result":"plain \"text\""}"#), "{made}");
        for (bytes, expected) in
            [(&[255_u8][..], "/w=="), (&[255, 254], "//4="), (&[255, 254, 253], "//79")]
        {
            let made = text(next_step(b"", job(), bytes));
            let expected = format!(r#""previous_result_base64":"{expected}"}}"#);
            assert!(made.ends_with(&expected), "{made}");
        }
    }

    #[test]
    fn a_callback_gets_the_counts_unless_its_payload_is_no_object() {
        let batch = BatchId::new(1, ShardId(0), EventSeq(2));
        let view = BatchView { total: Some(3), succeeded: 2, failed: 1, ..BatchView::default() };
        let made = text(callback(br#"{"a":1}"#, batch, &view));
        assert_eq!(
            made,
            format!(r#"{{"a":1,"batch":{{"failed":1,"id":"{batch}","succeeded":2,"total":3}}}}"#)
        );
        assert_eq!(callback(b"[1]", batch, &view), b"[1]");
        assert_eq!(callback(br#"{"batch":7}"#, batch, &view), br#"{"batch":7}"#);
        assert!(!is_object(b"[1]") && !is_object(b"x") && is_object(b"{}") && is_object(b""));
    }

    #[test]
    fn the_largest_parts_make_a_payload_that_fits_a_frame() {
        let own = format!(r#"{{"a":"{}"}}"#, "x".repeat(PAYLOAD_BYTES_MAX - 8));
        for byte in [b'x', 255, b'"'] {
            let made = next_step(own.as_bytes(), job(), &vec![byte; STEP_RESULT_BYTES_MAX]);
            assert!(made.len() <= MADE_PAYLOAD_BYTES_MAX, "{} bytes", made.len());
        }
        let made = failed_step(own.as_bytes(), job(), -2, &vec![0; 1 << 20]);
        assert!(made.len() <= MADE_PAYLOAD_BYTES_MAX);
    }
}
