//! How many connections a daemon takes, and what it does when the server has none left.

use sqlx::{Connection, PgConnection};

use crate::daemon::{Bench, lines, urls};
use crate::page::client::Site;
use crate::place::{Place, until};
use crate::postgres::Cluster;

/// The program's connections to a database.
const OURS: &str = "SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'log-ingestd'";

/// A daemon's connections: one that writes and holds the locks of its files; one for a moment to
/// sweep, to make partitions, to build indexes or to look into an archive.
const WHEN_BUSY: i64 = 4;

/// Those of all who look at the page, at most; closed after a minute without a look.
const OF_THE_PAGE: i64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_holds_one_and_a_few_more_for_moments() {
    let bench = Bench::new(Place::postgres().await).await;
    bench.append("access.log", lines("a", 0..40_000));
    let site = Site::open(&bench, &[]).await;
    let mut most = 0;
    until("the backlog is stored", async || {
        most = most.max(bench.place.number(OURS).await);
        bench.stored().await == 40_000
    })
    .await;
    println!("at most {most} at once with a backlog");
    assert!((1..=WHEN_BUSY).contains(&most), "{most} connections");
    until("one is left", async || bench.place.number(OURS).await == 1).await;
    let query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
                 (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(bench.place.number(query).await, 1, "it holds the lock of its file");

    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(site.get("/api/overview?from=24h").status, 200));
        }
    });
    let asked = bench.place.number(OURS).await;
    println!("{asked} when twenty people have looked at once");
    assert!((1..=1 + OF_THE_PAGE).contains(&asked), "{asked} connections");
}

/// Takes every connection that a user may have.
async fn take_all(url: &str) -> Vec<PgConnection> {
    let mut taken = Vec::new();
    loop {
        match PgConnection::connect(url).await {
            Ok(connection) => taken.push(connection),
            Err(sqlx::Error::Database(answer)) if answer.code().as_deref() == Some("53300") => {
                return taken;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection_is_waited_for_at_the_start_and_in_the_middle() {
    let cluster = Cluster::start_with("-c max_connections=8 -c superuser_reserved_connections=3");
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    // Reserved connections are the test's own, so that it can look.
    let grants = "CREATE ROLE fleet LOGIN; GRANT pg_write_all_data, pg_read_all_data TO fleet;";
    bench.place.execute(grants).await;
    let database = bench.place.url.rsplit_once('/').unwrap().1.to_owned();
    let url = cluster.url("fleet", &database);
    bench.place.execute(&format!("ALTER DATABASE {database} OWNER TO fleet")).await;
    let owners = "DO $$ DECLARE it record; BEGIN
        FOR it IN SELECT c.oid::regclass AS name FROM pg_class c
                   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
        LOOP EXECUTE format('ALTER TABLE %s OWNER TO fleet', it.name); END LOOP; END $$;
        GRANT ALL ON SCHEMA public TO fleet";
    bench.place.execute(owners).await;

    bench.append("access.log", lines("before", 0..50));
    bench.place.until_alone().await; // a session that ends later would leave its place to the daemon
    let mut taken = take_all(&url).await;
    let logs = bench.logs();
    let arguments =
        ["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms", "--connect-timeout", "60s"];
    let mut command = bench.command(&arguments);
    command.env("DATABASE_URL", &url);
    let mut daemon = crate::daemon::Daemon::start(command, bench.aside("stderr"));
    daemon.says("the store cannot be reached yet; it is tried again").await;
    daemon.says("(53300): raise max_connections").await;
    assert!(!daemon.has_ended());
    taken.clear();
    bench.rows(50).await;
    bench.swept(1).await;

    // Its connection is cut, and another client is quicker: again until that was so.
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE usename = 'fleet' AND application_name = 'log-ingestd'";
    taken = take_all(&url).await;
    until("others have all connections", async || {
        bench.place.number(cut).await;
        taken.extend(take_all(&url).await);
        bench.append("access.log", lines("cut", 0..1));
        daemon.said().contains("the store is unavailable") && bench.place.number(OURS).await == 0
    })
    .await;
    let appended = urls_of(&bench);
    bench.append("access.log", lines("after", 0..50));
    assert!(!daemon.has_ended());
    drop(taken);
    daemon.says("the store is back").await;
    let all = appended.into_iter().chain(urls("after", 0..50));
    bench.exactly(all).await;
    assert!(daemon.stop().await.success());
}

/// What the log holds by now.
fn urls_of(bench: &Bench) -> Vec<String> {
    let text = std::fs::read_to_string(bench.log("access.log")).unwrap();
    let url = |line: &str| line.split_once("GET ").unwrap().1.split_once(' ').unwrap().0.to_owned();
    text.lines().map(url).collect()
}
