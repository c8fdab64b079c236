//! A disk that is full. As root, a small file system in memory, which can grow; else, or where
//! mounting is not allowed, a limit on the size of a file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::bad_input::Answer;
use crate::daemon::{Bench, Daemon, ToEnd, lines, urls};
use crate::place::{Place, until};

/// Takes more room than there is.
const LINES: u32 = 20_000;

/// A small file system; unmounted when dropped.
pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "log-ingestd-test"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }

    pub(crate) fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_onto_a_full_disk_says_so_and_can_be_repeated() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..LINES));
    let log = bench.log("access.log");
    let arguments = ["import", "--connect-timeout=1s", "--log-level=error", log.to_str().unwrap()];
    let disk = Disk::mount(&bench.aside("disk"));
    let url = format!("sqlite:{}", bench.aside("disk/log.sqlite3").display());
    let real = bench.command(&arguments);
    let mut command = match disk {
        Some(_) => real,
        None => {
            // The limit's signal is ignored: a write that goes too far fails, as on a full disk.
            let mut shell = Command::new("sh");
            shell.args(["-c", "trap '' XFSZ; ulimit -f 512; exec \"$0\" \"$@\""]);
            shell.arg(real.get_program()).args(real.get_args()).env_clear();
            shell.env("LOG_INGESTD_HOST", "web");
            shell
        }
    };
    command.env("DATABASE_URL", &url);
    let answer = Answer::to_command(command);
    answer.is(1, &[log.to_str().unwrap(), "disk/log.sqlite3", "not available"]);
    if let Some(disk) = &disk {
        disk.grow();
    }
    let again = bench.command(&arguments).env("DATABASE_URL", &url).to_end();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let count = Place::at(url).number("SELECT count(*) FROM gunicorn_log").await;
    assert_eq!(count, i64::from(LINES));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_waits_for_room_and_goes_on_by_itself() {
    let bench = Bench::new(Place::sqlite().await).await;
    let Some(disk) = Disk::mount(&bench.aside("disk")) else {
        println!("skipped: only root may mount a small disk");
        return;
    };
    let place = Place::at(format!("sqlite:{}", bench.aside("disk/log.sqlite3").display()));
    bench.append("access.log", lines("a", 0..LINES));
    let logs = bench.logs();
    let mut command = bench.command(&["--watch", logs.to_str().unwrap()]);
    command.env("DATABASE_URL", &place.url);
    let mut daemon = Daemon::start(command, bench.aside("stderr"));
    daemon.says("the store is unavailable").await;
    disk.grow();
    daemon.says("the store is back").await;
    until("every line is stored", async || {
        place.number("SELECT count(*) FROM gunicorn_log").await == i64::from(LINES)
    })
    .await;
    let mut found = place.texts("SELECT url FROM gunicorn_log").await;
    let mut wanted = urls("a", 0..LINES);
    found.sort();
    wanted.sort();
    assert!(found == wanted, "rows are not what was written");
    assert_eq!(daemon.said().matches("the store is unavailable").count(), 1, "{}", daemon.said());
}
