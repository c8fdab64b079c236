//! The table of settings: each stands here once, with its flag, environment variable, default, help
//! and parser.
//!
//! The flags, the variables, the keys of the configuration file (the flags without `--`), the
//! defaults and the help are all made from [`SETTINGS`]. A new setting is a new entry, and a
//! [`Settings::get`](super::sources::Settings::get) where the configuration uses it.

use std::borrow::Cow;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, value_parser};
use tracing::level_filters::LevelFilter;

use crate::format::Layout;
use crate::retain::{Retention, SweepTime};
use crate::store::Location;

use super::usage;

/// Declares each setting as a static, and the list of all of them.
macro_rules! settings {
    ($($name:ident: $type:ty {
        flag: $flag:literal, variable: $variable:literal, value: $value:literal,
        scope: $scope:expr, shape: $shape:expr, default: $default:expr, parse: $parse:expr,
        help: $help:literal,
    })*) => {
        $(pub(super) static $name: Setting<$type> = Setting {
            declaration: Declaration {
                flag: $flag,
                variable: $variable,
                value: $value,
                scope: $scope,
                shape: $shape,
                default: $default,
                help: $help,
            },
            parse: $parse,
        };)*

        /// All settings, in the order of the help.
        pub(super) static SETTINGS: &[&Declaration] = &[$(&$name.declaration),*];
    };
}

settings! {
    WATCH: Vec<PathBuf> {
        flag: "watch", variable: "LOG_INGESTD_WATCH", value: "PATH",
        scope: Scope::Watch, shape: Shape::Paths, default: Fallback::Nothing, parse: paths,
        help: "Directories, files, FIFOs or patterns to follow; - is standard input; may be given \
               several times",
    }
    INCLUDE: Vec<String> {
        flag: "include", variable: "LOG_INGESTD_INCLUDE", value: "GLOB",
        scope: Scope::Watch, shape: Shape::Texts, default: Fallback::Nothing, parse: texts,
        help: "Follow only names that match this pattern, for example 'access*'; may be repeated",
    }
    EXCLUDE: Vec<String> {
        flag: "exclude", variable: "LOG_INGESTD_EXCLUDE", value: "GLOB",
        scope: Scope::Watch, shape: Shape::Texts, default: Fallback::Nothing, parse: texts,
        help: "Never follow names that match this pattern; may be repeated",
    }
    POLL_INTERVAL: Duration {
        flag: "poll-interval", variable: "LOG_INGESTD_POLL_INTERVAL", value: "DURATION",
        scope: Scope::Watch, shape: Shape::Text, default: Fallback::Value("2s"), parse: duration,
        help: "Time between two looks at all files, for file systems that send no events",
    }
    SWEEP_AT: SweepTime {
        flag: "sweep-at", variable: "LOG_INGESTD_SWEEP_AT", value: "HH:MM",
        scope: Scope::Watch, shape: Shape::Text, default: Fallback::Value("03:30"), parse: sweep_time,
        help: "Local time of the daily sweep",
    }
    SPOOL_DIR: Option<PathBuf> {
        flag: "spool-dir", variable: "LOG_INGESTD_SPOOL_DIR", value: "DIR",
        scope: Scope::Watch, shape: Shape::Path,
        default: Fallback::Described("spool beside the default SQLite file"), parse: spool_directory,
        help: "Where what comes from standard input and FIFOs is kept until it is stored",
    }
    SPOOL_LIMIT: u64 {
        flag: "spool-limit", variable: "LOG_INGESTD_SPOOL_LIMIT", value: "SIZE",
        scope: Scope::Watch, shape: Shape::Text, default: Fallback::Value("1GiB"), parse: spool_limit,
        help: "How much may be kept there while the database is away; then the writers wait",
    }
    LISTEN: Option<SocketAddr> {
        flag: "listen", variable: "LOG_INGESTD_LISTEN", value: "ADDRESS",
        scope: Scope::Watch, shape: Shape::Text, default: Fallback::Value("127.0.0.1:8686"),
        parse: address,
        help: "Where the page and the metrics are; 'off' for nowhere",
    }
    AUTH_FILE: Option<PathBuf> {
        flag: "auth-file", variable: "LOG_INGESTD_AUTH_FILE", value: "FILE",
        scope: Scope::Watch, shape: Shape::Path, default: Fallback::Nothing, parse: path,
        help: "Who may see the page: lines of the command hash-password. Needed for any address that \
               other machines reach",
    }
    DATABASE_URL: Option<Location> {
        flag: "database-url", variable: "DATABASE_URL", value: "URL",
        scope: Scope::Common, shape: Shape::Secret,
        default: Fallback::Described("an SQLite file in the user's state directory"), parse: location,
        help: "The database: postgres://user@host:5432/name or sqlite:/path",
    }
    CONNECT_TIMEOUT: Duration {
        flag: "connect-timeout", variable: "LOG_INGESTD_CONNECT_TIMEOUT", value: "DURATION",
        scope: Scope::Common, shape: Shape::Text, default: Fallback::Value("10s"), parse: duration,
        help: "How long to try to reach the database at the start",
    }
    FORMAT: Option<Layout> {
        flag: "format", variable: "LOG_INGESTD_FORMAT", value: "FORMAT",
        scope: Scope::Common, shape: Shape::Text,
        default: Fallback::Described("told from each file's lines"), parse: layout,
        help: "A preset's name or a Gunicorn access_log_format",
    }
    RETENTION: Retention {
        flag: "retention", variable: "LOG_INGESTD_RETENTION", value: "DURATION",
        scope: Scope::Common, shape: Shape::Text, default: Fallback::Value("120d"),
        parse: |values| values.text().parse().map_err(refused),
        help: "How long rows stay, for example 120d or 36h; 'off' keeps them",
    }
    ROLLUP_RETENTION: Option<Retention> {
        flag: "rollup-retention", variable: "LOG_INGESTD_ROLLUP_RETENTION", value: "DURATION",
        scope: Scope::Common, shape: Shape::Text,
        default: Fallback::Described("400d, or as long as the rows"),
        parse: |values| values.given().map(|text| text.parse().map_err(refused)).transpose(),
        help: "How long counts by minute and hour stay, which charts read; 'off' keeps them",
    }
    SENSITIVE_FIELDS: Vec<String> {
        flag: "sensitive-fields", variable: "LOG_INGESTD_SENSITIVE_FIELDS", value: "NAMES",
        scope: Scope::Common, shape: Shape::Names,
        default: Fallback::Value("password,token,access_key,secret"), parse: texts,
        help: "Query parameters, and keys of JSON, whose values are stored as ********; '' hides none",
    }
    EXCLUDE_PATH: Vec<String> {
        flag: "exclude-path", variable: "LOG_INGESTD_EXCLUDE_PATH", value: "PREFIX",
        scope: Scope::Common, shape: Shape::Texts, default: Fallback::Nothing, parse: texts,
        help: "Leave out requests whose path begins so, for example /health/; may be repeated",
    }
    EXCLUDE_EXTENSION: Vec<String> {
        flag: "exclude-extension", variable: "LOG_INGESTD_EXCLUDE_EXTENSION", value: "EXTENSION",
        scope: Scope::Common, shape: Shape::Texts, default: Fallback::Nothing, parse: texts,
        help: "Leave out requests whose path ends so, for example .css; may be repeated",
    }
    HOST: Option<String> {
        flag: "host", variable: "LOG_INGESTD_HOST", value: "NAME",
        scope: Scope::Common, shape: Shape::Text, default: Fallback::Described("this host's name"),
        parse: host,
        help: "The host whose logs these are",
    }
    CONFIG: Option<PathBuf> {
        flag: "config", variable: "LOG_INGESTD_CONFIG", value: "FILE",
        scope: Scope::Common, shape: Shape::Path, default: Fallback::Nothing, parse: path,
        help: "A TOML file with any of these settings",
    }
    LOG_FORMAT: LogFormat {
        flag: "log-format", variable: "LOG_INGESTD_LOG_FORMAT", value: "LOG_FORMAT",
        scope: Scope::Common, shape: Shape::Word(&["human", "json"]),
        default: Fallback::Value("human"), parse: log_format,
        help: "How the daemon's own log is written",
    }
    LOG_LEVEL: Option<LevelFilter> {
        flag: "log-level", variable: "LOG_INGESTD_LOG_LEVEL", value: "LEVEL",
        scope: Scope::Common, shape: Shape::Text,
        default: Fallback::Described("info; import and cleanup: warn"), parse: log_level,
        help: "error, warn, info, debug or trace",
    }
}

/// A setting whose value is a `T`.
pub(super) struct Setting<T> {
    pub(super) declaration: Declaration,
    /// Makes the value. Gets no text if the setting is not given and has no [`Fallback::Value`].
    pub(super) parse: fn(&Values) -> anyhow::Result<T>,
}

/// What flags, environment, configuration file and help need to know of a setting.
pub(super) struct Declaration {
    /// The long flag without `--`, which is also the key in the configuration file.
    pub(super) flag: &'static str,
    /// The environment variable.
    pub(super) variable: &'static str,
    /// The value's name in the help.
    value: &'static str,
    scope: Scope,
    pub(super) shape: Shape,
    pub(super) default: Fallback,
    help: &'static str,
}

/// Where a flag may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Without a command: the daemon alone uses the setting.
    Watch,
    /// Before or after any command.
    Common,
}

/// How a setting's value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One text.
    Text,
    /// One text that may hold a password: the help does not show the variable's value.
    Secret,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One path.
    Path,
    /// A flag that may be repeated; commas separate texts. A sequence in the file.
    Texts,
    /// One text of names with commas between them. A sequence in the file.
    Names,
    /// A flag that may be repeated, and takes several paths. In the environment colons separate
    /// them, because paths may hold commas. A sequence in the file.
    Paths,
}

impl Shape {
    /// Returns whether the configuration file has a sequence for it.
    pub(super) fn is_sequence(self) -> bool {
        matches!(self, Shape::Texts | Shape::Names | Shape::Paths)
    }
}

/// What holds when a setting is not given.
pub(super) enum Fallback {
    /// This value, as a user would write it.
    Value(&'static str),
    /// What the configuration makes of it; described for the help.
    Described(&'static str),
    /// An empty list, or no value.
    Nothing,
}

impl Declaration {
    /// Returns the setting as clap knows it.
    pub(super) fn arg(&self) -> Arg {
        let mut help = self.help.to_owned();
        if let Fallback::Value(text) | Fallback::Described(text) = self.default {
            help += &format!(" [default: {text}]");
        }
        if self.shape == Shape::Paths {
            help += &format!(" [env: {}, several separated by colons]", self.variable);
        }
        let arg = Arg::new(self.flag).long(self.flag).value_name(self.value).help(help);
        let arg = match self.scope {
            Scope::Watch => arg,
            Scope::Common => arg.global(true).help_heading("Common options"),
        };
        match self.shape {
            Shape::Text | Shape::Names => arg.env(self.variable),
            Shape::Secret => arg.env(self.variable).hide_env_values(true),
            Shape::Word(words) => {
                arg.env(self.variable).value_parser(PossibleValuesParser::new(words))
            }
            Shape::Path => arg.env(self.variable).value_parser(value_parser!(PathBuf)),
            Shape::Texts => arg.env(self.variable).action(ArgAction::Append).value_delimiter(','),
            // Not `env`: clap would split the flag's paths at colons too.
            Shape::Paths => {
                arg.action(ArgAction::Append).num_args(1..).value_parser(value_parser!(PathBuf))
            }
        }
    }

    /// Returns the values that a flag or a variable is written with.
    pub(super) fn values(&self, written: Vec<OsString>) -> Values {
        if self.shape != Shape::Names {
            return Values(written);
        }
        let names = written.iter().flat_map(|text| {
            let names: Vec<_> =
                text.to_string_lossy().split(',').map(|it| it.trim().into()).collect();
            names
        });
        Values(names.filter(|name: &OsString| !name.is_empty()).collect())
    }

    /// Returns the default as values: none unless it is a [`Fallback::Value`].
    pub(super) fn default_values(&self) -> Values {
        match self.default {
            Fallback::Value(text) => self.values(vec![text.into()]),
            Fallback::Described(_) | Fallback::Nothing => Values(Vec::new()),
        }
    }
}

/// A setting's value before it is parsed: several texts or paths, one, or none.
#[derive(Clone)]
pub(super) struct Values(pub(super) Vec<OsString>);

impl Values {
    /// Returns the first text. Texts are UTF-8: clap and TOML refuse others.
    fn given(&self) -> Option<Cow<'_, str>> {
        self.0.first().map(|text| text.to_string_lossy())
    }

    /// Returns the first text, or an empty one.
    fn text(&self) -> Cow<'_, str> {
        self.given().unwrap_or_default()
    }
}

/// How the program's own log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogFormat {
    Human,
    Json,
}

/// Makes a usage error of the message of a type that parses itself.
fn refused(error: impl std::fmt::Display) -> anyhow::Error {
    usage(error.to_string())
}

fn texts(values: &Values) -> anyhow::Result<Vec<String>> {
    Ok(values.0.iter().map(|text| text.to_string_lossy().into_owned()).collect())
}

fn paths(values: &Values) -> anyhow::Result<Vec<PathBuf>> {
    Ok(values.0.iter().map(PathBuf::from).collect())
}

fn path(values: &Values) -> anyhow::Result<Option<PathBuf>> {
    Ok(values.0.first().map(PathBuf::from))
}

fn duration(values: &Values) -> anyhow::Result<Duration> {
    parse_duration(&values.text())
}

/// Parses a duration such as `500ms`.
pub(super) fn parse_duration(text: &str) -> anyhow::Result<Duration> {
    humantime::parse_duration(text).map_err(|error| {
        usage(format!(
            "invalid duration '{text}': expected for example 500ms, 10s or 36h ({error})"
        ))
    })
}

fn sweep_time(values: &Values) -> anyhow::Result<SweepTime> {
    values.text().parse().map_err(refused)
}

fn spool_directory(values: &Values) -> anyhow::Result<Option<PathBuf>> {
    match path(values)? {
        Some(path) if path.as_os_str().is_empty() => {
            Err(usage("the value is empty: expected a directory of the daemon's own"))
        }
        path => Ok(path),
    }
}

/// The smallest spool: more than a pipe holds.
const LEAST_SPOOL: (&str, u64) = ("256KiB", 256 << 10);

fn spool_limit(values: &Values) -> anyhow::Result<u64> {
    let text = values.text();
    match parse_size(&text)? {
        bytes if bytes < LEAST_SPOOL.1 => Err(usage(format!(
            "the size '{text}' is too small: expected {} or more",
            LEAST_SPOOL.0
        ))),
        bytes => Ok(bytes),
    }
}

/// Units of sizes, in lower case, and their bytes.
const UNITS: [(&str, u64); 12] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
];

/// Parses a size in bytes: a whole number and a unit.
fn parse_size(text: &str) -> anyhow::Result<u64> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let unit = trimmed[end..].trim().to_lowercase();
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let number = trimmed[..end].parse::<u64>().ok();
    let bytes = number.zip(unit).and_then(|(number, (_, unit))| number.checked_mul(*unit));
    bytes.ok_or_else(|| {
        usage(format!(
            "invalid size '{text}': expected a whole number with a unit, for example 64MiB or 2GiB"
        ))
    })
}

/// Parses the page's address; `None` is no page.
fn address(values: &Values) -> anyhow::Result<Option<SocketAddr>> {
    let text = values.text();
    if text.trim() == "off" {
        return Ok(None);
    }
    let numeric = match text.trim().strip_prefix("localhost:") {
        Some(port) => Cow::from(format!("127.0.0.1:{port}")),
        None => Cow::from(text.trim()),
    };
    numeric.parse().map(Some).map_err(|_| {
        usage(format!(
            "invalid address '{text}': expected an address and a port such as 127.0.0.1:8686 or \
             [::1]:8686, or off"
        ))
    })
}

/// Parses the database URL. An empty one is the default, as services leave it in their settings.
fn location(values: &Values) -> anyhow::Result<Option<Location>> {
    let url = values.given().filter(|url| !url.trim().is_empty());
    url.map(|url| Location::parse(&url).map_err(refused)).transpose()
}

fn layout(values: &Values) -> anyhow::Result<Option<Layout>> {
    values.given().map(|format| Layout::named_or_format(&format).map_err(refused)).transpose()
}

fn host(values: &Values) -> anyhow::Result<Option<String>> {
    match values.given() {
        Some(name) if name.trim().is_empty() => {
            Err(usage("the name is empty: expected the name of the host whose logs these are"))
        }
        name => Ok(name.map(Cow::into_owned)),
    }
}

fn log_format(values: &Values) -> anyhow::Result<LogFormat> {
    Ok(if values.text() == "json" { LogFormat::Json } else { LogFormat::Human })
}

fn log_level(values: &Values) -> anyhow::Result<Option<LevelFilter>> {
    let Some(text) = values.given() else { return Ok(None) };
    Ok(Some(match text.to_lowercase().as_str() {
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => {
            return Err(usage(format!(
                "invalid level '{text}': expected error, warn, info, debug or trace"
            )));
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Values {
        Values(vec![text.into()])
    }

    #[test]
    fn every_default_can_be_parsed() {
        assert_eq!((POLL_INTERVAL.parse)(&one("2s")).unwrap(), Duration::from_secs(2));
        let retention = (RETENTION.parse)(&RETENTION.declaration.default_values()).unwrap();
        assert_eq!(retention, Retention::DEFAULT);
        let limit = (SPOOL_LIMIT.parse)(&SPOOL_LIMIT.declaration.default_values()).unwrap();
        assert_eq!(limit, 1 << 30);
        assert!((SWEEP_AT.parse)(&SWEEP_AT.declaration.default_values()).is_ok());
        assert!((CONNECT_TIMEOUT.parse)(&CONNECT_TIMEOUT.declaration.default_values()).is_ok());
        let fields = SENSITIVE_FIELDS.declaration.default_values();
        let fields = (SENSITIVE_FIELDS.parse)(&fields).unwrap();
        assert_eq!(fields, ["password", "token", "access_key", "secret"]);
        let page = (LISTEN.parse)(&LISTEN.declaration.default_values()).unwrap().unwrap();
        assert!(page.ip().is_loopback());
    }

    #[test]
    fn names_are_separated_by_commas_and_trimmed() {
        let names = |text: &str| SENSITIVE_FIELDS.declaration.values(vec![text.into()]);
        assert_eq!(texts(&names(" a, b,,c ")).unwrap(), ["a", "b", "c"]);
        assert!(texts(&names("")).unwrap().is_empty());
    }

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        for (text, bytes) in [
            ("1024", 1 << 10),
            ("64 KiB", 64 << 10),
            ("1GiB", 1 << 30),
            (" 2g ", 2 << 30),
            ("10MB", 10_000_000),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "GiB", "-1", "1.5GiB", "1 parsec", "99999999999TiB", "0x10"] {
            let error = parse_size(text).unwrap_err().to_string();
            assert!(error.contains(&format!("invalid size '{text}'")), "{error}");
            assert!(error.contains("64MiB"), "{error}");
        }
        let error = spool_limit(&one("1000")).unwrap_err().to_string();
        assert!(error.contains("expected 256KiB or more"), "{error}");
    }

    #[test]
    fn an_address_is_numeric_or_localhost_or_off() {
        for text in ["127.0.0.1:0", "[::1]:8686", "localhost:8686", "0.0.0.0:8686"] {
            assert!(address(&one(text)).unwrap().is_some(), "{text}");
        }
        assert_eq!(address(&one(" off ")).unwrap(), None);
        for text in ["", "8686", ":8686", "127.0.0.1", "example.org:80", "127.0.0.1:99999"] {
            let error = address(&one(text)).unwrap_err().to_string();
            assert!(error.contains(&format!("invalid address '{text}'")), "{error}");
        }
    }
}
