//! What the queries need that SQLite does not have.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error};

use crate::search::PayloadExpression;

fn bytes<'a>(context: &'a Context<'_>, at: usize) -> &'a [u8] {
    match context.get_raw(at) {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        _ => &[],
    }
}

/// Whether `text` has `wanted` in it, whatever the case of ASCII letters. `wanted` is in lower case.
pub(crate) fn has_text(text: &[u8], wanted: &[u8]) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return true };
    if text.len() < wanted.len() {
        return false;
    }
    let starts = &text[..=text.len() - wanted.len()];
    let upper = first.to_ascii_uppercase();
    starts.iter().enumerate().any(|(at, byte)| {
        (byte == first || *byte == upper)
            && text[at + 1..at + wanted.len()].eq_ignore_ascii_case(rest)
    })
}

/// Adds `has_text(text, wanted)` and `payload_holds(payload, expression)`.
pub(crate) fn add(conn: &Connection) -> Result<(), Error> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    conn.create_scalar_function("has_text", 2, flags, |context| {
        Ok(has_text(bytes(context, 0), bytes(context, 1)))
    })?;
    conn.create_scalar_function("payload_holds", 2, flags, |context| {
        let expression = context.get_or_create_aux(1, |value| {
            let text = value.as_str().map_err(|error| Error::UserFunctionError(error.into()))?;
            let parsed = text.parse::<PayloadExpression>();
            parsed.map_err(|error| Error::UserFunctionError(error.into()))
        })?;
        Ok(expression.holds(bytes(context, 0)))
    })
}

/// Whether a name matches a glob, in which `*` is any text.
pub(crate) fn matches(glob: &str, name: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_whatever_its_case() {
        assert!(has_text(b"An Order", b"order") && has_text(b"x", b"") && has_text(b"", b""));
        assert!(!has_text(b"An Orde", b"order") && !has_text(b"", b"o"));
        assert!(has_text(b"100%_done", b"%_d") && !has_text(b"100 done", b"%"));
    }

    #[test]
    fn globs_match_whole_names() {
        for (glob, name, wanted) in [
            ("mails", "mails", true),
            ("mails", "mails2", false),
            ("mails*", "mails2", true),
            ("*", "", true),
            ("*s", "mails", true),
            ("m*l*s", "mails", true),
            ("m*s*s", "mas", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(glob, name), wanted, "{glob} {name}");
        }
    }
}
