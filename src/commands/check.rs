//! `log-ingestd check`: what a format makes of a file, and nothing is stored.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::format::Parsed;
use crate::model::columns::Value;
use crate::model::{Recorded, RejectCode};
use crate::source::{Envelope, OutputStream};

use crate::format::Parsing;
use crate::identity::formats::{Choice, Format, Formats, sample};
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
        _ if line.too_long => RejectCode::TooLong.words().to_owned(),
        _ if line.joined.is_some_and(|joined| !joined.whole) => {
            RejectCode::NoFinalPiece.words().to_owned()
        }
        Some(envelope) if line.joined.is_none() => envelope.missing().to_owned(),
        _ => {
            let fields = match format.parser.parse(payload) {
                Parsed::Record(record) => Ok(Some(fields(&record))),
                Parsed::Json(record) => Ok(Some(fields(&*record))),
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
