//! A place where a file and the store disagree, and what each of them says there.

use crate::model::columns::Value;
use crate::model::{RejectedLine, Row, moment};
use crate::pipeline::expected::first_difference;
use crate::store::StoredLine;
use serde::Serialize;

/// Characters of a value that are shown.
const SHOWN: usize = 200;

/// One place where a file and the store disagree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Offset of the line's first byte; `None` if it is not about one line.
    pub offset: Option<u64>,
    /// Number of the line in the file, from 1.
    pub line: Option<u64>,
    /// What they disagree on: a column, or `line`, `size`, `digest`, ….
    pub about: &'static str,
    /// What the file says.
    pub file: String,
    /// What the database says.
    pub database: String,
    /// Whether NULs are in the place, as where a power cut left a hole.
    #[serde(skip)]
    pub(crate) is_hole: bool,
}

impl Difference {
    /// Returns a difference of the file as a whole, or of a line whose place is set later.
    pub(crate) fn whole(about: &'static str, file: String, database: String) -> Self {
        Self { offset: None, line: None, about, file, database, is_hole: false }
    }
}

/// Describes a line in few words. Values are those of the row, masked as they are stored.
pub(crate) fn describe(line: &StoredLine) -> String {
    let (table, method, path, code, at) = match line {
        StoredLine::Row(row) => {
            let url = row.url.as_deref().unwrap_or("no url");
            ("row", &row.method, url, row.code, row.timestamp)
        }
        StoredLine::Request(row) => {
            let line = &row.line;
            let path = line.path.as_deref().unwrap_or("no path");
            ("request", &line.method, path, line.status_code, line.timestamp)
        }
        StoredLine::Reject(reject) => {
            let RejectedLine { reason, raw, .. } = &**reject;
            return short(&format!("the reject '{}' ({reason})", String::from_utf8_lossy(raw)));
        }
    };
    let method = method.as_deref().unwrap_or("no method");
    let code = code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
    short(&format!("the {table} {method} {path} {code} of {}", moment(at)))
}

/// Compares two rows. Times are not compared if they are `estimated`.
///
/// # Errors
/// The first column in which they differ, in the order of exports, with both values.
pub(crate) fn compare_rows<T: Row>(
    file: &T,
    stored: &T,
    estimated: bool,
) -> Result<(), Difference> {
    first_difference(file, stored, estimated).map_or(Ok(()), |(column, in_file, in_store)| {
        Err(Difference::whole(column, words(&in_file), words(&in_store)))
    })
}

fn words(value: &Value<'_>) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Time(at) => moment(*at),
        Value::Text(text) => short(&format!("{text:?}")),
        Value::Address(address) => address.to_string(),
        Value::Json(json) => short(&format!("{json:?}")),
        Value::Captured(pairs) => short(&format!("{pairs:?}")),
        Value::Bytes(bytes) => short(&format!("{bytes:?}")),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
