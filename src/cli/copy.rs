//! `log-ingestd copy`: its flags and its answer.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use crate::commands::{self, CopyOptions, CopySummary};
use crate::model::{counted, grouped};
use crate::store::Location;

use super::output::{self, Form};
use super::progress::CopyBar;
use super::settings::{CONNECT_TIMEOUT, duration};
use super::sources::Settings;
use super::{print, usage};

#[derive(Debug, Args)]
pub(super) struct Copy {
    /// The database that has the rows: postgres://user@host:5432/name or sqlite:/path. A password is better in
    /// ~/.pgpass or PGPASSWORD: other users of the machine see this one
    #[arg(long, value_name = "URL")]
    from: String,

    /// The database that gets them, without rows of its own; an SQLite file is made
    #[arg(long, value_name = "URL")]
    to: String,

    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
}

/// Copies, and prints what was copied. The exit code is 1 if the databases differ.
pub(super) async fn copy(settings: &Settings, typed: &Copy) -> anyhow::Result<ExitCode> {
    let options = CopyOptions {
        from: location("--from", &typed.from)?,
        to: location("--to", &typed.to)?,
        connect_timeout: settings.get(&CONNECT_TIMEOUT, duration)?,
    };
    let bar = CopyBar::new(typed.json);
    let copied = commands::copy(&options, &bar).await;
    bar.close();
    let summary = copied?;
    match typed.json {
        true => print::json(&summary)?,
        false => print_summary(&summary)?,
    }
    Ok(if summary.good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads a URL. A file has its whole path, so that the same one is known again from another directory.
fn location(flag: &str, url: &str) -> anyhow::Result<Location> {
    match Location::parse(url).map_err(|error| usage(format!("{flag}: {error}")))? {
        Location::Sqlite(path) => Ok(Location::Sqlite(std::path::absolute(path)?)),
        server => Ok(server),
    }
}

fn print_summary(summary: &CopySummary) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    let CopySummary { from, to, rows, seconds, .. } = summary;
    let rate = (*rows as f64 / seconds.max(0.001)) as u64;
    writeln!(
        out,
        "{} in {seconds:.1} s, {} rows/s, from {from} to {to}",
        counted(*rows, "row"),
        grouped(rate)
    )?;
    for table in &summary.tables {
        writeln!(out, "{:>15} {}", grouped(table.rows), table.table)?;
    }
    if summary.already_copied > 0 {
        writeln!(out, "{:>15} of them were copied before", grouped(summary.already_copied))?;
    }
    for it in &summary.differences {
        let (from, to) = (counted(it.from_rows, "row"), grouped(it.to_rows));
        writeln!(out, "DIFFERENT {}: {from} in the source, {to} in the target", it.part)?;
    }
    match summary.good {
        true => writeln!(
            out,
            "both databases have the same rows: start the daemons with the URL of the target"
        )?,
        false => writeln!(
            out,
            "the databases differ, so that nothing uses the target: the same command again copies what is \
             different"
        )?,
    }
    Ok(())
}
