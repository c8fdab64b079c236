//! The command line: the only folder that uses clap, and the only one that prints.
//!
//! `settings` is the table of settings, `command_line` declares the commands and their own flags, and
//! `examples` those of their help. `sources` reads the settings once, `build` makes the configuration out
//! of them, and `print` writes the answers, with `clock` for times, `table` for rows, and `terminal` for
//! colours.

mod build;
mod clock;
mod command_line;
mod copy;
mod docs;
mod doctor;
mod examples;
mod export;
mod migrate;
mod output;
mod password;
mod print;
mod progress;
mod query;
mod report;
mod settings;
mod sources;
mod table;
mod terminal;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::FromArgMatches;
use tracing::Level;

use crate::commands::{Connections, ForgetOptions, Probe, RowsOptions, Unproven};
use crate::pipeline::apart_from_signals;
use crate::source::isolate_file_systems;
use crate::store::{Shown, StoreError};
use crate::web::SecretKind;
use crate::{commands, daemon};

use command_line::{Command, CommandLine};
use output::{Form, PrintableFields};
use settings::{LOG_FORMAT, LOG_LEVEL, log_level};
use sources::{Settings, flags_and_environment};

/// Commands that change a database: they say whose settings they use.
const WRITERS: [&str; 6] = ["import", "reparse", "forget", "cleanup", "migrate", "rename-host"];

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
    let matches = match CommandLine::with_settings().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return refused(&error),
    };
    let CommandLine { command } =
        CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let given = flags_and_environment(&matches).map(|mut given| {
        if let Some(Command::Watch { paths }) = &command {
            given.watch(paths, &matches);
        }
        given
    });
    let name = matches.subcommand_name().unwrap_or("watch");
    let settings = match given.and_then(|given| Settings::read(given, name)) {
        Ok(settings) => settings,
        Err(error) => return print::failure(&error, USAGE),
    };
    if let Err(error) = start_logging(&settings, command.as_ref()) {
        return print::failure(&error, USAGE);
    }
    sources::warn_of_unknown_variables();
    settings.warn_of_unread_file();
    if let Some(path) = settings.file_of_service() {
        let words = format!("settings are read from '{}'", path.display());
        match WRITERS.contains(&name) {
            // Their log begins with warnings. A closed standard error changes nothing.
            true => drop(writeln!(output::stderr(Form::Text), "{words}")),
            false => tracing::info!("{words}"),
        }
    }
    let result = apart_from_signals(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let result = runtime.block_on(run(&settings, command));
        // A commit that waits for an unavailable store must not keep the process from ending.
        runtime.shutdown_background();
        result
    });
    match result.context("cannot start the runtime").flatten() {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<UsageError>() {
            Some(_) => print::failure(&error, USAGE),
            None => print::failure(&error, 1),
        },
    }
}

/// Prints what clap says of the command line, and returns the exit code. A name that a shell put there for `*`
/// may hold anything.
fn refused(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    match text.chars().all(|it| it == '\n' || crate::model::is_printable(it)) {
        true => error.exit(),
        false => {
            // Nothing reads a closed standard error.
            let _ = output::stderr(Form::Text).write_all(text.as_bytes());
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
        }
    }
}

/// Returns whether the reader of standard output has ended early, as `head` does. A connection to a database
/// that breaks is another matter.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let is_broken = |cause: &(dyn std::error::Error + 'static)| {
        let of_system = cause.downcast_ref::<std::io::Error>();
        of_system.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    };
    error.chain().any(is_broken) && !error.chain().any(|cause| cause.is::<StoreError>())
}

async fn run(settings: &Settings, command: Option<Command>) -> anyhow::Result<ExitCode> {
    match command {
        None | Some(Command::Watch { .. }) => {
            isolate_file_systems();
            Box::pin(daemon::watch(build::watch(settings)?, || build::reload(settings))).await?;
        }
        Some(Command::Serve) => {
            let page = build::served_page(settings)?;
            Box::pin(daemon::serve(&build::config(settings)?, &page)).await?;
        }
        Some(Command::Import { files, jobs, again, skip, json }) => {
            let config = build::config(settings)?;
            build::warn_of_format(&config);
            let jobs = jobs.map(|jobs| Connections::Exactly(jobs.into()));
            let connections = jobs.unwrap_or_else(build::connections);
            let progress = progress::Bar::new(json);
            let unproven = match (again, skip) {
                (true, _) => Unproven::Again,
                (_, true) => Unproven::Skip,
                _ => Unproven::Refuse,
            };
            let (summary, failures) =
                Box::pin(commands::import(&config, &files, connections, unproven, &progress))
                    .await?;
            progress.close();
            let nothing = !failures.is_empty() && summary.bytes == 0;
            match json {
                true => print::json(&summary)?,
                false if nothing => {}
                false => print::imported(&config, &summary)?,
            }
            for failure in &failures {
                print::failure(failure, 1);
            }
            return Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Some(Command::Check { file }) => {
            let (parsing, by_path) = (build::parsing(settings)?, build::formats_by_path(settings)?);
            let report = commands::check(&parsing, &by_path, &file)?;
            print::checked(&report)?;
            let is_good = report.rejects.is_empty();
            return Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Some(Command::Status { all, clock, json }) => {
            let shown = if all { Shown::All } else { Shown::OpenAndLossy };
            let status = commands::status(&build::config(settings)?, shown).await?;
            match json {
                true => print::status_json(&status)?,
                false => print::status(&status, clock)?,
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
        Some(Command::Export(typed)) => return export::export(settings, &typed).await,
        Some(Command::Reparse { rows: true, files, dry_run, json }) => {
            let config = build::config(settings)?;
            build::warn_of_format(&config);
            let mut print_file = |file: &commands::RereadFile| match json {
                true => Ok(()),
                false => print::reread_file(file, dry_run),
            };
            let options = RowsOptions { files, dry_run };
            let summary = commands::reparse_rows(&config, &options, &mut print_file).await?;
            match json {
                true => print::json(&summary)?,
                false => print::reread(&summary, dry_run)?,
            }
            let is_complete = summary.is_complete();
            return Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Some(Command::Reparse { dry_run, json, .. }) => {
            let config = build::config(settings)?;
            build::warn_of_format(&config);
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
            print::swept(&outcome, &cleanup)?;
        }
        Some(Command::Migrate(typed)) => migrate::migrate(settings, &typed).await?,
        Some(Command::Copy(typed)) => return copy::copy(settings, &typed).await,
        Some(Command::RenameHost { old, new }) => {
            let renamed = commands::rename_host(&build::config(settings)?, &old, &new).await?;
            print::renamed_host(renamed, &old, &new)?;
        }
        Some(Command::Query(query)) => query::query(settings, &query).await?,
        Some(Command::Top(top)) => query::top(settings, &top).await?,
        Some(Command::Report(typed)) => report::report(settings, &typed).await?,
        Some(Command::HashPassword { name, token }) => {
            password::hash(if token { SecretKind::Token } else { SecretKind::Password }, &name)?;
        }
        Some(Command::Healthcheck { ready }) => {
            let probe = if ready { Probe::Readiness } else { Probe::Liveness };
            let (address, scheme) = build::listens_at(settings)?;
            commands::healthcheck(address, scheme, probe)?;
        }
        Some(Command::Doctor { json }) => return doctor::doctor(settings, json).await,
        Some(Command::Completions { shell }) => docs::completions(shell)?,
        Some(Command::Man { directory }) => docs::man(&directory)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn start_logging(settings: &Settings, command: Option<&Command>) -> anyhow::Result<()> {
    // Commands answer on standard output; only the daemon reports while it works.
    let reports = matches!(command, None | Some(Command::Watch { .. } | Command::Serve));
    let default = if reports { Level::INFO } else { Level::WARN };
    let level = settings.optional(&LOG_LEVEL, log_level)?.unwrap_or(default);
    let log = tracing_subscriber::fmt().with_max_level(level);
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    // The table allows two words.
    match settings.texts(&LOG_FORMAT).iter().any(|word| word == "json") {
        true => {
            let log = log.json().flatten_event(true);
            log.with_writer(|| output::stderr(Form::Json)).init();
        }
        false => {
            let log = log.fmt_fields(PrintableFields).with_writer(std::io::stderr);
            log.with_target(false).with_ansi(terminal).init();
        }
    }
    Ok(())
}
