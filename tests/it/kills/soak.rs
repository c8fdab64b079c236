//! One daemon works for a long time, with a kill now and then: every line is one row, and neither its memory
//! nor its descriptors grow with what it has read.
//!
//! Some seconds here, as long as one likes by `tests/torture --soak MINUTES`.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::daemon::{Bench, Daemon};
use crate::place::Place;
use crate::postgres::Cluster;
use crate::torture::{asked, seed};

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

/// How many more descriptors, beyond one for each file, the last third of a life may need at least than
/// its first third: a leak of one with each rotation or commit takes more. For moments there are more: of
/// files that are being compressed, or that are deleted and not read to their end.
const MORE_DESCRIPTORS: usize = 16;

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

/// What a daemon took in its life.
#[derive(Debug, Default)]
struct Life {
    most_kib: u64,
    /// Beyond one for each file, at each look.
    descriptors: Vec<usize>,
}

impl Life {
    /// The fewest descriptors of the first third of the life, and of its last one.
    fn fewest(&self) -> (usize, usize) {
        let looks = &self.descriptors;
        let third = looks.len().div_ceil(3);
        let fewest = |looks: &[usize]| looks.iter().min().copied().unwrap_or(0);
        (fewest(&looks[..third]), fewest(&looks[looks.len() - third..]))
    }
}

async fn soak(bench: &Bench, store: &str) {
    let minutes: Option<u64> = asked("SOAK");
    let whole = minutes.map_or(SHORT, |minutes| Duration::from_secs(60 * minutes));
    let seed = seed();
    println!("{store}, seed {seed}: a soak of {:.0} s", whole.as_secs_f64());
    let mut dice = Rng::with_seed(seed);
    let pace = Pace { logs: 3, pause: Duration::from_millis(20) };
    let server = Server::start(bench.logs(), dice.fork(), pace);
    let (began, life) = (Instant::now(), LIFE.min(whole / LIVES_AT_LEAST));
    let (mut lives, mut compressed): (Vec<Life>, u32) = (Vec::new(), 0);
    while began.elapsed() < whole {
        let mut daemon = watch(bench);
        let end = Instant::now() + life.mul_f64(0.8 + 0.4 * dice.f64());
        let mut this = Life::default();
        while Instant::now() < end {
            tokio::time::sleep(LOOK_EVERY).await;
            assert!(!daemon.has_ended(), "the daemon ended by itself: {}", daemon.said());
            let (kib, descriptors) = taken_by(&daemon, bench);
            this.most_kib = this.most_kib.max(kib);
            this.descriptors.push(descriptors);
            server.stored(bench.stored().await);
            if dice.u32(..8) == 0 {
                compressed += compress_what_is_stored(bench, &server, &mut dice).await;
            }
        }
        daemon.kill();
        lives.push(this);
    }
    server.end();
    let written = i64::from(server.written());
    all_stored(bench, written).await;
    let account = Account::of(&bench.place, "web").await;
    let (first, last) = (&lives[0], &lives[lives.len() - 1]);
    let fewest: Vec<(usize, usize)> = lives.iter().map(Life::fewest).collect();
    println!(
        "{store}, seed {seed}: {written} lines in {} rotations, {compressed} files compressed, {} kills in \
         {:.0} s; {} lost, {} doubled; at most {} KiB in the first life, {} in the last; \
         descriptors beyond one for each file, fewest at the beginning and the end of each life: {fewest:?}",
        server.rotations(),
        lives.len(),
        began.elapsed().as_secs_f64(),
        written - account.distinct,
        account.rows - account.distinct,
        first.most_kib,
        last.most_kib
    );
    assert_eq!(account, Account::right(written));
    bench.balanced().await;
    for (life, (begin, end)) in lives.iter().zip(fewest) {
        assert!(life.most_kib <= first.most_kib + MORE_KIB, "memory grows: {lives:?}");
        assert!(end <= begin + MORE_DESCRIPTORS, "descriptors leak: {lives:?}");
    }
}

/// Memory in KiB, and descriptors beyond one for each file.
fn taken_by(daemon: &Daemon, bench: &Bench) -> (u64, usize) {
    let files = std::fs::read_dir(bench.logs()).unwrap().count();
    let of = |name: &str| format!("/proc/{}/{name}", daemon.pid());
    let status = std::fs::read_to_string(of("status")).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let open = std::fs::read_dir(of("fd")).unwrap().count();
    (kib.trim().trim_end_matches(" kB").parse().unwrap(), open.saturating_sub(files))
}
