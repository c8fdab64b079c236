//! One line of a log as typed values.

use std::borrow::Cow;
use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat};
use serde_json::Value;

use super::columns::RequestLog;

/// Microseconds since 1970-01-01 00:00:00 UTC.
pub type Micros = i64;

/// Returns the current time, in microseconds since 1970.
pub fn now() -> Micros {
    chrono::Utc::now().timestamp_micros()
}

/// Returns a moment as RFC 3339 in UTC, with a fraction only if there is one.
pub fn moment(at: Micros) -> String {
    DateTime::from_timestamp_micros(at)
        .map_or_else(|| at.to_string(), |at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// Captured headers or variables: names in lower case, in the order of the format.
pub type Captured<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// A request as Gunicorn logged it, with a field for each column of `gunicorn_log`. What the line does
/// not have is `None`, never `-` or an empty text. Texts borrow from the line where they can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GunicornLogModel<'a> {
    /// When the request was logged; `None` if the format has no time.
    pub timestamp: Option<Micros>,
    /// Request method, as sent.
    pub method: Option<Cow<'a, str>>,
    /// Path and query, as requested.
    pub url: Option<Cow<'a, str>>,
    /// The Host header.
    pub host: Option<Cow<'a, str>>,
    /// The user's name.
    pub user_id: Option<Cow<'a, str>>,
    /// The client's address.
    pub user_ip: Option<IpAddr>,
    /// The User-Agent header.
    pub agent: Option<Cow<'a, str>>,
    /// The Referer header.
    pub source: Option<Cow<'a, str>>,
    /// Variables of the WSGI environment (`%({x}e)s`): stored as `request -> 'environ'`.
    pub environ: Captured<'a>,
    /// Response headers (`%({x}o)s`): stored as `response -> 'headers'`.
    pub response_headers: Captured<'a>,
    /// Request headers (`%({x}i)s`): stored as `headers`.
    pub headers: Captured<'a>,
    /// Time taken, in microseconds.
    pub duration: Option<i64>,
    /// Response status.
    pub code: Option<i32>,
    /// `HTTP/1.1`.
    pub protocol: Option<Cow<'a, str>>,
    /// Bytes of the response body.
    pub response_bytes: Option<i64>,
    /// The worker's process id.
    pub pid: Option<i32>,
}

/// What a line of JSON says, by the table that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonRecord {
    /// A row of `gunicorn_log`.
    Gunicorn(GunicornJson),
    /// A row of `request_log`.
    Request(RequestLog),
}

impl JsonRecord {
    /// Returns when the request was logged.
    pub fn timestamp(&self) -> Micros {
        match self {
            JsonRecord::Gunicorn(line) => line.timestamp,
            JsonRecord::Request(line) => line.timestamp,
        }
    }
}

/// A request as Gunicorn logged it in JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GunicornJson {
    /// When it was logged.
    pub timestamp: Micros,
    /// All columns but the JSON ones. The record's own captured headers are empty.
    pub record: GunicornLogModel<'static>,
    /// What else was logged of the request.
    pub request: Option<Value>,
    /// What was logged of the response.
    pub response: Option<Value>,
    /// Request headers.
    pub headers: Option<Value>,
}
