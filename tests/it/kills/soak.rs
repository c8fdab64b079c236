//! One daemon works for a long time, with a kill now and then: every line is one row, and neither its memory
//! nor its descriptors grow with what it has read.
//!
//! Some seconds here, as long as one likes by `tests/torture --soak MINUTES`.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::daemon::{Bench, Daemon};
use crate::place::Place;
use crate::postgres::Cluster;

use super::server::{Pace, Server};
use super::{Account, all_stored, compress_what_is_stored, watch};

/// How long it runs, unless the environment asks for more.
const SHORT: Duration = Duration::from_secs(6);

/// One daemon's life: of a long run, and the part of a short one.
const LIFE: Duration = Duration::from_secs(60);
const LIVES_AT_LEAST: u32 = 2;

/// Between two looks at memory and descriptors.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What another life may take beyond the first: memory is given back in pages.
const MORE_KIB: u64 = 8 << 10;

/// What a daemon holds open beside the files that lie there: of its store, its events, and of files that were
/// deleted a moment ago.
const DESCRIPTORS: usize = 48;

#[tokio::test(flavor = "multi_thread")]
async fn for_a_long_time_memory_and_descriptors_stay_flat_on_postgres() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    soak(&bench, "postgres").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn for_a_long_time_memory_and_descriptors_stay_flat_on_sqlite() {
    let bench = Bench::new(Place::sqlite().await).await;
    soak(&bench, "sqlite").await;
}

/// The most that a daemon took.
#[derive(Clone, Copy, Debug, Default)]
struct Most {
    kib: u64,
    /// Beyond one for each file.
    descriptors: usize,
}

async fn soak(bench: &Bench, store: &str) {
    let asked = |name: &str| std::env::var(format!("LOG_INGESTD_TORTURE_{name}")).ok();
    let minutes: Option<u64> = asked("SOAK").map(|minutes| minutes.parse().unwrap());
    let whole = minutes.map_or(SHORT, |minutes| Duration::from_secs(60 * minutes));
    let seed = asked("SEED").map_or_else(|| fastrand::u64(..1 << 40), |seed| seed.parse().unwrap());
    println!("{store}, seed {seed}: a soak of {:.0} s", whole.as_secs_f64());
    let mut dice = Rng::with_seed(seed);
    let pace = Pace { logs: 3, pause: Duration::from_millis(20) };
    let server = Server::start(bench.logs(), dice.fork(), pace);
    let (began, life) = (Instant::now(), LIFE.min(whole / LIVES_AT_LEAST));
    let (mut lives, mut compressed): (Vec<Most>, u32) = (Vec::new(), 0);
    while began.elapsed() < whole {
        let mut daemon = watch(bench);
        let end = Instant::now() + life.mul_f64(0.8 + 0.4 * dice.f64());
        let mut most = Most::default();
        while Instant::now() < end {
            tokio::time::sleep(LOOK_EVERY).await;
            assert!(!daemon.has_ended(), "the daemon ended by itself: {}", daemon.said());
            let now = taken_by(&daemon, bench);
            most.kib = most.kib.max(now.kib);
            most.descriptors = most.descriptors.max(now.descriptors);
            server.stored(bench.stored().await);
            if dice.u32(..8) == 0 {
                compressed += compress_what_is_stored(bench, &server, &mut dice).await;
            }
        }
        daemon.kill();
        lives.push(most);
    }
    server.end();
    let written = i64::from(server.written());
    all_stored(bench, written).await;
    let account = Account::of(&bench.place, "web").await;
    let (first, last) = (lives[0], lives[lives.len() - 1]);
    println!(
        "{store}, seed {seed}: {written} lines in {} rotations, {compressed} files compressed, {} kills in \
         {:.0} s; {} lost, {} doubled; at most {} KiB in the first life, {} in the last; {} and {} \
         descriptors beyond one for each file",
        server.rotations(),
        lives.len(),
        began.elapsed().as_secs_f64(),
        written - account.distinct,
        account.rows - account.distinct,
        first.kib,
        last.kib,
        first.descriptors,
        last.descriptors
    );
    assert_eq!(account, Account::right(written));
    bench.balanced().await;
    for life in &lives {
        assert!(life.kib <= first.kib + MORE_KIB, "memory grows: {lives:?}");
        assert!(life.descriptors <= DESCRIPTORS, "descriptors leak: {lives:?}");
    }
}

fn taken_by(daemon: &Daemon, bench: &Bench) -> Most {
    let files = std::fs::read_dir(bench.logs()).unwrap().count();
    let of = |name: &str| format!("/proc/{}/{name}", daemon.pid());
    let status = std::fs::read_to_string(of("status")).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    Most {
        kib: kib.trim().trim_end_matches(" kB").parse().unwrap(),
        descriptors: std::fs::read_dir(of("fd")).unwrap().count().saturating_sub(files),
    }
}
