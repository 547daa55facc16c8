//! Jobs from standard input, as other commands print them.

use std::io::Read;

use jobbie_proto::JobId;
use serde_json::Value;

use crate::call::CallError;

/// Every job named on standard input: an id a line, a JSON object a line, or one JSON document. Of an object, the field `id`
/// counts, or `job` as most commands call it.
pub(super) fn jobs() -> Result<Vec<JobId>, CallError> {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|source| CallError::Local { what: "read standard input".into(), source })?;
    named(&text).map_err(|why| {
        CallError::Usage(format!("{why}; give an id a line, or JSON with a field `id`"))
    })
}

fn named(text: &str) -> Result<Vec<JobId>, String> {
    if let Ok(document) = serde_json::from_str::<Value>(text) {
        return match document {
            Value::Array(list) => {
                let numbered = (1..).zip(&list);
                numbered.map(|(n, one)| of(one).map_err(|e| format!("element {n}: {e}"))).collect()
            }
            one => Ok(vec![of(&one).map_err(|e| format!("standard input: {e}"))?]),
        };
    }
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let value = match line.trim() {
                json if json.starts_with('{') => {
                    serde_json::from_str(json).map_err(|e| e.to_string())
                }
                id => Ok(id.into()),
            };
            value.and_then(|v| of(&v)).map_err(|e| format!("line {number} of standard input: {e}"))
        })
        .collect()
}

fn of(value: &Value) -> Result<JobId, String> {
    let id = match value {
        Value::Object(object) => object.get("id").filter(|id| id.is_string()).or(object.get("job")),
        other => Some(other),
    };
    let text = id.and_then(Value::as_str).ok_or("no id in it")?;
    text.parse().map_err(|error: jobbie_proto::id::BadJobId| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_named_in_every_form_that_is_printed() {
        let id = "job_1a1ee565e7bfffffffffffffff";
        let forms = [
            format!("{id}\n\n  {id}\n"),
            format!("{{\"id\": \"{id}\"}}\n{{\"job\": \"{id}\", \"state\": \"dead\"}}\n"),
            format!("[{{\"job\": \"{id}\"}},\n \"{id}\"]"),
            format!("{{\"id\": 7, \"job\": \"{id}\"}}\n{id}"),
        ];
        for form in forms {
            assert_eq!(named(&form).expect(&form), [id.parse().expect("an id"); 2]);
        }
        assert_eq!(named("").expect("nothing"), []);
        assert!(named("x").expect_err("no id").starts_with("line 1 of standard input"));
        assert!(named("[{}]").expect_err("no id").contains("element 1: no id in it"));
    }
}
