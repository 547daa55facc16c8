//! Every row as text, to compare two files.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use rusqlite::types::ValueRef;

use crate::error::Result;
use crate::schema;

/// Tables and what their rows are ordered by. The text index is left out, with how far it is: it lags as it likes.
const TABLES: [(&str, &str); 12] = [
    ("watermarks", "shard"),
    ("queues", "id"),
    ("jobs", "key"),
    ("errors", "job, event"),
    ("tags", "tag, value, job"),
    ("counts", "queue, state"),
    ("sessions", "shard, session"),
    ("extensions", "shard, session, event"),
    ("workers", "shard, session, name"),
    ("schedules", "shard, queue, name"),
    ("minutes", "minute"),
    ("journal", "seq"),
];

/// Writes all rows of a read model as text, in the order of their keys: equal files have equal dumps.
///
/// # Errors
/// When the file cannot be read or the text not be written.
pub fn dump(path: &Path, out: &mut impl Write) -> Result<()> {
    let conn = schema::open_reader(path)?;
    let tx = conn.unchecked_transaction()?;
    for (table, order) in TABLES {
        writeln!(out, "{table}")?;
        let mut statement = conn.prepare(&format!("SELECT * FROM {table} ORDER BY {order}"))?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        let mut line = String::new();
        while let Some(row) = rows.next()? {
            line.clear();
            for column in 0..columns {
                let separator = if column == 0 { "  " } else { " | " };
                line.push_str(separator);
                show(&mut line, row.get_ref(column)?);
            }
            writeln!(out, "{line}")?;
        }
    }
    drop(tx);
    Ok(())
}

fn show(line: &mut String, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => line.push('-'),
        ValueRef::Integer(number) => write!(line, "{number}").expect("to memory"),
        ValueRef::Real(number) => write!(line, "{number}").expect("to memory"),
        ValueRef::Text(text) => {
            write!(line, "{:?}", String::from_utf8_lossy(text)).expect("to memory")
        }
        ValueRef::Blob(bytes) => {
            write!(line, "x{:?}", bytes.escape_ascii().to_string()).expect("to memory")
        }
    }
}
