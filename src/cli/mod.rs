//! The command line: the only room that knows clap, and the only one that prints.
//!
//! Two stages. `flags` is what was typed, `file` what a configuration file says, both as they
//! are; `build` makes the configuration out of them, and says what would be right where it
//! cannot.

mod audit;
mod build;
mod docs;
mod file;
mod flags;
mod migrate;
mod page;
mod password;
mod progress;
mod query;
mod render;
mod size;
mod streams;
mod table;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::commands::Probe;
use crate::web::SecretKind;
use crate::{commands, daemon};

use flags::{Command, Flags, LogFormat};

/// The exit code of wrong usage.
const USAGE: u8 = 2;

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let flags = Flags::parse();
    let settings = match build::settings(&flags) {
        Ok(settings) => settings,
        Err(error) => return render::failure(&error, USAGE),
    };
    start_logging(settings.log_format, &settings.log_level);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime");
    match runtime.and_then(|runtime| {
        let result = runtime.block_on(run(&flags));
        // A commit that waits for a store that is away must not keep the process from ending.
        runtime.shutdown_background();
        result
    }) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<build::UsageError>() {
            Some(_) => render::failure(&error, USAGE),
            None => render::failure(&error, 1),
        },
    }
}

/// Whether the reader of standard output has seen enough, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

async fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    match &flags.command {
        None => {
            let watch = build::watch(flags)?;
            daemon::watch(watch, || build::watch(&Flags::try_parse()?)).await?;
        }
        Some(Command::Import { files, jobs, json }) => {
            let config = build::config(flags)?;
            build::warn_of_format(&config.parsing);
            let jobs = jobs.map_or_else(build::jobs, usize::from);
            let progress = progress::Bar::new(*json);
            let (summary, failures) = commands::import(&config, files, jobs, &progress).await?;
            progress.close();
            render::summary(&config, &summary, *json)?;
            for failure in &failures {
                render::failure(failure, 1);
            }
            return Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Some(Command::Check { file }) => {
            let report = commands::check(&build::parsing(flags)?, file)?;
            render::report(&report)?;
            let bad = report.rejects.values().any(|(count, _)| *count > 0);
            return Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        Some(Command::Status) => render::status(&commands::status(&build::config(flags)?).await?)?,
        Some(Command::Verify { paths, json }) => {
            let mut told = |file: &commands::FileVerdict| match json {
                true => Ok(()),
                false => audit::one_file(file),
            };
            let config = build::config(flags)?;
            let verification = commands::verify(&config, paths, &mut told).await?;
            audit::summary(&config, &verification, *json)?;
            let good = verification.is_good();
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Some(Command::Reparse { dry_run, json }) => {
            let config = build::config(flags)?;
            build::warn_of_format(&config.parsing);
            audit::reparsed(&commands::reparse(&config, *dry_run).await?, *dry_run, *json)?;
        }
        Some(Command::Cleanup(cleanup)) => {
            let config = build::config(flags)?;
            let sweep = build::sweep(cleanup, &config)?;
            render::swept(&commands::cleanup(&config, &sweep).await?, cleanup.dry_run)?;
        }
        Some(Command::Migrate(typed)) => migrate::migrate(flags, typed).await?,
        Some(Command::Query(query)) => query::query(flags, query).await?,
        Some(Command::Top(top)) => query::top(flags, top).await?,
        Some(Command::HashPassword { name, token }) => {
            password::hash(if *token { SecretKind::Token } else { SecretKind::Password }, name)?;
        }
        Some(Command::Healthcheck { ready }) => {
            let probe = if *ready { Probe::Readiness } else { Probe::Liveness };
            commands::healthcheck(build::listens_at(flags)?, probe)?;
        }
        Some(Command::Completions { shell }) => docs::completions(*shell)?,
        Some(Command::Man { directory }) => docs::man(directory)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn start_logging(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    match format {
        LogFormat::Human => log.with_target(false).with_ansi(terminal).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
