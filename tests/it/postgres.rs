//! A real PostgreSQL in a temporary directory: one for the test process, or one of its own for a
//! test that stops it.
//!
//! A watchdog outlives the test process, whatever ends it: a shell that reads a pipe whose other
//! end only this process has. When the pipe closes, it stops the server and removes the directory.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A user whose password is `right`; all others need none.
pub(crate) const WITH_PASSWORD: &str = "with_password";

/// One server with its own directory and port.
pub(crate) struct Cluster {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
    /// More `-c name=value` for the server.
    settings: String,
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

    /// With more settings, each `-c name=value`.
    pub(crate) fn start_with(settings: &str) -> Cluster {
        let programs = newest_programs();
        let directory =
            tempfile::Builder::new().prefix("log-ingestd-pg-").tempdir().unwrap().keep();
        if is_root() {
            let (user, group) = (id("-u"), id("-g"));
            chown(&directory, Some(user), Some(group)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = directory.join("data");
        let initialised = as_server(&programs.join("initdb"))
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(initialised.unwrap().success(), "initdb failed");
        let hba = data.join("pg_hba.conf");
        let rules = fs::read_to_string(&hba).unwrap();
        let first = format!("host all {WITH_PASSWORD} 127.0.0.1/32 scram-sha-256\n");
        fs::write(&hba, first + &rules).unwrap();
        let stop = format!(
            "cat >/dev/null; {} -D {} -m immediate -w stop >/dev/null 2>&1; rm -rf {}",
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
        let cluster = Cluster {
            programs,
            directory,
            port,
            settings: settings.to_owned(),
            _watchdog: watchdog,
        };
        cluster.start_again();
        cluster
    }

    /// Starts it where it was; waits until it lets clients in.
    pub(crate) fn start_again(&self) {
        let settings = format!(
            "-c port={} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} \
             -c fsync=off -c max_connections=200 -c shared_buffers=64MB {}",
            self.port,
            self.directory.display(),
            self.settings
        );
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
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
            if started.unwrap().success() {
                return;
            }
            // After kill -9, a last backend may still hold the shared memory.
            assert!(Instant::now() < deadline, "PostgreSQL did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
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
        let pid = fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap();
        assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
    }

    /// The end of the main process and of all its children in one moment.
    pub(crate) fn kill_all(&self) {
        let pid = fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap();
        let list = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(list).unwrap();
        // A child may have ended meanwhile: then `kill` says so, having killed the others.
        let mut kill = Command::new("kill");
        kill.args(["-9", pid]).args(children.split_whitespace()).stderr(Stdio::null());
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

    /// The URL of a new database that nobody else has.
    pub(crate) async fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.administer(&format!("CREATE DATABASE {name}")).await;
        self.url("postgres", &name)
    }

    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Runs a statement in the database `postgres`.
    pub(crate) async fn administer(&self, sql: &str) {
        let mut connection =
            PgConnection::connect(&self.url("postgres", "postgres")).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
}

fn newest_programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is not installed");
    let version = |path: &Path| -> u32 {
        path.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
    };
    let newest = versions.map(|entry| entry.unwrap().path()).max_by_key(|path| version(path));
    newest.expect("PostgreSQL is not installed").join("bin")
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
