//! `report`: the overview as one file.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::commands::{self, ReportOptions};
use crate::model::{counted, now};
use crate::web::Zone;

use super::clock::Clock;
use super::output::{self, Form};
use super::sources::Settings;
use super::{build, usage};

#[derive(Debug, Args)]
pub(super) struct Report {
    /// From an age (24h, 7d), a day (2026-11-23, today, yesterday) or a time (2026-11-23T08:00:00Z) on
    #[arg(long, value_name = "WHEN", default_value = "7d")]
    since: String,

    /// Up to an age, the beginning of a day, or a time [default: now]
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,

    /// The machine whose logs it is about [default: all]
    #[arg(long, value_name = "NAME")]
    server: Option<String>,

    #[command(flatten)]
    clock: Clock,

    /// The file that gets it; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Writes the report.
pub(super) async fn report(settings: &Settings, typed: &Report) -> anyhow::Result<()> {
    let Report { since, until, server, clock, output } = typed;
    let from = clock.read_flag("--since", since)?;
    let to = match until {
        Some(until) => clock.read_flag("--until", until)?,
        None => now(),
    };
    if from >= to {
        return Err(usage(format!(
            "--since: {} is not before the end of the range, {}",
            clock.moment(from),
            clock.moment(to)
        )));
    }
    let zone = if clock.is_local() { Zone::Local } else { Zone::Utc };
    let options = ReportOptions { from, to, server: server.clone(), zone };
    // Nothing is written until all of it is there.
    let report = commands::report(&build::config(settings)?, &options).await?;
    let html = report.html();
    if output == Path::new("-") {
        output::stdout(Form::Text).write_all(html.as_bytes())?;
        return Ok(());
    }
    write(output, &html).with_context(|| format!("cannot write '{}'", output.display()))?;
    let requests = report.overview.total.rows.iter().sum::<i64>();
    let requests = counted(requests.try_into().unwrap_or(0), "request");
    let (from, to) = (clock.time(report.overview.from), clock.time(report.overview.to));
    let said = format!("'{}' has {requests} from {from} to {to}", output.display());
    writeln!(output::stdout(Form::Text), "{said}")?;
    Ok(())
}

/// Writes a file that only its owner can read, since it holds addresses and names. One that is there keeps its
/// mode.
fn write(path: &Path, html: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(html.as_bytes())
}
