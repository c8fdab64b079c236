//! One JSON line as typed values, and its row.

use std::net::IpAddr;

use serde_json::Value;

use super::batch::{Batch, day, or_null};
use super::file::FileId;
use super::record::{GunicornLogModel, Micros};
use super::tuples::Tuples;

/// What a JSON line says, by the table that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonRecord {
    /// A row of `gunicorn_log`.
    Gunicorn(GunicornJson),
    /// A row of `request_log`.
    Request(RequestLog),
}

impl JsonRecord {
    /// When the request was logged.
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
    /// Its columns but for those that are JSON; of the record itself nothing is captured.
    pub record: GunicornLogModel<'static>,
    /// What else was logged of the request.
    pub request: Option<Value>,
    /// What was logged of the response.
    pub response: Option<Value>,
    /// Request headers.
    pub headers: Option<Value>,
}

/// A request as an application logged it; a column of `request_log` for each field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestLog {
    /// When the request was logged.
    pub timestamp: Micros,
    /// Time the request took, in milliseconds.
    pub response_time_ms: Option<f64>,
    /// Response status.
    pub status_code: Option<i32>,
    /// Request method.
    pub method: Option<String>,
    /// Path, without the query.
    pub path: Option<String>,
    /// Query, without its question mark.
    pub query_params: Option<String>,
    /// Request headers, by name.
    pub headers: Option<Value>,
    /// Request body.
    pub body: Option<String>,
    /// Its Content-Type.
    pub content_type: Option<String>,
    /// Response headers, by name.
    pub response_headers: Option<Value>,
    /// Response body.
    pub response_body: Option<String>,
    /// The client's address.
    pub ip_address: Option<IpAddr>,
    /// The user's name or key.
    pub user_id: Option<String>,
    /// The User-Agent header.
    pub user_agent: Option<String>,
    /// The session's key.
    pub session_id: Option<String>,
    /// Whatever else was logged.
    pub extra_data: Option<Value>,
}

impl Batch {
    /// Adds what the JSON line at `offset` says.
    pub fn push_json(&mut self, file: FileId, offset: u64, record: &JsonRecord) {
        match record {
            JsonRecord::Gunicorn(line) => {
                self.begin_record(file, offset, &line.record, line.timestamp);
                for value in [&line.request, &line.response, &line.headers] {
                    json(&mut self.gunicorn_log, value.as_ref());
                }
            }
            JsonRecord::Request(line) => self.push_request(file, offset, line),
        }
    }

    fn push_request(&mut self, file: FileId, offset: u64, line: &RequestLog) {
        self.request_days.insert(day(line.timestamp));
        self.expired += u64::from(self.cutoff.is_some_and(|cutoff| line.timestamp < cutoff));
        let row = &mut self.request_log;
        row.begin_with(
            Self::REQUEST_LOG.len() as i16,
            [file.row_id(offset), Tuples::from_micros(line.timestamp), offset as i64],
        );
        or_null(row, line.response_time_ms, Tuples::float8);
        row.int4(file.0);
        or_null(row, line.status_code, Tuples::int4);
        for value in [&line.method, &line.path, &line.query_params] {
            or_null(row, value.as_deref(), Tuples::text);
        }
        json(row, line.headers.as_ref());
        for value in [&line.body, &line.content_type] {
            or_null(row, value.as_deref(), Tuples::text);
        }
        json(row, line.response_headers.as_ref());
        or_null(row, line.response_body.as_deref(), Tuples::text);
        or_null(row, line.ip_address, Tuples::inet);
        for value in [&line.user_id, &line.user_agent, &line.session_id] {
            or_null(row, value.as_deref(), Tuples::text);
        }
        json(row, line.extra_data.as_ref());
    }
}

fn json(row: &mut Tuples, value: Option<&Value>) {
    or_null(row, value, |row, value| {
        row.json(|out| {
            // Writing a value to a Vec cannot fail: its keys are texts, and a Vec has no error.
            let _ = serde_json::to_writer(out, value);
        });
    });
}
