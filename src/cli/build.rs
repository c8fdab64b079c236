//! Builds the configuration that the daemon and the commands work with. It can only be built valid:
//! a setting that cannot be used is a usage error, which quotes it and says what is expected.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::commands::{Connections, Doctor, Scheme};
use crate::config::{Config, NotifyConfig, PageConfig, Reload, SpoolConfig, StandardInput, Watch};
use crate::format::{Exclusions, Layout, Mask, Parsing};
use crate::model::now;
use crate::retain::{self, Retention, SweepOptions};
use crate::source::{ByWatchedPath, Symlinks, WatchError, Watchlist};
use crate::store::Location;
use crate::web::{Credentials, Tls, Webhook};

use super::command_line::{Cleanup, LogType};
use super::settings::{
    AUTH_FILE, CONNECT_TIMEOUT, DATABASE_URL, EXCLUDE, EXCLUDE_EXTENSION, EXCLUDE_PATH,
    EXCLUDE_SERVER_LOG, FOLLOW_SYMLINKS, FORMAT, HOST, INCLUDE, KEEP_RAW_REJECTS, LISTEN, MASKING,
    MASKING_EXACT, NOTIFY_COMMAND, NOTIFY_ERRORS, NOTIFY_LAG, NOTIFY_URL, POLL_INTERVAL, RETENTION,
    ROLLUP_RETENTION, SENSITIVE_FIELDS, SPOOL_DIR, SPOOL_LIMIT, SWEEP_AT, TLS_CERT, TLS_HSTS,
    TLS_KEY, WATCH, address, duration, duration_or_off, poll_interval, share_or_off, spool_limit,
};
use super::sources::{Settings, Watched};
use super::{UsageError, usage};

/// The state directory of the installed service, and of a service that has no other place for its spool.
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
        formats_by_path: formats_by_path(settings)?,
        retention,
        rollup_retention: rollup_retention(settings, retention)?,
    })
}

/// Returns the database. An empty URL is the default, as services leave it in their settings.
fn location(settings: &Settings) -> anyhow::Result<Location> {
    if settings.texts(&DATABASE_URL).iter().any(|url| !url.trim().is_empty()) {
        return Ok(match settings.get(&DATABASE_URL, Location::parse)? {
            // Messages name a file wherever they are read.
            Location::Sqlite(path) => Location::Sqlite(std::path::absolute(path)?),
            server => server,
        });
    }
    let state = state_directory(settings, "database", "--database-url")?;
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
    let exclusions =
        Exclusions::new(&settings.texts(&EXCLUDE_PATH), &settings.texts(&EXCLUDE_EXTENSION));
    let json = Arc::new(settings.json_mapping());
    let layout = settings.optional(&FORMAT, Layout::named_or_format)?;
    let mask = match settings.texts(&MASKING).iter().any(|rule| rule == MASKING_EXACT) {
        true => Mask::exact(&settings.texts(&SENSITIVE_FIELDS)),
        false => Mask::by_meaning(&settings.texts(&SENSITIVE_FIELDS)),
    };
    Ok(Parsing {
        layout: layout.map(|layout| layout.with_mapping(&json)),
        json,
        mask: match settings.is_on(&KEEP_RAW_REJECTS) {
            true => mask.keeping_raw_rejects(),
            false => mask,
        },
        exclusions: match settings.is_on(&EXCLUDE_SERVER_LOG) {
            true => exclusions.and_server_log(),
            false => exclusions,
        },
    })
}

/// Returns the formats of single watched paths.
pub(super) fn formats_by_path(
    settings: &Settings,
) -> anyhow::Result<ByWatchedPath<Option<Layout>>> {
    let json = Arc::new(settings.json_mapping());
    let mut formats = ByWatchedPath::default();
    for Watched { path, format } in settings.watched() {
        let layout = format.as_deref().map(Layout::named_or_format).transpose();
        let layout = layout.map_err(|error| {
            usage(format!("the format of the watched path '{}': {error}", path.display()))
        })?;
        let layout = layout.map(|layout| layout.with_mapping(&json));
        // Standard input has two names.
        let path = if is_standard_input(path) { Path::new("-") } else { path.as_path() };
        formats.add(path, layout).map_err(|error| usage(error.to_string()))?;
    }
    Ok(formats)
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new("/dev/stdin")
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
            "nothing to do: give --watch PATH to follow logs, or a command (watch, serve, import, check, \
             status, query, top, verify, reparse, cleanup, migrate, doctor); --help tells more",
        ));
    }
    let (input, files): (Vec<PathBuf>, Vec<PathBuf>) =
        given.into_iter().partition(|path| is_standard_input(path));
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
    let symlinks = match settings.is_on(&FOLLOW_SYMLINKS) {
        true => Symlinks::All,
        false => Symlinks::Trusted,
    };
    let list = list.following(symlinks);
    let paths = files.into_iter().map(std::path::absolute);
    let mut paths = paths.collect::<std::io::Result<Vec<_>>>()?;
    paths.extend(standard_input.is_read().then(|| PathBuf::from("-")));
    let poll_interval = settings.get(&POLL_INTERVAL, poll_interval)?;
    let sweep_at = settings.get(&SWEEP_AT, str::parse)?;
    warn_of_format(&config);
    let page = page(settings)?;
    let notify = notify(settings)?;
    let commands_find_store = settings.are_those_of_commands();
    Ok(Watch {
        config,
        commands_find_store,
        list,
        standard_input,
        spool,
        paths,
        poll_interval,
        sweep_at,
        page,
        notify,
    })
}

/// Returns where notices go; `None` without a target. An empty setting counts as none: services leave it so.
fn notify(settings: &Settings) -> anyhow::Result<Option<NotifyConfig>> {
    let lag = settings.get(&NOTIFY_LAG, duration_or_off)?;
    let server_errors = settings.get(&NOTIFY_ERRORS, share_or_off)?;
    let given = |setting| settings.texts(setting).into_iter().find(|it| !it.trim().is_empty());
    let webhook = match given(&NOTIFY_URL) {
        // The message has no part of the URL, which may be a secret.
        Some(url) => Some(Arc::new(
            Webhook::parse(url.trim()).map_err(|error| usage(format!("--notify-url: {error}")))?,
        )),
        None => None,
    };
    let command = given(&NOTIFY_COMMAND);
    if webhook.is_none() && command.is_none() {
        return Ok(None);
    }
    Ok(Some(NotifyConfig { webhook, command, lag, server_errors }))
}

fn spool(settings: &Settings, input: StandardInput) -> anyhow::Result<SpoolConfig> {
    let directory = match settings.path(&SPOOL_DIR) {
        Some(directory) if directory.as_os_str().is_empty() => {
            return Err(usage(
                "--spool-dir: the value is empty: expected a directory of the daemon's own",
            ));
        }
        Some(directory) => directory,
        None => match state_directory(settings, "spool", "--spool-dir") {
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
    let (explicit, tls) = (settings.is_given(&LISTEN), tls(settings)?);
    Ok(Some(PageConfig { address, explicit, credentials, tls }))
}

/// Returns the page's certificate and key; `None` for a page without TLS.
fn tls(settings: &Settings) -> anyhow::Result<Option<Arc<Tls>>> {
    let hsts = settings.optional(&TLS_HSTS, duration)?;
    let (certificate, key) = match (settings.path(&TLS_CERT), settings.path(&TLS_KEY)) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) if hsts.is_none() => return Ok(None),
        (None, None) => {
            return Err(usage(
                "--tls-hsts: the page has no TLS: give its certificate with --tls-cert, and the key with \
                 --tls-key",
            ));
        }
        (Some(_), None) => {
            return Err(usage("--tls-cert is given, and --tls-key is not: give both, or neither"));
        }
        (None, Some(_)) => {
            return Err(usage("--tls-key is given, and --tls-cert is not: give both, or neither"));
        }
    };
    let tls = Tls::read(&certificate, &key, hsts).map_err(|error| {
        match error.is_about_dates() {
            // A supervisor may start the daemon again: the clock may be right then.
            true => anyhow::anyhow!("--tls-cert: {error}"),
            false => usage(format!("--tls-cert and --tls-key: {error}")),
        }
    })?;
    if tls.key_readable_by_all {
        tracing::warn!(
            "--tls-key: every user of this machine can read '{}'; chmod o-r mends that",
            key.display()
        );
    }
    Ok(Some(Arc::new(tls)))
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

/// Returns the page of `serve`, which has nothing to do without one.
pub(super) fn served_page(settings: &Settings) -> anyhow::Result<PageConfig> {
    let page = page(settings)?.ok_or_else(|| {
        usage(
            "--listen is off, so that there is nothing to serve: expected an address for the page",
        )
    })?;
    Ok(PageConfig { explicit: true, ..page })
}

/// Returns what `doctor` examines.
pub(super) fn doctor(settings: &Settings) -> anyhow::Result<Doctor> {
    let config = config(settings)?;
    let watch = match settings.is_given(&WATCH).then(|| watch(settings)) {
        Some(Err(error)) if error.is::<UsageError>() => return Err(error),
        watch => watch,
    };
    Ok(Doctor { config, watch })
}

/// Returns where a daemon with the same settings has its page, and whether it has TLS.
pub(super) fn listens_at(settings: &Settings) -> anyhow::Result<(SocketAddr, Scheme)> {
    let address = settings.get(&LISTEN, address)?.ok_or_else(|| {
        usage(
            "--listen is off, so that no daemon answers: expected the address at which the daemon \
             has its page",
        )
    })?;
    let scheme = if settings.is_given(&TLS_CERT) { Scheme::Https } else { Scheme::Http };
    Ok((address, scheme))
}

/// Warns of the atoms of a given format that cannot be told apart for certain. Those of a single path are
/// told with its files.
pub(super) fn warn_of_format(config: &Config) {
    for warning in config.parsing.layout.iter().flat_map(Layout::warnings) {
        tracing::warn!("--format: {warning}");
    }
}

/// Returns what `cleanup` is to do.
pub(super) fn sweep(cleanup: &Cleanup, config: &Config) -> anyhow::Result<SweepOptions> {
    let now = now();
    let cutoff = if let Some(days) = cleanup.days {
        Retention::For(Duration::from_secs(u64::from(days) * 86_400)).cutoff(now)
    } else if let Some(text) = &cleanup.older_than {
        Some(cleanup.clock.read_flag("--older-than", text)?)
    } else {
        config.retention.cutoff(now)
    };
    let cutoff = cutoff.ok_or_else(|| {
        usage("the retention is off: say what to remove with --days or --older-than")
    })?;
    if cutoff >= now && !cleanup.dry_run && !cleanup.yes {
        return Err(usage(
            "this removes every row: --yes does it, and --dry-run counts them; expected an age such as \
             --days 30 else",
        ));
    }
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

/// Returns where a service keeps its state: what systemd gives, else the installed service's directory if its
/// settings are in use, else the XDG base directory
/// (<https://specifications.freedesktop.org/basedir-spec/latest/>).
fn state_directory(settings: &Settings, purpose: &str, flag: &str) -> anyhow::Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(directories) = variable("STATE_DIRECTORY") {
        // systemd separates several with colons.
        if let Some(first) = std::env::split_paths(&directories).next() {
            return Ok(first);
        }
    }
    if settings.file_of_service().is_some() {
        return Ok(PathBuf::from(SYSTEM_STATE));
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
pub(super) fn connections() -> Connections {
    let processors = std::thread::available_parallelism();
    Connections::ByDistance(processors.map_or(1, |processors| processors.get().min(4)))
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
