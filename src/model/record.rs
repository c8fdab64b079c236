//! One line of a log as typed values.

use std::borrow::Cow;
use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};

use super::columns::{RequestLog, StoredRow};

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

/// The name under which `request` keeps a text that has no column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra<'a> {
    /// A key of `request` itself: what another program put around the line.
    Around(&'static str),
    /// A key of `request -> 'tail'`: a value of the line.
    Tail(&'a str),
}

/// Texts that have no column, in the order of the line.
pub type Extras<'a> = Vec<(Extra<'a>, Cow<'a, str>)>;

/// Whether a line is what its row gives when it is written again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Likeness {
    /// It is for certain, if its time is written as in the lines before it.
    #[default]
    Same,
    /// It may not be: both have to be compared.
    Unknown,
    /// It is not, because a secret was masked.
    Masked,
}

/// How a line was written, as far as the columns do not tell. Records are the same whatever this is, since it
/// does not belong to the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// The last seven bytes of a time like `[23/Nov/2026:08:41:00 +0000]`, from the second byte of a number on;
    /// 0 if no time is written so.
    pub zone: u64,
    /// Whether the line is what the row gives.
    pub likeness: Likeness,
}

impl PartialEq for Written {
    fn eq(&self, _: &Written) -> bool {
        true
    }
}

impl Eq for Written {}

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
    /// What has no column, or has not the shape of its column: stored in `request`.
    pub extras: Extras<'a>,
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
    /// The pattern of URLs that led to the view.
    pub route: Option<Cow<'a, str>>,
    /// What names the request in other logs.
    pub request_id: Option<Cow<'a, str>>,
    /// The trace of which the request is a part: 32 hexadecimal digits.
    pub trace_id: Option<Cow<'a, str>>,
    /// How the line was written.
    pub written: Written,
}

impl<'a> GunicornLogModel<'a> {
    /// Returns all texts that a client or another program wrote, but for captured headers and variables, and
    /// for identifiers.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut Cow<'a, str>> {
        let columns = [
            &mut self.method,
            &mut self.url,
            &mut self.host,
            &mut self.user_id,
            &mut self.agent,
            &mut self.source,
            &mut self.protocol,
        ];
        columns.into_iter().flatten().chain(self.extras.iter_mut().map(|(_, text)| text))
    }

    /// Returns the row that is stored of the record, if it stands at `offset`. `estimated` is the time that it
    /// gets if it has none.
    pub fn stored(&self, offset: u64, estimated: Micros) -> StoredRow {
        let object = |pairs: &Captured<'_>| -> Option<Value> {
            let object = || pairs.iter().map(|(name, value)| (*name, &**value)).collect();
            (!pairs.is_empty()).then(object)
        };
        let text = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        let headers = object(&self.response_headers);
        StoredRow {
            timestamp: self.timestamp.unwrap_or(estimated),
            log_offset: offset,
            duration: self.duration,
            response_bytes: self.response_bytes,
            code: self.code,
            pid: self.pid,
            method: text(&self.method),
            url: text(&self.url),
            host: text(&self.host),
            user_id: text(&self.user_id),
            user_ip: self.user_ip,
            agent: text(&self.agent),
            source: text(&self.source),
            protocol: text(&self.protocol),
            request: self.request(),
            response: headers.map(|headers| serde_json::json!({ "headers": headers })),
            headers: object(&self.headers),
            route: text(&self.route),
            request_id: text(&self.request_id),
            trace_id: text(&self.trace_id),
            patch: None,
        }
    }

    /// Returns what is stored as `request`: an object, or nothing.
    pub fn request(&self) -> Option<Value> {
        let object = |pairs: &Captured<'_>| -> Value {
            pairs.iter().map(|(name, value)| (*name, &**value)).collect()
        };
        let mut request = Map::new();
        if !self.environ.is_empty() {
            request.insert("environ".to_owned(), object(&self.environ));
        }
        let mut tail = Map::new();
        for (key, text) in &self.extras {
            let (map, key) = match key {
                Extra::Around(key) => (&mut request, *key),
                Extra::Tail(key) => (&mut tail, *key),
            };
            map.insert(key.to_owned(), Value::from(&**text));
        }
        if !tail.is_empty() {
            request.insert("tail".to_owned(), tail.into());
        }
        (!request.is_empty()).then(|| request.into())
    }
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
