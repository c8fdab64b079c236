//! Builds the configuration that the daemon and the commands work with. It can only be built valid:
//! a setting that cannot be used is a usage error, which quotes it and says what is expected.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;

use crate::config::{Config, PageConfig, Reload, SpoolConfig, StandardInput, Watch};
use crate::format::{Exclusions, Layout, Mask, Parsing};
use crate::retain::{self, Retention, SweepOptions};
use crate::source::{WatchError, Watchlist};
use crate::store::Location;
use crate::web::Credentials;

use super::command_line::{Cleanup, LogType};
use super::settings::{
    AUTH_FILE, CONNECT_TIMEOUT, DATABASE_URL, EXCLUDE, EXCLUDE_EXTENSION, EXCLUDE_PATH, FORMAT,
    HOST, INCLUDE, LISTEN, POLL_INTERVAL, RETENTION, ROLLUP_RETENTION, SENSITIVE_FIELDS, SPOOL_DIR,
    SPOOL_LIMIT, SWEEP_AT, WATCH, address, duration, spool_limit,
};
use super::sources::Settings;
use super::usage;

/// The state directory of a service that has no other place for its spool.
const SYSTEM_STATE: &str = "/var/lib/log-ingestd";

pub(super) fn config(settings: &Settings) -> anyhow::Result<Config> {
    let retention = settings.get(&RETENTION, str::parse)?;
    Ok(Config {
        location: location(settings)?,
        connect_timeout: settings.get(&CONNECT_TIMEOUT, duration)?,
        host: settings
            .optional(&HOST, host)?
            .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned()),
        parsing: parsing(settings)?,
        retention,
        rollup_retention: rollup_retention(settings, retention)?,
    })
}

/// Returns the database. An empty URL is the default, as services leave it in their settings.
fn location(settings: &Settings) -> anyhow::Result<Location> {
    if settings.texts(&DATABASE_URL).iter().any(|url| !url.trim().is_empty()) {
        return settings.get(&DATABASE_URL, Location::parse);
    }
    let state = state_directory("database", "--database-url")?;
    Ok(Location::Sqlite(state.join("log-ingestd.sqlite3")))
}

fn host(name: &str) -> anyhow::Result<String> {
    match name.trim().is_empty() {
        true => Err(usage("the name is empty: expected the name of the host whose logs these are")),
        false => Ok(name.to_owned()),
    }
}

/// Returns how long counts stay: never shorter than rows, so that charts do not end before them.
fn rollup_retention(settings: &Settings, rows: Retention) -> anyhow::Result<Retention> {
    let given = settings.optional(&ROLLUP_RETENTION, str::parse)?;
    let counts = given.unwrap_or(Retention::ROLLUP.max(rows));
    if rows > counts {
        return Err(usage(format!(
            "--rollup-retention {counts} is shorter than --retention {rows}: counts must stay as \
             long as the rows that they count"
        )));
    }
    Ok(counts)
}

/// Returns how lines are read.
pub(super) fn parsing(settings: &Settings) -> anyhow::Result<Parsing> {
    Ok(Parsing {
        layout: settings.optional(&FORMAT, Layout::named_or_format)?,
        mask: Mask::new(&settings.texts(&SENSITIVE_FIELDS)),
        exclusions: Exclusions::new(
            &settings.texts(&EXCLUDE_PATH),
            &settings.texts(&EXCLUDE_EXTENSION),
        ),
    })
}

/// Returns what a reload makes of the settings, of which the configuration file is read once.
pub(super) fn reload(settings: &Settings) -> anyhow::Result<Reload> {
    let (settings, unread_pipe) = settings.read_again()?;
    Ok(Reload { watch: watch(&settings)?, unread_pipe })
}

pub(super) fn watch(settings: &Settings) -> anyhow::Result<Watch> {
    let config = config(settings)?;
    let given = settings.paths(&WATCH);
    if given.is_empty() {
        return Err(usage(
            "nothing to do: give --watch PATH to follow logs, or a command (import, check, \
             status, query, top, verify, reparse, cleanup, migrate); --help tells more",
        ));
    }
    let (input, files): (Vec<PathBuf>, Vec<PathBuf>) = given
        .into_iter()
        .partition(|path| *path == Path::new("-") || *path == Path::new("/dev/stdin"));
    let standard_input = match (input.is_empty(), files.is_empty()) {
        (true, _) => StandardInput::Unread,
        (false, false) => StandardInput::Beside,
        (false, true) => StandardInput::Alone,
    };
    let spool = spool(settings, standard_input)?;
    let (include, exclude) = (settings.texts(&INCLUDE), settings.texts(&EXCLUDE));
    let list = Watchlist::new(&files, &include, &exclude).map_err(|error| match error {
        // A pattern that is invalid stays so; a directory that is missing may be created.
        WatchError::Pattern { .. } => usage(error.to_string()),
        error => error.into(),
    })?;
    let mut paths = files;
    paths.extend(standard_input.is_read().then(|| PathBuf::from("-")));
    let poll_interval = settings.get(&POLL_INTERVAL, duration)?;
    let sweep_at = settings.get(&SWEEP_AT, str::parse)?;
    warn_of_format(&config.parsing);
    let page = page(settings)?;
    Ok(Watch { config, list, standard_input, spool, paths, poll_interval, sweep_at, page })
}

fn spool(settings: &Settings, input: StandardInput) -> anyhow::Result<SpoolConfig> {
    let directory = match settings.path(&SPOOL_DIR) {
        Some(directory) if directory.as_os_str().is_empty() => {
            return Err(usage(
                "--spool-dir: the value is empty: expected a directory of the daemon's own",
            ));
        }
        Some(directory) => directory,
        None => match state_directory("spool", "--spool-dir") {
            Ok(state) => state.join("spool"),
            Err(error) if input.is_read() => return Err(error),
            Err(_) => Path::new(SYSTEM_STATE).join("spool"),
        },
    };
    let limit = settings.get(&SPOOL_LIMIT, spool_limit)?;
    Ok(SpoolConfig { directory: std::path::absolute(directory)?, limit })
}

/// Returns what `--listen` and `--auth-file` say together; `None` for no page.
fn page(settings: &Settings) -> anyhow::Result<Option<PageConfig>> {
    let Some(address) = settings.get(&LISTEN, address)? else { return Ok(None) };
    let credentials = match settings.path(&AUTH_FILE) {
        Some(path) => Some(credentials(&path)?),
        None if address.ip().is_loopback() => None,
        None => {
            return Err(usage(format!(
                "--listen {address} can be reached from other machines: say who may see the page \
                 with --auth-file FILE (`log-ingestd hash-password NAME` makes its lines), or \
                 listen on 127.0.0.1"
            )));
        }
    };
    Ok(Some(PageConfig { address, explicit: settings.is_given(&LISTEN), credentials }))
}

fn credentials(path: &Path) -> anyhow::Result<Arc<Credentials>> {
    let credentials =
        Credentials::read(path).map_err(|error| usage(format!("--auth-file: {error}")))?;
    if credentials.readable_by_all {
        tracing::warn!(
            "--auth-file: every user of this machine can read '{}'; chmod o-r mends that",
            path.display()
        );
    }
    Ok(Arc::new(credentials))
}

/// Returns where a daemon with the same settings has its page.
pub(super) fn listens_at(settings: &Settings) -> anyhow::Result<SocketAddr> {
    settings.get(&LISTEN, address)?.ok_or_else(|| {
        usage(
            "--listen is off, so that no daemon answers: expected the address at which the daemon \
             has its page",
        )
    })
}

/// Warns of the atoms of a given format that cannot be told apart for certain.
pub(super) fn warn_of_format(parsing: &Parsing) {
    for warning in parsing.layout.iter().flat_map(Layout::warnings) {
        tracing::warn!("--format: {warning}");
    }
}

/// Returns what `cleanup` is to do.
pub(super) fn sweep(cleanup: &Cleanup, config: &Config) -> anyhow::Result<SweepOptions> {
    let age = if let Some(days) = cleanup.days {
        Retention::For(Duration::from_secs(u64::from(days) * 86_400))
    } else if let Some(text) = &cleanup.older_than {
        Retention::For(duration(text).context("--older-than")?)
    } else {
        config.retention
    };
    let now = Utc::now().timestamp_micros();
    let cutoff = age.cutoff(now).ok_or_else(|| {
        usage("the retention is off: say what to remove with --days or --older-than")
    })?;
    Ok(SweepOptions {
        cutoff,
        rollup_cutoff: config.rollup_retention.cutoff(now),
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

/// Returns where a service keeps its state: what systemd gives, else the XDG base directory
/// (<https://specifications.freedesktop.org/basedir-spec/latest/>).
fn state_directory(purpose: &str, flag: &str) -> anyhow::Result<PathBuf> {
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
            "no place for the {purpose}: neither {flag}, STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set"
        ))
    })?;
    Ok(home.join(".local/state/log-ingestd"))
}

/// Returns how many connections an import uses: with more than a few, the database limits the speed.
pub(super) fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().min(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(file: &str) -> anyhow::Result<Option<PageConfig>> {
        page(&Settings::of_file(file))
    }

    #[test]
    fn the_default_page_is_for_this_machine_only() {
        let page = page_of("").unwrap().unwrap();
        assert_eq!(page.address.to_string(), "127.0.0.1:8686");
        assert!(!page.explicit && page.credentials.is_none());
    }

    #[test]
    fn a_page_that_other_machines_reach_needs_an_auth_file() {
        for text in ["127.0.0.1:0", "[::1]:8686", "localhost:8686", " off "] {
            assert!(page_of(&format!("listen = {text:?}")).is_ok(), "{text}");
        }
        for text in ["0.0.0.0:8686", "[::]:8686", "192.0.2.1:80"] {
            let error = page_of(&format!("listen = {text:?}")).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("--auth-file"), "{error}");
        }
    }
}
