//! The table of settings: each stands here once, with its flag, environment variable, default and
//! help.
//!
//! The flags, the variables, the keys of the configuration file (the flags without `--`), the
//! defaults and the help are all made from [`SETTINGS`]. A new setting is a new entry, and a
//! [`Settings::get`](super::sources::Settings::get) with its parser where the configuration uses it.

use std::ffi::OsString;
use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, value_parser};
use tracing::Level;

use super::usage;

/// Declares each setting as a static, and the list of all of them.
macro_rules! settings {
    ($($name:ident = $setting:expr;)*) => {
        $(pub(super) static $name: Setting = $setting;)*

        /// All settings, in the order of the help.
        pub(super) static SETTINGS: &[&Setting] = &[$(&$name),*];
    };
}

/// Commands that reach a database, those of [`OF_STORE`] after the first one.
const OF_DATABASES: &[&str] = &[
    "copy", // which has two
    "watch",
    "serve",
    "import",
    "status",
    "query",
    "top",
    "report",
    "verify",
    "export",
    "reparse",
    "forget",
    "cleanup",
    "migrate",
    "rename-host",
    "doctor",
];
/// Commands that read or write rows of one database.
const OF_STORE: &[&str] = match OF_DATABASES {
    [_, one @ ..] => one,
    [] => &[],
};
/// Commands that read lines.
const OF_LINES: &[&str] = &["watch", "import", "check", "verify", "reparse"];
/// The same, and those that only detect formats.
const OF_FORMATS: &[&str] = &["watch", "import", "check", "verify", "reparse", "status", "doctor"];
/// Commands that know the files of a host.
const OF_FILES: &[&str] = &[
    "watch",
    "import",
    "status",
    "verify",
    "export",
    "reparse",
    "forget",
    "cleanup",
    "rename-host",
    "doctor",
];
/// Commands that find the files to follow.
const OF_PATHS: &[&str] = &["watch", "doctor"];
/// Commands with a page.
const OF_PAGE: &[&str] = &["watch", "serve"];

settings! {
    WATCH = Setting::of_daemon("watch", "LOG_INGESTD_WATCH", "PATH")
        .used_by(&["doctor"])
        .shape(Shape::Paths)
        .help("Directories, files, FIFOs or patterns to follow; - is standard input; may be given \
               several times, each with a --format after it if there are several formats [env: \
               LOG_INGESTD_WATCH, several separated by colons]");
    INCLUDE = Setting::of_daemon("include", "LOG_INGESTD_INCLUDE", "GLOB")
        .used_by(OF_PATHS)
        .shape(Shape::Texts)
        .help("Follow only names that match this pattern, for example 'access*'; may be repeated");
    EXCLUDE = Setting::of_daemon("exclude", "LOG_INGESTD_EXCLUDE", "GLOB")
        .used_by(OF_PATHS)
        .shape(Shape::Texts)
        .help("Never follow names that match this pattern; may be repeated");
    FOLLOW_SYMLINKS =
        Setting::of_daemon("follow-symlinks", "LOG_INGESTD_FOLLOW_SYMLINKS", "true|false")
            .used_by(OF_PATHS)
            .shape(Shape::Switch)
            .help("Follow every symbolic link in a watched directory or below a pattern; without it only \
                   those of root, of this user and of the owner of what they lead to, and those to what \
                   is watched itself");
    POLL_INTERVAL = Setting::of_daemon("poll-interval", "LOG_INGESTD_POLL_INTERVAL", "DURATION")
        .help("Time between two looks at all files, for file systems that send no events")
        .default("2s");
    SWEEP_AT = Setting::of_daemon("sweep-at", "LOG_INGESTD_SWEEP_AT", "HH:MM")
        .help("Local time of the daily sweep")
        .default("03:30");
    SPOOL_DIR = Setting::of_daemon("spool-dir", "LOG_INGESTD_SPOOL_DIR", "DIR")
        .used_by(OF_PATHS)
        .shape(Shape::Path)
        .help("Where what comes from standard input and FIFOs is kept until it is stored \
               [default: spool beside the default SQLite file]");
    SPOOL_LIMIT = Setting::of_daemon("spool-limit", "LOG_INGESTD_SPOOL_LIMIT", "SIZE")
        .used_by(OF_PATHS)
        .help("How much may be kept there while the database is unavailable; then the writers wait")
        .default("1GiB");
    LISTEN = Setting::of_daemon("listen", "LOG_INGESTD_LISTEN", "ADDRESS")
        .used_by(&["watch", "serve", "healthcheck"])
        .help("Where the page and the metrics are; 'off' for nowhere")
        .default("127.0.0.1:8686");
    AUTH_FILE = Setting::of_daemon("auth-file", "LOG_INGESTD_AUTH_FILE", "FILE")
        .used_by(OF_PAGE)
        .shape(Shape::Path)
        .help("Who may see the page: lines of the command hash-password. Needed for any address \
               that other machines reach");
    TLS_CERT = Setting::of_daemon("tls-cert", "LOG_INGESTD_TLS_CERT", "FILE")
        .used_by(&["watch", "serve", "healthcheck"])
        .shape(Shape::Path)
        .help("The page's certificate with those of its authorities after it (PEM): the page has TLS. \
               healthcheck only needs to know that there is one");
    TLS_KEY = Setting::of_daemon("tls-key", "LOG_INGESTD_TLS_KEY", "FILE")
        .used_by(OF_PAGE)
        .shape(Shape::Path)
        .help("The key of that certificate (PEM, without a passphrase)");
    TLS_HSTS = Setting::of_daemon("tls-hsts", "LOG_INGESTD_TLS_HSTS", "DURATION")
        .used_by(OF_PAGE)
        .help("Tell browsers to use TLS alone for the page's host name, on every port, for so long: for \
               example 365d");
    NOTIFY_URL = Setting::of_daemon("notify-url", "LOG_INGESTD_NOTIFY_URL", "URL")
        .shape(Shape::Secret)
        .help("Post a notice there, as JSON, if the database is unavailable, lines wait for long, are rejected \
               or lost, or many requests get 5xx; and when that is over");
    NOTIFY_COMMAND = Setting::of_daemon("notify-command", "LOG_INGESTD_NOTIFY_COMMAND", "COMMAND")
        .shape(Shape::Secret)
        .help("The same for a command of /bin/sh, which gets a notice on standard input, for example 'mail -s \
               log-ingestd ops@example.org'");
    NOTIFY_LAG = Setting::of_daemon("notify-lag", "LOG_INGESTD_NOTIFY_LAG", "DURATION")
        .help("How long lines may wait before that is a notice; 'off' for never")
        .default("5m");
    NOTIFY_ERRORS = Setting::of_daemon("notify-errors", "LOG_INGESTD_NOTIFY_ERRORS", "PERCENT")
        .help("Which share of this host's requests of 5 minutes may get 5xx before that is a notice; 'off' for \
               any")
        .default("5%");
    DATABASE_URL = Setting::common("database-url", "DATABASE_URL", "URL")
        .used_by(OF_STORE)
        .shape(Shape::Secret)
        .help("The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite \
               file in the user's state directory]");
    CONNECT_TIMEOUT = Setting::common("connect-timeout", "LOG_INGESTD_CONNECT_TIMEOUT", "DURATION")
        .used_by(OF_DATABASES)
        .help("How long to try to reach the database at the start")
        .default("10s");
    FORMAT = Setting::common("format", "LOG_INGESTD_FORMAT", "FORMAT")
        .used_by(OF_FORMATS)
        .shape(Shape::Format)
        .help("A preset's name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all \
               files; of several, each is for the --watch before it [default: told from each file's \
               lines]");
    RETENTION = Setting::common("retention", "LOG_INGESTD_RETENTION", "DURATION")
        .used_by(&["watch", "serve", "import", "cleanup", "doctor"])
        .help("How long rows stay, for example 120d or 36h; 'off' keeps them")
        .default("120d");
    ROLLUP_RETENTION = Setting::common("rollup-retention", "LOG_INGESTD_ROLLUP_RETENTION", "DURATION")
        .used_by(&["watch", "serve", "cleanup"])
        .help("How long counts by minute and hour stay, which charts read; 'off' keeps them \
               [default: 400d, or as long as the rows]");
    SENSITIVE_FIELDS = Setting::common("sensitive-fields", "LOG_INGESTD_SENSITIVE_FIELDS", "NAMES")
        .used_by(OF_LINES)
        .shape(Shape::Names)
        .help("Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose \
               names mean a secret; '' hides none")
        .default("password,token,access_key,secret");
    MASKING = Setting::common("masking", "LOG_INGESTD_MASKING", "RULE")
        .used_by(OF_LINES)
        .shape(Shape::Word(&[MASKING_BY_MEANING, MASKING_EXACT]))
        .help("Whether names that mean a secret and values that look like one are hidden, or exactly the names in \
               --sensitive-fields")
        .default(MASKING_BY_MEANING);
    KEEP_RAW_REJECTS =
        Setting::common("keep-raw-rejects", "LOG_INGESTD_KEEP_RAW_REJECTS", "true|false")
        .used_by(OF_LINES)
        .shape(Shape::Switch)
        .help("Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as \
               rows are");
    EXCLUDE_PATH = Setting::common("exclude-path", "LOG_INGESTD_EXCLUDE_PATH", "PREFIX")
        .used_by(OF_LINES)
        .shape(Shape::Texts)
        .help("Leave out requests whose path begins so, for example /health/; may be repeated");
    EXCLUDE_EXTENSION =
        Setting::common("exclude-extension", "LOG_INGESTD_EXCLUDE_EXTENSION", "EXTENSION")
        .used_by(OF_LINES)
        .shape(Shape::Texts)
        .help("Leave out requests whose path ends so, for example .css; may be repeated");
    EXCLUDE_SERVER_LOG =
        Setting::common("exclude-server-log", "LOG_INGESTD_EXCLUDE_SERVER_LOG", "true|false")
        .used_by(OF_LINES)
        .shape(Shape::Switch)
        .help("Leave out lines of the server itself, as of Gunicorn's error log, that stand among \
               access lines; without it they are kept as rejected lines");
    HOST = Setting::common("host", "LOG_INGESTD_HOST", "NAME")
        .used_by(OF_FILES)
        .help("The host whose logs these are [default: this host's name]");
    CONFIG = Setting::common("config", "LOG_INGESTD_CONFIG", "FILE")
        .shape(Shape::Path)
        .help("A TOML file with any of these settings; /dev/null is none [default: \
               /etc/log-ingestd/config.toml, the installed service's, if it is there]");
    LOG_FORMAT = Setting::common("log-format", "LOG_INGESTD_LOG_FORMAT", "LOG_FORMAT")
        .shape(Shape::Word(&["human", "json"]))
        .help("How the program's own log is written, on standard error")
        .default("human");
    LOG_LEVEL = Setting::common("log-level", "LOG_INGESTD_LOG_LEVEL", "LEVEL")
        .help("error, warn, info, debug or trace [default: info to follow or serve, else warn]");
}

/// Commands that ask neither files nor a database.
const WITHOUT_SETTINGS: &[&str] = &["hash-password", "completions", "man"];

/// What flags, environment, configuration file and help need to know of a setting.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    /// The long flag without `--`, which is also the key in the configuration file.
    pub(super) flag: &'static str,
    /// The environment variable.
    pub(super) variable: &'static str,
    /// The value's name in the help.
    value: &'static str,
    /// Whether the flag may stand before or after any command, also one that makes no use of it.
    is_common: bool,
    /// The commands that make use of it, and whose help shows it; `None` for all.
    used_by: Option<&'static [&'static str]>,
    pub(super) shape: Shape,
    /// The value if none is given, as a user would write it. The help describes other defaults.
    default: Option<&'static str>,
    help: &'static str,
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
    /// One text, or several flags, each after the paths that it is about.
    Format,
    /// `true` or `false`; a flag without a value is `true`. A boolean in the file.
    Switch,
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

impl Setting {
    const fn common(flag: &'static str, variable: &'static str, value: &'static str) -> Self {
        let (shape, default, help, used_by) = (Shape::Text, None, "", None);
        Self { flag, variable, value, is_common: true, used_by, shape, default, help }
    }

    const fn of_daemon(flag: &'static str, variable: &'static str, value: &'static str) -> Self {
        Self { is_common: false, used_by: Some(&["watch"]), ..Self::common(flag, variable, value) }
    }

    const fn used_by(self, commands: &'static [&'static str]) -> Self {
        Self { used_by: Some(commands), ..self }
    }

    const fn shape(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    const fn default(self, text: &'static str) -> Self {
        Self { default: Some(text), ..self }
    }

    const fn help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }

    /// Returns whether a command makes use of it.
    pub(super) fn is_used_by(&self, command: &str) -> bool {
        !WITHOUT_SETTINGS.contains(&command)
            && self.used_by.is_none_or(|commands| commands.contains(&command))
    }

    /// Returns the setting as clap knows it after a command; `None` if it may not stand there.
    pub(super) fn arg_of(&self, command: &str) -> Option<Arg> {
        match (self.is_used_by(command), self.is_common) {
            (true, _) => Some(self.arg()),
            (false, true) => Some(self.arg().hide(true)),
            (false, false) => None,
        }
    }

    /// Returns the setting as clap knows it before a command.
    pub(super) fn arg(&self) -> Arg {
        let default = self.default.map(|text| format!(" [default: {text}]"));
        let help = format!("{}{}", self.help, default.unwrap_or_default());
        let arg = Arg::new(self.flag).long(self.flag).value_name(self.value).help(help);
        let arg = match self.is_common {
            true => arg.global(true).help_heading("Common options"),
            false => arg,
        };
        let list = |arg: Arg| arg.action(ArgAction::Append);
        match self.shape {
            Shape::Text | Shape::Names => arg.env(self.variable),
            Shape::Secret => arg.env(self.variable).hide_env_values(true),
            Shape::Word(words) => {
                arg.env(self.variable).value_parser(PossibleValuesParser::new(words))
            }
            Shape::Format => list(arg).env(self.variable),
            Shape::Switch => arg
                .env(self.variable)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value(ON)
                .value_parser(PossibleValuesParser::new([ON, OFF])),
            Shape::Path => arg.env(self.variable).value_parser(value_parser!(PathBuf)),
            Shape::Texts => list(arg).env(self.variable).value_delimiter(','),
            // Not `env`: clap would split the flag's paths at colons too.
            Shape::Paths => list(arg).num_args(1..).value_parser(value_parser!(PathBuf)),
        }
    }

    /// Returns the values that a flag or a variable is written with.
    pub(super) fn values(&self, written: Vec<OsString>) -> Vec<OsString> {
        if self.shape != Shape::Names {
            return written;
        }
        let texts = written.iter().map(|text| text.to_string_lossy());
        let names = texts.flat_map(|text| {
            text.split(',').map(|name| name.trim().into()).collect::<Vec<OsString>>()
        });
        names.filter(|name| !name.is_empty()).collect()
    }

    /// Returns the default's values: none unless the table has one.
    pub(super) fn default_values(&self) -> Vec<OsString> {
        self.default.map(|text| self.values(vec![text.into()])).unwrap_or_default()
    }
}

/// The two values of `--masking`.
const MASKING_BY_MEANING: &str = "meaning";
pub(super) const MASKING_EXACT: &str = "exact";

/// The two values of a [`Shape::Switch`].
pub(super) const ON: &str = "true";
pub(super) const OFF: &str = "false";

/// Parses a duration such as `500ms`.
pub(super) fn duration(text: &str) -> anyhow::Result<Duration> {
    humantime::parse_duration(text).map_err(|error| {
        usage(format!(
            "invalid duration '{text}': expected for example 500ms, 10s or 36h ({error})"
        ))
    })
}

/// Parses a duration, or `off`.
pub(super) fn duration_or_off(text: &str) -> anyhow::Result<Option<Duration>> {
    match text.trim() {
        "off" => Ok(None),
        text => duration(text).map(Some),
    }
}

/// Parses a share such as `5%`, or `off`; it is from 0 to 1.
pub(super) fn share_or_off(text: &str) -> anyhow::Result<Option<f64>> {
    let text = text.trim();
    if text == "off" {
        return Ok(None);
    }
    let number = text.strip_suffix('%').and_then(|number| number.trim_end().parse::<f64>().ok());
    match number.filter(|number| (0.0..=100.0).contains(number)) {
        Some(number) => Ok(Some(number / 100.0)),
        None => {
            Err(usage(format!("invalid share '{text}': expected for example 5% or 0.5%, or off")))
        }
    }
}

/// The shortest time between two looks: shorter ones only take the processor's time.
const LEAST_POLL: Duration = Duration::from_millis(10);

/// Parses the time between two looks.
pub(super) fn poll_interval(text: &str) -> anyhow::Result<Duration> {
    match duration(text)? {
        least if least < LEAST_POLL => Err(usage(format!(
            "the duration '{text}' is too short: expected {} or more, for example 2s",
            humantime::format_duration(LEAST_POLL)
        ))),
        interval => Ok(interval),
    }
}

/// The smallest spool: more than a pipe holds.
const LEAST_SPOOL: (&str, u64) = ("256KiB", 256 << 10);

/// Parses the spool's limit in bytes.
pub(super) fn spool_limit(text: &str) -> anyhow::Result<u64> {
    let (least, bytes) = LEAST_SPOOL;
    match size(text)? {
        size if size < bytes => {
            Err(usage(format!("the size '{text}' is too small: expected {least} or more")))
        }
        size => Ok(size),
    }
}

/// Parses a size in bytes: a whole number and a unit.
fn size(text: &str) -> anyhow::Result<u64> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let unit = match unit.trim().to_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kib" => Some(1 << 10),
        "m" | "mib" => Some(1 << 20),
        "g" | "gib" => Some(1 << 30),
        "t" | "tib" => Some(1 << 40),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        _ => None,
    };
    let number = number.parse::<u64>().ok();
    number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit)).ok_or_else(|| {
        usage(format!(
            "invalid size '{text}': expected a whole number with a unit, for example 64MiB or 2GiB"
        ))
    })
}

/// Parses the page's address; `None` for no page.
pub(super) fn address(text: &str) -> anyhow::Result<Option<SocketAddr>> {
    let address = match text.trim() {
        "off" => return Ok(None),
        address => address.replacen("localhost:", "127.0.0.1:", 1),
    };
    address.parse().map(Some).map_err(|_: AddrParseError| {
        usage(format!(
            "invalid address '{text}': expected an address and a port such as 127.0.0.1:8686 or \
             [::1]:8686, or off"
        ))
    })
}

/// Parses a level by its name: the numbers that tracing knows too are not promised.
pub(super) fn log_level(text: &str) -> anyhow::Result<Level> {
    match text.parse() {
        Ok(level) if text.parse::<u64>().is_err() => Ok(level),
        _ => Err(usage(format!(
            "invalid level '{text}': expected error, warn, info, debug or trace"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retain::Retention;

    fn default_of(setting: &Setting) -> String {
        setting.default_values()[0].to_string_lossy().into_owned()
    }

    #[test]
    fn every_default_can_be_parsed() {
        assert_eq!(poll_interval(&default_of(&POLL_INTERVAL)).unwrap(), Duration::from_secs(2));
        assert_eq!(default_of(&RETENTION).parse::<Retention>().unwrap(), Retention::DEFAULT);
        assert_eq!(spool_limit(&default_of(&SPOOL_LIMIT)).unwrap(), 1 << 30);
        assert!(default_of(&SWEEP_AT).parse::<crate::retain::SweepTime>().is_ok());
        assert!(duration(&default_of(&CONNECT_TIMEOUT)).is_ok());
        assert_eq!(share_or_off(&default_of(&NOTIFY_ERRORS)).unwrap(), Some(0.05));
        assert_eq!(
            duration_or_off(&default_of(&NOTIFY_LAG)).unwrap(),
            Some(Duration::from_secs(300))
        );
        let fields = SENSITIVE_FIELDS.default_values();
        assert_eq!(fields, ["password", "token", "access_key", "secret"]);
        let page = address(&default_of(&LISTEN)).unwrap().unwrap();
        assert!(page.ip().is_loopback());
    }

    #[test]
    fn names_are_separated_by_commas_and_trimmed() {
        let names = |text: &str| SENSITIVE_FIELDS.values(vec![text.into()]);
        assert_eq!(names(" a, b,,c "), ["a", "b", "c"]);
        assert!(names("").is_empty());
    }

    #[test]
    fn a_share_is_a_percentage_or_off() {
        assert_eq!(share_or_off(" off ").unwrap(), None);
        assert_eq!(share_or_off("0.5 %").unwrap(), Some(0.005));
        for text in ["", "5", "%", "-1%", "101%", "NaN%", "five%"] {
            let error = share_or_off(text).unwrap_err().to_string();
            assert!(error.contains(&format!("invalid share '{text}'")), "{error}");
        }
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
            assert_eq!(size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "GiB", "-1", "1.5GiB", "1 parsec", "99999999999TiB", "0x10"] {
            let error = size(text).unwrap_err().to_string();
            assert!(error.contains(&format!("invalid size '{text}'")), "{error}");
            assert!(error.contains("64MiB"), "{error}");
        }
        let error = spool_limit("1000").unwrap_err().to_string();
        assert!(error.contains("expected 256KiB or more"), "{error}");
    }

    #[test]
    fn an_address_is_numeric_or_localhost_or_off() {
        for text in ["127.0.0.1:0", "[::1]:8686", "localhost:8686", "0.0.0.0:8686"] {
            assert!(address(text).unwrap().is_some(), "{text}");
        }
        assert_eq!(address(" off ").unwrap(), None);
        for text in ["", "8686", ":8686", "127.0.0.1", "example.org:80", "127.0.0.1:99999"] {
            let error = address(text).unwrap_err().to_string();
            assert!(error.contains(&format!("invalid address '{text}'")), "{error}");
        }
    }
}
