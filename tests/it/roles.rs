//! Who may do what: a daemon whose database user may not make tables, set up in the two ways that
//! `deploy/docs/fleet.md` tells.

use std::process::{Command, Output};

use log_ingestd::model::Micros;

use crate::daemon::{Bench, Daemon, line_at, urls};
use crate::place::{DAY, Place};
use crate::postgres::{Cluster, shared};
use crate::upgrade::KNOWN;

/// Shared servers have shared users; each test has its own, and they are made anew.
async fn users(names: &[&str]) {
    for name in names {
        shared().administer(&format!("CREATE ROLE {name} LOGIN")).await;
    }
}

/// The URL of the bench's database for another user.
fn url(bench: &Bench, user: &str) -> String {
    bench.place.url.replace("postgres://postgres@", &format!("postgres://{user}@"))
}

fn run_as(bench: &Bench, user: &str, arguments: &[&str]) -> Output {
    let mut command: Command = bench.command(arguments);
    command.env("DATABASE_URL", url(bench, user)).output().unwrap()
}

fn succeed_as(bench: &Bench, user: &str, arguments: &[&str]) -> String {
    let output = run_as(bench, user, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?} as {user}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn watch_as(bench: &Bench, user: &str, retention: &str) -> Daemon {
    let logs = bench.logs();
    let mut command = bench.command(&[
        "--watch",
        logs.to_str().unwrap(),
        "--poll-interval",
        "100ms",
        "--retention",
        retention,
    ]);
    command.env("DATABASE_URL", url(bench, user));
    Daemon::start(command, bench.aside("stderr"))
}

fn date(time: Micros) -> String {
    chrono::DateTime::from_timestamp_micros(time).unwrap().format("%Y-%m-%d").to_string()
}

async fn empty() -> Bench {
    let cluster: &Cluster = shared();
    Bench::untouched(Place::at(cluster.database().await))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_with_the_right_to_rows_only_finds_partitions_that_were_made_ahead() {
    let bench = empty().await;
    users(&["rows_owner", "rows_only"]).await;
    bench.place.execute("GRANT USAGE, CREATE ON SCHEMA public TO rows_owner").await;

    // Before there are tables it says what is missing.
    let refused = run_as(&bench, "rows_only", &["import", "/dev/null"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("by `log-ingestd migrate` with the database URL of a user who may"),
        "{said}"
    );

    let made = ["migrate", "--days", "7"];
    let schema = |before: &str, after: &str| format!("{before}schema {KNOWN}{after}\n");
    assert_eq!(succeed_as(&bench, "rows_owner", &made), schema("no tables → ", ""));
    bench
        .place
        .execute(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON log_file, gunicorn_log, request_log,
                 rejected_line, gunicorn_minute, gunicorn_hour, gunicorn_route_hour, gunicorn_route_day,
                 ignored_file, sweep TO rows_only;
             GRANT SELECT ON _sqlx_migrations TO rows_only",
        )
        .await;

    let today = chrono::Utc::now().timestamp_micros();
    let mut daemon = watch_as(&bench, "rows_only", "off");
    let now = |prefix: &str| -> String {
        (0..50).map(|number| line_at(&format!("/{prefix}/{number}"), today)).collect()
    };
    bench.append("access.log", now("a") + "this is no line\n");
    bench.rows(50).await;
    bench.append("access.log", now("b"));
    bench.rows(100).await;

    // An older line has no partition: it waits, and the reason names the cure.
    let old = date(today - 40 * DAY);
    bench.append("access.log", line_at("/old", today - 40 * DAY));
    let missing =
        format!("gunicorn_log has no partition for {old}, and this user may not make one");
    daemon.says(&missing).await;
    daemon.says(&format!("log-ingestd migrate --days 7 --since {old}")).await;
    let since = ["migrate", "--days", "7", "--since", &old];
    assert_eq!(succeed_as(&bench, "rows_owner", &since), schema("", ", nothing to do"));
    bench.rows(101).await;
    // Lines of a clock that is ahead get one partition for all of them.
    let ahead = |days: i64| line_at("/ahead", today + days * DAY);
    bench.append("access.log", ahead(900) + &ahead(9000));
    let later = date(today + 900 * DAY);
    daemon.says(&format!("log-ingestd migrate --days 7 --since {later}")).await;
    let since = ["migrate", "--days", "7", "--since", &later];
    assert_eq!(succeed_as(&bench, "rows_owner", &since), schema("", ", nothing to do"));
    bench.rows(103).await;
    assert!(daemon.stop().await.success());
    bench.balanced().await;
    succeed_as(&bench, "rows_only", &["verify"]);
    succeed_as(&bench, "rows_only", &["status"]);
    assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 1);

    // What was old leaves by the owner's hand.
    let swept = succeed_as(&bench, "rows_owner", &["cleanup", "--days", "20"]);
    assert!(swept.contains("1 gunicorn_log"), "{swept}");
    bench.rows(102).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_a_member_of_the_owner_does_everything_itself() {
    let bench = empty().await;
    users(&["member_one", "member_two"]).await;
    shared().administer("CREATE ROLE member_owner NOLOGIN").await;
    bench
        .place
        .execute(
            "GRANT USAGE, CREATE ON SCHEMA public TO member_owner;
             GRANT member_owner TO member_one, member_two;
             ALTER ROLE member_one SET role = member_owner;
             ALTER ROLE member_two SET role = member_owner",
        )
        .await;
    let made = format!("no tables → schema {KNOWN}\n");
    assert_eq!(succeed_as(&bench, "member_one", &["migrate"]), made);
    let today = chrono::Utc::now().timestamp_micros();
    let at = |time, prefix: &str| -> String {
        (0..100).map(|number| line_at(&format!("/{prefix}/{number}"), time)).collect()
    };
    bench.append("access.log", at(today - 3 * DAY, "a"));
    let daemon = watch_as(&bench, "member_one", "off");
    bench.rows(100).await;
    assert!(daemon.stop().await.success());
    // The partitions of one are those of the other, who drops them.
    bench.append("access.log", at(today, "b"));
    let daemon = watch_as(&bench, "member_two", "off");
    bench.rows(200).await;
    bench.exactly(urls("a", 0..100).into_iter().chain(urls("b", 0..100))).await;
    assert!(daemon.stop().await.success());
    let elsewhere = "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
         WHERE relnamespace = 'public'::regnamespace AND rolname <> 'member_owner'";
    assert_eq!(bench.place.number(elsewhere).await, 0);
    let day = date(today - 3 * DAY).replace('-', "");
    let day = format!("SELECT count(*) FROM pg_class WHERE relname = 'gunicorn_log_{day}'");
    assert_eq!(bench.place.number(&day).await, 1);
    succeed_as(&bench, "member_two", &["cleanup", "--days", "2"]);
    assert_eq!(bench.place.number(&day).await, 0);
    bench.rows(100).await;
}
