//! Acts a script out on a real log directory, daemon and database.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{Connection, SqliteConnection};

use crate::daemon::{Bench, Daemon};
use crate::place::{OF_FILES, Place};
use crate::postgres::Cluster;
use crate::proxy::{Plan, Proxy};

use super::disk::Disk;
use super::script::{Copy, Cut, Damage, LOGS, Name, Step, Way};

/// Milliseconds between two looks of a daemon that no step has started.
const LOOKS: u32 = 100;

/// A store that is unavailable is waited for at the start, too, and the retention removes nothing,
/// whatever year it is.
const FLAGS: [&str; 6] = ["--connect-timeout", "60s", "--retention", "off", "--log-level", "debug"];

/// Where scripts are acted out.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    /// On a server that no other test uses: scripts stop it.
    Postgres(&'static Cluster),
    Sqlite,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Postgres(_) => "postgres",
            Stage::Sqlite => "sqlite",
        })
    }
}

/// What a script that held has shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) due: i64,
    /// Lines without a promise: how many were stored all the same, and how many there were.
    pub(super) excused: (usize, usize),
}

/// What was wrong, and what the daemons said meanwhile.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) what: String,
    pub(super) said: String,
}

/// Acts the script out from an empty directory and an empty database to the final account.
/// `patience` is how long a daemon may take to store what is there.
pub(super) async fn run(
    script: &[Step],
    stage: Stage,
    patience: Duration,
) -> Result<Shown, Failure> {
    let place = match stage {
        Stage::Postgres(cluster) => Place::at(cluster.database().await),
        Stage::Sqlite => Place::sqlite().await,
    };
    let bench = Arc::new(Bench::new(place).await);
    let mut actor = Actor::new(Arc::clone(&bench), stage, patience);
    let script = script.to_vec();
    // A task of its own, since a check that fails ends it by a panic.
    let result = tokio::spawn(async move { actor.act(&script).await }).await;
    let result = result.map_err(|error| Failure { what: panic_text(error), said: said(&bench) });
    if let Stage::Postgres(cluster) = stage {
        let name = bench.place.url.rsplit('/').next().unwrap();
        cluster.administer(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }
    result
}

fn panic_text(error: tokio::task::JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

fn said(bench: &Bench) -> String {
    let names = (1..).map(|number| bench.aside(&said_name(number)));
    names.map_while(|path| fs::read_to_string(path).ok()).collect::<Vec<_>>().join("---\n")
}

fn said_name(number: u32) -> String {
    format!("said{number}")
}

struct Actor {
    bench: Arc<Bench>,
    stage: Stage,
    patience: Duration,
    disk: Disk,
    daemon: Option<Daemon>,
    /// Another one on the same logs and the same store.
    second: Option<Daemon>,
    /// How many daemons were started.
    daemons: u32,
    /// How often a daemon was alone from then on.
    lives: u32,
    /// Whether the first one is.
    paused: bool,
    /// Keeps SQLite from writing.
    lock: Option<SqliteConnection>,
    /// What the daemons watch: the directory, or a link to it that a step turns.
    watched: PathBuf,
    /// How often the host was renamed.
    renamed: u32,
}

impl Actor {
    fn new(bench: Arc<Bench>, stage: Stage, patience: Duration) -> Actor {
        let aside = bench.aside("aside");
        fs::create_dir(&aside).unwrap();
        let disk = Disk::new(bench.logs(), aside);
        let watched = bench.logs();
        Actor {
            bench,
            stage,
            patience,
            disk,
            daemon: None,
            second: None,
            daemons: 0,
            lives: 0,
            paused: false,
            lock: None,
            watched,
            renamed: 0,
        }
    }

    async fn act(&mut self, script: &[Step]) -> Shown {
        if script.contains(&Step::Swap) {
            self.watched = self.bench.aside("current");
            symlink(self.bench.logs(), &self.watched).unwrap();
        }
        for step in script {
            self.step(step).await;
        }
        self.disk.end_lines();
        self.catch_up().await;
        self.stop().await;
        self.disk.ledger.balance(&self.bench).await;
        // A daemon that starts now finds all of it known.
        self.disk.write_elsewhere();
        self.catch_up().await;
        self.stop().await;
        self.disk.ledger.compare(&self.bench).await.unwrap();
        self.disk.ledger.balance(&self.bench).await;
        self.is_alone_if_it_was(script);
        Shown { due: self.disk.ledger.due(), excused: self.disk.ledger.excused() }
    }

    /// A daemon that had no other beside it has not met one, whatever was done to its store.
    fn is_alone_if_it_was(&self, script: &[Step]) {
        let makes_two = |it: &Step| matches!(it, Step::Second(_) | Step::Overtake(_));
        if !script.iter().any(makes_two) {
            let said = said(&self.bench);
            let meets = said.lines().find(|line| line.contains("took this file over"));
            assert!(meets.is_none(), "there was no other daemon: {}", meets.unwrap());
        }
    }

    async fn step(&mut self, step: &Step) {
        let disk = &mut self.disk;
        match *step {
            Step::Write(name, lines) => disk.write(name, lines),
            Step::Begin(name, percent) => disk.begin(name, percent),
            Step::Rotate(name) => disk.rotate(name),
            Step::Date(name) => disk.date(name),
            Step::CopyTruncate(name, copy) => disk.copy_truncate(name, copy),
            Step::Compress(name, kind) => disk.compress(name, kind),
            Step::Delete(name) => disk.delete(name),
            Step::Recreate(name, lines) => {
                disk.delete(name);
                disk.write(name, lines);
            }
            Step::Away(name) => disk.away(name),
            Step::Start(looks) => self.start(looks),
            Step::Kill => self.kill(),
            Step::Stop => self.stop().await,
            Step::Pause => self.pause(),
            Step::Continue => self.go_on(),
            Step::Cut => self.cut().await,
            Step::Back => self.lock = None,
            Step::Crash => {
                if let Stage::Postgres(cluster) = self.stage {
                    cluster.stop_at_once();
                    cluster.start_again();
                }
            }
            Step::Power(name, damage, bytes, lines) => {
                self.lose_power(name, damage, bytes, lines).await;
            }
            Step::Alike(name, other) => disk.begin_alike(name, other),
            Step::NoTime => disk.write_without_time(),
            Step::Host => {
                // When these lines are stored, the copies of what was truncated have been found.
                for log in 0..LOGS.len() {
                    self.disk.write(Name { log, slot: 0 }, 1);
                }
                self.catch_up().await;
                self.stop().await;
                self.renamed += 1;
                // When its line is stored, the daemon has seen all logs under the new name.
                self.disk.write_elsewhere();
                self.catch_up().await;
            }
            Step::Swap => disk.swap(&self.watched),
            Step::Storm(name, lines, after) => {
                disk.write(name, lines);
                tokio::time::sleep(Duration::from_millis(after.into())).await;
                self.cut().await;
            }
            Step::Burst(name, lines, after, copy) => {
                disk.write(name, lines);
                tokio::time::sleep(Duration::from_millis(after.into())).await;
                disk.copy_truncate(name, copy);
                disk.write(name, 1);
            }
            Step::Night(lines, way) => self.night(lines, way).await,
            Step::Second(looks) => self.start_second(looks),
            Step::Overtake(looks) => {
                self.pause();
                if let Stage::Postgres(_) = self.stage {
                    self.cut().await;
                }
                self.start_second(looks);
            }
            Step::Leave => {
                if let Some(second) = self.second.take() {
                    second.kill();
                    self.one_is_left();
                }
            }
            Step::Restore(name, lines) => self.restore(name, lines).await,
            Step::Import(lines, after, cut) => self.import(lines, after, cut),
            Step::Lose(name, percent) => self.lose(name, percent).await,
            Step::Wait(milliseconds) => {
                tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
            }
            Step::CatchUp => self.catch_up().await,
        }
    }

    fn start(&mut self, looks: u32) {
        if self.daemon.is_none() {
            self.daemon = Some(self.spawn(looks));
            self.one_lives();
        }
    }

    fn start_second(&mut self, looks: u32) {
        if self.daemon.is_some() && self.second.is_none() {
            self.second = Some(self.spawn(looks));
            // A deleted file that one of both has open is done with when the other one claims it.
            self.disk.daemon_ends();
        }
    }

    fn spawn(&mut self, looks: u32) -> Daemon {
        self.daemons += 1;
        let looks = format!("{looks}ms");
        let format = if self.disk.ledger.timeless { "uvicorn" } else { "gunicorn" };
        let watched = self.watched.to_str().unwrap();
        let watch = ["--watch", watched, "--poll-interval", &looks, "--format", format];
        let mut command = self.bench.command(&[&watch[..], &FLAGS[..]].concat());
        if self.renamed > 0 {
            command.env("LOG_INGESTD_HOST", format!("web{}", self.renamed));
        }
        Daemon::start(command, self.bench.aside(&said_name(self.daemons)))
    }

    /// Kills the first daemon. The second one, if there is one, is the first from now on.
    fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
            self.paused = false;
            self.daemon = self.second.take();
            self.one_is_left();
        }
    }

    /// One daemon ended. What only that one could still read is gone; which files the other one has open,
    /// if there is one, is not known.
    fn one_is_left(&mut self) {
        self.disk.daemon_ends();
        if self.daemon.is_some() {
            self.one_lives();
        }
    }

    fn one_lives(&mut self) {
        self.lives += 1;
        self.disk.daemon_starts(self.lives);
    }

    async fn stop(&mut self) {
        self.lock = None; // or the daemon would wait for it for as long as a stop may take
        self.go_on();
        for mut daemon in self.daemon.take().into_iter().chain(self.second.take()) {
            // Before this it has not asked for signals yet.
            daemon.says("watching").await;
            assert!(daemon.stop().await.success(), "the stop failed");
        }
        self.disk.daemon_ends();
    }

    fn pause(&mut self) {
        if let Some(daemon) = &self.daemon {
            daemon.signal("STOP");
            self.paused = true;
        }
    }

    fn go_on(&mut self) {
        if let Some(daemon) = self.daemon.as_ref().filter(|_| self.paused) {
            daemon.signal("CONT");
            self.paused = false;
        }
    }

    async fn cut(&mut self) {
        if let Stage::Postgres(_) = self.stage {
            let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
            self.bench.place.execute(all).await;
        } else if self.lock.is_none() {
            let mut other = SqliteConnection::connect(&self.bench.place.url).await.unwrap();
            // A daemon that was paused in the middle of a commit has it, and keeps it.
            let sql = "PRAGMA busy_timeout = 1000; BEGIN IMMEDIATE";
            let locked = sqlx::raw_sql(sql).execute(&mut other).await;
            self.lock = locked.is_ok().then_some(other);
        }
    }

    /// A log loses its end, and the daemon its life. What it has stored by then is known.
    async fn lose_power(&mut self, name: Name, damage: Damage, bytes: u32, lines: u32) {
        self.kill();
        self.kill();
        self.lock = None;
        self.bench.place.until_alone().await;
        // What is not stored yet is no fault.
        let _ = self.disk.ledger.compare(&self.bench).await;
        if self.disk.lose_power(name, damage, bytes) {
            // The first one is added to what the cut has left. Another one is due: when it is stored, the
            // daemon has seen the log as it is now.
            self.disk.write(name, lines.max(2));
            self.catch_up().await;
        }
    }

    /// All logs are rotated while no daemon looks.
    async fn night(&mut self, lines: u32, way: Way) {
        self.catch_up().await;
        self.stop().await;
        for log in 0..LOGS.len() {
            let name = Name { log, slot: 0 };
            let is_followed = self.disk.has_stored(name);
            self.disk.write(name, lines);
            match way {
                Way::Copy => self.disk.copy_truncate(name, Copy::Inside),
                Way::Rename => self.disk.rotate(name),
                Way::Compress(kind) => {
                    self.disk.rotate(name);
                    self.disk.compress(Name { log, slot: 1 }, kind);
                    // Of the next one no daemon sees anything but its archive.
                    self.disk.write(name, lines);
                    self.disk.rotate(name);
                    self.disk.reads_unmet = is_followed;
                    self.disk.compress(Name { log, slot: 1 }, kind);
                    self.disk.reads_unmet = false;
                }
            }
            self.disk.write(name, lines);
        }
        self.start(LOOKS);
    }

    /// A backup is restored while daemons live: what they have stored since is not there any more.
    async fn restore(&mut self, name: Name, lines: u32) {
        self.catch_up().await;
        if !self.disk.has_stored(name) {
            return;
        }
        let tables = OF_FILES.into_iter().filter(|table| *table != "log_file").collect::<Vec<_>>();
        let all = || tables.iter().chain(&["log_file"]);
        let keep = all().map(|table| {
            format!(
                "DROP TABLE IF EXISTS kept_{table}; \
                 CREATE TABLE kept_{table} AS SELECT * FROM {table};"
            )
        });
        self.bench.place.execute(&keep.collect::<String>()).await;
        let first = self.disk.ledger.next();
        self.disk.write(name, lines);
        self.catch_up().await;
        let known = "(SELECT id FROM kept_log_file)";
        let remove =
            tables.iter().map(|table| format!("DELETE FROM {table} WHERE log_file IN {known};"));
        let remove = remove.chain([format!("DELETE FROM log_file WHERE id IN {known};")]);
        let restore = all().map(|table| format!("INSERT INTO {table} SELECT * FROM kept_{table};"));
        let restore: String = remove.chain(restore).collect();
        let begin = if self.bench.place.is_postgres() { "BEGIN" } else { "BEGIN IMMEDIATE" };
        self.bench.place.execute(&format!("{begin}; {restore} COMMIT")).await;
        self.disk.ledger.restored(first);
        // With this line the daemon finds out.
        self.disk.write(name, 1);
        self.catch_up().await;
    }

    /// An import is cut between commits that are on their way together.
    fn import(&mut self, lines: u32, after: u32, cut: Cut) {
        let Stage::Postgres(cluster) = self.stage else { return };
        // Lines without a time need one that is given.
        if self.disk.ledger.timeless {
            return;
        }
        self.go_on();
        let log = self.disk.write_aside(lines);
        let log = log.to_str().unwrap();
        let database = self.bench.place.url.rsplit('/').next().unwrap();
        // By TCP, also where the other tests take the socket.
        let url = cluster.url("postgres", database.split('?').next().unwrap());
        let wire = Proxy::to(&url);
        wire.plan_after(
            after,
            match cut {
                Cut::Commit => Plan::CutCommit,
                Cut::Answer => Plan::CutAnswer,
            },
        );
        // It may go on by itself.
        self.bench.run(&["import", log, "--database-url", &wire.url(&url)]);
        self.bench.succeed(&["import", log]);
    }

    /// The part of a line that a daemon has seen is gone with a truncation.
    async fn lose(&mut self, name: Name, percent: u32) {
        // Of two, one may see the part long before the one that follows the log.
        if self.second.is_some() {
            self.kill();
        }
        // When this line is stored, the daemon follows the log: another one may have waited for it.
        self.disk.write(name, 1);
        self.catch_up().await;
        if !self.disk.has_stored(name) {
            return;
        }
        self.disk.begin(name, percent);
        // When this line is stored, the daemon has seen the part.
        self.disk.write_elsewhere();
        self.catch_up().await;
        let sum = "SELECT CAST(coalesce(sum(lost_bytes), 0) AS bigint) FROM log_file";
        let before = self.bench.place.number(sum).await;
        let least = before + self.disk.begun_bytes(name) as i64;
        self.disk.copy_truncate(name, Copy::Nowhere);
        let end = Instant::now() + self.patience;
        loop {
            let lost = self.bench.place.number(sum).await;
            if lost >= least {
                break;
            }
            assert!(Instant::now() < end, "{lost} bytes counted as lost, {least} were");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn catch_up(&mut self) {
        self.lock = None;
        self.start(LOOKS);
        self.go_on();
        let end = Instant::now() + self.patience;
        loop {
            let enough = self.bench.stored().await >= self.disk.ledger.due();
            let missing = if enough {
                self.disk.ledger.compare(&self.bench).await.err()
            } else {
                Some("there are fewer rows than lines".to_owned())
            };
            let Some(missing) = missing else { break };
            if Instant::now() > end {
                self.disk.ledger.compare(&self.bench).await.unwrap();
                panic!("waited in vain: {missing}");
            }
            let mut daemons = self.daemon.iter_mut().chain(&mut self.second);
            assert!(!daemons.any(Daemon::has_ended), "the daemon ended by itself");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.disk.caught_up();
    }
}
