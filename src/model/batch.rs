//! What one transaction stores: positions of files, and rows encoded as bytes.
//!
//! Parsed fields go straight into one growing buffer, so a batch is a few large allocations and
//! not a million small ones. The layout is the tuple of PostgreSQL's binary COPY (a count of
//! fields, then a length and the bytes of each, big-endian, −1 for NULL;
//! <https://www.postgresql.org/docs/current/sql-copy.html>): one backend of the store sends the bytes
//! as they are, the other decodes them with [`Tuples::rows`]. Both store the same values.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io::Write;
use std::net::IpAddr;
use std::ops::Range;

use serde_json::Value;

use super::columns::{
    Column, Encoded, GUNICORN_LOG, NARROW, REJECTED_LINE, REQUEST_LOG, RejectedLine, RequestLog,
    Row as _, Source as _, StoredRow,
};
use super::excerpt::excerpt;
use super::file::{FileId, Fingerprint, NulRun, Position};
use super::line_form::FormChange;
use super::reason::{RejectCode, RejectReason};
use super::record::{GunicornLogModel, JsonRecord, Micros};
use super::rollup::{CountedRow, Rollup};

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
    /// NULs before lines that were skipped, in order.
    pub nul_runs: Vec<NulRun>,
    /// Lines from which on lines have another form, in order.
    pub form_changes: Vec<FormChange>,
    /// Whether the claim of the file ends with it.
    pub releases: bool,
    /// Rows whose time is far from the clock; see [`Batch::clock`].
    pub far_times: u64,
}

impl Span {
    /// Returns how many NULs before lines were skipped.
    pub fn nul_bytes(&self) -> u64 {
        self.nul_runs.iter().map(|run| run.length).sum()
    }
}

/// The first reject of a batch for a file and a cause, for messages.
#[derive(Clone, Debug)]
pub struct RejectExample {
    /// The file.
    pub file: FileId,
    /// The cause.
    pub code: RejectCode,
    /// The offset of the line.
    pub offset: u64,
    /// How many lines of the file the batch rejects for it.
    pub lines: u64,
    /// The cause of this one in words.
    pub reason: String,
    /// The line's beginning, by [`excerpt`].
    pub beginning: String,
}

/// Times that are further ahead of the clock are not explained by clocks and zones, which differ by a day and a
/// bit (2 days).
pub const FAR_AHEAD: Micros = 2 * DAY_US;

/// No log of today's programs has lines from before 2000-01-01: a clock that begins in 1970 wrote them.
pub const FIRST_TIME: Micros = 946_684_800_000_000;

/// The first row of a file in a batch whose time is far from the clock, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FarExample {
    /// The file.
    pub file: FileId,
    /// The offset of the line.
    pub offset: u64,
    /// Its time.
    pub time: Micros,
    /// How many rows of the file in the batch are so far.
    pub rows: u64,
}

/// The newest row of `rejected_line`, as long as the next line may be one more of its lines.
#[derive(Clone, Debug)]
pub(crate) struct Repeatable {
    file: FileId,
    /// The offset after its last line.
    end: u64,
    /// The length of each of its lines, with the end.
    length: u64,
    reason: RejectReason,
    /// The place of the bytes of `raw` in the encoded rows.
    raw: Range<usize>,
    /// The place of the bytes of `repeats`.
    repeats_at: usize,
    repeats: i64,
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
    /// Rows of `rejected_line`, with the columns of [`REJECTED_LINE`]. One may stand for many lines.
    pub rejected_line: Tuples,
    /// Lines for which the rows of `rejected_line` stand.
    pub rejected: u64,
    /// The row of `rejected_line` that further lines may repeat.
    pub(crate) repeatable: Option<Repeatable>,
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
    /// One for each file and cause that is unexpected.
    pub reject_examples: Vec<RejectExample>,
    /// Rows before this time are counted in `expired`.
    pub cutoff: Option<Micros>,
    /// Rows that are older than `cutoff`.
    pub expired: u64,
    /// The time of reading. Rows that are more than [`FAR_AHEAD`] later, or before [`FIRST_TIME`], are counted;
    /// `None` if none are.
    pub clock: Option<Micros>,
    /// One for each file with such rows.
    pub far_examples: Vec<FarExample>,
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

    /// Returns how many rejected lines have no row of their own, since they repeat the line before them.
    pub fn repeats(&self) -> u64 {
        self.rejected.saturating_sub(self.rejected_line.count())
    }

    /// Returns how many rows there are without the rejects.
    pub fn rows(&self) -> u64 {
        self.gunicorn_log.count() + self.request_log.count()
    }

    /// Returns on how many days the rows and rejects fall, each counted by itself.
    pub fn day_count(&self) -> usize {
        self.days.len() + self.request_days.len() + self.rejected_days.len()
    }

    /// Removes everything and keeps the memory.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.gunicorn_log.clear();
        self.request_log.clear();
        self.rejected_line.clear();
        self.rejected = 0;
        self.repeatable = None;
        self.rollup.clear();
        self.days.clear();
        self.request_days.clear();
        self.rejected_days.clear();
        self.reasons = Default::default();
        self.reject_examples.clear();
        self.far_examples.clear();
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
        self.push_patched(file, offset, record, estimated, None);
    }

    /// Adds the record of a line that differs from what its row gives, with its patch.
    #[inline(always)]
    pub fn push_patched(
        &mut self,
        file: FileId,
        offset: u64,
        record: &GunicornLogModel<'_>,
        estimated: Micros,
        patch: Option<&[u8]>,
    ) {
        let timestamp = record.timestamp.unwrap_or(estimated);
        self.begin_record(file, offset, record, timestamp, patch.is_some());
        let row = &mut self.gunicorn_log;
        let pairs = [&record.environ, &record.response_headers, &record.headers];
        if pairs.iter().all(|pairs| pairs.is_empty()) && record.extras.is_empty() {
            row.nulls::<3>();
            return self.end_record(record, patch);
        }
        match record.extras.is_empty() {
            true => captured(row, Some("environ"), &record.environ),
            false => json(row, record.request().as_ref()),
        }
        captured(row, Some("headers"), &record.response_headers);
        captured(row, None, &record.headers);
        self.end_record(record, patch);
    }

    /// Adds the record of the JSON line at `offset`.
    pub fn push_json(&mut self, file: FileId, offset: u64, record: &JsonRecord) {
        match record {
            JsonRecord::Gunicorn(line) => {
                self.begin_record(file, offset, &line.record, line.timestamp, false);
                for value in [&line.request, &line.response, &line.headers] {
                    json(&mut self.gunicorn_log, value.as_ref());
                }
                self.end_record(&line.record, None);
            }
            JsonRecord::Request(line) => self.push_request(file, offset, line),
        }
    }

    /// Adds the last four columns of a record, which name the request and its view, and the patch, unless all
    /// rows are without them.
    #[inline(always)]
    fn end_record(&mut self, record: &GunicornLogModel<'_>, patch: Option<&[u8]>) {
        let row = &mut self.gunicorn_log;
        if row.width() == NARROW {
            return;
        }
        for name in [&record.route, &record.request_id, &record.trace_id] {
            or_null(row, name.as_deref(), Tuples::text);
        }
        or_null(row, patch, Tuples::raw);
    }

    /// Counts a record, and adds its row but for the last seven columns: three of JSON, three that name the
    /// request and its view, and the patch. The fields are in the order of [`GUNICORN_LOG`]; a test of that module compares them.
    #[inline(always)]
    fn begin_record(
        &mut self,
        file: FileId,
        offset: u64,
        record: &GunicornLogModel<'_>,
        timestamp: Micros,
        has_patch: bool,
    ) {
        let day = day(timestamp);
        if self.days.last() != Some(&day) {
            self.days.insert(day); // a log is in order of time, but for a few lines
        }
        self.expired += u64::from(self.cutoff.is_some_and(|cutoff| timestamp < cutoff));
        if self.is_far(timestamp) {
            self.note_far(file, offset, timestamp);
        }
        let GunicornLogModel { code, response_bytes, duration, .. } = *record;
        let (route, url) = (record.route.as_deref(), record.url.as_deref());
        let counted = CountedRow { timestamp, code, response_bytes, duration, route, url };
        self.rollup.count(file, &counted);
        let has_name =
            record.route.is_some() || record.request_id.is_some() || record.trace_id.is_some();
        let row = &mut self.gunicorn_log;
        let width =
            if has_name || has_patch { GUNICORN_LOG.len() } else { row.width().max(NARROW) };
        if width > row.width() {
            row.widen(width);
        }
        row.begin_with(
            width as i16,
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
        if self.is_far(line.timestamp) {
            self.note_far(file, offset, line.timestamp);
        }
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
        for value in [&line.route, &line.request_id, &line.trace_id] {
            or_null(row, value.as_deref(), Tuples::text);
        }
        json(row, line.extra_data.as_ref());
    }

    /// Adds a line as a reject, with these bytes. `line` is the range of its offsets, with its end; it is empty
    /// if no other line may count as a repeat of this one, since more than its bytes tells where it begins.
    ///
    /// A line that directly follows an equal one of the same reason has no row of its own: it is counted in
    /// `repeats` of that one. The fields are in the order of [`REJECTED_LINE`].
    pub fn push_reject(
        &mut self,
        file: FileId,
        line: Range<u64>,
        at: Micros,
        reason: &RejectReason,
        raw: &[u8],
    ) {
        let code = reason.code();
        self.reasons[code as usize] += 1;
        self.rejected += 1;
        if code.is_unexpected() {
            self.note_reject(file, line.start, reason, raw);
        }
        if self.repeats_last(file, &line, reason, raw) {
            return;
        }
        self.rejected_days.insert(day(at));
        let length = i32::try_from(line.end - line.start).ok().filter(|length| *length > 0);
        let row = &mut self.rejected_line;
        row.begin(REJECTED_LINE.len() as i16);
        row.int8(line.start as i64);
        row.time(at);
        row.int8(1);
        let repeats_at = row.bytes.len() - 8;
        row.int4(file.0);
        or_null(row, length, Tuples::int4);
        row.text(code.name());
        row.display(reason);
        row.raw(raw);
        let end = row.bytes.len();
        self.repeatable = length.map(|_| Repeatable {
            file,
            end: line.end,
            length: line.end - line.start,
            reason: reason.clone(),
            raw: end - raw.len()..end,
            repeats_at,
            repeats: 1,
        });
    }

    /// Counts a line as a repeat of the newest reject, if it is one.
    fn repeats_last(
        &mut self,
        file: FileId,
        line: &Range<u64>,
        reason: &RejectReason,
        raw: &[u8],
    ) -> bool {
        let Some(last) = &mut self.repeatable else { return false };
        let follows = last.file == file
            && last.end == line.start
            && last.length == line.end - line.start
            && self.rejected_line.bytes[last.raw.clone()] == *raw
            && last.reason == *reason;
        if follows {
            last.end = line.end;
            last.repeats += 1;
            self.rejected_line.set_int8(last.repeats_at, last.repeats);
        }
        follows
    }

    /// Adds lines of another batch, which are all of `file`: those for whose offset `chosen` has an entry,
    /// with the time that it holds, if any, instead of their own.
    pub fn extend_with(
        &mut self,
        file: FileId,
        others: &Batch,
        chosen: &BTreeMap<u64, Option<Micros>>,
    ) {
        let choose = |columns: &'static [Column], row: &[Field<'_>]| {
            let offset = Encoded::new(columns, row).int("log_offset").ok().flatten()?;
            chosen.get(&u64::try_from(offset).ok()?).copied()
        };
        for mut row in others.gunicorn_log.rows() {
            let Some(time) = choose(GUNICORN_LOG, &row) else { continue };
            let time = time.map(time_field);
            replace(GUNICORN_LOG, &mut row, "timestamp", time.as_ref());
            let Ok(stored) = StoredRow::read(&Encoded::new(GUNICORN_LOG, &row)) else { continue };
            let StoredRow { timestamp, code, response_bytes, duration, .. } = stored;
            let (route, url) = (stored.route.as_deref(), stored.url.as_deref());
            let counted = CountedRow { timestamp, code, response_bytes, duration, route, url };
            self.rollup.count(file, &counted);
            self.days.insert(day(timestamp));
            self.gunicorn_log.push(&row);
        }
        for row in others.request_log.rows() {
            if choose(REQUEST_LOG, &row).is_some() {
                let time = Encoded::new(REQUEST_LOG, &row).time("timestamp").ok().flatten();
                self.request_days.extend(time.map(day));
                self.request_log.push(&row);
            }
        }
        self.repeatable = None;
        for row in others.rejected_line.rows() {
            let encoded = Encoded::new(REJECTED_LINE, &row);
            let Ok(reject) = RejectedLine::read(&encoded) else { continue };
            for run in chosen_runs(&reject, chosen) {
                let mut row = row.clone();
                let offset = (run.offset as i64).to_be_bytes();
                let repeats = (run.lines as i64).to_be_bytes();
                let time = run.time.map(time_field);
                replace(REJECTED_LINE, &mut row, "log_offset", Some(&offset));
                replace(REJECTED_LINE, &mut row, "repeats", Some(&repeats));
                replace(REJECTED_LINE, &mut row, "rejected_at", time.as_ref());
                self.rejected_days.insert(day(run.time.unwrap_or(reject.rejected_at)));
                self.rejected_line.push(&row);
                self.rejected += run.lines;
            }
        }
    }

    #[inline]
    fn is_far(&self, time: Micros) -> bool {
        self.clock.is_some_and(|now| time < FIRST_TIME || time > now.saturating_add(FAR_AHEAD))
    }

    #[cold]
    fn note_far(&mut self, file: FileId, offset: u64, time: Micros) {
        // Lines of one file come one after the other: its example is the last.
        match self.far_examples.iter_mut().rev().find(|it| it.file == file) {
            Some(known) => known.rows += 1,
            None => self.far_examples.push(FarExample { file, offset, time, rows: 1 }),
        }
    }

    fn note_reject(&mut self, file: FileId, offset: u64, reason: &RejectReason, raw: &[u8]) {
        let code = reason.code();
        // Lines of one file come one after the other: its examples are the last.
        let of_file = self.reject_examples.iter_mut().rev().take_while(|it| it.file == file);
        if let Some(known) = { of_file }.find(|it| it.code == code) {
            known.lines += 1;
            return;
        }
        let beginning = excerpt(&String::from_utf8_lossy(&raw[..raw.len().min(1024)]));
        let reason = reason.to_string();
        self.reject_examples.push(RejectExample {
            file,
            code,
            offset,
            lines: 1,
            reason,
            beginning,
        });
    }
}

/// Lines of a row of `rejected_line` that follow each other and get the same time.
struct ChosenRun {
    offset: u64,
    lines: u64,
    time: Option<Micros>,
}

/// Returns those lines of a reject that have an entry in `chosen`.
fn chosen_runs(reject: &RejectedLine, chosen: &BTreeMap<u64, Option<Micros>>) -> Vec<ChosenRun> {
    let mut runs: Vec<ChosenRun> = Vec::new();
    for offset in reject.offsets() {
        let Some(&time) = chosen.get(&offset) else { continue };
        match runs.last_mut() {
            Some(run) if run.time == time && run.offset + run.lines * reject.stride() == offset => {
                run.lines += 1;
            }
            _ => runs.push(ChosenRun { offset, lines: 1, time }),
        }
    }
    runs
}

/// A row of `rejected_line` of which lines are removed.
#[derive(Clone, Debug)]
pub struct TakenReject {
    /// The offset of its first line.
    pub offset: u64,
    /// When it was rejected.
    pub rejected_at: Micros,
    /// `repeats` of the row, by which a change of it in the meantime is noticed.
    pub repeats: u64,
    /// How many lines it stands for, and the distance between two of them in bytes.
    lines: u64,
    stride: u64,
    /// The lines of it that stay, in order: the offset of the first of some that follow each other, and how
    /// many they are.
    pub kept: Vec<(u64, u64)>,
}

impl TakenReject {
    /// Returns a row of which all lines stay.
    fn of(row: &RejectedLine) -> Self {
        let RejectedLine { log_offset: offset, rejected_at, repeats, .. } = *row;
        let (lines, stride) = (row.lines(), row.stride());
        Self { offset, rejected_at, repeats, lines, stride, kept: vec![(offset, lines)] }
    }

    /// Has `count` lines removed from the one at `offset` on. Of the lines that were removed before, none is
    /// after these.
    fn remove(&mut self, offset: u64, count: u64) {
        let Some(&(first, lines)) = self.kept.last() else { return };
        let before = (offset.saturating_sub(first)).checked_div(self.stride).unwrap_or(0);
        if offset < first || before >= lines {
            return;
        }
        self.kept.pop();
        if before > 0 {
            self.kept.push((first, before));
        }
        let after = lines - before - count.min(lines - before);
        if after > 0 {
            self.kept.push((offset + count * self.stride, after));
        }
    }

    /// Returns how many of its lines are removed.
    pub fn removed(&self) -> u64 {
        self.lines - self.kept.iter().map(|(_, lines)| lines).sum::<u64>()
    }
}

/// Lines of one file that were read again, and what they are now. In one transaction it takes the place of
/// what was stored of them.
#[derive(Clone, Debug)]
pub struct Reparsed {
    /// The file.
    pub file: FileId,
    /// The format by which the lines were read.
    pub format: String,
    /// The rejects of which lines are removed.
    pub rejects: Vec<TakenReject>,
    /// Offsets of the rows of `gunicorn_log` that are removed.
    pub rows: Vec<u64>,
    /// Offsets of the rows of `request_log` that are removed.
    pub requests: Vec<u64>,
    /// The first and the last time of the rows that are removed.
    pub times: Option<(Micros, Micros)>,
    /// How many of the lines the configuration leaves out; the others are in `new`.
    pub excluded: u64,
    /// What the lines are now. The batch has no spans, since no offset moves.
    pub new: Batch,
}

impl Reparsed {
    /// Returns a value without lines.
    pub fn of(file: FileId, format: String) -> Self {
        Self {
            file,
            format,
            rejects: Vec::new(),
            rows: Vec::new(),
            requests: Vec::new(),
            times: None,
            excluded: 0,
            new: Batch::default(),
        }
    }

    /// Has a row of `gunicorn_log` removed that was stored with this time.
    pub fn remove_row(&mut self, offset: u64, time: Micros) {
        self.rows.push(offset);
        self.extend_times(time);
    }

    /// Has a row of `request_log` removed that was stored with this time.
    pub fn remove_request(&mut self, offset: u64, time: Micros) {
        self.requests.push(offset);
        self.extend_times(time);
    }

    /// Has `count` lines of a row of `rejected_line` removed, from the one at `offset` on. Lines of a row are
    /// removed in their order.
    pub fn remove_rejects(&mut self, row: &RejectedLine, offset: u64, count: u64) {
        let is_it = |it: &&mut TakenReject| {
            (it.offset, it.rejected_at) == (row.log_offset, row.rejected_at)
        };
        match self.rejects.iter_mut().rev().take(2).find(is_it) {
            Some(taken) => taken.remove(offset, count),
            None => {
                let mut taken = TakenReject::of(row);
                taken.remove(offset, count);
                self.rejects.push(taken);
            }
        }
    }

    fn extend_times(&mut self, time: Micros) {
        let (first, last) = self.times.unwrap_or((time, time));
        self.times = Some((first.min(time), last.max(time)));
    }

    /// Returns how many stored lines are removed.
    pub fn removed(&self) -> u64 {
        self.removed_rejects() + (self.rows.len() + self.requests.len()) as u64
    }

    /// Returns how many rejected lines are removed.
    pub fn removed_rejects(&self) -> u64 {
        self.rejects.iter().map(TakenReject::removed).sum()
    }

    /// Returns by how much the number of rows grows.
    pub fn more_rows(&self) -> i64 {
        self.new.rows() as i64 - (self.rows.len() + self.requests.len()) as i64
    }

    /// Returns by how much the number of rejects grows.
    pub fn more_rejects(&self) -> i64 {
        self.new.rejected as i64 - self.removed_rejects() as i64
    }
}

fn time_field(time: Micros) -> [u8; 8] {
    Tuples::from_micros(time).to_be_bytes()
}

/// Replaces the field of a column, if there is another.
fn replace<'a>(columns: &[Column], row: &mut [Field<'a>], name: &str, other: Option<&'a [u8; 8]>) {
    let at = columns.iter().position(|column| column.name == name);
    if let (Some(other), Some(field)) = (other, at.and_then(|at| row.get_mut(at))) {
        *field = Some(other);
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

/// 2000-01-01 00:00:00 UTC, from which PostgreSQL counts, in microseconds since 1970.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// What names `bigint` in an array (`pg_type.oid`).
const INT8_OID: u32 = 20;

/// Rows of one table, encoded.
#[derive(Clone, Debug, Default)]
pub struct Tuples {
    bytes: Vec<u8>,
    count: u64,
}

/// One field's bytes, `None` for NULL. Times count microseconds from 2000-01-01, json begins with
/// the version byte 1, addresses are `family, bits, is_cidr, length, bytes…`.
pub type Field<'a> = Option<&'a [u8]>;

/// What the output of a COPY begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken<'a> {
    /// A row with its fields.
    Row(Vec<Field<'a>>),
    /// A part of a row, or nothing: more has to come.
    Partial,
    /// The end.
    End,
}

impl Tuples {
    /// Returns how many rows there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the encoded rows, without COPY's header and trailer.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Removes the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// Adds a row as [`Tuples::rows`] returns it. All rows have as many fields as the widest, of which the last
    /// are NULL.
    pub fn push(&mut self, row: &[Field<'_>]) {
        self.widen(row.len());
        self.push_as(self.width().max(row.len()), row);
    }

    /// Adds a row of `width` fields, the last ones NULL if it has fewer.
    fn push_as(&mut self, width: usize, row: &[Field<'_>]) {
        self.begin(width as i16);
        for nth in 0..width {
            match row.get(nth).copied().flatten() {
                Some(bytes) => self.raw(bytes),
                None => self.null(),
            }
        }
    }

    /// Returns how many fields each row has; 0 without a row.
    #[inline]
    pub fn width(&self) -> usize {
        let first = self.bytes.first_chunk::<2>();
        first.map_or(0, |width| usize::from(u16::from_be_bytes(*width)))
    }

    /// Gives all rows at least so many fields, the last ones NULL.
    #[cold]
    fn widen(&mut self, width: usize) {
        if self.count == 0 || self.width() >= width {
            return;
        }
        let narrow = std::mem::take(self);
        for row in narrow.rows() {
            self.push_as(width, &row);
        }
    }

    /// Begins a row of `fields` fields; exactly as many must follow.
    pub fn begin(&mut self, fields: i16) {
        self.bytes.extend_from_slice(&fields.to_be_bytes());
        self.count += 1;
    }

    /// Begins a row of `fields` fields, the first three of them `bigint`s, in one piece: the buffer
    /// checks its capacity once for each piece.
    #[inline]
    pub fn begin_with(&mut self, fields: i16, first: [i64; 3]) {
        let mut head = [0; 38];
        head[..2].copy_from_slice(&fields.to_be_bytes());
        for (field, value) in head[2..].chunks_exact_mut(12).zip(first) {
            field[3] = 8;
            field[4..].copy_from_slice(&value.to_be_bytes());
        }
        self.bytes.extend_from_slice(&head);
        self.count += 1;
    }

    /// Adds a NULL.
    pub fn null(&mut self) {
        self.nulls::<1>();
    }

    /// Adds `N` NULLs, at most 8.
    #[inline]
    pub fn nulls<const N: usize>(&mut self) {
        // −1 is all ones. A copy of known length is one or two instructions, and one check of
        // the capacity.
        self.bytes.extend_from_slice(&[u8::MAX; 32][..4 * N]);
    }

    /// Adds a `bigint`.
    pub fn int8(&mut self, value: i64) {
        let mut field = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        field[4..].copy_from_slice(&value.to_be_bytes());
        self.bytes.extend_from_slice(&field);
    }

    /// Adds an `integer`.
    pub fn int4(&mut self, value: i32) {
        let mut field = [0, 0, 0, 4, 0, 0, 0, 0];
        field[4..].copy_from_slice(&value.to_be_bytes());
        self.bytes.extend_from_slice(&field);
    }

    /// Adds a `double precision`.
    pub fn float8(&mut self, value: f64) {
        self.int8(i64::from_be_bytes(value.to_be_bytes()));
    }

    /// Adds a `timestamptz`.
    pub fn time(&mut self, value: Micros) {
        self.int8(Self::from_micros(value));
    }

    /// Adds a `text`; it must not hold NUL, which PostgreSQL's text cannot.
    #[inline]
    pub fn text(&mut self, value: &str) {
        self.raw(value.as_bytes());
    }

    /// Adds a `bytea`.
    #[inline]
    pub fn raw(&mut self, value: &[u8]) {
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX); // fields are at most one line
        self.bytes.extend_from_slice(&length.to_be_bytes());
        match *value {
            // `GET` and `HTTP/1.1`: a copy of known length is an instruction, any other a call.
            [a, b, c] => self.bytes.extend_from_slice(&[a, b, c]),
            [a, b, c, d, e, f, g, h] => self.bytes.extend_from_slice(&[a, b, c, d, e, f, g, h]),
            _ => self.bytes.extend_from_slice(value),
        }
    }

    /// Adds a value's words as a `text`, without a copy; they must not hold NUL.
    pub fn display(&mut self, value: &impl Display) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        // Writing to a Vec cannot fail.
        let _ = write!(self.bytes, "{value}");
        self.end(at);
    }

    /// Adds an `inet`.
    pub fn inet(&mut self, value: IpAddr) {
        match value {
            IpAddr::V4(v4) => {
                let mut field = [0, 0, 0, 8, 2, 32, 0, 4, 0, 0, 0, 0];
                field[8..].copy_from_slice(&v4.octets());
                self.bytes.extend_from_slice(&field);
            }
            IpAddr::V6(v6) => {
                let mut field = [0; 20];
                field[..4].copy_from_slice(&[3, 128, 0, 16]);
                field[4..].copy_from_slice(&v6.octets());
                self.raw(&field);
            }
        }
    }

    /// Adds a `boolean`.
    pub fn bool(&mut self, value: bool) {
        self.raw(&[u8::from(value)]);
    }

    /// Adds a `bigint[]`.
    pub fn int8s(&mut self, values: &[i64]) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        // Dimensions, whether there are NULLs, and the type of the elements; then length and first index of
        // the one dimension, which an empty array does not have.
        let dimensions = u32::from(!values.is_empty());
        for number in [dimensions, 0, INT8_OID] {
            self.bytes.extend_from_slice(&number.to_be_bytes());
        }
        if !values.is_empty() {
            let length = u32::try_from(values.len()).unwrap_or(u32::MAX);
            self.bytes.extend_from_slice(&length.to_be_bytes());
            self.bytes.extend_from_slice(&1u32.to_be_bytes());
            values.iter().for_each(|value| self.int8(*value));
        }
        self.end(at);
    }

    /// Adds a `jsonb`: `write` appends the JSON text.
    pub fn json(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0, 0, 0, 1]);
        write(&mut self.bytes);
        self.end(at);
    }

    /// Overwrites the eight bytes of a `bigint` that begin at `at`.
    fn set_int8(&mut self, at: usize, value: i64) {
        self.bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }

    /// Writes the length of the field whose length stands at `at` and whose bytes end here.
    fn end(&mut self, at: usize) {
        let length = i32::try_from(self.bytes.len() - at - 4).unwrap_or(i32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Returns the rows one by one, each with its fields.
    pub fn rows(&self) -> impl Iterator<Item = Vec<Field<'_>>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let fields = i16::from_be_bytes(*take::<2>(&mut rest)?);
            (0..fields).map(|_| field(&mut rest)).collect()
        })
    }

    /// Takes the next row from the beginning of COPY's binary output, which has begun with its header and of
    /// which more may follow.
    pub fn take_row<'a>(output: &mut &'a [u8]) -> Taken<'a> {
        let mut rest = *output;
        let Some(fields) = take::<2>(&mut rest).copied().map(i16::from_be_bytes) else {
            return Taken::Partial;
        };
        if fields < 0 {
            *output = rest;
            return Taken::End;
        }
        let row: Option<Vec<Field<'a>>> = (0..fields).map(|_| field(&mut rest)).collect();
        let Some(row) = row else { return Taken::Partial };
        *output = rest;
        Taken::Row(row)
    }

    /// Returns the `bigint` as which a `timestamptz` is stored.
    pub fn from_micros(value: Micros) -> i64 {
        value.saturating_sub(POSTGRES_EPOCH_US)
    }

    /// Returns the address that a field of an `inet` holds.
    pub fn address(field: &[u8]) -> Option<IpAddr> {
        let bytes = field.get(4..)?;
        let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
        v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
    }

    /// Returns the numbers that a field of a `bigint[]` holds, which are none of them NULL.
    pub fn numbers(field: &[u8]) -> Option<Vec<i64>> {
        let (head, mut elements) = field.split_at_checked(12)?;
        if head[..4] == [0; 4] {
            return Some(Vec::new());
        }
        take::<8>(&mut elements)?;
        let mut numbers = Vec::with_capacity(elements.len() / 12);
        while !elements.is_empty() {
            let number = self::field(&mut elements)??;
            numbers.push(i64::from_be_bytes(number.try_into().ok()?));
        }
        Some(numbers)
    }

    /// Returns the time of a field, in microseconds since 1970.
    pub fn micros(field: &[u8]) -> Option<Micros> {
        Some(i64::from_be_bytes(field.try_into().ok()?).saturating_add(POSTGRES_EPOCH_US))
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(head)
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let length = i32::from_be_bytes(*take::<4>(rest)?);
    let Ok(length) = usize::try_from(length) else { return Some(None) };
    let (value, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = FileId(1);

    /// The rows of `rejected_line`: offset, number of lines, time, and bytes.
    fn rejects(batch: &Batch) -> Vec<(u64, u64, Micros, Vec<u8>)> {
        let read = |row: Vec<Field<'_>>| {
            let row = RejectedLine::read(&Encoded::new(REJECTED_LINE, &row)).unwrap();
            (row.log_offset, row.repeats, row.rejected_at, row.raw)
        };
        batch.rejected_line.rows().map(read).collect()
    }

    #[test]
    fn equal_lines_of_one_reason_that_follow_each_other_share_a_row() {
        let unlike = |words: &str| RejectReason::UnlikeFormat(words.into());
        let (one, other) = (unlike("one"), unlike("other"));
        let mut batch = Batch::default();
        let mut expected: Vec<(u64, u64, Micros, Vec<u8>)> = Vec::new();
        for (file, line, reason, raw, is_repeat) in [
            (FILE, 0..3, &one, b"ab", false),
            (FILE, 3..6, &unlike("one"), b"ab", true),
            (FILE, 6..9, &one, b"ac", false),
            (FILE, 9..12, &other, b"ac", false),
            (FILE, 12..15, &other, b"ac", true),
            (FILE, 15..19, &other, b"ac", false), // another end
            (FILE, 20..24, &other, b"ac", false), // something is between them
            (FileId(2), 24..28, &other, b"ac", false),
            (FILE, 24..28, &other, b"ac", false),
            (FILE, 28..28, &other, b"ac", false),
            (FILE, 28..32, &other, b"ac", false),
        ] {
            let offset = line.start;
            batch.push_reject(file, line, 7, reason, raw);
            match (is_repeat, expected.last_mut()) {
                (true, Some((_, repeats, ..))) => *repeats += 1,
                _ => expected.push((offset, 1, 7, raw.to_vec())),
            }
        }
        assert_eq!(rejects(&batch), expected);
        assert_eq!((batch.rejected, batch.repeats()), (11, 2));
        assert_eq!(batch.reasons[RejectCode::UnlikeFormat as usize], 11);
        let told: u64 = batch.reject_examples.iter().map(|example| example.lines).sum();
        assert_eq!(told, 11);
        batch.clear();
        batch.push_reject(FILE, 32..36, 7, &other, b"ac");
        assert_eq!(rejects(&batch), [(32, 1, 7, b"ac".to_vec())]);
        assert_eq!((batch.rejected, batch.repeats()), (1, 0));
    }

    #[test]
    fn lines_are_chosen_out_of_a_row_of_many() {
        let mut many = Batch::default();
        for nth in 0..10 {
            many.push_reject(FILE, 2 * nth..2 * nth + 2, 7, &RejectReason::NotUtf8, b"\xff");
        }
        let mut chosen = Batch::default();
        let times = [(2, None), (4, None), (6, Some(8)), (8, Some(8)), (12, Some(8)), (13, None)];
        chosen.extend_with(FILE, &many, &times.into());
        let raw = || b"\xff".to_vec();
        let expected = [(2, 2, 7, raw()), (6, 2, 8, raw()), (12, 1, 8, raw())];
        assert_eq!(rejects(&chosen), expected);
        assert_eq!((chosen.rejected, chosen.repeats()), (5, 2));
    }

    #[test]
    fn offsets_follow_from_the_first_one_and_the_length() {
        let row = |repeats, line_length| RejectedLine {
            log_offset: 10,
            rejected_at: 0,
            repeats,
            log_file: FILE,
            line_length,
            code: None,
            reason: String::new(),
            raw: Vec::new(),
        };
        let many = row(4, Some(3));
        assert_eq!(many.offsets().collect::<Vec<_>>(), [10, 13, 16, 19]);
        for (range, expected) in [
            (0..99, &[10, 13, 16, 19][..]),
            (10..11, &[10]),
            (11..13, &[]),
            (11..17, &[13, 16]),
            (13..19, &[13, 16]),
            (20..99, &[]),
        ] {
            let found: Vec<u64> = many.offsets_within(range.clone()).collect();
            assert_eq!(found, expected, "{range:?}");
        }
        // What this program does not write stands for one line.
        for odd in [row(4, None), row(4, Some(0)), row(4, Some(-3)), row(1, None)] {
            assert_eq!(odd.offsets().collect::<Vec<_>>(), [10]);
            assert_eq!(odd.offsets_within(0..99).collect::<Vec<_>>(), [10]);
            assert_eq!(odd.offsets_within(11..99).count(), 0);
        }
        let endless = row(u64::MAX, Some(1));
        assert_eq!(endless.offsets_within(1000..1003).collect::<Vec<_>>(), [1000, 1001, 1002]);
    }

    #[test]
    fn rows_are_taken_from_output_that_comes_in_pieces() {
        let mut rows = Tuples::default();
        rows.begin(4);
        rows.null();
        rows.bool(true);
        rows.int8s(&[1, -2, i64::MAX]);
        rows.int8s(&[]);
        let end = (-1i16).to_be_bytes();
        let output = [rows.bytes(), &end].concat();
        for length in 0..rows.bytes().len() {
            let mut piece = &output[..length];
            assert_eq!(Tuples::take_row(&mut piece), Taken::Partial);
            assert_eq!(piece.len(), length, "a part of a row is left where it is");
        }
        let mut rest = &output[..];
        let Taken::Row(row) = Tuples::take_row(&mut rest) else { panic!("{rest:?}") };
        assert_eq!((row[0], row[1]), (None, Some(&[1][..])));
        assert_eq!(Tuples::numbers(row[2].unwrap()), Some(vec![1, -2, i64::MAX]));
        assert_eq!(Tuples::numbers(row[3].unwrap()), Some(vec![]));
        assert_eq!(Tuples::take_row(&mut rest), Taken::End);
        assert!(rest.is_empty());
    }
}
