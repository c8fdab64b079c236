//! A real Gunicorn, rotated by a real logrotate while requests come in: every request is one row.

mod server;

use std::fs;
use std::process::Command;

use crate::daemon::{Bench, Daemon};
use crate::place::{Place, until};
use server::{Gunicorn, Logrotate};

/// Requests between two rotations, at least.
const SOME: usize = 50;

/// logrotate's usual way, and the signal that has Gunicorn open its log again.
async fn rename_and_signal(bench: Bench) {
    let gunicorn = Gunicorn::start(&bench);
    let daemon = bench.watch();
    let logrotate = Logrotate::new(
        &bench,
        &format!(
            "rotate 9\nmissingok\nnotifempty\ncreate 0640\ndateext\ndateformat -%Y%m%d-%s\ncompress\n\
             delaycompress\npostrotate\nkill -USR1 {}\nendscript",
            gunicorn.pid()
        ),
    );
    let urls = gunicorn.busy_while("rename", |clients| {
        for rotated in 1..=3 {
            clients.more(SOME);
            logrotate.rotate();
            wait_for_second(&bench, rotated);
        }
        clients.more(SOME);
    });
    let logged_well = gunicorn.stop();
    let written = written(&bench);
    bench.exactly(written.clone()).await;
    if logged_well {
        bench.exactly(urls).await;
    }
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
        std::thread::yield_now();
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

/// Nothing may be written between the copy and the truncate: that would be lost for everybody.
async fn copytruncate(bench: Bench) {
    let gunicorn = Gunicorn::start(&bench);
    let daemon = bench.watch();
    let logrotate = Logrotate::new(&bench, "rotate 9\ncopytruncate");
    let mut urls = Vec::new();
    for round in 0..3 {
        urls.extend(gunicorn.busy_while(&format!("copy{round}"), |clients| clients.more(SOME)));
        let lines = urls.len() as u64;
        logged(&bench, lines, round).await;
        logrotate.rotate();
    }
    urls.extend(gunicorn.busy_while("last", |clients| clients.more(SOME)));
    bench.exactly(urls).await;
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

/// Gunicorn logs a request after it has answered it: waits until all of them are in the files.
async fn logged(bench: &Bench, lines: u64, rotated: u32) {
    until("every request is logged", async || {
        let rotated = (1..=rotated).map(|nth| format!("access.log.{nth}"));
        let names = rotated.chain(["access.log".to_owned()]);
        let texts = names.map(|name| fs::read_to_string(bench.log(&name)).unwrap());
        texts.map(|text| text.lines().count() as u64).sum::<u64>() == lines
    })
    .await;
}

/// Every worker writes to the pipe; when the last one is gone, the daemon goes, too.
async fn piped(bench: Bench) {
    let (output, input) = std::io::pipe().unwrap();
    let mut daemon =
        Daemon::reading(bench.command(&["--watch", "-"]), bench.aside("stderr"), output);
    let arguments =
        ["--workers", "3", "--bind", "127.0.0.1:0", "--access-logfile", "-", "app:wsgi"];
    let gunicorn = Gunicorn::start_into(&bench, input.into(), &arguments);
    let urls = gunicorn.busy_while("piped", |clients| clients.more(4 * SOME));
    gunicorn.stop();
    assert!(daemon.ends().await.success(), "{}", daemon.said());
    bench.exactly(urls).await;
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

/// A FIFO is no place for a log that must be whole: while no daemon reads it, Gunicorn has nowhere to
/// write, and Python says so. Its clients do not notice, and the next daemon goes on.
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
    let gunicorn = Gunicorn::start_with(&bench, &arguments);
    let before = gunicorn.busy_while("before", |clients| clients.more(SOME));
    bench.rows(before.len() as i64).await;
    assert!(daemon.stop().await.success());
    gunicorn.busy_while("away", |clients| clients.more(SOME));
    let mut daemon = watch();
    daemon.says("reading a FIFO").await;
    let after = gunicorn.busy_while("after", |clients| clients.more(SOME));
    let all = [before, after].concat();
    until("what came after it is there", async || {
        let sql = "SELECT count(*) FROM gunicorn_log WHERE url NOT LIKE '/away/%'";
        bench.place.number(sql).await == all.len() as i64
    })
    .await;
    assert!(!gunicorn.stop(), "Python had nothing to complain of");
    assert!(daemon.stop().await.success());
    bench.balanced().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_unix_socket_the_address_is_null() {
    let bench = Bench::new(Place::sqlite().await).await;
    let socket = format!("unix:{}", bench.aside("socket").display());
    let gunicorn = Gunicorn::start_with(&bench, &["--workers", "2", "--bind", &socket, "app:wsgi"]);
    let _daemon = bench.watch();
    let urls = gunicorn.busy_while("socket", |clients| clients.more(SOME));
    bench.exactly(urls).await;
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
    let urls = gunicorn.busy_while("uvicorn", |clients| clients.more(SOME));
    bench.exactly(urls).await;
    assert!(daemon.said().contains("uvicorn"), "{}", daemon.said());
    let addresses = bench.place.texts("SELECT DISTINCT user_ip FROM gunicorn_log").await;
    assert_eq!(addresses, ["127.0.0.1"]);
    assert_eq!(bench.place.number("SELECT count(*) FROM log_file WHERE time_estimated").await, 1);
}
