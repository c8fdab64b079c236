//! Declares the command line: the settings of [`super::settings`], and the commands with their own
//! flags.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::clock::Clock;
use super::copy::Copy;
use super::examples;
use super::export::Export;
use super::migrate::Migrate;
use super::query::{Query, Top};
use super::report::Report;
use super::settings::SETTINGS;

/// Every line of rotating Gunicorn access logs in PostgreSQL or SQLite, exactly once.
#[derive(Parser)]
#[command(
    name = "log-ingestd",
    version,
    args_conflicts_with_subcommands = false,
    subcommand_negates_reqs = true,
    after_help = "Without a command, --watch follows logs until SIGTERM, as the command watch does. \
                  Every setting can also stand in the environment as LOG_INGESTD_<NAME> and in \
                  the file of --config. `log-ingestd COMMAND -h` shows what a command uses, with examples."
)]
pub(super) struct CommandLine {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

impl CommandLine {
    /// Returns the commands and all settings, as clap knows them. The help of a command shows the settings that
    /// it makes use of.
    pub(super) fn with_settings() -> clap::Command {
        let program = Self::command().args(SETTINGS.iter().map(|setting| setting.arg()));
        program.mut_subcommands(|command| {
            let name = command.get_name().to_owned();
            let command = command.after_help(examples::of(&name));
            command.args(SETTINGS.iter().filter_map(|setting| setting.arg_of(&name)))
        })
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Follow logs until SIGTERM, and store each of their lines once: the same as --watch
    Watch {
        /// Directories, files, FIFOs or patterns; - is standard input [default: --watch, or watch in the
        /// file of --config]
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Serve the page, and follow nothing
    Serve,
    /// Store whole files, plain or compressed (gzip, zstd, xz, bzip2), and exit
    Import {
        /// Files; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Connections that send rows at once; SQLite uses one [default: processors, 4 at most, and to a
        /// distant server one more for each 20 ms of a round trip, 8 at most]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
        jobs: Option<u16>,
        /// Store a file as a log of its own if its lines cannot be told from stored ones: they have no
        /// time, or it is one line
        #[arg(long, conflicts_with = "skip")]
        again: bool,
        /// Leave such a file out
        #[arg(long)]
        skip: bool,
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
    /// Show files, offsets, lag, rejects and sweeps, and which files are ignored and why
    Status {
        /// Show closed files too, of which nothing is lost
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        clock: Clock,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print stored rows: a table, JSON lines, CSV, or an access log again
    Query(Query),
    /// Print the most frequent URLs, users, addresses, agents or hosts, or the slowest URLs
    Top(Top),
    /// Write the page's overview of a range into one HTML file: numbers, charts, lists, errors, and what was not
    /// stored
    Report(Report),
    /// Hold files against the database: digest, counts, and each line against its row
    Verify {
        /// Files or directories [default: every file of this host that is still there]
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Print the result as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write a log back byte for byte, from what is stored of it, to standard output; where that is not for
    /// certain the log, standard error says so, and the exit code is 1
    Export(Export),
    /// Read stored lines once more, by the format of their file or by --format: rejected ones, of which
    /// those that can be read become rows; with --rows, all lines of files that are still there
    Reparse {
        /// Read files or their archives again, and replace what is stored of their lines by what they
        /// are now
        #[arg(long)]
        rows: bool,
        /// With --rows, only this file or directory; may be given again [default: every file of this
        /// host that is still there]
        #[arg(long = "file", value_name = "FILE", requires = "rows")]
        files: Vec<PathBuf>,
        /// Count what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Print the summary as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove all that is stored of a file, so that it can be imported again, by another format perhaps;
    /// stop its daemon first
    Forget {
        /// The file, by its path as `status` shows it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Of several files that were stored from there, the one with this id; may be given again
        #[arg(long = "id", value_name = "ID")]
        ids: Vec<i32>,
        /// Although it is still there, and a daemon that watches its directory will read it again
        #[arg(long)]
        yes: bool,
        /// Print the summary as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Sweep old rows now
    Cleanup(Cleanup),
    /// Make the tables, or bring them to this program's schema, and exit; daemons that are older stop
    Migrate(Migrate),
    /// Copy everything from one database to another, compare both, and exit; stop the daemons first
    Copy(Copy),
    /// Move the logs of a host that was renamed to its new name, and exit; stop its daemon first
    RenameHost {
        /// The name under which they are stored
        #[arg(value_name = "OLD")]
        old: String,
        /// The host's name now
        #[arg(value_name = "NEW")]
        new: String,
    },
    /// Print a line for --auth-file, of a password that is read from the terminal or from standard
    /// input
    HashPassword {
        /// Whose password it is
        #[arg(value_name = "NAME")]
        name: String,
        /// It is a program's token, sent as 'Authorization: Bearer', for /metrics, /readyz and /healthz
        #[arg(long)]
        token: bool,
    },
    /// Ask a daemon of this machine at --listen whether it lives: exit code 0, or 1 and why not
    Healthcheck {
        /// Ask whether it can store lines, too: not while its database is unavailable
        #[arg(long)]
        ready: bool,
    },
    /// Examine database, rights, formats, clock, disk and spool: exit code 0, or 1 with what to do about each
    /// finding
    Doctor {
        /// Print the findings as one JSON object
        #[arg(long)]
        json: bool,
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

    /// Remove rows older than this: an age (36h), a day (2026-11-25) or a time [default: the retention]
    #[arg(long, value_name = "WHEN")]
    pub(super) older_than: Option<String>,

    /// Count what would be removed, and remove nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Remove every row, as --days 0 says
    #[arg(long)]
    pub(super) yes: bool,

    /// Rows removed in one transaction
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) batch_size: u32,

    /// Which logs
    #[arg(long, value_enum, default_value_t = LogType::All)]
    pub(super) log_type: LogType,

    #[command(flatten)]
    pub(super) clock: Clock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogType {
    All,
    Request,
    Gunicorn,
}
