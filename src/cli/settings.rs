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

settings! {
    WATCH = Setting::of_daemon("watch", "LOG_INGESTD_WATCH", "PATH")
        .shape(Shape::Paths)
        .help("Directories, files, FIFOs or patterns to follow; - is standard input; may be given \
               several times [env: LOG_INGESTD_WATCH, several separated by colons]");
    INCLUDE = Setting::of_daemon("include", "LOG_INGESTD_INCLUDE", "GLOB")
        .shape(Shape::Texts)
        .help("Follow only names that match this pattern, for example 'access*'; may be repeated");
    EXCLUDE = Setting::of_daemon("exclude", "LOG_INGESTD_EXCLUDE", "GLOB")
        .shape(Shape::Texts)
        .help("Never follow names that match this pattern; may be repeated");
    POLL_INTERVAL = Setting::of_daemon("poll-interval", "LOG_INGESTD_POLL_INTERVAL", "DURATION")
        .help("Time between two looks at all files, for file systems that send no events")
        .default("2s");
    SWEEP_AT = Setting::of_daemon("sweep-at", "LOG_INGESTD_SWEEP_AT", "HH:MM")
        .help("Local time of the daily sweep")
        .default("03:30");
    SPOOL_DIR = Setting::of_daemon("spool-dir", "LOG_INGESTD_SPOOL_DIR", "DIR")
        .shape(Shape::Path)
        .help("Where what comes from standard input and FIFOs is kept until it is stored \
               [default: spool beside the default SQLite file]");
    SPOOL_LIMIT = Setting::of_daemon("spool-limit", "LOG_INGESTD_SPOOL_LIMIT", "SIZE")
        .help("How much may be kept there while the database is unavailable; then the writers wait")
        .default("1GiB");
    LISTEN = Setting::of_daemon("listen", "LOG_INGESTD_LISTEN", "ADDRESS")
        .help("Where the page and the metrics are; 'off' for nowhere")
        .default("127.0.0.1:8686");
    AUTH_FILE = Setting::of_daemon("auth-file", "LOG_INGESTD_AUTH_FILE", "FILE")
        .shape(Shape::Path)
        .help("Who may see the page: lines of the command hash-password. Needed for any address \
               that other machines reach");
    DATABASE_URL = Setting::common("database-url", "DATABASE_URL", "URL")
        .shape(Shape::Secret)
        .help("The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite \
               file in the user's state directory]");
    CONNECT_TIMEOUT = Setting::common("connect-timeout", "LOG_INGESTD_CONNECT_TIMEOUT", "DURATION")
        .help("How long to try to reach the database at the start")
        .default("10s");
    FORMAT = Setting::common("format", "LOG_INGESTD_FORMAT", "FORMAT")
        .help("A preset's name or a Gunicorn access_log_format [default: told from each file's \
               lines]");
    RETENTION = Setting::common("retention", "LOG_INGESTD_RETENTION", "DURATION")
        .help("How long rows stay, for example 120d or 36h; 'off' keeps them")
        .default("120d");
    ROLLUP_RETENTION = Setting::common("rollup-retention", "LOG_INGESTD_ROLLUP_RETENTION", "DURATION")
        .help("How long counts by minute and hour stay, which charts read; 'off' keeps them \
               [default: 400d, or as long as the rows]");
    SENSITIVE_FIELDS = Setting::common("sensitive-fields", "LOG_INGESTD_SENSITIVE_FIELDS", "NAMES")
        .shape(Shape::Names)
        .help("Query parameters, and keys of JSON, whose values are stored as ********; '' hides none")
        .default("password,token,access_key,secret");
    EXCLUDE_PATH = Setting::common("exclude-path", "LOG_INGESTD_EXCLUDE_PATH", "PREFIX")
        .shape(Shape::Texts)
        .help("Leave out requests whose path begins so, for example /health/; may be repeated");
    EXCLUDE_EXTENSION =
        Setting::common("exclude-extension", "LOG_INGESTD_EXCLUDE_EXTENSION", "EXTENSION")
        .shape(Shape::Texts)
        .help("Leave out requests whose path ends so, for example .css; may be repeated");
    HOST = Setting::common("host", "LOG_INGESTD_HOST", "NAME")
        .help("The host whose logs these are [default: this host's name]");
    CONFIG = Setting::common("config", "LOG_INGESTD_CONFIG", "FILE")
        .shape(Shape::Path)
        .help("A TOML file with any of these settings");
    LOG_FORMAT = Setting::common("log-format", "LOG_INGESTD_LOG_FORMAT", "LOG_FORMAT")
        .shape(Shape::Word(&["human", "json"]))
        .help("How the daemon's own log is written")
        .default("human");
    LOG_LEVEL = Setting::common("log-level", "LOG_INGESTD_LOG_LEVEL", "LEVEL")
        .help("error, warn, info, debug or trace [default: info; import and cleanup: warn]");
}

/// What flags, environment, configuration file and help need to know of a setting.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    /// The long flag without `--`, which is also the key in the configuration file.
    pub(super) flag: &'static str,
    /// The environment variable.
    pub(super) variable: &'static str,
    /// The value's name in the help.
    value: &'static str,
    /// Whether the flag may stand before or after any command. Of others only the daemon makes use.
    is_common: bool,
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
        let (shape, default, help) = (Shape::Text, None, "");
        Self { flag, variable, value, is_common: true, shape, default, help }
    }

    const fn of_daemon(flag: &'static str, variable: &'static str, value: &'static str) -> Self {
        Self { is_common: false, ..Self::common(flag, variable, value) }
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

    /// Returns the setting as clap knows it.
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

/// Parses a duration such as `500ms`.
pub(super) fn duration(text: &str) -> anyhow::Result<Duration> {
    humantime::parse_duration(text).map_err(|error| {
        usage(format!(
            "invalid duration '{text}': expected for example 500ms, 10s or 36h ({error})"
        ))
    })
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
        assert_eq!(duration(&default_of(&POLL_INTERVAL)).unwrap(), Duration::from_secs(2));
        assert_eq!(default_of(&RETENTION).parse::<Retention>().unwrap(), Retention::DEFAULT);
        assert_eq!(spool_limit(&default_of(&SPOOL_LIMIT)).unwrap(), 1 << 30);
        assert!(default_of(&SWEEP_AT).parse::<crate::retain::SweepTime>().is_ok());
        assert!(duration(&default_of(&CONNECT_TIMEOUT)).is_ok());
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
