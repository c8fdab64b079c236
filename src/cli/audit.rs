//! What `verify` and `reparse` answer, as text or as JSON.

use std::io::{self, Write};

use serde::Serialize;

use crate::commands::ReparseSummary;
use crate::commands::{FileVerdict, Verification};
use crate::config::Config;

use super::render::visible;

/// One line, or a second one with the first difference.
pub(super) fn one_file(file: &FileVerdict) -> anyhow::Result<()> {
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
        (file.unstored_bytes, "bytes not stored yet"),
        (file.lost_bytes, "BYTES LOST"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    writeln!(out)?;
    let Some(first) = &file.first else { return Ok(()) };
    if file.differences > 1 {
        write!(out, "  {} differences, the first: ", file.differences)?;
    } else {
        write!(out, "  ")?;
    }
    if let Some(line) = first.line {
        write!(out, "line {line}, ")?;
    }
    if let Some(offset) = first.offset {
        write!(out, "offset {offset}, ")?;
    }
    writeln!(
        out,
        "{}: the file says {}; the database says {}",
        first.about,
        visible(&first.file),
        visible(&first.database)
    )?;
    Ok(())
}

/// Everything as one object, and sums of what the files say.
#[derive(Serialize)]
struct Whole<'a> {
    good: bool,
    #[serde(flatten)]
    verification: &'a Verification,
}

pub(super) fn summary(config: &Config, all: &Verification, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &Whole { good: all.is_good(), verification: all })?;
        writeln!(out)?;
        return Ok(());
    }
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
        0 if all.is_good() => writeln!(out, "no difference")?,
        0 => {}
        _ => writeln!(out, "differences in {different} of {} files", all.files.len())?,
    }
    Ok(())
}

pub(super) fn reparsed(summary: &ReparseSummary, dry_run: bool, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, summary)?;
        writeln!(out)?;
        return Ok(());
    }
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
