//! The real binary on a temporary directory: started, watched, stopped, killed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use log_ingestd::model::Micros;

use crate::place::{Place, counted, until};

/// The same test for PostgreSQL and for SQLite.
macro_rules! for_each_store {
    ($($(#[$attribute:meta])* async fn $name:ident($bench:ident) $story:block)*) => {
        $(
            mod $name {
                use super::*;

                async fn story($bench: $crate::daemon::Bench) $story

                #[tokio::test(flavor = "multi_thread")]
                async fn on_postgres() {
                    story($crate::daemon::Bench::new($crate::place::Place::postgres().await).await).await;
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn on_sqlite() {
                    story($crate::daemon::Bench::new($crate::place::Place::sqlite().await).await).await;
                }
            }
        )*
    };
}
pub(crate) use for_each_store;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A log directory and a store, and the programs run on them.
pub(crate) struct Bench {
    pub(crate) place: Place,
    root: TempDir,
}

impl Bench {
    /// With its tables in place, so that they can be looked at before a daemon has started.
    pub(crate) async fn new(place: Place) -> Self {
        drop(place.open().await);
        Self::untouched(place)
    }

    /// With everything in this directory, but for the store, which is where it is.
    pub(crate) async fn in_directory(place: Place, directory: &Path) -> Self {
        drop(place.open().await);
        Self::at(place, tempfile::tempdir_in(directory).unwrap())
    }

    /// With the store as it is.
    pub(crate) fn untouched(place: Place) -> Self {
        Self::at(place, tempfile::tempdir().unwrap())
    }

    fn at(place: Place, root: TempDir) -> Self {
        fs::create_dir(root.path().join("logs")).unwrap();
        Self { place, root }
    }

    /// A path outside of the watched directory.
    pub(crate) fn aside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A path in the watched directory.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.root.path().join("logs").join(name)
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.path().join("logs")
    }

    /// Appends to a log as a server does: in one write.
    pub(crate) fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.log(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    /// The program with this test's store; nothing of the caller's environment gets in.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .env_clear()
            .env("DATABASE_URL", &self.place.url)
            .env("HOME", self.root.path())
            .env("LOG_INGESTD_HOST", "web")
            // Many daemons run at once; the tests of the page ask for a port of their own.
            .env("LOG_INGESTD_LISTEN", "off")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).to_end()
    }

    /// Runs a command that must succeed; its standard output.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The daemon on the log directory.
    pub(crate) fn watch(&self) -> Daemon {
        self.watch_with(&[])
    }

    /// The same with more flags; it looks ten times a second, so that tests need not wait.
    pub(crate) fn watch_with(&self, flags: &[&str]) -> Daemon {
        let logs = self.logs();
        let mut arguments = vec!["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms"];
        arguments.extend(flags);
        Daemon::start(self.command(&arguments), self.aside("stderr"))
    }

    /// Complete lines of all rows and rejects, and what was excluded.
    pub(crate) async fn stored(&self) -> i64 {
        self.place.number("SELECT CAST(coalesce(sum(lines), 0) AS bigint) FROM log_file").await
    }

    /// Waits until so many rows of `gunicorn_log` are there, and checks that no more come with them.
    pub(crate) async fn rows(&self, wanted: i64) {
        let end = Instant::now() + PATIENCE;
        let mut began = Instant::now();
        let mut before = 0;
        loop {
            let asked = Instant::now();
            let found = self.place.number("SELECT count(*) FROM gunicorn_log").await;
            if found == wanted {
                return;
            }
            assert!(found < wanted, "{found} rows for {wanted} lines: {}", self.said());
            if Instant::now() >= end {
                let stored = self.stored().await;
                panic!("{found} of {wanted} rows came, {stored} lines are stored; {}", self.said());
            }
            if found > before {
                (began, before) = (Instant::now(), found);
            } else if began.elapsed() > PATIENCE / 4 {
                // What counts is what is in the database, and not what one session has seen of it.
                println!("{found} of {wanted} rows: another session is asked");
                self.place.hang_up().await;
                began = Instant::now();
            }
            // To count many rows takes the time of the daemon that stores them.
            tokio::time::sleep(asked.elapsed().max(Duration::from_millis(10))).await;
        }
    }

    /// Waits until so many sweeps have ended. A daemon does not say that one has removed nothing.
    pub(crate) async fn swept(&self, sweeps: i64) {
        let ended = async || self.place.number("SELECT count(*) FROM sweep").await >= sweeps;
        until("the rows were swept", ended).await;
    }

    /// What the last daemon wrote on standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.aside("stderr")).unwrap_or_default()
    }

    /// The equation, for each file: lines = rows + rejects + excluded, by counters and by tables.
    pub(crate) async fn balanced(&self) {
        let unbalanced = "SELECT count(*) FROM log_file f
             LEFT JOIN (SELECT log_file, count(*) AS found
                          FROM (SELECT log_file FROM gunicorn_log
                                UNION ALL SELECT log_file FROM request_log) AS lines
                         GROUP BY log_file) g
                ON g.log_file = f.id
             LEFT JOIN (SELECT log_file, sum(repeats) AS found FROM rejected_line GROUP BY log_file) r
                ON r.log_file = f.id
             WHERE lines <> stored_rows + rejected + excluded
                OR stored_rows <> coalesce(g.found, 0) OR rejected <> coalesce(r.found, 0)";
        assert_eq!(self.place.number(unbalanced).await, 0, "a file's lines do not add up");
        counted(&self.place).await;
    }

    /// Every url that was written is one row, and nothing else is.
    pub(crate) async fn exactly(&self, urls: impl IntoIterator<Item = String>) {
        let mut wanted: Vec<String> = urls.into_iter().collect();
        self.rows(wanted.len() as i64).await;
        let mut found = self.place.texts("SELECT url FROM gunicorn_log").await;
        wanted.sort();
        found.sort();
        assert!(found == wanted, "rows are not what was written");
        self.balanced().await;
    }
}

/// The program that is tried: `LOG_INGESTD_PROGRAM`, or that of this build. `tests/faults/run` names one
/// with a fault.
pub(crate) fn program() -> PathBuf {
    let named = std::env::var_os("LOG_INGESTD_PROGRAM").map(PathBuf::from);
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_log-ingestd").into())
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    stderr: PathBuf,
}

impl Daemon {
    pub(crate) fn start(command: Command, stderr: PathBuf) -> Self {
        Self::reading(command, stderr, Stdio::null())
    }

    /// With this standard input.
    pub(crate) fn reading(mut command: Command, stderr: PathBuf, input: impl Into<Stdio>) -> Self {
        let file = File::create(&stderr).unwrap();
        let child = command.stdin(input).stderr(file).stdout(Stdio::null()).spawn().unwrap();
        Self { child, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever had, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        peak_kib(self.pid()).expect("it has ended")
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        let mut text = String::new();
        File::open(&self.stderr).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Waits until it says `words`.
    pub(crate) async fn says(&mut self, words: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.said().contains(words) {
            let left = self.child.try_wait().unwrap();
            assert!(left.is_none(), "it ended without saying '{words}': {}", self.said());
            assert!(Instant::now() < end, "it never said '{words}': {}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal by name. After `STOP` it returns when each thread has stopped: one that the signal
    /// has still to reach goes on for a moment.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(status.unwrap().success());
        let end = Instant::now() + PATIENCE;
        while name == "STOP" && !self.is_stopped() {
            assert!(Instant::now() < end, "it does not stop: {}", self.said());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        threads
            .filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).ok())
            .all(
                // The state stands after the name, which may hold parentheses.
                |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't'])),
            )
    }

    /// Kills it where it stands.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        assert!(ends_within(&mut self.child, PATIENCE).is_some(), "it lives on: {}", self.said());
    }

    /// SIGTERM, and the end that it leads to.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.ends().await
    }

    /// Waits for its end.
    pub(crate) async fn ends(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end: {}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already. In a read that hangs in the kernel it does not end: what lets it go on may be
        // dropped after this.
        let _ = self.child.kill();
        ends_within(&mut self.child, PATIENCE / 6);
    }
}

/// How long a command may take. The longest ones import gigabytes.
const COMMAND: Duration = Duration::from_secs(540);

/// Runs commands to their ends.
pub(crate) trait ToEnd {
    /// Returns what it said, without a standard input. One that does not end is killed, and its test fails.
    fn to_end(&mut self) -> Output;
}

impl ToEnd for Command {
    fn to_end(&mut self) -> Output {
        self.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (stdout, stderr) = (read_all(stdout), read_all(stderr));
        let ended = ends_within(&mut child, COMMAND);
        let _ = child.kill(); // it may have ended
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        let said = String::from_utf8_lossy(&stderr);
        let status = ended.unwrap_or_else(|| panic!("{self:?} does not end: {said}"));
        Output { status, stdout, stderr }
    }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Waits for the end of a process; `None` if it does not end in time.
pub(crate) fn ends_within(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_micros(500);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// The most memory that a process ever had, in KiB; `None` when it has ended.
pub(crate) fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().strip_suffix(" kB")?.parse().ok()
}

/// A line of Gunicorn's default format for this url.
pub(crate) fn line(url: &str) -> String {
    format!(
        "127.0.0.1 - - [23/Nov/2026:08:41:00 +0000] \"GET {url} HTTP/1.1\" 200 2 \"-\" \"curl/8\"\n"
    )
}

/// The same at this time.
pub(crate) fn line_at(url: &str, time: Micros) -> String {
    let time = chrono::DateTime::from_timestamp_micros(time).unwrap();
    line(url).replace("23/Nov/2026:08:41:00", &time.format("%d/%b/%Y:%H:%M:%S").to_string())
}

/// Lines for `/prefix/0`, `/prefix/1`, ….
pub(crate) fn lines(prefix: &str, numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| line(&format!("/{prefix}/{number}"))).collect()
}

/// The urls of [`lines`].
pub(crate) fn urls(prefix: &str, numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("/{prefix}/{number}")).collect()
}

/// Renames as logrotate does.
pub(crate) fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}
