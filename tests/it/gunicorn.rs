//! A real Gunicorn, rotated by a real logrotate while requests come in: every logged request is one row.
//!
//! The truth is what Gunicorn wrote into its log, and where nothing keeps the log, the URLs that the
//! application wrote down. What a client counted is not: SIGUSR1 may hit a worker in the middle of a
//! write, and Python then loses that line or writes it twice.

mod server;

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::daemon::{Bench, Daemon};
use crate::place::{Place, until};
use server::{Gunicorn, Logrotate};

/// Requests between two rotations, at least.
const SOME: usize = 50;

/// logrotate's usual way, and the signal that has Gunicorn open its log again.
async fn rename_and_signal(bench: Bench) {
    let mut gunicorn = Gunicorn::start(&bench);
    let daemon = bench.watch();
    let logrotate = Logrotate::new(
        &bench,
        &format!(
            "rotate 9\nmissingok\nnotifempty\ncreate 0640\ndateext\ndateformat -%Y%m%d-%s\ncompress\n\
             delaycompress\npostrotate\nkill -USR1 {}\nendscript",
            gunicorn.pid()
        ),
    );
    gunicorn.busy_while("rename", |clients| {
        for rotated in 1..=3 {
            clients.more(SOME);
            logrotate.rotate();
            wait_for_second(&bench, rotated);
        }
        clients.more(SOME);
    });
    gunicorn.stop();
    let written = written(&bench);
    assert!(written.len() >= 4 * SOME, "only {} requests were logged", written.len());
    bench.exactly(written.clone()).await;
    assert!(daemon.said().contains("error log"), "{}", daemon.said());
    assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 0);
    assert!(daemon.stop().await.success());
    // What logrotate has compressed meanwhile is known by its content.
    let archives = archives(&bench);
    assert!(!archives.is_empty());
    for archive in archives {
        bench.succeed(&["import", &archive]);
    }
    bench.exactly(written).await;
}

/// The urls in all logs, plain and compressed.
fn written(bench: &Bench) -> Vec<String> {
    let mut gzip = Command::new("gzip");
    gzip.args(["--decompress", "--stdout", "--force"]);
    let paths = fs::read_dir(bench.logs()).unwrap().map(|entry| entry.unwrap().path());
    gzip.args(paths.filter(|path| path.to_string_lossy().contains("/access.log")));
    let text = String::from_utf8(gzip.output().unwrap().stdout).unwrap();
    let url = |line: &str| Some(line.split_once("\"GET ")?.1.split_once(" HTTP")?.0.to_owned());
    text.lines().filter_map(url).collect()
}

/// `dateformat` counts in seconds: two rotations in one second would have one name. Waits until
/// so many rotated files are there and the clock has moved on.
fn wait_for_second(bench: &Bench, rotated: usize) {
    let names = fs::read_dir(bench.logs()).unwrap().map(|entry| entry.unwrap().file_name());
    let found = names.filter(|name| name.to_string_lossy().starts_with("access.log-")).count();
    assert_eq!(found, rotated, "logrotate did not rotate");
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let began = now();
    while now() == began {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn archives(bench: &Bench) -> Vec<String> {
    let paths = fs::read_dir(bench.logs()).unwrap().map(|entry| entry.unwrap().path());
    let names = paths.map(|path| path.to_str().unwrap().to_owned());
    names.filter(|name| name.ends_with(".gz")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn renamed_under_load_into_postgres() {
    rename_and_signal(Bench::new(Place::postgres().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renamed_under_load_into_sqlite() {
    rename_and_signal(Bench::new(Place::sqlite().await).await).await;
}

/// Nothing may be written between the copy and the truncate: every reader would lose that.
async fn copytruncate(bench: Bench) {
    let gunicorn = Gunicorn::start(&bench);
    let daemon = bench.watch();
    let logrotate = Logrotate::new(&bench, "rotate 9\ncopytruncate");
    for round in 0..3 {
        gunicorn.busy_while(&format!("copy{round}"), |clients| clients.more(SOME));
        logged(&bench, &gunicorn).await;
        logrotate.rotate();
    }
    gunicorn.busy_while("last", |clients| clients.more(SOME));
    logged(&bench, &gunicorn).await;
    bench.exactly(written(&bench)).await;
    let lost = "SELECT CAST(coalesce(sum(lost_bytes), 0) AS bigint) FROM log_file";
    assert_eq!(bench.place.number(lost).await, 0);
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn copied_and_truncated_with_a_backlog_into_postgres() {
    copytruncate(Bench::new(Place::postgres().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copied_and_truncated_with_a_backlog_into_sqlite() {
    copytruncate(Bench::new(Place::sqlite().await).await).await;
}

/// Gunicorn logs a request after it has answered it: waits until every served request is in a file.
async fn logged(bench: &Bench, gunicorn: &Gunicorn) {
    let mut served = gunicorn.served();
    served.sort();
    until("every request is logged", async || {
        let mut logged = written(bench);
        logged.sort();
        logged == served
    })
    .await;
}

/// Every worker writes to the pipe; when the last one has ended, the daemon ends, too.
async fn piped(bench: Bench) {
    let (output, input) = std::io::pipe().unwrap();
    let mut daemon =
        Daemon::reading(bench.command(&["--watch", "-"]), bench.aside("stderr"), output);
    let arguments =
        ["--workers", "3", "--bind", "127.0.0.1:0", "--access-logfile", "-", "app:wsgi"];
    let mut gunicorn = Gunicorn::start_into(&bench, input.into(), &arguments);
    gunicorn.busy_while("piped", |clients| clients.more(4 * SOME));
    gunicorn.stop();
    assert!(daemon.ends().await.success(), "{}", daemon.said());
    bench.exactly(gunicorn.served()).await;
    assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn piped_into_the_daemon_and_into_postgres() {
    piped(Bench::new(Place::postgres().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn piped_into_the_daemon_and_into_sqlite() {
    piped(Bench::new(Place::sqlite().await).await).await;
}

/// A FIFO loses lines while no daemon reads it: Gunicorn cannot write, and Python says so. Clients get
/// their answers all the same, and the next daemon goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_without_a_daemon_costs_lines_and_no_request() {
    let bench = Bench::new(Place::sqlite().await).await;
    let fifo = bench.aside("access.fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let fifo = fifo.to_str().unwrap();
    let watch = || Daemon::start(bench.command(&["--watch", fifo]), bench.aside("stderr"));
    let mut daemon = watch();
    daemon.says("reading a FIFO").await;
    let arguments =
        ["--workers", "2", "--bind", "127.0.0.1:0", "--access-logfile", fifo, "app:wsgi"];
    let mut gunicorn = Gunicorn::start_with(&bench, &arguments);
    gunicorn.busy_while("before", |clients| clients.more(SOME));
    bench.exactly(gunicorn.served()).await;
    assert!(daemon.stop().await.success());
    gunicorn.busy_while("unread", |clients| clients.more(SOME));
    let mut daemon = watch();
    daemon.says("reading a FIFO").await;
    gunicorn.busy_while("after", |clients| clients.more(SOME));
    let mut due = gunicorn.served();
    due.retain(|url| !url.starts_with("/unread/"));
    due.sort();
    until("what came after it is there", async || {
        let stored = "SELECT url FROM gunicorn_log WHERE url NOT LIKE '/unread/%'";
        let mut stored = bench.place.texts(stored).await;
        stored.sort();
        stored == due
    })
    .await;
    gunicorn.stop();
    assert!(gunicorn.said().contains("Logging error"), "Python had nothing to complain of");
    assert!(daemon.stop().await.success());
    bench.balanced().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_unix_socket_the_address_is_null() {
    let bench = Bench::new(Place::sqlite().await).await;
    let socket = format!("unix:{}", bench.aside("socket").display());
    let gunicorn = Gunicorn::start_with(&bench, &["--workers", "2", "--bind", &socket, "app:wsgi"]);
    let _daemon = bench.watch();
    gunicorn.busy_while("socket", |clients| clients.more(SOME));
    logged(&bench, &gunicorn).await;
    bench.exactly(written(&bench)).await;
    let addresses = "SELECT count(user_ip) FROM gunicorn_log";
    assert_eq!(bench.place.number(addresses).await, 0);
    let agents = bench.place.texts("SELECT DISTINCT agent FROM gunicorn_log").await;
    assert_eq!(agents, ["a \"b\"\\"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn uvicorn_workers_log_port_and_no_time() {
    let bench = Bench::new(Place::sqlite().await).await;
    let class = "uvicorn_worker.UvicornWorker";
    let gunicorn = Gunicorn::start_with(
        &bench,
        &["--workers", "2", "--worker-class", class, "--bind", "127.0.0.1:0", "app:asgi"],
    );
    let daemon = bench.watch();
    gunicorn.busy_while("uvicorn", |clients| clients.more(SOME));
    logged(&bench, &gunicorn).await;
    bench.exactly(written(&bench)).await;
    assert!(daemon.said().contains("uvicorn"), "{}", daemon.said());
    let addresses = bench.place.texts("SELECT DISTINCT user_ip FROM gunicorn_log").await;
    assert_eq!(addresses, ["127.0.0.1"]);
    assert_eq!(bench.place.number("SELECT count(*) FROM log_file WHERE time_estimated").await, 1);
}
