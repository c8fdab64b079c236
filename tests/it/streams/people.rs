//! What people give as a stream, and what the daemon answers.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;

use crate::daemon::{Bench, Daemon, lines, urls};
use crate::place::{Place, until};

use super::{hold_open, make_fifo, spooled, watch, writer_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_in_a_watched_directory_is_left_alone_and_that_is_said_once() {
    let bench = Bench::new(Place::sqlite().await).await;
    make_fifo(&bench.log("strange.fifo"));
    let mut theirs = hold_open(&bench.log("strange.fifo"));
    theirs.write_all(lines("theirs", 0..1).as_bytes()).unwrap();
    bench.append("access.log", lines("a", 0..10));
    let mut daemon = bench.watch();
    bench.rows(10).await;
    daemon.says("a FIFO in a watched directory: left alone").await;
    theirs.write_all(lines("theirs", 1..2).as_bytes()).unwrap();
    bench.append("access.log", lines("a", 10..20));
    bench.exactly(urls("a", 0..20)).await;
    assert_eq!(daemon.said().matches("left alone").count(), 1, "{}", daemon.said());
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifos_that_match_a_pattern_are_followed_also_those_that_come_later() {
    let bench = Bench::new(Place::sqlite().await).await;
    make_fifo(&bench.log("one.fifo"));
    let pattern = bench.log("*.fifo");
    let (mut daemon, _input) = watch(&bench, &[pattern.to_str().unwrap()], "stderr");
    daemon.says("one.fifo").await;
    writer_of(&bench.log("one.fifo")).await.write_all(lines("one", 0..10).as_bytes()).unwrap();
    make_fifo(&bench.log("two.fifo"));
    writer_of(&bench.log("two.fifo")).await.write_all(lines("two", 0..10).as_bytes()).unwrap();
    bench.exactly([urls("one", 0..10), urls("two", 0..10)].concat()).await;
    assert!(daemon.stop().await.success());
}

/// A server that keeps the old one open is read as well as one that opens the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_that_is_replaced_is_read_on_and_the_new_one_too() {
    let bench = Bench::new(Place::sqlite().await).await;
    let fifo = bench.aside("access.fifo");
    make_fifo(&fifo);
    let (mut daemon, _input) = watch(&bench, &[fifo.to_str().unwrap()], "stderr");
    daemon.says("reading a FIFO").await;
    let mut old = writer_of(&fifo).await;
    old.write_all(lines("old", 0..10).as_bytes()).unwrap();
    fs::remove_file(&fifo).unwrap();
    daemon.says("has no name any more").await;
    make_fifo(&fifo);
    let mut new = writer_of(&fifo).await;
    new.write_all(lines("new", 0..10).as_bytes()).unwrap();
    old.write_all(lines("old", 10..20).as_bytes()).unwrap();
    bench.exactly([urls("old", 0..20), urls("new", 0..10)].concat()).await;
    drop(old);
    daemon.says("the stream has ended").await;
    until("the old one's file is removed", async || spooled(&bench).len() == 1).await;
    new.write_all(lines("new", 10..20).as_bytes()).unwrap();
    bench.exactly([urls("old", 0..20), urls("new", 0..20)].concat()).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_other_paths_the_end_of_standard_input_is_not_the_daemons() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("file", 0..10));
    let logs = bench.logs();
    let (mut daemon, mut input) = watch(&bench, &["-", logs.to_str().unwrap()], "stderr");
    input.write_all(lines("a", 0..10).as_bytes()).unwrap();
    drop(input);
    daemon.says("the stream has ended").await;
    bench.rows(20).await;
    until("the spool is empty", async || spooled(&bench).is_empty()).await;
    bench.append("access.log", lines("file", 10..20));
    bench.exactly([urls("file", 0..20), urls("a", 0..10)].concat()).await;
    assert!(daemon.stop().await.success());
}

/// Bytes that no pipe brings are read and written; their end is an end as well.
#[tokio::test(flavor = "multi_thread")]
async fn standard_input_may_be_a_file_or_a_socket_or_nothing() {
    let bench = Bench::new(Place::sqlite().await).await;
    fs::write(bench.aside("whole"), lines("file", 0..10_000)).unwrap();
    let command = || bench.command(&["--watch", "-", "--spool-limit", "256KiB"]);
    let mut daemon = Daemon::reading(
        command(),
        bench.aside("stderr"),
        File::open(bench.aside("whole")).unwrap(),
    );
    assert!(daemon.ends().await.success(), "{}", daemon.said());
    bench.rows(10_000).await;
    let mut daemon = Daemon::start(command(), bench.aside("stderr"));
    assert!(daemon.ends().await.success(), "{}", daemon.said());
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let theirs = std::os::fd::OwnedFd::from(theirs);
    let mut daemon = Daemon::reading(command(), bench.aside("stderr"), theirs);
    let mut ours = ours;
    ours.write_all(lines("socket", 0..10_000).as_bytes()).unwrap();
    ours.write_all(b"no end").unwrap();
    drop(ours);
    assert!(daemon.ends().await.success(), "{}", daemon.said());
    bench.exactly([urls("file", 0..10_000), urls("socket", 0..10_000)].concat()).await;
    assert_eq!(bench.stored().await, 20_001);
    assert_eq!(spooled(&bench), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_that_cannot_be_read_is_a_failure() {
    let bench = Bench::new(Place::sqlite().await).await;
    let directory = File::open(bench.logs()).unwrap();
    let command = bench.command(&["--watch", "-"]);
    let mut daemon = Daemon::reading(command, bench.aside("stderr"), directory);
    assert_eq!(daemon.ends().await.code(), Some(1));
    let said = daemon.said();
    assert!(said.contains("directory") && said.contains("could not be read to its end"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_come_from_the_environment_and_one_stream_is_read_once() {
    let bench = Bench::new(Place::sqlite().await).await;
    make_fifo(&bench.aside("access.fifo"));
    symlink(bench.aside("access.fifo"), bench.aside("link.fifo")).unwrap();
    let paths = format!(
        "-:{}:-:{}",
        bench.aside("access.fifo").display(),
        bench.aside("link.fifo").display()
    );
    let (reader, mut input) = std::io::pipe().unwrap();
    let mut command = bench.command(&[]);
    let spool = bench.aside("elsewhere/spool");
    command.env("LOG_INGESTD_WATCH", paths).env("LOG_INGESTD_SPOOL_DIR", &spool);
    let mut daemon = Daemon::reading(command, bench.aside("stderr"), reader);
    daemon.says("reading a FIFO").await;
    input.write_all(lines("a", 0..10).as_bytes()).unwrap();
    let mut fifo = hold_open(&bench.aside("access.fifo"));
    for number in 0..10 {
        fifo.write_all(lines("b", number..number + 1).as_bytes()).unwrap();
    }
    bench.exactly([urls("a", 0..10), urls("b", 0..10)].concat()).await;
    assert!(fs::read_dir(&spool).unwrap().count() > 0);
    assert!(daemon.stop().await.success());
    fs::write(bench.aside("no directory"), "").unwrap();
    let wrong = bench.aside("no directory");
    let wrong = bench.run(&["--watch", "-", "--spool-dir", wrong.to_str().unwrap()]);
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(1), "{said}");
    assert!(said.contains("no directory'; give another directory with --spool-dir"), "{said}");
    let wrong = bench.run(&["--watch", "-", "--spool-limit", "much"]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(said.contains("invalid size 'much'") && said.contains("2GiB"), "{said}");
}
