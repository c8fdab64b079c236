//! A directory of logs that belongs to someone else, who may put into it what harms: names that are
//! exchanged, links to secrets, files of the kernel, and the first lines of a log.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::daemon::{Bench, Daemon, ends_within, for_each_store, line, lines, rename, urls};
use crate::page::client::Site;
use crate::place::{Place, until};
use crate::supervisor::lease;

/// How long a stop may take, whatever a file does.
const STOP: Duration = Duration::from_secs(10);

/// A user who is not the one that runs the tests, and another one.
const STRANGER: u32 = 65_534;
const TENANT: u32 = 65_533;

/// A line that looks like one of Gunicorn's error log.
const FORGED: &str = "[2026-11-23 14:23:17 +0530] [24744] [INFO] Starting gunicorn 23.0.0\n";

/// One request whose path holds newlines, as `%(U)s` writes it.
fn forged_request(lines: usize) -> String {
    line(&format!("/{}", FORGED.repeat(lines)))
}

fn is_root() -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        println!("not shown: only root may do this");
    }
    is_root
}

async fn reason_of(bench: &Bench, name: &str) -> Vec<String> {
    let path = bench.log(name).display().to_string();
    bench.place.texts(&format!("SELECT reason FROM ignored_file WHERE path = '{path}'")).await
}

async fn paths(bench: &Bench) -> Vec<String> {
    let mut names = bench.place.texts("SELECT path FROM log_file").await;
    names.iter_mut().for_each(|path| *path = path.rsplit('/').next().unwrap().to_owned());
    names.sort();
    names
}

for_each_store! {
    async fn a_log_that_begins_like_an_error_log_is_followed_when_access_lines_come(bench) {
        bench.append("access.log", lines("a", 0..10));
        let mut daemon = bench.watch();
        bench.rows(10).await;
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        bench.append("access.log", forged_request(64));
        daemon.says("this is Gunicorn's error log").await;
        assert!(daemon.said().lines().any(|it| it.contains("WARN") && it.contains("error log")));
        until("it is listed", async || reason_of(&bench, "access.log").await == ["error_log"]).await;
        bench.append("access.log", lines("b", 0..10));
        bench.exactly([urls("a", 0..10), urls("b", 0..10)].concat()).await;
        until("it is not listed", async || reason_of(&bench, "access.log").await.is_empty()).await;
        assert!(daemon.stop().await.success());
        bench.balanced().await;
    }

    /// More of it than a format is detected from.
    async fn a_long_forgery_at_the_beginning_does_not_hide_the_lines_after_it(bench) {
        bench.append("forged.log", forged_request(3_000));
        bench.append("odd.log", "GET POST one two three\n".repeat(6_000));
        bench.append("blank.log", "\n".repeat(70_000));
        let daemon = bench.watch();
        until("they are listed", async || {
            let names = ["forged.log", "odd.log", "blank.log"];
            let mut all = Vec::new();
            for name in names {
                all.extend(reason_of(&bench, name).await);
            }
            all == ["error_log", "unknown_format", "no_line"]
        })
        .await;
        let mut all = Vec::new();
        for name in ["forged", "odd", "blank"] {
            bench.append(&format!("{name}.log"), lines(name, 0..900));
            all.extend(urls(name, 0..900));
        }
        bench.exactly(all).await;
        assert!(daemon.stop().await.success());
    }

    /// An error log stays what it is, also when one of its lines looks like a request.
    async fn an_error_log_that_quotes_a_request_is_still_left_alone(bench) {
        bench.append("error.log", FORGED.repeat(2_000));
        bench.append("access.log", lines("a", 0..10));
        let daemon = bench.watch();
        until("it is listed", async || reason_of(&bench, "error.log").await == ["error_log"]).await;
        let trace = "Traceback (most recent call last):\n  File \"app.py\", line 3, in get\n    raise\n";
        bench.append("error.log", FORGED.to_owned() + &trace.repeat(5) + &line("/quoted") + FORGED);
        bench.append("access.log", lines("a", 10..20));
        bench.exactly(urls("a", 0..20)).await;
        // It is examined again before any line that follows is stored.
        for number in 20..25 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            bench.append("error.log", FORGED);
            bench.append("access.log", lines("a", number..number + 1));
            bench.rows(i64::from(number) + 1).await;
        }
        assert_eq!(reason_of(&bench, "error.log").await, ["error_log"]);
        assert_eq!(paths(&bench).await, ["access.log"]);
        assert!(daemon.stop().await.success());
    }

    async fn a_given_format_always_wins(bench) {
        bench.append("access.log", forged_request(3_000));
        let path = bench.log("access.log");
        // A file that is named is meant.
        let named = ["--watch", path.to_str().unwrap(), "--format", "gunicorn", "--poll-interval", "100ms"];
        let mut daemon = Daemon::start(bench.command(&named), bench.aside("stderr"));
        daemon.says("following a new file").await;
        bench.append("access.log", line("/one"));
        bench.exactly(["/one".to_owned()]).await;
        assert!(daemon.stop().await.success());
        // In a directory, the first line of the format decides.
        bench.append("other.log", forged_request(3_000));
        let daemon = bench.watch_with(&["--format", "gunicorn"]);
        until("it is listed", async || reason_of(&bench, "other.log").await == ["error_log"]).await;
        bench.append("other.log", line("/two"));
        bench.exactly(["/one", "/two"].map(str::to_owned)).await;
        assert!(daemon.stop().await.success());
        // So it does in an import.
        let file = bench.aside("old.log");
        fs::write(&file, forged_request(3_000) + &line("/three")).unwrap();
        bench.succeed(&["import", file.to_str().unwrap(), "--format", "gunicorn"]);
        bench.exactly(["/one", "/two", "/three"].map(str::to_owned)).await;
    }

    async fn a_containers_log_is_followed_when_its_access_lines_come_late(bench) {
        let wrapped = |text: &str| format!("2016-10-06T00:17:09.669794202Z stdout F {text}\n");
        bench.append("0.log", wrapped("Applying migrations").repeat(6_000));
        let daemon = bench.watch();
        until("it is listed", async || reason_of(&bench, "0.log").await == ["no_access_line"]).await;
        let access: String = lines("a", 0..10).lines().map(wrapped).collect();
        bench.append("0.log", access);
        bench.exactly(urls("a", 0..10)).await;
        assert!(daemon.stop().await.success());
    }

    async fn a_first_line_longer_than_the_sample_is_a_line_like_others(bench) {
        let long = |bytes: usize| line(&format!("/{}", "x".repeat(bytes)));
        bench.append("long.log", long(100_000) + &lines("a", 0..3));
        bench.append("longer.log", long(3 << 20) + &lines("b", 0..3));
        let body = "y".repeat(200_000);
        let json = format!(
            "{{\"remote_addr\": \"192.0.2.7\", \"time_local\": \"23/Nov/2026:08:41:00 +0000\", \"request\": \
             \"GET /json?{body} HTTP/1.1\", \"status\": \"200\"}}\n"
        );
        bench.append("json.log", json);
        // A line that is too long is a reject; the last lines say how the others are read.
        bench.append("longest.log", long(5 << 20) + &lines("c", 0..3));
        let daemon = bench.watch();
        bench.rows(12).await;
        assert!(daemon.stop().await.success());
        let file = bench.aside("one.log");
        fs::write(&file, line(&format!("/{}", "z".repeat(100_000))).trim_end()).unwrap();
        bench.succeed(&["import", file.to_str().unwrap()]);
        bench.rows(13).await;
        bench.balanced().await;
    }
}

/// Exchanges a log and a FIFO by rename, as fast as it can.
struct Exchange {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Exchange {
    fn begin(bench: &Bench, names: &[(&str, &str)]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, pairs) = (Arc::clone(&stop), names.to_vec());
        let pairs: Vec<_> =
            pairs.iter().map(|(one, two)| (bench.aside(one), bench.log(two))).collect();
        let thread = std::thread::spawn(move || {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            while !stopped.load(Ordering::Relaxed) {
                for (one, two) in &pairs {
                    renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE).unwrap();
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_that_is_exchanged_with_a_log_stops_nothing() {
    let bench = Bench::new(Place::sqlite().await).await;
    let mut pairs = Vec::new();
    for number in 0..20 {
        let (fifo, log) = (format!("fifo{number}"), format!("turn{number}.log"));
        assert!(Command::new("mkfifo").arg(bench.aside(&fifo)).status().unwrap().success());
        bench.append(&log, "no log\n");
        pairs.push((fifo, log));
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let exchange = Exchange::begin(&bench, &pairs);
    let daemon = bench.watch();
    for number in 0..100 {
        bench.append("access.log", lines("a", number..number + 1));
        bench.rows(i64::from(number) + 1).await;
    }
    let began = Instant::now();
    assert!(daemon.stop().await.success());
    assert!(began.elapsed() < STOP, "it took {:?}", began.elapsed());
    drop(exchange);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_on_a_log_stops_nothing() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("leased.log", lines("leased", 0..3));
    let mut holder = lease(&bench.log("leased.log"));
    bench.append("access.log", lines("a", 0..10));
    let began = Instant::now();
    let daemon = bench.watch();
    bench.rows(10).await;
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
    until("it is listed", async || reason_of(&bench, "leased.log").await == ["unreadable"]).await;
    drop(holder.stdin.take());
    holder.wait().unwrap();
    bench.exactly([urls("a", 0..10), urls("leased", 0..3)].concat()).await;
    assert!(daemon.stop().await.success());
}

/// They are not logs, and to read some of them waits for ever or takes what another program waits for.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_kernel_and_devices_are_not_read() {
    let bench = Bench::new(Place::sqlite().await).await;
    let targets =
        ["/proc/kmsg", "/proc/version", "/sys/kernel/uevent_seqnum", "/dev/zero", "/dev/random"];
    let names: Vec<String> = (0..targets.len()).map(|number| format!("a{number}.log")).collect();
    for (name, target) in names.iter().zip(targets) {
        symlink(target, bench.log(name)).unwrap();
    }
    bench.append("access.log", lines("a", 0..10));
    let began = Instant::now();
    let daemon = bench.watch_with(&["--follow-symlinks"]);
    bench.rows(10).await;
    for name in &names {
        until("it is listed", async || reason_of(&bench, name).await == ["not_regular"]).await;
    }
    assert!(daemon.stop().await.success());
    assert!(began.elapsed() < Duration::from_secs(45), "it took {:?}", began.elapsed());
    assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 0);
    let output = bench.run(&["import", "/proc/version", "/dev/zero"]);
    let said = String::from_utf8_lossy(&output.stderr);
    for words in ["version': a file of the kernel", "zero': not a regular file"] {
        assert!(said.contains(words), "{said}");
    }
}

/// A user who may write in a watched directory must not be able to have a file read that is closed to
/// that user.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_link_to_a_file_elsewhere_is_not_followed_and_said_everywhere() {
    if !is_root() {
        return;
    }
    let bench = Bench::new(Place::sqlite().await).await;
    let elsewhere = bench.aside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for (name, owner) in [("secret", None), ("tenants", Some(TENANT)), ("own", Some(STRANGER))] {
        fs::write(elsewhere.join(name), lines(name, 0..3)).unwrap();
        lchown(elsewhere.join(name), owner, None).unwrap();
    }
    bench.append("access.log", lines("a", 0..3));
    let link = |name: &str, target: PathBuf, owner: Option<u32>| {
        symlink(target, bench.log(name)).unwrap();
        lchown(bench.log(name), owner, None).unwrap();
    };
    link("1-secret.log", elsewhere.join("secret"), Some(STRANGER));
    link("2-tenants.log", elsewhere.join("tenants"), Some(STRANGER));
    link("3-own.log", elsewhere.join("own"), Some(STRANGER));
    link("4-within.log", bench.log("access.log"), Some(STRANGER));
    // Root's link does not vouch for a stranger's.
    link("5-chain.log", bench.log("1-secret.log"), None);
    let mut daemon = bench.watch_with(&["--listen", "127.0.0.1:0"]);
    daemon.says("a link to a file or directory elsewhere").await;
    bench.exactly([urls("a", 0..3), urls("own", 0..3)].concat()).await;
    let foreign = ["1-secret.log", "2-tenants.log", "5-chain.log"];
    for name in foreign {
        until("it is listed", async || reason_of(&bench, name).await == ["foreign_link"]).await;
    }
    until("all have been looked at", async || paths(&bench).await.len() == 2).await;
    let said = daemon.said();
    assert_eq!(said.matches("a link to a file or directory elsewhere").count(), 3, "{said}");
    assert!(
        said.lines().filter(|it| it.contains("elsewhere, made by")).all(|it| it.contains("WARN"))
    );
    let status = bench.succeed(&["status"]);
    assert_eq!(status.matches("foreign_link: ").count(), 3, "{status}");
    // Root makes one, and the stranger's link to the same file stands before it.
    link("6-root.log", elsewhere.join("secret"), None);
    bench.exactly([urls("a", 0..3), urls("own", 0..3), urls("secret", 0..3)].concat()).await;
    assert!(daemon.stop().await.success());
    let daemon = bench.watch_with(&["--follow-symlinks"]);
    let all = ["a", "own", "secret", "tenants"].map(|name| urls(name, 0..3)).concat();
    bench.exactly(all).await;
    assert!(daemon.stop().await.success());
}

/// What lies below the root of a pattern is not watched for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_link_below_a_pattern_leads_only_to_what_the_pattern_matches() {
    if !is_root() {
        return;
    }
    let bench = Bench::new(Place::sqlite().await).await;
    let at = |name: &str| bench.log(name);
    for directory in ["one/log", "one/private/log", "two/log"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    fs::write(at("one/log/access.log"), lines("a", 0..3)).unwrap();
    fs::write(at("one/key.log"), lines("secret", 0..3)).unwrap();
    fs::write(at("one/private/access.log"), lines("secret", 0..3)).unwrap();
    fs::create_dir_all(at("two/strange")).unwrap();
    for (name, target) in [
        ("two/log/key.log", at("one/key.log")),
        ("two/log/same.log", at("one/log/access.log")),
        ("three", at("one/private")),
    ] {
        symlink(target, at(name)).unwrap();
        lchown(at(name), Some(STRANGER), None).unwrap();
    }
    symlink(at("one/private"), at("two/strange/log")).unwrap();
    let pattern = bench.logs().join("*/log/*.log");
    let by_link = bench.logs().join("{two,three}*/*.log");
    let mut arguments = vec!["--poll-interval", "100ms"];
    for watched in [&pattern, &by_link] {
        arguments.extend(["--watch", watched.to_str().unwrap()]);
    }
    let mut daemon = Daemon::start(bench.command(&arguments), bench.aside("stderr"));
    daemon.says("a link to a file or directory elsewhere").await;
    bench.exactly(urls("a", 0..3)).await;
    for name in ["two/log/key.log", "three"] {
        until("it is listed", async || reason_of(&bench, name).await == ["foreign_link"]).await;
    }
    assert!(daemon.stop().await.success());
}

/// The link is exchanged between a log and a secret, as fast as it can be: what is checked is what was
/// opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_exchanged_while_it_is_opened_shows_nothing() {
    if !is_root() {
        return;
    }
    let bench = Bench::new(Place::sqlite().await).await;
    fs::write(bench.aside("secret"), lines("secret", 0..3)).unwrap();
    for number in 0..20 {
        bench.append(&format!("turn{number}.log"), "no log\n");
        let link = bench.aside(&format!("link{number}"));
        symlink(bench.aside("secret"), &link).unwrap();
        lchown(&link, Some(STRANGER), None).unwrap();
    }
    let names: Vec<_> = (0..20).map(|it| (format!("link{it}"), format!("turn{it}.log"))).collect();
    let pairs: Vec<(&str, &str)> = names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let exchange = Exchange::begin(&bench, &pairs);
    let daemon = bench.watch();
    for number in 0..100 {
        bench.append("access.log", lines("a", number..number + 1));
        bench.rows(i64::from(number) + 1).await;
    }
    drop(exchange);
    assert!(daemon.stop().await.success());
    bench.exactly(urls("a", 0..100)).await;
    assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 1);
}

/// A FIFO that a stranger links is not read: its lines would be gone for its reader.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_link_to_a_fifo_is_not_read() {
    if !is_root() {
        return;
    }
    let bench = Bench::new(Place::sqlite().await).await;
    let fifo = bench.aside("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    symlink(&fifo, bench.log("a.log")).unwrap();
    lchown(bench.log("a.log"), Some(STRANGER), None).unwrap();
    bench.append("access.log", lines("a", 0..3));
    let pattern = bench.logs().join("*.log");
    let arguments = ["--poll-interval", "100ms", "--watch", pattern.to_str().unwrap()];
    let mut daemon = Daemon::start(bench.command(&arguments), bench.aside("stderr"));
    daemon.says("a link to a file or directory elsewhere").await;
    let mut held = fs::File::options().read(true).write(true).open(&fifo).unwrap();
    held.write_all(lines("b", 0..3).as_bytes()).unwrap();
    bench.exactly(urls("a", 0..3)).await;
    until("it is listed", async || reason_of(&bench, "a.log").await == ["foreign_link"]).await;
    assert!(daemon.stop().await.success());
}

/// A file system of which no read is answered; unmounted when dropped. The daemon does not know that it may hang:
/// another one, which is none of those that may, lies over it.
struct Hanging {
    place: PathBuf,
    below: PathBuf,
    said: PathBuf,
    server: Child,
    /// Reads that waited before the daemon began.
    readers: usize,
}

/// How long the system may take for what the tests build on.
const SHOWN: Duration = Duration::from_secs(20);

impl Hanging {
    /// `None` where the system does not mount it.
    async fn mount(bench: &Bench) -> Option<Self> {
        if !is_root() || !std::path::Path::new("/dev/fuse").exists() {
            println!("not shown: this system has no FUSE");
            return None;
        }
        let (place, said) = (bench.aside("hanging"), bench.aside("hanging.said"));
        let (below, empty) = (bench.aside("hanging.below"), bench.aside("hanging.empty"));
        for directory in [&place, &below, &empty] {
            fs::create_dir(directory).unwrap();
        }
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/hostile_files/hanging.py");
        let stdout = fs::File::create(&said).unwrap();
        let server = Command::new("python3").arg(program).arg(&below).stdout(stdout).spawn();
        let mut hanging = Self { place, below, said, server: server.unwrap(), readers: 0 };
        until("it is mounted", async || {
            hanging.has_said("mounted") || hanging.server.try_wait().unwrap().is_some()
        })
        .await;
        if !hanging.has_said("mounted") {
            println!("not shown: this system mounts no FUSE");
            return None;
        }
        let layers = format!("lowerdir={}:{}", hanging.below.display(), empty.display());
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o", &layers]).arg(&hanging.place);
        // Of some systems the mount itself waits for an answer.
        let mounted = ends_within(&mut mount.spawn().unwrap(), SHOWN);
        if !mounted.is_some_and(|status| status.success()) {
            println!("not shown: this system mounts no overlay over FUSE");
            return None;
        }
        if !hanging.ends_with_its_reader().await {
            println!("not shown: SIGKILL ends no read of a file system that hangs");
            return None;
        }
        Some(hanging)
    }

    /// Returns whether the system ends a read that hangs when its process is killed.
    async fn ends_with_its_reader(&mut self) -> bool {
        let file = self.place.join("access.log");
        let mut reader = Command::new("cat").arg(file).stdout(Stdio::null()).spawn().unwrap();
        self.waits().await;
        reader.kill().unwrap();
        let has_ended = ends_within(&mut reader, SHOWN).is_some();
        self.readers = self.reads();
        has_ended
    }

    /// Waits until more reads wait for an answer than those of `readers`.
    async fn waits(&self) {
        until("a read waits", async || self.reads() > self.readers).await;
    }

    fn reads(&self) -> usize {
        fs::read_to_string(&self.said).unwrap().matches("waiting").count()
    }

    fn has_said(&self, words: &str) -> bool {
        fs::read_to_string(&self.said).unwrap().contains(words)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = self.server.kill();
        ends_within(&mut self.server, SHOWN);
        let mut unmount = Command::new("umount");
        if let Ok(mut unmount) = unmount.arg("-l").args([&self.place, &self.below]).spawn() {
            ends_within(&mut unmount, SHOWN);
        }
    }
}

/// As a network file system does whose server is gone: only the end of the process ends a read.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_never_ends_does_not_keep_a_stop_from_ending() {
    let bench = Bench::new(Place::sqlite().await).await;
    let Some(hanging) = Hanging::mount(&bench).await else { return };
    let arguments = ["--watch", hanging.place.to_str().unwrap()];
    let mut daemon = Daemon::start(bench.command(&arguments), bench.aside("stderr"));
    hanging.waits().await;
    let began = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.ends().await.code(), Some(1), "{}", daemon.said());
    assert!(began.elapsed() < STOP + STOP / 2, "it took {:?}", began.elapsed());
    assert!(daemon.said().contains("the stop takes too long"), "{}", daemon.said());
}

/// Other files wait for it, and it is said which file that is: in the log, by `/readyz` and to the supervisor.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_never_ends_is_named() {
    let bench = Bench::new(Place::sqlite().await).await;
    let Some(hanging) = Hanging::mount(&bench).await else { return };
    let place = hanging.place.display().to_string();
    let arguments = ["--watch", &place, "--listen", "127.0.0.1:0"];
    let daemon = Daemon::start(bench.command(&arguments), bench.aside("stderr"));
    let mut site = Site::of(daemon).await;
    hanging.waits().await;
    site.daemon.says("reading this file does not end").await;
    let file = hanging.place.join("access.log").display().to_string();
    let warned = site.daemon.said();
    let warned = warned.lines().find(|line| line.contains("does not end")).unwrap();
    assert!(warned.contains("WARN") && warned.contains(&file), "{warned}");
    let ready = site.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.starts_with(&format!("reading '{file}' has taken 1")), "{}", ready.body);
    assert_eq!(site.get("/healthz").status, 200, "a restart does not help yet");
}
