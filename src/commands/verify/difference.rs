//! Where a file and the store disagree, and what either of them says there.

use std::fmt::Debug;

use serde::Serialize;
use serde_json::Value;

use crate::model::moment;
use crate::store::{StoredLine, StoredRequest, StoredRow};

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
    /// Of the file as a whole.
    pub(crate) fn whole(about: &'static str, file: String, database: String) -> Self {
        Self { offset: None, line: None, about, file, database }
    }
}

/// A line in few words. Values are those of the row, masked as they are stored.
pub(crate) fn describe(line: &StoredLine) -> String {
    match line {
        StoredLine::Row(row) => {
            let method = row.method.as_deref().unwrap_or("no method");
            let url = row.url.as_deref().unwrap_or("no url");
            let code = row.code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
            short(&format!("the row {method} {url} {code} of {}", moment(row.timestamp)))
        }
        StoredLine::Request(row) => {
            let line = &row.line;
            let method = line.method.as_deref().unwrap_or("no method");
            let path = line.path.as_deref().unwrap_or("no path");
            let code = line.status_code;
            let code = code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
            short(&format!("the request {method} {path} {code} of {}", moment(line.timestamp)))
        }
        StoredLine::Reject { reason, raw } => {
            short(&format!("the reject '{}' ({reason})", String::from_utf8_lossy(raw)))
        }
    }
}

/// Ends with the first of these columns that differs.
macro_rules! first_of {
    ($differ:ident, $file:ident, $stored:ident, $($field:ident),*) => {
        $(if $differ(&$file.$field, &$stored.$field) {
            return Some((stringify!($field), value(&$file.$field), value(&$stored.$field)));
        })*
    };
}

/// The first column in which two rows differ, with both values. Times are left out if they are
/// `estimated`.
pub(crate) fn first_field(
    file: &StoredRow,
    stored: &StoredRow,
    estimated: bool,
) -> Option<(&'static str, String, String)> {
    let times = [file, stored].map(|row| moment(row.timestamp));
    let [in_file, in_store] = times;
    if !estimated && file.timestamp != stored.timestamp {
        return Some(("timestamp", in_file, in_store));
    }
    if file.log_offset != stored.log_offset {
        let offsets = [file, stored].map(|row| row.log_offset.to_string());
        let [in_file, in_store] = offsets;
        return Some(("log_offset", in_file, in_store));
    }
    first_of!(differ, file, stored, method, url, host, user_id, user_ip, agent, source, protocol);
    first_of!(json_differs, file, stored, request, response, headers);
    first_of!(differ, file, stored, duration, code, response_bytes, pid);
    None
}

/// The same of two rows of `request_log`.
pub(crate) fn first_request_field(
    file: &StoredRequest,
    stored: &StoredRequest,
) -> Option<(&'static str, String, String)> {
    if file.log_offset != stored.log_offset {
        return Some(("log_offset", file.log_offset.to_string(), stored.log_offset.to_string()));
    }
    let (file, stored) = (&file.line, &stored.line);
    if file.timestamp != stored.timestamp {
        return Some(("timestamp", moment(file.timestamp), moment(stored.timestamp)));
    }
    first_of!(differ, file, stored, method, path, query_params, status_code, response_time_ms);
    first_of!(differ, file, stored, body, content_type, response_body, ip_address);
    first_of!(differ, file, stored, user_id, user_agent, session_id);
    first_of!(json_differs, file, stored, headers, response_headers, extra_data);
    None
}

fn differ<T: PartialEq>(one: &T, other: &T) -> bool {
    one != other
}

fn json_differs(one: &Option<Value>, other: &Option<Value>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => !is_same(one, other),
        (one, other) => one.is_some() != other.is_some(),
    }
}

/// Whether two values say the same: a database may write 1e16 as 10000000000000000.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => {
            one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| is_same(value, other)))
        }
        (one, other) => one == other,
    }
}

fn value(value: &Option<impl Debug>) -> String {
    value.as_ref().map_or_else(|| "NULL".to_owned(), |value| short(&format!("{value:?}")))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
