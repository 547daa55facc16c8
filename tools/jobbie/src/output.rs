//! How results are printed: a table for people, JSON for programs. Never guessed from whether stdout is a
//! terminal.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use crate::args::Output;
use crate::style;

/// Characters of a cell of a table.
const CELL_MAX: usize = 60;

/// Rows under fixed names.
pub(crate) struct Rows {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Rows {
    pub(crate) fn new(columns: &'static [&'static str]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Vec<Value>) {
        assert_eq!(row.len(), self.columns.len(), "a value for each column");
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints to stdout: as JSON, a list.
    pub(crate) fn print(&self, output: Output) -> std::io::Result<()> {
        match output {
            Output::Json => write(&pretty(&self.objects())),
            Output::Jsonl => write(&self.jsonl()),
            Output::Table => write(&style::head(&self.table(), style::on_stdout())),
        }
    }

    /// Prints the only row to stdout: as JSON, an object.
    pub(crate) fn print_one(&self, output: Output) -> std::io::Result<()> {
        assert_eq!(self.rows.len(), 1, "one row");
        match output {
            Output::Json => write(&pretty(&self.objects()[0])),
            other => self.print(other),
        }
    }

    fn objects(&self) -> Vec<Value> {
        let object = |row: &Vec<Value>| {
            let keys = self.columns.iter().map(|c| (*c).to_owned());
            Value::Object(keys.zip(row.iter().cloned()).collect::<Map<String, Value>>())
        };
        self.rows.iter().map(object).collect()
    }

    fn jsonl(&self) -> String {
        self.objects().iter().map(|object| format!("{object}\n")).collect()
    }

    /// Lines that line up, below one with the names of the columns.
    pub(crate) fn table(&self) -> String {
        let head = self.columns.iter().map(|c| c.to_uppercase().replace('_', " ")).collect();
        let body = self.rows.iter().map(|row| row.iter().map(cell).collect());
        let lines: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
        let width = |at: usize| lines.iter().map(|l| l[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &Vec<String>| {
            let padded = cells.iter().zip(&widths).map(|(c, w)| format!("{c:w$}"));
            format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
        };
        lines.iter().map(line).collect()
    }
}

/// Prints something that was made: its bare id, so that it can be used in a shell as it is, or an object.
pub(crate) fn print_made(id: &str, object: &Value, output: Output) -> std::io::Result<()> {
    match output {
        Output::Table => write(&format!("{id}\n")),
        Output::Json => write(&pretty(object)),
        Output::Jsonl => write(&format!("{object}\n")),
    }
}

fn pretty(of: &impl serde::Serialize) -> String {
    format!("{}\n", serde_json::to_string_pretty(of).expect("names are texts"))
}

fn write(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A value in a table: no quotes, nothing that moves the cursor, not too long.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    let shown: String = text
        .chars()
        .flat_map(|c| match c {
            c if c.is_control() => c.escape_default().collect::<Vec<_>>(),
            c => vec![c],
        })
        .collect();
    match shown.char_indices().nth(CELL_MAX) {
        Some((at, _)) => format!("{}…", &shown[..at]),
        None => shown,
    }
}

/// Bytes as text, or when they are not, as an object with their base64.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => serde_json::json!({ "base64": BASE64_STANDARD.encode(bytes) }),
    }
}

/// Bytes, or null when there are none.
pub(crate) fn some_bytes(of: &[u8]) -> Value {
    if of.is_empty() { Value::Null } else { bytes(of) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let mut rows = Rows::new(&["job", "retry_at"]);
        rows.push(vec!["a\x1b[2Jb".into(), Value::Null]);
        rows.push(vec![bytes(b"\xff"), 12.into()]);
        rows
    }

    #[test]
    fn a_table_lines_up_and_cannot_move_the_cursor() {
        let expected =
            "JOB                  RETRY AT\na\\u{1b}[2Jb          -\n{\"base64\":\"/w==\"}    12\n";
        let squeeze =
            |text: &str| text.split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&rows().table()), squeeze(expected));
        assert_eq!(cell(&"x".repeat(61).into()).chars().count(), 61);
        assert!(cell(&"x".repeat(61).into()).ends_with('…'));
    }

    #[test]
    fn json_lines_are_one_object_a_line() {
        let json = rows().jsonl();
        let lines: Vec<Value> =
            json.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["job"], "a\x1b[2Jb");
        assert_eq!(lines[1]["retry_at"], 12);
    }
}
