//! `log-ingestd check`: what a format makes of a file, and nothing is stored.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::format::Parsed;
use crate::model::{GunicornJson, GunicornLogModel, JsonRecord, RequestLog};
use crate::source::{Envelope, OutputStream};

use crate::format::Parsing;
use crate::identity::formats::{Choice, Format, Formats, sample};
use crate::pipeline::read_lines::NO_END;
use crate::source::each_line::{EachLine, each_line};
use crate::source::whole_file::Source;

/// Lines whose fields are shown.
const SHOWN: usize = 3;

/// What a format makes of a file.
#[derive(Debug, Default)]
pub struct Report {
    /// The format, without the envelope.
    pub format: String,
    /// The envelope of a container's log.
    pub envelope: Option<&'static str>,
    /// The preset and what it is, if it was told from the lines.
    pub told: Option<(&'static str, &'static str)>,
    /// Atoms that cannot be told apart for certain.
    pub warnings: Vec<String>,
    /// Line number and fields of the first records.
    pub shown: Vec<(u64, Vec<(&'static str, String)>)>,
    /// Complete lines.
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
/// A file that cannot be read, or whose format cannot be told.
pub fn check(parsing: &Parsing, path: &Path) -> anyhow::Result<Report> {
    let source = Source::open(path).with_context(|| format!("cannot read '{}'", path.display()))?;
    let sample = sample(|limit| source.sample(limit))?;
    let mut report = Report::default();
    let format = match Formats::new(parsing.clone()).choose(&sample) {
        Choice::Access { format, told } => {
            report.told = told.map(|preset| (preset.name, preset.about));
            format
        }
        Choice::ErrorLog => {
            bail!("'{}' is Gunicorn's error log; the access log is another file", path.display())
        }
        Choice::NotYet => bail!("'{}' holds no complete line", path.display()),
        Choice::Contained { .. } => bail!(
            "no known format reads a line among the first of '{}', a container's log; give the \
             access_log_format of your Gunicorn with --format",
            path.display()
        ),
        Choice::Unknown => bail!(
            "no known format reads the first lines of '{}'; give the access_log_format of your \
             Gunicorn with --format",
            path.display()
        ),
    };
    format.parser.layout().format().clone_into(&mut report.format);
    report.envelope = format.envelope.map(Envelope::name);
    report.warnings = format.parser.layout().warnings();
    let mut reader = source.reader(&Arc::default())?;
    each_line(&mut reader, format.envelope, source.is_compressed(), |line| {
        look(&mut report, &format, line);
    })?;
    Ok(report)
}

/// Counts a line, and shows it if it is among the first.
fn look(report: &mut Report, format: &Format, line: &EachLine<'_>) {
    report.lines += 1;
    let payload = line.joined.map_or(&*line.raw, |joined| &*joined.payload);
    let reason = match format.envelope {
        _ if line.too_long => "is longer than 4 MiB".to_owned(),
        _ if line.joined.is_some_and(|joined| !joined.whole) => NO_END.to_owned(),
        Some(envelope) if line.joined.is_none() => envelope.missing().to_owned(),
        _ => {
            let fields = match format.parser.parse(payload) {
                Parsed::Record(record) => Ok(Some(fields(&record))),
                Parsed::Json(record) => Ok(Some(json_fields(&record))),
                Parsed::Excluded => Ok(None),
                Parsed::Reject(why) => Err(why.to_string()),
            };
            match fields {
                Ok(Some(fields)) => {
                    report.rows += 1;
                    if report.shown.len() < SHOWN {
                        report.shown.push((line.number, fields));
                    }
                    return;
                }
                Ok(None) => return report.excluded += 1,
                Err(why) => why,
            }
        }
    };
    if line.joined.is_some_and(|joined| joined.stream == Some(OutputStream::Stderr)) {
        report.excluded += 1; // no access line
    } else {
        report.rejects.entry(reason).or_insert((0, line.number)).0 += 1;
    }
}

/// The columns of a record that are not NULL, as text.
fn fields(record: &GunicornLogModel<'_>) -> Vec<(&'static str, String)> {
    let texts = [
        ("method", &record.method),
        ("url", &record.url),
        ("protocol", &record.protocol),
        ("host", &record.host),
        ("user_id", &record.user_id),
        ("agent", &record.agent),
        ("source", &record.source),
    ];
    let numbers = [
        ("code", record.code.map(i64::from)),
        ("response_bytes", record.response_bytes),
        ("duration", record.duration),
        ("pid", record.pid.map(i64::from)),
    ];
    let captured = [
        ("headers", &record.headers),
        ("response", &record.response_headers),
        ("request", &record.environ),
    ];
    let time = record.timestamp.and_then(chrono::DateTime::from_timestamp_micros);
    let mut shown: Vec<(&'static str, String)> = Vec::new();
    shown.extend(time.map(|time| ("timestamp", time.to_rfc3339())));
    shown.extend(record.user_ip.map(|ip| ("user_ip", ip.to_string())));
    for (name, text) in texts {
        shown.extend(text.as_ref().map(|text| (name, text.to_string())));
    }
    for (name, number) in numbers {
        shown.extend(number.map(|number| (name, number.to_string())));
    }
    for (name, pairs) in captured {
        shown.extend(pairs.iter().map(|(key, value)| (name, format!("{key}: {value}"))));
    }
    shown
}

/// The same of a JSON line.
fn json_fields(record: &JsonRecord) -> Vec<(&'static str, String)> {
    let (mut shown, values) = match record {
        JsonRecord::Gunicorn(GunicornJson { record, request, response, headers, .. }) => {
            let values = [("headers", headers), ("response", response), ("request", request)];
            (fields(record), values)
        }
        JsonRecord::Request(line) => {
            let values = [
                ("headers", &line.headers),
                ("response_headers", &line.response_headers),
                ("extra_data", &line.extra_data),
            ];
            (request_fields(line), values)
        }
    };
    for (name, value) in values {
        shown.extend(value.as_ref().map(|value| (name, value.to_string())));
    }
    shown
}

/// All but those that are JSON.
fn request_fields(line: &RequestLog) -> Vec<(&'static str, String)> {
    let texts = [
        ("method", &line.method),
        ("path", &line.path),
        ("query_params", &line.query_params),
        ("user_id", &line.user_id),
        ("user_agent", &line.user_agent),
        ("session_id", &line.session_id),
        ("content_type", &line.content_type),
        ("body", &line.body),
        ("response_body", &line.response_body),
    ];
    let time = chrono::DateTime::from_timestamp_micros(line.timestamp);
    let mut shown: Vec<(&'static str, String)> = Vec::new();
    shown.extend(time.map(|time| ("timestamp", time.to_rfc3339())));
    shown.extend(line.ip_address.map(|ip| ("ip_address", ip.to_string())));
    shown.extend(line.status_code.map(|code| ("status_code", code.to_string())));
    shown.extend(line.response_time_ms.map(|time| ("response_time_ms", time.to_string())));
    for (name, text) in texts {
        shown.extend(text.as_ref().map(|text| (name, text.clone())));
    }
    shown
}
