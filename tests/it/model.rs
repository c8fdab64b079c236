//! The model test: whatever happens to logs, daemon and database, in whatever order.
//!
//! Random scripts of writes, rotations, kills and outages are acted out on the real program, and
//! an oracle that wrote every line itself says which of them must be rows. Always: no line twice,
//! each row at its line's offset, the lines of one file in one file of the store, and per file
//! lines = rows + rejected + excluded. Every line that could be read is there; the few classes
//! that may be missing are in `deploy/docs/limits.md`, and stand in [`disk`] and [`ledger`]. Nothing is
//! reported as lost that was not.
//!
//! - [`script`]: the steps, [`dice`]: random ones, [`run`]: acts them out, [`shrink`]: the
//!   shortest script that still fails.
//!
//! A failure prints a script. To see it again:
//! `LOG_INGESTD_TORTURE_SCRIPT='write access 3; start 100; …' cargo test --test it model::on_sqlite`.
//! `tests/torture` runs new seeds for as long as it is told.

mod dice;
mod disk;
mod file;
mod ledger;
mod run;
mod script;
mod shrink;

use std::time::{Duration, Instant};

use crate::daemon::PATIENCE;
use crate::postgres::Cluster;
use crate::torture::{asked, seed};
use run::{Failure, Stage, run};
use script::Step;
use shrink::shrink;

/// The seeds that every test run tries.
const SEEDS: std::ops::Range<u64> = 1..6;

/// Scripts that failed once, and why.
const ONCE_FAILED: [&str; 4] = [
    // A copy was met when nothing of it was there yet: read as a new file.
    "recreate access 1; catch-up; write access 37; wait 18; kill; catch-up; wait 94; \
     copytruncate access inside",
    // Truncated between two looks into it: its first line was the old one's, its end was not.
    "write access 15; catch-up; kill; catch-up; cut; write access 9; copytruncate access inside",
    // Truncated and written again to its very length: not read until it grew.
    "write access 20; copytruncate access inside; write access 20; catch-up; \
     copytruncate access inside; write access 20",
    // The same, with the beginning of a line: one look saw the write, the next one forgot it.
    "write access 2; catch-up; begin access 50; wait 40; copytruncate access inside; write access 2",
];

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let cluster: &Cluster = Box::leak(Box::new(Cluster::start()));
    play(Stage::Postgres(cluster)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    play(Stage::Sqlite).await;
}

#[test]
fn a_script_reads_as_it_was_written() {
    for seed in 0..200 {
        let script = dice::script(seed);
        assert_eq!(script::parse(&script::text(&script)).unwrap(), script);
    }
}

/// What the caller asks for: one script, new seeds for some minutes, or the usual seeds.
async fn play(stage: Stage) {
    if let Some(text) = asked::<String>("SCRIPT") {
        return try_script("as given", &script::parse(&text).unwrap(), stage).await;
    }
    let Some(minutes) = asked::<f64>("MINUTES") else {
        for text in ONCE_FAILED {
            try_script("failed once", &script::parse(text).unwrap(), stage).await;
        }
        for seed in SEEDS {
            try_seed(seed, stage).await;
        }
        return;
    };
    let seconds = (minutes * 60.0) as u64;
    let end = Instant::now() + Duration::from_secs(seconds);
    let first = seed();
    let mut seed = first;
    while Instant::now() < end {
        try_seed(seed, stage).await;
        seed += 1;
    }
    println!("{stage}: {} scripts, seeds {first} to {}, each held", seed - first, seed - 1);
}

async fn try_seed(seed: u64, stage: Stage) {
    try_script(&format!("seed {seed}"), &dice::script(seed), stage).await;
}

async fn try_script(origin: &str, script: &[Step], stage: Stage) {
    let began = Instant::now();
    match run(script, stage, PATIENCE).await {
        Ok(shown) => {
            let (stored, excused) = shown.excused;
            println!(
                "{stage}, {origin}: {} steps, {} lines due and stored once; {stored} of {excused} \
                 others stored; {:.1} s",
                script.len(),
                shown.due,
                began.elapsed().as_secs_f64()
            );
        }
        Err(failure) => {
            let shrinks = asked::<String>("SHRINK").as_deref() != Some("no");
            println!(
                "{stage}, {origin}: {}; {}\n{}",
                failure.what,
                if shrinks { "looking for a shorter script than" } else { "by the script" },
                script::text(script)
            );
            let (short, Failure { what, said }) = match shrinks {
                true => shrink(script, stage, failure).await,
                false => (script.to_vec(), failure),
            };
            panic!(
                "{stage}, {origin}: {what}\n\n{said}\nagain: LOG_INGESTD_TORTURE_SCRIPT='{}' \
                 cargo test --test it model::on_{stage}\n",
                script::text(&short)
            );
        }
    }
}
