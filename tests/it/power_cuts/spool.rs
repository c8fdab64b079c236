//! What a power cut leaves of streams while the database is unavailable: the spool is all that there is.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::daemon::{Bench, Daemon, lines, urls};
use crate::place::{Place, until};
use crate::postgres::Cluster;
use crate::streams::{hold_open, make_fifo};

use super::file_system::{FileSystem, Type};

/// The kernel itself writes what is older than this to the disk, 30 s unless it is told otherwise.
const BY_THE_KERNEL: Duration = Duration::from_secs(20);

/// A machine whose database is elsewhere and does not answer.
struct Machine {
    bench: Bench,
    cluster: Cluster,
    /// On another disk: FIFO, and what daemons say.
    aside: TempDir,
    daemon: Option<Daemon>,
    /// Dropped last, when nothing on it is open.
    system: FileSystem,
}

impl Machine {
    /// Starts the daemon on `path` and takes the database away. `None` where nothing can be mounted.
    async fn begin(path: &str, input: impl Into<std::process::Stdio>) -> Option<Machine> {
        let system = match FileSystem::with(Type::Ext4, "commit=300") {
            Ok(system) => system,
            Err(why) => {
                println!("NOT RUN: {why}");
                return None;
            }
        };
        let cluster = Cluster::start();
        let bench = Bench::in_directory(Place::at(cluster.database().await), &system.mount).await;
        let aside = tempfile::tempdir().unwrap();
        let fifo = aside.path().join("fifo");
        make_fifo(&fifo);
        let watched = if path == "fifo" { fifo.to_str().unwrap() } else { path };
        let command = bench.command(&["--poll-interval", "100ms", "--watch", watched]);
        let mut daemon = Daemon::reading(command, aside.path().join("said"), input);
        daemon.says("watching").await;
        cluster.stop();
        Some(Machine { bench, cluster, aside, daemon: Some(daemon), system })
    }

    fn spooled(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(crate::streams::spool(&self.bench)) else {
            return Vec::new();
        };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    async fn until_spooled(&self, text: &str) {
        until("the spool has the lines", async || {
            let texts = self.spooled().into_iter().map(|path| fs::read_to_string(path).unwrap());
            texts.collect::<String>().ends_with(text)
        })
        .await;
    }

    /// The power is cut and comes back, with the database; a new daemon stores what is left.
    async fn cut(mut self, stored: Vec<String>) {
        self.system.cut();
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
        self.system.mount_again();
        self.cluster.start_again();
        let logs = self.bench.logs();
        let command =
            self.bench.command(&["--poll-interval", "100ms", "--watch", logs.to_str().unwrap()]);
        let daemon = Daemon::start(command, self.aside.path().join("said after"));
        let count = "SELECT count(*) FROM gunicorn_log";
        until("the lines are stored", async || {
            self.bench.place.number(count).await >= stored.len() as i64
        })
        .await;
        let found = self.bench.place.texts("SELECT url FROM gunicorn_log").await;
        let lost: Vec<&String> = stored.iter().filter(|url| !found.contains(url)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert!(daemon.stop().await.success());
    }
}

/// Whether all bytes of a file have a place on the disk.
fn is_on_disk(path: &Path) -> bool {
    let output = Command::new("filefrag").arg("-v").arg(path).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    said.contains("eof") && !said.contains("delalloc")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_until_the_spool_is_on_the_disk() {
    let (reader, mut input) = std::io::pipe().unwrap();
    let Some(mut machine) = Machine::begin("-", reader).await else { return };
    let text = lines("a", 0..100);
    input.write_all(text.as_bytes()).unwrap();
    machine.until_spooled(&text).await;
    assert!(machine.daemon.take().unwrap().stop().await.success());
    machine.cut(urls("a", 0..100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_read_on_when_the_bytes_before_are_on_the_disk() {
    let (reader, mut writer) = UnixStream::pair().unwrap();
    let Some(machine) = Machine::begin("-", OwnedFd::from(reader)).await else { return };
    let text = lines("a", 0..100);
    writer.write_all(text.as_bytes()).unwrap();
    machine.until_spooled(&text).await;
    let next = lines("b", 0..1);
    writer.write_all(next.as_bytes()).unwrap();
    machine.until_spooled(&next).await;
    machine.cut(urls("a", 0..100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_by_a_fifo_is_on_the_disk_a_moment_later() {
    let Some(machine) = Machine::begin("fifo", std::process::Stdio::null()).await else { return };
    let mut writer: File = hold_open(&machine.aside.path().join("fifo"));
    let text = lines("a", 0..100);
    writer.write_all(text.as_bytes()).unwrap();
    machine.until_spooled(&text).await;
    let began = Instant::now();
    let is_synced = || machine.spooled().iter().all(|path| is_on_disk(path));
    until("the spool is on the disk", async || is_synced()).await;
    assert!(began.elapsed() < BY_THE_KERNEL, "the kernel did it");
    machine.cut(urls("a", 0..100)).await;
}
