//! Notices to a real HTTP server, with and without TLS, and to a real command: once each, with the recovery, and
//! without a line that waits for them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::{Bench, Daemon, for_each_store, line_at, lines};
use crate::place::{Place, until};
use crate::postgres::Cluster;
use crate::tls::authority::Authority;

/// The part of the URL that is a secret.
const PATH: &str = "/hook/T0K3N?x=1";

/// A server of HTTP that writes down what it gets; killed when dropped.
struct Receiver {
    server: Child,
    port: u16,
    file: PathBuf,
}

impl Receiver {
    fn start(bench: &Bench, refusals: &str, tls: &[&Path]) -> Receiver {
        let file = bench.aside("posted");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/notify/receiver.py");
        let mut server = Command::new("python3");
        server.arg(script).arg(&file).arg(refusals).args(tls);
        let mut server = server.stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Receiver { server, port: port.trim().parse().unwrap(), file }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}{PATH}", self.port)
    }

    /// Status, kind, state and text of each request.
    fn posted(&self) -> Vec<(String, String, String, String)> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let read = |line: &str| {
            let [status, path, media_type, json] = line.splitn(4, ' ').collect::<Vec<_>>()[..]
            else {
                panic!("{line}")
            };
            assert_eq!((path, media_type), (PATH, "application/json"), "{line}");
            let notice: Value = serde_json::from_str(json).unwrap();
            assert_eq!(notice["host"], "web", "{notice}");
            assert!(notice["at"].as_str().unwrap().starts_with("20"), "{notice}");
            let of = |name: &str| notice[name].as_str().unwrap().to_owned();
            (status.to_owned(), of("kind"), of("state"), of("text"))
        };
        text.lines().map(read).collect()
    }

    async fn gets(&self, number: usize, what: &str) {
        until(what, async || self.posted().len() >= number).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// So many lines of this time with a server error.
fn failing(number: u32, time: i64) -> String {
    let line = |nth| line_at(&format!("/{nth}"), time).replace("\" 200 ", "\" 502 ");
    (0..number).map(line).collect()
}

for_each_store! {
    async fn rejected_lines_are_told_once_to_a_webhook_and_to_a_command(bench) {
        let authority = Authority::new("hooks");
        let issued = authority.server("DNS:localhost", 30);
        let receiver = Receiver::start(&bench, "0", &[&issued.certificate, &issued.key]);
        let told = bench.aside("told");
        let mail = format!("{{ echo $NOTICE_KIND $NOTICE_STATE; cat; env; }} >> '{}'", told.display());
        let (logs, url) = (bench.logs(), receiver.url("https"));
        let arguments = ["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms"];
        let mut command = bench.command(&[&arguments[..], &["--notify-command", &mail]].concat());
        command.env("LOG_INGESTD_NOTIFY_URL", &url).env("SSL_CERT_FILE", authority.certificate());
        command.env("PGPASSWORD", "pa55");
        let mut daemon = Daemon::start(command, bench.aside("stderr"));
        bench.append("access.log", lines("a", 0..20) + "nonsense\n");
        bench.rows(20).await;
        receiver.gets(1, "the notice is posted").await;
        let text = "log-ingestd on web: 1 line was rejected and became no rows; `log-ingestd status` says of \
                    which files";
        let own = |text: &str| text.to_owned();
        assert_eq!(receiver.posted(), [(own("204"), own("rejects"), own("raised"), own(text))]);
        let read = || fs::read_to_string(&told).unwrap_or_default();
        until("the command has run", async || read().contains("\nPWD=/\n")).await;
        assert!(read().starts_with(&format!("rejects raised\n{text}\n\n20")), "{}", read());
        assert!(!read().contains("DATABASE_URL") && !read().contains("pa55"), "{}", read());

        // Neither more of them nor a reload is another notice.
        bench.append("access.log", "more nonsense\n");
        until("it is stored", async || bench.stored().await == 22).await;
        daemon.signal("HUP");
        daemon.says("configuration read again").await;
        // Another kind is told later than these would be.
        let now = chrono::Utc::now().timestamp_micros();
        bench.append("access.log", "nonsense again\n".to_owned() + &failing(30, now));
        receiver.gets(2, "the next notice is posted").await;
        let kinds: Vec<String> = receiver.posted().into_iter().map(|(_, kind, ..)| kind).collect();
        assert_eq!(kinds, ["rejects", "server_errors"]);
        assert_eq!(read().matches("rejects raised").count(), 1);
        let said = daemon.said();
        assert!(said.contains("notice: 1 line was rejected"), "{said}");
        assert!(!said.contains("T0K3N") && !said.contains("could not be delivered"), "{said}");
        assert!(daemon.stop().await.success());
    }

    async fn server_errors_of_now_are_told_and_old_ones_are_not(bench) {
        let receiver = Receiver::start(&bench, "0", &[]);
        let url = receiver.url("http");
        // Of a day in the past: an import is not an alarm.
        let now = || chrono::Utc::now().timestamp_micros();
        bench.append("access.log", failing(30, now() - 86_400_000_000));
        let daemon = bench.watch_with(&["--notify-url", &url, "--notify-errors", "50%"]);
        bench.rows(30).await;
        bench.append("access.log", failing(40, now()));
        receiver.gets(1, "the notice is posted").await;
        let (_, kind, state, text) = receiver.posted().remove(0);
        assert_eq!((&*kind, &*state), ("server_errors", "raised"));
        assert!(text.ends_with("40 of 40 requests in the last minutes were answered with 5xx"), "{text}");
        assert!(daemon.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_database_and_the_lag_are_told_with_their_ends() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    let receiver = Receiver::start(&bench, "0", &[]);
    let daemon = bench.watch_with(&["--notify-url", &receiver.url("http"), "--notify-lag", "3s"]);
    bench.append("access.log", lines("a", 0..10));
    bench.rows(10).await;
    cluster.stop();
    bench.append("access.log", lines("b", 0..10));
    receiver.gets(2, "lag and outage are told").await;
    let kinds = |state: &str| -> Vec<String> {
        let all = receiver.posted();
        let mut kinds: Vec<_> =
            all.into_iter().filter(|it| it.2 == state).map(|(_, kind, ..)| kind).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds("raised"), ["lag", "store"]);
    cluster.start_again();
    bench.rows(20).await;
    receiver.gets(4, "both ends are told").await;
    assert_eq!(kinds("recovered"), ["lag", "store"]);
    let lag = receiver.posted().into_iter().find(|it| it.1 == "lag").unwrap();
    assert!(
        lag.3.contains("lines have waited for 3 s") || lag.3.contains(" s to be stored"),
        "{lag:?}"
    );
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_is_tried_again_and_one_that_hangs_holds_nothing_up() {
    let bench = Bench::new(Place::sqlite().await).await;
    let receiver = Receiver::start(&bench, "2", &[]);
    let mut daemon =
        bench.watch_with(&["--notify-url", &receiver.url("http"), "--notify-command", "exit 7"]);
    bench.append("access.log", lines("a", 0..10) + "nonsense\n");
    bench.rows(10).await;
    receiver.gets(3, "the third try is taken").await;
    let statuses: Vec<String> = receiver.posted().into_iter().map(|it| it.0).collect();
    assert_eq!(statuses, ["503", "503", "204"]);
    assert!(!daemon.has_ended() && daemon.stop().await.success());

    let bench = Bench::new(Place::sqlite().await).await;
    let hangs = Receiver::start(&bench, "never", &[]);
    let daemon =
        bench.watch_with(&["--notify-url", &hangs.url("http"), "--notify-command", "sleep 600"]);
    bench.append("access.log", lines("a", 0..10) + "nonsense\n");
    bench.rows(10).await;
    until("the notice is made", async || daemon.said().contains("notice: 1 line")).await;
    bench.append("access.log", lines("b", 0..1000));
    bench.rows(1010).await;
    let began = Instant::now();
    assert!(daemon.stop().await.success());
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_and_bounds_that_cannot_be_used_are_refused_without_the_secret() {
    let bench = Bench::new(Place::sqlite().await).await;
    let logs = bench.logs();
    for (flag, value, part) in [
        (
            "--notify-url",
            "hooks.example/T0K3N",
            "--notify-url: invalid URL: expected https://HOST/PATH",
        ),
        (
            "--notify-url",
            "https://jo:T0K3N@hooks.example/",
            "a name and password in it are not supported",
        ),
        ("--notify-errors", "5", "--notify-errors: invalid share '5': expected for example 5%"),
        ("--notify-lag", "long", "--notify-lag: invalid duration 'long'"),
    ] {
        let output = bench.run(&["--watch", logs.to_str().unwrap(), flag, value]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(part) && !said.contains("T0K3N"), "{said}");
    }
}
