//! From what was typed to a configuration that works: flags and environment, then the file, then
//! the defaults. What cannot be used is quoted, with what would be right.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::Utc;

use crate::config::{Config, StandardInput, Watch};
use crate::format::Parsing;
use crate::format::{Exclusions, Layout, Mask};
use crate::retain::{self, Retention, SweepOptions};
use crate::source::{WatchError, Watchlist};
use crate::store::Location;

use super::file::File;
use super::flags::{Cleanup, Flags, LogFormat, LogType};
use super::page::{self, page};
use super::streams::{spool, without_standard_input};

/// Hidden unless said otherwise, as the Django package names them.
const SENSITIVE_FIELDS: [&str; 4] = ["password", "token", "access_key", "secret"];

/// When few people look.
const SWEEP_AT: &str = "03:30";

/// A setting that cannot be used: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(String);

pub(super) fn usage(message: impl Into<String>) -> anyhow::Error {
    UsageError(message.into()).into()
}

/// How the program's own log is written.
pub(super) struct Settings {
    pub(super) log_format: LogFormat,
    pub(super) log_level: String,
}

pub(super) fn settings(flags: &Flags) -> anyhow::Result<Settings> {
    let file = read(flags)?;
    // Commands answer on standard output; only the daemon tells what it does as it goes.
    let quiet = if flags.command.is_some() { "warn" } else { "info" };
    let level = flags.common.log_level.clone().or(file.log_level);
    let log_level = level.unwrap_or_else(|| quiet.to_owned()).to_lowercase();
    if !["error", "warn", "info", "debug", "trace"].contains(&log_level.as_str()) {
        return Err(usage(format!(
            "'{log_level}' is no log level; use error, warn, info, debug or trace"
        )));
    }
    let log_format = flags.common.log_format.or(file.log_format).unwrap_or_default();
    Ok(Settings { log_format, log_level })
}

pub(super) fn config(flags: &Flags) -> anyhow::Result<Config> {
    let file = read(flags)?;
    let common = &flags.common;
    let retention = common.retention.clone().or(file.retention.clone());
    let retention = match retention {
        Some(text) => text.parse().map_err(|error| usage(format!("--retention: {error}")))?,
        None => Retention::DEFAULT,
    };
    let rollup = common.rollup_retention.clone().or(file.rollup_retention.clone());
    Ok(Config {
        location: location(common.database_url.clone().or(file.database_url.clone()))?,
        connect_timeout: duration(
            "--connect-timeout",
            common.connect_timeout.as_deref().or(file.connect_timeout.as_deref()),
            Duration::from_secs(10),
        )?,
        host: match common.host.clone().or(file.host.clone()) {
            Some(host) if host.trim().is_empty() => {
                return Err(usage(
                    "--host is empty; give the name of the host whose logs these are",
                ));
            }
            Some(host) => host,
            None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        },
        parsing: parsing_with(flags, &file)?,
        retention,
        rollup_retention: rollup_retention(rollup, retention)?,
    })
}

/// Charts must not end before the rows do.
fn rollup_retention(given: Option<String>, rows: Retention) -> anyhow::Result<Retention> {
    let Some(text) = given else { return Ok(Retention::ROLLUP.max(rows)) };
    let counts = text.parse().map_err(|error| usage(format!("--rollup-retention: {error}")))?;
    if rows > counts {
        return Err(usage(format!(
            "--rollup-retention {counts} is shorter than --retention {rows}: counts must stay as \
             long as the rows that they count"
        )));
    }
    Ok(counts)
}

/// How lines are read.
pub(super) fn parsing(flags: &Flags) -> anyhow::Result<Parsing> {
    parsing_with(flags, &read(flags)?)
}

fn parsing_with(flags: &Flags, file: &File) -> anyhow::Result<Parsing> {
    let common = &flags.common;
    let layout = match common.format.as_ref().or(file.format.as_ref()) {
        Some(format) => {
            Some(Layout::named_or_format(format).map_err(|error| usage(error.to_string()))?)
        }
        None => None,
    };
    let fields = match &common.sensitive_fields {
        Some(names) => names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        None => file
            .sensitive_fields
            .clone()
            .unwrap_or_else(|| SENSITIVE_FIELDS.map(str::to_owned).to_vec()),
    };
    let paths = common.exclude_path.clone().or(file.exclude_path.clone()).unwrap_or_default();
    let extensions =
        common.exclude_extension.clone().or(file.exclude_extension.clone()).unwrap_or_default();
    Ok(Parsing {
        layout,
        mask: Mask::new(&fields),
        exclusions: Exclusions::new(&paths, &extensions),
    })
}

pub(super) fn watch(flags: &Flags) -> anyhow::Result<Watch> {
    let file = read(flags)?;
    let config = config(flags)?;
    let paths = match std::env::var_os("LOG_INGESTD_WATCH") {
        _ if !flags.watch.is_empty() => flags.watch.clone(),
        Some(paths) if !paths.is_empty() => std::env::split_paths(&paths).collect(),
        _ => file.watch,
    };
    if paths.is_empty() {
        return Err(usage(
            "nothing to do: give --watch PATH to follow logs, or a command (import, check, \
             status, query, top, verify, reparse, cleanup, migrate); --help tells more",
        ));
    }
    let include = flags.include.clone().or(file.include).unwrap_or_default();
    let exclude = flags.exclude.clone().or(file.exclude).unwrap_or_default();
    let (files, standard_input) = without_standard_input(&paths);
    let mut paths = files.clone();
    paths.extend(standard_input.then(|| PathBuf::from("-")));
    let spool = spool(
        flags.spool_dir.clone().or(file.spool_dir),
        flags.spool_limit.as_deref().or(file.spool_limit.as_deref()),
        standard_input,
    )?;
    let list = Watchlist::new(&files, &include, &exclude).map_err(|error| match error {
        // What was typed can never work; a directory that is not there may come.
        WatchError::Pattern { .. } => usage(error.to_string()),
        error => error.into(),
    })?;
    let poll_interval = duration(
        "--poll-interval",
        flags.poll_interval.as_deref().or(file.poll_interval.as_deref()),
        Duration::from_secs(2),
    )?;
    let sweep_at = flags.sweep_at.as_deref().or(file.sweep_at.as_deref()).unwrap_or(SWEEP_AT);
    let sweep_at = sweep_at.parse().map_err(|error| usage(format!("--sweep-at: {error}")))?;
    warn_of_format(&config.parsing);
    let listen = flags.listen.as_deref().or(file.listen.as_deref());
    let auth_file = flags.auth_file.as_deref().or(file.auth_file.as_deref());
    let page = page(listen, auth_file)?;
    let standard_input = match (standard_input, files.is_empty()) {
        (false, _) => StandardInput::Unread,
        (true, false) => StandardInput::Beside,
        (true, true) => StandardInput::Alone,
    };
    Ok(Watch { config, list, standard_input, spool, paths, poll_interval, sweep_at, page })
}

/// Where a daemon with the same settings has its page.
pub(super) fn listens_at(flags: &Flags) -> anyhow::Result<SocketAddr> {
    let file = read(flags)?;
    let listen = flags.listen.as_deref().or(file.listen.as_deref());
    page::listens_at(listen)?.ok_or_else(|| {
        usage("--listen is off: nobody answers; give the address at which the daemon has its page")
    })
}

/// Says which atoms of a given format cannot be told apart for certain.
pub(super) fn warn_of_format(parsing: &Parsing) {
    for warning in parsing.layout.iter().flat_map(Layout::warnings) {
        tracing::warn!("--format: {warning}");
    }
}

/// What `cleanup` is to do.
pub(super) fn sweep(cleanup: &Cleanup, config: &Config) -> anyhow::Result<SweepOptions> {
    let age = if let Some(days) = cleanup.days {
        Retention::For(Duration::from_secs(u64::from(days) * 86_400))
    } else if let Some(text) = &cleanup.older_than {
        Retention::For(duration("--older-than", Some(text), Duration::ZERO)?)
    } else {
        config.retention
    };
    let cutoff = age.cutoff(Utc::now().timestamp_micros()).ok_or_else(|| {
        usage("the retention is off: say what to remove with --days or --older-than")
    })?;
    Ok(SweepOptions {
        cutoff,
        rollup_cutoff: config.rollup_retention.cutoff(Utc::now().timestamp_micros()),
        log_type: match cleanup.log_type {
            LogType::All => retain::LogType::All,
            LogType::Request => retain::LogType::Request,
            LogType::Gunicorn => retain::LogType::Gunicorn,
        },
        batch_size: cleanup.batch_size,
        dry_run: cleanup.dry_run,
        host: config.host.clone(),
        next_at: None,
    })
}

fn read(flags: &Flags) -> anyhow::Result<File> {
    File::read(flags.common.config.as_deref()).map_err(|error| usage(format!("{error:#}")))
}

fn duration(flag: &str, text: Option<&str>, default: Duration) -> anyhow::Result<Duration> {
    let Some(text) = text else { return Ok(default) };
    humantime::parse_duration(text).map_err(|error| {
        usage(format!(
            "{flag} '{text}' is no duration ({error}); use for example 500ms, 10s or 36h"
        ))
    })
}

fn location(url: Option<String>) -> anyhow::Result<Location> {
    match url {
        Some(url) if !url.trim().is_empty() => {
            Location::parse(&url).map_err(|error| usage(error.to_string()))
        }
        _ => {
            let state = state_directory("database", "--database-url")?;
            Ok(Location::Sqlite(state.join("log-ingestd.sqlite3")))
        }
    }
}

/// Where a service keeps its state: what systemd gives, else the XDG base directory
/// (<https://specifications.freedesktop.org/basedir-spec/latest/>).
pub(super) fn state_directory(whose: &str, flag: &str) -> anyhow::Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(directories) = variable("STATE_DIRECTORY") {
        // systemd separates several with colons.
        if let Some(first) = std::env::split_paths(&directories).next() {
            return Ok(first);
        }
    }
    if let Some(state) = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute()) {
        return Ok(state.join("log-ingestd"));
    }
    let home = variable("HOME").map(PathBuf::from);
    let home = home.ok_or_else(|| {
        usage(format!(
            "no place for the {whose}: neither {flag}, STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set"
        ))
    })?;
    Ok(home.join(".local/state/log-ingestd"))
}

/// Connections of an import: past a few, the database is what takes the time.
pub(super) fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().min(4))
}
