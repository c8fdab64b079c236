//! A database that is unavailable while streams are read, a spool that is full, and other daemons.

use std::io::Write;
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};

use crate::bad_input::disk::Disk;
use crate::daemon::{Bench, lines, urls};
use crate::place::{Place, joined, until};
use crate::postgres::Cluster;

use super::{hold_open, make_fifo, spooled, watch};

/// A way to take the store away: a server of its own is stopped, an SQLite file is locked by another session.
struct Outage {
    cluster: Option<Cluster>,
    lock: Option<SqliteConnection>,
}

impl Outage {
    async fn begin(&mut self, bench: &Bench) {
        match &self.cluster {
            Some(cluster) => cluster.stop(),
            None => {
                let mut holder = SqliteConnection::connect(&bench.place.url).await.unwrap();
                // Another writer has the lock for moments only.
                sqlx::raw_sql("PRAGMA busy_timeout = 30000").execute(&mut holder).await.unwrap();
                sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();
                self.lock = Some(holder);
            }
        }
    }

    async fn end(&mut self) {
        match (&self.cluster, self.lock.take()) {
            (Some(cluster), _) => cluster.start_again(),
            (None, Some(mut lock)) => {
                sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
            }
            (None, None) => panic!("there is no outage"),
        }
    }
}

/// The same story with each store.
macro_rules! for_each_outage {
    ($($(#[$attribute:meta])* async fn $name:ident($bench:ident, $outage:ident) $story:block)*) => {
        $(
            mod $name {
                use super::*;

                async fn story($bench: Bench, mut $outage: Outage) $story

                #[tokio::test(flavor = "multi_thread")]
                async fn on_postgres() {
                    let cluster = Cluster::start();
                    let bench = Bench::new(Place::at(cluster.database().await)).await;
                    story(bench, Outage { cluster: Some(cluster), lock: None }).await;
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn on_sqlite() {
                    let bench = Bench::new(Place::sqlite().await).await;
                    story(bench, Outage { cluster: None, lock: None }).await;
                }
            }
        )*
    };
}

/// Bytes in the spool.
fn used(bench: &Bench) -> usize {
    spooled(bench).iter().map(String::len).sum()
}

for_each_outage! {
    /// Nothing is dropped and nothing removed: the writer waits, and goes on.
    async fn a_full_spool_makes_the_writer_wait_and_then_everything_comes(bench, outage) {
        let (mut daemon, mut input) = watch(&bench, &["-", "--spool-limit", "1MiB"], "stderr");
        input.write_all(lines("first", 0..10).as_bytes()).unwrap();
        bench.rows(10).await;
        outage.begin(&bench).await;
        let text = lines("a", 0..40_000);
        let sent = text.clone();
        let writing = std::thread::spawn(move || input.write_all(sent.as_bytes()).unwrap());
        daemon.says("the spool is full").await;
        // What does not happen cannot be waited for: it has time to be wrong.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!writing.is_finished(), "the writer does not wait");
        let used = used(&bench);
        assert!((1 << 20..(1 << 20) + (128 << 10)).contains(&used), "{used} bytes");
        let kept = spooled(&bench).concat();
        assert!((lines("first", 0..10) + &text).starts_with(&kept), "something is missing");
        assert!(kept.ends_with('\n') && !daemon.has_ended());
        outage.end().await;
        bench.exactly([urls("first", 0..10), urls("a", 0..40_000)].concat()).await;
        joined(writing).await;
        assert!(daemon.ends().await.success(), "{}", daemon.said());
        assert_eq!(spooled(&bench), Vec::<String>::new());
        assert!(daemon.said().contains("there is room in the spool"), "{}", daemon.said());
    }

    /// A writer of a stream does not wait for the store.
    async fn a_store_that_is_unavailable_at_the_start_keeps_no_writer_waiting(bench, outage) {
        outage.begin(&bench).await;
        let text = lines("a", 0..5000); // more than a pipe holds
        let (mut daemon, mut input) = watch(&bench, &["-", "--connect-timeout", "60s"], "stderr");
        input.write_all(text.as_bytes()).unwrap();
        until("all of it is in the spool", async || used(&bench) == text.len()).await;
        outage.end().await;
        drop(input);
        assert!(daemon.ends().await.success(), "{}", daemon.said());
        bench.exactly(urls("a", 0..5000)).await;
    }

    async fn the_end_of_standard_input_waits_for_the_store_and_a_stop_does_not(bench, outage) {
        let (mut daemon, mut input) = watch(&bench, &["-"], "stderr");
        input.write_all(lines("first", 0..10).as_bytes()).unwrap();
        bench.rows(10).await;
        outage.begin(&bench).await;
        input.write_all(lines("a", 0..1000).as_bytes()).unwrap();
        drop(input);
        daemon.says("the stream has ended").await;
        assert!(!daemon.has_ended());
        daemon.signal("TERM");
        assert_eq!(daemon.ends().await.code(), Some(0), "{}", daemon.said());
        assert_eq!(spooled(&bench).concat(), lines("first", 0..10) + &lines("a", 0..1000));
        outage.end().await;
        // The next stream takes it along.
        let (mut daemon, mut input) = watch(&bench, &["-"], "stderr");
        input.write_all(lines("b", 0..10).as_bytes()).unwrap();
        drop(input);
        assert!(daemon.ends().await.success());
        bench.exactly([urls("first", 0..10), urls("a", 0..1000), urls("b", 0..10)].concat()).await;
        assert_eq!(spooled(&bench), Vec::<String>::new());
    }

    /// Each has its own files; the one that is left finishes those of the one that is gone.
    async fn two_daemons_share_a_spool_and_one_of_them_is_killed(bench, outage) {
        let (one, mut to_one) = watch(&bench, &["-"], "one");
        let (mut other, mut to_other) = watch(&bench, &["-"], "other");
        to_one.write_all(lines("one", 0..10).as_bytes()).unwrap();
        to_other.write_all(lines("other", 0..10).as_bytes()).unwrap();
        bench.rows(20).await;
        outage.begin(&bench).await;
        to_one.write_all(lines("one", 10..2000).as_bytes()).unwrap();
        to_other.write_all(lines("other", 10..2000).as_bytes()).unwrap();
        let all = lines("one", 0..2000).len() + lines("other", 0..2000).len();
        until("all of it is in the spool", async || used(&bench) == all).await;
        assert_eq!(spooled(&bench).len(), 2);
        one.kill();
        outage.end().await;
        bench.exactly([urls("one", 0..2000), urls("other", 0..2000)].concat()).await;
        until("one file is left", async || spooled(&bench).len() == 1).await;
        to_other.write_all(lines("more", 0..10).as_bytes()).unwrap();
        drop(to_other);
        assert!(other.ends().await.success(), "{}", other.said());
        assert_eq!(spooled(&bench), Vec::<String>::new());
        let urls = [urls("one", 0..2000), urls("other", 0..2000), urls("more", 0..10)].concat();
        bench.exactly(urls).await;
    }

    /// The quiet stream's file is all that could be removed.
    async fn a_full_spool_is_made_empty_by_all_streams(bench, outage) {
        let fifo = bench.aside("access.fifo");
        make_fifo(&fifo);
        let arguments = ["-", fifo.to_str().unwrap(), "--spool-limit", "256KiB"];
        let (mut daemon, mut input) = watch(&bench, &arguments, "stderr");
        daemon.says("reading a FIFO").await;
        let mut quiet = hold_open(&fifo);
        quiet.write_all(lines("quiet", 0..500).as_bytes()).unwrap();
        bench.rows(500).await;
        outage.begin(&bench).await;
        let writing = std::thread::spawn(move || {
            input.write_all(lines("a", 0..10_000).as_bytes()).unwrap();
        });
        daemon.says("the spool is full").await;
        outage.end().await;
        bench.exactly([urls("quiet", 0..500), urls("a", 0..10_000)].concat()).await;
        joined(writing).await;
        until("nothing is left", async || spooled(&bench).is_empty()).await;
        quiet.write_all(lines("quiet", 500..510).as_bytes()).unwrap();
        bench.exactly([urls("quiet", 0..510), urls("a", 0..10_000)].concat()).await;
        assert!(daemon.stop().await.success());
    }
}

/// Both would have half of its lines.
#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_on_one_fifo_read_it_one_after_the_other() {
    let bench = Bench::new(Place::sqlite().await).await;
    let fifo = bench.aside("access.fifo");
    make_fifo(&fifo);
    let mut writer = hold_open(&fifo);
    let path = fifo.to_str().unwrap();
    let (mut one, _input) = watch(&bench, &[path], "one");
    one.says("reading a FIFO").await;
    let elsewhere = bench.aside("elsewhere");
    let arguments = [path, "--spool-dir", elsewhere.to_str().unwrap()];
    let (mut other, _other_input) = watch(&bench, &arguments, "other");
    other.says("another log-ingestd reads it").await;
    writer.write_all(lines("a", 0..2000).as_bytes()).unwrap();
    bench.rows(2000).await;
    one.kill();
    writer.write_all(lines("b", 0..2000).as_bytes()).unwrap();
    bench.exactly([urls("a", 0..2000), urls("b", 0..2000)].concat()).await;
    let said = other.said();
    assert_eq!(said.matches("another log-ingestd reads it").count(), 1, "{said}");
    assert!(other.stop().await.success());
}

/// A disk that is smaller than one file of the spool.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_spool_makes_the_writer_wait() {
    let bench = Bench::new(Place::sqlite().await).await;
    let Some(disk) = Disk::mount(&bench.aside("disk")) else {
        println!("skipped: only root may mount a small disk");
        return;
    };
    let spool = bench.aside("disk/spool");
    let arguments = ["-", "--spool-dir", spool.to_str().unwrap()];
    let (mut daemon, mut input) = watch(&bench, &arguments, "stderr");
    let writing = std::thread::spawn(move || {
        input.write_all(lines("a", 0..40_000).as_bytes()).unwrap();
    });
    daemon.says("cannot write to the spool").await;
    assert!(!writing.is_finished() && !daemon.has_ended());
    disk.grow();
    bench.exactly(urls("a", 0..40_000)).await;
    joined(writing).await;
    assert!(daemon.ends().await.success());
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0);
}
