//! Many daemons, each with a host name of its own, and one PostgreSQL.

mod connections;
mod kills;
mod pooler;

use std::time::Instant;

use sqlx::{AssertSqlSafe, Connection};

use crate::daemon::{Bench, Daemon, PATIENCE, ToEnd, line_at, lines};
use crate::place::{DAY, Place, counted, until};
use crate::postgres::shared;

/// Daemons.
const HOSTS: usize = 10;

/// A log directory, and the name of the host that it is on.
struct Host {
    name: String,
    bench: Bench,
}

impl Host {
    fn watch(&self, flags: &[&str]) -> Daemon {
        let logs = self.bench.logs();
        let mut arguments = vec!["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms"];
        arguments.extend(flags);
        let mut command = self.bench.command(&arguments);
        command.env("LOG_INGESTD_HOST", &self.name);
        Daemon::start(command, self.bench.aside("stderr"))
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command = self.bench.command(arguments);
        let output = command.env("LOG_INGESTD_HOST", &self.name).to_end();
        let said = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {arguments:?}: {said} {text}", self.name);
        text
    }

    async fn stored(&self, place: &Place) -> i64 {
        let sum = "SELECT CAST(coalesce(sum(lines), 0) AS bigint) FROM log_file";
        place.number(&format!("{sum} WHERE host = '{}'", self.name)).await
    }
}

/// Hosts whose daemons have the same database.
struct Fleet {
    place: Place,
    hosts: Vec<Host>,
}

impl Fleet {
    /// With an empty database.
    async fn on_nothing() -> Fleet {
        Fleet::at(&shared().database().await)
    }

    fn at(url: &str) -> Fleet {
        let place = |_| Place::at(url.to_owned());
        let host = |nth: usize| Host {
            name: format!("web{nth}.example"),
            bench: Bench::untouched(place(nth)),
        };
        Fleet { place: place(0), hosts: (0..HOSTS).map(host).collect() }
    }

    /// All of them at once. They are there when the last one has found its tables.
    async fn watch(&self, flags: &[&str]) -> Vec<Daemon> {
        let mut daemons: Vec<Daemon> = self.hosts.iter().map(|host| host.watch(flags)).collect();
        for daemon in &mut daemons {
            daemon.says("watching").await;
        }
        daemons
    }

    /// Appends the same to the same log of each.
    fn append(&self, name: &str, text: &str) {
        for host in &self.hosts {
            host.bench.append(name, text);
        }
    }

    /// Waits for so many rows from each host, and checks that there are no others.
    async fn rows_of_each(&self, wanted: usize) {
        let end = Instant::now() + PATIENCE;
        for host in &self.hosts {
            while (host.stored(&self.place).await as usize) < wanted {
                assert!(Instant::now() < end, "{}: {}", host.name, host.bench.said());
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        let each = "SELECT count(*)::text FROM gunicorn_log g JOIN log_file f ON f.id = g.log_file
                     GROUP BY f.host";
        assert_eq!(self.place.texts(each).await, vec![wanted.to_string(); HOSTS]);
        self.hosts[0].bench.balanced().await;
    }
}

/// They end well, and had nothing to warn of.
async fn end_well(daemons: Vec<Daemon>) {
    for daemon in daemons {
        let said = daemon.said();
        assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
        assert!(daemon.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_daemons_start_at_once_on_an_empty_database_with_the_same_names_and_content() {
    let fleet = Fleet::on_nothing().await;
    fleet.append("access.log", &lines("same", 0..300));
    fleet.append("other.log", &lines("same", 0..300));
    let daemons = fleet.watch(&["--connect-timeout", "60s"]).await;
    fleet.rows_of_each(600).await;
    for host in &fleet.hosts {
        let log = |name: &str| host.bench.log(name);
        crate::daemon::rename(&log("access.log"), &log("access.log.1"));
        host.bench.append("access.log", lines("again", 0..100));
    }
    fleet.rows_of_each(700).await;
    let files = fleet.place.number("SELECT count(*) FROM log_file").await;
    assert_eq!(files, 3 * HOSTS as i64, "a file is one of its host's, whatever it holds");
    let rounds = "SELECT count(*) - count(DISTINCT version) FROM _sqlx_migrations";
    assert_eq!(fleet.place.number(rounds).await, 0, "the tables were made once");
    end_well(daemons).await;
    for host in &fleet.hosts {
        host.run(&["verify"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_daemons_that_need_the_same_new_day_make_it_once() {
    let fleet = Fleet::on_nothing().await;
    let now = chrono::Utc::now().timestamp_micros();
    fleet.append("access.log", &line_at("/now", now));
    let daemons = fleet.watch(&["--connect-timeout", "60s"]).await;
    // Midnights that are not prepared: the one ten days ago, and the next four.
    let night = |nth: i64| now - now % DAY - (10 - nth) * DAY;
    for nth in 0..5 {
        for after in [-60_000_000, 0] {
            fleet.append("access.log", &line_at(&format!("/{nth}"), night(nth) + after));
        }
        fleet.rows_of_each(1 + 2 * (nth as usize + 1)).await;
    }
    let name = |time| chrono::DateTime::from_timestamp_micros(time).unwrap().format("%Y%m%d");
    let (first, last) = (name(night(0) - DAY), name(night(4)));
    let partitions = format!(
        "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'gunicorn_log'::regclass
            AND c.relname BETWEEN 'gunicorn_log_{first}' AND 'gunicorn_log_{last}'"
    );
    assert_eq!(fleet.place.number(&partitions).await, 6);
    end_well(daemons).await;
}

/// Old rows of every host go with one sweep of one of them, while rows of all of them come.
#[tokio::test(flavor = "multi_thread")]
async fn one_sweeps_while_all_ingest() {
    let fleet = Fleet::on_nothing().await;
    let now = chrono::Utc::now().timestamp_micros();
    let old: String =
        (0..50).map(|n| line_at(&format!("/old/{n}"), now - (150 + n) * DAY)).collect();
    fleet.append("access.log", &old);
    let keeping = fleet.watch(&["--connect-timeout", "60s", "--retention", "off"]).await;
    fleet.rows_of_each(50).await;
    end_well(keeping).await;

    // Another session has the right to sweep: ten daemons start, and none of them sweeps.
    let mut sweeper = fleet.place.postgres_connection().await;
    let lock = "SELECT pg_advisory_lock(1818846256, 3)"; // 0x6c696430, the house's locks
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut sweeper).await.unwrap();
    let mut daemons = fleet.watch(&["--log-level", "debug"]).await;
    for daemon in &mut daemons {
        daemon.says("another process sweeps this store").await;
    }
    assert_eq!(fleet.place.number("SELECT count(*) FROM sweep").await, 0);
    sweeper.close().await.unwrap();

    let fresh = |round: i64, n: i64| line_at(&format!("/new/{round}/{n}"), now);
    for round in 0..5 {
        let text: String = (0..40).map(|n| fresh(round, n)).collect();
        fleet.append("access.log", &text);
        if round == 2 {
            fleet.hosts[3].run(&["cleanup", "--older-than", "120d"]);
        }
    }
    let left = "SELECT count(*) FROM gunicorn_log WHERE url LIKE ";
    let wanted = 5 * 40 * HOSTS as i64;
    until("all new rows are there", async || {
        fleet.place.number(&format!("{left} '/new/%'")).await == wanted
    })
    .await;
    assert_eq!(fleet.place.number(&format!("{left} '/old/%'")).await, 0);
    assert_eq!(fleet.place.number("SELECT count(*) FROM sweep").await, 1);
    let removed = "SELECT gunicorn_removed FROM sweep";
    assert_eq!(fleet.place.number(removed).await, 50 * HOSTS as i64);
    counted(&fleet.place).await;
    for daemon in daemons {
        assert!(daemon.stop().await.success());
    }
    for host in &fleet.hosts {
        host.run(&["verify"]);
    }
}
