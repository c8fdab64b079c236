//! A row as a JSON object, as a record of CSV, or as a line of an access log. Columns have the names
//! that they have in the tables.

use std::io::{self, Write};

use chrono::DateTime;
use serde_json::{Map, Value};

use super::answers::Table;
use super::search::{FoundRow, SearchedRow};
use crate::model::columns::{self, Place};
use crate::model::{Micros, StoredRequest, StoredRow, moment};

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
    fn record(&self) -> impl Iterator<Item = String> {
        self.values().map(|(_, value)| match value {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
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

/// Writes records of CSV, after the names of the columns unless they are omitted.
///
/// # Errors
///
/// Those of `out`.
pub fn write_csv<T: SearchedRow>(
    out: impl Write,
    rows: &[FoundRow<T>],
    header: Header,
) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    if header == Header::Written {
        csv.write_record(T::export_columns().into_iter().map(|column| column.name))?;
    }
    for row in rows {
        csv.write_record(row.record())?;
    }
    csv.flush()
}

/// Writes a JSON object a line.
///
/// # Errors
///
/// Those of `out`.
pub fn write_json_lines<T: SearchedRow>(
    mut out: impl Write,
    rows: &[FoundRow<T>],
) -> io::Result<()> {
    rows.iter().try_for_each(|row| writeln!(out, "{}", Value::Object(row.object())))
}

impl SearchedRow for StoredRow {
    const TABLE: Table = Table::GunicornLog;

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
