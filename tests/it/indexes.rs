//! A day that is over gets its indexes, beside ingest and whatever clients have sent.

use std::time::{Duration, Instant};

use log_ingestd::model::{Filter, GunicornLogModel, Micros};
use log_ingestd::store::{DayRange, Direction, Indexer, Store, StoredRow, Table};
use sqlx::{Connection, PgConnection};

use crate::daemon::{Bench, PATIENCE, line_at};
use crate::place::{DAY, Lines, NOW, Place, advanced, claimed, until};

/// The day of the rows, and the one on which they are looked at.
const PAST: i32 = (NOW / DAY) as i32;

/// Enough rows that a day is worth an index.
const ROWS: u64 = 100_000;

/// A store with one day that is over.
async fn past_day(place: &Place) -> Store {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    writer.commit(&Lines::after(&at).rows(ROWS, NOW).batch()).await.unwrap();
    store
}

/// The right to build indexes, as soon as the session that had it before has ended.
async fn free_indexer(store: &Store) -> Indexer {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(indexer) = store.indexer().await.unwrap() {
            return indexer;
        }
        assert!(Instant::now() < end, "another process builds indexes");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn index(store: &Store) -> Result<(), String> {
    let mut indexer = free_indexer(store).await;
    let past = indexer.past_days(PAST + 1).await.unwrap();
    assert_eq!(past.len(), 1, "{past:?}");
    let built = indexer.index(Table::GunicornLog, DayRange::of_day(PAST)).await;
    built.map_err(|error| format!("{error:?}"))
}

/// Names of a day's indexes that are valid and not those of every day, without the day's name.
async fn built(place: &Place, day: i32) -> Vec<String> {
    let day = chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0).unwrap();
    let day = day.format("gunicorn_log_%Y%m%d");
    let mut names = place
        .texts(&format!(
            "SELECT substr(c.relname, length('{day}_') + 1) FROM pg_index x
               JOIN pg_class c ON c.oid = x.indexrelid
              WHERE x.indrelid = to_regclass('{day}') AND x.indisvalid AND NOT c.relispartition"
        ))
        .await;
    names.sort();
    names
}

const ALL: [&str; 7] = ["code", "line", "request_id", "timestamp", "url", "user_id", "user_ip"];

#[tokio::test]
async fn a_day_is_indexed_when_it_is_over_and_only_then() {
    let place = Place::postgres().await;
    let store = past_day(&place).await;
    let mut indexer = free_indexer(&store).await;
    assert_eq!(indexer.past_days(PAST).await.unwrap(), [], "it is the current one");
    assert!(store.indexer().await.unwrap().is_none(), "one at a time");
    drop(indexer);
    assert_eq!(built(&place, PAST).await, [""; 0]);
    index(&store).await.unwrap();
    assert_eq!(built(&place, PAST).await, ALL);
    let mut indexer = free_indexer(&store).await;
    assert_eq!(indexer.past_days(PAST + 1).await.unwrap(), [], "it lacks nothing");
}

#[tokio::test]
async fn a_day_that_holds_a_line_twice_says_so_and_is_indexed_when_it_does_not() {
    let place = Place::postgres().await;
    let store = past_day(&place).await;
    let twice = "INSERT INTO gunicorn_log SELECT * FROM gunicorn_log LIMIT 1";
    place.execute(twice).await;
    let error = index(&store).await.unwrap_err();
    assert!(error.contains("gunicorn_log_20261123_line"), "{error}");
    let others = ["code", "request_id", "timestamp", "url", "user_id", "user_ip"];
    assert_eq!(built(&place, PAST).await, others);
    place
        .execute(
            "DELETE FROM gunicorn_log g WHERE ctid <> (SELECT min(ctid) FROM gunicorn_log f
                                                       WHERE f.id = g.id)
                AND id = (SELECT id FROM gunicorn_log GROUP BY id HAVING count(*) > 1)",
        )
        .await;
    index(&store).await.unwrap();
    assert_eq!(built(&place, PAST).await, ALL);
}

/// Bytes that no compression makes short enough for a btree.
fn noise(length: usize) -> String {
    let mut state = 1_u32;
    let mut letter = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
                [(state >> 26) as usize],
        )
    };
    (0..length).map(|_| letter()).collect()
}

#[tokio::test]
async fn what_clients_send_may_be_of_any_length_before_a_day_is_indexed_and_after() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let long = |code| GunicornLogModel {
        timestamp: Some(NOW),
        url: Some(format!("/{}", noise(8_190)).into()),
        user_id: Some(noise(6_000).into()),
        method: Some(noise(4_000).into()),
        host: Some(noise(8_000).into()),
        code: Some(code),
        ..Default::default()
    };
    let batch = Lines::after(&at).record(&long(200)).record(&long(500)).rows(ROWS, NOW).batch();
    writer.commit(&batch).await.unwrap();
    store.summarize(&store.fresh_days()).await.unwrap();
    index(&store).await.unwrap();
    let at = advanced(&at, &batch);
    writer.commit(&Lines::after(&at).record(&long(200)).record(&long(502)).batch()).await.unwrap();
    let found = format!("SELECT count(*) FROM gunicorn_log WHERE user_id = '{}'", noise(6_000));
    assert_eq!(place.number(&found).await, 4);
}

#[tokio::test]
async fn lines_are_stored_while_a_day_is_indexed_and_read() {
    let place = Place::postgres().await;
    let store = past_day(&place).await;
    let mut reader = PgConnection::connect(&place.url).await.unwrap();
    let mut long = reader.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM gunicorn_log").execute(&mut *long).await.unwrap();
    let indexing = {
        let store = store.clone();
        tokio::spawn(async move { index(&store).await })
    };
    until("an index is being built", async || {
        place.number("SELECT count(*) FROM pg_index WHERE NOT indisready").await > 0
    })
    .await;
    let mut writer = store.writer("web:2").await.unwrap();
    let at = claimed(&mut writer, 2).await;
    writer.commit(&Lines::after(&at).rows(10, NOW).batch()).await.unwrap();
    assert!(!indexing.is_finished(), "it waits for the SELECT");
    long.rollback().await.unwrap();
    indexing.await.unwrap().unwrap();
    assert_eq!(built(&place, PAST).await, ALL);
}

fn log(from: Micros) -> String {
    (0..20_000)
        .map(|nth| line_at(&format!("/{}{nth}", "x".repeat(200)), from + nth * 1000))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_indexes_what_is_over_and_leaves_today_open() {
    let bench = Bench::new(Place::postgres().await).await;
    let today = chrono::Utc::now().timestamp_micros().div_euclid(DAY);
    bench.append("access.log", log((today - 1) * DAY) + &log(today * DAY));
    let path = bench.log("access.log");
    bench.succeed(&["import", path.to_str().unwrap()]);
    assert_eq!(built(&bench.place, today as i32 - 1).await, ALL);
    assert_eq!(built(&bench.place, today as i32).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_indexes_a_day_to_which_nothing_comes_any_more() {
    let bench = Bench::new(Place::postgres().await).await;
    let today = chrono::Utc::now().timestamp_micros().div_euclid(DAY);
    bench.append("access.log", log((today - 1) * DAY));
    let daemon = bench.watch();
    until("yesterday has its indexes", async || built(&bench.place, today as i32 - 1).await == ALL)
        .await;
    let ranges =
        "SELECT count(*) FROM pg_class WHERE relname ~ 'gunicorn_log_.*timestamp_id_user_id'
                     AND pg_relation_size(oid) > 3 * 8192";
    assert!(bench.place.number(ranges).await > 0, "new rows are not in the BRIN index");
    assert!(daemon.stop().await.success());
}

/// An address is searched in two forms, because older versions stored `::ffff:203.0.113.9` as it was
/// logged: the index serves both at once, and both forms of a network.
#[tokio::test]
async fn a_search_by_address_uses_the_index_of_a_day_that_is_over() {
    let place = Place::postgres().await;
    let store = past_day(&place).await;
    let address = |form: &str, begin: u32| {
        format!(
            "UPDATE gunicorn_log SET user_ip = '{form}' WHERE log_offset IN
               (SELECT log_offset FROM gunicorn_log ORDER BY log_offset OFFSET {begin} LIMIT 5);"
        )
    };
    place.execute(&(address("203.0.113.9", 100) + &address("::ffff:203.0.113.9", 50_000))).await;
    index(&store).await.unwrap();
    place.execute("VACUUM ANALYZE gunicorn_log").await;
    let scans = "SELECT CAST(coalesce(sum(idx_scan), 0) AS bigint) FROM pg_stat_user_indexes
                  WHERE indexrelname LIKE 'gunicorn_log_%_user_ip'";
    let mut before = place.number(scans).await;
    for text in ["203.0.113.9", "203.0.113.0/28"] {
        let mut filter = Filter::last_hour(NOW);
        filter.set("from", "2d", NOW).unwrap();
        filter.set("address", text, NOW).unwrap();
        let patience = Duration::from_secs(60);
        let page =
            store.reader().page::<StoredRow>(&filter, Direction::Older(None), 100, patience).await;
        assert_eq!(page.unwrap().rows.len(), 10, "{text}");
        until("the index was used", async || place.number(scans).await > before).await;
        before = place.number(scans).await;
    }
}
