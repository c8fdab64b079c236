//! `doctor`: each finding, made real, with what to do about it.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bad_input::disk::Disk;
use crate::daemon::{Bench, for_each_store, lines};
use crate::place::Place;
use crate::ports::Port;
use crate::postgres::Cluster;
use crate::streams::make_fifo;

/// The findings of a command.
struct Answer {
    code: Option<i32>,
    findings: Vec<Value>,
}

impl Answer {
    fn of(mut command: Command) -> Self {
        let output = command.arg("--json").stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let answer: Value = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        let findings = answer["findings"].as_array().unwrap().clone();
        let problems = findings.iter().filter(|it| it["severity"] == "problem").count();
        assert_eq!(answer["problems"], problems);
        let code = output.status.code();
        assert_eq!(code, Some(i32::from(problems > 0)), "{text}");
        Self { code, findings }
    }

    fn to(bench: &Bench, flags: &[&str]) -> Self {
        Self::of(bench.command(&[&["doctor"], flags].concat()))
    }

    /// What it says about a thing, and what to do.
    #[track_caller]
    fn says(&self, severity: &str, about: &str, found: &str, remedy: &str) {
        let is_it = |it: &&Value| {
            it["severity"] == severity
                && it["about"] == about
                && it["found"].as_str().unwrap().contains(found)
                && it["remedy"].as_str().unwrap_or_default().contains(remedy)
        };
        let all = &self.findings;
        assert!(all.iter().any(|it| is_it(&it)), "{severity} {about} '{found}': {all:#?}");
    }
}

for_each_store! {
    async fn a_place_where_all_is_well_has_no_problem(bench) {
        bench.append("access.log", lines("a", 0..10));
        bench.append("empty.log", "");
        let logs = bench.logs();
        let answer = Answer::to(&bench, &["--watch", logs.to_str().unwrap()]);
        assert_eq!(answer.code, Some(0));
        let version = if bench.place.is_postgres() { "PostgreSQL " } else { "SQLite 3." };
        answer.says("ok", "database", version, "");
        answer.says("ok", "schema", "schema ", "");
        answer.says("ok", "rights", "may read", "");
        answer.says("ok", "format", "1 file by gunicorn", "");
        answer.says("ok", "files", "1 file left alone", "");
        if bench.place.is_postgres() {
            answer.says("ok", "clock", "this machine's", "");
        } else {
            answer.says("ok", "disk", " MiB free on the disk of '", "");
        }
        // For people the same in lines; nothing was made or stored.
        let said = bench.succeed(&["doctor", "--watch", logs.to_str().unwrap()]);
        assert!(said.ends_with("no problem found\n") && said.contains("ok       format"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 0);
    }

    async fn a_database_without_tables_is_no_problem_and_stays_without(bench) {
        let bench = Bench::untouched(bench.place.like_it().await);
        let answer = Answer::to(&bench, &[]);
        answer.says("note", "schema", "there are no tables yet", "log-ingestd migrate");
        answer.says("note", "files", "no path to follow is given", "--watch PATH");
        assert_eq!(answer.code, Some(0));
        let status = bench.run(&["status"]);
        assert_eq!(status.status.code(), Some(1), "it made tables");
    }

    async fn another_schema_is_a_problem(bench) {
        let of_later = "INSERT INTO _sqlx_migrations
            (version, description, success, checksum, execution_time)
            SELECT 9999, 'from the future', success, checksum, 0 FROM _sqlx_migrations LIMIT 1";
        bench.place.execute(of_later).await;
        Answer::to(&bench, &[]).says("problem", "schema", "schema 9999 is newer", "upgrade this program");
        bench.place.execute("DELETE FROM _sqlx_migrations WHERE version > 5").await;
        Answer::to(&bench, &[]).says("problem", "schema", "schema 5 is older", "log-ingestd migrate");
    }

    async fn files_that_cannot_be_read_are_named(bench) {
        let logs = bench.logs();
        let watched = ["--watch", logs.to_str().unwrap()];
        Answer::to(&bench, &watched).says("problem", "files", "no watched path has an access log", "--access-logfile");
        bench.append("notes.txt", "buy milk\nand bread\n");
        bench.append("access.log", lines("a", 0..10));
        let answer = Answer::to(&bench, &watched);
        answer.says("problem", "format", "notes.txt' is in no known format", "log-ingestd check ");
        answer.says("ok", "format", "1 file by gunicorn", "");
        let answer = Answer::to(&bench, &["--watch", logs.to_str().unwrap(), "--exclude", "*.txt", "--format", "uwsgi"]);
        answer.says("problem", "format", "reads none of the first 10 lines", "correct --format");
        std::os::unix::fs::symlink("nowhere", bench.log("broken.log")).unwrap();
        Answer::to(&bench, &watched).says("problem", "files", "broken.log': No such file", "read permission");
        let missing = bench.aside("nowhere");
        let answer = Answer::to(&bench, &["--watch", missing.to_str().unwrap()]);
        answer.says("problem", "files", "there is no such directory", "make the directory");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_used_is_named() {
    let bench = Bench::new(Place::sqlite().await).await;
    let port = Port::reserve(); // no server listens there
    let url = format!("postgres://u@127.0.0.1:{}/logs", port.number());
    let answer = Answer::to(&bench, &["--database-url", &url]);
    answer.says("problem", "database", "is not available", "pg_isready");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@{}/logs", silent.local_addr().unwrap());
    let answer = Answer::to(&bench, &["--database-url", &url, "--connect-timeout", "1s"]);
    answer.says("problem", "database", "does not answer within 1s", "--connect-timeout");
    let shared = crate::postgres::shared();
    let url = format!("postgres://postgres@127.0.0.1:{}/nowhere", shared.port());
    let answer = Answer::to(&bench, &["--database-url", &url]);
    answer.says("problem", "database", "does not exist", "--database-url");
    bench.append("access.log", lines("a", 0..3));
    let url = format!("sqlite:{}", bench.log("access.log").display());
    let answer = Answer::to(&bench, &["--database-url", &url]);
    answer.says("problem", "database", "refuses access", "another file");
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_listed() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.migrated().await)).await;
    cluster.administer("CREATE ROLE reader LOGIN; CREATE ROLE rows_only LOGIN").await;
    bench
        .place
        .execute(
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
         GRANT SELECT, INSERT, UPDATE, DELETE ON log_file, gunicorn_log, request_log, rejected_line,
             gunicorn_minute, gunicorn_hour, gunicorn_route_hour, gunicorn_route_day, ignored_file, sweep TO rows_only;
         GRANT SELECT ON _sqlx_migrations TO rows_only",
        )
        .await;
    let url = |user: &str| bench.place.url.replace("postgres@", &format!("{user}@"));
    let answer = Answer::to(&bench, &["--database-url", &url("reader")]);
    answer.says(
        "problem",
        "rights",
        "DELETE on gunicorn_hour, INSERT on gunicorn_hour",
        "GRANT SELECT, INSERT",
    );
    let answer = Answer::to(&bench, &["--database-url", &url("rows_only")]);
    answer.says("note", "rights", "may not make the partitions of new days", "migrate --days 7");
    bench.place.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    let answer = Answer::to(&bench, &["--database-url", &url("rows_only")]);
    answer.says(
        "problem",
        "rights",
        "may not make tables, and there are none",
        "log-ingestd migrate",
    );
}

/// A function of the same name stands for a server whose clock is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_a_problem() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.migrated().await)).await;
    for (interval, words) in [
        ("+ interval '1 hour'", "3600 s ahead of this machine's"),
        ("- interval '90 s'", "90 s after this machine's"),
    ] {
        bench
            .place
            .execute(&format!(
                "CREATE SCHEMA IF NOT EXISTS other;
             CREATE OR REPLACE FUNCTION other.clock_timestamp() RETURNS timestamptz
                 LANGUAGE sql VOLATILE AS $$ SELECT pg_catalog.clock_timestamp() {interval} $$;
             ALTER ROLE postgres SET search_path = public, other, pg_catalog"
            ))
            .await;
        Answer::to(&bench, &[]).says("problem", "clock", words, "run NTP on both");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_table_that_is_too_small_for_the_days_kept_is_a_problem() {
    let cluster = Cluster::start_with("-c max_locks_per_transaction=10 -c max_connections=40");
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    Answer::to(&bench, &["--retention", "1d"]).says(
        "ok",
        "locks",
        "max_locks_per_transaction is 10: enough for",
        "",
    );
    let answer = Answer::to(&bench, &["--retention", "120d"]);
    answer.says(
        "note",
        "locks",
        "with 120 full days of --retention",
        "max_locks_per_transaction = ",
    );
    for days in ["20", "40", "60"] {
        // Few at a time: a migration locks what it makes.
        bench.succeed(&["migrate", "--days", "0", "--since", &format!("{days}d")]);
    }
    let answer = Answer::to(&bench, &["--retention", "60d"]);
    answer.says("problem", "locks", "on 63 partitions", "max_locks_per_transaction = ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_or_a_spool_without_room_is_a_problem() {
    let bench = Bench::new(Place::sqlite().await).await;
    let Some(_disk) = Disk::mount(&bench.aside("disk")) else {
        println!("skipped: only root may mount a small disk");
        return;
    };
    bench.append("access.log", lines("a", 0..3));
    make_fifo(&bench.aside("access.fifo"));
    let url = format!("sqlite:{}", bench.aside("disk/deep/er/log.sqlite3").display());
    let (logs, fifo, spool) = (bench.logs(), bench.aside("access.fifo"), bench.aside("disk/spool"));
    let arguments = [
        "--database-url",
        &url,
        "--watch",
        logs.to_str().unwrap(),
        fifo.to_str().unwrap(),
        "--spool-dir",
        spool.to_str().unwrap(),
    ];
    let answer = Answer::to(&bench, &arguments);
    answer.says("problem", "disk", "/disk'; 1,024 MiB are little", "shorten --retention");
    answer.says("problem", "spool", " MiB free on the disk of '", "--spool-limit");
    assert!(!bench.aside("disk/deep").exists() && !spool.exists(), "it made a directory");
    // Enough for a spool of this size.
    let answer = Answer::to(&bench, &[&arguments[..], &["--spool-limit", "256KiB"]].concat());
    answer.says("ok", "spool", " MiB free on the disk of '", "");
    fs::remove_file(fifo).unwrap();
}
