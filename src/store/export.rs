//! A row as a JSON object, as a record of CSV, or as a line of an access log again. Columns have their
//! names in the tables.

use std::io::{self, Write};

use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::answers::{StoredRequest, StoredRow};
use super::search::FoundRow;
use crate::model::{Micros, moment};

/// Something that can be written as a record.
pub trait Exported {
    /// The columns, in order.
    const COLUMNS: &'static [&'static str];

    /// All of them by name; what the row does not have is null.
    fn object(&self) -> Map<String, Value>;

    /// All of them as text, in order; what the row does not have is empty, and objects are JSON.
    fn record(&self) -> Vec<String> {
        let object = self.object();
        let text = |name: &&str| match object.get(*name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        Self::COLUMNS.iter().map(text).collect()
    }

    /// As a line of Gunicorn's own default format.
    fn access_line(&self) -> String;
}

fn object<const N: usize>(names: &[&str], values: [Value; N]) -> Map<String, Value> {
    names.iter().map(|name| (*name).to_owned()).zip(values).collect()
}

/// Records of CSV, with the names of the columns before them if `head`.
///
/// # Errors
///
/// Those of `out`.
pub fn write_csv<T: Exported>(out: impl Write, rows: &[T], head: bool) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    if head {
        csv.write_record(T::COLUMNS)?;
    }
    for row in rows {
        csv.write_record(row.record())?;
    }
    csv.flush()
}

/// A JSON object a line.
///
/// # Errors
///
/// Those of `out`.
pub fn write_json_lines<T: Exported>(mut out: impl Write, rows: &[T]) -> io::Result<()> {
    rows.iter().try_for_each(|row| writeln!(out, "{}", Value::Object(row.object())))
}

impl Exported for FoundRow<StoredRow> {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "timestamp",
        "method",
        "url",
        "host",
        "user_id",
        "user_ip",
        "agent",
        "source",
        "request",
        "response",
        "headers",
        "duration",
        "code",
        "protocol",
        "response_bytes",
        "pid",
        "log_file",
        "log_offset",
    ];

    fn object(&self) -> Map<String, Value> {
        let row = &self.row;
        object(
            Self::COLUMNS,
            [
                json!(self.id),
                json!(moment(row.timestamp)),
                json!(row.method),
                json!(row.url),
                json!(row.host),
                json!(row.user_id),
                json!(row.user_ip),
                json!(row.agent),
                json!(row.source),
                json!(row.request),
                json!(row.response),
                json!(row.headers),
                json!(row.duration),
                json!(row.code),
                json!(row.protocol),
                json!(row.response_bytes),
                json!(row.pid),
                json!(self.file.0),
                json!(row.log_offset),
            ],
        )
    }

    fn access_line(&self) -> String {
        let row = &self.row;
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

impl Exported for FoundRow<StoredRequest> {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "timestamp",
        "method",
        "path",
        "query_params",
        "headers",
        "body",
        "content_type",
        "status_code",
        "response_headers",
        "response_body",
        "response_time_ms",
        "ip_address",
        "user_id",
        "user_agent",
        "session_id",
        "extra_data",
        "log_file",
        "log_offset",
    ];

    fn object(&self) -> Map<String, Value> {
        let row = &self.row.line;
        object(
            Self::COLUMNS,
            [
                json!(self.id),
                json!(moment(row.timestamp)),
                json!(row.method),
                json!(row.path),
                json!(row.query_params),
                json!(row.headers),
                json!(row.body),
                json!(row.content_type),
                json!(row.status_code),
                json!(row.response_headers),
                json!(row.response_body),
                json!(row.response_time_ms),
                json!(row.ip_address),
                json!(row.user_id),
                json!(row.user_agent),
                json!(row.session_id),
                json!(row.extra_data),
                json!(self.file.0),
                json!(self.row.log_offset),
            ],
        )
    }

    fn access_line(&self) -> String {
        let row = &self.row.line;
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

/// As Gunicorn writes it: quotes get a backslash, nothing else does.
fn quoted(text: &str) -> String {
    one_line(text).replace('"', "\\\"")
}

/// A row may hold what Gunicorn would have broken the line with.
fn one_line(text: &str) -> String {
    if !text.contains(['\n', '\r']) {
        return text.to_owned();
    }
    text.replace('\n', "\\n").replace('\r', "\\r")
}
