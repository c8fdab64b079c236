//! A place where a file and the store disagree, and what each of them says there.

use serde::Serialize;
use serde_json::Value as Json;

use crate::model::columns::{Place, Value};
use crate::model::{Row, moment};
use crate::store::StoredLine;

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
}

impl Difference {
    /// Returns a difference of the file as a whole, or of a line whose place is set later.
    pub(crate) fn whole(about: &'static str, file: String, database: String) -> Self {
        Self { offset: None, line: None, about, file, database }
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
        StoredLine::Reject { reason, raw, .. } => {
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
    let place = Place::default();
    let both = file.exported(place).into_iter().zip(stored.exported(place));
    let mut both = both.filter(|((column, _), _)| !(estimated && column.name == "timestamp"));
    both.find(|((_, one), (_, other))| differ(one, other)).map_or(Ok(()), |(one, other)| {
        let ((column, in_file), (_, in_store)) = (one, other);
        Err(Difference::whole(column.name, words(&in_file), words(&in_store)))
    })
}

fn differ(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Json(one), Value::Json(other)) => !is_same(one, other),
        (one, other) => one != other,
    }
}

/// Returns whether two values are the same: a database may write 1e16 as 10000000000000000.
fn is_same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) if one.is_f64() || other.is_f64() => {
            one.as_f64() == other.as_f64()
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| is_same(value, other)))
        }
        (one, other) => one == other,
    }
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
