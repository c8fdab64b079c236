//! Times that are far from the clock: lines of a century, of clocks that are wrong, and of months that are past.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, Utc};
use log_ingestd::model::Micros;
use log_ingestd::retain::{SweepOptions, Swept};
use log_ingestd::store::{Location, Prepared, Store, StoredRow};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::archives::Summary;
use crate::daemon::{Bench, Daemon, for_each_store, line, line_at};
use crate::place::{DAY, Lines, Place, advanced, claimed, until};
use crate::postgres::Cluster;
use crate::sweeps;

/// 2000-01-01, and the days until 2100.
const CENTURY: Micros = 946_684_800_000_000;
const DAYS: usize = 36_525;

fn now() -> Micros {
    Utc::now().timestamp_micros()
}

fn day(time: Micros) -> i32 {
    i32::try_from(time.div_euclid(DAY)).unwrap()
}

/// The name of a partition with one of these forms of the date.
fn named(time: Micros, form: &str) -> String {
    let date = DateTime::from_timestamp_micros(time).unwrap();
    format!("gunicorn_log_{}", date.format(form))
}

/// A JSON line for noon of each of so many days.
fn daily(first: Micros, days: usize) -> String {
    let line = |nth: usize| {
        let time = DateTime::from_timestamp_micros(first + nth as Micros * DAY + DAY / 2).unwrap();
        let time = time.format("%Y-%m-%dT%H:%M:%SZ");
        format!(
            "{{\"log\":\"gunicorn\",\"timestamp\":\"{time}\",\"method\":\"GET\",\"url\":\"/{nth}\"}}\n"
        )
    };
    (0..days).map(line).collect()
}

/// How many partitions a table has.
async fn partitions(place: &Place, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM pg_inherits WHERE inhparent = '{table}'::regclass");
    place.number(&count).await
}

/// In which partitions rows are, and how many, as `name rows`.
async fn spread(place: &Place) -> Vec<String> {
    place
        .texts(
            "SELECT tableoid::regclass::text || ' ' || count(*) FROM gunicorn_log
              GROUP BY tableoid ORDER BY min(timestamp)",
        )
        .await
}

async fn swept(store: &Store, cutoff: Micros) -> Swept {
    let options = SweepOptions { next_at: None, ..sweeps::options(cutoff) };
    sweeps::swept(store, &options).await
}

/// A bench on a server of its own, with so many locks as a server has by default.
async fn with_default_locks() -> (Cluster, Bench) {
    let cluster = Cluster::start_with("-c max_connections=100");
    let bench = Bench::new(Place::at(cluster.migrated().await)).await;
    (cluster, bench)
}

/// Everything that is asked of a century.
async fn is_whole(bench: &Bench) {
    let place = &bench.place;
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, DAYS as i64);
    let urls = "SELECT count(DISTINCT url) FROM gunicorn_log";
    assert_eq!(place.number(urls).await, DAYS as i64);
    // 400 days and the rest of a month, two years of months, 24 years, one for the future and two for other centuries.
    let count = partitions(place, "gunicorn_log").await;
    assert!((400..500).contains(&count), "{count} partitions");
    bench.balanced().await;
    bench.succeed(&["verify"]);
    let reader = place.open().await.reader();
    for (url, year) in [("/0", 2000), ("/9861", 2026), ("/36524", 2099)] {
        let id = place.number(&format!("SELECT id FROM gunicorn_log WHERE url = '{url}'")).await;
        let row = reader.row::<StoredRow>(id).await.unwrap().unwrap().row;
        let time = DateTime::from_timestamp_micros(row.timestamp).unwrap();
        assert_eq!((row.url.as_deref(), time.year()), (Some(url), year));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_century_of_daily_lines_is_imported_and_counted_with_the_locks_of_a_default_server() {
    let (_cluster, bench) = with_default_locks().await;
    bench.append("century.log", daily(CENTURY, DAYS));
    let log = bench.log("century.log");
    let import = ["import", "--json", "--retention", "off", log.to_str().unwrap()];
    let began = Instant::now();
    let summary = Summary::of(bench.succeed(&import).as_bytes());
    println!("imported in {:?}", began.elapsed());
    assert_eq!(summary.counts(), (DAYS as u64, DAYS as u64, 0));
    is_whole(&bench).await;
    // Four sessions have the locks of all partitions at once.
    let together = Arc::new(tokio::sync::Barrier::new(4));
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let (url, together) = (bench.place.url.clone(), Arc::clone(&together));
            tokio::spawn(async move {
                let mut session = PgConnection::connect(&url).await.unwrap();
                let mut tx = session.begin().await.unwrap();
                let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM gunicorn_log");
                let count = count.fetch_one(&mut *tx).await.unwrap();
                // Each keeps its locks until all have counted.
                tokio::time::timeout(Duration::from_secs(60), together.wait()).await.unwrap();
                count
            })
        })
        .collect();
    for count in asking {
        assert_eq!(count.await.unwrap(), DAYS as i64);
    }
    // A sweep leaves 120 days, and the future.
    let swept = bench.succeed(&["cleanup", "--days", "120"]);
    assert!(swept.contains("gunicorn_log"), "{swept}");
    let old = "SELECT count(*) FROM gunicorn_log WHERE timestamp < now() - interval '120 days'";
    assert_eq!(bench.place.number(old).await, 0);
    assert!(partitions(&bench.place, "gunicorn_log").await < 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_century_of_daily_lines_is_followed_and_a_stop_is_not_kept_waiting() {
    let (_cluster, bench) = with_default_locks().await;
    bench.append("century.log", daily(CENTURY, DAYS));
    let mut stops = 0;
    let began = Instant::now();
    while bench.stored().await < DAYS as i64 {
        let daemon = bench.watch_with(&["--retention", "off"]);
        let before = bench.stored().await;
        until("some lines are stored", async || bench.stored().await > before).await;
        if stops < 3 {
            tokio::time::sleep(Duration::from_millis(300 * stops)).await;
            let stopping = Instant::now();
            assert!(daemon.stop().await.success());
            println!("stopped after {:?}", stopping.elapsed());
            assert!(stopping.elapsed() < Duration::from_secs(4), "{:?}", stopping.elapsed());
            stops += 1;
        } else {
            bench.rows(DAYS as i64).await;
            assert!(daemon.stop().await.success());
        }
    }
    println!("followed in {:?}", began.elapsed());
    assert!(stops > 0);
    is_whole(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_a_century_stops_soon_and_goes_on() {
    let (_cluster, bench) = with_default_locks().await;
    bench.append("century.log", daily(CENTURY, DAYS));
    let log = bench.log("century.log");
    let import = ["import", "--json", "--retention", "off", log.to_str().unwrap()];
    let running = Daemon::start(bench.command(&import), bench.aside("stderr"));
    until("some lines are stored", async || bench.stored().await > 0).await;
    let stopping = Instant::now();
    assert!(!running.stop().await.success());
    println!("stopped after {:?}", stopping.elapsed());
    assert!(stopping.elapsed() < Duration::from_secs(4), "{:?}", stopping.elapsed());
    let stored = bench.stored().await as u64;
    assert!(stored < DAYS as u64, "it had ended");
    let summary = Summary::of(bench.succeed(&import).as_bytes());
    assert_eq!(summary.counts(), (DAYS as u64, DAYS as u64 - stored, stored));
    is_whole(&bench).await;
}

for_each_store! {
    async fn times_far_from_the_clock_are_stored_and_counted_and_said_once(bench) {
        let far = [
            line_at("/1970", 0),
            line_at("/ahead", now() + 3 * DAY),
            line_at("/far", now() + 900 * DAY),
        ];
        let explained = [
            line_at("/old", now() - 5000 * DAY),
            line_at("/tomorrow", now() + DAY),
            line("/in-november"),
        ];
        bench.append("access.log", far.concat() + &explained.concat());
        bench.append("other.log", line_at("/now", now()));
        let mut daemon = bench.watch_with(&["--retention", "off"]);
        let said = "lines of this file have times that no clock explains";
        daemon.says(said).await;
        bench.rows(7).await;
        bench.append("access.log", line_at("/again", now() + 30 * DAY));
        bench.append("other.log", line_at("/now", now()));
        bench.rows(9).await;
        assert!(daemon.said().contains("path=\"") || daemon.said().contains("access.log"));
        assert_eq!(daemon.said().matches(said).count(), 1, "{}", daemon.said());
        assert!(daemon.stop().await.success());
        let marked = "SELECT far_times FROM log_file ORDER BY far_times DESC";
        assert_eq!(bench.place.number(marked).await, 4);
        let files = "SELECT count(*) FROM log_file WHERE far_times > 0";
        assert_eq!(bench.place.number(files).await, 1);
        let status = bench.succeed(&["status"]);
        assert!(status.contains(", 4 times far from the clock\n"), "{status}");
        let status: Value = serde_json::from_str(&bench.succeed(&["status", "--json"])).unwrap();
        let times = status["files"].as_array().unwrap().iter().map(|file| file["far_times"].as_u64());
        assert_eq!(times.map(Option::unwrap).sum::<u64>(), 4);
        bench.balanced().await;
        bench.succeed(&["verify"]);
        // An import says and counts the same.
        bench.append("third.log", line_at("/third", now() + 40 * DAY));
        let output = bench.run(&["import", "--retention", "off", bench.log("third.log").to_str().unwrap()]);
        assert!(String::from_utf8_lossy(&output.stderr).contains(said));
        assert_eq!(bench.place.number("SELECT CAST(sum(far_times) AS bigint) FROM log_file").await, 5);
    }
}

#[tokio::test]
async fn rows_of_the_future_share_a_partition_until_their_day_comes() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let today = Micros::from(day(now())) * DAY;
    let (near, later, last) = (today + 10 * DAY, today + 20 * DAY, today + 4000 * DAY);
    let lines = Lines::after(&at).rows(3, near).rows(4, later).rows(5, last).rows(1, today);
    let batch = lines.reject(today + 15 * DAY, b"?").batch();
    writer.commit(&batch).await.unwrap();
    let future = |first: Micros| format!("{}_20991231", named(first, "%Y%m%d"));
    let ordinary = format!("{} 1", named(today, "%Y%m%d"));
    assert_eq!(spread(&place).await, [ordinary.clone(), format!("{} 12", future(today + 3 * DAY))]);
    let count = partitions(&place, "gunicorn_log").await;
    // More of them need no more partitions.
    let at = advanced(&at, &batch);
    let batch = Lines::after(&at).rows(2, near + DAY).rows(3, last + 9 * DAY).batch();
    writer.commit(&batch).await.unwrap();
    assert_eq!(partitions(&place, "gunicorn_log").await, count);

    // As long as the table is read, its rows stay where they are.
    let ids = "SELECT string_agg(id || ' ' || timestamp, ',' ORDER BY id) FROM gunicorn_log";
    let before = place.texts(ids).await;
    let mut reader = PgConnection::connect(&place.url).await.unwrap();
    let mut long = reader.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM gunicorn_log").execute(&mut *long).await.unwrap();
    let days = day(near)..day(near) + 2;
    assert_eq!(store.prepare_days(days.clone()).await.unwrap(), Prepared::Postponed);
    assert_eq!(place.texts(ids).await, before);
    long.rollback().await.unwrap();

    // Another process whose store knows of nothing.
    assert_eq!(place.open().await.prepare_days(days).await.unwrap(), Prepared::All);
    assert_eq!(place.texts(ids).await, before);
    let own = |time| named(time, "%Y%m%d");
    let spread_now = [
        ordinary,
        format!("{} 3", own(near)),
        format!("{} 2", own(near + DAY)),
        format!("{} 12", future(near + 2 * DAY)),
    ];
    assert_eq!(spread(&place).await, spread_now);
    // The first store finds the new partitions, by the days between them and by the others.
    let at = advanced(&at, &batch);
    let times = [near - DAY, near, near + DAY, near + 2 * DAY, last];
    let batch = times.into_iter().fold(Lines::after(&at), Lines::row).batch();
    writer.commit(&batch).await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, 18 + 5);
    // Nothing of the future is left when the last day has come.
    place.execute("DELETE FROM gunicorn_log WHERE timestamp > now() + interval '25 days'").await;
    let other = place.open().await;
    assert_eq!(other.prepare_days(day(later)..day(later) + 1).await.unwrap(), Prepared::All);
    let wide = "SELECT count(*) FROM pg_class WHERE relname ~ '^gunicorn_log_[0-9]{8}_20991231$'";
    assert_eq!(place.number(wide).await, 0);
    assert_eq!(place.number("SELECT count(*) FROM pg_inherits WHERE inhdetachpending").await, 0);
}

/// Commits into days of the future, and readers, while these days are taken out one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_while_their_day_is_taken_out_are_neither_lost_nor_hidden() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let mut at = claimed(&mut writer, 1).await;
    let first = day(now()) + 10;
    let days = 12;
    let ahead = |lines: Lines| {
        (0..days).fold(lines, |lines, nth| lines.row(Micros::from(first + nth) * DAY + DAY / 2))
    };
    let batch = ahead(Lines::after(&at)).batch();
    writer.commit(&batch).await.unwrap();
    at = advanced(&at, &batch);
    let other = place.open().await;
    let taking_out = tokio::spawn(async move {
        for day in first..first + days {
            while other.prepare_days(day..day + 1).await.unwrap() == Prepared::Postponed {}
        }
    });
    let mut committed = i64::from(days);
    while !taking_out.is_finished() {
        let batch = ahead(Lines::after(&at)).batch();
        while let Err(error) = writer.commit(&batch).await {
            assert!(error.is_transient(), "{error:?}");
        }
        at = advanced(&at, &batch);
        committed += i64::from(days);
        let found = place.number("SELECT count(*) FROM gunicorn_log").await;
        assert_eq!(found, committed, "rows are out of sight, or doubled");
    }
    taking_out.await.unwrap();
    println!("{committed} rows came meanwhile");
    let single = "SELECT count(*) FROM (SELECT FROM gunicorn_log GROUP BY tableoid
        HAVING min(timestamp)::date = max(timestamp)::date) AS days";
    assert_eq!(place.number(single).await, i64::from(days));
    let distinct = "SELECT count(DISTINCT id) FROM gunicorn_log";
    assert_eq!(place.number(distinct).await, committed);
}

#[tokio::test]
async fn old_days_share_months_and_years_that_leave_as_a_whole() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let year = Utc::now().year();
    let first = |year: i32, month: u32| {
        let date = chrono::NaiveDate::from_ymd_opt(year, month, 1).unwrap();
        date.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp_micros()
    };
    let (years, months) = (first(year - 6, 1), first(year - 2, 6));
    let lines = Lines::after(&at).rows(2, years).rows(2, years + 200 * DAY);
    let lines = lines.rows(3, months).rows(4, months + 10 * DAY).rows(5, months + 29 * DAY);
    let batch = lines.rows(1, now()).batch();
    writer.commit(&batch).await.unwrap();
    let at = advanced(&at, &batch);
    let found = [
        format!("{} 4", named(years, "%Y")),
        format!("{} 12", named(months, "%Y%m")),
        format!("{} 1", named(now(), "%Y%m%d")),
    ];
    assert_eq!(spread(&place).await, found);
    // The cutoff lies within the month: what is before it leaves, row by row.
    let removed = swept(&store, months + 5 * DAY).await.report.gunicorn_removed;
    assert_eq!((removed, spread(&place).await.len()), (7, 2));
    let removed = swept(&store, months + 20 * DAY).await.report.gunicorn_removed;
    assert_eq!((removed, place.number("SELECT count(*) FROM gunicorn_log").await), (4, 6));
    // Late lines of a partition that is gone make it again, also for a writer that has seen it.
    let batch = Lines::after(&at).rows(3, months).batch();
    assert_eq!(swept(&store, first(year - 2, 7)).await.report.gunicorn_removed, 5);
    let gone = format!("SELECT to_regclass('{}') IS NULL", named(months, "%Y%m"));
    let is_gone = format!("SELECT count(*) FROM ({gone} AS gone) AS it WHERE gone");
    assert_eq!(place.number(&is_gone).await, 1);
    writer.commit(&batch).await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, 4);
    assert_eq!(swept(&store, first(year - 2, 7)).await.report.gunicorn_removed, 3);
}

/// Made by an older version, a day each, or by a person.
#[tokio::test]
async fn partitions_that_are_there_stay_and_others_take_the_days_between_them() {
    let place = Place::postgres().await;
    let store = place.open().await;
    place
        .execute(
            "CREATE TABLE gunicorn_log_20050310 (LIKE gunicorn_log INCLUDING ALL);
             COMMENT ON TABLE gunicorn_log_20050310 IS 'One day of gunicorn_log';
             ALTER TABLE gunicorn_log ATTACH PARTITION gunicorn_log_20050310
                 FOR VALUES FROM ('2005-03-10 00:00:00+00') TO ('2005-03-11 00:00:00+00');
             CREATE TABLE old_rows PARTITION OF gunicorn_log
                 FOR VALUES FROM ('2005-06-01 00:00:00+00') TO ('2005-09-01 00:00:00+00')",
        )
        .await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let on = |text: &str| {
        format!("{text}T12:00:00Z").parse::<DateTime<Utc>>().unwrap().timestamp_micros()
    };
    let dates =
        ["2005-01-01", "2005-03-10", "2005-03-11", "2005-07-01", "2005-12-31", "2006-01-01"];
    let batch = dates.into_iter().map(on).fold(Lines::after(&at), Lines::row).batch();
    writer.commit(&batch).await.unwrap();
    let found = [
        "gunicorn_log_20050101_20050309 1",
        "gunicorn_log_20050310 1",
        "gunicorn_log_20050311_20050531 1",
        "old_rows 1",
        "gunicorn_log_20050901_20051231 1",
        "gunicorn_log_2006 1",
    ];
    assert_eq!(spread(&place).await, found);
    // That of a person stays.
    let swept = swept(&store, on("2010-01-01")).await;
    assert_eq!((swept.postponed, swept.report.gunicorn_removed), (0, 5));
    assert_eq!(spread(&place).await, ["old_rows 1"]);
}

#[tokio::test]
async fn a_month_that_was_detached_and_not_dropped_is_taken_back_with_new_columns() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let month = CENTURY + 3000 * DAY;
    let batch = Lines::after(&at).rows(3, month).batch();
    writer.commit(&batch).await.unwrap();
    let name = named(month, "%Y");
    place
        .execute(&format!(
            "ALTER TABLE gunicorn_log DETACH PARTITION {name}; ALTER TABLE gunicorn_log ADD COLUMN later text"
        ))
        .await;
    let other = place.open().await;
    let mut writer = {
        drop(writer);
        other.writer("web:2").await.unwrap()
    };
    let new = claimed(&mut writer, 2).await;
    writer.commit(&Lines::after(&new).row(month + 40 * DAY).batch()).await.unwrap();
    assert_eq!(spread(&place).await, [format!("{name} 4")]);
}

/// Commits into months and years while sweeps remove them, each with a store of its own.
#[tokio::test(flavor = "multi_thread")]
async fn sweeps_and_commits_meet_in_months_and_years_and_no_row_is_lost() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let mut at = claimed(&mut writer, 1).await;
    let other = place.open().await;
    let sweeping = tokio::spawn(async move {
        let (mut removed, began) = (0, Instant::now());
        while began.elapsed() < Duration::from_secs(6) {
            let swept = swept(&other, now() - 400 * DAY).await;
            removed += swept.report.gunicorn_removed;
        }
        removed
    });
    let mut committed = 0;
    while !sweeping.is_finished() {
        let mut lines = Lines::after(&at);
        for nth in 0..20 {
            lines = lines.row(CENTURY + 900 * DAY + (committed + nth) % 8000 * DAY);
        }
        let batch = lines.batch();
        // Two sweeps may meet both attempts of a commit: then it is for the caller to try again.
        while let Err(error) = writer.commit(&batch).await {
            assert!(error.is_transient(), "{error:?}");
        }
        at = advanced(&at, &batch);
        committed += 20;
    }
    let removed = sweeping.await.unwrap();
    let left = place.number("SELECT count(*) FROM gunicorn_log").await;
    println!("{committed} committed, {removed} removed, {left} left");
    assert!(removed > 0);
    assert_eq!(removed as i64 + left, committed);
    let stored = "SELECT stored_rows FROM log_file";
    assert_eq!(place.number(stored).await, committed);
}

/// So few locks that a statement which opens all partitions fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_found_by_its_id_without_opening_all_partitions() {
    let cluster = Cluster::start_with("-c max_connections=20 -c max_locks_per_transaction=16");
    let place = Place::at(cluster.migrated().await);
    let store = Store::open(Location::parse(&place.url).unwrap()).await.unwrap();
    let today = day(now());
    for first in (today - 380..=today).step_by(20) {
        store.prepare_days(first..first + 20).await.unwrap();
    }
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let batch = Lines::after(&at).row(now()).row(now() - 150 * DAY).row(now() - 300 * DAY).batch();
    writer.commit(&batch).await.unwrap();
    let mut session = PgConnection::connect(&place.url).await.unwrap();
    let all =
        sqlx::raw_sql("SELECT * FROM gunicorn_log WHERE id = 1").fetch_all(&mut session).await;
    let error = all.unwrap_err().to_string();
    assert!(error.contains("out of shared memory"), "{error}");
    // The error comes before its transaction has given its locks back.
    sqlx::raw_sql("SELECT 1").execute(&mut session).await.unwrap();
    let reader = store.reader();
    for nth in 0..3_u64 {
        let id = at.file.row_id(nth * crate::place::LINE);
        assert_eq!(reader.row::<StoredRow>(id).await.unwrap().unwrap().id, id);
    }
    assert_eq!(reader.row::<StoredRow>(1).await.unwrap(), None);
}

/// Days share partitions in the one database and not in the other, and the one is of the other kind.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_months_and_of_the_future_are_copied_and_compared() {
    let bench = Bench::new(Place::postgres().await).await;
    place_with_days(&bench.place).await;
    bench.append("century.log", daily(CENTURY + 7 * DAY, 40));
    let some = (0..60).map(|nth| daily(CENTURY + nth * 600 * DAY, 3)).collect::<String>();
    bench.append("some.log", some);
    for name in ["century.log", "some.log"] {
        bench.succeed(&["import", "--retention", "off", bench.log(name).to_str().unwrap()]);
    }
    let rows = bench.place.number("SELECT count(*) FROM gunicorn_log").await;
    assert_eq!(rows, 220);
    let sqlite = Place::sqlite().await;
    let again = Place::postgres().await.without_tables().await;
    bench.succeed(&["copy", "--from", &bench.place.url, "--to", &sqlite.url]);
    bench.succeed(&["copy", "--from", &sqlite.url, "--to", &again.url]);
    assert_eq!(again.number("SELECT count(*) FROM gunicorn_log").await, rows);
    let single = "SELECT count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
         WHERE inhparent = 'gunicorn_log'::regclass AND relname ~ '^gunicorn_log_2000[0-9]{4}$'";
    assert_eq!(bench.place.number(single).await, 5);
    assert_eq!(again.number(single).await, 0);
    let direct = Place::postgres().await.without_tables().await;
    bench.succeed(&["copy", "--from", &bench.place.url, "--to", &direct.url]);
    assert_eq!(direct.number("SELECT count(*) FROM gunicorn_log").await, rows);
    let marked = "SELECT CAST(sum(far_times) AS bigint) FROM log_file";
    assert!(bench.place.number(marked).await > 0);
    assert_eq!(direct.number(marked).await, bench.place.number(marked).await);
}

/// Five days of January 2000, each with a partition, as older versions made them.
async fn place_with_days(place: &Place) {
    for day in 11..16 {
        let name = format!("gunicorn_log_200001{day}");
        place
            .execute(&format!(
                "CREATE TABLE {name} (LIKE gunicorn_log INCLUDING ALL);
                 COMMENT ON TABLE {name} IS 'One day of gunicorn_log';
                 ALTER TABLE gunicorn_log ATTACH PARTITION {name}
                     FOR VALUES FROM ('2000-01-{day} 00:00:00+00') TO ('2000-01-{} 00:00:00+00')",
                day + 1
            ))
            .await;
    }
}
