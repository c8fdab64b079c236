//! kill -9 at random moments, of the daemon and of PostgreSQL, while three logs are written and
//! rotated without a pause: at the end every line is one row.
//!
//! A few kills here, as many as one likes by `tests/torture --kills N`.

pub(crate) mod server;
mod soak;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::archives::{KINDS, compress};
use crate::daemon::{Bench, Daemon, PATIENCE};
use crate::place::{Place, until};
use crate::postgres::Cluster;
use crate::torture::{asked, seed};
use server::{Pace, Server, is_final};

/// Kills, unless the environment asks for more.
const KILLS: u32 = 6;

/// How long a daemon lives, milliseconds; half of them this long after the first line.
const LIFE: std::ops::Range<u64> = 50..400;

/// One kill of so many is the server's.
const SERVER: u32 = 8;

/// Rotated files that are stored are compressed after so many kills.
const COMPRESS: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn lose_and_double_nothing_on_postgres() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    torture(&bench, Some(&cluster)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lose_and_double_nothing_on_sqlite() {
    let bench = Bench::new(Place::sqlite().await).await;
    torture(&bench, None).await;
}

/// What was done to whom.
#[derive(Debug, Default)]
struct Done {
    daemon: u32,
    server: u32,
    compressed: u32,
}

async fn torture(bench: &Bench, cluster: Option<&Cluster>) {
    let kills = asked("KILLS").unwrap_or(KILLS);
    let seed = seed();
    let store = if cluster.is_some() { "postgres" } else { "sqlite" };
    println!("{store}, seed {seed}: {kills} kills");
    let mut dice = Rng::with_seed(seed);
    let server = Server::start(bench.logs(), dice.fork(), Pace::BUSY);
    let began = Instant::now();
    let mut done = Done::default();
    while done.daemon + done.server < kills {
        one_life(bench, cluster, &mut dice, &mut done).await;
        server.stored(bench.stored().await);
        if done.daemon % COMPRESS == 0 {
            done.compressed += compress_what_is_stored(bench, &server, &mut dice).await;
        }
    }
    server.end();
    let killing = began.elapsed();
    let written = i64::from(server.written());
    all_stored(bench, written).await;
    let account = Account::of(&bench.place, "web").await;
    println!(
        "{store}, seed {seed}: {} kills of the daemon, {} of the server in {:.0} s; {written} lines \
         in {} rotations, {} files compressed; {} lost, {} doubled; {:.0} lines/s, {:.0} s in all",
        done.daemon,
        done.server,
        killing.as_secs_f64(),
        server.rotations(),
        done.compressed,
        written - account.distinct,
        account.rows - account.distinct,
        written as f64 / killing.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    assert_eq!(account, Account::right(written));
    bench.balanced().await;
}

/// A daemon is started, and killed at some moment; sometimes the server before it. Half of the
/// daemons are killed when they have begun to work, the others whenever it is.
async fn one_life(bench: &Bench, cluster: Option<&Cluster>, dice: &mut Rng, done: &mut Done) {
    let before = bench.stored().await;
    let mut daemon = watch(bench);
    if dice.bool() {
        until("more is stored", async || bench.stored().await > before).await;
    }
    a_while(dice).await;
    assert!(!daemon.has_ended(), "the daemon ended by itself: {}", daemon.said());
    let Some(cluster) = cluster.filter(|_| dice.u32(..SERVER) == 0) else {
        daemon.kill();
        done.daemon += 1;
        return;
    };
    cluster.kill_all();
    done.server += 1;
    if dice.bool() {
        cluster.start_again();
        a_while(dice).await;
        daemon.kill();
    } else {
        daemon.kill();
        cluster.start_again();
    }
    done.daemon += 1;
}

fn watch(bench: &Bench) -> Daemon {
    bench.watch_with(&["--connect-timeout", "60s", "--retention", "off"])
}

/// The moment at which something breaks is random: the test waits for nothing.
async fn a_while(dice: &mut Rng) {
    tokio::time::sleep(Duration::from_millis(dice.u64(LIFE))).await;
}

/// Compresses what is stored, and removes what was compressed before, as logrotate does. Lines are
/// stored in their order, so a file whose last line is stored is stored.
async fn compress_what_is_stored(bench: &Bench, server: &Server, dice: &mut Rng) -> u32 {
    let files: Vec<(PathBuf, Vec<u8>, String)> = {
        let _quiet = server.hold_on();
        let paths = fs::read_dir(bench.logs()).unwrap().map(|entry| entry.unwrap().path());
        let finals = paths.filter(|path| is_final(path));
        finals.map(|path| (path.clone(), fs::read(&path).unwrap())).filter_map(read_last).collect()
    };
    let lasts: Vec<String> = files.iter().map(|(_, _, last)| format!("'{last}'")).collect();
    let lasts = if lasts.is_empty() { "''".to_owned() } else { lasts.join(", ") };
    let sql = format!("SELECT url FROM gunicorn_log WHERE url IN ({lasts})");
    let stored = bench.place.texts(&sql).await;
    for entry in fs::read_dir(bench.logs()).unwrap() {
        let path = entry.unwrap().path();
        if KINDS.iter().any(|kind| path.extension().is_some_and(|end| end == *kind)) {
            fs::remove_file(path).unwrap();
        }
    }
    let mut compressed = 0;
    for (path, content, last) in files {
        if stored.contains(&last) {
            let kind = KINDS[dice.usize(..KINDS.len())];
            // Seen whole or not at all: `mv` of what was compressed elsewhere.
            let made = bench.aside("made");
            fs::write(&made, compress(kind, &content)).unwrap();
            let mut name = path.clone().into_os_string();
            name.push(format!(".{kind}"));
            fs::rename(made, name).unwrap();
            fs::remove_file(path).unwrap();
            compressed += 1;
        }
    }
    compressed
}

/// With the url of its last line; `None` if it is empty.
fn read_last((path, content): (PathBuf, Vec<u8>)) -> Option<(PathBuf, Vec<u8>, String)> {
    let text = std::str::from_utf8(&content).unwrap();
    let url = text.lines().last()?.split_once("GET ")?.1.split_once(' ')?.0.to_owned();
    Some((path, content, url))
}

/// A daemon that is left alone stores the rest, and stops.
async fn all_stored(bench: &Bench, written: i64) {
    let mut daemon = watch(bench);
    let (mut last, mut since) = (-1, Instant::now());
    loop {
        let stored = bench.stored().await;
        if stored >= written {
            break;
        }
        if stored > last {
            (last, since) = (stored, Instant::now());
        }
        assert!(!daemon.has_ended(), "the daemon ended by itself: {}", daemon.said());
        if since.elapsed() > PATIENCE {
            println!("nothing more comes: {}", daemon.said());
            break; // the account says what is missing
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // All may have been stored before it began: a signal before it listens ends it at once.
    daemon.says("watching").await;
    assert!(daemon.stop().await.success());
}

/// What the store holds at the end, of one host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) rows: i64,
    /// Different lines among them.
    pub(crate) distinct: i64,
    /// The highest number of a line.
    last: i64,
    /// Rows that stand before one with a lower number in the same file.
    out_of_order: i64,
    rejected: i64,
    lost_bytes: i64,
}

impl Account {
    /// Of a host whose lines are numbered from 0 on.
    pub(crate) async fn of(place: &Place, host: &str) -> Account {
        let number = async |sql: &str| place.number(sql).await;
        let line = "CAST(substr(url, 2) AS bigint)";
        let here = format!("log_file IN (SELECT id FROM log_file WHERE host = '{host}')");
        let rows = format!("FROM gunicorn_log WHERE {here}");
        Account {
            rows: number(&format!("SELECT count(*) {rows}")).await,
            distinct: number(&format!("SELECT count(DISTINCT {line}) {rows}")).await,
            last: number(&format!("SELECT max({line}) {rows}")).await,
            out_of_order: number(&format!(
                "SELECT count(*) FROM (SELECT {line} AS line, lag({line}) OVER (PARTITION BY \
                 log_file ORDER BY log_offset) AS before {rows}) AS pairs WHERE line < before"
            ))
            .await,
            rejected: number(&format!(
                "SELECT CAST(coalesce(sum(repeats), 0) AS bigint) FROM rejected_line WHERE {here}"
            ))
            .await,
            lost_bytes: number(&format!(
                "SELECT CAST(coalesce(sum(lost_bytes), 0) AS bigint) FROM log_file
                  WHERE host = '{host}'"
            ))
            .await,
        }
    }

    /// Every one of so many lines once, in order.
    pub(crate) fn right(written: i64) -> Account {
        Account {
            rows: written,
            distinct: written,
            last: written - 1,
            out_of_order: 0,
            rejected: 0,
            lost_bytes: 0,
        }
    }
}
