//! How results are printed: a table for people, JSON for programs. Never guessed from whether stdout is a terminal.

use std::io::Write;

use serde_json::Value;

use crate::dump::Fields;
use crate::time;

/// Characters of a cell of a table.
const CELL_MAX: usize = 120;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// A table
    Table,
    /// One JSON document
    Json,
    /// A JSON object a line
    Jsonl,
}

/// Prints objects that all have these fields in a table, or whole.
pub(crate) fn list(rows: &[Fields], columns: &[&str], output: Output) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match output {
        Output::Table => out.write_all(table(rows, columns).as_bytes())?,
        Output::Json => writeln!(out, "{}", pretty(rows))?,
        Output::Jsonl => rows.iter().try_for_each(|row| writeln!(out, "{}", line(row)))?,
    }
    out.flush()
}

/// Prints one object, in a table with a field a line.
pub(crate) fn one(object: &Fields, output: Output) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match output {
        Output::Table => {
            let row = |(name, value): (&String, &Value)| {
                let (name, value) = shown(name, value);
                Fields::from_iter([
                    ("field".to_owned(), name.into()),
                    ("value".to_owned(), value.into()),
                ])
            };
            let rows: Vec<Fields> = object.iter().map(row).collect();
            out.write_all(table(&rows, &["field", "value"]).as_bytes())?;
        }
        Output::Json => writeln!(out, "{}", pretty(object))?,
        Output::Jsonl => writeln!(out, "{}", line(object))?,
    }
    out.flush()
}

fn pretty(of: &(impl serde::Serialize + ?Sized)) -> String {
    serde_json::to_string_pretty(of).expect("names are texts")
}

fn line(of: &Fields) -> String {
    serde_json::to_string(of).expect("names are texts")
}

fn table(rows: &[Fields], columns: &[&str]) -> String {
    let head = columns.iter().map(|name| name.to_uppercase().replace('_', " ")).collect();
    let cells = |row: &Fields| columns.iter().map(|name| cell(row.get(*name))).collect();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}

fn cell(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "-".to_owned(), plain);
    match text.char_indices().nth(CELL_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// A value without quotes, and without anything that moves the cursor.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::Null => return "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(object) if object.len() == 1 && object.contains_key("bytes") => {
            return format!("{} bytes", object["bytes"]);
        }
        Value::Object(object) => object.iter().map(detail).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    let escape =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// A field in one word, with times as people write them.
pub(crate) fn detail((name, value): (&String, &Value)) -> String {
    let (name, value) = shown(name, value);
    if value.contains(' ') { format!("{name}={value:?}") } else { format!("{name}={value}") }
}

fn shown(name: &str, value: &Value) -> (String, String) {
    match (name.strip_suffix("_us"), value.as_u64()) {
        (Some(name), Some(0)) => (name.to_owned(), "-".to_owned()),
        (Some(name), Some(us)) => (name.to_owned(), time::text(us)),
        _ => (name.to_owned(), plain(value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_lines_up_and_cannot_move_the_cursor() {
        let row = |a: &str| crate::dump::fields(json!({ "a_b": a, "c": null }));
        let text = table(&[row("x\x1b[2J"), row("long enough")], &["a_b", "c"]);
        assert_eq!(text, "A B          C\nx\\u{1b}[2J   -\nlong enough  -\n");
    }

    #[test]
    fn details_are_words() {
        let of = |name: &str, value: Value| detail((&name.to_owned(), &value));
        assert_eq!(of("due_us", 1_000_000.into()), "due=1970-01-01T00:00:01.000000Z");
        assert_eq!(of("error", "no route".into()), "error=\"no route\"");
        assert_eq!(of("result", json!({ "bytes": 3 })), "result=\"3 bytes\"");
        assert_eq!(of("jobs", json!([1, 2])), "jobs=1,2");
    }
}
