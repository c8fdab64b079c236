//! Standard input and FIFOs: what comes is stored once, however the reader ends.

mod crashes;
mod outages;
mod people;

use std::fs::{self, File, OpenOptions};
use std::io::{PipeWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rustix::fs::{OFlags, fcntl_setfl};

use crate::bounds::assert_idle;
use crate::daemon::{Bench, Daemon, for_each_store, line, lines, urls};
use crate::place::{Place, until};

/// Where the spool is without a setting.
pub(crate) fn spool(bench: &Bench) -> PathBuf {
    bench.aside(".local/state/log-ingestd/spool")
}

/// What is in the spool, file by file, oldest first.
pub(super) fn spooled(bench: &Bench) -> Vec<String> {
    let Ok(entries) = fs::read_dir(spool(bench)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

pub(crate) fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Opened for both: there is always a reader, and always a writer.
pub(crate) fn hold_open(fifo: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(fifo).unwrap()
}

/// Opened for writing, as soon as there is a reader.
pub(crate) async fn writer_of(fifo: &Path) -> File {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let mut opened = None;
    until("the FIFO has a reader", async || {
        opened = options.open(fifo).ok();
        opened.is_some()
    })
    .await;
    let file = opened.unwrap();
    fcntl_setfl(&file, OFlags::WRONLY).unwrap();
    file
}

/// The daemon on what is given, looking ten times a second; its standard input is a pipe, and this is
/// where to write to it.
pub(super) fn watch(bench: &Bench, arguments: &[&str], stderr: &str) -> (Daemon, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = bench.command(&["--poll-interval", "100ms", "--watch"]);
    command.args(arguments);
    (Daemon::reading(command, bench.aside(stderr), reader), writer)
}

/// Runs the daemon on a standard input that is this text, to its end.
async fn fed(bench: &Bench, text: &str) -> (ExitStatus, String) {
    let (mut daemon, mut writer) = watch(bench, &["-"], "stderr");
    writer.write_all(text.as_bytes()).unwrap();
    drop(writer);
    (daemon.ends().await, daemon.said())
}

for_each_store! {
    async fn the_end_of_standard_input_is_the_daemons_end(bench) {
        let (mut daemon, mut input) = watch(&bench, &["-"], "stderr");
        input.write_all(lines("a", 0..5000).as_bytes()).unwrap();
        bench.rows(5000).await; // while it is open
        let last = line("/last");
        input.write_all(last.trim_end().as_bytes()).unwrap(); // without a newline
        drop(input);
        assert!(daemon.ends().await.success(), "{}", daemon.said());
        let all = [urls("a", 0..5000), vec!["/last".to_owned()]].concat();
        bench.exactly(all).await;
        assert_eq!(spooled(&bench), Vec::<String>::new(), "all of it is stored");
        let path = bench.place.texts("SELECT path FROM log_file").await;
        assert!(path[0].starts_with(spool(&bench).join("stdin.").to_str().unwrap()), "{path:?}");
        assert!(bench.succeed(&["status", "--all"]).contains("5,001 rows"));
    }

    /// Two streams that say the same are two; a file that is there twice is one.
    async fn the_same_lines_from_two_streams_are_stored_twice(bench) {
        for _ in 0..3 {
            let (status, said) = fed(&bench, &lines("a", 0..10)).await;
            assert!(status.success(), "{said}");
        }
        bench.exactly([urls("a", 0..10), urls("a", 0..10), urls("a", 0..10)].concat()).await;
        let (status, said) = fed(&bench, "").await;
        assert!(status.success(), "{said}");
        bench.rows(30).await;
    }

    async fn writers_of_a_fifo_come_and_go(bench) {
        let fifo = bench.aside("access.fifo");
        make_fifo(&fifo);
        let (mut daemon, _input) = watch(&bench, &[fifo.to_str().unwrap()], "stderr");
        daemon.says("reading a FIFO").await;
        for round in 0..5u32 {
            let mut writer = writer_of(&fifo).await;
            writer.write_all(lines("a", round * 10..(round + 1) * 10).as_bytes()).unwrap();
            if round % 2 == 0 {
                drop(writer);
                bench.rows(i64::from(round + 1) * 10).await;
            }
        }
        // Two at a time.
        let mut writers = [writer_of(&fifo).await, writer_of(&fifo).await];
        for number in 0..100 {
            writers[number as usize % 2].write_all(lines("b", number..number + 1).as_bytes()).unwrap();
        }
        bench.exactly([urls("a", 0..50), urls("b", 0..100)].concat()).await;
        assert!(!daemon.has_ended(), "a FIFO has no end");
        bench.succeed(&["verify", spool(&bench).to_str().unwrap()]);
        assert!(daemon.stop().await.success());
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 1);
    }

    async fn lines_that_no_format_reads_are_rejected_and_delay_no_others(bench) {
        let started = "[2026-11-23 14:23:17 +0530] [24744] [INFO] Starting gunicorn 23.0.0\n";
        let (status, said) = fed(&bench, &format!("{started}\nTraceback\n")).await;
        assert!(status.success(), "{said}");
        assert_eq!(spooled(&bench), Vec::<String>::new());
        let rejects = "SELECT CAST(coalesce(sum(repeats), 0) AS bigint) FROM rejected_line";
        let rejected = bench.place.number(rejects).await;
        assert_eq!((bench.stored().await, rejected), (3, 3), "{said}");
        // As `gunicorn … 2>&1 |`: the format is told when there are lines of it.
        let (mut daemon, mut input) = watch(&bench, &["-"], "stderr");
        input.write_all(started.repeat(3).as_bytes()).unwrap();
        daemon.says("waits for more").await;
        assert_eq!(bench.stored().await, 3, "nothing is decided yet");
        let micros: String = (0..9).map(|n| line(&format!("/b/{n}")).replace('\n', " 205µs\n")).collect();
        input.write_all(micros.as_bytes()).unwrap();
        bench.rows(9).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM gunicorn_log WHERE duration = 205").await, 9);
        drop(input);
        assert!(daemon.ends().await.success());
        assert_eq!(bench.place.number(rejects).await, 6);
        bench.balanced().await;
    }

    /// Files of 64 KiB, each removed when all of it is stored.
    async fn the_spool_is_rotated_and_what_is_stored_leaves_it(bench) {
        let (mut daemon, mut input) = watch(&bench, &["-", "--spool-limit", "256KiB"], "stderr");
        for round in 0..20u32 {
            input.write_all(lines("a", round * 1000..(round + 1) * 1000).as_bytes()).unwrap();
        }
        bench.exactly(urls("a", 0..20_000)).await;
        until("only the newest file is left", async || spooled(&bench).len() <= 1).await;
        let files = bench.place.number("SELECT count(*) FROM log_file").await;
        assert!((8..100).contains(&files), "{files} files for 2 MB");
        drop(input);
        assert!(daemon.ends().await.success());
        assert_eq!(spooled(&bench), Vec::<String>::new());
        let open = "SELECT count(*) FROM log_file WHERE closed_at IS NULL";
        assert_eq!(bench.place.number(open).await, 0);
        bench.exactly(urls("a", 0..20_000)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_streams_cost_next_to_nothing() {
    let bench = Bench::new(Place::sqlite().await).await;
    let (fifo, shut) = (bench.aside("access.fifo"), bench.aside("shut.fifo"));
    make_fifo(&fifo);
    make_fifo(&shut);
    let mut command = bench.command(&["--watch", "-"]);
    command.args([&fifo, &shut]);
    let (reader, mut input) = std::io::pipe().unwrap();
    let mut daemon = Daemon::reading(command, bench.aside("stderr"), reader);
    let mut open = hold_open(&fifo);
    input.write_all(lines("a", 0..10).as_bytes()).unwrap();
    open.write_all(lines("b", 0..10).as_bytes()).unwrap();
    daemon.says("reading a FIFO").await;
    // One whose writers are gone again: its end is there to be read, for ever.
    writer_of(&shut).await.write_all(lines("c", 0..10).as_bytes()).unwrap();
    bench.rows(30).await;
    assert_idle(&daemon).await;
    open.write_all(lines("b", 10..11).as_bytes()).unwrap();
    bench.rows(31).await;
}
