//! What one transaction stores.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::columns::{GUNICORN_LOG, REJECTED_LINE, REQUEST_LOG, RequestLog};
use super::file::{FileId, Fingerprint, Position};
use super::reason::{RejectCode, RejectReason};
use super::record::{GunicornLogModel, JsonRecord, Micros};
use super::rollup::Rollup;
use super::tuples::Tuples;

const DAY_US: i64 = 86_400_000_000;

/// How far one file's offset moves, and what its lines became: `lines = rows + rejected +
/// excluded`, always.
#[derive(Clone, Debug)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The epoch under which it was claimed.
    pub epoch: i64,
    /// Offset of the first byte.
    pub from: u64,
    /// The position after the last byte.
    pub to: Position,
    /// Complete lines between them.
    pub lines: u64,
    /// Lines that became rows.
    pub rows: u64,
    /// Lines that became rejects.
    pub rejected: u64,
    /// Lines that the configuration leaves out, and lines of a container's standard error that are
    /// not access lines.
    pub excluded: u64,
    /// The first line's fingerprint; set when `from` is 0.
    pub head: Option<Fingerprint>,
    /// The size of the file when it was last checked, in bytes; never less than `to`.
    pub size: u64,
}

/// Lines of one or several files that are stored together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// One per file.
    pub spans: Vec<Span>,
    /// Rows of `gunicorn_log`, with the columns of [`GUNICORN_LOG`].
    pub gunicorn_log: Tuples,
    /// Rows of `request_log`, with the columns of [`REQUEST_LOG`].
    pub request_log: Tuples,
    /// Rows of `rejected_line`, with the columns of [`REJECTED_LINE`].
    pub rejected_line: Tuples,
    /// Counts of the rows of `gunicorn_log`.
    pub rollup: Rollup,
    /// UTC days since 1970 on which a row of `gunicorn_log` falls.
    pub days: BTreeSet<i32>,
    /// The same for `request_log`.
    pub request_days: BTreeSet<i32>,
    /// The same for `rejected_line`.
    pub rejected_days: BTreeSet<i32>,
    /// Counts of the rejects by the code of their reason, in the order of [`RejectCode::ALL`].
    pub reasons: [u64; RejectCode::ALL.len()],
    /// Rows before this time are counted in `expired`.
    pub cutoff: Option<Micros>,
    /// Rows that are older than `cutoff`.
    pub expired: u64,
}

impl Batch {
    /// Returns whether the batch would store nothing.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Returns the rows of `gunicorn_log`, `request_log` and `rejected_line`.
    pub fn tables(&self) -> [&Tuples; 3] {
        [&self.gunicorn_log, &self.request_log, &self.rejected_line]
    }

    /// Returns the bytes of the encoded rows, for bounds on memory.
    pub fn weight(&self) -> usize {
        self.tables().iter().map(|rows| rows.bytes().len()).sum()
    }

    /// Returns the number of complete lines of all spans.
    pub fn lines(&self) -> u64 {
        self.spans.iter().map(|span| span.lines).sum()
    }

    /// Returns how many rows there are without the rejects.
    pub fn rows(&self) -> u64 {
        self.gunicorn_log.count() + self.request_log.count()
    }

    /// Removes everything and keeps the memory.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.gunicorn_log.clear();
        self.request_log.clear();
        self.rejected_line.clear();
        self.rollup.clear();
        self.days.clear();
        self.request_days.clear();
        self.rejected_days.clear();
        self.reasons = Default::default();
        self.expired = 0;
    }

    /// Adds the record of the line at `offset`. `estimated` is the time it gets if it has none.
    pub fn push_record(
        &mut self,
        file: FileId,
        offset: u64,
        record: &GunicornLogModel<'_>,
        estimated: Micros,
    ) {
        self.begin_record(file, offset, record, record.timestamp.unwrap_or(estimated));
        let row = &mut self.gunicorn_log;
        let pairs = [&record.environ, &record.response_headers, &record.headers];
        if pairs.iter().all(|pairs| pairs.is_empty()) {
            return row.nulls::<3>();
        }
        captured(row, Some("environ"), &record.environ);
        captured(row, Some("headers"), &record.response_headers);
        captured(row, None, &record.headers);
    }

    /// Adds the record of the JSON line at `offset`.
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

    /// Counts a record, and adds its row but for the last three columns, which are JSON. The fields
    /// are in the order of [`GUNICORN_LOG`]; a test of that module compares them.
    #[inline(always)]
    fn begin_record(
        &mut self,
        file: FileId,
        offset: u64,
        record: &GunicornLogModel<'_>,
        timestamp: Micros,
    ) {
        let day = day(timestamp);
        if self.days.last() != Some(&day) {
            self.days.insert(day); // a log is in order of time, but for a few lines
        }
        self.expired += u64::from(self.cutoff.is_some_and(|cutoff| timestamp < cutoff));
        let GunicornLogModel { code, response_bytes, duration, .. } = *record;
        self.rollup.count(file, timestamp, code, response_bytes, duration);
        let row = &mut self.gunicorn_log;
        row.begin_with(
            GUNICORN_LOG.len() as i16,
            [file.row_id(offset), Tuples::from_micros(timestamp), offset as i64],
        );
        or_null(row, record.duration, Tuples::int8);
        or_null(row, record.response_bytes, Tuples::int8);
        row.int4(file.0);
        or_null(row, record.code, Tuples::int4);
        or_null(row, record.pid, Tuples::int4);
        for text in [&record.method, &record.url, &record.host, &record.user_id] {
            or_null(row, text.as_deref(), Tuples::text);
        }
        or_null(row, record.user_ip, Tuples::inet);
        for text in [&record.agent, &record.source, &record.protocol] {
            or_null(row, text.as_deref(), Tuples::text);
        }
    }

    /// Adds a row of `request_log`. The fields are in the order of [`REQUEST_LOG`].
    fn push_request(&mut self, file: FileId, offset: u64, line: &RequestLog) {
        self.request_days.insert(day(line.timestamp));
        self.expired += u64::from(self.cutoff.is_some_and(|cutoff| line.timestamp < cutoff));
        let row = &mut self.request_log;
        row.begin_with(
            REQUEST_LOG.len() as i16,
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

    /// Adds the line at `offset` as a reject, with its exact bytes. The fields are in the order of
    /// [`REJECTED_LINE`].
    pub fn push_reject(
        &mut self,
        file: FileId,
        offset: u64,
        at: Micros,
        reason: &RejectReason,
        raw: &[u8],
    ) {
        self.rejected_days.insert(day(at));
        let code = reason.code();
        self.reasons[code as usize] += 1;
        let row = &mut self.rejected_line;
        row.begin(REJECTED_LINE.len() as i16);
        row.int8(offset as i64);
        row.time(at);
        row.int4(file.0);
        row.text(code.name());
        row.display(reason);
        row.raw(raw);
    }
}

/// Rejected lines of one file that the file's format can read now. They become rows in one
/// transaction.
#[derive(Clone, Debug)]
pub struct Reparsed {
    /// The file.
    pub file: FileId,
    /// The format by which the lines were read.
    pub format: String,
    /// The rejects that are removed: offset, and time of the rejection.
    pub taken: Vec<(u64, Micros)>,
    /// How many of the rejects the configuration leaves out; the others are in `rows`.
    pub excluded: u64,
    /// The rows of the rejects. The batch has no spans, since no offset moves.
    pub rows: Batch,
}

impl Reparsed {
    /// Returns a value without lines.
    pub fn of(file: FileId, format: String) -> Self {
        Self { file, format, taken: Vec::new(), excluded: 0, rows: Batch::default() }
    }
}

/// Returns the UTC day of a moment, in days since 1970.
fn day(time: Micros) -> i32 {
    time.div_euclid(DAY_US) as i32
}

fn or_null<T>(row: &mut Tuples, value: Option<T>, push: impl FnOnce(&mut Tuples, T)) {
    match value {
        Some(value) => push(row, value),
        None => row.null(),
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

/// Adds `{"name":"value",…}`, within `{"key":…}` if there is a key; NULL if nothing was captured.
fn captured(row: &mut Tuples, key: Option<&str>, pairs: &[(&str, Cow<'_, str>)]) {
    if pairs.is_empty() {
        return row.null();
    }
    row.json(|out| {
        if let Some(key) = key {
            out.push(b'{');
            quoted(out, key);
            out.push(b':');
        }
        for (nth, (name, value)) in pairs.iter().enumerate() {
            out.push(if nth == 0 { b'{' } else { b',' });
            quoted(out, name);
            out.push(b':');
            quoted(out, value);
        }
        out.push(b'}');
        if key.is_some() {
            out.push(b'}');
        }
    });
}

fn quoted(out: &mut Vec<u8>, text: &str) {
    // Writing a str to a Vec cannot fail: neither side has an error to give.
    let _ = serde_json::to_writer(out, text);
}
