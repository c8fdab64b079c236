//! `log-ingestd export`: its flags and its answer.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::commands::{self, ExportOptions, ExportSummary};
use crate::model::{counted, grouped};

use super::build;
use super::clock::Clock;
use super::output::{self, Form};
use super::sources::Settings;

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file, by its path as `status` shows it
    #[arg(value_name = "FILE", required_unless_present = "id")]
    path: Option<PathBuf>,

    /// The file with this id, of those that `status --all --json` shows
    #[arg(long = "file", value_name = "ID", conflicts_with = "path")]
    id: Option<i32>,

    /// Begin with the first line of this time or later: an age (90m, 2d), a day (2026-11-25, today, yesterday)
    /// or a time
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,

    /// End before the first line of this time or later
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,

    #[command(flatten)]
    clock: Clock,

    /// Print the summary on standard error as one JSON object
    #[arg(long)]
    json: bool,
}

/// Writes the log to standard output, and the summary to standard error. The exit code is 1 if what was written is
/// not for certain the log.
pub(super) async fn export(settings: &Settings, typed: &Export) -> anyhow::Result<ExitCode> {
    let moment = |flag: &str, text: &Option<String>| {
        text.as_deref().map(|text| typed.clock.read_flag(flag, text)).transpose()
    };
    let options = ExportOptions {
        path: typed.path.clone(),
        id: typed.id,
        since: moment("--since", &typed.since)?,
        until: moment("--until", &typed.until)?,
    };
    let config = build::config(settings)?;
    let out = BufWriter::with_capacity(1 << 16, output::stdout(Form::Text));
    let summary = commands::export(&config, &options, out).await?;
    match typed.json {
        true => {
            let text = serde_json::to_string(&summary)?;
            writeln!(output::stderr(Form::Json), "{text}")?;
        }
        false => print_summary(&summary)?,
    }
    Ok(if summary.exact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says what was written, and lists where it may differ from the log.
fn print_summary(summary: &ExportSummary) -> anyhow::Result<()> {
    let mut out = output::stderr(Form::Text);
    for it in &summary.exported.differences {
        let lines = match it.lines {
            0 => String::new(),
            lines => format!(" ({})", counted(lines, "line")),
        };
        let (from, to) = (grouped(it.from), grouped(it.to));
        writeln!(out, "bytes {from} to {to}{lines}: {}", it.cause.words())?;
    }
    if summary.exported.more_differences > 0 {
        writeln!(out, "and {} more places", grouped(summary.exported.more_differences))?;
    }
    let (bytes, lines) = (&summary.exported.bytes, summary.exported.lines);
    let what = format!("{} in {}", counted(*bytes, "byte"), counted(lines, "line"));
    match (summary.exact, &summary.digest) {
        (true, Some(_)) => writeln!(out, "{what}: exact, as its digest proves")?,
        (true, None) => writeln!(out, "{what}: exact")?,
        (false, _) => writeln!(out, "{what}: NOT EXACT, see above")?,
    }
    Ok(())
}
