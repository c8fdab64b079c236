//! Files that another user may not read. Permissions do not bind root: then the program runs as
//! an ordinary user.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bad_input::Answer;
use crate::daemon::{Bench, Daemon, ToEnd, lines, urls};
use crate::place::Place;

/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A test's place, opened to the ordinary user, and the program where that user can run it.
struct Home {
    bench: Bench,
    program: PathBuf,
}

impl Home {
    async fn new() -> Self {
        let bench = Bench::new(Place::sqlite().await).await;
        let program = bench.aside("log-ingestd");
        // The build directory may lie where only its owner may look. Another process copies: a child that
        // another test starts meanwhile would inherit the open file, and what is being written is not run.
        let copied = Command::new("cp").arg(crate::daemon::program()).arg(&program).status();
        assert!(copied.unwrap().success());
        let state = bench.aside("state");
        fs::create_dir(&state).unwrap();
        if is_root() {
            allow(&bench.aside(""), 0o755);
            allow(&bench.logs(), 0o755);
            chown(&state, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { bench, program }
    }

    /// The program as an ordinary user, with an SQLite file of that user's own.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            let id = NOBODY.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
            command.arg(&self.program);
            command
        } else {
            Command::new(&self.program)
        };
        let url = format!("sqlite:{}", self.bench.aside("state/log.sqlite3").display());
        command.args(arguments).env_clear().env("DATABASE_URL", url);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir("/");
        command
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_may_not_be_read_is_named() {
    let home = Home::new().await;
    let logs = home.bench.logs();
    allow(&logs, 0o000);
    let answer = Answer::to_command(home.command(&["--watch", logs.to_str().unwrap()]));
    allow(&logs, 0o755);
    answer.is(1, &[logs.to_str().unwrap(), "needs read permission", "ermission denied"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_be_read_is_named() {
    let home = Home::new().await;
    home.bench.append("access.log", lines("a", 0..3));
    let log = home.bench.log("access.log");
    allow(&log, 0o000);
    for command in ["import", "check"] {
        Answer::to_command(home.command(&[command, log.to_str().unwrap()]))
            .is(1, &[log.to_str().unwrap(), "ermission denied"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_says_it_once_and_reads_the_file_as_soon_as_it_may() {
    let home = Home::new().await;
    home.bench.append("access.log", lines("a", 0..3));
    home.bench.append("other.log", lines("b", 0..3));
    let log = home.bench.log("access.log");
    allow(&log, 0o000);
    let logs = home.bench.logs();
    let arguments = ["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms"];
    let mut daemon = Daemon::start(home.command(&arguments), home.bench.aside("stderr"));
    daemon.says("cannot read this file").await;
    let place = Place::at(format!("sqlite:{}", home.bench.aside("state/log.sqlite3").display()));
    let rows = async || place.texts("SELECT url FROM gunicorn_log ORDER BY url").await;
    crate::place::until("the other file is stored", async || rows().await.len() == 3).await;
    let listed = async || place.texts("SELECT reason || ': ' || detail FROM ignored_file").await;
    let unreadable = ["unreadable: Permission denied (os error 13)"];
    crate::place::until("it is listed", async || listed().await == unreadable).await;
    allow(&log, 0o644);
    crate::place::until("both files are stored", async || rows().await.len() == 6).await;
    assert_eq!(rows().await, [urls("a", 0..3), urls("b", 0..3)].concat());
    assert_eq!(daemon.said().matches("cannot read this file").count(), 1, "{}", daemon.said());
    crate::place::until("it is not listed", async || listed().await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_be_read_is_one_message() {
    let home = Home::new().await;
    home.bench.append("access.log", lines("a", 0..3));
    let log = home.bench.log("access.log");
    allow(&log, 0o000);
    for watched in [log.clone(), home.bench.logs()] {
        let watched = watched.to_str().unwrap();
        let arguments = ["--watch", watched, "--poll-interval", "100ms", "--listen", "off"];
        let mut daemon = Daemon::start(home.command(&arguments), home.bench.aside("stderr"));
        daemon.says("cannot read this file").await;
        let place =
            Place::at(format!("sqlite:{}", home.bench.aside("state/log.sqlite3").display()));
        let listed = "SELECT count(*) FROM ignored_file WHERE reason = 'unreadable'";
        crate::place::until("it is listed", async || place.number(listed).await == 1).await;
        let said = daemon.said();
        let warnings = said.lines().filter(|line| line.contains(" WARN ")).count();
        assert_eq!(warnings, 1, "{said}");
        assert!(daemon.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_may_not_be_read_for_a_while_costs_nothing() {
    let home = Home::new().await;
    home.bench.append("access.log", lines("a", 0..3));
    let logs = home.bench.logs();
    let arguments = ["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms"];
    let daemon = Daemon::start(home.command(&arguments), home.bench.aside("stderr"));
    let place = Place::at(format!("sqlite:{}", home.bench.aside("state/log.sqlite3").display()));
    let wait = async |wanted| {
        crate::place::until("the rows are there", async || {
            // The daemon may not have made its tables yet.
            home.bench.aside("state/log.sqlite3").exists()
                && place.number("SELECT count(*) FROM sqlite_master").await > 3
                && place.number("SELECT count(*) FROM gunicorn_log").await == wanted
        })
        .await;
    };
    wait(3).await;
    let log = home.bench.log("access.log");
    allow(&log, 0o000);
    allow(&logs, 0o000);
    // As root, or before the rights were taken, it was open: a worker still has it.
    let worker = fs::OpenOptions::new().append(true).open(&log);
    if let Ok(mut worker) = worker {
        std::io::Write::write_all(&mut worker, lines("b", 0..3).as_bytes()).unwrap();
        wait(6).await;
    }
    allow(&logs, 0o755);
    allow(&log, 0o644);
    let before = place.number("SELECT count(*) FROM gunicorn_log").await;
    home.bench.append("access.log", lines("c", 0..3));
    home.bench.append("new.log", lines("d", 0..3));
    wait(before + 6).await;
    assert_eq!(place.number("SELECT count(*) FROM log_file").await, 2);
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_may_not_be_written_is_named() {
    let home = Home::new().await;
    let state = home.bench.aside("state");
    allow(&state, 0o555);
    home.bench.append("access.log", lines("a", 0..3));
    let log = home.bench.log("access.log");
    let answer = Answer::to_command(home.command(&["import", log.to_str().unwrap()]));
    let doctor = home.command(&["doctor"]).to_end();
    allow(&state, 0o755);
    answer.is(1, &["state/log.sqlite3", "ermission denied"]);
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert_eq!(doctor.status.code(), Some(1), "{said}");
    assert!(
        said.contains("cannot write '") && said.contains("let this user read and write"),
        "{said}"
    );
}
