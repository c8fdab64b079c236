//! What can be typed. Every setting is optional here: what is not typed comes from the
//! environment, then from the configuration file, then from the defaults in [`super::build`].

use std::path::PathBuf;

use super::migrate::Migrate;
use super::query::{Query, Top};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Every line of rotating Gunicorn access logs in PostgreSQL or SQLite, exactly once.
#[derive(Debug, Parser)]
#[command(
    name = "log-ingestd",
    version,
    args_conflicts_with_subcommands = false,
    subcommand_negates_reqs = true,
    after_help = "Without a command, --watch follows logs until SIGTERM. \
                  Every setting can also stand in the environment as LOG_INGESTD_<NAME> and in \
                  the file of --config."
)]
pub(super) struct Flags {
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    /// Directories, files, FIFOs or patterns to follow; - is standard input; may be given several
    /// times [env: LOG_INGESTD_WATCH, several separated by colons]
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(super) watch: Vec<PathBuf>,

    /// Follow only names that match this pattern, for example 'access*'; may be repeated.
    #[arg(long, value_name = "GLOB", env = "LOG_INGESTD_INCLUDE", value_delimiter = ',')]
    pub(super) include: Option<Vec<String>>,

    /// Never follow names that match this pattern; may be repeated.
    #[arg(long, value_name = "GLOB", env = "LOG_INGESTD_EXCLUDE", value_delimiter = ',')]
    pub(super) exclude: Option<Vec<String>>,

    /// Time between two looks at all files, for file systems that send no events [default: 2s]
    #[arg(long, value_name = "DURATION", env = "LOG_INGESTD_POLL_INTERVAL")]
    pub(super) poll_interval: Option<String>,

    /// Local time of the daily sweep [default: 03:30]
    #[arg(long, value_name = "HH:MM", env = "LOG_INGESTD_SWEEP_AT")]
    pub(super) sweep_at: Option<String>,

    /// Where what comes from standard input and FIFOs is kept until it is stored [default: spool
    /// beside the default SQLite file]
    #[arg(long, value_name = "DIR", env = "LOG_INGESTD_SPOOL_DIR")]
    pub(super) spool_dir: Option<PathBuf>,

    /// How much may be kept there while the database is away; then the writers wait [default: 1GiB]
    #[arg(long, value_name = "SIZE", env = "LOG_INGESTD_SPOOL_LIMIT")]
    pub(super) spool_limit: Option<String>,

    /// Where the page and the metrics are; 'off' for nowhere [default: 127.0.0.1:8686]
    #[arg(long, value_name = "ADDRESS", env = "LOG_INGESTD_LISTEN")]
    pub(super) listen: Option<String>,

    /// Who may see the page: lines of the command hash-password. Needed for any address that other
    /// machines reach
    #[arg(long, value_name = "FILE", env = "LOG_INGESTD_AUTH_FILE")]
    pub(super) auth_file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) common: Common,
}

/// What every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(super) struct Common {
    /// The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in
    /// the user's state directory]
    #[arg(long, global = true, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub(super) database_url: Option<String>,

    /// How long to try to reach the database at the start [default: 10s]
    #[arg(long, global = true, value_name = "DURATION", env = "LOG_INGESTD_CONNECT_TIMEOUT")]
    pub(super) connect_timeout: Option<String>,

    /// A preset's name or a Gunicorn access_log_format [default: told from each file's lines]
    #[arg(long, global = true, value_name = "FORMAT", env = "LOG_INGESTD_FORMAT")]
    pub(super) format: Option<String>,

    /// How long rows stay, for example 120d or 36h; 'off' keeps them [default: 120d]
    #[arg(long, global = true, value_name = "DURATION", env = "LOG_INGESTD_RETENTION")]
    pub(super) retention: Option<String>,

    /// How long counts by minute and hour stay, which charts read; 'off' keeps them [default: 400d, or
    /// as long as the rows]
    #[arg(long, global = true, value_name = "DURATION", env = "LOG_INGESTD_ROLLUP_RETENTION")]
    pub(super) rollup_retention: Option<String>,

    /// Query parameters, and keys of JSON, whose values are stored as ********; '' hides none
    /// [default: password,token,access_key,secret]
    #[arg(long, global = true, value_name = "NAMES", env = "LOG_INGESTD_SENSITIVE_FIELDS")]
    pub(super) sensitive_fields: Option<String>,

    /// Leave out requests whose path begins so, for example /health/; may be repeated
    #[arg(
        long,
        global = true,
        value_name = "PREFIX",
        env = "LOG_INGESTD_EXCLUDE_PATH",
        value_delimiter = ','
    )]
    pub(super) exclude_path: Option<Vec<String>>,

    /// Leave out requests whose path ends so, for example .css; may be repeated
    #[arg(
        long,
        global = true,
        value_name = "EXTENSION",
        env = "LOG_INGESTD_EXCLUDE_EXTENSION",
        value_delimiter = ','
    )]
    pub(super) exclude_extension: Option<Vec<String>>,

    /// The host whose logs these are [default: this host's name]
    #[arg(long, global = true, value_name = "NAME", env = "LOG_INGESTD_HOST")]
    pub(super) host: Option<String>,

    /// A TOML file with any of these settings
    #[arg(long, global = true, value_name = "FILE", env = "LOG_INGESTD_CONFIG")]
    pub(super) config: Option<PathBuf>,

    /// How the daemon's own log is written [default: human]
    #[arg(long, global = true, value_enum, env = "LOG_INGESTD_LOG_FORMAT")]
    pub(super) log_format: Option<LogFormat>,

    /// error, warn, info, debug or trace [default: info; import and cleanup: warn]
    #[arg(long, global = true, value_name = "LEVEL", env = "LOG_INGESTD_LOG_LEVEL")]
    pub(super) log_level: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Store whole files, plain or compressed (gzip, zstd, xz, bzip2), and exit
    Import {
        /// Files; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Connections that send rows at once; SQLite uses one [default: processors, 4 at most]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
        jobs: Option<u16>,
        /// Print the summary as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Parse a file without storing anything: fields of its first lines, counts, reasons
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show files, offsets, lag, rejects and sweeps
    Status,
    /// Print stored rows: a table, JSON lines, CSV, or an access log again
    Query(Query),
    /// Print the most frequent URLs, users, addresses, agents or hosts, or the slowest URLs
    Top(Top),
    /// Hold files against the database: digest, counts, and each line against its row
    Verify {
        /// Files or directories [default: every file of this host that is still there]
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Print the result as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Read rejected lines once more, by the format of their file or by --format; those that can
    /// be read become rows
    Reparse {
        /// Count what would become a row, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Print the summary as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Sweep old rows now
    Cleanup(Cleanup),
    /// Make the tables, or bring them to this program's schema, and exit; daemons that are older stop
    Migrate(Migrate),
    /// Print a line for --auth-file, of a password that is read from the terminal or from standard
    /// input
    HashPassword {
        /// Whose password it is
        #[arg(value_name = "NAME")]
        name: String,
        /// It is a program's token, sent as 'Authorization: Bearer'
        #[arg(long)]
        token: bool,
    },
    /// Ask a daemon of this machine at --listen whether it lives: exit code 0, or 1 and why not
    Healthcheck {
        /// Ask whether it can store lines, too: not while its database is away
        #[arg(long)]
        ready: bool,
    },
    /// Print the script by which a shell completes this program's commands and flags
    Completions {
        /// The shell
        #[arg(value_enum, value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Write the manual's pages into a directory
    #[command(hide = true)]
    Man {
        /// It must be there
        #[arg(value_name = "DIRECTORY")]
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct Cleanup {
    /// Remove rows older than so many days
    #[arg(long, value_name = "N", conflicts_with = "older_than")]
    pub(super) days: Option<u32>,

    /// Remove rows older than this, for example 36h [default: the retention]
    #[arg(long, value_name = "DURATION")]
    pub(super) older_than: Option<String>,

    /// Count what would be removed, and remove nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Rows removed in one transaction
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) batch_size: u32,

    /// Which logs
    #[arg(long, value_enum, default_value_t = LogType::All)]
    pub(super) log_type: LogType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogType {
    All,
    Request,
    Gunicorn,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    #[default]
    Human,
    Json,
}
