//! `log-ingestd check`: what a format makes of a file, and nothing is stored.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::model::columns::Value;
use crate::model::{Extra, GunicornLogModel, Recorded, RejectCode, RejectReason};
use crate::source::{ByWatchedPath, Envelope};

use crate::format::{Layout, Parsing};
use crate::identity::detect::{Detected, FormatSource, Formats, NamedFiles, sample};
use crate::pipeline::read_lines::{LineSink, LogLine, Record};
use crate::pipeline::sink::Counter;
use crate::pipeline::store_file::Content;
use crate::source::whole_file::{Source, Walk};

/// Lines whose fields are shown.
const SHOWN: usize = 3;

/// What a format makes of a file.
#[derive(Debug, Default)]
pub struct Report {
    /// The format, without the envelope.
    pub format: String,
    /// The envelope of a container's log.
    pub envelope: Option<&'static str>,
    /// The detected preset or `inferred`, and a description; `None` if the format was given.
    pub told: Option<(&'static str, &'static str)>,
    /// Atoms that cannot be told apart for certain.
    pub warnings: Vec<String>,
    /// Line number and fields of the first records.
    pub shown: Vec<(u64, Vec<(&'static str, String)>)>,
    /// Lines that an import would store, reject or leave out.
    pub lines: u64,
    /// Lines that would become rows.
    pub rows: u64,
    /// Lines that the configuration leaves out, and what a container wrote on its standard error
    /// besides.
    pub excluded: u64,
    /// Each distinct reason for a reject: how often, and the first line's number.
    pub rejects: BTreeMap<String, (u64, u64)>,
}

/// Reads `path` by the configured format, or by the one that its first lines suggest.
///
/// # Errors
/// A file that cannot be read, or whose format cannot be detected.
pub fn check(
    parsing: &Parsing,
    formats_by_path: &ByWatchedPath<Option<Layout>>,
    path: &Path,
) -> anyhow::Result<Report> {
    let source = Source::open(path).with_context(|| format!("cannot read '{}'", path.display()))?;
    let sample = sample(|limit| source.sample(limit))?;
    let mut formats =
        Formats::new(parsing.clone()).by_path(formats_by_path).of_named(NamedFiles::All);
    let detected = formats.detect_complete(source.path(), sample);
    let detected: Detected = detected
        .map_err(|why| why.explained(&source))
        .with_context(|| format!("cannot check '{}'", path.display()))?;
    let format = &detected.format;
    let layout = format.parser.layout();
    let mut sink = ReportSink::default();
    Content::whole(&source, format).read(&mut sink)?;
    let ReportSink { counter, mut report } = sink;
    number_lines(&source, &mut report)?;
    Ok(Report {
        format: layout.format().to_owned(),
        envelope: format.envelope.map(Envelope::name),
        told: match detected.source {
            FormatSource::Preset(preset) => Some((preset.name, preset.about)),
            FormatSource::Inferred => Some(("inferred", "made out of the first lines")),
            FormatSource::Given | FormatSource::Stored | FormatSource::Before => None,
        },
        warnings: detected.warnings(),
        lines: counter.lines(),
        rows: counter.rows,
        excluded: counter.excluded,
        ..report
    })
}

/// Shows the first records, and counts the others and each reason for a reject. The report has the
/// lines' offsets in place of their numbers.
#[derive(Debug, Default)]
struct ReportSink {
    counter: Counter,
    report: Report,
}

impl LineSink for ReportSink {
    fn record(&mut self, line: &LogLine<'_>, record: Record<'_>) {
        self.counter.record(line, record);
        if self.report.shown.len() < SHOWN {
            let fields = match record {
                Record::Access(record) => access_fields(record),
                Record::Json(record) => fields(record),
            };
            self.report.shown.push((line.offset, fields));
        }
    }

    fn reject(&mut self, line: &LogLine<'_>, reason: &RejectReason) {
        self.counter.reject(line, reason);
        let words = match reason.code() {
            // The reason tells the length, too, which differs from line to line.
            code @ RejectCode::TooLong => code.words().to_owned(),
            _ => reason.to_string(),
        };
        self.report.rejects.entry(words).or_insert((0, line.offset)).0 += 1;
    }

    fn excluded(&mut self, line: &LogLine<'_>) {
        self.counter.excluded(line);
    }
}

/// Replaces the offsets in a report by the numbers of the physical lines in `source`.
fn number_lines(source: &Source, report: &mut Report) -> anyhow::Result<()> {
    let shown = report.shown.iter_mut().map(|(offset, _)| offset);
    let rejects = report.rejects.values_mut().map(|(_, offset)| offset);
    let mut offsets: Vec<&mut u64> = shown.chain(rejects).collect();
    offsets.sort_unstable();
    let mut reader = source.reader(&Arc::default())?;
    let mut walk = Walk::new(&mut reader);
    for offset in offsets {
        walk.to(*offset)?;
        *offset = walk.lines + 1;
    }
    Ok(())
}

/// Returns the columns of an access line that are not NULL, as text, and what is kept beside them.
fn access_fields(record: &GunicornLogModel<'_>) -> Vec<(&'static str, String)> {
    let mut shown = fields(record);
    shown.extend(record.extras.iter().map(|(key, text)| match key {
        Extra::Around(key) => ("request", format!("{key}: {text}")),
        Extra::Tail(key) => ("request", format!("tail.{key}: {text}")),
    }));
    shown
}

/// Returns the columns of a record that are not NULL, as text.
fn fields(record: &impl Recorded) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    for (column, value) in record.shown() {
        let text = match value {
            Value::Null => continue,
            Value::Time(at) => match chrono::DateTime::from_timestamp_micros(at) {
                Some(time) => time.to_rfc3339(),
                None => continue,
            },
            Value::Int(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Text(text) => text.to_owned(),
            Value::Address(address) => address.to_string(),
            Value::Json(json) => json.to_string(),
            Value::Captured(pairs) => {
                let pairs =
                    pairs.iter().map(|(key, value)| (column.name, format!("{key}: {value}")));
                fields.extend(pairs);
                continue;
            }
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        fields.push((column.name, text));
    }
    fields
}
