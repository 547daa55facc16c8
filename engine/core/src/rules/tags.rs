//! Which rules a job's tags match. To everybody else tags are bytes.

use std::collections::BTreeMap;

use jobbie_proto::EventSeq;
use jobbie_proto::rules::JobTag;
use serde_json::value::RawValue;

use super::Rules;

/// What a value is compared as: the content of a string, the text of a number or of true and false.
fn text(value: &RawValue) -> Option<String> {
    let written = value.get();
    match written.as_bytes().first()? {
        b'"' => serde_json::from_str(written).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(written.to_owned()),
    }
}

/// The tags of a job that have a text; none if it has no JSON object. Of a key that is there twice, the last counts.
fn tags(bytes: &[u8]) -> impl Iterator<Item = JobTag> {
    let object: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes).unwrap_or_default();
    object.into_iter().filter_map(|(key, value)| Some(JobTag { key, value: text(value)? }))
}

impl Rules {
    /// The rules whose tag is among those of a job, by rising number.
    pub(crate) fn matching(&self, bytes: &[u8]) -> Vec<EventSeq> {
        if bytes.is_empty() || !self.names_tags() {
            return Vec::new();
        }
        let named = tags(bytes).filter_map(|tag| self.tags.get(&tag));
        let mut rules: Vec<_> =
            named.flat_map(|rules| rules.iter().copied().map(EventSeq)).collect();
        rules.sort_unstable();
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(bytes: &str) -> Vec<(String, String)> {
        tags(bytes.as_bytes()).map(|tag| (tag.key, tag.value)).collect()
    }

    #[test]
    fn strings_numbers_and_truth_have_a_text() {
        let found = pairs(r#"{"s":"a\"bé","n":1.50,"e":1e3,"t":true,"f":false,"":"x"}"#);
        let expected =
            [("", "x"), ("e", "1e3"), ("f", "false"), ("n", "1.50"), ("s", "a\"bé"), ("t", "true")];
        let found: Vec<_> = found.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn anything_else_matches_nothing() {
        for tags in ["", "null", "[]", "\"a\"", "{", "{\"a\":1}x", "\u{1}", "{\"a\":}"] {
            assert_eq!(pairs(tags), [], "{tags}");
        }
        assert_eq!(pairs(r#"{"a":null,"b":{"c":1},"d":["e"]}"#), []);
        assert_eq!(pairs(r#"{"a":1,"a":2}"#), [("a".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn a_rule_is_found_by_its_tag() {
        let mut rules = Rules::default();
        let tag = |value: &str| JobTag { key: "team".into(), value: value.into() };
        rules.index(&tag("a"), 9, true);
        rules.index(&tag("a"), 3, true);
        rules.index(&tag("b"), 5, true);
        let found = |rules: &Rules, text: &str| -> Vec<u64> {
            rules.matching(text.as_bytes()).into_iter().map(|id| id.0).collect()
        };
        assert_eq!(found(&rules, r#"{"team":"a","x":"b"}"#), [3, 9]);
        assert_eq!(found(&rules, r#"{"team":"b"}"#), [5]);
        assert_eq!(found(&rules, r#"{"Team":"b"}"#), [0_u64; 0]);
        rules.index(&tag("a"), 9, false);
        rules.index(&tag("b"), 5, false);
        assert_eq!(found(&rules, r#"{"team":"a"}"#), [3]);
        assert_eq!(rules.tags.len(), 1);
    }
}
