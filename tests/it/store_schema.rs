//! What every store promises of its tables.

use log_ingestd::store::{Store, StoreError};

use crate::place::{Place, sighting};

for_every_store!(
    ten_daemons_open_an_empty_database_at_once,
    a_newer_schema_is_refused,
    every_table_and_column_says_what_it_means,
);

async fn ten_daemons_open_an_empty_database_at_once(place: Place) {
    let place = place.without_tables().await;
    let opening: Vec<_> = (0..10).map(|_| tokio::spawn(Store::open(place.location()))).collect();
    for store in opening {
        let mut writer = store.await.unwrap().unwrap().writer("web:1").await.unwrap();
        writer.candidates(&sighting(1, None)).await.unwrap();
    }
}

async fn a_newer_schema_is_refused(place: Place) {
    place.open().await;
    let newer = if place.is_postgres() { "now(), true, ''::bytea" } else { "'now', 1, x''" };
    place
        .execute(&format!(
            "INSERT INTO _sqlx_migrations
                    (version, description, installed_on, success, checksum, execution_time)
             VALUES (9999, 'from the future', {newer}, 0)"
        ))
        .await;
    let error = Store::open(place.location()).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 9999, .. }), "{error:?}");
    assert!(error.to_string().contains("made by a newer log-ingestd"), "{error}");
}

async fn every_table_and_column_says_what_it_means(place: Place) {
    place.open().await;
    if place.is_postgres() {
        let silent = place
            .texts(
                "SELECT c.relname || '.' || COALESCE(a.attname, '')
                   FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid
                  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                    AND NOT c.relispartition AND NOT starts_with(c.relname, '_sqlx')
                    AND a.attnum > 0
                    AND (col_description(c.oid, a.attnum) IS NULL
                         OR obj_description(c.oid, 'pg_class') IS NULL)",
            )
            .await;
        assert_eq!(silent, [""; 0]);
        return;
    }
    let tables = place
        .texts("SELECT sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%sqlx%'")
        .await;
    assert_eq!(tables.len(), 10);
    for line in tables.iter().flat_map(|table| table.lines()) {
        let constraint = line.trim().starts_with("CHECK") || line.trim().starts_with("PRIMARY");
        // The last column that was added has its comment in the line before.
        let end = matches!(line, ")" | "    TEXT)" | "    INTEGER)" | "    BLOB)");
        assert!(constraint || end || line.contains(" -- "), "{line}");
    }
}
