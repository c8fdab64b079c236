//! Where a file and the store disagree, and what either of them says there.

use std::fmt::Debug;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use crate::model::Micros;
use crate::store::{StoredLine, StoredRow};

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
    pub(super) fn whole(about: &'static str, file: String, database: String) -> Self {
        Self { offset: None, line: None, about, file, database }
    }
}

/// A line in few words. Values are those of the row, masked as they are stored.
pub(super) fn describe(line: &StoredLine) -> String {
    match line {
        StoredLine::Row(row) => {
            let method = row.method.as_deref().unwrap_or("no method");
            let url = row.url.as_deref().unwrap_or("no url");
            let code = row.code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
            short(&format!("the row {method} {url} {code} of {}", time(row.timestamp)))
        }
        StoredLine::Reject { reason, raw } => {
            short(&format!("the reject '{}' ({reason})", String::from_utf8_lossy(raw)))
        }
    }
}

/// The first column in which two rows differ, with both values. Times are left out if they are
/// `estimated`.
pub(super) fn first_field(
    file: &StoredRow,
    stored: &StoredRow,
    estimated: bool,
) -> Option<(&'static str, String, String)> {
    let times = [file, stored].map(|row| time(row.timestamp));
    let [in_file, in_store] = times;
    if !estimated && file.timestamp != stored.timestamp {
        return Some(("timestamp", in_file, in_store));
    }
    macro_rules! first_of {
        ($($field:ident),*) => {
            $(if file.$field != stored.$field {
                return Some((stringify!($field), value(&file.$field), value(&stored.$field)));
            })*
        };
    }
    if file.log_offset != stored.log_offset {
        let offsets = [file, stored].map(|row| row.log_offset.to_string());
        let [in_file, in_store] = offsets;
        return Some(("log_offset", in_file, in_store));
    }
    first_of!(
        method,
        url,
        host,
        user_id,
        user_ip,
        agent,
        source,
        protocol,
        request,
        response,
        headers,
        duration,
        code,
        response_bytes,
        pid
    );
    None
}

fn value(value: &Option<impl Debug>) -> String {
    value.as_ref().map_or_else(|| "NULL".to_owned(), |value| short(&format!("{value:?}")))
}

fn time(at: Micros) -> String {
    DateTime::from_timestamp_micros(at)
        .map_or_else(|| at.to_string(), |at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
