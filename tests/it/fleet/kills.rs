//! kill -9 at random moments of ten daemons, and now and then of their PostgreSQL, while a hundred
//! logs are written and rotated: at the end every line of every host is one row.
//!
//! A few kills here, as many as one likes by `tests/torture --fleet N`.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::{Fleet, HOSTS, Host};
use crate::daemon::{Daemon, PATIENCE};
use crate::kills::Account;
use crate::kills::server::{Pace, Server};
use crate::postgres::Cluster;
use crate::torture::{asked, seed};

/// Kills, unless the environment asks for others.
const KILLS: u32 = 12;

/// Ten logs on each host.
const PACE: Pace = Pace { logs: 10, pause: Duration::from_millis(40) };

/// Between two kills, milliseconds.
const LIFE: std::ops::Range<u64> = 50..600;

/// One kill of so many is the server's.
const SERVER: u32 = 12;

/// Of so many kills one has its daemon away for longer, while others are killed.
const ABSENT: u32 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_daemons_lose_and_double_nothing() {
    let kills = asked("FLEET").unwrap_or(KILLS);
    let seed = seed();
    println!("fleet, seed {seed}: {kills} kills");
    let mut dice = Rng::with_seed(seed);
    let cluster = Cluster::start();
    let fleet = Fleet::at(&cluster.database().await);
    drop(fleet.place.open().await); // its tables are looked at before a daemon has made them
    let began = Instant::now();
    let servers: Vec<Server> = fleet
        .hosts
        .iter()
        .map(|host| Server::start(host.bench.logs(), dice.fork(), PACE))
        .collect();
    let mut daemons: Vec<Option<Daemon>> =
        fleet.hosts.iter().map(|host| Some(watch(host))).collect();
    let (mut of_daemons, mut of_server) = (0, 0);
    while of_daemons + of_server < kills {
        // The moment is random: the test waits for nothing.
        tokio::time::sleep(Duration::from_millis(dice.u64(LIFE))).await;
        if of_daemons + of_server > 0 && dice.u32(..SERVER) == 0 {
            cluster.kill_all();
            cluster.start_again();
            of_server += 1;
        } else {
            let nth = dice.usize(..HOSTS);
            if let Some(mut daemon) = daemons[nth].take() {
                assert!(!daemon.has_ended(), "it ended by itself: {}", daemon.said());
                daemon.kill();
                of_daemons += 1;
            }
            if dice.u32(..ABSENT) > 0 {
                daemons[nth] = Some(watch(&fleet.hosts[nth]));
            }
        }
        for (host, server) in fleet.hosts.iter().zip(&servers) {
            server.stored(host.stored(&fleet.place).await);
        }
    }
    for server in &servers {
        server.end();
    }
    let killing = began.elapsed();
    for (daemon, host) in daemons.iter_mut().zip(&fleet.hosts) {
        daemon.get_or_insert_with(|| watch(host));
    }
    let (mut written, mut rotations, mut distinct, mut rows) = (0, 0, 0, 0);
    let mut accounts = Vec::new();
    for (host, server) in fleet.hosts.iter().zip(&servers) {
        let lines = i64::from(server.written());
        all_stored(&fleet, host, lines).await;
        let account = Account::of(&fleet.place, &host.name).await;
        written += lines;
        rotations += server.rotations();
        distinct += account.distinct;
        rows += account.rows;
        accounts.push((lines, account));
    }
    println!(
        "fleet, seed {seed}: {of_daemons} kills of daemons, {of_server} of the server in {:.0} s; \
         {HOSTS} hosts, {} logs, {written} lines in {rotations} rotations; {} lost, {} doubled; \
         {:.0} lines/s, {:.0} s in all",
        killing.as_secs_f64(),
        HOSTS as u32 * PACE.logs,
        written - distinct,
        rows - distinct,
        written as f64 / killing.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    for (lines, account) in accounts {
        assert_eq!(account, Account::right(lines));
    }
    fleet.hosts[0].bench.balanced().await;
    for daemon in daemons.into_iter().flatten() {
        assert!(daemon.stop().await.success());
    }
    for host in &fleet.hosts {
        host.run(&["verify"]);
    }
}

fn watch(host: &Host) -> Daemon {
    host.watch(&["--connect-timeout", "60s", "--retention", "off"])
}

/// Waits for as long as something comes; what is missing then, the account says.
async fn all_stored(fleet: &Fleet, host: &Host, written: i64) {
    let (mut last, mut since) = (-1, Instant::now());
    loop {
        let stored = host.stored(&fleet.place).await;
        if stored >= written {
            return;
        }
        if stored > last {
            (last, since) = (stored, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            println!("nothing more comes: {}", host.bench.said());
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
