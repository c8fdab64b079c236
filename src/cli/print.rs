//! Prints what commands answer, for people or as JSON.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use indicatif::HumanBytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::import::Summary;
use crate::commands::{
    FileStatus, FileVerdict, ForgetSummary, ReparseSummary, Report, RereadFile, RowsSummary,
    Status, Verification,
};
use crate::config::Config;
use crate::model::{IgnoredCode, counted, grouped, moment, path_text, printable};
use crate::retain::SweepOutcome;
use crate::store::{IgnoredReport, SweepReport};

use super::clock::Clock;
use super::command_line::Cleanup;
use super::output::{self, Form};

/// Prints an error as one sentence on standard error, and returns the exit code.
pub(super) fn failure(error: &anyhow::Error, code: u8) -> ExitCode {
    // Nothing reads a closed standard error.
    let message = format!("{error:#}");
    let _ = writeln!(output::stderr(Form::Text), "log-ingestd: {}", printable(&message));
    ExitCode::from(code)
}

/// Prints an answer as one JSON object.
pub(super) fn json(answer: &impl Serialize) -> anyhow::Result<()> {
    writeln!(output::stdout(Form::Json), "{}", serde_json::to_string(answer)?)?;
    Ok(())
}

/// Prints what an import did.
pub(super) fn imported(config: &Config, summary: &Summary) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    let rate = (summary.lines as f64 / summary.seconds.max(0.001)) as u64;
    writeln!(
        out,
        "{} ({}) in {:.1} s, {} lines/s, into {}",
        counted(summary.lines, "line"),
        HumanBytes(summary.bytes),
        summary.seconds,
        grouped(rate),
        config.location,
    )?;
    for (count, what) in [
        (summary.rows, "stored"),
        (summary.already_stored, "already stored"),
        (summary.rejected, "rejected; see the table rejected_line"),
        (summary.excluded, "left out: by the configuration, or on a container's standard error"),
    ] {
        if count > 0 || what == "stored" {
            writeln!(out, "{:>15} {what}", grouped(count))?;
        }
    }
    for read in &summary.formats {
        let files = if read.files == 1 { "file" } else { "files" };
        let count = grouped(read.files);
        writeln!(out, "{count:>15} {files} read by the format {} ({})", read.format, read.source)?;
    }
    if summary.expired > 0 {
        let (are, them) = are(summary.expired);
        writeln!(
            out,
            "notice: {} {are} older than the retention ({}); the next sweep removes {them}",
            counted(summary.expired, "row"),
            config.retention,
        )?;
    }
    Ok(())
}

/// Returns the verb and the pronoun for so many.
fn are(count: u64) -> (&'static str, &'static str) {
    if count == 1 { ("is", "it") } else { ("are", "them") }
}

/// Prints what `check` found.
pub(super) fn checked(report: &Report) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    match report.told {
        Some((name, about)) => writeln!(out, "format {name}: {about}")?,
        None => writeln!(out, "format as given")?,
    }
    writeln!(out, "  {}", visible(&report.format))?;
    if let Some(envelope) = report.envelope {
        writeln!(out, "in the envelopes of a container's log: {envelope}")?;
    }
    for warning in &report.warnings {
        writeln!(out, "warning: {}", visible(warning))?;
    }
    for (number, fields) in &report.shown {
        writeln!(out, "line {}", grouped(*number))?;
        for (name, value) in fields {
            writeln!(out, "  {name:<15} {}", visible(value))?;
        }
    }
    let rejected: u64 = report.rejects.values().map(|(count, _)| count).sum();
    writeln!(
        out,
        "{}: {} would be stored, {} rejected, {} left out",
        counted(report.lines, "line"),
        grouped(report.rows),
        grouped(rejected),
        grouped(report.excluded)
    )?;
    for (reason, (count, first)) in &report.rejects {
        let (count, first) = (grouped(*count), grouped(*first));
        writeln!(out, "  {count} rejected, first in line {first}: {reason}")?;
    }
    Ok(())
}

/// Prints files and their offsets, and the last sweep.
pub(super) fn status(status: &Status, clock: Clock) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    writeln!(out, "{}", status.store)?;
    if status.counts.all == 0 && status.files.is_empty() {
        writeln!(out, "no file has been read yet")?;
    }
    for file in &status.files {
        file_status(&mut out, file, clock)?;
    }
    if let rest @ 1.. = status.rest() {
        let ((are, them), closed) = (are(rest), counted(rest, "closed file"));
        writeln!(out, "{closed} {are} not shown; `log-ingestd status --all` shows {them}")?;
    }
    for file in &status.ignored {
        ignored_file(&mut out, file, clock)?;
    }
    if let Some(sweep) = &status.last_sweep {
        writeln!(
            out,
            "last sweep {} removed {} older than {}",
            clock.time(sweep.finished_at),
            counted(removed(sweep), "row"),
            clock.time(sweep.cutoff),
        )?;
        if let Some(next) = sweep.next_at {
            writeln!(out, "next sweep {}", clock.time(next))?;
        }
    }
    Ok(())
}

/// Returns how many rows and rejects a sweep has removed.
fn removed(sweep: &SweepReport) -> u64 {
    sweep.gunicorn_removed + sweep.request_removed + sweep.rejected_removed
}

fn file_status(out: &mut impl Write, file: &FileStatus, clock: Clock) -> io::Result<()> {
    let stored = &file.stored;
    let (host, path) = (&stored.checkpoint.host, &stored.checkpoint.path);
    writeln!(out, "{}:{}", visible(host), visible(path))?;
    write!(out, "  offset {}", grouped(stored.checkpoint.committed))?;
    match file.lag {
        _ if stored.checkpoint.is_closed() => {
            write!(out, ", closed: {}", stored.closed_reason.as_deref().unwrap_or("no reason"))?;
        }
        Some((0, _)) => write!(out, ", caught up")?,
        Some((bytes, lines)) => {
            write!(out, ", behind by {}, {}", counted(bytes, "byte"), counted(lines, "line"))?;
        }
        None if !file.is_here => write!(out, ", on another host")?,
        None => write!(out, ", not here now")?,
    }
    if stored.lost_bytes > 0 {
        write!(out, ", {} BYTES LOST", grouped(stored.lost_bytes))?;
    }
    if stored.far_times > 0 {
        write!(out, ", {} far from the clock", counted(stored.far_times, "time"))?;
    }
    let nuls: u64 = stored.checkpoint.nul_runs.iter().map(|run| run.length).sum();
    if nuls > 0 {
        write!(out, ", {} before lines skipped", counted(nuls, "NUL"))?;
    }
    writeln!(
        out,
        "\n  {} = {} + {} rejected + {} excluded; last commit {}",
        counted(stored.lines, "line"),
        counted(stored.rows, "row"),
        grouped(stored.rejected),
        grouped(stored.excluded),
        stored.committed_at.map_or_else(|| "never".to_owned(), |at| clock.time(at)),
    )
}

fn ignored_file(out: &mut impl Write, file: &IgnoredReport, clock: Clock) -> io::Result<()> {
    let (host, path) = (visible(&file.host), visible(&file.path));
    match file.files {
        1 => write!(out, "ignored {host}:{path}\n  {}", file.reason)?,
        files => {
            let files = grouped(files);
            write!(out, "ignored {host}: {files} more files of {path}\n  {}", file.reason)?;
        }
    }
    write!(out, ": {}", IgnoredCode::explanation(&file.reason))?;
    if let Some(detail) = &file.detail {
        write!(out, " ({})", visible(detail))?;
    }
    if let Some(bytes) = file.bytes {
        write!(out, "; {}", counted(bytes, "byte"))?;
    }
    writeln!(out, "; since {}, confirmed {}", clock.time(file.since), clock.time(file.seen_at))
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
        "far_times": stored.far_times,
        "first_seen_at": moment(stored.first_seen_at),
        "committed_at": stored.committed_at.map(moment),
        "closed_at": stored.checkpoint.closed_at.map(moment),
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
        "removed": removed(sweep),
    })
}

/// Prints how many logs were moved to another host name.
pub(super) fn renamed_host(logs: u64, old: &str, new: &str) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    writeln!(out, "logs moved from host '{old}' to '{new}': {}", grouped(logs))?;
    Ok(())
}

/// Prints what was forgotten of a file.
pub(super) fn forgotten(summary: &ForgetSummary, file: &Path) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    writeln!(
        out,
        "forgot '{}': {}, {}; it can be imported again",
        path_text(file),
        counted(summary.rows, "row"),
        counted(summary.rejected, "rejected line")
    )?;
    if let Some(path) = &summary.still_there {
        let path = path_text(path);
        writeln!(
            out,
            "'{path}' is still there: a daemon that watches its directory reads it again"
        )?;
    }
    Ok(())
}

/// Prints what a sweep removed.
pub(super) fn swept(outcome: &SweepOutcome, cleanup: &Cleanup) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    let SweepOutcome::Swept(swept) = outcome else {
        anyhow::bail!("another log-ingestd is sweeping this database now; try again later");
    };
    let verb = if cleanup.dry_run { "would remove" } else { "removed" };
    writeln!(out, "{verb} rows older than {}", cleanup.clock.time(swept.report.cutoff))?;
    for (table, rows) in [
        ("gunicorn_log", swept.report.gunicorn_removed),
        ("request_log", swept.report.request_removed),
        ("rejected_line", swept.report.rejected_removed),
    ] {
        writeln!(out, "{:>15} {table}", grouped(rows))?;
    }
    if swept.files_removed > 0 {
        writeln!(out, "{:>15} log_file", grouped(swept.files_removed))?;
    }
    if swept.postponed > 0 {
        let days = counted(swept.postponed.into(), "day");
        writeln!(out, "left until the next sweep, since they are being read: {days}")?;
    }
    Ok(())
}

/// Returns the text on one line, with what is not printable escaped: also in a pipe, since a newline of a log
/// would begin a line of ours.
pub(super) fn visible(text: &str) -> String {
    printable(text).into_owned()
}

/// Prints a verified file, and on a second line its first difference.
pub(super) fn verified_file(file: &FileVerdict) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    let word = if file.differences == 0 { "ok" } else { "DIFFERENT" };
    write!(out, "{word} {}", visible(&file.path))?;
    if file.log_file.is_some() {
        let sum = [file.lines, file.rows, file.rejected, file.excluded, file.swept];
        write!(out, ": {}", equation(sum))?;
    }
    for (count, one, more) in [
        (
            file.by_older_rule,
            "row has an address of an older rule, as ::ffff:203.0.113.9",
            "rows have addresses of an older rule, as ::ffff:203.0.113.9",
        ),
        (
            file.masked_by_older_rule,
            "row is masked by an older rule: see reparse --rows",
            "rows are masked by an older rule: see reparse --rows",
        ),
        (
            file.by_older_columns,
            "row is without newer columns: see reparse --rows",
            "rows are without newer columns: see reparse --rows",
        ),
        (
            file.readable,
            "rejected line can be read by now: see reparse",
            "rejected lines can be read by now: see reparse",
        ),
        (
            file.by_other_format,
            "line was read by another format: see reparse --rows",
            "lines were read by another format: see reparse --rows",
        ),
        (file.unstored_bytes, "byte not stored yet", "bytes not stored yet"),
        (
            file.after_holes,
            "line not as it was stored, since a power cut left holes",
            "lines not as they were stored, since a power cut left holes",
        ),
        (file.lost_bytes, "BYTE LOST", "BYTES LOST"),
    ] {
        match count {
            0 => {}
            1 => write!(out, ", 1 {one}")?,
            count => write!(out, ", {} {more}", grouped(count))?,
        }
    }
    writeln!(out)?;
    let Some(first) = &file.first else { return Ok(()) };
    let several = (file.differences > 1)
        .then(|| format!("{} differences, the first: ", grouped(file.differences)));
    let line = first.line.map(|line| format!("line {}, ", grouped(line)));
    let offset = first.offset.map(|offset| format!("offset {}, ", grouped(offset)));
    let place: String = [several, line, offset].into_iter().flatten().collect();
    let (about, in_file, stored) = (first.about, visible(&first.file), visible(&first.database));
    writeln!(out, "  {place}{about}: the file says {in_file}; the database says {stored}")?;
    Ok(())
}

/// Returns lines, rows, rejected, excluded and swept lines as the equation that they are.
fn equation([lines, rows, rejected, excluded, swept]: [u64; 5]) -> String {
    format!(
        "{} = {} + {} rejected + {} excluded + {} swept",
        counted(lines, "line"),
        counted(rows, "row"),
        grouped(rejected),
        grouped(excluded),
        grouped(swept)
    )
}

/// Prints the sums of all verified files.
pub(super) fn verified(config: &Config, all: &Verification) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    let sum = |of: fn(&FileVerdict) -> u64| all.files.iter().map(of).sum::<u64>();
    let all_lines = equation([
        sum(|file| file.lines),
        sum(|file| file.rows),
        sum(|file| file.rejected),
        sum(|file| file.excluded),
        sum(|file| file.swept),
    ]);
    let files = counted(all.files.len() as u64, "file");
    writeln!(out, "{files} against {}: {all_lines}", config.location)?;
    if let gone @ 1.. = all.not_here {
        let (are, _) = are(gone);
        let were = if gone == 1 { "was" } else { "were" };
        let files = counted(gone, "file");
        writeln!(out, "{files} {are} not here any more and {were} not looked at")?;
    }
    if let Some(count @ 1..) = all.stray_rows {
        let s = if count == 1 { "has" } else { "have" };
        writeln!(out, "DIFFERENT: {} {s} an id that names no line", counted(count, "row"))?;
    }
    let different = all.files.iter().filter(|file| file.differences > 0).count();
    match different {
        0 if all.good => writeln!(out, "no difference")?,
        0 => {}
        _ => writeln!(out, "differences in {} of {files}", grouped(different as u64))?,
    }
    Ok(())
}

/// Prints what became of a file whose lines were read again.
pub(super) fn reread_file(file: &RereadFile, dry_run: bool) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    let path = visible(&file.path);
    if let Some(why) = &file.left {
        writeln!(out, "LEFT AS IT IS {path}: {}", visible(why))?;
        return Ok(());
    }
    writeln!(out, "{path}: {} read by {}", counted(file.lines, "line"), visible(&file.format))?;
    let (same, changed) = (grouped(file.same), counted(file.changed, "row"));
    writeln!(out, "  {same} as stored, {changed} {} replaced", would_be(file.changed, dry_run))?;
    for (column, rows) in &file.columns {
        writeln!(out, "    {column}: {}", grouped(*rows))?;
    }
    for (count, one, more) in [
        (file.became_rows, "reject is a row", "rejects are rows"),
        (file.became_rejects, "row is a reject", "rows are rejects"),
        (file.other_reasons, "reject has another reason", "rejects have another reason"),
    ] {
        match count {
            0 => {}
            1 => writeln!(out, "  1 {one}")?,
            count => writeln!(out, "  {} {more}", grouped(count))?,
        }
    }
    for (count, what) in [
        (file.excluded, "left out by the configuration"),
        (file.not_stored, "not stored any more, or left out before: not added"),
        (file.refused, "REFUSED BY THE DATABASE: as they were"),
        (file.without_line, "STORED WHERE NO LINE BEGINS: as they were"),
    ] {
        if count > 0 {
            writeln!(out, "  {} {what}", grouped(count))?;
        }
    }
    if let Some(format) = &file.daemon_reads_by {
        let format = visible(format);
        writeln!(out, "  a running log-ingestd goes on by {format}: start it anew with --format")?;
    }
    Ok(())
}

/// Returns the verb for what happened, or would happen, to so many.
fn would_be(count: u64, dry_run: bool) -> &'static str {
    match (dry_run, count) {
        (true, _) => "would be",
        (false, 1) => "was",
        (false, _) => "were",
    }
}

/// Prints the sums of all files whose lines were read again.
pub(super) fn reread(summary: &RowsSummary, dry_run: bool) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    let sum = |of: fn(&RereadFile) -> u64| summary.files.iter().map(of).sum::<u64>();
    let replaced = sum(|file| {
        let changed = [file.changed, file.became_rows, file.became_rejects, file.other_reasons];
        changed.iter().sum::<u64>() + file.excluded
    });
    let (files, lines) = (summary.files.len() as u64, sum(|file| file.lines));
    let (files, lines) = (counted(files, "file"), counted(lines, "stored line"));
    let would = would_be(replaced, dry_run);
    writeln!(out, "{files}: {} of {lines} {would} replaced", grouped(replaced))?;
    for (count, what) in [
        (summary.not_here, "files that are not here any more, whose rows stay as they are"),
        (summary.not_stored, "files of which nothing is stored"),
    ] {
        if count > 0 {
            writeln!(out, "{what}: {}", grouped(count))?;
        }
    }
    Ok(())
}

/// Prints what became of the rejected lines.
pub(super) fn reparsed(summary: &ReparseSummary, dry_run: bool) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    let verb = if dry_run { "would become" } else { "became" };
    let lines = counted(summary.lines, "rejected line");
    let rows = if summary.rows == 1 { "a row" } else { "rows" };
    writeln!(out, "{lines}: {} {verb} {rows}", grouped(summary.rows))?;
    for (count, what) in
        [(summary.excluded, "left out by the configuration"), (summary.gone, "gone meanwhile")]
    {
        if count > 0 {
            writeln!(out, "  {} {what}", grouped(count))?;
        }
    }
    for (reason, count) in &summary.still_rejected {
        writeln!(out, "  {} still rejected: {reason}", grouped(*count))?;
    }
    Ok(())
}
