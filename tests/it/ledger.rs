//! The ledger does not grow for ever, and stays fast with 100,000 closed files.

use std::fs;
use std::time::{Duration, SystemTime};

use log_ingestd::model::{FileId, Micros};
use log_ingestd::retain::{LogType, SweepOptions, SweepOutcome, sweep};
use log_ingestd::store::Store;
use serde_json::Value;
use sqlx::Connection;

use crate::archives::compress;
use crate::daemon::{for_each_store, lines, urls};
use crate::place::{DAY, Lines, Place, advanced, claimed, sighting, until};

/// Retention of counts in these tests.
const KEPT: Micros = 400 * DAY;

for_every_store!(
    a_closed_file_leaves_when_nothing_needs_it,
    a_file_of_which_an_open_file_holds_the_first_lines_stays,
    a_file_that_is_needed_again_after_it_was_listed_stays,
    files_of_a_silent_host_stay_twice_as_long,
    no_id_is_used_twice,
    questions_about_open_files_read_few_rows,
);

fn now() -> Micros {
    chrono::Utc::now().timestamp_micros()
}

/// A time as SQL.
fn sql_time(place: &Place, at: Micros) -> String {
    let at = chrono::DateTime::from_timestamp_micros(at).unwrap().format("%Y-%m-%d %H:%M:%S");
    let zone = if place.is_postgres() { "+00" } else { "" };
    format!("'{at}{zone}'")
}

/// Sweeps as a daemon does; returns how many files left the ledger.
async fn swept(store: &Store, cutoff: Micros) -> u64 {
    let options = SweepOptions {
        cutoff: now() - 120 * DAY,
        rollup_cutoff: Some(cutoff),
        log_type: LogType::All,
        batch_size: 3,
        dry_run: false,
        host: "web".into(),
        next_at: None,
    };
    match sweep(store, &options).await.unwrap() {
        SweepOutcome::Swept(swept) => swept.files_removed,
        SweepOutcome::AlreadyRunning => panic!("no other process sweeps"),
    }
}

/// Adds closed files of a host that nothing belongs to, closed so long ago.
async fn add_closed(place: &Place, host: &str, ids: std::ops::Range<i64>, ago: Micros) {
    let closed = sql_time(place, now() - ago);
    let (numbers, blob) = match place.is_postgres() {
        true => (
            format!("SELECT generate_series({}, {}) AS n", ids.start, ids.end - 1),
            "decode(md5(n::text), 'hex')",
        ),
        false => (
            format!(
                "WITH RECURSIVE r(n) AS (SELECT {} UNION ALL SELECT n + 1 FROM r WHERE n + 1 < {})
                 SELECT n FROM r",
                ids.start, ids.end
            ),
            "CAST(printf('%016d', n) AS blob)",
        ),
    };
    place
        .execute(&format!(
            "INSERT INTO log_file (id, device, inode, committed, size, lines, excluded, first_seen_at,
                                   committed_at, closed_at, head_length, guard_length, head, guard,
                                   host, path, format, closed_reason)
             SELECT n, 64769, n, 1000, 1000, 10, 10, {closed}, {closed}, {closed}, 90, 1000, {blob},
                    {blob}, '{host}', '/var/log/app/access.log-' || n || '.gz', '%(r)s', 'compressed'
               FROM ({numbers}) AS numbers"
        ))
        .await;
    if place.is_postgres() {
        let next = "SELECT setval(pg_get_serial_sequence('log_file', 'id'), max(id)) FROM log_file";
        place.execute(next).await;
    }
}

async fn ids(place: &Place) -> Vec<String> {
    place.texts("SELECT CAST(id AS text) FROM log_file ORDER BY log_file.id").await
}

async fn a_closed_file_leaves_when_nothing_needs_it(place: Place) {
    let store = place.open().await;
    add_closed(&place, "web", 1..11, KEPT + DAY).await;
    let mut writer = store.writer("web:1").await.unwrap();
    // A file that goes on keeps its host alive.
    let open = claimed(&mut writer, 999).await;
    writer.commit(&Lines::after(&open).rows(1, now()).batch()).await.unwrap();
    // Its daemon has just started, after a long time: it has not looked at its archives yet.
    assert_eq!(swept(&store, now() - KEPT).await, 0);
    let set = async |id: i64, column: &str, at: Micros| {
        let at = sql_time(&place, at);
        place.execute(&format!("UPDATE log_file SET {column} = {at} WHERE id = {id}")).await;
    };
    set(1, "closed_at", now() - KEPT + DAY).await;
    set(2, "last_seen_at", now() - KEPT + DAY).await;
    place.execute("UPDATE log_file SET closed_at = NULL, closed_reason = NULL WHERE id = 3").await;
    // A row, a reject, a request and a count, each of another file.
    let recent = sql_time(&place, now());
    store.prepare_days((now() / DAY) as i32..(now() / DAY) as i32 + 1).await.unwrap();
    let raw = if place.is_postgres() { "'\\x6e6f'" } else { "x'6e6f'" };
    for statement in [
        format!(
            "INSERT INTO gunicorn_log (id, timestamp, log_offset, log_file)
             VALUES ((CAST(4 AS bigint) << 38) + 7, {recent}, 7, 4)"
        ),
        format!(
            "INSERT INTO request_log (id, timestamp, log_offset, log_file)
             VALUES (CAST(5 AS bigint) << 38, {recent}, 0, 5)"
        ),
        format!(
            "INSERT INTO rejected_line (log_offset, rejected_at, log_file, code, reason, raw)
             VALUES (0, {recent}, 6, 'not_utf8', 'is not UTF-8', {raw})"
        ),
        format!(
            "INSERT INTO gunicorn_hour (hour, log_file, informational, successful, redirection,
                                        client_error, server_error, other, response_bytes)
             VALUES ({recent}, 7, 0, 1, 0, 0, 0, 0, 0)"
        ),
    ] {
        place.execute(&statement).await;
    }
    set(11, "first_seen_at", now() - 2 * DAY).await;
    assert_eq!(swept(&store, now() - KEPT).await, 3);
    assert_eq!(ids(&place).await, ["1", "2", "3", "4", "5", "6", "7", "11"]);
    // The same when the day has the index of its lines.
    if place.is_postgres() {
        for table in ["gunicorn_log", "request_log"] {
            let day = chrono::Utc::now().format("%Y%m%d");
            let index = format!("CREATE INDEX {table}_{day}_line ON {table}_{day} (id, log_file)");
            place.execute(&index).await;
        }
    }
    assert_eq!(swept(&store, now() - KEPT).await, 0);
    place
        .execute("DELETE FROM gunicorn_log WHERE log_file = 4; DELETE FROM gunicorn_hour WHERE log_file = 7")
        .await;
    assert_eq!(swept(&store, now() - KEPT).await, 2);
    // A file that is claimed in the meantime is open again, and stays.
    assert_eq!(ids(&place).await, ["1", "2", "3", "5", "6", "11"]);
    // Without a retention of counts the ledger stays as it is.
    place.execute("DELETE FROM request_log; DELETE FROM rejected_line").await;
    let mut options = SweepOptions {
        cutoff: now() - 120 * DAY,
        rollup_cutoff: None,
        log_type: LogType::All,
        batch_size: 1000,
        dry_run: false,
        host: "web".into(),
        next_at: None,
    };
    sweep(&store, &options).await.unwrap();
    options.rollup_cutoff = Some(now() - KEPT);
    options.dry_run = true;
    sweep(&store, &options).await.unwrap();
    assert_eq!(ids(&place).await, ["1", "2", "3", "5", "6", "11"]);
}

async fn a_file_of_which_an_open_file_holds_the_first_lines_stays(place: Place) {
    let store = place.open().await;
    add_closed(&place, "web", 1..4, KEPT + DAY).await;
    let mut writer = store.writer("web:1").await.unwrap();
    let open = claimed(&mut writer, 999).await;
    writer.commit(&Lines::after(&open).rows(1, now()).batch()).await.unwrap();
    let at_work = sql_time(&place, now() - 2 * DAY);
    // The object of file 4 was files 1 and 3: one that a power cut has ended, and one of which nothing is
    // there any more. That of file 2, which a power cut has ended too, is gone.
    for statement in [
        format!(
            "UPDATE log_file SET first_seen_at = {at_work}, device = 64769, inode = 1 WHERE id = 4"
        ),
        "UPDATE log_file SET kept_to = 500 WHERE id IN (1, 2)".to_owned(),
        "UPDATE log_file SET kept_to = 0, inode = 1 WHERE id = 3".to_owned(),
    ] {
        place.execute(&statement).await;
    }
    assert_eq!(swept(&store, now() - KEPT).await, 2);
    assert_eq!(ids(&place).await, ["1", "4"]);
    place.execute("UPDATE log_file SET inode = 77 WHERE id = 4").await;
    assert_eq!(swept(&store, now() - KEPT).await, 1);
    assert_eq!(ids(&place).await, ["4"]);
}

/// Between the list and the removal, other processes are at work.
async fn a_file_that_is_needed_again_after_it_was_listed_stays(place: Place) {
    let store = place.open().await;
    add_closed(&place, "web", 1..7, KEPT + DAY).await;
    let mut writer = store.writer("web:1").await.unwrap();
    let cutoff = now() - KEPT;
    let mut sweeper = store.sweeper().await.unwrap().unwrap();
    let listed = sweeper.old_files(cutoff, FileId(0), 100).await.unwrap();
    let listed: Vec<FileId> = listed.iter().map(|old| old.file).collect();
    assert_eq!(listed, [1, 2, 3, 4, 5].map(FileId));
    // One is claimed, of one an archive is seen, and an open file's object turns out to hold the first
    // lines of one. The newest of all was never listed.
    assert!(writer.claim(FileId(1), &sighting(901, None), "%(r)s").await.unwrap().is_some());
    writer.seen_again(&[FileId(2)]).await.unwrap();
    for statement in [
        "UPDATE log_file SET kept_to = 500 WHERE id IN (3, 4)".to_owned(),
        "UPDATE log_file SET device = 64769, inode = 3 WHERE id = 1".to_owned(),
    ] {
        place.execute(&statement).await;
    }
    let all = [1, 2, 3, 4, 5, 6].map(FileId);
    assert_eq!(sweeper.delete_unused_files(&all, cutoff).await.unwrap(), 2);
    assert_eq!(ids(&place).await, ["1", "2", "3", "6"]);
    sweeper.end().await;
}

/// A claim has locked the row and is not committed yet: the sweep does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_being_claimed_stays_and_is_not_waited_for() {
    let place = Place::postgres().await;
    let store = place.open().await;
    add_closed(&place, "web", 1..4, KEPT + DAY).await;
    let mut claiming = place.postgres_connection().await;
    let mut tx = claiming.begin().await.unwrap();
    let open = "UPDATE log_file SET closed_at = NULL, closed_reason = NULL WHERE id = 1";
    sqlx::raw_sql(open).execute(&mut *tx).await.unwrap();
    let mut sweeper = store.sweeper().await.unwrap().unwrap();
    let old = [1, 2].map(FileId);
    assert_eq!(sweeper.delete_unused_files(&old, now() - KEPT).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(ids(&place).await, ["1", "3"]);
    assert_eq!(sweeper.delete_unused_files(&old, now() - KEPT).await.unwrap(), 0);
    sweeper.end().await;
}

async fn files_of_a_silent_host_stay_twice_as_long(place: Place) {
    let store = place.open().await;
    add_closed(&place, "gone", 1..3, KEPT + DAY).await;
    add_closed(&place, "gone", 3..5, 2 * KEPT + DAY).await;
    add_closed(&place, "newest", 5..6, 0).await;
    assert_eq!(swept(&store, now() - KEPT).await, 2);
    assert_eq!(ids(&place).await, ["1", "2", "5"]);
}

/// An id names the rows of a file: even if they are all gone, it is not given to another one.
async fn no_id_is_used_twice(place: Place) {
    let store = place.open().await;
    add_closed(&place, "web", 1..4, 3 * KEPT).await;
    assert_eq!(swept(&store, now() - KEPT).await, 2);
    let mut writer = store.writer("web:1").await.unwrap();
    let next = claimed(&mut writer, 999).await;
    assert_eq!(next.file.0, 4);
    let batch = Lines::after(&next).rows(2, now()).batch();
    writer.commit(&batch).await.unwrap();
    assert_eq!(advanced(&next, &batch).committed, 200);
}

async fn questions_about_open_files_read_few_rows(place: Place) {
    place.open().await;
    add_closed(&place, "web", 1..20_001, DAY).await;
    let explain = if place.is_postgres() { "EXPLAIN" } else { "EXPLAIN QUERY PLAN" };
    for question in [
        "SELECT id, path FROM log_file WHERE host = 'web' AND closed_at IS NULL ORDER BY id",
        "SELECT id, path FROM log_file WHERE closed_at IS NULL OR lost_bytes > 0 ORDER BY host, id",
        "SELECT count(*) FROM log_file WHERE closed_at IS NULL",
    ] {
        let plan = format!("{explain} {question}");
        let plan = if place.is_postgres() {
            place.texts(&plan).await.join("\n")
        } else {
            // Its fourth column is the plan.
            use sqlx::{Connection, Row};
            let mut session = sqlx::SqliteConnection::connect(&place.url).await.unwrap();
            let rows =
                sqlx::query(sqlx::AssertSqlSafe(plan)).fetch_all(&mut session).await.unwrap();
            rows.iter().map(|row| row.get::<String, _>(3)).collect::<Vec<_>>().join("\n")
        };
        assert!(plan.contains("log_file_shown"), "{question}: {plan}");
    }
}

for_each_store! {
    async fn an_archive_that_is_still_there_keeps_its_file_in_the_ledger(bench) {
        bench.append("access.log", lines("a", 0..100));
        let daemon = bench.watch();
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        let text = fs::read(bench.log("access.log")).unwrap();
        bench.append("access.log.1.gz", compress("gz", &text));
        fs::remove_file(bench.log("access.log")).unwrap();
        bench.append("access.log", lines("b", 0..10));
        let daemon = bench.watch();
        let closed = "SELECT count(*) FROM log_file WHERE closed_reason = 'compressed'";
        until("the archive is read", async || bench.place.number(closed).await == 1).await;
        bench.rows(110).await;
        assert!(daemon.stop().await.success());
        // Long ago: its lines and counts are swept, and no daemon has said yet that it is there.
        let then = sql_time(&bench.place, now() - KEPT - 2 * DAY);
        let old = "(SELECT id FROM log_file WHERE closed_at IS NOT NULL)";
        for table in ["gunicorn_log", "gunicorn_minute", "gunicorn_hour"] {
            bench.place.execute(&format!("DELETE FROM {table} WHERE log_file IN {old}")).await;
        }
        let aged = format!("UPDATE log_file SET closed_at = {then}, last_seen_at = NULL WHERE closed_at IS NOT NULL");
        bench.place.execute(&aged).await;
        // So is the archive: what was written to after it was read is read again.
        let archive = fs::File::options().write(true).open(bench.log("access.log.1.gz")).unwrap();
        let age = Duration::from_micros(u64::try_from(KEPT + 3 * DAY).unwrap());
        archive.set_modified(SystemTime::now() - age).unwrap();
        let daemon = bench.watch_with(&["--retention", "off"]);
        let seen = "SELECT count(*) FROM log_file WHERE last_seen_at IS NOT NULL";
        until("the archive is seen", async || bench.place.number(seen).await == 1).await;
        assert!(daemon.stop().await.success());
        // Its daemon has been at work for longer than a day.
        let days_ago = sql_time(&bench.place, now() - 2 * DAY);
        let at_work = format!("UPDATE log_file SET first_seen_at = {days_ago} WHERE closed_at IS NULL");
        bench.place.execute(&at_work).await;
        let sweep = ["cleanup", "--days", "120", "--rollup-retention", "400d"];
        assert!(!bench.succeed(&sweep).contains("log_file"));
        let daemon = bench.watch();
        bench.append("access.log", lines("b", 10..20));
        bench.rows(20).await; // nothing of the archive again
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 2);
        assert!(daemon.stop().await.success());

        // The archive has gone, and as much time again: its file leaves, once.
        fs::rename(bench.log("access.log.1.gz"), bench.aside("kept.gz")).unwrap();
        bench.place.execute(&format!("{aged} AND last_seen_at IS NOT NULL")).await;
        let said = bench.succeed(&sweep);
        assert!(said.contains("1 log_file"), "{said}");
        assert!(!bench.succeed(&sweep).contains("log_file"));
        // What is imported after that is not known any more, and stored anew.
        bench.succeed(&["import", bench.aside("kept.gz").to_str().unwrap()]);
        bench.exactly(urls("a", 0..100).into_iter().chain(urls("b", 0..20))).await;
    }

    async fn status_counts_closed_files_and_shows_them_when_asked(bench) {
        add_closed(&bench.place, "web", 1..1001, DAY).await;
        bench.place.execute("UPDATE log_file SET lost_bytes = 7 WHERE id = 500").await;
        bench.append("access.log", lines("a", 0..10));
        let daemon = bench.watch();
        bench.rows(10).await;
        assert!(daemon.stop().await.success());
        let said = bench.succeed(&["status"]);
        assert!(said.contains("access.log-500.gz\n"), "{said}");
        assert!(said.contains("closed: compressed, 7 BYTES LOST"), "{said}");
        assert!(said.contains("access.log\n  offset"), "{said}");
        assert!(!said.contains("access.log-499.gz"), "{said}");
        assert!(said.contains("999 closed files are not shown; `log-ingestd status --all` shows them"), "{said}");
        let all = bench.succeed(&["status", "--all"]);
        assert_eq!(all.matches("closed: compressed").count(), 1000);
        assert!(!all.contains("not shown"), "{all}");
        let json = |arguments: &[&str]| -> Value {
            serde_json::from_str(&bench.succeed(arguments)).unwrap()
        };
        let short = json(&["status", "--json"]);
        assert_eq!(short["files"].as_array().unwrap().len(), 2);
        assert_eq!(short["not_shown"], 999);
        assert_eq!(short["files"][0]["lost_bytes"], 7);
        assert_eq!((&short["files"][1]["rows"], &short["files"][1]["lag_bytes"]), (&10.into(), &0.into()));
        assert_eq!(json(&["status", "--all", "--json"])["files"].as_array().unwrap().len(), 1001);
    }
}
