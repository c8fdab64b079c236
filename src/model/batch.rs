//! What one transaction stores.

use std::collections::BTreeSet;

use super::file::{FileId, Fingerprint, Position};
use super::reason::RejectClass;
use super::record::{GunicornLogModel, Micros};
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
    /// Behind the last byte.
    pub to: Position,
    /// Complete lines between them.
    pub lines: u64,
    /// Lines that became rows.
    pub rows: u64,
    /// Lines that became rejects.
    pub rejected: u64,
    /// Lines that the configuration leaves out, and those of a container's standard error that are
    /// no access lines.
    pub excluded: u64,
    /// The first line's fingerprint; set when `from` is 0.
    pub head: Option<Fingerprint>,
    /// The file's size when it was last looked at, in bytes; never less than `to`.
    pub size: u64,
}

/// Lines of one or several files that are stored together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// One per file.
    pub spans: Vec<Span>,
    /// Rows of `gunicorn_log`, in [`Batch::GUNICORN_LOG`]'s columns.
    pub gunicorn_log: Tuples,
    /// Rows of `request_log`, in [`Batch::REQUEST_LOG`]'s columns.
    pub request_log: Tuples,
    /// Rows of `rejected_line`, in [`Batch::REJECTED_LINE`]'s columns.
    pub rejected_line: Tuples,
    /// The rows of `gunicorn_log`, counted.
    pub rollup: Rollup,
    /// UTC days since 1970 on which a row of `gunicorn_log` falls.
    pub days: BTreeSet<i32>,
    /// The same for `request_log`.
    pub request_days: BTreeSet<i32>,
    /// The same for `rejected_line`.
    pub rejected_days: BTreeSet<i32>,
    /// The rejects, counted by class of reason, in the order of [`RejectClass::ALL`].
    pub reasons: [u64; RejectClass::ALL.len()],
    /// Rows before this time are counted in `expired`.
    pub cutoff: Option<Micros>,
    /// Rows that are older than `cutoff`.
    pub expired: u64,
}

impl Batch {
    /// The columns of an encoded row of `gunicorn_log`.
    pub const GUNICORN_LOG: [&str; 19] = [
        "id",
        "timestamp",
        "log_offset",
        "duration",
        "response_bytes",
        "log_file",
        "code",
        "pid",
        "method",
        "url",
        "host",
        "user_id",
        "user_ip",
        "agent",
        "source",
        "protocol",
        "request",
        "response",
        "headers",
    ];

    /// The columns of an encoded row of `request_log`.
    pub const REQUEST_LOG: [&str; 19] = [
        "id",
        "timestamp",
        "log_offset",
        "response_time_ms",
        "log_file",
        "status_code",
        "method",
        "path",
        "query_params",
        "headers",
        "body",
        "content_type",
        "response_headers",
        "response_body",
        "ip_address",
        "user_id",
        "user_agent",
        "session_id",
        "extra_data",
    ];

    /// The columns of an encoded row of `rejected_line`.
    pub const REJECTED_LINE: [&str; 5] = ["log_offset", "rejected_at", "log_file", "reason", "raw"];

    /// Whether it would store nothing.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of encoded rows held, for bounds on memory.
    pub fn weight(&self) -> usize {
        let tables = [&self.gunicorn_log, &self.request_log, &self.rejected_line];
        tables.iter().map(|rows| rows.bytes().len()).sum()
    }

    /// Rows that are no rejects.
    pub fn rows(&self) -> u64 {
        self.gunicorn_log.count() + self.request_log.count()
    }

    /// Forgets everything, keeps the memory.
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

    /// Counts a record, and adds its row but for the last three columns, which are JSON.
    #[inline(always)]
    pub(super) fn begin_record(
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
            Self::GUNICORN_LOG.len() as i16,
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

    /// Adds the line at `offset` as a reject, with its exact bytes.
    pub fn push_reject(&mut self, file: FileId, offset: u64, at: Micros, reason: &str, raw: &[u8]) {
        self.rejected_days.insert(day(at));
        self.reasons[RejectClass::of(reason) as usize] += 1;
        let row = &mut self.rejected_line;
        row.begin(Self::REJECTED_LINE.len() as i16);
        row.int8(offset as i64);
        row.time(at);
        row.int4(file.0);
        row.text(reason);
        row.raw(raw);
    }
}

pub(super) fn day(time: Micros) -> i32 {
    time.div_euclid(DAY_US) as i32
}

pub(super) fn or_null<T>(row: &mut Tuples, value: Option<T>, push: impl FnOnce(&mut Tuples, T)) {
    match value {
        Some(value) => push(row, value),
        None => row.null(),
    }
}

/// `{"name":"value",…}`, within `{"key":…}` if there is a key; NULL when nothing was captured.
fn captured(row: &mut Tuples, key: Option<&str>, pairs: &[(&str, std::borrow::Cow<'_, str>)]) {
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
