//! File systems that stop answering: a real one (FUSE) of which the daemon is stopped with SIGSTOP, or killed. Other
//! files, signals and the page go on, and of its own files nothing is lost, doubled or concluded.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::daemon::{Bench, Daemon, PATIENCE, for_each_store, lines, rename, urls};
use crate::page::client::Site;
use crate::page::measures::comes_to;
use crate::place::until;
use crate::postgres::is_root;

/// How long a stop may take, whatever a file system does.
const STOP: Duration = Duration::from_secs(10);

/// How often a file system stops that does so again and again. The last round ends without a rename.
const ROUNDS: u32 = 10;

/// What the daemon says when it concludes something of a file.
const CONCLUSIONS: [&str; 6] = [
    "cut short or replaced",
    "no name here",
    "were lost",
    "cannot read",
    "cannot look",
    "does not exist",
];

/// A directory that is shown at another place by a process that may be stopped; unmounted when dropped.
struct Far {
    place: PathBuf,
    source: PathBuf,
    server: Child,
    /// Ends it when a test waits for ever, even for the end of a program that has files open there. Ends
    /// when this is dropped.
    _limit: Sender<()>,
}

impl Far {
    /// Mounts it at this path. Returns `None`, and says so, where that is not possible.
    async fn mount(bench: &Bench, name: &str) -> Option<Self> {
        let can_mount = Command::new("bindfs").arg("--version").output().is_ok();
        if !is_root() || !std::path::Path::new("/dev/fuse").exists() || !can_mount {
            println!("NOT RUN: a file system that hangs needs root, /dev/fuse and bindfs");
            return None;
        }
        let source = format!("{}.source", name.replace('/', "-"));
        let (place, source) = (bench.aside(name), bench.aside(&source));
        fs::create_dir_all(&place).unwrap();
        fs::create_dir_all(&source).unwrap();
        let Some((server, limit)) = Self::serve(&place, &source).await else {
            println!("NOT RUN: this system mounts no FUSE");
            return None;
        };
        Some(Self { place, source, server, _limit: limit })
    }

    /// Nothing is remembered by the kernel, so that each look has to wait for the process. Returns `None` if it ends
    /// at once.
    async fn serve(place: &PathBuf, source: &PathBuf) -> Option<(Child, Sender<()>)> {
        let mut server = Command::new("bindfs")
            .args(["-f", "-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0"])
            .args([source, place])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let is_mounted = async || {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            mounts.contains(&format!(" {} ", place.display()))
        };
        until("it is mounted", async || is_mounted().await || server.try_wait().unwrap().is_some())
            .await;
        if !is_mounted().await {
            return None;
        }
        let (limit, ended) = channel();
        let pid = server.id().to_string();
        std::thread::spawn(move || {
            if ended.recv_timeout(PATIENCE * 2) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-s", "KILL", &pid]).status();
            }
        });
        Some((server, limit))
    }

    /// Appends without the process, to the files that it shows.
    fn append(&self, name: &str, text: &str) {
        let path = self.source.join(name);
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn signal(&self, name: &str) {
        let pid = self.server.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Returns when each of its threads has stopped.
    async fn stop(&self) {
        self.signal("STOP");
        let threads = format!("/proc/{}/task", self.server.id());
        until("it is stopped", async || {
            fs::read_dir(&threads).unwrap().all(|thread| {
                let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
                stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
            })
        })
        .await;
    }

    /// Ends it as the machine does that runs out of memory.
    fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    async fn mount_again(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.place).status().unwrap();
        assert!(unmounted.success());
        (self.server, self._limit) = Self::serve(&self.place, &self.source).await.unwrap();
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}

/// Watches these paths, with a page.
async fn watch(bench: &Bench, paths: &[PathBuf]) -> Site {
    let mut arguments = vec!["--poll-interval", "100ms", "--listen", "127.0.0.1:0"];
    for path in paths {
        arguments.extend(["--watch", path.to_str().unwrap()]);
    }
    Site::of(Daemon::start(bench.command(&arguments), bench.aside("stderr"))).await
}

/// Returns whether the program has ended. As long as the system has files to close for it, and waits for their file
/// system with that, its parent is not informed.
fn has_ended(daemon: &Daemon) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// Nothing was concluded of any file.
async fn nothing_is_said_to_be_lost(bench: &Bench, files: i64) {
    let said = bench.said();
    for words in CONCLUSIONS {
        assert!(!said.contains(words), "'{words}' in: {said}");
    }
    assert_eq!(bench.place.number("SELECT CAST(sum(lost_bytes) AS bigint) FROM log_file").await, 0);
    assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, files);
}

for_each_store! {
    async fn a_file_system_that_stops_answering_stops_no_other(bench) {
        let Some(far) = Far::mount(&bench, "far").await else { return };
        far.append("access.log", &lines("far", 0..20));
        bench.append("access.log", lines("near", 0..20));
        let mut site = watch(&bench, &[bench.logs(), far.place.clone()]).await;
        bench.rows(40).await;

        far.stop().await;
        far.append("access.log", &lines("far", 20..40));
        bench.append("access.log", lines("near", 20..40));
        bench.rows(60).await;
        site.daemon.says("this file system does not answer").await;
        comes_to(&site, "unreachable_file_systems", 1.0).await;
        for path in ["/healthz", "/readyz"] {
            let answer = site.get(path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        }
        let listed = "SELECT count(*) FROM ignored_file WHERE reason = 'unreachable'";
        until("it is listed", async || bench.place.number(listed).await == 1).await;
        let began = Instant::now();
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        bench.append("access.log", lines("near", 40..60));
        bench.append("access.log.1", lines("near", 60..70));
        bench.rows(90).await;
        site.daemon.signal("HUP");
        site.daemon.says("configuration read again").await;
        bench.append("access.log", lines("near", 70..80));
        bench.rows(100).await;
        assert!(began.elapsed() < PATIENCE);
        far.append("access.log", &lines("far", 40..60));

        far.signal("CONT");
        rename(&far.place.join("access.log"), &far.place.join("access.log.1"));
        far.append("access.log", &lines("far", 60..70));
        bench.exactly([urls("near", 0..80), urls("far", 0..70)].concat()).await;
        site.daemon.says("this file system answers again").await;
        comes_to(&site, "unreachable_file_systems", 0.0).await;
        until("none is listed", async || bench.place.number(listed).await == 0).await;
        far.append("access.log", &lines("far", 70..80));
        bench.exactly([urls("near", 0..80), urls("far", 0..80)].concat()).await;
        nothing_is_said_to_be_lost(&bench, 4).await;
        assert!(site.daemon.stop().await.success());
    }

    /// Two ways lead to it: a pattern, and a link in a directory that answers.
    async fn a_start_and_a_stop_wait_for_no_file_system(bench) {
        let Some(far) = Far::mount(&bench, "places/far").await else { return };
        let Some(other) = Far::mount(&bench, "other").await else { return };
        fs::create_dir(bench.aside("places/near")).unwrap();
        symlink(other.place.join("app.log"), bench.log("app.log")).unwrap();
        let pattern = bench.aside("places").join("*/*.log");
        let near = |numbers| {
            let path = bench.aside("places/near").join("access.log");
            let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
            file.write_all(lines("near", numbers).as_bytes()).unwrap();
        };
        near(0..10);
        far.append("access.log", &lines("far", 0..10));
        other.append("app.log", &lines("other", 0..10));
        bench.append("access.log", lines("log", 0..10));
        let mut watched = vec![pattern, bench.logs()];
        let mut site = watch(&bench, &watched).await;
        bench.rows(40).await;
        far.stop().await;
        other.stop().await;
        near(10..20);
        bench.append("access.log", lines("log", 10..20));
        bench.rows(60).await;
        let began = Instant::now();
        site.daemon.signal("TERM");
        site.daemon.says("everything that was read is stored").await;
        until("it has ended", async || has_ended(&site.daemon)).await;
        assert!(began.elapsed() < STOP, "it took {:?}", began.elapsed());
        let before = site;

        // Of these paths even what they are is unknown.
        watched.extend([other.place.clone(), far.place.join("access.log")]);
        far.append("access.log", &lines("far", 10..20));
        other.append("app.log", &lines("other", 10..20));
        near(20..30);
        rename(&bench.aside("stderr"), &bench.aside("stderr.before"));
        let site = watch(&bench, &watched).await;
        bench.append("access.log", lines("log", 20..30));
        bench.rows(80).await;
        comes_to(&site, "unreachable_file_systems", 2.0).await;
        far.signal("CONT");
        bench.rows(90).await;
        comes_to(&site, "unreachable_file_systems", 1.0).await;
        other.signal("CONT");
        let names = ["near", "log"].map(|name| urls(name, 0..30)).concat();
        let far_names = ["far", "other"].map(|name| urls(name, 0..20)).concat();
        bench.exactly([names, far_names].concat()).await;
        nothing_is_said_to_be_lost(&bench, 4).await;
        for site in [before, site] {
            assert!(site.daemon.stop().await.success());
        }
    }

    async fn a_file_system_whose_process_is_killed_goes_on_when_it_is_mounted_again(bench) {
        let Some(mut far) = Far::mount(&bench, "far").await else { return };
        far.append("access.log", &lines("far", 0..20));
        bench.append("access.log", lines("near", 0..20));
        let mut site = watch(&bench, &[bench.logs(), far.place.clone()]).await;
        bench.rows(40).await;
        for round in 1..5 {
            let (from, to) = (round * 20, round * 20 + 20);
            far.kill();
            far.append("access.log", &lines("far", from..to));
            bench.append("access.log", lines("near", from..to));
            bench.rows(i64::from(40 * round + 20)).await;
            comes_to(&site, "unreachable_file_systems", 1.0).await;
            far.mount_again().await;
            let all = [urls("near", 0..to), urls("far", 0..to)].concat();
            bench.exactly(all).await;
            comes_to(&site, "unreachable_file_systems", 0.0).await;
        }
        site.daemon.says("this file system does not answer").await;
        let lost = "SELECT CAST(sum(lost_bytes) AS bigint) FROM log_file";
        assert_eq!(bench.place.number(lost).await, 0);
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 2);
        assert!(site.daemon.stop().await.success());
    }

    /// It stops at any moment, in the middle of a look or of a read of many lines.
    async fn a_file_system_that_stops_again_and_again_loses_and_doubles_nothing(bench) {
        let Some(far) = Far::mount(&bench, "far").await else { return };
        let site = watch(&bench, &[bench.logs(), far.place.clone()]).await;
        let (mut dice, mut written) = (fastrand::Rng::new(), 0);
        for round in 0..ROUNDS {
            let size = dice.u32(1..3_000);
            far.append("access.log", &lines("far", written..written + size));
            bench.append("access.log", lines("near", written..written + size));
            written += size;
            tokio::time::sleep(Duration::from_millis(dice.u64(..300))).await;
            far.stop().await;
            if round % 4 == 3 {
                site.daemon.signal("HUP");
            }
            tokio::time::sleep(Duration::from_millis(dice.u64(..3_000))).await;
            far.signal("CONT");
            if round % 3 == 2 {
                rename(&far.place.join("access.log"), &far.place.join(format!("access.log.{round}")));
            }
        }
        bench.exactly([urls("near", 0..written), urls("far", 0..written)].concat()).await;
        nothing_is_said_to_be_lost(&bench, 2 + i64::from(ROUNDS / 3)).await;
        assert!(site.daemon.stop().await.success());
    }
}
