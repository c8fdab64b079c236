//! Where settings come from: the configuration file is read once, a pipe too, and an environment
//! variable that is not a setting is named.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::fs::inotify;

use crate::daemon::{Bench, Daemon, ToEnd, lines, urls};
use crate::place::Place;
use crate::streams::make_fifo;

/// The program with `toml` as its configuration file, through a pipe as `--config <(printf …)` makes
/// it.
fn through_a_pipe(bench: &Bench, arguments: &[&str], toml: &str) -> Command {
    let real = bench.command(arguments);
    let mut command = Command::new("bash");
    command.args(["-c", "exec \"$0\" \"$@\" --config <(printf %s \"$TOML\")"]);
    command.arg(real.get_program()).args(real.get_args()).env_clear();
    command.envs(real.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("TOML", toml).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_takes_its_settings_from_a_pipe() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10) + &lines("health", 0..5));
    let log = bench.log("access.log");
    let log = log.to_str().unwrap();
    let database = format!("sqlite:{}", bench.aside("piped.sqlite3").display());
    let toml =
        format!("exclude-path = ['/health/']\ndatabase-url = '{database}'\nlog-level = 'warn'");
    let run = |arguments: &[&str]| {
        let mut command = through_a_pipe(&bench, arguments, &toml);
        said(&command.env_remove("DATABASE_URL").to_end())
    };
    let checked = run(&["check", log]);
    assert!(checked.contains("15 lines: 10 would be stored, 0 rejected, 5 left out"), "{checked}");
    let imported = run(&["import", log]);
    assert!(imported.contains("10 stored") && imported.contains("5 left out"), "{imported}");
    let status = run(&["status"]);
    assert!(status.contains("15 lines = 10 rows + 0 rejected + 5 excluded"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_takes_its_settings_from_a_pipe() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10) + &lines("health", 0..5));
    let toml = format!("watch = [{:?}]\nexclude-path = ['/health/']", bench.logs());
    let daemon = Daemon::start(through_a_pipe(&bench, &[], &toml), bench.aside("stderr"));
    bench.exactly(urls("a", 0..10)).await;
    assert!(daemon.stop().await.success());
}

/// A second read of a FIFO without a writer would wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn sighup_keeps_the_settings_of_a_pipe_and_says_so_once() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10) + &lines("health", 0..5));
    let fifo = bench.aside("settings.fifo");
    make_fifo(&fifo);
    let toml = format!("watch = [{:?}]\nexclude-path = ['/health/']", bench.logs());
    let command = bench.command(&["--poll-interval", "100ms", "--config", fifo.to_str().unwrap()]);
    let mut daemon = Daemon::start(command, bench.aside("stderr"));
    fs::write(&fifo, toml).unwrap();
    bench.rows(10).await;
    daemon.signal("HUP");
    daemon.says("is a pipe, which can be read only once: its settings stay").await;
    bench.append("access.log", lines("a", 10..20) + &lines("health", 5..10));
    bench.exactly(urls("a", 0..20)).await;
    assert_eq!(daemon.said().matches("can be read only once").count(), 1, "{}", daemon.said());
    assert!(!daemon.said().contains("configuration read again"), "{}", daemon.said());
    assert!(daemon.stop().await.success());
}

/// A FIFO has no end before a writer has come, and there is none.
#[tokio::test(flavor = "multi_thread")]
async fn sighup_does_not_wait_for_a_fifo_in_the_place_of_a_file() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10));
    let (file, auth) = (bench.aside("log-ingestd.toml"), bench.aside("auth"));
    let text = format!(
        "watch = [{:?}]\nlisten = '127.0.0.1:0'\nauth-file = {auth:?}\npoll-interval = '100ms'",
        bench.logs()
    );
    fs::write(&file, &text).unwrap();
    fs::write(&auth, crate::page::access::line(&bench, &["jo"], "pa")).unwrap();
    let mut command = bench.command(&["--config", file.to_str().unwrap()]);
    command.env_remove("LOG_INGESTD_LISTEN");
    let mut daemon = Daemon::start(command, bench.aside("stderr"));
    bench.rows(10).await;
    let mut rows = 10;
    for (path, aside) in [(&auth, "auth.kept"), (&file, "file.kept")] {
        fs::rename(path, bench.aside(aside)).unwrap();
        make_fifo(path);
        daemon.signal("HUP");
        let quoted = format!("'{}': not a regular file, but a directory, a FIFO", path.display());
        daemon.says(&quoted).await;
        // Following goes on.
        bench.append("access.log", lines("a", rows..rows + 10));
        rows += 10;
        bench.exactly(urls("a", 0..rows)).await;
        fs::rename(bench.aside(aside), path).unwrap();
    }
    assert_eq!(
        daemon.said().matches("keeping the old configuration").count(),
        2,
        "{}",
        daemon.said()
    );
    daemon.signal("HUP");
    daemon.says("configuration read again").await;
    assert!(daemon.stop().await.success());
}

/// Counts how many times a file is opened.
struct Opens(rustix::fd::OwnedFd);

impl Opens {
    fn of(path: &Path) -> Self {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let queue = inotify::init(flags).unwrap();
        // Closes too: the kernel merges events that are alike and follow one another.
        let events = inotify::WatchFlags::OPEN | inotify::WatchFlags::CLOSE_NOWRITE;
        inotify::add_watch(&queue, path, events).unwrap();
        Self(queue)
    }

    /// Opens since the last call.
    fn count(&self) -> usize {
        let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 4096];
        let mut events = inotify::Reader::new(&self.0, &mut buffer);
        let mut count = 0;
        loop {
            match events.next() {
                Ok(event) if event.events().contains(inotify::ReadFlags::OPEN) => count += 1,
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::WouldBlock);
                    return count;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_a_reload_each_use_one_version_of_the_file() {
    let bench = Bench::new(Place::sqlite().await).await;
    let file = bench.aside("log-ingestd.toml");
    let version = |name: &str| {
        let logs = bench.aside(name);
        fs::create_dir(&logs).unwrap();
        fs::write(logs.join("access.log"), lines(name, 0..10) + &lines("health", 0..5)).unwrap();
        let text = format!("watch = [{logs:?}]\nexclude-path = ['/health/']");
        let written = bench.aside(&format!("{name}.toml"));
        fs::write(&written, text).unwrap();
        (Opens::of(&written), written)
    };
    let (first, written) = version("first");
    fs::rename(written, &file).unwrap();
    let command = bench.command(&["--config", file.to_str().unwrap()]);
    let mut daemon = Daemon::start(command, bench.aside("stderr"));
    bench.rows(10).await;
    assert_eq!(first.count(), 1, "the start reads the file once");
    let (second, written) = version("second");
    fs::rename(written, &file).unwrap();
    daemon.signal("HUP");
    daemon.says("configuration read again").await;
    bench.exactly([urls("first", 0..10), urls("second", 0..10)].concat()).await;
    assert_eq!((first.count(), second.count()), (0, 1), "the reload reads the new file once");
    assert!(daemon.stop().await.success());
}

/// What Kubernetes sets for a service named `log-ingestd`, and two slips. None of the values may be
/// shown.
const VARIABLES: [(&str, &str); 5] = [
    ("LOG_INGESTD_RETENTOIN", "s3cret-w0rd"),
    ("LOG_INGESTD_DATABASE_URL", "postgres://u:s3cret-w0rd@h/d"),
    ("LOG_INGESTD_SERVICE_HOST", "s3cret-w0rd"),
    ("LOG_INGESTD_PORT", "tcp://10.0.0.1:8686"),
    ("LOG_INGESTD_PORT_8686_TCP_ADDR", "10.0.0.1"),
];

#[track_caller]
fn names_both_slips_once(stderr: &str) {
    for warning in [
        "unknown environment variable LOG_INGESTD_RETENTOIN is ignored; the nearest setting is \
         LOG_INGESTD_RETENTION",
        "unknown environment variable LOG_INGESTD_DATABASE_URL is ignored; the nearest setting is \
         DATABASE_URL",
    ] {
        assert_eq!(stderr.matches(warning).count(), 1, "{stderr}");
    }
    assert_eq!(stderr.matches("unknown environment variable").count(), 2, "{stderr}");
    for never in ["s3cret-w0rd", "LOG_INGESTD_SERVICE", "LOG_INGESTD_PORT"] {
        assert!(!stderr.contains(never), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_variable_is_a_warning_that_names_the_nearest_setting() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10));
    let status = bench.command(&["status"]).envs(VARIABLES).to_end();
    assert!(status.status.success());
    names_both_slips_once(&String::from_utf8_lossy(&status.stderr));

    let logs = bench.logs();
    let mut command = bench.command(&["--watch", logs.to_str().unwrap()]);
    command.envs(VARIABLES);
    let mut daemon = Daemon::start(command, bench.aside("stderr"));
    bench.rows(10).await;
    daemon.signal("HUP");
    daemon.says("configuration read again").await;
    names_both_slips_once(&daemon.said());
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_variables_of_kubernetes_are_no_slips() {
    let bench = Bench::new(Place::sqlite().await).await;
    let status = bench.command(&["status"]).envs(VARIABLES.into_iter().skip(2)).to_end();
    assert!(status.status.success() && status.stderr.is_empty(), "{status:?}");
}
