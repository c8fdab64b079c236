//! What the commands answer, as text.

use std::io::{self, Write};
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat};
use indicatif::{HumanBytes, HumanCount};

use crate::commands::Report;
use crate::commands::import::Summary;
use crate::commands::{FileStatus, Status};
use crate::config::Config;
use crate::model::Micros;
use crate::retain::SweepOutcome;

/// One clear sentence on standard error, and the exit code.
pub(super) fn failure(error: &anyhow::Error, code: u8) -> ExitCode {
    // If standard error is closed there is nobody left to tell.
    let _ = writeln!(io::stderr(), "log-ingestd: {error:#}");
    ExitCode::from(code)
}

pub(super) fn summary(config: &Config, summary: &Summary, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, summary)?;
        writeln!(out)?;
        return Ok(());
    }
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

pub(super) fn report(report: &Report) -> anyhow::Result<()> {
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

pub(super) fn status(status: &Status) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", status.store)?;
    if status.files.is_empty() {
        writeln!(out, "no file has been read yet")?;
    }
    for file in &status.files {
        one_file(&mut out, file)?;
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

fn one_file(out: &mut impl Write, file: &FileStatus) -> io::Result<()> {
    let stored = &file.stored;
    writeln!(out, "{}:{}", stored.host, visible(&stored.checkpoint.path))?;
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
    if swept.postponed > 0 {
        writeln!(out, "{} days are being read and stay until the next sweep", swept.postponed)?;
    }
    Ok(())
}

/// The text with its control characters escaped: a log may hold what would move the cursor.
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
