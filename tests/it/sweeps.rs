//! What is past the retention leaves, and nothing else.

use log_ingestd::model::Micros;
use log_ingestd::retain::{LogType, SweepOptions, SweepOutcome, Swept, sweep};
use log_ingestd::store::Store;
use sqlx::{Connection, PgConnection};

use crate::place::{DAY, Lines, NOW, Place, advanced, claimed, counted};

/// 12:00 on a day: half of it is older.
const CUTOFF: Micros = NOW - NOW % DAY - 10 * DAY + DAY / 2;

pub(crate) fn options(cutoff: Micros) -> SweepOptions {
    SweepOptions {
        cutoff,
        rollup_cutoff: None,
        log_type: LogType::All,
        batch_size: SweepOptions::BATCH_SIZE,
        dry_run: false,
        host: "web".into(),
        next_at: Some(NOW + DAY),
    }
}

pub(crate) async fn swept(store: &Store, options: &SweepOptions) -> Swept {
    match sweep(store, options).await.unwrap() {
        SweepOutcome::Swept(swept) => swept,
        SweepOutcome::AlreadyRunning => panic!("no other process sweeps"),
    }
}

/// Twenty rows and ten rejects: five and none in 1999, ten and five on the two days before the
/// cutoff's, two and two before noon of its day, three and three from noon on.
async fn filled(store: &Store) {
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let midnight = CUTOFF - DAY / 2;
    let mut lines = Lines::after(&at).rows(5, 946_684_700_000_000);
    lines = lines.rows(5, midnight - 2 * DAY).rows(5, midnight - 1000);
    for _ in 0..5 {
        lines = lines.reject(midnight - 1, b"old");
    }
    for _ in 0..2 {
        lines = lines.reject(CUTOFF - 1, b"cut");
    }
    for _ in 0..3 {
        lines = lines.reject(CUTOFF, b"new");
    }
    writer.commit(&lines.rows(2, CUTOFF - 2).rows(3, CUTOFF).batch()).await.unwrap();
}

async fn left(place: &Place) -> (i64, i64) {
    counted(place).await;
    (
        place.number("SELECT count(*) FROM gunicorn_log").await,
        place.number("SELECT count(*) FROM rejected_line").await,
    )
}

for_every_store!(
    what_is_older_than_the_cutoff_leaves_and_the_rest_stays,
    small_batches_remove_the_same_rows,
    a_dry_run_only_counts,
    only_the_tables_asked_for_are_swept,
    counts_stay_until_their_own_cutoff,
    two_sweepers_do_not_meet,
    a_sweep_leaves_nothing_that_the_next_one_waits_for,
    a_swept_day_takes_late_lines_again,
);

async fn what_is_older_than_the_cutoff_leaves_and_the_rest_stays(place: Place) {
    let store = place.open().await;
    filled(&store).await;
    let first = swept(&store, &options(CUTOFF)).await;
    assert_eq!((first.report.gunicorn_removed, first.report.rejected_removed), (17, 7));
    assert_eq!((first.postponed, left(&place).await), (0, (3, 3)));
    assert_eq!(store.last_sweep().await.unwrap(), Some(first.report));
    if place.is_postgres() {
        let old = "SELECT count(*) FROM pg_class WHERE relkind = 'r'
                      AND relname IN ('gunicorn_log_20261111', 'gunicorn_log_20261112')";
        assert_eq!(place.number(old).await, 0);
    }
    let again = swept(&store, &options(CUTOFF)).await;
    assert_eq!((again.report.gunicorn_removed, again.report.rejected_removed), (0, 0));
    assert_eq!(left(&place).await, (3, 3));
}

async fn small_batches_remove_the_same_rows(place: Place) {
    let store = place.open().await;
    filled(&store).await;
    let swept = swept(&store, &SweepOptions { batch_size: 2, ..options(CUTOFF) }).await;
    assert_eq!((swept.report.gunicorn_removed, swept.report.rejected_removed), (17, 7));
    assert_eq!(left(&place).await, (3, 3));
}

async fn a_dry_run_only_counts(place: Place) {
    let store = place.open().await;
    filled(&store).await;
    let dry = swept(&store, &SweepOptions { dry_run: true, ..options(CUTOFF) }).await;
    assert_eq!((dry.report.gunicorn_removed, dry.report.rejected_removed), (17, 7));
    assert_eq!(left(&place).await, (20, 10));
    assert_eq!(store.last_sweep().await.unwrap(), None);
}

async fn only_the_tables_asked_for_are_swept(place: Place) {
    let store = place.open().await;
    filled(&store).await;
    let request = SweepOptions { log_type: LogType::Request, ..options(CUTOFF) };
    assert_eq!(swept(&store, &request).await.report.request_removed, 0);
    assert_eq!(left(&place).await, (20, 10));
    let gunicorn = SweepOptions { log_type: LogType::Gunicorn, ..options(CUTOFF) };
    swept(&store, &gunicorn).await;
    assert_eq!(left(&place).await, (3, 3));
}

async fn counts_stay_until_their_own_cutoff(place: Place) {
    let store = place.open().await;
    filled(&store).await;
    let sum = async |table: &str| {
        let sum = format!("SELECT CAST(sum(successful + other) AS bigint) FROM {table}");
        place.number(&sum).await
    };
    swept(&store, &options(CUTOFF)).await;
    assert_eq!((sum("gunicorn_minute").await, sum("gunicorn_hour").await), (20, 20));
    let dry = SweepOptions { dry_run: true, rollup_cutoff: Some(CUTOFF), ..options(CUTOFF) };
    swept(&store, &dry).await;
    assert_eq!((sum("gunicorn_minute").await, sum("gunicorn_hour").await), (20, 20));
    // The minute and the hour that the cutoff cuts stay whole.
    swept(&store, &SweepOptions { dry_run: false, rollup_cutoff: Some(CUTOFF - 1), ..dry }).await;
    assert_eq!((sum("gunicorn_minute").await, sum("gunicorn_hour").await), (5, 5));
    let others = SweepOptions { log_type: LogType::Request, ..options(CUTOFF) };
    swept(&store, &SweepOptions { rollup_cutoff: Some(CUTOFF), ..others }).await;
    assert_eq!((sum("gunicorn_minute").await, sum("gunicorn_hour").await), (5, 5));
    let all = SweepOptions { batch_size: 1, rollup_cutoff: Some(CUTOFF), ..options(CUTOFF) };
    swept(&store, &all).await;
    assert_eq!((sum("gunicorn_minute").await, sum("gunicorn_hour").await), (3, 3));
}

async fn two_sweepers_do_not_meet(place: Place) {
    let store = place.open().await;
    let sweeper = store.sweeper().await.unwrap();
    assert!(sweeper.is_some());
    assert_eq!(sweep(&store, &options(CUTOFF)).await.unwrap(), SweepOutcome::AlreadyRunning);
    drop(sweeper);
    crate::place::until("the lock is free", async || {
        sweep(&store, &options(CUTOFF)).await.unwrap() != SweepOutcome::AlreadyRunning
    })
    .await;
}

/// The server needs a moment to notice that a client has gone: a lock must be free before that.
async fn a_sweep_leaves_nothing_that_the_next_one_waits_for(place: Place) {
    let store = place.open().await;
    for _ in 0..20 {
        swept(&store, &options(CUTOFF)).await;
        assert!(!store.is_being_swept().await.unwrap());
    }
    let sweeper = store.sweeper().await.unwrap().unwrap();
    assert!(store.is_being_swept().await.unwrap());
    sweeper.end().await;
    assert!(!store.is_being_swept().await.unwrap());
}

/// The writer has seen the partition and does not know that it is gone.
async fn a_swept_day_takes_late_lines_again(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let mut at = claimed(&mut writer, 1).await;
    let old = CUTOFF - 5 * DAY;
    // Another daemon's sweep: this store's own knowledge is not told.
    let other = place.open().await;
    for _ in 0..2 {
        let batch = Lines::after(&at).rows(3, old).reject(old, b"?").batch();
        writer.commit(&batch).await.unwrap();
        at = advanced(&at, &batch);
        assert_eq!(left(&place).await, (3, 1));
        let swept = swept(&other, &options(CUTOFF)).await;
        assert_eq!((swept.report.gunicorn_removed, swept.report.rejected_removed), (3, 1));
        assert_eq!(left(&place).await, (0, 0));
    }
}

#[tokio::test]
async fn a_long_select_postpones_a_day_and_never_stalls_ingest() {
    let place = Place::postgres().await;
    let store = place.open().await;
    filled(&store).await;
    let mut reader = PgConnection::connect(&place.url).await.unwrap();
    let mut long = reader.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM gunicorn_log").execute(&mut *long).await.unwrap();

    let sweeping = {
        let store = store.clone();
        tokio::spawn(async move { swept(&store, &options(CUTOFF)).await })
    };
    let mut writer = store.writer("web:2").await.unwrap();
    let mut at = claimed(&mut writer, 2).await;
    let mut slowest = std::time::Duration::ZERO;
    let mut day = NOW;
    while !sweeping.is_finished() {
        day += DAY;
        let batch = Lines::after(&at).rows(10, day).batch();
        let before = std::time::Instant::now();
        // Each day gets a new partition: the strictest that ingest asks of the parent.
        let number = i32::try_from(day / DAY).unwrap();
        store.prepare_days(number..number + 1).await.unwrap();
        writer.commit(&batch).await.unwrap();
        slowest = slowest.max(before.elapsed());
        at = advanced(&at, &batch);
    }
    assert!(slowest < std::time::Duration::from_millis(1500), "{slowest:?}");
    let first = sweeping.await.unwrap();
    assert_eq!(first.postponed, 2, "both days of gunicorn_log");
    // The rejects' day and the deletes need not wait for that SELECT.
    assert_eq!((first.report.gunicorn_removed, first.report.rejected_removed), (7, 7));

    long.rollback().await.unwrap();
    let second = swept(&store, &options(CUTOFF)).await;
    assert_eq!((second.postponed, second.report.gunicorn_removed), (0, 10));
}

#[tokio::test]
async fn a_day_that_a_crash_left_half_removed_is_finished_or_taken_back() {
    let place = Place::postgres().await;
    let store = place.open().await;
    filled(&store).await;
    // Detached and not dropped.
    place.execute("ALTER TABLE gunicorn_log DETACH PARTITION gunicorn_log_20261111").await;
    // Detaching, cut short: a reader held it up until its patience ended.
    let mut reader = PgConnection::connect(&place.url).await.unwrap();
    let mut long = reader.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM gunicorn_log").execute(&mut *long).await.unwrap();
    let mut killed = PgConnection::connect(&place.url).await.unwrap();
    sqlx::raw_sql("SET lock_timeout = '200ms'").execute(&mut killed).await.unwrap();
    let detach = "ALTER TABLE gunicorn_log DETACH PARTITION gunicorn_log_20261112 CONCURRENTLY";
    sqlx::raw_sql(detach).execute(&mut killed).await.unwrap_err();
    let pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending";
    assert_eq!(place.number(pending).await, 1);
    long.rollback().await.unwrap();

    // A late line of that day takes it back, with its rows.
    let fresh = place.open().await; // the first store would trust what it knows, and learn
    let mut late = fresh.writer("web:3").await.unwrap();
    let at = claimed(&mut late, 3).await;
    late.commit(&Lines::after(&at).row(CUTOFF - DAY / 2 - 1).batch()).await.unwrap();
    assert_eq!(place.number(pending).await, 0);

    let swept = swept(&store, &options(CUTOFF)).await;
    assert_eq!((swept.postponed, swept.report.gunicorn_removed), (0, 18));
    assert_eq!(left(&place).await, (3, 3));
}

#[tokio::test]
async fn a_table_that_a_person_made_under_a_days_name_stays() {
    let place = Place::postgres().await;
    let store = place.open().await;
    place.execute("CREATE TABLE gunicorn_log_20200101 AS SELECT 1 AS backup").await;
    swept(&store, &options(CUTOFF)).await;
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log_20200101").await, 1);
}

#[tokio::test]
async fn a_swept_sqlite_file_gets_smaller() {
    let place = Place::sqlite().await;
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    writer.commit(&Lines::after(&at).rows(40_000, 0).batch()).await.unwrap();
    let pages = "SELECT page_count FROM pragma_page_count";
    let before = place.number(pages).await;
    swept(&store, &options(CUTOFF)).await;
    let after = place.number(pages).await;
    assert!(after * 10 < before, "{before} pages, then {after}");
    let path = place.url.strip_prefix("sqlite:").unwrap();
    let bytes = std::fs::metadata(path).unwrap().len();
    let page = place.number("SELECT page_size FROM pragma_page_size").await;
    assert!(bytes as i64 / page <= after + 1, "{bytes} bytes, {after} pages of {page}");
}
