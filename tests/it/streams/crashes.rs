//! kill -9 and SIGTERM while a stream is read.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::daemon::{for_each_store, line, lines, urls};
use crate::place::{joined, until};
use crate::torture::{asked, seed};

use super::{hold_open, make_fifo, spool, spooled, watch};

/// Kills in one test, unless `tests/torture --streams N` asks for more.
const KILLS: u32 = 12;

/// How long a daemon lives, milliseconds.
const LIFE: std::ops::Range<u64> = 5..400;

/// How long a stop in order may take.
const ORDERLY: Duration = Duration::from_secs(10);

for_each_store! {
    /// The pipe is always full, lines are cut wherever it is, and the daemon dies at any moment.
    async fn a_daemon_that_is_killed_again_and_again_takes_each_byte_of_a_fifo_once(bench) {
        let fifo = bench.aside("access.fifo");
        make_fifo(&fifo);
        let mut writer = hold_open(&fifo);
        let seed = seed();
        println!("{}, seed {seed}", if bench.place.is_postgres() { "postgres" } else { "sqlite" });
        let mut dice = Rng::with_seed(seed);
        let enough = Arc::new(AtomicBool::new(false));
        let (told, mut pieces) = (Arc::clone(&enough), dice.fork());
        let writing = std::thread::spawn(move || {
            let mut number = 0;
            while !told.load(Ordering::Relaxed) {
                let some = pieces.u32(1..100);
                let mut text = lines("a", number..number + some).into_bytes();
                number += some;
                while !text.is_empty() {
                    let piece = pieces.usize(1..8000).min(text.len());
                    writer.write_all(&text[..piece]).unwrap();
                    text.drain(..piece);
                    if pieces.u32(..20) == 0 {
                        std::thread::sleep(Duration::from_millis(pieces.u64(..20)));
                    }
                }
            }
            (writer, number)
        });
        for _ in 0..asked("STREAMS").unwrap_or(KILLS) {
            // Of a small spool files are ended and removed all the time.
            let limit = if dice.bool() { "256KiB" } else { "1GiB" };
            let arguments = [fifo.to_str().unwrap(), "--spool-limit", limit];
            let (mut daemon, _input) = watch(&bench, &arguments, "stderr");
            if dice.bool() {
                daemon.says("reading a FIFO").await;
            }
            // The moment is random: the test waits for nothing.
            tokio::time::sleep(Duration::from_millis(dice.u64(LIFE))).await;
            daemon.kill();
        }
        let (mut daemon, _input) = watch(&bench, &[fifo.to_str().unwrap()], "stderr");
        daemon.says("reading a FIFO").await;
        enough.store(true, Ordering::Relaxed);
        let (_writer, written) = joined(writing).await;
        let files = bench.place.number("SELECT count(*) FROM log_file").await;
        println!("{written} lines in {files} files");
        bench.exactly(urls("a", 0..written)).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 0);
        let lost = "SELECT count(*) FROM log_file WHERE lost_bytes > 0";
        assert_eq!(bench.place.number(lost).await, 0, "bytes that are stored count as lost");
        let began = Instant::now();
        assert!(daemon.stop().await.success());
        assert!(began.elapsed() < ORDERLY);
    }

    async fn a_stop_in_the_middle_of_a_line_is_gone_on_with(bench) {
        let fifo = bench.aside("access.fifo");
        make_fifo(&fifo);
        let mut writer = hold_open(&fifo);
        let whole = line("/cut/in/two");
        let (one, other) = whole.split_at(40);
        let (mut daemon, _input) = watch(&bench, &[fifo.to_str().unwrap()], "stderr");
        writer.write_all((lines("a", 0..10) + one).as_bytes()).unwrap();
        bench.rows(10).await;
        daemon.says("following a new file").await;
        assert!(daemon.stop().await.success());
        assert!(spooled(&bench)[0].ends_with(one), "its beginning is kept");
        writer.write_all((other.to_owned() + &lines("b", 0..10)).as_bytes()).unwrap();
        let (daemon, _input) = watch(&bench, &[fifo.to_str().unwrap()], "stderr");
        let all = [urls("a", 0..10), vec!["/cut/in/two".to_owned()], urls("b", 0..10)].concat();
        bench.exactly(all).await;
        assert!(daemon.stop().await.success());
    }

    /// The next daemon finishes what standard input has left, its cut line too.
    async fn what_a_killed_daemon_left_of_standard_input_is_stored_by_the_next_one(bench) {
        let (mut daemon, mut input) = watch(&bench, &["-"], "stderr");
        input.write_all((lines("a", 0..10) + "no end").as_bytes()).unwrap();
        bench.rows(10).await;
        daemon.says("following a new file").await;
        daemon.kill();
        let left = spooled(&bench);
        assert!(left.len() == 1 && left[0].ends_with("no end"), "{left:?}");
        bench.append("access.log", lines("file", 0..10));
        let daemon = bench.watch();
        bench.exactly([urls("a", 0..10), urls("file", 0..10)].concat()).await;
        let rejected = "SELECT CAST(count(*) AS bigint) FROM rejected_line WHERE length(raw) = 6";
        until("the cut line is a reject", async || {
            bench.place.number(rejected).await == 1 && spooled(&bench).is_empty()
        })
        .await;
        assert!(daemon.stop().await.success());
        bench.balanced().await;
    }

    async fn sigterm_takes_what_is_in_the_pipe_and_exits_0_in_time(bench) {
        let (daemon, mut input) = watch(&bench, &["-"], "stderr");
        input.write_all(lines("a", 0..20_000).as_bytes()).unwrap();
        let began = Instant::now();
        let mut daemon = daemon;
        daemon.signal("TERM");
        assert_eq!(daemon.ends().await.code(), Some(0), "{}", daemon.said());
        assert!(began.elapsed() < ORDERLY);
        assert!(input.write_all(b"more").is_err(), "the pipe still has a reader");
        let daemon = bench.watch();
        bench.exactly(urls("a", 0..20_000)).await;
        until("the spool is empty", async || spooled(&bench).is_empty()).await;
        assert!(daemon.stop().await.success());
    }

    /// Between both steps the power fails: the file is known, and nothing in it is new.
    async fn a_file_that_is_stored_and_not_removed_yet_is_removed_later(bench) {
        let (mut daemon, mut input) = watch(&bench, &["-"], "stderr");
        input.write_all(lines("a", 0..10).as_bytes()).unwrap();
        bench.rows(10).await;
        let path = fs::read_dir(spool(&bench)).unwrap().next().unwrap().unwrap().path();
        let kept = bench.aside("kept");
        fs::hard_link(&path, &kept).unwrap();
        drop(input);
        assert!(daemon.ends().await.success());
        fs::hard_link(&kept, &path).unwrap();
        let daemon = bench.watch();
        until("it is removed again", async || spooled(&bench).is_empty()).await;
        assert!(daemon.stop().await.success());
        bench.exactly(urls("a", 0..10)).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 1);
    }

    /// What was stored, and had not reached the disk when the power went, is not read as if it was new.
    async fn a_file_that_a_power_cut_has_shortened_goes_on(bench) {
        let fifo = bench.aside("access.fifo");
        make_fifo(&fifo);
        let mut writer = hold_open(&fifo);
        let (mut daemon, _input) = watch(&bench, &[fifo.to_str().unwrap()], "stderr");
        writer.write_all((lines("a", 0..10) + "no end").as_bytes()).unwrap();
        bench.rows(10).await;
        daemon.says("following a new file").await;
        daemon.kill();
        drop(writer);
        let path = fs::read_dir(spool(&bench)).unwrap().next().unwrap().unwrap().path();
        let short = lines("a", 0..3);
        fs::write(&path, &short).unwrap();
        let (mut daemon, _input) = watch(&bench, &[fifo.to_str().unwrap()], "stderr");
        daemon.says("a power cut took the end of this log").await;
        hold_open(&fifo).write_all(lines("b", 0..10).as_bytes()).unwrap();
        bench.exactly([urls("a", 0..10), urls("b", 0..10)].concat()).await;
        assert_eq!(fs::read_to_string(&path).unwrap_or(short.clone()), short);
        assert!(daemon.stop().await.success());
    }

    async fn sighup_keeps_the_streams_open(bench) {
        let fifo = bench.aside("access.fifo");
        make_fifo(&fifo);
        let (mut daemon, mut input) = watch(&bench, &["-", fifo.to_str().unwrap()], "stderr");
        daemon.says("reading a FIFO").await;
        let mut writer = hold_open(&fifo);
        let whole = line("/cut/in/two");
        let (one, other) = whole.split_at(40);
        input.write_all((lines("a", 0..10) + one).as_bytes()).unwrap();
        writer.write_all(lines("b", 0..10).as_bytes()).unwrap();
        bench.rows(20).await;
        daemon.signal("HUP");
        daemon.says("configuration read again").await;
        input.write_all((other.to_owned() + &lines("a", 10..20)).as_bytes()).unwrap();
        writer.write_all(lines("b", 10..20).as_bytes()).unwrap();
        let all = [urls("a", 0..20), vec!["/cut/in/two".to_owned()], urls("b", 0..20)].concat();
        bench.exactly(all).await;
        assert_eq!(daemon.said().matches("reading a FIFO").count(), 1);
        assert!(daemon.stop().await.success());
    }
}
