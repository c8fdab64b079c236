//! What stays bounded whatever the logs do: memory, offsets, idle work, and how long a small log
//! waits for a large one.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use log_ingestd::model::grouped;
use log_ingestd::source::fingerprint::{TAIL_FINGERPRINT_LENGTH, print};

use crate::archives::{Summary, compress};
use crate::daemon::{Bench, Daemon, for_each_store, line, lines, peak_kib, urls};
use crate::place::{Place, until};

/// How much more memory than with nothing to do is allowed (32 MiB).
pub(crate) const MEMORY_KIB: u64 = 32 << 10;

const GIB: u64 = 1 << 30;

/// Bytes of a line in [`wide`].
const WIDE: usize = 4 << 10;

/// So many lines of 4 KiB each.
fn wide(prefix: &str, count: usize) -> String {
    let start = line(&format!("/{prefix}/{:08}/", 0)).len();
    let long = "x".repeat(WIDE - start);
    (0..count).map(|nth| line(&format!("/{prefix}/{nth:08}/{long}"))).collect()
}

fn assert_bounded(daemon: &Daemon, base_kib: u64, with: &str) {
    let grown = daemon.peak_kib() - base_kib;
    println!("{grown} KiB more than with nothing to do, with {with}");
    assert!(grown < MEMORY_KIB, "{grown} KiB more with {with}");
}

for_each_store! {
    async fn a_backlog_and_a_line_of_100_mb_stay_within_32_mib(bench) {
        bench.append("access.log", lines("a", 0..10));
        let daemon = bench.watch();
        bench.rows(10).await;
        let base = daemon.peak_kib();
        for name in ["one", "two", "three"] {
            bench.append(&format!("{name}.log"), wide(name, 5000));
        }
        bench.rows(15_010).await;
        assert_bounded(&daemon, base, "a backlog of 60 MB");
        let offset = fs::metadata(bench.log("access.log")).unwrap().len();
        bench.append("access.log", "y".repeat(100 << 20));
        bench.append("access.log", "\n");
        bench.append("access.log", lines("b", 0..10));
        bench.rows(15_020).await;
        assert_bounded(&daemon, base, "a line of 100 MiB");
        let reject = format!("SELECT reason || ' ' || length(raw) FROM rejected_line WHERE log_offset = {offset}");
        let reason = format!("is longer than 4 MiB: {} bytes, the first 64 KiB are kept 65536", (100 << 20) + 1);
        assert_eq!(bench.place.texts(&reject).await, [reason]);
        bench.balanced().await;
    }

    /// Of each file some is read in turn: the small one's rows come while the large one still has
    /// a backlog.
    /// The backlog is made to last: it is written on whenever little of it is left.
    async fn a_large_backlog_does_not_starve_a_trickle(bench) {
        let backlog = wide("large", 8_000);
        bench.append("large.log", &backlog);
        bench.append("trickle.log", line("/trickle/first"));
        let daemon = bench.watch();
        let mut written = backlog.len();
        for nth in 0..5 {
            bench.append("trickle.log", line(&format!("/trickle/{nth}")));
            let there = format!("SELECT count(*) FROM gunicorn_log WHERE url = '/trickle/{nth}'");
            until("the trickle comes through", async || {
                let stored = "SELECT CAST(coalesce(max(committed), 0) AS bigint) FROM log_file
                    WHERE path LIKE '%/large.log'";
                let stored = bench.place.number(stored).await as usize;
                if written - stored < backlog.len() {
                    bench.append("large.log", &backlog);
                    written += backlog.len();
                }
                bench.place.number(&there).await == 1
            })
            .await;
        }
        daemon.kill();
        bench.balanced().await;
    }

    /// A log of which the first 5 GiB are stored, made quickly: the checkpoint is moved there, and
    /// the file has a hole before it.
    async fn offsets_past_4_gib_are_offsets(bench) {
        bench.append("access.log", lines("a", 0..10));
        let daemon = bench.watch();
        bench.rows(10).await;
        assert!(daemon.stop().await.success());
        let far = 5 * GIB;
        let mut log = OpenOptions::new().read(true).write(true).open(bench.log("access.log")).unwrap();
        let last = line("/last");
        log.seek(SeekFrom::Start(far - last.len() as u64)).unwrap();
        log.write_all(last.as_bytes()).unwrap();
        let mut guard = vec![0; TAIL_FINGERPRINT_LENGTH];
        log.read_exact_at(&mut guard, far - TAIL_FINGERPRINT_LENGTH as u64).unwrap();
        let guard: String = print(&guard).print.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = if bench.place.is_postgres() { format!("'\\x{guard}'") } else { format!("x'{guard}'") };
        bench.place.execute(&format!(
            "UPDATE log_file SET committed = {far}, size = {far}, guard = {bytes}, guard_length = {TAIL_FINGERPRINT_LENGTH}"
        )).await;
        let daemon = bench.watch();
        bench.append("access.log", lines("b", 0..10));
        bench.append("access.log", "no line of ours\n");
        bench.rows(20).await;
        until("the reject is there", async || bench.stored().await == 21).await;
        let offsets = "SELECT count(DISTINCT log_offset) FROM gunicorn_log WHERE url LIKE '/b/%' AND
            log_offset >= 5368709120 AND id = log_file * 274877906944 + log_offset";
        assert_eq!(bench.place.number(offsets).await, 10);
        let reject = far + lines("b", 0..10).len() as u64;
        let reject = format!("SELECT count(*) FROM rejected_line WHERE log_offset = {reject}");
        assert_eq!(bench.place.number(&reject).await, 1);
        assert!(daemon.stop().await.success());
        assert!(bench.succeed(&["status"]).contains(&format!("offset {}, caught up", grouped(log.metadata().unwrap().len()))));
        bench.append("access.log", lines("c", 0..10));
        let _daemon = bench.watch();
        bench.exactly([urls("a", 0..10), urls("b", 0..10), urls("c", 0..10)].concat()).await;
    }
}

/// A hole within a line takes no time to write: a GiB of it. Other logs have their turn meanwhile, and
/// a stop is heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_huge_line_delays_no_other_log() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("huge.log", lines("a", 0..10) + "x");
    let mut log = OpenOptions::new().write(true).open(bench.log("huge.log")).unwrap();
    log.seek(SeekFrom::End(GIB as i64)).unwrap();
    log.write_all(format!("\n{}", lines("b", 0..10)).as_bytes()).unwrap();
    let daemon = bench.watch();
    bench.rows(10).await;
    for nth in 0..3 {
        bench.append("trickle.log", line(&format!("/trickle/{nth}")));
        bench.rows(11 + nth).await;
    }
    assert_eq!(bench.stored().await, 13, "the huge line was passed too soon");
    let began = Instant::now();
    assert!(daemon.stop().await.success());
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    let _daemon = bench.watch();
    bench.exactly([urls("a", 0..10), urls("b", 0..10), urls("trickle", 0..3)].concat()).await;
    assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 1);
}

/// All of it is read: a line of 5 GiB that is a hole, between lines that are none.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "reads 5 GiB, which takes minutes"]
async fn a_file_of_5_gib_is_read_to_its_end() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10) + "x");
    let daemon = bench.watch();
    bench.rows(10).await;
    let base = daemon.peak_kib();
    let mut log = OpenOptions::new().write(true).open(bench.log("access.log")).unwrap();
    log.seek(SeekFrom::End(5 * GIB as i64)).unwrap();
    log.write_all(format!("\n{}", lines("b", 0..10)).as_bytes()).unwrap();
    let end = Instant::now() + Duration::from_secs(600);
    while bench.stored().await < 21 {
        assert!(Instant::now() < end, "it does not come to an end");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bench.exactly([urls("a", 0..10), urls("b", 0..10)].concat()).await;
    assert_bounded(&daemon, base, "a file of 5 GiB");
}

/// Imports an archive of so many blocks: each holds a row, a MiB of lines that are left out, and a
/// line of `long` bytes that is rejected.
async fn archive(blocks: u32, long: usize) {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10));
    let daemon = bench.watch();
    bench.rows(10).await;
    let base = daemon.peak_kib();
    assert!(daemon.stop().await.success());
    let row = line(&format!("/{}", "r".repeat(4000)));
    let block = format!("{}{row}{}\n", wide("skip", 255), "y".repeat(long));
    let frame = compress("zst", block.as_bytes());
    fs::write(bench.aside("huge.zst"), frame.repeat(blocks as usize)).unwrap();
    let huge = bench.aside("huge.zst");
    let mut import = bench.command(&["import", "--json", "--exclude-path", "/skip/"]);
    let mut import = import.arg(huge).stdout(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    while import.try_wait().unwrap().is_none() {
        // Nothing any more in the moment of its end.
        peak = peak.max(peak_kib(import.id()).unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let summary = Summary::of(&import.wait_with_output().unwrap().stdout);
    let blocks = u64::from(blocks);
    assert_eq!((summary.count("rows"), summary.count("excluded")), (blocks, 255 * blocks));
    assert_eq!(summary.count("bytes"), block.len() as u64 * blocks);
    let mib = summary.count("bytes") >> 20;
    println!("{peak} KiB for an archive of {mib} MiB, {base} KiB with nothing to do");
    assert!(peak > 0 && peak < base + MEMORY_KIB, "{peak} KiB, {base} KiB with nothing to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_archive_is_read_in_bounded_memory() {
    archive(24, 5 << 20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "reads 2 GiB, which takes minutes"]
async fn an_archive_of_2_gib_is_read_in_bounded_memory() {
    archive(128, 15 << 20).await;
}

/// Processor time of a process so far, all its threads, in clock ticks: fields 14 and 15 of
/// proc_pid_stat(5).
fn ticks(daemon: &Daemon) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// A daemon to which nothing happens takes next to none of one processor.
pub(crate) async fn assert_idle(daemon: &Daemon) {
    const WATCHED: Duration = Duration::from_secs(6);
    let before = ticks(daemon);
    tokio::time::sleep(WATCHED).await; // what is measured is this time, in which nothing happens
    let used = ticks(daemon) - before;
    let per_second = Command::new("getconf").arg("CLK_TCK").output().unwrap().stdout;
    let per_second: u64 = String::from_utf8(per_second).unwrap().trim().parse().unwrap();
    let percent = 100.0 * used as f64 / (per_second * WATCHED.as_secs()) as f64;
    println!("{percent:.2} % of one processor");
    assert!(percent < 5.0, "{percent:.2} % of one processor");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_quiet_files_cost_next_to_nothing() {
    let bench = Bench::new(Place::sqlite().await).await;
    for nth in 0..1000 {
        bench.append(&format!("{nth}.log"), line(&format!("/{nth}")));
    }
    let logs = bench.logs();
    let daemon =
        Daemon::start(bench.command(&["--watch", logs.to_str().unwrap()]), bench.aside("stderr"));
    bench.rows(1000).await;
    assert_idle(&daemon).await;
    bench.append("7.log", line("/more"));
    bench.rows(1001).await;
}
