//! Prints what commands answer, for people or as JSON.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::import::Summary;
use crate::commands::{
    FileStatus, FileVerdict, ForgetSummary, ReparseSummary, Report, Status, Verification,
};
use crate::config::Config;
use crate::model::{IgnoredCode, Micros, moment};
use crate::retain::SweepOutcome;
use crate::store::{IgnoredReport, SweepReport};

/// Prints an error as one sentence on standard error, and returns the exit code.
pub(super) fn failure(error: &anyhow::Error, code: u8) -> ExitCode {
    // Nothing reads a closed standard error.
    let _ = writeln!(io::stderr(), "log-ingestd: {error:#}");
    ExitCode::from(code)
}

/// Prints an answer as one JSON object.
pub(super) fn json(answer: &impl Serialize) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{}", serde_json::to_string(answer)?)?;
    Ok(())
}

/// Prints what an import did.
pub(super) fn imported(config: &Config, summary: &Summary) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let rate = (summary.lines as f64 / summary.seconds.max(0.001)) as u64;
    writeln!(
        out,
        "{} lines ({}) in {:.1} s, {} lines/s, into {}",
        HumanCount(summary.lines),
        HumanBytes(summary.bytes),
        summary.seconds,
        HumanCount(rate),
        config.location,
    )?;
    for (count, what) in [
        (summary.rows, "stored"),
        (summary.already_stored, "already stored"),
        (summary.rejected, "rejected; see the table rejected_line"),
        (summary.excluded, "left out: by the configuration, or on a container's standard error"),
    ] {
        if count > 0 || what == "stored" {
            writeln!(out, "{:>15} {what}", HumanCount(count).to_string())?;
        }
    }
    for read in &summary.formats {
        let files = if read.files == 1 { "file" } else { "files" };
        let count = HumanCount(read.files).to_string();
        writeln!(out, "{count:>15} {files} read by the format {} ({})", read.format, read.source)?;
    }
    if summary.expired > 0 {
        writeln!(
            out,
            "notice: {} rows are older than the retention ({}); the next sweep removes them",
            HumanCount(summary.expired),
            config.retention,
        )?;
    }
    Ok(())
}

/// Prints what `check` found.
pub(super) fn checked(report: &Report) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match report.told {
        Some((name, about)) => writeln!(out, "format {name}: {about}")?,
        None => writeln!(out, "format as given")?,
    }
    writeln!(out, "  {}", report.format)?;
    if let Some(envelope) = report.envelope {
        writeln!(out, "in the envelopes of a container's log: {envelope}")?;
    }
    for warning in &report.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    for (number, fields) in &report.shown {
        writeln!(out, "line {number}")?;
        for (name, value) in fields {
            writeln!(out, "  {name:<15} {}", visible(value))?;
        }
    }
    let rejected: u64 = report.rejects.values().map(|(count, _)| count).sum();
    writeln!(
        out,
        "{} lines: {} would be stored, {} rejected, {} left out",
        report.lines, report.rows, rejected, report.excluded
    )?;
    for (reason, (count, first)) in &report.rejects {
        writeln!(out, "  {count} rejected, first in line {first}: {reason}")?;
    }
    Ok(())
}

/// Prints files and their offsets, and the last sweep.
pub(super) fn status(status: &Status) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", status.store)?;
    if status.counts.all == 0 && status.files.is_empty() {
        writeln!(out, "no file has been read yet")?;
    }
    for file in &status.files {
        file_status(&mut out, file)?;
    }
    match status.rest() {
        0 => {}
        1 => writeln!(out, "1 closed file is not shown; `log-ingestd status --all` shows it")?,
        rest => writeln!(
            out,
            "{rest} closed files are not shown; `log-ingestd status --all` shows them"
        )?,
    }
    for file in &status.ignored {
        ignored_file(&mut out, file)?;
    }
    if let Some(sweep) = &status.last_sweep {
        writeln!(
            out,
            "last sweep {} removed {} rows older than {}",
            time(sweep.finished_at),
            sweep.gunicorn_removed + sweep.request_removed + sweep.rejected_removed,
            time(sweep.cutoff),
        )?;
        if let Some(next) = sweep.next_at {
            writeln!(out, "next sweep {}", time(next))?;
        }
    }
    Ok(())
}

fn file_status(out: &mut impl Write, file: &FileStatus) -> io::Result<()> {
    let stored = &file.stored;
    writeln!(out, "{}:{}", stored.checkpoint.host, visible(&stored.checkpoint.path))?;
    write!(out, "  offset {}", stored.checkpoint.committed)?;
    match file.lag {
        _ if stored.checkpoint.closed => {
            write!(out, ", closed: {}", stored.closed_reason.as_deref().unwrap_or("no reason"))?;
        }
        Some((0, _)) => write!(out, ", caught up")?,
        Some((bytes, lines)) => write!(out, ", behind by {bytes} bytes, {lines} lines")?,
        None => write!(out, ", not here now")?,
    }
    if stored.lost_bytes > 0 {
        write!(out, ", {} BYTES LOST", stored.lost_bytes)?;
    }
    let nuls: u64 = stored.checkpoint.nul_runs.iter().map(|run| run.length).sum();
    if nuls > 0 {
        write!(out, ", {nuls} NULs before lines skipped")?;
    }
    writeln!(
        out,
        "\n  {} lines = {} rows + {} rejected + {} excluded; last commit {}",
        stored.lines,
        stored.rows,
        stored.rejected,
        stored.excluded,
        stored.committed_at.map_or_else(|| "never".to_owned(), time),
    )
}

fn ignored_file(out: &mut impl Write, file: &IgnoredReport) -> io::Result<()> {
    let (host, path) = (&file.host, visible(&file.path));
    match file.files {
        1 => write!(out, "ignored {host}:{path}\n  {}", file.reason)?,
        files => write!(out, "ignored {host}: {files} more files of {path}\n  {}", file.reason)?,
    }
    write!(out, ": {}", IgnoredCode::explanation(&file.reason))?;
    if let Some(detail) = &file.detail {
        write!(out, " ({})", visible(detail))?;
    }
    if let Some(bytes) = file.bytes {
        write!(out, "; {bytes} bytes")?;
    }
    writeln!(out, "; since {}, confirmed {}", time(file.since), time(file.seen_at))
}

/// Prints the same as one JSON object. Times are as in the other answers in JSON; what is unknown is
/// null.
pub(super) fn status_json(status: &Status) -> anyhow::Result<()> {
    json(&json!({
        "store": status.store,
        "files": status.files.iter().map(file_json).collect::<Vec<_>>(),
        "not_shown": status.rest(),
        "ignored": status.ignored.iter().map(ignored_json).collect::<Vec<_>>(),
        "last_sweep": status.last_sweep.as_ref().map(sweep_json),
    }))
}

fn file_json(file: &FileStatus) -> Value {
    let (stored, known) = (&file.stored, &file.stored.checkpoint);
    json!({
        "id": known.file.0,
        "host": known.host,
        "path": known.path,
        "format": known.format,
        "offset": known.committed,
        "lag_bytes": file.lag.map(|(bytes, _)| bytes),
        "lag_lines": file.lag.map(|(_, lines)| lines),
        "lines": stored.lines,
        "rows": stored.rows,
        "rejected": stored.rejected,
        "excluded": stored.excluded,
        "lost_bytes": stored.lost_bytes,
        "first_seen_at": moment(stored.first_seen_at),
        "committed_at": stored.committed_at.map(moment),
        "closed_at": stored.closed_at.map(moment),
        "closed_reason": stored.closed_reason,
        "owner": stored.owner,
    })
}

fn ignored_json(file: &IgnoredReport) -> Value {
    json!({
        "host": file.host,
        "path": file.path,
        "reason": file.reason,
        "explanation": IgnoredCode::explanation(&file.reason),
        "detail": file.detail,
        "bytes": file.bytes,
        "files": file.files,
        "since": moment(file.since),
        "confirmed_at": moment(file.seen_at),
        "owner": file.owner,
    })
}

fn sweep_json(sweep: &SweepReport) -> Value {
    json!({
        "host": sweep.host,
        "finished_at": moment(sweep.finished_at),
        "cutoff": moment(sweep.cutoff),
        "next_at": sweep.next_at.map(moment),
        "removed": sweep.gunicorn_removed + sweep.request_removed + sweep.rejected_removed,
    })
}

/// Prints how many logs were moved to another host name.
pub(super) fn renamed_host(logs: u64, old: &str, new: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "logs moved from host '{old}' to '{new}': {}", HumanCount(logs))?;
    Ok(())
}

/// Prints what was forgotten of a file.
pub(super) fn forgotten(summary: &ForgetSummary, file: &Path) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "forgot '{}': {} rows, {} rejected lines; it can be imported again",
        file.display(),
        HumanCount(summary.rows),
        HumanCount(summary.rejected)
    )?;
    if let Some(path) = &summary.still_there {
        let path = path.display();
        writeln!(
            out,
            "'{path}' is still there: a daemon that watches its directory reads it again"
        )?;
    }
    Ok(())
}

/// Prints what a sweep removed.
pub(super) fn swept(outcome: &SweepOutcome, dry_run: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let SweepOutcome::Swept(swept) = outcome else {
        anyhow::bail!("another log-ingestd is sweeping this database now; try again later");
    };
    let verb = if dry_run { "would remove" } else { "removed" };
    writeln!(out, "{verb} rows older than {}", time(swept.report.cutoff))?;
    for (table, rows) in [
        ("gunicorn_log", swept.report.gunicorn_removed),
        ("request_log", swept.report.request_removed),
        ("rejected_line", swept.report.rejected_removed),
    ] {
        writeln!(out, "{:>15} {table}", HumanCount(rows).to_string())?;
    }
    if swept.files_removed > 0 {
        writeln!(out, "{:>15} log_file", HumanCount(swept.files_removed).to_string())?;
    }
    if swept.postponed > 0 {
        writeln!(out, "{} days are being read and stay until the next sweep", swept.postponed)?;
    }
    Ok(())
}

/// Returns the text with its control characters escaped: a log may hold some that move the cursor.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

fn time(at: Micros) -> String {
    DateTime::from_timestamp_micros(at)
        .map_or_else(|| at.to_string(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Prints a verified file, and on a second line its first difference.
pub(super) fn verified_file(file: &FileVerdict) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let word = if file.differences == 0 { "ok" } else { "DIFFERENT" };
    write!(out, "{word} {}", visible(&file.path))?;
    if file.log_file.is_some() {
        let counts = [
            (file.rows, "rows"),
            (file.rejected, "rejected"),
            (file.excluded, "excluded"),
            (file.swept, "swept"),
        ];
        let counts = counts.map(|(count, what)| format!("{count} {what}"));
        write!(out, ": {} lines = {}", file.lines, counts.join(" + "))?;
    }
    for (count, what) in [
        (file.readable, "rejected lines can be read by now: see reparse"),
        (file.by_other_format, "lines were read by another format: see forget"),
        (file.unstored_bytes, "bytes not stored yet"),
        (file.after_holes, "lines not as they were stored, since a power cut left holes"),
        (file.lost_bytes, "BYTES LOST"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    writeln!(out)?;
    let Some(first) = &file.first else { return Ok(()) };
    let several =
        (file.differences > 1).then(|| format!("{} differences, the first: ", file.differences));
    let line = first.line.map(|line| format!("line {line}, "));
    let offset = first.offset.map(|offset| format!("offset {offset}, "));
    let place: String = [several, line, offset].into_iter().flatten().collect();
    let (about, in_file, stored) = (first.about, visible(&first.file), visible(&first.database));
    writeln!(out, "  {place}{about}: the file says {in_file}; the database says {stored}")?;
    Ok(())
}

/// Prints the sums of all verified files.
pub(super) fn verified(config: &Config, all: &Verification) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let sum = |of: fn(&FileVerdict) -> u64| all.files.iter().map(of).sum::<u64>();
    writeln!(
        out,
        "{} files against {}: {} lines = {} rows + {} rejected + {} excluded + {} swept",
        all.files.len(),
        config.location,
        sum(|file| file.lines),
        sum(|file| file.rows),
        sum(|file| file.rejected),
        sum(|file| file.excluded),
        sum(|file| file.swept),
    )?;
    if all.not_here > 0 {
        writeln!(out, "{} files are not here any more and were not looked at", all.not_here)?;
    }
    if let Some(count @ 1..) = all.stray_rows {
        writeln!(out, "DIFFERENT: {count} rows have an id that names no line")?;
    }
    let different = all.files.iter().filter(|file| file.differences > 0).count();
    match different {
        0 if all.good => writeln!(out, "no difference")?,
        0 => {}
        _ => writeln!(out, "differences in {different} of {} files", all.files.len())?,
    }
    Ok(())
}

/// Prints what became of the rejected lines.
pub(super) fn reparsed(summary: &ReparseSummary, dry_run: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let verb = if dry_run { "would become" } else { "became" };
    writeln!(out, "{} rejected lines: {} {verb} rows", summary.lines, summary.rows)?;
    for (count, what) in
        [(summary.excluded, "left out by the configuration"), (summary.gone, "gone meanwhile")]
    {
        if count > 0 {
            writeln!(out, "  {count} {what}")?;
        }
    }
    for (reason, count) in &summary.still_rejected {
        writeln!(out, "  {count} still rejected: {reason}")?;
    }
    Ok(())
}
