//! A server that goes away, and people who may not enter.

use std::error::Error as _;

use log_ingestd::store::{Location, Store, StoreError};

use crate::place::{Lines, NOW, Place, claimed, until};
use crate::postgres::{Cluster, WITH_PASSWORD, shared};

#[tokio::test]
async fn a_killed_server_is_unavailable_and_nothing_is_lost_or_doubled_when_it_is_back() {
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let location = Location::parse(&url).unwrap();
    let store = Store::open(location.clone()).await.unwrap();
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let batch = Lines::after(&at).rows(1000, NOW).batch();

    cluster.kill();
    let mut error = None;
    until("the writer notices", async || {
        error = writer.commit(&batch).await.err();
        error.is_some()
    })
    .await;
    let error = error.unwrap();
    assert!(error.is_transient(), "{error:?}");
    drop(writer);

    cluster.start_again();
    let mut fresh = store.writer("web:1").await.unwrap();
    assert!(fresh.hold_again(at.file, at.epoch).await.unwrap());
    let offset = fresh.committed(&[at.file]).await.unwrap()[0].offset;
    let span = &batch.spans[0];
    assert!(offset == span.from || offset == span.to.offset, "{offset}");
    if offset == span.from {
        fresh.commit(&batch).await.unwrap();
    }
    assert_eq!(store.files(None).await.unwrap()[0].rows, 1000);

    cluster.stop();
    let error = Store::open(location).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let place = format!("127.0.0.1:{}", cluster.port());
    assert!(error.to_string().contains(&place), "{error}");
}

#[tokio::test]
async fn a_connection_cut_by_an_administrator_is_unavailable() {
    let place = Place::postgres().await;
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    place
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    let error = writer.commit(&Lines::after(&at).row(NOW).batch()).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_database_are_refused_without_naming_the_password() {
    let cluster = shared();
    let create = format!("CREATE ROLE {WITH_PASSWORD} LOGIN PASSWORD 'right'");
    cluster.administer(&create).await;
    let wrong = cluster.url(&format!("{WITH_PASSWORD}:s3cret"), "postgres");
    for url in [wrong, cluster.url("postgres", "nowhere")] {
        let error = Store::open(Location::parse(&url).unwrap()).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
        assert!(error.source().is_some());
        assert!(!format!("{error:?} {error}").contains("s3cret"));
    }
}

#[tokio::test]
async fn a_read_only_database_is_unavailable_and_open_to_readers() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    place
        .execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',
                                         current_database()); END $$",
        )
        .await;
    drop(writer);
    let store = place.open().await;
    assert_eq!(store.files(None).await.unwrap().len(), 1);
    let mut writer = store.writer("web:1").await.unwrap();
    let error = writer.commit(&Lines::after(&at).row(NOW).batch()).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn midnight_finds_its_partitions_made_even_by_ten_daemons_at_once() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let today = i32::try_from(NOW / crate::place::DAY).unwrap();
    let preparing: Vec<_> = (0..10)
        .map(|_| {
            let location = place.location();
            tokio::spawn(async move {
                Store::open(location).await.unwrap().prepare_days(today..today + 2).await
            })
        })
        .collect();
    for prepared in preparing {
        prepared.await.unwrap().unwrap();
    }
    store.prepare_days(today..today + 2).await.unwrap();
    let days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'request_log'::regclass";
    assert_eq!(place.number(days).await, 2 + 2);
    let indexes =
        "SELECT count(*) FROM pg_index WHERE indrelid = 'gunicorn_log_20261123'::regclass";
    assert_eq!(place.number(indexes).await, 3, "those of every day");
}
