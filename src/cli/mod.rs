//! The command line: the only folder that uses clap, and the only one that prints.
//!
//! `settings` is the table of settings, `command_line` declares the commands and their own flags.
//! `sources` reads the settings once, `build` makes the configuration out of them, and `print` writes
//! the answers.

mod build;
mod command_line;
mod docs;
mod migrate;
mod password;
mod print;
mod progress;
mod query;
mod settings;
mod sources;

use std::process::ExitCode;

use anyhow::Context;
use clap::FromArgMatches;
use tracing::Level;

use crate::commands::{ForgetOptions, Probe, Unproven};
use crate::store::Shown;
use crate::web::SecretKind;
use crate::{commands, daemon};

use command_line::{Command, CommandLine};
use settings::{LOG_FORMAT, LOG_LEVEL, log_level};
use sources::{Settings, flags_and_environment};

/// The exit code of wrong usage.
const USAGE: u8 = 2;

/// A setting or flag that cannot be used: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

fn usage(message: impl Into<String>) -> anyhow::Error {
    UsageError(message.into()).into()
}

/// Reads the command line and runs the command, or the daemon.
pub fn main() -> ExitCode {
    let matches = CommandLine::with_settings().get_matches();
    let CommandLine { command } =
        CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let settings = match Settings::read(flags_and_environment(&matches)) {
        Ok(settings) => settings,
        Err(error) => return print::failure(&error, USAGE),
    };
    if let Err(error) = start_logging(&settings, command.as_ref()) {
        return print::failure(&error, USAGE);
    }
    sources::warn_of_unknown_variables();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime");
    match runtime.and_then(|runtime| {
        let result = runtime.block_on(run(&settings, command));
        // A commit that waits for an unavailable store must not keep the process from ending.
        runtime.shutdown_background();
        result
    }) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<UsageError>() {
            Some(_) => print::failure(&error, USAGE),
            None => print::failure(&error, 1),
        },
    }
}

/// Returns whether the reader of standard output has ended early, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

async fn run(settings: &Settings, command: Option<Command>) -> anyhow::Result<ExitCode> {
    match command {
        None => daemon::watch(build::watch(settings)?, || build::reload(settings)).await?,
        Some(Command::Import { files, jobs, again, skip, json }) => {
            let config = build::config(settings)?;
            build::warn_of_format(&config.parsing);
            let jobs = jobs.map_or_else(build::jobs, usize::from);
            let progress = progress::Bar::new(json);
            let unproven = match (again, skip) {
                (true, _) => Unproven::Again,
                (_, true) => Unproven::Skip,
                _ => Unproven::Refuse,
            };
            let (summary, failures) =
                commands::import(&config, &files, jobs, unproven, &progress).await?;
            progress.close();
            match json {
                true => print::json(&summary)?,
                false => print::imported(&config, &summary)?,
            }
            for failure in &failures {
                print::failure(failure, 1);
            }
            return Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Some(Command::Check { file }) => {
            let report = commands::check(&build::parsing(settings)?, &file)?;
            print::checked(&report)?;
            let is_good = report.rejects.is_empty();
            return Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Some(Command::Status { all, json }) => {
            let shown = if all { Shown::All } else { Shown::OpenAndLossy };
            let status = commands::status(&build::config(settings)?, shown).await?;
            match json {
                true => print::status_json(&status)?,
                false => print::status(&status)?,
            }
        }
        Some(Command::Verify { paths, json }) => {
            let mut print_file = |file: &commands::FileVerdict| match json {
                true => Ok(()),
                false => print::verified_file(file),
            };
            let config = build::config(settings)?;
            let verification = commands::verify(&config, &paths, &mut print_file).await?;
            match json {
                true => print::json(&verification)?,
                false => print::verified(&config, &verification)?,
            }
            return Ok(if verification.good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Some(Command::Reparse { dry_run, json }) => {
            let config = build::config(settings)?;
            build::warn_of_format(&config.parsing);
            let summary = commands::reparse(&config, dry_run).await?;
            match json {
                true => print::json(&summary)?,
                false => print::reparsed(&summary, dry_run)?,
            }
        }
        Some(Command::Forget { file, ids, yes, json }) => {
            let options = ForgetOptions { ids, even_if_there: yes };
            let summary = commands::forget(&build::config(settings)?, &file, &options).await?;
            match json {
                true => print::json(&summary)?,
                false => print::forgotten(&summary, &file)?,
            }
        }
        Some(Command::Cleanup(cleanup)) => {
            let config = build::config(settings)?;
            let sweep = build::sweep(&cleanup, &config)?;
            let outcome = commands::cleanup(&config, &sweep).await?;
            print::swept(&outcome, cleanup.dry_run)?;
        }
        Some(Command::Migrate(typed)) => migrate::migrate(settings, &typed).await?,
        Some(Command::RenameHost { old, new }) => {
            let renamed = commands::rename_host(&build::config(settings)?, &old, &new).await?;
            print::renamed_host(renamed, &old, &new)?;
        }
        Some(Command::Query(query)) => query::query(settings, &query).await?,
        Some(Command::Top(top)) => query::top(settings, &top).await?,
        Some(Command::HashPassword { name, token }) => {
            password::hash(if token { SecretKind::Token } else { SecretKind::Password }, &name)?;
        }
        Some(Command::Healthcheck { ready }) => {
            let probe = if ready { Probe::Readiness } else { Probe::Liveness };
            commands::healthcheck(build::listens_at(settings)?, probe)?;
        }
        Some(Command::Completions { shell }) => docs::completions(shell)?,
        Some(Command::Man { directory }) => docs::man(&directory)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn start_logging(settings: &Settings, command: Option<&Command>) -> anyhow::Result<()> {
    // Commands answer on standard output; only the daemon reports while it works.
    let default = if command.is_some() { Level::WARN } else { Level::INFO };
    let level = settings.optional(&LOG_LEVEL, log_level)?.unwrap_or(default);
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    // The table allows two words.
    match settings.texts(&LOG_FORMAT).iter().any(|word| word == "json") {
        true => log.json().flatten_event(true).init(),
        false => log.with_target(false).with_ansi(terminal).init(),
    }
    Ok(())
}
