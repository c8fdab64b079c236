//! A row as a JSON object, as a record of CSV, or as a line of an access log. Columns have the names
//! that they have in the tables.

use std::io::{self, Write};

use chrono::DateTime;
use serde_json::{Map, Value};

use super::answers::Table;
use super::search::{FoundRow, SearchedRow};
use crate::model::columns::{self, Place};
use crate::model::{Micros, StoredRequest, StoredRow, is_printable, moment};

impl<T: SearchedRow> FoundRow<T> {
    /// Returns the values of all columns, in order.
    fn values(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let place = Place { id: self.id, log_file: self.file.0.into(), ..Place::default() };
        let exported = self.row.exported(place).into_iter();
        exported.map(|(column, value)| (column.name, json_of(&value)))
    }

    /// Returns all columns by name; what the row does not have is null.
    pub fn object(&self) -> Map<String, Value> {
        self.values().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Returns all columns as text, in order; what the row does not have is empty, and objects are JSON.
    fn record(&self, cells: CsvCells) -> impl Iterator<Item = String> {
        self.values().map(move |(_, value)| match value {
            Value::Null => String::new(),
            Value::String(text) => cells.cell(text),
            Value::Array(_) | Value::Object(_) => cells.cell(value.to_string()),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
        })
    }
}

fn json_of(value: &columns::Value<'_>) -> Value {
    match *value {
        columns::Value::Null => Value::Null,
        columns::Value::Int(number) => number.into(),
        columns::Value::Real(number) => number.into(),
        columns::Value::Time(at) => moment(at).into(),
        columns::Value::Text(text) => text.into(),
        columns::Value::Address(address) => address.to_string().into(),
        columns::Value::Json(value) => value.clone(),
        columns::Value::Captured(pairs) => {
            pairs.iter().map(|(name, value)| (*name, &**value)).collect()
        }
        columns::Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into(),
    }
}

/// Whether the names of the columns precede the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// They do.
    Written,
    /// They do not.
    Omitted,
}

/// How texts become cells of CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsvCells {
    /// As they are stored.
    Exact,
    /// With an apostrophe before what a spreadsheet would take for a formula: a text that begins with `=`, `+`,
    /// `-`, `@`, a tab or a carriage return, and the same after a semicolon, a tab or a newline, at which some
    /// spreadsheets divide cells. Numbers stay.
    Safe,
}

impl CsvCells {
    fn cell(self, text: String) -> String {
        if self == Self::Exact || !text.contains(FORMULA) {
            return text;
        }
        let mut cell = String::with_capacity(text.len() + 1);
        let mut begins = true;
        for character in text.chars() {
            if begins && FORMULA.contains(&character) {
                cell.push('\'');
                begins = false;
            }
            cell.push(character);
            begins = match character {
                ';' | '\t' | '\r' | '\n' => true,
                // A spreadsheet may take these away before it looks.
                '"' => begins,
                _ => begins && (character.is_whitespace() || !is_printable(character)),
            };
        }
        cell
    }
}

/// With what a formula begins, also in the full width of East Asian keyboards.
const FORMULA: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];

/// Writes records of CSV, after the names of the columns unless they are omitted.
///
/// # Errors
///
/// Those of `out`.
pub fn write_csv<T: SearchedRow>(
    out: impl Write,
    rows: &[FoundRow<T>],
    header: Header,
    cells: CsvCells,
) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    if header == Header::Written {
        let names = T::export_columns().into_iter().map(|column| column.name);
        csv.write_record(names).map_err(of_system)?;
    }
    for row in rows {
        csv.write_record(row.record(cells)).map_err(of_system)?;
    }
    csv.flush()
}

/// Returns the error of the system within one of CSV: a caller may want to know that a pipe was closed.
fn of_system(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Writes a JSON object a line, which begins with the kind of its log, so that it can be imported again.
///
/// # Errors
///
/// Those of `out`.
pub fn write_json_lines<T: SearchedRow>(
    mut out: impl Write,
    rows: &[FoundRow<T>],
) -> io::Result<()> {
    rows.iter().try_for_each(|row| {
        let object = Value::Object(row.object()).to_string();
        let keys = object.strip_prefix('{').unwrap_or(&object);
        writeln!(out, r#"{{"log":"{}",{keys}"#, T::LOG)
    })
}

impl SearchedRow for StoredRow {
    const TABLE: Table = Table::GunicornLog;
    const LOG: &'static str = "gunicorn";

    fn timestamp(&self) -> Micros {
        self.timestamp
    }

    fn access_line(&self) -> String {
        let row = self;
        let line = Line {
            address: row.user_ip.map(|it| it.to_string()),
            user: row.user_id.as_deref(),
            at: row.timestamp,
            method: row.method.as_deref(),
            url: row.url.clone(),
            protocol: row.protocol.as_deref(),
            code: row.code,
            bytes: row.response_bytes,
            source: row.source.as_deref(),
            agent: row.agent.as_deref(),
        };
        line.text()
    }
}

impl SearchedRow for StoredRequest {
    const TABLE: Table = Table::RequestLog;
    const LOG: &'static str = "request";

    fn timestamp(&self) -> Micros {
        self.line.timestamp
    }

    fn access_line(&self) -> String {
        let row = &self.line;
        let query = row.query_params.as_deref().filter(|query| !query.is_empty());
        let line = Line {
            address: row.ip_address.map(|it| it.to_string()),
            user: row.user_id.as_deref(),
            at: row.timestamp,
            method: row.method.as_deref(),
            url: row.path.as_ref().map(|path| match query {
                Some(query) => format!("{path}?{query}"),
                None => path.clone(),
            }),
            protocol: None,
            code: row.status_code,
            bytes: None,
            source: None,
            agent: row.user_agent.as_deref(),
        };
        line.text()
    }
}

/// What Gunicorn's default format holds.
struct Line<'a> {
    address: Option<String>,
    user: Option<&'a str>,
    at: Micros,
    method: Option<&'a str>,
    url: Option<String>,
    protocol: Option<&'a str>,
    code: Option<i32>,
    bytes: Option<i64>,
    source: Option<&'a str>,
    agent: Option<&'a str>,
}

impl Line<'_> {
    fn text(&self) -> String {
        let time = DateTime::from_timestamp_micros(self.at).unwrap_or_default();
        let number = |it: Option<String>| it.unwrap_or_else(|| "-".to_owned());
        let request = [
            self.method.unwrap_or("-"),
            self.url.as_deref().unwrap_or("-"),
            self.protocol.unwrap_or("HTTP/1.1"),
        ];
        format!(
            "{} - {} [{}] \"{}\" {} {} \"{}\" \"{}\"",
            self.address.as_deref().unwrap_or("-"),
            one_line(self.user.unwrap_or("-")),
            time.format("%d/%b/%Y:%H:%M:%S %z"),
            quoted(&request.join(" ")),
            number(self.code.map(|it| it.to_string())),
            number(self.bytes.map(|it| it.to_string())),
            quoted(self.source.unwrap_or("-")),
            quoted(self.agent.unwrap_or("-")),
        )
    }
}

/// Writes a text as Gunicorn does: only quotes get a backslash.
fn quoted(text: &str) -> String {
    one_line(text).replace('"', "\\\"")
}

/// Escapes what would break the line in two.
fn one_line(text: &str) -> String {
    if !text.contains(['\n', '\r']) {
        return text.to_owned();
    }
    text.replace('\n', "\\n").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, safe) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(1)", "'@SUM(1)"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            (" \u{feff}=1", " \u{feff}'=1"),
            ("＝1", "'＝1"),
            ("a;=1", "a;'=1"),
            ("a\n\"=1", "a\n\"'=1"),
            ("Mozilla/5.0 (X11; a=b) +c-d@e", "Mozilla/5.0 (X11; a=b) +c-d@e"),
            ("", ""),
        ] {
            assert_eq!(CsvCells::Safe.cell(text.to_owned()), safe);
            assert_eq!(CsvCells::Exact.cell(text.to_owned()), text);
        }
    }
}
