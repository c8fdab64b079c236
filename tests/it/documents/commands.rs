//! Each block of shell commands in the documents, run by a shell as it stands, but for what a test
//! cannot have: names of hosts, and directories of the system.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Block, blocks, pages};
use crate::daemon::{ToEnd, line_at};
use crate::place::until;
use crate::postgres::Cluster;

/// Blocks that are run elsewhere, by their first line: in all pages, or in one.
const ELSEWHERE: [(&str, &str, &str); 14] = [
    ("README.md", "cargo run --release -- --watch DIR", "tests/run"),
    ("README.md", "cargo install --profile dist --path .", "tests/run"),
    ("CONTRIBUTING.md", "tests/run ", "is what runs this"),
    ("CONTRIBUTING.md", "tests/torture --minutes 10", "model.rs, kills.rs, in short"),
    ("deploy/container/README.md", "", "deploy/tests/container.py"),
    ("deploy/docs/install.md", "", "deploy/tests/install.py"),
    ("deploy/docs/kubernetes.md", "", "deploy/tests"),
    ("deploy/python/README.md", "pip install log-ingestd", "deploy/tests/release.py"),
    ("deploy/docs/backup.md", "umask 077", "restore.rs"),
    ("deploy/docs/backup.md", "cd /var/lib/log-ingestd", "restore.rs"),
    ("deploy/docs/fleet.md", "log-ingestd migrate --citus", "citus.rs"),
    ("deploy/docs/moving.md", "systemctl stop", "copy.rs"),
    ("deploy/docs/streams.md", "gunicorn app:wsgi", "gunicorn.rs"),
    ("deploy/docs/streams.md", "mkfifo", "gunicorn.rs"),
];

/// Lines in the log that the documents speak of.
const LINES: u32 = 40;

impl Block {
    fn runs_elsewhere(&self) -> bool {
        ELSEWHERE.iter().any(|(page, first, _)| self.page == *page && self.text.starts_with(first))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_are_told_to_type_works() {
    let world = World::new();
    let mut run = 0;
    for page in pages() {
        for block in blocks(&page, "sh").iter().filter(|block| !block.runs_elsewhere()) {
            world.run(block).await;
            run += 1;
        }
    }
    assert!(run >= 7, "only {run} blocks were found");
}

#[test]
fn what_is_run_elsewhere_is_still_there() {
    for (page, first, _) in ELSEWHERE {
        let there = blocks(page, "sh").iter().any(|block| block.text.starts_with(first));
        assert!(there, "{page} has no block that begins with '{first}'");
    }
}

/// A machine as the documents have it in mind: a server, logs, the program on the path.
struct World {
    cluster: Cluster,
    home: TempDir,
}

impl World {
    fn new() -> World {
        let (cluster, home) = (Cluster::start(), tempfile::tempdir().unwrap());
        for directory in ["logs", "old-logs"] {
            fs::create_dir(home.path().join(directory)).unwrap();
        }
        let now = chrono::Utc::now().timestamp_micros();
        let log = |name: &str| -> String {
            let time = |nth| now - i64::from(nth) * 1_000_000;
            (0..LINES).map(|nth| line_at(&format!("/{name}/{nth}"), time(nth))).collect()
        };
        let path = |name: &str| home.path().join(name);
        fs::write(path("logs/access.log"), log("a")).unwrap();
        fs::write(path("old-logs/access.log"), log("a")).unwrap();
        fs::write(path("logs/access.log.1"), log("b")).unwrap();
        assert!(Command::new("gzip").arg(path("logs/access.log.1")).status().unwrap().success());
        let timed = "127.0.0.1 [23/Nov/2026:08:41:00 +0000] \"GET / HTTP/1.1\" 200 5 1234\n";
        fs::write(path("access.log"), timed).unwrap();
        World { cluster, home }
    }

    /// What stands in the documents and is not to be had here, and what is.
    fn localised(&self, script: &str) -> String {
        let path = |name: &str| self.home.path().join(name).to_string_lossy().into_owned();
        [
            ("/var/log/app", path("logs")),
            ("/mnt/old-logs", path("old-logs")),
            ("postgres://user@host:5432/logs", self.cluster.url("postgres", "logs")),
            ("0.0.0.0:8686", "0.0.0.0:0".to_owned()),
            ("ssh web ", String::new()),
            // TLS has tests of its own.
            (
                concat!(
                    "postgres://logs@db.example/logs?sslmode=verify-full&sslrootcert=",
                    "/etc/log-ingestd/ca.crt"
                ),
                self.cluster.url("postgres", "logs"),
            ),
            ("postgres://log_owner@db.example/logs", self.cluster.url("postgres", "logs")),
            ("hash-password jo", "hash-password jo <<<one".to_owned()),
            ("--token prometheus", "--token prometheus <<<two".to_owned()),
        ]
        .iter()
        .fold(script.to_owned(), |script, (there, here)| script.replace(there, here))
    }

    async fn run(&self, block: &Block) {
        let script = self.localised(&block.text);
        let place = format!("{}:{}\n{script}", block.page, block.line);
        let said = self.home.path().join("said");
        // A daemon ends by SIGTERM, the shell around it goes on.
        let mut shell = self.command("bash");
        shell.args(["-euo", "pipefail", "-c", &format!("trap : TERM\n{script}")]);
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said).unwrap());
        let mut shell = Shell(shell.process_group(0).spawn().unwrap());
        if script.contains("--watch") {
            let read = || fs::read_to_string(&said).unwrap();
            until(&format!("{place}: watches"), async || {
                read().contains("watching") && self.has_caught_up(&script) || shell.has_ended()
            })
            .await;
            assert!(!shell.has_ended(), "{place}\n{}", read());
            shell.signal("TERM");
        }
        until(&format!("{place}: ends"), async || shell.has_ended()).await;
        let said = fs::read_to_string(&said).unwrap();
        assert!(shell.0.wait().unwrap().success(), "{place}\n{said}");
    }

    /// Whether everything that is followed is stored.
    fn has_caught_up(&self, script: &str) -> bool {
        let mut status = self.command("log-ingestd");
        // The lag of a host's files is known under its name.
        let host = script.split_once("LOG_INGESTD_HOST=").map(|(_, rest)| rest);
        status.envs(
            host.and_then(|rest| rest.split_whitespace().next())
                .map(|host| ("LOG_INGESTD_HOST", host)),
        );
        let output = status.arg("status").to_end();
        let status = String::from_utf8_lossy(&output.stdout);
        output.status.success() && status.contains("caught up") && !status.contains("behind")
    }

    fn command(&self, program: &str) -> Command {
        let program_directory = Path::new(env!("CARGO_BIN_EXE_log-ingestd")).parent().unwrap();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program_directory.display());
        let found = program_directory.join(program);
        let mut command = Command::new(if found.exists() { found } else { program.into() });
        command
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.home.path())
            .env("LOG_INGESTD_LISTEN", "off")
            .env("DATABASE_URL", self.cluster.url("postgres", "logs"))
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.cluster.port().to_string())
            .env("PGUSER", "postgres");
        command
    }
}

/// A shell and what it has started.
struct Shell(Child);

impl Shell {
    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn signal(&self, name: &str) {
        let group = format!("-{}", self.0.id());
        let mut kill = Command::new("kill");
        kill.args(["-s", name, "--", &group]).stderr(Stdio::null()).status().unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}
