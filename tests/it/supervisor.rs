//! What systemd is told: over real datagram sockets, by the real program.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::{Bench, Daemon, PATIENCE, lines, urls};
use crate::place::Place;
use crate::postgres::Cluster;

/// How long the daemon may be silent; it speaks three times as often.
const WATCHDOG: Duration = Duration::from_millis(900);

/// The other end of `NOTIFY_SOCKET`.
struct Systemd {
    socket: UnixDatagram,
    name: OsString,
}

impl Systemd {
    fn at(path: &Path) -> Self {
        Self { socket: UnixDatagram::bind(path).unwrap(), name: path.into() }
    }

    fn without_a_path(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Self { socket, name: format!("@{name}").into() }
    }

    /// The daemon on the log directory, told of this socket.
    fn start(&self, bench: &Bench, variables: &[(&str, String)]) -> Daemon {
        let logs = bench.logs();
        let mut command =
            bench.command(&["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms"]);
        command.env("NOTIFY_SOCKET", &self.name);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Daemon::start(command, bench.aside("stderr"))
    }

    /// The next message, if one comes in time.
    fn next_within(&self, time: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// Waits for a message that has this line; all that came before it.
    fn hears(&self, line: &str) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = left.max(Duration::from_millis(1));
            let Some(message) = self.next_within(left) else {
                panic!("it never said '{line}', but {before:?}");
            };
            if message.lines().any(|it| it == line) {
                before.push(message);
                return before;
            }
            before.push(message);
        }
    }

    /// Waits until it has been silent for twice as long as it may be.
    fn is_forgotten(&self) {
        let end = Instant::now() + PATIENCE;
        while let Some(message) = self.next_within(WATCHDOG * 2) {
            assert!(Instant::now() < end, "it still says '{message}'");
        }
    }
}

fn watchdog() -> (&'static str, String) {
    ("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
}

/// Microseconds of the clock by which systemd tells one reload from another.
fn monotonic() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// The life of a service, from its start through a reload to its end.
async fn a_life(bench: &Bench, systemd: &Systemd) {
    bench.append("access.log", lines("a", 0..10));
    let daemon = systemd.start(bench, &[]);
    let before = systemd.hears("READY=1");
    assert!(before.iter().all(|message| !message.contains("WATCHDOG")), "{before:?}");
    let opening = format!("STATUS=opening {}", bench.place.location());
    assert!(before.contains(&opening), "{before:?}");
    assert!(before.last().unwrap().contains("STATUS=files followed: 1"), "{before:?}");
    // Ready is said when the files are followed, and not before.
    assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 1);
    bench.rows(10).await;
    let before_it = monotonic();
    daemon.signal("HUP");
    let reloading = systemd.hears("RELOADING=1").pop().unwrap();
    let moment = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    let moment: i64 = moment.parse().unwrap();
    assert!((before_it..=monotonic()).contains(&moment), "{moment} after {before_it}");
    systemd.hears("READY=1");
    assert!(daemon.stop().await.success());
    systemd.hears("STOPPING=1");
    assert_eq!(systemd.next_within(Duration::from_millis(1)), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_ready_when_its_files_are_followed_and_tells_of_reload_and_stop() {
    let bench = Bench::new(Place::sqlite().await).await;
    let systemd = Systemd::at(&bench.aside("notify"));
    a_life(&bench, &systemd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_path_is_told_the_same() {
    let bench = Bench::new(Place::postgres().await).await;
    let systemd = Systemd::without_a_path(&format!("log-ingestd-{}", std::process::id()));
    a_life(&bench, &systemd).await;
}

/// Opening a file under a lease waits until its holder lets go, 45 seconds at most, unless it is opened
/// without waiting. The holder lets go when its standard input ends.
pub(crate) fn lease(path: &Path) -> Child {
    let program = "import fcntl, signal, sys\n\
                   signal.signal(signal.SIGIO, lambda *_: None)\n\
                   log = open(sys.argv[1], 'r+')\n\
                   fcntl.fcntl(log, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
                   print('held', flush=True)\n\
                   sys.stdin.read()";
    let mut holder = Command::new("python3")
        .args(["-c", program])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut held).unwrap();
    assert_eq!(held, "held\n");
    holder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_stopped_does_not_say_that_it_lives() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10));
    let systemd = Systemd::at(&bench.aside("notify"));
    let daemon = systemd.start(&bench, &[watchdog()]);
    systemd.hears("READY=1");
    systemd.hears("WATCHDOG=1");
    bench.rows(10).await;
    daemon.signal("STOP");
    systemd.is_forgotten();
    daemon.signal("CONT");
    systemd.hears("WATCHDOG=1");
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_whose_database_is_unavailable_lives_and_says_why_it_waits() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    bench.append("access.log", lines("a", 0..10));
    let systemd = Systemd::at(&bench.aside("notify"));
    let mut daemon = systemd.start(&bench, &[watchdog()]);
    systemd.hears("READY=1");
    bench.rows(10).await;
    cluster.stop();
    bench.append("access.log", lines("a", 10..20));
    daemon.says("the store is unavailable").await;
    for _ in 0..10 {
        let before = systemd.hears("WATCHDOG=1");
        assert!(before.len() < 10, "{before:?}");
    }
    cluster.start_again();
    let status = |messages: &[String], words: &str| messages.iter().any(|it| it.contains(words));
    let messages = systemd.hears("STATUS=files followed: 1");
    assert!(!status(&messages, "STOPPING"), "{messages:?}");
    bench.exactly(urls("a", 0..20)).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watchdog_that_is_meant_for_another_process_is_told_nothing() {
    let bench = Bench::new(Place::sqlite().await).await;
    let systemd = Systemd::at(&bench.aside("notify"));
    let daemon = systemd.start(&bench, &[watchdog(), ("WATCHDOG_PID", "1".to_owned())]);
    systemd.hears("READY=1");
    systemd.is_forgotten();
    assert!(daemon.stop().await.success());
    let end = systemd.hears("STOPPING=1");
    assert!(end.iter().all(|message| !message.contains("WATCHDOG")), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_reader_stops_nothing() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10));
    let unread = Systemd { socket: UnixDatagram::unbound().unwrap(), name: "/nowhere".into() };
    let daemon = unread.start(&bench, &[watchdog()]);
    bench.exactly(urls("a", 0..10)).await;
    assert!(daemon.stop().await.success());
}
