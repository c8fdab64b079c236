//! A person reads the oldest rows for an hour while the daemon sweeps them and goes on storing.

use sqlx::{Connection, SqliteConnection};

use crate::daemon::{for_each_store, lines, urls};
use crate::traffic::Traffic;

/// What the reader runs, and does not finish.
const LONG: &str = "SELECT count(*) FROM gunicorn_log WHERE timestamp < '2025-01-01'";

for_each_store! {
    /// PostgreSQL cannot give the days up under a reader's hands: they are postponed. SQLite's
    /// reader keeps what it sees while the rows leave.
    async fn a_sweep_under_a_long_select_stalls_nothing_and_tries_again(bench) {
        bench.append("old.log", lines("old", 0..100).replace("/2026:", "/2024:"));
        bench.import(&["old.log"]);
        std::fs::remove_file(bench.log("old.log")).unwrap();
        let (mut postgres, mut sqlite) = (None, None);
        let begin = format!("BEGIN; {LONG}");
        if bench.place.is_postgres() {
            let mut reader = bench.place.postgres_connection().await;
            sqlx::raw_sql(sqlx::AssertSqlSafe(begin)).execute(&mut reader).await.unwrap();
            postgres = Some(reader);
        } else {
            let mut reader = SqliteConnection::connect(&bench.place.url).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(begin)).execute(&mut reader).await.unwrap();
            sqlite = Some(reader);
        }
        let traffic = Traffic::in_directory(bench.logs());
        let daemon = bench.watch();
        bench.swept(1).await;
        // Lines that are written now, under the reader, are stored under it.
        let before = bench.stored().await;
        crate::place::until("ingest goes on", async || bench.stored().await > before + 200).await;
        let fresh = traffic.end();
        let old = if bench.place.is_postgres() {
            assert!(daemon.said().contains("postponed_days=1"), "{}", daemon.said());
            urls("old", 0..100)
        } else {
            assert!(daemon.said().contains("gunicorn_log=100"), "{}", daemon.said());
            Vec::new()
        };
        let there = "SELECT count(*) FROM gunicorn_log";
        let all = (old.len() + fresh.len()) as i64;
        crate::place::until("all of it is stored", async || bench.place.number(there).await == all).await;
        if let Some(reader) = postgres {
            reader.close().await.unwrap();
        }
        if let Some(reader) = sqlite {
            let mut reader = reader;
            let seen = sqlx::query_scalar::<_, i64>(LONG).fetch_one(&mut reader).await.unwrap();
            assert_eq!(seen, 100, "the reader's rows went away");
            reader.close().await.unwrap();
        }
        assert!(daemon.stop().await.success());
        let _daemon = bench.watch();
        bench.swept(2).await;
        let mut found = bench.place.texts("SELECT url FROM gunicorn_log").await;
        let mut fresh = fresh;
        found.sort();
        fresh.sort();
        assert!(found == fresh, "what was to leave is still there, or more has left");
    }
}
