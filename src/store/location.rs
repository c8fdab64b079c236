//! The database URL: read once, and printed without its password.

use std::fmt;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use super::parameters::Parameters;
use super::tls::{Sources, Tls};

/// The expected form of a URL, for messages.
const EXPECTED: &str =
    "expected postgres://user:password@host:5432/database, or sqlite:/path/to/file.sqlite3";

/// A database. `Display` shows the host, port, database and user, or the file, never a password.
#[derive(Clone, Debug)]
pub enum Location {
    /// A PostgreSQL server, 14 or newer.
    Postgres(Box<Server>),
    /// An SQLite file. It is created with its directories if it does not exist.
    Sqlite(PathBuf),
}

/// How to connect to a server, and its TLS settings.
#[derive(Clone, Debug)]
pub struct Server {
    /// The URL as it was given, without its password.
    url: String,
    pub(super) options: PgConnectOptions,
    pub(super) tls: Tls,
}

/// An invalid database URL. The message quotes it without its password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot use the database URL '{shown}': {why}; {EXPECTED}")]
pub struct LocationError {
    shown: String,
    why: String,
}

impl Location {
    /// Reads `postgres://…`, `postgresql://…`, `sqlite:relative/path` or `sqlite:///absolute/path`.
    /// Parts that a PostgreSQL URL omits come from `PGHOST`, `PGPORT`, `PGUSER` and so on.
    ///
    /// # Errors
    /// [`LocationError`] for another scheme, an unreadable URL, or an unsupported TLS setting.
    pub fn parse(url: &str) -> Result<Location, LocationError> {
        let refuse = |why: &str| LocationError { shown: without_password(url), why: why.into() };
        let url = url.trim();
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme {
            "postgres" | "postgresql" => {
                // After one of these characters, the rest of a password looks like a port or path.
                let broken = |error: sqlx::Error| {
                    let why = match error {
                        sqlx::Error::Configuration(cause) => cause.to_string(),
                        error => error.to_string(),
                    };
                    refuse(&format!("{why} (write / ? # @ in a password as %2F %3F %23 %40)"))
                };
                if let Some(file) = fifo_of_passwords() {
                    return Err(refuse(&format!(
                        "the file of passwords '{}' is a FIFO, expected a regular file",
                        file.display()
                    )));
                }
                let (base, query) = url.split_once('?').unwrap_or((url, ""));
                // libpq accepts `user@/database?host=/run/postgresql`; the URL standard does not.
                let base = match base.rsplit_once("@/") {
                    Some((user, path)) if !path.contains('@') => format!("{user}@localhost/{path}"),
                    _ => base.to_owned(),
                };
                PgConnectOptions::from_str(&base).map_err(broken)?;
                let parameters = Parameters::read(query).map_err(|why| refuse(&why))?;
                let supported = format!("{base}?{}", parameters.for_driver());
                let options = PgConnectOptions::from_str(&supported).map_err(broken)?;
                let variable = |name: &str| std::env::var(name).ok();
                let sources = Sources { parameters: &parameters, variable: &variable };
                let (options, tls) =
                    Tls::from_sources(options, &sources).map_err(|why| refuse(&why))?;
                let url = stripped(url);
                Ok(Location::Postgres(Box::new(Server { url, options, tls })))
            }
            "sqlite" => {
                let path = &url["sqlite:".len()..];
                let path = path.strip_prefix("//").unwrap_or(path);
                match path {
                    "" => Err(refuse("it names no file")),
                    ":memory:" => Err(refuse("rows in memory would be lost with the process")),
                    _ if path.contains('?') => Err(refuse("an SQLite file takes no parameters")),
                    _ => Ok(Location::Sqlite(PathBuf::from(path))),
                }
            }
            "" => Err(refuse("it has no scheme")),
            other => Err(refuse(&format!("unsupported scheme '{other}'"))),
        }
    }

    /// Returns the name of the kind of database.
    pub fn kind(&self) -> &'static str {
        match self {
            Location::Postgres(_) => "postgres",
            Location::Sqlite(_) => "sqlite",
        }
    }

    /// Returns whether this is a server that is reached by an address other than this machine's loopback.
    pub fn is_elsewhere(&self) -> bool {
        let Location::Postgres(server) = self else { return false };
        let host = server.options.get_host().trim_matches(['[', ']']);
        let is_loopback = host.parse().is_ok_and(|it: std::net::IpAddr| it.is_loopback());
        let is_socket = server.options.get_socket().is_some() || host.starts_with('/');
        !(is_socket || is_loopback || host == "localhost")
    }

    /// Returns a shell command that shows the newest rows, with the name by which this program was called. It
    /// contains no password: that is found in the environment or in `~/.pgpass`.
    pub fn look_command(&self, program: &str) -> String {
        let url = match self {
            Location::Sqlite(path) => format!("sqlite:{}", path.display()),
            Location::Postgres(server) => server.url.clone(),
        };
        let is_plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-".contains(c);
        let word = |text: &str| match text.chars().all(is_plain) {
            true => text.to_owned(),
            false => format!("'{}'", text.replace('\'', r"'\''")),
        };
        format!("{} query --database-url {}", word(program), word(&url))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Sqlite(path) => write!(f, "SQLite file {}", path.display()),
            Location::Postgres(server) => {
                let options = &server.options;
                let user = options.get_username();
                let database = options.get_database().unwrap_or(user);
                write!(f, "PostgreSQL database '{database}' at ")?;
                match options.get_socket() {
                    Some(socket) => write!(f, "{}:{}", socket.display(), options.get_port())?,
                    None => write!(f, "{}:{}", options.get_host(), options.get_port())?,
                }
                write!(f, " as '{user}'")
            }
        }
    }
}

/// Returns the file of passwords if it is a FIFO: the driver reads it, and would wait there for a writer.
fn fifo_of_passwords() -> Option<PathBuf> {
    let given = std::env::var_os("PGPASSFILE").map(PathBuf::from);
    let default = std::env::home_dir().map(|home| home.join(".pgpass"));
    let is_fifo = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
    };
    given.into_iter().chain(default).find(is_fifo)
}

/// Returns a valid URL without its passwords: the user's, and those in parameters.
fn stripped(url: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let base = match base.rsplit_once('@') {
        Some((user, place)) => {
            let authority = user.find("://").map_or(0, |at| at + 3);
            let colon = user[authority..].find(':').map_or(user.len(), |at| authority + at);
            format!("{}@{place}", &user[..colon])
        }
        None => base.to_owned(),
    };
    let kept = query.split('&').filter(|pair| !pair.contains("password=") && !pair.is_empty());
    let query = kept.collect::<Vec<_>>().join("&");
    if query.is_empty() { base } else { format!("{base}?{query}") }
}

/// Returns the URL with `***` for everything that may be a password: from the user's colon to the
/// last `@`, and `password` parameters. Of a broken URL it hides too much rather than too little.
fn without_password(url: &str) -> String {
    let mut shown = url.to_owned();
    if url.trim_start().starts_with("sqlite:") {
        return shown; // a path may contain what looks like a password
    }
    let mut from = 0;
    while let Some(at) = shown[from..].find("password=") {
        let value = from + at + "password=".len();
        let end = shown[value..].find(['&', ' ']).map_or(shown.len(), |end| value + end);
        shown.replace_range(value..end, "***");
        from = value;
    }
    let authority = shown.find("://").map_or(0, |at| at + 3);
    if let Some(end) = shown.rfind('@')
        && let Some(colon) = shown.get(authority..end).and_then(|user| user.find(':'))
    {
        shown.replace_range(authority + colon + 1..end, "***");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        Location::parse(url).unwrap().to_string()
    }

    #[test]
    fn a_postgres_url_is_shown_without_its_password() {
        assert_eq!(
            shown("postgres://django:s3cret@db.example:5433/app"),
            "PostgreSQL database 'app' at db.example:5433 as 'django'"
        );
        assert_eq!(
            shown("postgresql://django:s3cret@/app?host=/var/run/postgresql&port=5433"),
            "PostgreSQL database 'app' at /var/run/postgresql:5433 as 'django'"
        );
    }

    #[test]
    fn a_server_that_only_the_network_reaches_is_elsewhere() {
        let is_elsewhere = |url| Location::parse(url).unwrap().is_elsewhere();
        for url in [
            "postgres://u@db.example/app",
            "postgres://u@192.0.2.1/app",
            "postgres://u@[2001:db8::1]/app",
        ] {
            assert!(is_elsewhere(url), "{url}");
        }
        for url in [
            "postgres://u@localhost/app",
            "postgres://u@127.0.0.1/app",
            "postgres://u@[::1]/app",
            "postgres://u@/app?host=/run/postgresql",
            "sqlite:log.sqlite3",
        ] {
            assert!(!is_elsewhere(url), "{url}");
        }
    }

    #[test]
    fn an_sqlite_path_may_be_absolute_or_relative() {
        assert_eq!(shown("sqlite:///var/lib/log.sqlite3"), "SQLite file /var/lib/log.sqlite3");
        assert_eq!(shown("sqlite:/var/lib/log.sqlite3"), "SQLite file /var/lib/log.sqlite3");
        assert_eq!(shown("sqlite:log.sqlite3"), "SQLite file log.sqlite3");
        assert_eq!(shown("sqlite://log.sqlite3"), "SQLite file log.sqlite3");
    }

    #[test]
    fn the_look_command_quotes_for_a_shell_and_holds_no_password() {
        let command = |url| Location::parse(url).unwrap().look_command("target/log-ingestd");
        for (url, given) in [
            ("sqlite:it's.sqlite3", r"'sqlite:it'\''s.sqlite3'"),
            ("sqlite:///var/lib/log.sqlite3", "sqlite:/var/lib/log.sqlite3"),
            (
                "postgres://django:s3cret@db.example:5433/app",
                "postgres://django@db.example:5433/app",
            ),
            (
                "postgres://django:s3cret@/app?host=/run/pg&password=s3cret&sslmode=require",
                "'postgres://django@/app?host=/run/pg&sslmode=require'",
            ),
            ("postgres://db.example/app?password=s3cret", "postgres://db.example/app"),
        ] {
            assert_eq!(command(url), format!("target/log-ingestd query --database-url {given}"));
        }
    }

    #[test]
    fn an_invalid_url_is_quoted_without_its_password_and_the_expected_form_is_named() {
        for url in [
            "mysql://root:s3cret@db/app",
            "postgres://django:s3cret#1@db:5432/app",
            "postgres://django:s3cret@db:port/app",
            "postgres://django:s3/cret@db:port/app?password=s3cret",
            "postgres://django:s3@/cret@db/app",
            "postgres://django@db/app?sslpassword=s3cret&password=s3cret",
            "postgres://django:s3cret@db/app?sslmode=verify_full",
            "django:s3cret@db/app",
            "host=db password=s3cret dbname=app",
            "/var/lib/log.sqlite3",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a.sqlite3?mode=rwc",
            "",
        ] {
            let error = Location::parse(url).unwrap_err().to_string();
            assert!(!error.contains("cret"), "{error}");
            assert!(error.contains("expected postgres://"), "{error}");
        }
    }
}
