//! A real PostgreSQL in a temporary directory: one for the test process, and one more for each test
//! that stops its server.
//!
//! `initdb` runs once for each version of PostgreSQL; its result is kept in the target directory and
//! copied for each server. Most tests get a copy of one database whose tables were made once.
//!
//! A watchdog outlives the test process, whatever ends it: a shell that reads a pipe whose other
//! end only this process has. When the pipe closes, it stops the server and removes the directory.
//!
//! `POSTGRES_PROGRAMS` names the directory of another version's programs. With `POSTGRES_SOCKET` the
//! copies are reached by the server's socket instead of by TCP; tests of stores can do with both.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use log_ingestd::store::{Location, Store};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::ports::Port;

/// A user whose password is `right`; all others need none.
pub(crate) const WITH_PASSWORD: &str = "with_password";

/// The arguments of every `initdb`.
const INITDB: [&str; 8] =
    ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];

/// The database that [`Cluster::migrated`] copies.
const TEMPLATE: &str = "with_tables";

/// One server with its own directory and port.
pub(crate) struct Cluster {
    programs: PathBuf,
    directory: PathBuf,
    port: Port,
    /// More `-c name=value` for the server.
    settings: String,
    template: OnceCell<()>,
    /// That of the main process, which may have to be killed when its disk can no longer be read.
    main_pid: AtomicU32,
    _watchdog: Child,
}

/// The server that most tests share, each with a database of its own.
pub(crate) fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start)
}

impl Cluster {
    pub(crate) fn start() -> Cluster {
        Cluster::start_with("")
    }

    /// Starts a server with more settings, each `-c name=value`.
    pub(crate) fn start_with(settings: &str) -> Cluster {
        Cluster::start_at(directory_of_server(), settings)
    }

    /// The same with its data below this directory.
    pub(crate) fn start_in(directory: &Path, settings: &str) -> Cluster {
        let server = tempfile::Builder::new().prefix("pg-").tempdir_in(directory).unwrap();
        Cluster::start_at(given_to_server(server), settings)
    }

    fn start_at(directory: PathBuf, settings: &str) -> Cluster {
        let programs = programs();
        let data = directory.join("data");
        copy(initialised(&programs), &data);
        let hba = data.join("pg_hba.conf");
        let rules = fs::read_to_string(&hba).unwrap();
        let first = format!("host all {WITH_PASSWORD} 127.0.0.1/32 scram-sha-256\n");
        fs::write(&hba, first + &rules).unwrap();
        let stop = format!(
            "cat >/dev/null; {} -D {} -m immediate -w stop >/dev/null 2>&1; rm -rf {} 2>/dev/null",
            programs.join("pg_ctl").display(),
            data.display(),
            directory.display()
        );
        let watchdog = as_server(Path::new("setsid"))
            .args(["sh", "-c", &stop])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut cluster = Cluster {
            programs,
            directory,
            port: Port::reserve(),
            settings: settings.to_owned(),
            template: OnceCell::new(),
            main_pid: AtomicU32::new(0),
            _watchdog: watchdog,
        };
        // A foreign server may have taken the port between its reservation and the start.
        while !cluster.try_start() {
            let said = fs::read_to_string(cluster.directory.join("server.log")).unwrap();
            assert!(said.contains("Address already in use"), "PostgreSQL did not start: {said}");
            fs::remove_file(cluster.directory.join("server.log")).unwrap();
            cluster.port = Port::reserve();
        }
        cluster
    }

    /// Starts it again on the same port; waits until it accepts connections.
    pub(crate) fn start_again(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.try_start() {
            // After kill -9, a last backend may still hold the shared memory.
            assert!(Instant::now() < deadline, "PostgreSQL did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn try_start(&self) -> bool {
        let settings = format!(
            "-c port={} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} \
             -c fsync=off -c max_connections=200 -c shared_buffers=64MB {}",
            self.port(),
            self.directory.display(),
            self.settings
        );
        let started = as_server(&self.programs.join("pg_ctl"))
            .args(["-w", "-s", "-t", "20", "-o", &settings, "-D"])
            .arg(self.directory.join("data"))
            .arg("-l")
            .arg(self.directory.join("server.log"))
            .arg("start")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let started = started.unwrap().success();
        if started {
            let pid = fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap();
            self.main_pid.store(pid.lines().next().unwrap().parse().unwrap(), Ordering::Relaxed);
        }
        started
    }

    /// An orderly stop that does not wait for clients.
    pub(crate) fn stop(&self) {
        let stopped = as_server(&self.programs.join("pg_ctl"))
            .args(["-w", "-s", "-m", "fast", "-D"])
            .arg(self.directory.join("data"))
            .arg("stop")
            .status();
        assert!(stopped.unwrap().success(), "PostgreSQL did not stop");
    }

    /// A stop that finishes nothing: the next start recovers what was committed.
    pub(crate) fn stop_at_once(&self) {
        let stopped = as_server(&self.programs.join("pg_ctl"))
            .args(["-w", "-s", "-m", "immediate", "-D"])
            .arg(self.directory.join("data"))
            .arg("stop")
            .status();
        assert!(stopped.unwrap().success(), "PostgreSQL did not stop");
    }

    /// The end without warning: the main process by kill -9; the others follow it.
    pub(crate) fn kill(&self) {
        let pid = self.main_pid.load(Ordering::Relaxed).to_string();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    }

    /// The end of the main process and of all its children in one moment.
    pub(crate) fn kill_all(&self) {
        let pid = self.main_pid.load(Ordering::Relaxed).to_string();
        let list = format!("/proc/{pid}/task/{pid}/children");
        // A main process that cannot write to its disk may have ended by itself.
        let children = fs::read_to_string(list).unwrap_or_default();
        // A child may have ended meanwhile: then `kill` says so, having killed the others.
        let mut kill = Command::new("kill");
        kill.args(["-9", &pid]).args(children.split_whitespace()).stderr(Stdio::null());
        kill.status().unwrap();
    }

    /// A file in the directory of its data, as it stands there.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join("data").join(name)
    }

    /// Writes a file that only the server may read.
    pub(crate) fn give(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.file(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if is_root() {
            chown(&path, Some(id("-u")), Some(id("-g"))).unwrap();
        }
    }

    /// Makes an empty database for one test; returns its URL.
    pub(crate) async fn database(&self) -> String {
        self.copy_of("template1").await
    }

    /// Makes a database with empty tables for one test; returns its URL.
    pub(crate) async fn migrated(&self) -> String {
        let url = self.copy_of_template().await;
        if std::env::var_os("POSTGRES_SOCKET").is_none() {
            return url;
        }
        let database = url.rsplit_once('/').unwrap().1;
        let directory = self.directory.display();
        format!("postgres://postgres@localhost/{database}?host={directory}&port={}", self.port())
    }

    async fn copy_of_template(&self) -> String {
        self.template
            .get_or_init(async || {
                self.administer(&format!("CREATE DATABASE {TEMPLATE}")).await;
                let template = Location::parse(&self.url("postgres", TEMPLATE)).unwrap();
                drop(Store::open(template).await.unwrap());
            })
            .await;
        self.copy_of(TEMPLATE).await
    }

    async fn copy_of(&self, template: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.administer(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        self.url("postgres", &name)
    }

    /// A program of its version.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// Runs a statement in the database `postgres`.
    pub(crate) async fn administer(&self, sql: &str) {
        let mut connection =
            PgConnection::connect(&self.url("postgres", "postgres")).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
}

/// The directory of the server's programs.
fn programs() -> PathBuf {
    if let Some(directory) = std::env::var_os("POSTGRES_PROGRAMS") {
        return directory.into();
    }
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is not installed");
    let version = |path: &Path| -> u32 {
        path.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
    };
    let newest = versions.map(|entry| entry.unwrap().path()).max_by_key(|path| version(path));
    newest.expect("PostgreSQL is not installed").join("bin")
}

/// A new directory that the server may write to.
fn directory_of_server() -> PathBuf {
    given_to_server(tempfile::Builder::new().prefix("log-ingestd-pg-").tempdir().unwrap())
}

fn given_to_server(directory: TempDir) -> PathBuf {
    let directory = directory.keep();
    if is_root() {
        chown(&directory, Some(id("-u")), Some(id("-g"))).unwrap();
    }
    directory
}

/// The data directory of a server that never ran, from `initdb` or from an earlier test process.
fn initialised(programs: &Path) -> &'static Path {
    static INITIALISED: OnceLock<PathBuf> = OnceLock::new();
    INITIALISED.get_or_init(|| {
        let initdb = programs.join("initdb");
        let version = Command::new(&initdb).arg("--version").output().unwrap().stdout;
        let mut key = DefaultHasher::new();
        (programs, version, INITDB, is_root()).hash(&mut key);
        let cached =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("postgres-{:016x}", key.finish()));
        if cached.exists() {
            return cached;
        }
        let directory = directory_of_server();
        let data = directory.join("data");
        let done = as_server(&initdb).args(INITDB).arg("-D").arg(&data).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        // Another process may do the same at this moment: only a whole directory gets the name.
        let whole = cached.with_extension(std::process::id().to_string());
        copy(&data, &whole);
        if fs::rename(&whole, &cached).is_err() {
            assert!(cached.exists(), "cannot rename {}", whole.display());
            fs::remove_dir_all(whole).unwrap();
        }
        fs::remove_dir_all(directory).unwrap();
        cached
    })
}

/// Copies a data directory with its owner and modes.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "--reflink=auto", "--"]).args([from, to]).status();
    assert!(copied.unwrap().success(), "cannot copy {} to {}", from.display(), to.display());
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn id(flag: &str) -> u32 {
    let output = Command::new("id").args([flag, "postgres"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().expect("there is no user postgres")
}

/// A command of the server's: it refuses to run as root.
pub(crate) fn as_server(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    command.current_dir("/");
    command
}
