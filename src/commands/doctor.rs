//! `log-ingestd doctor`: looks for what keeps lines from being stored, and says what to do about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};
use serde::Serialize;

use crate::config::{Config, Watch};
use crate::identity::detect::{Formats, Undetected, sample};
use crate::model::{counted, grouped};
use crate::retain::Retention;
use crate::source::Container;
use crate::source::open::{Links, Refused};
use crate::source::whole_file::Source;
use crate::store::{Examination, Location, LockTable, Store, StoreError, chain};

/// Clocks that differ by more are reported (5 s).
const CLOCK_US: u64 = 5_000_000;

/// A disk with less room is reported (1 GiB).
const LEAST_FREE: u64 = 1 << 30;

/// So many sessions should be able to ask without a time range at once. With 120 full days and 1,086 indexes on
/// a server's default settings, 16 could, and 35 of 60 ended with "out of shared memory".
const SESSIONS: u64 = 32;

/// Files that are examined, the newest by name; and findings that are said of them.
const MOST_FILES: usize = 1_000;
const MOST_FINDINGS: usize = 20;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is as it should be.
    Ok,
    /// It works, and something should be known.
    Note,
    /// It has to be mended.
    Problem,
}

/// What was found out about one thing.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was examined, in one word.
    pub about: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(about: &'static str, found: impl Into<String>) -> Self {
        Self { about, severity: Severity::Ok, found: found.into(), remedy: None }
    }

    fn note(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Note, remedy: Some(remedy.into()), ..Self::ok(about, found) }
    }

    fn problem(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Problem, remedy: Some(remedy.into()), ..Self::ok(about, found) }
    }
}

/// What is examined beside the database.
#[derive(Debug)]
pub struct Doctor {
    /// The configuration of all commands.
    pub config: Config,
    /// What a daemon with the same settings would follow; `None` if they name nothing, and the error if it
    /// could not start.
    pub watch: Option<anyhow::Result<Watch>>,
}

/// Examines all, and returns the findings in order. It changes nothing and makes nothing.
pub async fn doctor(asked: &Doctor) -> Vec<Finding> {
    let Doctor { config, watch } = asked;
    let mut findings =
        vec![Finding::ok("program", concat!("log-ingestd ", env!("CARGO_PKG_VERSION")))];
    let examining = Store::examine(&config.location);
    match tokio::time::timeout(config.connect_timeout, examining).await {
        Ok(Ok(examined)) => database(config, &examined, &mut findings),
        Ok(Err(error)) => findings.push(unusable(&config.location, &error)),
        Err(_) => {
            let waited = humantime::format_duration(config.connect_timeout);
            findings.push(Finding::problem(
                "database",
                format!("{} does not answer within {waited}", config.location),
                "look for a firewall that drops packets, or for a server that starts; \
                 --connect-timeout waits longer",
            ));
        }
    }
    disk_of_database(&config.location, &mut findings);
    match watch {
        None => findings.push(Finding::note(
            "files",
            "no path to follow is given",
            "name what the daemon follows with --watch PATH, or its settings with --config FILE",
        )),
        Some(Err(error)) => findings.push(Finding::problem(
            "files",
            format!("{error:#}"),
            "correct the path, or make the directory and let this user read it",
        )),
        Some(Ok(watch)) => {
            files(watch, &mut findings);
            spool(watch, &mut findings);
        }
    }
    findings
}

/// Says why a database cannot be used.
fn unusable(location: &Location, error: &StoreError) -> Finding {
    let remedy = match (error, location) {
        (StoreError::Refused { .. }, Location::Postgres(_)) => {
            "check the user, the password and the database in --database-url, and the server's pg_hba.conf"
        }
        (StoreError::Refused { .. }, Location::Sqlite(_)) => {
            "give the path of another file, or let this user read and write it"
        }
        (_, Location::Postgres(_)) => {
            "check host and port in --database-url, and that the server runs: pg_isready -h HOST -p PORT"
        }
        (_, Location::Sqlite(_)) => "check the path, and the disk that it is on",
    };
    Finding::problem("database", chain(error), remedy)
}

fn database(config: &Config, examined: &Examination, findings: &mut Vec<Finding>) {
    let Examination { version, schema, .. } = examined;
    findings.push(Finding::ok("database", format!("{}, {version}", config.location)));
    findings.push(match schema.found {
        None => Finding::note(
            "schema",
            "there are no tables yet",
            "the first `log-ingestd watch PATH` or `log-ingestd migrate` makes them",
        ),
        Some(found) if found == schema.known => Finding::ok("schema", format!("schema {found}")),
        Some(_) if schema.is_half_copied() => Finding::problem(
            "schema",
            "half of a copy from another database".to_owned(),
            "the same `log-ingestd copy` again finishes it; nothing uses the database until then",
        ),
        Some(found) if found > schema.known => Finding::problem(
            "schema",
            format!(
                "schema {found} is newer than this program, which knows schema {}",
                schema.known
            ),
            "upgrade this program",
        ),
        Some(found) => Finding::problem(
            "schema",
            format!("schema {found} is older than this program's, which is {}", schema.known),
            "`log-ingestd migrate` brings it there; daemons that are older stop, upgrade them too",
        ),
    });
    findings.push(rights(config, examined));
    if let Some(ahead) = examined.clock_ahead {
        findings.push(clock(ahead));
    }
    if let Some(locks) = examined.locks {
        findings.push(lock_table(&locks, config.retention));
    }
}

fn rights(config: &Config, examined: &Examination) -> Finding {
    if let Location::Sqlite(path) = &config.location {
        return rights_on_file(path);
    }
    if !examined.missing_rights.is_empty() {
        return Finding::problem(
            "rights",
            format!("this user may not {}", examined.missing_rights.join(", ")),
            "GRANT SELECT, INSERT, UPDATE, DELETE on the tables to it, or make it a member of their owner",
        );
    }
    match (examined.may_create, examined.schema.found) {
        (true, _) => Finding::ok("rights", "this user may read, write and make tables"),
        (false, None) => Finding::problem(
            "rights",
            "this user may not make tables, and there are none",
            "run `log-ingestd migrate` with the database URL of a user who may, and GRANT the tables to \
             this one",
        ),
        (false, Some(_)) => Finding::note(
            "rights",
            "this user may read and write, and may not make the partitions of new days",
            "have the owner run `log-ingestd migrate --days 7` and `log-ingestd cleanup` daily, and this \
             daemon with --retention off",
        ),
    }
}

fn rights_on_file(path: &Path) -> Finding {
    let wanted = match path.exists() {
        true => vec![path, directory_of(path)],
        false => vec![directory_of(path)],
    };
    for path in wanted {
        // The write-ahead log and the locks stand beside the file.
        if let Err(error) = access(path, Access::READ_OK | Access::WRITE_OK) {
            return Finding::problem(
                "rights",
                format!("cannot write '{}': {error}", path.display()),
                "let this user read and write the file and its directory, or name another one with \
                 --database-url",
            );
        }
    }
    Finding::ok("rights", "this user may read and write the file and its directory")
}

/// Returns the nearest directory above a path that exists.
fn directory_of(path: &Path) -> &Path {
    let mut above = path.ancestors().skip(1).filter(|it| !it.as_os_str().is_empty());
    above.find(|it| it.is_dir()).unwrap_or_else(|| Path::new("."))
}

fn clock(ahead: i64) -> Finding {
    let (seconds, way) =
        (ahead.unsigned_abs() as f64 / 1e6, if ahead > 0 { "ahead of" } else { "after" });
    if ahead.unsigned_abs() <= CLOCK_US {
        return Finding::ok("clock", "the database's clock is this machine's");
    }
    Finding::problem(
        "clock",
        format!("the database's clock is {seconds:.0} s {way} this machine's"),
        "run NTP on both: a sweep removes rows by the clock of its machine",
    )
}

fn lock_table(locks: &LockTable, retention: Retention) -> Finding {
    let LockTable { partitions, per_question, per_transaction, .. } = *locks;
    let found = format!(
        "max_locks_per_transaction is {per_transaction}: enough for {} that ask without a time range at \
         once, each with {} on {}",
        counted(locks.sessions(), "session"),
        counted(per_question, "lock"),
        counted(partitions, "partition"),
    );
    let kept = match retention {
        Retention::For(age) => age.as_secs() / 86_400,
        Retention::Off => 0,
    };
    let later = locks.with_full_days(kept);
    let remedy = format!(
        "set max_locks_per_transaction = {} in postgresql.conf and restart the server, give questions a \
         range of timestamp, or keep fewer days",
        later.needed_for(SESSIONS)
    );
    if locks.sessions() < SESSIONS {
        Finding::problem("locks", found, remedy)
    } else if later.sessions() < SESSIONS {
        let (sessions, days) = (counted(later.sessions(), "session"), counted(kept, "full day"));
        Finding::note(
            "locks",
            format!("{found}; for {sessions} with {days} of --retention"),
            remedy,
        )
    } else {
        Finding::ok("locks", found)
    }
}

/// Says how much room there is where the rows of an SQLite file are. The disk of a server cannot be seen from
/// here.
fn disk_of_database(location: &Location, findings: &mut Vec<Finding>) {
    if let Location::Sqlite(path) = location {
        let remedy = "make room, shorten --retention, or move the file to another disk";
        findings.push(room("disk", directory_of(path), LEAST_FREE, remedy));
    }
}

/// Says whether a disk has so many bytes left.
fn room(about: &'static str, directory: &Path, least: u64, remedy: &str) -> Finding {
    let place = directory.display();
    match statvfs(directory) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let found = format!("{} free on the disk of '{place}'", mebibytes(free));
            match free < least {
                true => Finding::problem(
                    about,
                    format!("{found}; {} are little", mebibytes(least)),
                    remedy,
                ),
                false => Finding::ok(about, found),
            }
        }
        Err(error) => Finding::problem(about, format!("cannot look at '{place}': {error}"), remedy),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", grouped(bytes >> 20))
}

/// Says which of the files are read by which format, and which cannot be.
fn files(watch: &Watch, findings: &mut Vec<Finding>) {
    let found = watch.list.scan();
    for path in watch.list.missing() {
        findings.push(Finding::problem(
            "files",
            format!("'{}' does not exist", path.display()),
            "nothing, if it will be made; else correct --watch",
        ));
    }
    for (path, error) in &found.unreadable {
        findings.push(unreadable(path, error));
    }
    let mut formats =
        Formats::new(watch.config.parsing.clone()).by_path(&watch.config.formats_by_path);
    let mut read_by: BTreeMap<String, u64> = BTreeMap::new();
    let (mut left_alone, mut problems) = (0, Vec::new());
    for path in found.files.iter().rev().take(MOST_FILES) {
        match watch.list.with_links(path, |links| format_of(path, links, &mut formats)) {
            Ok(Some(format)) => *read_by.entry(format).or_default() += 1,
            Ok(None) => left_alone += 1,
            Err(problem) => problems.push(problem),
        }
    }
    if let more @ 1.. = problems.len().saturating_sub(MOST_FINDINGS) {
        problems.truncate(MOST_FINDINGS);
        let found = format!("{} more cannot be read", counted(more as u64, "file"));
        problems.push(Finding::problem(
            "files",
            found,
            "the same, or leave them out with --exclude",
        ));
    }
    if read_by.is_empty() && problems.is_empty() && found.fifos.is_empty() {
        problems.push(Finding::problem(
            "files",
            "no watched path has an access log",
            "let Gunicorn write one, --access-logfile FILE, or correct --watch, --include and --exclude",
        ));
    }
    for (format, files) in read_by {
        findings.push(Finding::ok("format", format!("{} by {format}", counted(files, "file"))));
    }
    if left_alone > 0 {
        let left = format!(
            "{} left alone: empty, archives, error logs, links",
            counted(left_alone, "file")
        );
        findings.push(Finding::ok("files", left));
    }
    if let more @ 1.. = found.files.len().saturating_sub(MOST_FILES) {
        findings
            .push(Finding::ok("files", format!("{} not examined", counted(more as u64, "file"))));
    }
    findings.append(&mut problems);
}

/// Returns the format of a file; `None` for one that is not a log and is left alone.
fn format_of(
    path: &Path,
    links: Links<'_>,
    formats: &mut Formats,
) -> Result<Option<String>, Finding> {
    let opened = Source::open_by(path, links).and_then(|source| {
        let sample = sample(|limit| source.sample(limit))?;
        Ok((source, sample))
    });
    let (source, sample) = match opened {
        Ok(opened) => opened,
        Err(error) if Container::of_error(&error).is_some() => return Ok(None),
        Err(error) if Refused::of(&error).is_some() => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    if source.is_compressed() {
        return Ok(None);
    }
    match formats.detect_complete(path, sample) {
        Ok(detected) => match detected.unread {
            None => Ok(Some(detected.name().to_owned())),
            Some(unread) => Err(Finding::problem(
                "format",
                format!("'{}': {unread}", path.display()),
                "correct --format, or leave it out: it is told from the lines",
            )),
        },
        Err(Undetected::UnknownFormat) => Err(Finding::problem(
            "format",
            format!("'{}' is in no known format", path.display()),
            format!(
                "`log-ingestd check {}` says how far its lines are read; give --format, or leave it out \
                 with --exclude",
                path.display()
            ),
        )),
        Err(_) => Ok(None),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Finding {
    Finding::problem(
        "files",
        format!("cannot read '{}': {error}", path.display()),
        "give this user read permission: the group of the logs, or `create 0640 app adm` in logrotate",
    )
}

/// Says whether what comes from streams can be kept.
fn spool(watch: &Watch, findings: &mut Vec<Finding>) {
    let has_streams = watch.standard_input.is_read() || !watch.list.scan().fifos.is_empty();
    if !has_streams {
        return;
    }
    let directory: PathBuf = match watch.spool.directory.is_dir() {
        true => watch.spool.directory.clone(),
        false => directory_of(&watch.spool.directory).to_path_buf(),
    };
    let remedy = "make room, lower --spool-limit, or name another directory with --spool-dir";
    findings.push(match access(&directory, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => room("spool", &directory, watch.spool.limit, remedy),
        Err(error) => Finding::problem(
            "spool",
            format!("cannot write '{}': {error}", directory.display()),
            "let this user write there, or name another directory with --spool-dir",
        ),
    });
}
